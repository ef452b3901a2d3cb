"""What `wengert.explain` tells: the kernels, what is in them, the user's lines, bytes and operations."""

from __future__ import annotations

import functools
import html.parser
import re
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from tests.test_golden import CASES, wave_recorded
from wengert import lax


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def lines_of(text: str, label: str) -> list[str]:
    """What stands behind a label, at any depth."""
    return re.findall(rf"^ *{label} +(.*)$", text, re.MULTILINE)


def softmax(x: Any) -> Any:
    e = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))
    return e / jnp.sum(e, axis=-1, keepdims=True)


def test_softmax_is_one_kernel_with_its_lines_bytes_and_operations() -> None:
    explanation = wengert.explain(softmax, jnp.ones((64, 100)))
    (kernel,) = explanation.kernels
    assert kernel.bytes_read == kernel.bytes_written == 64 * 100 * 4
    assert kernel.operations == dict.fromkeys(("max", "sub", "exp", "add", "div"), 6400)
    assert [list(line.names) for line in kernel.lines] == [
        ["reduce_max", "sub", "exp"],
        ["reduce_sum", "div"],
    ]
    text = str(explanation)
    assert text.startswith("softmax(x: f32[64,100]) -> f32[64,100]\n\n1. parallel loop nest\n")
    assert "e = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))  reduce_max, sub, exp" in text
    first = softmax.__code__.co_firstlineno
    assert f"test_explain.py:{first + 1}" in text
    assert f"test_explain.py:{first + 2}" in text
    assert lines_of(text, "memory") == [
        "reads 25.6 kB (x); writes 25.6 kB (result); keeps 1 row of 400 B in the cache"
    ]
    assert text.endswith(
        "in all: 1 kernel; 25.6 kB read, 25.6 kB written; 32.0k operations, 0.62 operations a byte; no temporaries"
    )


def test_loops_tell_their_ranges_lanes_and_what_they_combine() -> None:
    text = str(wengert.explain(softmax, jnp.ones((64, 100))))
    loops = [line.split() for line in text.splitlines() if re.match(r" +(parallel )?for ", line)]
    assert loops[0] == ["parallel", "for", "i", "in", "0:64"]
    assert [line[:4] for line in loops[1:]] == [["for", "j", "in", "0:100"]] * 3
    assert loops[1][-1] == "max"
    assert loops[2][-1] == "add"
    assert all(line[5].startswith("lanes") for line in loops[1:])


def test_operations_outside_of_the_inner_loop_are_counted_there() -> None:
    def normalise(x: Any) -> Any:
        return x * lax.rsqrt(jnp.sum(x * x, axis=1, keepdims=True))

    (kernel,) = wengert.explain(normalise, jnp.ones((30, 50))).kernels
    assert kernel.operations == {"mul": 3000, "add": 1500, "rsqrt": 30}


def test_scans_hold_their_kernels_and_totals_count_every_step() -> None:
    u = jnp.ones((60, 70))
    explanation = wengert.explain(wave_recorded, u, u, u)
    (scan,) = explanation.kernels
    assert (scan.kind, scan.turns) == ("scan", 10)
    assert scan.notes == [
        "carries are 2 pointers; after each step the pointers move",
        "stacked outputs are written in place",
    ]
    ((step,),) = scan.inner
    text = str(explanation)
    assert "1. scan of 10 steps" in text
    assert "   1.1. loop nest" in text
    total = re.search(r"in all: 1 kernel; ([\d.]+) kB read, ([\d.]+) kB written", text)
    assert total is not None
    assert float(total[1]) == pytest.approx(10 * step.bytes_read / 1000, rel=0.01)
    assert float(total[2]) == pytest.approx(10 * step.bytes_written / 1000, rel=0.01)


