"""A program written for JAX: every optimiser, schedule and loss that Optax exports, on a small problem.

It prints the results as JSON. ``python tests/optax_zoo.py`` gives JAX's, ``python -m wengert.as_jax
tests/optax_zoo.py`` Wengert's; the test compares with what JAX gave (tests/golden/optax.json).
"""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS = 4
RNG = np.random.default_rng(7)
INPUTS = jnp.asarray(RNG.normal(size=(12, 3)), jnp.float32)
TARGETS = jnp.asarray(np.tanh(RNG.normal(size=(12, 2))), jnp.float32)
PARAMETERS = {
    "weights": jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32),
    "bias": jnp.asarray([0.3, -0.2], jnp.float32),
}

# What differs from `optimiser(learning_rate)`: other arguments, by name.
RATE = {"learning_rate": 0.05}
ARGUMENTS = {
    "adafactor": {"learning_rate": 0.05, "min_dim_size_to_factor": 2},
    "fromage": RATE,
    "lbfgs": {},
    "noisy_sgd": {"learning_rate": 0.05, "eta": 0.01, "key": 3},
    "polyak_sgd": {"max_learning_rate": 0.2},
}
CONTRIB = {
    "acprop": RATE,
    "ademamix": RATE,
    "adopt": RATE,
    "cocob": {"learning_rate": 1.0},
    "dadapt_adamw": {"learning_rate": 1.0},
    "dog": {"learning_rate": 1.0},
    "dowg": {"learning_rate": 1.0},
    "galore": {"learning_rate": 0.05, "rank": 1},
    "madgrad": RATE,
    "momo": {"learning_rate": 0.2},
    "momo_adam": {"learning_rate": 0.1},
    "muon": RATE,
    "prodigy": {"learning_rate": 1.0},
    "schedule_free_adamw": RATE,
    "schedule_free_sgd": RATE,
    "simplified_ademamix": RATE,
}
OPTIMISERS = [
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "adan",
    "amsgrad",
    "fromage",
    "lamb",
    "lars",
    "lbfgs",
    "lion",
    "nadam",
    "nadamw",
    "noisy_sgd",
    "novograd",
    "optimistic_adam",
    "optimistic_adam_v2",
    "optimistic_gradient_descent",
    "polyak_sgd",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sign_sgd",
    "signum",
    "sm3",
    "yogi",
]
SCHEDULES = {
    "constant_schedule": (0.1,),
    "cosine_decay_schedule": (0.1, 20),
    "cosine_onecycle_schedule": (20, 0.3),
    "exponential_decay": (0.1, 5, 0.7),
    "linear_onecycle_schedule": (20, 0.3),
    "linear_schedule": (0.1, 0.01, 15),
    "piecewise_constant_schedule": (0.1, {4: 0.5, 11: 0.1}),
    "piecewise_interpolate_schedule": ("cosine", 0.1, {4: 0.5, 11: 0.1}),
    "polynomial_schedule": (0.1, 0.01, 2.0, 12),
    "sgdr_schedule": ([{"init_value": 0.0, "peak_value": 0.1, "decay_steps": 8, "warmup_steps": 2}] * 2,),
    "warmup_constant_schedule": (0.0, 0.1, 6),
    "warmup_cosine_decay_schedule": (0.0, 0.1, 4, 16),
    "warmup_exponential_decay_schedule": (0.0, 0.1, 4, 6, 0.6),
}


def loss(parameters):
    return jnp.mean((jnp.tanh(INPUTS @ parameters["weights"] + parameters["bias"]) - TARGETS) ** 2)


def train(optimizer, extra=("value", "grad", "value_fn")):
    """The parameters after a few steps; `extra` is what the optimiser takes beside the gradient."""
    optimizer = optax.with_extra_args_support(optimizer)

    @jax.jit
    def step(parameters, state):
        value, gradient = jax.value_and_grad(loss)(parameters)
        known = {"value": value, "grad": gradient, "value_fn": loss, "obj_fn": loss}
        updates, state = optimizer.update(
            gradient, state, parameters, **{name: known[name] for name in extra}
        )
        return optax.apply_updates(parameters, updates), state

    parameters, state = PARAMETERS, jax.jit(optimizer.init)(PARAMETERS)
    for _ in range(STEPS):
        parameters, state = step(parameters, state)
    return parameters


