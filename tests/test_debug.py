"""Looking into running programs: debug.print, debug.callback, debug.breakpoint."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import debug, lax

x = jnp.arange(3.0)


def printed(capsys: pytest.CaptureFixture[str], f: Any, *args: Any) -> list[str]:
    f(*args)
    return capsys.readouterr().out.splitlines()


def shown(v: Any) -> Any:
    debug.print("v {}", v)
    return v * 2


def test_print_under_transformations(capsys: pytest.CaptureFixture[str]) -> None:
    whole = ["v [0. 1. 2.]"]
    each = ["v 0.0", "v 1.0", "v 2.0"]
    assert printed(capsys, shown, x) == whole
    assert printed(capsys, wengert.jit(shown), x) == whole
    assert printed(capsys, wengert.grad(lambda v: shown(v).sum()), x) == whole
    assert printed(capsys, wengert.jit(wengert.grad(lambda v: shown(v).sum())), x) == whole
    assert printed(capsys, wengert.vmap(shown), x) == each
    assert printed(capsys, wengert.jit(wengert.vmap(shown)), x) == each
    assert printed(capsys, wengert.linearize(shown, x)[1], x) == whole
    assert (
        printed(capsys, wengert.grad(wengert.checkpoint(lambda v: jnp.sin(shown(v)).sum())), x) == whole * 2
    )
    with wengert.disable_jit():
        assert printed(capsys, wengert.jit(shown), x) == whole


def test_print_in_loops_and_branches(capsys: pytest.CaptureFixture[str]) -> None:
    def scanned(v: Any) -> Any:
        return lax.scan(lambda c, a: (shown(c) * a, debug.print("constant")), 1.0, v)[0]

    expected = ["constant", "v 1.0", "constant", "v 2.0", "constant", "v 8.0"]
    for f in (scanned, wengert.jit(scanned), wengert.grad(scanned), wengert.jit(wengert.grad(scanned))):
        assert sorted(printed(capsys, f, x + 1)) == sorted(expected)
    loop = wengert.vmap(lambda v: lax.while_loop(lambda c: c < 4, shown, v))
    assert printed(capsys, loop, jnp.array([1.0, 2.0])) == ["v 1.0", "v 2.0", "v 2.0", "v 4.0"]
    branch = wengert.vmap(lambda v: lax.cond(v > 1, shown, lambda a: a, v))
    assert printed(capsys, branch, x) == ["v 0.0", "v 1.0", "v 2.0"]


def test_formats(capsys: pytest.CaptureFixture[str]) -> None:
    @wengert.jit
    def f(v: Any) -> None:
        debug.print("{0:.2f} {w} {0!r:>5} {name}", v[1] / 3, w={"a": v, "s": "text"}, name=None)
        debug.print("{{}} plain", ordered=True)
        debug.print(ordered=True)("{x.shape} {x}", x=v)

    lines = printed(capsys, f, x)
    assert lines[0].startswith("0.33 {'a': Array([0., 1., 2.], dtype=float32), 's': 'text'} Array(0.3333")
    assert lines[1:] == ["{} plain", "(3,) [0. 1. 2.]"]


def test_format_is_checked_when_it_is_traced() -> None:
    with pytest.raises(ValueError, match="Unused positional arguments"):
        wengert.jit(lambda v: debug.print("{}", v, v))(x)
    with pytest.raises(ValueError, match=r"Unused keyword arguments .* f-string"):
        debug.print("x", y=x)
    with pytest.raises(IndexError, match="refers to positional argument 1"):
        debug.print("{} {}", x)
    with pytest.raises(KeyError, match="y"):
        debug.print("{y}", x=x)
    with pytest.raises(TypeError, match="format string first"):
        debug.print(3)  # type: ignore[arg-type]
    debug.print("no field", x, skip_format_check=True)


def test_numpy_print_options_are_those_of_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    with np.printoptions(precision=2):
        f = wengert.jit(lambda v: debug.print("{}", v)).lower(x / 3).compile()
    assert printed(capsys, f, x / 3) == ["[0.   0.33 0.67]"]


def test_print_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "wengert.debug"):
        wengert.jit(lambda v: debug.print("v {}", v, _use_logging=True))(x)
    assert "v [0. 1. 2.]" in caplog.text


def test_callback() -> None:
    seen: list[Any] = []

    @wengert.jit
    def f(v: Any) -> Any:
        debug.callback(lambda text, a, *, k: seen.append((text, float(a.sum()), k)), "text", v, k=None)

        @debug.callback
        def _() -> None:
            seen.append("no arguments")

        return v

    f(x)
    assert seen == [("text", 3.0, None), "no arguments"]
    with pytest.raises(TypeError, match="takes a function"):
        debug.callback(3)  # type: ignore[arg-type]


def test_effects() -> None:
    def f(v: Any) -> Any:
        debug.print("{}", v)
        debug.callback(lambda a: None, v, ordered=True)

    effects = wengert.make_jaxpr(f)(x).effects
    assert {type(e) for e in effects} == {debug.DebugEffect, debug.OrderedDebugEffect}
    assert "debug_print[fmt={} ordered=False" in str(wengert.make_jaxpr(f)(x))


def stops(v: Any, stdin: Any, stdout: Any) -> Any:
    outer = v + 1

    def inner(w: Any) -> Any:
        product = w * 2
        debug.breakpoint(ordered=True, stdin=stdin, stdout=stdout)
        return product

    return inner(outer)


def test_breakpoint() -> None:
    stdin = io.StringIO("p product\nouter\nbt\nu\np outer + 1\na\nl\nd\nd\npp {'w': w}\nwhere\nhelp p\n\nc\n")
    stdout = io.StringIO()
    assert wengert.jit(lambda v: stops(v, stdin, stdout))(1.0) == 4.0
    text = stdout.getvalue()
    for wanted in (
        "inner()", "(wdb) 4.0", "NameError: name 'outer' is not defined", "stops()", "(wdb) 3.0", "outer = Array(2.",
        "-> ", "there is no frame beyond", "'w': Array(2.", "p EXPRESSION",
    ):  # fmt: skip
        assert wanted in text


def test_breakpoint_ends_the_process_or_goes_on() -> None:
    with pytest.raises(SystemExit):
        wengert.jit(lambda v: stops(v, io.StringIO("q\n"), io.StringIO()))(1.0)
    assert wengert.jit(lambda v: stops(v, io.StringIO(""), io.StringIO()))(1.0) == 4.0
    with pytest.raises(ValueError, match="there is no debugger 'web'"):
        debug.breakpoint(backend="web")
    with pytest.raises(TypeError, match="unexpected keyword arguments: color"):
        debug.breakpoint(color=True)


def test_sharding(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    wengert.jit(lambda v: debug.inspect_array_sharding(v, callback=seen.append))(x)
    assert seen[0].is_fully_replicated
    debug.visualize_array_sharding(jnp.ones((4, 4)))
    assert "CPU 0" in capsys.readouterr().out
    with pytest.raises(ValueError, match="1 and 2 dimensions"):
        debug.visualize_array_sharding(1.0)
