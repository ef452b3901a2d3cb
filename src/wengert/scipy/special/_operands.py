"""How the arguments of special functions become operands."""

from __future__ import annotations

from typing import Any

from wengert.numpy._util import promote_inexact


def reals(name: str, *args: Any) -> list[Any]:
    """The arguments as floats of one dtype and shape; scalars stay scalars.

    Raises:
      ValueError: one is complex.
    """
    found = promote_inexact(name, *args)
    if found[0].dtype.kind == "c":
        raise ValueError(
            f"{name} does not support complex-valued inputs. Take the part that is meant, with x.real or abs(x)."
        )
    return found
