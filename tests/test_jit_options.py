"""Options of the transformations: what is traced again, what is donated, what settings change, what is refused."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.ad_checkpoint import Offloadable, Recompute, Saveable

x = jnp.arange(3.0)


class Counted:
    """A function that counts how often it is traced."""

    def __init__(self) -> None:
        self.traces = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.traces += 1
        return wengert.tree.leaves((args, kwargs))[0]


def traces(*calls: Callable[[Any], Any], **options: Any) -> list[int]:
    """How often a jitted function has been traced after each of the calls."""
    fun = Counted()
    jitted = wengert.jit(fun, **options)
    return [(call(jitted), fun.traces)[1] for call in calls]


def under(manager: Any, *values: Any) -> Callable[[Any], Any]:
    def call(f: Any) -> Any:
        with manager(*values):
            return f(x)

    return call


def test_traced_once_for_each_type() -> None:
    assert traces(lambda f: f(x), lambda f: f(x + 1), lambda f: f(np.arange(3.0))) == [1, 1, 1]
    assert traces(lambda f: f(x), lambda f: f(jnp.ones(4)), lambda f: f(jnp.arange(3)), lambda f: f(x)) == [
        1,
        2,
        3,
        3,
    ]
    weak = (1.0, 2.0, jnp.float32(1), jnp.asarray(1.0), np.float32(3), 1, True, 1j)
    assert traces(*[lambda f, v=v: f(v) for v in weak]) == [1, 1, 2, 2, 2, 3, 4, 5]
    trees: list[Any] = [(x,), [x], {"a": x}, {"b": x}, (x,), (x, None)]
    assert traces(*[lambda f, t=t: f(t) for t in trees]) == [1, 2, 3, 4, 4, 5]
    assert traces(lambda f: f(x), lambda f: f(a=x), lambda f: f(b=x), lambda f: f(a=x)) == [1, 2, 3, 3]


def test_traced_once_for_each_static_value() -> None:
    values = (1, 2, 1, 1.0, True)
    assert traces(*[lambda f, v=v: f(x, v) for v in values], static_argnums=1) == [1, 2, 2, 3, 4]
    assert traces(*[lambda f, v=v: f(x, n=v) for v in values], static_argnames="n") == [1, 2, 2, 3, 4]


def test_traced_again_under_settings_that_matter_only() -> None:
    matter = (
        under(wengert.enable_x64, True),
        under(wengert.default_matmul_precision, "high"),
        under(wengert.numpy_rank_promotion, "raise"),
        under(wengert.numpy_dtype_promotion, "strict"),
    )
    assert traces(lambda f: f(x), *matter, lambda f: f(x)) == [1, 2, 3, 4, 5, 5]
    assert (
        traces(lambda f: f(x), under(wengert.log_compiles, True), under(wengert.transfer_guard, "allow"))
        == [1] * 3
    )


def test_traces_are_shared() -> None:
    fun = Counted()
    wengert.jit(fun)(1.0)
    wengert.jit(fun)(1.0)
    wengert.jit(lambda v: wengert.jit(fun)(v) * 2)(1.0)
    wengert.grad(wengert.jit(fun))(1.0)
    assert fun.traces == 1
    f = wengert.jit(fun)
    assert f._cache_size() == 1
    f.clear_cache()
    assert f._cache_size() == 0
    f(1.0)
    wengert.clear_caches()
    f(1.0)
    assert fun.traces == 3


def test_static_arguments() -> None:
    def power(base: Any, n: int = 2) -> Any:
        assert isinstance(n, int)
        return base**n

    for options in ({"static_argnums": 1}, {"static_argnums": -1}, {"static_argnames": ("n",)}):
        f = wengert.jit(power, **options)
        for call in (lambda f=f: f(x, 3), lambda f=f: f(x, n=3), lambda f=f: f(base=x, n=3)):
            np.testing.assert_array_equal(call(), x**3)
        np.testing.assert_array_equal(f(x), x**2)
    for f, value in (
        (wengert.jit(power, static_argnums=1), [3]),
        (wengert.jit(power, static_argnames="n"), x),
    ):
        with pytest.raises(ValueError, match="Non-hashable static arguments"):
            f(x, value)
    with pytest.raises(ValueError, match=r"Jitted function has static_argnums=\(2,\), but only accepts 2"):
        wengert.jit(power, static_argnums=2)
    with pytest.raises(ValueError, match=r"invalid argnames \{'m'\} in static_argnames"):
        wengert.jit(power, static_argnames="m")
    with pytest.raises(ValueError, match="static_argnames and donate_argnames cannot intersect"):
        wengert.jit(power, static_argnums=1, donate_argnames="n")
    with pytest.raises(TypeError, match="static_argnums takes an int"):
        wengert.jit(power, static_argnums=1.0)


class Model:
    """Methods, jitted in all the ways people do it."""

    scale = 2.0

    def plain(self, v: Any) -> Any:
        return v * self.scale

    @functools.partial(wengert.jit, static_argnums=0)
    def static_self(self, v: Any) -> Any:
        return v * self.scale

    @staticmethod
    @wengert.jit
    def static_method(v: Any) -> Any:
        return v * 2.0

    @classmethod
    @functools.partial(wengert.jit, static_argnums=0)
    def class_method(cls, v: Any) -> Any:
        return v * cls.scale

    def __call__(self, v: Any) -> Any:
        return v * self.scale

    @wengert.jit
    def dynamic_self(self, v: Any) -> Any:
        return v


def test_methods_partials_and_callables() -> None:
    model = Model()
    calls: list[Any] = [
        wengert.jit(model.plain), model.static_self, model.static_method, Model.class_method, wengert.jit(model),
        wengert.jit(functools.partial(lambda a, b: a * b, 2.0)),
        wengert.jit(functools.partial(lambda a, n, b: a * n * b, b=2.0), static_argnums=1).__call__,
    ]  # fmt: skip
    for call in calls[:-1]:
        np.testing.assert_array_equal(call(x), 2 * x)
    np.testing.assert_array_equal(calls[-1](x, 1), 2 * x)
    with pytest.raises(TypeError, match=r"Error interpreting argument to dynamic_self .* argument self"):
        model.dynamic_self(x)


# ---------------------------------------------------------------------------------------------------- donation


def fresh() -> Any:
    return jnp.arange(4.0) + 1


def test_donated_arrays_are_deleted() -> None:
    double = wengert.jit(lambda v: v * 2, donate_argnums=0)
    for _ in range(2):
        given = fresh()
        np.testing.assert_array_equal(double(given), [2, 4, 6, 8])
        assert given.is_deleted()
        assert (given.shape, given.dtype) == ((4,), np.float32)
        for use in (lambda v: v + 1, double, str, np.asarray, wengert.grad(jnp.sum), wengert.jit(jnp.sum)):
            with pytest.raises(RuntimeError, match=r"Array has been deleted with shape=float32\[4\]"):
                use(given)
    by_name = wengert.jit(lambda tree: {"a": tree["a"] * 2}, donate_argnames="tree")
    tree = {"a": fresh()}
    by_name(tree=tree)
    assert tree["a"].is_deleted()
    ahead = fresh()
    double.lower(ahead).compile()(ahead)
    assert ahead.is_deleted()
    kept = np.arange(4.0, dtype=np.float32)
    double(kept)
    assert kept.sum() == 6


def test_results_that_are_donated_arguments_stay() -> None:
    given = fresh()
    out = wengert.jit(lambda v: v, donate_argnums=0)(given)
    assert given.is_deleted()
    np.testing.assert_array_equal(out, [1, 2, 3, 4])


def test_donations_that_nothing_can_use() -> None:
    given = fresh()
    with pytest.warns(UserWarning, match=r"Some donated buffers were not usable: float32\[4\]"):
        wengert.jit(lambda v: v.sum(), donate_argnums=0)(given)
    assert not given.is_deleted()
    with pytest.raises(RuntimeError, match="previously donated in the same call"):
        wengert.jit(lambda a, b: a + b, donate_argnums=0)(given, given)
    assert not given.is_deleted()
    wengert.grad(lambda v: wengert.jit(lambda a: a * 2, donate_argnums=0)(v).sum())(given)
    assert not given.is_deleted()


# ------------------------------------------------------------------------------------------------------ stages


def test_compiled_functions_take_the_types_they_were_compiled_for() -> None:
    f = wengert.jit(lambda n, v: {"out": v * n}, static_argnums=0)
    lowered = f.lower(2, x)
    compiled = lowered.compile()
    np.testing.assert_array_equal(compiled(x)["out"], 2 * x)
    assert compiled.in_avals == ((x.aval,), {})
    with pytest.raises(TypeError, match="Argument types differ from the types"):
        compiled(jnp.arange(3))
    with pytest.raises(TypeError, match="input pytree"):
        compiled(2, x)
    for transformed in (wengert.grad(lambda v: compiled(v)["out"].sum()), wengert.jit(compiled)):
        with pytest.raises(TypeError, match="Cannot apply JAX transformations to a function lowered"):
            transformed(x)
    assert lowered.cost_analysis()["flops"] > 0
    assert compiled.memory_analysis().output_size_in_bytes == 12


# ---------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("flag", [wengert.debug_nans, wengert.debug_infs])
def test_invalid_values_are_found_where_they_arise(flag: Any) -> None:
    nan = flag is wengert.debug_nans
    bad: Any = (lambda v: (v - v) / (v - v)) if nan else (lambda v: 1 / (v - v))
    programs: list[Any] = [
        bad,
        wengert.jit(bad),
        wengert.jit(lambda v: jnp.exp(wengert.jit(bad)(v)).sum()),
        lambda v: lax.scan(lambda c, a: (bad(c), a), v, None, length=1)[0],
        wengert.jit(wengert.vmap(lambda v: lax.cond(v < 9, bad, lambda a: a, v))),
        wengert.grad(lambda v: bad(v).sum()),
    ]
    with flag(True):
        for program in programs:
            with pytest.raises(
                FloatingPointError, match=f"invalid value .{'nan' if nan else 'inf'}.*div"
            ) as caught:
                program(x)
            assert any("bad: Any" in note for note in caught.value.__notes__)
        np.testing.assert_array_equal(wengert.jit(lambda v: v + 1)(x), x + 1)
    programs[1](x)


def test_disable_jit() -> None:
    seen = []

    def f(v: Any) -> Any:
        seen.append(float(v))
        return v * 2 if v > 0 else v

    with wengert.disable_jit():
        assert wengert.jit(f)(1.0) == 2.0
        assert lax.fori_loop(0, 2, lambda i, c: f(c), 1.0) == 4.0
        assert lax.scan(lambda c, a: (f(c) + a, None), 1.0, x)[0] == 12.0
        assert lax.while_loop(lambda c: c < 4, f, 1.0) == 4.0
        assert wengert.grad(wengert.jit(lambda v: v**2))(3.0) == 6.0
    assert seen[:3] == [1.0, 1.0, 2.0]


def test_leaked_tracers_are_found() -> None:
    kept: list[Any] = []

    def leak(v: Any) -> Any:
        kept.append(v * 1)
        return v

    leaking: list[Any] = [
        lambda: wengert.jit(leak)(1.0),
        lambda: wengert.grad(leak)(1.0),
        lambda: wengert.jvp(leak, (1.0,), (1.0,)),
        lambda: wengert.vmap(leak)(x),
        lambda: lax.scan(lambda c, a: (leak(c), a), 1.0, x),
    ]
    with wengert.checking_leaks():
        for run in leaking:
            with pytest.raises(Exception, match=r"(?s)Leaked trace .*Leaked tracer\(s\):.*list"):
                run()
            kept.clear()
        value, aux = wengert.jit(wengert.grad(lambda v: (v**2, {"a": v}), has_aux=True))(1.0)
        assert (value, aux["a"]) == (2.0, 1.0)
        wengert.jit(wengert.vmap(lambda v: lax.cond(v > 0, jnp.sin, jnp.cos, v)))(x)


def test_logs(caplog: pytest.LogCaptureFixture) -> None:
    def logged(f: Any, *args: Any) -> str:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "wengert"):
            f(*args)
        return caplog.text

    def scaled(v: Any, n: int = 1) -> Any:
        return v * n

    with wengert.log_compiles():
        text = logged(wengert.jit(scaled), x)
    assert "Finished tracing + transforming scaled for jit in" in text
    assert "Compiling jit(scaled) with global shapes and types [ShapedArray(float32[3])" in text
    f = wengert.jit(scaled, static_argnames="n")
    with wengert.explain_cache_misses():
        assert "never seen function: scaled" in logged(f, x)
        assert logged(f, x) == ""
        assert "argument v was f32[3], now it is f32[4]" in logged(f, jnp.ones(4))
        assert "the static arguments were {}, now they are {1: 2}" in logged(f, x, 2)
        tree = wengert.jit(lambda v: wengert.tree.leaves(v)[0])
        tree(x)
        assert "the structure of the arguments was" in logged(tree, [x])


def test_no_tracing_and_no_execution() -> None:
    f = wengert.jit(lambda v: v + 1)
    with (
        wengert.no_tracing(True),
        pytest.raises(RuntimeError, match="re-tracing function <lambda> for `jit`"),
    ):
        f(x)
    with wengert.no_execution(True):
        for run in (f, lambda v: v + 1, lambda v: lax.scan(lambda c, a: (c, a), 0, v)):
            with pytest.raises(RuntimeError, match="no_execution is on"):
                run(x)


def test_promotion_settings() -> None:
    matrix = jnp.ones((2, 3))
    with wengert.numpy_rank_promotion("raise"):
        assert (x + 1).shape == (3,)
        with pytest.raises(ValueError, match="could not be broadcast together for add on shapes"):
            x + matrix
    with wengert.numpy_rank_promotion("warn"), pytest.warns(UserWarning, match="rank promotion"):
        x + matrix
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x + matrix
    with wengert.numpy_dtype_promotion("strict"):
        assert (x + 1).dtype == np.float32
        with pytest.raises(ValueError, match="numpy_dtype_promotion is 'strict'"):
            x + jnp.arange(3)


# ------------------------------------------------------------------------------------------------- derivatives


def test_argnums() -> None:
    def f(a: Any, b: Any) -> Any:
        return a * b**2

    assert wengert.grad(f, -1)(2.0, 3.0) == 12.0
    assert wengert.grad(f, (0, -1))(2.0, 3.0) == (9.0, 12.0)
    for transform in (wengert.grad, wengert.jacfwd, wengert.jacrev):
        with pytest.raises(TypeError, match="asks for positional argument 2"):
            transform(f, 2)(2.0, 3.0)
        with pytest.raises(ValueError, match="asks for positional argument -3"):
            transform(f, -3)(2.0, 3.0)
        with pytest.raises(ValueError, match="names argument 1 of f twice"):
            transform(f, (1, -1))(2.0, 3.0)


def test_tangents_come_in_the_container_of_the_primals() -> None:
    with pytest.raises(TypeError, match="same tree structure"):
        wengert.jvp(jnp.sin, [1.0], (1.0,))
    assert wengert.jvp(jnp.sin, [0.0], [1.0])[1] == 1.0


def test_integers_can_be_transposed() -> None:
    transposed = wengert.linear_transpose(lambda v: v * 2, jnp.arange(3))
    np.testing.assert_array_equal(transposed(jnp.arange(3))[0], [0, 2, 4])
    with pytest.raises(TypeError, match="linear_transpose only supports"):
        wengert.linear_transpose(lambda v: v * 2.0, jnp.arange(3))


def test_cotangents_of_rules_get_the_dtype_of_the_argument() -> None:
    @wengert.custom_vjp
    def f(v: Any) -> Any:
        return v * 2

    f.defvjp(lambda v: (v * 2, None), lambda _, ct: (ct.astype(jnp.float16) * 3,))
    gradient = wengert.grad(f)(1.0)
    assert (gradient, gradient.dtype) == (3.0, np.float32)


def test_policies_may_answer_in_words() -> None:
    def policy(answer: Any) -> Any:
        return lambda prim, *_, **params: answer if prim.name == "sin" else Recompute

    for answer, kept in ((Saveable, True), (Recompute, False), (Offloadable("device", "pinned_host"), True)):
        f = wengert.checkpoint(lambda v: jnp.sin(v) ** 2, policy=policy(answer))
        found = wengert.make_jaxpr(wengert.grad(f))(1.0)
        again = sum(
            str(e.params.get("jaxpr", "")).count(" sin ") for e in found.eqns if e.primitive.name != "sin"
        )
        assert bool(again) is not kept
        np.testing.assert_allclose(wengert.grad(f)(0.3), np.sin(0.6), rtol=1e-6)


def test_static_arguments_of_checkpoint() -> None:
    f = wengert.checkpoint(lambda v, n: v**n, static_argnums=1)
    assert wengert.grad(f)(2.0, 3) == 12.0
    with pytest.raises(ValueError, match="greater than or equal to -1 and less than 1"):
        f(2.0)
    with pytest.raises(TypeError, match="concrete"):
        wengert.checkpoint(jnp.sin, concrete=True)


# ------------------------------------------------------------------------------------------------------ scopes


def scoped(v: Any) -> Any:
    with wengert.named_scope("outer"):
        v = wengert.named_scope("inner")(jnp.sin)(v)
    return wengert.named_call(lambda a: a * 2, name="twice")(v)


def test_scopes_stand_beside_equations() -> None:
    text = wengert.make_jaxpr(scoped)(x).pretty_print(name_stack=True)
    assert "sin a     # [outer/inner]" in text
    assert "# [twice]" in text
    assert str(wengert.make_jaxpr(scoped)(x)).count("#") == 0
    lines = wengert.make_jaxpr(wengert.jit(scoped))(x).pretty_print(source_info=True, name_stack=True)
    assert "test_jit_options.py" in lines
    assert "(scoped) [outer/inner]" in lines
    np.testing.assert_allclose(scoped(x), 2 * np.sin(x), rtol=1e-6)
    assert "inner" in str(wengert.explain(wengert.jit(scoped), x))


def test_scopes_stand_in_errors() -> None:
    with pytest.raises(TypeError) as caught, wengert.named_scope("attention"):
        wengert.make_jaxpr(lambda a: wengert.named_scope("product")(lambda b: b @ jnp.ones(4))(a))(x)
    assert any("in product" in note for note in caught.value.__notes__)
    with pytest.raises(TypeError, match="named_scope name argument must be a string"):
        wengert.named_scope(3)  # type: ignore[arg-type]


def test_linear_call() -> None:
    linear_call = wengert.custom_derivatives.linear_call

    def scaled(r: Any, v: Any) -> Any:  # its transpose is wrong on purpose, to be recognised
        return linear_call(
            lambda r, v: {"out": v * r["s"]}, lambda r, ct: ct["out"] * r["s"] * 10, {"s": r}, v
        )["out"]

    assert scaled(3.0, 2.0) == 6.0
    assert wengert.jvp(lambda v: scaled(3.0, v), (2.0,), (1.0,))[1] == 3.0
    for transform in (wengert.grad(scaled, 1), wengert.jit(wengert.grad(scaled, 1))):
        assert transform(3.0, 2.0) == 30.0
    np.testing.assert_array_equal(wengert.vmap(wengert.grad(scaled, 1), (0, None))(x, 1.0), 10 * x)
    np.testing.assert_array_equal(wengert.vmap(scaled)(x, x), x * x)
    assert wengert.linear_transpose(lambda v: scaled(3.0, v), 1.0)(1.0) == (30.0,)
    with pytest.raises(TypeError, match="can't be differentiated by its residual arguments"):
        wengert.grad(scaled)(3.0, 2.0)
    with pytest.raises(TypeError, match="transpose output pytree structure"):
        linear_call(lambda r, v: v, lambda r, ct: (ct, ct), (), 1.0)
    with pytest.raises(TypeError, match=r"returned f32\[3\] as the cotangent of a linear input"):
        linear_call(lambda r, v: v, lambda r, ct: x, (), 1.0)
