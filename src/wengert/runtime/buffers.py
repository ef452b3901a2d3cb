"""Memory for the results of compiled programs: aligned, pooled, and returned when the last reference dies.

    buffer = allocate(nbytes)
    buffer.address                        # an int, a multiple of 64
    buffer.view((3, 4), np.float32)       # a read-only ndarray on this memory, which keeps the buffer alive

Pages that come fresh from the system are expensive (writing 180 MB of them takes 0.1 s longer), so freed
memory is kept for the next buffer of about its size. Sizes are rounded up to one of four steps between powers
of two.

* Blocks of up to 1 MiB: each size keeps up to 2 MiB of idle blocks, and at least four.
* Larger ones: idle blocks of all sizes together take up to a quarter of the machine's memory (of the control
  group's limit, if that is less), or 256 MiB if that is more; above it, blocks of other sizes go back to the
  system first.
* From 4 MiB on, blocks are aligned for huge pages and, on Linux, ask for them.

A Buffer is a small native type with a free list for each size: a Python class with `__del__` takes 280 ns to
make and free, this 50 ns. All of it runs under the GIL, which makes it thread-safe.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np

from wengert.backends import cpu
from wengert.runtime import native as _native

_LARGE: Final = 1 << 20
_HUGE: Final = 4 << 20
_N_BINS: Final = 176

# A buffer: PyObject's head, address, nbytes, bin, next idle one of its bin, start and size of a mapping.
_IR: Final = """
%buffer = type { i64, ptr, ptr, i64, ptr, ptr, ptr, i64 }
%bin = type { ptr, i64, i64, i64 }
@wengert_buffer_type = global ptr null
@wengert_buffer_bins = global [N_BINS x %bin] zeroinitializer
@wengert_buffer_limit = global i64 0
@wengert_buffer_idle_large = global i64 0
@wengert_buffer_live = global i64 0
@wengert_buffer_live_bytes = global i64 0
@wengert_buffer_fresh = global i64 0
@PyExc_MemoryError = external global ptr
@PyExc_ValueError = external global ptr
declare ptr @PyErr_Format(ptr, ptr, ...)
declare ptr @PyErr_Occurred()
declare i64 @PyLong_AsSsize_t(ptr)
declare ptr @PyObject_Malloc(i64)
declare void @PyObject_Free(ptr)
declare ptr @PyObject_Init(ptr, ptr)
declare void @_Py_NewReference(ptr)
declare void @Py_DecRef(ptr)
declare i32 @PyBuffer_FillInfo(ptr, ptr, ptr, i64, i32, i32)
declare i32 @posix_memalign(ptr, i64, i64)
declare void @free(ptr)
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @munmap(ptr, i64)
declare i32 @madvise(ptr, i64, i32)

; The bin for a number of bytes: up to 512 there is one for each 64, then four for each doubling.
define internal i64 @bin_of(i64 %nbytes) {
entry:
  %last = sub i64 %nbytes, 1
  %v = lshr i64 %last, 6
  %small = icmp ult i64 %v, 8
  br i1 %small, label %exact, label %step
exact:
  %next = add i64 %v, 1
  ret i64 %next
step:
  %zeros = call i64 @llvm.ctlz.i64(i64 %v, i1 true)
  %b = sub i64 61, %zeros
  %top = lshr i64 %v, %b
  %b4 = shl i64 %b, 2
  %sum = add i64 %b4, %top
  %index = add i64 %sum, 1
  ret i64 %index
}

define internal void @unmap(ptr %self) {
entry:
  %p.address = getelementptr %buffer, ptr %self, i32 0, i32 2
  %p.map = getelementptr %buffer, ptr %self, i32 0, i32 6
  %p.size = getelementptr %buffer, ptr %self, i32 0, i32 7
  %map = load ptr, ptr %p.map
  %none = icmp eq ptr %map, null
  br i1 %none, label %heap, label %pages
heap:
  %address = load ptr, ptr %p.address
  call void @free(ptr %address)
  ret void
pages:
  %size = load i64, ptr %p.size
  %x = call i32 @munmap(ptr %map, i64 %size)
  ret void
}

