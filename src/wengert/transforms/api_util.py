"""How the arguments of public functions become flat lists, and how they are named in messages."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert._lazy import lazy_module
from wengert.core import dtypes
from wengert.core.array import ArrayBase, from_numpy, wrap
from wengert.core.avals import ShapedArray
from wengert.core.trace import Tracer, get_aval

inspect = lazy_module("inspect")


def check_callable(fun: Any, name: str) -> None:
    """Raise TypeError unless `fun` can be called, and is no generator function."""
    if not callable(fun):
        raise TypeError(
            f"Expected a callable value, got {fun!r}: {name} takes a function as its first argument"
        )
    code = getattr(fun, "__code__", None)
    if code is not None and code.co_flags & 0x20:
        raise TypeError(
            f"Expected a function, got a generator function: {fun!r}. {name} can't trace generators."
        )


def fun_name(fun: Any) -> str:
    """The name of a function, for jaxprs and messages."""
    while isinstance(fun, functools.partial):
        fun = fun.func
    name = getattr(fun, "__name__", None)
    return name if isinstance(name, str) else type(fun).__name__


def wraps(fun: Any, wrapper: Callable[..., Any], doc: str = "") -> Any:
    """Give `wrapper` the name, module and docstring of `fun`, as far as it has them."""
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__dict__", "__annotations__"):
        try:
            value = getattr(fun, attribute)
            if attribute == "__dict__":
                wrapper.__dict__.update(value)
            else:
                setattr(wrapper, attribute, value)
        except (AttributeError, TypeError):
            continue
    if doc and isinstance(getattr(wrapper, "__name__", None), str):
        wrapper.__doc__ = f"{doc.format(fun=fun_name(fun))}\n\n{getattr(fun, '__doc__', None) or ''}".strip()
    wrapper.__wrapped__ = fun  # type: ignore[attr-defined]
    return wrapper


def parameter_names(fun: Any) -> tuple[list[str], list[str], bool]:
    """The names of the positional and of the keyword-only parameters, and whether there is a *args.

    For plain functions and methods they are read off the code: the inspect module takes long to import.
    """
    skip = 0
    if hasattr(fun, "__func__"):
        fun, skip = fun.__func__, 1
    code = getattr(fun, "__code__", None)
    if code is not None and not hasattr(fun, "__wrapped__"):
        n, k = code.co_argcount, code.co_kwonlyargcount
        return list(code.co_varnames[skip:n]), list(code.co_varnames[n : n + k]), bool(code.co_flags & 0x04)
    try:
        parameters = list(inspect.signature(fun).parameters.values())[skip:]
    except (ValueError, TypeError):
        return [], [], True
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keyword_only = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY]
    return positional, keyword_only, any(p.kind == p.VAR_POSITIONAL for p in parameters)


def argument_names(fun: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[str]:
    """What to call each leaf of the arguments: `argument x`, `argument params['w'][0]`."""
    names: list[str] = []
    positional = parameter_names(fun)[0]
    for i, arg in enumerate(args):
        name = positional[i] if i < len(positional) else f"args[{i - len(positional)}]"
        names.extend(f"argument {name}{tree.keystr(path)}" for path, _ in tree.leaves_with_path(arg))
    for key in sorted(kwargs):
        names.extend(f"argument {key}{tree.keystr(path)}" for path, _ in tree.leaves_with_path(kwargs[key]))
    return names


def normalize_argnums(argnums: Any, what: str = "argnums") -> int | tuple[int, ...]:
    """An int, or a tuple of ints, of what the user has given."""
    if isinstance(argnums, Sequence | set | frozenset):
        return tuple(operator.index(i) for i in argnums)
    try:
        return operator.index(argnums)
    except TypeError:
        raise TypeError(
            f"{what} must be an int or a sequence of ints, got {argnums!r} of type {type(argnums).__name__}"
        ) from None


def as_tuple(x: Any) -> tuple[Any, ...]:
    """None is (), one int or string a tuple of one."""
    if x is None:
        return ()
    if isinstance(x, str):
        return (x,)
    if isinstance(x, Iterable):
        return tuple(x)
    return (x,)


def select_args(
    fun: Callable[..., Any], argnums: int | tuple[int, ...], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """`fun` as a function of the chosen arguments alone, and these.

    Raises:
      TypeError: there are not as many positional arguments.
      ValueError: a negative number points before the first, or an argument is chosen twice.
    """
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    places: list[int] = []
    for i in numbers:
        if not -len(args) <= i < len(args):
            raise (TypeError if i >= 0 else ValueError)(
                f"argnums={argnums!r} asks for positional argument {i}, but {fun_name(fun)} was called with "
                f"{len(args)} positional argument{'s' if len(args) != 1 else ''}. Arguments that are "
                "differentiated must be passed by position."
            )
        if i % len(args) in places:
            raise ValueError(f"argnums={argnums!r} names argument {i % len(args)} of {fun_name(fun)} twice")
        places.append(i % len(args))

    def partial(*chosen: Any) -> Any:
        full = list(args)
        for place, value in zip(places, chosen, strict=True):
            full[place] = value
        return fun(*full, **kwargs)

    partial.__name__ = fun_name(fun)
    return partial, tuple(args[i] for i in places)


_TRACED = object()  # stands for a tracer in aux


class FlatFun:
    """A function of pytrees as one of flat lists. Keeps the structure of its last result.

    With `has_aux` the tracers in aux are further results, `num_aux` in number; see `without_aux`.
    """

    __slots__ = ("__name__", "_aux", "fun", "has_aux", "in_tree", "num_aux", "out_tree", "wants_kwargs")

    def __init__(
        self, fun: Callable[..., Any], in_tree: Any, has_aux: bool = False, wants_kwargs: bool = False
    ):
        self.fun = fun
        self.in_tree = in_tree
        self.has_aux = has_aux
        self.wants_kwargs = wants_kwargs
        self.out_tree: Any = None
        self.num_aux = 0
        self._aux: Any = None
        self.__name__ = fun_name(fun)

    def __call__(self, *flat: Any) -> list[Any]:
        args = tree.unflatten(self.in_tree, flat)
        out = self.fun(*args[0], **args[1]) if self.wants_kwargs else self.fun(*args)
        traced: list[Any] = []
        if self.has_aux:
            if not isinstance(out, tuple | list) or len(out) != 2:
                size = f" of {len(out)} elements" if isinstance(out, tuple | list) else ""
                raise TypeError(
                    f"With has_aux=True, {self.__name__} must return a pair (output, aux), but it returned "
                    f"{type(out).__name__}{size}"
                )
            out, aux = out
            aux_leaves, aux_tree = tree.flatten(aux)
            traced = [x for x in aux_leaves if isinstance(x, Tracer)]
            self._aux = [_TRACED if isinstance(x, Tracer) else x for x in aux_leaves], aux_tree
            self.num_aux = len(traced)
        leaves, self.out_tree = tree.flatten(out)
        for i, leaf in enumerate(leaves):
            if not is_arraylike(leaf):
                raise TypeError(self.bad_output(leaves, i))
        return leaves + traced

    def without_aux(self, outs: Sequence[Any]) -> tuple[list[Any], Any]:
        """The results proper, and aux with the values of its tracers."""
        if not self.has_aux:
            return list(outs), None
        n = len(outs) - self.num_aux
        found = iter(outs[n:])
        leaves, treedef = self._aux
        return list(outs[:n]), tree.unflatten(
            treedef, [result(next(found)) if x is _TRACED else x for x in leaves]
        )

    def bad_output(self, leaves: list[Any], i: int) -> str:
        paths = tree.leaves_with_path(tree.unflatten(self.out_tree, list(range(len(leaves)))))
        where = tree.keystr(paths[i][0])
        return (
            f"{self.__name__} returned a value of type {type(leaves[i]).__name__}"
            + (f" at output component {where}" if where else "")
            + ", which is not a valid JAX type: functions that are transformed return arrays, numbers, and"
            " containers of them"
        )


def is_arraylike(x: Any) -> bool:
    """Whether a leaf can be traced: an array, a tracer or a number."""
    if isinstance(x, ArrayBase | bool | int | float | complex):
        return True
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.kind not in "OSUMm"
    return hasattr(x, "__jax_array__")


def check_arraylike(x: Any, name: str, where: str) -> None:
    """Raise TypeError for what can't be an argument of a transformed function."""
    if not is_arraylike(x):
        raise TypeError(
            f"Cannot interpret value of type {type(x)} as an abstract array; it does not have a dtype"
            f" attribute ({name} got {x!r:.60} as {where}). Arguments are arrays, numbers, and containers of"
            " them; pass anything else as a static argument or through a closure."
        )