def test_large_products_name_the_library_and_their_sizes() -> None:
    explanation = wengert.explain(lambda x, y: x @ y, jnp.ones((2048, 4096)), jnp.ones((4096, 256)))
    (kernel,) = explanation.kernels
    assert kernel.title == "matrix product by BLAS: 2048x4096 times 4096x256"
    assert kernel.operations.total() == 2 * 2048 * 4096 * 256
    assert kernel.bytes_read == 4 * (2048 * 4096 + 4096 * 256)


def test_other_products_are_loops_with_as_many_operations() -> None:
    explanation = wengert.explain(lambda x, y: x @ y, jnp.ones((64, 128)), jnp.ones((128, 32)))
    (kernel,) = explanation.kernels
    assert kernel.operations["mul"] == kernel.operations["add"] == 64 * 128 * 32
    assert kernel.bytes_written == 4 * 64 * 32


def test_calls_out_of_the_program_are_told() -> None:
    text = str(wengert.explain(lambda x: jnp.abs(jnp.fft.fft(x + 1)), jnp.ones(5000)))
    assert "fft in NumPy: a call out of the compiled program" in text


def test_branches_are_told_apart_and_the_dearest_counts() -> None:
    def f(p: Any, x: Any) -> Any:
        return lax.cond(p, lambda x: x, lambda x: jnp.sin(x) * 2, x)

    explanation = wengert.explain(f, True, jnp.ones(1000))
    text = str(explanation)
    assert "branch 0" in text
    assert "branch 1" in text
    assert "2.0k operations" in text.splitlines()[-1]


def test_while_loops_count_as_one_turn() -> None:
    def f(x: Any) -> Any:
        return lax.while_loop(lambda x: jnp.sum(x) < 100, lambda x: x * 2, x)

    text = str(wengert.explain(f, jnp.ones(10)))
    assert "2. while loop" in text
    assert " ".join(text.split()).endswith("each while loop counted as one turn")


def test_arguments_are_called_as_the_user_calls_them() -> None:
    @functools.partial(wengert.jit, static_argnames="n")
    def f(params: Any, x: Any, n: int) -> Any:
        return x * params["scale"] + n

    explanation = wengert.explain(
        f, {"scale": np.ones(8, np.float32)}, wengert.ShapeDtypeStruct((8,), jnp.float32), n=2
    )
    assert str(explanation).startswith("f(params['scale']: f32[8], x: f32[8]) -> f32[8]\n")
    (memory,) = lines_of(str(explanation), "memory")
    assert memory == "reads 64 B (params['scale'] 32 B, x 32 B); writes 32 B (result)"


def test_long_lines_are_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(first: Any, second: Any) -> Any:
        return jnp.exp(first) * jnp.exp(second) - (first - second) * (first + second) + first + 5

    monkeypatch.setenv("COLUMNS", "80")
    text = str(wengert.explain(f, jnp.ones(9), jnp.ones(9)))
    (line,) = lines_of(text, "lines")
    assert "..." in line
    assert max(map(len, text.splitlines())) <= 80


def test_verbose_shows_the_jaxpr_and_the_loop_program() -> None:
    explanation = wengert.explain(lambda x: x + 1, jnp.ones(3), verbose=True)
    text = str(explanation)
    assert explanation.jaxpr in text
    assert explanation.program in text
    assert "add a 1.0" in explanation.jaxpr
    assert "(x0[i] + 1.0)" in explanation.program


def test_code_is_shown_on_demand() -> None:
    explanation = wengert.explain(lambda x: x + 1, jnp.ones(3))
    assert "fadd" in explanation.llvm
    assert "program" in explanation.assembly


def test_what_computes_nothing_has_no_kernels() -> None:
    explanation = wengert.explain(lambda x: x, jnp.ones(3))
    assert explanation.kernels == []
    assert "0 kernels" in str(explanation)