def private():
    """The parameters after a few steps with clipped and noisy gradients of each example."""
    optimizer = optax.contrib.dpsgd(0.1, l2_norm_clip=0.5, noise_multiplier=0.1, seed=5)
    parameters, state = PARAMETERS, optimizer.init(PARAMETERS)

    def of_one(parameters, x, y):
        return jnp.mean((jnp.tanh(x @ parameters["weights"] + parameters["bias"]) - y) ** 2)

    for _ in range(STEPS):
        gradients = jax.vmap(jax.grad(of_one), in_axes=(None, 0, 0))(parameters, INPUTS, TARGETS)
        updates, state = optimizer.update(gradients, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return parameters


def flat(tree):
    return [float(f"{x:.7g}") for leaf in jax.tree.leaves(tree) for x in np.ravel(leaf)]


def optimisers():
    found = {name: train(getattr(optax, name)(**ARGUMENTS.get(name, RATE))) for name in OPTIMISERS}
    for name, arguments in CONTRIB.items():
        found[f"contrib.{name}"] = train(getattr(optax.contrib, name)(**arguments))
    found["contrib.sophia"] = train(optax.contrib.sophia(**RATE), ("obj_fn",))
    found["contrib.dpsgd"] = private()
    sam = optax.contrib.sam(optax.sgd(0.05), optax.sgd(0.02), sync_period=2)
    found["contrib.sam"] = train(sam, ())
    found["contrib.mechanize"] = train(optax.contrib.mechanize(optax.sgd(0.1)))
    found["contrib.reduce_on_plateau"] = train(
        optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1, factor=0.5))
    )
    return found


def combinations():
    """Optimisers made of others."""
    decayed = optax.add_decayed_weights(0.01, mask={"weights": True, "bias": False})
    by_label = optax.partition({"a": optax.adam(0.1), "b": optax.sgd(0.1)}, {"weights": "a", "bias": "b"})
    clipped = optax.chain(optax.clip_by_global_norm(0.1), optax.zero_nans(), decayed, optax.trace(0.9))
    scheduled = optax.inject_hyperparams(optax.adam)(learning_rate=optax.linear_schedule(0.1, 0.0, 5))
    return {
        "backtracking": train(optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(8))),
        "clipped": train(optax.chain(clipped, optax.scale(-0.1))),
        "ema": train(optax.chain(optax.ema(0.8), optax.centralize(), optax.scale(-0.1))),
        "finite": train(optax.apply_if_finite(optax.adam(0.1), 3)),
        "flattened": train(optax.flatten(optax.adam(0.1))),
        "lookahead": train_fast_and_slow(optax.lookahead(optax.sgd(0.1), 2, 0.5)),
        "masked": train(optax.masked(optax.adam(0.1), {"weights": True, "bias": False})),
        "multisteps": train(optax.MultiSteps(optax.adam(0.1), 2).gradient_transformation()),
        "noise": train(optax.chain(optax.add_noise(0.01, 0.5, 5), optax.sgd(0.1))),
        "partitioned": train(by_label),
        "scheduled": train(scheduled),
    }


def train_fast_and_slow(optimizer):
    parameters = optax.LookaheadParams.init_synced(PARAMETERS)
    state = optimizer.init(parameters)
    for _ in range(STEPS):
        gradient = jax.grad(loss)(parameters.fast)
        updates, state = optimizer.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return parameters.slow


def schedules():
    found = {}
    for name, arguments in SCHEDULES.items():
        schedule = getattr(optax, name)(*arguments)
        found[name] = jax.vmap(schedule)(jnp.arange(18))
    joined = optax.join_schedules([optax.constant_schedule(0.1), optax.linear_schedule(0.1, 0.0, 5)], [6])
    found["join_schedules"] = jax.vmap(joined)(jnp.arange(18))
    return found


def losses():
    logits, labels = INPUTS, jax.nn.softmax(INPUTS[::-1])
    classes = jnp.arange(12) % 3
    signs = jnp.sign(INPUTS[::-1])
    padding = jnp.zeros((2, 6))
    sequence = jnp.reshape(INPUTS, (2, 6, 3))
    log_p = jax.nn.log_softmax(logits)
    calls = {
        "cosine_distance": (logits, labels),
        "cosine_similarity": (logits, labels),
        "ctc_loss": (sequence, padding, jnp.array([[1, 2], [2, 1]]), jnp.zeros((2, 2))),
        "generalized_kl_divergence": (log_p, labels),
        "hinge_loss": (logits, signs),
        "huber_loss": (logits, labels),
        "kl_divergence": (log_p, labels),
        "l2_loss": (logits, labels),
        "log_cosh": (logits, labels),
        "ntxent": (logits, classes),
        "safe_softmax_cross_entropy": (logits, labels),
        "sigmoid_binary_cross_entropy": (logits, labels),
        "sigmoid_focal_loss": (logits, labels),
        "smooth_labels": (labels, 0.1),
        "softmax_cross_entropy": (logits, labels),
        "softmax_cross_entropy_with_integer_labels": (logits, classes),
        "squared_error": (logits, labels),
    }
    found = {}
    for name, (first, *rest) in calls.items():
        value = lambda x, rest=rest, name=name: jnp.sum(getattr(optax, name)(x, *rest))  # noqa: E731
        found[name] = jax.jit(jax.value_and_grad(value))(first)
    return found


if __name__ == "__main__":
    parts = {"optimisers": optimisers, "combinations": combinations, "schedules": schedules, "losses": losses}
    results = {f"{part}: {name}": flat(x) for part, run in parts.items() for name, x in run().items()}
    print(
        "{"
        + ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in results.items())
        + "}"
    )
