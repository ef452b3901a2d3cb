"""The two-dimensional acoustic wave equation with variable density, by finite differences.

The pressure p (Pa) obeys, with density rho (kg/m3), velocity v (m/s) and bulk modulus kappa = rho v^2 (Pa),

    d2p/dt2 = kappa * div(grad(p) / rho) + 4 pi v^2 s(t) delta(x - x_source).

Second order in space and time on a staggered grid: pressure sits on the grid points and density halfway
between them. The scheme is that of ``seismic_CPML_2D_pressure_second_order`` without its absorbing layer (D.
Komatitsch and R. Martin, Geophysics 72(5), SM155, 2007), so the rims reflect: the low rim of each axis holds
p = 0, the high rim is rigid.

Axis 0 is x and axis 1 is y. Every function runs on NumPy as well as on Wengert: ``xp`` is the array module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import wengert.numpy as wnp
from wengert import lax

Array = Any
SOURCE_FACTOR = 1e-3


def gardner_density(velocity: Array) -> Array:
    """Density in kg/m3 from the velocity in m/s: 310 v^0.25 (Gardner et al., Geophysics 39(6), 1974)."""
    return 310.0 * velocity**0.25


def ricker(f0: float, NSTEPS: int, DELTAT: float, xp: Any = wnp) -> Array:
    """The Ricker wavelet of dominant frequency ``f0`` (Hz) at ``NSTEPS`` times ``DELTAT`` (s) apart; float32.

    It peaks at 1.2 / f0, so that it starts from nearly nothing.
    """
    time = xp.arange(NSTEPS, dtype=xp.float32) * DELTAT - 1.2 / f0
    a = (math.pi * f0) ** 2
    return SOURCE_FACTOR * (1 - 2 * a * time**2) * xp.exp(-a * time**2)


def largest_stable_step(velocity: Array, DELTAX: float, DELTAY: float) -> float:
    """The longest stable time step in s (Courant, Friedrichs and Lewy): 1 / (v_max sqrt(1/dx^2 + 1/dy^2))."""
    return 1.0 / (float(np.max(velocity)) * math.hypot(1 / DELTAX, 1 / DELTAY))


def python_scan(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any) -> tuple[Any, list[Any]]:
    """``lax.scan`` as a Python loop; the outputs come as a list."""
    outputs = []
    for x in xs:
        carry, output = step(carry, x)
        outputs.append(output)
    return carry, outputs


def whole_field(pressure: Array) -> Array:
    """The recording that keeps everything."""
    return pressure


def forward(
    velocity: Array,
    density: Array,
    source_i: Array,
    f0: float,
    NX: int,
    NY: int,
    NSTEPS: int,
    DELTAX: float,
    DELTAY: float,
    DELTAT: float,
    *,
    xp: Any = wnp,
    scan: Callable[..., tuple[Any, Any]] = lax.scan,
    record: Callable[[Array], Array] = whole_field,
) -> Array:
    """Pressure in Pa at each time step: (NSTEPS, NX, NY), or (NSTEPS, ...) of what ``record`` takes from it.

    ``velocity`` in m/s and ``density`` in kg/m3 have shape (NX, NY) and dtype float32; ``source_i`` holds the
    source's two grid indices; ``f0`` in Hz; ``DELTAX`` and ``DELTAY`` in m, ``DELTAT`` in s. A step longer
    than ``largest_stable_step`` makes the pressure grow without bound.
    """
    assert velocity.shape == density.shape == (NX, NY)
    at_source = (xp.arange(NX)[:, None] == source_i[0]) & (xp.arange(NY)[None, :] == source_i[1])
    source = 4 * math.pi * velocity**2 * at_source.astype(xp.float32)
    kappa = density * velocity**2
    density_half_x = xp.pad(0.5 * (density[1:, :] + density[:-1, :]), [[0, 1], [0, 0]], mode="edge")
    density_half_y = xp.pad(0.5 * (density[:, 1:] + density[:, :-1]), [[0, 0], [0, 1]], mode="edge")

    def single_step(carry: tuple[Array, Array], source_term: Array) -> tuple[tuple[Array, Array], Array]:
        past, present = carry
        dpressure_dx = xp.pad((present[1:, :] - present[:-1, :]) / DELTAX, [[0, 1], [0, 0]])
        dpressure_dy = xp.pad((present[:, 1:] - present[:, :-1]) / DELTAY, [[0, 0], [0, 1]])
        pressure_xx = dpressure_dx / density_half_x
        pressure_yy = dpressure_dy / density_half_y
        dpressurexx_dx = xp.pad((pressure_xx[1:, :] - pressure_xx[:-1, :]) / DELTAX, [[1, 0], [0, 0]])
        dpressureyy_dy = xp.pad((pressure_yy[:, 1:] - pressure_yy[:, :-1]) / DELTAY, [[0, 0], [1, 0]])
        acceleration = kappa * (dpressurexx_dx + dpressureyy_dy) + source_term * source
        future = 2 * present - past + DELTAT * DELTAT * acceleration
        return (present, future), record(future)

    rest = xp.zeros((NX, NY), dtype=xp.float32)
    _, recorded = scan(single_step, (rest, rest), ricker(f0, NSTEPS, DELTAT, xp))
    return recorded
