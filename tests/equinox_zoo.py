"""A program written for JAX: what users of Equinox do, each part with numbers at its end.

It prints the results as JSON. ``python tests/equinox_zoo.py`` gives JAX's, ``python -m wengert.as_jax
tests/equinox_zoo.py`` Wengert's; the test compares with what JAX gave (tests/golden/equinox.json).
"""

from __future__ import annotations

import io
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

KEY = jr.key(0)
IMAGE = jr.normal(jr.key(1), (3, 8, 8))
SEQUENCE = jr.normal(jr.key(2), (6, 4))


def numbers(tree):
    leaves = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]
    return [float(f"{x:.7g}") for leaf in leaves for x in np.ravel(leaf)]


class Affine(eqx.Module):
    """A module of one's own, with a static field and a method."""

    weight: jax.Array
    bias: jax.Array
    power: int = eqx.field(static=True)

    def __init__(self, size, power, key):
        self.weight = jr.normal(key, (size, size))
        self.bias = jnp.zeros(size)
        self.power = power

    def __call__(self, x):
        return (self.weight @ x + self.bias) ** self.power


def modules():
    module = Affine(3, 2, KEY)
    changed = eqx.tree_at(lambda m: m.bias, module, jnp.ones(3))
    arrays, rest = eqx.partition(changed, eqx.is_array)
    again = eqx.combine(arrays, rest)
    frozen = False
    try:
        module.bias = jnp.ones(3)
    except AttributeError:
        frozen = True
    return [
        module(jnp.arange(3.0)),
        again(jnp.arange(3.0)),
        jnp.float32(frozen),
        jnp.float32(len(str(module))),
    ]


def gradients():
    module = Affine(3, 2, KEY)
    loss = lambda m, x: jnp.sum(jnp.sin(m(x)))  # noqa: E731
    value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))(module, jnp.arange(3.0))
    _, tangent = eqx.filter_jvp(lambda m: loss(m, jnp.arange(3.0)), (module,), (module,))
    hessian = eqx.filter_hessian(lambda b: loss(eqx.tree_at(lambda m: m.bias, module, b), jnp.ones(3)))
    return [value, gradient, tangent, hessian(module.bias)]


def training():
    """A perceptron that learns a function of two variables."""
    model = eqx.nn.MLP(2, 1, 16, 2, activation=jax.nn.gelu, key=KEY)
    x = jr.uniform(jr.key(3), (32, 2))
    y = jnp.sin(3 * x[:, :1]) * x[:, 1:]

    @eqx.filter_value_and_grad
    def loss(model):
        return jnp.mean((jax.vmap(model)(x) - y) ** 2)

    @eqx.filter_jit
    def step(model):
        value, gradient = loss(model)
        return eqx.apply_updates(model, jax.tree.map(lambda g: -0.1 * g, gradient)), value

    losses = []
    for _ in range(30):
        model, value = step(model)
        losses.append(value)
    return [losses[0], losses[-1], model.layers[-1]]


def layers():
    key = lambda n: jr.key(n)  # noqa: E731
    pixels = jnp.ravel(IMAGE)
    hidden = eqx.nn.GRUCell(4, 5, key=key(4))
    memory = eqx.nn.LSTMCell(4, 5, key=key(5))
    attention = eqx.nn.MultiheadAttention(2, 4, key=key(6))
    carry, _ = jax.lax.scan(lambda h, x: (hidden(x, h), None), jnp.zeros(5), SEQUENCE)
    cells, _ = jax.lax.scan(lambda h, x: (memory(x, h), None), (jnp.zeros(5), jnp.zeros(5)), SEQUENCE)
    return {
        "adaptive": eqx.nn.AdaptiveAvgPool2d(2)(IMAGE),
        "attention": attention(SEQUENCE, SEQUENCE, SEQUENCE),
        "conv": eqx.nn.Conv2d(3, 4, 3, stride=2, padding=1, key=key(7))(IMAGE),
        "conv transposed": eqx.nn.ConvTranspose2d(3, 2, 3, stride=2, key=key(8))(IMAGE),
        "dropout": eqx.nn.Dropout(0.4)(pixels, key=key(9)),
        "embedding": eqx.nn.Embedding(5, 3, key=key(10))(jnp.array(2)),
        "group norm": eqx.nn.GroupNorm(3, 3)(IMAGE),
        "gru": carry,
        "layer norm": eqx.nn.LayerNorm(4)(SEQUENCE[0]),
        "lstm": cells,
        "maximum": eqx.nn.MaxPool2d(2, 2)(IMAGE),
        "rms norm": eqx.nn.RMSNorm(4)(SEQUENCE[0]),
        "rotary": eqx.nn.RotaryPositionalEmbedding(4)(SEQUENCE),
        "sequential": eqx.nn.Sequential([eqx.nn.Linear(4, 3, key=key(11)), eqx.nn.Lambda(jnp.tanh)])(
            SEQUENCE[0]
        ),
        "spectral": spectral(),
        "prelu": eqx.nn.PReLU(0.3)(SEQUENCE[0]),
    }


