"""Python's `if` and `for` run while tracing; `where`, `cond`, `scan` and `while_loop` run with the program."""

import wengert.numpy as jnp
from wengert import errors, jit, lax


@jit
def python_if(x):
    return x if x > 0 else 0.1 * x


print("An `if` on a traced value can't be decided while tracing:")
try:
    python_if(1.0)
except errors.TracerBoolConversionError as error:
    print("   ", str(error).splitlines()[0])


@jit
def with_where(x):
    return jnp.where(x > 0, x, 0.1 * x)


@jit
def with_cond(x):
    return lax.cond(jnp.sum(x) > 0, jnp.sort, jnp.flip, x)


x = jnp.array([-2.0, 1.0, 3.0])
print("where chooses element by element:", with_where(x))
print("cond runs one of two functions:  ", with_cond(x), with_cond(-x))


@jit
def newton_root(a):
    """The square root of `a`, by as many steps as it takes."""

    def too_far(guess):
        return jnp.abs(guess * guess - a) > 1e-6 * a

    return lax.while_loop(too_far, lambda guess: (guess + a / guess) / 2, a)


print("while_loop, as many steps as it takes:", newton_root(2.0), newton_root(1e4))


def compound(balance, rate):
    balance = balance * (1 + rate)
    return balance, balance


final, history = lax.scan(compound, 100.0, jnp.array([0.05, -0.02, 0.03]))
print("scan carries a value along and stacks what each step gives:", history, "and at last", final)

print("\nA mask makes an array whose size depends on values, so it works eagerly only:")
print("   ", x[x > 0])
try:
    jit(lambda x: x[x > 0])(x)
except errors.NonConcreteBooleanIndexError as error:
    print("   ", str(error).split(":")[0])
print("Under jit, keep the shape:", jit(lambda x: jnp.sum(x, where=x > 0))(x))
