"""Machine code as one block of memory: what an object file becomes when all that is fixed in it has been settled.

LLVM's linker needs LLVM in the process, whose library is large. Code that comes from a disk cache should not: an
image is loaded by one `mmap`, one copy and a table of addresses that is filled in, a twentieth of a millisecond.

`make` lays out the sections of an ELF object (x86-64): code and constants first, then data, then a table with one
address for each symbol that is reached through it. Distances between these don't depend on where the block lies, so
they are settled then. What is left for `load` are the absolute addresses: those of imported symbols, and pointers in
data. Other processors and formats have no images (`SUPPORTED`); there LLVM links.
"""

from __future__ import annotations

import ctypes
import marshal
import mmap
import platform
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from wengert.errors import CompileError

SUPPORTED: Final = (
    sys.platform == "linux"
    and platform.machine().lower() in ("x86_64", "amd64")
    and struct.calcsize("P") == 8
)

_PAGE: Final = mmap.PAGESIZE
_WRITE, _ALLOC, _EXEC, _TLS = 1, 2, 4, 0x400  # flags of sections
_SYMTAB, _RELA, _NOBITS, _UNWIND = 2, 4, 8, 0x70000001  # their types
_UNDEFINED, _ABSOLUTE, _RESERVED = 0, 0xFFF1, 0xFF00  # in place of a symbol's section
_R_64, _R_PC32, _R_PLT32, _R_PC64 = 1, 2, 4, 24
_R_GOT: Final = (9, 41, 42)
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QQq")
_STUB: Final = b"\xff\x25"  # jmp *distance(%rip)


class _Unfit(Exception):
    """The object has something that images don't."""