; Give memory and object back for good.
define internal void @destroy(ptr %self) {
  call void @unmap(ptr %self)
  %p.type = getelementptr %buffer, ptr %self, i32 0, i32 1
  %type = load ptr, ptr %p.type
  call void @PyObject_Free(ptr %self)
  call void @Py_DecRef(ptr %type)
  ret void
}

define internal ptr @pop(ptr %bin) {
entry:
  %head = load ptr, ptr %bin
  %empty = icmp eq ptr %head, null
  br i1 %empty, label %none, label %some
none:
  ret ptr null
some:
  %p.next = getelementptr %buffer, ptr %head, i32 0, i32 5
  %next = load ptr, ptr %p.next
  store ptr %next, ptr %bin
  %p.count = getelementptr %bin, ptr %bin, i32 0, i32 1
  %count = load i64, ptr %p.count
  %less = sub i64 %count, 1
  store i64 %less, ptr %p.count
  %p.nbytes = getelementptr %bin, ptr %bin, i32 0, i32 3
  %nbytes = load i64, ptr %p.nbytes
  %large = icmp ugt i64 %nbytes, LARGE
  br i1 %large, label %account, label %done
account:
  %idle = load i64, ptr @wengert_buffer_idle_large
  %rest = sub i64 %idle, %nbytes
  store i64 %rest, ptr @wengert_buffer_idle_large
  br label %done
done:
  ret ptr %head
}

; Destroy idle blocks, the largest first, sparing one bin, until idle large ones take no more than `room`;
; with a negative room, all.
define void @wengert_buffer_evict(i64 %room, ptr %spared) {
entry:
  br label %bin
bin:
  %i = phi i64 [ LAST_BIN, %entry ], [ %i.next, %next ]
  %p = getelementptr [N_BINS x %bin], ptr @wengert_buffer_bins, i64 0, i64 %i
  %skip = icmp eq ptr %p, %spared
  br i1 %skip, label %next, label %look
look:
  %idle = load i64, ptr @wengert_buffer_idle_large
  %over = icmp sgt i64 %idle, %room
  br i1 %over, label %take, label %done
take:
  %victim = call ptr @pop(ptr %p)
  %none = icmp eq ptr %victim, null
  br i1 %none, label %next, label %kill
kill:
  call void @destroy(ptr %victim)
  br label %look
next:
  %i.next = sub i64 %i, 1
  %more = icmp sge i64 %i.next, 0
  br i1 %more, label %bin, label %done
done:
  ret void
}

define void @wengert_buffer_dealloc(ptr %self) {
entry:
  %p.bin = getelementptr %buffer, ptr %self, i32 0, i32 4
  %bin = load ptr, ptr %p.bin
  %p.nbytes = getelementptr %buffer, ptr %self, i32 0, i32 3
  %nbytes = load i64, ptr %p.nbytes
  %live = load i64, ptr @wengert_buffer_live
  %live1 = sub i64 %live, 1
  store i64 %live1, ptr @wengert_buffer_live
  %bytes = load i64, ptr @wengert_buffer_live_bytes
  %bytes1 = sub i64 %bytes, %nbytes
  store i64 %bytes1, ptr @wengert_buffer_live_bytes
  %large = icmp ugt i64 %nbytes, LARGE
  br i1 %large, label %big, label %small
small:
  %p.count = getelementptr %bin, ptr %bin, i32 0, i32 1
  %count = load i64, ptr %p.count
  %p.most = getelementptr %bin, ptr %bin, i32 0, i32 2
  %most = load i64, ptr %p.most
  %fits = icmp ult i64 %count, %most
  br i1 %fits, label %keep, label %drop
big:
  %limit = load i64, ptr @wengert_buffer_limit
  %room = sub i64 %limit, %nbytes
  %never = icmp slt i64 %room, 0
  br i1 %never, label %drop, label %evict
evict:
  call void @wengert_buffer_evict(i64 %room, ptr %bin)
  %idle = load i64, ptr @wengert_buffer_idle_large
  %full = icmp sgt i64 %idle, %room
  br i1 %full, label %drop, label %account
account:
  %idle1 = add i64 %idle, %nbytes
  store i64 %idle1, ptr @wengert_buffer_idle_large
  br label %keep
keep:
  %head = load ptr, ptr %bin
  %p.next = getelementptr %buffer, ptr %self, i32 0, i32 5
  store ptr %head, ptr %p.next
  store ptr %self, ptr %bin
  %p.n = getelementptr %bin, ptr %bin, i32 0, i32 1
  %n = load i64, ptr %p.n
  %n1 = add i64 %n, 1
  store i64 %n1, ptr %p.n
  ret void
drop:
  call void @destroy(ptr %self)
  ret void
}

