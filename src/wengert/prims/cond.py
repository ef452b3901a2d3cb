"""cond: runs one of several branches, which one is told by an index.

Operands: the index, an int32 scalar, which is clamped to the branches; then the operands of the branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert.core.avals import ShapedArray, same_type
from wengert.core.jaxpr import ClosedJaxpr, Eqn
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.staging import eval_jaxpr, stage
from wengert.core.zeros import UndefinedPrimal, Zero, instantiate, is_undefined
from wengert.prims.axes import broadcast_in_dim
from wengert.prims.callbacks import DebugEffect
from wengert.prims.lists import nonzero_mask, reject, select, spread
from wengert.prims.select import select_n_p
from wengert.transforms.batch import BatchAxis, batch_jaxpr, to_front
from wengert.transforms.dce import dce_closed, stage_pruned
from wengert.transforms.jvp import jvp_jaxpr
from wengert.transforms.linearize import Linearized, linearize_jaxpr
from wengert.transforms.memo import memoized
from wengert.transforms.transpose import backward_pass

Branches = tuple[ClosedJaxpr, ...]


def _cond_avals(
    index: ShapedArray, *avals: ShapedArray, branches: Branches, **params: Any
) -> list[ShapedArray]:
    if index.shape != () or index.dtype != np.int32:
        raise TypeError(f"cond takes an int32 scalar as index, got {index.str_short()}")
    first = branches[0]
    for branch in branches:
        for got, want in zip(avals, branch.in_avals, strict=True):
            if not same_type(got, want):
                raise TypeError(f"cond got {got.str_short()}, but a branch takes {want.str_short()}")
        for got, want in zip(branch.out_avals, first.out_avals, strict=True):
            if not same_type(got, want):
                raise TypeError(f"branches of cond return {got.str_short()} and {want.str_short()}")
    return first.out_avals


def _cond_impl(xp: Any, index: Any, *args: Any, branches: Branches, **params: Any) -> list[Any]:
    return run_jaxpr(xp, branches[min(max(int(index), 0), len(branches) - 1)], args)


def _union(masks: Sequence[Sequence[bool]]) -> tuple[bool, ...]:
    return tuple(any(m) for m in zip(*masks, strict=True))


# -------------------------------------------------------------------------------------------------------- jvp


def _cond_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, branches: Branches, **params: Any) -> Any:
    nonzeros = nonzero_mask(tangents[1:])
    none = (False,) * len(branches[0].out_avals)
    out_nz = _union([jvp_jaxpr(b, nonzeros, none)[1] for b in branches])
    both = tuple(jvp_jaxpr(b, nonzeros, out_nz)[0] for b in branches)
    given = [t for t in tangents[1:] if type(t) is not Zero]
    outs = cond_p.bind(*primals, *given, branches=both, **params)
    values = outs[: len(none)]
    found = spread(outs[len(none) :], out_nz)
    return values, [t if nz else Zero.of(v) for v, t, nz in zip(values, found, out_nz)]


# -------------------------------------------------------------------------------------------------- linearize


class _LinearBranches:
    """The branches, linearized.

    `primals` return the results, then residuals in common slots. `tangents` take the operands in `operands`,
    the results and slots in `results` (numbers of outputs of `primals`), then the tangents that aren't zero.
    """

    __slots__ = ("operands", "out_nonzeros", "primals", "results", "tangents")

    def __init__(
        self,
        primals: Branches,
        tangents: Branches,
        operands: list[int],
        results: list[int],
        out_nonzeros: tuple[bool, ...],
    ):
        self.primals = primals
        self.tangents = tangents
        self.operands = operands
        self.results = results
        self.out_nonzeros = out_nonzeros


@memoized
def _linear_branches(first: ClosedJaxpr, rest: Branches, nonzeros: tuple[bool, ...]) -> _LinearBranches:
    branches = (first, *rest)
    none = (False,) * len(first.out_avals)
    out_nz = _union([linearize_jaxpr(b, nonzeros, none).out_nonzeros for b in branches])
    lins = [linearize_jaxpr(b, nonzeros, out_nz) for b in branches]
    slots, places = _share_slots(lins)
    operands = sorted({i for lin in lins for kind, i in lin.sources if kind == "in"})
    n = len(none)
    outs = sorted({i for lin in lins for kind, i in lin.sources if kind == "out" and i < n})
    results = [*outs, *range(n, n + len(slots))]
    order = {("in", i): k for k, i in enumerate(operands)}
    order.update({("out", i): len(operands) + k for k, i in enumerate(outs)})
    primals, tangents = [], []
    residual_avals = [*(first.in_avals[i] for i in operands), *(first.out_avals[i] for i in outs), *slots]
    for lin, place in zip(lins, places):
        primals.append(_with_slots(lin, slots, place))
        at = [
            order[source] if source in order else len(operands) + len(outs) + place[source[1] - n]
            for source in lin.sources
        ]
        tangents.append(_from_residuals(lin, residual_avals, at))
    return _LinearBranches(tuple(primals), tuple(tangents), operands, results, out_nz)


def _share_slots(lins: Sequence[Linearized]) -> tuple[list[ShapedArray], list[list[int]]]:
    """Types of slots for residuals that the branches share, and for each branch the slot of each new
    residual."""
    slots: list[ShapedArray] = []
    places = []
    for lin in lins:
        free = list(range(len(slots)))
        place = []
        for aval in lin.primal.out_avals[lin.num_outs :]:
            found = next((k for k in free if same_type(slots[k], aval)), None)
            if found is None:
                found = len(slots)
                slots.append(aval)
            else:
                free.remove(found)
            place.append(found)
        places.append(place)
    return slots, places


def _with_slots(lin: Linearized, slots: Sequence[ShapedArray], place: Sequence[int]) -> ClosedJaxpr:
    """A branch that returns its results, then all slots; those that it does not use are zero."""

    def run(*args: Any) -> list[Any]:
        outs = eval_jaxpr(lin.primal.jaxpr, lin.primal.consts, *args)
        filled: list[Any] = [None] * len(slots)
        for k, value in zip(place, outs[lin.num_outs :], strict=True):
            filled[k] = value
        return [
            *outs[: lin.num_outs],
            *(instantiate(Zero(a)) if x is None else x for x, a in zip(filled, slots)),
        ]

    return stage(run, lin.primal.in_avals, name=lin.primal.jaxpr.name)


def _from_residuals(lin: Linearized, avals: Sequence[ShapedArray], at: Sequence[int]) -> ClosedJaxpr:
    """The tangent program of a branch, as a function of all residuals and the tangents."""
    tangents = lin.tangent.in_avals[len(at) :]

    def run(*args: Any) -> list[Any]:
        return eval_jaxpr(lin.tangent.jaxpr, lin.tangent.consts, *(args[k] for k in at), *args[len(avals) :])

    return stage(run, [*avals, *tangents], name=lin.primal.jaxpr.name)


def _cond_linearize(
    nonzeros: tuple[bool, ...], index: Any, *args: Any, branches: Branches, **params: Any
) -> tuple[list[Any], tuple[bool, ...], list[Any], ClosedJaxpr]:
    lin = _linear_branches(branches[0], branches[1:], nonzeros[1:])
    outs = cond_p.bind(index, *args, branches=lin.primals, **params)
    residuals = [index, *(args[i] for i in lin.operands), *(outs[i] for i in lin.results)]
    program = _tangent_program(lin.tangents[0], lin.tangents[1:], tuple(params.items()))
    return outs[: len(branches[0].out_avals)], lin.out_nonzeros, residuals, program


@memoized
def _tangent_program(first: ClosedJaxpr, rest: Branches, params: tuple[tuple[str, Any], ...]) -> ClosedJaxpr:
    def run(index: Any, *args: Any) -> list[Any]:
        outs: list[Any] = cond_p.bind(index, *args, branches=(first, *rest), **dict(params))
        return outs

    return stage(run, [ShapedArray((), np.dtype(np.int32)), *first.in_avals])


# -------------------------------------------------------------------------------------------------- transpose


@memoized
def _transposed_branch(
    closed: ClosedJaxpr,
    linear: tuple[bool, ...],
    ct_nonzeros: tuple[bool, ...],
    kept: tuple[bool, ...] | None,
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """A branch, transposed: it returns the cotangents of the linear operands marked in `kept`.

    Without `kept` it returns those that aren't zero. Which these are is returned beside it.
    """
    known = reject(closed.in_avals, linear)
    cts_in = select([a.to_tangent_aval() for a in closed.out_avals], ct_nonzeros)
    found_nz: list[bool] = []

    def run(*args: Any) -> list[Any]:
        values = spread(args[: len(known)], [not n for n in linear])
        operands = [UndefinedPrimal(a) if n else v for v, n, a in zip(values, linear, closed.in_avals)]
        given = spread(args[len(known) :], ct_nonzeros)
        cts = [Zero(a.to_tangent_aval()) if c is None else c for c, a in zip(given, closed.out_avals)]
        found = select(backward_pass(closed.jaxpr, closed.consts, operands, cts), linear)
        found_nz[:] = nonzero_mask(found)
        return [instantiate(ct) for ct in select(found, found_nz if kept is None else kept)]

    result = stage_pruned(run, [*known, *cts_in], name=closed.jaxpr.name)
    return result, tuple(found_nz)


def _cond_transpose(
    cts: Sequence[Any], index: Any, *args: Any, branches: Branches, **params: Any
) -> list[Any]:
    linear = tuple(is_undefined(a) for a in args)
    ct_nz = nonzero_mask(cts)
    kept = _union([_transposed_branch(b, linear, ct_nz, None)[1] for b in branches])
    backward = tuple(_transposed_branch(b, linear, ct_nz, kept)[0] for b in branches)
    operands = [*reject(args, linear), *select(cts, ct_nz)]
    outs = cond_p.bind(index, *operands, branches=backward, **params)
    return [None, *spread(spread(outs, kept), linear)]


# ---------------------------------------------------------------------------------------------- batch and dce


def _cond_batch(
    axis: BatchAxis, args: Sequence[Any], dims: Sequence[int | None], *, branches: Branches, **params: Any
) -> tuple[list[Any], list[int | None]]:
    index, *operands = to_front(axis, args, dims)
    batched = tuple(d is not None for d in dims[1:])
    if dims[0] is not None:
        return _cond_as_select(axis, index, operands, batched, branches)
    none = (False,) * len(branches[0].out_avals)
    out_b = _union([batch_jaxpr(b, axis, batched, none)[1] for b in branches])
    mapped = tuple(batch_jaxpr(b, axis, batched, out_b)[0] for b in branches)
    outs = cond_p.bind(index, *operands, branches=mapped, **params)
    return outs, [0 if b else None for b in out_b]


def _cond_as_select(
    axis: BatchAxis, index: Any, operands: list[Any], batched: tuple[bool, ...], branches: Branches
) -> tuple[list[Any], list[int | None]]:
    """The index differs from element to element: run all branches and choose."""
    if any(not isinstance(e, DebugEffect) for b in branches for e in b.effects):
        raise NotImplementedError(
            "IO effect not supported in vmap-of-cond: where the index differs from element to element all"
            " branches run, but one has side effects (such as io_callback)."
        )
    every = (True,) * len(branches[0].out_avals)
    results = []
    for branch in branches:
        mapped, _ = batch_jaxpr(branch, axis, batched, every)
        results.append(eval_jaxpr(mapped.jaxpr, mapped.consts, *operands))
    outs = []
    for cases in zip(*results, strict=True):
        shape = cases[0].aval.shape
        which = broadcast_in_dim(index, shape, (0,)) if len(shape) > 1 else index
        outs.append(cases[0] if len(cases) == 1 else select_n_p.bind(which, *cases))
    return outs, [0] * len(outs)


def _cond_dce(used: Sequence[bool], eqn: Eqn) -> tuple[list[bool], Eqn | None]:
    branches: Branches = eqn.params["branches"]
    if not any(used) and not any(b.effects for b in branches):
        return [False] * len(eqn.invars), None
    needed = _union([dce_closed(b, tuple(used))[1] for b in branches])
    if all(used) and all(needed):
        return [True] * len(eqn.invars), eqn
    pruned = tuple(dce_closed(b, tuple(used), needed)[0] for b in branches)
    used_ins = [True, *needed]
    params = {**eqn.params, "branches": pruned}
    return used_ins, eqn.replace(select(eqn.invars, used_ins), params, select(eqn.outvars, used))


def _cond_emit(ctx: Any, outs: Sequence[Any], *operands: Any, **params: Any) -> Any:
    return ctx.cond(outs, operands, **params)


cond_p = Primitive(
    "cond",
    "control",
    abstract_eval=_cond_avals,
    impl=_cond_impl,
    jvp=_cond_jvp,
    linearize=_cond_linearize,
    transpose=_cond_transpose,
    batch=_cond_batch,
    dce=_cond_dce,
    emit=_cond_emit,
    multiple_results=True,
    compiled=True,
)
