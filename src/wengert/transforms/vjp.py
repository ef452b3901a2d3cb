"""Derivatives of Python functions: jvp, linearize, vjp, grad, and the rest of the family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.core.array import wrap
from wengert.core.avals import ShapedArray
from wengert.core.axes import tracked_axes
from wengert.core.jaxpr import Jaxpr
from wengert.core.source import api_boundary
from wengert.core.staging import eval_jaxpr, stage
from wengert.core.trace import Tracer, get_aval
from wengert.core.zeros import UndefinedPrimal, Zero, instantiate
from wengert.transforms.api_util import (
    FlatFun,
    check_arraylike,
    check_callable,
    fun_name,
    is_arraylike,
    normalize_argnums,
    operand,
    result,
    select_args,
    shaped,
    wraps,
)
from wengert.transforms.jit import jit
from wengert.transforms.jvp import jvp_flat
from wengert.transforms.linearize import linearize_flat
from wengert.transforms.transpose import backward_pass

_collectives = lazy_module("wengert.prims.collectives")

Fun = Callable[..., Any]


def _flatten_primals(name: str, primals: Sequence[Any]) -> tuple[list[Any], Any]:
    leaves, in_tree = tree.flatten(tuple(primals))
    for i, leaf in enumerate(leaves):
        check_arraylike(leaf, name, f"leaf {i} of the arguments")
    return [operand(x) for x in leaves], in_tree


# ----------------------------------------------------------------------------------------------- forward mode


@api_boundary
def jvp(fun: Fun, primals: Any, tangents: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of `fun` and its derivative in one direction (forward mode).

    Args:
      fun: function of arrays or pytrees of them.
      primals: the arguments, a tuple or list.
      tangents: the direction, of the same structure, shapes and (tangent) dtypes as `primals`.
      has_aux: `fun` returns a pair (output, aux); aux is not differentiated.
    Returns:
      (output, tangent of the output), and aux if `has_aux`.
    Raises:
      TypeError: the tangents don't fit the primals.
    """
    check_callable(fun, "jvp")
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise TypeError(
            "primal and tangent arguments to jax.jvp must be tuples or lists; "
            f"found {type(primals).__name__} and {type(tangents).__name__}."
        )
    flat, in_tree = _flatten_primals("jvp", primals)
    flat_tangents, tangent_tree = tree.flatten(tuple(tangents))
    if in_tree != tangent_tree or isinstance(primals, tuple) != isinstance(tangents, tuple):
        raise TypeError(
            "primal and tangent arguments to jax.jvp must have the same tree structure; primals have tree"
            f" structure {in_tree} whereas tangents have tree structure {tangent_tree}."
        )
    ts = [_checked_tangent(p, t) for p, t in zip(flat, flat_tangents)]
    flat_fun = FlatFun(fun, in_tree, has_aux)
    outs, out_tangents = jvp_flat(flat_fun, flat, ts)
    outs, aux = flat_fun.without_aux(outs)
    out = tree.unflatten(flat_fun.out_tree, [result(o) for o in outs])
    out_tangents = out_tangents[: len(outs)]
    tangent = tree.unflatten(flat_fun.out_tree, [result(instantiate(t)) for t in out_tangents])
    return (out, tangent, aux) if has_aux else (out, tangent)


def _checked_tangent(primal: Any, tangent: Any) -> Any:
    """A tangent as the traces want it, after a check against its primal."""
    expected = get_aval(primal).to_tangent_aval()
    if isinstance(tangent, np.ndarray) and tangent.dtype == dtypes.float0:
        got_dtype, got_shape = tangent.dtype, tangent.shape
    else:
        check_arraylike(tangent, "jvp", "a tangent")
        tangent = operand(tangent)
        aval = get_aval(tangent)
        got_dtype, got_shape = aval.dtype, aval.shape
    if got_dtype != expected.dtype:
        raise TypeError(
            "primal and tangent arguments to jax.jvp do not match; dtypes must be equal, or in case of"
            " int/bool primal dtype the tangent dtype must be float0. Got primal dtype"
            f" {get_aval(primal).dtype} and so expected tangent dtype {expected.dtype}, but got tangent dtype"
            f" {got_dtype} instead."
        )
    if got_shape != expected.shape:
        raise ValueError(
            "jvp called with different primal and tangent shapes; "
            f"Got primal shape {expected.shape} and tangent shape as {got_shape}"
        )
    return Zero(expected) if expected.dtype == dtypes.float0 else tangent


