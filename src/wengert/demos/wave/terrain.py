"""The ground that the waves cross: a map of wave speed, from real terrain or from a file.

The terrain is the sample that Matplotlib ships, ``jacksboro_fault_dem.npz``: elevation in whole metres on a
grid of 3 arc seconds around the Jacksboro fault in Tennessee, from NASA's Shuttle Radar Topography Mission.
Its 403 by 344 points span 30 by 32 km.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wengert._lazy import lazy_module
from wengert.demos.common import BadInput, first_line
from wengert.demos.wave.physics import gardner_density

cbook = lazy_module("matplotlib.cbook")

Array = Any

METRES_PER_DEGREE = 111_195.0  # along a meridian of a sphere of radius 6371 km
SLOWEST, FASTEST = 2000.0, 4000.0  # m/s, at the lowest and at the highest point of the terrain
MAPPING = (
    f"velocity grows linearly with elevation, from {SLOWEST:.0f} m/s in the lowest valley "
    f"to {FASTEST:.0f} m/s on the highest ridge: weathered valley floors are slower than "
    "the rock that stands out. An illustration, not a geological model."
)


class Ground(NamedTuple):
    """A map of the ground. Axis 0 points east, axis 1 north."""

    velocity: Array  # m/s, float32, shape (NX, NY)
    density: Array  # kg/m3, float32, shape (NX, NY)
    spacing: tuple[float, float]  # m between grid points along x and y
    elevation: Array | None  # m above sea level, shape (NX, NY); None where there is none
    source: str  # where it came from, in words

    @property
    def shape(self) -> tuple[int, int]:
        return self.velocity.shape  # type: ignore[no-any-return]


def resample(values: Array, shape: tuple[int, int]) -> Array:
    """``values`` (2-D) on a grid of ``shape`` over the same area.

    Linear interpolation where the new grid is finer, an average with triangular weights where it is coarser.
    """
    along_x, along_y = (_weights(old, new) for old, new in zip(values.shape, shape, strict=True))
    return along_x @ values @ along_y.T


def _weights(old: int, new: int) -> Array:
    """The matrix (new, old) that resamples one axis of cells."""
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    distance = np.abs(np.clip(centres, 0, old - 1)[:, None] - np.arange(old)[None, :])
    weights = np.maximum(0.0, 1.0 - distance / max(1.0, old / new))
    return weights / weights.sum(axis=1, keepdims=True)


def make_ground(
    velocity: Array, spacing: tuple[float, float], elevation: Array | None, source: str
) -> Ground:
    """A ``Ground`` whose density follows from its velocity by Gardner's relation."""
    density = gardner_density(velocity)
    return Ground(velocity.astype(np.float32), density.astype(np.float32), spacing, elevation, source)


def regrid(ground: Ground, shape: tuple[int, int]) -> Ground:
    """The same ground on a grid of ``shape``."""
    if shape == ground.shape:
        return ground
    spacing = tuple(d * old / new for d, old, new in zip(ground.spacing, ground.shape, shape, strict=True))
    elevation = None if ground.elevation is None else resample(ground.elevation, shape)
    return make_ground(resample(ground.velocity, shape), (spacing[0], spacing[1]), elevation, ground.source)


def jacksboro() -> Ground:
    """The ground around the Jacksboro fault, at the resolution of the elevation model.

    Needs Matplotlib, which ships the data.
    """
    with cbook.get_sample_data("jacksboro_fault_dem.npz") as sample:
        elevation = sample["elevation"].astype(float)[::-1].T  # the rows came from north to south
        step = float(sample["dx"])
        latitude = math.radians(float(sample["ymin"] + sample["ymax"]) / 2)
    spacing = (step * METRES_PER_DEGREE * math.cos(latitude), step * METRES_PER_DEGREE)
    height = (elevation - elevation.min()) / np.ptp(elevation)
    velocity = SLOWEST + (FASTEST - SLOWEST) * height
    return make_ground(velocity, spacing, elevation, "the Jacksboro fault, Tennessee")


def from_file(path: Path, spacing: float) -> Ground:
    """The ground whose velocities are in an ``.npy`` file: m/s, axis 0 east, 1 north; ``spacing`` in m."""
    try:
        velocity = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise BadInput(f"there is no velocity file {path}") from None
    except IsADirectoryError:
        raise BadInput(f"the velocity file {path} is a folder; give an .npy file") from None
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"cannot read {path} as an .npy file: {first_line(error)}") from None
    check_velocity(velocity, path)
    return make_ground(velocity.astype(float), (spacing, spacing), None, f"the ground of {path.name}")


def check_velocity(velocity: Array, path: Path) -> None:
    """Raise ``BadInput`` unless ``velocity`` is a 2-D array of finite, positive, real numbers."""
    if not isinstance(velocity, np.ndarray):
        raise BadInput(f"{path} is an archive of arrays; give an .npy file with one 2-D array (numpy.save)")
    if velocity.ndim != 2:
        raise BadInput(f"the velocity in {path} must be 2-D (NX, NY); it has shape {velocity.shape}")
    if velocity.dtype.kind not in "fiu":
        raise BadInput(f"the velocity in {path} must be real numbers in m/s; its dtype is {velocity.dtype}")
    if min(velocity.shape) < 2:
        raise BadInput(f"the velocity in {path} needs 2 or more points a side; its shape is {velocity.shape}")
    bad = ~(np.isfinite(velocity) & (velocity > 0))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise BadInput(
            f"every velocity in {path} must be finite and above 0 m/s; {int(bad.sum())} of {bad.size} "
            f"are not, the first at {where}: {velocity[where]}"
        )