def spectral():
    layer, state = eqx.nn.make_with_state(eqx.nn.SpectralNorm)(
        eqx.nn.Linear(4, 3, key=KEY), weight_name="weight", key=KEY
    )
    out, _ = layer(SEQUENCE[0], state)
    return out


def state():
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, axis_name="batch", mode="ema")
    images = jr.normal(jr.key(12), (5, 3, 2, 2))
    run = eqx.filter_jit(jax.vmap(norm, in_axes=(0, None), out_axes=(0, None), axis_name="batch"))
    out, state = run(images, state)
    out, state = run(2 * images, state)
    inference = eqx.nn.inference_mode(norm)
    after, _ = jax.vmap(inference, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(images, state)
    return [out, after]


def loops():
    loop = eqx.internal.while_loop

    def total(x, kind):
        kwargs = {"max_steps": 16} if kind != "lax" else {}
        _, y = loop(
            lambda c: c[0] < 5, lambda c: (c[0] + 1, jnp.sin(c[1]) + 1.0), (0, x), kind=kind, **kwargs
        )
        return jnp.sum(y)

    x = jnp.arange(3.0)
    return [
        total(x, "lax"),
        jax.grad(total)(x, "checkpointed"),
        jax.jit(jax.grad(total), static_argnums=1)(x, "bounded"),
    ]


def checks():
    @eqx.filter_jit
    def root(x):
        x = eqx.error_if(x, x < 0, "x must not be negative")
        return jnp.sqrt(x)

    caught = 0.0
    try:
        root(jnp.array(-1.0)).block_until_ready()
    except Exception as error:
        caught = float("x must not be negative" in str(error))
    return [root(jnp.array(4.0)), jnp.float32(caught)]


def wrappers():
    module = Affine(3, 1, KEY)
    ensemble = eqx.filter_vmap(lambda key: Affine(3, 1, key))(jr.split(KEY, 4))
    outs = eqx.filter_vmap(lambda m, x: m(x), in_axes=(eqx.if_array(0), None))(ensemble, jnp.arange(3.0))
    checkpointed = eqx.filter_grad(
        lambda m: jnp.sum(eqx.filter_checkpoint(lambda m, x: jnp.tanh(m(x)))(m, jnp.ones(3)))
    )
    shapes = eqx.filter_eval_shape(module, jnp.ones(3))
    program, _, _ = eqx.filter_make_jaxpr(lambda m, x: m(x))(module, jnp.ones(3))
    closed = eqx.filter_closure_convert(lambda x: module(x) * 2, jnp.ones(3))

    @eqx.filter_custom_vjp
    def clipped(x, limit):
        return x

    @clipped.def_fwd
    def _(perturbed, x, limit):
        return x, None

    @clipped.def_bwd
    def _(residuals, ct, perturbed, x, limit):
        return jnp.clip(ct, -limit, limit)

    gradient = jax.grad(lambda x: jnp.sum(clipped(x, 0.5) ** 2))(jnp.array([0.1, 2.0, -2.0]))
    called = eqx.filter_pure_callback(
        lambda x: np.sort(np.asarray(x)), jnp.array([3.0, 1.0, 2.0]), result_shape_dtypes=jnp.zeros(3)
    )
    sizes = [jnp.float32(shapes.shape[0]), jnp.float32(len(program.eqns) > 0)]
    return [outs, checkpointed(module), *sizes, closed(jnp.ones(3)), gradient, called]


def files():
    """What was written is read again."""
    module, other = Affine(3, 2, KEY), Affine(3, 2, jr.key(5))
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, module)
    buffer.seek(0)
    again = eqx.tree_deserialise_leaves(buffer, other)
    return [again, jnp.float32(eqx.tree_equal(module, again)), jnp.float32(eqx.tree_equal(module, other))]


if __name__ == "__main__":
    parts = [modules, gradients, training, layers, state, loops, checks, wrappers, files]
    results = {part.__name__: numbers(part()) for part in parts}
    print(
        "{"
        + ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in results.items())
        + "}"
    )
