"""Small functions about values and traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.core import dtypes
from wengert.core.array import ArrayBase, from_numpy
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from wengert.core.primitive import Primitive
from wengert.core.trace import as_array
from wengert.prims.constructors import as_operand, canonical_shape
from wengert.prims.shape import full


def stage(x: Any, /) -> Any:
    """A number or an array as an array; a traced value as it is."""
    x = as_operand("stage", x)
    return x if isinstance(x, ArrayBase) else as_array(x)


def empty(shape: Any, dtype: Any, *, out_sharding: Any = None) -> Any:
    """An array whose elements do not matter; here they are zero.

    Args:
      shape: an integer or a sequence of integers.
      dtype: of the array.
      out_sharding: accepted for compatibility.
    """
    return full(canonical_shape(shape, "empty"), 0, dtype)


def dtype(x: Any) -> np.dtype[Any]:
    """The dtype of an array or number, or of what stands for a dtype, as arrays have it."""
    found: np.dtype[Any] = dtypes.dtype(x) if not isinstance(x, type) else dtypes.as_dtype(x)
    return dtypes.canonicalize_dtype(found, allow_extended_dtype=True)  # type: ignore[no-any-return]


def shape_as_value(shape: Any) -> Any:
    """A shape as an array of integers."""
    kind = dtypes.canonicalize_dtype(np.dtype(np.int64))
    return from_numpy(np.asarray(tuple(shape), kind).reshape(-1))


def _sink_expand(*avals: ShapedArray, prevent_mlir_dce: bool) -> ClosedJaxpr:
    return ClosedJaxpr(Jaxpr([], [Var(a) for a in avals], [], []))


def _sink_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    dce_sink_p.bind(*primals, **params)
    return [], []


def _sink_batch(axis: Any, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
    dce_sink_p.bind(*args, **params)
    return [], []


dce_sink_p = Primitive(
    "dce_sink",
    "other",
    abstract_eval=lambda *avals, **params: [],
    impl=lambda xp, *values, **params: [],
    expand=_sink_expand,
    jvp=_sink_jvp,
    batch=_sink_batch,
    effects=lambda **params: frozenset({"dce_sink"}),
    multiple_results=True,
)


def dce_sink(val: Any, *, prevent_mlir_dce: bool = False) -> None:
    """Keep in the traced program what computes `val`, a pytree, though nothing uses it.

    Args:
      prevent_mlir_dce: accepted for compatibility. The compiler leaves out what has no use.
    """
    for leaf in tree.leaves(val):
        dce_sink_p.bind(as_operand("dce_sink", leaf), prevent_mlir_dce=prevent_mlir_dce)