; Fill in address and mapping; 0 if there is no memory.
define internal i32 @map(ptr %self, i64 %nbytes) {
entry:
  %p.address = getelementptr %buffer, ptr %self, i32 0, i32 2
  %p.map = getelementptr %buffer, ptr %self, i32 0, i32 6
  %p.size = getelementptr %buffer, ptr %self, i32 0, i32 7
  %huge = icmp uge i64 %nbytes, HUGE
  br i1 %huge, label %pages, label %heap
heap:
  store ptr null, ptr %p.map
  %error = call i32 @posix_memalign(ptr %p.address, i64 64, i64 %nbytes)
  %good = icmp eq i32 %error, 0
  %word = zext i1 %good to i32
  ret i32 %word
pages:
  %size = add i64 %nbytes, 2097152
  %start = call ptr @mmap(ptr null, i64 %size, i32 3, i32 MAP_FLAGS, i32 -1, i64 0)
  %number = ptrtoint ptr %start to i64
  %failed = icmp eq i64 %number, -1
  br i1 %failed, label %bad, label %mapped
bad:
  ret i32 0
mapped:
  %up = add i64 %number, 2097151
  %aligned = and i64 %up, -2097152
  %address = inttoptr i64 %aligned to ptr
  store ptr %address, ptr %p.address
  store ptr %start, ptr %p.map
  store i64 %size, ptr %p.size
  MADVISE
  ret i32 1
}

define internal ptr @fresh(ptr %bin, i64 %asked) {
entry:
  %p.nbytes = getelementptr %bin, ptr %bin, i32 0, i32 3
  %nbytes = load i64, ptr %p.nbytes
  %self = call ptr @PyObject_Malloc(i64 64)
  %lost = icmp eq ptr %self, null
  br i1 %lost, label %error, label %first
first:
  %mapped = call i32 @map(ptr %self, i64 %nbytes)
  %got = icmp ne i32 %mapped, 0
  br i1 %got, label %good, label %again
again:
  call void @wengert_buffer_evict(i64 -1, ptr null)
  %mapped2 = call i32 @map(ptr %self, i64 %nbytes)
  %got2 = icmp ne i32 %mapped2, 0
  br i1 %got2, label %good, label %bad
bad:
  call void @PyObject_Free(ptr %self)
  br label %error
error:
  %type.error = load ptr, ptr @PyExc_MemoryError
  %x = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %type.error, ptr @no_memory, i64 %asked)
  ret ptr null
good:
  %b.nbytes = getelementptr %buffer, ptr %self, i32 0, i32 3
  store i64 %nbytes, ptr %b.nbytes
  %b.bin = getelementptr %buffer, ptr %self, i32 0, i32 4
  store ptr %bin, ptr %b.bin
  %count = load i64, ptr @wengert_buffer_fresh
  %count1 = add i64 %count, 1
  store i64 %count1, ptr @wengert_buffer_fresh
  %type = load ptr, ptr @wengert_buffer_type
  %object = call ptr @PyObject_Init(ptr %self, ptr %type)
  ret ptr %object
}

define ptr @wengert_buffer_allocate(ptr %module, ptr %size) {
entry:
  %asked = call i64 @PyLong_AsSsize_t(ptr %size)
  %odd = icmp slt i64 %asked, 0
  br i1 %odd, label %doubt, label %good
doubt:
  %error = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %error, null
  br i1 %raised, label %bad, label %refuse
refuse:
  %value.error = load ptr, ptr @PyExc_ValueError
  %x = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %value.error, ptr @negative, i64 %asked)
  ret ptr null
bad:
  ret ptr null
good:
  %nbytes = call i64 @llvm.smax.i64(i64 %asked, i64 1)
  %too.much = icmp ugt i64 %nbytes, 70368744177664
  br i1 %too.much, label %refuse.memory, label %sized
