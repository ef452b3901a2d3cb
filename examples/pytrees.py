"""Pytrees: dicts, lists, tuples and classes of one's own pass through every transformation as they are."""

from collections import namedtuple
from dataclasses import dataclass

import wengert.numpy as jnp
from wengert import grad, random, tree, tree_util

model = {"weights": [jnp.ones((2, 3)), jnp.ones(3)], "bias": 0.0, "name": None}
leaves, structure = tree.flatten(model)
print("leaves:   ", [jnp.shape(leaf) for leaf in leaves])
print("structure:", structure)
print("paths:    ", [tree_util.keystr(path) for path, _ in tree.leaves_with_path(model)])
print("numbers in it:", sum(jnp.size(leaf) for leaf in leaves))

Line = namedtuple("Line", ["slope", "offset"])


def misfit(line, x, y):
    return jnp.mean((line.slope * x + line.offset - y) ** 2)


x = jnp.linspace(-1, 1, 50)
y = 2 * x + 10 + 0.3 * random.normal(random.key(0), (50,))
line = Line(1.0, 0.0)
for _ in range(100):
    gradient = grad(misfit)(line, x, y)  # a Line as well
    line = tree.map(lambda value, slope: value - 0.1 * slope, line, gradient)
print(f"\nA line through noisy points: slope {line.slope:.2f}, offset {line.offset:.2f}")


@tree_util.register_dataclass
@dataclass
class Spring:
    stiffness: float
    length: float
    material: str = tree.static(default="steel")


def energy(spring, extension):
    return 0.5 * spring.stiffness * (extension - spring.length) ** 2


print("The gradient over a class of one's own:", grad(energy)(Spring(3.0, 1.0), 2.0))

try:
    tree.map(jnp.add, {"a": 1, "b": (2, 3)}, {"a": 1, "b": [2, 3]})
except ValueError as error:
    print("\nTrees that don't match:", str(error).splitlines()[0])
