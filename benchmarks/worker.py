"""One process with one library in it, which times what it is told to and sends back the numbers.

Each library has a process of its own, and only one of them works at a time: neither's threads or memory are
in the other's way.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.rows import Row
from benchmarks.table import TABLE

SHORTEST_ROUND = 0.02
"""Seconds: a round repeats its call for about as long as this."""


class Bench:
    """What one library makes of one row: its inputs, its function, and how long a call takes."""

    def __init__(self, library: str, row: Row) -> None:
        jax = importlib.import_module(library)
        for part in ("numpy", "lax", "nn", "random", "tree_util"):
            importlib.import_module(f"{library}.{part}")
        self._jax = jax
        self._waits = row.waits
        rng = np.random.default_rng(zlib.crc32(row.name.split(": ")[-1].encode()))
        self._inputs = jax.tree_util.tree_map(jax.numpy.asarray, row.inputs(rng))
        jax.block_until_ready(self._inputs)
        if not callable(row.run):
            raise TypeError(f"the row {row.name!r} is a program of its own")
        function = functools.partial(row.run, jax)
        self._call: Callable[..., Any] = function if row.mode == "eager" else jax.jit(function)
        self._calls = 1

    def result(self) -> list[np.ndarray[Any, Any]]:
        """What the row computes."""
        return [np.asarray(leaf) for leaf in self._jax.tree_util.tree_leaves(self._call(*self._inputs))]

    def compile_time(self) -> float:
        """Seconds that tracing and compiling take; the calls that follow are of the compiled program."""
        start = time.perf_counter()
        compiled = self._call.lower(*self._inputs).compile()  # type: ignore[attr-defined]
        taken = time.perf_counter() - start
        self._call = compiled
        return taken

    def calibrate(self) -> None:
        """Find how many calls make a round."""
        while (taken := self._round()) < SHORTEST_ROUND and self._calls < 1_000_000:
            self._calls = max(2 * self._calls, int(self._calls * SHORTEST_ROUND / max(taken, 1e-7)))

    def time_of_a_call(self) -> float:
        """Seconds of one call, averaged over one round."""
        return self._round() / self._calls

    def _wait(self, result: Any) -> Any:
        return (
            result.block_until_ready()
            if hasattr(result, "block_until_ready")
            else self._jax.block_until_ready(result)
        )

    def _round(self) -> float:
        call, inputs, wait = self._call, self._inputs, self._wait
        start = time.perf_counter()
        if self._waits:
            for _ in range(self._calls):
                wait(call(*inputs))
        else:
            for _ in range(self._calls):
                result = call(*inputs)
            wait(result)
        return time.perf_counter() - start


def serve(connection: Connection, library: str, environment: dict[str, str]) -> None:
    """Answer requests until the other end closes: ("ok", value) or ("error", one line)."""
    os.environ.update(environment)
    sys.dont_write_bytecode = False  # as installed packages have theirs; else each start compiles our modules
    bench: Bench | None = None
    while True:
        try:
            command, argument = connection.recv()
        except EOFError:
            return
        try:
            value: Any = None
            if command == "prepare":
                bench = None
                # first calls of all rows are not in the table: they are those of the row behind the colon
                bench = Bench(library, TABLE.get(argument) or TABLE[argument.split(": ", 1)[-1]])
            elif command == "version":
                value = importlib.import_module(library).__version__
            else:
                value = getattr(bench, command)()
            connection.send(("ok", value))
        except Exception as error:  # any failure of a row belongs into the report, not into the terminal
            connection.send(("error", _one_line(error)))


def _one_line(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    message = str(error).strip().splitlines()
    place = f"{os.path.basename(where.filename)}:{where.lineno}"
    return f"{type(error).__name__}: {message[0] if message else ''} ({place})"
