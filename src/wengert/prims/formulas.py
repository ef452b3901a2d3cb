"""Formulas in double precision, each written once: for NumPy, and for the compiler.

A formula is `formula(xp, *doubles, **params)`. It computes with the operators of its operands and with functions of
`xp`, which have the names of NumPy's and of scipy.special's: with NumPy these are those themselves, in compiled code
primitives.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.config import enable_x64
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.staging import stage
from wengert.prims import arithmetic, logic, transcendental
from wengert.prims.axes import broadcast_in_dim, reduce_sum_p
from wengert.prims.constructors import Rule
from wengert.prims.conversion import convert
from wengert.prims.elementwise import REALS, elementwise
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota

scipy_special = lazy_module("scipy.special")
_F64 = np.dtype(np.float64)


class _Numbers:
    """The functions of NumPy, and those of scipy.special."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name, None) or getattr(scipy_special, name)

    @staticmethod
    def sum_over(
        count: int, points: Callable[[Any], Sequence[Any]], term: Callable[..., Any], *like: Any
    ) -> Any:
        """The sum of term(*points(k), *like) over k = 0.0 ... count - 1."""
        return np.sum(term(*points(np.arange(float(count))), *[np.asarray(x)[..., None] for x in like]), -1)


class _Program:
    """The same as primitives. `special` gives it those for which there is vector code."""

    hurwitz_zeta: Any
    psi: Any
    gammaln: Any

    exp, log, log1p, expm1 = map(
        staticmethod, (transcendental.exp, transcendental.log, transcendental.log1p, transcendental.expm1)
    )
    sin, cos, sinh, cosh, tanh, sqrt = map(
        staticmethod,
        (
            transcendental.sin,
            transcendental.cos,
            transcendental.sinh,
            transcendental.cosh,
            transcendental.tanh,
            transcendental.sqrt,
        ),
    )
    isfinite, abs = staticmethod(arithmetic.is_finite), staticmethod(arithmetic.abs_)

    def __getattr__(self, name: str) -> Any:
        return lambda *args: _loop(name).bind(*map(_double, args))

    def zeta(self, *args: Any) -> Any:
        function = self.hurwitz_zeta if len(args) == 2 else _loop("_riemann_zeta").bind
        return function(*map(_double, args))

    @staticmethod
    def where(pred: Any, on_true: Any, on_false: Any) -> Any:
        a, b = _double(on_true), _double(on_false)
        shape = max(np.shape(x) if not hasattr(x, "aval") else x.aval.shape for x in (pred, a, b))
        return select(*[_spread(x, shape) for x in (pred, a, b)])

    @staticmethod
    def maximum(x: Any, y: Any) -> Any:
        return arithmetic.max(_double(x), _double(y))

    @staticmethod
    def minimum(x: Any, y: Any) -> Any:
        return arithmetic.min(_double(x), _double(y))

    @staticmethod
    def power(x: Any, y: Any) -> Any:
        return transcendental.pow(_double(x), _double(y))

    @staticmethod
    def floor(x: Any) -> Any:
        return arithmetic.floor(_double(x))

    def trunc(self, x: Any) -> Any:
        return self.where(logic.lt(x, _double(0)), arithmetic.ceil(x), arithmetic.floor(x))

    @staticmethod
    def sum_over(
        count: int, points: Callable[[Any], Sequence[Any]], term: Callable[..., Any], *like: Any
    ) -> Any:
        shape = max(x.aval.shape for x in like)
        whole = (*shape, count)
        made = [
            broadcast_in_dim(p, whole, (len(shape),)) for p in points(broadcasted_iota(_F64, (count,), 0))
        ]
        wide = [broadcast_in_dim(x, whole, range(x.aval.ndim)) for x in like]
        return reduce_sum_p.bind(term(*made, *wide), axes=(len(shape),))


def _double(x: Any) -> Any:
    return x if hasattr(x, "aval") else np.float64(x)


def _spread(x: Any, shape: Any) -> Any:
    return x if hasattr(x, "aval") and x.aval.shape == shape else broadcast_in_dim(x, shape, ())


@functools.cache
def _loop(name: str) -> Primitive:
    """The primitive for a function of scipy.special."""

    def impl(xp: Any, *args: Any) -> Any:
        return getattr(scipy_special, {"_zeta": "zeta", "_riemann_zeta": "zeta"}.get(name, name))(*args)

    return elementwise(name, impl, accepts=REALS, loop=name)


NUMBERS, PROGRAM = _Numbers(), _Program()


def staged(run: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray]) -> ClosedJaxpr:
    """The program of a function that may compute with 64 bits, whatever the setting is."""
    wide: Any = enable_x64(True)
    with wide:
        return stage(run, [ShapedArray(a.shape, a.dtype) for a in avals])


def in_numbers(formula: Rule) -> Rule:
    """The `impl` of a formula: the result is rounded once, to the dtype of the last operand."""

    def impl(xp: Any, *args: Any, **params: Any) -> Any:
        dtype = np.asarray(args[-1]).dtype
        with np.errstate(all="ignore"):
            found = formula(NUMBERS, *[np.asarray(a, _F64) for a in args], **params)
            return np.asarray(found).astype(dtype)

    return impl


def as_program(formula: Rule) -> Rule:
    """The rule `expand` of a formula."""

    def expand(*avals: ShapedArray, **params: Any) -> ClosedJaxpr:
        def run(*args: Any) -> list[Any]:
            found = formula(PROGRAM, *[convert(a, _F64) for a in args], **params)
            return [convert(found, avals[-1].dtype)]

        return staged(run, avals)

    return expand
