"""A wave in a pool, and the pool's depth found again from the wave: a simulation that can be differentiated."""

import wengert.numpy as jnp
from wengert import jit, lax, value_and_grad

N, STEPS, DT = 48, 90, 0.5
row, column = jnp.mgrid[:N, :N]


def laplacian(u):
    p = jnp.pad(u, 1, mode="edge")
    return p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u


def forward(speed2):
    """The height of the water along one side, for each step; `speed2` is the wave speed squared everywhere."""
    start = jnp.exp(-((row - 24.0) ** 2 + (column - 8.0) ** 2) / 10)

    def step(carry, _):
        now, before = carry
        after = 2 * now - before + DT**2 * speed2 * laplacian(now)
        return (after, now), after[:, 40]

    return lax.scan(step, (start, start), None, length=STEPS)[1]


shoal = jnp.exp(-((row - 24.0) ** 2 + (column - 26.0) ** 2) / 60)
true_speed2 = 1 - 0.5 * shoal
seen = jit(forward)(true_speed2)


@jit
def misfit(height):
    return 1e3 * jnp.mean((forward(1 - height * shoal) - seen) ** 2)


print("The wave passes a shoal that slows it down. How high is the shoal? Guess, and follow the gradient:")
gradient = jit(value_and_grad(misfit))
heights = [0.3, 0.35]
slopes = [gradient(h)[1] for h in heights]
while len(heights) < 10 and abs(slopes[-1]) > 1e-5:
    (h0, h1), (s0, s1) = heights[-2:], slopes[-2:]
    heights.append(
        h1 - s1 * (h1 - h0) / (s1 - s0)
    )  # where the slope would be zero if it were a straight line
    value, slope = gradient(heights[-1])
    slopes.append(slope)
    print(f"    height {heights[-1]:.4f}: misfit {value:.7f}, slope {slope:+.5f}")
print(f"It was 0.5; found: {heights[-1]:.3f}")
