"""The steps of LLVM that compiling takes: text to module, module to object.

    tools = toolchain()
    machine = tools.machine(tools.triple, opt=2)
    module = tools.parse(ir_text)
    tools.optimise(module, machine)
    elf = tools.emit(module, machine)

LLVM comes with llvmlite. To import `llvmlite.binding`, with all that it imports in turn, takes 20 ms, as long as it
takes to compile a program; what is needed here are twenty C functions of its library. Those of the releases in
`_KNOWN` are called as they are; of any other release, llvmlite's own modules are used.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

from wengert._lazy import lazy_module

llvmlite = lazy_module("llvmlite")
binding = lazy_module("llvmlite.binding")

_KNOWN: Final = ("0.45.", "0.46.", "0.47.", "0.48.", "0.49.", "0.50.")
"""The releases whose C functions take what `_FUNCTIONS` says."""

PASSES: Final = ("sroa", "simplify_cfg")
"""What runs before code generation. Code generation takes 2 to 30 ms and makes the same instructions, within 3 %,
whatever ran before it: the emitter numbers values and folds constants itself. instcombine and gvn would take a fifth
of that time and make no kernel faster. Scalars that loops carry come to registers by sroa; merging blocks takes
0.05 ms."""


class Toolchain(Protocol):
    """LLVM for this process. All methods are called with one lock held, that of `cpu`."""

    triple: str
    cpu: str
    features: str
    """The processor's, and those it lacks: "+avx2,-sse4a,..."."""
    version: int

    def machine(self, effort: int, cpu: str = "", features: str = "") -> Any:
        """A code generator for a processor, by default for all of the architecture."""

    def parse(self, text: str) -> Any:
        """A module. RuntimeError, with the offending line, if LLVM refuses the text."""

    def optimise(self, module: Any, machine: Any) -> None:
        """Run the passes of `PASSES`, in place."""

    def emit(self, module: Any, machine: Any, assembly: bool = False) -> bytes:
        """The object file, or the text of its instructions."""

    def apart(self) -> Toolchain | None:
        """Another one, which works without the lock; None if there can't be one."""


@functools.cache
def toolchain() -> Toolchain:
    """LLVM, started. The first call takes 10 ms."""
    path = library_path()
    return _Direct(path) if path is not None else _Binding()


def library_path() -> str | None:
    """Where LLVM's library lies, if it is one whose functions are known."""
    if llvmlite.__version__.startswith(_KNOWN):
        suffix = "dylib" if sys.platform == "darwin" else "so"
        path = os.path.join(os.path.dirname(llvmlite.__file__), "binding", f"libllvmlite.{suffix}")
        if os.path.exists(path):
            return path
    return None


class _Binding:
    """LLVM by llvmlite's own modules."""

    def __init__(self) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        binding.initialize_native_asmparser()
        self.triple: str = binding.get_process_triple()
        self.cpu: str = binding.get_host_cpu_name()
        self.features: str = binding.get_host_cpu_features().flatten()
        self.version: int = binding.llvm_version_info[0]

    def machine(self, effort: int, cpu: str = "", features: str = "") -> Any:
        return binding.Target.from_triple(self.triple).create_target_machine(
            cpu=cpu, features=features, opt=effort, reloc="pic", codemodel="small", jit=True
        )

    def parse(self, text: str) -> Any:
        module = binding.parse_assembly(text)
        module.verify()
        return module

    def optimise(self, module: Any, machine: Any) -> None:
        manager = binding.create_new_module_pass_manager()
        for name in PASSES:
            getattr(manager, f"add_{name}_pass")()
        options = binding.create_pipeline_tuning_options(speed_level=1)
        manager.run(module, binding.create_pass_builder(machine, options))

    def emit(self, module: Any, machine: Any, assembly: bool = False) -> bytes:
        if assembly:
            text: str = machine.emit_assembly(module)
            return text.encode()
        elf: bytes = machine.emit_object(module)
        return elf

    def apart(self) -> None:
        return None


