"""Arrays: they read as NumPy's, they never change, and `.at` makes changed copies."""

import numpy as np

import wengert.numpy as jnp

x = jnp.linspace(0.0, 2.0, 5)
print("an array of 32-bit floats:", repr(x))
print("NumPy makes 64-bit ones:  ", np.linspace(0.0, 2.0, 5).dtype)
print("sin² + cos² =", jnp.sin(x) ** 2 + jnp.cos(x) ** 2)

print("\nWriting into an array is refused:")
try:
    x[0] = 10.0
except TypeError as error:
    print("   ", error)

y = x.at[0].set(10.0)
print("x.at[0].set(10) is a new array: ", y)
print("and x is what it was:           ", x)
print("x.at[1:3].add(1):               ", x.at[1:3].add(1))
print("x.at[[0, 0]] adds twice:        ", x.at[jnp.array([0, 0])].add(1))
print("sort returns a sorted copy:     ", jnp.array([3, 1, 2]).sort())

print("\nAn index beyond the end takes the nearest element, unless a mode says otherwise:")
print("x[99]                           ", x[99])
print('x.at[99].get(mode="fill")       ', x.at[99].get(mode="fill"))
print('x.at[6].get(mode="wrap")        ', x.at[6].get(mode="wrap"))
print("x.at[99].set(0) changes nothing:", x.at[99].set(0))

print("\nA Python number takes on the dtype that it meets; two arrays meet at a dtype that holds both:")
for a, b in [
    (jnp.int8(1), 2),
    (jnp.int8(1), 2.5),
    (jnp.bfloat16(1), jnp.float16(1)),
    (jnp.uint8(1), jnp.int8(1)),
]:
    print(f"    {a.dtype.name:9} + {getattr(b, 'dtype', type(b).__name__)!s:8} -> {(a + b).dtype.name}")