class _Layout:
    """An object file being laid out."""

    def __init__(self, elf: bytes) -> None:
        if elf[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", elf, 16) != (1, 62):
            raise _Unfit
        start, count = struct.unpack_from("<Q", elf, 40)[0], struct.unpack_from("<H", elf, 60)[0]
        self.elf = elf
        self.sections = [_SECTION.unpack_from(elf, start + n * _SECTION.size) for n in range(count)]
        self.places: dict[int, int] = {}  # section -> offset in the block
        self.block = bytearray()
        self.symbols: list[tuple[str, int, int, int]] = []  # name, section, value, binding
        self.imports: list[str] = []
        self.pointers: list[
            tuple[int, int, int]
        ] = []  # at an offset: import n, or -1 for the block; plus this
        self.slots: dict[tuple[int, int], int] = {}
        self.stubs: dict[int, int] = {}

    def bytes_of(self, section: tuple[int, ...]) -> bytes:
        return self.elf[section[4] : section[4] + section[5]]

    def place(self, writable: bool) -> None:
        for number, section in enumerate(self.sections):
            flags = section[2]
            if not flags & _ALLOC or section[1] == _UNWIND or bool(flags & _WRITE) is not writable:
                continue
            if flags & _TLS or section[8] > _PAGE:
                raise _Unfit
            self.pad(max(section[8], 1))
            self.places[number] = len(self.block)
            self.block += bytes(section[5]) if section[1] == _NOBITS else self.bytes_of(section)

    def pad(self, align: int) -> None:
        self.block += bytes(-len(self.block) % align)

    def read_symbols(self) -> None:
        for section in self.sections:
            if section[1] == _SYMTAB:
                names = self.bytes_of(self.sections[section[6]])
                for name, info, _, index, value, _ in _SYMBOL.iter_unpack(self.bytes_of(section)):
                    text = names[name : names.index(b"\0", name)].decode("ascii")
                    self.symbols.append((text, index, value, info >> 4))

    def relocations(self) -> list[tuple[int, int, int, int]]:
        """Offset in the block, type, symbol, addend; the sections must have been placed."""
        found = []
        for section in self.sections:
            if section[1] == _RELA and section[7] in self.places:
                base = self.places[section[7]]
                for offset, info, addend in _RELOCATION.iter_unpack(self.bytes_of(section)):
                    found.append((base + offset, info & 0xFFFFFFFF, info >> 32, addend))
        return found

    def target(self, symbol: int) -> tuple[int, int]:
        """The number of the import, or -1 and the offset in the block."""
        name, section, value, _ = self.symbols[symbol]
        if section == _UNDEFINED:
            if name not in self.imports:
                self.imports.append(name)
            return self.imports.index(name), 0
        if section >= _RESERVED or section not in self.places:
            raise _Unfit
        return -1, self.places[section] + value


def _laid_out(elf: bytes) -> tuple[Any, ...]:
    layout = _Layout(elf)
    layout.read_symbols()
    layout.place(writable=False)
    count = sum(s[5] // _RELOCATION.size for s in layout.sections if s[1] == _RELA)
    layout.pad(16)
    stubs = len(layout.block)  # room for as many as there can be
    layout.block += bytes(8 * count)
    layout.pad(_PAGE)
    fixed = len(layout.block)
    layout.place(writable=True)
    layout.pad(8)
    block = layout.block

    def slot(target: tuple[int, int]) -> int:
        if target not in layout.slots:
            layout.slots[target] = len(block)
            layout.pointers.append((len(block), *target))
            block.extend(bytes(8))
        return layout.slots[target]

    for at, kind, symbol, addend in layout.relocations():
        number, offset = target = layout.target(symbol)
        if kind == _R_64:
            if at < fixed:
                raise _Unfit  # constants with addresses in them: LLVM makes them data, which is writable
            layout.pointers.append((at, number, offset + addend))
            continue
        if kind in _R_GOT:
            goal = slot(target)
        elif kind == _R_PLT32 and number >= 0:
            if number not in layout.stubs:
                stub = layout.stubs[number] = stubs + 8 * len(layout.stubs)
                block[stub : stub + 6] = _STUB + struct.pack("<i", slot(target) - stub - 6)
            goal = layout.stubs[number]
        elif kind in (_R_PC32, _R_PLT32, _R_PC64) and number < 0:
            goal = offset
        else:
            raise _Unfit
        distance = goal + addend - at
        if kind == _R_PC64:
            struct.pack_into("<q", block, at, distance)
        else:
            struct.pack_into("<i", block, at, distance)
    exports = {
        name: layout.places[section] + value
        for name, section, value, binding in layout.symbols
        if binding and name and section in layout.places
    }
    return exports, tuple(layout.imports), tuple(layout.pointers), fixed, bytes(block)


def make(elf: bytes) -> bytes | None:
    """The image of an object file; None if LLVM has to link it."""
    if not SUPPORTED:
        return None
    try:
        return marshal.dumps(_laid_out(elf))
    except (_Unfit, struct.error):
        return None


_libc: Final = ctypes.CDLL(None, use_errno=True)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_libc, name)
    function.restype, function.argtypes = result, arguments
    return function


if SUPPORTED:
    _size, _pointer, _int = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
    _mmap = _function("mmap", _pointer, _pointer, _size, _int, _int, _int, ctypes.c_long)
    _munmap = _function("munmap", _int, _pointer, _size)
    _mprotect = _function("mprotect", _int, _pointer, _size, _int)


class Loaded:
    """An image in memory, until this object dies; with `forever`, until the process does."""

    __slots__ = ("_base", "_exports", "_size")

    def __init__(self, base: int, size: int, exports: dict[str, int], forever: bool) -> None:
        self._base, self._exports = base, exports
        self._size = 0 if forever else size

    def __getitem__(self, name: str) -> int:
        return self._base + self._exports[name]

    def __del__(self, unmap: Any = _munmap if SUPPORTED else None, ending: Any = sys.is_finalizing) -> None:
        if self._size and not ending():  # at the end threads may still run in it
            unmap(self._base, self._size)


def load(image: bytes, resolve: Callable[[str], int | None], forever: bool = False) -> Loaded:
    """Put an image into memory. CompileError if it needs a symbol that `resolve` does not know, or is no image.

    The bytes become instructions of this process: the caller vouches for them.
    """
    try:
        exports, imports, pointers, fixed, block = marshal.loads(image)
    except (ValueError, EOFError, TypeError):
        raise CompileError("this is not an image of machine code") from None
    addresses = [resolve(name) for name in imports]
    missing = [name for name, address in zip(imports, addresses, strict=True) if address is None]
    if missing:
        raise CompileError(f"the code needs functions that this process does not have: {', '.join(missing)}")
    size = len(block)
    base = _mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if base == ctypes.c_void_p(-1).value:
        raise MemoryError(f"the system has no {size} bytes of memory for machine code")
    filled = bytearray(block)
    for at, number, plus in pointers:
        address = base if number < 0 else addresses[number]
        struct.pack_into("<Q", filled, at, (address + plus) & 0xFFFFFFFFFFFFFFFF)
    ctypes.memmove(base, bytes(filled), size)
    loaded = Loaded(base, size, exports, forever)
    if fixed and _mprotect(base, fixed, mmap.PROT_READ | mmap.PROT_EXEC):
        raise CompileError(
            "the system does not let this process make machine code: its memory stays writable"
        )
    return loaded
