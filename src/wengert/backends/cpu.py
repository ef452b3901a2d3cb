"""The machine side of the CPU backend: LLVM IR text in, addresses of native functions out.

    code = load(ir_text)
    code.address("program")

LLVM is used in three steps, each chosen for its compile time: a few passes of our own choosing (`PASSES`),
code generation to an object file in memory, and ORC's object linker. Linking an object takes 0.1 ms, against
0.8 ms for an MCJIT engine, the object is what a disk cache keeps, and a symbol that cannot be found is an
error (MCJIT ends the process).

A module declares what it needs from outside (`declare void @sgemm(...)`); `load` finds each name, in this
order:

1. symbols registered by `add_symbol`;
2. providers registered by `add_provider`, asked for names with their prefix (the runtime's are
   `wengert_...`);
3. what the process has loaded: the C library, libm;
4. BLAS and LAPACK, as SciPy exports them: Fortran interface, every argument a pointer, integers are 32 bits.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.machinery
import importlib.util
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from wengert._lazy import lazy_module
from wengert.errors import CompileError

llvm = lazy_module("llvmlite.binding")

# ---- target


class Target:
    """The processor that code is made for: this machine's.

    `vector_bits` is the width of the registers that the emitter should fill. `key` names all that decides
    whether machine code made elsewhere runs here.
    """

    __slots__ = ("cpu", "features", "key", "machine", "quick_machine", "triple", "vector_bits")

    def __init__(self, triple: str, cpu: str, features: str, bits: int, machine: Any, quick: Any) -> None:
        self.triple = triple
        self.cpu = cpu
        self.features = features
        self.vector_bits = bits
        self.machine = machine
        self.quick_machine = quick
        self.key = f"{triple};{cpu};{features};llvm{llvm.llvm_version_info[0]}"

    def __repr__(self) -> str:
        return f"Target({self.triple}, {self.cpu}, {self.vector_bits}-bit vectors)"


lock: Final = threading.RLock()
"""Held while code is loaded, providers included. What providers do must be guarded by it, and by no other
lock."""
_target: Target | None = None
_linker: Any = None
_numbers = itertools.count()


def _vector_bits(features: dict[str, bool]) -> int:
    if all(features.get(name) for name in ("avx512f", "avx512vl", "avx512dq", "avx512bw")):
        return 512
    return 256 if features.get("avx2") else 128


def _start() -> Target:
    global _target, _linker
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = llvm.get_process_triple()
    cpu = llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features()
    flat = features.flatten()

    def machine(effort: int) -> Any:
        # Small code with position-independent references: constants are read relative to the program counter,
        # functions and data elsewhere are reached through tables, however far away they are.
        return llvm.Target.from_triple(triple).create_target_machine(
            cpu=cpu, features=flat, opt=effort, reloc="pic", codemodel="small", jit=True
        )

    # JITLink gives all sections of an object one block of memory, so that they can reach each other.
    _linker = llvm.create_lljit_compiler(machine(2), use_jit_link=True, suppress_errors=True)
    _target = Target(triple, cpu, flat, _vector_bits(features), machine(2), machine(0))
    return _target


def target() -> Target:
    """This machine. The first call imports and starts LLVM (about 50 ms)."""
    if _target is not None:
        return _target
    with lock:
        return _target or _start()


# ---- symbols

_symbols: dict[str, int] = {}
_providers: list[tuple[str, Callable[[str], int | None]]] = []


def add_symbol(name: str, address: int) -> None:
    """Let modules that are loaded from now on refer to the function or datum at `address` as `@name`."""
    _symbols[name] = address


def add_provider(prefix: str, provider: Callable[[str], int | None]) -> None:
    """When a module needs a symbol whose name starts with `prefix`, take `provider(name)` for its address."""
    _providers.append((prefix, provider))


def _load_scipy_extension(name: str) -> Any:
    """Import an extension module of `scipy.linalg` without that package, which would take 0.1 s more."""
    full = f"scipy.linalg.{name}"
    if full in sys.modules:
        return sys.modules[full]
    scipy = importlib.util.find_spec("scipy")
    if scipy is not None and scipy.submodule_search_locations and "scipy.linalg" not in sys.modules:
        folders = [os.path.join(folder, "linalg") for folder in scipy.submodule_search_locations]
        spec = importlib.machinery.PathFinder.find_spec(full, folders)
        if spec is not None and spec.loader is not None:
            try:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
            except ImportError:
                pass  # it needs its package after all
            else:
                # Left there, it would never become an attribute of its package.
                sys.modules.pop(full, None)
                return module
    return importlib.import_module(full)


_capsules: dict[str, dict[str, Any]] = {}
_blas_threads: int | None = None


def _scipy_capsules(module: str) -> dict[str, Any]:
    if module not in _capsules:
        _capsules[module] = _load_scipy_extension(module).__pyx_capi__
        if _blas_threads is not None:
            set_blas_threads(_blas_threads)
    return _capsules[module]


def set_blas_threads(n: int) -> None:
    """Let BLAS and LAPACK use up to `n` threads, now or when they are first needed.

    This works for OpenBLAS as SciPy's wheels bring it, on Linux and macOS. Others keep the number they have.
    """
    global _blas_threads
    _blas_threads = n
    if not _capsules:
        return
    scipy = importlib.util.find_spec("scipy")
    for folder in (scipy.submodule_search_locations or ()) if scipy else ():
        for pattern in ("../scipy.libs/*openblas*", ".dylibs/*openblas*"):
            for path in glob.glob(os.path.join(folder, pattern)):
                library = ctypes.CDLL(path)
                for name in ("scipy_openblas_set_num_threads", "openblas_set_num_threads"):
                    if hasattr(library, name):
                        getattr(library, name)(ctypes.c_int(n))


def _capsule_address(capsule: Any) -> int:
    api = ctypes.pythonapi
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer_type = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    pointer_of = pointer_type(("PyCapsule_GetPointer", api))
    address: int = pointer_of(capsule, name_of(capsule))
    return address


def _find_blas(name: str) -> int | None:
    # A C name with characters that no BLAS or LAPACK routine has need not import SciPy.
    if not name.isalnum() or not name.islower() or len(name) > 8:
        return None
    for module in ("cython_blas", "cython_lapack"):
        capsule = _scipy_capsules(module).get(name)
        if capsule is not None:
            return _capsule_address(capsule)
    return None


def blas_symbol(name: str) -> int:
    """The address of a BLAS or LAPACK routine ("sgemm", "dgetrf"), which modules declare as `@name`.

    Fortran interface: every argument is a pointer, integers are int32, matrices are in column order, and
    characters have no hidden lengths. Raises KeyError if SciPy has no such routine.
    """
    known = _symbols.get(name)
    if known is not None:
        return known
    address = _find_blas(name)
    if address is None:
        raise KeyError(f"SciPy exports no BLAS or LAPACK routine named {name!r}")
    add_symbol(name, address)
    return address


def _resolve(name: str) -> int | None:
    address = _symbols.get(name)
    if address is not None:
        return address
    for prefix, provider in _providers:
        if name.startswith(prefix):
            address = provider(name)
            break
    else:
        address = llvm.address_of_symbol(name) or _find_blas(name)
    if address is not None:
        add_symbol(name, address)
    return address


# ---- loading

# Code generation takes 2 to 30 ms and makes the same instructions, within 3 %, whatever ran before it: the
# emitter numbers values and folds constants itself. instcombine and gvn would take a fifth of that time and
# make no kernel faster. Scalars that loops carry come to registers by sroa; merging blocks takes 0.05 ms.
PASSES: Final = ("sroa", "simplify_cfg")


def optimise(module: Any) -> None:
    """Run the passes of `PASSES`, in place."""
    manager = llvm.create_new_module_pass_manager()
    for name in PASSES:
        getattr(manager, f"add_{name}_pass")()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    manager.run(module, llvm.create_pass_builder(target().machine, options))


def _parse(ir_text: str) -> Any:
    try:
        module = llvm.parse_assembly(ir_text)
        module.verify()
    except RuntimeError as error:
        raise CompileError(
            "the code generator made LLVM IR that LLVM refuses, which is a fault of Wengert's;"
            f" please report it.\n{error}"
        ) from None
    return module


class LoadedCode:
    """Native code in memory, for as long as this object lives."""

    __slots__ = ("_addresses", "_ir_text", "_quick", "object_bytes")

    def __init__(self, addresses: Any, ir_text: str | None, object_bytes: bytes, quick: bool) -> None:
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
        module = _parse(self._ir_text)
        if not self._quick:
            optimise(module)
        return module

    def optimised_ir(self) -> str:
        """The LLVM IR after the passes, as text."""
        return str(self._module())

    def assembly(self) -> str:
        """The machine's instructions, as text."""
        machine = target().quick_machine if self._quick else target().machine
        text: str = machine.emit_assembly(self._module())
        return text