def operand(x: Any) -> Any:
    """A leaf as primitives take it: NumPy arrays become arrays of a canonical dtype."""
    if isinstance(x, ArrayBase):
        return x
    if isinstance(x, np.ndarray):
        return from_numpy(x.astype(dtypes.canonicalize_dtype(x.dtype), copy=False))
    if isinstance(x, np.generic):
        return x.astype(dtypes.canonicalize_dtype(x.dtype))
    if hasattr(x, "__jax_array__"):
        return operand(x.__jax_array__())
    return x


def result(x: Any) -> Any:
    """A leaf as public functions return it: numbers become arrays."""
    if isinstance(x, ArrayBase):
        return x
    if isinstance(x, np.ndarray) and x.dtype == dtypes.float0:
        return x
    aval = get_aval(x)
    return wrap(np.asarray(x, aval.dtype), aval)


class ShapeDtypeStruct:
    """The shape and dtype of an array, without the array.

    Takes an array's place where only its type matters: `eval_shape`, `jit(f).lower`, `linear_transpose`.
    """

    __slots__ = ("dtype", "shape", "sharding", "weak_type")

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any,
        *,
        sharding: Any = None,
        weak_type: bool = False,
        manual_axis_type: Any = None,
        is_ref: bool = False,
    ):
        if dtype is None:
            raise ValueError("ShapeDtypeStruct: dtype must be specified.")
        self.shape = tuple(operator.index(d) for d in shape)
        self.dtype = dtypes.visible(dtypes.as_dtype(dtype))
        self.sharding = sharding
        self.weak_type = bool(weak_type)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def update(self, **fields: Any) -> ShapeDtypeStruct:
        """A copy with some of shape, dtype, weak_type and sharding replaced."""
        values = {name: fields.pop(name, getattr(self, name)) for name in self.__slots__}
        return ShapeDtypeStruct(values.pop("shape"), values.pop("dtype"), **values, **fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtypeStruct) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.weak_type, self.sharding

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        sharding = f", sharding={self.sharding}" if self.sharding is not None else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype.name}{sharding}{weak})"


def shaped(x: Any) -> ShapedArray:
    """The type of an array or number, or of anything else with a shape and a dtype."""
    if isinstance(x, ShapedArray):
        return x
    if is_arraylike(x):
        return get_aval(x)
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return ShapedArray(x.shape, dtypes.canonicalize_dtype(x.dtype), getattr(x, "weak_type", False))
    raise TypeError(f"{x!r} of type {type(x).__name__} is no array, and has no shape and dtype either")
