"""Full-waveform inversion: the wave speed of the ground, from the waves that receivers recorded.

What is minimised is the difference between the recorded and the computed pressure, by gradient descent with
Adam; the gradient of the whole simulation is ``wengert.value_and_grad`` of it. It goes from low frequencies
to high ones, since a wave that arrives more than half a period off pulls the ground the wrong way (C. Bunks
et al., Geophysics 60(5), 1457, 1995), and each stage changes the ground only as finely as its waves can see.

The recorded waves are themselves computed, by the same program and without noise, in the ground to be found:
this shows how the method works, not how well it would do in the field.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import wengert
import wengert.numpy as wnp
from wengert import nn
from wengert.demos.wave.physics import forward, gardner_density, largest_stable_step
from wengert.demos.wave.terrain import Ground, regrid
from wengert.example_libraries import optimizers

Array = Any

LONGEST_SIDE = 96  # grid points of the inversion
SHOTS_A_SIDE = 4
SHOTS_A_STEP = 4  # shots in each gradient
RECEIVER_EVERY = 4  # grid points from one receiver to the next
COURANT = 0.8  # time step, as a part of the largest stable one
MOST_STEPS = 2000
STEP_SIZE = 0.1
# Grid points in a wavelength of the slowest ground; width in grid points over which the ground changes.
STAGES = [(12.0, 2.5), (7.7, 1.6), (5.0, 1.0)]


class Recovery(NamedTuple):
    """What the inversion found. Velocities in m/s, shape (NX, NY)."""

    ground: Ground  # the true one, on the inversion's grid
    start: Array
    velocity: Array
    sources: Array  # grid indices, (shots, 2)
    receivers: Array  # grid indices, (receivers, 2)
    misfits: list[float]  # squared difference of the waves relative to the recorded ones', one an iteration
    errors: list[float]  # root mean square error of the velocity in m/s, one an iteration
    stages: list[tuple[int, float]]  # first iteration and frequency (Hz) of each


def at_receivers(pressure: Array) -> Array:
    """The pressure where the receivers are: every few grid points in both directions."""
    first = RECEIVER_EVERY // 2
    return pressure[first::RECEIVER_EVERY, first::RECEIVER_EVERY]


def place_sources(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Sources all over the ground, a little off a regular pattern, away from the rims: int32, (shots, 2)."""
    steps = (np.arange(SHOTS_A_SIDE) + 0.5) / SHOTS_A_SIDE
    pattern = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    places = (pattern + rng.uniform(-0.3, 0.3, pattern.shape) / SHOTS_A_SIDE) * shape
    return np.clip(places, 2, np.array(shape) - 3).astype(np.int32)


