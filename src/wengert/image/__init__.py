"""Images in other sizes: `wengert.image`, as `jax.image`. Any array is an image, whatever its axes are."""

from __future__ import annotations

from wengert.image.resizing import ResizeMethod, resize, scale_and_translate

__all__ = ["ResizeMethod", "resize", "scale_and_translate"]
