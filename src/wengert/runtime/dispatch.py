"""Calls of compiled programs: from arrays to addresses, from results to arrays."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import marshal
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wengert import tree, treecode
from wengert._lazy import lazy_module
from wengert.backends import cpu
from wengert.compiler import cache
from wengert.compiler.fingerprint import fingerprint, source_stamp
from wengert.compiler.simplify import simplify
from wengert.config import current
from wengert.core import trace as core_trace
from wengert.core.array import Array
from wengert.core.avals import ShapedArray
from wengert.core.collector import collecting_seldom
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Var
from wengert.core.primitive import Primitive
from wengert.core.trace import as_array, get_aval
from wengert.errors import CompileError
from wengert.prims.call import jit_p
from wengert.prims.expansion import without_constants
from wengert.runtime import (
    buffers,
    foreign,  # noqa: F401  (provides wengert_run_loop and the loops)
    forking as _forking,  # noqa: F401  (makes fork safe)
    interrupt,
    loading,
    native,
    threads as _threads,  # noqa: F401  (provides wengert_parallel)
)
from wengert.transforms import jit, stages
from wengert.version import __version__

if TYPE_CHECKING:
    from wengert.compiler.loops import Call, View
    from wengert.compiler.pipeline import Compilation

# A program that is in the disk cache runs without these.
guard = lazy_module("wengert.runtime.guard")
_emitter = lazy_module("wengert.backends.llvm")
_pipeline = lazy_module("wengert.compiler.pipeline")
_pretty = lazy_module("wengert.compiler.pretty")

_LONG_WORK = 30_000.0  # vector additions from which a program runs without the GIL
_CODES = 512  # compiled modules that are remembered by their text

# All that a call needs to know beside the code: the number of arguments, the sizes of results, the size of the arena,
# whether to run without the GIL, and for each output the number of the result or, if negative, of the argument.
Facts: TypeAlias = tuple[int, tuple[int, ...], int, bool, tuple[int, ...]]


def _facts(compilation: Compilation, hosted: bool) -> Facts:
    program = compilation.program
    sizes = tuple([max(b.nbytes, 1) for b in program.results])
    long = hosted or _pipeline.total_work(program.body) > _LONG_WORK
    return len(program.args), sizes, program.arena, long, tuple(compilation.outputs)


class Executable:
    """A compiled program. Calling it with a list of Arrays gives a list of Arrays."""

    __slots__ = (
        "__weakref__",
        "_allocate",
        "_arena",
        "_compilation",
        "_host",
        "_in_order",
        "_jaxpr",
        "_keep",
        "_outputs",
        "_run",
        "_sizes",
        "code",
    )

    def __init__(self, compilation: Compilation, kept_by_text: bool = True):
        text = _emitter.emit(compilation.program, cpu.target().vector_bits)
        kept = (kept_by_text or bool(text.host_calls)) and current().compilation_cache
        self._set_up(
            compilation.jaxpr,
            _load(text.text, kept),
            _facts(compilation, bool(text.host_calls)),
            [native.register_host_call(*_host_function(c)) for c in text.host_calls],
        )
        self._compilation: Compilation | None = compilation

    @classmethod
    def restored(cls, jaxpr: Jaxpr, facts: Facts, code: cpu.LoadedCode) -> Executable:
        """A program that was compiled before; its simplified jaxpr is `jaxpr`."""
        self = cls.__new__(cls)
        self._compilation = None
        self._set_up(jaxpr, code, facts, [])
        return self

    def _set_up(self, jaxpr: Jaxpr, code: cpu.LoadedCode, facts: Facts, host: list[int]) -> None:
        n_args, sizes, arena, long, outputs = facts
        self._jaxpr = jaxpr
        self.code = code
        self._host = host
        self._keep = weakref.finalize(self, _release, tuple(host)) if host else None
        n = n_args + len(sizes) + 1 + len(host)
        self._run = native.make_entry(code.address("program"), n, long)
        self._allocate = buffers.allocator()
        self._arena = arena
        self._sizes = sizes
        # for each output: the number of the result and its aval, or of the argument that is passed through
        self._outputs = [(n, a.aval) for n, a in zip(outputs, jaxpr.outvars, strict=True)]
        self._in_order = outputs == tuple(range(len(sizes)))

    @property
    def compilation(self) -> Compilation:
        """What the passes made of the jaxpr: run now if the code came from the disk cache."""
        if self._compilation is None:
            self._compilation = _pipeline.compile_jaxpr(self._jaxpr)
        return self._compilation

    def __call__(self, args: Sequence[Array]) -> list[Array]:
        allocate = self._allocate
        owners = [allocate(nbytes) for nbytes in self._sizes]
        addresses = [a._address or a.address() for a in args]
        addresses += [o.address for o in owners]
        if self._arena:
            arena = allocate(self._arena)  # lives until the program has ended
            addresses.append(arena.address)
        else:
            addresses.append(0)
        status = self._run(*addresses, *self._host)
        if status is not None:
            native.raise_pending()
            raise RuntimeError(f"the program ended with status {status}")
        return self._arrays(args, owners)

    def _arrays(self, args: Sequence[Array], owners: Sequence[buffers.Buffer]) -> list[Array]:
        if self._in_order:
            return [
                Array(aval, None, o, o.address) for (_, aval), o in zip(self._outputs, owners, strict=True)
            ]
        outs = []
        for n, aval in self._outputs:
            if n >= 0:
                owner = owners[n]
                outs.append(Array(aval, None, owner, owner.address))
            else:
                arg = args[-1 - n]
                outs.append(arg if arg.aval is aval else Array(aval, arg._np))
        return outs

    @property
    def is_plain(self) -> bool:
        """Whether there is one result, and nothing but arguments and results."""
        return not self._arena and not self._host and [n for n, _ in self._outputs] == [0]

    def plain_call(self) -> Callable[[Sequence[Array]], Array]:
        """The call of a plain program, with all that it needs at hand."""
        allocate, run = self._allocate, self._run
        nbytes = self._sizes[0]
        aval = self._outputs[0][1]

        def call(args: Sequence[Array]) -> Array:
            owner = allocate(nbytes)
            address = owner.address
            status = run(*[a._address or a.address() for a in args], address, 0)
            if status is not None:
                raise RuntimeError(f"the program ended with status {status}")
            return Array(aval, None, owner, address)

        return call


class GuardedExecutable(Executable):
    """A compiled program whose reads and writes are checked: see `guard`."""

    __slots__ = ("_turns",)

    def __init__(self, compilation: Compilation):
        guard.spread(compilation.program)
        super().__init__(compilation)
        self._turns = itertools.count()

    def __call__(self, args: Sequence[Array]) -> list[Array]:
        owners = [self._allocate(nbytes) for nbytes in self._sizes]
        # what happens on the host happens once: there each call has its turn on one side
        sides = (True, False) if not self._host else (next(self._turns) % 2 == 0,)
        for at_end in sides:
            memory = guard.GuardedMemory(self.compilation.program, args, at_end)
            status = self._run(*memory.addresses(), *self._host)
            if status is not None:
                native.raise_pending()
                raise RuntimeError(f"the program ended with status {status}")
            memory.check()
        memory.copy_results([o.address for o in owners])
        return self._arrays(args, owners)

    @property
    def is_plain(self) -> bool:
        return False


class DonatedExecutable(Executable):
    """A compiled program that writes results to the memory of arguments which are donated to it.

    An argument whose memory somebody else may see, as a NumPy array, is copied first.
    """

    __slots__ = ("_taken",)

    def __init__(self, compilation: Compilation):
        super().__init__(compilation)
        self._taken = [n for n, b in enumerate(compilation.program.args) if b.kind == "given"]

    def __call__(self, args: Sequence[Array]) -> list[Array]:
        own = list(args)
        for n in self._taken:
            owner = _exclusive(own[n])
            if owner is None:
                owner = self._allocate(own[n].aval.nbytes)
                ctypes.memmove(owner.address, own[n].address(), own[n].aval.nbytes)
            own[n] = Array(own[n].aval, None, owner, owner.address)
        return super().__call__(own)

    def _arrays(self, args: Sequence[Array], owners: Sequence[buffers.Buffer]) -> list[Array]:
        outs = super()._arrays(args, owners)
        for k, (n, aval) in enumerate(self._outputs):
            if -1 - n in self._taken:
                arg = args[-1 - n]
                outs[k] = Array(aval, None, arg._owner, arg._address)
        return outs

    @property
    def is_plain(self) -> bool:
        return False


# Who refers to the memory of an array that is donated: the array, the one in its place that the program sees, the
# name in `_exclusive`, and the call that counts.
_REFERENCES = 4


def _exclusive(x: Array) -> buffers.Buffer | None:
    """The memory of an array, if no other array and no view has a part in it."""
    owner, seen = x._owner, x._ndarray
    if owner is None or x._address != owner.address:
        return None
    if seen is None:
        return owner if sys.getrefcount(owner) <= _REFERENCES else None
    # eager operations leave the NumPy array behind, which is the base of all views of it
    alone = sys.getrefcount(seen) <= _REFERENCES and seen.base is owner
    return owner if alone and sys.getrefcount(owner) <= _REFERENCES + 1 else None


def _compiled(jaxpr: Jaxpr) -> Executable:
    """The compiled form of a jaxpr, from the disk cache if it is there."""
    loading.in_use()
    with collecting_seldom:
        return _compile(jaxpr)


def _compile(jaxpr: Jaxpr) -> Executable:
    settings = current()
    if settings.check_memory:
        return GuardedExecutable(_pipeline.compile_jaxpr(jaxpr))
    simple = simplify(jaxpr)
    text = fingerprint(simple) if settings.compilation_cache and not settings.enable_checks else None
    if text is None:
        return Executable(_pipeline.compile_jaxpr(jaxpr, simple=simple))
    disk = _the_disk_cache()
    key = cache.key_of(text, *origin())
    found = _restored(simple, disk.get(key))
    if found is not None:
        return found
    loading.prepare()
    run = Executable(_pipeline.compile_jaxpr(jaxpr, simple=simple), kept_by_text=False)
    if not run._host:
        disk.put(key, marshal.dumps((_facts(run.compilation, False), run.code.object_bytes)))
    return run


def _restored(simple: Jaxpr, entry: bytes | None) -> Executable | None:
    """The program that an entry of the disk cache holds."""
    if entry is None:
        return None
    facts, code = marshal.loads(entry)

    def text() -> str:
        return str(_emitter.emit(run.compilation.program, cpu.target().vector_bits).text)

    try:
        run = Executable.restored(simple, facts, cpu.load_object(code, text))
    except CompileError:
        return None
    loading.compiler_not_needed()
    return run


@functools.cache
def origin() -> tuple[str, ...]:
    """What decides, beside the program, what it is compiled to."""
    return __version__, sys.version, cpu.machine_key(), source_stamp()


def _release(numbers: tuple[int, ...]) -> None:
    for number in numbers:
        native.release_host_call(number)


@functools.lru_cache(maxsize=_CODES)
def _load(text: str, kept: bool) -> cpu.LoadedCode:
    """Machine code for a module: equal ones are compiled once. Some are kept on disk by their text: those that call
    the host, and those of programs without a fingerprint."""
    if not kept:
        return cpu.load(text)
    disk = _the_disk_cache()
    key = cache.key_of(text, *origin())
    packed = disk.get(key)
    if packed is not None:
        with contextlib.suppress(CompileError):
            return cpu.load_object(packed, text)
    code = cpu.load(text)
    disk.put(key, code.object_bytes)
    return code


def _the_disk_cache() -> cache.DiskCache:
    return _disk_cache(current().compilation_cache_dir or cache.default_folder())


@functools.cache
def _disk_cache(folder: str) -> cache.DiskCache:
    return cache.DiskCache(folder)


def _host_function(call: Call) -> tuple[Callable[..., None], int]:
    """The function behind a host call: it sees the memory at the addresses as NumPy arrays."""
    views: tuple[View, ...] = (*call.inputs, *call.outputs)
    kinds = [(v.shape, v.dtype, max(v.dtype.itemsize * int(np.prod(v.shape)), 1)) for v in views]
    n_inputs = len(call.inputs)

    def run(*addresses: int) -> None:
        arrays = [
            np.ndarray(shape, dtype, memoryview((ctypes.c_char * nbytes).from_address(address)))
            for address, (shape, dtype, nbytes) in zip(addresses, kinds, strict=True)
        ]
        for a in arrays[:n_inputs]:
            a.flags.writeable = False
        call.payload(arrays[:n_inputs], arrays[n_inputs:])

    return run, len(views)


# ---------------------------------------------------------------------------------------- from jaxprs to
# programs

_by_jaxpr: weakref.WeakKeyDictionary[ClosedJaxpr, Executable] = weakref.WeakKeyDictionary()
_guarded_by_jaxpr: weakref.WeakKeyDictionary[ClosedJaxpr, Executable] = weakref.WeakKeyDictionary()
_donated_by_jaxpr: weakref.WeakKeyDictionary[ClosedJaxpr, dict[tuple[bool, ...], Executable]] = (
    weakref.WeakKeyDictionary()
)
_by_eqn: dict[Any, Executable] = {}


def executable(closed: ClosedJaxpr) -> Executable:
    """The compiled form of a closed jaxpr."""
    table = _guarded_by_jaxpr if current().check_memory else _by_jaxpr
    found = table.get(closed)
    if found is None:
        found = table[closed] = _compiled(without_constants(closed))
    return found


def donated_executable(closed: ClosedJaxpr, donated: tuple[bool, ...]) -> Executable:
    """The compiled form of a closed jaxpr that may write to the memory of some of its arguments."""
    settings = current()
    if not any(donated) or settings.check_memory or settings.watched or closed.consts:
        return executable(closed)
    table = _donated_by_jaxpr.setdefault(closed, {})
    found = table.get(donated)
    if found is None:
        loading.in_use()
        loading.prepare()
        with collecting_seldom:
            compilation = _pipeline.compile_jaxpr(closed.jaxpr, given=donated)
        if any(b.kind == "given" for b in compilation.program.args):
            found = table[donated] = DonatedExecutable(compilation)
        else:
            found = table[donated] = executable(closed)
    return found


def compiled_call(prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Run an eager call of a primitive that is compiled: a jitted function, a scan, ..."""
    avals = [get_aval(a) for a in args]
    if prim is jit_p:
        run = executable(params["jaxpr"])
    else:
        run = _of_equation(prim, avals, params)
    outs = run([a if type(a) is Array else as_array(a) for a in args])
    return outs if prim.multiple_results else outs[0]


