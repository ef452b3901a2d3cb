"""Universal functions as objects: with `reduce`, `accumulate`, `outer`, `at` and `reduceat`."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from wengert import lax
from wengert.numpy import floatmath, reductions, ufuncs
from wengert.numpy._util import (
    ArrayLike,
    DTypeLike,
    as_array,
    axis_index,
    convert,
    refuse_out,
    scalar,
    user_dtype,
)
from wengert.numpy.indexing import take_index
from wengert.numpy.manipulation import moveaxis, ravel, reshape
from wengert.numpy.updates import update
from wengert.transforms.vmap import vmap


class ufunc:
    """A function of `nin` numbers that works element by element on arrays, which broadcast.

    Made by `frompyfunc`; `jnp.add` and its like are such objects.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        /,
        nin: int,
        nout: int,
        *,
        name: str | None = None,
        nargs: int | None = None,
        identity: Any = None,
        call: Callable[..., Any] | None = None,
        reduce: Callable[..., Any] | None = None,
        accumulate: Callable[..., Any] | None = None,
        at: Callable[..., Any] | None = None,
        reduceat: Callable[..., Any] | None = None,
    ):
        self.__name__ = name or func.__name__
        self.__doc__ = func.__doc__
        self._func = func
        self._call = call if call is not None else _vectorized(func, nin)
        self.nin = nin
        self.nout = nout
        self.nargs = nin if nargs is None else nargs
        self.identity = identity
        self._reduce = reduce
        self._accumulate = accumulate

    def __repr__(self) -> str:
        return f"<jnp.ufunc '{self.__name__}'>"

    def __hash__(self) -> int:
        return hash((self._func, self.__name__, self.nin, self.nout))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ufunc) and (self._func, self.__name__, self.nin, self.nout) == (
            other._func,
            other.__name__,
            other.nin,
            other.nout,
        )

    def __call__(self, *args: ArrayLike, out: None = None, where: None = None) -> Any:
        """The function of the arguments, element by element."""
        if out is not None:
            raise NotImplementedError(f"out argument of {self.__name__}")
        if where is not None:
            raise NotImplementedError(f"where argument of {self.__name__}; use jnp.where on the result")
        return self._call(*args)

    def _binary(self, method: str) -> None:
        if self.nin != 2 or self.nout != 1:
            raise ValueError(
                f"jnp.ufunc.{method} only supported for functions with two inputs and one output"
            )

    def reduce(
        self,
        a: ArrayLike,
        axis: int | None = 0,
        dtype: DTypeLike | None = None,
        out: None = None,
        keepdims: bool = False,
        initial: ArrayLike | None = None,
        where: ArrayLike | None = None,
    ) -> Any:
        """The elements along `axis` combined one after the other, e.g. their sum for `add`."""
        self._binary("reduce")
        refuse_out(f"{self.__name__}.reduce", out)
        if where is not None and self.identity is None and initial is None:
            raise ValueError(
                f"reduction operation {self.__name__} does not have an identity, so to use a where mask one has "
                "to specify 'initial'."
            )
        if self._reduce is not None:
            return self._reduce(a, axis, dtype, keepdims, initial, where)
        return self._reduce_by_scan(a, axis, dtype, keepdims, initial, where)

    def _reduce_by_scan(self, a: Any, axis: Any, dtype: Any, keepdims: bool, initial: Any, where: Any) -> Any:
        a = as_array(a, self.__name__)
        a = a if dtype is None else convert(a, user_dtype(dtype, self.__name__))
        shape = a.shape
        if axis is None:
            a, axis, mask = ravel(a), 0, None if where is None else ravel(where)
        else:
            mask = None if where is None else as_array(where)
        axis = axis_index(axis, a.ndim)
        a = moveaxis(a, axis, 0)
        start = self.identity if initial is None else initial
        rest = a
        if start is None:
            if a.shape[0] == 0:
                raise ValueError(
                    f"zero-size array to reduction operation {self.__name__} which has no identity"
                )
            first = lax.squeeze(lax.slice_in_dim(a, 0, 1), (0,))
            rest = lax.slice_in_dim(a, 1, a.shape[0])
        else:
            first = lax.full(a.shape[1:], 0, a.dtype) + convert(as_array(start), a.dtype)
        masks = lax.full(rest.shape, True, np.dtype(bool))
        if mask is not None:
            masks = moveaxis(
                lax.bitwise_and(lax.full(shape, True, np.dtype(bool)), ufuncs.as_bool(mask)), axis, 0
            )

        def step(carry: Any, x: Any) -> tuple[Any, None]:
            value, chosen = x
            return lax.select(chosen, convert(self._call(carry, value), a.dtype), carry), None

        result, _ = lax.scan(step, first, (rest, masks))
        return (
            reshape(result, tuple(1 for _ in shape))
            if keepdims and a.ndim == 1
            else (lax.expand_dims(result, (axis,)) if keepdims else result)
        )

    def accumulate(
        self, a: ArrayLike, axis: int = 0, dtype: DTypeLike | None = None, out: None = None
    ) -> Any:
        """The elements along `axis` combined up to each one, e.g. cumulative sums for `add`."""
        self._binary("accumulate")
        refuse_out(f"{self.__name__}.accumulate", out)
        if self._accumulate is not None:
            return self._accumulate(a, axis, dtype)
        a = as_array(a, self.__name__)
        a = a if dtype is None else convert(a, user_dtype(dtype, self.__name__))
        if a.ndim == 0:
            raise ValueError(f"accumulate does not allow for 0-dimensional arrays, in {self.__name__}")
        axis = axis_index(axis, a.ndim)
        a = moveaxis(a, axis, 0)
        if a.shape[0] == 0:
            return moveaxis(a, 0, axis)
        first = lax.squeeze(lax.slice_in_dim(a, 0, 1), (0,))

        def step(carry: Any, value: Any) -> tuple[Any, Any]:
            new = convert(self._call(carry, value), a.dtype)
            return new, new

        _, rest = lax.scan(step, first, lax.slice_in_dim(a, 1, a.shape[0]))
        return moveaxis(lax.concatenate([lax.expand_dims(first, (0,)), rest], 0), 0, axis)

    def at(self, a: ArrayLike, indices: Any, b: ArrayLike | None = None, /, *, inplace: bool = True) -> Any:
        """A copy of `a` whose elements at the indices are combined with `b`; needs inplace=False."""
        if inplace:
            raise NotImplementedError(
                f"{self.__name__}.at cannot change arrays in place; pass inplace=False and use the result"
            )
        a = as_array(a, self.__name__)
        if b is None:
            return a.at[indices].apply(self._call)
        known = {"add": "add", "multiply": "multiply", "minimum": "min", "maximum": "max"}.get(self.__name__)
        if known is not None:
            return update(a, indices, b, known)
        old = take_index(a, indices)
        return update(a, indices, self._call(old, b), "set")

    def outer(self, A: ArrayLike, B: ArrayLike, /) -> Any:
        """The function of each element of A with each element of B: shape A.shape + B.shape."""
        self._binary("outer")
        a, b = as_array(A), as_array(B)
        a = lax.expand_dims(a, tuple(range(a.ndim, a.ndim + b.ndim)))
        return self._call(a, lax.expand_dims(b, tuple(range(a.ndim - b.ndim))))

    def reduceat(
        self, a: ArrayLike, indices: Any, axis: int = 0, dtype: DTypeLike | None = None, out: None = None
    ) -> Any:
        """The reductions of the parts of `a` along `axis` that begin at the indices and end at the next one."""
        self._binary("reduceat")
        refuse_out(f"{self.__name__}.reduceat", out)
        a = as_array(a, self.__name__)
        a = a if dtype is None else convert(a, user_dtype(dtype, self.__name__))
        axis = axis_index(axis, a.ndim)
        starts = np.asarray(indices)
        size = a.shape[axis]
        if ((starts < 0) | (starts >= size)).any():
            raise IndexError(
                f"reduceat: indices {starts.tolist()} are out of bounds for an axis of size {size}"
            )
        ends = np.append(starts[1:], size)
        parts = []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            part = lax.slice_in_dim(a, start, builtins.max(end, start + 1), axis=axis)
            parts.append(self.reduce(part, axis, keepdims=True) if part.shape[axis] > 1 else part)
        dtypes = {p.dtype for p in parts}
        if len(dtypes) > 1:
            parts = [convert(p, max(dtypes, key=lambda d: d.itemsize)) for p in parts]
        return lax.concatenate(parts, axis)


