"""What libraries over JAX import from its private modules, ``jax._src``: a few names, each with its meaning here."""