def test_what_is_not_callable_is_refused() -> None:
    with pytest.raises(TypeError, match="explain takes a function as its first argument"):
        wengert.explain(jnp.ones(3))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_every_kernel_writes_something_and_names_a_line(name: str) -> None:
    function, args = CASES[name]

    def check(kernels: Any) -> None:
        for kernel in kernels:
            assert kernel.inner or kernel.bytes_written
            if not kernel.title.startswith("copy"):
                assert any(
                    line.source is not None and "test_golden" in line.source.filename for line in kernel.lines
                )
            for body in kernel.inner:
                check(body)

    explanation = wengert.explain(function, *args)
    check(explanation.kernels)
    assert str(explanation) == repr(explanation)


def heavy(x: Any) -> Any:
    def step(c: Any, _: Any) -> Any:
        return jnp.sin(c) + 1, jnp.sum(c)

    last, sums = lax.scan(step, x, None, length=7)
    return lax.cond(sums[0] > 0, jnp.cos, jnp.exp, last), jnp.sort(jnp.tanh(x), axis=1)


def every(kernels: Any) -> Any:
    for kernel in kernels:
        yield kernel
        for body in kernel.inner:
            yield from every(body)


def test_kernels_are_measured_while_the_program_runs() -> None:
    x = jnp.asarray(np.random.default_rng(0).random((300, 200), np.float32))
    explanation = wengert.explain(heavy, x, measure=True)
    assert explanation.seconds is not None
    leaves = [k for k in every(explanation.kernels) if not k.inner]
    ran = [k for k in leaves if k.seconds is not None]
    assert sum(k.seconds for k in ran) < 10 * explanation.seconds
    sine = next(k for k in ran if "sin" in k.operations)
    assert sine.runs == 7
    assert sine.seconds > 0
    (idle,) = [
        k for k in leaves if "exp" in k.operations and "cos" not in k.operations
    ]  # of the other branch
    assert idle.seconds is None
    text = str(explanation)
    assert re.search(r"time +[\d.]+ [mu]s in 7 runs, [\d.]+ GB/s, [\d.]+ G operations/s", text)
    for kernel in ran:  # the limits are not measured beside the kernels
        assert kernel.limit is None or kernel.limit[0] <= kernel.seconds
    assert text.endswith(" a call")
    assert "time " not in str(wengert.explain(heavy, x))


def test_measuring_leaves_the_results_alone() -> None:
    x = jnp.asarray(np.random.default_rng(0).random((30, 20), np.float32))
    jitted = wengert.jit(heavy)
    before = [np.asarray(y) for y in jitted(x)]
    wengert.explain(jitted, x, measure=True)
    for a, b in zip(before, jitted(x), strict=True):
        assert np.array_equal(a, np.asarray(b))


def test_types_cannot_be_measured() -> None:
    with pytest.raises(TypeError, match="takes arrays to run it on; these are types: x"):
        wengert.explain(heavy, wengert.ShapeDtypeStruct((3, 2), np.float32), measure=True)


@pytest.mark.parametrize("measure", [False, True])
def test_the_page_is_one_file_that_is_well_formed(tmp_path: Any, measure: bool) -> None:
    open_tags: list[str] = []
    words: list[str] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            assert not {"src", "href"} & {name for name, _ in attrs}
            if tag != "meta":
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

        def handle_data(self, data: str) -> None:
            words.append(data)

    path = tmp_path / "page.html"
    wengert.explain(lambda x: jnp.where(x < 1, heavy(x)[0], 2), jnp.ones((30, 20)), measure=measure).to_html(
        path
    )
    Reader().feed(path.read_text(encoding="utf-8"))
    assert open_tags == []
    text = " ".join(words)
    assert "jnp.sin(c) + 1, jnp.sum(c)" in text
    assert "where(x < 1, heavy(x)[0], 2)" in text
    assert "scan of 7 steps" in text
    assert ("measured time" in text) is measure


def test_what_is_stored_says_why() -> None:
    def f(x: Any) -> Any:
        y = jnp.tanh(x)
        return jnp.sort(y, axis=1), jnp.exp(x - jnp.max(x))

    text = str(wengert.explain(f, jnp.ones((40, 30))))
    assert "tanh stored: sort reads it from memory" in text
    assert "reduce_max stored: sub needs all of it" in text