def place_receivers(shape: tuple[int, int]) -> Array:
    """The grid indices that ``at_receivers`` takes: (receivers, 2)."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return at_receivers(indices).reshape(-1, 2)


def smoother(n: int, width: float) -> Array:
    """The matrix (n, n) that averages along an axis with a Gaussian ``width`` points wide."""
    distance = np.arange(n)[:, None] - np.arange(n)[None, :]
    weights = np.exp(-0.5 * (distance / width) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


class Problem(NamedTuple):
    """The simulation that is inverted. What is solved for is an unbounded function of the velocity."""

    ground: Ground
    slowest: float  # m/s; what is known beforehand of the ground: no place is slower
    fastest: float  # m/s; ... or faster
    steps: int
    dt: float  # s

    def velocity_of(self, unknown: Array) -> Array:
        """Velocity in m/s between the bounds, so that every trial ground is stable."""
        return self.slowest + (self.fastest - self.slowest) * nn.sigmoid(unknown)

    def unknown_of(self, velocity: Array) -> Array:
        """The inverse of ``velocity_of``."""
        return np.log((velocity - self.slowest) / (self.fastest - velocity)).astype(np.float32)

    def record(self, velocity: Array, sources: Array, f0: float) -> Array:
        """What the receivers record of each source: (sources, steps, receivers along x, along y), in Pa."""
        shape, spacing, density = self.ground.shape, self.ground.spacing, gardner_density(velocity)

        def record_one(source_i: Array) -> Array:
            ground = velocity, density, source_i, f0, *shape
            return forward(*ground, self.steps, *spacing, self.dt, record=at_receivers)

        return wengert.vmap(record_one)(sources)

    def misfit(self, change: Array, base: Array, smooth: Any, shots: Any, f0: float) -> tuple[Array, Array]:
        """Squared difference of computed and recorded waves, relative to the recorded; and the velocity."""
        sources, recorded = shots
        velocity = self.velocity_of(base + smooth[0] @ change @ smooth[1].T)
        difference = self.record(velocity, sources, f0) - recorded
        return wnp.sum(difference**2) / wnp.sum(recorded**2), velocity


def pose(ground: Ground) -> Problem:
    """The problem on a grid that a laptop inverts in well under a minute."""
    coarser = max(1.0, max(ground.shape) / LONGEST_SIDE)
    shape = round(ground.shape[0] / coarser), round(ground.shape[1] / coarser)
    ground = regrid(ground, shape)
    slowest, fastest = 0.8 * float(ground.velocity.min()), 1.15 * float(ground.velocity.max())
    dt = COURANT * largest_stable_step(fastest, *ground.spacing)
    longest = max(n * d for n, d in zip(ground.shape, ground.spacing))
    steps = math.ceil(1.1 * longest / float(ground.velocity.mean()) / dt)  # long enough to cross it all
    return Problem(ground, slowest, fastest, min(steps, MOST_STEPS), dt)


def invert(
    problem: Problem, iterations: int, seed: int, report: Callable[[float, float, float], None]
) -> Recovery:
    """Recover the ground in ``iterations`` of Adam, starting from its median velocity everywhere.

    ``report(f0, misfit, error)`` is called after each iteration, with the frequency in Hz and the error in
    m/s.
    """
    ground = problem.ground
    rng = np.random.default_rng(seed)
    sources = place_sources(ground.shape, rng)
    start = np.full(ground.shape, np.median(ground.velocity), dtype=np.float32)
    stage_length = math.ceil(iterations / len(STAGES))
    init, update, params = optimizers.adam(
        lambda i: STEP_SIZE * 0.5 * (1 + wnp.cos(math.pi * i / stage_length))
    )
    value_and_grad = wengert.value_and_grad(problem.misfit, has_aux=True)

    @wengert.jit
    def step(i: Any, state: Any, *setting: Any) -> Any:
        (misfit, velocity), gradient = value_and_grad(params(state), *setting)
        return misfit, velocity, update(i, gradient, state)

    record = wengert.jit(problem.record)
    base, velocity = problem.unknown_of(start), start
    misfits: list[float] = []
    errors: list[float] = []
    stages = []
    for points, width in STAGES:
        here = min(stage_length, iterations - len(misfits))
        if here < 1:
            break
        f0 = float(ground.velocity.min()) / (points * max(ground.spacing))
        stages.append((len(misfits), f0))
        smooth = tuple(smoother(n, width) for n in ground.shape)
        recorded = np.asarray(record(ground.velocity, sources, f0))
        state = init(wnp.zeros(ground.shape, dtype=wnp.float32))
        for i, chosen in enumerate(batches(len(sources), here, rng)):
            shots = sources[chosen], recorded[chosen]
            misfit, velocity, state = step(i, state, base, smooth, shots, f0)
            misfits.append(float(misfit))
            errors.append(float(np.sqrt(np.mean((np.asarray(velocity) - ground.velocity) ** 2))))
            report(f0, misfits[-1], errors[-1])
        base = np.asarray(base + smooth[0] @ np.asarray(params(state)) @ smooth[1].T)
    velocity = np.asarray(problem.velocity_of(wnp.asarray(base)))
    return Recovery(ground, start, velocity, sources, place_receivers(ground.shape), misfits, errors, stages)


def batches(shots: int, count: int, rng: np.random.Generator) -> list[Array]:
    """``count`` choices of a few shots: all shots once, in random order, before any comes again."""
    passes = -(-count * SHOTS_A_STEP // shots)
    order = np.concatenate([rng.permutation(shots) for _ in range(passes)])
    return np.split(order[: count * SHOTS_A_STEP], count)
