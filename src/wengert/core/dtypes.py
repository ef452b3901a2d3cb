"""Dtypes: which exist, which one an operation on several results in, and the 32-bit defaults.

A dtype here is a NumPy dtype, one of ml_dtypes' (`bfloat16`, `float8_*`, `int4` ...), `float0` (the tangent
of an integer), or a structured one for random keys, which users see as a `KeyType`. A Python scalar is weakly
typed: it takes on the dtype of what it meets. A (dtype, weak) pair is a point of the promotion lattice;
promotion is the least upper bound of points.

ml_dtypes is imported when one of its dtypes is first asked for.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from wengert._lazy import lazy_module
from wengert.config import current
from wengert.core.source import user_context, warn_user
from wengert.errors import TypePromotionError

difflib = lazy_module("difflib")
ml_dtypes = lazy_module("ml_dtypes")

DType = np.dtype[Any]


class extended(np.generic):
    """The scalar type above all dtypes that are not arrays of numbers to the user."""


class prng_key(extended):
    """The scalar type of random keys, for `issubdtype(key.dtype, prng_key)`."""


class KeyType:
    """What users see as the dtype of random keys: key<fry>. `dtype` is the structured dtype that stores them.

    The two are equal, and NumPy takes either.
    """

    __slots__ = ("dtype",)
    type = prng_key
    kind = "V"
    isnative = True

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    @property
    def name(self) -> str:
        return f"key<{self.dtype.type.__name__}>"

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return other is self or (isinstance(other, np.dtype) and other == self.dtype)

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __reduce__(self) -> Any:
        return key_type, (self.dtype,)


_key_types: dict[DType, KeyType] = {}


def key_type(dtype: DType) -> KeyType:
    """The dtype that users see, of the structured dtype of random keys."""
    found = _key_types.get(dtype)
    if found is None:
        found = _key_types[dtype] = KeyType(dtype)
    return found


def is_key_dtype(dtype: Any) -> bool:
    """Whether a dtype is that of random keys."""
    return isinstance(dtype, KeyType) or (
        isinstance(dtype, np.dtype) and dtype.kind == "V" and issubclass(dtype.type, prng_key)
    )


def visible(dtype: DType) -> Any:
    """A dtype as users see it."""
    return key_type(dtype) if is_key_dtype(dtype) else dtype


float0: Final[DType] = np.dtype([("float0", np.void, 0)])

_BOOL: Final = np.dtype("bool")
_INT32: Final = np.dtype("int32")
_FLOAT32: Final = np.dtype("float32")
_FLOAT64: Final = np.dtype("float64")
_COMPLEX64: Final = np.dtype("complex64")
_COMPLEX128: Final = np.dtype("complex128")

_FLOAT8_NAMES: Final = (
    "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz",
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
)  # fmt: skip
_INTN_NAMES: Final = ("int1", "int2", "int4", "uint1", "uint2", "uint4")
ML_NAMES: Final = frozenset(("bfloat16", *_FLOAT8_NAMES, *_INTN_NAMES))
"""The scalar types that come from ml_dtypes; each is an attribute of this module."""

_NAMES: Final = ML_NAMES | {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
}  # fmt: skip

# The edges of the promotion lattice, from each point to the next ones up. "i*", "f*", "c*" are weak.
_STANDARD_EDGES: Final[dict[str, tuple[str, ...]]] = {
    "bool": ("i*",),
    "i*": ("uint8", "int8", *_INTN_NAMES),
    "uint8": ("int16", "uint16"), "uint16": ("int32", "uint32"), "uint32": ("int64", "uint64"),
    "uint64": ("f*",),
    "int8": ("int16",), "int16": ("int32",), "int32": ("int64",), "int64": ("f*",),
    "f*": ("c*", "float16", "bfloat16", *_FLOAT8_NAMES),
    "float16": ("float32",), "bfloat16": ("float32",), "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "c*": ("complex64",), "complex64": ("complex128",), "complex128": (),
    **dict.fromkeys((*_INTN_NAMES, *_FLOAT8_NAMES), ()),
}  # fmt: skip
_FLOATS: Final = ("bfloat16", "float16", "float32", "float64", *_FLOAT8_NAMES)
_STRICT_EDGES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(_NAMES, ()),
    "i*": ("f*", *[name for name in sorted(_NAMES) if "int" in name]),
    "f*": ("c*", *_FLOATS),
    "c*": ("complex64", "complex128"),
}
_WEAK_POINTS: Final = {"i": "i*", "f": "f*", "c": "c*"}
_WEAK_DTYPES: Final = {"i*": np.dtype("int64"), "f*": _FLOAT64, "c*": _COMPLEX128}

_PYTHON_SCALARS: Final[dict[Any, tuple[DType, bool]]] = {
    bool: (_BOOL, False),
    int: (np.dtype("int64"), True),
    float: (_FLOAT64, True),
    complex: (_COMPLEX128, True),
}
_TO_32: Final = {
    "int64": _INT32,
    "uint64": np.dtype("uint32"),
    "float64": _FLOAT32,
    "complex128": _COMPLEX64,
}


def __getattr__(name: str) -> Any:
    if name in ML_NAMES:
        value = getattr(ml_dtypes, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# ----------------------------------------------------------------------------------------- what dtype is this


def as_dtype(spec: Any) -> Any:
    """The dtype that `spec` names: a dtype, a scalar type, a string, or None for float. Not canonicalized.

    Raises:
      TypeError: `spec` names no dtype.
    """
    if isinstance(spec, np.dtype):
        return spec
    found = getattr(spec, "dtype", None)  # scalar types such as wengert.numpy.float32; KeyType
    if isinstance(found, np.dtype):
        return found
    if isinstance(spec, str) and spec in ML_NAMES:
        spec = getattr(ml_dtypes, spec)
    try:
        return np.dtype(spec)
    except TypeError as error:
        raise user_context(TypeError(_no_dtype(spec, error))) from None


def _no_dtype(spec: Any, error: TypeError) -> str:
    text = str(error)
    if not isinstance(spec, str):
        return f"{text}; a dtype is named by jnp.float32, 'float32', float and the like"
    close = difflib.get_close_matches(spec, _NAMES, 1)
    return f"{text}; " + (
        f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(_NAMES))}"
    )


def _dtype_and_weak(x: Any) -> tuple[Any, bool]:
    """The dtype of a value or of a dtype-like, not canonicalized, and whether it is weak."""
    kind = type(x)
    pair = _PYTHON_SCALARS.get(kind)
    if pair is not None:
        return pair
    found = getattr(x, "dtype", None)
    if isinstance(found, np.dtype):
        return found, getattr(x, "weak_type", False)
    if isinstance(found, KeyType):
        return found.dtype, False
    if isinstance(x, np.dtype):
        return x, False
    if isinstance(x, type):
        pair = _PYTHON_SCALARS.get(x)  # the types int, float and complex are weak as well
        return pair if pair is not None else (np.dtype(x), False)
    if x is None or isinstance(x, str):
        return as_dtype(x), False
    for scalar in (bool, int, float, complex):  # subclasses, such as members of an IntEnum
        if isinstance(x, scalar):
            return _PYTHON_SCALARS[scalar][0], False
    raise TypeError(
        f"Cannot determine dtype of {x!r}: it is a {kind.__name__}, neither an array nor a number nor a dtype"
        + ("; convert it with jnp.asarray first" if isinstance(x, (list, tuple)) else "")
    )


def dtype(x: Any, *, canonicalize: bool = True) -> Any:
    """The dtype of the value (or dtype-like) `x`; 32-bit while x64 is off, unless `canonicalize` is False.

    Raises:
      TypeError: `x` has no dtype.
    """
    found = _dtype_and_weak(x)[0]
    return canonicalize_dtype(found, allow_extended_dtype=True) if canonicalize else found


def is_weakly_typed(x: Any) -> bool:
    """Whether `x` takes on the dtype of what it meets: Python numbers (not bools), arrays made of them."""
    return type(x) in (int, float, complex) or getattr(x, "weak_type", False) is True


_canonical_32: dict[Any, DType] = {}
_canonical_64: dict[Any, DType] = {}


def canonicalize_dtype(dtype: Any, allow_extended_dtype: bool = False) -> Any:
    """The dtype that values asked for as `dtype` have: 64-bit ones become 32-bit ones while x64 is off.

    Args:
      dtype: anything that names a dtype; None is float.
      allow_extended_dtype: return the dtypes of random keys and the like as they are; else refuse them.
    Raises:
      TypeError: `dtype` names no dtype.
      ValueError: `dtype` is extended, and `allow_extended_dtype` is False.
    """
    memo = _canonical_64 if current().enable_x64 else _canonical_32
    try:
        return memo[dtype]
    except (KeyError, TypeError):
        pass
    found = as_dtype(dtype)
    if is_key_dtype(found):
        if allow_extended_dtype:
            return found
        raise ValueError(f"{short_name(found)} is not the dtype of an array of numbers")
    result = found if found.isnative else found.newbyteorder("=")
    if memo is _canonical_32:
        result = _TO_32.get(result.name, result)
    if isinstance(dtype, (np.dtype, type)) and is_valid(result) and result != float0:
        memo[dtype] = result
    return result


def python_scalar_dtype(kind: type) -> DType:
    """The dtype of a Python `bool`, `int`, `float` or `complex`, given the type."""
    found: DType = canonicalize_dtype(_PYTHON_SCALARS[kind][0])
    return found


def default_int_dtype() -> DType:
    """int64 while x64 is on, else int32."""
    return python_scalar_dtype(int)


def default_uint_dtype() -> DType:
    """uint64 while x64 is on, else uint32."""
    found: DType = canonicalize_dtype(np.uint64)
    return found


def default_float_dtype() -> DType:
    """float64 while x64 is on, else float32."""
    return python_scalar_dtype(float)


def default_complex_dtype() -> DType:
    """complex128 while x64 is on, else complex64."""
    return python_scalar_dtype(complex)


def is_valid(dtype: Any) -> bool:
    """Whether arrays can have this (canonical or 64-bit) dtype."""
    return is_key_dtype(dtype) or dtype == float0 or dtype.name in _NAMES


def check_user_dtype_supported(dtype: Any, fun_name: str | None = None) -> None:
    """Refuse a dtype that arrays can't have; warn where a 64-bit one will be truncated because x64 is off.

    Args:
      dtype: what the user gave. `int`, `float`, `complex` mean the default of their kind and never warn.
      fun_name: the public function that was called.
    Raises:
      TypeError: arrays can't have this dtype.
    """
    check_and_canonicalize_user_dtype(dtype, fun_name)


def check_and_canonicalize_user_dtype(dtype: Any, fun_name: str | None = None) -> Any:
    """`check_user_dtype_supported`, and return the canonical dtype."""
    place = f" in {fun_name}" if fun_name else ""
    if dtype is None:
        raise ValueError(f"dtype must be specified{place}")
    found = as_dtype(dtype)
    if is_key_dtype(found):
        return found
    if not is_valid(found):
        hint = "; the largest float is float64" if found.kind in "fc" else ""
        if found.kind in "SUO":
            hint = "; keep text and objects in Python containers, and number them where arrays need them"
        message = f"arrays hold numbers, bools or random keys: the dtype {dtype!r}{place} is not one of theirs{hint}"
        raise user_context(TypeError(message))
    result = canonicalize_dtype(found)
    if result.itemsize != found.itemsize and not any(dtype is kind for kind in (int, float, complex)):
        warn_user(
            f"Explicitly requested dtype {found.name}{place} is not available, and will be truncated to dtype"
            f" {result.name}. To have 64-bit types, call wengert.config.update('jax_enable_x64', True) before"
            " the first array is made, or set WENGERT_ENABLE_X64=1 in the environment."
        )
    return result


# -------------------------------------------------------------------------------------------------- promotion


def _upper_bounds(edges: dict[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """For each point of the lattice, itself and all points above it."""
    bounds: dict[str, frozenset[str]] = {}

    def visit(point: str) -> frozenset[str]:
        if point not in bounds:
            bounds[point] = frozenset((point,)).union(*[visit(above) for above in edges[point]])
        return bounds[point]

    for point in edges:
        visit(point)
    return bounds


_bounds: dict[str, dict[str, frozenset[str]]] = {}


def _lattice(mode: str) -> dict[str, frozenset[str]]:
    if mode not in _bounds:
        _bounds[mode] = _upper_bounds(_STRICT_EDGES if mode == "strict" else _STANDARD_EDGES)
    return _bounds[mode]


def _point(dtype: Any, weak: bool) -> str:
    name: str = dtype.name
    if name not in _NAMES:
        if is_key_dtype(dtype) or dtype == float0:
            raise ValueError(
                f"{short_name(dtype)} does not mix with other dtypes: values of this type are no numbers"
            )
        raise TypeError(f"{dtype!r} is not the dtype of an array: arrays hold numbers, bools or random keys")
    return _WEAK_POINTS.get(dtype.kind, name) if weak else name


def _least_upper_bound(points: list[str], mode: str) -> str:
    bounds = _lattice(mode)
    common = frozenset.intersection(*[bounds[point] for point in points])
    for point in common:
        if bounds[point] == common:
            return point
    names = " and ".join(
        dict.fromkeys({"i*": "int", "f*": "float", "c*": "complex"}.get(p, p) for p in points)
    )
    if mode == "strict":
        way_out = (
            "Convert them with x.astype(...), or allow it by"
            " wengert.config.update('jax_numpy_dtype_promotion', 'standard')."
        )
    elif any(point in _FLOAT8_NAMES for point in points):
        way_out = (
            "8-bit and smaller floats never change their dtype unasked: convert with x.astype('float32')."
        )
    elif any(point in _INTN_NAMES for point in points):
        way_out = (
            "Integers of less than 8 bits never change their dtype unasked: convert with x.astype('int8')."
        )
    else:
        way_out = "Convert one of them with x.astype(...)."
    mode_text = " while numpy_dtype_promotion is 'strict'" if mode == "strict" else ""
    message = f"{names} have no common dtype to be promoted to{mode_text}. {way_out}"
    raise user_context(TypePromotionError(message))


def _promote(pairs: tuple[tuple[Any, bool], ...]) -> tuple[Any, bool]:
    """The join of (dtype, weak) pairs, canonical."""
    if not pairs:
        raise ValueError("at least one array or dtype is required")
    canonical = [(canonicalize_dtype(dtype, allow_extended_dtype=True), weak) for dtype, weak in pairs]
    if all(is_key_dtype(dtype) and dtype == canonical[0][0] for dtype, _ in canonical):
        return canonical[0][0], False
    points = [_point(dtype, weak) for dtype, weak in canonical]
    if len(set(points)) == 1:
        return canonical[0]
    point = _least_upper_bound(points, current().numpy_dtype_promotion)
    weak = point in _WEAK_DTYPES
    return canonicalize_dtype(_WEAK_DTYPES[point] if weak else as_dtype(point)), weak


# Per trace key (it tells x64 and the mode of promotion apart): joins that were asked for before.
_memos: dict[int, dict[Any, tuple[Any, bool]]] = {}


def lattice_result_type(*args: Any) -> tuple[Any, bool]:
    """The dtype that `args` (arrays, Python numbers, dtypes) promote to, canonical, and whether it is weak.

    Raises:
      TypePromotionError: they have no common dtype.
      TypeError: one of them has no dtype.
    """
    key = tuple([_dtype_and_weak(arg) for arg in args])
    trace_key = current().trace_key
    memo = _memos.get(trace_key)
    if memo is None:
        memo = _memos[trace_key] = {}
    result = memo.get(key)
    if result is None:
        result = memo[key] = _promote(key)
    return result


def result_type(*args: Any, return_weak_type_flag: bool = False) -> Any:
    """The dtype that an operation on `args` (arrays, Python numbers, dtypes) results in.

    Args:
      return_weak_type_flag: return a pair of the dtype and whether it is weak.
    Raises:
      TypePromotionError: they have no common dtype.
      TypeError: one of them has no dtype.
    """
    if len(args) == 2:
        a, b = args  # two arrays of one dtype are the common case
        dtype = getattr(a, "dtype", None)
        if dtype is getattr(b, "dtype", None) and isinstance(dtype, np.dtype):
            found = (_canonical_64 if current().enable_x64 else _canonical_32).get(dtype)
            if found is not None:
                if not return_weak_type_flag:
                    return found
                return found, getattr(a, "weak_type", False) and getattr(b, "weak_type", False)
    pair = lattice_result_type(*args)
    return pair if return_weak_type_flag else pair[0]


def promote_types(a: Any, b: Any) -> Any:
    """The dtype that the dtypes `a` and `b` promote to; the types `int`, `float`, `complex` are weak.

    Where a 64-bit dtype takes part the result may have 64 bits, even while x64 is off.

    Raises:
      TypePromotionError: they have no common dtype.
    """
    pairs = [_dtype_and_weak(x if isinstance(x, type) else as_dtype(x)) for x in (a, b)]
    points = [_point(dtype, weak) for dtype, weak in pairs]
    if points[0] == points[1]:
        return pairs[0][0]
    point = _least_upper_bound(points, current().numpy_dtype_promotion)
    result = _WEAK_DTYPES[point] if point in _WEAK_DTYPES else as_dtype(point)
    wide = any(dtype.name in _TO_32 and not weak for dtype, weak in pairs)
    return result if wide else canonicalize_dtype(result)


# -------------------------------------------------------------------------------------------- kinds of dtypes


def kind_of(dtype: Any) -> str:
    """One letter for a dtype: b(ool), i(nt), u(nsigned), f(loat), c(omplex), V: float0, random keys."""
    kind: str = dtype.kind
    if kind == "V":
        name: str = dtype.name
        if name in ML_NAMES:
            return name[0] if name[0] in "iu" else "f"
    return kind


_ABSTRACT: Final = {"i": np.signedinteger, "u": np.unsignedinteger, "f": np.floating}
_subdtypes: dict[tuple[Any, Any], bool] = {}


def _scalar_type(spec: Any) -> Any:
    if isinstance(spec, type) and issubclass(spec, np.generic):
        return spec
    return as_dtype(spec).type


def _is_subtype(a: Any, b: Any) -> bool:
    lower, upper = _scalar_type(a), _scalar_type(b)
    if lower.__name__ in ML_NAMES and lower is not upper:
        lower = _ABSTRACT[kind_of(np.dtype(lower))]
    return issubclass(lower, upper)


def issubdtype(a: Any, b: Any) -> bool:
    """Whether the dtype (or scalar type) `a` is of the kind `b`, such as `np.floating` or `prng_key`.

    Knows that bfloat16 and the 8-bit floats are floating, and that int4 is a signed integer.
    """
    try:
        return _subdtypes[a, b]
    except KeyError:
        result = _subdtypes[a, b] = _is_subtype(a, b)
        return result
    except TypeError:
        return _is_subtype(a, b)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether `dtype` is of a kind of the array API standard.

    Args:
      kind: 'bool', 'signed integer', 'unsigned integer', 'integral', 'real floating', 'complex floating' or
        'numeric'; a dtype; or a tuple of these, any of which will do.
    Raises:
      ValueError: there is no such kind.
    """
    letters = {
        "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu", "real floating": "f",
        "complex floating": "c", "numeric": "iufc",
    }  # fmt: skip
    found = as_dtype(dtype)
    for one in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(one, str) and one in letters:
            if kind_of(found) in letters[one]:
                return True
            continue
        try:
            same = as_dtype(one) == found
        except TypeError:
            raise ValueError(
                f"unknown kind of dtype {one!r}: it is a dtype or one of {', '.join(letters)}"
            ) from None
        if same:
            return True
    return False


