"""All operators, methods and conversions of arrays and tracers, attached to their base class in one place."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from wengert import lax
from wengert._lazy import lazy_module
from wengert.config import current
from wengert.core import dtypes
from wengert.core.array import Array, ArrayBase, from_numpy, wrap
from wengert.core.avals import ShapedArray
from wengert.core.device import CPU
from wengert.core.source import user_context
from wengert.core.trace import Tracer
from wengert.errors import ConcretizationTypeError
from wengert.numpy import linear, manipulation, printing, reductions, selection, sorting, ufuncs
from wengert.numpy._util import PYTHON_SCALARS, ArrayLike, Axis, DTypeLike, convert, user_dtype
from wengert.numpy.indexing import getitem
from wengert.numpy.updates import _IndexUpdateHelper

_placement = lazy_module("wengert.core.placement")
_mesh = lazy_module("wengert.core.mesh")

_namespace: list[ModuleType] = []  # wengert.numpy itself, for __array_namespace__


# Methods of arrays and tracers. Their arguments are those of the functions of the same name.


def _all(
    self: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: ArrayLike | None = None
) -> Any:
    """Whether all elements over `axis` are true."""
    return reductions.all(self, axis, out, keepdims, where=where)


def _any(
    self: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: ArrayLike | None = None
) -> Any:
    """Whether any element over `axis` is true."""
    return reductions.any(self, axis, out, keepdims, where=where)


def _argmax(self: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the largest element along `axis`."""
    return reductions.argmax(self, axis, out, keepdims)


