"""What the demonstrations share: bad input, options, the folder of the pictures, and how pictures look."""

from __future__ import annotations

import math
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

STYLE = {
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 12,
    "axes.titlepad": 7,
    "figure.titlesize": 15,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.dpi": 150,
}


class BadInput(Exception):
    """What the user gave cannot be used; the message says why, in one line."""


def positive(kind: type) -> Any:
    """A converter for argparse: a finite number above 0."""

    def convert(text: str) -> Any:
        value = kind(text)
        if not (math.isfinite(value) and value > 0):
            raise ValueError
        return value

    convert.__name__ = "positive whole number" if kind is int else "positive number"
    return convert


def require_packages() -> None:
    """Raise ``BadInput`` where Matplotlib or tqdm is missing."""
    missing = [name for name in ("matplotlib", "tqdm") if find_spec(name) is None]
    if missing:
        raise BadInput(f'this needs {" and ".join(missing)}; install with: pip install "wengert[demos]"')


def writable(folder: Path) -> Path:
    """The folder, made if need be. Raises ``BadInput`` where nothing can be written there."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        for place in made:
            if place.is_dir() and not os.listdir(place):
                place.rmdir()
        raise BadInput(
            f"cannot write into the output folder {folder}: {error.strerror or first_line(error)}"
        ) from None
    return folder


def save(picture: Any, path: Path) -> Path:
    """Write the picture whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        picture.savefig(unfinished, format="png")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type's name where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
