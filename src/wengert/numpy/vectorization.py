"""`vectorize`: a function of small arrays, mapped over the axes that its arguments have beyond that."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from wengert.core.source import user_context
from wengert.numpy._util import as_array
from wengert.transforms.vmap import vmap

_ARGUMENT = r"\(\s*(?:\w+(?:\s*,\s*\w+)*)?\s*\)"
_SIGNATURE = rf"\s*{_ARGUMENT}(?:\s*,\s*{_ARGUMENT})*\s*->\s*{_ARGUMENT}(?:\s*,\s*{_ARGUMENT})*\s*"
CoreDims = list[tuple[str, ...]]


def _parse(signature: str) -> tuple[CoreDims, CoreDims]:
    if not re.fullmatch(_SIGNATURE, signature):
        raise user_context(ValueError(f"not a valid gufunc signature: {signature}"))
    sides = signature.split("->")
    return tuple(  # type: ignore[return-value]
        [tuple(re.findall(r"\w+", argument)) for argument in re.findall(_ARGUMENT, side)] for side in sides
    )


def vectorize(
    pyfunc: Any, *, excluded: Collection[int | str] = frozenset(), signature: str | None = None
) -> Any:
    """A function that applies `pyfunc` to all parts of its arguments, which broadcast; by `vmap`, so at full speed.

    Args:
      excluded: numbers and names of arguments that are passed on as they are.
      signature: what `pyfunc` takes and gives, e.g. "(m,n),(n)->(m)"; numbers if it is missing.
    """
    excluded = set(excluded)
    if any(not isinstance(e, int | str) for e in excluded):
        raise user_context(
            TypeError(f"jax.numpy.vectorize can only exclude integer or string arguments, got {excluded!r}")
        )
    if any(isinstance(e, int) and e < 0 for e in excluded):
        raise user_context(ValueError(f"excluded={excluded!r} contains negative numbers"))

    @functools.wraps(pyfunc)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return _Call(pyfunc, excluded, signature, args, kwargs).run()

    return wrapped


class _Call:
    """One call of a vectorized function."""

    def __init__(
        self,
        pyfunc: Callable[..., Any],
        excluded: Any,
        signature: str | None,
        args: tuple[Any, ...],
        kwargs: Any,
    ):
        self.args = list(args)
        self.mapped = [i for i in range(len(args)) if i not in excluded and args[i] is not None]
        self.kwargs = {k: v for k, v in kwargs.items() if k in excluded}
        self.named = [k for k in kwargs if k not in excluded]
        self.arrays = [as_array(args[i], "vectorize") for i in self.mapped]
        self.arrays += [as_array(kwargs[k], "vectorize") for k in self.named]
        self.pyfunc = pyfunc
        self.signature = signature

    def run(self) -> Any:
        ins, outs = _parse(self.signature) if self.signature else ([()] * len(self.arrays), None)
        if len(ins) != len(self.arrays):
            raise user_context(
                TypeError(
                    f"wrong number of positional arguments: expected {len(ins)}, got {len(self.arrays)} on vectorized "
                    f"function with signature {self.signature}"
                )
            )
        sizes: dict[str, int] = {}
        for a, dims in zip(self.arrays, ins, strict=True):
            _check_core(a.shape, dims, sizes, self.signature)
        outer = [a.shape[: a.ndim - len(dims)] for a, dims in zip(self.arrays, ins, strict=True)]
        try:
            batch = np.broadcast_shapes(*outer)
        except ValueError:
            raise user_context(
                ValueError(f"the shapes of the arguments of a vectorized function don't broadcast: {outer}")
            ) from None
        function: Callable[..., Any] = functools.partial(self._core, outs, sizes)
        squeezed, axes = [], []  # axes of size 1 are dropped, not mapped: so nothing is repeated
        for a, shape in zip(self.arrays, outer, strict=True):
            ones = tuple(i for i, d in enumerate(shape) if d == 1 and batch[len(batch) - len(shape) + i] != 1)
            squeezed.append(a.squeeze(ones) if ones else a)
            offset = len(batch) - len(shape)
            axes.append([0 if k >= offset and k - offset not in ones else None for k in range(len(batch))])
        for k in reversed(range(len(batch))):
            in_axes = tuple(axis[k] for axis in axes)
            if any(i is not None for i in in_axes):
                function = vmap(function, in_axes=in_axes)
        return function(*squeezed)

    def _core(self, outs: CoreDims | None, sizes: dict[str, int], *arrays: Any) -> Any:
        args, kwargs = list(self.args), dict(self.kwargs)
        for i, a in zip(self.mapped, arrays[: len(self.mapped)], strict=True):
            args[i] = a
        kwargs.update(zip(self.named, arrays[len(self.mapped) :], strict=True))
        result = self.pyfunc(*args, **kwargs)
        if outs is None:
            many = isinstance(result, tuple)
            results = [as_array(r) for r in result] if many else [as_array(result)]
            return tuple(results) if many else results[0]
        results = [as_array(r) for r in result] if len(outs) > 1 else [as_array(result)]
        if len(results) != len(outs):
            raise user_context(
                TypeError(f"wrong number of output arguments: expected {len(outs)}, got {len(results)}")
            )
        for r, dims in zip(results, outs, strict=True):
            _check_core(r.shape, dims, sizes, self.signature, exact=True)
        return tuple(results) if len(outs) > 1 else results[0]


def _check_core(
    shape: tuple[int, ...],
    dims: tuple[str, ...],
    sizes: dict[str, int],
    signature: str | None,
    exact: bool = False,
) -> None:
    """Check the last axes of an argument against the names that the signature gives them."""
    if len(shape) < len(dims) or (exact and len(shape) != len(dims)):
        raise user_context(
            ValueError(f"shape {shape} does not have the axes {dims} of the signature {signature}")
        )
    for d, name in zip(shape[len(shape) - len(dims) :], dims, strict=True):
        expected = sizes.setdefault(name, int(name) if name.isdigit() else d)
        if expected != d:
            raise user_context(
                ValueError(
                    f"inconsistent size for core dimension {name!r}: {d} vs {expected} on vectorized function with "
                    f"signature {signature}"
                )
            )
