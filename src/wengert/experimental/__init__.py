"""What JAX offers under `jax.experimental`."""

from __future__ import annotations

from wengert.prims.callbacks import io_callback as io_callback
