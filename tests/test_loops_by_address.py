"""Special functions, transforms and samplers in compiled programs: none goes back to Python, and they are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special

import wengert
import wengert.numpy as jnp
from wengert import lax, random
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import Call, Program, Ufunc
from wengert.compiler.pipeline import compile_jaxpr
from wengert.compiler.rewrite import bodies
from wengert.config import check_memory
from wengert.core.staging import hoist_consts, stage
from wengert.core.trace import get_aval
from wengert.core.ufuncs import find_ufunc
from wengert.prims import gamma, hypergeometric, integrals, special
from wengert.runtime import foreign

X = np.linspace(0.15, 0.85, 12).reshape(3, 4)
HYPER = hypergeometric.hypergeometric_slope_p
# Each function with the number of its operands; all are defined from 0.15 to 3 in each of them.
FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    **{
        p.name: (p.bind, n)
        for p, n in (
            (special.bessel_i0e_p, 1),
            (special.bessel_i1e_p, 1),
            (special.polygamma_p, 2),
            (special.regularized_incomplete_beta_p, 3),
            (gamma.beta_p, 2),
            (gamma.betaln_p, 2),
            (gamma.binom_p, 2),
            (gamma.gamma_p, 1),
            (gamma.loggamma_p, 1),
            (gamma.poch_p, 2),
            (gamma.igamma_p, 2),
            (gamma.igammac_p, 2),
            (gamma.igamma_grad_a_p, 2),
            (gamma.random_gamma_grad_p, 2),
            (integrals.cosine_integral_p, 1),
            (integrals.sine_integral_p, 1),
            (integrals.dawsn_p, 1),
            (integrals.erfcx_p, 1),
            (integrals.expi_p, 1),
            (integrals.fresnel_c_p, 1),
            (integrals.fresnel_s_p, 1),
            (integrals.ndtri_p, 1),
            (integrals.owens_t_p, 2),
            (integrals.spence_p, 1),
            (hypergeometric.hyp1f1_p, 3),
            (hypergeometric.hyp2f1_p, 4),
            (hypergeometric.riemann_zeta_p, 1),
            (hypergeometric.riemann_zeta_slope_p, 1),
        )
    },
    "zeta": (lambda x, q: special.zeta(x + 1, q), 2),
    "zeta_slope": (lambda x, q: special.zeta_slope_p.bind(x + 1, q), 2),
    "expn": (lambda n, x: integrals.expn_p.bind(jnp.round(4 * n), x), 2),
    "bessel_j": (lambda x: integrals.bessel_j_p.bind(x, order=2), 1),
    "hypergeometric_slope": (lambda *a: HYPER.bind(*a, function="hyp2f1", position=1), 4),
}
COMPLEX: dict[str, Callable[..., Any]] = {
    "psi": gamma.psi_p.bind,
    "wofz": integrals.wofz_p.bind,
    "gamma": gamma.gamma_p.bind,
    "loggamma": gamma.loggamma_p.bind,
}


def program_of(fun: Callable[..., Any], *args: Any) -> Program:
    closed = hoist_consts(stage(lambda *xs: [fun(*xs)], [get_aval(a) for a in args]))
    return compile_jaxpr(closed.jaxpr).program


def calls(stmts: Any) -> list[Call]:
    found = []
    for stmt in stmts:
        found += [stmt] if isinstance(stmt, Call) else [c for b in bodies(stmt) for c in calls(b)]
    return found


def host_calls(fun: Callable[..., Any], *args: Any) -> list[str]:
    return [repr(c.payload) for c in calls(program_of(fun, *args).body) if c.name == "host"]


def operands(count: int, dtype: Any) -> list[Any]:
    return [jnp.asarray(X + 0.05 * n, dtype) for n in range(count)]


def close(found: Any, expected: Any, dtype: Any) -> None:
    np.testing.assert_allclose(
        np.asarray(found).astype(complex),
        np.asarray(expected).astype(complex),
        rtol=(128 if np.dtype(dtype).itemsize == 8 else 2) * float(ml_dtypes.finfo(dtype).eps),
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_real_functions(name: str) -> None:
    fun, count = FUNCTIONS[name]
    with wengert.enable_x64(True):
        for dtype in (np.float64, np.float32, np.float16, ml_dtypes.bfloat16):
            args = operands(count, dtype)
            close(wengert.jit(fun)(*args), fun(*args), dtype)
        args[-1] = args[-1][0, 0]  # a scalar beside arrays, or alone
        close(wengert.jit(fun)(*args), fun(*args), dtype)
        assert not host_calls(fun, *args)


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_functions(name: str) -> None:
    fun = COMPLEX[name]
    for dtype in (np.complex64, np.complex128):
        with wengert.enable_x64(True):
            z = jnp.asarray(X + 1j * X.T.reshape(3, 4), dtype)
            close(wengert.jit(fun)(z), fun(z), np.finfo(dtype).dtype)
            assert not host_calls(fun, z)


def test_in_loops_batches_and_derivatives() -> None:
    def step(x: Any, t: Any) -> Any:
        return lax.igamma(x + 1, t) + lax.bessel_i0e(x), x

    def run(x: Any) -> Any:
        last, path = lax.scan(step, x, jnp.linspace(0.5, 2, 5))
        return last + path.sum()

    x = jnp.asarray(X[0], np.float32)
    expected = [float(run(v)) for v in x]
    np.testing.assert_allclose(wengert.jit(wengert.vmap(run))(x), expected, rtol=1e-6)
    slope = wengert.jit(wengert.grad(run))(x[1])
    difference = (float(run(x[1] + 1e-2)) - float(run(x[1] - 1e-2))) / 2e-2
    np.testing.assert_allclose(slope, difference, rtol=2e-3)
    assert not host_calls(wengert.grad(run), x[1])


@pytest.mark.parametrize("size", [1, 7, 1000, 30_000])
def test_large_arrays_and_guarded_memory(size: int) -> None:
    a = jnp.asarray(np.linspace(0.1, 9, size), np.float32)
    fun = wengert.jit(lambda a: lax.igammac(a, a + 1) + lax.igamma(a, jnp.float32(2)))
    expected = lax.igammac(a, a + 1) + lax.igamma(a, jnp.float32(2))
    np.testing.assert_array_equal(fun(a), expected)
    with check_memory(True):
        np.testing.assert_array_equal(wengert.jit(lambda a: fun(a) * 1)(a), expected)


def test_loops_that_are_not_as_they_should_be_call_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read from the struct of a ufunc must agree with what the ufunc says of itself."""
    ufunc = find_ufunc("special.gammainc")
    assert foreign._loop_of(ufunc, "dd->d") is not None
    assert foreign._loop_of(ufunc, "gg->g") is None
    assert foreign._loop_of(None, "dd->d") is None
    assert find_ufunc("special.no_such_function") is None
    assert find_ufunc("special._zeta") is not None  # private: if it goes, calls become slow
    monkeypatch.setattr(foreign, "_loop_of", lambda ufunc, types: None)
    table = foreign._provide("wengert_table_special_gammaincc_dd_d")
    assert table is not None
    monkeypatch.setattr("wengert.backends.symbols._symbols", {"wengert_table_special_gammaincc_dd_d": table})
    with wengert.enable_x64(True):
        x = jnp.asarray(X)
        found = wengert.jit(lambda x: lax.igammac(x, 3 * x + 2))(x)
        np.testing.assert_array_equal(found, lax.igammac(x, 3 * x + 2))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_usual_and_other_operands(dtype: Any) -> None:
    """Where all operands are in the usual domain there is vector code; where some are not, SciPy computes all."""
    nan, inf = np.nan, np.inf
    rng = np.random.default_rng(2)
    zeta, betainc = special.zeta_p.bind, special.regularized_incomplete_beta_p.bind
    cases = [
        (zeta, 1 + np.exp(rng.uniform(-8, 5, 400)), np.exp(rng.uniform(-6, 9, 400))),
        (zeta, [2, 2, 1, 0.5, 3, nan, 2, inf, 2, 2.5], [-1, -0.5, 1, 1, 0, 1, nan, 1, inf, -0.5]),
        (betainc, np.exp(rng.uniform(-4, 8, 400)), np.exp(rng.uniform(-4, 8, 400)), rng.uniform(0, 1, 400)),
        (betainc, [2, 2, 2, 0.5], [3, 3, 3, 0.5], [0, 1, 0.5, 1e-8]),
        (
            betainc,
            [1, 0, 1, -1, nan, 2, 2, 2],
            [1, 1, 0, 1, 1, 3, 3, 3],
            [0.5, 0.5, 0.5, 0.5, 0.5, -1, 2, nan],
        ),
        (special.bessel_i0e_p.bind, [0, -0.0, 8, -8, 30, 1e30, inf, -inf, nan]),
        (special.bessel_i1e_p.bind, [0, -0.0, 8, -8, 30, 1e30, inf, -inf, nan]),
    ]
    with wengert.enable_x64(True):
        for fun, *values in cases:
            args = [jnp.asarray(np.asarray(v, dtype)) for v in values]
            found, expected = np.asarray(wengert.jit(fun)(*args)), np.asarray(fun(*args))
            info = np.finfo(dtype)
            np.testing.assert_allclose(found, expected, rtol=8 * info.eps, atol=info.tiny)
            assert not host_calls(fun, *args)


