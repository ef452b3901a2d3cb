"""Einstein summation: a chain of `lax.dot_general`, in the order that opt_einsum finds to be cheap."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np

from wengert import lax
from wengert._lazy import lazy_module
from wengert.core.source import user_context
from wengert.numpy._util import (
    as_array,
    broadcast_to_shape,
    convert,
    result_type_and_weakness,
    user_dtype,
)
from wengert.numpy.manipulation import transpose

opt_einsum = lazy_module("opt_einsum")


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    _dot_general: Any = lax.dot_general,
    out_sharding: Any = None,
) -> Any:
    """The sum of products that `subscripts` says, e.g. "ij,jk->ik" for the product of two matrices.

    The letters name the axes of the operands; those that the result (after "->") doesn't have are summed
    over. An ellipsis stands for axes that broadcast. The interleaved form einsum(a, [0, 1], b, [1, 2]) is
    known too.
    """
    if out is not None:
        raise user_context(NotImplementedError("The 'out' argument to jnp.einsum is not supported."))
    inputs, output, arrays = _parse(subscripts, operands)
    dtype, weak = result_type_and_weakness(*arrays)
    arrays = [convert(a, dtype) for a in arrays]
    result_dtype = dtype if preferred_element_type is None else user_dtype(preferred_element_type, "einsum")
    path = _path(inputs, output, arrays, optimize)

    names = list(inputs)
    for step, positions in enumerate(path):
        taken = [(names.pop(i), arrays.pop(i)) for i in sorted(positions, reverse=True)]
        # a name lives on if the result or a later operand has it
        alive = set(output).union(*names)
        target = output if step == len(path) - 1 else None
        if len(taken) == 1:
            name, array = _single(*taken[0], alive)
        else:
            name, array = _pair(taken[0], taken[1], alive, precision, result_dtype, _dot_general)
        if target is not None:
            array = transpose(array, [name.index(c) for c in target]) if name != target else array
            name = target
        names.append(name)
        arrays.append(array)
    return convert(arrays[0], result_dtype, weak and preferred_element_type is None)


def einsum_path(
    subscripts: Any, /, *operands: Any, optimize: Any = "auto"
) -> tuple[list[tuple[int, ...]], Any]:
    """The order of contractions that `einsum` follows, as a list of positions, and a description of its cost."""
    if isinstance(optimize, bool):
        optimize = "optimal" if optimize else [tuple(range(len(operands)))]
    path, info = opt_einsum.contract_path(subscripts, *operands, optimize=optimize)
    return list(path), info


def _parse(subscripts: Any, operands: Sequence[Any]) -> tuple[list[str], str, list[Any]]:
    """The names of the axes of each operand and of the result, one letter each, without ellipses."""
    if not isinstance(subscripts, str):
        subscripts, operands = _from_interleaved((subscripts, *operands))
    arrays = [as_array(x, "einsum") for x in operands]
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(arrays):
        raise user_context(
            ValueError(f"einsum: {len(inputs)} terms in {subscripts!r}, but {len(arrays)} operands")
        )
    letters = iter(c for c in _letters() if c not in text)
    longest = max(
        a.ndim - len(term.replace("...", "")) if "..." in term else 0 for term, a in zip(inputs, arrays)
    )
    extra = [next(letters) for _ in range(max(0, longest))]
    full = []
    for term, a in zip(inputs, arrays):
        if "..." in term:
            count = a.ndim - len(term.replace("...", ""))
            if count < 0:
                raise user_context(
                    ValueError(
                        f"einsum: operand of shape {a.shape} has too few axes for the subscripts {term!r}"
                    )
                )
            term = term.replace("...", "".join(extra[len(extra) - count :]))
        if len(term) != a.ndim:
            raise user_context(
                ValueError(f"einsum: the subscripts {term!r} don't fit an operand of shape {a.shape}")
            )
        full.append(term)
    if not arrow:
        counts = collections.Counter("".join(inputs).replace(".", ""))
        right = "".join(extra) + "".join(sorted(c for c, n in counts.items() if n == 1))
    else:
        right = right.replace("...", "".join(extra))
    unknown = [c for c in right if c not in "".join(full)]
    if unknown or len(set(right)) != len(right):
        raise user_context(
            ValueError(
                f"einsum: the result {right!r} must name axes of the operands, each once, in {subscripts!r}"
            )
        )
    return _broadcast_ones(full, right, arrays)


def _letters() -> Any:
    for start in ("a", "A"):
        yield from (chr(ord(start) + i) for i in range(26))
    yield from (chr(i) for i in range(0xC0, 0x2000))


def _from_interleaved(args: Sequence[Any]) -> tuple[str, list[Any]]:
    arrays, lists = list(args[: len(args) // 2 * 2 : 2]), list(args[1::2])
    symbols: dict[Any, str] = {}
    letters = _letters()

    def term(axes: Any) -> str:
        return "".join("..." if i is Ellipsis else symbols.setdefault(i, "") or _named(i) for i in axes)

    def _named(i: Any) -> str:
        symbols[i] = next(letters)
        return symbols[i]

    text = ",".join(term(axes) for axes in lists)
    return (f"{text}->{term(args[-1])}" if len(args) % 2 else text), arrays


def _broadcast_ones(inputs: list[str], output: str, arrays: list[Any]) -> tuple[list[str], str, list[Any]]:
    """Drop axes of size 1 that meet larger ones, and check that sizes agree."""
    sizes: dict[str, int] = {}
    for term, a in zip(inputs, arrays):
        for c, d in zip(term, a.shape):
            if sizes.setdefault(c, d) != d:
                if 1 not in (d, sizes[c]):
                    raise user_context(
                        ValueError(
                            f"einsum: axis {c!r} has the sizes {sizes[c]} and {d} in different operands"
                        )
                    )
                sizes[c] = max(d, sizes[c])
    for k, (term, a) in enumerate(zip(inputs, arrays)):
        ones = tuple(i for i, c in enumerate(term) if a.shape[i] != sizes[c])
        if ones:
            repeated = [c for c in term if term.count(c) > 1]
            if any(term[i] in repeated for i in ones):
                shape = tuple(sizes[c] for c in term)
                arrays[k] = broadcast_to_shape(a, shape)
                continue
            arrays[k] = lax.squeeze(a, ones)
            inputs[k] = "".join(c for i, c in enumerate(term) if i not in ones)
    return inputs, output, arrays


def _path(inputs: list[str], output: str, arrays: list[Any], optimize: Any) -> list[tuple[int, ...]]:
    if len(arrays) == 1:
        return [(0,)]
    if len(arrays) == 2:
        return [(0, 1)]
    if isinstance(optimize, list | tuple) and all(isinstance(p, tuple | list) for p in optimize):
        given = [tuple(p) for p in optimize]
        if all(len(p) <= 2 for p in given):
            return given
    if optimize is False:
        return [(0, 1), *((0, len(arrays) - 1 - k) for k in range(1, len(arrays) - 1))]
    if optimize is True:
        optimize = "optimal"
    text = ",".join(inputs) + "->" + output
    path, _ = opt_einsum.contract_path(text, *[a.shape for a in arrays], shapes=True, optimize=optimize)
    return [pair for step in path for pair in _in_pairs(step)]


def _in_pairs(step: tuple[int, ...]) -> list[tuple[int, ...]]:
    """A step of a path as steps with two operands each; results go to the end of the list."""
    if len(step) <= 2:
        return [tuple(step)]
    positions = sorted(step)
    pairs: list[tuple[int, ...]] = []
    while len(positions) > 1:
        first, second, *rest = positions
        pairs.append((first, second))
        positions = [p - 2 for p in rest] + [-1]
    return [tuple(p) for p in pairs]


def _single(term: str, a: Any, alive: set[str]) -> tuple[str, Any]:
    """Take diagonals of repeated axes and sum over those that nobody needs."""
    while len(set(term)) < len(term):
        c = next(c for c in term if term.count(c) > 1)
        i, j = (k for k, d in enumerate(term) if d == c) if term.count(c) == 2 else _first_two(term, c)
        index_dtype = np.dtype(np.int32)
        on = lax.eq(*(lax.broadcasted_iota(index_dtype, a.shape, k) for k in (i, j)))
        a = lax.reduce_sum(lax.select(on, a, lax.full_like(a, 0)), axes=(i,))
        term = term[:i] + term[i + 1 :]
    gone = tuple(i for i, c in enumerate(term) if c not in alive)
    if gone:
        a = _sum(a, gone)
        term = "".join(c for c in term if c in alive)
    return term, a


def _first_two(term: str, c: str) -> tuple[int, int]:
    first = term.index(c)
    return first, term.index(c, first + 1)


def _sum(a: Any, axes: tuple[int, ...]) -> Any:
    if a.dtype == bool:
        return lax.reduce_or(a, axes=axes)
    return lax.reduce_sum(a, axes=axes)


def _pair(
    right: tuple[str, Any],
    left: tuple[str, Any],
    alive: set[str],
    precision: Any,
    dtype: Any,
    dot_general: Any,
) -> tuple[str, Any]:
    """Contract two operands by one dot_general."""
    x_name, x = _single(*left, alive | set(right[0]))
    y_name, y = _single(*right, alive | set(x_name))
    shared = [c for c in x_name if c in y_name]
    batch = [c for c in shared if c in alive]
    summed = [c for c in shared if c not in alive]
    numbers = tuple(
        (tuple(x_name.index(c) for c in group), tuple(y_name.index(c) for c in group))
        for group in (summed, batch)
    )
    if not summed and not any(c not in batch for c in x_name + y_name):
        y = transpose(y, [y_name.index(c) for c in x_name])
        return x_name, convert(lax.bitwise_and(x, y) if x.dtype == bool else lax.mul(x, y), dtype)
    result = dot_general(x, y, numbers, precision=precision, preferred_element_type=dtype)
    kept_x = [c for c in x_name if c not in shared]
    kept_y = [c for c in y_name if c not in shared]
    return "".join(batch + kept_x + kept_y), result
