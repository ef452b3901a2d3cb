"""The machine side of the CPU backend: LLVM IR text in, addresses of native functions out.

    code = load(ir_text)
    code.address("program")

LLVM (`toolchain`) is used in two steps, each chosen for its compile time: a few passes of our own choosing, and code
generation to an object file in memory. The object becomes an `image`, which is loaded without LLVM, so that a
process whose code is all in the disk cache never loads LLVM's library. Where there are no images, ORC's object
linker takes the object: 0.1 ms, against 0.8 ms for an MCJIT engine, and a symbol that cannot be found is an error
(MCJIT ends the process).

A module declares what it needs from outside (`declare void @sgemm(...)`); `symbols` says where it is found.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import itertools
import os
import platform
import sys
import threading
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from wengert._lazy import lazy_module
from wengert.backends import image
from wengert.backends.symbols import (
    add_provider as add_provider,
    add_symbol as add_symbol,
    blas_symbol as blas_symbol,
    resolve,
    set_blas_threads as set_blas_threads,
)
from wengert.backends.toolchain import toolchain
from wengert.compiler import cache
from wengert.errors import CompileError

binding = lazy_module("llvmlite.binding")

# ---- target


class Target:
    """The processor that code is made for: this machine's.

    `vector_bits` is the width of the registers that the emitter should fill. `key` names all that decides
    whether machine code made elsewhere runs here.
    """

    __slots__ = (
        "cpu",
        "features",
        "key",
        "machine",
        "plain_machine",
        "quick_machine",
        "triple",
        "vector_bits",
    )

    def __init__(self) -> None:
        tools = toolchain()
        self.triple = tools.triple
        self.cpu = tools.cpu
        self.features = tools.features
        self.vector_bits = _vector_bits(self.features)
        self.machine = self.make_machine(2)
        self.quick_machine = self.make_machine(0)
        self.plain_machine = self.make_machine(0, portable=True)
        self.key = f"{self.triple};{self.cpu};{self.features};llvm{tools.version}"

    def make_machine(self, effort: int, portable: bool = False) -> Any:
        """LLVM's code generator for this processor; with `portable`, for all of its architecture."""
        return toolchain().machine(effort, *(() if portable else (self.cpu, self.features)))

    def __repr__(self) -> str:
        return f"Target({self.triple}, {self.cpu}, {self.vector_bits}-bit vectors)"


lock: Final = threading.RLock()
"""Held while code is loaded, providers included. What providers do must be guarded by it, and by no other
lock."""
_target: Target | None = None
_numbers = itertools.count()


def _vector_bits(features: str) -> int:
    present = set(features.split(","))
    if present.issuperset(("+avx512f", "+avx512vl", "+avx512dq", "+avx512bw")):
        return 512
    return 256 if "+avx2" in present else 128


def target() -> Target:
    """This machine. The first call starts LLVM (about 10 ms)."""
    global _target
    if _target is not None:
        return _target
    with lock:
        if _target is None:
            _target = Target()
        return _target


# Leaf and subleaf of the processor's description; 16 bytes for each.
_CPUID: Final = """
define void @wengert_cpuid(i32 %leaf, i32 %subleaf, ptr %to) {
  %all = call { i32, i32, i32, i32 } asm sideeffect "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx}"(
      i32 %leaf, i32 %subleaf)
  %a = extractvalue { i32, i32, i32, i32 } %all, 0
  %b = extractvalue { i32, i32, i32, i32 } %all, 1
  %c = extractvalue { i32, i32, i32, i32 } %all, 2
  %d = extractvalue { i32, i32, i32, i32 } %all, 3
  %to.b = getelementptr i32, ptr %to, i64 1
  %to.c = getelementptr i32, ptr %to, i64 2
  %to.d = getelementptr i32, ptr %to, i64 3
  store i32 %a, ptr %to
  store i32 %b, ptr %to.b
  store i32 %c, ptr %to.c
  store i32 %d, ptr %to.d
  ret void
}
define i32 @wengert_xcr0() {
  %both = call { i32, i32 } asm sideeffect "xgetbv", "={ax},={dx},{cx}"(i32 0)
  %low = extractvalue { i32, i32 } %both, 0
  ret i32 %low
}
"""
_OSXSAVE: Final = 1 << 27  # of leaf 1, third word: the system says which registers it saves


