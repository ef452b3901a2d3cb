"""Tracing and jit: jaxprs, constants, static arguments, caches, stages, and the errors that tracing gives."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from test_transforms import assert_close

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.core.axes import axis_size, naming_axes
from wengert.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, Var, check_jaxpr
from wengert.core.staging import stage
from wengert.core.trace import get_aval
from wengert.errors import (
    ConcretizationTypeError,
    JaxprTypeError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
)

Fun = Callable[..., Any]
XS = np.arange(3.0, dtype=np.float32)


# ----------------------------------------------------------------------------------------------------- jaxprs


def test_numbers_are_literals_and_arrays_constants() -> None:
    table = jnp.arange(3.0)
    closed = wengert.make_jaxpr(lambda x: x * 2.0 + table + table)(XS)
    check_jaxpr(closed)
    assert len(closed.consts) == 1
    literals = [a for e in closed.eqns for a in e.invars if isinstance(a, Literal)]
    assert [a.val for a in literals] == [2.0]
    assert str(closed).startswith("{ lambda a:f32[3] ; b:f32[3]. let")


def test_equations_know_the_users_line() -> None:
    closed = wengert.make_jaxpr(
        lambda x: jnp.sin(x)  # this line
    )(1.0)
    (eqn,) = closed.eqns
    assert eqn.source is not None
    assert eqn.source.filename == __file__
    assert "this line" in eqn.source.text()
    transposed = wengert.make_jaxpr(wengert.grad(lambda x: jnp.sin(x) * 2))(1.0)
    assert all(e.source.filename == __file__ and "jnp.sin" in e.source.text() for e in transposed.eqns)


def test_make_jaxpr_options() -> None:
    closed, shape = wengert.make_jaxpr(lambda x, n: {"y": x * n}, static_argnums=1, return_shape=True)(XS, 2)
    assert len(closed.in_avals) == 1
    assert shape == {"y": wengert.ShapeDtypeStruct((3,), np.float32)}
    struct = wengert.ShapeDtypeStruct((2,), np.float32)
    assert wengert.make_jaxpr(jnp.sin)(struct).out_avals[0].shape == (2,)


def test_the_checker_finds_what_is_wrong() -> None:
    closed = wengert.make_jaxpr(lambda x: jnp.sin(x) + 1)(XS)
    jaxpr = closed.jaxpr
    check_jaxpr(jaxpr)
    with pytest.raises(JaxprTypeError, match="bound nowhere"):
        check_jaxpr(jaxpr.replace(eqns=jaxpr.eqns[1:]))
    with pytest.raises(JaxprTypeError, match="bound twice"):
        check_jaxpr(jaxpr.replace(eqns=[jaxpr.eqns[0], *jaxpr.eqns]))
    wrong = Var(get_aval(1))
    with pytest.raises(JaxprTypeError, match="the equation says i32"):
        check_jaxpr(Jaxpr([], jaxpr.invars, [wrong], [jaxpr.eqns[0].replace(outvars=[wrong])]))
    with pytest.raises(JaxprTypeError, match="constants"):
        ClosedJaxpr(jaxpr, [1])


def test_eval_shape() -> None:
    found = wengert.eval_shape(
        lambda x, *, k: (x[None] * k, 1), XS, k=wengert.ShapeDtypeStruct((), np.float32)
    )
    assert found[0] == wengert.ShapeDtypeStruct((1, 3), np.float32)
    assert found[1].shape == ()
    assert wengert.jit(jnp.sin).eval_shape(XS).shape == (3,)
    with pytest.raises(TypeError, match="no array"):
        wengert.eval_shape(jnp.sin, "a")


def test_shape_dtype_struct() -> None:
    struct = wengert.ShapeDtypeStruct((2, 3), jnp.float32)
    assert (struct.ndim, struct.size, len(struct)) == (2, 6, 2)
    assert struct.update(shape=(1,)) == wengert.ShapeDtypeStruct((1,), np.float32)
    assert hash(struct) == hash(wengert.ShapeDtypeStruct((2, 3), np.float32))
    assert repr(struct) == "ShapeDtypeStruct(shape=(2, 3), dtype=float32)"
    with pytest.raises(ValueError, match="dtype must be specified"):
        wengert.ShapeDtypeStruct((), None)


def test_named_axes() -> None:
    with naming_axes([("i", 3), ("j", 4)]):
        assert axis_size("i") == 3
        assert axis_size(("i", "j")) == 12
        with pytest.raises(
            NameError, match=r"unbound axis name: k; the axes that are bound here: 'i' \(size 3\), 'j'"
        ):
            axis_size("k")
    sizes = []
    wengert.vmap(lambda x: sizes.append(axis_size("batch")) or x, axis_name="batch")(XS)
    assert sizes == [3]


# -------------------------------------------------------------------------------------------------------- jit


def counting(f: Fun) -> tuple[Fun, list[int]]:
    calls: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return f(*args, **kwargs)

    return counted, calls


def test_jit_traces_once_for_each_type() -> None:
    f, calls = counting(lambda x, y=1.0: x * y)
    g = wengert.jit(f)
    for x in (1.0, 2.0, 3.0):
        assert_close(g(x), x)
    assert len(calls) == 1
    g(np.float32(1))  # not weakly typed
    g(XS)
    g(XS, 2.0)
    g(XS, y=2.0)
    g(jnp.float32(1))
    assert len(calls) == 5
    wengert.jit(f)(XS)  # another jit of the same function
    assert len(calls) == 5
    g.clear_cache()
    g(XS)
    assert len(calls) == 6
    wengert.clear_caches()
    g(XS)
    assert len(calls) == 7


def test_jit_keeps_structures() -> None:
    f = wengert.jit(lambda p, *rest, **by_name: {"p": p, "rest": rest, "none": None, **by_name})
    out = f({"a": 1.0, "b": [XS]}, 2.0, 3, k=True)
    assert_close(out, {"p": {"a": 1.0, "b": [XS]}, "rest": (2.0, 3), "none": None, "k": True})
    assert out["rest"][1].dtype == np.int32


def test_jit_decorates_methods_and_keeps_names() -> None:
    class Model:
        """Not a pytree: static, by identity."""

        def __init__(self, scale: float):
            self.scale = scale

        @partial(wengert.jit, static_argnums=0)
        def __call__(self, x: Any) -> Any:
            """Scales."""
            return x * self.scale

    assert_close(Model(3.0)(2.0), 6.0)
    assert_close(Model(4.0)(2.0), 8.0)
    assert Model.__call__.__doc__ == "Scales."
    assert wengert.jit(Model(1.0).__call__).__name__ == "__call__"


def test_static_arguments() -> None:
    f, calls = counting(lambda x, mode, n=2: x * n if mode == "mul" else x + n)
    g = wengert.jit(lambda x, mode, n=2: f(x, mode, n), static_argnames=("mode", "n"))
    assert_close(
        (g(3.0, "mul"), g(3.0, mode="add"), g(3.0, "mul", n=5), g(4.0, "mul")), (6.0, 5.0, 15.0, 8.0)
    )
    assert len(calls) == 3
    assert_close(wengert.jit(lambda x, n: x * n, static_argnums=-1)(3.0, 2), 6.0)
    # True and 1 are equal but not the same
    h = wengert.jit(lambda x, n: x * 2 if n is True else x, static_argnums=1)
    assert_close((h(1.0, 1), h(1.0, True)), (1.0, 2.0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: wengert.jit(lambda x, n: x, static_argnums=1)(1.0, [1]),
            ValueError,
            "Non-hashable static.*tuple",
        ),
        (lambda: wengert.jit(lambda x: x, static_argnums=3), ValueError, "only accepts 1 positional"),
        (lambda: wengert.jit(lambda x: x, static_argnames="k"), ValueError, "invalid argnames {'k'}"),
        (lambda: wengert.jit(lambda x: x, static_argnums="k"), TypeError, "int or a sequence of ints"),
        (lambda: wengert.jit(lambda x: x)("text"), TypeError, "(?s)argument x.*static"),
        (lambda: wengert.jit(lambda p: p)({"k": object()}), TypeError, r"argument p\['k'\]"),
        (lambda: wengert.jit(lambda x: "text")(1.0), TypeError, "not a valid JAX type"),
        (lambda: wengert.jit(lambda x: {"a": [x, "b"]})(1.0), TypeError, r"component \['a'\]\[1\]"),
        (lambda: wengert.jit(5), TypeError, "Expected a callable value"),
        (lambda: wengert.jit(lambda: (yield 1)), TypeError, "generator function"),
    ],
)
def test_jit_argument_errors(call: Fun, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_jit_closes_over_arrays_and_tracers() -> None:
    table = jnp.arange(3.0)
    assert_close(wengert.jit(lambda i: table[i])(2), 2.0)

    @wengert.jit
    def outer(t: Any) -> Any:
        inner = wengert.jit(lambda x: x * t + table)
        return inner(1.0) + inner(2.0)

    assert_close(outer(2.0), 6 + 2 * np.arange(3.0))
    assert_close(wengert.grad(lambda t: outer(t).sum())(2.0), 9.0)


def test_jit_inside_of_transformations_is_an_equation_of_its_own() -> None:
    f = wengert.jit(jnp.sin)
    closed = wengert.make_jaxpr(lambda x: f(x) + f(x))(1.0)
    first, second, _ = closed.eqns
    assert first.primitive.name == "jit"
    assert first.params["jaxpr"] is second.params["jaxpr"]
    inlined = wengert.make_jaxpr(wengert.jit(jnp.sin, inline=True))(1.0)
    assert [e.primitive.name for e in inlined.eqns] == ["sin"]
    named = wengert.make_jaxpr(wengert.named_call(jnp.sin, name="wave"))(1.0)
    assert [e.primitive.name for e in named.eqns] == ["sin"]


def test_derivatives_of_a_jitted_function_are_the_same_program_each_time() -> None:
    """Otherwise every step of an eager training loop would be compiled anew."""
    f = wengert.jit(lambda x: jnp.sin(x) * x)
    once, again = (wengert.make_jaxpr(wengert.grad(f))(1.0) for _ in range(2))
    for a, b in zip(once.eqns, again.eqns, strict=True):
        assert a.params["jaxpr"] is b.params["jaxpr"]


def test_disable_jit() -> None:
    seen: list[Any] = []
    f = wengert.jit(lambda x: seen.append(float(x)) or x)
    with wengert.disable_jit():
        f(2.0)
    assert seen == [2.0]


def test_settings_are_part_of_the_key() -> None:
    f = wengert.jit(lambda x: x * 2)
    assert f(1.0).dtype == np.float32
    with wengert.enable_x64(True):
        assert f(1.0).dtype == np.float64
    assert f(1.0).dtype == np.float32


def test_compile_time_evaluation() -> None:
    @wengert.jit
    def f(x: Any) -> Any:
        with wengert.ensure_compile_time_eval():
            size = int(jnp.arange(3).sum())
        return x * jnp.ones(size)

    assert f(2.0).shape == (3,)


def test_stages() -> None:
    f = wengert.jit(lambda p, n: p["x"] * n, static_argnums=1)
    traced = f.trace({"x": XS}, 2)
    assert traced.fun_name == "<lambda>"
    assert traced.out_info.shape == (3,)
    assert len(traced.jaxpr.eqns) == 1
    lowered = f.lower({"x": wengert.ShapeDtypeStruct((3,), np.float32)}, 2)
    assert "mul" in lowered.as_text()
    assert lowered.args_info[0][0]["x"].shape == (3,)
    compiled = lowered.compile()
    assert_close(compiled({"x": XS}), XS * 2)
    assert isinstance(compiled.as_text(), str)
    with pytest.raises(TypeError, match=r"argument p\['x'\] is f32\[2\], but f32\[3\] was compiled for"):
        compiled({"x": XS[:2]})
    with pytest.raises(TypeError, match="input pytree"):
        compiled([XS])


def test_donated_arguments_are_known() -> None:
    f = wengert.jit(lambda p, x: p["a"] + x, donate_argnums=0)
    assert f.trace({"a": XS, "b": XS}, XS).lower().donate_argnums == (0, 1)
    by_name = wengert.jit(lambda p, x: p + x, donate_argnames="x")
    assert by_name.lower(XS, x=XS).donate_argnums == (1,)
    assert by_name.lower(XS, XS).donate_argnums == (1,)


# ----------------------------------------------------------------------------------------------------- errors


def test_truth_of_a_traced_value() -> None:
    @wengert.jit
    def relu(x: Any) -> Any:
        return x if x > 0 else 0.0

    with pytest.raises(TracerBoolConversionError) as error:
        relu(1.0)
    message = str(error.value)
    assert "shape bool[]" in message
    assert "depends on argument x of relu" in message
    assert "jnp.where" in message
    assert "lax.cond" in message
    assert "test_staging.py" in message
    assert "return x if x > 0 else 0.0" in message


@pytest.mark.parametrize(
    ("fun", "error", "message"),
    [
        (
            lambda x: [1, 2, 3][x],
            TracerIntegerConversionError,
            r"(?s)__index__.*argument x of .*jnp.array\(values\)",
        ),
        (lambda x: range(x), TracerIntegerConversionError, "lax.fori_loop"),
        (lambda x: jnp.zeros(x), (ConcretizationTypeError, TypeError), "static_argnums"),
        (lambda x: float(x), ConcretizationTypeError, "`float` function"),
        (lambda x: int(x), ConcretizationTypeError, "(?s)`int` function.*argument x of .*astype"),
        (lambda x: complex(x), ConcretizationTypeError, "`complex` function"),
        (lambda x: np.sin(x), TracerArrayConversionError, "same name in wengert.numpy"),
        (lambda x: {x: 1}, TypeError, "unhashable type"),
    ],
)
def test_values_that_python_needs_now(fun: Fun, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        wengert.jit(fun)(2)


def test_values_that_leave_their_function() -> None:
    kept = []

    @wengert.jit
    def f(x: Any) -> Any:
        kept.append(x * 2)
        return x

    f(1.0)
    with pytest.raises(UnexpectedTracerError, match=r"add got a traced f32\[\].*computed at test_staging.py"):
        kept[0] + 1
    with pytest.raises(UnexpectedTracerError, match="after the tracing of f has ended"):
        wengert.jit(lambda y: y + kept[0])(1.0)


def test_gradients_that_leave_their_function() -> None:
    kept = []
    wengert.grad(lambda x: kept.append(x) or x * x)(1.0)
    with pytest.raises(UnexpectedTracerError, match="differentiated f32"):
        jnp.sin(kept[0])


def test_errors_show_the_users_frames_alone() -> None:
    def broken(x: Any) -> Any:
        return undefined_name + x  # noqa: F821

    with pytest.raises(NameError) as error:
        wengert.jit(wengert.grad(broken))(1.0)
    files = [entry.path.name for entry in error.traceback if hasattr(entry.path, "name")]
    assert set(files) == {"test_staging.py"}


def test_arguments_behind_a_value_are_named() -> None:
    def f(a: Any, p: Any, unused: Any) -> Any:
        if a * p["k"] > 0:
            return a
        return unused

    with pytest.raises(TracerBoolConversionError, match=r"depends on argument a and argument p\['k'\] of f"):
        wengert.jit(f)(1.0, {"k": 2.0}, 3.0)


def test_staging_takes_and_gives_flat_lists() -> None:
    closed = stage(lambda x, y: [lax.add(x, y), y], [get_aval(1.0)] * 2, "pair")
    assert closed.jaxpr.name == "pair"
    assert [len(closed.in_avals), len(closed.out_avals)] == [2, 2]


# -------------------------------------------------------------------------------------------------- placement


def test_devices() -> None:
    (device,) = wengert.devices()
    assert (device.platform, device.id, str(device), repr(device)) == ("cpu", 0, "cpu:0", "CpuDevice(id=0)")
    assert pickle.loads(pickle.dumps(device)) is device
    assert wengert.local_devices() == wengert.devices("cpu")
    assert wengert.device_count() == wengert.local_device_count() == wengert.process_count() == 1
    assert wengert.default_backend() == "cpu"
    with pytest.raises(RuntimeError, match="Unknown backend 'gpu'"):
        wengert.devices("gpu")


def test_device_put_and_get() -> None:
    put = wengert.device_put({"a": XS, "b": 1.0}, wengert.devices()[0])
    assert isinstance(put["a"], wengert.Array)
    assert put["b"].weak_type
    found = wengert.device_get(put)
    assert type(found["a"]) is np.ndarray
    assert_close(found, {"a": XS, "b": np.float32(1)})
    assert wengert.block_until_ready(put) is put
    with pytest.raises(TypeError, match="Cannot interpret"):
        wengert.device_put("a")


def test_environment_information(capsys: pytest.CaptureFixture[str]) -> None:
    text = wengert.print_environment_info(return_string=True)
    assert wengert.__version__ in text.splitlines()[0]
    assert wengert.print_environment_info() is None
    assert capsys.readouterr().out.strip() == text


def test_public_names() -> None:
    assert isinstance(jnp.ones(2), wengert.Array)
    assert wengert.typeof(1.0).weak_type
    assert wengert.random.__name__ == "wengert.random"
    assert "random" in dir(wengert)
    assert isinstance(jnp.ones(2).aval, wengert.core.ShapedArray)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wengert.core.nothing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wengert.nothing
