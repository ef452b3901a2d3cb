"""Index arithmetic: with static shapes, indices are integer affine forms of loop axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from wengert.compiler.loops import Expr

_ids = itertools.count()


class Axis:
    """A loop axis. It runs over [0, size) unless its loop says otherwise."""

    __slots__ = ("id", "name", "size")

    def __init__(self, size: int, name: str = ""):
        self.id = next(_ids)
        self.size = size
        self.name = name

    @property
    def lo(self) -> int:
        return 0

    @property
    def hi(self) -> int:
        """One more than the largest value."""
        return self.size

    def __repr__(self) -> str:
        return self.name or f"i{self.id}"


class Symbol:
    """An integer that is known only at run time, in [lo, hi), and is the same for all iterations of a nest."""

    __slots__ = ("expr", "hi", "id", "lo")

    def __init__(self, expr: Expr, lo: int, hi: int):
        self.id = next(_ids)
        self.expr = expr
        self.lo = lo
        self.hi = hi

    def __repr__(self) -> str:
        return f"s{self.id}"


Term: TypeAlias = Axis | Symbol
# The values that an axis takes, lo <= axis < hi; axes that are missing run over their whole size.
Box: TypeAlias = Mapping[Term, tuple[int, int]]


class Affine:
    """const + sum of coefficient * axis. Immutable; equal forms compare and hash equal."""

    __slots__ = ("_hash", "const", "terms")

    def __init__(self, const: int = 0, terms: tuple[tuple[Term, int], ...] = ()):
        self.const = const
        self.terms = terms  # sorted by id, no zero coefficients
        self._hash = hash((const, terms))

    @staticmethod
    def of(value: int | Term | Affine) -> Affine:
        if isinstance(value, Affine):
            return value
        if isinstance(value, int):
            return Affine(value)
        return Affine(0, ((value, 1),))

    @staticmethod
    def sum(const: int, terms: Iterable[tuple[Term, int]]) -> Affine:
        total: dict[Term, int] = {}
        for term, coefficient in terms:
            total[term] = total.get(term, 0) + coefficient
        kept = [(t, c) for t, c in total.items() if c]
        if len(kept) > 1:
            kept.sort(key=lambda tc: tc[0].id)
        return Affine(const, tuple(kept))

    @property
    def is_const(self) -> bool:
        return not self.terms

    def coefficient(self, term: Term) -> int:
        for t, c in self.terms:
            if t is term:
                return c
        return 0

    def __add__(self, other: int | Affine) -> Affine:
        if isinstance(other, int):
            return Affine(self.const + other, self.terms) if other else self
        if not isinstance(other, Affine):
            return NotImplemented
        if not other.terms:
            return self + other.const
        if not self.terms:
            return other + self.const
        return Affine.sum(self.const + other.const, (*self.terms, *other.terms))

    __radd__ = __add__

    def __sub__(self, other: int | Affine) -> Affine:
        if not isinstance(other, int | Affine):
            return NotImplemented
        return self + (-other)

    def __rsub__(self, other: int) -> Affine:
        return -self + other

    def __neg__(self) -> Affine:
        return self * -1

    def __mul__(self, factor: int) -> Affine:
        if factor == 1:
            return self
        if factor == 0:
            return Affine()
        return Affine(self.const * factor, tuple((t, c * factor) for t, c in self.terms))

    __rmul__ = __mul__

    def bounds(self, box: Box) -> tuple[int, int]:
        """The least and the greatest value over the box, both included."""
        lo = hi = self.const
        for term, c in self.terms:
            a, b = box.get(term) or (term.lo, term.hi)
            if c > 0:
                lo += c * a
                hi += c * (b - 1)
            else:
                lo += c * (b - 1)
                hi += c * a
        return lo, hi

    def substitute(self, values: Mapping[Term, Affine]) -> Affine:
        """Replace axes by affine forms."""
        if not any(t in values for t, _ in self.terms):
            return self
        result = Affine(self.const)
        for term, c in self.terms:
            result = result + values.get(term, Affine.of(term)) * c
        return result

    def divided(self, k: int, box: Box) -> tuple[Affine, Affine] | None:
        """(self // k, self % k) if both are affine over the box, else None."""
        if k == 1:
            return self, Affine()
        quotient: list[tuple[Term, int]] = []
        rest: list[tuple[Term, int]] = []
        for term, c in self.terms:
            (quotient if c % k == 0 else rest).append((term, c))
        q = Affine(self.const // k, tuple((t, c // k) for t, c in quotient))
        r = Affine(self.const % k, tuple(rest))
        lo, hi = r.bounds(box)
        shift = lo // k
        if hi // k != shift:
            return None
        return q + shift, r - shift * k

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Affine) and self.const == other.const and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        parts = [f"{'' if c == 1 else '-' if c == -1 else f'{c}*'}{t!r}" for t, c in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return "+".join(parts).replace("+-", "-")