@functools.cache
def machine_key() -> str:
    """What decides whether machine code made elsewhere runs here. Where there are images LLVM is not asked."""
    if not image.SUPPORTED:
        return target().key
    code = load_routines("cpuid", _CPUID, __file__)
    ask = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(
        code.address("wengert_cpuid")
    )
    words = (ctypes.c_uint32 * 4)()
    found: list[int] = []
    for leaf, subleaf, kept in (
        (0, 0, 0b1111),
        (1, 0, 0b1101),
        (7, 0, 0b1111),
        (7, 1, 0b1111),
        (1 << 31 | 1, 0, 0b1100),
    ):
        ask(leaf, subleaf, ctypes.addressof(words))
        found += [
            word for n, word in enumerate(words) if kept >> n & 1
        ]  # a word of leaf 1 numbers the processor
    if found[5] & _OSXSAVE:
        found.append(ctypes.CFUNCTYPE(ctypes.c_uint32)(code.address("wengert_xcr0"))())
    return "x86 " + " ".join(map(str, found))


# A loop of some arithmetic in vectors, which is what most programs are made of.
_SAMPLE: Final = """
declare <8 x float> @llvm.fma.v8f32(<8 x float>, <8 x float>, <8 x float>)
define void @f(ptr %a, i64 %n) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %j, %loop ]
  %p = getelementptr float, ptr %a, i64 %i
  %x = load <8 x float>, ptr %p, align 4
  %c = fcmp olt <8 x float> %x, splat (float 0x3FF8000000000000)
  %y = call <8 x float> @llvm.fma.v8f32(<8 x float> %x, <8 x float> %x, <8 x float> splat (float 0x3FF1000000000000))
  %u = bitcast <8 x float> %y to <8 x i32>
  %v = lshr <8 x i32> %u, splat (i32 3)
  %w = sitofp <8 x i32> %v to <8 x float>
  %z = select <8 x i1> %c, <8 x float> %y, <8 x float> %w
  store <8 x float> %z, ptr %p, align 4
  %j = add i64 %i, 8
  %more = icmp slt i64 %j, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def warm_up() -> None:
    """Start LLVM and let it make code for a sample: the first time takes ten times as long as the second, for its
    library's pages come from disk, and its tables are filled."""
    with lock:
        chosen, tools = target(), toolchain().apart()
    if tools is not None:
        machine = tools.machine(2, chosen.cpu, chosen.features)
        module = tools.parse(_SAMPLE)
        tools.optimise(module, machine)
        tools.emit(module, machine)


# ---- loading


def _parse(ir_text: str) -> Any:
    try:
        return toolchain().parse(ir_text)
    except RuntimeError as error:
        raise CompileError(
            "the code generator made LLVM IR that LLVM refuses, which is a fault of Wengert's;"
            f" please report it.\n{error}"
        ) from None


class LoadedCode:
    """Native code in memory, for as long as this object lives."""

    __slots__ = ("_addresses", "_ir_text", "_quick", "object_bytes")

    def __init__(
        self, addresses: Any, ir_text: str | Callable[[], str] | None, object_bytes: bytes, quick: bool
    ) -> None:
        self._addresses = addresses
        self._quick = quick
        self._ir_text = ir_text
        self.object_bytes = object_bytes
        """What `load_object` takes, in any process for which `target().key` is the same."""

    def address(self, name: str = "program") -> int:
        """Where the function or global variable `name` lies; KeyError if the module defines no such name."""
        address: int = self._addresses[name]
        return address

    def _module(self) -> Any:
        if self._ir_text is None:
            raise ValueError("this code was loaded as an object file: its IR was not kept")
        module = _parse(self._ir_text if isinstance(self._ir_text, str) else self._ir_text())
        if not self._quick:
            toolchain().optimise(module, target().machine)
        return module

    def optimised_ir(self) -> str:
        """The LLVM IR after the passes, as text."""
        return str(self._module())

    def assembly(self) -> str:
        """The machine's instructions, as text."""
        machine = target().quick_machine if self._quick else target().machine
        return toolchain().emit(self._module(), machine, assembly=True).decode()


def _symbol_lists(module: Any) -> tuple[list[str], list[str]]:
    """The names that a module defines for others, and those that it needs."""
    exports = []
    imports = []
    module = binding.parse_assembly(str(module))
    for value in itertools.chain(module.functions, module.global_variables):
        name = value.name
        if value.is_declaration:
            if not name.startswith("llvm."):
                imports.append(name)
        elif value.linkage is binding.Linkage.external:
            exports.append(name)
    return exports, imports


