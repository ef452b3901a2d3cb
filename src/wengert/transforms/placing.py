"""`jit` with shardings: what the arguments are checked for, and where the results are."""

from __future__ import annotations

from typing import Any

from wengert import tree
from wengert.core.mesh import Sharding, SingleDeviceSharding, shape_fits
from wengert.core.trace import get_aval
from wengert.prims.placing import as_sharding, spread
from wengert.transforms.api_util import argument_names, is_arraylike, wraps


class ShardedJit:
    """A jitted function that knows where its arguments and results are. Made by `jit`."""

    __slots__ = ("__dict__", "__weakref__", "_fun", "_in", "_jitted", "_out", "_static")

    def __init__(self, fun: Any, jitted: Any, static: tuple[int, ...], in_shardings: Any, out_shardings: Any):
        self._fun = fun
        self._jitted = jitted
        self._static = static
        self._in = in_shardings
        self._out = out_shardings
        wraps(fun, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._in is not None:
            self._check(args, kwargs)
        outs = self._jitted(*args, **kwargs)
        return outs if self._out is None else spread(outs, self._out, "jit")

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if kwargs:
            raise ValueError(
                "pjit does not support kwargs when in_shardings is specified: pass the arguments by position"
            )
        nums = {i + len(args) if i < 0 else i for i in self._static}
        given = tuple([a for i, a in enumerate(args) if i not in nums])
        leaves = tree.leaves(given)
        names = argument_names(self._fun, given, {})
        places = tree.broadcast_prefix(
            self._in if not isinstance(self._in, list) else tuple(self._in),
            given,
            lambda x: x is None or isinstance(x, Sharding),
            prefix_name="jit in_shardings",
            full_name="the arguments",
        )
        for leaf, place, name in zip(leaves, places, names, strict=True):
            sharding = as_sharding(place, "jit")
            if sharding is not None and is_arraylike(leaf):
                shape_fits(sharding, get_aval(leaf).shape, f"jit arguments ({name})")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jitted, name)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else _Method(self, instance)

    def __repr__(self) -> str:
        return repr(self._jitted)


class _Method:
    """A jitted function with its first argument."""

    __slots__ = ("_function", "_instance")

    def __init__(self, function: ShardedJit, instance: Any):
        self._function = function
        self._instance = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self._instance, *args, **kwargs)


def with_shardings(
    fun: Any, jitted: Any, static: tuple[int, ...], in_shardings: Any, out_shardings: Any, device: Any
) -> Any:
    """A jitted function, with what is known of the places of its arguments and results."""
    if device is not None and out_shardings is None:
        out_shardings = SingleDeviceSharding(device)
    return ShardedJit(fun, jitted, static, in_shardings, out_shardings)
