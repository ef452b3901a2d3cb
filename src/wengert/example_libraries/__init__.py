"""Small libraries that show how to write larger ones, under the names of ``jax.example_libraries``."""
