"""Which names a module offers: for the API reference, and for the test that they have docstrings."""

from __future__ import annotations

import ast
import inspect
import sys
from types import ModuleType
from typing import Any


def public_names(module: ModuleType) -> list[str]:
    """The names that a module offers, in alphabetical order.

    Those of `__all__`; or else what it defines, and what it imports under an explicit name (`from a import b as b`).
    Left out are modules, primitives (`sin_p`) and what comes from NumPy.
    """
    names = set(getattr(module, "__all__", ())) or _exported(module)
    return sorted((n for n in names if _is_described(n, getattr(module, n))), key=str.lower)


def _exported(module: ModuleType) -> set[str]:
    """What a module without `__all__` defines, or imports under an explicit name."""
    source = inspect.getsource(module)
    found = set(getattr(module, "_LATE", ()))
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found.add(statement.name)
        elif isinstance(statement, ast.ImportFrom):
            found |= {a.name for a in statement.names if a.asname == a.name}
        elif isinstance(statement, ast.Assign):
            found |= {t.id for t in statement.targets if isinstance(t, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found.add(statement.target.id)
    return {name for name in found if not name.startswith("_")}


def _is_described(name: str, value: Any) -> bool:
    if isinstance(value, ModuleType) or name.endswith("_p"):
        return False
    home = (getattr(value, "__module__", None) or "").partition(".")[0]
    return home not in ("numpy", "ml_dtypes", "typing") or getattr(sys.modules[home], name, None) is not value
