"""Derivatives against finite differences, in random directions: `wengert.test_util`, as `jax.test_util`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.core import dtypes
from wengert.core.trace import get_aval
from wengert.transforms.vjp import jvp, vjp

Fun = Callable[..., Any]
"""A function of arrays or pytrees."""
# How large a difference counts, by the bits of the dtype; and the step, the cube root of its precision.
_TOLERANCES = {16: 0.1, 32: 2e-2, 64: 1e-5}


def _precision(values: Any) -> int:
    """The bits of the least precise float among the leaves; 64 if there is none."""
    found = [
        dtypes.finfo(get_aval(x).dtype).bits
        for x in tree.leaves(values)
        if dtypes.issubdtype(get_aval(x).dtype, np.inexact)
    ]
    return min(found, default=64)


def _direction(rng: np.random.Generator, values: Any) -> Any:
    """A random tangent of a pytree; zeros (float0) for what isn't perturbed."""

    def draw(x: Any) -> Any:
        aval = get_aval(x)
        if not dtypes.issubdtype(aval.dtype, np.inexact):
            return np.zeros(aval.shape, dtypes.float0)
        drawn = rng.normal(size=aval.shape)
        if aval.dtype.kind == "c":
            drawn = drawn + 1j * rng.normal(size=aval.shape)
        return np.asarray(drawn, aval.dtype)

    return tree.map(draw, values)


def _moved(values: Any, direction: Any, step: float) -> Any:
    def move(x: Any, d: Any) -> Any:
        return x if d.dtype == dtypes.float0 else np.asarray(np.asarray(x) + step * d, get_aval(x).dtype)

    return tree.map(move, values, direction)


def _inner(a: Any, b: Any) -> float:
    """The sum of the products of all leaves, without conjugation; the real part."""
    total = 0.0
    for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True):
        if np.asarray(x).dtype != dtypes.float0 and np.asarray(y).dtype != dtypes.float0:
            total += float(
                np.real(np.vdot(np.conj(np.asarray(x, np.complex128)), np.asarray(y, np.complex128)))
            )
    return total


def _numerical(f: Fun, args: Any, direction: Any, eps: float) -> Any:
    """The derivative of f in a direction, by a central difference."""
    above, below = f(*_moved(args, direction, eps)), f(*_moved(args, direction, -eps))

    def difference(a: Any, b: Any) -> Any:
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.kind not in "fcV" or not dtypes.issubdtype(a.dtype, np.inexact):
            return np.zeros(a.shape, dtypes.float0)
        return (a.astype(np.complex128) - b) / (2 * eps)

    return tree.map(difference, above, below)


def _assert_close(found: Any, expected: Any, atol: float, rtol: float, message: str) -> None:
    for x, y in zip(tree.leaves(found), tree.leaves(expected), strict=True):
        if np.asarray(y).dtype != dtypes.float0:
            np.testing.assert_allclose(np.asarray(x), np.asarray(y), atol=atol, rtol=rtol, err_msg=message)


def _settings(args: Any, atol: Any, rtol: Any, eps: Any) -> tuple[float, float, float]:
    bits = _precision(args)
    tolerance = _TOLERANCES[bits]
    step = {16: 1e-1, 32: 1e-2, 64: 1e-5}[bits]
    return (
        tolerance if atol is None else atol,
        tolerance if rtol is None else rtol,
        step if eps is None else eps,
    )


def check_jvp(
    f: Fun,
    f_jvp: Fun,
    args: Any,
    atol: Any = None,
    rtol: Any = None,
    eps: Any = None,
    err_msg: str = "",
) -> None:
    """Compare f_jvp(args, tangents) with a finite difference of f in a random direction.

    Raises:
      AssertionError: they differ by more than the tolerances.
    """
    atol, rtol, eps = _settings(args, atol, rtol, eps)
    direction = _direction(np.random.default_rng(0), args)
    out, tangent = f_jvp(args, direction)
    _assert_close(out, f(*args), atol, rtol, f"{err_msg} value of the jvp")
    _assert_close(tangent, _numerical(f, args, direction, eps), atol, rtol, f"{err_msg} tangent of the jvp")


def check_vjp(
    f: Fun,
    f_vjp: Fun,
    args: Any,
    atol: Any = None,
    rtol: Any = None,
    eps: Any = None,
    err_msg: str = "",
) -> None:
    """Compare f_vjp(*args), which gives a value and a pullback, with a finite difference in a random direction.

    Raises:
      AssertionError: they differ by more than the tolerances.
    """
    atol, rtol, eps = _settings(args, atol, rtol, eps)
    rng = np.random.default_rng(0)
    out, pullback = f_vjp(*args)
    _assert_close(out, f(*args), atol, rtol, f"{err_msg} value of the vjp")
    direction, cotangent = _direction(rng, args), _direction(rng, out)
    expected = _inner(cotangent, _numerical(f, args, direction, eps))
    found = _inner(pullback(cotangent), direction)
    np.testing.assert_allclose(
        found, expected, atol=atol, rtol=rtol, err_msg=f"{err_msg} cotangent of the vjp"
    )


def check_grads(
    f: Fun,
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: Any = None,
    rtol: Any = None,
    eps: Any = None,
) -> None:
    """Compare the derivatives of f up to an order with finite differences, in random directions.

    Args:
      f: a function of arrays or pytrees.
      args: where; a sequence of its arguments.
      order: the highest order of derivatives.
      modes: "fwd" checks jvp, "rev" checks vjp; derivatives of higher order take all combinations.
      atol, rtol: tolerances; by default what the dtypes allow.
      eps: the step of the differences.
    Raises:
      AssertionError: they differ by more than the tolerances.
    """
    args = tuple(args)
    if "fwd" in modes:
        check_jvp(f, lambda primals, tangents: jvp(f, primals, tangents), args, atol, rtol, eps, "fwd")
    if "rev" in modes:
        check_vjp(f, lambda *primals: vjp(f, *primals), args, atol, rtol, eps, "rev")
    if order < 2:
        return
    direction = _direction(np.random.default_rng(order), args)
    if "fwd" in modes:
        check_grads(lambda *x: jvp(f, x, direction)[1], args, order - 1, modes, atol, rtol, eps)
    if "rev" in modes:
        cotangent = _direction(np.random.default_rng(order), f(*args))
        check_grads(lambda *x: vjp(f, *x)[1](cotangent), args, order - 1, modes, atol, rtol, eps)
