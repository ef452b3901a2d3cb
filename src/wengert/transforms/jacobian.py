"""Whole derivative matrices: `jacfwd`, `jacrev`, `hessian`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.core import dtypes
from wengert.core.array import from_numpy
from wengert.core.avals import ShapedArray
from wengert.core.source import api_boundary
from wengert.core.trace import get_aval
from wengert.prims.shape import reshape
from wengert.prims.slicing import slice_in_dim
from wengert.transforms.api_util import (
    check_arraylike,
    check_callable,
    normalize_argnums,
    select_args,
    wraps,
)
from wengert.transforms.vjp import jvp, vjp
from wengert.transforms.vmap import vmap

Fun = Callable[..., Any]


def jacfwd(
    fun: Fun, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Fun:
    """The Jacobian of `fun`, column by column in forward mode: for functions with few inputs.

    Args:
      fun: a function of arrays or pytrees.
      argnums: which positional argument, or arguments, to differentiate by.
      has_aux: `fun` returns a pair (output, aux); aux is not differentiated.
      holomorphic: `fun` is holomorphic: its inputs are complex.
    Returns:
      A function of the arguments of `fun`. Its result has the structure of the output, each leaf replaced by
      the structure of the argument; the shape of a leaf is that of the output followed by that of the input.
      A pair (Jacobian, aux) with `has_aux`.
    Raises:
      TypeError: an input is not real (complex, for `holomorphic`).
    """
    check_callable(fun, "jacfwd")
    numbers = normalize_argnums(argnums)

    @api_boundary
    def jacobian_fun(*args: Any, **kwargs: Any) -> Any:
        partial, chosen = select_args(fun, numbers, args, kwargs)
        inputs = chosen[0] if isinstance(numbers, int) else chosen
        leaves, in_tree = tree.flatten(inputs)
        for x in leaves:
            _check_input("jacfwd", x, holomorphic, wanted=np.floating)
        avals = [get_aval(x) for x in leaves]

        def push(*flat: Any) -> Any:
            tangent = tree.unflatten(in_tree, flat)
            tangents = (tangent,) if isinstance(numbers, int) else tangent
            if has_aux:
                return jvp(partial, chosen, tangents, has_aux=True)[1:]
            return jvp(partial, chosen, tangents)[1]

        mapped = vmap(push, out_axes=(-1, None) if has_aux else -1)(*_basis(avals))
        columns, aux = mapped if has_aux else (mapped, None)
        found = tree.map(lambda y: tree.unflatten(in_tree, _split_axis(y, avals, -1)), columns)
        return (found, aux) if has_aux else found

    return wraps(fun, jacobian_fun, "Jacobian of {fun}; takes the same arguments.")  # type: ignore[no-any-return]


def jacrev(
    fun: Fun,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Fun:
    """The Jacobian of `fun`, row by row in reverse mode: for functions with few outputs.

    Args and results are those of `jacfwd`; `allow_int` allows integer inputs, whose derivatives are of dtype
    float0.
    """
    check_callable(fun, "jacrev")
    numbers = normalize_argnums(argnums)

    @api_boundary
    def jacobian_fun(*args: Any, **kwargs: Any) -> Any:
        partial, chosen = select_args(fun, numbers, args, kwargs)
        inputs = chosen[0] if isinstance(numbers, int) else chosen
        leaves, in_tree = tree.flatten(inputs)
        for x in leaves:
            _check_input("jacrev", x, holomorphic, wanted=None if allow_int else np.inexact)
        aux = None
        if has_aux:
            out, pullback, aux = vjp(partial, *chosen, has_aux=True)
        else:
            out, pullback = vjp(partial, *chosen)
        out_leaves, out_tree = tree.flatten(out)
        for y in out_leaves:
            _check_output(y, holomorphic)
        out_avals = [get_aval(y) for y in out_leaves]

        def pull(*flat: Any) -> list[Any]:
            found = pullback(tree.unflatten(out_tree, flat))
            return tree.leaves(found[0] if isinstance(numbers, int) else found)

        rows = vmap(pull)(*_basis(out_avals))
        # rows[j] has all outputs along its first axis; the result has the inputs' structure inside the
        # outputs'
        parts = [_split_axis(r, out_avals, 0) for r in rows]
        blocks = [tree.unflatten(in_tree, [p[i] for p in parts]) for i in range(len(out_avals))]
        jacobian = tree.unflatten(out_tree, blocks)
        return (jacobian, aux) if has_aux else jacobian

    return wraps(fun, jacobian_fun, "Jacobian of {fun}; takes the same arguments.")  # type: ignore[no-any-return]


jacobian = jacrev


def hessian(
    fun: Fun, argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Fun:
    """The matrix of second derivatives of `fun`: forward mode over reverse mode.

    Args:
      fun: a function of arrays or pytrees; usually with a scalar result.
      argnums, has_aux, holomorphic: as for `jacfwd`.
    Returns:
      A function of the arguments of `fun`. A leaf of its result has the shape of the output, followed by
      that of one input, followed by that of another.
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)


