"""What is checked of every operation while it runs, where a setting asks for it.

With `debug_nans` and `debug_infs` the result of each operation is looked at. The results of compiled code are
looked at too; if there is something wrong with them, the program runs again, one operation at a time, so that
the error can name the operation and the user's line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.config import current
from wengert.core.source import SourceLine, user_context


def invalid(values: Sequence[Any]) -> str:
    """What the settings say is wrong with one of some NumPy arrays: "nan", "inf" or nothing."""
    settings = current()
    for value in values:
        dtype = value.dtype
        if dtype.kind not in "fc" and not (dtype.kind == "V" and dtype.name.startswith(("bfloat", "float"))):
            continue
        if settings.debug_nans and bool(np.isnan(value).any()):
            return "nan"
        if settings.debug_infs and bool(np.isinf(value).any()):
            return "inf"
    return ""


def check_results(name: str, values: Sequence[Any], line: SourceLine | None = None) -> None:
    """Raise FloatingPointError if a result of the operation `name`, at `line` or the running one, is invalid."""
    found = invalid(values)
    if found:
        error = FloatingPointError(f"invalid value ({found}) encountered in {name}")
        raise user_context(error, line)


def check_execution(name: str) -> None:
    """Raise RuntimeError if nothing is to be executed."""
    if current().no_execution:
        raise user_context(
            RuntimeError(
                f"tried to execute {name}, but the setting no_execution is on: only tracing is allowed"
            )
        )


def not_found(name: str, found: str) -> BaseException:
    """The error for a compiled program whose operations, run one by one, give nothing invalid."""
    return user_context(
        FloatingPointError(
            f"invalid value ({found}) encountered in jit({name}). Run one operation at a time it gives none: it"
            " was among the arguments, or compiled code rounds differently."
        )
    )
