"""Random jaxprs for Hypothesis, with data for which all ways of computing them agree.

Programs are drawn while they are traced; what is known of their values is in `random_values`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from tests.random_arrays import (
    bits,
    broadcast,
    complex_parts,
    concatenation,
    contraction,
    convolution,
    counting,
    cumulative,
    dynamic_slicing,
    dynamic_updating,
    folding,
    gathering,
    gathering_elements,
    matrices,
    mixing,
    padding,
    permutation,
    place_of_extremum,
    reduction,
    reshaping,
    reversal,
    scattering,
    scattering_elements,
    slicing,
    sorting,
    spectrum,
    squeezing,
    windows,
)
from tests.random_control import (
    branching,
    calling,
    repeating,
    scanning,
)
from tests.random_elementwise import (
    binary,
    clamping,
    comparison,
    conversion,
    selection,
    smooth,
    unary,
)
from tests.random_values import (
    DTYPES,
    MOST_ELEMENTS,
    OTHER_DTYPES,
    Builder,
    Rule,
    Value,
    kind_of,
    shapes,
)
from wengert import jvp, vjp, vmap
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, subjaxprs
from wengert.core.reference import plain
from wengert.core.staging import hoist_consts, stage
from wengert.core.trace import get_aval
from wengert.extend.core import jaxpr_as_fun

PLAIN: list[Rule] = [
    unary, unary, binary, binary, smooth, smooth, cumulative, bits, slicing, padding, broadcast, concatenation,
    permutation, reshaping, comparison, selection, conversion, conversion, reversal, squeezing, clamping, counting,
    reduction, reduction, reduction, contraction, contraction, dynamic_slicing, dynamic_updating, dynamic_updating,
    gathering, gathering, gathering_elements, scattering, scattering, scattering_elements, place_of_extremum,
    complex_parts, sorting, windows, convolution, folding, mixing, matrices, spectrum, calling,
]  # fmt: skip
CONTROL: list[Rule] = [scanning, scanning, repeating, branching]
Builder.rules = (PLAIN, CONTROL)


def data(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], special: bool) -> Any:
    """Small numbers; quarters where the dtype has them. With `special`, the ends of the dtype among them."""
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind_of(dtype) in "fc":
        values = (rng.integers(-8, 9, shape) / 4).astype(dtype)
        if dtype.kind == "c":
            values = (values + 1j * rng.integers(-4, 5, shape) / 4).astype(dtype)
        ends = np.array([np.nan, np.inf, -np.inf, -0.0], dtype)
    else:
        values = rng.integers(0 if dtype.kind == "u" else -4, 7, shape).astype(dtype)
        info = np.iinfo(dtype)
        ends = np.array([info.min, info.max], dtype)
    if special:
        values = np.where(rng.integers(0, 6, shape) == 0, rng.choice(ends, shape), values)
    return np.asarray(values, dtype)


class Program:
    """A closed jaxpr without constants, its arguments, and for each result how far off it may be.

    `examples`: the programs of which it is a batch, if it is one. Their results, stacked, are its results.
    """

    __slots__ = ("args", "closed", "errors", "examples")

    def __init__(
        self,
        closed: ClosedJaxpr,
        args: Sequence[Any],
        errors: Sequence[float],
        examples: Sequence[Program] = (),
    ):
        self.closed, self.args, self.errors, self.examples = closed, list(args), list(errors), examples


@st.composite
def programs(draw: Any) -> Program:
    kinds = st.sampled_from(DTYPES) if draw(st.integers(0, 4)) else st.sampled_from((*DTYPES, *OTHER_DTYPES))
    types = [ShapedArray(draw(shapes()), np.dtype(draw(kinds))) for _ in range(draw(st.integers(1, 3)))]
    seed, special = draw(st.integers(0, 2**16)), draw(st.integers(0, 4)) == 4
    count = draw(st.integers(1, 16))
    errors: list[float] = []

    def fun(*xs: Any) -> list[Any]:
        builder = Builder(draw, [Value(x, 3.0 if get_aval(x).dtype.kind == "c" else 2.0, 0.25) for x in xs])
        builder.grow(count)
        new = builder.values[len(xs) :] or builder.values
        outs = [v for v in new if not v.used][-5:] or new[-1:]
        if builder.flag():
            outs.append(builder.choose(builder.values))
        errors[:] = [v.error for v in outs]
        return [v.x for v in outs]

    closed = stage(fun, types, "program")
    assert not closed.consts
    rng = np.random.default_rng(seed)
    args = [data(rng, t.shape, t.dtype, special) for t in types]
    one = Program(hoist_consts(closed), args, errors)
    return one if draw(st.integers(0, 3)) else batch(draw, one, rng, special)


class Derivative(NamedTuple):
    """A program of double precision together with its derivatives.

    It computes results y, then their tangents in a direction dx, then the cotangents of the arguments for cotangents
    dy of the results. There are no cotangents if the program has a while loop.
    """

    program: Program
    dx: list[Any]
    dy: list[Any]


@st.composite
def derivatives(draw: Any) -> Derivative | None:
    """The derivatives of a random program where it has no corners; None if there is nothing to derive."""
    kinds = st.sampled_from(("float64", "float64", "float64", "int32", "bool", "complex128"))
    types = [ShapedArray(draw(shapes()), np.dtype(draw(kinds))) for _ in range(draw(st.integers(1, 3)))]
    rng, count = np.random.default_rng(draw(st.integers(0, 2**16))), draw(st.integers(1, 12))

    def drawn(*xs: Any) -> list[Any]:
        builder = Builder(draw, [Value(x, 2.0, 0.25) for x in xs], derivable=True)
        builder.grow(count)
        return [v.x for v in [v for v in builder.values if not v.used and v.kind in "fc"][-4:]]

    closed = stage(drawn, types, "program")
    args = [data(rng, t.shape, t.dtype, False) for t in types]
    smooth = [n for n, a in enumerate(args) if a.dtype.kind in "fc"]
    if not smooth or not closed.jaxpr.outvars:
        return None
    for n in smooth:
        args[n] = args[n] + rng.normal(0, 0.1, args[n].shape)
    dx = [rng.normal(0, 1, args[n].shape).astype(args[n].dtype) for n in smooth]
    dy = [rng.normal(0, 1, v.aval.shape).astype(v.aval.dtype) for v in closed.jaxpr.outvars]
    repeated = any(eqn.primitive.name == "while" for eqn in equations(closed.jaxpr))

    def fun(*values: Any) -> list[Any]:
        xs, dx, dy = (
            values[: len(args)],
            values[len(args) :][: len(smooth)],
            values[len(args) + len(smooth) :],
        )

        def part(*some: Any) -> list[Any]:
            full = list(xs)
            for n, x in zip(smooth, some):
                full[n] = x
            return jaxpr_as_fun(closed, *full)

        primals = [xs[n] for n in smooth]
        ys, tangents = jvp(part, primals, list(dx))
        return [*ys, *tangents, *(() if repeated else vjp(part, *primals)[1](list(dy)))]

    whole = stage(fun, [ShapedArray(a.shape, a.dtype) for a in (*args, *dx, *dy)], "derivative")
    return Derivative(Program(hoist_consts(whole), [*map(plain, whole.consts), *args, *dx, *dy], ()), dx, dy)


def equations(jaxpr: Jaxpr) -> Iterator[Eqn]:
    """Those of the bodies of loops and branches too."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in subjaxprs(eqn.params):
            yield from equations(inner.jaxpr)


def batch(draw: Any, one: Program, rng: np.random.Generator, special: bool) -> Program:
    """The program under `vmap`, over some of its arguments."""
    axes = [draw(st.sampled_from([None, *range(a.ndim + 1)])) for a in one.args]
    n = draw(st.integers(1, 3))
    if not any(axis is not None for axis in axes) or n * sum(a.size for a in one.args) > MOST_ELEMENTS:
        return one
    rows = [
        [data(rng, a.shape, a.dtype, special) for _ in range(n)] if axis is not None else [a] * n
        for a, axis in zip(one.args, axes)
    ]
    args = [xs[0] if axis is None else np.stack(xs, axis) for xs, axis in zip(rows, axes)]
    types = [ShapedArray(a.shape, a.dtype) for a in args]
    whole = stage(vmap(partial(jaxpr_as_fun, one.closed), tuple(axes)), types, "batch")
    assert not whole.consts
    return Program(
        hoist_consts(whole), args, one.errors, [Program(one.closed, row, one.errors) for row in zip(*rows)]
    )
