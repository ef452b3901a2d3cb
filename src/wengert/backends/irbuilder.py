"""LLVM IR as text, built quickly.

The whole backend writes its code with these classes. They append lines to lists and hand back SSA names;
nothing is parsed or checked here: LLVM does that once, at the end. An instruction costs 1 to 2 us.

    module = Module()
    function = module.function("f", VOID, [("x", PTR), ("y", PTR), ("n", I64)], attributes="nounwind")
    x, y, n = function.args
    b = Builder(function)                            # stands in the entry block
    with b.loop(0, n, 8) as loop:                    # for (i = 0; i < n; i += 8)
        v = b.load(F32.vec(8), b.gep(F32, x, loop.index), align=4)
        v = b.fma(v, 2.0, 1.0)                       # Python numbers become (splat) constants
        b.store(v, b.gep(F32, y, loop.index), align=4)
    b.ret()
    text = module.text()

Types: `F16 BF16 F32 F64 I1 I8 I16 I32 I64 I128 PTR VOID`; `F32.vec(8)` is `<8 x float>`, and `F32.vec(1)` is
`F32` itself: one lane means a scalar everywhere. Types are interned (compare with `is`) and know `.kind`
("f32"), `.lanes`, `.bits`, `.is_float`, `.text`, `.scalar`, and `.like("i32")`: as many lanes of another
kind.

Values: `Value(name, type, const)`; `const` is the Python number of a (splat) constant, else None.

Builder, by group. Operands are Values or Python numbers, at least one of them a Value that gives the type;
all operands of one operation have the same lanes (`splat` widens a scalar).

    constants     const(type, number) const_lanes(type, numbers) iota(type) zero(type) undef(type)
    floats        fadd fsub fmul fdiv frem fneg fma fabs copysign sqrt floor ceil trunc_f rint round_f
                  minnum maxnum (ignore NaN), minimum maximum (propagate NaN)
    integers      add sub mul sdiv udiv srem urem shl lshr ashr and_ or_ xor not_ neg
                  smin smax umin umax abs_ ctlz cttz ctpop rotl
    comparison    icmp("slt", a, b)  fcmp("olt", a, b)  select(mask, a, b)
    conversion    trunc zext sext bitcast fptrunc fpext sitofp uitofp fptosi fptoui (saturating, NaN to 0)
                  fptosi_in_range ptrtoint inttoptr, each (value, kind): kind "i32" keeps the number of lanes
    lanes         splat extract insert shuffle reverse slice_lanes concat_lanes
                  reduce("fadd" | "add" | "smax" | ..., v)  any_lane all_lanes
    memory        gep load store masked_load masked_store gather scatter alloca memcpy memset atomic_add
    control       block br cond_br switch ret unreachable phi phi_add loop when position
    calls         call(name or pointer, ret, args)  intrinsic(name, ret, args, overloads)  raw(type, text)
    flags         with b.flags("contract"): fast-math flags for the float operations inside; "" means none

Pure operations are hash-consed within a block and the blocks that it dominates (as told by
`block(dominator=...)`; `loop` and `when` tell it), so that writing `b.fmul(x, x)` twice emits it once.
Operations on constants, and x + 0, x * 1 and the like, are folded when that is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import TracebackType

from wengert.backends.irmodule import Block, Function, Module
from wengert.backends.irtypes import (
    BF16,
    F16,
    F32,
    F64,
    I1,
    I8,
    I16,
    I32,
    I64,
    I128,
    PTR,
    VOID,
    Operand,
    Type,
    Value,
    constant,
    scalar_type,
)

__all__ = [
    "BF16",
    "F16",
    "F32",
    "F64",
    "I1",
    "I8",
    "I16",
    "I32",
    "I64",
    "I128",
    "PTR",
    "VOID",
    "Block",
    "Builder",
    "Function",
    "Loop",
    "Module",
    "Operand",
    "Type",
    "Value",
    "constant",
    "scalar_type",
]


_FOLD_INT: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
}


class Builder:
    """Writes instructions at the end of one block of a function; the head of this file lists them."""

    __slots__ = ("_fmf", "_lines", "_memo", "current", "function", "module")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.module = function.module
        self._fmf = ""
        self.position(function.blocks[-1] if function.blocks else function.block("entry"))

    # ---- plumbing

    def position(self, block: Block) -> None:
        """Continue at the end of `block`."""
        self.current = block
        self._lines = block.lines
        self._memo = block.memo

    def _pure(self, type: Type, text: str) -> Value:
        found = self._memo.get(text)
        if found is None:
            function = self.function
            function.count = count = function.count + 1
            name = f"%v{count}"
            self._lines.append(f"  {name} = {text}")
            self._memo[text] = found = Value(name, type)
        return found

    def raw(self, type: Type, text: str) -> Value:
        """Emit the instruction `text`, of any kind; its result has type `type` (VOID: it has none)."""
        if type is VOID:
            self._lines.append(f"  {text}")
            return Value("", VOID)
        function = self.function
        function.count = count = function.count + 1
        name = f"%v{count}"
        self._lines.append(f"  {name} = {text}")
        return Value(name, type)

    def flags(self, flags: str) -> _Flags:
        """A `with` block in which float operations carry fast-math flags such as "contract"."""
        return _Flags(self, f"{flags} " if flags else "")

    # ---- constants

    def const(self, type: Type, number: float | int) -> Value:
        """A constant, the same in every lane."""
        return constant(type, number)

    def zero(self, type: Type) -> Value:
        """The zero of a type (+0.0, false, null)."""
        return constant(type, 0)

    def undef(self, type: Type) -> Value:
        """A value of which nothing is known (LLVM's poison)."""
        return Value("poison", type)

    def const_lanes(self, type: Type, numbers: Sequence[float | int]) -> Value:
        """A constant vector, lane by lane."""
        if len(numbers) == 1:
            return constant(type, numbers[0])
        scalar = type.scalar
        return Value(f"<{', '.join([f'{scalar.text} {constant(scalar, n).name}' for n in numbers])}>", type)

    def iota(self, type: Type) -> Value:
        """0, 1, 2 ... in the lanes of a type."""
        return self.const_lanes(type, range(type.lanes))

    # ---- floats

    def _pair(self, a: Operand, b: Operand) -> tuple[Value, Value]:
        if isinstance(a, Value):
            return a, b if isinstance(b, Value) else constant(a.type, b)
        assert isinstance(b, Value), "one operand must be a Value"
        return constant(b.type, a), b

    def fadd(self, a: Operand, b: Operand) -> Value:
        """a + b."""
        a, b = self._pair(a, b)
        if a.const is not None and b.const is not None:
            return constant(a.type, a.const + b.const)
        return self._pure(a.type, f"fadd {self._fmf}{a.type.text} {a.name}, {b.name}")

    def fsub(self, a: Operand, b: Operand) -> Value:
        """a - b."""
        a, b = self._pair(a, b)
        if a.const is not None and b.const is not None:
            return constant(a.type, a.const - b.const)
        return self._pure(a.type, f"fsub {self._fmf}{a.type.text} {a.name}, {b.name}")

    def fmul(self, a: Operand, b: Operand) -> Value:
        """a * b."""
        a, b = self._pair(a, b)
        if a.const is not None:
            if b.const is not None:
                return constant(a.type, a.const * b.const)
            if a.const == 1.0:
                return b
        elif b.const == 1.0:
            return a
        return self._pure(a.type, f"fmul {self._fmf}{a.type.text} {a.name}, {b.name}")

    def fdiv(self, a: Operand, b: Operand) -> Value:
        """a / b; by a power of two it becomes a multiplication."""
        a, b = self._pair(a, b)
        if b.const is not None and b.const != 0 and abs(math.frexp(b.const)[0]) == 0.5:
            inverse = constant(b.type, 1.0 / b.const)
            # Both must be normal numbers, or a target that flushes denormals would see another result.
            if inverse.const is not None and 2.0**-14 <= abs(inverse.const) <= 2.0**14:
                return self.fmul(a, inverse)
        return self._pure(a.type, f"fdiv {self._fmf}{a.type.text} {a.name}, {b.name}")

    def frem(self, a: Operand, b: Operand) -> Value:
        """C's fmod by a library call; `vecmath` has it as vector arithmetic."""
        a, b = self._pair(a, b)
        return self._pure(a.type, f"frem {self._fmf}{a.type.text} {a.name}, {b.name}")

    def fneg(self, a: Value) -> Value:
        """-a."""
        if a.const is not None:
            return constant(a.type, -a.const)
        return self._pure(a.type, f"fneg {self._fmf}{a.type.text} {a.name}")

    def fma(self, a: Operand, b: Operand, c: Operand) -> Value:
        """a * b + c, rounded once."""
        given = a if isinstance(a, Value) else b if isinstance(b, Value) else c
        assert isinstance(given, Value), "one operand must be a Value"
        type = given.type
        a = a if isinstance(a, Value) else constant(type, a)
        b = b if isinstance(b, Value) else constant(type, b)
        c = c if isinstance(c, Value) else constant(type, c)
        full = f"llvm.fma.{type.mangled}"
        if full not in self.module._declared:
            self.module.declare(full, type, [type, type, type])
        text = type.text
        call = f"call {self._fmf}{text} @{full}({text} {a.name}, {text} {b.name}, {text} {c.name})"
        return self._pure(type, call)

    def fabs(self, a: Value) -> Value:
        """|a|."""
        return self._intrinsic("fabs", a.type, (a,))

    def copysign(self, a: Operand, sign: Operand) -> Value:
        """|a| with the sign of `sign`."""
        return self._intrinsic("copysign", (pair := self._pair(a, sign))[0].type, pair)

    def sqrt(self, a: Value) -> Value:
        """The square root, correctly rounded."""
        return self._intrinsic("sqrt", a.type, (a,), self._fmf)

    def floor(self, a: Value) -> Value:
        """Towards minus infinity."""
        return self._intrinsic("floor", a.type, (a,))

    def ceil(self, a: Value) -> Value:
        """Towards plus infinity."""
        return self._intrinsic("ceil", a.type, (a,))

    def trunc_f(self, a: Value) -> Value:
        """Towards zero."""
        return self._intrinsic("trunc", a.type, (a,))

    def rint(self, a: Value) -> Value:
        """To the nearest integer, ties to even."""
        return self._intrinsic("roundeven", a.type, (a,))

    def round_f(self, a: Value) -> Value:
        """To the nearest integer, ties away from zero."""
        return self._intrinsic("round", a.type, (a,))

    def minnum(self, a: Operand, b: Operand) -> Value:
        """The smaller; if one is NaN, the other."""
        return self._intrinsic("minnum", (pair := self._pair(a, b))[0].type, pair)

    def maxnum(self, a: Operand, b: Operand) -> Value:
        """The larger; if one is NaN, the other."""
        return self._intrinsic("maxnum", (pair := self._pair(a, b))[0].type, pair)

    def minimum(self, a: Operand, b: Operand) -> Value:
        """The smaller; NaN if one is NaN; -0.0 is below 0.0."""
        return self._intrinsic("minimum", (pair := self._pair(a, b))[0].type, pair)

    def maximum(self, a: Operand, b: Operand) -> Value:
        """The larger; NaN if one is NaN; -0.0 is below 0.0."""
        return self._intrinsic("maximum", (pair := self._pair(a, b))[0].type, pair)

    # ---- integers

    def _int(
        self, op: str, a: Operand, b: Operand, left: int | None, right: int | None, flags: str = ""
    ) -> Value:
        """An integer operation with neutral elements `left` op b == b and a op `right` == a."""
        a, b = self._pair(a, b)
        if b.const is not None:
            if a.const is not None and op in _FOLD_INT:
                return constant(a.type, _FOLD_INT[op](int(a.const), int(b.const)))
            if b.const == right:
                return a
        elif a.const is not None and a.const == left:
            return b
        return self._pure(a.type, f"{op} {flags}{a.type.text} {a.name}, {b.name}")

    def add(self, a: Operand, b: Operand, flags: str = "") -> Value:
        """a + b, wrapping; flags "nuw nsw " promise that it does not wrap."""
        return self._int("add", a, b, 0, 0, flags)

    def sub(self, a: Operand, b: Operand, flags: str = "") -> Value:
        """a - b, wrapping."""
        return self._int("sub", a, b, None, 0, flags)

    def mul(self, a: Operand, b: Operand, flags: str = "") -> Value:
        """a * b, wrapping."""
        if a == 0 or b == 0 or getattr(a, "const", 1) == 0 or getattr(b, "const", 1) == 0:
            return constant((a if isinstance(a, Value) else b).type, 0)  # type: ignore[union-attr]
        return self._int("mul", a, b, 1, 1, flags)

    def sdiv(self, a: Operand, b: Operand) -> Value:
        """Signed quotient, towards zero. Division by zero and overflow are undefined: guard them."""
        return self._int("sdiv", a, b, None, 1)

    def udiv(self, a: Operand, b: Operand) -> Value:
        """Unsigned quotient. Division by zero is undefined."""
        return self._int("udiv", a, b, None, 1)

    def srem(self, a: Operand, b: Operand) -> Value:
        """Signed remainder, with the sign of a. Division by zero is undefined."""
        return self._int("srem", a, b, None, None)

    def urem(self, a: Operand, b: Operand) -> Value:
        """Unsigned remainder. Division by zero is undefined."""
        return self._int("urem", a, b, None, None)

    def shl(self, a: Operand, b: Operand) -> Value:
        """a << b; a shift by the width or more is poison."""
        return self._int("shl", a, b, None, 0)

    def lshr(self, a: Operand, b: Operand) -> Value:
        """a >> b, zeros shifted in."""
        return self._int("lshr", a, b, None, 0)

    def ashr(self, a: Operand, b: Operand) -> Value:
        """a >> b, the sign shifted in."""
        return self._int("ashr", a, b, None, 0)

    def and_(self, a: Operand, b: Operand) -> Value:
        """Bitwise and; of masks, logical and."""
        a, b = self._pair(a, b)
        if a.const == 0 or b is a:
            return a
        ones = 1 if a.type.bits == 1 else -1
        return b if b.const == 0 else self._int("and", a, b, ones, ones)

    def or_(self, a: Operand, b: Operand) -> Value:
        """Bitwise or; of masks, logical or."""
        a, b = self._pair(a, b)
        return a if b is a else self._int("or", a, b, 0, 0)

    def xor(self, a: Operand, b: Operand) -> Value:
        """Bitwise exclusive or."""
        return self._int("xor", a, b, 0, 0)

    def not_(self, a: Value) -> Value:
        """Every bit turned over."""
        return self._int("xor", a, constant(a.type, -1), None, None)

    def neg(self, a: Value) -> Value:
        """-a, wrapping."""
        return self._int("sub", constant(a.type, 0), a, None, None)

    def smin(self, a: Operand, b: Operand) -> Value:
        """The smaller, signed."""
        return self._intrinsic("smin", (pair := self._pair(a, b))[0].type, pair)

    def smax(self, a: Operand, b: Operand) -> Value:
        """The larger, signed."""
        return self._intrinsic("smax", (pair := self._pair(a, b))[0].type, pair)

    def umin(self, a: Operand, b: Operand) -> Value:
        """The smaller, unsigned."""
        return self._intrinsic("umin", (pair := self._pair(a, b))[0].type, pair)

    def umax(self, a: Operand, b: Operand) -> Value:
        """The larger, unsigned."""
        return self._intrinsic("umax", (pair := self._pair(a, b))[0].type, pair)

    def abs_(self, a: Value) -> Value:
        """|a|, wrapping for the smallest number."""
        return self._intrinsic("abs", a.type, (a, constant(I1, 0)))

    def ctlz(self, a: Value) -> Value:
        """The number of leading zero bits; the width for 0."""
        return self._intrinsic("ctlz", a.type, (a, constant(I1, 0)))

    def cttz(self, a: Value) -> Value:
        """The number of trailing zero bits; the width for 0."""
        return self._intrinsic("cttz", a.type, (a, constant(I1, 0)))

    def ctpop(self, a: Value) -> Value:
        """The number of one bits."""
        return self._intrinsic("ctpop", a.type, (a,))

    def rotl(self, a: Value, n: Operand) -> Value:
        """Rotate left by n modulo the width."""
        _, n = self._pair(a, n)
        return self._intrinsic("fshl", a.type, (a, a, n))

    # ---- comparison and choice

    def icmp(self, predicate: str, a: Operand, b: Operand) -> Value:
        """A mask: eq ne slt sle sgt sge ult ule ugt uge."""
        a, b = self._pair(a, b)
        if a.const is not None and b.const is not None and predicate in _COMPARE:
            return constant(a.type.like("i1"), int(_COMPARE[predicate](int(a.const), int(b.const))))
        return self._pure(a.type.like("i1"), f"icmp {predicate} {a.type.text} {a.name}, {b.name}")

    def fcmp(self, predicate: str, a: Operand, b: Operand) -> Value:
        """A mask: oeq olt ole ogt oge one ord, false on NaN; ueq ult ule ugt uge une uno, true on NaN."""
        a, b = self._pair(a, b)
        return self._pure(a.type.like("i1"), f"fcmp {predicate} {a.type.text} {a.name}, {b.name}")

    def select(self, mask: Value, a: Operand, b: Operand) -> Value:
        """a where the mask is true, else b. A mask of one lane chooses whole vectors."""
        a, b = self._pair(a, b)
        if mask.const is not None:
            return a if mask.const else b
        if a is b:
            return a
        text = a.type.text
        return self._pure(a.type, f"select {mask.type.text} {mask.name}, {text} {a.name}, {text} {b.name}")

    # ---- conversion

    def _convert(self, op: str, a: Value, kind: str) -> Value:
        to = a.type.like(kind)
        return a if to is a.type else self._pure(to, f"{op} {a.type.text} {a.name} to {to.text}")

    def trunc(self, a: Value, kind: str) -> Value:
        """To a narrower integer, dropping high bits."""
        return self._convert("trunc", a, kind) if a.const is None else constant(a.type.like(kind), a.const)

    def zext(self, a: Value, kind: str) -> Value:
        """To a wider integer, unsigned."""
        if a.const is not None:
            return constant(a.type.like(kind), int(a.const) & ((1 << a.type.bits) - 1))
        return self._convert("zext", a, kind)

    def sext(self, a: Value, kind: str) -> Value:
        """To a wider integer, signed (a true mask becomes -1)."""
        if a.const is not None:
            return constant(a.type.like(kind), -a.const if a.type.bits == 1 else a.const)
        return self._convert("sext", a, kind)

    def bitcast(self, a: Value, kind: str) -> Value:
        """The same bits, as another kind of the same width."""
        return self._convert("bitcast", a, kind)

    def fptrunc(self, a: Value, kind: str) -> Value:
        """To a narrower float, to nearest even."""
        return self._convert("fptrunc", a, kind) if a.const is None else constant(a.type.like(kind), a.const)

    def fpext(self, a: Value, kind: str) -> Value:
        """To a wider float."""
        return self._convert("fpext", a, kind) if a.const is None else constant(a.type.like(kind), a.const)

    def sitofp(self, a: Value, kind: str) -> Value:
        """Signed integer to float."""
        return self._convert("sitofp", a, kind)

    def uitofp(self, a: Value, kind: str) -> Value:
        """Unsigned integer to float; a true mask is 1.0."""
        return self._convert("uitofp", a, kind)

    def fptosi(self, a: Value, kind: str) -> Value:
        """Float to signed integer, towards zero; out of range saturates, NaN gives 0."""
        to = a.type.like(kind)
        return self.intrinsic("fptosi.sat", to, (a,), (to, a.type))

    def fptoui(self, a: Value, kind: str) -> Value:
        """Float to unsigned integer, towards zero; out of range saturates, NaN gives 0."""
        to = a.type.like(kind)
        return self.intrinsic("fptoui.sat", to, (a,), (to, a.type))

    def fptosi_in_range(self, a: Value, kind: str) -> Value:
        """As fptosi, in one instruction; the result is poison if it does not fit."""
        return self._convert("fptosi", a, kind)

    def ptrtoint(self, a: Value, kind: str = "i64") -> Value:
        """An address as a number."""
        return self._convert("ptrtoint", a, kind)

    def inttoptr(self, a: Value) -> Value:
        """A number as an address."""
        return self._convert("inttoptr", a, "ptr")

    # ---- lanes

    def splat(self, a: Value, lanes: int) -> Value:
        """A scalar in every lane."""
        if lanes == 1:
            return a
        to = a.type.vec(lanes)
        if a.const is not None:
            return constant(to, a.const)
        first = self._pure(to, f"insertelement {to.text} poison, {a.type.text} {a.name}, i32 0")
        return self._pure(
            to, f"shufflevector {to.text} {first.name}, {to.text} poison, <{lanes} x i32> zeroinitializer"
        )

    def extract(self, a: Value, lane: int) -> Value:
        """One lane as a scalar."""
        if a.type.lanes == 1:
            return a
        if a.const is not None:
            return constant(a.type.scalar, a.const)
        return self._pure(a.type.scalar, f"extractelement {a.type.text} {a.name}, i32 {lane}")

    def insert(self, a: Value, scalar: Value, lane: int) -> Value:
        """The vector with one lane replaced."""
        if a.type.lanes == 1:
            return scalar
        item = f"{scalar.type.text} {scalar.name}"
        return self._pure(a.type, f"insertelement {a.type.text} {a.name}, {item}, i32 {lane}")

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Lanes of a (0 ...) and of b (counted on from a's) in the order given."""
        to = a.type.vec(len(lanes))
        if a.type.lanes == 1:
            return self._from_scalars([(a, b)[n] for n in lanes])
        if len(lanes) == 1:
            lane = lanes[0]
            return self.extract(a, lane) if lane < a.type.lanes else self.extract(b, lane - a.type.lanes)
        text = a.type.text
        order = f"<{len(lanes)} x i32> <{', '.join([f'i32 {n}' for n in lanes])}>"
        return self._pure(to, f"shufflevector {text} {a.name}, {text} {b.name}, {order}")

    def _from_scalars(self, scalars: Sequence[Value]) -> Value:
        vector = self.undef(scalars[0].type.vec(len(scalars)))
        for lane, scalar in enumerate(scalars):
            vector = self.insert(vector, scalar, lane)
        return vector

    def reverse(self, a: Value) -> Value:
        """The lanes in reverse order."""
        return a if a.type.lanes == 1 else self.shuffle(a, a, range(a.type.lanes - 1, -1, -1))

    def slice_lanes(self, a: Value, start: int, count: int) -> Value:
        """`count` lanes from `start` on."""
        if count == a.type.lanes:
            return a
        return self.shuffle(a, self.undef(a.type), range(start, start + count))

    def concat_lanes(self, a: Value, b: Value) -> Value:
        """The lanes of a, then those of b, of which there are as many."""
        return self.shuffle(a, b, range(2 * a.type.lanes))

    def reduce(self, op: str, a: Value, *, ordered: bool = False) -> Value:
        """All lanes combined: fadd fmul fmin fmax fminimum fmaximum add mul and or xor smin smax umin umax.

        fadd and fmul combine as a tree, unless `ordered`: then from the first lane on.
        """
        if a.type.lanes == 1:
            return a
        scalar = a.type.scalar
        if op in ("fadd", "fmul"):
            start = constant(scalar, -0.0 if op == "fadd" else 1.0)
            fmf = self._fmf if ordered else "reassoc " + self._fmf.replace("reassoc ", "")
            return self.intrinsic(f"vector.reduce.{op}", scalar, (start, a), (a.type,), fmf)
        return self.intrinsic(f"vector.reduce.{op}", scalar, (a,), (a.type,))

    def any_lane(self, mask: Value) -> Value:
        """Whether the mask is true in some lane."""
        return self.reduce("or", mask)

    def all_lanes(self, mask: Value) -> Value:
        """Whether the mask is true in every lane."""
        return self.reduce("and", mask)

    # ---- memory

    def gep(self, type: Type, pointer: Value, index: Operand) -> Value:
        """The address of element `index` (a number, integer or vector of them) of an array of `type`."""
        if index.__class__ is not Value:
            index = constant(I64, index)  # type: ignore[arg-type]
        assert isinstance(index, Value)
        if index.const == 0 and index.type.lanes == 1:
            return pointer
        to = index.type if index.type.lanes > 1 else pointer.type
        base = f"{pointer.type.text} {pointer.name}"
        return self._pure(
            to.like("ptr"), f"getelementptr {type.text}, {base}, {index.type.text} {index.name}"
        )

    def load(self, type: Type, pointer: Value, *, align: int = 0, meta: str = "") -> Value:
        """Read a value; align 0 means one element's size. `meta` is text such as "!noalias !3"."""
        tail = f"align {align or max(type.bits >> 3, 1)}{', ' if meta else ''}{meta}"
        return self.raw(type, f"load {type.text}, ptr {pointer.name}, {tail}")

    def store(self, value: Value, pointer: Value, *, align: int = 0, meta: str = "") -> None:
        """Write a value; align 0 means one element's size."""
        type = value.type
        tail = f", align {align or max(type.bits >> 3, 1)}{', ' if meta else ''}{meta}"
        self._lines.append(f"  store {type.text} {value.name}, ptr {pointer.name}{tail}")

    def masked_load(
        self, type: Type, pointer: Value, mask: Value, default: Operand = 0, *, align: int = 0
    ) -> Value:
        """Read the lanes where the mask is true; the others get `default` and are not touched."""
        default = default if isinstance(default, Value) else constant(type, default)
        if type.lanes == 1:
            return self.when(mask, lambda: [self.load(type, pointer, align=align)], [default])[0]
        size = constant(I32, align or max(type.bits >> 3, 1))
        return self._effect("masked.load", type, (pointer, size, mask, default), (type, PTR))

    def masked_store(self, value: Value, pointer: Value, mask: Value, *, align: int = 0) -> None:
        """Write the lanes where the mask is true."""
        if value.type.lanes == 1:
            self.when(mask, lambda: self.store(value, pointer, align=align), [])
            return
        size = constant(I32, align or max(value.type.bits >> 3, 1))
        self._effect("masked.store", VOID, (value, pointer, size, mask), (value.type, PTR))

    def gather(self, type: Type, pointers: Value, mask: Value | None = None, default: Operand = 0) -> Value:
        """Read one element from each address where the mask is true."""
        if type.lanes == 1:
            if mask is None or mask.const == 1:
                return self.load(type, pointers)
            return self.masked_load(type, pointers, mask, default)
        default = default if isinstance(default, Value) else constant(type, default)
        mask = constant(type.like("i1"), 1) if mask is None else mask
        size = constant(I32, max(type.bits >> 3, 1))
        return self._effect("masked.gather", type, (pointers, size, mask, default), (type, pointers.type))

    def scatter(self, value: Value, pointers: Value, mask: Value | None = None) -> None:
        """Write each lane to its address where the mask is true, from the first lane to the last."""
        type = value.type
        mask = constant(type.like("i1"), 1) if mask is None else mask
        if type.lanes == 1:
            self.masked_store(value, pointers, mask)
            return
        size = constant(I32, max(type.bits >> 3, 1))
        self._effect("masked.scatter", VOID, (value, pointers, size, mask), (type, pointers.type))

    def alloca(self, type: Type, count: int = 1, *, align: int = 64) -> Value:
        """A slot for `count` elements on the stack, made once at the function's entry."""
        function = self.function
        function.count += 1
        name = f"%v{function.count}"
        function.allocas.append(f"  {name} = alloca {type.text}, i64 {count}, align {align}")
        return Value(name, PTR)

    def prefetch(self, pointer: Value) -> None:
        """Ask for the memory at an address, which need not be valid, to come to the caches for reading."""
        numbers = [constant(I32, n) for n in (0, 3, 1)]  # to read, into all caches, data
        self._effect("prefetch", VOID, (pointer, *numbers), (PTR,))

    def memcpy(self, to: Value, source: Value, size: Operand) -> None:
        """Copy `size` bytes (i64) between places that do not overlap."""
        size = size if isinstance(size, Value) else constant(I64, size)
        self._effect("memcpy", VOID, (to, source, size, constant(I1, 0)), (PTR, PTR, I64))

    def memset(self, to: Value, byte: Operand, size: Operand) -> None:
        """Fill `size` bytes (i64) with one byte (i8)."""
        byte = byte if isinstance(byte, Value) else constant(I8, byte)
        size = size if isinstance(size, Value) else constant(I64, size)
        self._effect("memset", VOID, (to, byte, size, constant(I1, 0)), (PTR, I64))

    def atomic_add(self, pointer: Value, value: Value, ordering: str = "acq_rel") -> Value:
        """Add to memory in one indivisible step; gives the old value."""
        amount = f"{value.type.text} {value.name}"
        return self.raw(value.type, f"atomicrmw add ptr {pointer.name}, {amount} {ordering}")

    # ---- calls

    def call(self, callee: str | Value, ret: Type, args: Sequence[Value]) -> Value:
        """Call a function: by name (declared on first use) or through a pointer."""
        if isinstance(callee, str):
            if callee not in self.module._functions:
                self.module.declare(callee, ret, [a.type for a in args])
            target = f"@{callee}"
        else:
            target = callee.name
        listed = ", ".join([f"{a.type.text} {a.name}" for a in args])
        return self.raw(ret, f"call {ret.text} {target}({listed})")

    def _call_text(
        self, name: str, ret: Type, args: Sequence[Value], overloads: Sequence[Type], fmf: str
    ) -> str:
        full = f"llvm.{name}"
        for overload in overloads:
            full += f".{overload.mangled}"
        if full not in self.module._declared:
            self.module.declare(full, ret, [a.type for a in args])
        listed = ", ".join([f"{a.type.text} {a.name}" for a in args])
        return f"call {fmf}{ret.text} @{full}({listed})"

    def _intrinsic(self, name: str, type: Type, args: Sequence[Value], fmf: str = "") -> Value:
        """A pure intrinsic that is overloaded on its result type only."""
        full = f"llvm.{name}.{type.mangled}"
        if full not in self.module._declared:
            self.module.declare(full, type, [a.type for a in args])
        listed = ", ".join([f"{a.type.text} {a.name}" for a in args])
        return self._pure(type, f"call {fmf}{type.text} @{full}({listed})")

    def intrinsic(
        self, name: str, ret: Type, args: Sequence[Value], overloads: Sequence[Type], fmf: str = ""
    ) -> Value:
        """A pure LLVM intrinsic, e.g. intrinsic("ctpop", t, (a,), (t,)) for llvm.ctpop."""
        return self._pure(ret, self._call_text(name, ret, args, overloads, fmf))

    def _effect(self, name: str, ret: Type, args: Sequence[Value], overloads: Sequence[Type]) -> Value:
        return self.raw(ret, self._call_text(name, ret, args, overloads, ""))

    # ---- control

    def block(self, name: str = "b", dominator: Block | None = None) -> Block:
        """Add a block to the function (and stay where we are)."""
        return self.function.block(name, dominator)

    def br(self, to: Block, meta: str = "") -> None:
        """Go to a block; ends this one."""
        self._lines.append(f"  br label %{to.label}{meta}")
        self.current.terminated = True

    def cond_br(self, condition: Value, yes: Block, no: Block, meta: str = "") -> None:
        """Go to `yes` if the condition (one lane) is true, else to `no`; ends this block."""
        self._lines.append(f"  br i1 {condition.name}, label %{yes.label}, label %{no.label}{meta}")
        self.current.terminated = True

    def switch(self, value: Value, default: Block, cases: Sequence[tuple[int, Block]]) -> None:
        """Go to the block of the case that equals the value; ends this block."""
        listed = " ".join([f"{value.type.text} {n}, label %{block.label}" for n, block in cases])
        self._lines.append(f"  switch {value.type.text} {value.name}, label %{default.label} [{listed}]")
        self.current.terminated = True

    def ret(self, value: Value | None = None) -> None:
        """Return; ends this block."""
        self._lines.append("  ret void" if value is None else f"  ret {value.type.text} {value.name}")
        self.current.terminated = True

    def unreachable(self) -> None:
        """Say that control never comes here; ends this block."""
        self._lines.append("  unreachable")
        self.current.terminated = True

    def phi(self, type: Type, incoming: Sequence[tuple[Value, Block]] = ()) -> Value:
        """The value that comes with the block from which control came; `phi_add` adds sources later."""
        self.function.count += 1
        value = Value(f"%v{self.function.count}", type)
        self.current.phis.append((value, [f"[{v.name}, %{block.label}]" for v, block in incoming]))
        return value

    def phi_add(self, phi: Value, value: Value, source: Block) -> None:
        """One more source of a phi, which may stand in any block."""
        for block in reversed(self.function.blocks):
            for known, incoming in block.phis:
                if known is phi:
                    incoming.append(f"[{value.name}, %{source.label}]")
                    return
        raise ValueError(f"{phi.name} is not a phi of @{self.function.name}")

    def hidden(self, counter: Value) -> Value:
        """The same number, which LLVM does not know to be a counter: this takes no instruction.

        For each address in a loop LLVM looks for the best counter (loop strength reduction). That takes it a third of
        its time, and with constant strides most addresses are cheap as they are.
        """
        return self.raw(counter.type, f"freeze {counter.type.text} {counter.name}")

    def loop(
        self,
        start: Operand,
        stop: Operand,
        step: Operand = 1,
        carried: Sequence[Value] = (),
        *,
        type: Type = I64,
        metadata: str = "",
        pointers: bool = False,
    ) -> Loop:
        """A `with` block that runs for start, start + step, ... below stop (signed). See `Loop`.

        With `pointers`, LLVM may count with these, too, which saves some of the work of addressing. See `hidden`.
        """
        return Loop(self, start, stop, step, carried, type, metadata, pointers)

    def when(
        self,
        condition: Value,
        then: Callable[[], Sequence[Value] | None],
        otherwise: Sequence[Value],
        *,
        unlikely: bool = False,
    ) -> list[Value]:
        """Run `then` only if the condition (one lane) holds; gives its values, else those of `otherwise`.

        `unlikely` keeps what `then` needs out of the registers of the code around it.
        """
        before = self.current
        self.position(yes := self.block("then", before))
        values = then() or ()
        done = self.block("done", before)
        self.br(done)
        after = self.current
        self.position(before)
        self.cond_br(condition, yes, done, f", !prof {self.module.unlikely()}" if unlikely else "")
        self.position(done)
        return [self.phi(v.type, [(v, after), (o, before)]) for v, o in zip(values, otherwise, strict=True)]


class _Flags:
    """Sets a builder's fast-math flags while a `with` block runs."""

    __slots__ = ("builder", "flags", "saved")

    def __init__(self, builder: Builder, flags: str) -> None:
        self.builder = builder
        self.flags = flags
        self.saved = builder._fmf

    def __enter__(self) -> None:
        self.saved = self.builder._fmf
        self.builder._fmf = self.flags

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.builder._fmf = self.saved


class Loop:
    """A counted loop, tested at its end, with a guard where it might not run at all.

        with b.loop(0, n, 1, carried=[total]) as loop:
            loop.index                                    # the counter
            loop.carried                                  # values from the last turn, at first those given
            loop.next(b.fadd(loop.carried[0], x))         # their successors; once, anywhere in the body
        loop.results                                      # the carried values after the last turn

    The body may make blocks of its own; it must not leave the loop.
    """

    __slots__ = (
        "_before",
        "_body",
        "_guarded",
        "_metadata",
        "_next",
        "_pointers",
        "builder",
        "carried",
        "index",
        "initial",
        "results",
        "step",
        "stop",
    )

    def __init__(
        self,
        b: Builder,
        start: Operand,
        stop: Operand,
        step: Operand,
        carried: Sequence[Value],
        type: Type,
        metadata: str,
        pointers: bool,
    ) -> None:
        self.builder = b
        self._pointers = pointers
        self.initial = [start if isinstance(start, Value) else constant(type, start), *carried]
        index_type = self.initial[0].type
        self.stop = stop if isinstance(stop, Value) else constant(index_type, stop)
        self.step = step if isinstance(step, Value) else constant(index_type, step)
        self._metadata = metadata
        self._next: Sequence[Value] = ()
        self.results: list[Value] = []

    def __enter__(self) -> Loop:
        b = self.builder
        self._before = b.current
        runs = b.icmp("slt", self.initial[0], self.stop)
        self._guarded = None if runs.const == 1 else runs
        self._body = b.block("loop", self._before)
        b.position(self._body)
        phis = [b.phi(v.type, [(v, self._before)]) for v in self.initial]
        self.index, self.carried = phis[0], phis[1:]
        if not self._pointers:
            self.index = b.hidden(self.index)
        return self

    def next(self, *values: Value) -> None:
        """What the carried values are in the next turn."""
        self._next = values

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return
        b = self.builder
        assert len(self._next) == len(self.carried), "next() must give a successor for each carried value"
        latch_values = [b.add(self.index, self.step, "nsw "), *self._next]
        again = b.icmp("slt", latch_values[0], self.stop)
        latch = b.current
        for (_, incoming), value in zip(self._body.phis, latch_values, strict=False):
            incoming.append(f"[{value.name}, %{latch.label}]")
        done = b.block("done", self._before)
        b.cond_br(again, self._body, done, f", !llvm.loop {self._metadata}" if self._metadata else "")
        b.position(self._before)
        if self._guarded is None:
            b.br(self._body)
        else:
            b.cond_br(self._guarded, self._body, done)
        b.position(done)
        self.results = list(self._next)
        if self._guarded is not None:
            pairs = zip(self.initial[1:], self._next, strict=True)
            self.results = [b.phi(v.type, [(v0, self._before), (v, latch)]) for v0, v in pairs]