def _of_equation(prim: Primitive, avals: Sequence[ShapedArray], params: dict[str, Any]) -> Executable:
    """The compiled form of one equation; remembered if its parameters can be."""
    key = (prim, current().check_memory, *avals, *params.items())
    try:
        found = _by_eqn.get(key)
    except TypeError:
        return _compiled(_single(prim, avals, params))
    if found is None:
        if len(_by_eqn) >= _CODES:
            _by_eqn.clear()
        found = _by_eqn[key] = _compiled(_single(prim, avals, params))
    return found


def _single(prim: Primitive, avals: Sequence[ShapedArray], params: dict[str, Any]) -> Jaxpr:
    """The jaxpr of one equation."""
    invars = [Var(a) for a in avals]
    outs = prim.abstract_eval(*avals, **params)
    outvars = [Var(a) for a in (outs if prim.multiple_results else [outs])]
    return Jaxpr([], invars, outvars, [Eqn(prim, invars, params, outvars)], prim.name)


core_trace.set_compiled_call(compiled_call)

# ---------------------------------------------------------------------------------------- jitted functions


def make_call(entry: jit.Entry) -> Callable[[Sequence[Array]], Any]:
    """How to call a jitted function, given its flat arguments, without looking at them again."""
    run = donated_executable(entry.jaxpr, entry.params["donated_invars"])
    consts, out_tree = tuple(entry.consts), entry.out_tree
    if out_tree == tree.structure(0):
        if not consts and run.is_plain:
            return run.plain_call()
        return lambda args: run((*consts, *args))[0]
    build = treecode.builder(out_tree)
    if not consts:
        return lambda args: build(run(args))
    return lambda args: build(run((*consts, *args)))


