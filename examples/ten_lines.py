"""Ten lines of Wengert: a function, compiled, differentiated, and applied to a batch.

python examples/ten_lines.py
"""

import wengert
import wengert.numpy as wnp


def energy(x):
    return wnp.sum(x + x * x + x * x * x)


x = wnp.arange(4.0)
batch = wnp.stack([x, -x])
print("compiled:      ", wengert.jit(energy)(x))
print("its gradient:  ", wengert.grad(energy)(x))
print("a batch:       ", wengert.vmap(energy)(batch))
print("all three:     ", wengert.jit(wengert.vmap(wengert.grad(energy)))(batch))
print("what jit sees: ", wengert.make_jaxpr(energy)(x))
