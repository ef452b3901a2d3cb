"""Arrays: immutable values in memory, and the base class that they share with tracers."""

from __future__ import annotations

from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray

# An owner keeps the memory of an array alive and knows its address. The pool of `runtime.buffers` makes them.


class ArrayBase:
    """An immutable array, or a traced value that stands for one: both have these methods and all operators.

    Functions of `wengert.numpy` and `wengert.random` make arrays.
    """

    __slots__ = ("__weakref__",)
    __array_priority__ = 100
    aval: ShapedArray

    @property
    def shape(self) -> tuple[int, ...]:
        """How many elements there are along each axis."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the elements."""
        return self.aval.visible_dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.aval.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.aval.size

    @property
    def weak_type(self) -> bool:
        """Whether the dtype came from a Python number, and gives way to that of other arrays."""
        return self.aval.weak_type


class Array(ArrayBase):
    """An immutable array of fixed shape and dtype in the memory of a device.

    It holds a NumPy array (the result of an eager operation), or memory of the pool (the result of compiled
    code), and makes the other form, without a copy, when it is first asked for.
    """

    __slots__ = ("_address", "_ndarray", "_owner", "aval", "placement")

    placement: Any  # set only where the array was put on certain devices: a Sharding, or what makes one

    def __init__(self, aval: ShapedArray, ndarray: Any = None, owner: Any = None, address: int = 0):
        self.aval = aval
        self._ndarray = ndarray
        self._owner = owner
        self._address = address

    @property
    def _np(self) -> np.ndarray[Any, Any]:
        """The contents as a read-only NumPy array."""
        array = self._ndarray
        if array is None:
            if self._owner is None:
                raise RuntimeError(
                    f"Array has been deleted with shape={self.aval.dtype.name}[{','.join(map(str, self.shape))}]."
                    " Its memory was donated to a jitted function (donate_argnums or donate_argnames), or its"
                    " method delete was called: use the function's result instead, or don't donate."
                )
            array = self._ndarray = self._owner.view(self.aval.shape, self.aval.dtype)
        elif array.flags.writeable:
            array.setflags(write=False)
        return array  # type: ignore[no-any-return]

    def address(self) -> int:
        """Where the contents lie in memory, contiguous in C order."""
        address = self._address
        if address == 0:
            array = self._np
            if not array.flags.c_contiguous:
                array = np.ascontiguousarray(array).reshape(array.shape)
                self._ndarray = array
            address = self._address = array.__array_interface__["data"][0]
        return address


def wrap(value: Any, aval: ShapedArray) -> Array:
    """An Array of a NumPy result that nobody else will write to."""
    if type(value) is not np.ndarray:
        value = np.asarray(value)
    if value.shape != aval.shape or (value.dtype is not aval.dtype and value.dtype != aval.dtype):
        value = value.astype(aval.dtype, copy=False).reshape(aval.shape)
    return Array(aval, value)


def from_numpy(value: np.ndarray[Any, Any], weak_type: bool = False) -> Array:
    """An Array with a copy of a NumPy array, of the same dtype."""
    value = copy_aligned(value, value.dtype)
    return wrap(value, ShapedArray(value.shape, value.dtype, weak_type))


_LINE = 64  # bytes of a cache line, and of the widest vector


def copy_aligned(value: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """A copy in C order. A large one begins at a cache line: vector code would read across lines otherwise."""
    source = np.asarray(value)
    nbytes = source.size * np.dtype(dtype).itemsize
    if nbytes < 16 * _LINE:
        return np.array(source, dtype, order="C", copy=True)
    raw = np.empty(nbytes + _LINE, np.uint8)
    start = -raw.__array_interface__["data"][0] % _LINE
    copy: np.ndarray[Any, Any] = raw[start : start + nbytes].view(dtype).reshape(source.shape)
    np.copyto(copy, source, casting="unsafe")
    return copy
