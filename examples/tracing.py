"""What `jit` does: it runs the Python function once for each kind of argument, and compiles what it saw."""

import time

import wengert.numpy as jnp
from wengert import jit, make_jaxpr, random


@jit
def scaled(x, factor):
    print(f"    tracing with x = {x}, factor = {factor}")
    return x * factor + 1


print("The first call traces:")
print("   ", scaled(jnp.ones(2), 3.0))
print("The second one doesn't, and so prints nothing:")
print("   ", scaled(jnp.zeros(2), 5.0))
print("Another shape does:")
print("   ", scaled(jnp.ones(3), 3.0))
print("Another dtype as well:")
print("   ", scaled(jnp.ones(3, int), 3))


def polynomial(x):
    return x + x * x + x * x * x


print("\nWhat was seen is a jaxpr, the program without Python:")
print(make_jaxpr(polynomial)(1.0))

x = random.normal(random.key(0), (1000, 1000))
compiled = jit(polynomial)
compiled(x).block_until_ready()


def milliseconds(function):
    best = min(_once(function) for _ in range(5))
    return f"{best * 1e3:.2f} ms"


def _once(function):
    start = time.perf_counter()
    function(x).block_until_ready()
    return time.perf_counter() - start


print("One operation after the other, on a million numbers:", milliseconds(polynomial))
print("Compiled, in one pass over memory:                  ", milliseconds(compiled))