def scalar_type_of(x: Any) -> type:
    """The Python type (`bool`, `int`, `float`, `complex`) of the elements of the value or dtype-like `x`.

    Raises:
      TypeError: `x` holds no numbers.
    """
    found = {"b": bool, "i": int, "u": int, "f": float, "c": complex}.get(kind_of(_dtype_and_weak(x)[0]))
    if found is None:
        raise TypeError(f"{x!r} holds no numbers")
    return found


def to_numeric_dtype(dtype: Any) -> Any:
    """`dtype`, but int32 for bool."""
    found = canonicalize_dtype(dtype)
    return _INT32 if found == _BOOL else found


def to_inexact_dtype(dtype: Any) -> Any:
    """`dtype` if it is floating or complex; else the float that functions such as sin give for it."""
    found = canonicalize_dtype(dtype)
    if kind_of(found) in "fc" or found.name in ("int2", "uint2"):
        return found
    return _FLOAT64 if found.itemsize == 8 else _FLOAT32


def to_floating_dtype(dtype: Any) -> Any:
    """`to_inexact_dtype`, and for a complex dtype that of its real part."""
    found = to_inexact_dtype(dtype)
    return (_FLOAT64 if found.itemsize == 16 else _FLOAT32) if found.kind == "c" else found


def to_complex_dtype(dtype: Any) -> Any:
    """The complex dtype that holds `dtype`."""
    found = to_inexact_dtype(dtype)
    if found.kind == "c":
        return found
    return _COMPLEX128 if found == _FLOAT64 else _COMPLEX64


