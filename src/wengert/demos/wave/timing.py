"""The same simulation in NumPy, in Wengert eagerly, and compiled: how long each takes, and do they agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import wengert
import wengert.numpy as wnp
from wengert.demos.wave.physics import forward, python_scan
from wengert.demos.wave.terrain import Ground

Array = Any
LOOP_WORK = (
    60_000_000  # a Python loop runs at most so many grid points times steps; beyond that its time is scaled
)
TOLERANCE = 1e-3  # largest difference allowed, relative to the largest pressure: float32, hundreds of steps
REPEATS = 5

Progress = Callable[..., Iterable[Any]]


class Shot(NamedTuple):
    """A source and how long its wave is followed."""

    source_i: tuple[int, int]  # grid indices along x and y
    f0: float  # dominant frequency, Hz
    steps: int
    dt: float  # s


class Timing(NamedTuple):
    """How one way of running the simulation did."""

    name: str
    seconds: float  # for all steps
    measured_steps: int  # fewer than all where the time is scaled


class Race(NamedTuple):
    """The timings, slowest first, and what the compiled run computed."""

    timings: list[Timing]
    first_call: float  # s, with tracing and compilation
    difference: float  # the largest between any two results, relative to the largest pressure
    wavefields: Array  # Pa, (steps, NX, NY)


def simulate(ground: Ground, shot: Shot, steps: int, velocity: Array, density: Array, **how: Any) -> Any:
    """``forward`` for one shot over ``steps`` time steps."""
    source_i = np.array(shot.source_i, dtype=np.int32)
    return forward(
        velocity, density, source_i, shot.f0, *ground.shape, steps, *ground.spacing, shot.dt, **how
    )


def race(ground: Ground, shot: Shot, progress: Progress) -> Race:
    """Run the simulation in all three ways.

    ``progress(xs, desc=...)`` passes ``xs`` on and shows how far the Python loops are.
    """
    compiled = wengert.jit(partial(simulate, ground, shot, shot.steps))
    in_numpy = ground.velocity, ground.density
    in_wengert = wnp.asarray(ground.velocity), wnp.asarray(ground.density)
    jitted = partial(compiled, *in_wengert)
    first_call, _ = stopwatch(jitted)
    seconds, wavefields = min((stopwatch(jitted) for _ in range(REPEATS)), key=lambda timed: timed[0])
    wavefields = np.asarray(wavefields)

    steps = max(2, min(shot.steps, LOOP_WORK // ground.velocity.size))
    timings, difference = [], 0.0
    for name, xp, arrays in [("NumPy, Python loop", np, in_numpy), ("Wengert, eager", wnp, in_wengert)]:
        loop = partial(looped, progress=partial(progress, desc=f"  {name:<20}"))
        taken, result = stopwatch(partial(simulate, ground, shot, steps, *arrays, xp=xp, scan=loop))
        timings.append(Timing(name, taken * shot.steps / steps, steps))
        difference = max(difference, largest_difference(result, wavefields))
    timings.append(Timing("Wengert, jitted", seconds, shot.steps))
    return Race(timings, first_call, difference, wavefields)


def looped(step: Any, carry: Any, xs: Any, progress: Progress) -> Any:
    """``python_scan`` with a progress bar."""
    return python_scan(step, carry, progress(xs))


def stopwatch(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that ``work`` takes until its results are there, and the results."""
    start = time.perf_counter()
    result = wengert.block_until_ready(work())
    return time.perf_counter() - start, result


def largest_difference(some: list[Array], wavefields: Array) -> float:
    """The largest difference of the first fields, relative to the largest pressure in them."""
    scale = float(np.max(np.abs(wavefields[: len(some)])))
    return max(float(np.max(np.abs(np.asarray(a) - b))) for a, b in zip(some, wavefields)) / scale


def table(result: Race, steps: int) -> str:
    """The timings as text, each with its ratio to the first."""
    slowest = result.timings[0].seconds
    lines = [f"  {'':<20}{'time':>10}{'per step':>12}{'speed':>10}"]
    for name, seconds, measured in result.timings:
        note = "" if measured == steps else f"   (timed over {measured} steps, scaled to {steps})"
        lines.append(
            f"  {name:<20}{seconds:>8.3f} s{1e3 * seconds / steps:>9.3f} ms{slowest / seconds:>8.1f} x{note}"
        )
    lines.append(f"  The first jitted call, with tracing and compilation, took {result.first_call:.2f} s.")
    lines.append(f"  The results agree to {result.difference:.1e} of the largest pressure.")
    return "\n".join(lines)
