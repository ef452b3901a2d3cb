"""The optimisers of `wengert.example_libraries`, against their formulas in NumPy, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as wnp
from wengert import tree_util
from wengert.example_libraries import optimizers

STEP = 0.1
STEPS = 6


def sgd(x: Any, gradients: Any) -> Any:
    for g in gradients:
        x = x - STEP * g
    return x


def momentum(x: Any, gradients: Any) -> Any:
    velocity = 0.0
    for g in gradients:
        velocity = 0.8 * velocity + g
        x = x - STEP * velocity
    return x


def nesterov(x: Any, gradients: Any) -> Any:
    velocity = 0.0
    for g in gradients:
        velocity = 0.8 * velocity + g
        x = x - STEP * (0.8 * velocity + g)
    return x


def adagrad(x: Any, gradients: Any) -> Any:
    total, m = 0.0, 0.0
    for g in gradients:
        total = total + g**2
        m = 0.1 * g / np.sqrt(total) + 0.9 * m
        x = x - STEP * m
    return x


def rmsprop(x: Any, gradients: Any) -> Any:
    average = 0.0
    for g in gradients:
        average = 0.9 * average + 0.1 * g**2
        x = x - STEP * g / np.sqrt(average + 1e-8)
    return x


def rmsprop_momentum(x: Any, gradients: Any) -> Any:
    average, m = 0.0, 0.0
    for g in gradients:
        average = 0.9 * average + 0.1 * g**2
        m = 0.9 * m + STEP * g / np.sqrt(average + 1e-8)
        x = x - m
    return x


def adam(x: Any, gradients: Any) -> Any:
    m, v = 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        x = x - STEP * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return x


def adamax(x: Any, gradients: Any) -> Any:
    m, u = 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        u = np.maximum(0.999 * u, np.abs(g))
        x = x - STEP / (1 - 0.9**t) * m / (u + 1e-8)
    return x


def sm3(x: Any, gradients: Any) -> Any:
    """SM3-II of the paper, written index by index: mu holds a number for each (axis, index)."""
    shape = np.shape(x) or (1,)
    mu = {(axis, i): 0.0 for axis, n in enumerate(shape) for i in range(n)}
    x, m = np.reshape(x, shape).copy(), np.zeros(shape)
    for g in gradients:
        seen: dict[tuple[int, int], float] = {}
        for place in np.ndindex(*shape):
            slope = np.reshape(g, shape)[place]
            nu = min(mu[cover] for cover in enumerate(place)) + slope**2
            m[place] = 0.1 * slope / np.sqrt(nu) + 0.9 * m[place]
            x[place] -= STEP * m[place]
            for cover in enumerate(place):
                seen[cover] = max(seen.get(cover, 0.0), nu)
        mu = seen
    return x


MAKERS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "sgd": (sgd, (STEP,)),
    "momentum": (momentum, (STEP, 0.8)),
    "nesterov": (nesterov, (STEP, 0.8)),
    "adagrad": (adagrad, (STEP,)),
    "rmsprop": (rmsprop, (STEP,)),
    "rmsprop_momentum": (rmsprop_momentum, (STEP,)),
    "adam": (adam, (STEP,)),
    "adamax": (adamax, (STEP,)),
    "sm3": (sm3, (STEP,)),
}


@pytest.fixture
def parameters() -> Any:
    rng = np.random.default_rng(0)
    return {"w": rng.normal(size=(3, 2)), "b": (rng.normal(size=4), rng.normal(size=()))}


def random_gradients(parameters: Any) -> list[Any]:
    rng = np.random.default_rng(1)
    return [tree_util.tree_map(lambda x: rng.normal(size=x.shape), parameters) for _ in range(STEPS)]


@pytest.mark.parametrize("name", MAKERS)
def test_steps_follow_the_formula(name: str, parameters: Any) -> None:
    formula, arguments = MAKERS[name]
    init, update, get_params = getattr(optimizers, name)(*arguments)
    gradients = random_gradients(parameters)
    state = init(tree_util.tree_map(wnp.float32, parameters))
    update = wengert.jit(update)
    for i, gradient in enumerate(gradients):
        state = update(i, tree_util.tree_map(wnp.float32, gradient), state)
    expected = tree_util.tree_map(lambda x, *g: formula(x, g), parameters, *gradients)
    got = get_params(state)
    assert tree_util.tree_structure(got) == tree_util.tree_structure(parameters)
    for a, b in zip(tree_util.tree_leaves(got), tree_util.tree_leaves(expected), strict=True):
        assert a.dtype == wnp.float32
        np.testing.assert_allclose(a, np.reshape(b, a.shape), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_a_quadratic_is_minimised(name: str) -> None:
    """Five hundred steps, scanned over: the state is a carry like any other."""
    target = wnp.array([1.0, -0.5, 0.25])
    arguments = MAKERS[name][1][1:]
    rate = 0.5 if name in ("adagrad", "sm3") else 0.05  # these two slow down by themselves
    decay = optimizers.polynomial_decay(rate, 500, 0.0)
    init, update, get_params = getattr(optimizers, name)(decay, *arguments)

    def step(state: Any, i: Any) -> Any:
        gradient = wengert.grad(lambda x: wnp.sum((x - target) ** 2))(get_params(state))
        return update(i, gradient, state), None

    state, _ = wengert.lax.scan(step, init(wnp.zeros(3)), wnp.arange(500))
    np.testing.assert_allclose(get_params(state), target, atol=5e-3)


def test_schedules() -> None:
    def values(schedule: Any, *steps: int) -> list[float]:
        jitted = [float(wengert.jit(schedule)(i)) for i in steps]
        np.testing.assert_allclose(jitted, [float(schedule(i)) for i in steps], rtol=1e-6)
        return [round(value, 5) for value in jitted]

    assert values(optimizers.constant(0.3), 0, 7) == [0.3, 0.3]
    assert values(optimizers.exponential_decay(1.0, 10, 0.5), 0, 10, 25) == [1.0, 0.5, 0.17678]
    assert values(optimizers.inverse_time_decay(1.0, 10, 2.0), 0, 5, 10) == [1.0, 0.5, 0.33333]
    assert values(optimizers.inverse_time_decay(1.0, 10, 2.0, staircase=True), 5, 10, 19) == [
        1.0,
        0.33333,
        0.33333,
    ]
    assert values(optimizers.polynomial_decay(1.0, 10, 0.2, 2.0), 0, 5, 10, 99) == [1.0, 0.4, 0.2, 0.2]
    assert values(optimizers.piecewise_constant([2, 5], [3.0, 2.0, 1.0]), 2, 3, 5, 6) == [3.0, 2.0, 2.0, 1.0]
    assert optimizers.make_schedule(abs) is abs
    assert values(optimizers.make_schedule(wnp.float32(0.5)), 3) == [0.5]


def test_norm_and_clipping() -> None:
    tree = {"a": wnp.array([3.0]), "b": wnp.array([[0.0, 4.0]])}
    assert float(optimizers.l2_norm(tree)) == 5.0
    clipped = optimizers.clip_grads(tree, 2.5)
    np.testing.assert_allclose(clipped["a"], [1.5])
    np.testing.assert_allclose(clipped["b"], [[0.0, 2.0]])
    assert optimizers.clip_grads(tree, 6.0)["b"].tolist() == [[0.0, 4.0]]


def test_a_state_can_be_unpacked_and_packed(parameters: Any) -> None:
    state = optimizers.adam(STEP).init_fn(parameters)
    unpacked = optimizers.unpack_optimizer_state(state)
    x, m, v = unpacked["b"][0].subtree
    np.testing.assert_array_equal(x, parameters["b"][0])
    assert not np.any(m)
    assert not np.any(v)
    packed = optimizers.pack_optimizer_state(unpacked)
    assert tree_util.tree_structure(packed) == tree_util.tree_structure(state)
    for a, b in zip(tree_util.tree_leaves(packed), tree_util.tree_leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_own_optimiser() -> None:
    @optimizers.optimizer
    def towards_zero(rate: float) -> Any:
        return lambda x: x, lambda i, g, x: x * rate, lambda x: x

    init, update, get_params = towards_zero(0.5)
    assert float(get_params(update(0, [1.0], init([wnp.float32(4.0)])))[0]) == 2.0


def test_what_is_wrong_is_said() -> None:
    init, update, _ = optimizers.sgd(STEP)
    with pytest.raises(
        TypeError, match=r"gradients of another: parameters .*, gradients .*; pass the gradient"
    ):
        update(0, [1.0, 2.0], init({"w": 1.0}))

    @optimizers.optimizer
    def growing() -> Any:
        return lambda x: x, lambda i, g, x: (x, x), lambda x: x

    init, update, _ = growing()
    with pytest.raises(TypeError, match="must return a state of the structure that it was given"):
        update(0, 1.0, init(1.0))
    with pytest.raises(TypeError, match="a number or a function of the step's number"):
        optimizers.make_schedule(wnp.ones(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one value more than boundaries"):
        optimizers.piecewise_constant([1, 2], [1.0, 2.0])
    with pytest.raises(ValueError, match="must be 1-D"):
        optimizers.piecewise_constant([[1]], [1.0, 2.0])
    with pytest.raises(TypeError, match="must be a JoinPoint"):
        optimizers.pack_optimizer_state({"w": 1.0})
