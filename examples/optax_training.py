"""A program written for JAX and Optax: it fits a line in four dimensions with Adam and with gradient descent.

Nothing in it knows of Wengert. With Optax (pip install --no-deps optax==0.2.8; pip install absl-py),

python -m wengert.as_jax examples/optax_training.py

runs it on Wengert, and python examples/optax_training.py on JAX.
"""

import jax
import jax.numpy as jnp
import optax

TRUE_WEIGHTS = jnp.array([1.0, -2.0, 0.5, 3.0])
TRUE_BIAS = 0.7


def loss(parameters, inputs, targets):
    predictions = inputs @ parameters["weights"] + parameters["bias"]
    return jnp.mean(optax.l2_loss(predictions, targets))


def train(optimizer, inputs, targets, steps=300):
    """The fitted parameters and the loss before each step."""
    parameters = {"weights": jnp.zeros(4), "bias": jnp.zeros(())}
    state = optimizer.init(parameters)

    @jax.jit
    def step(parameters, state):
        value, gradient = jax.value_and_grad(loss)(parameters, inputs, targets)
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    losses = []
    for _ in range(steps):
        parameters, state, value = step(parameters, state)
        losses.append(float(value))
    return parameters, losses


def main():
    print(f"jax.numpy is {jnp.__name__}; optax {optax.__version__}")
    key_inputs, key_noise = jax.random.split(jax.random.key(0))
    inputs = jax.random.normal(key_inputs, (256, 4))
    targets = inputs @ TRUE_WEIGHTS + TRUE_BIAS + 0.01 * jax.random.normal(key_noise, (256,))
    optimizers = {
        "adam": optax.adam(optax.cosine_decay_schedule(0.1, 300)),
        "sgd": optax.sgd(0.1, momentum=0.9),
    }
    for name, optimizer in optimizers.items():
        parameters, losses = train(optimizer, inputs, targets)
        error = jnp.abs(parameters["weights"] - TRUE_WEIGHTS).max()
        print(f"{name:5} loss {losses[0]:.4f} to {losses[-1]:.6f}, largest error of a weight {error:.4f}")


if __name__ == "__main__":
    main()
