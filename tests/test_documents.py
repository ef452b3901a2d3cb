"""What introductions to JAX show: small programs, with their results, printed forms and error types."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import errors, grad, jit, lax, make_jaxpr, nn, random, tree_util, value_and_grad, vmap


def printed(jaxpr: Any) -> str:
    return str(jaxpr)


def text(block: str) -> str:
    return textwrap.dedent(block).strip()


# ---------------------------------------------------------------------------------------------------- arrays


def test_arrays_read_as_in_numpy() -> None:
    x = jnp.linspace(0, 1, 5)
    assert repr(x) == "Array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)"
    assert str(jnp.linspace(0, 1, 10)) == str(np.linspace(0, 1, 10, dtype=np.float32))
    assert str(jnp.round(jnp.mean(jnp.sin(x) ** 2 + jnp.cos(x) ** 2), 6)) == "1.0"
    assert repr(jnp.array([4, 5])) == "Array([4, 5], dtype=int32)"
    assert repr(jnp.array(2.5)) == "Array(2.5, dtype=float32, weak_type=True)"


def test_sorting_returns_a_copy() -> None:
    x = jnp.array([3, 1, 2])
    assert f"{x} {x.sort()}" == "[3 1 2] [1 2 3]"
    mine = np.array([3, 1, 2])
    assert mine.sort() is None  # type: ignore[func-returns-value]


def test_changes_make_new_arrays() -> None:
    old = jnp.zeros(2)
    new = old.at[1].set(7)
    assert f"{new} {old}" == "[0. 7.] [0. 0.]"
    with pytest.raises(TypeError, match=r"immutable.*x = x\.at\[idx\]\.set\(y\)"):
        old[1] = 7


def test_arrays_equal_those_of_numpy_to_their_precision() -> None:
    theirs, ours = np.linspace(0, 1, 10), jnp.linspace(0, 1, 10)
    assert (theirs == ours).tolist() == [True] * 10  # the sides meet in float32
    assert isinstance(theirs == ours, wengert.Array)
    assert not np.array_equal(theirs, ours)  # NumPy compares in float64
    assert jnp.array_equal(theirs, ours)


def test_indices_out_of_bounds() -> None:
    x = jnp.arange(4.0)
    assert x[9] == 3.0
    assert np.isnan(x.at[9].get(mode="fill"))
    assert x.at[9].get(mode="fill", fill_value=-1) == -1
    np.testing.assert_array_equal(x.at[9].set(5), x)


# ---------------------------------------------------------------------------------------------------- random


@pytest.mark.parametrize(
    ("partitionable", "first", "second"),
    [
        (True, [1832780943, 270669613], [64467757, 2916123636]),
        (False, [2465931498, 3679230171], [255383827, 267815257]),
    ],
)
def test_keys_are_split(partitionable: bool, first: list[int], second: list[int]) -> None:
    with wengert.threefry_partitionable(partitionable):
        key = random.PRNGKey(42)
        assert str(key) == "[ 0 42]"
        key, subkey = random.split(key)
        assert key.tolist() == first
        assert subkey.tolist() == second


# --------------------------------------------------------------------------------------------------- tracing


def test_functions_are_traced_once_for_each_kind_of_argument(capsys: pytest.CaptureFixture[str]) -> None:
    @jit
    def successor(x: Any) -> Any:
        print("traced")
        return x + 1

    for argument, expected in (([0.0], "[1.]"), ([4.0], "[5.]"), ([1.0, 2.0], "[2. 3.]")):
        assert str(successor(jnp.array(argument))) == expected
    assert capsys.readouterr().out == "traced\ntraced\n"


def test_truth_of_a_traced_value() -> None:
    @jit
    def clipped(x: Any) -> Any:
        return x if x > 0 else 0

    with pytest.raises(errors.TracerBoolConversionError, match=r"argument x of .*clipped") as caught:
        clipped(10)
    assert type(caught.value).__name__ == "TracerBoolConversionError"
    assert isinstance(caught.value, errors.ConcretizationTypeError)
    assert jit(lambda x: jnp.where(x > 0, x, 0))(-3) == 0


def test_the_printed_square() -> None:
    def square(x: Any) -> Any:
        return x**2

    x = jnp.array(10.0)
    assert printed(make_jaxpr(square)(x)) == "{ lambda ; a:f32[]. let b:f32[] = integer_pow[y=2] a in (b,) }"
    assert printed(make_jaxpr(grad(square))(x)) == text("""
        { lambda ; a:f32[]. let
            _:f32[] = integer_pow[y=2] a
            b:f32[] = integer_pow[y=1] a
            c:f32[] = mul 2.0 b
            d:f32[] = mul 1.0 c
          in (d,) }""")
    assert str(grad(square)(x)) == "20.0"
    assert str(grad(grad(square))(x)) == "2.0"


def test_the_printed_product_and_its_batch() -> None:
    def affine(w: Any, b: Any, x: Any) -> Any:
        return jnp.dot(w, x) + b

    w, b = jnp.array([2.0, 4.0]), jnp.array(1.0)
    points = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    batched = vmap(affine, in_axes=(None, None, 0))
    assert str(affine(w, b, points[0])) == "11.0"
    assert str(batched(w, b, points)) == "[11. 23. 35.]"
    for function, x, size, result, dims in (
        (affine, points[0], "2", "", "([0], [0])"),
        (batched, points, "3,2", "3", "([0], [1])"),
    ):
        expected = f"""
            {{ lambda ; a:f32[2] b:f32[] c:f32[{size}]. let
                d:f32[{result}] = dot_general[
                  dimension_numbers=({dims}, ([], []))
                  preferred_element_type=float32
                ] a c
                e:f32[] = convert_element_type[new_dtype=float32 weak_type=False] b
                f:f32[{result}] = add d e
              in (f,) }}"""
        assert printed(make_jaxpr(function)(w, b, x)) == text(expected)


# ----------------------------------------------------------------------------------------------- derivatives


def test_gradients_and_second_derivatives() -> None:
    x, y = jnp.arange(4.0), jnp.zeros(4)

    def overlap(x: Any, y: Any) -> Any:
        return jnp.sum(x * y)

    assert str(grad(overlap)(x, y)) == "[0. 0. 0. 0.]"
    assert str(grad(overlap, argnums=1)(x, y)) == "[0. 1. 2. 3.]"
    assert f"{grad(grad(lambda x: x**2 + 1))(0.0)} {grad(grad(lambda x: x**3))(2.0)}" == "2.0 12.0"


def test_the_family_of_derivatives() -> None:
    def f(x: Any) -> Any:
        return jnp.sum(x**2)

    x = jnp.arange(3.0)
    for derivative in (grad, wengert.jacfwd, wengert.jacrev):
        assert str(derivative(f)(x)) == "[0. 2. 4.]"
    assert str(wengert.hessian(f)(x)) == "[[2. 0. 0.]\n [0. 2. 0.]\n [0. 0. 2.]]"
    value, pullback = wengert.vjp(f, x)
    assert (float(value), pullback(1.0)[0].tolist()) == (5.0, [0.0, 2.0, 4.0])
    assert wengert.jvp(f, (x,), (jnp.ones(3),))[1] == 6.0


def test_gradients_of_a_tuple_come_as_a_tuple() -> None:
    rng = np.random.default_rng(0)
    A, b, x = (jnp.array(rng.standard_normal(shape)) for shape in ((10, 3), (10,), (3,)))
    assert A.dtype == jnp.float32

    def activity(params: Any, x: Any) -> Any:
        A, b = params
        return nn.sigmoid(A @ x + b).sum()

    value, (dA, db) = value_and_grad(activity)((A, b), x)
    s = 1 / (1 + np.exp(-(np.asarray(A) @ np.asarray(x) + np.asarray(b))))
    np.testing.assert_allclose(value, s.sum(), rtol=1e-6)
    np.testing.assert_allclose(db, s * (1 - s), rtol=1e-5)
    np.testing.assert_allclose(dA, np.outer(s * (1 - s), x), rtol=1e-5)

    batch = jnp.array(rng.standard_normal((20, 3)))
    one_by_one = jnp.array([activity((A, b), row) for row in batch])
    at_once = vmap(activity, in_axes=(None, 0))((A, b), batch)
    assert f"{jnp.allclose(one_by_one, at_once)} {at_once.shape}" == "True (20,)"
    per_row = jit(vmap(grad(activity, argnums=1), in_axes=(None, 0)))((A, b), batch)
    assert per_row.shape == (20, 3)


def test_a_chain_of_matrix_functions_under_jit() -> None:
    def chain(x: Any) -> Any:
        x = jnp.tanh(x @ x.T)
        x = jnp.sin(jnp.exp(-(x**2)) @ x)
        x = jnp.linalg.matrix_power(nn.softmax(x, axis=-1), 3)
        return jnp.sum(x * jnp.log(jnp.abs(x) + 1e-8))

    x = jnp.array(np.random.default_rng(1).standard_normal((20, 20)))
    eager, compiled = chain(x), jit(chain)(x).block_until_ready()
    np.testing.assert_allclose(eager, compiled, rtol=1e-5)
    assert repr(eager).startswith("Array(-")
    assert repr(eager).endswith(", dtype=float32)")


# ---------------------------------------------------------------------------------------------- batches, trees


def test_a_stencil_over_the_columns_of_a_table() -> None:
    def smoothed(x: Any, weights: Any) -> Any:
        return jnp.array([jnp.dot(x[i - 1 : i + 2], weights) for i in range(1, len(x) - 1)])

    weights = jnp.ones(3) / 3
    x = jnp.array([-1.0, 0.0, 1.0, 0, -1.0])
    assert repr(smoothed(x, weights)) == "Array([0.        , 0.33333334, 0.        ], dtype=float32)"
    table = jnp.stack([jnp.zeros_like(x), x, jnp.ones_like(x)]).T
    assert str(table[0]) == "[ 0. -1.  1.]"
    columns = vmap(smoothed, in_axes=(1, None), out_axes=1)(table, weights)
    assert str(columns) == text("""
        [[0.         0.         1.        ]
         [0.         0.33333334 1.        ]
         [0.         0.         1.        ]]""")


def test_leaves_of_containers() -> None:
    thing = object()
    for example, leaves in (
        ({"a": 0, "b": (1, 2)}, [0, 1, 2]),
        (["a", thing], ["a", thing]),
        ({"b": None, "a": [(), 5]}, [5]),
    ):
        assert tree_util.tree_leaves(example) == leaves
    (leaf,) = tree_util.tree_leaves(jnp.array([3, 4, 5]))
    assert f"{[leaf]}" == "[Array([3, 4, 5], dtype=int32)]"


def test_a_line_is_fitted_by_gradient_descent_over_a_dict() -> None:
    x = jnp.linspace(-1, 1, 50)
    with wengert.threefry_partitionable(False):  # as JAX's generator once was by default
        noise = 0.3 * random.normal(random.PRNGKey(0), (50,))
    data = {"x": x, "y": 2 * x + 10 + noise}

    def misfit(params: Any, data: Any) -> Any:
        return jnp.mean((data["y"] - params["slope"] * data["x"] - params["offset"]) ** 2)

    @jit
    def step(params: Any, data: Any, rate: float = 0.1) -> Any:
        slopes = grad(misfit)(params, data)
        return {name: params[name] - rate * slopes[name] for name in params}

    params: Any = {"slope": jnp.array([1.0]), "offset": jnp.array([0.0])}
    for _ in range(50):
        params = step(params, data)
    assert f"{params['slope'][0]:<.2f} {params['offset'][0]:<.2f}" == "2.01 9.96"


# ------------------------------------------------------------------------------------------- linear algebra


def test_linear_algebra_with_derivatives() -> None:
    A, b = jnp.array([[3.0, 2.0], [1.0, 4.0]]), jnp.array([7.0, 10.0])

    def first(A: Any) -> Any:
        return jnp.linalg.solve(A, b)[0]

    slope = grad(first)
    np.testing.assert_allclose(jnp.linalg.solve(A, b), [0.8, 2.3], rtol=1e-6)
    np.testing.assert_allclose(slope(A), [[-0.32, -0.92], [0.16, 0.46]], rtol=1e-5)
    second = grad(lambda A: jnp.sum(slope(A)))(A)
    np.testing.assert_allclose(second, [[0.296, 0.386], [-0.108, -0.078]], rtol=1e-4)
    assert str(A @ A.T) == "[[13. 11.]\n [11. 17.]]"
    np.testing.assert_allclose(jnp.linalg.inv(A), [[0.4, -0.2], [-0.1, 0.3]], rtol=1e-6)
    np.testing.assert_allclose(jnp.linalg.det(A), 10, rtol=1e-6)
    U, S, Vh = jnp.linalg.svd(A)
    np.testing.assert_allclose(S, [5.116672, 1.9543954], rtol=1e-6)
    np.testing.assert_allclose(U * S @ Vh, A, rtol=1e-5)
    eigenvalues = jnp.linalg.eigvals(A)
    assert eigenvalues.dtype == jnp.complex64
    np.testing.assert_allclose(sorted(eigenvalues.real), [2, 5], rtol=1e-6)
    many = vmap(lambda b: jnp.linalg.solve(A, b))(jnp.array([[7.0, 10.0], [1.0, 1.0], [4.0, 5.0]]))
    np.testing.assert_allclose(many, [[0.8, 2.3], [0.2, 0.2], [0.6, 1.1]], rtol=1e-5)


# ------------------------------------------------------------------------------------------------ simulation


def test_a_wave_equation_in_numpy_and_under_scan() -> None:
    """The same scheme, written once for NumPy's loop and once for scan; then inverted a little."""
    n, steps, dt = 12, 15, 0.4

    def rate_of_change(xp: Any, u: Any, density: Any) -> Any:
        dx = xp.pad((u[1:, :] - u[:-1, :]) / density[1:, :], [[0, 1], [0, 0]])
        dy = xp.pad((u[:, 1:] - u[:, :-1]) / density[:, 1:], [[0, 0], [0, 1]])
        ddx = xp.pad(dx[1:, :] - dx[:-1, :], [[1, 0], [0, 0]])
        return ddx + xp.pad(dy[:, 1:] - dy[:, :-1], [[0, 0], [1, 0]])

    def source(xp: Any, it: Any) -> Any:
        t = it * dt - 2
        return (1 - 2 * t**2) * xp.exp(-(t**2))

    density = 1 + 0.1 * np.random.default_rng(2).random((n, n))

    def with_numpy(velocity: Any) -> Any:
        past, now, fields = np.zeros((n, n)), np.zeros((n, n)), []
        for it in range(steps):
            future = 2 * now - past + dt**2 * velocity**2 * rate_of_change(np, now, density)
            future[n // 2, n // 2] += source(np, it)
            past, now = now, future
            fields.append(now)
        return np.stack(fields)

    @jit
    def forward(velocity: Any) -> Any:
        def step(carry: Any, it: Any) -> Any:
            past, now = carry
            future = 2 * now - past + dt**2 * velocity**2 * rate_of_change(jnp, now, jnp.asarray(density))
            future = future.at[n // 2, n // 2].add(source(jnp, it))
            return (now, future), future

        zero = jnp.zeros((n, n))
        return lax.scan(step, (zero, zero), jnp.arange(steps))[1]

    velocity = np.ones((n, n))
    seen = forward(velocity)
    np.testing.assert_allclose(seen, with_numpy(velocity), atol=1e-5)

    def loss(velocity: Any) -> Any:
        return jnp.mean((forward(velocity) - seen) ** 2)

    guess = jnp.full((n, n), 1.1)
    before = loss(guess)
    for _ in range(5):
        guess = guess - 2.0 * grad(loss)(guess)
    assert loss(guess) < 0.7 * before
