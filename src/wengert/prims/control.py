"""Loops and branches over Python functions: scan, while_loop, fori_loop, cond, switch, map.

These functions trace their arguments to jaxprs, check that types fit, and bind the primitives.
"""

from __future__ import annotations

import builtins
import operator
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import tree
from wengert.config import current
from wengert.core import dtypes
from wengert.core.array import Array
from wengert.core.avals import ShapedArray, same_type
from wengert.core.axes import named_axes
from wengert.core.jaxpr import ClosedJaxpr, Var
from wengert.core.source import api_boundary
from wengert.core.staging import eval_jaxpr, hoist_consts, stage
from wengert.core.trace import Tracer, get_aval
from wengert.prims.arithmetic import add
from wengert.prims.cond import cond_p
from wengert.prims.conversion import convert_with_weak_type
from wengert.prims.lists import reject, select, split, spread
from wengert.prims.logic import lt, ne
from wengert.prims.scan import reordered, scan_p
from wengert.prims.select import clamp
from wengert.prims.shape import reshape
from wengert.prims.slicing import concatenate, index_in_dim, slice_in_dim, stack
from wengert.prims.while_loop import while_p
from wengert.transforms.api_util import (
    FlatFun,
    check_arraylike,
    check_callable,
    fun_name,
    operand,
    parameter_names,
    result,
)
from wengert.transforms.memo import new_memo
from wengert.transforms.vmap import vmap

Fun = Callable[..., Any]
_INT32 = np.dtype(np.int32)
_each = builtins.map  # `map` is a function below


# --------------------------------------------------------------------------------------------- tracing bodies


class Body:
    """A traced function: a jaxpr whose first arguments are `consts`."""

    __slots__ = ("consts", "jaxpr", "out_tree")

    def __init__(self, jaxpr: ClosedJaxpr, consts: list[Any], out_tree: Any):
        self.jaxpr = jaxpr
        self.consts = consts
        self.out_tree = out_tree


_bodies: weakref.WeakKeyDictionary[Any, dict[Any, Body]] = new_memo()


def trace_body(fun: Fun, in_tree: Any, avals: Sequence[ShapedArray], role: str, owner: Any = None) -> Body:
    """Trace a function of pytrees.

    The result is remembered for `owner` (`fun`, if there is none) in this role, unless it depends on values
    of an
    enclosing trace: a loop that is called again then needs no tracing.
    """
    key = (role, in_tree, *avals, current().trace_key, named_axes())
    try:
        known = _bodies.setdefault(fun if owner is None else owner, {})
    except TypeError:  # not hashable, or no weak references to it
        known = {}
    found = known.get(key)
    if found is None:
        flat = FlatFun(fun, in_tree)
        flat.__name__ = fun_name(fun if owner is None else owner)
        closed = stage(flat, avals, flat.__name__)
        found = Body(hoist_consts(closed), [operand(c) for c in closed.consts], flat.out_tree)
        if not any(isinstance(c, Tracer) for c in closed.consts):
            known[key] = found
    return found


def _flatten(name: str, value: Any) -> tuple[list[Any], Any]:
    leaves, treedef = tree.flatten(value)
    for leaf in leaves:
        check_arraylike(leaf, name, "an operand")
    return [operand(x) for x in leaves], treedef


def _first_name(fun: Fun, position: int, default: str) -> str:
    names = parameter_names(fun)[0]
    return names[position] if position < len(names) else default


def _where(path: Any, name: str) -> str:
    text = tree.keystr(path)
    return f"component {name}{text}" if text else name


def _check_carry_structure(what: str, name: str, in_tree: Any, out_tree: Any) -> None:
    if in_tree == out_tree:
        return
    marks_in = tree.unflatten(in_tree, [0] * in_tree.num_leaves)
    marks_out = tree.unflatten(out_tree, [0] * out_tree.num_leaves)
    raise TypeError(
        f"{what} function carry input and carry output must have the same pytree structure, but they"
        f" differ:\n\nThe input carry {name} has structure {in_tree}, the output carry {out_tree}; as a"
        f" sketch, {marks_in!r:.200} and {marks_out!r:.200}.\n\nRevise the function so that it returns a"
        " carry of the same structure as it takes."
    )


