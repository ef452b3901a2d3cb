"""Calls of Python functions while a program runs: `pure_callback`, `io_callback`, and those of `debug`.

They are one family of primitives. Their `impl` calls the function on arrays, and checks what it returns;
compiled code reaches it by a host call, which stands where the call stood in the program. So callbacks run
one at a time and in the order of the program, whether or not that was asked for. What tells the members
apart is which effects they have: those with effects are never removed, merged or moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.core import dtypes, source
from wengert.core.array import ArrayBase
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.trace import as_array
from wengert.prims.axes import batch_to
from wengert.prims.constructors import as_operand, zero_jvp
from wengert.prims.shape import expand_dims

VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized")


class Effect(str):
    """What an equation does beside computing its results."""

    __slots__ = ()


class IOEffect(Effect):
    """It talks to the world."""

    __slots__ = ()


class DebugEffect(Effect):
    """It shows something to whoever debugs the program."""

    __slots__ = ()


class OrderedDebugEffect(DebugEffect):
    """The same, in the order of the program."""

    __slots__ = ()


IO = frozenset((IOEffect("IO"),))
ORDERED_IO = frozenset((IOEffect("OrderedIO"),))
DEBUG = frozenset((DebugEffect("Debug"),))
ORDERED_DEBUG = frozenset((OrderedDebugEffect("OrderedDebug"),))


class Callback:
    """A Python function as one of a flat list of values, some of which are fixed.

    It can't be hashed, on purpose: no memo of operations and their parameters keeps the function alive.
    """

    __slots__ = ("fun", "in_tree", "line", "name", "static", "what")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, what: str, fun: Callable[..., Any], in_tree: Any, static: Sequence[tuple[int, Any]] = ()
    ):
        self.what = what
        self.fun = fun
        self.in_tree = in_tree
        self.static = list(static)  # (place, value): arguments that are no arrays
        self.line = source.current_frame()
        self.name = getattr(fun, "__name__", None) or type(fun).__name__

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """The leaves of what the function returns."""
        leaves = [as_array(v) for v in values]
        for place, value in self.static:
            leaves.insert(place, value)
        args, kwargs = tree.unflatten(self.in_tree, leaves)
        return tree.leaves(self.fun(*args, **kwargs))

    def error(self, message: str) -> BaseException:
        """The error for a result that is not as declared."""
        return source.user_context(RuntimeError(f"{self.what}: {self.name} {message}"), self.line)

    def __repr__(self) -> str:
        return str(self.name)


class _OneByOne:
    """A callback, called for each element of a batch."""

    __slots__ = ("batched", "callback", "size")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, callback: Any, size: int, batched: Sequence[bool]):
        self.callback = callback
        self.size = size
        self.batched = list(batched)

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        results = [
            self.callback([v[i] if b else v for v, b in zip(values, self.batched, strict=True)])
            for i in range(self.size)
        ]
        if len({len(r) for r in results}) > 1:
            raise self.error("returned different numbers of arrays for different elements of a batch")
        return [[np.asarray(x) for x in column] for column in zip(*results, strict=True)]

    def error(self, message: str) -> BaseException:
        error: BaseException = self.callback.error(message)
        return error

    def __repr__(self) -> str:
        return repr(self.callback)


def _stacked(x: Any) -> Any:
    """The results of `_OneByOne` as arrays; the shapes of the elements must be equal."""
    return np.stack([_stacked(y) for y in x]) if isinstance(x, list) else np.asarray(x)


def _checked(callback: Any, outs: Sequence[Any], avals: Sequence[ShapedArray]) -> list[Any]:
    """What a callback has returned, as arrays of the declared shapes and dtypes.

    Raises:
      RuntimeError: it is something else.
    """
    if len(outs) != len(avals):
        raise callback.error(
            f"returned {len(outs)} array{'s' if len(outs) != 1 else ''}, but result_shape_dtypes declares"
            f" {len(avals)}. Mismatched number of outputs from callback."
        )
    found = []
    for n, (out, aval) in enumerate(zip(outs, avals, strict=True)):
        try:
            value = _stacked(out)
            if not is_value(value):
                raise TypeError(f"its dtype is {value.dtype}")
            dtype = dtypes.canonicalize_dtype(value.dtype)
        except (TypeError, ValueError) as error:
            raise callback.error(f"returned {out!r:.60} as result {n}, which is no array: {error}") from None
        if value.shape != aval.shape or dtype != aval.dtype:
            what = "shape" if value.shape != aval.shape else "dtype"
            raise callback.error(
                f"returned {_long(value.shape, dtype)} as result {n}, but result_shape_dtypes declares"
                f" {_long(aval.shape, aval.dtype)}. Incorrect output {what}: declare what it returns, or"
                f" convert it before it is returned."
            )
        found.append(value.astype(aval.dtype, copy=False))
    return found


def _long(shape: Sequence[int], dtype: Any) -> str:
    return f"{dtype.name}[{','.join(map(str, shape))}]"


# -------------------------------------------------------------------------------------------------- the family


def _abstract_eval(
    *avals: ShapedArray, result_avals: Sequence[ShapedArray] = (), **_: Any
) -> list[ShapedArray]:
    return list(result_avals)


def _impl(
    xp: Any, *values: Any, callback: Any, result_avals: Sequence[ShapedArray] = (), **_: Any
) -> list[Any]:
    return _checked(callback, callback(values), result_avals)


def _show(xp: Any, *values: Any, callback: Any, **_: Any) -> list[Any]:
    callback(values)
    return []


def _refuse(message: str) -> Callable[..., Any]:
    def rule(*args: Any, **params: Any) -> Any:
        raise ValueError(message)

    return rule


def _one_by_one(
    prim: Primitive, axis: Any, args: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> Any:
    """Bind a callback that is called for each element of the batch."""
    if axis.size == 0:  # there is nothing to call it with
        avals = params.get("result_avals", ())
        return [as_operand(prim.name, np.zeros((0, *a.shape), a.dtype)) for a in avals], [0] * len(avals)
    batched = [d is not None for d in dims]
    values = [a if d is None else batch_to(a, d, axis.size, 0) for a, d in zip(args, dims, strict=True)]
    params = {**params, "callback": _OneByOne(params["callback"], axis.size, batched)}
    return _bind_batched(prim, axis, values, params)


def _bind_batched(prim: Primitive, axis: Any, values: Sequence[Any], params: dict[str, Any]) -> Any:
    if "result_avals" in params:
        avals = [a.update(shape=(axis.size, *a.shape)) for a in params["result_avals"]]
        params = {**params, "result_avals": tuple(avals)}
    outs = prim.bind(*values, **params)
    return outs, [0] * len(outs)


def _pure_batch(axis: Any, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    method = params["vmap_method"]
    if method is None:
        raise NotImplementedError(
            "vmap is only supported for the pure_callback primitive when vmap_method is one of"
            f" {', '.join(map(repr, VMAP_METHODS))}. Got vmap_method=None: say how the function takes a batch"
            " ('sequential' calls it for each element)."
        )
    if method in ("sequential", "sequential_unrolled"):
        return _one_by_one(pure_callback_p, axis, args, dims, params)
    values = []
    for a, d in zip(args, dims, strict=True):
        if d is not None or method == "broadcast_all":
            values.append(batch_to(a, d, axis.size, 0))
        else:
            values.append(expand_dims(a, (0,)) if method == "expand_dims" else a)
    return _bind_batched(pure_callback_p, axis, values, params)


def _io_batch(axis: Any, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    if params["ordered"]:
        raise ValueError(
            "Cannot `vmap` ordered IO callback. The order of the elements of a batch is not part of the"
            " program: leave out ordered=True, or loop with lax.map."
        )
    return _one_by_one(io_callback_p, axis, args, dims, params)


pure_callback_p = Primitive(
    "pure_callback",
    "other",
    abstract_eval=_abstract_eval,
    impl=_impl,
    jvp=_refuse(
        "Pure callbacks do not support JVP. Please use `jax.custom_jvp` to use callbacks while taking gradients."
    ),
    transpose=_refuse("Pure callbacks do not support transpose. Please use `jax.custom_vjp` around them."),
    batch=_pure_batch,
    multiple_results=True,
)

io_callback_p = Primitive(
    "io_callback",
    "other",
    abstract_eval=_abstract_eval,
    impl=_impl,
    jvp=_refuse("IO callbacks do not support JVP."),
    transpose=_refuse("IO callbacks do not support transpose."),
    batch=_io_batch,
    effects=lambda ordered, **_: ORDERED_IO if ordered else IO,
    multiple_results=True,
)


def _shown(name: str, hidden: Sequence[str] = ()) -> Primitive:
    """A primitive that shows its operands: it has no results, and derivatives pass by it."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        return prim.bind(*primals, **params), []

    def batch(axis: Any, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        return _one_by_one(prim, axis, args, dims, params)

    prim = Primitive(
        name,
        "other",
        abstract_eval=_abstract_eval,
        impl=_show,
        jvp=jvp,
        batch=batch,
        effects=lambda ordered, **_: ORDERED_DEBUG if ordered else DEBUG,
        multiple_results=True,
        hidden_params=hidden,
    )
    return prim


debug_callback_p = _shown("debug_callback")
debug_print_p = _shown("debug_print", hidden=("callback",))


# ------------------------------------------------------------------------------------------- public functions


def result_avals(name: str, declared: Any) -> tuple[tuple[ShapedArray, ...], Any]:
    """The types that a pytree of things with a shape and a dtype declares, and its structure.

    Raises:
      TypeError: a leaf has none.
      ValueError: a 64-bit type, while these are off.
    """
    leaves, structure = tree.flatten(declared)
    avals = []
    for leaf in leaves:
        if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
            raise TypeError(
                f"{name} takes result_shape_dtypes, a pytree of things with a shape and a dtype such as"
                f" jax.ShapeDtypeStruct((3,), jnp.float32), but found {leaf!r}"
            )
        dtype = dtypes.as_dtype(leaf.dtype)
        if dtypes.canonicalize_dtype(dtype) != dtype:
            raise ValueError(
                "result_shape_dtypes cannot specify 64-bit types when `jax_enable_x64` is disabled: declare"
                f" {dtypes.canonicalize_dtype(dtype).name} in place of {dtype.name}, or set jax_enable_x64"
            )
        avals.append(ShapedArray(tuple(leaf.shape), dtype))
    return tuple(avals), structure


def is_value(x: Any) -> bool:
    """Whether a leaf of the arguments is an array or a number, rather than something for Python only."""
    if isinstance(x, ArrayBase | bool | int | float | complex):
        return True
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.kind not in "OSUMm"
    return hasattr(x, "__jax_array__")


def _bind(
    prim: Primitive, callback: Callable[..., Any], declared: Any, args: Any, kwargs: Any, **params: Any
) -> Any:
    name = prim.name
    if not callable(callback):
        raise TypeError(f"{name} takes a function as its first argument, got {callback!r}")
    avals, structure = result_avals(name, declared)
    leaves, in_tree = tree.flatten((args, kwargs))
    for n, leaf in enumerate(leaves):
        if not is_value(leaf):
            raise TypeError(
                f"Error interpreting argument to {name} as a JAX value. The problematic value is of type"
                f" {type(leaf)} and was passed to {name} at position {n}: bind it to the function with a"
                " lambda or functools.partial."
            )
    called = Callback(name, callback, in_tree)
    outs = prim.bind(*[as_operand(name, x) for x in leaves], callback=called, result_avals=avals, **params)
    return tree.unflatten(structure, outs)


def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """The result of a Python function without side effects, in a program that may be compiled.

    The call may be left out if its result is not used, and made more than once. It can't be differentiated;
    wrap it in a function with `custom_jvp` or `custom_vjp` for that.

    Args:
      callback: a function of Arrays (of pytrees of them, as `args` and `kwargs` are), which may itself call
        jitted functions. An exception in it reaches whoever called the program.
      result_shape_dtypes: a pytree of `ShapeDtypeStruct`, or of arrays: the types of what it returns.
      sharding: accepted for compatibility; there is one device.
      vmap_method: what `vmap` does: "sequential" or "sequential_unrolled" call the function for each element;
        "expand_dims" calls it once, with a leading axis at every argument, of size 1 at those that are not
        mapped; "broadcast_all" with the batch size at all; "legacy_vectorized" leaves those that are not
        mapped as they are. None refuses `vmap`.
    Returns:
      A pytree of arrays of the declared types.
    Raises:
      ValueError: another `vmap_method`; a 64-bit type is declared while these are off; it is differentiated.
      RuntimeError: when it runs: the function returns something else than declared.
    """
    if vmap_method is not None and vmap_method not in VMAP_METHODS:
        raise ValueError(
            f"vmap_method must be one of the allowed methods {[*VMAP_METHODS, None]}, but got: {vmap_method}"
        )
    return _bind(pure_callback_p, callback, result_shape_dtypes, args, kwargs, vmap_method=vmap_method)


def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """The result of a Python function that may have side effects, in a program that may be compiled.

    It is called once each time the program comes by, used or not. Under `vmap` it is called for each element.

    Args:
      callback, result_shape_dtypes, sharding: as for `pure_callback`. A function that returns nothing
        declares None.
      ordered: the order of the calls is part of the program. (Calls are made in order anyway; but `vmap`
        refuses ordered ones.)
    Raises:
      ValueError: it is differentiated, or, if ordered, mapped.
      RuntimeError: when it runs: the function returns something else than declared.
    """
    return _bind(io_callback_p, callback, result_shape_dtypes, args, kwargs, ordered=bool(ordered))


def show(prim: Primitive, fun: Callable[..., Any], args: Any, kwargs: Any, **params: Any) -> None:
    """Call a function that returns nothing. Its arguments may be anything; only arrays are traced."""
    leaves, in_tree = tree.flatten((args, kwargs))
    static = [(n, leaf) for n, leaf in enumerate(leaves) if not is_value(leaf)]
    values = [as_operand(prim.name, leaf) for leaf in leaves if is_value(leaf)]
    prim.bind(*values, callback=Callback(prim.name, fun, in_tree, static), **params)


# ------------------------------------------------------------------------------------------------------ tokens


_TOKEN = ShapedArray((0,), np.dtype(bool))

after_all_p: Primitive = Primitive(
    "after_all",
    "other",
    abstract_eval=lambda *tokens: _TOKEN,
    impl=lambda xp, *tokens: xp.zeros(_TOKEN.shape, bool),
    jvp=zero_jvp(lambda: after_all_p),
    batch=lambda axis, args, dims: (after_all_p.bind(*args), None),
)


def create_token(_: Any = None) -> Any:
    """A token: an array without elements, which stands for an order of operations."""
    return after_all_p.bind()


def after_all(*operands: Any) -> Any:
    """A token that comes after all the given ones.

    Programs run their effects in order anyway; tokens are for programs that pass them on.
    """
    return after_all_p.bind(*[as_operand("after_all", x, n) for n, x in enumerate(operands)])
