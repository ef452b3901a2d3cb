"""Optimisers for pytrees of arrays, with the names and formulas of ``jax.example_libraries.optimizers``.

An optimiser is three functions::

    init, update, get_params = adam(1e-3)
    state = init(params)
    for i in range(100):
        state = update(i, grad(loss)(get_params(state)), state)

``state`` is a pytree, so all three can be jitted and scanned over. Step sizes are numbers or schedules:
functions of the step's number, which may be traced.

To write another one, define ``init``, ``update`` and ``get_params`` for a single array and decorate their
maker with ``@optimizer``.
"""

from __future__ import annotations

import builtins
import functools
from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import wengert.numpy as jnp
from wengert import tree_util

Array = Any
Params = Any  # a pytree of arrays
State = Any  # what an optimiser keeps for one array: a pytree
Updates = Params
Step = int
Schedule = Callable[[Step], Any]
"""From the number of a step to its step size."""

OptimizerState = namedtuple("OptimizerState", ["packed_state", "tree_def", "subtree_defs"])
tree_util.register_pytree_node(
    OptimizerState,
    lambda state: ((state.packed_state,), (state.tree_def, state.subtree_defs)),
    lambda trees, children: OptimizerState(*children, *trees),
)

InitFn = Callable[[Params], OptimizerState]
"""From parameters to the first state of an optimiser."""
UpdateFn = Callable[[Step, Updates, OptimizerState], OptimizerState]
"""From the number of the step, a gradient and a state to the next state."""
ParamsFn = Callable[[OptimizerState], Params]
"""From a state to the parameters."""


class Optimizer(NamedTuple):
    """The three functions of an optimiser."""

    init_fn: InitFn
    update_fn: UpdateFn
    params_fn: ParamsFn


def safe_zip(*args: Iterable[Any]) -> list[tuple[Any, ...]]:
    """``zip`` as a list, for sequences of the same length. ValueError where the lengths differ."""
    return list(builtins.zip(*args, strict=True))


def safe_map(f: Callable[..., Any], *args: Iterable[Any]) -> list[Any]:
    """``map`` as a list, for sequences of the same length. ValueError where the lengths differ."""
    return [f(*each) for each in safe_zip(*args)]


map, zip = safe_map, safe_zip


