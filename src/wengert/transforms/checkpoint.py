"""`checkpoint`: compute intermediate values again for the derivative, rather than keep them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from wengert import tree
from wengert.core.source import api_boundary
from wengert.core.staging import hoist_consts, stage
from wengert.core.trace import get_aval
from wengert.prims.call import inline_calls, name_p, remat_p
from wengert.prims.constructors import as_operand
from wengert.prims.dot import dot_general_p
from wengert.transforms.api_util import (
    FlatFun,
    argument_names,
    as_tuple,
    check_arraylike,
    check_callable,
    fun_name,
    operand,
    parameter_names,
    wraps,
)
from wengert.transforms.linearize import linearize_jaxpr

Policy = Callable[..., Any]


class RecomputeType:
    """What a policy may return in place of False."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "Recompute"


class SaveableType:
    """What a policy may return in place of True."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Saveable"


class Offloadable:
    """What a policy returns to keep a value in another memory. There is one memory: the value is kept."""

    __slots__ = ("dst", "src")

    def __init__(self, src: Any, dst: Any):
        self.src = src
        self.dst = dst

    def __repr__(self) -> str:
        return f"Offloadable(src={self.src!r}, dst={self.dst!r})"


Recompute, Saveable = RecomputeType(), SaveableType()


def checkpoint(
    fun: Callable[..., Any],
    *,
    prevent_cse: bool = True,
    policy: Policy | None = None,
    static_argnums: int | tuple[int, ...] = (),
    static_argnames: str | Iterable[str] = (),
    concrete: bool = False,
) -> Callable[..., Any]:
    """`fun`, differentiated in such a way that its intermediate values are computed again, not kept.

    That takes less memory and more time. Also known as `remat`.

    Args:
      fun: a function of arrays or pytrees.
      prevent_cse: keep the compiler from merging the second computation with the first, which would undo the
        saving. It can be False inside of `scan`.
      policy: says what is kept nevertheless; one of `checkpoint_policies`, or a function from (primitive,
        *avals, **params) to a bool.
      static_argnums, static_argnames: arguments that `fun` gets as they are.
      concrete: False; an option of earlier versions of JAX.
    Raises:
      TypeError: `concrete` is True: what Python control flow depends on belongs into `static_argnums`.
      ValueError: when called: `static_argnums` names an argument that isn't there.
    """
    check_callable(fun, "checkpoint")
    if concrete:
        raise TypeError(
            "checkpoint takes concrete=True no more: say with static_argnums what Python depends on"
        )
    given = [operator.index(i) for i in as_tuple(static_argnums)]
    static = _static_positions(fun, static_argnums, static_argnames)

    @api_boundary
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        for i in given:
            if not -len(args) <= i < len(args):
                raise ValueError(
                    "the `static_argnums` argument to `jax.checkpoint` / `jax.remat` can only take integer values"
                    f" greater than or equal to {-len(args)} and less than {len(args)}, as {fun_name(fun)} was"
                    f" called with {len(args)} positional arguments, but got {static_argnums}"
                )
        nums = {i + len(args) if i < 0 else i for i in static}
        dynamic = tuple(a for i, a in enumerate(args) if i not in nums)
        names = {k: v for k, v in kwargs.items() if k in as_tuple(static_argnames)}
        others = {k: v for k, v in kwargs.items() if k not in names}

        def partial(*given: Any, **by_name: Any) -> Any:
            rest = iter(given)
            return fun(*(a if i in nums else next(rest) for i, a in enumerate(args)), **by_name, **names)

        flat, in_tree = tree.flatten((dynamic, others))
        for i, leaf in enumerate(flat):
            check_arraylike(leaf, "checkpoint", f"leaf {i} of the arguments")
        flat = [operand(x) for x in flat]
        flat_fun = FlatFun(partial, in_tree, wants_kwargs=True)
        flat_fun.__name__ = fun_name(fun)
        closed = stage(flat_fun, [get_aval(x) for x in flat], fun_name(fun))
        outs = remat_p.bind(
            *(operand(c) for c in closed.consts),
            *flat,
            jaxpr=hoist_consts(closed),
            prevent_cse=prevent_cse,
            differentiated=False,
            policy=policy,
        )
        return tree.unflatten(flat_fun.out_tree, outs)

    return wraps(fun, checkpointed)  # type: ignore[no-any-return]


remat = checkpoint


def _static_positions(fun: Any, nums: Any, names: Any) -> tuple[int, ...]:
    positional = parameter_names(fun)[0]
    found = [operator.index(i) for i in as_tuple(nums)]
    return (*found, *(positional.index(n) for n in as_tuple(names) if n in positional))


def checkpoint_name(x: Any, name: str) -> Any:
    """`x`, under a name that policies of `checkpoint` can refer to; for a pytree, every leaf of it."""
    return tree.map(lambda leaf: name_p.bind(as_operand("checkpoint_name", leaf), name=name), x)


# --------------------------------------------------------------------------------------------------- policies


def everything_saveable(prim: Any, *_: Any, **params: Any) -> bool:
    """Keep everything: as without `checkpoint`."""
    return True


def nothing_saveable(prim: Any, *_: Any, **params: Any) -> bool:
    """Keep nothing: the default."""
    return False


def dots_saveable(prim: Any, *_: Any, **params: Any) -> bool:
    """Keep the results of matrix products, which take long to compute again."""
    return prim is dot_general_p


def dots_with_no_batch_dims_saveable(prim: Any, *_: Any, **params: Any) -> bool:
    """Keep the results of matrix products that have no batch axes."""
    if prim is not dot_general_p:
        return False
    _, (lhs_batch, rhs_batch) = params["dimension_numbers"]
    return not lhs_batch and not rhs_batch


def save_anything_except_these_names(*names_not_to_save: str) -> Policy:
    """Keep everything but values named so by `checkpoint_name`."""
    names = frozenset(names_not_to_save)

    def policy(prim: Any, *_: Any, **params: Any) -> bool:
        return not (prim is name_p and params["name"] in names)

    return policy


def save_any_names_but_these(*names_not_to_save: str) -> Policy:
    """Keep values named by `checkpoint_name`, but not these."""
    names = frozenset(names_not_to_save)

    def policy(prim: Any, *_: Any, **params: Any) -> bool:
        return prim is name_p and params["name"] not in names

    return policy


def save_only_these_names(*names_which_can_be_saved: str) -> Policy:
    """Keep only values named so by `checkpoint_name`."""
    names = frozenset(names_which_can_be_saved)

    def policy(prim: Any, *_: Any, **params: Any) -> bool:
        return prim is name_p and params["name"] in names

    return policy


def save_from_both_policies(policy_1: Policy, policy_2: Policy) -> Policy:
    """Keep what either policy keeps."""

    def policy(prim: Any, *avals: Any, **params: Any) -> Any:
        return policy_1(prim, *avals, **params) or policy_2(prim, *avals, **params)

    return policy


def save_and_offload_only_these_names(
    *,
    names_which_can_be_saved: Iterable[str],
    names_which_can_be_offloaded: Iterable[str],
    offload_src: str,
    offload_dst: str,
) -> Policy:
    """Keep values named so by `checkpoint_name`. There is one memory: what may be offloaded stays in it."""
    return save_only_these_names(*names_which_can_be_saved, *names_which_can_be_offloaded)


def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Policy:
    """`dots_with_no_batch_dims_saveable`: there is one memory, and nowhere to offload to."""
    return dots_with_no_batch_dims_saveable


checkpoint_policies = SimpleNamespace(
    everything_saveable=everything_saveable,
    nothing_saveable=nothing_saveable,
    dots_saveable=dots_saveable,
    checkpoint_dots=dots_saveable,
    dots_with_no_batch_dims_saveable=dots_with_no_batch_dims_saveable,
    checkpoint_dots_with_no_batch_dims=dots_with_no_batch_dims_saveable,
    offload_dot_with_no_batch_dims=offload_dot_with_no_batch_dims,
    save_anything_except_these_names=save_anything_except_these_names,
    save_any_names_but_these=save_any_names_but_these,
    save_only_these_names=save_only_these_names,
    save_from_both_policies=save_from_both_policies,
    save_and_offload_only_these_names=save_and_offload_only_these_names,
)


@api_boundary
def print_saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print what reverse mode would keep of `f(*args, **kwargs)`: types, and where the values come from."""
    for aval, where in saved_residuals(f, *args, **kwargs):
        print(f"{aval.str_short()} {where}")


def saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> list[tuple[Any, str]]:
    """The types of the values that reverse mode keeps of `f(*args, **kwargs)`, and where they come from."""
    flat, in_tree = tree.flatten((args, kwargs))
    flat_fun = FlatFun(f, in_tree, wants_kwargs=True)
    closed = inline_calls(stage(flat_fun, [get_aval(x) for x in flat], fun_name(f)))
    lin = linearize_jaxpr(closed, (True,) * len(flat), (False,) * len(closed.out_avals))
    sources = {v: e for e in lin.primal.eqns for v in e.outvars}
    names = argument_names(f, args, kwargs)
    found = [(get_aval(c), "from a constant") for c in lin.tangent.consts]
    for kind, i in lin.sources:
        if kind == "in":
            found.append((closed.in_avals[i], f"from the {names[i]}"))
            continue
        var = lin.primal.jaxpr.outvars[i]
        eqn = sources.get(var)  # type: ignore[arg-type]
        if eqn is None:
            found.append((var.aval, "from a constant"))
            continue
        what = (
            f"named '{eqn.params['name']}'" if eqn.primitive is name_p else f"output of {eqn.primitive.name}"
        )
        found.append((var.aval, f"{what} from {eqn.source.place()}" if eqn.source else what))
    return found
