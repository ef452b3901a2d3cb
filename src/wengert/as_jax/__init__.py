"""Programs written for JAX, on Wengert: after ``install()``, ``import jax`` gives Wengert.

``jax.numpy`` is then the same module object as ``wengert.numpy``, and so on for every public module; ``jax``
itself is a thin module in front of ``wengert`` that calls itself by JAX's version number. The libraries that
are built over JAX's public API come along unmodified. ``python -m wengert.as_jax script.py`` runs a script
that way.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import wengert

__all__ = ["JAX_VERSION", "install"]

JAX_VERSION = "0.10.2"
"""The release of JAX whose public API Wengert follows."""

# Wengert's own packages: a program written for JAX knows nothing of them.
_OWN = {"as_jax", "backends", "cli", "compiler", "demos", "prims", "runtime", "transforms"}

# What libraries take from JAX's private modules, for want of a public name.
_PRIVATE = "jax._src"


class _Jax(ModuleType):
    """The module ``jax``: what ``wengert`` has, under JAX's name and version."""

    __doc__ = wengert.__doc__
    __version__ = JAX_VERSION
    __version_info__ = tuple(int(part) for part in JAX_VERSION.split("."))

    def __getattr__(self, name: str) -> Any:
        if f"jax.{name}" == _PRIVATE:
            return importlib.import_module(_counterpart(_PRIVATE))
        if name in _OWN or (name.startswith("_") and not name.startswith("__")):
            raise AttributeError(f"module 'jax' has no attribute {name!r}", name=name, obj=self)
        if hasattr(wengert, name):
            return getattr(wengert, name)
        if not name.startswith("__") and _has(f"wengert.{name}"):
            return importlib.import_module(f"wengert.{name}")
        raise AttributeError(
            f"module 'jax' has no attribute {name!r}: Wengert, which stands for JAX here, lacks it",
            name=name,
            obj=self,
        )

    def __dir__(self) -> list[str]:
        return sorted(({*dir(wengert), *self.__dict__, "__version__", "__version_info__"}) - _OWN)


class _Version(ModuleType):
    """The module ``jax.version``."""

    __version__ = _Jax.__version__
    __version_info__ = _Jax.__version_info__


class _Finder(MetaPathFinder, Loader):
    """Finds ``jax`` and all modules below it in Wengert."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "jax":
            return None
        if fullname not in ("jax", "jax.version") and not _has(_counterpart(fullname)):
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: Wengert, which stands for JAX here, does not have it",
                name=fullname,
            )
        return ModuleSpec(fullname, self, is_package=fullname == "jax")

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return {"jax": _Jax, "jax.version": _Version}.get(spec.name, ModuleType)(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        # What sys.modules holds after this is what is imported: Wengert's module, its name and spec kept.
        if not isinstance(module, _Jax | _Version):
            sys.modules[module.__name__] = importlib.import_module(_counterpart(module.__name__))


def _counterpart(fullname: str) -> str:
    """Wengert's name for a module of JAX's."""
    if fullname == _PRIVATE or fullname.startswith(f"{_PRIVATE}."):
        return "wengert.as_jax.private" + fullname.removeprefix(_PRIVATE)
    return "wengert" + fullname.removeprefix("jax")


def _has(name: str) -> bool:
    """Whether Wengert has the module ``name``, as part of the public API or of what stands for JAX's private one."""
    parts = name.split(".")[1:]
    hidden = parts[0] in _OWN or any(part.startswith("_") for part in parts)
    if hidden and parts[:2] != ["as_jax", "private"]:
        return False
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is missing, or is no package
        return False


def install() -> None:
    """Make ``import jax``, ``import jax.numpy`` and so on give Wengert, from now on, in this process.

    Calling it again does nothing. Raises ImportError where JAX itself is imported already: two of them in one
    process would not understand each other's arrays.
    """
    imported = sys.modules.get("jax")
    if imported is not None and not isinstance(imported, _Jax):
        raise ImportError(
            f"JAX itself is already imported (from {getattr(imported, '__file__', None)}); call "
            "wengert.as_jax.install() before the first import of jax or of a library that uses it, "
            "or run the program with: python -m wengert.as_jax script.py",
            name="jax",
        )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
