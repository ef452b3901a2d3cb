"""Which frames are left out of tracebacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import wengert

_PACKAGE = str(Path(wengert.__file__).parent)
_F = TypeVar("_F", bound=Callable[..., Any])


def include_frame(frame: FrameType) -> bool:
    """Whether a frame is the user's, or a library's, and none of Wengert's own."""
    return not frame.f_code.co_filename.startswith(_PACKAGE)


def register_exclusion(path: str) -> None:
    """Says that the frames of a file are a library's; errors show the user's line in any case."""
    del path


def api_boundary(fun: _F, **options: Any) -> _F:
    """Marks where a library is entered: nothing is to be done for it."""
    del options
    return fun
