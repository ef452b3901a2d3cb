"""Derivative rules of the user's: `custom_jvp`, `custom_vjp`, `custom_gradient`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.core.avals import ShapedArray
from wengert.core.source import api_boundary
from wengert.core.staging import eval_jaxpr, stage
from wengert.core.trace import current_trace, get_aval
from wengert.core.zeros import Zero, add_cotangents, instantiate
from wengert.prims.conversion import convert_element_type_p
from wengert.prims.custom import custom_jvp_call_p, custom_vjp_call_p
from wengert.transforms.api_util import (
    as_tuple,
    check_arraylike,
    check_callable,
    fun_name,
    is_arraylike,
    operand,
    parameter_names,
    result,
    wraps,
)

inspect = lazy_module("inspect")
tree_map = tree.map

Fun = Callable[..., Any]


class SymbolicZero:
    """A tangent or cotangent that is zero, as rules with `symbolic_zeros=True` get it."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the zero."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the zero."""
        return self.aval.dtype

    def __repr__(self) -> str:
        return f"SymbolicZero({self.aval!r})"


class CustomVJPPrimal:
    """An argument of a forward rule with `symbolic_zeros=True`, and whether it has a tangent."""

    __slots__ = ("perturbed", "value")

    def __init__(self, value: Any, perturbed: bool):
        self.value = value
        self.perturbed = perturbed


def custom_vjp_primal_tree_values(tree: Any) -> Any:
    """The values of a pytree of `CustomVJPPrimal`."""
    return tree_map(lambda x: x.value, tree, is_leaf=lambda x: isinstance(x, CustomVJPPrimal))


def zero_from_primal(val: Any, symbolic_zeros: bool = False) -> Any:
    """The zero tangents of a pytree of values."""

    def zero(x: Any) -> Any:
        aval = get_aval(x).to_tangent_aval()
        return SymbolicZero(aval) if symbolic_zeros else instantiate(Zero(aval))

    return tree.map(zero, val)


def _positional(fun: Fun, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """All arguments by position, defaults filled in, as the rules get them."""
    names = parameter_names(fun)[0]
    if not kwargs and len(args) >= len(names):
        return args
    try:
        bound = inspect.signature(fun).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"The input arguments to {fun_name(fun)}, which has a custom derivative rule, could not be resolved to"
            f" positional-only arguments: {error}"
        ) from None
    except ValueError:  # no signature
        if kwargs:
            raise TypeError(
                f"{fun_name(fun)} has no signature, so its arguments must be passed by position"
            ) from None
        return args
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"keyword arguments of {fun_name(fun)} could not be resolved to positions:"
            f" {sorted(bound.kwargs)}. Functions with custom derivative rules can't have keyword-only"
            " arguments."
        )
    return tuple(bound.args)


class _Split:
    """The arguments of one call: those that a rule is about, flat, and the others (`nondiff_argnums`)."""

    __slots__ = ("flat", "in_tree", "nondiff", "nums", "total")

    def __init__(self, fun: Fun, nums: tuple[int, ...], args: tuple[Any, ...]):
        self.total = len(args)
        for i in nums:
            if not -len(args) <= i < len(args):
                raise ValueError(
                    f"nondiff_argnums={nums} names argument {i}, but {fun_name(fun)} was called with"
                    f" {len(args)}"
                )
        self.nums = [i % len(args) for i in nums]
        self.nondiff = [args[i] for i in self.nums]
        rest = tuple(a for i, a in enumerate(args) if i not in self.nums)
        leaves, self.in_tree = tree.flatten(rest)
        for i, leaf in enumerate(leaves):
            check_arraylike(leaf, fun_name(fun), f"leaf {i} of the arguments")
        self.flat = [operand(x) for x in leaves]

    def merge(self, flat: Sequence[Any]) -> list[Any]:
        """All arguments, in their order."""
        rest = iter(tree.unflatten(self.in_tree, flat))
        by_place = dict(zip(self.nums, self.nondiff))
        return [by_place[i] if i in by_place else next(rest) for i in range(self.total)]


class _Rule:
    """What `custom_jvp` and `custom_vjp` have in common."""

    def __init__(self, fun: Fun, nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()):
        check_callable(fun, type(self).__name__)
        self.fun = fun
        nums = [operator.index(i) for i in as_tuple(nondiff_argnums)]
        names = parameter_names(fun)[0]
        for name in as_tuple(nondiff_argnames):
            if name not in names:
                raise ValueError(
                    f"nondiff_argnames names {name!r}, which {fun_name(fun)} does not take: {names}"
                )
            nums.append(names.index(name))
        self.nondiff_argnums = tuple(sorted(set(nums)))
        wraps(fun, self)  # type: ignore[arg-type]


class _Outputs:
    """The structure of what a function returned when it last ran."""

    __slots__ = ("tree",)

    def __init__(self) -> None:
        self.tree: Any = None

    def flatten(self, out: Any, name: str) -> list[Any]:
        leaves, self.tree = tree.flatten(out)
        for leaf in leaves:
            check_arraylike(leaf, name, "a part of its output")
        return leaves


def _primal_fun(fun: Fun, split: _Split, outputs: _Outputs) -> Fun:
    def flat_fun(*flat: Any) -> list[Any]:
        return outputs.flatten(fun(*split.merge(flat)), fun_name(fun))

    flat_fun.__name__ = fun_name(fun)
    return flat_fun


def _visible(x: Any, symbolic: bool) -> Any:
    """A tangent or cotangent as rules get it."""
    if type(x) is Zero and symbolic:
        return SymbolicZero(x.aval)
    return result(instantiate(x))


def _tangent(x: Any) -> Any:
    """What a rule has given, as traces want it."""
    if isinstance(x, SymbolicZero | Zero):
        return Zero(x.aval)
    if isinstance(x, np.ndarray) and x.dtype == dtypes.float0:
        return Zero(ShapedArray(x.shape, dtypes.float0))
    return operand(x)


# ------------------------------------------------------------------------------------------------- custom_jvp


class custom_jvp(_Rule):
    """A function with a rule for its forward derivative, which serves reverse mode too.

    ::

        @custom_jvp
        def f(x, y):
            return jnp.sin(x) * y

        @f.defjvp
        def f_jvp(primals, tangents):
            x, y = primals
            x_dot, y_dot = tangents
            return f(x, y), jnp.cos(x) * x_dot * y + jnp.sin(x) * y_dot

    Args:
      fun: the function.
      nondiff_argnums, nondiff_argnames: arguments that are not differentiated by, functions for example. The
        rule gets them first, one by one.
    """

    def __init__(self, fun: Fun, nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()):
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.jvp: Fun | None = None
        self.symbolic_zeros = False

    def defjvp(self, jvp: Fun, symbolic_zeros: bool = False) -> Fun:
        """State the rule: from tuples (primals, tangents) to the pair (output, tangent of the output).

        With `symbolic_zeros`, tangents that are zero are `SymbolicZero`s. Returns `jvp`.
        """
        self.jvp = jvp
        self.symbolic_zeros = symbolic_zeros
        return jvp

    def defjvps(self, *jvps: Fun | None) -> None:
        """State one rule for each argument: from (tangent, output, *primals) to the part of the output's
        tangent.

        None says that the function does not change with the argument.
        """
        if self.nondiff_argnums:
            raise TypeError("Can't use ``defjvps`` with ``nondiff_argnums``.")

        def jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            out = self(*primals)
            parts = [
                rule(t, out, *primals) for rule, t in zip(jvps, tangents, strict=True) if rule is not None
            ]
            if not parts:
                return out, zero_from_primal(out)
            total = parts[0]
            for part in parts[1:]:
                total = tree.map(add_cotangents, total, part)
            return out, total

        self.defjvp(jvp)

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = fun_name(self.fun)
        if self.jvp is None:
            raise AttributeError(f"No JVP defined for custom_jvp function {name} using defjvp.")
        split = _Split(self.fun, self.nondiff_argnums, _positional(self.fun, args, kwargs))
        outputs = _Outputs()
        flat_fun = _primal_fun(self.fun, split, outputs)
        rule, symbolic = self.jvp, self.symbolic_zeros

        def flat_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
            given = tuple(tree.unflatten(split.in_tree, [result(p) for p in primals]))
            shown = tuple(tree.unflatten(split.in_tree, [_visible(t, symbolic) for t in tangents]))
            pair = rule(*split.nondiff, given, shown)
            return _checked_jvp(pair, fun_name(rule), name, outputs)

        flat_jvp.__name__ = fun_name(rule)
        trace = current_trace()
        outs = trace.process_custom_jvp(custom_jvp_call_p, flat_fun, flat_jvp, split.flat)
        return tree.unflatten(outputs.tree, [result(o) for o in outs])


def _checked_jvp(pair: Any, rule: str, name: str, outputs: _Outputs) -> tuple[list[Any], list[Any]]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise TypeError(
            f"Custom JVP rule {rule} for function {name} must produce a pair (list or tuple of length two)"
            f" representing primal and tangent outputs, but got {pair!r:.200}."
        )
    outs = outputs.flatten(pair[0], rule)
    tangents, tangent_tree = tree.flatten(pair[1], is_leaf=lambda x: isinstance(x, SymbolicZero))
    if tangent_tree != outputs.tree:
        raise TypeError(
            f"Custom JVP rule {rule} for function {name} must produce primal and tangent outputs with equal"
            f" container (pytree) structures, but got {outputs.tree} and {tangent_tree} respectively."
        )
    found = []
    for out, t in zip(outs, tangents):
        t = _tangent(t)
        want = get_aval(out).to_tangent_aval()
        got = t.aval if type(t) is Zero else get_aval(t)
        if want.dtype == dtypes.float0 or (type(t) is Zero and got.dtype == dtypes.float0):
            found.append(Zero(want))
            continue
        if (got.shape, got.dtype) != (want.shape, want.dtype):
            raise TypeError(
                f"Custom JVP rule {rule} for function {name} must produce primal and tangent outputs with"
                f" corresponding shapes and dtypes. Expected {_long(want)} (tangent type of"
                f" {_long(get_aval(out))}) but got {_long(got)}."
            )
        found.append(t)
    return outs, found


def _long(aval: ShapedArray) -> str:
    return f"{aval.dtype.name}[{','.join(map(str, aval.shape))}]"


# ------------------------------------------------------------------------------------------------- custom_vjp


class custom_vjp(_Rule):
    """A function with rules for reverse mode: a forward pass that keeps residuals, and a backward pass.

    ::

        @custom_vjp
        def f(x, y):
            return jnp.sin(x) * y

        def f_fwd(x, y):
            return f(x, y), (jnp.cos(x), jnp.sin(x), y)

        def f_bwd(residuals, ct):
            cos_x, sin_x, y = residuals
            return cos_x * ct * y, sin_x * ct

        f.defvjp(f_fwd, f_bwd)

    Args:
      fun: the function.
      nondiff_argnums, nondiff_argnames: arguments that are not differentiated by, functions for example.
        `f_fwd` gets them in their places, `f_bwd` gets them first, one by one.
    """

    def __init__(self, fun: Fun, nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()):
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.fwd: Fun | None = None
        self.bwd: Fun | None = None
        self.symbolic_zeros = False

    def defvjp(
        self,
        fwd: Fun,
        bwd: Fun,
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
        generic_batching: bool = False,
    ) -> None:
        """State the rules.

        Args:
          fwd: from the arguments to the pair (output, residuals); residuals are a pytree of arrays.
          bwd: from (residuals, cotangent of the output) to a tuple with a cotangent for each argument; None
            is zero.
          symbolic_zeros: `fwd` gets each argument as a `CustomVJPPrimal`, `bwd` gets zeros as
            `SymbolicZero`s.
          optimize_remat, generic_batching: accepted for compatibility.
        """
        self.fwd, self.bwd = fwd, bwd
        self.symbolic_zeros = symbolic_zeros

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fwd is None or self.bwd is None:
            raise AttributeError(f"No VJP defined for custom_vjp function {fun_name(self.fun)} using defvjp.")
        split = _Split(self.fun, self.nondiff_argnums, _positional(self.fun, args, kwargs))
        outputs = _Outputs()
        flat_fun = _primal_fun(self.fun, split, outputs)
        fwd = _FlatForward(self.fwd, self.bwd, fun_name(self.fun), split, outputs, self.symbolic_zeros)
        outs = current_trace().process_custom_vjp(custom_vjp_call_p, flat_fun, fwd, split.flat)
        return tree.unflatten(outputs.tree, [result(o) for o in outs])


class _FlatForward:
    """The forward rule on flat lists."""

    __slots__ = ("bwd", "fwd", "name", "outputs", "split", "symbolic")

    def __init__(self, fwd: Fun, bwd: Fun, name: str, split: _Split, outputs: _Outputs, symbolic: bool):
        self.fwd = fwd
        self.bwd = bwd
        self.name = name
        self.split = split
        self.outputs = outputs
        self.symbolic = symbolic

    @property
    def __name__(self) -> str:
        return fun_name(self.fwd)

    def __call__(self, primals: Sequence[Any], nonzeros: Sequence[bool]) -> tuple[list[Any], list[Any], Fun]:
        given: Sequence[Any] = [result(p) for p in primals]
        if self.symbolic:
            given = [CustomVJPPrimal(p, nz) for p, nz in zip(given, nonzeros, strict=True)]
        pair = self.fwd(*self.split.merge(given))
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(
                f"Custom VJP fwd rule {fun_name(self.fwd)} for function {self.name} must produce a pair (list"
                " or tuple of length two) of the output and the residuals that the bwd rule needs, but"
                f" instead of a pair it produced {pair!r:.200}."
            )
        outs = self.outputs.flatten(pair[0], fun_name(self.fwd))
        leaves, residual_tree = tree.flatten(pair[1])
        # numbers are the same each time, and stay numbers
        arrays = [is_arraylike(x) and not isinstance(x, bool | int | float | complex) for x in leaves]
        fixed = [None if is_array else x for x, is_array in zip(leaves, arrays)]
        out_tree, avals = self.outputs.tree, [get_aval(p) for p in primals]

        def flat_bwd(residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
            values = iter(residuals)
            kept = tree.unflatten(residual_tree, [next(values) if a else x for x, a in zip(fixed, arrays)])
            ct = tree.unflatten(out_tree, [_visible(c, self.symbolic) for c in cts])
            return self.checked_cotangents(self.bwd(*self.split.nondiff, kept, ct), avals)

        return outs, [operand(x) for x, a in zip(leaves, arrays) if a], flat_bwd

    def checked_cotangents(self, cts: Any, avals: Sequence[ShapedArray]) -> list[Any]:
        rule = f"Custom VJP bwd rule {fun_name(self.bwd)} of {self.name}"
        expected = tree.unflatten(self.split.in_tree, list(avals))
        if isinstance(cts, list):
            cts = tuple(cts)
        if not isinstance(cts, tuple) or len(cts) != len(expected):
            n = len(expected)
            raise TypeError(
                f"{rule} must produce a tuple with one cotangent for each of the {n} "
                f"argument{'s' if n != 1 else ''} of the function (None for zero), but got "
                + (f"a tuple of length {len(cts)}" if isinstance(cts, tuple) else f"{cts!r:.100}")
            )
        found: list[Any] = []
        for i, (ct, subtree) in enumerate(zip(cts, expected)):
            found += self.argument_cotangents(f"{rule} at output[{i}]", ct, subtree)
        return found

    @staticmethod
    def argument_cotangents(where: str, ct: Any, expected: Any) -> list[Any]:
        """The cotangent of one argument, flat. None stands for zeros, of a leaf or of a whole subtree."""
        avals, treedef = tree.flatten(expected)
        if ct is None:
            return [None] * len(avals)
        blanks = tree.unflatten(treedef, [0] * len(avals))
        try:
            leaves = tree.broadcast_prefix(ct, blanks, lambda x: x is None or isinstance(x, SymbolicZero))
            # only None may stand for more than one leaf
            fits = len(tree.leaves(ct)) == sum(x is not None for x in leaves)
        except ValueError:
            fits = False
        if not fits:
            raise TypeError(
                f"{where} must produce a cotangent with the same container (pytree) structure as the"
                f" argument, {treedef}, but got {tree.structure(ct)}"
            )
        found = []
        for x, aval in zip(leaves, avals, strict=True):
            want = aval.to_tangent_aval()
            x = None if x is None else _tangent(x)
            if x is None or want.dtype == dtypes.float0 or type(x) is Zero:
                found.append(Zero(want))
                continue
            got = get_aval(x)
            if got.shape != want.shape or (got.dtype.kind == "c" and want.dtype.kind != "c"):
                what = "shapes" if got.shape != want.shape else "dtypes"
                raise ValueError(
                    f"{where} produced a cotangent of type {_long(got)} for an argument of type"
                    f" {_long(aval)}, so the {what} do not match. A cotangent has the type of what it"
                    " belongs to."
                )
            if got.dtype != want.dtype:  # rules may compute in another precision than the function
                x = convert_element_type_p.bind(x, new_dtype=want.dtype, weak_type=False)
            found.append(x)
        return found


def custom_gradient(fun: Fun) -> Fun:
    """State the gradient inside of the function: `fun` returns the pair (output, vjp_fun).

    `vjp_fun` takes a cotangent of the output and returns the cotangents of the arguments: a tuple for
    several, the cotangent itself for one.
    """
    check_callable(fun, "custom_gradient")

    @custom_vjp
    def wrapped(*args: Any) -> Any:
        return fun(*args)[0]

    def fwd(*args: Any) -> Any:
        out, rule = fun(*args)
        leaves, out_tree = tree.flatten(out)
        avals = [get_aval(x).to_tangent_aval() for x in leaves]
        found: list[Any] = []

        def flat_rule(*cts: Any) -> list[Any]:
            grads = rule(tree.unflatten(out_tree, cts))
            grads = (grads,) if len(args) == 1 and not isinstance(grads, tuple) else tuple(grads)
            flat, grads_tree = tree.flatten(grads)
            found[:] = [grads_tree]
            return flat

        closed = stage(flat_rule, avals, "vjp_fun")
        return out, (closed.consts, tree.Partial(_StagedRule(closed.jaxpr, found[0])))

    def bwd(residuals: Any, ct: Any) -> Any:
        consts, staged = residuals
        return staged(consts, tree.leaves(ct))

    wrapped.defvjp(fwd, bwd)
    return wraps(fun, lambda *args, **kwargs: wrapped(*_positional(fun, args, kwargs)))  # type: ignore[no-any-return]


class _StagedRule:
    __slots__ = ("jaxpr", "out_tree")

    def __init__(self, jaxpr: Any, out_tree: Any):
        self.jaxpr = jaxpr
        self.out_tree = out_tree

    def __call__(self, consts: Sequence[Any], cts: Sequence[Any]) -> Any:
        return tree.unflatten(self.out_tree, eval_jaxpr(self.jaxpr, consts, *cts))