def _basis(avals: Sequence[ShapedArray]) -> list[Any]:
    """The unit vectors of the space of all leaves together, along the first axis of each leaf."""
    total = sum(a.size for a in avals)
    found: list[Any] = []
    start = 0
    for aval in avals:
        tangent = aval.to_tangent_aval()
        if tangent.dtype == dtypes.float0:
            found.append(np.zeros((total, *aval.shape), dtypes.float0))
        else:
            block = np.eye(total, aval.size, -start, dtype=tangent.dtype)
            found.append(from_numpy(block.reshape((total, *aval.shape)), tangent.weak_type))
        start += aval.size
    return found


def _split_axis(x: Any, avals: Sequence[ShapedArray], axis: int) -> list[Any]:
    """Cut one axis, first or last, into a part for each leaf, and give each part the shape of the leaf."""
    shape, start, parts = x.shape, 0, []
    for aval in avals:
        stop = start + aval.size
        if isinstance(x, np.ndarray):  # float0
            part = x[start:stop] if axis == 0 else x[..., start:stop]
        else:
            part = slice_in_dim(x, start, stop, axis=axis % len(shape))
        sizes = (*aval.shape, *shape[1:]) if axis == 0 else (*shape[:-1], *aval.shape)
        parts.append(part.reshape(sizes) if isinstance(part, np.ndarray) else reshape(part, sizes))
        start = stop
    return parts


def _check_input(name: str, x: Any, holomorphic: bool, wanted: Any) -> None:
    check_arraylike(x, name, "an argument")
    dtype = get_aval(x).dtype
    if holomorphic:
        if dtype.kind != "c":
            raise TypeError(
                f"{name} with holomorphic=True requires inputs with complex dtype, but got {dtype.name}."
            )
    elif wanted is not None and not dtypes.issubdtype(dtype, wanted):
        kind = "real-valued" if wanted is np.floating else "real- or complex-valued"
        raise TypeError(
            f"{name} requires {kind} inputs (input dtype that is a sub-dtype of np.{wanted.__name__}), but"
            f" got {dtype.name}. For holomorphic differentiation, pass holomorphic=True; integers have no"
            " derivative."
        )


def _check_output(y: Any, holomorphic: bool) -> None:
    dtype = get_aval(y).dtype
    if holomorphic and dtype.kind != "c":
        raise TypeError(
            f"jacrev with holomorphic=True requires outputs with complex dtype, but got {dtype.name}."
        )
    if not holomorphic and not dtypes.issubdtype(dtype, np.floating):
        raise TypeError(
            "jacrev requires real-valued outputs (output dtype that is a sub-dtype of np.floating), but got"
            f" {dtype.name}. For holomorphic differentiation, pass holomorphic=True; otherwise use jax.vjp."
        )