@functools.cache
def _linker() -> Any:
    # JITLink gives all sections of an object one block of memory, so that they can reach each other.
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    chosen = target()
    machine = binding.Target.from_triple(chosen.triple).create_target_machine(
        cpu=chosen.cpu, features=chosen.features, reloc="pic", codemodel="small", jit=True
    )
    return binding.create_lljit_compiler(machine, use_jit_link=True, suppress_errors=True)


def _link(elf: bytes, exports: Iterable[str], imports: Iterable[str]) -> Any:
    builder = binding.JITLibraryBuilder().add_object_img(elf).add_current_process()
    missing = []
    for name in imports:
        address = resolve(name)
        if address is None:
            missing.append(name)
        else:
            builder.import_symbol(name, address)
    if missing:
        raise CompileError(f"the code needs functions that this process does not have: {', '.join(missing)}")
    for name in exports:
        builder.export_symbol(name)
    try:
        return builder.link(_linker(), f"wengert{next(_numbers)}")
    except RuntimeError as error:
        raise CompileError(f"LLVM cannot link the code of a program: {error}") from None


def _packed(module: Any, machine: Any) -> bytes:
    """Generate code for a module: an image or an object, with a letter that says which, and a checksum."""
    elf = toolchain().emit(module, machine)
    content = image.make(elf)
    if content is not None:
        content = b"i" + content
    else:
        exports, imports = _symbol_lists(module)
        header = f"{' '.join(exports)};{' '.join(imports)}".encode()
        content = b"o" + len(header).to_bytes(4, "little") + header + elf
    return zlib.crc32(content).to_bytes(4, "little") + content


def _loaded(packed: bytes, forever: bool = False) -> Any:
    content = packed[4:]
    if not content or zlib.crc32(content) != int.from_bytes(packed[:4], "little"):
        raise CompileError("this is not code that Wengert saved")
    if content[:1] == b"i":
        return image.load(content[1:], resolve, forever)
    size = int.from_bytes(content[1:5], "little")
    exports, imports = content[5 : 5 + size].decode("ascii").split(";")
    return _link(content[5 + size :], exports.split(), imports.split())


def load(ir_text: str, quick: bool = False) -> LoadedCode:
    """Compile a module of LLVM IR text and load it.

    With `quick` that takes a third to a seventh of the time, and gives slow code: no passes run, and values
    live in memory rather than in registers. It is for code that runs for a microsecond, not for loops over
    many elements.

    Raises CompileError, with the offending line, if LLVM refuses the text, and with the names if functions
    that it declares are nowhere to be found.
    """
    with lock:
        machine = target().quick_machine if quick else target().machine
        module = _parse(ir_text)
        if not quick:
            toolchain().optimise(module, machine)
        packed = _packed(module, machine)
        return LoadedCode(_loaded(packed), ir_text, packed, quick)


def load_object(packed: bytes, ir_text: str | Callable[[], str] | None = None) -> LoadedCode:
    """Load what `LoadedCode.object_bytes` gave. Raises CompileError if the bytes are not such an object.

    `ir_text` is what it was compiled from, or a function that gives it when somebody asks.

    The bytes become instructions of this process: take them only from where nobody else can write.
    """
    with lock:
        return LoadedCode(_loaded(packed), ir_text, packed, False)


def load_routines(name: str, ir_text: str, source: str) -> LoadedCode:
    """Load a module of the runtime: code that is the same for every program, and stays in memory.

    It is compiled once for each installation, for all processors of the architecture, and kept where Python keeps
    the bytecode of the file `source`, as bytecode is.
    """
    with lock:
        path = os.path.join(os.path.dirname(importlib.util.cache_from_source(source)), f"{name}.native")
        key = cache.key_of(ir_text, platform.machine(), sys.platform)
        packed = cache.read(path, key, os.stat(source).st_uid)
        if packed is not None:
            with contextlib.suppress(CompileError):
                return LoadedCode(_loaded(packed, forever=True), ir_text, packed, True)
        packed = _packed(_parse(ir_text), target().plain_machine)
        if not sys.dont_write_bytecode:
            cache.write(path, key, packed, 0o644)
        return LoadedCode(_loaded(packed, forever=True), ir_text, packed, True)
