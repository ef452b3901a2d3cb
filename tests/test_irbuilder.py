"""The LLVM IR builder: what it folds and shares, how it writes constants, and that what it writes runs."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels import WIDE, kernel

from wengert.backends import cpu
from wengert.backends.irbuilder import (
    BF16,
    F16,
    F32,
    F64,
    I1,
    I8,
    I32,
    I64,
    PTR,
    VOID,
    Builder,
    Function,
    Module,
    Type,
    Value,
    constant,
    scalar_type,
)


def straight_line(*types: Type) -> tuple[Builder, list[Value]]:
    function = Module().function("f", VOID, [(f"a{n}", type) for n, type in enumerate(types)])
    return Builder(function), function.args


def native(write: Callable[[Builder, Function], None], *arguments: Any) -> None:
    """Run a function of pointers and integers that `write` makes; arrays are given by address."""
    module = Module()
    names = [(f"a{n}", PTR if isinstance(a, np.ndarray) else I64) for n, a in enumerate(arguments)]
    function = module.function("f", VOID, names, attributes=WIDE)
    b = Builder(function)
    write(b, function)
    b.ret()
    code = cpu.load(module.text())
    raw = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(raw))(code.address("f"))(*raw)


def test_types_are_interned_and_one_lane_is_a_scalar() -> None:
    assert F32.vec(8) is F32.vec(8)
    assert F32.vec(8).vec(1) is F32
    assert F32.vec(8).like("i32") is I32.vec(8)
    assert scalar_type("f64") is F64
    assert F32.vec(8).text == "<8 x float>"


def test_pure_operations_are_emitted_once() -> None:
    b, (x, y) = straight_line(F32.vec(4), F32.vec(4))
    assert b.fmul(x, y) is b.fmul(x, y)
    assert b.fma(x, 2.0, y) is b.fma(x, 2.0, y)
    assert b.fmul(x, y) is not b.fmul(y, x)
    assert b.fcmp("olt", x, y) is b.fcmp("olt", x, y)
    assert len(b.current.lines) == 4


def test_flags_make_another_operation() -> None:
    b, (x, y) = straight_line(F32, F32)
    plain = b.fadd(x, y)
    with b.flags("contract"):
        assert b.fadd(x, y) is not plain
        with b.flags(""):
            assert b.fadd(x, y) is plain


def test_values_of_a_branch_are_not_shared_with_what_follows() -> None:
    b, (x, go) = straight_line(F32, I1)
    outside = b.fmul(x, x)
    inside: list[Value] = []

    def then() -> list[Value]:
        assert b.fmul(x, x) is outside
        inside.append(b.fadd(x, 1.0))
        return inside

    b.when(go, then, [x])
    assert b.fadd(x, 1.0) is not inside[0]
    assert b.fmul(x, x) is outside


@pytest.mark.parametrize(
    ("type", "number", "text"),
    [
        (F64, 0.1, "0x3FB999999999999A"),
        (F32, 0.1, "0x3FB99999A0000000"),
        (F32, 1e39, "0x7FF0000000000000"),
        (F32, math.nan, "0x7FF8000000000000"),
        (F64, -0.0, "0x8000000000000000"),
        (F16, 1.0, "0xH3C00"),
        (F16, 1e6, "0xH7C00"),
        (BF16, 1.00390625, "0xR3F80"),
        (I8, 255, "-1"),
        (I1, True, "true"),
        (PTR, 0, "null"),
    ],
)
def test_constants(type: Type, number: float, text: str) -> None:
    assert constant(type, number).name == text
    if type is not PTR:
        assert constant(type.vec(4), number).name == f"splat ({type.text} {text})"


def test_zeros_of_both_signs_are_different_constants() -> None:
    assert constant(F32, 0.0) is not constant(F32, -0.0)
    assert constant(F32, 0.0) is constant(F32, 0.0)


def test_folding() -> None:
    b, (x, i) = straight_line(F32, I32)
    assert b.add(i, 0) is i
    assert b.mul(i, 1) is i
    assert b.mul(i, 0).const == 0
    assert b.shl(i, 0) is i
    assert b.and_(i, -1) is i
    assert b.or_(i, i) is i
    assert b.fmul(x, 1.0) is x
    assert b.select(b.const(I1, 1), x, 2.0) is x
    assert b.add(b.const(I32, 2**31 - 1), 1).const == -(2**31)
    assert b.fadd(b.const(F32, 0.1), 0.2).const == float(np.float32(0.1) + np.float32(0.2))
    assert b.icmp("slt", b.const(I32, -1), 0).const == 1
    assert b.zext(b.const(I8, -1), "i32").const == 255
    assert b.sext(b.const(I1, 1), "i32").const == -1
    assert not b.current.lines
    # Neither is exact: x may be a negative zero, or NaN.
    assert b.fadd(x, 0.0) is not x
    assert b.fmul(x, 0.0).const is None


def test_division_by_a_power_of_two_is_multiplication() -> None:
    b, (x,) = straight_line(F32)
    assert b.fdiv(x, 4.0) is b.fmul(x, 0.25)
    b.fdiv(x, 3.0)
    assert "fdiv" in b.current.lines[-1]


def test_operands_must_give_a_type() -> None:
    b, _ = straight_line()
    with pytest.raises(AssertionError, match="must be a Value"):
        b.fadd(1.0, 2.0)


def test_loops_carry_values_and_may_not_run() -> None:
    def write(b: Builder, function: Function) -> None:
        source, target, n = function.args
        with b.loop(0, n, carried=[b.const(I64, 100), b.const(I64, 1)]) as loop:
            total, product = loop.carried
            x = b.load(I64, b.gep(I64, source, loop.index))
            loop.next(b.add(total, x), b.mul(product, x))
        b.store(loop.results[0], target)
        b.store(loop.results[1], b.gep(I64, target, 1))

    for size in (0, 1, 5):
        source, target = np.arange(2, 7), np.zeros(2, np.int64)
        native(write, source, target, size)
        assert target.tolist() == [100 + source[:size].sum(), source[:size].prod()]


def test_nested_loops_with_steps() -> None:
    def write(b: Builder, function: Function) -> None:
        target, n = function.args
        with b.loop(0, n, 3) as outer, b.loop(outer.index, n, 2) as inner:
            b.store(outer.index, b.gep(I64, target, inner.index))

    target = np.full(10, -1)
    native(write, target, 10)
    want = np.full(10, -1)
    for i in range(0, 10, 3):
        for j in range(i, 10, 2):
            want[j] = i
    np.testing.assert_array_equal(target, want)


def test_a_loop_must_say_how_it_goes_on() -> None:
    b, (n,) = straight_line(I64)
    with pytest.raises(AssertionError, match="a successor for each carried value"), b.loop(0, n, carried=[n]):
        pass


def test_masked_memory_leaves_the_other_lanes_alone() -> None:
    def write(b: Builder, function: Function) -> None:
        source, target = function.args
        vector = F64.vec(8)
        mask = b.icmp("slt", b.iota(I64.vec(8)), 3)
        b.masked_store(b.masked_load(vector, source, mask, -1.0), target, b.not_(mask))
        first = b.icmp("slt", b.const(I64, 0), 1)
        b.masked_store(b.masked_load(F64, source, first), target, first)

    target = np.zeros(8)
    native(write, np.arange(10.0, 18.0), target)
    assert target.tolist() == [10, 0, 0, -1, -1, -1, -1, -1]


def test_gather_and_scatter() -> None:
    def write(b: Builder, function: Function) -> None:
        source, target, order = function.args
        where = b.load(I64.vec(4), order)
        values = b.gather(F32.vec(4), b.gep(F32, source, where), b.icmp("ne", where, 7), 9.0)
        b.scatter(values, b.gep(F32, target, where))

    target = np.zeros(8, np.float32)
    native(write, np.arange(8, dtype=np.float32), target, np.array([6, 0, 7, 3]))
    assert target.tolist() == [0, 0, 0, 3, 0, 0, 6, 9]


def test_tables_are_shared_by_name() -> None:
    def write(b: Builder, function: Function) -> None:
        for n in range(2):
            table = b.module.data("wengert_test_table", F32, [0.5, math.inf, -2.0])
            b.store(b.load(F32, b.gep(F32, table, n + 1)), b.gep(F32, function.args[0], n))

    target = np.zeros(2, np.float32)
    native(write, target)
    assert target.tolist() == [math.inf, -2.0]


def test_memory_blocks_and_stack_slots() -> None:
    def write(b: Builder, function: Function) -> None:
        (target,) = function.args
        slot = b.alloca(I64, 4)
        b.memset(slot, 1, 32)
        b.memcpy(target, slot, 16)
        b.store(b.atomic_add(target, b.const(I64, 5)), b.gep(I64, target, 2))

    target = np.zeros(3, np.int64)
    native(write, target)
    ones = 0x0101010101010101
    assert target.tolist() == [ones + 5, ones, ones]


def test_switch_and_phi() -> None:
    def write(b: Builder, function: Function) -> None:
        target, n = function.args
        one, other, done = b.block("one"), b.block("other"), b.block("done")
        b.switch(n, other, [(1, one), (7, one)])
        b.position(one)
        b.br(done)
        b.position(other)
        b.br(done)
        b.position(done)
        chosen = b.phi(I64, [(b.const(I64, 10), one)])
        b.phi_add(chosen, b.const(I64, 20), other)
        b.store(chosen, target)

    for n, want in ((1, 10), (7, 10), (3, 20)):
        target = np.zeros(1, np.int64)
        native(write, target, n)
        assert target[0] == want


def test_calls_find_the_c_library() -> None:
    def write(b: Builder, function: Function) -> None:
        target = function.args[0]
        b.store(b.call("cos", F64, [b.load(F64, target)]), target)

    target = np.zeros(1)
    native(write, target)
    assert target[0] == 1.0


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_conversions_saturate(lanes: int) -> None:
    x = np.array([1.9, -1.9, 3e9, -3e9, math.nan, math.inf, 200.0, -0.5])
    got = kernel(lambda b, v: b.sitofp(b.fptosi(v, "i32"), "f64"), "float64", lanes)(x)
    assert got.tolist() == [1, -1, 2**31 - 1, -(2**31), 0, 2**31 - 1, 200, 0]
    got = kernel(lambda b, v: b.uitofp(b.fptoui(v, "i8"), "f64"), "float64", lanes)(x)
    assert got.tolist() == [1, 0, 255, 0, 0, 255, 200, 0]


def test_lane_operations() -> None:
    x = np.arange(8.0)
    cases: list[tuple[Callable[[Builder, Value], Value], list[float]]] = [
        (lambda b, v: b.reverse(v), x[::-1].tolist()),
        (lambda b, v: b.splat(b.reduce("fadd", v), 8), [28.0] * 8),
        (lambda b, v: b.splat(b.reduce("fadd", v, ordered=True), 8), [28.0] * 8),
        (lambda b, v: b.splat(b.reduce("fmaximum", v), 8), [7.0] * 8),
        (lambda b, v: b.splat(b.extract(v, 5), 8), [5.0] * 8),
        (lambda b, v: b.insert(v, b.const(F64, 9.0), 2), [0, 1, 9, 3, 4, 5, 6, 7]),
        (lambda b, v: b.shuffle(v, v, [0, 8, 1, 9, 2, 10, 3, 11]), [0, 0, 1, 1, 2, 2, 3, 3]),
        (
            lambda b, v: b.concat_lanes(b.slice_lanes(v, 4, 4), b.slice_lanes(v, 0, 4)),
            [4, 5, 6, 7, 0, 1, 2, 3],
        ),
        (lambda b, v: b.select(b.splat(b.any_lane(b.fcmp("ogt", v, 6.5)), 8), v, 0.0), x.tolist()),
        (lambda b, v: b.select(b.splat(b.all_lanes(b.fcmp("ogt", v, 6.5)), 8), v, 0.0), [0.0] * 8),
        (lambda b, v: b.fadd(v, b.const_lanes(v.type, [1, 0, 0, 0, 0, 0, 0, 2])), [1, 1, 2, 3, 4, 5, 6, 9]),
    ]
    for emit, want in cases:
        assert kernel(emit, "float64", 8)(x).tolist() == want


def test_integer_operations() -> None:
    x = np.array([5, -7, 0, 2**31 - 1, -(2**31), 12], np.int32)
    cases: list[tuple[Callable[[Builder, Value], Value], Any]] = [
        (lambda b, v: b.abs_(v), np.abs(x)),
        (lambda b, v: b.rotl(v, 8), (x.view(np.uint32) << 8 | x.view(np.uint32) >> 24).view(np.int32)),
        (lambda b, v: b.ctpop(v), np.bitwise_count(x.view(np.uint32))),
        (lambda b, v: b.smax(b.smin(v, 10), -3), np.clip(x, -3, 10)),
        (lambda b, v: b.lshr(v, 1), (x.view(np.uint32) >> 1).view(np.int32)),
        (lambda b, v: b.ashr(v, 1), x >> 1),
        (lambda b, v: b.not_(v), ~x),
        (lambda b, v: b.neg(v), (-x.astype(np.int64)).astype(np.int32)),
        (lambda b, v: b.srem(v, 3), np.fmod(x, 3)),
        (lambda b, v: b.sdiv(v, 3), np.trunc(x / 3)),
        (lambda b, v: b.ctlz(v), [29, 0, 32, 1, 0, 28]),
        (lambda b, v: b.cttz(v), [0, 0, 32, 0, 31, 2]),
    ]
    for emit, want in cases:
        np.testing.assert_array_equal(kernel(emit, "int32", 4)(x), want)


def test_metadata_of_loops() -> None:
    module = Module()
    function = module.function("f", VOID, [("n", I64)])
    b = Builder(function)
    with b.loop(0, function.args[0], metadata=module.loop_metadata("llvm.loop.unroll.disable")):
        pass
    b.ret()
    text = module.text()
    assert "!llvm.loop !1" in text
    assert '!0 = !{!"llvm.loop.unroll.disable"}' in text
    assert "!1 = distinct !{!1, !0}" in text
    cpu.load(text)


def test_an_instruction_costs_a_few_microseconds() -> None:
    best = math.inf
    for _ in range(5):
        b, (x,) = straight_line(F32.vec(8))
        start = time.perf_counter()
        for _ in range(1000):
            x = b.fma(x, x, 1.5)
        best = min(best, (time.perf_counter() - start) / 1000)
    assert best < 20e-6
