"""The pictures of the demonstration, as PNG files. Maps have north up and kilometres on their axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.demos.common import STYLE, save
from wengert.demos.wave.inversion import Recovery
from wengert.demos.wave.terrain import Ground
from wengert.demos.wave.timing import Shot

matplotlib = lazy_module("matplotlib")
colors = lazy_module("matplotlib.colors")
cm = lazy_module("matplotlib.cm")
figure = lazy_module("matplotlib.figure")

Array = Any

WAVE_COLOURS = "RdBu_r"
SPEED_COLOURS = "turbo"


def extent_km(ground: Ground) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of the map in km."""
    width, height = (1e-3 * n * d for n, d in zip(ground.shape, ground.spacing))
    return 0.0, width, 0.0, height


def places_km(ground: Ground, indices: Array) -> tuple[Array, Array]:
    """Grid indices (n, 2) as coordinates on the map in km."""
    places = (np.asarray(indices) + 0.5) * 1e-3 * np.array(ground.spacing)
    return places[:, 0], places[:, 1]


def as_image(values: Array) -> Array:
    """(NX, NY) as rows from north to south, as pictures are stored."""
    return np.asarray(values).T[::-1]


def hillshade(ground: Ground) -> Array:
    """How light from the north-west falls on the terrain (or on the velocity): an image, 0 to 1."""
    across = max(n * d for n, d in zip(ground.shape, ground.spacing))
    relief = ground.velocity if ground.elevation is None else ground.elevation
    relief = as_image(relief).astype(float)
    height = max(float(np.ptp(relief)), 1e-6)
    light = colors.LightSource(azdeg=315, altdeg=45)
    shade = light.hillshade(
        relief, vert_exag=0.09 * across / height, dx=ground.spacing[0], dy=ground.spacing[1]
    )
    return np.asarray(shade)


def figure_size(ground: Ground, columns: int, rows: int, map_width: float) -> tuple[float, float]:
    """Width and height in inches of a figure of maps, with room for titles, labels and a colour bar."""
    _, width, _, height = extent_km(ground)
    map_height = float(np.clip(map_width * height / width, 0.4 * map_width, 2.5 * map_width))
    return columns * map_width + 2.0, rows * (map_height + 0.55) + 1.0


def label_map(axes: Any, ground: Ground, left: bool, bottom: bool) -> None:
    """Axis labels in km where the map is at the left or at the bottom of a row of maps."""
    axes.set_xlabel("east (km)" if bottom else "")
    axes.set_ylabel("north (km)" if left else "")
    axes.tick_params(labelleft=left, labelbottom=bottom)
    left_km, right_km, bottom_km, top_km = extent_km(ground)
    axes.set(xlim=(left_km, right_km), ylim=(bottom_km, top_km), aspect="equal")


def draw_waves(ground: Ground, shot: Shot, wavefields: Array, path: Path) -> Path:
    """The wave field at six times, over the shaded terrain."""
    first = min(round(1.5 / (shot.f0 * shot.dt)), shot.steps - 1)
    steps = np.linspace(first, shot.steps - 1, 6).round().astype(int)
    largest = np.abs(wavefields[steps]).reshape(6, -1)
    limit = float(np.percentile(largest, 99.7)) or 1.0
    norm = colors.Normalize(-limit, limit)
    terrain = 0.35 + 0.6 * hillshade(ground)[..., None] * np.array([0.98, 0.97, 0.93])
    with matplotlib.rc_context(STYLE):
        picture = figure.Figure(figsize=figure_size(ground, 3, 2, 3.5), layout="constrained")
        grid = picture.subplots(2, 3)
        for axes, step in zip(grid.flat, steps):
            pressure = as_image(wavefields[step])
            opacity = np.clip(1.6 * np.abs(pressure) / limit, 0, 1)[..., None] ** 0.8
            wave = matplotlib.colormaps[WAVE_COLOURS](norm(pressure))[..., :3]
            axes.imshow(np.clip(opacity * wave + (1 - opacity) * terrain, 0, 1), extent=extent_km(ground))
            axes.plot(*places_km(ground, [shot.source_i]), "*", color="gold", mec="black", ms=13, mew=0.8)
            axes.set_title(f"{(step + 1) * shot.dt:.2f} s")
            label_map(axes, ground, axes in grid[:, 0], axes in grid[1])
        mappable = cm.ScalarMappable(norm, WAVE_COLOURS)
        picture.colorbar(
            mappable, ax=grid, label="pressure (Pa)", shrink=0.75, pad=0.02, aspect=30, extend="both"
        )
        picture.suptitle(f"A wave of {shot.f0:.2g} Hz crosses {ground.source}")
        return save(picture, path)


