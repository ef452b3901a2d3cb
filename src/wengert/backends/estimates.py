"""Quotients and inverse square roots from the processor's estimates, where it has good ones.

A processor with AVX-512 estimates 1 / y and 1 / sqrt(y) to 14 bits in two cycles, and a step of Newton's method
doubles the bits; its division takes as long as a whole exponential. Errors stay below 0.7 ulp for quotients and 1.2
for inverse roots, and the results are the same for every number of lanes.

Elementary functions divide like this, since they know the range of what they divide. A program's own divisions are
the processor's, which are right for zeros, infinities and denormal numbers too.
"""

from __future__ import annotations

from wengert.backends.irbuilder import I8, I16, Builder, Operand, Value, constant

_NAMES = {"f32": "ps", "f64": "pd"}


def quotient(b: Builder, x: Operand, y: Value) -> Value:
    """x / y, for finite x and y, where 1 / y and what Newton's step adds to the quotient are normal numbers."""
    if b.module.vector_bits < 512:
        return b.fdiv(x, y)
    inverse = _inverse(b, y)
    # the rest that a first quotient leaves is divided in turn
    first = b.fmul(x, inverse)
    return b.fma(b.fma(b.fneg(first), y, x), inverse, first)


def quotient_by_sum(b: Builder, x: Value, y: Value, c: float) -> Value:
    """x / (y + c), as precise as if the sum were not rounded, for c of at least y's size or x near y."""
    total = b.fadd(y, c)
    if b.module.vector_bits < 512:
        lost = b.fsub(y, b.fsub(total, c))
        first = b.fdiv(x, total)
        return b.fsub(first, b.fdiv(b.fmul(first, lost), total))
    inverse = _inverse(b, total)
    first = b.fmul(x, inverse)
    rest = b.fma(b.fneg(first), y, b.fma(first, -c, x))
    return b.fma(rest, inverse, first)


def inverse_root(b: Builder, x: Value) -> Value:
    """1 / sqrt(x), for all x."""
    if b.module.vector_bits < 512:
        return b.fdiv(1.0, b.sqrt(x))
    minus, y = b.fneg(x), _estimate(b, "rsqrt14", x)
    for _ in range(1 if x.type.kind == "f32" else 2):
        error = b.fma(b.fmul(minus, y), y, 1.0)
        better = b.fma(b.fmul(y, 0.5), error, y)
        y = b.select(b.fcmp("ord", error, error), better, y)  # of zero and infinity the estimate is right
    return y


def _inverse(b: Builder, y: Value) -> Value:
    """About half of the bits of 1 / y."""
    inverse = _estimate(b, "rcp14", y)
    if y.type.kind == "f64":
        inverse = b.fma(b.fma(b.fneg(y), inverse, 1.0), inverse, inverse)
    return inverse


def _estimate(b: Builder, name: str, x: Value) -> Value:
    """An estimate with a relative error of at most 2**-14, in registers of 128 to 512 bits."""
    lanes, most = x.type.lanes, 512 // x.type.bits
    if lanes > most:
        halves = (b.slice_lanes(x, start, lanes // 2) for start in (0, lanes // 2))
        return b.concat_lanes(*(_estimate(b, name, half) for half in halves))
    width = most // 4
    while width < lanes:
        width *= 2
    if lanes == 1:
        wide = b.splat(x, width)
    else:
        wide = b.shuffle(x, x, [n % lanes for n in range(width)]) if width > lanes else x
    kind, mask = wide.type, I16 if width == 16 else I8
    callee = f"llvm.x86.avx512.{name}.{_NAMES[kind.kind]}.{width * kind.bits}"
    result = b.call(callee, kind, [wide, constant(kind, 0.0), constant(mask, -1)])
    return b.slice_lanes(result, 0, lanes)
