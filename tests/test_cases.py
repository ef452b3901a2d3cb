"""The witnesses of the table of primitives: each row of `cases` is tested in all these ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cases_complex  # noqa: F401  (adds its rows to the table)
import cases_fft  # noqa: F401
import cases_linalg  # noqa: F401
import cases_random  # noqa: F401
import cases_solvers  # noqa: F401
import cases_special  # noqa: F401
import numpy as np
import pytest
from cases import CASES, Case

from wengert import jit, jvp, lax, linear_transpose, make_jaxpr, vjp, vmap
from wengert.config import enable_x64
from wengert.core.jaxpr import check_jaxpr, subjaxprs

F64 = np.dtype(np.float64)
TYPED = [pytest.param(c, d, id=f"{c.name}, {d}") for c in CASES for d in c.dtypes]
SMOOTH = [pytest.param(c, id=c.name) for c in CASES if c.smooth and c.dtypes[0].kind == "f"]
LINEAR = [pytest.param(c, id=c.name) for c in CASES if c.linear]
FIRST = [pytest.param(c, c.dtypes[0], id=c.name) for c in CASES]


@contextmanager
def precision_for(dtype: np.dtype[Any]) -> Iterator[None]:
    wide = (dtype.itemsize == 8 and dtype.kind in "iuf") or dtype.itemsize == 16
    with enable_x64(wide):
        yield


def as_list(outs: Any) -> list[Any]:
    return list(outs) if isinstance(outs, tuple | list) else [outs]


def numbers(outs: Any) -> list[Any]:
    return [np.asarray(o) for o in as_list(outs)]


def assert_close(found: Any, expected: Any, ulps: float, dtype: np.dtype[Any] | None = None) -> None:
    for a, b in zip(numbers(found), numbers(expected), strict=True):
        assert a.shape == b.shape
        if a.dtype.kind not in "fc":
            np.testing.assert_array_equal(a, b.astype(a.dtype))
            continue
        finite = np.abs(b[np.isfinite(b)])
        eps = np.finfo(dtype or a.dtype).eps
        scale = finite.max() if finite.size else 1.0
        np.testing.assert_allclose(a, b, rtol=ulps * eps, atol=ulps * eps * scale)


@pytest.mark.parametrize(("case", "dtype"), TYPED)
def test_reference(case: Case, dtype: np.dtype[Any]) -> None:
    values = case.values(dtype)
    wide = {"f": np.float64, "c": np.complex128}
    exact = [v.astype(wide[v.dtype.kind]) if v.dtype.kind in wide and not _bits(case) else v for v in values]
    with precision_for(dtype), np.errstate(all="ignore"):
        found = case.fun(*values)
        expected = case.reference(*exact)
    assert_close(found, expected, case.ulps)


def _bits(case: Case) -> bool:
    """Whether the result depends on the dtype and not only on the values."""
    return case.name.startswith(("bitcast", "nextafter", "reduce_precision", "convert", "iota"))


@pytest.mark.parametrize(("case", "dtype"), TYPED)
def test_compiled(case: Case, dtype: np.dtype[Any]) -> None:
    values = case.values(dtype)
    with precision_for(dtype):
        expected = case.fun(*values)
        found = jit(case.fun)(*values)
    for a, b in zip(as_list(found), as_list(expected), strict=True):
        assert a.aval is b.aval
    assert_close(found, expected, case.ulps)


@pytest.mark.parametrize(("case", "dtype"), FIRST)
def test_jaxpr(case: Case, dtype: np.dtype[Any]) -> None:
    values = case.values(dtype)
    with precision_for(dtype):
        closed = make_jaxpr(case.fun)(*values)
        check_jaxpr(closed)
        text = str(closed)
        assert text.startswith("{ lambda ")
        for eqn in closed.eqns:
            assert eqn.primitive.name in text
        batched = make_jaxpr(vmap(case.fun))(*[np.stack([v, v]) for v in values])
        check_jaxpr(batched)
        if case.smooth:
            smooth = _only_smooth(case, values)
            args = [values[i] for i in case.smooth]
            check_jaxpr(make_jaxpr(lambda *xs: jvp(smooth, xs, xs))(*args))
            check_jaxpr(make_jaxpr(lambda *xs: _pullback(smooth, xs))(*args))


def _only_smooth(case: Case, values: Sequence[Any]) -> Callable[..., list[Any]]:
    """The case as a function of its differentiable arguments, with its differentiable results."""

    def smooth(*xs: Any) -> list[Any]:
        args = list(values)
        for i, x in zip(case.smooth, xs, strict=True):
            args[i] = x
        return [o for o in as_list(case.fun(*args)) if o.dtype.kind in "fc"]

    return smooth


def _pullback(fun: Callable[..., list[Any]], xs: Sequence[Any]) -> Any:
    outs, pull = vjp(fun, *xs)
    return pull([lax.add(o, lax.full(o.shape, 1, o.dtype)) for o in outs])


@pytest.mark.parametrize(("case", "dtype"), FIRST)
def test_vmap(case: Case, dtype: np.dtype[Any]) -> None:
    """Each argument alone and all together, with the axis in front and at the end, against a loop."""
    n = len(case.args)
    one = case.values(dtype)
    generator = np.random.default_rng(1)
    many = [[arg.values(generator, v.dtype) for _ in range(3)] for arg, v in zip(case.args, one, strict=True)]
    subsets = {(i,) for i in range(n)} | {tuple(range(n))}
    with precision_for(dtype):
        for subset in sorted(subsets):
            for last in (False, True):
                axes = [(np.ndim(one[i]) if last else 0) if i in subset else None for i in range(n)]
                args = [one[i] if a is None else np.stack(many[i], a) for i, a in enumerate(axes)]
                found = vmap(case.fun, in_axes=tuple(axes))(*args)
                rows = [
                    case.fun(*[many[i][k] if i in subset else one[i] for i in range(n)]) for k in range(3)
                ]
                expected = [np.stack(parts) for parts in zip(*[numbers(r) for r in rows], strict=True)]
                assert_close(found, expected, case.ulps)
                if not last:
                    assert_close(jit(vmap(case.fun, in_axes=tuple(axes)))(*args), expected, case.ulps)


def _direction(generator: np.random.Generator, values: Sequence[Any]) -> list[Any]:
    found = []
    for v in values:
        step = np.asarray(generator.standard_normal(v.shape))
        found.append(
            (step + 1j * generator.standard_normal(v.shape) if v.dtype.kind == "c" else step).astype(v.dtype)
        )
    return found


def _dot(a: Sequence[Any], b: Sequence[Any]) -> float:
    return sum(float(np.sum(np.asarray(x) * np.asarray(y)).real) for x, y in zip(a, b, strict=True))


def _check_derivatives(fun: Callable[..., list[Any]], values: list[Any], order: int) -> None:
    """jvp against central differences, vjp against jvp, in random directions; then both of these in turn."""
    generator = np.random.default_rng(order)
    step = _direction(generator, values)
    h = 1e-5
    ahead, behind = (
        [np.asarray(np.asarray(v) + s * h * d) for v, d in zip(values, step, strict=True)] for s in (1, -1)
    )
    slope = [(a - b) / (2 * h) for a, b in zip(numbers(fun(*ahead)), numbers(fun(*behind)), strict=True)]
    outs, tangents = jvp(fun, tuple(values), tuple(step))
    for t, s in zip(tangents, slope, strict=True):
        scale = max(1.0, float(np.abs(s).max(initial=0)))
        np.testing.assert_allclose(np.asarray(t), s, rtol=1e-5, atol=1e-5 * scale)
    cts = _direction(generator, outs)
    _, pull = vjp(fun, *values)
    gradient = pull(cts)
    np.testing.assert_allclose(_dot(gradient, step), _dot(cts, tangents), rtol=1e-8, atol=1e-8)
    compiled = jit(lambda *xs: vjp(fun, *xs)[1](cts))(*values)
    assert_close(compiled, gradient, 64)
    if order > 1:
        _check_derivatives(lambda *xs: jvp(fun, xs, tuple(step))[1], values, order - 1)
        _check_derivatives(lambda *xs: list(vjp(fun, *xs)[1](cts)), values, order - 1)


@pytest.mark.parametrize("case", SMOOTH)
def test_derivatives(case: Case) -> None:
    with enable_x64(True):
        values = case.values(F64)
        args = [np.asarray(values[i]).astype(F64) for i in case.smooth]
        _check_derivatives(_only_smooth(case, values), args, 2)


@pytest.mark.parametrize("case", LINEAR)
def test_transpose(case: Case) -> None:
    """<f(x), y> = <x, transposed f(y)>, x being what f is linear in; of complex numbers, the real parts."""
    dtype = np.dtype(np.complex128) if case.dtypes[0].kind == "c" else F64
    generator = np.random.default_rng(2)
    with enable_x64(True):
        values = case.values(dtype)
        xs = [values[i] for i in case.linear]

        def fun(*xs: Any) -> list[Any]:
            args = list(values)
            for i, x in zip(case.linear, xs, strict=True):
                args[i] = x
            return as_list(case.fun(*args))

        outs = fun(*xs)
        cts = _direction(generator, outs)
        back = linear_transpose(fun, *xs)(cts)
    left = sum(np.sum(np.asarray(o) * c).real for o, c in zip(outs, cts, strict=True))
    right = sum(np.sum(np.asarray(b) * x).real for b, x in zip(back, xs, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-10)


def _primitives(jaxpr: Any) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        yield eqn.primitive
        for sub in subjaxprs(eqn.params):
            yield from _primitives(sub)


def test_every_primitive_has_a_row() -> None:
    elsewhere = {"scan", "while", "cond", "rng_uniform", "after_all"}
    elsewhere |= {"psum", "pmax", "pmin", "ppermute", "all_gather", "all_to_all", "axis_index"}  # collectives
    covered = set()
    for case in CASES:
        with precision_for(case.dtypes[0]):
            covered |= {p.name for p in _primitives(make_jaxpr(case.fun)(*case.values(case.dtypes[0])))}
    offered = {value.name for name, value in vars(lax).items() if name.endswith("_p")}
    assert offered - covered - elsewhere == set()
