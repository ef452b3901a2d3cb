"""Looking into running programs: debug.print, debug.callback, debug.breakpoint."""

from __future__ import annotations

import gzip
import io
import json
import logging
from pathlib import Path
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


# ---------------------------------------------------------------------------------------- monitoring, profiles


def test_monitoring() -> None:
    monitoring = wengert.monitoring
    seen: list[Any] = []

    def listen(*args: Any, **metadata: Any) -> None:
        seen.append((*args, metadata))

    def failing(*args: Any, **metadata: Any) -> None:
        raise AssertionError("it was unregistered")

    monitoring.register_event_listener(listen)
    monitoring.register_event_listener(failing)
    monitoring.unregister_event_listener(failing)
    monitoring.register_event_duration_secs_listener(listen)
    monitoring.register_event_time_span_listener(listen)
    monitoring.register_scalar_listener(listen)
    try:
        monitoring.record_event("/event", k=1)
        monitoring.record_event_duration_secs("/duration", 2.0)
        monitoring.record_event_time_span("/span", 1.0, 2.0)
        monitoring.record_scalar("/scalar", 3, unit="s")
        expected = [
            ("/event", {"k": 1}),
            ("/duration", 2.0, {}),
            ("/span", 1.0, 2.0, {}),
            ("/scalar", 3, {"unit": "s"}),
        ]
        assert seen == expected
        seen.clear()
        wengert.jit(lambda v: v * 5)(x)
        assert [(s[0].rpartition("/")[2], s[-1]) for s in seen if len(s) == 3] == [
            ("jaxpr_trace_duration", {"fun_name": "<lambda>"}),
            ("backend_compile_duration", {"fun_name": "jit(<lambda>)"}),
        ]
        assert all(s[1] >= 0 for s in seen)
    finally:
        monitoring.clear_event_listeners()
    seen.clear()
    monitoring.record_event("/event")
    assert seen == []
    with pytest.raises(ValueError, match="not registered"):
        monitoring.unregister_scalar_listener(listen)


def test_profile(tmp_path: Path) -> None:
    profiler = wengert.profiler

    @profiler.annotate_function
    def annotated(v: Any) -> Any:
        return wengert.jit(lambda a: a * 7)(v)

    with profiler.trace(tmp_path):
        annotated(x)
        with (
            profiler.TraceAnnotation("loading", file="a.txt"),
            profiler.StepTraceAnnotation("train", step_num=3),
        ):
            pass
        with pytest.raises(RuntimeError, match="already been started"):
            profiler.start_trace(tmp_path)
    with pytest.raises(RuntimeError, match="No profile started"):
        profiler.stop_trace()
    annotated(x)
    (path,) = tmp_path.glob("plugins/profile/*/*.trace.json.gz")
    spans = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    assert [s["name"].rpartition(".")[2].rpartition("/")[2] for s in spans] == [
        "jaxpr_trace_duration", "backend_compile_duration", "annotated", "train", "loading"
    ]  # fmt: skip
    assert spans[3]["args"] == {"step_num": 3}
    traced, _, called = spans[:3]
    assert called["ts"] <= traced["ts"] <= traced["ts"] + traced["dur"] <= called["ts"] + called["dur"]


def test_memory_profile(tmp_path: Path) -> None:
    kept = jnp.ones((7, 11, 13)) + 1
    wengert.profiler.save_device_memory_profile(tmp_path / "memory.json")
    found = json.loads((tmp_path / "memory.json").read_bytes())
    assert found["arrays"]["f32[7,11,13]"] == {"count": 1, "bytes": kept.nbytes}
    with pytest.raises(RuntimeError, match="Unknown backend"):
        wengert.profiler.device_memory_profile("gpu")
