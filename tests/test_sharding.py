"""Where arrays are: shardings, meshes, device_put, and shard_map."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import wengert
from wengert import NamedSharding, P, grad, jit, lax, numpy as jnp, shard_map, smap, vmap
from wengert.config import config
from wengert.sharding import (
    AbstractMesh,
    AxisType,
    Mesh,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
    auto_axes,
    explicit_axes,
    get_abstract_mesh,
    get_mesh,
    make_single_device_sharding,
    reshard,
    set_mesh,
    use_abstract_mesh,
)


@pytest.fixture(autouse=True)
def _devices() -> Iterator[None]:
    config.update("jax_num_cpu_devices", 8)
    yield
    config.update("jax_num_cpu_devices", -1)


@pytest.fixture
def mesh() -> Mesh:
    return Mesh(np.array(wengert.devices()).reshape(2, 4), ("x", "y"))


X = np.arange(32, dtype=np.float32).reshape(4, 8)


def test_all_is_on_one_device() -> None:
    cpu = wengert.devices()[0]
    where = SingleDeviceSharding(cpu)
    assert isinstance(where, Sharding)
    assert where.device_set == {cpu}
    assert where.num_devices == 1
    assert where.is_fully_addressable
    assert where.is_fully_replicated
    assert where.shard_shape((2, 3)) == (2, 3)
    assert where.devices_indices_map((2,)) == {cpu: (slice(None),)}
    assert where == SingleDeviceSharding() == make_single_device_sharding(cpu)
    assert hash(where) == hash(SingleDeviceSharding())
    assert where != SingleDeviceSharding(cpu, memory_kind="pinned_host")
    assert where != cpu
    assert repr(where) == f"SingleDeviceSharding(device={cpu!r}, memory_kind=device)"


def test_the_abstract_class_says_what_it_lacks() -> None:
    with pytest.raises(TypeError, match="Sharding does not say on which devices it is"):
        Sharding().shard_shape((2,))


def test_partition_specs() -> None:
    assert repr(P("x", None, ("a", "b"))) == "P('x', None, ('a', 'b'))"
    assert repr(P("x")) == "P('x',)"
    assert repr(P()) == "P()"
    assert P is PartitionSpec
    assert P("x") != P("x", None)
    assert P("x") + P("y") == P("x", "y") == ("x", "y")
    assert P(["a", "b"]) == P(("a", "b"))
    assert {P("x"): 1}[P("x")] == 1
    assert pickle.loads(pickle.dumps(P("x", None))) == P("x", None)
    assert wengert.tree.leaves([P("x"), P("y", "z")]) == [P("x"), P("y", "z")]


def test_meshes(mesh: Mesh) -> None:
    assert dict(mesh.shape) == {"x": 2, "y": 4}
    assert (mesh.size, mesh.axis_names, mesh.axis_sizes, mesh.empty) == (8, ("x", "y"), (2, 4), False)
    assert mesh.device_ids.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert str(mesh) == "Mesh('x': 2, 'y': 4, axis_types=(Auto, Auto))"
    assert repr(mesh) == "Mesh(axis_sizes=(2, 4), axis_names=('x', 'y'), axis_types=(Auto, Auto))"
    assert mesh == pickle.loads(pickle.dumps(mesh))
    made = wengert.make_mesh((4, 2), ("a", "b"))
    assert made.axis_types == (AxisType.Explicit, AxisType.Explicit)
    assert made.explicit_axes == ("a", "b")
    assert wengert.make_mesh(
        (2,), ("a",), (AxisType.Auto,), devices=wengert.devices()[3:]
    ).device_ids.tolist() == [3, 4]
    assert made.abstract_mesh == AbstractMesh(
        (4, 2), ("a", "b"), abstract_device=made.abstract_mesh.abstract_device
    )
    assert repr(AbstractMesh((2,), ("a",))) == "AbstractMesh('a': 2, axis_types=(Explicit,))"
    assert AbstractMesh((2,), ("a",)).update_axis_types({"a": AxisType.Manual}).are_all_axes_manual
    with pytest.raises(ValueError, match=r"Number of devices 8 must be >= .*jax_num_cpu_devices"):
        wengert.make_mesh((16,), ("a",))
    with pytest.raises(ValueError, match="ndim of its first argument"):
        Mesh(wengert.devices(), ("a", "b"))


def test_the_mesh_in_force(mesh: Mesh) -> None:
    assert get_mesh().empty
    assert get_abstract_mesh().empty
    with set_mesh(mesh):
        assert get_mesh() == mesh
        assert get_abstract_mesh() == mesh.abstract_mesh
        assert wengert.device_put(X, P("x")).sharding == NamedSharding(mesh, P("x"))
    with mesh:
        assert get_mesh() is mesh
    with use_abstract_mesh(AbstractMesh((2,), ("a",))):
        assert get_abstract_mesh().shape_tuple == (("a", 2),)
    assert get_mesh().empty
    set_mesh(mesh)
    assert get_mesh() == mesh
    set_mesh(None)
    assert get_mesh().empty


def test_named_shardings(mesh: Mesh) -> None:
    where = NamedSharding(mesh, P("x", "y"))
    assert where.shard_shape((4, 8)) == (2, 2)
    indices = where.devices_indices_map((4, 8))
    assert indices[wengert.devices()[5]] == (slice(2, 4), slice(2, 4))
    assert len(indices) == where.num_devices == 8
    assert not where.is_fully_replicated
    assert NamedSharding(mesh, P(None, None)).is_fully_replicated
    assert NamedSharding(mesh, P(("x", "y"))).shard_shape((16, 3)) == (2, 3)
    assert NamedSharding(mesh, P("y")).replicated_axes == {"x"}
    assert where.is_equivalent_to(NamedSharding(mesh, P("x", "y", None)), 2)
    assert not where.is_equivalent_to(NamedSharding(mesh, P("y", "x")), 2)
    assert where.update(spec=P("x")) == NamedSharding(mesh, P("x"))
    assert repr(where) == f"NamedSharding(mesh={mesh}, spec=P('x', 'y'), memory_kind=device)"
    with pytest.raises(ValueError, match=r"Resource axis: z of .* is not found in mesh"):
        NamedSharding(mesh, P("z"))
    with pytest.raises(ValueError, match="duplicate entries for `x`"):
        NamedSharding(mesh, P("x", "x"))
    with pytest.raises(ValueError, match="array axis 0 is partitioned 2 times, but the dimension size is 3"):
        where.shard_shape((3, 8))
    with pytest.raises(ValueError, match="rank at least 2"):
        where.shard_shape((4,))


def test_arrays_say_where_they_are(mesh: Mesh) -> None:
    x = wengert.device_put(X, NamedSharding(mesh, P("x", "y")))
    assert x.devices() == set(wengert.devices())
    assert x.committed
    assert x.is_fully_addressable
    assert not x.is_fully_replicated
    assert x.device == x.sharding
    shard = x.addressable_shards[5]
    assert (shard.device.id, shard.index, shard.replica_id) == (5, (slice(2, 4), slice(2, 4)), 0)
    np.testing.assert_array_equal(shard.data, X[2:4, 2:4])
    np.testing.assert_array_equal(x.addressable_data(1), X[:2, 2:4])
    np.testing.assert_array_equal(x + 1, X + 1)
    assert repr(shard).startswith(
        "Shard(device=CpuDevice(id=5), index=(slice(2, 4, None), slice(2, 4, None)), replica_id=0"
    )
    copies = wengert.device_put(X, NamedSharding(mesh, P(None, "y"))).global_shards
    assert [s.replica_id for s in copies] == [0] * 4 + [1] * 4
    plain = jnp.ones(3)
    assert not plain.committed
    assert plain.device is wengert.devices()[0]
    with wengert.default_device(wengert.devices()[3]):
        assert plain.devices() == {wengert.devices()[3]}


def test_device_put(mesh: Mesh) -> None:
    two = wengert.devices()[2]
    x = jnp.arange(3)
    y = wengert.device_put(x, two)
    assert y.device is two
    assert y.sharding == SingleDeviceSharding(two)
    assert not x.committed
    assert y.to_device(wengert.devices()[1]).device.id == 1
    tree = wengert.device_put({"a": X, "b": 1.0}, {"a": NamedSharding(mesh, P("x")), "b": two})
    assert tree["a"].sharding.spec == P("x")
    assert tree["b"].device is two
    assert wengert.device_put(2.0).weak_type
    given = jnp.arange(3.0)
    kept = wengert.device_put(given, donate=True)
    assert given.is_deleted()
    np.testing.assert_array_equal(kept, [0, 1, 2])
    with pytest.raises(RuntimeError, match=r"Array has been deleted with shape=float32\[3\]"):
        given + 1
    with pytest.raises(ValueError, match="Received invalid value: foo"):
        wengert.device_put(x, "foo")
    with pytest.raises(ValueError, match="incompatible with its sharding annotation"):
        wengert.device_put(x, NamedSharding(mesh, P("x", "y")))
    with pytest.raises(RuntimeError, match="requires a non-empty mesh in context"):
        wengert.device_put(x, P("x"))
    assert wengert.device_get(y).tolist() == [0, 1, 2]


def test_jit_with_shardings(mesh: Mesh) -> None:
    where = NamedSharding(mesh, P("x", "y"))
    double = jit(lambda x: x * 2, in_shardings=where, out_shardings=where)
    assert double(X).sharding == where
    np.testing.assert_array_equal(double(X), X * 2)
    assert "mul" in str(double.trace(X).jaxpr)
    assert jit(lambda x: {"a": x, "b": x}, out_shardings={"a": where, "b": None})(X)["a"].sharding == where
    assert jit(lambda x: x, device=wengert.devices()[4])(X).device.id == 4
    with pytest.raises(ValueError, match=r"argument x\).*axis 0 is partitioned 2 times"):
        double(X[:3])
    constrained = lax.with_sharding_constraint(X, where)
    assert constrained.sharding == where
    np.testing.assert_array_equal(jit(lambda x: lax.with_sharding_constraint(x, where))(X), X)
    with pytest.raises(ValueError, match="with_sharding_constraint"):
        jit(lambda x: lax.with_sharding_constraint(x, where))(X[:3])
    assert reshard(X, where).sharding == where
    assert auto_axes(lambda x: x * 2, axes="x", out_sharding=where)(X).sharding == where
    assert explicit_axes(lambda x: x, axes="x")(jnp.asarray(X), in_sharding=where).sharding == where


def test_arrays_of_parts(mesh: Mesh) -> None:
    where = NamedSharding(mesh, P("x"))
    made = wengert.make_array_from_callback(X.shape, where, lambda index: X[index])
    np.testing.assert_array_equal(made, X)
    assert made.sharding == where
    np.testing.assert_array_equal(wengert.make_array_from_process_local_data(where, X, X.shape), X)
    line = NamedSharding(wengert.make_mesh((8,), ("i",)), P("i"))
    parts = [wengert.device_put(jnp.full(2, d.id), d) for d in wengert.devices()]
    whole = wengert.make_array_from_single_device_arrays((16,), line, parts)
    np.testing.assert_array_equal(whole, np.repeat(np.arange(8), 2))
    with pytest.raises(ValueError, match="one array on each of the 8 devices"):
        wengert.make_array_from_single_device_arrays((16,), line, parts[:3])
    with pytest.raises(ValueError, match="has shape"):
        wengert.make_array_from_callback(X.shape, where, lambda index: X)
    assert any(a is whole for a in wengert.live_arrays())


def test_shard_map(mesh: Mesh) -> None:
    total = shard_map(lambda x: lax.psum(x, "x"), mesh=mesh, in_specs=P("x", "y"), out_specs=P(None, "y"))
    for fun in (total, jit(total)):
        np.testing.assert_array_equal(fun(X), X[:2] + X[2:])
    assert total(X).sharding == NamedSharding(mesh, P(None, "y"))

    def shapes(x: Any, w: Any) -> Any:
        assert x.shape == (1, 8)
        assert w.shape == (2,)
        return x * lax.axis_index(("x", "y")), w * 2

    y, w = shard_map(shapes, mesh=mesh, in_specs=(P(("x", "y")), P("y")), out_specs=(P(("x", "y")), P("y")))(
        np.ones((8, 8), np.float32), np.arange(8.0, dtype=np.float32)
    )
    np.testing.assert_array_equal(y[:, 0], np.arange(8))
    np.testing.assert_array_equal(w, 2 * np.arange(8))
    turned = shard_map(lambda x: x.T, mesh=mesh, in_specs=P("x", "y"), out_specs=P("y", "x"))
    np.testing.assert_array_equal(turned(X), X.T)
    partial = shard_map(lambda x: x * 2, mesh=mesh, in_specs=P("x"), out_specs=P("x"), axis_names={"x"})
    np.testing.assert_array_equal(partial(X), X * 2)
    gathered = shard_map(
        lambda x: lax.all_gather(x, "x", tiled=True),
        mesh=mesh,
        in_specs=P("x"),
        out_specs=P(),
        check_vma=False,
    )
    np.testing.assert_array_equal(gathered(X), X)
    with set_mesh(mesh):
        np.testing.assert_array_equal(shard_map(lambda x: x + 1, in_specs=P("x"), out_specs=P("x"))(X), X + 1)
        np.testing.assert_array_equal(smap(lambda x: x * 2, in_axes=1, out_axes=1, axis_name="y")(X), X * 2)
        spread = wengert.device_put(X, P("x"))
        np.testing.assert_array_equal(shard_map(lambda x: x.sum(0, keepdims=True), out_specs=P("x"))(spread), [
            X[:2].sum(0), X[2:].sum(0)])  # fmt: skip


def test_transformations_of_shard_map(mesh: Mesh) -> None:
    def matmul(a: Any, b: Any) -> Any:
        """Each device has some columns of a and the same rows of b."""
        return shard_map(
            lambda a, b: lax.psum(a @ b, "y"), mesh=mesh, in_specs=(P("x", "y"), P("y")), out_specs=P("x")
        )(a, b)

    b = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    np.testing.assert_allclose(matmul(X, b), X @ b, rtol=1e-5)
    for argnum in (0, 1):
        found = grad(lambda *args: (matmul(*args) ** 2).sum(), argnum)(X, b)
        expected = grad(lambda a, b: ((a @ b) ** 2).sum(), argnum)(X, b)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(
        vmap(matmul, in_axes=(None, 0))(X, np.stack([b, 2 * b]))[1], 2 * X @ b, rtol=1e-5
    )


def test_derivatives_inside_of_shard_map(mesh: Mesh) -> None:
    """What is the same on all devices has the derivative of the whole; with check_vma=False, of each part."""
    both = P(("x", "y"))
    w, xs = np.arange(1.0, 5.0, dtype=np.float32), np.arange(32, dtype=np.float32).reshape(8, 4) / 10

    def mapped(fun: Any, out: Any, **options: Any) -> Any:
        return shard_map(fun, mesh=mesh, in_specs=(P(), both), out_specs=out, **options)(w, xs)

    def loss(w: Any, x: Any) -> Any:
        return lax.pmean(((x @ w) ** 2).mean(), ("x", "y")) + (w**3).sum()

    whole = grad(lambda w, x: ((x @ w) ** 2).mean() + (w**3).sum(), (0, 1))(w, xs)
    for inside in (grad(loss, (0, 1)), jit(grad(loss, (0, 1)))):
        for found, expected in zip(mapped(inside, (P(), both)), whole, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    curvature = mapped(wengert.hessian(loss), P())
    np.testing.assert_allclose(curvature, 2 * xs.T @ xs / 8 + np.diag(6 * w), rtol=1e-4)
    parts = mapped(grad(lambda w, x: (x @ w).sum()), both, check_vma=False)
    np.testing.assert_allclose(parts.reshape(8, 4), xs, rtol=1e-5)
    own = mapped(lambda w, x: grad(lambda w: (x @ w).sum())(lax.pcast(w, ("x", "y"), to="varying")), both)
    np.testing.assert_allclose(own.reshape(8, 4), xs, rtol=1e-5)
    with pytest.raises(ValueError, match="differs over the mesh axis"):
        mapped(lambda w, x: lax.all_gather(x, ("x", "y")), P())


def test_user_contexts_are_traced_anew() -> None:
    width, height = wengert.make_user_context(2), wengert.make_user_context()
    count = 0

    @jit
    def scaled(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * width.value

    assert scaled(1.0) == 2.0
    with width(3), height("tall"):
        assert scaled(1.0) == 3.0
        assert (width.value, height.value) == (3, "tall")
    assert scaled(1.0) == 2.0
    assert count == 2
    assert height.value is None
    assert wengert.memory.Space.Device is not wengert.memory.Space.Host


def test_errors_of_shard_map(mesh: Mesh) -> None:
    over_x = P("x")

    def mapped(fun: Any, in_specs: Any = over_x, out_specs: Any = over_x, **options: Any) -> Any:
        return shard_map(fun, mesh=mesh, in_specs=in_specs, out_specs=out_specs, **options)

    with pytest.raises(ValueError, match=r"not evenly divisible.*argument x of shape \(3, 8\)"):
        mapped(lambda x: x)(X[:3])
    with pytest.raises(ValueError, match="differs over the mesh axis 'x'"):
        mapped(lambda x: x, out_specs=P())(X)
    with pytest.raises(ValueError, match="Resource axis: z"):
        mapped(lambda x: x, P("z"))(X)
    with pytest.raises(ValueError, match="is for at least 3"):
        mapped(lambda x: x, P(None, None, "x"))(X)
    with pytest.raises(ValueError, match="but its spec in out_specs"):
        mapped(lambda x: x.sum(), out_specs=P("x"))(X)
    with pytest.raises(ValueError, match="context mesh cannot be empty"):
        shard_map(lambda x: x, in_specs=P(), out_specs=P())(X)
    with pytest.raises(ValueError, match="subset"):
        mapped(lambda x: x, axis_names={"k"})(X)
    with pytest.raises(TypeError, match=r"requires a `jax\.sharding\.Mesh`"):
        shard_map(lambda x: x, mesh=3, in_specs=P(), out_specs=P())