def _check_carry_types(
    what: str, name: str, treedef: Any, in_avals: Sequence[ShapedArray], out_avals: Sequence[ShapedArray]
) -> None:
    """Raise TypeError if a part of the carry changes its type, naming the part, both types and the mend."""
    paths = [path for path, _ in tree.leaves_with_path(tree.unflatten(treedef, list(in_avals)))]
    lines = []
    for path, a, b in zip(paths, in_avals, out_avals, strict=True):
        if same_type(a, b):
            continue
        if a.shape != b.shape and a.dtype != b.dtype:
            why = "the shapes and the dtypes do not match"
        elif a.shape != b.shape:
            why = "the shapes do not match"
        else:
            why = "the dtypes do not match"
        lines.append(
            f"The input carry {_where(path, name)} has type {_long(a)} but the corresponding output carry "
            f"component has type {_long(b)}, so {why}."
        )
        if a.shape == b.shape:
            lines.append(
                f"Start with jnp.asarray(..., {b.dtype.name}) in its place, or return it as"
                f" .astype({a.dtype.name})."
            )
    if lines:
        raise TypeError(
            f"{what} function carry input and carry output must have equal types, but they differ:\n\n"
            + "\n".join(lines)
            + "\n\nRevise the function so that all output types match the corresponding input types."
        )


def _long(aval: ShapedArray) -> str:
    return f"{aval.dtype.name}[{','.join(_each(str, aval.shape))}]"


def _promoted(values: list[Any], out_avals: Sequence[ShapedArray]) -> list[Any] | None:
    """Initial values, where weakly typed numbers took the dtype of what the body returns; None if all fit."""
    changed = False
    promoted = []
    for x, out in zip(values, out_avals, strict=True):
        aval = get_aval(x)
        weaker = aval.weak_type and aval.dtype != out.dtype and aval.shape == out.shape
        if weaker and dtypes.result_type(aval, out) == out.dtype:
            x, changed = convert_with_weak_type(x, out.dtype, False), True
        promoted.append(x)
    return promoted if changed else None


# ------------------------------------------------------------------------------------------------------- scan


def _scan_length(xs: Sequence[Any], length: Any) -> int:
    sizes = []
    for x in xs:
        shape = get_aval(x).shape
        if not shape:
            raise ValueError(f"scan got value with no leading axis to scan over: {_short(x)}.")
        sizes.append(shape[0])
    if length is not None:
        try:
            length = operator.index(length)
        except TypeError as error:
            if isinstance(length, Tracer):
                raise
            raise ValueError(f"scan takes an integer as `length`, got {length!r}") from error
        if any(s != length for s in sizes):
            raise ValueError(
                f"scan got `length` argument of {length} which disagrees with leading axis sizes {sizes}."
            )
        if length < 0:
            raise ValueError(f"scan takes a `length` of at least 0, got {length}")
        return length  # type: ignore[no-any-return]
    if not sizes:
        raise ValueError("scan got no values to scan over and `length` not provided.")
    if len(set(sizes)) > 1:
        raise ValueError(
            "scan got values with different leading axis sizes: "
            + ", ".join(_each(str, dict.fromkeys(sizes)))
            + "."
        )
    return sizes[0]


def _short(x: Any) -> str:
    return x.describe() if isinstance(x, Tracer) else f"{x._np if isinstance(x, Array) else x!r}"


