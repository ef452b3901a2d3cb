"""The transformations: derivatives, vectorization, rules of the user's, and all of them nested at random."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import wengert
import wengert.numpy as wnp
from wengert import lax, tree
from wengert.config import enable_x64
from wengert.core.jaxpr import check_jaxpr
from wengert.core.zeros import Zero
from wengert.custom_derivatives import SymbolicZero, custom_vjp_primal_tree_values, zero_from_primal

Fun = Callable[..., Any]


def values(x: Any) -> Any:
    """A pytree of arrays as one of NumPy arrays."""
    return tree.map(np.asarray, x)


def assert_close(found: Any, expected: Any, tol: float = 1e-5) -> None:
    a, ta = tree.flatten(values(found))
    b, tb = tree.flatten(values(expected))
    assert ta == tb
    for x, y in zip(a, b, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=tol, atol=tol)


def numeric_jvp(f: Fun, primals: tuple[Any, ...], tangents: tuple[Any, ...], eps: float = 1e-5) -> Any:
    """Central differences, in double precision."""
    ahead = f(*(p + eps * t for p, t in zip(primals, tangents)))
    behind = f(*(p - eps * t for p, t in zip(primals, tangents)))
    return tree.map(lambda a, b: (np.asarray(a) - np.asarray(b)) / (2 * eps), ahead, behind)


def check_derivatives(f: Fun, *primals: Any, order: int = 2, tol: float = 1e-6) -> None:
    """Forward and reverse mode against differences along random directions, to the given order."""
    rng = np.random.default_rng(len(primals))
    primals = tuple(np.asarray(p, np.float64) for p in primals)
    tangents = tuple(rng.standard_normal(p.shape) for p in primals)
    with enable_x64(True):
        out, tangent = wengert.jvp(f, primals, tangents)
        assert_close(tangent, numeric_jvp(f, primals, tangents), tol)
        out_again, pullback = wengert.vjp(f, *primals)
        assert_close(out_again, out, 1e-12)
        ct = tree.map(lambda y: rng.standard_normal(np.shape(y)), out)
        cts = pullback(ct)
        pairing = sum(np.vdot(a, b) for a, b in zip(tree.leaves(values(ct)), tree.leaves(values(tangent))))
        assert_close(sum(np.vdot(a, b) for a, b in zip(values(list(cts)), tangents)), pairing, tol)
        if order > 1:
            check_derivatives(lambda *xs: wengert.vjp(f, *xs)[1](ct), *primals, order=order - 1, tol=10 * tol)
            check_derivatives(
                lambda *xs: wengert.jvp(f, xs, tangents)[1], *primals, order=order - 1, tol=10 * tol
            )


# ------------------------------------------------------------------------------------------------ derivatives


def test_grad_prints_as_in_jax() -> None:
    jaxpr = wengert.make_jaxpr(wengert.grad(lambda x: x**2))(10.0)
    assert [line.strip() for line in str(jaxpr).splitlines()] == [
        "{ lambda ; a:f32[]. let",
        "_:f32[] = integer_pow[y=2] a",
        "b:f32[] = integer_pow[y=1] a",
        "c:f32[] = mul 2.0 b",
        "d:f32[] = mul 1.0 c",
        "in (d,) }",
    ]
    check_jaxpr(jaxpr)


def test_derivatives_of_arithmetic() -> None:
    x, y = np.linspace(0.5, 2, 6).reshape(2, 3), np.linspace(-1, 1, 6).reshape(2, 3)
    check_derivatives(lambda x, y: lax.sin(x) * y + lax.exp(x * y) / x, x, y)
    check_derivatives(lambda x, y: (lax.reduce_sum(x * x * y, (1,)), lax.tanh(y)), x, y)


def test_grad_selects_arguments() -> None:
    def f(x: Any, y: Any, *, k: float = 1.0) -> Any:
        return k * x * y * y

    assert_close(wengert.grad(f)(2.0, 3.0), 9.0)
    assert_close(wengert.grad(f, 1)(2.0, 3.0), 12.0)
    assert_close(wengert.grad(f, -1)(2.0, 3.0), 12.0)
    assert_close(wengert.grad(f, (0, 1))(2.0, 3.0, k=2.0), (18.0, 24.0))
    assert_close(wengert.value_and_grad(f, (1,))(2.0, 3.0), (18.0, (12.0,)))


def test_grad_of_pytrees_and_aux() -> None:
    params = {"w": np.float32(2.0), "b": (np.float32(1.0), np.ones(2, np.float32))}

    def f(p: Any, x: Any) -> Any:
        y = p["w"] * x + p["b"][0]
        return y * y, {"y": y, "note": "kept as it is"}

    gradient, aux = wengert.grad(f, has_aux=True)(params, 3.0)
    assert_close(gradient, {"w": np.float32(42.0), "b": (np.float32(14.0), np.zeros(2, np.float32))})
    assert aux["note"] == "kept as it is"
    assert_close(aux["y"], 7.0)
    (value, _), _ = wengert.value_and_grad(f, has_aux=True)(params, 3.0)
    assert_close(value, 49.0)


def test_grad_of_python_control_flow_on_known_values() -> None:
    def f(x: Any) -> Any:
        while x < 10:
            x = x * x
        return x if x > 20 else -x

    assert_close(wengert.grad(f)(3.0), 4 * 27.0, 1e-4)
    assert_close(wengert.grad(f)(2.0), -32.0)


def test_results_have_the_dtype_and_weak_type_of_arguments() -> None:
    assert wengert.grad(lambda x: x * 2)(1.0).weak_type
    assert wengert.grad(lambda x: x * 2)(np.float16(1)).dtype == np.float16
    assert wengert.grad(lambda x: 3.0)(1.0).item() == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wengert.grad(lambda x: x)(np.ones(3)), r"scalar-output functions. Output had shape: \(3,\)"),
        (lambda: wengert.grad(lambda x: (x, x))(1.0), "scalar-output functions. Output was"),
        (lambda: wengert.grad(lambda x: x)(1), "real- or complex-valued inputs .* but got int32"),
        (lambda: wengert.grad(lambda x: x)(1j), "real-valued outputs .* but got complex64"),
        (lambda: wengert.grad(lambda x: x, holomorphic=True)(1.0), "inputs with complex dtype"),
        (lambda: wengert.grad(lambda x: x > 0)(1.0), "outputs .* but got bool"),
        (lambda: wengert.grad(lambda x: (x, x, x), has_aux=True)(1.0), r"pair \(output, aux\).*tuple of 3"),
        (lambda: wengert.grad(3), "Expected a callable value"),
        (lambda: wengert.grad(lambda x: x, 2)(1.0), "positional argument 2.*with 1 positional argument"),
        (lambda: wengert.grad(lambda x: "a")(1.0), "not a valid JAX type"),
        (lambda: wengert.grad(lambda x: x)("a"), "Cannot interpret value of type"),
        (lambda: wengert.jvp(lambda x: x, (1.0,), 1.0), "must be tuples or lists"),
        (lambda: wengert.jvp(lambda x: x, (1.0,), (1.0, 2.0)), "same tree structure"),
        (lambda: wengert.jvp(lambda x: x, (1.0,), (1,)), "expected tangent dtype float32.*got.*int32"),
        (lambda: wengert.jvp(lambda x: x, (1,), (1,)), "float0"),
        (lambda: wengert.grad(lambda x: lax.sort(x), allow_int=True)(np.arange(3)), "Output had shape"),
    ],
)
def test_type_errors(call: Fun, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wengert.jvp(lambda x: x, (1.0,), (np.ones(2, np.float32),)), "primal and tangent shapes"),
        (lambda: wengert.vjp(lambda x: x, 1.0)[1]((1.0, 2.0)), "unexpected tree structure"),
        (lambda: wengert.vjp(lambda x: x, 1.0)[1](1), r"got i32\[\], but expected f32\[\]"),
        (lambda: wengert.linearize(lambda x: x, 1.0)[1](np.ones(3, np.float32)), "inconsistent"),
    ],
)
def test_value_errors(call: Fun, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_float_of_a_differentiated_value_would_lose_its_derivative() -> None:
    with pytest.raises(wengert.errors.ConcretizationTypeError, match="`float` function"):
        wengert.grad(lambda x: x * float(x))(3.0)
    assert_close(wengert.grad(lambda x: x * int(x))(3.0), 3.0)


def test_integers_have_float0_tangents() -> None:
    gradient = wengert.grad(lambda n, x: n * x, allow_int=True)(3, 2.0)
    assert gradient.dtype == wengert.float0
    out, tangent = wengert.jvp(lambda n, x: n * x, (3, 2.0), (np.zeros((), wengert.float0), 1.0))
    assert_close((out, tangent), (6.0, 3.0))
    _, pullback = wengert.vjp(lambda x: (x, 3), 2.0)
    assert_close(pullback((1.0, np.zeros((), wengert.float0)))[0], 1.0)


def test_complex_derivatives() -> None:
    z = np.complex64(0.3 + 0.4j)
    assert_close(wengert.grad(lambda z: z * z * z, holomorphic=True)(z), 3 * z * z)
    _, pullback = wengert.vjp(lambda z: lax.real(z * z), z)
    assert_close(pullback(np.float32(1))[0], 2 * z)


def test_a_vjp_function_is_a_pytree() -> None:
    @wengert.jit
    def forward(x: Any) -> Any:
        return wengert.vjp(lambda x: lax.sin(x) * x, x)

    @wengert.jit
    def backward(pullback: Any, ct: Any) -> Any:
        return pullback(ct)[0]

    out, pullback = forward(0.7)
    assert_close(out, math.sin(0.7) * 0.7)
    assert_close(backward(pullback, 2.0), 2 * (math.sin(0.7) + 0.7 * math.cos(0.7)))


def test_forward_and_backward_as_two_functions() -> None:
    fwd, bwd = wengert.fwd_and_bwd(lambda x, y: x * x * y, 0)
    out, residuals = fwd(3.0, 2.0)
    assert_close(out, 18.0)
    assert_close(bwd(residuals, 1.0), 12.0)


def test_linearize() -> None:
    calls = []

    def f(x: Any, n: int) -> Any:
        calls.append(1)
        return {"a": lax.sin(x) * n}

    out, f_jvp = wengert.linearize(f, 0.5, 2)
    assert_close(out, {"a": 2 * math.sin(0.5)})
    for t in (1.0, 3.0):
        assert_close(f_jvp(t, np.zeros((), wengert.float0)), {"a": 2 * math.cos(0.5) * t})
    assert len(calls) == 1
    out, _, aux = wengert.linearize(lambda x: (x, "aux"), 1.0, has_aux=True)
    assert aux == "aux"


def test_linear_transpose() -> None:
    struct = wengert.ShapeDtypeStruct((3,), np.float32)
    transposed = wengert.linear_transpose(lambda x: {"y": x * 2.0, "z": lax.reduce_sum(x, (0,))}, struct)
    assert_close(transposed({"y": np.ones(3, np.float32), "z": 5.0})[0], np.full(3, 7.0))
    with pytest.raises(TypeError, match="does not match function output"):
        transposed({"y": np.ones(2, np.float32), "z": 5.0})
    with pytest.raises(NotImplementedError, match="'sin' not implemented"):
        wengert.linear_transpose(lax.sin, struct)(np.ones(3, np.float32))
    with pytest.raises(NotImplementedError, match=r"mul can't be transposed.*test_transforms.py"):
        wengert.linear_transpose(lambda x: x * x, struct)(np.ones(3, np.float32))


def test_linear_transpose_of_a_loop_with_a_counter() -> None:
    def f(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, v: v * (1.0 + i.astype(np.float32)), x)

    assert_close(wengert.linear_transpose(f, 1.0)(2.0)[0], 12.0)


def test_jacobians() -> None:
    x = np.array([0.5, -1.0, 2.0], np.float32)

    def f(p: Any) -> Any:
        return {"u": p["x"] * p["x"] * p["k"], "v": lax.reduce_sum(lax.sin(p["x"]), (0,))}

    point = {"x": x, "k": np.float32(3.0)}
    expected = {
        "u": {"x": np.diag(6 * x), "k": x * x},
        "v": {"x": np.cos(x), "k": np.float32(0)},
    }
    for jacobian in (wengert.jacfwd, wengert.jacrev, wengert.jacobian):
        assert_close(jacobian(f)(point), expected)
        assert_close(wengert.jit(jacobian(f))(point), expected)
    two = wengert.jacrev(lambda x, y: x * y, (0, 1))(x, x + 1)
    assert_close(two, (np.diag(x + 1), np.diag(x)))
    assert_close(wengert.jacfwd(lambda x, y: x * y, (0, 1))(x, x + 1), two)
    for jacobian in (wengert.jacfwd, wengert.jacrev):
        assert_close(jacobian(lambda x: (x * x, x + 1), has_aux=True)(x), (np.diag(2 * x), x + 1))
    with pytest.raises(TypeError, match="jacfwd requires real-valued inputs"):
        wengert.jacfwd(f)({"x": x, "k": 3})


def test_hessian() -> None:
    x = np.array([0.5, -1.0], np.float32)

    def f(p: Any) -> Any:
        return lax.reduce_sum(p["a"] ** 3, (0,)) * p["b"]

    found = wengert.hessian(f)({"a": x, "b": np.float32(2)})
    expected = {"a": {"a": np.diag(12 * x), "b": 3 * x**2}, "b": {"a": 3 * x**2, "b": np.float32(0)}}
    assert_close(found, expected)


def test_closure_convert() -> None:
    def outer(t: Any) -> Any:
        converted, consts = wengert.closure_convert(lambda x: x * t, 1.0)
        assert len(consts) == 1
        return converted(2.0, *[c * 10 for c in consts])

    assert_close(wengert.grad(outer)(3.0), 20.0)


def test_tangents_that_are_zero_stay_symbolic() -> None:
    """Nothing that can't matter is computed: the gradient of a part of the inputs has equations for that
    part."""
    jaxpr = wengert.make_jaxpr(wengert.grad(lambda x, y: x * y + lax.sin(y)))(1.0, 2.0)
    assert "cos" not in str(jaxpr)


# ------------------------------------------------------------------------------------------------------ vmap


def test_vmap_axes() -> None:
    x, y = np.arange(6.0, dtype=np.float32).reshape(2, 3), np.arange(3.0, dtype=np.float32)
    assert_close(wengert.vmap(lambda a: a * 2)(x), x * 2)
    assert_close(wengert.vmap(lambda a, b: a * b, (1, 0))(x, y), (x * y).T)
    assert_close(wengert.vmap(lambda a, b: a * b, (1, 0), out_axes=1)(x, y), x * y)
    assert_close(wengert.vmap(lambda a, b: a * b, (-1, None))(x, 2.0), (x * 2).T)
    assert_close(wengert.vmap(lambda p: p["a"] * p["b"], ({"a": 0, "b": None},))({"a": y, "b": 3.0}), 3 * y)
    assert_close(wengert.vmap(lambda a, *, k: a + k)(y, k=y), 2 * y)
    outs = wengert.vmap(lambda a: (a, {"c": 1.0}), out_axes=(0, None))(y)
    assert_close(outs, (y, {"c": np.float32(1.0)}))
    assert_close(wengert.vmap(lambda: 1.0, axis_size=3)(), np.ones(3))
    assert_close(wengert.vmap(wengert.vmap(lambda a: a * a))(x), x * x)


def test_vmap_over_the_bounds_of_a_number() -> None:
    los = np.array([0.0, 2.0, 5.0], np.float32)
    hi = np.float32(4.0)
    for x in (np.float32(3.0), np.arange(4, dtype=np.float32)):
        clamped = wengert.vmap(lambda lo, x=x: lax.clamp(lo, x, hi))(los)
        assert_close(clamped, np.stack([np.clip(x, lo, hi) for lo in los]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: wengert.vmap(lambda x, y: x)(np.zeros(3), {"k": np.zeros(4)}),
            ValueError,
            r"(?s)size 3: axis 0 of argument x of type float32\[3\].*size 4: axis 0 of argument y\['k'\]",
        ),
        (lambda: wengert.vmap(lambda x: x)(1.0), ValueError, "rank should be at least 1, .* argument x"),
        (lambda: wengert.vmap(lambda x: x, None)(1.0), ValueError, "at least one non-None value"),
        (lambda: wengert.vmap(lambda x: x, (0, 0))(1.0), ValueError, r"len\(in_axes\)=2, len\(args\)=1"),
        (lambda: wengert.vmap(lambda x: x, "a"), TypeError, "in_axes must be an int, None, or a tuple"),
        (lambda: wengert.vmap(lambda x: x, (1.5,)), TypeError, "with those types as leaves"),
        (lambda: wengert.vmap(lambda x: x, ({"a": 0},))(np.zeros(3)), ValueError, r"vmap in_axes\[0\]"),
        (lambda: wengert.vmap(lambda x: x, out_axes=(0, 0))(np.zeros(3)), ValueError, "vmap out_axes"),
        (lambda: wengert.vmap(lambda x: x, out_axes=None)(np.zeros(3)), ValueError, "batched on axis 0"),
        (lambda: wengert.vmap(lambda x: x, out_axes=2)(np.zeros(3)), ValueError, "out of bounds"),
    ],
)
def test_vmap_errors(call: Fun, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_truth_of_one_element_is_not_known() -> None:
    with pytest.raises(wengert.errors.TracerBoolConversionError, match="vmap maps over"):
        wengert.vmap(lambda x: 1 if x > 0 else 2)(np.arange(3.0))


def test_vmap_is_one_call_not_a_loop() -> None:
    jaxpr = wengert.make_jaxpr(wengert.vmap(lax.sin))(np.zeros(5, np.float32))
    assert [(e.primitive.name, e.outvars[0].aval.shape) for e in jaxpr.eqns] == [("sin", (5,))]


# ---------------------------------------------------------------------------------------------- custom rules


@wengert.custom_jvp
def tripled(x: Any, y: Any) -> Any:
    """x * y, with rules that are wrong on purpose, so that their use can be seen."""
    return x * y


tripled.defjvps(lambda t, out, x, y: 3.0 * t, lambda t, out, x, y: 5.0 * t * x)


def test_custom_jvp() -> None:
    assert_close(tripled(2.0, 4.0), 8.0)
    for f in (tripled, wengert.jit(tripled)):
        assert_close(wengert.jvp(f, (2.0, 4.0), (1.0, 1.0)), (8.0, 13.0))
        assert_close(wengert.grad(f, (0, 1))(2.0, 4.0), (3.0, 10.0))
        assert_close(wengert.grad(wengert.grad(f, 1))(2.0, 4.0), 5.0)
        assert_close(wengert.vmap(wengert.grad(f, 1), (0, None))(np.arange(3.0), 1.0), 5 * np.arange(3.0))
        assert_close(
            wengert.grad(lambda y, f=f: wengert.vmap(f, (0, None))(np.arange(3.0), y).sum())(2.0), 15.0
        )


def test_custom_jvp_of_keywords_defaults_and_static_functions() -> None:
    @partial(wengert.custom_jvp, nondiff_argnums=(0,))
    def apply(f: Fun, x: Any, scale: Any = 2.0) -> Any:
        return f(x) * scale

    @apply.defjvp
    def rule(f: Fun, primals: Any, tangents: Any) -> Any:
        (x, scale), (x_dot, _) = primals, tangents
        return apply(f, x, scale), 7.0 * x_dot

    assert_close(wengert.grad(lambda x: apply(lax.sin, x))(1.0), 7.0)
    assert_close(wengert.grad(lambda x: apply(lax.sin, scale=3.0, x=x))(1.0), 7.0)
    assert_close(wengert.jit(lambda x: apply(lax.sin, x))(1.0), 2 * math.sin(1.0))


def test_custom_jvp_symbolic_zeros() -> None:
    seen = []

    @wengert.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return x * y

    def rule(primals: Any, tangents: Any) -> Any:
        seen.append([type(t) for t in tangents])
        return f(*primals), tangents[0] * primals[1]

    f.defjvp(rule, symbolic_zeros=True)
    assert_close(wengert.jvp(lambda x: f(x, 3.0), (1.0,), (1.0,))[1], 3.0)
    assert seen[0][1] is SymbolicZero
    assert seen[0][0] is not SymbolicZero


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda p, t: 3.0, "must produce a pair"),
        (lambda p, t: (p[0], (1.0, 2.0)), "equal container"),
        (lambda p, t: (p[0], np.ones(3, np.float32)), r"Expected float32\[\].*but got float32\[3\]"),
    ],
)
def test_custom_jvp_errors(rule: Fun, message: str) -> None:
    f = wengert.custom_jvp(lambda x: x * 2)
    with pytest.raises(AttributeError, match="No JVP defined"):
        f(1.0)
    f.defjvp(rule)
    with pytest.raises(TypeError, match=message):
        wengert.jvp(f, (1.0,), (1.0,))


def reverse_only() -> Any:
    @wengert.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return x * y

    f.defvjp(
        lambda x, y: (f(x, y), {"x": x, "note": "a residual that is no array"}),
        lambda r, ct: (3.0 * ct, 5.0 * r["x"] * ct),
    )
    return f


def test_custom_vjp() -> None:
    rule = reverse_only()
    assert_close(rule(2.0, 4.0), 8.0)
    for f in (rule, wengert.jit(rule)):
        assert_close(wengert.grad(f, (0, 1))(2.0, 4.0), (3.0, 10.0))
        assert_close(wengert.grad(wengert.grad(f, 1))(2.0, 4.0), 5.0)
        assert_close(wengert.vmap(wengert.grad(f, 1), (0, None))(np.arange(3.0), 1.0), 5 * np.arange(3.0))
        assert_close(
            wengert.grad(lambda y, f=f: wengert.vmap(f, (0, None))(np.arange(3.0), y).sum())(2.0), 15.0
        )
        assert_close(
            wengert.grad(lambda x, f=f: lax.scan(lambda c, _: (f(c, 2.0), None), x, None, 2)[0])(1.0), 9.0
        )
    with pytest.raises(TypeError, match="can't apply forward-mode differentiation"):
        wengert.jvp(rule, (1.0, 2.0), (1.0, 1.0))


def test_custom_vjp_of_pytrees_with_none_for_zero() -> None:
    @wengert.custom_vjp
    def f(p: Any, n: int) -> Any:
        return p["a"] * n, p["b"]

    f.defvjp(lambda p, n: (f(p, n), n), lambda n, ct: ({"a": ct[0] * 10.0, "b": None}, None))
    point = {"a": 2.0, "b": np.ones(2, np.float32)}
    gradient = wengert.grad(lambda p: f(p, 3)[0])(point)
    assert_close(gradient, {"a": 10.0, "b": np.zeros(2)})


@pytest.mark.parametrize(
    ("fwd", "bwd", "error", "message"),
    [
        (lambda x: x, lambda r, ct: (ct,), TypeError, "must produce a pair"),
        (
            lambda x: (x, None),
            lambda r, ct: ct,
            TypeError,
            "tuple with one cotangent for each of the 1 argument",
        ),
        (lambda x: (x, None), lambda r, ct: (ct, ct), TypeError, "a tuple of length 2"),
        (lambda x: (x, None), lambda r, ct: ((ct, ct),), TypeError, r"same container \(pytree\) structure"),
        (lambda x: (x, None), lambda r, ct: (np.ones(3, np.float32),), ValueError, r"of type float32\[3\]"),
    ],
)
def test_custom_vjp_errors(fwd: Fun, bwd: Fun, error: type[Exception], message: str) -> None:
    f = wengert.custom_vjp(lambda x: x)
    with pytest.raises(AttributeError, match="No VJP defined"):
        f(1.0)
    f.defvjp(fwd, bwd)
    with pytest.raises(error, match=message):
        wengert.grad(f)(1.0)


def test_custom_vjp_symbolic_zeros() -> None:
    perturbed, zeros = [], []

    @wengert.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return x * y, x

    def fwd(x: Any, y: Any) -> Any:
        perturbed.append((x.perturbed, y.perturbed))
        x, y = custom_vjp_primal_tree_values((x, y))
        return f(x, y), y

    def bwd(y: Any, cts: Any) -> Any:
        zeros.append(isinstance(cts[1], SymbolicZero))
        return cts[0] * y, zero_from_primal(y)

    f.defvjp(fwd, bwd, symbolic_zeros=True)
    assert_close(wengert.grad(lambda x: f(x, 3.0)[0])(2.0), 3.0)
    assert perturbed == [(True, False)]
    assert zeros == [True]


def test_custom_rules_do_not_see_closed_over_values() -> None:
    def outer(t: Any) -> Any:
        f = wengert.custom_jvp(lambda x: x * t)
        f.defjvp(lambda p, ts: (f(*p), ts[0]))
        return wengert.jit(f)(2.0)

    with pytest.raises(TypeError, match="closed-over value"):
        wengert.grad(outer)(3.0)


def test_custom_gradient() -> None:
    @wengert.custom_gradient
    def f(x: Any) -> Any:
        return x * x, lambda ct: 7.0 * ct * x

    assert_close((f(3.0), wengert.grad(f)(3.0), wengert.jit(wengert.grad(f))(3.0)), (9.0, 21.0, 21.0))
    assert_close(wengert.grad(wengert.grad(f))(3.0), 7.0)
    assert_close(wengert.vmap(wengert.grad(f))(np.arange(3.0)), 7 * np.arange(3.0))


# ------------------------------------------------------------------------------------------------ checkpoint


def names_of(jaxpr: Any) -> list[str]:
    return [e.primitive.name for e in jaxpr.eqns]


def test_checkpoint_computes_again() -> None:
    def f(x: Any) -> Any:
        return lax.sin(lax.sin(x))

    jaxpr = wengert.make_jaxpr(wengert.grad(wengert.checkpoint(f)))(1.0)
    check_jaxpr(jaxpr)
    assert names_of(jaxpr) == ["sin", "sin", "remat2"]
    inner = jaxpr.eqns[-1].params["jaxpr"]
    assert names_of(inner)[:3] == ["sin", "cos", "cos"]
    assert jaxpr.eqns[-1].params["differentiated"]


def saved(f: Fun, capsys: pytest.CaptureFixture[str]) -> list[str]:
    wengert.ad_checkpoint.print_saved_residuals(f, 1.0)
    return capsys.readouterr().out.splitlines()


def test_checkpoint_policies(capsys: pytest.CaptureFixture[str]) -> None:
    policies = wengert.checkpoint_policies

    def f(x: Any) -> Any:
        y = wengert.ad_checkpoint.checkpoint_name(lax.exp(x), "exponential")
        return wengert.jit(lax.sin)(y * y)

    plain = saved(f, capsys)
    assert any("mul" in line or "cos" in line for line in plain)
    assert saved(wengert.checkpoint(f), capsys) == ["f32[] from the argument x"]
    by_name = saved(wengert.checkpoint(f, policy=policies.save_only_these_names("exponential")), capsys)
    assert any(
        re.search(r"named 'exponential' from .*test_transforms\.py:\d+:\d+ \(", line) for line in by_name
    )
    everything = saved(wengert.checkpoint(f, policy=policies.everything_saveable), capsys)
    assert not any("argument" in line for line in everything)
    for policy in (None, policies.nothing_saveable, policies.dots_saveable, policies.everything_saveable):
        again = wengert.checkpoint(f, policy=policy)
        assert_close(wengert.grad(again)(0.3), wengert.grad(f)(0.3))
        assert_close(wengert.grad(wengert.grad(again))(0.3), wengert.grad(wengert.grad(f))(0.3), 1e-4)


def test_checkpoint_with_static_arguments() -> None:
    @partial(wengert.checkpoint, static_argnums=(1,))
    def f(x: Any, double: bool) -> Any:
        return lax.sin(x) * (2.0 if double else 1.0)

    assert_close(wengert.grad(f)(0.5, True), 2 * math.cos(0.5))


# ------------------------------------------------------------------------------- everything, nested at random


def scanned_cube(x: Any) -> Any:
    return lax.scan(lambda c, _: (c * x, None), x, None, 2)[0]


def looped_cube(x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda i, c: c * x, lax.full_like(x, 1.0))


def branched_sine(x: Any) -> Any:
    return lax.cond(x > -100, lambda y: lax.sin(2 * y), lambda y: y, x)


def switched_sine(x: Any) -> Any:
    return lax.switch(
        lax.convert_element_type(x * 0, np.int32) + 1, [lax.cos, lambda y: lax.sin(2 * y), lax.exp], x
    )


@wengert.custom_jvp
def ruled_sine(x: Any) -> Any:
    return lax.sin(2 * x)


ruled_sine.defjvps(lambda t, out, x: 2 * lax.cos(2 * x) * t)

CUBES = [
    lambda x: x**3,
    scanned_cube,
    looped_cube,
    wengert.jit(scanned_cube),
    wengert.checkpoint(scanned_cube),
]
SINES = [lambda x: lax.sin(2 * x), branched_sine, switched_sine, ruled_sine, wengert.jit(branched_sine)]


def closed_form(x: float, order: int) -> float:
    """The derivative of x^3 + sin(2x) of any order."""
    cube = math.perm(3, order) * x ** (3 - order) if order <= 3 else 0.0
    return cube + 2**order * math.sin(2 * x + order * math.pi / 2)


def along_one(f: Fun) -> Fun:
    return lambda x: wengert.jvp(f, (x,), (lax.full_like(x, 1.0),))[1]


def by_pullback(f: Fun) -> Fun:
    return lambda x: wengert.vjp(f, x)[1](lax.full_like(x, 1.0))[0]


def by_linearization(f: Fun) -> Fun:
    return lambda x: wengert.linearize(f, x)[1](lax.full_like(x, 1.0))


def by_transposed_linearization(f: Fun) -> Fun:
    def derivative(x: Any) -> Any:
        linear = wengert.linearize(f, x)[1]
        return wengert.linear_transpose(linear, x)(lax.full_like(x, 1.0))[0]

    return derivative


def in_a_batch(f: Fun) -> Fun:
    return lambda x: wengert.vmap(lambda k: f(x + k))(np.array([-1.0, 0.0, 2.0]))[1]


def in_a_scan(f: Fun) -> Fun:
    return lambda x: lax.scan(lambda c, k: (c, f(x * k)), 0, np.array([2.0, 1.0]))[1][1]


def carried_by_a_scan(f: Fun) -> Fun:
    return lambda x: lax.scan(lambda c, _: (f(c), None), x, None, 1)[0]


def in_a_branch(f: Fun) -> Fun:
    return lambda x: lax.cond(x < 1e6, f, lambda y: y, x)


DERIVATIVES = [
    wengert.grad, along_one, by_pullback, by_linearization, by_transposed_linearization, wengert.jacfwd,
    wengert.jacrev,
]  # fmt: skip
WRAPPERS = [wengert.jit, wengert.checkpoint, in_a_batch, in_a_scan, carried_by_a_scan, in_a_branch]


@settings(max_examples=60)
@given(
    st.sampled_from(CUBES),
    st.sampled_from(SINES),
    st.lists(st.sampled_from(DERIVATIVES), max_size=3),
    st.lists(st.sampled_from(WRAPPERS), max_size=3),
    st.randoms(use_true_random=False),
)
def test_any_nesting(cube: Fun, sine: Fun, derivatives: list[Fun], wrappers: list[Fun], random: Any) -> None:
    steps = derivatives + wrappers
    random.shuffle(steps)

    def f(x: Any) -> Any:
        return cube(x) + sine(x)

    for step in steps:
        f = step(f)
    with enable_x64(True):
        x = 0.7
        found = f(np.float64(x))
        jaxpr = wengert.make_jaxpr(f)(np.float64(x))
    check_jaxpr(jaxpr)
    np.testing.assert_allclose(np.asarray(found), closed_form(x, len(derivatives)), rtol=1e-9)


def test_zeros_print() -> None:
    assert repr(Zero.of(1.0)) == "Zero(f32[])"


def test_rules_of_custom_derivatives_see_arrays() -> None:
    """Constants that stand as numbers in a jaxpr are arrays again when a rule gets them."""
    seen: list[Any] = []

    @wengert.custom_vjp
    def scaled(x: Any, n: Any) -> Any:
        return x * n

    def forward(x: Any, n: Any) -> Any:
        seen.append(n)
        return x * n, n

    scaled.defvjp(forward, lambda n, ct: (ct * n, None))
    assert wengert.grad(wengert.jit(lambda x: scaled(x, wnp.asarray(3))))(2.0) == 3.0
    assert isinstance(seen[0], wengert.Array)


def test_eval_shape_of_types() -> None:
    struct = wengert.ShapeDtypeStruct((3,), np.float32)
    found = wengert.eval_shape(lambda x: {"given": struct, "computed": x + 1}, struct)
    assert found == {"given": struct, "computed": struct}
    assert not wnp.iscomplexobj(struct)


WEIGHTS = np.array([1.0, 2.0, 3.0], np.float32)


@wengert.custom_jvp
def weighted_sine(x: Any) -> Any:
    return wnp.sin(x)


@weighted_sine.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return wnp.sin(primals[0]), tangents[0] * wnp.cos(primals[0]) * wnp.asarray(WEIGHTS)


def in_loop(x: Any) -> Any:
    return lax.scan(lambda c, _: (weighted_sine(c), None), x, None, length=1)[0]


@pytest.mark.parametrize(
    "function",
    [
        wengert.jit(weighted_sine),
        wengert.jit(lambda x: wengert.jit(weighted_sine)(x)),
        wengert.checkpoint(weighted_sine),
        wengert.jit(lambda x: lax.cond(x[0] > 0, weighted_sine, wnp.sin, x)),
        wengert.jit(in_loop),
    ],
    ids=["jit", "nested", "checkpoint", "cond", "scan"],
)
def test_constants_that_a_rule_brings(function: Fun) -> None:
    """The arrays that a derivative rule makes are constants of programs that are transformed after they were traced."""
    x = wnp.array([0.5, 1.0, 2.0])
    expected = np.cos(np.asarray(x)) * WEIGHTS
    gradient = wengert.grad(lambda x: wnp.sum(function(x)))
    for found in (gradient(x), wengert.jit(gradient)(x), wengert.jvp(function, (x,), (wnp.ones(3),))[1]):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(wengert.vmap(gradient)(wnp.stack([x, x]))[1], expected, rtol=1e-6)


def test_a_custom_function_of_a_tangent() -> None:
    """In the linear program of another rule, a function with a rule of its own is transposed as what it is."""

    @wengert.custom_jvp
    def double(x: Any) -> Any:
        return 2 * x

    double.defjvp(lambda primals, tangents: (double(primals[0]), double(tangents[0])))

    @wengert.custom_jvp
    def square(x: Any) -> Any:
        return x**2

    square.defjvp(lambda p, t: (square(p[0]), wengert.jit(double)(p[0] * t[0])))
    assert wengert.grad(square)(3.0) == 6.0
    assert wengert.jit(wengert.grad(wengert.grad(square)))(3.0) == 2.0