jit.set_call_maker(make_call)

# ---------------------------------------------------------------------------------------- what stages say
# of programs


class MemoryStats:
    """How much memory a call takes, in bytes."""

    __slots__ = (
        "alias_size_in_bytes",
        "argument_size_in_bytes",
        "output_size_in_bytes",
        "temp_size_in_bytes",
    )

    def __init__(self, arguments: int, outputs: int, temporaries: int):
        self.argument_size_in_bytes = arguments
        self.output_size_in_bytes = outputs
        self.temp_size_in_bytes = temporaries
        self.alias_size_in_bytes = 0


class Hooks(stages.Hooks):
    """What `Lowered` and `Compiled` ask of the compiler."""

    @staticmethod
    def compile(closed: ClosedJaxpr, params: dict[str, Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
        run = donated_executable(closed, params["donated_invars"])
        return lambda flat: run([x if type(x) is Array else as_array(x) for x in flat])

    @staticmethod
    def cancel(threads: Sequence[int]) -> None:
        interrupt.cancel(threads)

    @staticmethod
    def text(closed: ClosedJaxpr, dialect: str) -> str:
        if dialect == "jaxpr":
            return str(closed)
        run = executable(closed)
        if dialect == "loops":
            return str(_pretty.format_program(run.compilation.program))
        if dialect == "llvm":
            return run.code.optimised_ir()
        if dialect == "assembly":
            return run.code.assembly()
        raise ValueError(f"there is no dialect {dialect!r}; choose jaxpr, loops, llvm or assembly")

    @staticmethod
    def cost(closed: ClosedJaxpr) -> dict[str, float]:
        program = executable(closed).compilation.program
        moved = sum(b.nbytes for b in (*program.args, *program.results))
        return {"flops": _pipeline.total_work(program.body), "bytes accessed": float(moved)}

    @staticmethod
    def memory(closed: ClosedJaxpr) -> MemoryStats:
        program = executable(closed).compilation.program
        arguments, outputs = (sum(b.nbytes for b in buffers) for buffers in (program.args, program.results))
        return MemoryStats(arguments, outputs, program.arena)


stages.set_hooks(Hooks)
