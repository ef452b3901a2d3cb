"""Random numbers without a hidden state: a key says what is drawn, and new keys are made of old ones."""

import wengert.numpy as jnp
from wengert import random, vmap

key = random.key(42)
print("one key, one result:", random.uniform(key), random.uniform(key))

first, second = random.split(key)
print("two keys, two results:", random.uniform(first), random.uniform(second))

print("\nA key for each step of a loop, by its number:")
for step in range(3):
    print("    step", step, random.normal(random.fold_in(key, step), (3,)))

keys = random.split(key, 4)
print("\nFour draws at once, one for each of four keys:", vmap(random.normal)(keys))

inside = jnp.sum(random.uniform(key, (200_000, 2)) ** 2, axis=1) < 1
print(f"\nπ by throwing 200,000 darts: {4 * jnp.mean(inside):.3f}")

dice = random.randint(key, (6000,), 1, 7)
print("How often a die shows 1 ... 6 in 6000 throws:", jnp.bincount(dice, length=7)[1:])
print("A deck, shuffled:", random.permutation(key, 12))
