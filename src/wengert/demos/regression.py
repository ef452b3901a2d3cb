"""``wengert demo regression``: gradient descent over a pytree of parameters.

Small neural networks are fitted to noisy measurements of a curve. The parameters of a network are a list of dicts of
arrays; ``grad`` takes and gives such trees as they are, ``vmap`` trains several networks at once, each from another
start, and ``jit`` with ``lax.scan`` compiles the whole descent. Where there are no measurements the networks go
different ways: how far they spread says where not to trust them (B. Lakshminarayanan et al., Simple and scalable
predictive uncertainty estimation using deep ensembles, NeurIPS 2017).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import wengert
import wengert.numpy as wnp
from wengert import lax, nn, random, tree, tree_util
from wengert._lazy import lazy_module
from wengert.demos.common import STYLE, positive, require_packages, save, writable

matplotlib = lazy_module("matplotlib")
figure = lazy_module("matplotlib.figure")
tqdm = lazy_module("tqdm")

SUMMARY = "fit small neural networks to noisy measurements by gradient descent over a tree of parameters"
LAYERS = (1, 32, 32, 1)
NETWORKS = 8
NOISE = 0.08  # standard deviation of the measurements
GAP = (0.1, 0.55)  # no measurements here
MOMENTUM = 0.9
CHUNKS = 20  # the descent is cut into so many compiled calls, for the progress bar and the pictures

Array = Any
Parameters = Any


def truth(x: Array, xp: Any = wnp) -> Array:
    """The curve that is measured: a decaying oscillation, for x from -1 to 1."""
    return xp.sin(6.0 * x) * xp.exp(-0.6 * x)


def measure(count: int, seed: int) -> tuple[Array, Array]:
    """Places, float32 (count, 1), sorted and outside of the gap, and the noisy values there, of the same shape."""
    rng = np.random.default_rng(seed)
    left, right = GAP[0] + 1.0, 1.0 - GAP[1]
    x = rng.uniform(0.0, left + right, count)
    x = np.sort(np.where(x < left, x - 1.0, x - left + GAP[1]))
    y = truth(x, np) + NOISE * rng.normal(size=count)
    return x.astype(np.float32)[:, None], y.astype(np.float32)[:, None]


def initialise(key: Array) -> Parameters:
    """The parameters of one network: for each layer weights (in, out) and a bias (out,)."""
    layers = []
    for n, m in itertools.pairwise(LAYERS):
        key, for_weights, for_bias = random.split(key, 3)
        bound = 6.0 if n == 1 else 1.5
        weights = bound * random.normal(for_weights, (n, m)) / n**0.5
        layers.append(
            {"weights": weights, "bias": random.uniform(for_bias, (m,), minval=-bound, maxval=bound)}
        )
    return layers


def predict(parameters: Parameters, x: Array) -> Array:
    """The network's values at places of shape (points, 1), of the same shape."""
    *hidden, last = parameters
    for layer in hidden:
        x = nn.tanh(x @ layer["weights"] + layer["bias"])
    return x @ last["weights"] + last["bias"]


def loss(parameters: Parameters, x: Array, y: Array) -> Array:
    """The mean squared error."""
    return wnp.mean((predict(parameters, x) - y) ** 2)


def descend(state: Any, x: Array, y: Array, rate: float, steps: int) -> tuple[Any, Array]:
    """Gradient descent with momentum: (parameters, velocities) after ``steps``, and the loss before each step."""

    def step(state: Any, _: None) -> tuple[Any, Array]:
        parameters, velocities = state
        value, gradient = wengert.value_and_grad(loss)(parameters, x, y)
        velocities = tree.map(lambda v, g: MOMENTUM * v - rate * g, velocities, gradient)
        return (tree.map(wnp.add, parameters, velocities), velocities), value

    return lax.scan(step, state, None, length=steps)


class Fit(NamedTuple):
    """What the descent found. One row for each network."""

    x: Array  # the measurements, (count, 1)
    y: Array
    grid: Array  # where the curves are drawn, (points, 1)
    start: Array  # the networks' curves before the descent, (networks, points)
    end: Array  # ... and after it
    losses: Array  # (networks, steps)
    parameters: Parameters  # as `initialise` gives them, with the networks as first axis of each array


def fit(count: int, steps: int, rate: float, seed: int, report: Callable[[int, float], None]) -> Fit:
    """Train all networks on the same measurements. ``report(steps, loss)`` is called after each part of the way."""
    x, y = measure(count, seed)
    parameters = wengert.vmap(initialise)(random.split(random.key(seed), NETWORKS))
    grid = np.linspace(-1.0, 1.0, 401, dtype=np.float32)[:, None]
    curves = wengert.jit(wengert.vmap(predict, in_axes=(0, None)))
    advance = wengert.jit(wengert.vmap(descend, in_axes=(0, None, None, None, None)), static_argnums=4)

    start = np.asarray(curves(parameters, grid)[..., 0])
    state, losses = (parameters, tree.map(wnp.zeros_like, parameters)), []
    for part in np.array_split(np.arange(steps), min(CHUNKS, steps)):
        state, values = advance(state, x, y, rate, len(part))
        losses.append(np.asarray(values))
        report(len(part), float(losses[-1][:, -1].mean()))
    end = np.asarray(curves(state[0], grid)[..., 0])
    return Fit(x, y, grid, start, end, np.concatenate(losses, axis=1), state[0])