def _vectorized(func: Callable[..., Any], nin: int) -> Callable[..., Any]:
    """`func` of numbers, mapped over the elements of arrays, which broadcast."""

    def call(*args: Any) -> Any:
        if len(args) != nin:
            raise TypeError(f"{func.__name__}() takes {nin} positional arguments, got {len(args)}")
        arrays = [as_array(a, func.__name__) for a in args]
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
        flat = [
            ravel(lax.broadcast_in_dim(a, shape, tuple(range(len(shape) - a.ndim, len(shape)))))
            for a in arrays
        ]
        out = vmap(func)(*flat)
        if isinstance(out, tuple):
            return tuple(reshape(o, shape) for o in out)
        return reshape(out, shape)

    return call


def frompyfunc(func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """A ufunc of a function of `nin` numbers with `nout` results."""
    return ufunc(func, nin, nout, identity=identity)


def _known(
    name: str,
    identity: Any,
    reduce: Callable[..., Any] | None = None,
    accumulate: Callable[..., Any] | None = None,
    function: Callable[..., Any] | None = None,
) -> ufunc:
    call = function or ufuncs.binary_functions[name]
    return ufunc(
        call, 2, 1, name=name, nargs=2, identity=identity, call=call, reduce=reduce, accumulate=accumulate
    )


def _reduce_with(function: Callable[..., Any], typed: bool = True) -> Callable[..., Any]:
    def reduce(a: Any, axis: Any, dtype: Any, keepdims: bool, initial: Any, where: Any) -> Any:
        if typed:
            return function(a, axis, dtype, None, keepdims, initial, where)
        a = as_array(a) if dtype is None else convert(as_array(a), user_dtype(dtype, "reduce"))
        return function(a, axis, None, keepdims, initial, where)

    return reduce


def _reduce_bits(
    function: Callable[..., Any], combine: Callable[[Any, Any], Any], identity: int
) -> Callable[..., Any]:
    def reduce(a: Any, axis: Any, dtype: Any, keepdims: bool, initial: Any, where: Any) -> Any:
        a = as_array(a) if dtype is None else convert(as_array(a), user_dtype(dtype, "reduce"))
        if where is not None:
            a = reductions.masked(a, where, -identity if a.dtype.kind == "i" else bool(identity))
        axes = tuple(range(a.ndim)) if axis is None else (axis_index(axis, a.ndim),)
        result = function(a, axes=axes)
        result = result if initial is None else combine(result, scalar(initial, a.dtype))
        return lax.expand_dims(result, axes) if keepdims else result

    return reduce


def _reduce_logical(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(a: Any, axis: Any, dtype: Any, keepdims: bool, initial: Any, where: Any) -> Any:
        return function(a, axis, None, keepdims, where=where)

    return reduce


add = _known("add", 0, _reduce_with(reductions.sum), reductions.cumsum)
multiply = _known("multiply", 1, _reduce_with(reductions.prod), reductions.cumprod)
subtract = _known("subtract", None)
maximum = _known("maximum", None, _reduce_with(reductions.max, False))
minimum = _known("minimum", None, _reduce_with(reductions.min, False))
bitwise_and = _known("bitwise_and", -1, _reduce_bits(lax.reduce_and, lax.bitwise_and, 1))
bitwise_or = _known("bitwise_or", 0, _reduce_bits(lax.reduce_or, lax.bitwise_or, 0))
bitwise_xor = _known("bitwise_xor", 0, _reduce_bits(lax.reduce_xor, lax.bitwise_xor, 0))
logical_and = _known("logical_and", True, _reduce_logical(reductions.all))
logical_or = _known("logical_or", False, _reduce_logical(reductions.any))
logical_xor = _known("logical_xor", False)
logaddexp = _known("logaddexp", -np.inf, function=floatmath.logaddexp)
logaddexp2 = _known("logaddexp2", -np.inf, function=floatmath.logaddexp2)
negative = ufunc(ufuncs.negative, 1, 1, name="negative", call=ufuncs.negative)
