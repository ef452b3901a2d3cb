"""Rotations in three dimensions, as unit quaternions (x, y, z, w)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wengert import numpy as jnp, random
from wengert.core import dtypes

__all__ = ["Rotation", "Slerp"]

# below this squared angle (or squared tangent of half of it) a series is as good as the function
_SMALL = 1e-6


def _inexact(x: Any) -> Any:
    x = jnp.asarray(x)
    return x if dtypes.issubdtype(x.dtype, np.inexact) else x.astype(dtypes.result_type(x.dtype, float))


def _parts(x: Any) -> list[Any]:
    """The components along the last axis."""
    return [x[..., i] for i in range(x.shape[-1])]


def _joined(*parts: Any) -> Any:
    return jnp.stack(jnp.broadcast_arrays(*parts), axis=-1)


def _unit(x: Any) -> Any:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def _product(p: Any, q: Any) -> Any:
    """The product of quaternions: first `q`, then `p`."""
    a, b, c, d = _parts(p)
    e, f, g, h = _parts(q)
    return _joined(
        d * e + a * h + b * g - c * f,
        d * f + b * h + c * e - a * g,
        d * g + c * h + a * f - b * e,
        d * h - a * e - b * f - c * g,
    )


def _check_axes(seq: str) -> tuple[list[int], bool]:
    """The axes as numbers, and whether they turn with the body."""
    if not (set(seq) <= set("XYZ") or set(seq) <= set("xyz")):
        raise ValueError(f"Expected axes from `seq` to be from ['x', 'y', 'z'] or ['X', 'Y', 'Z'], got {seq}")
    if any(a == b for a, b in itertools.pairwise(seq)):
        raise ValueError(f"Expected consecutive axes to be different, got {seq}")
    return ["xyz".index(a) for a in seq.lower()], seq.isupper()


class Rotation(NamedTuple):
    """A rotation, or several.

    Made by the class methods `from_quat`, `from_matrix`, `from_rotvec`, `from_euler` and `from_mrp`. It is a pytree,
    and so an argument or a result of transformed functions.

    Attributes:
      quat: quaternions of norm 1, of shape (4,) or (n, 4), the scalar part last.
    """

    quat: Any

    @classmethod
    def concatenate(cls, rotations: Sequence[Any]) -> Rotation:
        """Several objects, each of several rotations, as one."""
        return cls(jnp.concatenate([r.quat for r in rotations]))

    @classmethod
    def from_euler(cls, seq: str, angles: Any, degrees: bool = False) -> Rotation:
        """Rotations about one to three axes, one after the other.

        Args:
          seq: the axes: of "xyz" if they are fixed in space, of "XYZ" if they turn with the body.
          angles: one for each axis, of shape (len(seq),) or (n, len(seq)); a scalar for one axis.
        Raises:
          ValueError: the axes are none, too many, of both kinds, or equal to the one before.
        """
        if not 1 <= len(seq) <= 3:
            raise ValueError(
                f"Expected axis specification to be a non-empty string of upto 3 characters, got {seq}"
            )
        axes, intrinsic = _check_axes(seq)
        angles = jnp.atleast_1d(_inexact(angles))
        if len(axes) == 1 and angles.shape[-1] != 1:
            angles = angles[..., None]
        if angles.shape[-1] != len(axes):
            raise ValueError(f"Expected {len(axes)} angles for the axes {seq}, got shape {angles.shape}")
        if degrees:
            angles = jnp.deg2rad(angles)
        total: Any = None
        for axis, angle in zip(axes, _parts(angles)):
            sine, zero = jnp.sin(angle / 2), jnp.zeros_like(angle)
            turn = _joined(*[sine if i == axis else zero for i in range(3)], jnp.cos(angle / 2))
            total = turn if total is None else _product(total, turn) if intrinsic else _product(turn, total)
        return cls(total)

    @classmethod
    def from_matrix(cls, matrix: Any) -> Rotation:
        """Rotations from orthogonal matrices of determinant 1, of shape (..., 3, 3)."""
        m = _inexact(matrix)
        if m.shape[-2:] != (3, 3):
            raise ValueError(f"Expected `matrix` to have shape (3, 3) or (N, 3, 3), got {m.shape}.")
        (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = [[m[..., i, j] for j in range(3)] for i in range(3)]
        trace = xx + yy + zz
        # each row is the quaternion times four times one of its components; the greatest of these is safe to divide by
        rows = [
            _joined(1 - trace + 2 * xx, yx + xy, zx + xz, zy - yz),
            _joined(yx + xy, 1 - trace + 2 * yy, zy + yz, xz - zx),
            _joined(zx + xz, zy + yz, 1 - trace + 2 * zz, yx - xy),
            _joined(zy - yz, xz - zx, yx - xy, 1 + trace),
        ]
        which = jnp.argmax(_joined(xx, yy, zz, trace), axis=-1)
        quat = rows[3]
        for i in range(3):
            quat = jnp.where((which == i)[..., None], rows[i], quat)
        return cls(_unit(quat))

    @classmethod
    def from_mrp(cls, mrp: Any) -> Rotation:
        """Rotations from modified Rodrigues parameters: the axis times the tangent of a quarter of the angle."""
        mrp = _inexact(mrp)
        squared = jnp.sum(mrp * mrp, axis=-1, keepdims=True)
        return cls(jnp.concatenate([2 * mrp, 1 - squared], axis=-1) / (1 + squared))

    @classmethod
    def from_quat(cls, quat: Any) -> Rotation:
        """Rotations from quaternions of any norm but 0, the scalar part last."""
        quat = _inexact(quat)
        if quat.shape[-1:] != (4,):
            raise ValueError(f"Expected `quat` to have shape (4,) or (N, 4), got {quat.shape}.")
        return cls(_unit(quat))

    @classmethod
    def from_rotvec(cls, rotvec: Any, degrees: bool = False) -> Rotation:
        """Rotations from vectors along the axis, of the length of the angle."""
        v = _inexact(rotvec)
        if v.shape[-1:] != (3,):
            raise ValueError(f"Expected `rotvec` to have shape (3,) or (N, 3), got {v.shape}.")
        if degrees:
            v = jnp.deg2rad(v)
        squared = jnp.sum(v * v, axis=-1, keepdims=True)
        is_small = squared < _SMALL
        angle = jnp.sqrt(jnp.where(is_small, 1, squared))
        # sin(a/2)/a and cos(a/2); the derivative of the angle at 0 does not exist, that of the series does
        scale = jnp.where(is_small, 0.5 - squared / 48 + squared**2 / 3840, jnp.sin(angle / 2) / angle)
        cosine = jnp.where(is_small, 1 - squared / 8 + squared**2 / 384, jnp.cos(angle / 2))
        return cls(jnp.concatenate([scale * v, cosine], axis=-1))

    @classmethod
    def identity(cls, num: int | None = None, dtype: Any = float) -> Rotation:
        """No rotation, once or `num` times."""
        quat = jnp.asarray([0, 0, 0, 1], dtype)
        return cls(quat if num is None else jnp.tile(quat, (num, 1)))

    @classmethod
    def random(cls, random_key: Any, num: int | None = None) -> Rotation:
        """A rotation, or `num` of them, from the uniform distribution."""
        return cls(_unit(random.normal(random_key, (4,) if num is None else (num, 4))))

    def __getitem__(self, indexer: Any) -> Rotation:
        if self.single:
            raise TypeError("Single rotation is not subscriptable.")
        return Rotation(self.quat[indexer])

    def __len__(self) -> int:
        if self.single:
            raise TypeError("Single rotation has no len().")
        return int(self.quat.shape[0])

    def __mul__(self, other: Any) -> Rotation:
        """The rotation that does `other` first, then this one."""
        if not isinstance(other, Rotation):
            return NotImplemented
        return Rotation(_unit(_product(self.quat, other.quat)))

    def apply(self, vectors: Any, inverse: bool = False) -> Any:
        """The vectors, of shape (..., 3), after the rotation; before it, if `inverse`."""
        matrix = self.as_matrix()
        if inverse:
            matrix = jnp.swapaxes(matrix, -1, -2)
        return jnp.sum(matrix * jnp.asarray(vectors)[..., None, :], axis=-1)

    def as_euler(self, seq: str, degrees: bool = False) -> Any:
        """The angles about three axes, of shape (..., 3); see `from_euler`.

        The second one is in [-pi/2, pi/2], or in [0, pi] if the first and the last axis are the same. Where it is at an
        end of its range the others are not unique, and the last one is 0.

        E. Bernardes and S. Viollet, PLoS ONE 17 (2022), e0276302.
        """
        if len(seq) != 3:
            raise ValueError(f"Expected 3 axes, got {seq}.")
        axes, intrinsic = _check_axes(seq)
        i, j, k = axes[::-1] if intrinsic else axes
        symmetric = i == k
        if symmetric:
            k = 3 - i - j
        sign = (i - j) * (j - k) * (k - i) // 2
        q = _parts(self.quat)
        a, b, c, d = q[3], q[i], q[j], q[k] * sign
        if not symmetric:
            a, b, c, d = a - c, b + d, c + a, d - b
        second = 2 * jnp.arctan2(jnp.hypot(c, d), jnp.hypot(a, b))
        half_sum, half_difference = jnp.arctan2(b, a), jnp.arctan2(d, c)
        at_zero, at_pi = jnp.abs(second) <= 1e-7, jnp.abs(second - math.pi) <= 1e-7
        first, last = half_sum - half_difference, half_sum + half_difference
        if intrinsic:
            first, last = last, first
        lone = jnp.where(at_zero, 2 * half_sum, 2 * half_difference * (1 if intrinsic else -1))
        first = jnp.where(at_zero | at_pi, lone, first)
        last = jnp.where(at_zero | at_pi, 0, last)
        if not symmetric:
            first, last = (first * sign, last) if intrinsic else (first, last * sign)
            second = second - math.pi / 2
        angles = _joined(first, second, last)
        angles = (angles + math.pi) % (2 * math.pi) - math.pi
        return jnp.rad2deg(angles) if degrees else angles

    def as_matrix(self) -> Any:
        """The matrices, of shape (..., 3, 3)."""
        x, y, z, w = _parts(self.quat)
        rows = [
            _joined(x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)),
            _joined(2 * (x * y + z * w), y * y - x * x - z * z + w * w, 2 * (y * z - x * w)),
            _joined(2 * (x * z - y * w), 2 * (y * z + x * w), z * z - x * x - y * y + w * w),
        ]
        return jnp.stack(rows, axis=-2)

    def as_mrp(self) -> Any:
        """Modified Rodrigues parameters, of shape (..., 3) and of length at most 1; see `from_mrp`."""
        v, w = self.quat[..., :3], self.quat[..., 3:]
        sign = jnp.where(w < 0, -1, 1).astype(w.dtype)
        return sign * v / (1 + sign * w)

    def as_rotvec(self, degrees: bool = False) -> Any:
        """Vectors along the axis, of the length of the angle, at most pi; of shape (..., 3)."""
        q = jnp.where(self.quat[..., 3:] < 0, -self.quat, self.quat)
        v, w = q[..., :3], q[..., 3:]
        squared = jnp.sum(v * v, axis=-1, keepdims=True)
        is_small = squared < _SMALL
        sine = jnp.sqrt(jnp.where(is_small, 1, squared))
        # 2 atan(t)/t / w, where t = sine/w is the tangent of half the angle
        ratio = squared / jnp.where(is_small, w * w, 1)
        series = 2 / jnp.where(is_small, w, 1) * (1 - ratio / 3 + ratio**2 / 5)
        vector = jnp.where(is_small, series, 2 * jnp.arctan2(sine, w) / sine) * v
        return jnp.rad2deg(vector) if degrees else vector

    def as_quat(self, canonical: bool = False, scalar_first: bool = False) -> Any:
        """The quaternions, of shape (..., 4).

        Args:
          canonical: of the two quaternions of a rotation the one whose scalar part is positive; if that is 0, the
            first other part that isn't.
          scalar_first: in the order w, x, y, z.
        """
        q = self.quat
        if canonical:
            x, y, z, w = _parts(q)
            leading = jnp.where(w != 0, w, jnp.where(x != 0, x, jnp.where(y != 0, y, z)))
            q = jnp.where(leading[..., None] < 0, -q, q)
        return jnp.roll(q, 1, axis=-1) if scalar_first else q

    def inv(self) -> Rotation:
        """The rotation back."""
        return Rotation(self.quat * np.asarray([-1, -1, -1, 1], self.quat.dtype))

    def magnitude(self) -> Any:
        """The angle, in [0, pi]."""
        v, w = self.quat[..., :3], self.quat[..., 3]
        return 2 * jnp.arctan2(jnp.linalg.norm(v, axis=-1), jnp.abs(w))

    def mean(self, weights: Any = None) -> Rotation:
        """The rotation whose squared chordal distances to these, times the weights, have the least sum.

        F. L. Markley et al., J. Guid. Control Dyn. 30 (2007), 1193-1197.
        """
        n = self.quat.shape[0] if self.single else len(self)
        w = jnp.ones(n, self.quat.dtype) if weights is None else jnp.asarray(weights, self.quat.dtype)
        if w.ndim != 1:
            raise ValueError(f"Expected `weights` to be 1 dimensional, got shape {w.shape}.")
        if w.shape[0] != len(self):
            raise ValueError(
                "Expected `weights` to have number of values equal to number of rotations, got"
                f" {w.shape[0]} values and {len(self)} rotations."
            )
        _, vectors = jnp.linalg.eigh((w[:, None] * self.quat).T @ self.quat)
        return Rotation(vectors[:, -1])

    @property
    def single(self) -> bool:
        """Whether this is one rotation, and no array of them."""
        return bool(self.quat.ndim == 1)


class Slerp(NamedTuple):
    """Interpolation between rotations at the ends of time intervals, at a constant speed in each interval.

    Made by `Slerp.init(times, rotations)`; a call with times gives the rotations then.
    """

    times: Any
    timedelta: Any
    rotations: Rotation
    rotvecs: Any

    @classmethod
    def init(cls, times: Any, rotations: Rotation) -> Slerp:
        """An interpolation.

        Args:
          times: at least two, ascending, of shape (n,).
          rotations: as many.
        """
        if not isinstance(rotations, Rotation):
            raise TypeError("`rotations` must be a `Rotation` instance.")
        if rotations.single or len(rotations) == 1:
            raise ValueError("`rotations` must be a sequence of at least 2 rotations.")
        times = jnp.asarray(times, rotations.quat.dtype)
        if times.ndim != 1:
            raise ValueError(
                f"Expected times to be specified in a 1 dimensional array, got {times.ndim} dimensions."
            )
        if times.shape[0] != len(rotations):
            raise ValueError(
                "Expected number of rotations to be equal to number of timestamps given, got"
                f" {len(rotations)} rotations and {times.shape[0]} timestamps."
            )
        first, second = Rotation(rotations.quat[:-1]), Rotation(rotations.quat[1:])
        return cls(times, jnp.diff(times), first, (first.inv() * second).as_rotvec())

    def __call__(self, times: Any) -> Rotation:
        """The rotations at `times`, a number or an array of shape (m,). Outside of the range the motion goes on."""
        t = jnp.asarray(times, self.times.dtype)
        if t.ndim > 1:
            raise ValueError("`times` must be at most 1-dimensional.")
        many = jnp.atleast_1d(t)
        index = jnp.clip(jnp.searchsorted(self.times, many) - 1, 0, self.timedelta.shape[0] - 1)
        part = (many - self.times[index]) / self.timedelta[index]
        start = Rotation(self.rotations.quat[index])
        found = start * Rotation.from_rotvec(self.rotvecs[index] * part[:, None])
        return Rotation(found.quat[0]) if t.ndim == 0 else found
