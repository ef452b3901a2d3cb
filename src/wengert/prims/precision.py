"""Descriptions of how exactly an operation is computed. They are accepted; results here are as exact as the dtype."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np

DotDimensionNumbers: TypeAlias = tuple[
    tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]
]


class AccuracyMode(enum.Enum):
    """How exactly an elementary function is computed, for the argument `accuracy` of `lax.exp` and others."""

    HIGHEST = 1
    DEFAULT = 2


class Tolerance:
    """By how much an elementary function may err, for the argument `accuracy` of `lax.exp` and others.

    Args:
      atol, rtol: the absolute and the relative error.
      ulps: the error in units in the last place.
    Raises:
      ValueError: a number is negative.
    """

    __slots__ = ("atol", "rtol", "ulps")

    def __init__(self, atol: float = 0.0, rtol: float = 0.0, ulps: int = 0):
        if atol < 0.0 or rtol < 0.0 or ulps < 0:
            raise ValueError(f"Tolerances must be non-negative, got {atol=}, {rtol=}, {ulps=}")
        self.atol, self.rtol, self.ulps = atol, rtol, ulps

    def _key(self) -> tuple[float, float, int]:
        return self.atol, self.rtol, self.ulps

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tolerance) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Tolerance(atol={self.atol}, rtol={self.rtol}, ulps={self.ulps})"


class DotAlgorithm(NamedTuple):
    """How a contraction is computed: what operands are rounded to, and in what their products are summed.

    Attributes:
      lhs_precision_type, rhs_precision_type, accumulation_type: dtypes.
      lhs_component_count, rhs_component_count, num_primitive_operations: into how many parts an operand is split,
        and how many products of parts are summed.
      allow_imprecise_accumulation: parts of the sum may be formed less exactly.
    """

    lhs_precision_type: Any
    rhs_precision_type: Any
    accumulation_type: Any
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


class DotAlgorithmPreset(enum.Enum):
    """Names for algorithms: the type of the operands, how often it stands for the parts of one, and of the sum."""

    DEFAULT = enum.auto()
    ANY_F8_ANY_F8_F32 = enum.auto()
    ANY_F8_ANY_F8_F32_FAST_ACCUM = enum.auto()
    ANY_F8_ANY_F8_ANY = enum.auto()
    ANY_F8_ANY_F8_ANY_FAST_ACCUM = enum.auto()
    F16_F16_F16 = enum.auto()
    F16_F16_F32 = enum.auto()
    BF16_BF16_BF16 = enum.auto()
    BF16_BF16_F32 = enum.auto()
    BF16_BF16_F32_X3 = enum.auto()
    BF16_BF16_F32_X6 = enum.auto()
    BF16_BF16_F32_X9 = enum.auto()
    TF32_TF32_F32 = enum.auto()
    TF32_TF32_F32_X3 = enum.auto()
    F32_F32_F32 = enum.auto()
    F64_F64_F64 = enum.auto()

    def __str__(self) -> str:
        return self.name

    @property
    def accumulation_type(self) -> Any:
        """The dtype of the sum; None if it is that of the operands."""
        parts = self.name.split("_")
        word = parts[2] if parts[0] != "ANY" and len(parts) > 2 else "F32" if "F32" in parts else ""
        return _DTYPES.get(word)


_DTYPES = {
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}


class RaggedDotDimensionNumbers:
    """Which axes belong together in `ragged_dot_general`.

    Attributes:
      dot_dimension_numbers: `((lhs contracting, rhs contracting), (lhs batch, rhs batch))`.
      lhs_ragged_dimensions: the axis of lhs that falls into groups.
      rhs_group_dimensions: the axis of rhs that numbers the groups; none if the ragged axis is contracted or a batch.
    """

    __slots__ = ("dot_dimension_numbers", "lhs_ragged_dimensions", "rhs_group_dimensions")

    def __init__(
        self,
        dot_dimension_numbers: DotDimensionNumbers,
        lhs_ragged_dimensions: Sequence[int],
        rhs_group_dimensions: Sequence[int],
    ):
        (cx, cy), (bx, by) = dot_dimension_numbers
        self.dot_dimension_numbers = (tuple(cx), tuple(cy)), (tuple(bx), tuple(by))
        self.lhs_ragged_dimensions = tuple(lhs_ragged_dimensions)
        self.rhs_group_dimensions = tuple(rhs_group_dimensions)

    def _key(self) -> tuple[Any, ...]:
        return self.dot_dimension_numbers, self.lhs_ragged_dimensions, self.rhs_group_dimensions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RaggedDotDimensionNumbers) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return (
            f"RaggedDotDimensionNumbers(dot_dimension_numbers={self.dot_dimension_numbers},"
            f" lhs_ragged_dimensions={self.lhs_ragged_dimensions}, rhs_group_dimensions={self.rhs_group_dimensions})"
        )
