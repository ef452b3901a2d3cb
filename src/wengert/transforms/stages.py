"""The stages of a jitted function, one at a time: traced, lowered, compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wengert import tree
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.trace import Tracer, get_aval
from wengert.prims.call import jit_p
from wengert.transforms import calls
from wengert.transforms.api_util import ShapeDtypeStruct, operand, result

if TYPE_CHECKING:
    from wengert.transforms.jit import Entry, JitFunction


class ArgInfo:
    """Type of an argument, and whether it is donated."""

    __slots__ = ("_aval", "donated")

    def __init__(self, _aval: ShapedArray, donated: bool):
        self._aval = _aval
        self.donated = donated

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the argument."""
        return self._aval.shape

    @property
    def dtype(self) -> Any:
        """The dtype of the argument."""
        return self._aval.dtype

    def __repr__(self) -> str:
        return f"ArgInfo(_aval={self._aval!r}, donated={self.donated})"


class _Stage:
    __slots__ = ("_avals", "_entry", "_fun")

    def __init__(self, fun: JitFunction, entry: Entry, avals: Sequence[ShapedArray]):
        self._fun = fun
        self._entry = entry
        self._avals = list(avals)

    @property
    def in_tree(self) -> Any:
        """The structure of the arguments, (args, kwargs)."""
        return self._entry.in_tree

    @property
    def out_tree(self) -> Any:
        """The structure of the result."""
        return self._entry.out_tree

    @property
    def args_info(self) -> Any:
        """The types of the arguments, and which are donated, in their structure."""
        donated = self._entry.params["donated_invars"][len(self._entry.consts) :]
        return tree.unflatten(self.in_tree, [ArgInfo(a, d) for a, d in zip(self._avals, donated)])

    @property
    def in_avals(self) -> Any:
        """The types of the arguments, (args, kwargs), in their structure."""
        return tree.unflatten(self.in_tree, self._avals)

    @property
    def out_info(self) -> Any:
        """The types of the result, as a pytree of `ShapeDtypeStruct`."""
        structs = [
            ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in self._entry.jaxpr.out_avals
        ]
        return tree.unflatten(self.out_tree, structs)

    @property
    def donate_argnums(self) -> tuple[int, ...]:
        """Which leaves of the arguments are donated."""
        donated = self._entry.params["donated_invars"][len(self._entry.consts) :]
        return tuple(i for i, d in enumerate(donated) if d)


class Traced(_Stage):
    """A function, traced for arguments of certain types."""

    __slots__ = ()

    @property
    def jaxpr(self) -> ClosedJaxpr:
        """What was traced."""
        closed, n = self._entry.jaxpr, len(self._entry.consts)
        inner = closed.jaxpr
        return ClosedJaxpr(
            inner.replace(constvars=inner.invars[:n], invars=inner.invars[n:]), self._entry.consts
        )

    @property
    def out_avals(self) -> Any:
        """The types of the results, in their structure."""
        return tree.unflatten(self.out_tree, self._entry.jaxpr.out_avals)

    @property
    def effects(self) -> frozenset[str]:
        """What the function does beside computing its results."""
        return self._entry.jaxpr.effects

    @property
    def fun_name(self) -> str:
        """The name of the function."""
        return str(self._entry.params["name"])

    def lower(self, *, lowering_platforms: Any = None, _private_parameters: Any = None) -> Lowered:
        """The next stage."""
        return Lowered(self._fun, self._entry, self._avals)


class Lowered(_Stage):
    """A function, ready to be compiled."""

    __slots__ = ()

    def as_text(self, dialect: str | None = None, *, debug_info: bool = False) -> str:
        """The program as text.

        Args:
          dialect: "jaxpr" (the default), "loops" (the loop program), "llvm" (LLVM IR) or "assembly".
        Raises:
          ValueError: another dialect.
        """
        return _hooks.text(self._entry.jaxpr, dialect or "jaxpr")

    def compiler_ir(self, dialect: str | None = None) -> ClosedJaxpr:
        """The program that the compiler takes."""
        return self._entry.jaxpr

    def cost_analysis(self) -> dict[str, float]:
        """What one call costs, as far as it is known: operations and bytes."""
        return _hooks.cost(self._entry.jaxpr)

    def compile(self, compiler_options: dict[str, Any] | None = None) -> Compiled:
        """Compile now, rather than at the first call."""
        entry = self._entry
        run = _hooks.compile(entry.jaxpr, entry.params)
        donated = entry.params["donated_invars"]
        if any(donated):
            ins = entry.jaxpr.in_avals
            usable = calls.usable_donations(donated, ins, entry.jaxpr.out_avals)
            calls.warn_of_unusable(donated, usable, ins)
            run = calls.donating(run, usable)
        return Compiled(self._fun, self._entry, self._avals, run)


