"""Measuring: both libraries in turn, round after round, and their results side by side."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks import worker
from benchmarks.rows import Row

LIBRARIES = ("wengert", "jax")
PATIENCE = 300.0
"""Seconds after which an answer is given up."""


class Failed(Exception):
    """A row could not be measured on one side; the message is one line."""


@dataclass
class Outcome:
    """What came of a row: seconds of a call in each round, for each library, or what went wrong."""

    row: Row
    times: dict[str, list[float]] = field(default_factory=dict)
    failed: str | None = None
    differs: str | None = None

    def best(self, library: str) -> float:
        return min(self.times[library])

    @property
    def ratio(self) -> float:
        """Wengert's time over JAX's, by the best rounds."""
        return self.best("wengert") / self.best("jax")

    @property
    def middle_ratio(self) -> float:
        """The same by the medians of the rounds."""
        return median(self.times["wengert"]) / median(self.times["jax"])


class Worker:
    """A process with one library in it; a context manager, which ends it."""

    def __init__(self, library: str, environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.library = library
        self._connection, other = context.Pipe()
        self._process = context.Process(target=worker.serve, args=(other, library, environment), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()

    def ask(self, command: str, argument: Any = None) -> Any:
        try:
            self._connection.send((command, argument))
            if not self._connection.poll(PATIENCE):
                raise Failed(f"{self.library}: no answer within {PATIENCE:.0f} s")
            status, value = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(timeout=10)
            raise Failed(
                f"{self.library}: the process died with exit code {self._process.exitcode}"
            ) from None
        if status == "error":
            raise Failed(f"{self.library}: {value}")
        return value


@contextmanager
def _empty_cache() -> Iterator[dict[str, str]]:
    """The environment for a process that finds no compiled programs; modules may be kept as bytecode, as usual."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"WENGERT_COMPILATION_CACHE_DIR": folder, "PYTHONDONTWRITEBYTECODE": ""}


@contextmanager
def both_workers(given: dict[str, str] | None = None) -> Iterator[dict[str, Worker]]:
    """A fresh process for each library, without compiled programs on disk unless the environment is given."""
    with (
        contextlib.nullcontext(given) if given is not None else _empty_cache() as environment,
        Worker("wengert", environment) as ours,
        Worker("jax", environment) as theirs,
    ):
        yield {"wengert": ours, "jax": theirs}


def measure(row: Row, rounds: int) -> Outcome:
    """Time a row on both sides and compare the results; never raises for what the row does."""
    outcome = Outcome(row, {library: [] for library in LIBRARIES})
    ways: dict[str, Callable[[Outcome, int], None]] = {
        "first call": _first_calls,
        "second process": _second_processes,
        "start": _starts,
    }
    try:
        ways.get(row.mode, _calls)(outcome, rounds)
    except Failed as failure:
        outcome.failed = str(failure)
    return outcome


def _in_turn(round_number: int) -> tuple[str, ...]:
    """Which library goes first changes from round to round."""
    return LIBRARIES if round_number % 2 == 0 else LIBRARIES[::-1]


def _calls(outcome: Outcome, rounds: int) -> None:
    with both_workers() as workers:
        results = {}
        for library, process in workers.items():
            process.ask("prepare", outcome.row.name)
            results[library] = process.ask("result")
            process.ask("calibrate")
        outcome.differs = difference(results["wengert"], results["jax"], outcome.row.tolerance)
        for i in range(rounds):
            for library in _in_turn(i):
                outcome.times[library].append(workers[library].ask("time_of_a_call"))


def _first_calls(outcome: Outcome, rounds: int) -> None:
    """Tracing and compiling, in a fresh process each time, with nothing compiled before."""
    for i in range(max(3, rounds // 4)):
        _first_call(outcome, i)


def _second_processes(outcome: Outcome, rounds: int) -> None:
    """The same, after a process that compiled it."""
    with _empty_cache() as environment:
        for i in range(1 + max(3, rounds // 4)):
            _first_call(outcome, i, environment)
            if i == 0:
                outcome.times = {library: [] for library in LIBRARIES}


def _first_call(outcome: Outcome, i: int, environment: dict[str, str] | None = None) -> None:
    with both_workers(environment) as workers:
        results = {}
        for process in workers.values():
            process.ask("prepare", outcome.row.name)
        for library in _in_turn(i):
            outcome.times[library].append(workers[library].ask("compile_time"))
            results[library] = workers[library].ask("result")
        outcome.differs = difference(results["wengert"], results["jax"], outcome.row.tolerance)


def _starts(outcome: Outcome, rounds: int) -> None:
    """A whole program in a fresh interpreter, with nothing compiled before."""
    printed = {}
    for i in range(rounds):
        for library in _in_turn(i):
            command = [sys.executable, "-c", str(outcome.row.run).format(jax=library)]
            with _empty_cache() as environment:
                start = time.perf_counter()
                done = subprocess.run(
                    command, capture_output=True, text=True, env={**os.environ, **environment}
                )
                outcome.times[library].append(time.perf_counter() - start)
            if done.returncode:
                last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise Failed(f"{library}: {last_line}")
            printed[library] = done.stdout
    if printed["wengert"] != printed["jax"]:
        outcome.differs = f"printed {printed['wengert']!r} and {printed['jax']!r}"


def difference(ours: list[Any], theirs: list[Any], tolerance: float) -> str | None:
    """What differs between two lists of arrays, in a line; None if they agree."""
    if len(ours) != len(theirs):
        return f"{len(ours)} results and {len(theirs)}"
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"result {i}: {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}"
        exact = a.dtype.kind not in "fc"
        largest = float(np.max(np.abs(b), where=np.isfinite(b), initial=0))
        close = a == b if exact else np.isclose(a, b, rtol=0, atol=tolerance * largest, equal_nan=True)
        if not close.all():
            worst = float(np.max(np.abs(a[~close].astype(np.complex128) - b[~close])))
            count = f"{int((~close).sum())} of {b.size} numbers differ"
            return f"result {i}: {count}, by {worst:.2g} where the largest is {largest:.2g}"
    return None