def test_what_scipy_raises() -> None:
    """In the thread that runs the program: what the worker team meets is lost."""
    fun, x = wengert.jit(gamma.gamma_p.bind), jnp.full(3, -2.0)
    with (
        scipy.special.errstate(all="raise"),
        pytest.raises(scipy.special.SpecialFunctionError, match="singularity"),
    ):
        fun(x)
    assert np.isnan(fun(x)).all()


SHAPES = [
    ((64,), (0,)),
    ((7,), (0,)),
    ((6, 5), (1,)),
    ((6, 5), (0,)),
    ((4, 3, 6), (0, 1, 2)),
    ((2, 8, 3, 4), (1, 2)),
]


@pytest.mark.parametrize(("shape", "axes"), SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["fftn", "ifftn", "rfftn", "irfftn"])
def test_small_transforms(kind: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    def fun(x: Any) -> Any:
        return getattr(jnp.fft, kind)(x, axes=axes)

    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=shape), np.float32)
    for y in (x, x * np.complex64(1 + 2j)) if kind != "rfftn" else (x,):
        found = wengert.jit(fun)(y)
        expected = getattr(np.fft, kind)(
            np.asarray(y).astype(np.complex128 if kind != "rfftn" else float), axes=axes
        )
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=4e-7 * scale)
        assert not host_calls(fun, y)
        program = program_of(fun, y)
        assert any(isinstance(c.payload, Ufunc) for c in calls(program.body))
        np.testing.assert_allclose(interpret(program, [np.asarray(y)])[0], found, rtol=0, atol=4e-7 * scale)