def unzip2(xys: Iterable[tuple[Any, Any]]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The first and the second parts of pairs."""
    pairs = tuple(xys)
    return tuple(x for x, _ in pairs), tuple(y for _, y in pairs)


def optimizer(opt_maker: Callable[..., Any]) -> Callable[..., Optimizer]:
    """Make an optimiser of single arrays work on pytrees of them.

    ``opt_maker(...)`` returns ``init(x)``, ``update(i, gradient, state)`` and ``get_params(state)`` for one
    array.
    """

    @functools.wraps(opt_maker)
    def tree_opt_maker(*args: Any, **kwargs: Any) -> Optimizer:
        init, update, get_params = opt_maker(*args, **kwargs)

        @functools.wraps(init)
        def tree_init(x0_tree: Params) -> OptimizerState:
            leaves, tree = tree_util.tree_flatten(x0_tree)
            packed, subtrees = unzip2(tree_util.tree_flatten(init(leaf)) for leaf in leaves)
            return OptimizerState(packed, tree, subtrees)

        @functools.wraps(update)
        def tree_update(i: Step, grad_tree: Updates, opt_state: OptimizerState) -> OptimizerState:
            packed, tree, subtrees = opt_state
            gradients, grad_def = tree_util.tree_flatten(grad_tree)
            if grad_def != tree:
                raise TypeError(
                    "the optimiser was started with parameters of one structure and is now given gradients "
                    f"of another: parameters {tree}, gradients {grad_def}; pass the gradient with respect "
                    "to the parameters that init was given"
                )
            states = map(tree_util.tree_unflatten, subtrees, packed)
            new = [update(i, gradient, state) for gradient, state in zip(gradients, states)]
            new_packed, new_subtrees = unzip2(tree_util.tree_flatten(state) for state in new)
            for before, after in zip(subtrees, new_subtrees):
                if before != after:
                    raise TypeError(
                        "the optimiser's update must return a state of the structure that it was given: "
                        f"it was given {before} and returned {after}"
                    )
            return OptimizerState(new_packed, tree, subtrees)

        @functools.wraps(get_params)
        def tree_get_params(opt_state: OptimizerState) -> Params:
            packed, tree, subtrees = opt_state
            states = map(tree_util.tree_unflatten, subtrees, packed)
            return tree_util.tree_unflatten(tree, [get_params(state) for state in states])

        return Optimizer(tree_init, tree_update, tree_get_params)

    return tree_opt_maker


@optimizer
def sgd(step_size: float | Schedule) -> Any:
    """Stochastic gradient descent."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        return x0

    def update(i: Step, g: Array, x: State) -> State:
        return x - step_size(i) * g

    def get_params(x: State) -> Array:
        return x

    return Optimizer(init, update, get_params)


@optimizer
def momentum(step_size: Schedule, mass: float) -> Any:
    """Gradient descent with momentum (Polyak 1964): the velocity keeps the part ``mass`` of itself a step."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        return x0, jnp.zeros_like(x0)

    def update(i: Step, g: Array, state: State) -> State:
        x, velocity = state
        velocity = mass * velocity + g
        return x - step_size(i) * velocity, velocity

    return init, update, first


@optimizer
def nesterov(step_size: Schedule, mass: float) -> Any:
    """Gradient descent with Nesterov's momentum (Sutskever et al. 2013)."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        return x0, jnp.zeros_like(x0)

    def update(i: Step, g: Array, state: State) -> State:
        x, velocity = state
        velocity = mass * velocity + g
        return x - step_size(i) * (mass * velocity + g), velocity

    return init, update, first


@optimizer
def adagrad(step_size: float | Schedule, momentum: float = 0.9) -> Any:
    """Adagrad (Duchi, Hazan, Singer 2011), with momentum."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        return x0, jnp.zeros_like(x0), jnp.zeros_like(x0)

    def update(i: Step, g: Array, state: State) -> State:
        x, g_sq, m = state
        g_sq = g_sq + jnp.square(g)
        m = (1.0 - momentum) * (g * inverse_sqrt(g_sq)) + momentum * m
        return x - step_size(i) * m, g_sq, m

    return init, update, first


@optimizer
def rmsprop(step_size: float | Schedule, gamma: float = 0.9, eps: float = 1e-8) -> Any:
    """RMSProp (Hinton's lectures 2012): steps scaled by a running average of squared gradients."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        return x0, jnp.zeros_like(x0)

    def update(i: Step, g: Array, state: State) -> State:
        x, avg_sq_grad = state
        avg_sq_grad = avg_sq_grad * gamma + jnp.square(g) * (1.0 - gamma)
        return x - step_size(i) * g / jnp.sqrt(avg_sq_grad + eps), avg_sq_grad

    return init, update, first


@optimizer
def rmsprop_momentum(
    step_size: float | Schedule, gamma: float = 0.9, eps: float = 1e-8, momentum: float = 0.9
) -> Any:
    """RMSProp with momentum."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        return x0, jnp.zeros_like(x0), jnp.zeros_like(x0)

    def update(i: Step, g: Array, state: State) -> State:
        x, avg_sq_grad, mom = state
        avg_sq_grad = avg_sq_grad * gamma + jnp.square(g) * (1.0 - gamma)
        mom = momentum * mom + step_size(i) * g / jnp.sqrt(avg_sq_grad + eps)
        return x - mom, avg_sq_grad, mom

    return init, update, first


@optimizer
def adam(step_size: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Any:
    """Adam (Kingma and Ba 2015, algorithm 1); ``i`` counts from 0."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        return x0, jnp.zeros_like(x0), jnp.zeros_like(x0)

    def update(i: Step, g: Array, state: State) -> State:
        x, m, v = state
        m = (1 - b1) * g + b1 * m
        v = (1 - b2) * jnp.square(g) + b2 * v
        mhat = m / (1 - jnp.asarray(b1, m.dtype) ** (i + 1))
        vhat = v / (1 - jnp.asarray(b2, m.dtype) ** (i + 1))
        return x - step_size(i) * mhat / (jnp.sqrt(vhat) + eps), m, v

    return init, update, first


@optimizer
def adamax(step_size: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Any:
    """AdaMax (Kingma and Ba 2015, algorithm 2): Adam with the largest gradient for the mean square."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        return x0, jnp.zeros_like(x0), jnp.zeros_like(x0)

    def update(i: Step, g: Array, state: State) -> State:
        x, m, u = state
        m = (1 - b1) * g + b1 * m
        u = jnp.maximum(b2 * u, jnp.abs(g))
        scale = step_size(i) / (1 - jnp.asarray(b1, m.dtype) ** (i + 1))
        return x - scale * m / (u + eps), m, u

    return init, update, first


@optimizer
def sm3(step_size: float | Schedule, momentum: float = 0.9) -> Any:
    """SM3 (Anil et al. 2019): Adagrad that keeps one number for each row and column, not each parameter."""
    step_size = make_schedule(step_size)

    def init(x0: Array) -> State:
        shape = jnp.shape(x0) or (1,)
        return x0, jnp.zeros_like(x0), [jnp.zeros(n, dtype=jnp.result_type(x0)) for n in shape]

    def update(i: Step, g: Array, state: State) -> State:
        x, m, covers = state
        shape = jnp.shape(x)
        rank = len(covers)
        g = jnp.reshape(g, shape or (1,))
        along = [
            cover.reshape([-1 if k == axis else 1 for k in range(rank)]) for axis, cover in enumerate(covers)
        ]
        accumulated = functools.reduce(jnp.minimum, along) + jnp.square(g)
        m = (1.0 - momentum) * jnp.reshape(g * inverse_sqrt(accumulated), shape) + momentum * m
        covers = [accumulated.max(tuple(k for k in range(rank) if k != axis)) for axis in range(rank)]
        return x - step_size(i) * m, m, covers

    return init, update, first


def first(state: State) -> Array:
    """The parameters, in the states that begin with them."""
    return state[0]


def inverse_sqrt(x: Array) -> Array:
    """1 / sqrt(x), and 0 where x is 0."""
    return jnp.where(x > 0, 1.0 / jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


def constant(step_size: Any) -> Schedule:
    """The same step size at every step."""

    def schedule(i: Step) -> Any:
        return step_size

    return schedule


def exponential_decay(step_size: Any, decay_steps: Any, decay_rate: Any) -> Schedule:
    """``step_size * decay_rate ** (i / decay_steps)``"""

    def schedule(i: Step) -> Any:
        return step_size * decay_rate ** (i / decay_steps)

    return schedule


def inverse_time_decay(
    step_size: Any, decay_steps: Any, decay_rate: Any, staircase: bool = False
) -> Schedule:
    """``step_size / (1 + decay_rate * i / decay_steps)``; if ``staircase``, with that ratio rounded down."""

    def schedule(i: Step) -> Any:
        time = jnp.floor(i / decay_steps) if staircase else i / decay_steps
        return step_size / (1 + decay_rate * time)

    return schedule


def polynomial_decay(step_size: Any, decay_steps: Any, final_step_size: Any, power: Any = 1.0) -> Schedule:
    """From ``step_size`` to ``final_step_size`` in ``decay_steps`` steps, and constant from there."""

    def schedule(step_num: Step) -> Any:
        left = (1 - jnp.minimum(step_num, decay_steps) / decay_steps) ** power
        return left * (step_size - final_step_size) + final_step_size

    return schedule


def piecewise_constant(boundaries: Any, values: Any) -> Schedule:
    """``values[0]`` up to and with step ``boundaries[0]``, then ``values[1]``, and so on.

    ValueError unless both are 1-D and there is one value more than boundaries.
    """
    boundaries, values = jnp.array(boundaries), jnp.array(values)
    if not boundaries.ndim == values.ndim == 1:
        raise ValueError(
            f"boundaries and values must be 1-D; they have {boundaries.ndim} and {values.ndim} axes"
        )
    if boundaries.shape[0] != values.shape[0] - 1:
        raise ValueError(
            f"there must be one value more than boundaries; got {values.shape[0]} values, "
            f"{boundaries.shape[0]} boundaries"
        )

    def schedule(i: Step) -> Any:
        return values[jnp.sum(i > boundaries)]

    return schedule


def make_schedule(scalar_or_schedule: float | Schedule) -> Schedule:
    """The schedule itself, or the constant one for a number. TypeError for anything else."""
    if callable(scalar_or_schedule):
        return scalar_or_schedule
    if jnp.ndim(scalar_or_schedule) == 0:
        return constant(scalar_or_schedule)
    raise TypeError(
        "a step size must be a number or a function of the step's number; "
        f"got {type(scalar_or_schedule).__name__} of shape {jnp.shape(scalar_or_schedule)}"
    )


def l2_norm(tree: Any) -> Array:
    """The Euclidean norm of all numbers in a pytree together."""
    leaves = tree_util.tree_leaves(tree)
    return jnp.sqrt(sum(jnp.vdot(x, x) for x in leaves))


def clip_grads(grad_tree: Updates, max_norm: Any) -> Updates:
    """The gradients, scaled down together to a norm of ``max_norm`` where theirs is larger."""
    norm = l2_norm(grad_tree)
    return tree_util.tree_map(lambda g: jnp.where(norm < max_norm, g, g * (max_norm / norm)), grad_tree)


class JoinPoint:
    """Marks, in an unpacked state, where the state of one parameter begins. A leaf."""

    def __init__(self, subtree: Any) -> None:
        self.subtree = subtree

    def __iter__(self) -> Any:
        yield self.subtree


def unpack_optimizer_state(opt_state: OptimizerState) -> Any:
    """The state as a pytree of the parameters' structure with a ``JoinPoint`` for each, to be stored."""
    packed, tree, subtrees = opt_state
    states: Sequence[Any] = map(tree_util.tree_unflatten, subtrees, packed)
    return tree_util.tree_unflatten(tree, map(JoinPoint, states))


def pack_optimizer_state(marked_pytree: Any) -> OptimizerState:
    """The inverse of ``unpack_optimizer_state``."""
    marks, tree = tree_util.tree_flatten(marked_pytree)
    if not all(isinstance(mark, JoinPoint) for mark in marks):
        raise TypeError(
            "every leaf of an unpacked optimiser state must be a JoinPoint (see unpack_optimizer_state)"
        )
    packed, subtrees = unzip2(tree_util.tree_flatten(mark.subtree) for mark in marks)
    return OptimizerState(packed, tree, subtrees)
