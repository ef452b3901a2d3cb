"""scan: a loop of fixed length, with a carry, over the leading axis of its inputs, that stacks outputs.

The body takes consts, carry and the slices xs, and returns the new carry and the slices ys. Its rules
transform the body. Which values of the carry have tangents, batch axes and so on is found by iterating to a
fixed point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert.core.avals import ShapedArray, same_type
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var, eqn_effects
from wengert.core.primitive import Access, Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.staging import eval_jaxpr
from wengert.core.zeros import UndefinedPrimal, Zero, add_cotangents, instantiate, is_undefined
from wengert.prims.axes import batch_to
from wengert.prims.lists import either, nonzero_mask, select, split, spread
from wengert.transforms.batch import BatchAxis, batch_jaxpr
from wengert.transforms.dce import dce_closed, prune_eqns, stage_pruned
from wengert.transforms.jvp import jvp_jaxpr
from wengert.transforms.linearize import Linearized, linearize_jaxpr
from wengert.transforms.memo import memoized
from wengert.transforms.residuals import store_less
from wengert.transforms.transpose import backward_pass


def stacked(aval: ShapedArray, length: int) -> ShapedArray:
    """The type of `length` values along a new first axis."""
    return ShapedArray((length, *aval.shape), aval.dtype, aval.weak_type)


def _scan_avals(
    *avals: ShapedArray, jaxpr: ClosedJaxpr, length: int, num_consts: int, num_carry: int, **params: Any
) -> list[ShapedArray]:
    consts, carry, xs = split(jaxpr.in_avals, num_consts, num_carry)
    wanted = [*consts, *carry, *(stacked(x, length) for x in xs)]
    for got, want in zip(avals, wanted, strict=True):
        if not same_type(got, want):
            raise TypeError(
                f"scan got an operand of type {got.str_short()}, but its body takes {want.str_short()}"
            )
    out_carry, ys = split(jaxpr.out_avals, num_carry)
    for got, want in zip(out_carry, carry, strict=True):
        if not same_type(got, want):
            raise TypeError(
                f"the body of scan returns a carry of type {got.str_short()}, but takes {want.str_short()}"
            )
    return [*out_carry, *(stacked(y, length) for y in ys)]


def _scan_impl(
    xp: Any,
    *args: Any,
    jaxpr: ClosedJaxpr,
    length: int,
    reverse: bool,
    num_consts: int,
    num_carry: int,
    **params: Any,
) -> list[Any]:
    consts, carry, xs = split(args, num_consts, num_carry)
    carry = [xp.asarray(c) for c in carry]
    stacks = [xp.empty((length, *a.shape), a.dtype) for a in jaxpr.out_avals[num_carry:]]
    for i in reversed(range(length)) if reverse else range(length):
        outs = run_jaxpr(xp, jaxpr, [*consts, *carry, *(x[i] for x in xs)])
        carry, ys = outs[:num_carry], outs[num_carry:]
        for stack, y in zip(stacks, ys, strict=True):
            stack[i] = y
    return [*carry, *stacks]


def reordered(closed: ClosedJaxpr, ins: Sequence[int], outs: Sequence[int]) -> ClosedJaxpr:
    """A jaxpr with its arguments and its results in another order."""
    jaxpr = closed.jaxpr
    invars, outvars = [jaxpr.invars[i] for i in ins], [jaxpr.outvars[i] for i in outs]
    return ClosedJaxpr(jaxpr.replace(invars=invars, outvars=outvars, arg_names=()), closed.consts)


def body_params(
    params: dict[str, Any], jaxpr: ClosedJaxpr, num_consts: int, num_carry: int
) -> dict[str, Any]:
    """The parameters of a scan with another body."""
    linear = (False,) * len(jaxpr.in_avals)
    return {**params, "jaxpr": jaxpr, "num_consts": num_consts, "num_carry": num_carry, "linear": linear}


# -------------------------------------------------------------------------------------------------------- jvp


@memoized
def _jvp_body(
    closed: ClosedJaxpr, num_consts: int, num_carry: int, nonzeros: tuple[bool, ...]
) -> tuple[ClosedJaxpr, tuple[bool, ...], tuple[bool, ...]]:
    """The body for values and tangents; which arguments and which results have a tangent."""
    consts_nz, carry_nz, xs_nz = split(nonzeros, num_consts, num_carry)
    num_ys = len(closed.out_avals) - num_carry
    while True:
        nonzeros = (*consts_nz, *carry_nz, *xs_nz)
        body, out_nz = jvp_jaxpr(closed, nonzeros, (*carry_nz, *(False,) * num_ys))
        grown = list(either(carry_nz, out_nz[:num_carry]))
        if grown == carry_nz:
            break
        carry_nz = grown
    n, n_outs = len(closed.in_avals), len(closed.out_avals)
    values = split(range(n), num_consts, num_carry)
    tangents = split(range(n, n + sum(nonzeros)), sum(consts_nz), sum(carry_nz))
    ins = [i for v, t in zip(values, tangents) for i in (*v, *t)]
    out_values = split(range(n_outs), num_carry)
    out_tangents = split(range(n_outs, n_outs + sum(out_nz)), sum(out_nz[:num_carry]))
    outs = [i for v, t in zip(out_values, out_tangents) for i in (*v, *t)]
    return reordered(body, ins, outs), nonzeros, out_nz


def _scan_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    **params: Any,
) -> Any:
    body, nonzeros, out_nz = _jvp_body(jaxpr, num_consts, num_carry, nonzero_mask(tangents))
    given = [instantiate(t) if nz else t for t, nz in zip(tangents, nonzeros)]
    parts = zip(
        split(primals, num_consts, num_carry),
        split(given, num_consts, num_carry),
        split(nonzeros, num_consts, num_carry),
    )
    groups = [[*p, *select(t, nz)] for p, t, nz in parts]
    carry_out_nz = out_nz[:num_carry]
    params = body_params(params, body, len(groups[0]), len(groups[1]))
    outs = scan_p.bind(*groups[0], *groups[1], *groups[2], **params)
    num_ys = len(out_nz) - num_carry
    carry, carry_t, ys, ys_t = split(outs, num_carry, sum(carry_out_nz), num_ys)
    results = [*carry, *ys]
    found = spread([*carry_t, *ys_t], out_nz)
    return results, [t if nz else Zero.of(o) for o, t, nz in zip(results, found, out_nz)]


# -------------------------------------------------------------------------------------------------- linearize


class _LinearScan:
    """A body, linearized for a scan.

    `body` returns the carry, the ys, and the stacked residuals; `outer` computes from the consts what
    residuals need and no iteration changes; the body takes those in `passed` as further consts. `constant`
    and `stacks` say where the residuals of both kinds come from; `tangent` takes them and the tangents, in
    the order of a scan.
    """

    __slots__ = ("body", "constant", "nonzeros", "out_nonzeros", "outer", "passed", "stacks", "tangent")

    body: ClosedJaxpr
    outer: ClosedJaxpr
    passed: list[int]
    constant: list[tuple[str, int]]
    stacks: list[tuple[str, int]]
    tangent: ClosedJaxpr
    nonzeros: tuple[bool, ...]
    out_nonzeros: tuple[bool, ...]

    def __init__(self, **fields: Any):
        for name, value in fields.items():
            setattr(self, name, value)


@memoized
def _linear_body(
    closed: ClosedJaxpr, num_consts: int, num_carry: int, nonzeros: tuple[bool, ...]
) -> _LinearScan:
    consts_nz, carry_nz, xs_nz = split(nonzeros, num_consts, num_carry)
    num_ys = len(closed.out_avals) - num_carry
    while True:
        nonzeros = (*consts_nz, *carry_nz, *xs_nz)
        lin = linearize_jaxpr(closed, nonzeros, (*carry_nz, *(False,) * num_ys))
        grown = list(either(carry_nz, lin.out_nonzeros[:num_carry]))
        if grown == carry_nz:
            break
        carry_nz = grown
    return _place_residuals(lin, num_consts, num_carry, nonzeros)


def _place_residuals(
    lin: Linearized, num_consts: int, num_carry: int, nonzeros: tuple[bool, ...]
) -> _LinearScan:
    """Decide for each residual how the tangent loop gets it.

    Arguments of the body are handed on. What depends on consts alone is computed once, before the loop. The
    rest is stacked, except for ys, which are stacked already.
    """
    jaxpr = lin.primal.jaxpr
    consts, carry, xs = split(jaxpr.invars, num_consts, num_carry)
    stacked_outs = [v for v in jaxpr.outvars[num_carry : lin.num_outs] if isinstance(v, Var)]
    lin = store_less(lin, [*consts, *xs, *stacked_outs], _invariant_vars(jaxpr, num_consts), carry)
    jaxpr = lin.primal.jaxpr
    invariant = _invariant_vars(jaxpr, num_consts)
    outvars = list(jaxpr.outvars[: lin.num_outs])
    ys: dict[Any, int] = {v: num_carry + k for k, v in enumerate(outvars[num_carry:]) if isinstance(v, Var)}
    outer_outs: list[Any] = []
    constant: list[tuple[str, int]] = []
    stacks: list[tuple[str, int]] = []
    const_order, stack_order = [], []
    for position, (kind, i) in enumerate(lin.sources):
        atom = jaxpr.invars[i] if kind == "in" else jaxpr.outvars[i]
        if kind == "in" and i < num_consts:
            constant.append(("in", i))
            const_order.append(position)
        elif atom in invariant:
            constant.append(("outer", len(outer_outs)))
            outer_outs.append(atom)
            const_order.append(position)
        elif kind == "in" and i >= num_consts + num_carry:
            stacks.append(("in", i))
            stack_order.append(position)
        else:
            if atom not in ys:
                ys[atom] = len(outvars)
                outvars.append(atom)
            stacks.append(("out", ys[atom]))
            stack_order.append(position)
    outside = [e for e in jaxpr.eqns if e.outvars and invariant.issuperset(e.outvars)]
    outer_eqns, _ = prune_eqns(outside, outer_outs)
    outer = jaxpr.replace(invars=jaxpr.invars[:num_consts], outvars=outer_outs, eqns=outer_eqns)
    body, passed = _with_hoisted(jaxpr.replace(outvars=outvars), num_consts, outer_outs)
    consts_t, carry_t, _ = split(nonzeros, num_consts, num_carry)
    n = len(lin.sources)
    ct, st, xt = split(range(n, n + sum(nonzeros)), sum(consts_t), sum(carry_t))
    tangent = reordered(
        lin.tangent, [*const_order, *ct, *st, *stack_order, *xt], range(len(lin.tangent.out_avals))
    )
    return _LinearScan(
        body=ClosedJaxpr(body, lin.primal.consts),
        outer=ClosedJaxpr(outer, lin.primal.consts),
        passed=passed,
        constant=constant,
        stacks=stacks,
        tangent=tangent,
        nonzeros=nonzeros,
        out_nonzeros=lin.out_nonzeros,
    )


def _with_hoisted(jaxpr: Jaxpr, num_consts: int, hoisted: Sequence[Var]) -> tuple[Jaxpr, list[int]]:
    """A body that takes those values that are computed before the loop as further consts; says which it
    takes."""
    available = set(hoisted)
    gone = [e for e in jaxpr.eqns if e.outvars and available.issuperset(e.outvars)]
    made = {v for e in gone for v in e.outvars}
    passed = [k for k, v in enumerate(hoisted) if v in made]
    eqns, used = prune_eqns([e for e in jaxpr.eqns if e not in gone], jaxpr.outvars)
    passed = [k for k in passed if hoisted[k] in used]
    consts, rest = split(jaxpr.invars, num_consts)
    return (
        jaxpr.replace(invars=[*consts, *(hoisted[k] for k in passed), *rest], eqns=eqns, arg_names=()),
        passed,
    )


def _invariant_vars(jaxpr: Jaxpr, num_consts: int) -> set[Any]:
    """The variables of a body that are the same in every iteration, and computed from at least one const."""
    fixed: set[Any] = {*jaxpr.constvars, *jaxpr.invars[:num_consts]}
    computed: set[Any] = set()
    for eqn in jaxpr.eqns:
        if all(isinstance(a, Literal) or a in fixed for a in eqn.invars) and not eqn_effects(eqn):
            fixed.update(eqn.outvars)
            computed.update(eqn.outvars)
    return computed


def _scan_linearize(
    nonzeros: tuple[bool, ...],
    *primals: Any,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    **params: Any,
) -> tuple[list[Any], tuple[bool, ...], list[Any], ClosedJaxpr]:
    lin = _linear_body(jaxpr, num_consts, num_carry, nonzeros)
    consts, rest = primals[:num_consts], primals[num_consts:]
    hoisted = eval_jaxpr(lin.outer.jaxpr, lin.outer.consts, *consts)
    passed = [hoisted[k] for k in lin.passed]
    bound = body_params(params, lin.body, num_consts + len(passed), num_carry)
    outs = scan_p.bind(*consts, *passed, *rest, **bound)
    constant = [primals[i] if kind == "in" else hoisted[i] for kind, i in lin.constant]
    stacks = [primals[i] if kind == "in" else outs[i] for kind, i in lin.stacks]
    program = _tangent_program(
        lin.tangent,
        len(constant),
        len(stacks),
        nonzeros,
        lin.nonzeros,
        num_consts,
        num_carry,
        params["length"],
        tuple(params.items()),
    )
    return outs[: len(jaxpr.out_avals)], lin.out_nonzeros, [*constant, *stacks], program


@memoized
def _tangent_program(
    tangent: ClosedJaxpr,
    num_constant: int,
    num_stacks: int,
    given: tuple[bool, ...],
    nonzeros: tuple[bool, ...],
    num_consts: int,
    num_carry: int,
    length: int,
    params: tuple[tuple[str, Any], ...],
) -> ClosedJaxpr:
    """The scan over tangents, as a program of the residuals and of the tangents that are given."""
    consts_nz, carry_nz, _ = split(nonzeros, num_consts, num_carry)
    n_const, n_carry = num_constant + sum(consts_nz), sum(carry_nz)
    consts, carry, xs = split(tangent.in_avals, n_const, n_carry)
    stack_avals = [stacked(a, length) for a in xs]
    given_carry = select(given[num_consts : num_consts + num_carry], carry_nz)
    avals = [*consts[:num_constant], *stack_avals[:num_stacks], *consts[num_constant:]]
    avals += [*select(carry, given_carry), *stack_avals[num_stacks:]]

    def run(*args: Any) -> list[Any]:
        constant, stacks, consts_t, rest = split(args, num_constant, num_stacks, sum(consts_nz))
        carry_t, xs_t = split(rest, sum(given_carry))
        init = [instantiate(Zero(a)) if t is None else t for a, t in zip(carry, spread(carry_t, given_carry))]
        bound = body_params(dict(params), tangent, n_const, n_carry)
        outs: list[Any] = scan_p.bind(*constant, *consts_t, *init, *stacks, *xs_t, **bound)
        return outs

    return stage_pruned(run, avals, name=tangent.jaxpr.name)


# -------------------------------------------------------------------------------------------------- transpose


@memoized
def _transposed_body(
    closed: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    linear: tuple[bool, ...],
    ct_nonzeros: tuple[bool, ...],
) -> tuple[ClosedJaxpr, tuple[bool, ...], tuple[bool, ...], tuple[bool, ...]]:
    """The body of the backward loop.

    It takes the known consts; as carry, the cotangents of the linear consts and of the carry; as xs, the
    known xs and the cotangents of the ys. It returns that carry, and the cotangents of the linear xs. Beside
    it: which linear consts, which parts of the carry and which linear xs have a cotangent that isn't zero.
    """
    carry_nz, ys_nz = split(ct_nonzeros, num_carry)
    consts_nz = [False] * sum(linear[:num_consts])
    while True:
        body, consts_out, carry_out, xs_out = _backward_body(
            closed, num_consts, num_carry, linear, tuple(consts_nz), tuple(carry_nz), tuple(ys_nz)
        )
        new_consts, new_carry = list(either(consts_nz, consts_out)), list(either(carry_nz, carry_out))
        if new_consts == consts_nz and new_carry == carry_nz:
            return body, tuple(consts_nz), tuple(carry_nz), xs_out
        consts_nz, carry_nz = new_consts, new_carry


def _backward_body(
    closed: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    linear: tuple[bool, ...],
    consts_nz: tuple[bool, ...],
    carry_nz: tuple[bool, ...],
    ys_nz: tuple[bool, ...],
) -> tuple[ClosedJaxpr, tuple[bool, ...], tuple[bool, ...], tuple[bool, ...]]:
    lin_consts, _, lin_xs = split(linear, num_consts, num_carry)
    consts, carry, xs = split(closed.in_avals, num_consts, num_carry)
    ys = closed.out_avals[num_carry:]
    known_c, known_x = (
        [a for a, n in zip(consts, lin_consts) if not n],
        [a for a, n in zip(xs, lin_xs) if not n],
    )
    ct_consts = select([a.to_tangent_aval() for a in select(consts, lin_consts)], consts_nz)
    ct_carry = select([a.to_tangent_aval() for a in carry], carry_nz)
    ct_ys = select([a.to_tangent_aval() for a in ys], ys_nz)
    masks: list[tuple[bool, ...]] = []

    def run(*args: Any) -> list[Any]:
        kc, cc, ca, kx, cy = split(args, len(known_c), len(ct_consts), len(ct_carry), len(known_x))
        operands = [
            *spread(kc, [not n for n in lin_consts]),
            *[None] * num_carry,
            *spread(kx, [not n for n in lin_xs]),
        ]
        operands = [UndefinedPrimal(a) if n else x for x, n, a in zip(operands, linear, closed.in_avals)]
        cts = [*spread(ca, carry_nz), *spread(cy, ys_nz)]
        cts = [Zero(a.to_tangent_aval()) if c is None else c for c, a in zip(cts, closed.out_avals)]
        found = backward_pass(closed.jaxpr, closed.consts, operands, cts)
        f_consts, f_carry, f_xs = split(found, num_consts, num_carry)
        summed = [
            add_cotangents(acc, ct)
            for acc, ct in zip(spread(cc, consts_nz), select(f_consts, lin_consts), strict=True)
        ]
        f_xs = select(f_xs, lin_xs)
        masks[:] = [nonzero_mask(summed), nonzero_mask(f_carry), nonzero_mask(f_xs)]
        kept = [
            *(s for s, nz, was in zip(summed, masks[0], consts_nz) if nz or was),
            *(c for c, nz, was in zip(f_carry, masks[1], carry_nz) if nz or was),
            *select(f_xs, masks[2]),
        ]
        return [instantiate(x) for x in kept]

    body = stage_pruned(run, [*known_c, *ct_consts, *ct_carry, *known_x, *ct_ys], name=closed.jaxpr.name)
    return body, masks[0], masks[1], masks[2]


def _scan_transpose(
    cts: Sequence[Any],
    *args: Any,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    **params: Any,
) -> list[Any]:
    if not all(_linear_carry(jaxpr, num_consts, num_carry, args)):
        return _transpose_with_known_carry(
            cts, args, {**params, "jaxpr": jaxpr, "num_consts": num_consts, "num_carry": num_carry}
        )
    consts, init, xs = split(args, num_consts, num_carry)
    linear = (
        *(is_undefined(a) for a in consts), *(True,) * num_carry, *(is_undefined(x) for x in xs)
    )  # fmt: skip
    body, consts_nz, carry_nz, xs_nz = _transposed_body(
        jaxpr, num_consts, num_carry, linear, nonzero_mask(cts)
    )
    ct_carry, ct_ys = split(cts, num_carry)
    lin_consts = [a for a in consts if is_undefined(a)]
    zeros = [instantiate(Zero(a.aval.to_tangent_aval())) for a in select(lin_consts, consts_nz)]
    carry = [*zeros, *(instantiate(c) for c in select(ct_carry, carry_nz))]
    known_c, known_x = [a for a in consts if not is_undefined(a)], [x for x in xs if not is_undefined(x)]
    given_ys = [c for c in ct_ys if type(c) is not Zero]
    params = body_params(params, body, len(known_c), len(carry))
    params["reverse"] = not params["reverse"]
    outs = scan_p.bind(*known_c, *carry, *known_x, *given_ys, **params)
    found_consts, found_carry, found_xs = split(outs, sum(consts_nz), sum(carry_nz))
    by_const = spread(spread(found_consts, consts_nz), linear[:num_consts])
    by_carry = [ct if is_undefined(a) else None for a, ct in zip(init, spread(found_carry, carry_nz))]
    by_x = spread(spread(found_xs, xs_nz), linear[num_consts + num_carry :])
    return [*by_const, *by_carry, *by_x]


def _linear_carry(closed: ClosedJaxpr, num_consts: int, num_carry: int, args: Sequence[Any]) -> list[bool]:
    """Which parts of the carry are, or come to be, linear in the undefined operands."""
    jaxpr = closed.jaxpr
    linear = [is_undefined(a) for a in args]
    while True:
        reached = {v for v, n in zip(jaxpr.invars, linear) if n}
        for eqn in jaxpr.eqns:
            if any(a in reached for a in eqn.invars):
                reached.update(eqn.outvars)
        grown = list(linear)
        for i, v in enumerate(jaxpr.outvars[:num_carry]):
            grown[num_consts + i] = linear[num_consts + i] or v in reached
        if grown == linear:
            return linear[num_consts : num_consts + num_carry]
        linear = grown


def _transpose_with_known_carry(cts: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """Transpose a scan of which parts of the carry are known, a counter for example.

    A first loop computes these parts for every iteration; then they are among the xs.
    """
    closed, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    linear = _linear_carry(closed, num_consts, num_carry, args)
    known = [not n for n in linear]
    jaxpr = closed.jaxpr
    consts, carry, xs = split(jaxpr.invars, num_consts, num_carry)
    arg_consts, arg_carry, arg_xs = split(args, num_consts, num_carry)
    c_known, x_known = [not is_undefined(a) for a in arg_consts], [not is_undefined(a) for a in arg_xs]
    known_carry = select(carry, known)
    first = jaxpr.replace(
        invars=[*select(consts, c_known), *known_carry, *select(xs, x_known)],
        outvars=[*select(jaxpr.outvars[:num_carry], known), *known_carry],
        arg_names=(),
    )
    first = first.replace(eqns=prune_eqns(first.eqns, first.outvars)[0])
    operands = [*select(arg_consts, c_known), *select(arg_carry, known), *select(arg_xs, x_known)]
    bound = body_params(params, ClosedJaxpr(first, closed.consts), sum(c_known), sum(known))
    stacks = scan_p.bind(*operands, **bound)[sum(known) :]
    second = jaxpr.replace(
        invars=[*consts, *select(carry, linear), *known_carry, *xs],
        outvars=[*select(jaxpr.outvars[:num_carry], linear), *jaxpr.outvars[num_carry:]],
        arg_names=(),
    )
    bound = body_params(params, ClosedJaxpr(second, closed.consts), num_consts, sum(linear))
    found = _scan_transpose(
        [*select(cts[:num_carry], linear), *cts[num_carry:]],
        *arg_consts, *select(arg_carry, linear), *stacks, *arg_xs,
        **bound,
    )  # fmt: skip
    f_consts, f_carry, _, f_xs = split(found, num_consts, sum(linear), sum(known))
    return [*f_consts, *spread(f_carry, linear), *f_xs]


# ---------------------------------------------------------------------------------------------- batch and dce


def _scan_batch(
    axis: BatchAxis,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    **params: Any,
) -> tuple[list[Any], list[int | None]]:
    consts_b, carry_b, xs_b = split([d is not None for d in dims], num_consts, num_carry)
    num_ys = len(jaxpr.out_avals) - num_carry
    while True:
        keep = (*carry_b, *(False,) * num_ys)
        body, out_b = batch_jaxpr(jaxpr, axis, (*consts_b, *carry_b, *xs_b), keep)
        grown = list(either(carry_b, out_b[:num_carry]))
        if grown == carry_b:
            break
        carry_b = grown
    consts, carry, xs = split(list(zip(args, dims)), num_consts, num_carry)
    operands = [a if d is None else batch_to(a, d, axis.size, 0) for a, d in consts]
    operands += [batch_to(a, d, axis.size, 0) if b else a for (a, d), b in zip(carry, carry_b)]
    operands += [a if d is None else batch_to(a, d, axis.size, 1) for a, d in xs]
    outs = scan_p.bind(*operands, **body_params(params, body, num_consts, num_carry))
    return outs, [(0 if i < num_carry else 1) if b else None for i, b in enumerate(out_b)]


def _scan_dce(used: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
    """Prune unused ys, parts of the carry that no used result needs, and the operands that only these
    read."""
    closed: ClosedJaxpr = eqn.params["jaxpr"]
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    if not any(used) and not closed.effects:
        return [False] * len(eqn.invars), None
    carry_used, ys_used = split(used, num_carry)
    while True:
        body, used_ins = dce_closed(closed, (*carry_used, *ys_used))
        needed = either(carry_used, used_ins[num_consts : num_consts + num_carry])
        if list(needed) == carry_used:
            break
        carry_used = list(needed)
    if all(carry_used) and all(ys_used) and all(used_ins):
        return [True] * len(eqn.invars), eqn
    # a part of the carry that is returned but not read stays an argument of the body
    keep = (*(False,) * num_consts, *carry_used, *(False,) * (len(used_ins) - num_consts - num_carry))
    body, used_ins = dce_closed(closed, (*carry_used, *ys_used), keep)
    consts_used = used_ins[:num_consts]
    params = body_params(eqn.params, body, sum(consts_used), sum(carry_used))
    outvars = [v if u else Var(v.aval) for v, u, k in zip(eqn.outvars, used, (*carry_used, *ys_used)) if k]
    return list(used_ins), eqn.replace(select(eqn.invars, used_ins), params, outvars)


def _scan_emit(ctx: Any, outs: Sequence[Any], *operands: Any, **params: Any) -> Any:
    return ctx.scan(outs, operands, **params)


def _scan_access(n: int, *, num_consts: int, **params: Any) -> list[Access]:
    constants: list[Access] = ["looped"] * num_consts
    rest: list[Access] = ["stored"] * (n - num_consts)
    return constants + rest


scan_p = Primitive(
    "scan",
    "control",
    abstract_eval=_scan_avals,
    impl=_scan_impl,
    jvp=_scan_jvp,
    linearize=_scan_linearize,
    transpose=_scan_transpose,
    batch=_scan_batch,
    dce=_scan_dce,
    emit=_scan_emit,
    access=_scan_access,
    multiple_results=True,
    compiled=True,
)