def draw(found: Fit, path: Path) -> Path:
    """The measurements, the networks before and after, and the loss, as a PNG file."""
    grid, purple, orange = found.grid[:, 0], "#5b3fa0", "#d9722b"
    with matplotlib.rc_context(STYLE):
        picture = figure.Figure(figsize=(11.5, 4.6), layout="constrained")
        left, right = picture.subplots(1, 2, width_ratios=(1.7, 1))
        left.axvspan(*GAP, color="0.94", lw=0)
        left.text(sum(GAP) / 2, -3.2, "no\nmeasurements", ha="center", color="0.45", fontsize=9.5)
        left.plot(grid, found.start.T, color="0.75", lw=0.8, label=_first("before", len(found.start)))
        left.plot(grid, truth(grid, np), color="black", lw=1.2, ls=(0, (5, 3)), label="the true curve")
        mean, spread = found.end.mean(axis=0), found.end.std(axis=0)
        band = {"color": purple, "alpha": 0.22, "lw": 0}
        left.fill_between(
            grid, mean - 2 * spread, mean + 2 * spread, label="two standard deviations of them", **band
        )
        left.plot(grid, mean, color=purple, lw=2, label=f"mean of the {len(found.end)} networks")
        left.plot(
            found.x[:, 0], found.y[:, 0], "o", color=orange, ms=4, mec="white", mew=0.5, label="measurements"
        )
        left.set(
            xlabel="x", ylabel="y", xlim=(-1, 1), ylim=(-3.4, 5.6), title="Before and after gradient descent"
        )
        left.legend(loc="upper left", ncols=2, frameon=False, fontsize=9.5)
        steps = np.arange(1, found.losses.shape[1] + 1)
        right.loglog(steps, found.losses.T, color=purple, alpha=0.35, lw=0.9)
        right.loglog(steps, found.losses.mean(axis=0), color=purple, lw=2, label="mean of the networks")
        right.axhline(NOISE**2, color=orange, ls=(0, (5, 3)), lw=1.2, label="variance of the noise")
        right.set(xlabel="step", ylabel="mean squared error", title="The loss")
        right.legend(loc="upper right", frameon=False, fontsize=9.5)
        return save(picture, path)


def _first(label: str, count: int) -> list[str]:
    """A label for the first of several lines."""
    return [label, *["_"] * (count - 1)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the demonstration."""
    parser.description = f"{SUMMARY[0].upper()}{SUMMARY[1:]}."
    count, number = positive(int), positive(float)
    parser.add_argument("--points", type=count, default=60, metavar="N", help="measurements (60)")
    parser.add_argument("--steps", type=count, default=6000, metavar="N", help="steps of the descent (6000)")
    parser.add_argument("--rate", type=number, default=0.01, metavar="R", help="size of a step (0.01)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of noise and starts (0)")
    folder = Path("regression-demo")
    parser.add_argument(
        "--output", type=Path, default=folder, metavar="FOLDER", help=f"where the picture goes ({folder})"
    )
    parser.add_argument("--quiet", action="store_true", help="print only where the picture is")


def run(options: argparse.Namespace) -> int:
    """The whole demonstration. Returns the exit code."""
    began = time.perf_counter()
    require_packages()
    folder = writable(options.output)
    say = (lambda *_: None) if options.quiet else print
    say(
        f"Wengert {wengert.__version__}: {NETWORKS} networks, {options.points} measurements, {options.steps} steps"
    )
    say("The parameters of one network, and so the gradient by them:")
    say("\n".join(f"  {place}  {leaf}" for place, leaf in describe(random.key(options.seed))))
    with tqdm.tqdm(total=options.steps, desc="  descending", disable=options.quiet, unit=" steps") as bar:

        def report(steps: int, value: float) -> None:
            bar.set_postfix_str(f"loss {value:.4f}", refresh=False)
            bar.update(steps)

        found = fit(options.points, options.steps, options.rate, options.seed, report)
    first, last = found.losses[:, 0].mean(), found.losses[:, -1].mean()
    say(f"The loss went from {first:.3f} to {last:.4f}; the variance of the noise is {NOISE**2:.4f}.")
    path = draw(found, folder / "regression.png")
    say(f"Picture, after {time.perf_counter() - began:.0f} s in all:")
    print(f"  {path}")
    return 0


def describe(key: Array) -> list[tuple[str, str]]:
    """The path, and the dtype and shape, of each array of a network's parameters."""
    found = tree.leaves_with_path(wengert.eval_shape(initialise, key))
    width = max(len(tree_util.keystr(path)) for path, _ in found)
    return [(tree_util.keystr(path).ljust(width), f"{leaf.dtype} {leaf.shape}") for path, leaf in found]