class Compiled(_Stage):
    """A function, compiled for arguments of certain types."""

    __slots__ = ("_run",)

    def __init__(
        self,
        fun: JitFunction,
        entry: Entry,
        avals: Sequence[ShapedArray],
        run: Callable[[Sequence[Any]], Sequence[Any]],
    ):
        super().__init__(fun, entry, avals)
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it.

        Raises:
          TypeError: the arguments have other types or another structure than it was compiled for, or the call is
            inside of a function that is being transformed. Static arguments are fixed, and left out.
        """
        dynamic = args, kwargs
        flat, in_tree = tree.flatten(dynamic)
        for x in flat:
            if isinstance(x, Tracer):
                raise TypeError(
                    "Cannot apply JAX transformations to a function lowered and compiled for a particular"
                    f" signature. Detected argument of Tracer type {type(x).__name__}: call the jitted function"
                    " itself instead, inside of grad, vmap and jit."
                )
        if in_tree != self.in_tree:
            raise TypeError(
                "Function compiled with input pytree does not match the input pytree it was called with: it"
                f" was compiled for {self.in_tree} and called with {in_tree}"
            )
        flat = [operand(x) for x in flat]
        names = self._fun.argument_names(dynamic, ())
        wrong = [
            f"{name} is {got.str_short()}, but {want.str_short()} was compiled for"
            for name, got, want in zip(names, map(get_aval, flat), self._avals)
            if (got.shape, got.dtype) != (want.shape, want.dtype)
        ]
        if wrong:
            raise TypeError(
                "Argument types differ from the types for which this computation was compiled: "
                + "; ".join(wrong)
            )
        outs = self._run([*self._entry.consts, *flat])
        return tree.unflatten(self.out_tree, [result(o) for o in outs])

    def as_text(self) -> str:
        """The compiled program as text: the loop program."""
        return _hooks.text(self._entry.jaxpr, "loops")

    def cost_analysis(self) -> dict[str, float]:
        """What one call costs, as far as it is known: operations and bytes."""
        return _hooks.cost(self._entry.jaxpr)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The same as calling it."""
        return self(*args, **kwargs)

    def runtime_executable(self) -> Any:
        """The call of the compiled program, on flat arguments."""
        return self._run

    def memory_analysis(self) -> Any:
        """How many bytes the arguments, the results and the intermediate values take."""
        return _hooks.memory(self._entry.jaxpr)


class Hooks:
    """What the compiler, a layer above, says of programs; it replaces these defaults."""

    @staticmethod
    def compile(closed: ClosedJaxpr, params: dict[str, Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
        return lambda flat: jit_p.bind(*flat, **params)

    @staticmethod
    def cancel(threads: Sequence[int]) -> None:
        """End the programs that run in these threads, and in no others that were named before."""

    @staticmethod
    def text(closed: ClosedJaxpr, dialect: str) -> str:
        return str(closed)

    @staticmethod
    def cost(closed: ClosedJaxpr) -> dict[str, float]:
        return {}

    @staticmethod
    def memory(closed: ClosedJaxpr) -> Any:
        return None


_hooks: type[Hooks] = Hooks


def set_hooks(hooks: type[Hooks]) -> None:
    """Say how programs are compiled ahead of time and described."""
    global _hooks
    _hooks = hooks


def compiled(closed: ClosedJaxpr, params: dict[str, Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """The call of a closed jaxpr without constants, compiled now."""
    return _hooks.compile(closed, params)


def cancel(threads: Sequence[int]) -> None:
    """End the programs that run in these threads; with none, have done with those named before."""
    _hooks.cancel(threads)