@api_boundary
def linearize(fun: Fun, *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun` at `primals`, and its derivative there as a linear function.

    Returns:
      (output, f_jvp), and aux if `has_aux`. `f_jvp` takes tangents of the primals and returns the output's;
      calling it does not evaluate `fun` again.
    """
    check_callable(fun, "linearize")
    flat, in_tree = _flatten_primals("linearize", primals)
    flat_fun = FlatFun(fun, in_tree, has_aux)
    outs, in_nonzeros, out_nonzeros, program = linearize_flat(flat_fun, flat)
    outs, aux = flat_fun.without_aux(outs)
    out = tree.unflatten(flat_fun.out_tree, [result(o) for o in outs])
    avals = [get_aval(p) for p in flat]
    out_avals = [get_aval(o).to_tangent_aval() for o in outs]
    out_tree = flat_fun.out_tree

    def f_jvp(*tangents: Any) -> Any:
        leaves, tangent_tree = tree.flatten(tuple(tangents))
        if tangent_tree != in_tree:
            raise TypeError(f"the tangents have structure {tangent_tree}, the primals {in_tree}")
        ts = [_checked_linear_tangent(a, t) for a, t in zip(avals, leaves)]
        found = iter(eval_jaxpr(program.jaxpr, program.consts, *(t for t, nz in zip(ts, in_nonzeros) if nz)))
        tangents_out = [next(found) if nz else instantiate(Zero(a)) for a, nz in zip(out_avals, out_nonzeros)]
        return tree.unflatten(out_tree, [result(t) for t in tangents_out])

    return (out, f_jvp, aux) if has_aux else (out, f_jvp)


def _checked_linear_tangent(aval: Any, tangent: Any) -> Any:
    expected = aval.to_tangent_aval()
    if expected.dtype == dtypes.float0:
        return None
    got = get_aval(tangent)
    if (got.shape, got.dtype) != (expected.shape, expected.dtype):
        raise ValueError(
            "linearized function called on tangent values inconsistent with the original primal values: "
            f"got tangent aval {got.str_short()} for primal aval {aval.str_short()} but expected "
            f"{expected.str_short()}"
        )
    return operand(tangent)


# ----------------------------------------------------------------------------------------------- reverse mode


class Pullback:
    """The transpose of a tangent program; `tree.Partial` binds its residuals, so that it is a pytree."""

    __slots__ = (
        "in_avals",
        "in_nonzeros",
        "in_tree",
        "jaxpr",
        "name",
        "out_avals",
        "out_nonzeros",
        "out_tree",
    )

    def __init__(self, **fields: Any):
        for name, value in fields.items():
            setattr(self, name, value)

    jaxpr: Jaxpr
    name: str
    in_avals: list[ShapedArray]
    in_nonzeros: list[bool]
    in_tree: Any
    out_avals: list[ShapedArray]
    out_nonzeros: list[bool]
    out_tree: Any

    def __call__(self, residuals: Sequence[Any], *args: Any) -> Any:
        if len(args) != 1:
            raise TypeError(
                f"The function returned by `jax.vjp` applied to {self.name} was called with {len(args)}"
                " arguments, but functions returned by `jax.vjp` must be called with a single argument"
                " corresponding to the single value returned by the function (even if that returned value is"
                " a tuple or other container)"
            )
        leaves, ct_tree = tree.flatten(args[0])
        if ct_tree != self.out_tree:
            raise ValueError(
                f"unexpected tree structure of argument to vjp function: got {ct_tree}, but expected to match"
                f" {self.out_tree}, the structure of the output of {self.name}"
            )
        cts = [_checked_cotangent(a, ct) for a, ct in zip(self.out_avals, leaves)]
        given = [ct for ct, nz in zip(cts, self.out_nonzeros) if nz]
        linear = [UndefinedPrimal(v.aval) for v in self.jaxpr.invars]
        found = iter(backward_pass(self.jaxpr, residuals, linear, given))
        grads = [
            next(found) if nz else Zero(a.to_tangent_aval()) for a, nz in zip(self.in_avals, self.in_nonzeros)
        ]
        return tree.unflatten(self.in_tree, [result(instantiate(g)) for g in grads])


class _OverDevices:
    """A pullback inside of `shard_map`: see `prims.collectives` on what happens where it begins and ends."""

    __slots__ = ("names", "pullback")

    def __init__(self, pullback: Pullback, names: tuple[Any, ...]):
        self.pullback = pullback
        self.names = names

    def __call__(
        self, residuals: Sequence[Any], primals: Sequence[Any], outs: Sequence[Any], *args: Any
    ) -> Any:
        given, structure = tree.flatten(args)
        if len(given) == len(outs):
            given = [self._at_boundary("share_cotangent_p", ct, o) for ct, o in zip(given, outs)]
        found = self.pullback(residuals, *tree.unflatten(structure, given))
        leaves, structure = tree.flatten(found)
        totals = [
            self._at_boundary("total_cotangent_p", ct, p) for ct, p in zip(leaves, primals, strict=True)
        ]
        return tree.unflatten(structure, totals)

    def _at_boundary(self, operation: str, ct: Any, like: Any) -> Any:
        if not is_arraylike(ct) or not dtypes.issubdtype(get_aval(ct).dtype, np.inexact):
            return ct
        for name in self.names:
            ct = getattr(_collectives, operation).bind(operand(ct), like, axis_name=name)
        return ct


def _checked_cotangent(aval: Any, ct: Any) -> Any:
    expected = aval.to_tangent_aval()
    if expected.dtype == dtypes.float0:
        return Zero(expected)
    if type(ct) is Zero:
        return ct
    check_arraylike(ct, "the vjp function", "a cotangent")
    got = get_aval(ct)
    if (got.shape, got.dtype) != (expected.shape, expected.dtype):
        raise ValueError(
            f"unexpected JAX type (e.g. shape/dtype) for argument to vjp function: got {got.str_short()}, but"
            f" expected {expected.str_short()} because the corresponding output of the differentiated"
            f" function had JAX type {aval.str_short()}"
        )
    return operand(ct)


def _vjp(fun: Fun, primals: Sequence[Any], has_aux: bool, name: str) -> tuple[Any, Any, Any]:
    flat, in_tree = _flatten_primals(name, primals)
    flat_fun = FlatFun(fun, in_tree, has_aux)
    outs, in_nonzeros, out_nonzeros, program = linearize_flat(flat_fun, flat)
    outs, aux = flat_fun.without_aux(outs)
    pullback = Pullback(
        jaxpr=program.jaxpr,
        name=fun_name(fun),
        in_avals=[get_aval(p) for p in flat],
        in_nonzeros=in_nonzeros,
        in_tree=in_tree,
        out_avals=[get_aval(o) for o in outs],
        out_nonzeros=out_nonzeros,
        out_tree=flat_fun.out_tree,
    )
    out = tree.unflatten(flat_fun.out_tree, [result(o) for o in outs])
    if tracked_axes():
        return out, tree.Partial(_OverDevices(pullback, tracked_axes()), program.consts, flat, outs), aux
    return out, tree.Partial(pullback, program.consts), aux


@api_boundary
def vjp(fun: Fun, *primals: Any, has_aux: bool = False, reduce_axes: Sequence[Any] = ()) -> Any:
    """The value of `fun` at `primals`, and the function from output cotangents to input cotangents (reverse
    mode).

    Args:
      fun: function of arrays or pytrees of them.
      primals: where to differentiate it.
      has_aux: `fun` returns a pair (output, aux); aux is not differentiated.
      reduce_axes: accepted for compatibility; only () is meaningful.
    Returns:
      (output, vjp_fun), and aux if `has_aux`. `vjp_fun` takes a cotangent of the structure, shapes and
      dtypes of the output, and returns a tuple of cotangents, one for each primal. It is a pytree, so jitted
      functions can take and return it.
    """
    check_callable(fun, "vjp")
    _no_reduce_axes(reduce_axes)
    out, pullback, aux = _vjp(fun, primals, has_aux, "vjp")
    return (out, pullback, aux) if has_aux else (out, pullback)


def _no_reduce_axes(reduce_axes: Sequence[Any]) -> None:
    if reduce_axes:
        raise NotImplementedError(
            "reduce_axes argument is deprecated: sum over the axis with lax.psum instead"
        )


def grad(
    fun: Fun,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
) -> Fun:
    """A function that computes the gradient of `fun`.

    Args:
      fun: a function that returns a scalar, or a pair (scalar, aux) with `has_aux`.
      argnums: which positional argument, or arguments, to differentiate by.
      has_aux: `fun` returns a pair (output, aux); aux is not differentiated.
      holomorphic: `fun` is holomorphic: its inputs and its output are complex.
      allow_int: allow integer inputs, whose gradients are of dtype float0.
      reduce_axes: accepted for compatibility; only () is meaningful.
    Returns:
      A function of the arguments of `fun` that returns the gradient: an array or pytree of the shape of the
      chosen argument, a tuple of them for several `argnums`; a pair (gradient, aux) with `has_aux`.
    Raises:
      TypeError: `fun` returns no real scalar; an input is of integer dtype.
    """
    both = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int, reduce_axes)

    @api_boundary
    def grad_fun(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wraps(fun, grad_fun, "Gradient of {fun}; takes the same arguments.")  # type: ignore[no-any-return]


def value_and_grad(
    fun: Fun,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    reduce_axes: Sequence[Any] = (),
) -> Fun:
    """A function that computes the value of `fun` and its gradient; the arguments are those of `grad`.

    Returns:
      A function of the arguments of `fun` that returns a pair (value, gradient); with `has_aux` the value is
      the pair (value, aux).
    """
    check_callable(fun, "value_and_grad")
    _no_reduce_axes(reduce_axes)
    numbers = normalize_argnums(argnums)

    @api_boundary
    def value_and_grad_fun(*args: Any, **kwargs: Any) -> Any:
        partial, chosen = select_args(fun, numbers, args, kwargs)
        for leaf in tree.leaves(chosen):
            _check_input("grad", leaf, holomorphic, allow_int)
        value, pullback, aux = _vjp(partial, chosen, has_aux, "grad")
        _check_scalar(value)
        _check_output("grad", value, holomorphic)
        gradients = pullback(_one_like(value))
        gradient = gradients[0] if isinstance(numbers, int) else gradients
        return ((value, aux) if has_aux else value), gradient

    return wraps(  # type: ignore[no-any-return]
        fun, value_and_grad_fun, "Value and gradient of {fun}; takes the same arguments."
    )


def _one_like(value: Any) -> Any:
    aval = get_aval(value)
    number = dtypes.scalar_type_of(aval.dtype)(1)
    weak = aval.weak_type and dtypes.python_scalar_dtype(type(number)) == aval.dtype
    return number if weak else aval.dtype.type(1)


def _check_input(name: str, x: Any, holomorphic: bool, allow_int: bool) -> None:
    check_arraylike(x, name, "an argument")
    dtype = get_aval(x).dtype
    if dtypes.issubdtype(dtype, dtypes.extended):
        raise TypeError(
            f"{name} with input element type {dtype.name} is not supported: keys have no derivative"
        )
    if holomorphic:
        if dtype.kind != "c":
            raise TypeError(
                f"{name} with holomorphic=True requires inputs with complex dtype, but got {dtype.name}."
            )
    elif not dtypes.issubdtype(dtype, np.inexact) and not allow_int:
        raise TypeError(
            f"{name} requires real- or complex-valued inputs (input dtype that is a sub-dtype of np.inexact),"
            f" but got {dtype.name}. If you want to use Boolean- or integer-valued inputs, use vjp or set"
            " allow_int to True."
        )


def _check_scalar(value: Any) -> None:
    leaves, treedef = tree.flatten(value)
    if len(leaves) != 1 or not tree.treedef_is_leaf(treedef):
        raise TypeError(
            f"Gradient only defined for scalar-output functions. Output was {value!r:.200}. To return more"
            " than the value, return a pair (value, aux) and pass has_aux=True."
        )
    shape = get_aval(leaves[0]).shape
    if shape != ():
        raise TypeError(
            f"Gradient only defined for scalar-output functions. Output had shape: {shape}. Reduce it to one"
            " number, e.g. with jnp.sum or jnp.mean, or use jacrev for the derivative of every element."
        )


def _check_output(name: str, value: Any, holomorphic: bool) -> None:
    dtype = get_aval(value).dtype
    if holomorphic:
        if dtype.kind != "c":
            raise TypeError(
                f"{name} with holomorphic=True requires outputs with complex dtype, but got {dtype.name}."
            )
    elif dtype.kind == "c":
        raise TypeError(
            f"{name} requires real-valued outputs (output dtype that is a sub-dtype of np.floating), but got "
            f"{dtype.name}. For holomorphic differentiation, pass holomorphic=True. For differentiation of "
            "non-holomorphic functions involving complex outputs, use jax.vjp directly."
        )
    elif not dtypes.issubdtype(dtype, np.floating):
        raise TypeError(
            f"{name} requires real-valued outputs (output dtype that is a sub-dtype of"
            f" np.floating), but got {dtype.name}. For differentiation of functions with integer outputs, use"
            " jax.vjp directly."
        )


# ------------------------------------------------------------------------------------------- linear functions


@api_boundary
def linear_transpose(fun: Fun, *primals: Any, reduce_axes: Sequence[Any] = ()) -> Fun:
    """The transpose of a function that is linear.

    Args:
      fun: a linear function.
      primals: arguments, or anything with a shape and a dtype; only these matter.
      reduce_axes: accepted for compatibility; only () is meaningful.
    Returns:
      A function from a cotangent of the output to a tuple of cotangents of the arguments.
    Raises:
      TypeError: some of the dtypes are integers, others are not.
      NotImplementedError: `fun` is not linear.
    """
    _no_reduce_axes(reduce_axes)
    leaves, in_tree = tree.flatten(tuple(primals))
    avals = [shaped(x) for x in leaves]
    flat_fun = FlatFun(fun, in_tree)
    closed = stage(flat_fun, avals, name=fun_name(fun))
    kinds = {dtypes.issubdtype(a.dtype, np.inexact) for a in (*avals, *closed.out_avals)}
    if kinds == {True, False}:
        raise TypeError(
            "linear_transpose only supports [float or complex] -> [float or complex], and integer -> integer"
            f" functions, but got {_listed(avals)} -> {_listed(closed.out_avals)}"
        )
    out_tree = flat_fun.out_tree

    @api_boundary
    def transposed(out_cotangent: Any) -> Any:
        flat, ct_tree = tree.flatten(out_cotangent)
        if ct_tree != out_tree:
            raise TypeError(
                f"cotangent tree does not match function output, expected {out_tree} but got {ct_tree}"
            )
        cts = []
        for ct, aval in zip(flat, closed.out_avals):
            got = get_aval(ct)
            if (got.shape, got.dtype) != (aval.shape, aval.dtype):
                raise TypeError(
                    f"cotangent type does not match function output, expected {aval.str_short()} but got "
                    f"{got.str_short()}"
                )
            cts.append(operand(ct))
        linear = [UndefinedPrimal(a) for a in avals]
        found = backward_pass(closed.jaxpr, closed.consts, linear, cts)
        whole = [zeros_of(a) if type(ct) is Zero else instantiate(ct) for ct, a in zip(found, avals)]
        return tree.unflatten(in_tree, [result(ct) for ct in whole])

    return transposed


def _listed(avals: Sequence[ShapedArray]) -> str:
    return ", ".join(a.str_short() for a in avals)


def zeros_of(aval: ShapedArray) -> Any:
    """Zeros of a type, which may be an integer one."""
    return wrap(np.zeros(aval.shape, aval.dtype), aval)


@api_boundary
def closure_convert(fun: Fun, *example_args: Any) -> tuple[Fun, list[Any]]:
    """Turn the traced values that `fun` closes over into arguments.

    Args:
      fun: a function of arrays or pytrees.
      example_args: arguments to trace it with.
    Returns:
      (converted, consts): `converted(*args, *consts)` equals `fun(*args)`. The constants are those
      closed-over values that can be differentiated.
    """
    leaves, in_tree = tree.flatten(tuple(example_args))
    flat_fun = FlatFun(fun, in_tree)
    closed = stage(flat_fun, [shaped(x) for x in leaves], name=fun_name(fun))
    hoisted = [
        isinstance(c, Tracer) and dtypes.issubdtype(get_aval(c).dtype, np.inexact) for c in closed.consts
    ]
    consts = [c for c, h in zip(closed.consts, hoisted) if h]
    out_tree, num_args = flat_fun.out_tree, len(example_args)

    def converted(*args: Any) -> Any:
        given = iter(args[num_args:])
        values = [next(given) if h else c for c, h in zip(closed.consts, hoisted)]
        flat, tree_now = tree.flatten(tuple(args[:num_args]))
        if tree_now != in_tree:
            raise TypeError(
                f"the converted function takes arguments of structure {in_tree}, but got {tree_now}"
            )
        return tree.unflatten(out_tree, eval_jaxpr(closed.jaxpr, values, *flat))

    return converted, consts


def fwd_and_bwd(
    fun: Fun, argnums: int | Sequence[int], has_aux: bool = False, jitted: bool = True
) -> tuple[Fun, Fun]:
    """The forward and the backward pass of `fun` as two functions.

    Returns:
      `fwd`, with the arguments of `fun`, returns (output, residuals), or (output, aux, residuals) with
      `has_aux`; `bwd(residuals, cotangent)` returns the cotangents of the arguments in `argnums`.
    """
    numbers = normalize_argnums(argnums)

    def fwd(*args: Any, **kwargs: Any) -> Any:
        partial, chosen = select_args(fun, numbers, args, kwargs)
        out, pullback, aux = _vjp(partial, chosen, has_aux, "fwd_and_bwd")
        return (out, aux, pullback) if has_aux else (out, pullback)

    def bwd(pullback: Any, ct: Any) -> Any:
        found = pullback(ct)
        return found[0] if isinstance(numbers, int) else found

    return (jit(fwd), jit(bwd)) if jitted else (fwd, bwd)
