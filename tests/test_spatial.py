"""Rotations against SciPy's, and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial import transform as reference

import wengert
from wengert import numpy as jnp
from wengert.scipy.spatial.transform import Rotation, Slerp
from wengert.test_util import check_grads

rng = np.random.default_rng(1)
QUATS = rng.normal(size=(6, 4))
VECTORS = rng.normal(size=(6, 3))


def close(found: Any, expected: Any, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, atol=atol)


def same_rotation(found: Rotation, expected: Any) -> None:
    close(found.as_matrix(), expected.as_matrix())


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("quats", [QUATS, QUATS[0]], ids=["several", "one"])
def test_rotations_as_scipy_has_them(quats: Any) -> None:
    ours, theirs = Rotation.from_quat(quats), reference.Rotation.from_quat(quats)
    assert ours.single == theirs.single
    close(ours.as_quat(), theirs.as_quat())
    close(ours.as_quat(canonical=True), theirs.as_quat(canonical=True))
    close(ours.as_quat(scalar_first=True), theirs.as_quat(scalar_first=True))
    close(ours.as_matrix(), theirs.as_matrix())
    close(ours.as_rotvec(), theirs.as_rotvec())
    close(ours.as_rotvec(degrees=True), theirs.as_rotvec(degrees=True))
    close(ours.as_mrp(), theirs.as_mrp())
    close(ours.magnitude(), theirs.magnitude())
    vectors = VECTORS if not ours.single else VECTORS[0]
    close(ours.apply(vectors), theirs.apply(vectors))
    close(ours.apply(vectors, inverse=True), theirs.apply(vectors, inverse=True))
    close(ours.apply(VECTORS[1]), theirs.apply(VECTORS[1]))
    same_rotation(ours.inv(), theirs.inv())
    same_rotation(ours * Rotation.from_quat(QUATS[1]), theirs * reference.Rotation.from_quat(QUATS[1]))
    same_rotation(Rotation.from_matrix(theirs.as_matrix()), theirs)
    same_rotation(Rotation.from_rotvec(theirs.as_rotvec()), theirs)
    same_rotation(Rotation.from_rotvec(theirs.as_rotvec(degrees=True), degrees=True), theirs)
    same_rotation(Rotation.from_mrp(theirs.as_mrp()), theirs)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("seq", ["xyz", "zyx", "zxz", "yxy", "XYZ", "ZYX", "ZXZ", "YZX"])
def test_euler_angles(seq: str) -> None:
    ours, theirs = Rotation.from_quat(QUATS), reference.Rotation.from_quat(QUATS)
    close(ours.as_euler(seq), theirs.as_euler(seq), 1e-10)
    close(ours[0].as_euler(seq, degrees=True), theirs[0].as_euler(seq, degrees=True), 1e-8)
    angles = VECTORS * 50
    same_rotation(
        Rotation.from_euler(seq, angles, degrees=True), reference.Rotation.from_euler(seq, angles, True)
    )


@pytest.mark.usefixtures("x64")
def test_euler_angles_of_fewer_axes_and_at_the_ends_of_the_range() -> None:
    same_rotation(
        Rotation.from_euler("z", 90, degrees=True), reference.Rotation.from_euler("z", 90, degrees=True)
    )
    for seq, angles in (("X", VECTORS[:, :1]), ("zx", VECTORS[0, :2]), ("zx", VECTORS[:, :2])):
        same_rotation(Rotation.from_euler(seq, angles), reference.Rotation.from_euler(seq, angles))
    same_rotation(Rotation.from_euler("X", VECTORS[:, 0]), reference.Rotation.from_euler("X", VECTORS[:, :1]))
    for seq, middle in (("xyz", np.pi / 2), ("XYZ", -np.pi / 2), ("zxz", 0.0), ("ZXZ", np.pi)):
        there = Rotation.from_euler(seq, np.array([0.3, middle, 0.4]))
        back = there.as_euler(seq)
        assert back[2] == 0
        close(Rotation.from_euler(seq, back).as_matrix(), there.as_matrix(), 1e-7)


@pytest.mark.usefixtures("x64")
def test_every_branch_of_from_matrix() -> None:
    for rotvec in (np.zeros(3), [np.pi, 0, 0], [0, np.pi, 0], [0, 0, np.pi], [1e-9, 0, 0], [2.0, 2.0, -0.1]):
        theirs = reference.Rotation.from_rotvec(rotvec)
        same_rotation(Rotation.from_matrix(theirs.as_matrix()), theirs)
        same_rotation(Rotation.from_rotvec(np.asarray(rotvec, float)), theirs)
        assert Rotation.from_matrix(theirs.as_matrix()).as_quat().shape == (4,)


@pytest.mark.usefixtures("x64")
def test_mean_identity_and_containers() -> None:
    ours, theirs = Rotation.from_quat(QUATS), reference.Rotation.from_quat(QUATS)
    same_rotation(ours.mean(), theirs.mean())
    weights = np.arange(1.0, 7)
    same_rotation(ours.mean(weights), theirs.mean(weights))
    assert len(ours) == 6
    same_rotation(ours[2:4], theirs[2:4])
    same_rotation(
        Rotation.concatenate([ours, ours[:2]]), reference.Rotation.concatenate([theirs, theirs[:2]])
    )
    np.testing.assert_array_equal(Rotation.identity().as_quat(), [0, 0, 0, 1])
    assert Rotation.identity(3).as_quat().shape == (3, 4)
    many = Rotation.random(wengert.random.key(0), 4000)
    close(jnp.linalg.norm(many.quat, axis=-1), np.ones(4000))
    close(jnp.mean(many.as_matrix(), axis=0), np.zeros((3, 3)), 0.05)
    assert Rotation.random(wengert.random.key(0)).single
    assert wengert.tree_util.tree_map(jnp.shape, ours) == Rotation((6, 4))


@pytest.mark.usefixtures("x64")
def test_derivatives_of_rotations() -> None:
    check_grads(lambda v: Rotation.from_rotvec(v).as_matrix(), (VECTORS[0],), order=2, modes=["fwd", "rev"])
    check_grads(lambda q: Rotation.from_quat(q).as_rotvec(), (QUATS[0],), order=2, modes=["rev"])
    check_grads(lambda q: Rotation.from_quat(q).as_euler("xyz"), (QUATS[0],), order=1, modes=["rev"])
    # at no rotation the angle has no derivative, but what is made of it has
    generators = np.array([[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]])  # fmt: skip  # noqa: E501
    slope = wengert.jacobian(lambda v: Rotation.from_rotvec(v).as_matrix())(np.zeros(3))
    close(np.moveaxis(np.asarray(slope), -1, 0), generators)
    close(wengert.jacrev(lambda v: Rotation.from_rotvec(v).as_rotvec())(np.zeros(3)), np.eye(3))
    turned = wengert.jit(wengert.vmap(lambda r, v: r.apply(v)))(Rotation.from_quat(QUATS), VECTORS)
    close(turned, reference.Rotation.from_quat(QUATS).apply(VECTORS))


@pytest.mark.usefixtures("x64")
def test_slerp() -> None:
    ours, theirs = Rotation.from_quat(QUATS), reference.Rotation.from_quat(QUATS)
    times = np.array([0.0, 1, 2.5, 3, 5, 8])
    at = np.array([0.0, 0.3, 1.0, 2.6, 7.9, 8.0])
    slerp = Slerp.init(times, ours)
    same_rotation(slerp(at), reference.Slerp(times, theirs)(at))
    same_rotation(slerp(4.2), reference.Slerp(times, theirs)(4.2))
    assert slerp(4.2).single
    same_rotation(wengert.jit(lambda s, t: s(t))(slerp, at), reference.Slerp(times, theirs)(at))


def test_rotations_say_what_is_wrong() -> None:
    several, one = Rotation.from_quat(jnp.asarray(QUATS)), Rotation.from_quat(jnp.asarray(QUATS[0]))
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: len(one), TypeError, "Single rotation has no len"),
        (lambda: one[0], TypeError, "Single rotation is not subscriptable"),
        (lambda: Rotation.from_euler("", 1.0), ValueError, "non-empty string of upto 3"),
        (lambda: Rotation.from_euler("xY", np.ones(2)), ValueError, "Expected axes from `seq`"),
        (lambda: Rotation.from_euler("xx", np.ones(2)), ValueError, "consecutive axes to be different"),
        (
            lambda: Rotation.from_euler("xyz", np.ones(2)),
            ValueError,
            r"Expected 3 angles .* got shape \(2,\)",
        ),
        (lambda: one.as_euler("xy"), ValueError, "Expected 3 axes, got xy"),
        (lambda: Rotation.from_matrix(np.ones((2, 3))), ValueError, r"shape \(3, 3\)"),
        (lambda: Rotation.from_quat(np.ones(3)), ValueError, r"shape \(4,\)"),
        (lambda: Rotation.from_rotvec(np.ones(4)), ValueError, r"shape \(3,\)"),
        (lambda: several.mean(np.ones((2, 2))), ValueError, "1 dimensional"),
        (lambda: several.mean(np.ones(2)), ValueError, "2 values and 6 rotations"),
        (lambda: Slerp.init(np.arange(6.0), jnp.asarray(QUATS)), TypeError, "must be a `Rotation` instance"),  # type: ignore[arg-type]
        (lambda: Slerp.init(np.arange(2.0), one), ValueError, "at least 2 rotations"),
        (lambda: Slerp.init(np.ones((2, 2)), several), ValueError, "2 dimensions"),
        (lambda: Slerp.init(np.arange(2.0), several), ValueError, "6 rotations and 2 timestamps"),
        (lambda: Slerp.init(np.arange(6.0), several)(np.ones((1, 1))), ValueError, "at most 1-dimensional"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
