"""Functions with a rule of their own for what `vmap` makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert import tree
from wengert._lazy import lazy_module
from wengert.core.source import api_boundary
from wengert.core.staging import hoist_consts, stage
from wengert.core.trace import get_aval
from wengert.prims.control import map as _map
from wengert.prims.custom_vmap import custom_vmap_p, without_constants
from wengert.transforms.api_util import (
    FlatFun,
    check_arraylike,
    check_callable,
    fun_name,
    operand,
    result,
    wraps,
)

__all__ = ["custom_vmap", "sequential_vmap"]

_inspect = lazy_module("inspect")
Fun = Callable[..., Any]


class custom_vmap:
    """A function with a rule for `vmap`.

    ::

        @custom_vmap
        def total(x, w):
            return jnp.dot(x, w)

        @total.def_vmap
        def total_of_many(axis_size, in_batched, xs, ws):
            x_batched, w_batched = in_batched
            if x_batched and not w_batched:
                return xs @ ws, True
            ...

    The derivative of the rule is the rule of the derivative: `vmap` of `jvp` uses it, and `grad` of `vmap`. For
    `vmap` of `grad` it does not say enough: the way back is batched operation by operation, unless the function has
    a `custom_vjp` too, around it.
    """

    def __init__(self, fun: Fun):
        check_callable(fun, "custom_vmap")
        self.fun = fun
        self.vmap_rule: Fun | None = None
        wraps(fun, self)

    def def_vmap(self, vmap_rule: Fun) -> Fun:
        """State the rule, and return it.

        Args:
          vmap_rule: a function (axis_size, in_batched, *args) -> (out, out_batched). `in_batched` is a list with a
            tree of booleans for each argument: whether it has the batch axis, in front. `out_batched` says the same
            of the output.
        """
        self.vmap_rule = vmap_rule
        return vmap_rule

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = fun_name(self.fun)
        if self.vmap_rule is None:
            raise AttributeError(f"No batching rule defined for custom_vmap function {name} using def_vmap.")
        flat, in_tree = tree.flatten(_by_position(self.fun, name, args, kwargs))
        for i, leaf in enumerate(flat):
            check_arraylike(leaf, name, f"leaf {i} of the arguments")
        flat = [operand(x) for x in flat]
        flat_fun = FlatFun(self.fun, in_tree)
        closed = stage(flat_fun, [get_aval(x) for x in flat], name)
        rule = _flat_rule(self.vmap_rule, in_tree, flat_fun.out_tree)
        outs = custom_vmap_p.bind(
            *closed.consts,
            *flat,
            call=hoist_consts(closed),
            rule=without_constants(rule, len(closed.consts), name),
        )
        return tree.unflatten(flat_fun.out_tree, outs)


def _by_position(fun: Fun, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    try:
        bound = _inspect.signature(fun).bind(*args, **kwargs)
    except ValueError:  # no signature
        if not kwargs:
            return args
        raise TypeError(f"{name} has no signature, so its arguments must be passed by position") from None
    except TypeError as error:
        raise TypeError(
            f"The input arguments to the custom_vmap-decorated function {name} could not be resolved to"
            f" positional-only arguments. Binding failed with the error:\n{error}"
        ) from error
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"The input arguments to the custom_vmap-decorated function {name} could not be resolved to"
            f" positional-only arguments: {sorted(bound.kwargs)} are keyword-only."
        )
    return tuple(bound.args)


def _flat_rule(rule: Fun, in_tree: Any, fun_tree: Any) -> Any:
    name = fun_name(rule)

    def flat_rule(size: int, batched: Sequence[bool], args: Sequence[Any]) -> tuple[list[Any], list[bool]]:
        given = tree.unflatten(in_tree, [result(x) for x in args])
        pair = rule(size, list(tree.unflatten(in_tree, batched)), *given)
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"the custom vmap rule ({name}) must return a pair (output, which of it is batched), but it returned"
                f" {pair!r:.200}"
            )
        outs, out_tree = tree.flatten(pair[0])
        out_batched, batched_tree = tree.flatten(pair[1])
        if out_tree != batched_tree:
            raise ValueError(
                "structure of output value and output batching specification returned by custom vmap rule"
                f" ({name}) do not match.\nOutput values: {out_tree}\nBatching spec: {batched_tree}"
            )
        if out_tree != fun_tree:
            raise ValueError(
                f"structure of output returned by custom vmap rule ({name}) does not match that of original"
                f" custom-vmapped function.\nOriginal output: {fun_tree}\nRule output: {out_tree}"
            )
        return [result(o) for o in outs], [bool(b) for b in out_batched]

    flat_rule.__name__ = name
    return flat_rule


def sequential_vmap(f: Fun) -> custom_vmap:
    """A function that `vmap` calls for one element after the other, in a loop: for what can't be batched."""
    function = custom_vmap(f)

    def one_by_one(axis_size: int, in_batched: list[Any], *args: Any) -> tuple[Any, Any]:
        leaves, structure = tree.flatten(args)
        marks = tree.leaves(tuple(in_batched))
        mapped = [x for x, b in zip(leaves, marks, strict=True) if b]

        def call(elements: list[Any]) -> Any:
            rest = iter(elements)
            return function(
                *tree.unflatten(structure, [next(rest) if b else x for x, b in zip(leaves, marks)])
            )

        out = _map(call, mapped)
        return out, tree.map(lambda _: True, out)

    function.def_vmap(one_by_one)
    return function
