"""Dtypes of the public API: scalar types that make arrays, limits, and questions about dtypes."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from wengert.core import dtypes
from wengert.core.array import Array
from wengert.numpy._util import DTypeLike, as_array
from wengert.numpy.creation import array


class _ScalarMeta(type):
    """The type of scalar types such as `float32`: they name a dtype, and called they make arrays of it."""

    dtype: np.dtype[Any]

    def __call__(cls, x: Any) -> Array:
        """`x` as an array of this dtype."""
        return cast(Array, array(x, dtype=cls.dtype))

    def __eq__(cls, other: object) -> bool:
        return cls is other or bool(cls.dtype.type == other)  # a NumPy type, or a dtype

    def __ne__(cls, other: object) -> bool:
        return not cls == other

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.dtype.type)

    def __reduce__(cls) -> str:
        return cls.__name__


def make_scalar_type(name: str, dtype: np.dtype[Any]) -> Any:
    """The scalar type of this name."""
    doc = f"The dtype {dtype.name}. Called, it makes arrays of it: `{name}([1, 0])`."
    fields = {"dtype": dtype, "__module__": "wengert.numpy", "__slots__": (), "__doc__": doc}
    return _ScalarMeta(name, (object,), fields)


bool_ = make_scalar_type("bool", np.dtype("bool"))
int8 = make_scalar_type("int8", np.dtype("int8"))
int16 = make_scalar_type("int16", np.dtype("int16"))
int32 = make_scalar_type("int32", np.dtype("int32"))
int64 = make_scalar_type("int64", np.dtype("int64"))
uint8 = make_scalar_type("uint8", np.dtype("uint8"))
uint16 = make_scalar_type("uint16", np.dtype("uint16"))
uint32 = make_scalar_type("uint32", np.dtype("uint32"))
uint64 = make_scalar_type("uint64", np.dtype("uint64"))
float16 = make_scalar_type("float16", np.dtype("float16"))
float32 = make_scalar_type("float32", np.dtype("float32"))
float64 = make_scalar_type("float64", np.dtype("float64"))
complex64 = make_scalar_type("complex64", np.dtype("complex64"))
complex128 = make_scalar_type("complex128", np.dtype("complex128"))

int_, uint, float_, complex_ = int64, uint64, float64, complex128
single, double, csingle, cdouble = float32, float64, complex64, complex128


def finfo(dtype: DTypeLike) -> Any:
    """The limits of a floating point dtype: eps, max, min, tiny, bits ..."""
    return dtypes.finfo(dtypes.as_dtype(dtype))


def iinfo(int_type: DTypeLike) -> Any:
    """The limits of an integer dtype: min, max, bits."""
    return dtypes.iinfo(dtypes.as_dtype(int_type))


def issubdtype(arg1: DTypeLike, arg2: DTypeLike) -> bool:
    """Whether a dtype belongs to a kind such as `jnp.floating`, or is a certain dtype."""
    return bool(dtypes.issubdtype(arg1, arg2))


def result_type(*args: Any) -> np.dtype[Any]:
    """The dtype that an operation on these arrays, numbers and dtypes results in."""
    return cast("np.dtype[Any]", dtypes.result_type(*args))


def promote_types(a: DTypeLike, b: DTypeLike) -> np.dtype[Any]:
    """The dtype that an operation on arrays of these dtypes results in."""
    return cast("np.dtype[Any]", dtypes.promote_types(a, b))


def can_cast(from_: DTypeLike, to: DTypeLike, casting: Any = "safe") -> bool:
    """Whether values of one dtype can be converted to another under a rule of NumPy's: "no", "safe" ..."""
    return np.can_cast(dtypes.as_dtype(from_), dtypes.as_dtype(to), casting)


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: DTypeLike, kind: Any) -> bool:
    """Whether a dtype is of a kind of the array API ("bool", "integral", "real floating" ...), or of one of several."""
    found = dtypes.as_dtype(dtype)
    for k in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(k, str) and k in _KINDS:
            if dtypes.kind_of(found) in _KINDS[k]:
                return True
        elif isinstance(k, str):
            raise ValueError(f"Unrecognized {kind=} expected one of {list(_KINDS)}")
        elif dtypes.as_dtype(k) == found:
            return True
    return False


def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex, of an array or of anything that has a dtype."""
    return dtypes.kind_of(x.dtype if hasattr(x, "dtype") else as_array(x).dtype) == "c"


def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


def isscalar(element: Any) -> bool:
    """Whether `element` is a number or an array without axes."""
    if isinstance(element, int | float | complex | np.generic):
        return True
    return getattr(element, "ndim", None) == 0 and hasattr(element, "dtype")
