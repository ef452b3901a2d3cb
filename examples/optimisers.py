"""The optimisers of the unmodified optax, over Wengert: ``python -m wengert.as_jax examples/optimisers.py``.

Four of them look for the lowest point of a long, bent valley (Rosenbrock's function).
"""

import jax
import jax.numpy as jnp
import optax


def valley(p):
    return (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2


def search(optimiser, steps=2000):
    start = {"x": jnp.array(-1.0), "y": jnp.array(1.5)}

    def step(carry, _):
        p, state = carry
        value, gradient = jax.value_and_grad(valley)(p)
        updates, state = optimiser.update(gradient, state, p)
        return (optax.apply_updates(p, updates), state), value

    (p, _), values = jax.lax.scan(step, (start, optimiser.init(start)), None, length=steps)
    return p, values


optimisers = {
    "sgd": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(2e-3)),
    "momentum": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(2e-3, momentum=0.9)),
    "adam": optax.adam(2e-2),
    "adam, cosine decay": optax.adam(optax.cosine_decay_schedule(5e-2, 2000)),
}
for name, optimiser in optimisers.items():
    p, values = jax.jit(lambda o=optimiser: search(o))()
    print(f"{name:20} x = {p['x']:.4f}, y = {p['y']:.4f}, height {values[0]:.1f} -> {values[-1]:.6f}")
