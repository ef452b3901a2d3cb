"""Loops and branches: values against Python loops, derivatives, batches, pruning, residuals, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from test_transforms import assert_close, check_derivatives, values

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.core.jaxpr import ClosedJaxpr, Eqn, check_jaxpr, subjaxprs
from wengert.transforms.dce import dce_jaxpr

Fun = Callable[..., Any]
XS = np.arange(4.0, dtype=np.float32)


def equations(closed: ClosedJaxpr, name: str) -> list[Eqn]:
    """All equations of a primitive, inner ones too."""
    found = [e for e in closed.eqns if e.primitive.name == name]
    for eqn in closed.eqns:
        for sub in subjaxprs(eqn.params):
            found += equations(sub, name)
    return found


def body(c: Any, x: Any) -> Any:
    a, n = c
    return (a * jnp.cos(x) + x, n + 1), {"y": a * x, "n": n}


def python_scan(f: Fun, c: Any, xs: Any, reverse: bool = False) -> Any:
    ys = []
    for x in reversed(xs) if reverse else xs:
        c, y = f(c, x)
        ys.append(values(y))
    if reverse:
        ys.reverse()
    return c, {k: np.stack([y[k] for y in ys]) for k in ys[0]}


# ------------------------------------------------------------------------------------------------------ scan


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("jit", [False, True])
def test_scan(reverse: bool, jit: bool) -> None:
    def f(c: Any, xs: Any) -> Any:
        return lax.scan(body, c, xs, reverse=reverse)

    found = (wengert.jit(f) if jit else f)((1.5, 0), XS)
    assert_close(found, python_scan(body, (1.5, 0), XS, reverse))
    with wengert.disable_jit():
        assert_close(f((1.5, 0), XS), found)


def test_scan_without_inputs_or_outputs() -> None:
    assert_close(lax.scan(lambda c, _: (c * 2, None), 1.0, None, length=5), (32.0, None))
    assert_close(lax.scan(lambda c, x: (c, None), None, XS), (None, None))
    carry, ys = lax.scan(lambda c, x: (c + x, c), 0.0, np.zeros((0, 2), np.float32)[:, 0])
    assert carry.shape == ()
    assert ys.shape == (0,)


def test_scan_promotes_weak_carries() -> None:
    carry, _ = lax.scan(lambda c, x: (c + x, None), 0, XS)
    assert carry.dtype == np.float32
    assert_close(carry, 6.0)


def test_scan_traces_its_body_once_however_long_it_is() -> None:
    calls = []

    def f(c: Any, x: Any) -> Any:
        calls.append(1)
        return c + x, c

    for _ in range(3):
        lax.scan(f, np.float32(0), np.zeros(100, np.float32))
    assert len(calls) == 1


def test_scan_reads_enclosing_values() -> None:
    @wengert.jit
    def f(t: Any) -> Any:
        table = jnp.arange(3.0) * t
        return lax.scan(lambda c, x: (c + t * table.sum() * x, None), 0.0, XS)[0]

    assert_close(f(2.0), 6 * 2 * 6.0)
    assert_close(wengert.grad(f)(2.0), 6 * 2 * 6.0)


def test_derivatives_of_scan() -> None:
    w, x = np.array([[0.3, -0.5], [0.2, 0.4]]), np.array([[1.0, 2.0], [0.5, -1.0], [0.1, 0.3]])

    def rnn(w: Any, h: Any, x: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = jnp.tanh((w * h[None, :]).sum(1) + x)
            return h, jnp.sin(h) * x

        return lax.scan(step, h, x)

    check_derivatives(rnn, w, np.zeros(2), x)
    check_derivatives(lambda w, x: lax.scan(lambda c, x: (c, jnp.sin(w * x)), 0.0, x)[1], w[0], x)
    check_derivatives(lambda x: lax.scan(lambda c, x: (c * x, c), 1.0, x, reverse=True)[0], x[0])


def test_batches_of_scan() -> None:
    rng = np.random.default_rng(0)
    c, xs, k = (rng.standard_normal(s).astype(np.float32) for s in ((3,), (4, 3), (3,)))

    def f(c: Any, xs: Any, k: Any) -> Any:
        return lax.scan(lambda c, x: (c * k + x, (c, x * k)), c, xs)

    loop = [values(f(c[i], xs[:, i], k[i])) for i in range(3)]
    assert_close(
        wengert.vmap(f, (0, 1, 0))(c, xs, k),
        (np.stack([o[0] for o in loop]), tuple(np.stack([o[1][j] for o in loop]) for j in range(2))),
    )
    only_k = [values(f(0.5, xs[:, 0], k[i])) for i in range(3)]
    assert_close(wengert.vmap(f, (None, None, 0))(0.5, xs[:, 0], k)[0], np.stack([o[0] for o in only_k]))


def test_what_is_handed_on_unchanged_is_no_carry() -> None:
    closed = wengert.make_jaxpr(lambda t: lax.scan(lambda c, x: ((c[0], c[1] + c[0] * x), None), (t, t), XS))(
        1.0
    )
    (eqn,) = equations(closed, "scan")
    assert (eqn.params["num_carry"], eqn.params["num_consts"]) == (1, 1)


def test_unused_parts_of_a_scan_are_pruned() -> None:
    def f(a: Any, b: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            a, b, counter = c
            return (a + x, b * a, counter + 1), (a, b, jnp.sin(x))

        (a, b, _), ys = lax.scan(step, (a, b, 0), XS)
        return a, ys[0], b

    closed = wengert.make_jaxpr(f)(1.0, 2.0)
    jaxpr, used = dce_jaxpr(closed.jaxpr, [True, True, False])
    check_jaxpr(jaxpr)
    (eqn,) = [e for e in jaxpr.eqns if e.primitive.name == "scan"]
    assert eqn.params["num_carry"] == 1
    assert len(eqn.outvars) == 2
    assert used == [True, False]
    assert "sin" not in str(eqn.params["jaxpr"])


def test_a_cumulative_maximum_that_each_turn_computes_again() -> None:
    """It is computed before the loop, its accumulator included."""

    def f(x: Any, turns: Any) -> Any:
        def turn(s: Any) -> Any:
            return s[0] + 1, s[1] + lax.rev(lax.cummax(x, reverse=True), [0])

        return lax.while_loop(lambda s: s[0] < turns, turn, (np.int32(0), x))[1]

    x = np.array([3, 2, 0, 3, 1], np.int32)
    np.testing.assert_array_equal(wengert.jit(f)(x, np.int32(2)), x + 2 * np.array([1, 3, 3, 3, 3]))


def test_residuals_of_scan() -> None:
    """What is the same in every iteration is neither stacked nor computed in the loop; inputs are handed
    on."""

    def f(t: Any, xs: Any) -> Any:
        return lax.scan(lambda c, x: (c * jnp.sin(t) * x, None), 1.0, xs)[0]

    closed = wengert.make_jaxpr(wengert.grad(f))(0.5, XS)
    check_jaxpr(closed)
    forward, backward = (e for e in closed.eqns if e.primitive.name == "scan")
    assert [v.aval.shape for v in forward.outvars if v.aval.ndim] == [(4,)]
    for eqn in (forward, backward):
        assert not {"sin", "cos"} & {e.primitive.name for e in eqn.params["jaxpr"].eqns}


def test_residuals_that_follow_from_others_are_computed_again() -> None:
    def f(w: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            big = jnp.broadcast_to(x, (64,))
            return jnp.tanh(h * w) * big, None

        return lax.scan(step, jnp.ones(64), xs)[0].sum()

    closed = wengert.make_jaxpr(wengert.grad(f))(np.ones(64, np.float32), XS)
    forward = next(e for e in closed.eqns if e.primitive.name == "scan")
    assert [v.aval.shape for v in forward.outvars] == [(64,), (4, 64)]


def test_residuals_that_are_dear_are_kept() -> None:
    def f(xs: Any, dear: bool) -> Any:
        def step(h: Any, x: Any) -> Any:
            y = jnp.exp(jnp.sin(h)) if dear else jnp.maximum(h, 0) * 2 + 1
            return y * x * jnp.cumsum(y), None

        return lax.scan(step, jnp.ones(64), xs)[0].sum()

    stacked = []
    for dear in (False, True):
        closed = wengert.make_jaxpr(wengert.grad(f), static_argnums=1)(XS, dear)
        forward = next(e for e in closed.eqns if e.primitive.name == "scan")
        stacked.append(sum(v.aval.shape == (4, 64) for v in forward.outvars))
    assert stacked[0] < stacked[1]


SCAN_ERRORS = {
    "dtype": (
        lambda: lax.scan(lambda c, x: (c + 1.5, x), np.int32(0), XS),
        TypeError,
        r"(?s)The input carry c has type int32\[\] but .* float32\[\], so the dtypes do not.*jnp.asarray",
    ),
    "shape": (
        lambda: lax.scan(
            lambda c, x: ({"a": c["a"], "b": c["a"]}, x), {"a": np.ones(3), "b": np.ones(2)}, XS
        ),
        TypeError,
        r"component c\['b'\] has type float32\[2\] but .* float32\[3\], so the shapes do not match",
    ),
    "structure": (
        lambda: lax.scan(lambda state, x: ((state, state), x), 0, XS),
        TypeError,
        r"(?s)same pytree structure.*input carry state",
    ),
    "no pair": (lambda: lax.scan(lambda c, x: c, 0, XS), TypeError, "body output must be a pair"),
    "sizes": (
        lambda: lax.scan(lambda c, x: (c, x), 0, (XS, XS[1:])),
        ValueError,
        "different leading axis sizes: 4, 3",
    ),
    "length": (
        lambda: lax.scan(lambda c, x: (c, x), 0, XS, length=2),
        ValueError,
        "`length` argument of 2 .* sizes",
    ),
    "nothing": (lambda: lax.scan(lambda c, x: (c, x), 0, None), ValueError, "no values to scan over"),
    "scalar": (
        lambda: lax.scan(lambda c, x: (c, x), 0, 3.0),
        ValueError,
        "no leading axis to scan over: 3.0",
    ),
    "no function": (lambda: lax.scan(3, 0, XS), TypeError, "Expected a callable value"),
}


@pytest.mark.parametrize(("call", "error", "message"), SCAN_ERRORS.values(), ids=SCAN_ERRORS)
def test_scan_errors(call: Fun, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# ----------------------------------------------------------------------------------------------------- loops


def grow(x: Any) -> Any:
    """Multiplies until it is above 100; how often depends on x."""
    return lax.while_loop(lambda s: s[0] < 100, lambda s: (s[0] * s[1], s[1] + x), (x, x + 1.0))[0]


def python_grow(x: float) -> float:
    value, factor = x, x + 1.0
    while value < 100:
        value, factor = value * factor, factor + x
    return value


def test_while_loop() -> None:
    xs = np.array([2.0, 3.0, 50.0, 200.0], np.float32)
    expected = np.array([python_grow(float(x)) for x in xs])
    assert_close([grow(x) for x in xs], list(expected.astype(np.float32)))
    assert_close(wengert.vmap(grow)(xs), expected)
    assert_close(wengert.jit(wengert.vmap(wengert.jit(grow)))(xs), expected)
    with wengert.disable_jit():
        assert_close(grow(2.0), python_grow(2.0))


def test_batch_of_a_loop_that_turns_equally_often() -> None:
    def f(x: Any, n: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] * x), (0, 1.0))[1]

    closed = wengert.make_jaxpr(wengert.vmap(f, (0, None)))(XS, 3)
    (eqn,) = equations(closed, "while")
    assert eqn.params["cond_jaxpr"].in_avals[-1].shape == (4,)
    assert eqn.params["cond_jaxpr"].in_avals[1].shape == ()
    assert_close(wengert.vmap(f, (0, None))(XS, 3), XS**3)
    assert_close(wengert.vmap(f, (None, 0))(2.0, np.arange(4)), 2.0 ** np.arange(4))


def test_forward_derivatives_of_while_loop() -> None:
    eps = 1e-4
    with wengert.enable_x64(True):
        difference = (python_grow(2 + eps) - python_grow(2 - eps)) / (2 * eps)
        assert_close(wengert.jvp(grow, (2.0,), (1.0,))[1], difference, 1e-6)
        assert_close(wengert.linearize(grow, 2.0)[1](1.0), difference, 1e-6)
        second = (wengert.jvp(grow, (2 + eps,), (1.0,))[1] - wengert.jvp(grow, (2 - eps,), (1.0,))[1]) / (
            2 * eps
        )
        assert_close(wengert.jacfwd(wengert.jacfwd(grow))(2.0), second, 1e-6)


def test_reverse_mode_of_while_loop_names_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"Reverse-mode .*while_loop.* fori_loop with static") as error:
        wengert.grad(grow)(2.0)
    assert "return lax.while_loop(" in error.value.__notes__[0]
    # what doesn't depend on the argument is no obstacle
    assert_close(wengert.grad(lambda x: x * grow(2.0))(1.0), python_grow(2.0))


def test_fori_loop_with_known_bounds_is_a_scan() -> None:
    def f(x: Any) -> Any:
        return lax.fori_loop(2, 5, lambda i, c: c * x + i, x)

    assert equations(wengert.make_jaxpr(f)(1.0), "scan")
    assert_close(f(2.0), ((2.0 * 2 + 2) * 2 + 3) * 2 + 4)
    check_derivatives(f, 0.7)
    assert_close(lax.fori_loop(5, 2, lambda i, c: c + 1, 0), 0)
    assert_close(lax.fori_loop(np.int8(0), 3, lambda i, c: c + i, np.int8(0)), 3)


def test_fori_loop_with_traced_bounds_is_a_while_loop() -> None:
    @wengert.jit
    def f(n: Any, x: Any) -> Any:
        return lax.fori_loop(0, n, lambda i, c: c * x + i, x)

    assert equations(wengert.make_jaxpr(f)(3, 1.0), "while")
    assert_close(f(3, 2.0), ((2.0 * 2) * 2 + 1) * 2 + 2)
    assert_close(wengert.jvp(lambda x: f(2, x), (3.0,), (1.0,))[1], 27.0)


LOOP_ERRORS = {
    "number": (
        lambda: lax.while_loop(lambda c: c, lambda c: c + 1, 0),
        TypeError,
        "boolean scalar.*compare it",
    ),
    "array": (lambda: lax.while_loop(lambda c: c < 3, lambda c: c, XS), TypeError, "boolean scalar.*jnp.any"),
    "pair": (lambda: lax.while_loop(lambda c: (c < 3, 1), lambda c: c, 0), TypeError, "got pytree"),
    "carry of while": (
        lambda: lax.while_loop(lambda c: c < 3, lambda n: n + 1.5, np.int32(0)),
        TypeError,
        r"(?s)while_loop body .*The input carry n has type int32",
    ),
    "carry of fori": (
        lambda: lax.fori_loop(0, 3, lambda i, v: v + 1.5, np.int32(0)),
        TypeError,
        "(?s)fori_loop body .*carry v has",
    ),
    "bounds": (
        lambda: lax.fori_loop(0, 3.0, lambda i, v: v, 0),
        TypeError,
        "must have equal types, got int32 and float32",
    ),
    "bound": (lambda: lax.fori_loop(0, XS, lambda i, v: v, 0), TypeError, "must be a scalar"),
    "unroll": (
        lambda: wengert.jit(lambda n: lax.fori_loop(0, n, lambda i, v: v, 0, unroll=2))(3),
        ValueError,
        "unroll",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), LOOP_ERRORS.values(), ids=LOOP_ERRORS)
def test_loop_errors(call: Fun, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# -------------------------------------------------------------------------------------------------- branches


def choose(x: Any, y: Any) -> Any:
    return lax.cond(x > 0, lambda x, y: (jnp.sin(x) * y, x), lambda x, y: (jnp.exp(x), y * 3), x, y)


def test_cond() -> None:
    for f in (choose, wengert.jit(choose)):
        assert_close(f(1.0, 2.0), (np.sin(1.0) * 2, 1.0))
        assert_close(f(-1.0, 2.0), (np.exp(-1.0), 6.0))
    with wengert.disable_jit():
        assert_close(choose(-1.0, 2.0), (np.exp(-1.0), 6.0))
    assert_close(lax.cond(True, lambda: 1.0, lambda: 2.0), 1.0)
    assert_close(lax.cond(0.0, lambda x: x, lambda x: -x, operand=3.0), -3.0)
    assert_close(lax.cond(True, 2.0, lambda x: x * 2, 3.0, lambda x: x * 3), 4.0)


def test_derivatives_of_cond() -> None:
    check_derivatives(choose, 0.6, 2.0)
    check_derivatives(choose, -0.6, 2.0)


def test_batches_of_cond() -> None:
    x, y = np.array([1.0, -1.0, 2.0], np.float32), np.array([2.0, 3.0, 4.0], np.float32)
    loop = [values(choose(a, b)) for a, b in zip(x, y)]
    expected = tuple(np.stack([o[j] for o in loop]) for j in range(2))
    assert_close(wengert.vmap(choose)(x, y), expected)
    closed = wengert.make_jaxpr(wengert.vmap(choose, (None, 0)))(1.0, y)
    assert len(equations(closed, "cond")) == 1
    gradients = wengert.vmap(wengert.grad(lambda x, y: choose(x, y)[0]))(x, y)
    assert_close(gradients, np.where(x > 0, np.cos(x) * y, np.exp(x)))


def test_only_one_branch_runs() -> None:
    def f(x: Any) -> Any:
        return lax.cond(x > 0, lambda: jnp.log(x), lambda: 0.0)

    assert_close(wengert.grad(f)(-1.0), 0.0)
    assert_close(wengert.grad(f)(2.0), 0.5)


def test_branches_share_residuals() -> None:
    """One slot for the residuals of all branches, as only one runs."""
    closed = wengert.make_jaxpr(wengert.grad(lambda x: lax.cond(x > 0, jnp.sin, jnp.exp, x)))(1.0)
    check_jaxpr(closed)
    forward = next(e for e in closed.eqns if e.primitive.name == "cond")
    assert len(forward.outvars) == 2


def test_cond_joins_weak_types() -> None:
    out = lax.cond(True, lambda x: x, lambda x: 1.0, np.float16(2))
    assert out.dtype == np.float16


def test_switch() -> None:
    branches = [lambda x: x, lambda x: x * 2, lambda x: x * 3]
    index = np.arange(-1, 5)
    expected = 3.0 * (1 + np.clip(index, 0, 2))
    assert_close(np.array([lax.switch(i, branches, 3.0) for i in index]), expected)
    assert_close(wengert.vmap(lambda i: lax.switch(i, branches, 3.0))(index), expected)
    assert_close(np.array([wengert.jit(lambda i: lax.switch(i, branches, 3.0))(i) for i in index]), expected)
    assert_close(lax.switch(7, branches[:1], 3.0), 3.0)
    assert_close(wengert.grad(lambda x: lax.switch(2, branches, x))(1.0), 3.0)


def test_unused_results_of_branches_are_pruned() -> None:
    closed = wengert.make_jaxpr(lambda x, y: choose(x, y))(1.0, 2.0)
    jaxpr, used = dce_jaxpr(closed.jaxpr, [True, False])
    check_jaxpr(jaxpr)
    (eqn,) = [e for e in jaxpr.eqns if e.primitive.name == "cond"]
    assert len(eqn.outvars) == 1
    jaxpr, used = dce_jaxpr(closed.jaxpr, [False, False])
    assert not jaxpr.eqns
    assert used == [False, False]


BRANCH_ERRORS = {
    "structure": (
        lambda: lax.cond(True, lambda x: x, lambda x: (x, x), 1),
        TypeError,
        "(?s)same pytree structure.*true_fun is",
    ),
    "shape": (
        lambda: lax.cond(True, lambda: XS, lambda: XS[1:]),
        TypeError,
        r"(?s)float32\[3\].*float32\[4\].*shapes",
    ),
    "dtype": (
        lambda: lax.cond(True, lambda: {"a": np.int32(1)}, lambda: {"a": np.float32(1)}),
        TypeError,
        r"(?s)at path \['a'\].*dtypes do not match.*astype",
    ),
    "array": (lambda: lax.cond(XS, lambda: 1, lambda: 2), TypeError, "Pred must be a scalar.*jnp.where"),
    "text": (lambda: lax.cond("a", lambda: 1, lambda: 2), TypeError, "Pred must be a scalar"),
    "no functions": (lambda: lax.cond(True, 1, 2), TypeError, "should be callable"),
    "float": (lambda: lax.switch(1.5, [lambda: 1, lambda: 2]), TypeError, "Index type must be an integer"),
    "indices": (lambda: lax.switch(XS, [lambda: 1, lambda: 2]), TypeError, "index must be scalar"),
    "no branches": (lambda: lax.switch(1, []), ValueError, "Empty branch sequence"),
    "no function": (lambda: lax.switch(1, [3]), TypeError, "sequence of callables"),
}


@pytest.mark.parametrize(("call", "error", "message"), BRANCH_ERRORS.values(), ids=BRANCH_ERRORS)
def test_branch_errors(call: Fun, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------------------------------------------- map


@pytest.mark.parametrize("batch_size", [None, 1, 2, 4, 9])
def test_map(batch_size: int | None) -> None:
    xs = {"a": np.arange(5.0, dtype=np.float32), "b": np.ones((5, 2), np.float32)}
    found = lax.map(lambda x: (x["a"] * 2, x["b"] + x["a"]), xs, batch_size=batch_size)
    assert_close(found, (xs["a"] * 2, xs["b"] + xs["a"][:, None]))


# ---------------------------------------------------------------------------------------- nested control flow


@given(st.integers(0, 4), st.integers(1, 3), st.booleans(), st.floats(0.2, 1.5))
def test_nested_loops(outer: int, inner: int, reverse: bool, x: float) -> None:
    """A loop in a loop with a branch inside, against the same in Python, with its gradient."""

    def f(x: Any) -> Any:
        def inside(i: Any, c: Any) -> Any:
            return lax.cond(i % 2 == 0, lambda c: c * x + 0.1, lambda c: jnp.sin(c), c)

        def step(c: Any, t: Any) -> Any:
            c = lax.fori_loop(0, inner, inside, c + t)
            return c, c * t

        c, ys = lax.scan(step, x, jnp.arange(float(outer)), reverse=reverse)
        return c + ys.sum()

    def python(x: float) -> float:
        c, total = x, 0.0
        for t in reversed(range(outer)) if reverse else range(outer):
            c = c + t
            for i in range(inner):
                c = c * x + 0.1 if i % 2 == 0 else np.sin(c)
            total += c * t
        return c + total

    with wengert.enable_x64(True):
        value, gradient = wengert.value_and_grad(wengert.jit(f))(x)
        eps = 1e-6
        np.testing.assert_allclose(value, python(x), rtol=1e-10)
        np.testing.assert_allclose(
            gradient, (python(x + eps) - python(x - eps)) / (2 * eps), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("loop", ["scan", "while"])
def test_carries_that_start_as_one_array(loop: str) -> None:
    """Each carry needs memory of its own, though all begin with the same numbers, and these are not needed later."""

    def turn(carry: Any) -> Any:
        a, b, c = carry
        return jnp.sin(a) + 1, jnp.cos(b) - c, a * b

    def run(x: Any) -> Any:
        start = x + 1.0
        if loop == "scan":
            return lax.scan(lambda carry, _: (turn(carry), None), (start, start, start), None, length=3)[0]
        state = lax.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, *turn(s[1:])), (0, start, start, start)
        )
        return state[1:]

    x = np.linspace(-1, 1, 5, dtype=np.float32)
    expected = (x + 1,) * 3
    for _ in range(3):
        expected = turn(expected)
    for found, wanted in zip(wengert.jit(run)(x), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
