"""Calls of compiled programs: from arrays to addresses, from results to arrays."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.backends import cpu, llvm
from wengert.compiler import cache
from wengert.compiler.loops import Call, View
from wengert.compiler.pipeline import Compilation, compile_jaxpr, total_work
from wengert.compiler.pretty import format_program
from wengert.config import current
from wengert.core import trace as core_trace
from wengert.core.array import Array
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Var
from wengert.core.primitive import Primitive
from wengert.core.trace import as_array, get_aval
from wengert.errors import CompileError
from wengert.prims.call import jit_p
from wengert.runtime import (
    buffers,
    guard,
    interrupt,
    native,
    threads as _threads,  # noqa: F401  (provides wengert_parallel)
)
from wengert.transforms import jit, stages
from wengert.version import __version__

_LONG_WORK = 30_000.0  # vector additions from which a program runs without the GIL
_CODES = 512  # compiled modules that are remembered by their text


class Executable:
    """A compiled program. Calling it with a list of Arrays gives a list of Arrays."""

    __slots__ = (
        "__weakref__",
        "_allocate",
        "_arena",
        "_host",
        "_keep",
        "_outputs",
        "_run",
        "_sizes",
        "code",
        "compilation",
    )

    def __init__(self, compilation: Compilation):
        program = compilation.program
        self.compilation = compilation
        text = llvm.emit(program, cpu.target().vector_bits)
        self.code = _load(text.text)
        self._host = [native.register_host_call(*_host_function(c)) for c in text.host_calls]
        self._keep = weakref.finalize(self, _release, tuple(self._host))
        n = len(program.args) + len(program.results) + 1 + len(self._host)
        long = bool(self._host) or total_work(program.body) > _LONG_WORK
        self._run = native.make_entry(self.code.address("program"), n, long)
        self._allocate = buffers.allocator()
        self._arena = program.arena
        self._sizes = [max(b.nbytes, 1) for b in program.results]
        # for each output: the number of the result and its aval, or of the argument that is passed through
        self._outputs = [
            (n, a.aval) for n, a in zip(compilation.outputs, compilation.jaxpr.outvars, strict=True)
        ]

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
        return not self._arena and not self._host and self.compilation.outputs == [0]

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


def _compiled(jaxpr: Jaxpr) -> Executable:
    return (GuardedExecutable if current().check_memory else Executable)(compile_jaxpr(jaxpr))


def _release(numbers: tuple[int, ...]) -> None:
    for number in numbers:
        native.release_host_call(number)


@functools.lru_cache(maxsize=_CODES)
def _load(text: str) -> cpu.LoadedCode:
    """Machine code for a module: what this process has compiled, or an earlier one, or compiled now."""
    if not current().compilation_cache:
        return cpu.load(text)
    disk = _disk_cache(current().compilation_cache_dir or cache.default_folder())
    key = cache.key_of(text, cpu.target().key, __version__)
    packed = disk.get(key)
    if packed is not None:
        with contextlib.suppress(CompileError):
            return cpu.load_object(packed, text)
    code = cpu.load(text)
    disk.put(key, code.object_bytes)
    return code


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
_by_eqn: dict[Any, Executable] = {}


def executable(closed: ClosedJaxpr) -> Executable:
    """The compiled form of a closed jaxpr without constants."""
    table = _guarded_by_jaxpr if current().check_memory else _by_jaxpr
    found = table.get(closed)
    if found is None:
        found = table[closed] = _compiled(closed.jaxpr)
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
    run = executable(entry.jaxpr)
    consts, out_tree = tuple(entry.consts), entry.out_tree
    if out_tree == tree.structure(0):
        if not consts and run.is_plain:
            return run.plain_call()
        return lambda args: run((*consts, *args))[0]
    return lambda args: tree.unflatten(out_tree, run((*consts, *args)))


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
        run = executable(closed)
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
            return format_program(run.compilation.program)
        if dialect == "llvm":
            return run.code.optimised_ir()
        if dialect == "assembly":
            return run.code.assembly()
        raise ValueError(f"there is no dialect {dialect!r}; choose jaxpr, loops, llvm or assembly")

    @staticmethod
    def cost(closed: ClosedJaxpr) -> dict[str, float]:
        program = executable(closed).compilation.program
        moved = sum(b.nbytes for b in (*program.args, *program.results))
        return {"flops": total_work(program.body), "bytes accessed": float(moved)}

    @staticmethod
    def memory(closed: ClosedJaxpr) -> MemoryStats:
        program = executable(closed).compilation.program
        arguments, outputs = (sum(b.nbytes for b in buffers) for buffers in (program.args, program.results))
        return MemoryStats(arguments, outputs, program.arena)


stages.set_hooks(Hooks)
