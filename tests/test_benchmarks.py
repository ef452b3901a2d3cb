"""The benchmarks tell apart what differs, and report what fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import drive, report
from benchmarks.limits import best_time, work
from benchmarks.rows import Row, normal
from benchmarks.table import TABLE

ONE = np.float32(1)


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([ONE], [ONE, ONE], "1 results and 2"),
        ([ONE], [2 * ONE], "result 0: 1 of 1 numbers differ, by 1 where the largest is 2"),
        ([np.zeros(3)], [np.zeros(4)], "result 0: float64[3] and float64[4]"),
        ([np.zeros(3, np.int32)], [np.zeros(3)], "result 0: int32[3] and float64[3]"),
        ([np.array([1.0, 2.0])], [np.array([1.0, 2.1])], "result 0: 1 of 2 numbers differ, by 0.1"),
        ([np.array([1.0, np.nan])], [np.array([1.0, 2.0])], "result 0: 1 of 2 numbers differ"),
        ([np.array([1.0, np.inf])], [np.array([1.0, 2.0])], "result 0: 1 of 2 numbers differ, by inf"),
        ([np.array([1.0, 5.0])], [np.array([np.inf, 5.0])], "result 0: 1 of 2 numbers differ, by inf"),
        ([np.array([1, 2])], [np.array([1, 3])], "result 0: 1 of 2 numbers differ, by 1"),
    ],
)
def test_differences_are_found(ours: list[Any], theirs: list[Any], said: str) -> None:
    found = drive.difference(ours, theirs, tolerance=1e-3)
    assert found is not None
    assert found.startswith(said)


def test_rounding_is_no_difference() -> None:
    a = np.array([1.0, 1e-9, np.nan, np.inf])
    b = np.array([1.0 + 1e-6, 0.0, np.nan, np.inf])
    assert drive.difference([a], [b], tolerance=1e-5) is None


def test_a_library_that_is_missing_fails_the_row_in_one_line() -> None:
    with drive.Worker("no_such_library", {}) as process, pytest.raises(drive.Failed) as failure:
        process.ask("prepare", "selu on 1e6")
    assert str(failure.value).startswith(
        "no_such_library: ModuleNotFoundError: No module named 'no_such_library'"
    )


def outcome(ours: float, theirs: float, **settings: Any) -> drive.Outcome:
    row = Row("a row", "jit", lambda jax: None, normal(), at_most=0.5)
    return drive.Outcome(row, {"wengert": [ours, 2 * ours], "jax": [theirs, theirs]}, **settings)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (outcome(1.0, 2.0), "ok"),
        (outcome(1.1, 2.0), "behind"),
        (outcome(1.0, 2.0, differs="by 3"), "FAILED"),
        (outcome(1.0, 2.0, failed="jax: no"), "FAILED"),
    ],
)
def test_verdict(result: drive.Outcome, said: str) -> None:
    assert report.verdict(result) == said
    assert said in report.Table(["a row"]).lines(result, limit=0.5)[0]


def test_the_table_for_a_page_has_a_line_for_each_row() -> None:
    page = report.as_markdown([outcome(1.0, 2.0), outcome(1.0, 2.0, failed="jax: no")], [0.5, None])
    assert [line.count("|") for line in page.splitlines()] == [len(report.HEADER) + 1] * 4
    assert "| 500 ms | 2.0x |" in page.splitlines()[2]
    assert "FAILED" in page.splitlines()[3]


def test_the_best_round_counts() -> None:
    assert outcome(1.0, 2.0).ratio == 0.5
    assert outcome(1.0, 2.0).middle_ratio == 0.75


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 us"), (7e-8, "70 ns")]
)
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_the_limit_grows_with_the_work() -> None:
    assert 0 < work(divides=1e6)() < work(divides=1e9)()
    assert best_time(lambda: sum(range(1000)), least=1e-4, rounds=3) > 0


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_rows_say_what_they_aim_at(row: Row) -> None:
    run: Callable[..., Any] | str = row.run
    assert 0 < row.at_most <= 1
    assert row.tolerance <= 1e-3
    assert isinstance(run, str) == (row.mode == "start")