# ----------------------------------------------------------------------------------------- facts about dtypes


def finfo(dtype: Any) -> Any:
    """Limits of a floating or complex dtype: `eps`, `max`, `min`, `tiny`, `bits` ... as NumPy's `finfo`.

    Raises:
      ValueError: the dtype is not floating.
    """
    found = as_dtype(dtype)
    return ml_dtypes.finfo(found) if found.name in ML_NAMES else np.finfo(found)


def iinfo(int_type: Any) -> Any:
    """Limits of an integer dtype: `min`, `max`, `bits`, as NumPy's `iinfo`.

    Raises:
      ValueError: the dtype is no integer.
    """
    found = as_dtype(int_type)
    return ml_dtypes.iinfo(found) if found.name in ML_NAMES else np.iinfo(found)


def supports_inf(dtype: Any) -> bool:
    """Whether the floating `dtype` has an infinity; most of the 8-bit ones have not."""
    name = as_dtype(dtype).name
    return name not in _FLOAT8_NAMES or name in ("float8_e3m4", "float8_e4m3", "float8_e5m2")


def itemsize_bits(dtype: Any) -> int:
    """The bits that one element has: 8 for bool, 4 for int4.

    Raises:
      ValueError: the dtype is extended, or None.
    """
    if dtype is None or is_key_dtype(dtype):
        raise ValueError(f"the elements of {dtype} are no numbers of a known size")
    found = as_dtype(dtype)
    if found.name in _INTN_NAMES:
        return int(found.name[-1])
    narrow = found.name.startswith(("float4_", "float6_"))
    return int(found.name[5]) if narrow else int(found.itemsize) * 8


_short_names: dict[Any, str] = {}


def short_name(dtype: Any) -> str:
    """The dtype as jaxprs print it: f32, bf16, i64, u8, c64, bool, f8_e4m3fn, float0, key<fry>."""
    name = _short_names.get(dtype)
    if name is None:
        if isinstance(dtype, KeyType):
            return dtype.name
        full: str = dtype.name
        name = "float0" if dtype == float0 else full
        if issubclass(dtype.type, prng_key):
            name = key_type(dtype).name
        for long, short in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i"), ("complex", "c")):
            if full.startswith(long) and name != "float0":
                name = short + full[len(long) :]
                break
        _short_names[dtype] = name
    return name