refuse.memory:
  %memory.error = load ptr, ptr @PyExc_MemoryError
  %y = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %memory.error, ptr @no_memory, i64 %asked)
  ret ptr null
sized:
  %index = call i64 @bin_of(i64 %nbytes)
  %bin = getelementptr [N_BINS x %bin], ptr @wengert_buffer_bins, i64 0, i64 %index
  %idle = call ptr @pop(ptr %bin)
  %none = icmp eq ptr %idle, null
  br i1 %none, label %make, label %reuse
make:
  %made = call ptr @fresh(ptr %bin, i64 %asked)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %bad, label %count
reuse:
  call void @_Py_NewReference(ptr %idle)
  br label %count
count:
  %self = phi ptr [ %made, %make ], [ %idle, %reuse ]
  %live = load i64, ptr @wengert_buffer_live
  %live1 = add i64 %live, 1
  store i64 %live1, ptr @wengert_buffer_live
  %p.whole = getelementptr %bin, ptr %bin, i32 0, i32 3
  %whole = load i64, ptr %p.whole
  %bytes = load i64, ptr @wengert_buffer_live_bytes
  %bytes1 = add i64 %bytes, %whole
  store i64 %bytes1, ptr @wengert_buffer_live_bytes
  ret ptr %self
}

; The buffer protocol, read-only: arrays do not change.
define i32 @wengert_buffer_get(ptr %self, ptr %view, i32 %flags) {
  %p.address = getelementptr %buffer, ptr %self, i32 0, i32 2
  %address = load ptr, ptr %p.address
  %p.nbytes = getelementptr %buffer, ptr %self, i32 0, i32 3
  %nbytes = load i64, ptr %p.nbytes
  %status = call i32 @PyBuffer_FillInfo(ptr %view, ptr %self, ptr %address, i64 %nbytes, i32 1, i32 %flags)
  ret i32 %status
}
"""


class Buffer(Protocol):
    """Memory from the pool. The class itself is native; this says what it offers."""

    @property
    def address(self) -> int:
        """Where the memory starts; a multiple of 64."""

    @property
    def nbytes(self) -> int:
        """How much there is: at least what was asked for."""

    def view(self, shape: tuple[int, ...], dtype: Any, offset: int = 0) -> np.ndarray[Any, Any]:
        """A read-only array `offset` bytes into the memory, in C order; it keeps the buffer alive."""


def view(owner: Buffer, shape: tuple[int, ...], dtype: Any, offset: int = 0) -> np.ndarray[Any, Any]:
    """What `owner.view` does. TypeError if the array does not fit into the memory."""
    return np.ndarray(shape, dtype, owner, offset)  # type: ignore[arg-type]


# ---- the native type


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("function", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.c_void_p),
    )


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


# Of CPython's stable ABI.
_BF_GETBUFFER, _TP_DEALLOC, _TP_DOC, _TP_MEMBERS = 1, 52, 56, 72
_DISALLOW_INSTANTIATION: Final = 1 << 7
_DEFAULT_FLAGS: Final = 1 << 18
_ULONGLONG, _SSIZE, _READONLY = 18, 19, 1


def bin_size(index: int) -> int:
    """The size of the blocks in bin `index`, from 1 on."""
    if index <= 8:
        return 64 * index
    doubling, step = divmod(index - 9, 4)
    return (5 + step) << (doubling + 7)


def _memory_limit() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            total = min(total, int(file.read()))
    except (OSError, ValueError):  # not on Linux, or "max"
        pass
    return max(total // 4, 256 << 20)


def _pool_ir() -> str:
    linux = sys.platform == "linux"
    values = {
        "N_BINS": str(_N_BINS),
        "LAST_BIN": str(_N_BINS - 1),
        "LARGE": str(_LARGE),
        "HUGE": str(_HUGE),
        "MAP_FLAGS": str(mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS),
        # 14 is MADV_HUGEPAGE. If the system refuses, pages are small.
        "MADVISE": "%x = call i32 @madvise(ptr %address, i64 %nbytes, i32 14)" if linux else "",
    }
    text = _native.ir_string("no_memory", "the system has no %zd bytes of memory for an array")
    text += _native.ir_string("negative", "a buffer has 0 or more bytes, %zd given") + _IR
    for name, value in values.items():
        text = text.replace(name, value)
    return text


class _Pool:
    """The native pool. There is one."""

    def __init__(self) -> None:
        head = object.__basicsize__
        if head != 16:
            raise RuntimeError(f"this build of CPython is not supported: an object's head is {head} bytes")
        self.code = code = cpu.load_routines("buffers", _pool_ir(), __file__)
        bins = (ctypes.c_int64 * (4 * _N_BINS)).from_address(code.address("wengert_buffer_bins"))
        for index in range(1, _N_BINS):
            size = bin_size(index)
            bins[4 * index + 2] = max(4, (2 << 20) // size)
            bins[4 * index + 3] = size
        self.bins = bins
        self.number("limit").value = _memory_limit()
        members = (_Member * 3)(
            _Member(b"address", _ULONGLONG, head, _READONLY, b"Where the memory starts."),
            _Member(b"nbytes", _SSIZE, head + 8, _READONLY, b"How much there is."),
        )
        slots = (_Slot * 5)(
            _Slot(_BF_GETBUFFER, code.address("wengert_buffer_get")),
            _Slot(_TP_DEALLOC, code.address("wengert_buffer_dealloc")),
            _Slot(_TP_MEMBERS, ctypes.addressof(members)),
            _Slot(_TP_DOC, ctypes.cast(ctypes.c_char_p(b"Memory from the pool."), ctypes.c_void_p).value),
        )
        name = b"wengert.runtime.buffers.Buffer"
        spec = _Spec(name, 64, 0, _DEFAULT_FLAGS | _DISALLOW_INSTANTIATION, ctypes.addressof(slots))
        make_type = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)
        self.type = make_type(("PyType_FromSpec", ctypes.pythonapi))(ctypes.addressof(spec))
        self.type.view = view
        ctypes.c_void_p.from_address(code.address("wengert_buffer_type")).value = id(self.type)
        self.allocate: Callable[[int], Buffer] = _native.make_function(
            "allocate", code.address("wengert_buffer_allocate"), _native.METH_O, None
        )
        self.keep = (members, slots, spec, name)
        # PYFUNCTYPE keeps the GIL, which guards the pool.
        evict_type = ctypes.PYFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)
        self.evict = evict_type(code.address("wengert_buffer_evict"))

    def number(self, name: str) -> ctypes.c_int64:
        return ctypes.c_int64.from_address(self.code.address(f"wengert_buffer_{name}"))


_pool: _Pool | None = None


def _the_pool() -> _Pool:
    global _pool
    if _pool is None:
        with cpu.lock:
            if _pool is None:
                _pool = _Pool()
    return _pool


def allocator() -> Callable[[int], Buffer]:
    """The native function behind `allocate`, for those who call it often."""
    return _the_pool().allocate


def allocate(nbytes: int) -> Buffer:
    """Memory of at least `nbytes` bytes, not cleared, at an address that is a multiple of 64.

    Raises ValueError if nbytes is negative, MemoryError if the system has no more.
    """
    return _the_pool().allocate(nbytes)


def clear_pool() -> None:
    """Give all idle memory back to the system."""
    _the_pool().evict(-1, None)


def set_pool_limit(nbytes: int) -> None:
    """Keep at most this much idle memory in blocks of more than 1 MiB. ValueError if negative."""
    if nbytes < 0:
        raise ValueError(f"the pool's limit is 0 or more bytes, got {nbytes}")
    pool = _the_pool()
    pool.number("limit").value = nbytes
    pool.evict(nbytes, None)


def pool_statistics() -> dict[str, int]:
    """How the pool is used now, and how many blocks were ever taken from the system."""
    pool = _the_pool()
    return {
        "buffers_in_use": pool.number("live").value,
        "bytes_in_use": pool.number("live_bytes").value,
        "bytes_idle": sum(pool.bins[4 * i + 1] * pool.bins[4 * i + 3] for i in range(_N_BINS)),
        "bytes_limit": pool.number("limit").value,
        "blocks_from_system": pool.number("fresh").value,
    }
