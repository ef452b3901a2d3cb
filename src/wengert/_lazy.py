"""Modules that are imported on first use, so that `import wengert` stays quick."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _LazyModule(ModuleType):
    """Stands for a module until an attribute of it is asked for, then imports it."""

    def __getattr__(self, name: str) -> Any:
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


def lazy_module(name: str) -> Any:
    """Return a proxy for the module `name`; the import happens at the first attribute access.

    scipy and llvmlite take longer to import than a small program takes to run, and most programs need only
    a part of them.
    """
    return _LazyModule(name)