def test_large_transforms_of_real_numbers_get_real_numbers() -> None:
    x = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)
    for factor in (1, 2):

        def fun(x: Any, factor: int = factor) -> Any:
            return jnp.fft.fft2(x if factor == 1 else factor * x)

        [call] = [c for c in calls(program_of(fun, x).body) if c.name == "host"]
        assert call.inputs[0].dtype == np.float32
        expected = np.fft.fft2(factor * x.astype(float))
        np.testing.assert_allclose(wengert.jit(fun)(x), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


SAMPLERS: dict[str, Callable[..., Any]] = {
    "gamma": lambda key, a: random.gamma(key, 5 * a),
    "loggamma": lambda key, a: random.loggamma(key, a),
    "poisson": lambda key, a: random.poisson(key, 20 * a),
    "binomial": lambda key, a: random.binomial(key, jnp.floor(60 * a), a),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers(name: str) -> None:
    fun, key = SAMPLERS[name], random.key(5)
    for shape in ((), (300,)):
        a = jnp.asarray(np.random.default_rng(1).uniform(0.1, 0.9, shape), np.float32)
        np.testing.assert_allclose(wengert.jit(fun)(key, a), fun(key, a), rtol=1e-5, atol=1e-5)
        assert not host_calls(fun, key, a)
    keys = random.split(key, 4)
    a = a[:12].reshape(4, 3)
    rows = [np.asarray(fun(k, row)) for k, row in zip(keys, a, strict=True)]
    np.testing.assert_allclose(wengert.jit(wengert.vmap(fun))(keys, a), rows, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("algorithm", [1, 2])
def test_bits_of_states(algorithm: int) -> None:
    state = jnp.asarray([[1, 2, 2**32 - 1, 5], [7, 2**31, 0, 2**32 - 1]], np.uint32)
    for shape in ((), (5,), (3, 4)):
        for dtype in (np.uint8, np.uint32):

            def fun(state: Any, shape: Any = shape, dtype: Any = dtype) -> Any:
                return lax.rng_bit_generator(state, shape, dtype, algorithm)

            for s in (state[0], state):
                batched = fun if s.ndim == 1 else wengert.vmap(fun)
                for found, expected in zip(wengert.jit(batched)(s), batched(s), strict=True):
                    np.testing.assert_array_equal(found, expected)
            assert not host_calls(lambda s, fun=fun: fun(s)[1], state[0])