@api_boundary
def scan(
    f: Fun,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> tuple[Any, Any]:
    """Loop over the leading axis of arrays with a carry, and stack the outputs.

    `carry, y = f(carry, x)` for one slice `x` of `xs` after the other; the body is traced once, whatever the
    length.

    Args:
      f: from (carry, x) to a pair (carry, y). The carry keeps its structure, shapes and dtypes.
      init: the first carry, a pytree of arrays.
      xs: a pytree of arrays with equal leading sizes, or None.
      length: the number of iterations, needed if `xs` has no arrays.
      reverse: go from the last slice to the first; the outputs stay in the order of `xs`.
      unroll: how many iterations the compiler puts into one turn of the loop; True for all.
    Returns:
      (last carry, ys), where ys has the outputs stacked along a new leading axis.
    Raises:
      TypeError: the carry changes its type; `f` returns no pair.
      ValueError: leading sizes differ, or the length is not known.
    """
    check_callable(f, "scan")
    init_flat, carry_tree = _flatten("scan", init)
    xs_flat, xs_tree = _flatten("scan", xs)
    n = _scan_length(xs_flat, length)
    if operator.index(unroll) < 0:
        raise ValueError(f"`unroll` must be a `bool` or a non-negative `int`, got {unroll}.")
    if current().disable_jit:
        return _scan_in_python(f, init, xs_flat, xs_tree, n, reverse)
    in_tree = tree.treedef_tuple((carry_tree, xs_tree))
    x_avals = [ShapedArray(a.shape[1:], a.dtype, a.weak_type) for a in _each(get_aval, xs_flat)]
    while True:
        carry_avals = [get_aval(x) for x in init_flat]
        body = trace_body(f, in_tree, [*carry_avals, *x_avals], "scan")
        carry_out_tree, ys_tree = _scan_output(f, body)
        _check_carry_structure("scan body", _first_name(f, 0, "c"), carry_tree, carry_out_tree)
        out_carry = body.jaxpr.out_avals[: len(init_flat)]
        promoted = _promoted(init_flat, out_carry)
        if promoted is None:
            break
        init_flat = promoted
    _check_carry_types("scan body", _first_name(f, 0, "c"), carry_tree, carry_avals, out_carry)
    carry, ys = bind_scan(
        body, init_flat, xs_flat, n, reverse, n or 1 if unroll is True else operator.index(unroll)
    )
    return tree.unflatten(carry_tree, carry), tree.unflatten(ys_tree, ys)


def _scan_output(f: Fun, body: Body) -> tuple[Any, Any]:
    children = tree.treedef_children(body.out_tree)
    root = body.out_tree.node_data()
    if root is None or root[0] is not tuple or len(children) != 2:
        got = tree.unflatten(body.out_tree, [a.str_short() for a in body.jaxpr.out_avals])
        raise TypeError(
            f"scan body output must be a pair, got {got}. {fun_name(f)} has to return (carry, y); y is None"
            " if there is nothing to stack."
        )
    return children[0], children[1]


def bind_scan(
    body: Body, init: list[Any], xs: list[Any], length: int, reverse: bool, unroll: int
) -> tuple[list[Any], list[Any]]:
    """Bind `scan`. What the body hands on unchanged is no carry, but a const."""
    n_consts, n_carry = len(body.consts), len(init)
    jaxpr = body.jaxpr.jaxpr
    same = [v is jaxpr.invars[n_consts + i] for i, v in enumerate(jaxpr.outvars[:n_carry])]
    closed = body.jaxpr if not any(same) else _without_carry(body.jaxpr, n_consts, tuple(same))
    consts = [*body.consts, *select(init, same)]
    carry = reject(init, same)
    outs = scan_p.bind(
        *consts,
        *carry,
        *xs,
        jaxpr=closed,
        length=length,
        reverse=bool(reverse),
        linear=(False,) * (len(consts) + len(carry) + len(xs)),
        unroll=unroll,
        num_consts=len(consts),
        num_carry=len(carry),
    )
    changed = spread(outs[: len(carry)], [not s for s in same])
    return [result(x) if s else c for x, s, c in zip(init, same, changed)], list(outs[len(carry) :])


def _without_carry(closed: ClosedJaxpr, n_consts: int, same: tuple[bool, ...]) -> ClosedJaxpr:
    consts, carry, xs = split(range(len(closed.in_avals)), n_consts, len(same))
    kept = [i for i, s in enumerate(same) if not s]
    ys = range(len(same), len(closed.out_avals))
    return reordered(closed, [*consts, *select(carry, same), *reject(carry, same), *xs], [*kept, *ys])


def _scan_in_python(
    f: Fun, init: Any, xs: list[Any], xs_tree: Any, length: int, reverse: bool
) -> tuple[Any, Any]:
    """Under disable_jit the body runs as Python, once for each iteration."""
    if length == 0:
        raise ValueError(
            "zero-length scan is not supported in disable_jit() mode because the output type is unknown."
        )
    carry, found = init, []
    for i in reversed(range(length)) if reverse else range(length):
        x = tree.unflatten(xs_tree, [index_in_dim(x, i, keepdims=False) for x in xs])
        carry, y = f(carry, x)
        found.append(y)
    if reverse:
        found.reverse()
    return tree.map(result, carry), tree.map(lambda *ys: stack([result(y) for y in ys]), *found)


# ------------------------------------------------------------------------------------------------------ loops


@api_boundary
def while_loop(cond_fun: Fun, body_fun: Fun, init_val: Any) -> Any:
    """Apply `body_fun` again and again, as long as `cond_fun` says True.

    Args:
      cond_fun: from the value to a boolean scalar.
      body_fun: from the value to the next one, of the same structure, shapes and dtypes.
      init_val: the first value, a pytree of arrays.
    Returns:
      The first value for which `cond_fun` is False.
    Raises:
      TypeError: the value changes its type; `cond_fun` returns no boolean scalar.
    Reverse-mode differentiation is not possible, as the number of iterations is not known; use `scan` or
    `fori_loop` with Python ints.
    """
    check_callable(cond_fun, "while_loop")
    check_callable(body_fun, "while_loop")
    if current().disable_jit:
        value = init_val
        while cond_fun(value):
            value = body_fun(value)
        return tree.map(result, value)
    init, carry_tree = _flatten("while_loop", init_val)
    in_tree = tree.treedef_tuple((carry_tree,))
    return tree.unflatten(carry_tree, _while(cond_fun, body_fun, init, carry_tree, in_tree))


def _while(
    cond_fun: Fun,
    body_fun: Fun,
    init: list[Any],
    carry_tree: Any,
    in_tree: Any,
    owner: Any = None,
    what: str = "while_loop",
) -> list[Any]:
    name = _first_name(body_fun if owner is None else owner, 0 if owner is None else 1, "val")
    while True:
        avals = [get_aval(x) for x in init]
        cond = trace_body(cond_fun, in_tree, avals, f"{what} cond", owner)
        _check_condition(cond_fun, cond)
        body = trace_body(body_fun, in_tree, avals, f"{what} body", owner)
        _check_carry_structure(f"{what} body", name, carry_tree, body.out_tree)
        promoted = _promoted(init, body.jaxpr.out_avals)
        if promoted is None:
            break
        init = promoted
    _check_carry_types(f"{what} body", name, carry_tree, avals, body.jaxpr.out_avals)
    outs: list[Any] = while_p.bind(
        *cond.consts,
        *body.consts,
        *init,
        cond_jaxpr=cond.jaxpr,
        cond_nconsts=len(cond.consts),
        body_jaxpr=body.jaxpr,
        body_nconsts=len(body.consts),
    )
    return outs


def _check_condition(cond_fun: Fun, cond: Body) -> None:
    if not tree.treedef_is_leaf(cond.out_tree):
        raise TypeError(f"cond_fun must return a boolean scalar, but got pytree {cond.out_tree}.")
    aval = cond.jaxpr.out_avals[0]
    if aval.shape != () or aval.dtype != np.bool_:
        hint = "reduce it, e.g. with jnp.any or jnp.all" if aval.shape else "compare it, e.g. with x != 0"
        raise TypeError(
            f"cond_fun must return a boolean scalar, but got output type(s) [{aval!r}] of"
            f" {fun_name(cond_fun)}; {hint}."
        )


@api_boundary
def fori_loop(
    lower: Any, upper: Any, body_fun: Fun, init_val: Any, *, unroll: int | bool | None = None
) -> Any:
    """`for i in range(lower, upper): val = body_fun(i, val)`.

    Args:
      lower, upper: integers. If both are known while tracing, the loop is a `scan`, and can be
        differentiated in reverse mode.
      body_fun: from (i, value) to the next value, of the same structure, shapes and dtypes.
      init_val: the first value, a pytree of arrays.
      unroll: how many iterations go into one turn of the loop; only for known bounds.
    Returns:
      The last value.
    Raises:
      TypeError: the bounds are no integers of one dtype; the value changes its type.
    """
    check_callable(body_fun, "fori_loop")
    dtype = _bounds_dtype(lower, upper)
    static = not isinstance(lower, Tracer) and not isinstance(upper, Tracer)
    if not static and unroll is not None:
        raise ValueError("Can only use `unroll` in `fori_loop` if the loop bounds are statically known.")
    if current().disable_jit and (static or _concrete(lower, upper)):
        value = init_val
        for i in range(int(lower), int(upper)):
            value = body_fun(operand(dtype.type(i)), value)
        return tree.map(result, value)
    init, carry_tree = _flatten("fori_loop", init_val)
    weak = get_aval(lower).weak_type and get_aval(upper).weak_type
    if static:
        first = _python_int(lower)
        counter = first if weak else dtype.type(first)
        return _fori_scan(counter, _python_int(upper) - first, body_fun, init, carry_tree, unroll)

    def cond_fun(state: Any) -> Any:
        return lt(state[0], state[1])

    def step(state: Any) -> Any:
        i, stop, value = state
        return add(i, 1), stop, body_fun(i, value)

    state_tree = tree.treedef_tuple((tree.structure(0), tree.structure(0), carry_tree))
    bounds = [convert_with_weak_type(operand(b), dtype, weak) for b in (lower, upper)]
    outs = _while(
        cond_fun, step, [*bounds, *init], state_tree, tree.treedef_tuple((state_tree,)), body_fun, "fori_loop"
    )
    return tree.unflatten(carry_tree, outs[2:])


def _concrete(*values: Any) -> bool:
    return all(v.concrete() is not None for v in values if isinstance(v, Tracer))


def _python_int(x: Any) -> int:
    return int(x._np) if isinstance(x, Array) else int(x)


def _bounds_dtype(lower: Any, upper: Any) -> np.dtype[Any]:
    avals = []
    for name, bound in (("lower", lower), ("upper", upper)):
        check_arraylike(bound, "fori_loop", f"the {name} bound")
        aval = get_aval(bound)
        if aval.shape != ():
            raise TypeError(f"{name} argument to fori_loop must be a scalar, got shape {aval.shape}")
        avals.append(aval)
    low, up = avals
    weak = [a.weak_type for a in avals]
    if low.dtype != up.dtype and not (
        any(weak) and dtypes.issubdtype(low.dtype, np.integer) and dtypes.issubdtype(up.dtype, np.integer)
    ):
        raise TypeError(
            f"lower and upper arguments to fori_loop must have equal types, got {low.dtype.name} and"
            f" {up.dtype.name}"
        )
    dtype = up.dtype if weak[0] else low.dtype
    if not dtypes.issubdtype(dtype, np.integer):
        raise TypeError(f"lower and upper arguments to fori_loop must be integers, got {dtype.name}")
    return dtype


def _fori_scan(counter: Any, turns: int, body_fun: Fun, init: list[Any], carry_tree: Any, unroll: Any) -> Any:
    """A loop of known length: the counter is part of the carry of a scan."""
    length = max(turns, 0)

    def step(state: Any, _: Any) -> Any:
        i, value = state
        return (add(i, 1), body_fun(i, value)), None

    state_tree = tree.treedef_tuple((tree.structure(0), carry_tree))
    in_tree = tree.treedef_tuple((state_tree, tree.structure(None)))
    name = _first_name(body_fun, 1, "val")
    while True:
        avals = [get_aval(x) for x in init]
        body = trace_body(step, in_tree, [get_aval(counter), *avals], "fori scan", body_fun)
        out_tree = tree.treedef_children(tree.treedef_children(body.out_tree)[0])[1]
        _check_carry_structure("fori_loop body", name, carry_tree, out_tree)
        out_avals = body.jaxpr.out_avals[1:]
        promoted = _promoted(init, out_avals)
        if promoted is None:
            break
        init = promoted
    _check_carry_types("fori_loop body", name, carry_tree, avals, out_avals)
    at_once = length or 1 if unroll is True else int(unroll or 1)
    carry, _ = bind_scan(body, [counter, *init], [], length, False, at_once)
    return tree.unflatten(carry_tree, carry[1:])


# --------------------------------------------------------------------------------------------------- branches


def _branch_name(fun: Fun) -> str:
    code = getattr(fun, "__code__", None)
    return (
        f"{fun_name(fun)} at {code.co_filename}:{code.co_firstlineno}" if code is not None else fun_name(fun)
    )


def check_branches(names: Sequence[str], funs: Sequence[Fun], bodies: Sequence[Body]) -> None:
    """Raise TypeError if the branches return different structures or shapes."""
    first = bodies[0]
    for name, fun, body in zip(names[1:], funs[1:], bodies[1:]):
        where = f"\n\n{names[0]} is {_branch_name(funs[0])}\n{name} is {_branch_name(fun)}\n\n"
        if body.out_tree != first.out_tree:
            raise TypeError(
                f"cond branch outputs must have the same pytree structure, but they differ:{where}"
                f"{names[0]} returns {first.out_tree}, {name} returns {body.out_tree}.\n\n"
                f"Revise {names[0]} and/or {name} so that they have the same pytree structure."
            )
        paths = [
            p for p, _ in tree.leaves_with_path(tree.unflatten(first.out_tree, list(first.jaxpr.out_avals)))
        ]
        wrong = [
            f"The output of {names[0]}{_at(path)} has type {_long(a)} but the corresponding output of {name}"
            f" has type {_long(b)}, so the {'shapes' if a.shape != b.shape else 'dtypes'} do not match."
            for path, a, b in zip(paths, first.jaxpr.out_avals, body.jaxpr.out_avals)
            if not same_type(a, b)
        ]
        if wrong:
            raise TypeError(
                f"cond branches must have equal output types but they differ.{where}"
                + "\n".join(wrong)
                + f"\n\nRevise {names[0]} and/or {name} so that all output types match, e.g. with .astype."
            )


def _at(path: Any) -> str:
    text = tree.keystr(path)
    return f" at path {text}" if text else ""


def _with_common_types(bodies: list[Body]) -> list[Body]:
    """The branches, with weakly typed results converted to the dtype of the others'."""
    columns = list(zip(*(b.jaxpr.out_avals for b in bodies)))
    wanted: list[ShapedArray | None] = []
    for avals in columns:
        strong = [a for a in avals if not a.weak_type]
        if all(same_type(a, avals[0]) for a in avals) or not strong or len({a.shape for a in avals}) > 1:
            wanted.append(None)
        else:
            target = strong[0]
            fits = all(same_type(a, target) for a in strong)
            fits = fits and all(dtypes.result_type(a, target) == target.dtype for a in avals)
            wanted.append(target if fits else None)
    if not any(w is not None for w in wanted):
        return bodies

    def converted(body: Body) -> Body:
        def run(*args: Any) -> list[Any]:
            outs = eval_jaxpr(body.jaxpr.jaxpr, body.jaxpr.consts, *args)
            return [
                o if w is None else convert_with_weak_type(o, w.dtype, False) for o, w in zip(outs, wanted)
            ]

        closed = stage(run, body.jaxpr.in_avals, body.jaxpr.jaxpr.name)
        return Body(closed, body.consts, body.out_tree)

    return [converted(b) for b in bodies]


def with_common_consts(bodies: Sequence[Body]) -> tuple[tuple[ClosedJaxpr, ...], list[Any]]:
    """Branches that all take the constants of all, each once."""
    consts: list[Any] = []
    place: dict[int, int] = {}
    for body in bodies:
        for c in body.consts:
            if id(c) not in place:
                place[id(c)] = len(consts)
                consts.append(c)
    if not consts:
        return tuple(b.jaxpr for b in bodies), consts
    branches = []
    for body in bodies:
        jaxpr = body.jaxpr.jaxpr
        leading: list[Var] = [Var(get_aval(c)) for c in consts]
        for c, v in zip(body.consts, jaxpr.invars):
            leading[place[id(c)]] = v
        invars = [*leading, *jaxpr.invars[len(body.consts) :]]
        branches.append(ClosedJaxpr(jaxpr.replace(invars=invars, arg_names=()), body.jaxpr.consts))
    return tuple(branches), consts


def _bind_cond(index: Any, names: Sequence[str], funs: Sequence[Fun], operands: tuple[Any, ...]) -> Any:
    flat, in_tree = _flatten("cond", operands)
    avals = [get_aval(x) for x in flat]
    bodies = _with_common_types([trace_body(f, in_tree, avals, "branch") for f in funs])
    check_branches(names, funs, bodies)
    branches, consts = with_common_consts(bodies)
    outs = cond_p.bind(index, *consts, *flat, branches=branches)
    return tree.unflatten(bodies[0].out_tree, outs)


_NO_OPERAND = object()


@api_boundary
def cond(pred: Any, true_fun: Fun, false_fun: Fun, *operands: Any, operand: Any = _NO_OPERAND) -> Any:
    """Run one of two functions.

    Args:
      pred: a scalar, boolean or a number (which counts as True if it isn't 0).
      true_fun, false_fun: functions of the operands, with results of the same structure, shapes and dtypes.
      operands: arrays or pytrees.
      operand: one operand, in place of `operands`.
    Returns:
      What the chosen function returns. Under `vmap` with a batched `pred` both run, and the results are
      selected.
    Raises:
      TypeError: `pred` is no scalar; the functions return different types.
    """
    if len(operands) == 2 and callable(false_fun) and callable(operands[1]) and not callable(true_fun):
        # an older form: cond(pred, true_operand, true_fun, false_operand, false_fun)
        of_true, of_false = false_fun, operands[1]
        both = ((true_fun, operands[0]),)
        return _cond(pred, lambda ops: of_true(ops[0]), lambda ops: of_false(ops[1]), both)
    if operand is not _NO_OPERAND:
        if operands:
            raise TypeError(
                "if 'operand' keyword is passed then no positional operands can be passed, got both"
            )
        operands = (operand,)
    return _cond(pred, true_fun, false_fun, operands)


def _cond(pred: Any, true_fun: Fun, false_fun: Fun, operands: tuple[Any, ...]) -> Any:
    if not callable(true_fun) or not callable(false_fun):
        raise TypeError("lax.cond: true_fun and false_fun arguments should be callable.")
    pred = _scalar_pred(pred)
    if current().disable_jit and _concrete(pred):
        chosen = true_fun if bool(pred._np if isinstance(pred, Array) else pred) else false_fun
        return tree.map(result, chosen(*operands))
    if isinstance(pred, bool | np.bool_):
        index: Any = np.int32(pred)
    else:
        index = convert_with_weak_type(pred, _INT32, False)
    return _bind_cond(index, ("false_fun", "true_fun"), (false_fun, true_fun), operands)


def _scalar_pred(pred: Any) -> Any:
    """A boolean scalar."""
    if pred is None or isinstance(pred, str | tuple | list | dict):
        raise TypeError(f"Pred must be a scalar, got {pred} of type {type(pred)}")
    check_arraylike(pred, "cond", "the predicate")
    aval = get_aval(pred)
    if aval.shape != ():
        raise TypeError(
            f"Pred must be a scalar, got {_short(pred)} of shape {aval.shape}. To choose element by element"
            " use jnp.where or lax.select; to branch on all of them at once use jnp.any or jnp.all."
        )
    pred = operand(pred)
    if aval.dtype == np.bool_:
        return pred
    if not dtypes.issubdtype(aval.dtype, np.number):
        raise TypeError(f"Pred type must be either boolean or number, got {aval.dtype.name}")
    return ne(pred, aval.dtype.type(0))


@api_boundary
def switch(index: Any, branches: Sequence[Fun], *operands: Any, operand: Any = _NO_OPERAND) -> Any:
    """Run `branches[index]` on the operands; the index is clamped to the branches.

    Args:
      index: an integer scalar.
      branches: functions of the operands, with results of the same structure, shapes and dtypes.
      operands: arrays or pytrees.
      operand: one operand, in place of `operands`.
    Raises:
      TypeError: the index is no integer scalar; the branches return different types.
      ValueError: there are no branches.
    """
    if not all(callable(b) for b in branches):
        raise TypeError("lax.switch: branches argument should be a sequence of callables.")
    if operand is not _NO_OPERAND:
        if operands:
            raise TypeError(
                "if 'operand' keyword is passed then no positional operands can be passed, got both"
            )
        operands = (operand,)
    check_arraylike(index, "switch", "the index")
    aval = get_aval(index)
    if aval.shape != ():
        raise TypeError(f"Branch index must be scalar, got {_short(index)} of shape {aval.shape}.")
    if not dtypes.issubdtype(aval.dtype, np.integer):
        raise TypeError(f"Index type must be an integer, got {_short(index)} as {aval.dtype.name}")
    if not branches:
        raise ValueError("Empty branch sequence")
    if len(branches) == 1:
        return branches[0](*operands)
    last = len(branches) - 1
    if not isinstance(index, Tracer):
        chosen = min(max(_python_int(index), 0), last)
        if current().disable_jit:
            return tree.map(result, branches[chosen](*operands))
        which: Any = np.int32(chosen)
    else:
        wide = aval.dtype if aval.dtype.itemsize >= 4 else _INT32
        which = convert_with_weak_type(index, wide, False)
        which = convert_with_weak_type(clamp(wide.type(0), which, wide.type(last)), _INT32, False)
    names = [f"branch {i}" for i in range(len(branches))]
    return _bind_cond(which, names, tuple(branches), operands)


# -------------------------------------------------------------------------------------------------------- map


@api_boundary
def map(f: Fun, xs: Any, *, batch_size: int | None = None) -> Any:
    """Apply `f` to one slice of `xs` after the other, and stack the results.

    Like `vmap`, but in a loop, which needs less memory.

    Args:
      f: a function of a slice.
      xs: a pytree of arrays with equal leading sizes.
      batch_size: work on that many slices at once, with `vmap`.
    """
    check_callable(f, "map")
    if not batch_size:
        return scan(lambda _, x: (None, f(x)), None, xs)[1]
    if batch_size < 0:
        raise ValueError(f"map takes a batch_size of at least 1, got {batch_size}")
    leaves, treedef = _flatten("map", xs)
    n = _scan_length(leaves, None)
    whole = n - n % batch_size
    mapped = vmap(f)
    parts = []
    if whole:
        chunks = [
            reshape(slice_in_dim(x, 0, whole), (whole // batch_size, batch_size, *get_aval(x).shape[1:]))
            for x in leaves
        ]
        out = scan(lambda _, x: (None, mapped(x)), None, tree.unflatten(treedef, chunks))[1]
        parts.append(tree.map(lambda y: reshape(y, (whole, *y.shape[2:])), out))
    if n % batch_size or not parts:
        parts.append(mapped(tree.unflatten(treedef, [slice_in_dim(x, whole, n) for x in leaves])))
    return parts[0] if len(parts) == 1 else tree.map(lambda *ys: concatenate(ys, 0), *parts)
