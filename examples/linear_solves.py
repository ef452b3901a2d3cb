"""Linear algebra that can be differentiated: solves, inverses, decompositions."""

import wengert.numpy as jnp
from wengert import grad, jit, vmap

A = jnp.array([[4.0, 1.0], [2.0, 3.0]])
b = jnp.array([1.0, 2.0])
x = jnp.linalg.solve(A, b)
print("A x = b has the solution", x, "; A x is", A @ x)


def first_unknown(A):
    return jnp.linalg.solve(A, b)[0]


slope = jit(grad(first_unknown))
print("\nHow the first unknown changes with each entry of A:\n", slope(A))
inverse = jnp.linalg.inv(A)
print("The formula -A⁻ᵀ e₁ xᵀ gives the same:\n", -jnp.outer(inverse[0], x))
print("and the derivative of that, summed:\n", grad(lambda A: slope(A).sum())(A))

print("\ndeterminant:", jnp.linalg.det(A), " its gradient is det(A) A⁻ᵀ:\n", grad(jnp.linalg.det)(A))
U, S, Vh = jnp.linalg.svd(A)
print("singular values:", S, " U S Vh is A again:", jnp.allclose(U * S @ Vh, A, atol=1e-5))
print("eigenvalues:", jnp.linalg.eigvals(A))
print("A A^T, which is symmetric:", jnp.linalg.eigh(A @ A.T).eigenvalues, "are the squares of", S)

right_sides = jnp.array([[1.0, 2.0], [0.0, 1.0], [5.0, 5.0]])
print("\nThree right sides at once:\n", vmap(lambda b: jnp.linalg.solve(A, b))(right_sides))