def _symbol_lists(module: Any) -> tuple[list[str], list[str]]:
    """The names that a module defines for others, and those that it needs."""
    exports = []
    imports = []
    for value in itertools.chain(module.functions, module.global_variables):
        name = value.name
        if value.is_declaration:
            if not name.startswith("llvm."):
                imports.append(name)
        elif value.linkage is llvm.Linkage.external:
            exports.append(name)
    return exports, imports


def _link(image: bytes, exports: Iterable[str], imports: Iterable[str]) -> Any:
    builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
    missing = []
    for name in imports:
        address = _resolve(name)
        if address is None:
            missing.append(name)
        else:
            builder.import_symbol(name, address)
    if missing:
        raise CompileError(f"the code needs functions that this process does not have: {', '.join(missing)}")
    for name in exports:
        builder.export_symbol(name)
    try:
        return builder.link(_linker, f"wengert{next(_numbers)}")
    except RuntimeError as error:
        raise CompileError(f"LLVM cannot link the code of a program: {error}") from None


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
            optimise(module)
        exports, imports = _symbol_lists(module)
        image = machine.emit_object(module)
        header = f"{' '.join(exports)};{' '.join(imports)}".encode()
        packed = len(header).to_bytes(4, "little") + header + image
        return LoadedCode(_link(image, exports, imports), ir_text, packed, quick)


def load_object(packed: bytes, ir_text: str | None = None) -> LoadedCode:
    """Load what `LoadedCode.object_bytes` gave. Raises CompileError if the bytes are not such an object.

    The bytes become instructions of this process: take them only from where nobody else can write, and check
    that they are whole.
    """
    size = int.from_bytes(packed[:4], "little")
    try:
        exports, imports = packed[4 : 4 + size].decode("ascii").split(";")
    except ValueError:
        raise CompileError("this is not an object that Wengert saved") from None
    with lock:
        target()
        return LoadedCode(_link(packed[4 + size :], exports.split(), imports.split()), ir_text, packed, False)