_PTR, _TEXT, _INT, _NONE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, None
_OUT = ctypes.POINTER(ctypes.c_void_p)  # of a text that LLVM allocates
_FUNCTIONS: Final[dict[str, tuple[Any, ...]]] = {  # the result, the arguments
    "ContextCreate": (_PTR,),
    "CreateNewModulePassManager": (_PTR,),
    "CreatePassBuilder": (_PTR, _PTR, _PTR),
    "CreatePipelineTuningOptions": (_PTR,),
    "CreateTargetMachine": (_PTR, _PTR, _TEXT, _TEXT, _TEXT, _INT, _TEXT, _TEXT, _INT, _INT, _TEXT),
    "DisposeMemoryBuffer": (_NONE, _PTR),
    "DisposeModule": (_NONE, _PTR),
    "DisposeNewModulePassManger": (_NONE, _PTR),
    "DisposePassBuilder": (_NONE, _PTR),
    "DisposePipelineTuningOptions": (_NONE, _PTR),
    "DisposeString": (_NONE, _PTR),
    "GetBufferSize": (ctypes.c_size_t, _PTR),
    "GetBufferStart": (_PTR, _PTR),
    "GetHostCPUFeatures": (_INT, _OUT),
    "GetHostCPUName": (_NONE, _OUT),
    "GetProcessTriple": (_NONE, _OUT),
    "GetTargetFromTriple": (_PTR, _TEXT, _OUT),
    "GetVersionInfo": (ctypes.c_uint,),
    "InitializeNativeAsmParser": (_NONE,),
    "InitializeNativeAsmPrinter": (_NONE,),
    "InitializeNativeTarget": (_NONE,),
    "ParseAssembly": (_PTR, _PTR, _TEXT, _OUT),
    "PrintModuleToString": (_NONE, _PTR, _OUT),
    "RunNewModulePassManager": (_NONE, _PTR, _PTR, _PTR),
    "TargetMachineEmitToMemory": (_PTR, _PTR, _PTR, _INT, _OUT),
    "VerifyModule": (ctypes.c_bool, _PTR, _OUT),
    "module_AddSROAPass": (_NONE, _PTR),
    "module_AddSimplifyCFGPass": (_NONE, _PTR),
}
_PASS_FUNCTIONS = {"sroa": "module_AddSROAPass", "simplify_cfg": "module_AddSimplifyCFGPass"}


class _Module:
    """A module of LLVM's, which goes with this object."""

    __slots__ = ("address", "tools")

    def __init__(self, tools: _Direct, address: int) -> None:
        self.tools = tools
        self.address = address

    def __str__(self) -> str:
        return self.tools.text("PrintModuleToString", self.address)

    def __del__(self) -> None:
        self.tools.call["DisposeModule"](self.address)


class _Direct:
    """LLVM by the C functions of llvmlite's library.

    Modules live in a context of their own: other users of LLVM in this process are not disturbed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        library = ctypes.CDLL(path)
        self.call: dict[str, Callable[..., Any]] = {}
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(library, f"LLVMPY_{name}")
            function.restype, function.argtypes = result, arguments
            self.call[name] = function
        for name in ("InitializeNativeTarget", "InitializeNativeAsmPrinter", "InitializeNativeAsmParser"):
            self.call[name]()
        self.triple = self.text("GetProcessTriple")
        self.cpu = self.text("GetHostCPUName")
        features = self.text("GetHostCPUFeatures").split(",")
        self.features = ",".join(sorted(features, key=lambda feature: feature[1:]))
        self.version = self.call["GetVersionInfo"]() >> 16
        self._context = self.call["ContextCreate"]()
        self._target = self._checked("GetTargetFromTriple", self.triple.encode())

    def apart(self) -> _Direct:
        return _Direct(self._path)

    def text(self, name: str, *args: Any) -> str:
        """What a function writes to the address of a text."""
        out = ctypes.c_void_p()
        self.call[name](*args, ctypes.byref(out))
        return self._taken(out)

    def _taken(self, out: ctypes.c_void_p) -> str:
        if not out.value:
            return ""
        content = ctypes.string_at(out.value).decode(errors="replace")
        self.call["DisposeString"](out)
        return content

    def _checked(self, name: str, *args: Any) -> int:
        """What a function gives, unless it gives nothing and says why."""
        out = ctypes.c_void_p()
        address: int | None = self.call[name](*args, ctypes.byref(out))
        message = self._taken(out)
        if not address:
            raise RuntimeError(message or f"{name} failed")
        return address

    def machine(self, effort: int, cpu: str = "", features: str = "") -> int:
        machine: int | None = self.call["CreateTargetMachine"](
            self._target,
            self.triple.encode(),
            cpu.encode(),
            features.encode(),
            effort,
            b"pic",
            b"small",
            0,  # do not print instructions
            1,  # for code in memory
            b"",
        )
        if not machine:
            raise RuntimeError(f"LLVM has no code generator for {self.triple}")
        return machine

    def parse(self, text: str) -> _Module:
        module = _Module(self, self._checked("ParseAssembly", self._context, text.encode()))
        out = ctypes.c_void_p()
        refused = self.call["VerifyModule"](module.address, ctypes.byref(out))
        message = self._taken(out)
        if refused:
            raise RuntimeError(message)
        return module

    def optimise(self, module: _Module, machine: int) -> None:
        call = self.call
        options = call["CreatePipelineTuningOptions"]()
        builder = call["CreatePassBuilder"](machine, options)
        manager = call["CreateNewModulePassManager"]()
        for name in PASSES:
            call[_PASS_FUNCTIONS[name]](manager)
        call["RunNewModulePassManager"](manager, module.address, builder)
        call["DisposeNewModulePassManger"](manager)
        call["DisposePassBuilder"](builder)
        call["DisposePipelineTuningOptions"](options)

    def emit(self, module: _Module, machine: int, assembly: bool = False) -> bytes:
        buffer = self._checked("TargetMachineEmitToMemory", machine, module.address, int(not assembly))
        try:
            return ctypes.string_at(self.call["GetBufferStart"](buffer), self.call["GetBufferSize"](buffer))
        finally:
            self.call["DisposeMemoryBuffer"](buffer)
