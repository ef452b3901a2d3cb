"""The two-dimensional acoustic wave equation with variable density, as a workshop on scientific computing
teaches it.

Pressure p in Pa, velocity v in m/s, density rho in kg/m3 and bulk modulus kappa = rho v^2:

    d2p/dt2 = kappa * div(grad(p) / rho) + 4 pi v^2 s(t) delta(x - x_source)

on a staggered grid, second order in space and time, after seismic_CPML_2D_pressure_second_order (D.
Komatitsch and R. Martin, 2007) without its absorbing layer. `wengert demo wave` solves the same equation in
its own way; here it stands as a newcomer writes it, pads and slices and all, since that is what the
compiler has to cope with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.limits import work
from benchmarks.rows import Inputs, enter, first_call_of, row, second_process_of

F0 = 15.0  # Hz
DELTAX = DELTAY = 10.0  # m
DELTAT = 1e-3  # s


def forward(jax: Any, velocity: Any, density: Any, source_i: tuple[int, int], steps: int) -> Any:
    """The pressure at every step, of shape (steps, NX, NY)."""
    jnp = jax.numpy
    shape = velocity.shape
    source = jnp.zeros(shape).at[source_i[0], source_i[1]].set(1.0)
    t0 = 1.2 / F0
    factor = 1e-3
    kappa = density * velocity**2
    density_half_x = jnp.pad(0.5 * (density[1:, :] + density[:-1, :]), [[0, 1], [0, 0]], mode="edge")
    density_half_y = jnp.pad(0.5 * (density[:, 1:] + density[:, :-1]), [[0, 0], [0, 1]], mode="edge")

    def single_step(carry: tuple[Any, Any], it: Any) -> tuple[tuple[Any, Any], Any]:
        past, present = carry
        dx = jnp.pad((present[1:, :] - present[:-1, :]) / DELTAX, [[0, 1], [0, 0]], mode="constant")
        dy = jnp.pad((present[:, 1:] - present[:, :-1]) / DELTAY, [[0, 0], [0, 1]], mode="constant")
        xx = dx / density_half_x
        yy = dy / density_half_y
        dxx_dx = jnp.pad((xx[1:, :] - xx[:-1, :]) / DELTAX, [[1, 0], [0, 0]], mode="constant")
        dyy_dy = jnp.pad((yy[:, 1:] - yy[:, :-1]) / DELTAY, [[0, 0], [1, 0]], mode="constant")
        t = it * DELTAT
        a = jnp.pi**2 * F0 * F0
        source_term = factor * (1 - 2 * a * (t - t0) ** 2) * jnp.exp(-a * (t - t0) ** 2)
        future = -past + 2 * present + DELTAT * DELTAT * (dxx_dx + dyy_dy) * kappa
        future += DELTAT * DELTAT * (4 * jnp.pi * velocity**2 * source_term * source)
        return (present, future), future

    carry = jnp.zeros(shape), jnp.zeros(shape)
    _, wavefields = jax.lax.scan(single_step, carry, jnp.arange(steps))
    return wavefields


def ground(nx: int, ny: int) -> Inputs:
    """Velocity, rising with depth and scattered by some per cent, and the density that goes with it."""

    def inputs(rng: np.random.Generator) -> tuple[Any, ...]:
        depth = np.linspace(0, 1, ny)[None, :]
        velocity = (2000 + 1500 * depth) * (1 + 0.03 * rng.standard_normal((nx, ny)))
        return velocity.astype(np.float32), (310 * velocity**0.25).astype(np.float32)

    return inputs


def points(nx: int, ny: int, steps: int) -> int:
    return nx * ny * steps


SIMULATION = "wave 300x300, 500 steps, all kept"
GRADIENT = "gradient of wave 128x128, 200 steps"


# Only what is kept must go to memory: 4 bytes a point. A point costs 12 additions and products, and the two
# divisions by density (those by the grid spacing can be products).
@row(
    SIMULATION, ground(300, 300), 0.25, tolerance=1e-3,
    limit=work(4 * points(300, 300, 500), 12 * points(300, 300, 500), 2 * points(300, 300, 500)),
)  # fmt: skip
def simulation(jax: Any, velocity: Any, density: Any) -> Any:
    return forward(jax, velocity, density, (80, 150), 500)


def observed(rng: np.random.Generator) -> tuple[Any, ...]:
    """The ground, and recordings of about the size that the simulation gives."""
    recorded = 1e-4 * rng.standard_normal((200, 128, 128))
    return *ground(128, 128)(rng), recorded.astype(np.float32)


# Forwards keeps the field of every step, backwards reads it and the recordings: 12 bytes a point, and about
# three times the operations of the simulation.
@row(
    GRADIENT, observed, 0.4, tolerance=1e-3,
    limit=work(12 * points(128, 128, 200), 36 * points(128, 128, 200), 4 * points(128, 128, 200)),
)  # fmt: skip
def gradient(jax: Any, velocity: Any, density: Any, recorded: Any) -> Any:
    def loss(velocity: Any) -> Any:
        estimated = forward(jax, velocity, density, (40, 64), 200)
        return jax.numpy.mean((estimated - recorded) ** 2)

    return jax.value_and_grad(loss)(velocity)


enter(first_call_of(SIMULATION, 0.5))
enter(first_call_of(GRADIENT, 0.5))
enter(second_process_of(SIMULATION, 0.1))
enter(second_process_of(GRADIENT, 0.1))
