"""The rows of the table of primitives, in random programs.

The operands of a row reach it through layouts that other operations undo, its results leave through others, and all
of it stands in loops, branches, batches and derivatives, or beside other rows. So each primitive meets the fusion,
the control flow and the memory of the compiler. What goes around it rounds nothing, so that the errors allowed are
the row's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cases_fft  # noqa: F401  (adds its rows to the table)
import cases_linalg  # noqa: F401
import cases_random  # noqa: F401
import cases_solvers  # noqa: F401
import cases_special  # noqa: F401
import numpy as np
from cases import CASES, Case
from hypothesis import strategies as st

from wengert import lax, vjp, vmap
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.reference import plain
from wengert.core.staging import hoist_consts, stage
from wengert.core.trace import get_aval

Fun = Callable[..., list[Any]]
Draw = Callable[[Any], Any]


class Program:
    """A function of traced arrays, its arguments, and the error allowed, in ulps of the largest element."""

    __slots__ = ("args", "fun", "ulps")

    def __init__(self, fun: Fun, args: Sequence[Any], ulps: float):
        self.fun, self.args, self.ulps = fun, list(args), ulps

    def closed(self) -> tuple[ClosedJaxpr, list[Any]]:
        """A closed jaxpr without constants, and its arguments."""
        closed = stage(self.fun, [ShapedArray(a.shape, a.dtype) for a in self.args], "program")
        return hoist_consts(closed), [*map(plain, closed.consts), *self.args]


def _junk(x: Any, shape: Sequence[int]) -> Any:
    """Memory that must not be used: NaN, or a large number."""
    fill = np.nan if x.dtype.kind in "fc" else 1 if x.dtype.kind == "b" else 77
    return np.full(shape, fill, x.dtype)


def _plain(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc"


# ---- layouts of operands: other arguments, and how the operand is made of them


def _as_is(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    return [x], lambda z: z


def _transposed(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    order = draw(st.permutations(range(x.ndim)))
    back = [int(i) for i in np.argsort(order)]
    return [
        np.ascontiguousarray(np.transpose(x, order)).reshape([x.shape[i] for i in order])
    ], lambda z: lax.transpose(z, back)


def _reversed(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    axes = [i for i in range(x.ndim) if draw(st.booleans())]
    return [np.ascontiguousarray(np.flip(x, axes)).reshape(x.shape)], lambda z: lax.rev(z, axes)


def _reshaped(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    return [x.reshape(-1)], lambda z: lax.reshape(z, x.shape)


def _sliced(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    """Every so manieth element, from a start."""
    steps = [draw(st.sampled_from((1, 1, 2, 3))) for _ in x.shape]
    starts = [draw(st.integers(0, 2)) for _ in x.shape]
    ends = [draw(st.integers(0, 2)) for _ in x.shape]
    spans = [max((d - 1) * k + 1, 0) if d else 0 for d, k in zip(x.shape, steps)]
    z = _junk(x, [a + n + b for a, n, b in zip(starts, spans, ends)])
    z[tuple(slice(a, a + n, k) for a, n, k in zip(starts, spans, steps))] = x
    limits = [a + n for a, n in zip(starts, spans)]
    return [z], lambda z: lax.slice(z, starts, limits, steps)


def _windowed(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    """A slice at a position that is an argument."""
    starts = np.array([draw(st.integers(0, 3)) for _ in x.shape], np.int32)
    z = _junk(x, [d + draw(st.integers(0, 2)) + a for d, a in zip(x.shape, starts)])
    z[tuple(slice(a, a + d) for a, d in zip(starts, x.shape))] = x
    return [z, starts], lambda z, at: lax.dynamic_slice(
        z, [lax.squeeze(lax.slice(at, [i], [i + 1]), [0]) for i in range(len(starts))], x.shape
    )


def _joined(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    axis = draw(st.integers(0, x.ndim - 1))
    cut = draw(st.integers(0, x.shape[axis]))
    return [np.ascontiguousarray(part) for part in np.split(x, [cut], axis)], lambda a, b: lax.concatenate(
        [a, b], axis
    )


def _row(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    """One of several, by a computed index."""
    n, k = 3, draw(st.integers(0, 2))
    z = _junk(x, (n, *x.shape))
    z[k] = x
    return [z, np.asarray(k, np.int32)], lambda z, k: lax.dynamic_index_in_dim(z, k, 0, keepdims=False)


def _gathered(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    """Rows in another order."""
    order = np.asarray(draw(st.permutations(range(x.shape[0]))), np.int32)
    numbers = lax.GatherDimensionNumbers(tuple(range(1, x.ndim)), (0,), (0,))
    sizes = (1, *x.shape[1:])
    z = np.empty_like(x)
    z[order] = x
    return [z, order.reshape(-1, 1)], lambda z, i: lax.gather(z, i, numbers, sizes)


def _selected(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    mask = np.asarray(np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2, x.shape), bool)
    a, b = np.where(mask, x, _junk(x, x.shape)), np.where(mask, _junk(x, x.shape), x)
    return [mask, a.astype(x.dtype), b.astype(x.dtype)], lambda m, a, b: lax.select(m, a, b)


def _negated(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    if x.dtype.kind == "b":
        return [~x], lax.bitwise_not
    return [-x], lax.neg


def _layout(draw: Draw, x: Any) -> tuple[list[Any], Callable[..., Any]]:
    if not _plain(x.dtype):
        return _as_is(draw, x)
    ways = [_as_is, _as_is, _reshaped, _row, _selected, _negated]
    if x.ndim:
        ways += [_transposed, _reversed, _sliced, _windowed, _joined, _transposed]
        ways += [_gathered] if x.shape[0] else []
    return draw(st.sampled_from(ways))(draw, np.asarray(x))  # type: ignore[no-any-return]


def laid_out(draw: Draw, program: Program) -> Program:
    """The same program of operands in other layouts."""
    parts = [_layout(draw, x) for x in program.args]
    counts = [len(args) for args, _ in parts]

    def fun(*zs: Any) -> list[Any]:
        rest, xs = list(zs), []
        for count, (_, undo) in zip(counts, parts):
            xs.append(undo(*rest[:count]))
            del rest[:count]
        return program.fun(*xs)

    return Program(fun, [a for args, _ in parts for a in args], program.ulps)


# ---- what becomes of results


def _leave(kind: int, y: Any) -> Any:
    aval = get_aval(y)
    rank, dtype = len(aval.shape), aval.dtype
    if not _plain(dtype):
        return y
    if kind == 1 and rank:
        return lax.transpose(y, range(rank)[::-1])
    if kind == 2 and rank:
        return lax.pad(y, np.zeros((), dtype), [(1, 2, 0)] + [(0, 0, 0)] * (rank - 1))
    if kind == 3 and rank:
        return lax.concatenate([y, lax.rev(y, [0])], 0)
    if kind == 4:
        return lax.broadcast(y, (2,))
    if kind == 5 and dtype.kind in "iufb":
        return lax.select(lax.eq(y, y), y, y)
    if kind == 6 and rank and dtype.kind in "iuf":
        return lax.reduce_max(y, [rank - 1]) if aval.shape[-1] else y
    if kind == 7:
        return lax.reshape(y, (aval.size,))
    return y


def leaving(draw: Draw, program: Program) -> Program:
    """The results in other layouts, each one beside the plain one now and then."""
    kinds = draw(st.lists(st.integers(0, 7), min_size=3, max_size=3))
    both = draw(st.booleans())

    def fun(*xs: Any) -> list[Any]:
        ys = program.fun(*xs)
        left = [_leave(kinds[n % 3], y) for n, y in enumerate(ys)]
        return left + ys if both else left

    return Program(fun, program.args, program.ulps)


# ---- what is around


def _stacked(draw: Draw, program: Program, n: int) -> tuple[list[Any], list[bool]]:
    """Arguments of which some are repeated along a new axis."""
    which = [draw(st.booleans()) for _ in program.args]
    return [
        np.array([a] * n, a.dtype).reshape(n, *a.shape) if w else a for a, w in zip(program.args, which)
    ], which


def batched(draw: Draw, program: Program) -> Program:
    args, which = _stacked(draw, program, draw(st.integers(1, 3)))
    if not any(which):
        return program
    ends = [draw(st.booleans()) if w and a.ndim > 1 else False for a, w in zip(args, which)]
    args = [np.moveaxis(a, 0, -1).copy() if e else a for a, e in zip(args, ends)]
    axes = tuple((-1 if e else 0) if w else None for w, e in zip(which, ends))
    return Program(lambda *xs: list(vmap(program.fun, axes)(*xs)), args, program.ulps)


def _types(fun: Fun, xs: Sequence[Any]) -> list[ShapedArray]:
    """Of the results."""
    return [v.aval for v in stage(fun, [get_aval(x) for x in xs], "f").jaxpr.outvars]


def scanned(draw: Draw, program: Program) -> Program:
    """A loop over operands, some of them the same each time, with the first result as carry and all as rows."""
    length, reverse = draw(st.integers(0, 3)), draw(st.booleans())
    args, which = _stacked(draw, program, length)

    def fun(*xs: Any) -> list[Any]:
        first, *_ = _types(program.fun, program.args)
        if not _plain(first.dtype):
            return program.fun(*program.args)

        def body(carry: Any, rows: list[Any]) -> tuple[Any, list[Any]]:
            rest = list(rows)
            ys = program.fun(*[rest.pop(0) if w else x for x, w in zip(xs, which)])
            return ys[0], [carry, *ys]

        start = lax.full(first.shape, 0, first.dtype)
        rows = [x for x, w in zip(xs, which) if w]
        last, stacked = lax.scan(body, start, rows, length, reverse)
        return [last, *stacked]

    return Program(fun, args, program.ulps)


def repeated(draw: Draw, program: Program) -> Program:
    """A while loop whose carries are the results; of no turn they are zeros."""
    most = np.int32(draw(st.integers(0, 2)))

    def fun(*xs: Any) -> list[Any]:
        outs = _types(program.fun, xs)
        if not all(_plain(o.dtype) for o in outs):
            return program.fun(*xs)
        state = (np.int32(0), [lax.full(o.shape, 0, o.dtype) for o in outs])
        turn = lambda s: (lax.add(s[0], np.int32(1)), program.fun(*xs))  # noqa: E731
        return list(lax.while_loop(lambda s: lax.lt(s[0], most), turn, state)[1])

    return Program(fun, program.args, program.ulps)


def branched(draw: Draw, program: Program) -> Program:
    taken = np.asarray(draw(st.integers(-1, 2)), np.int32)
    place = draw(st.integers(0, 1))

    def fun(which: Any, *xs: Any) -> list[Any]:
        outs = _types(program.fun, xs)
        if not all(_plain(o.dtype) for o in outs):
            return program.fun(*xs)
        branches = [lambda *xs: [lax.full(o.shape, 1, o.dtype) for o in outs], program.fun]
        return list(lax.switch(which, branches[:: 1 if place else -1], *xs))

    return Program(fun, [taken, *program.args], program.ulps)


AROUND = [batched, scanned, repeated, branched]


def pulled_back(draw: Draw, case: Case, program: Program) -> Program:
    """The derivative of a row in reverse; the function itself, where there is none."""
    if not case.smooth or program.args[case.smooth[0]].dtype.kind not in "f":
        return program

    def fun(*xs: Any) -> list[Any]:
        def smooth(*some: Any) -> list[Any]:
            values = list(xs)
            for i, x in zip(case.smooth, some):
                values[i] = x
            return [y for y in program.fun(*values) if get_aval(y).dtype.kind in "fc"]

        outs, pull = vjp(smooth, *(xs[i] for i in case.smooth))
        return [*pull([lax.add(y, lax.full(y.shape, 1, y.dtype)) for y in outs])]

    return Program(fun, program.args, 64 * program.ulps)


# ---- all of it


def _listed(fun: Callable[..., Any]) -> Fun:
    def listed(*xs: Any) -> list[Any]:
        outs = fun(*xs)
        return list(outs) if isinstance(outs, tuple | list) else [outs]

    return listed


def needs_x64(dtype: np.dtype[Any]) -> bool:
    return (dtype.itemsize == 8 and dtype.kind in "iuf") or dtype.itemsize == 16


_ROWS = {wide: [(c, d) for c in CASES for d in c.dtypes if needs_x64(d) == wide] for wide in (False, True)}


@st.composite
def surrounded_rows(draw: Any, wide: bool) -> Program:
    """A program around one row of the table, or around two; `wide` says whether it is traced under `enable_x64`."""
    programs = []
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        case, dtype = draw(st.sampled_from(_ROWS[wide]))
        program = Program(_listed(case.fun), [np.asarray(v) for v in case.values(dtype)], case.ulps)
        if draw(st.integers(0, 3)) == 3:
            program = pulled_back(draw, case, program)
        for _ in range(draw(st.integers(0, 3))):
            step = draw(st.sampled_from((laid_out, laid_out, leaving, leaving, *AROUND)))
            program = step(draw, program)
        programs.append(program)
    n = len(programs[0].args)
    if len(programs) == 1:
        return programs[0]
    first, second = programs
    return Program(
        lambda *xs: first.fun(*xs[:n]) + second.fun(*xs[n:]),
        first.args + second.args,
        max(first.ulps, second.ulps),
    )
