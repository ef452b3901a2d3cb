"""What the hardware allows: measured rates, and the least time that a piece of work takes at those rates.

Three rates are measured with NumPy on all CPUs that the process may use: memory traffic (reads plus writes,
for a given size of the data, so that what fits a cache is held to the cache's rate), multiplications and
additions (by matrix products) and divisions. The limit of a row is the longest of the times that its
traffic, its operations and its divisions take. That is a lower bound, and seldom reached: no program does
nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

Work = Callable[[], object]
Limit = Callable[[], float]
"""A function that measures, at most once, what it needs, and returns seconds."""


def cpus() -> int:
    """The number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def best_time(work: Work, least: float = 0.01, rounds: int = 7) -> float:
    """The shortest time of one call, over rounds of as many calls as take `least` seconds."""
    work()
    calls = 1
    while (taken := _time_of(work, calls)) < least:
        calls = max(2 * calls, int(calls * least / max(taken, 1e-9)))
    return min(_time_of(work, calls) for _ in range(rounds)) / calls


def _time_of(work: Work, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - start


def _together(works: list[Work], calls: int) -> float:
    """Seconds until all threads, one for each piece of work, have done theirs `calls` times."""
    gate = threading.Barrier(len(works) + 1)

    def body(work: Work) -> None:
        gate.wait()
        for _ in range(calls):
            work()
        gate.wait()

    threads = [threading.Thread(target=body, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    gate.wait()
    start = time.perf_counter()
    gate.wait()
    taken = time.perf_counter() - start
    for thread in threads:
        thread.join()
    return taken


def _rate(works: list[Work], amount: float) -> float:
    """`amount` per second, where all of `works`, done once and at the same time, is `amount` of it."""
    calls = max(1, int(0.03 / max(_together(works, 1), 1e-6)))
    return amount * calls / min(_together(works, calls) for _ in range(7))


@cache
def bandwidth(size: int) -> float:
    """Bytes read plus bytes written per second, when one half of `size` bytes is copied to the other."""
    count = size // (8 * cpus())
    halves = [(np.ones(count, np.float32), np.ones(count, np.float32)) for _ in range(cpus())]
    return _rate([partial(np.copyto, b, a) for a, b in halves], 8 * count * cpus())


@cache
def operations() -> float:
    """Float32 multiplications plus additions per second, in a product of two 1024 x 1024 matrices."""
    a = np.ones((1024, 1024), np.float32)
    out = np.empty_like(a)
    return 2 * 1024**3 / best_time(lambda: np.matmul(a, a, out=out), least=0.05)


@cache
def divisions() -> float:
    """Float32 divisions per second."""
    count = 65536
    sets = [(np.ones(count, np.float32), np.empty(count, np.float32)) for _ in range(cpus())]
    return _rate([partial(np.divide, a, a, out) for a, out in sets], count * cpus())


def work(traffic: float = 0, flops: float = 0, divides: float = 0) -> Limit:
    """The limit of float32 work: `traffic` bytes moved, `flops` operations and `divides` divisions."""

    def seconds() -> float:
        # A power of two, so that few sizes are measured; below 1 MiB the threads measured each other's start.
        size = 1 << int(np.clip(np.ceil(np.log2(max(traffic, 1))), 20, 28))
        return max(
            traffic / bandwidth(size) if traffic else 0.0,
            flops / operations() if flops else 0.0,
            divides / divisions() if divides else 0.0,
        )

    return seconds


def as_numpy(run: Callable[[np.ndarray[Any, Any]], object], shape: tuple[int, ...]) -> Limit:
    """Not a bound but a yardstick: the time that NumPy takes, with float32 numbers of this shape."""
    return lambda: best_time(partial(run, np.random.default_rng(0).standard_normal(shape).astype(np.float32)))


def program(text: str) -> Limit:
    """A yardstick for start-up: the time of another program in a fresh interpreter."""
    command = [sys.executable, "-c", text]
    return lambda: best_time(lambda: subprocess.run(command, check=True, capture_output=True), rounds=5)


def describe() -> str:
    """The measured rates, in a line."""
    rates = ", ".join(f"{bandwidth(mib << 20) / 1e9:.0f} GB/s of {mib} MiB" for mib in (2, 8, 256))
    return (
        f"{cpus()} CPUs: {rates} (read plus written), {operations() / 1e9:.0f} GFLOP/s in float32,"
        f" {divisions() / 1e9:.1f} G divisions/s"
    )