def _argmin(self: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the smallest element along `axis`."""
    return reductions.argmin(self, axis, out, keepdims)


def _argpartition(self: Any, kth: int, axis: int = -1) -> Any:
    """The indices that partition the array at `kth`."""
    return sorting.argpartition(self, kth, axis)


def _argsort(
    self: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """The indices that sort the array."""
    return sorting.argsort(self, axis, kind=kind, order=order, stable=stable, descending=descending)


def astype(x: ArrayLike, dtype: DTypeLike | None, /, *, copy: bool = False, device: Any = None) -> Any:
    """The elements in another dtype; floats become integers by rounding towards zero, complex numbers real ones
    by dropping the imaginary part."""
    return _astype(x, dtype, copy)


def _astype(self: Any, dtype: DTypeLike | None, copy: bool = False, device: Any = None) -> Any:
    """The elements in another dtype."""
    chosen = user_dtype(float if dtype is None else dtype, "astype")
    if chosen == self.dtype and not self.weak_type and copy and isinstance(self, Array):
        return _copy(self)
    return convert(self, chosen)


def _byteswap(self: Any) -> Any:
    """The bytes of each element in reverse order."""
    dtype = self.dtype
    if dtype.itemsize == 1:
        return self
    if dtype.kind == "c":
        return lax.complex(_byteswap(lax.real(self)), _byteswap(lax.imag(self)))
    parts = lax.bitcast_convert_type(self, np.dtype(np.uint8))
    return lax.bitcast_convert_type(lax.rev(parts, (parts.ndim - 1,)), dtype)


def _choose(self: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """Elementwise the element of choices[self]."""
    return selection.choose(self, choices, out, mode)


def _clip(self: Any, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Any:
    """The values raised to `min` and lowered to `max`."""
    return selection.clip(self, min, max)


def _compress(
    self: Any,
    condition: ArrayLike,
    axis: int | None = None,
    *,
    out: None = None,
    size: int | None = None,
    fill_value: ArrayLike = 0,
) -> Any:
    """The slices along `axis` for which `condition` holds."""
    return selection.compress(condition, self, axis, size=size, fill_value=fill_value, out=out)


def _conj(self: Any) -> Any:
    """The complex conjugate."""
    return ufuncs.conj(self)


def _copy(self: Any) -> Any:
    """A copy in memory of its own."""
    return from_numpy(self._np, self.weak_type) if isinstance(self, Array) else self


def _cumprod(self: Any, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None) -> Any:
    """The products of all elements up to each one."""
    return reductions.cumprod(self, axis, dtype, out)


def _cumsum(self: Any, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None) -> Any:
    """The sums of all elements up to each one."""
    return reductions.cumsum(self, axis, dtype, out)


def _diagonal(self: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the matrices in two axes."""
    return manipulation.diagonal(self, offset, axis1, axis2)


def _dot(
    self: Any, b: ArrayLike, *, precision: Any = None, preferred_element_type: DTypeLike | None = None
) -> Any:
    """The product over the last axis, and the last but one of `b`."""
    return linear.dot(self, b, precision=precision, preferred_element_type=preferred_element_type)


def _flatten(self: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements in one axis."""
    return manipulation.ravel(self, order)


def _max(
    self: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    """The largest element over `axis`."""
    return reductions.max(self, axis, out, keepdims, initial, where)


def _min(
    self: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    """The smallest element over `axis`."""
    return reductions.min(self, axis, out, keepdims, initial, where)


def _mean(
    self: Any,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
) -> Any:
    """The mean over `axis`."""
    return reductions.mean(self, axis, dtype, out, keepdims, where=where)


def _nonzero(self: Any, *, fill_value: Any = None, size: int | None = None) -> tuple[Any, ...]:
    """The coordinates of the elements that are not zero."""
    return selection.nonzero(self, size=size, fill_value=fill_value)


def _prod(
    self: Any,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
    promote_integers: bool = True,
) -> Any:
    """The product over `axis`."""
    return reductions.prod(self, axis, dtype, out, keepdims, initial, where, promote_integers)


def _ptp(self: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
    """The distance between the largest and the smallest element over `axis`."""
    return reductions.ptp(self, axis, out, keepdims)


def _ravel(self: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements in one axis."""
    return manipulation.ravel(self, order)


def _repeat(
    self: Any,
    repeats: ArrayLike,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: Any = None,
) -> Any:
    """Each element repeated along `axis`."""
    return manipulation.repeat(self, repeats, axis, total_repeat_length=total_repeat_length)


def _reshape(self: Any, *args: Any, order: str = "C", out_sharding: Any = None) -> Any:
    """The same elements in another shape, given as one argument or several."""
    shape = args[0] if len(args) == 1 else args
    return manipulation.reshape(self, shape, order)


def _round(self: Any, decimals: int = 0, out: None = None) -> Any:
    """The values rounded to `decimals` places."""
    return ufuncs.round(self, decimals, out)


def _searchsorted(
    self: Any, v: ArrayLike, side: str = "left", sorter: ArrayLike | None = None, *, method: str = "scan"
) -> Any:
    """Where `v` would have to be inserted to keep the array sorted."""
    return sorting.searchsorted(self, v, side, sorter, method=method)


def _sort(
    self: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """A sorted copy."""
    return sorting.sort(self, axis, kind=kind, order=order, stable=stable, descending=descending)


def _squeeze(self: Any, axis: Axis = None) -> Any:
    """Without the axes of size 1."""
    return manipulation.squeeze(self, axis)


def _std(
    self: Any,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
    correction: int | float | None = None,
) -> Any:
    """The standard deviation over `axis`."""
    return reductions.std(self, axis, dtype, out, ddof, keepdims, where=where, correction=correction)


def _sum(
    self: Any,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    keepdims: bool = False,
    initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
    promote_integers: bool = True,
) -> Any:
    """The sum over `axis`."""
    return reductions.sum(self, axis, dtype, out, keepdims, initial, where, promote_integers)


def _swapaxes(self: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    return manipulation.swapaxes(self, axis1, axis2)


def _take(
    self: Any,
    indices: ArrayLike,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """The elements at `indices` along `axis`."""
    return selection.take(self, indices, axis, out, mode, unique_indices, indices_are_sorted, fill_value)


def _trace(
    self: Any,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: DTypeLike | None = None,
    out: None = None,
) -> Any:
    """The sum of the diagonal."""
    return manipulation.trace(self, offset, axis1, axis2, dtype, out)


def _transpose(self: Any, *args: Any) -> Any:
    """The axes in another order, given as one argument or several; reversed without any."""
    if not args or args == (None,):
        return manipulation.transpose(self)
    return manipulation.transpose(self, args[0] if len(args) == 1 and not isinstance(args[0], int) else args)


def _var(
    self: Any,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
    correction: int | float | None = None,
) -> Any:
    """The variance over `axis`."""
    return reductions.var(self, axis, dtype, out, ddof, keepdims, where=where, correction=correction)


def _view(self: Any, dtype: DTypeLike | None = None, type: None = None) -> Any:
    """The bits of the elements, read as another dtype; the last axis changes its size with that of the elements."""
    if type is not None:
        raise user_context(NotImplementedError("`type` argument of array.view() is not supported."))
    if dtype is None:
        return self
    chosen = user_dtype(dtype, "view")
    if chosen != self.dtype and "c" in (chosen.kind, self.dtype.kind):
        return _view_complex(self, chosen)
    old, new = self.dtype.itemsize, chosen.itemsize
    if bool in (chosen, self.dtype) and chosen != self.dtype:
        if self.dtype == bool:
            return _view(convert(self, np.dtype(np.uint8)), chosen)
        return ufuncs.as_bool(_view(self, np.uint8))
    if old < new:
        if self.ndim == 0 or self.shape[-1] * old % new:
            raise user_context(
                ValueError(
                    "When changing to a larger dtype, its size must be a divisor of the total size in bytes of the "
                    "last axis of the array."
                )
            )
        parts = lax.reshape(self, (*self.shape[:-1], self.shape[-1] * old // new, new // old))
        return lax.bitcast_convert_type(parts, chosen)
    if old > new:
        if self.ndim == 0:
            raise user_context(ValueError("Cannot view a 0-dimensional array as a dtype of another size."))
        parts = lax.bitcast_convert_type(self, chosen)
        return lax.reshape(parts, (*self.shape[:-1], self.shape[-1] * old // new))
    return lax.bitcast_convert_type(self, chosen)


def _view_complex(self: Any, chosen: Any) -> Any:
    """`view` from or to complex numbers, as pairs of floats in the last axis."""
    if self.dtype.kind == "c":
        if self.ndim == 0:
            raise user_context(ValueError("Cannot view a 0-dimensional array as a dtype of another size."))
        parts = lax.concatenate(
            [lax.expand_dims(f(self), (self.ndim,)) for f in (lax.real, lax.imag)], self.ndim
        )
        return _view(lax.reshape(parts, (*self.shape[:-1], 2 * self.shape[-1])), chosen)
    parts = _view(self, np.dtype(f"float{4 * chosen.itemsize}"))
    if parts.ndim == 0 or parts.shape[-1] % 2:
        raise user_context(
            ValueError(
                "When changing to a complex dtype, the last axis must hold pairs of numbers of half its size."
            )
        )
    pairs = lax.reshape(parts, (*parts.shape[:-1], parts.shape[-1] // 2, 2))
    real, imag = (lax.index_in_dim(pairs, i, -1, keepdims=False) for i in (0, 1))
    return lax.complex(real, imag)


def _contains(self: Any, other: Any) -> builtins.bool:
    return builtins.bool(reductions.any(ufuncs.equal(self, other)))


def _len(self: Any) -> int:
    shape = self.aval.shape
    if not shape:
        raise user_context(TypeError("len() of unsized object"))
    return int(shape[0])


def _iter(self: Any) -> Iterator[Any]:
    shape = self.aval.shape
    if not shape:
        raise user_context(TypeError("iteration over a 0-d array"))
    if isinstance(self, Array) and not (self.aval.dtype.kind == "V" and current().debug_key_reuse):
        values, row = self._np, ShapedArray(shape[1:], self.aval.dtype, self.aval.weak_type)
        return (wrap(values[i, ...], row) for i in range(shape[0]))
    return iter(manipulation.unstack(self))


def _refuse_setitem(self: Any, i: Any, x: Any) -> None:
    raise user_context(
        TypeError(
            "JAX arrays are immutable and do not support in-place item assignment. Instead of x[idx] = y, use "
            "x = x.at[idx].set(y) or another .at[] method; instead of x[idx] += y, x = x.at[idx].add(y)."
        )
    )


def _matmul(self: Any, other: Any) -> Any:
    return linear.matmul(self, other) if _is_array_like(other) else NotImplemented


def _rmatmul(self: Any, other: Any) -> Any:
    return linear.matmul(other, self) if _is_array_like(other) else NotImplemented


def _is_array_like(x: Any) -> builtins.bool:
    return isinstance(x, (ArrayBase, np.ndarray, np.generic, *PYTHON_SCALARS)) or hasattr(x, "__jax_array__")


def _array_namespace(self: Any, *, api_version: str | None = None) -> ModuleType:
    """The module that implements the Python array API for this array: wengert.numpy."""
    if api_version is not None and api_version != getattr(_namespace[0], "__array_api_version__", None):
        raise user_context(ValueError(f"array API version {api_version!r} is not implemented"))
    return _namespace[0]


def _to_device(self: Any, device: Any, *, stream: Any = None) -> Any:
    """The array on another device."""
    if not isinstance(self, Array):
        return self
    where = device if isinstance(device, _mesh.Sharding) else _mesh.SingleDeviceSharding(device)
    return _placement.placed(self, where)


def _block_until_ready(self: Any) -> Any:
    """The array itself, when it has been computed: that is now."""
    return self


def _no_op(self: Any) -> None:
    """Nothing to do: the array is in the memory of the host."""


# Only of arrays: what needs their values


def _numbers_of(self: Array) -> np.ndarray[Any, Any]:
    """The contents as a NumPy array; random keys have no numbers."""
    if self.aval.dtype.kind == "V" and dtypes.is_key_dtype(self.aval.dtype):
        raise user_context(
            TypeError(
                "JAX array with PRNGKey dtype cannot be converted to a NumPy array or to Python numbers. Use"
                " jax.random.key_data(arr) if you wish to extract the underlying integer array."
            )
        )
    return self._np


def _scalar_of(self: Array) -> Any:
    if self.aval.shape:
        raise user_context(
            TypeError(f"Only scalar arrays can be converted to Python scalars; got arr.ndim={self.ndim}")
        )
    return _numbers_of(self).item()


def _bool(self: Array) -> builtins.bool:
    if dtypes.is_key_dtype(self.aval.dtype):
        raise user_context(TypeError("key array cannot be converted to boolean."))
    values = self._np
    if values.size != 1:
        kind = "an empty array" if values.size == 0 else "an array with more than one element"
        raise user_context(ValueError(f"The truth value of {kind} is ambiguous. Use a.any() or a.all()"))
    return builtins.bool(values.reshape(())[()])


def _index(self: Array) -> int:
    if self.aval.shape or self.aval.dtype.kind not in "iu":
        raise user_context(TypeError("Only integer scalar arrays can be converted to a scalar index."))
    return int(self._np)


def _item(self: Array, *args: int) -> Any:
    """The element at the given position (of an array of size 1 the only one) as a Python number."""
    return _numbers_of(self).item(*args)


def _tolist(self: Array) -> Any:
    """The elements as nested lists of Python numbers."""
    return _numbers_of(self).tolist()


def _tobytes(self: Array, order: Any = "C") -> bytes:
    """The memory of the array."""
    return _numbers_of(self).tobytes(order)


def _to_numpy(self: Array, dtype: Any = None, context: None = None, copy: builtins.bool | None = None) -> Any:
    values = _numbers_of(self)
    if dtype is not None and dtype != values.dtype:
        if copy is False:
            raise user_context(ValueError("a conversion to another dtype needs a copy, but copy=False"))
        return values.astype(dtype)
    return values.copy() if copy else values


def _repr(self: Array) -> str:
    return printing.array_repr(self)


def _str(self: Array) -> str:
    return printing.array_str(self) if self.aval.dtype.kind == "V" else str(self._np)


def _format(self: Array, format_spec: str, /) -> str:
    if self.aval.shape or dtypes.is_key_dtype(self.aval.dtype):
        return format(str(self), format_spec) if format_spec == "" else format(self._np, format_spec)
    return format(self._np[()], format_spec)


def _pprint_of(self: Array) -> Callable[[], str]:
    """The method of random keys that says what they are; other arrays have none."""
    dtype = self.aval.dtype
    if not dtypes.is_key_dtype(dtype):
        raise AttributeError("'Array' object has no attribute 'pprint': only arrays of random keys have it")
    words = ", ".join(f"uint32 {name}" for name in dtype.names or ())
    return lambda: f"PRNGKeyArray:\n  shape = {self.shape}\n  dtype = {self.dtype}: {words}"


def _unpickle(values: np.ndarray[Any, Any], weak_type: builtins.bool) -> Array:
    return from_numpy(values, weak_type)


def _reduce(self: Array, /) -> Any:
    return _unpickle, (self._np, self.weak_type)


def _deepcopy(self: Any, memo: Any) -> Any:
    return _copy(self)


def _dlpack(
    self: Array,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: Any = None,
    copy: builtins.bool | None = None,
) -> Any:
    """A DLPack capsule of the memory of the array, which its receiver must not write to."""
    values = _numbers_of(self)
    if copy or max_version is None or max_version < (1, 0):
        values = values.copy()  # older protocols can't say that memory is read-only
    return values.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device)


def _delete(self: Array) -> None:
    """Give the memory back; the array must not be used any more."""
    self._ndarray = self._owner = None
    self._address = 0


def _is_deleted(self: Array) -> builtins.bool:
    """Whether the memory has been given back."""
    return self._ndarray is None and self._owner is None


def _property(function: Callable[[Any], Any], doc: str) -> property:
    return property(function, doc=doc)


class _Flat:
    """The elements of an array in row-major order, for iteration."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = manipulation.ravel(array)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.array)

    def __len__(self) -> int:
        return int(self.array.size)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]


_METHODS: dict[str, Any] = {
    "all": _all,
    "any": _any,
    "argmax": _argmax,
    "argmin": _argmin,
    "argpartition": _argpartition,
    "argsort": _argsort,
    "astype": _astype,
    "byteswap": _byteswap,
    "choose": _choose,
    "clip": _clip,
    "compress": _compress,
    "conj": _conj,
    "conjugate": _conj,
    "copy": _copy,
    "cumprod": _cumprod,
    "cumsum": _cumsum,
    "diagonal": _diagonal,
    "dot": _dot,
    "flatten": _flatten,
    "max": _max,
    "mean": _mean,
    "min": _min,
    "nonzero": _nonzero,
    "prod": _prod,
    "ptp": _ptp,
    "ravel": _ravel,
    "repeat": _repeat,
    "reshape": _reshape,
    "round": _round,
    "searchsorted": _searchsorted,
    "sort": _sort,
    "squeeze": _squeeze,
    "std": _std,
    "sum": _sum,
    "swapaxes": _swapaxes,
    "take": _take,
    "to_device": _to_device,
    "trace": _trace,
    "transpose": _transpose,
    "var": _var,
    "view": _view,
    "block_until_ready": _block_until_ready,
    "copy_to_host_async": _no_op,
    "__getitem__": getitem,
    "__setitem__": _refuse_setitem,
    "__iter__": _iter,
    "__len__": _len,
    "__contains__": _contains,
    "__matmul__": _matmul,
    "__rmatmul__": _rmatmul,
    "__copy__": _copy,
    "__deepcopy__": _deepcopy,
    "__array_namespace__": _array_namespace,
    "T": _property(lambda self: manipulation.transpose(self), "The axes in reverse order."),
    "mT": _property(lambda self: manipulation.matrix_transpose(self), "The last two axes exchanged."),
    "real": _property(lambda self: ufuncs.real(self), "The real part."),
    "imag": _property(lambda self: ufuncs.imag(self), "The imaginary part."),
    "at": _property(_IndexUpdateHelper, "Copies with changes: x.at[index].set(values), and others."),
    "flat": _property(_Flat, "The elements in row-major order."),
    "itemsize": _property(lambda self: self.aval.dtype.itemsize, "The size of an element in bytes."),
    "nbytes": _property(lambda self: self.aval.nbytes, "The size of all elements in bytes."),
}

_ARRAY_METHODS: dict[str, Any] = {
    "item": _item,
    "tolist": _tolist,
    "tobytes": _tobytes,
    "delete": _delete,
    "is_deleted": _is_deleted,
    "is_ready": lambda self: True,
    "clone": _copy,
    "pprint": _property(lambda self: _pprint_of(self), "Of random keys: a function that says what they are."),
    "addressable_data": lambda self, index: _placement.shards_of(self)[index].data,
    "devices": lambda self: _placement.sharding_of(self).device_set,
    "platform": lambda self: CPU.platform,
    "on_device_size_in_bytes": lambda self: self.aval.nbytes,
    "unsafe_buffer_pointer": lambda self: self.address(),
    "device": _property(
        lambda self: _placement.device_of(self),
        "The device that holds the array; its sharding, if several do.",
    ),
    "sharding": _property(lambda self: _placement.sharding_of(self), "How it is spread over devices."),
    "addressable_shards": _property(lambda self: _placement.shards_of(self), "The part on each device."),
    "global_shards": _property(lambda self: _placement.shards_of(self), "The part on each device."),
    "committed": _property(
        lambda self: getattr(self, "placement", None) is not None,
        "Whether the array has been put on a certain device.",
    ),
    "is_fully_addressable": _property(lambda self: True, "Whether this process has all of the array."),
    "is_fully_replicated": _property(
        lambda self: _placement.sharding_of(self).is_fully_replicated,
        "Whether each device has all of the array.",
    ),
    "__bool__": _bool,
    "__int__": lambda self: int(_scalar_of(self)),
    "__float__": lambda self: float(_scalar_of(self)),
    "__complex__": lambda self: complex(_scalar_of(self)),
    "__index__": _index,
    "__hex__": lambda self: hex(_index(self)),
    "__oct__": lambda self: oct(_index(self)),
    "__array__": _to_numpy,
    "__dlpack__": _dlpack,
    "__dlpack_device__": lambda self: (1, 0),
    "__repr__": _repr,
    "__str__": _str,
    "__format__": _format,
    "__reduce__": _reduce,
    "__array_module__": lambda self, types: NotImplemented,
    "__numpy_dtype__": _property(
        lambda self: self.dtype, "The dtype, for NumPy's own conversions to dtypes."
    ),
}


# What only arrays can do, and tracers refuse with an explanation
_OF_VALUES = (
    "item", "tolist", "tobytes", "delete", "is_deleted", "addressable_data", "devices", "on_device_size_in_bytes",
    "unsafe_buffer_pointer",
)  # fmt: skip


def install(namespace: ModuleType) -> None:
    """Attach everything. `namespace` is the module that `__array_namespace__` gives."""
    _namespace[:] = [namespace]
    for name, method in (*_METHODS.items(), *ufuncs.operator_methods().items()):
        _name(method, name)
        setattr(ArrayBase, name, method)
    for name, method in _ARRAY_METHODS.items():
        _name(method, name)
        setattr(Array, name, method)
    for name in _OF_VALUES:
        setattr(Tracer, name, _needs_values(name))
    Array.__hash__ = None  # type: ignore[assignment]


def _name(method: Any, name: str) -> None:
    if not isinstance(method, property) and method.__name__ != name:
        method.__name__ = name
        method.__qualname__ = f"Array.{name}"


def _needs_values(name: str) -> Callable[..., Any]:
    def method(self: Tracer, *args: Any) -> Any:
        known = self.concrete()
        if known is not None:
            return getattr(known, name)(*args)
        raise user_context(
            ConcretizationTypeError(
                f"The {name}() method was called on {self.describe()}, whose values are known only when the traced "
                f"function runs. Return the array from the function, and call {name}() on the result."
            )
        )

    return method
