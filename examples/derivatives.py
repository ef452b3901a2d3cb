"""Derivatives: gradients, second derivatives, Jacobians and Hessians, forwards and backwards."""

import wengert.numpy as jnp
from wengert import grad, hessian, jacfwd, jacrev, jvp, make_jaxpr, value_and_grad, vjp


def square(x):
    return x**2


print("grad makes a function of a function:", grad(square)(10.0), "; again:", grad(grad(square))(10.0))
print("Its program:")
print(make_jaxpr(grad(square))(10.0))


def cubed(x):
    return x**3


print("The second derivative of x³ at 2:", grad(grad(cubed))(2.0))
print("The first five of sin at 0:", end=" ")
f = jnp.sin
for _ in range(5):
    f = grad(f)
    print(f(0.0), end=" ")

x = jnp.arange(1.0, 4.0)


def energy(x):
    return jnp.sum(x**2) + x[0] * x[1]


print("\n\nvalue and gradient at once:", *value_and_grad(energy)(x))
print("Hessian:\n", hessian(energy)(x))


def polar(p):
    radius, angle = p
    return jnp.array([radius * jnp.cos(angle), radius * jnp.sin(angle)])


p = jnp.array([2.0, jnp.pi / 2])
print("Jacobian, by columns (forwards):\n", jnp.round(jacfwd(polar)(p), 3))
print("Jacobian, by rows (backwards): the same?", jnp.allclose(jacfwd(polar)(p), jacrev(polar)(p)))

value, pullback = vjp(energy, x)
print("vjp, a row times the Jacobian:", pullback(1.0)[0])
print("jvp, the Jacobian times a column:", jvp(energy, (x,), (jnp.ones(3),))[1])