def draw_velocities(found: Recovery, path: Path) -> Path:
    """The true, the starting and the recovered velocity, in the same colours, with sources and receivers."""
    ground = found.ground
    limits = {"vmin": float(ground.velocity.min()), "vmax": float(ground.velocity.max())}
    if limits["vmin"] == limits["vmax"]:
        limits = {"vmin": 0.9 * limits["vmin"], "vmax": 1.1 * limits["vmax"]}
    titles = ["true", "starting", "recovered"]
    with matplotlib.rc_context(STYLE):
        picture = figure.Figure(figsize=figure_size(ground, 3, 1, 4.3), layout="constrained")
        row = picture.subplots(1, 3)
        for axes, title, velocity in zip(row, titles, [ground.velocity, found.start, found.velocity]):
            error = float(np.sqrt(np.mean((velocity - ground.velocity) ** 2)))
            image = axes.imshow(as_image(velocity), extent=extent_km(ground), cmap=SPEED_COLOURS, **limits)
            axes.set_title(title if title == "true" else f"{title} (error {error:.0f} m/s r.m.s.)")
            label_map(axes, ground, axes is row[0], True)
        marks = row[1]
        marks.plot(*places_km(ground, found.receivers), ".", color="black", ms=2, label="receiver")
        marks.plot(
            *places_km(ground, found.sources), "*", color="gold", mec="black", ms=12, mew=0.8, label="source"
        )
        picture.legend(*marks.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        picture.colorbar(image, ax=row, label="velocity (m/s)", shrink=0.9, pad=0.02, aspect=30)
        picture.suptitle("Velocity of the ground, recovered from recorded waves")
        return save(picture, path)


def draw_loss(found: Recovery, path: Path) -> Path:
    """The falling misfit, on a logarithmic scale, and the falling error of the velocity."""
    iterations = np.arange(1, len(found.misfits) + 1)
    with matplotlib.rc_context(STYLE):
        picture = figure.Figure(figsize=(9, 7), layout="constrained")
        upper, lower = picture.subplots(2, 1, sharex=True)
        firsts = [first for first, _ in found.stages]
        for stage in np.split(iterations, firsts[1:]):
            upper.semilogy(stage, np.maximum(found.misfits, 1e-12)[stage - 1], color="#b2182b", lw=2)
        upper.set_ylabel("misfit of the waves\n(relative, squared)")
        lower.plot(iterations, found.errors, color="#2166ac", lw=2)
        lower.set_ylabel("error of the velocity\n(r.m.s., m/s)")
        lower.set_ylim(bottom=0)
        lower.set_xlabel("iteration of Adam")
        lower.set_xlim(0.5, len(iterations) + 0.5)
        for axes in upper, lower:
            axes.grid(alpha=0.3, which="both", lw=0.6)
            for first in firsts[1:]:
                axes.axvline(first + 0.5, color="0.4", ls="--", lw=1)
        for first, f0 in found.stages:
            place = (first + 0.5, 1.02)
            upper.text(*place, f" {f0:.2f} Hz", transform=upper.get_xaxis_transform(), color="0.25")
        picture.suptitle("Inversion: low frequencies first, then higher ones")
        return save(picture, path)
