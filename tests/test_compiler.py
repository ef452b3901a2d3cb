"""The compiler's passes, one at a time, and the interpreter that bears witness for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.backends import cpu
from wengert.compiler import memory, nest
from wengert.compiler.affine import Affine, Axis, Symbol
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import (
    COMPARISONS,
    OPS,
    Accumulate,
    Branch,
    Buffer,
    Call,
    Expr,
    Exprs,
    For,
    Init,
    Let,
    Loop,
    Op,
    Piecewise,
    Program,
    Stmt,
    Store,
    View,
)
from wengert.compiler.pipeline import Compilation, compile_jaxpr
from wengert.compiler.pretty import format_program
from wengert.compiler.rewrite import statements, values, walk
from wengert.compiler.simplify import simplify
from wengert.compiler.verify import verify
from wengert.core.array import from_numpy
from wengert.core.avals import ShapedArray
from wengert.core.jaxpr import Jaxpr, Var, check_jaxpr
from wengert.core.staging import hoist_consts, stage
from wengert.errors import CompileError
from wengert.runtime.dispatch import Executable

F32 = np.dtype(np.float32)
I64 = np.dtype(np.int64)


def jaxpr_of(f: Callable[..., Any], *args: Any) -> Jaxpr:
    avals = [ShapedArray(np.shape(a), np.asarray(a).dtype) for a in args]
    return hoist_consts(stage(lambda *xs: wengert.tree.leaves(f(*xs)), avals, "f")).jaxpr


def program_of(f: Callable[..., Any], *args: Any) -> Program:
    return compile_jaxpr(jaxpr_of(f, *args)).program


def run(program: Program, *args: Any) -> list[Any]:
    """Run machine code for a program."""
    outvars = [Var(ShapedArray(b.shape, b.dtype)) for b in program.results]
    compilation = Compilation(program, list(range(len(outvars))), Jaxpr([], [], outvars, []))
    return [np.asarray(out) for out in Executable(compilation)([from_numpy(a) for a in args])]


# ------------------------------------------------------------------------------------- the scalar operations

FLOATS = ("float32", "float64")
INTS = ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64")
BITS = ("and", "or", "xor", "not")
NUMBERS = ("add", "sub", "mul", "neg", "abs", "square", "div", "rem", "sign")
ONLY_INTS = ("shl", "shr_arithmetic", "shr_logical", "population_count", "clz")
ANY = ("max", "min", "select", "copy", "eq", "ne", "lt", "le", "gt", "ge")
ROUNDING = ("floor", "ceil", "trunc", "round", "round_even", "sqrt", "nextafter", "is_finite")
EXACT = {
    "bool": (*BITS, *ANY),
    **dict.fromkeys(INTS, (*NUMBERS, *BITS, *ONLY_INTS, *ANY)),
    **dict.fromkeys(FLOATS, (*NUMBERS, *ANY, *ROUNDING)),
}
NOT_LISTED = {"convert", "bitcast", "mulhi", "fma"}
COMPLEX = {"real", "imag", "conj", "complex"}  # of parts, and not of floats: test_native
NO_CODE = {"erf_inv", "lgamma", "digamma"}  # their primitives are called in NumPy
SMOOTH = sorted(
    OPS.keys() - {name for names in EXACT.values() for name in names} - NOT_LISTED - COMPLEX - NO_CODE
)
UNARY = {"neg", "abs", "square", "sign", "copy", "not", *ONLY_INTS[3:], *ROUNDING} - {"nextafter"}


def operands(name: str, dtype: np.dtype[Any]) -> list[Any]:
    """All combinations of numbers: the ends of the dtype, what is special in it, and some that are not."""
    if dtype.kind == "b":
        xs = np.array([True, False])
    elif dtype.kind in "iu":
        info = np.iinfo(dtype)
        low = [info.min, info.min + 1, *(n for n in (-7, -2, -1) if info.min < n)]
        xs = np.array([*low, info.max, info.max - 1, 0, 1, 2, 3, 5, 7, 8, 31, 64], dtype)
    else:
        tiny = np.finfo(dtype).tiny
        ends = [0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny, np.finfo(dtype).max, 1e5, -1e5]
        xs = np.array([*ends, *np.linspace(-4, 4, 17), 0.3, -0.7, 1e-3, -1e-3, 123.456], dtype)
    if name in UNARY or (name in SMOOTH and name not in ("pow", "atan2")):
        return [xs]
    grid = [g.reshape(-1) for g in np.meshgrid(xs, xs)]
    return [np.arange(grid[0].size) % 3 == 0, *grid] if name == "select" else grid


def elementwise_program(rows: Sequence[tuple[str, Sequence[Any], np.dtype[Any]]]) -> Program:
    """A program that applies operations, each to operands of its own; the dtypes are those of the results."""
    exprs, args, results, body = Exprs(), [], [], []
    for name, inputs, out in rows:
        axis = Axis(inputs[0].size, "i")
        index = [Affine.of(axis)]
        buffers = [Buffer(x.shape, x.dtype, "arg") for x in inputs]
        result = Buffer(inputs[0].shape, out, "result")
        value = exprs.op(name, *(exprs.load(b, index) for b in buffers), dtype=out)
        body.append(For(axis, 0, axis.size, [Store(result, index, value)]))
        args += buffers
        results.append(result)
    return Program("operations", args, results, [], [*body])


def without_denormals(x: Any) -> Any:
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, x.dtype.type(0), x)


def compare_with_interpreter(rows: Sequence[tuple[str, Sequence[Any], np.dtype[Any]]], ulps: float) -> None:
    program = elementwise_program(rows)
    args = [x for _, inputs, _ in rows for x in inputs]
    for (name, inputs, _), got, wanted in zip(
        rows, run(program, *args), interpret(program, args), strict=True
    ):
        if got.dtype.kind == "f":
            got, wanted = without_denormals(got), without_denormals(wanted)
        near = got == wanted
        if got.dtype.kind == "f":
            with np.errstate(all="ignore"):
                distance = np.abs(got.astype(np.float64) - wanted) / np.spacing(np.abs(wanted))
            near |= (np.isnan(got) & np.isnan(wanted)) | (distance <= ulps)
        at = [x[~near] for x in inputs]
        assert near.all(), f"{name} of {at} is {got[~near]} and not {wanted[~near]}"


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("bits", [128, 512])
def test_operations_mean_the_same_to_machine_and_interpreter(
    dtype: str, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu.target(), "vector_bits", min(bits, cpu.target().vector_bits))
    kind = np.dtype(dtype)
    rows = [(n, operands(n, kind), np.dtype(bool) if n in COMPARISONS else kind) for n in EXACT[dtype]]
    compare_with_interpreter(rows, 0.0)


@pytest.mark.parametrize("name", SMOOTH)
def test_elementary_functions_mean_the_same_to_machine_and_interpreter(name: str) -> None:
    compare_with_interpreter([(name, operands(name, np.dtype(d)), np.dtype(d)) for d in FLOATS], 4.0)


@pytest.mark.parametrize("source", ["bool", *INTS, *FLOATS])
def test_conversions_mean_the_same_to_machine_and_interpreter(source: str) -> None:
    xs = operands("copy", np.dtype(source))[0]
    if source in FLOATS:
        powers = np.array([2.0**n for n in (7, 8, 31, 32, 63, 64)], source)
        xs = np.concatenate([xs, powers, -powers, np.nextafter(powers, 0, dtype=source)])
    compare_with_interpreter([("convert", [xs], np.dtype(t)) for t in ("bool", *INTS, *FLOATS)], 0.0)


# ------------------------------------------------------------------------------------------- the interpreter


def store(buffer: Buffer, at: Any, value: Expr) -> Store:
    return Store(buffer, [Affine.of(at)], value)


def test_interpreter_checks_bounds_of_what_is_taken_only() -> None:
    exprs, axis = Exprs(), Axis(5, "i")
    x, y = Buffer((4,), F32, "arg"), Buffer((5,), F32, "result")
    i = Affine.of(axis)
    guarded = exprs.piecewise([(((i, 0, 4),), exprs.load(x, [i])), ((), exprs.const(9, F32))])
    args = [np.arange(4, dtype=np.float32)]
    program = Program("f", [x], [y], [], [For(axis, 0, 5, [store(y, axis, guarded)])])
    np.testing.assert_array_equal(interpret(program, args)[0], [0, 1, 2, 3, 9])
    np.testing.assert_array_equal(run(program, *args)[0], [0, 1, 2, 3, 9])
    bare = Program("f", [x], [y], [], [For(axis, 0, 5, [store(y, axis, exprs.load(x, [i]))])])
    with pytest.raises(CompileError, match=r"accessed at \[4\]"):
        interpret(bare, args)
    with pytest.raises(CompileError, match="is accessed at i, which is in"):
        verify(bare)


def test_interpreter_notices_what_was_never_written() -> None:
    exprs, axis = Exprs(), Axis(4, "i")
    t, y = Buffer((4,), F32, "temp", "t"), Buffer((4,), F32, "result")
    t.offset = 0
    body: list[Stmt] = [
        For(axis, 0, 3, [store(t, axis, exprs.const(1, F32))]),
        For(axis, 0, 4, [store(y, axis, exprs.load(t, [Affine.of(axis)]))]),
    ]
    program = Program("f", [], [y], [t], body)
    program.arena = 64
    with pytest.raises(CompileError, match="read at offset 3, which was never written"):
        interpret(program, [])


def test_interpreter_notices_memory_that_was_given_away() -> None:
    exprs, axis = Exprs(), Axis(4, "i")
    s, t = Buffer((4,), F32, "temp", "s"), Buffer((4,), F32, "temp", "t")
    y = Buffer((4,), F32, "result")
    i = Affine.of(axis)
    body: list[Stmt] = [
        For(axis, 0, 4, [store(s, axis, exprs.const(1, F32))]),
        For(axis, 0, 4, [store(t, axis, exprs.const(2, F32))]),
        For(axis, 0, 4, [store(y, axis, exprs.op("add", exprs.load(s, [i]), exprs.load(t, [i])))]),
    ]
    program = Program("f", [], [y], [s, t], body)
    s.offset, t.offset, program.arena = 0, 8, 64
    with pytest.raises(CompileError, match="overwritten by another buffer"):
        interpret(program, [])
    np.testing.assert_array_equal(interpret(program, [], arena=False)[0], [3, 3, 3, 3])
    memory.place(program)
    np.testing.assert_array_equal(interpret(program, [])[0], [3, 3, 3, 3])


def test_interpreter_runs_parallel_loops_backwards() -> None:
    exprs, axis = Exprs(), Axis(4, "i")
    y = Buffer((4,), I64, "result")
    i = Affine.of(axis)
    before = exprs.piecewise([(((i, 1, 4),), exprs.load(y, [i - 1])), ((), exprs.const(1, I64))])
    body = store(y, axis, exprs.op("mul", before, exprs.const(2, I64)))
    in_order = Program("f", [], [y], [], [For(axis, 0, 4, [body])])
    np.testing.assert_array_equal(interpret(in_order, [])[0], [2, 4, 8, 16])
    with pytest.raises(CompileError, match="never written"):
        interpret(Program("f", [], [y], [], [For(axis, 0, 4, [body], parallel=True)]), [])


def triangle(limit: int) -> Program:
    """y[i, j] = i + j for j <= i, 7 elsewhere."""
    exprs, i, j = Exprs(), Axis(4, "i"), Axis(limit, "j")
    y = Buffer((4, 4), I64, "result")
    index = [Affine.of(i), Affine.of(j)]
    whole = For(Axis(16, "n"), 0, 16, [])
    whole.body.append(Store(y, [Affine.of(whole.axis)], exprs.const(7, I64)))
    inner = For(j, 0, limit, [Store(y, index, exprs.index(index[0] + index[1]))], end=index[0] + 1)
    return Program("f", [], [y], [], [whole, For(i, 0, 4, [inner])])


def test_bounds_of_loops_move_with_the_axes_around_them() -> None:
    program = triangle(4)
    verify(program)
    i, j = np.indices((4, 4))
    wanted = np.where(j <= i, i + j, 7)
    np.testing.assert_array_equal(interpret(program, [])[0], wanted)
    np.testing.assert_array_equal(run(program)[0], wanted)
    assert "for j in 0:i+1" in format_program(program)
    with pytest.raises(CompileError, match="a loop in 0:3 runs in 0:4"):
        interpret(triangle(3), [])


def test_iterations_of_batches_have_local_buffers_of_their_own() -> None:
    exprs, axis, inner = Exprs(), Axis(37, "b"), Axis(3, "k")
    x, y = Buffer((37, 3), F32, "arg"), Buffer((37, 3), F32, "result")
    row = Buffer((3,), F32, "local")
    b, k = Affine.of(axis), Affine.of(inner)
    fill = For(inner, 0, 3, [Store(row, [k], exprs.load(x, [b, k]))])
    add = Store(row, [k], exprs.op("add", exprs.load(row, [k]), exprs.load(row, [k - 1])))
    running = For(inner, 1, 3, [add], ordered=True)
    last = For(inner, 0, 3, [Store(y, [b, k], exprs.load(row, [k]))])
    program = Program("f", [x], [y], [], [For(axis, 0, 37, [fill, running, last], batch=True)])
    verify(program)
    values = np.arange(111, dtype=np.float32).reshape(37, 3)
    np.testing.assert_array_equal(interpret(program, [values])[0], np.cumsum(values, 1))
    np.testing.assert_array_equal(run(program, values)[0], np.cumsum(values, 1))
    stale = Program("f", [x], [y], [], [For(axis, 0, 37, [running, last], batch=True)])
    with pytest.raises(CompileError, match="never written"):
        interpret(stale, [values])


def test_interpreter_moves_all_slots_at_once() -> None:
    turn = Axis(3, "t")
    x0, x1 = Buffer((), I64, "arg"), Buffer((), I64, "arg")
    p, q = Buffer((), I64, "slot"), Buffer((), I64, "slot")
    y0, y1 = Buffer((), I64, "result"), Buffer((), I64, "result")
    swap = Loop(turn, 3, [], [p, q], [View(x0), View(x1)], [View(q), View(p)])
    program = Program("f", [x0, x1], [y0, y1], [], [swap, Call("copy", [View(p)], [View(y0)])])
    program.body.append(Call("copy", [View(q)], [View(y1)]))
    args = [np.array(1), np.array(2)]
    assert [int(r) for r in interpret(program, args)] == [2, 1]
    assert [int(r) for r in run(program, *args)] == [2, 1]


def test_interpreter_clamps_the_selector_of_branches() -> None:
    exprs = Exprs()
    x, y = Buffer((), np.dtype(np.int32), "arg"), Buffer((), I64, "result")
    cases_: list[list[Stmt]] = [[Store(y, [], exprs.const(n, I64))] for n in range(3)]
    program = Program("f", [x], [y], [], [Branch(View(x), cases_)])
    for chosen, taken in ((-5, 0), (1, 1), (9, 2)):
        arg = np.array(chosen, np.int32)
        assert int(interpret(program, [arg])[0]) == taken
        assert int(run(program, arg)[0]) == taken


def test_interpreter_holds_symbols_to_their_bounds() -> None:
    exprs = Exprs()
    x, y = Buffer((5,), I64, "arg"), Buffer((), I64, "result")
    symbol = Symbol(exprs.load(x, [Affine(0)]), 0, 3)
    program = Program("f", [x], [y], [], [Store(y, [], exprs.load(x, [Affine.of(symbol)]))])
    assert int(interpret(program, [np.array([2, 7, 8, 9, 9])])[0]) == 8
    with pytest.raises(CompileError, match=r"not in \[0, 3\)"):
        interpret(program, [np.array([3, 7, 8, 9, 9])])


# -------------------------------------------------------------------------------------------------- verifying


def malformed() -> dict[str, tuple[Stmt, str]]:
    exprs, axis, other = Exprs(), Axis(4, "i"), Axis(4, "j")
    y, stranger = Buffer((4,), F32, "result", "y"), Buffer((4,), F32, "temp", "t")
    one = exprs.const(1, F32)
    return {
        "axis": (For(axis, 0, 4, [store(y, other, one)]), "axis j is used outside of its loop"),
        "dtype": (For(axis, 0, 4, [store(y, axis, exprs.const(1, I64))]), "y of float32 gets a int64"),
        "buffer": (For(axis, 0, 4, [store(stranger, axis, one)]), "t of kind temp is not declared"),
        "name": (For(axis, 0, 4, [store(y, axis, exprs.acc("a", F32))]), "a is used before it is bound"),
        "accumulator": (For(axis, 0, 4, [Accumulate("a", one)]), "accumulator a is not started"),
        "bounds": (For(axis, 0, 5, [store(y, axis, one)]), r"y\[4\] is accessed at i, which is in \[0, 4\]"),
    }


@pytest.mark.parametrize("what", malformed())
def test_malformed_programs_are_refused(what: str) -> None:
    stmt, message = malformed()[what]
    y = next(s.buffer for s in statements([stmt]) if isinstance(s, Store)) if what != "accumulator" else None
    results = [y] if y is not None and y.kind == "result" else []
    with pytest.raises(CompileError, match=message):
        verify(Program("f", [], results, [], [stmt]))


# --------------------------------------------------------------------------------------------------- simplify


def count(jaxpr: Jaxpr, name: str) -> int:
    return sum(e.primitive.name == name for e in jaxpr.eqns)


def test_simplify_merges_equal_equations_and_drops_unused_ones() -> None:
    def f(x: Any) -> Any:
        lax.cos(x)
        return lax.sin(x) * lax.sin(x)

    simple = simplify(jaxpr_of(f, np.ones(3, np.float32)))
    check_jaxpr(simple)
    assert [e.primitive.name for e in simple.eqns] == ["sin", "mul"]


def test_simplify_moves_what_does_not_change_out_of_scans() -> None:
    def f(x: Any, ys: Any) -> Any:
        return lax.scan(lambda c, y: (c + jnp.exp(x) * y, None), jnp.zeros(3), ys)[0]

    simple = simplify(jaxpr_of(f, np.ones(3, np.float32), np.ones((5, 3), np.float32)))
    check_jaxpr(simple)
    assert count(simple, "exp") == 1
    (scan,) = [e for e in simple.eqns if e.primitive.name == "scan"]
    assert count(scan.params["jaxpr"].jaxpr, "exp") == 0


def test_simplify_inlines_calls() -> None:
    inner = wengert.jit(lambda x: x + 1)
    simple = simplify(jaxpr_of(lambda x: inner(inner(x)), np.ones(3, np.float32)))
    assert [e.primitive.name for e in simple.eqns] == ["add", "add"]


# -------------------------------------------------------------------------------- plan, lower, split and nest


def loops_of(program: Program) -> list[For]:
    return [s for s in statements(program.body) if isinstance(s, For)]


def test_a_value_that_is_dear_and_used_at_many_places_is_stored() -> None:
    def dear(x: Any) -> Any:
        e = jnp.exp(x)
        return e[2:] + e[1:-1] + e[:-2]

    def cheap(x: Any) -> Any:
        e = -x
        return e[2:] + e[1:-1] + e[:-2]

    x = np.ones(1000, np.float32)
    assert len(loops_of(program_of(dear, x))) == 2
    assert len(loops_of(program_of(cheap, x))) == 1


def test_thin_rims_keep_their_conditions_and_interiors_have_none() -> None:
    program = program_of(lambda x: jnp.pad(x, ((1, 1), (2, 2))) * 2, np.ones((60, 70), np.float32))
    (interior,) = [s for s in program.body if isinstance(s, For) and (s.lo, s.hi) == (1, 61)]
    assert (2, 72) in {(s.lo, s.hi) for s in interior.body if isinstance(s, For)}
    assert not any(isinstance(e, Piecewise) for s in statements(interior.body) for e in walk(*values(s)))


def test_loops_with_enough_work_are_parallel() -> None:
    few = program_of(lambda x: jnp.exp(x), np.ones((10, 10), np.float32))
    many = program_of(lambda x: jnp.exp(x), np.ones((500, 500), np.float32))
    assert not any(s.parallel for s in loops_of(few))
    assert [s.parallel for s in loops_of(many)] == [True, False]
    assert nest.work(many.body) >= nest.PARALLEL_COST


def test_loops_that_need_all_of_another_are_not_merged() -> None:
    def f(x: Any) -> Any:
        y = jnp.cumsum(jnp.exp(x))
        return y / y[-1]

    program = program_of(f, np.ones(100, np.float32))
    wanted = np.arange(1, 101, dtype=np.float32) / 100
    np.testing.assert_allclose(interpret(program, [np.ones(100, np.float32)])[0], wanted, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------ memory


def test_memory_is_used_again_when_it_is_free() -> None:
    def f(x: Any, w: Any) -> Any:
        for _ in range(6):
            x = x @ w
        return x

    program = program_of(f, np.ones((64, 64), np.float32), np.ones((64, 64), np.float32))
    assert len(program.temps) == 5
    assert program.arena == 2 * 64 * 64 * 4


def test_what_a_loop_reads_lives_for_all_of_its_iterations() -> None:
    exprs, axis = Exprs(), Axis(4, "i")
    a, b = Buffer((), F32, "temp", "a"), Buffer((4,), F32, "temp", "b")
    y = Buffer((4,), F32, "result")
    i = Affine.of(axis)
    body: list[Stmt] = [
        Store(a, [], exprs.const(5, F32)),
        For(
            axis,
            0,
            4,
            [store(y, axis, exprs.load(a, [])), store(b, axis, exprs.load(y, [i]))],
        ),
    ]
    program = Program("f", [], [y], [a, b], body)
    memory.place(program)
    np.testing.assert_array_equal(interpret(program, [])[0], [5, 5, 5, 5])


def test_rows_and_registers_replace_temporaries() -> None:
    def f(x: Any) -> Any:
        e = jnp.exp(x - jnp.max(x, axis=1, keepdims=True))
        return e / jnp.sum(e, axis=1, keepdims=True)

    program = program_of(f, np.ones((20, 30), np.float32))
    assert program.temps == []
    assert any(isinstance(s, Let) for s in statements(program.body))
    (row,) = {s.buffer for s in statements(program.body) if isinstance(s, Store) and s.buffer.kind == "local"}
    assert row.shape == (30,)


def test_reductions_start_and_end_around_their_own_loops() -> None:
    program = program_of(lambda x: jnp.sum(x, axis=1), np.ones((4, 5), np.float32))
    (outer,) = program.body
    assert isinstance(outer, For)
    assert [type(s) for s in outer.body] == [Init, For, Store]


def test_divisions_by_numbers_become_products() -> None:
    program = program_of(lambda x: x / 4, np.ones(5, np.float32))
    found = {e.name for s in statements(program.body) for e in walk(*values(s)) if isinstance(e, Op)}
    assert found == {"mul"}
