"""What compiled code may call: BLAS and LAPACK, the C library, the runtime.

A module declares what it needs from outside (`declare void @sgemm(...)`). Each name is looked for in this order:

1. symbols registered by `add_symbol`;
2. providers registered by `add_provider`, asked for names with their prefix (the runtime's are
   `wengert_...`);
3. what the process has loaded: the C library, libm;
4. BLAS and LAPACK, as SciPy exports them: Fortran interface, every argument a pointer, integers are 32 bits.
"""

from __future__ import annotations

import ctypes
import glob
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any, Final

_process: Final = ctypes.PyDLL(None)
_symbols: dict[str, int] = {}
_providers: list[tuple[str, Callable[[str], int | None]]] = []


def add_symbol(name: str, address: int) -> None:
    """Let modules that are loaded from now on refer to the function or datum at `address` as `@name`."""
    _symbols[name] = address


def add_provider(prefix: str, provider: Callable[[str], int | None]) -> None:
    """When a module needs a symbol whose name starts with `prefix`, take `provider(name)` for its address."""
    _providers.append((prefix, provider))


def _load_scipy_extension(name: str) -> Any:
    """Import an extension module of `scipy.linalg` without that package, which would take 0.1 s more."""
    full = f"scipy.linalg.{name}"
    if full in sys.modules:
        return sys.modules[full]
    scipy = importlib.util.find_spec("scipy")
    if scipy is not None and scipy.submodule_search_locations and "scipy.linalg" not in sys.modules:
        folders = [os.path.join(folder, "linalg") for folder in scipy.submodule_search_locations]
        spec = importlib.machinery.PathFinder.find_spec(full, folders)
        if spec is not None and spec.loader is not None:
            try:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
            except ImportError:
                pass  # it needs its package after all
            else:
                # Left there, it would never become an attribute of its package.
                sys.modules.pop(full, None)
                return module
    return importlib.import_module(full)


_capsules: dict[str, dict[str, Any]] = {}
_blas_threads: int | None = None


def _scipy_capsules(module: str) -> dict[str, Any]:
    if module not in _capsules:
        _capsules[module] = _load_scipy_extension(module).__pyx_capi__
        if _blas_threads is not None:
            set_blas_threads(_blas_threads)
    return _capsules[module]


def set_blas_threads(n: int) -> None:
    """Let BLAS and LAPACK use up to `n` threads, now or when they are first needed.

    This works for OpenBLAS as SciPy's wheels bring it, on Linux and macOS. Others keep the number they have.
    """
    global _blas_threads
    _blas_threads = n
    if not _capsules:
        return
    scipy = importlib.util.find_spec("scipy")
    for folder in (scipy.submodule_search_locations or ()) if scipy else ():
        for pattern in ("../scipy.libs/*openblas*", ".dylibs/*openblas*"):
            for path in glob.glob(os.path.join(folder, pattern)):
                library = ctypes.CDLL(path)
                for name in ("scipy_openblas_set_num_threads", "openblas_set_num_threads"):
                    if hasattr(library, name):
                        getattr(library, name)(ctypes.c_int(n))


def _capsule_address(capsule: Any) -> int:
    api = ctypes.pythonapi
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer_type = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    pointer_of = pointer_type(("PyCapsule_GetPointer", api))
    address: int = pointer_of(capsule, name_of(capsule))
    return address


def _find_blas(name: str) -> int | None:
    # A C name with characters that no BLAS or LAPACK routine has need not import SciPy.
    if not name.isalnum() or not name.islower() or len(name) > 8:
        return None
    for module in ("cython_blas", "cython_lapack"):
        capsule = _scipy_capsules(module).get(name)
        if capsule is not None:
            return _capsule_address(capsule)
    return None


def blas_symbol(name: str) -> int:
    """The address of a BLAS or LAPACK routine ("sgemm", "dgetrf"), which modules declare as `@name`.

    Fortran interface: every argument is a pointer, integers are int32, matrices are in column order, and
    characters have no hidden lengths. Raises KeyError if SciPy has no such routine.
    """
    known = _symbols.get(name)
    if known is not None:
        return known
    address = _find_blas(name)
    if address is None:
        raise KeyError(f"SciPy exports no BLAS or LAPACK routine named {name!r}")
    add_symbol(name, address)
    return address


def _in_process(name: str) -> int | None:
    """The address of a symbol of the libraries that the process has loaded."""
    try:
        function = getattr(_process, name)
    except AttributeError:
        return None
    return ctypes.cast(function, ctypes.c_void_p).value


def resolve(name: str) -> int | None:
    """Where a symbol lies that code needs from outside; None if it is nowhere to be found."""
    address = _symbols.get(name)
    if address is not None:
        return address
    for prefix, provider in _providers:
        if name.startswith(prefix):
            address = provider(name)
            break
    else:
        address = _in_process(name) or _find_blas(name)
    if address is not None:
        add_symbol(name, address)
    return address
