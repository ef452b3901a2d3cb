"""Functions of matrices as programs of other operations: what compiled code runs in the place of one equation.

They compute what the `impl` of these primitives computes (the files of `prims` name the sources), of all matrices
of a stack at once: where the matrices would take different ways, both are gone if there is a matrix for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert.compiler.loops import View
from wengert.compiler.simplify import simplify
from wengert.core.staging import stage
from wengert.prims import linalg_functions
from wengert.prims.arithmetic import abs_, add, div, imag, is_finite, max, mul, real, square, sub
from wengert.prims.axes import broadcast_in_dim, reduce_sum
from wengert.prims.constructors import constant, dtype_of, shape_of
from wengert.prims.control import cond, while_loop
from wengert.prims.conversion import convert
from wengert.prims.expansion import without_constants
from wengert.prims.linalg_common import (
    adjoint,
    as_columns,
    as_rows,
    block,
    diagonal,
    filled,
    identity_like,
    matmul,
)
from wengert.prims.linalg_lu import det, solve
from wengert.prims.linalg_qr import qr
from wengert.prims.linalg_reduced import schur
from wengert.prims.linalg_svd import svd
from wengert.prims.logic import bitwise_and, bitwise_not, bitwise_or, eq, gt, le, lt
from wengert.prims.reduce import reduce_and, reduce_max, reduce_min, reduce_or, reduce_prod
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota, full
from wengert.prims.slicing import concatenate
from wengert.prims.transcendental import sqrt

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand


def append(
    ctx: Block, outs: Sequence[View], operands: Sequence[Operand], run: Callable[..., Sequence[Any]]
) -> None:
    """Append the program that a function of arrays is when it is traced."""
    jaxpr = simplify(without_constants(stage(run, [o.aval for o in operands], "matrices")))
    if ctx.eqn is not None:
        for eqn in jaxpr.eqns:
            eqn.source = eqn.source or ctx.eqn.source
    env = dict(zip(jaxpr.invars, (o.view() for o in operands), strict=True))
    ctx.stmts += ctx.child(jaxpr, env).lower(outs)


# ------------------------------------------------------------------------------------ numbers for each matrix


def _wide(v: Any, like: Any) -> Any:
    """A number for each matrix in all its places."""
    return broadcast_in_dim(v, shape_of(like), range(len(shape_of(v))))


def _last_two(x: Any) -> tuple[int, int]:
    n = len(shape_of(x))
    return n - 2, n - 1


def _norm(x: Any, along: int = -2) -> Any:
    """The largest sum of absolute values along columns (-2) or rows (-1)."""
    n = len(shape_of(x))
    return reduce_max(reduce_sum(abs_(x), (n + along,)), (n - 2,))


def _all_finite(x: Any) -> Any:
    parts = [real(x), imag(x)] if dtype_of(x).kind == "c" else [x]
    fine = [reduce_and(is_finite(p), _last_two(x)) for p in parts]
    return fine[0] if len(fine) == 1 else bitwise_and(*fine)


def _or_nan(fine: Any, x: Any) -> Any:
    """The matrices, where all is well, else NaN."""
    nan = complex(np.nan, np.nan) if dtype_of(x).kind == "c" else np.nan
    return select(_wide(fine, x), x, full(shape_of(x), nan, dtype_of(x)))


def _any(flags: Any) -> Any:
    return reduce_or(flags, range(len(shape_of(flags))))


def _all(flags: Any) -> Any:
    return reduce_and(flags, range(len(shape_of(flags))))


# ------------------------------------------------------------------------------------------------- products


def symmetric_product(a: Any, c: Any, alpha: float, beta: float) -> list[Any]:
    product = mul(matmul(a, adjoint(a)), constant(a, alpha))
    return [add(product, mul(c, constant(c, beta))) if beta else product]


# ------------------------------------------------------------------------------------------------ exponential


def expm(x: Any) -> list[Any]:
    """The matrices are halved until the approximant is exact, and the result is squared as often."""
    coefficients, exact = linalg_functions.approximant(dtype_of(x))
    norm = _norm(x)
    shape, most = shape_of(norm), linalg_functions.MOST_SQUARINGS
    none = full(shape, 0, np.int32)

    def too_large(norm: Any, squarings: Any) -> Any:
        return bitwise_and(gt(norm, constant(norm, exact)), lt(squarings, np.int32(most + 1)))

    def halve(state: Any) -> Any:
        norm, factor, squarings = state
        more = too_large(norm, squarings)
        half = select(more, full(shape, 0.5, dtype_of(norm)), full(shape, 1, dtype_of(norm)))
        return mul(norm, half), mul(factor, half), add(squarings, convert(more, np.dtype(np.int32)))

    start = norm, full(shape, 1, dtype_of(norm)), none
    _, factor, squarings = while_loop(lambda s: _any(too_large(s[0], s[2])), halve, start)
    known = bitwise_and(is_finite(norm), le(squarings, np.int32(most)))
    squarings = select(known, squarings, none)
    x = select(_wide(known, x), mul(x, convert(_wide(factor, x), dtype_of(x))), filled(x, 0))
    found = _approximated(x, coefficients)
    last = reduce_max(squarings, range(len(shape)))

    def again(state: Any) -> Any:
        k, y = state
        return add(k, np.int32(1)), select(
            _wide(lt(broadcast_in_dim(k, shape, ()), squarings), y), matmul(y, y), y
        )

    _, found = while_loop(lambda s: lt(s[0], last), again, (full((), 0, np.int32), found))
    return [_or_nan(known, found)]


def _approximated(x: Any, coefficients: Sequence[int]) -> Any:
    """The diagonal approximant of Pade."""
    squared, eye = matmul(x, x), identity_like(x)
    odd, even = (mul(eye, constant(x, coefficients[k])) for k in (-1, -2))
    for k in range(len(coefficients) - 3, 0, -2):
        odd, even = (
            add(matmul(squared, y), mul(eye, constant(x, c)))
            for y, c in ((odd, coefficients[k]), (even, coefficients[k - 1]))
        )
    odd = matmul(x, odd)
    return solve(sub(even, odd), add(even, odd))


def expm_frechet(x: Any, t: Any) -> list[Any]:
    """The derivative is a block of the exponential of a matrix of blocks."""
    n, axis = shape_of(x)[-1], len(shape_of(x)) - 1
    size, wanted = _norm(t), _norm(x)
    size = select(eq(size, constant(size, 0)), full(shape_of(size), 1, dtype_of(size)), size)
    scale = convert(_wide(div(size, max(wanted, constant(wanted, 0.1))), x), dtype_of(x))
    above = concatenate([x, div(t, scale)], axis)
    below = concatenate([filled(x, 0), x], axis)
    (found,) = expm(concatenate([above, below], axis - 1))
    return [mul(block(found, (0, n), (n, 2 * n)), scale)]


# ------------------------------------------------------------------------------------ by Schur's decomposition


def sylvester(a: Any, b: Any, c: Any, tol: float) -> list[Any]:
    (r, u), (s, v) = (schur(x) for x in (a, b))
    y, scale = linalg_functions.triangular_sylvester_p.bind(r, s, matmul(matmul(adjoint(u), c), v))
    y = div(y, convert(_wide(scale, y), dtype_of(y)))
    found = matmul(matmul(u, y), adjoint(v))
    if tol > 0:
        rows, columns = shape_of(c)[-2:]
        first, second = (_eigenvalues(x) for x in (r, s))
        sums = [add(as_columns(p, columns), as_rows(q, rows)) for p, q in zip(first, second, strict=True)]
        squares = add(square(sums[0]), square(sums[1]))
        least = sqrt(reduce_min(squares, _last_two(squares)))
        found = _or_nan(bitwise_not(lt(least, constant(least, tol))), found)
    return [found]


def _eigenvalues(t: Any) -> tuple[Any, Any]:
    """The parts of the eigenvalues of Schur's form: of a real matrix, a block [[a, b], [c, a]] has a pair of them."""
    values = diagonal(t)
    if dtype_of(t).kind == "c":
        return real(values), imag(values)
    n, axis = shape_of(t)[-1], len(shape_of(t)) - 2
    if n == 1:
        return values, filled(values, 0)
    above, below = (
        reduce_sum(mul(x, identity_like(x)), (axis + 1,))
        for x in (block(t, (0, n - 1), (1, n)), block(t, (1, n), (0, n - 1)))
    )
    size = mul(sqrt(abs_(above)), sqrt(abs_(below)))  # zero where there is no block
    shape = shape_of(size)
    zero = full((*shape[:-1], 1), 0, dtype_of(t))
    first, second = concatenate([size, zero], axis), concatenate([zero, size], axis)
    return values, sub(first, second)


def sqrtm(x: Any) -> list[Any]:
    t, z = schur(x)
    root = linalg_functions.triangular_root_p.bind(t, sqrt(diagonal(t)))
    return [matmul(matmul(z, root), adjoint(z))]


# -------------------------------------------------------------------------------------------------- adjugates


def adjugate(x: Any) -> list[Any]:
    def plain(inverse: Any) -> Any:
        return mul(inverse, convert(_wide(det(x), x), dtype_of(x)))

    def careful(_: Any) -> Any:
        u, s, vh, turn = _by_values(x)
        found = convert(_products_without(s, 1), dtype_of(x))
        inner = mul(adjoint(vh), as_rows(found, shape_of(x)[-1]))
        return mul(_wide(turn, x), matmul(inner, adjoint(u)))

    return [_where_well_inverted(x, plain, careful)]


def adjugate_change(x: Any, t: Any) -> list[Any]:
    n = shape_of(x)[-1]

    def plain(inverse: Any) -> Any:
        inner = matmul(inverse, t)
        trace = reduce_sum(diagonal(inner), (len(shape_of(x)) - 2,))
        change = sub(mul(_wide(trace, x), inverse), matmul(inner, inverse))
        return mul(_wide(det(x), x), change)

    def careful(_: Any) -> Any:
        u, s, vh, turn = _by_values(x)
        inner = matmul(matmul(adjoint(u), t), adjoint(vh))
        eye = identity_like(x)
        products = mul(convert(_products_without(s, 2), dtype_of(x)), sub(filled(x, 1), eye))
        along = reduce_sum(mul(products, as_rows(diagonal(inner), n)), (len(shape_of(x)) - 1,))
        found = sub(mul(eye, as_columns(along, n)), mul(products, inner))
        return mul(_wide(turn, x), matmul(matmul(adjoint(vh), found), adjoint(u)))

    return [_where_well_inverted(x, plain, careful)]


def _where_well_inverted(x: Any, plain: Callable[[Any], Any], careful: Callable[[Any], Any]) -> Any:
    """What is found by the inverse for matrices far enough from being singular, and carefully for others."""
    inverse = solve(x, identity_like(x))
    condition = mul(_norm(x), _norm(inverse))
    good = lt(condition, constant(condition, float(np.finfo(dtype_of(x)).eps ** -0.4)))
    return cond(
        _all(good),
        plain,
        lambda inverse: select(_wide(good, x), plain(inverse), careful(inverse)),
        inverse,
    )


def _by_values(x: Any) -> tuple[Any, Any, Any, Any]:
    """The singular value decomposition u, s, vh, and the determinant of its unitary factors."""
    u, s, vh = svd(x)
    return u, s, vh, mul(det(u), det(vh))


def _products_without(s: Any, count: int) -> Any:
    """For each index, or each pair of indices, the product of the elements but for those."""
    *batch, n = shape_of(s)
    shape = (*batch, *[n] * (count + 1))
    last = len(shape) - 1
    places = [broadcasted_iota(np.int32, shape, axis) for axis in range(len(batch), last + 1)]
    skipped = [eq(p, places[-1]) for p in places[:-1]]
    skip = skipped[0] if count == 1 else bitwise_or(*skipped)
    wide = broadcast_in_dim(s, shape, [*range(len(batch)), last])
    return reduce_prod(select(skip, filled(wide, 1), wide), (last,))


# ------------------------------------------------------------------------------------------------ polar form


def polar(x: Any, max_iterations: int, eps: float | None) -> list[Any]:
    """The steps that come before any matrix can have converged, and then a loop until all have."""
    eps = float(np.finfo(dtype_of(x)).eps) if eps is None else eps
    finite = _all_finite(x)
    original = x = select(_wide(finite, x), x, filled(x, 0))
    size = sqrt(mul(_norm(x), _norm(x, -1)))
    empty = eq(size, constant(size, 0))
    size = select(empty, full(shape_of(size), 1, dtype_of(size)), size)
    u = div(x, convert(_wide(size, x), dtype_of(x)))
    least, count = eps, 0
    while count < max_iterations:
        weights, after = linalg_functions.halley_weights(least)
        if np.abs(1.0 - after) <= 10.0 * eps:
            break
        u, least, count = _halley_step(u, weights), after, count + 1
    u, counts, done = _until_converged(u, empty, least, count, max_iterations, eps)
    inner = matmul(u, matmul(adjoint(u), u))
    u = sub(mul(u, constant(u, 1.5)), mul(inner, constant(u, 0.5)))
    u = select(_wide(empty, u), identity_like(u), u)
    h = matmul(adjoint(u), original)
    h = mul(add(h, adjoint(h)), constant(h, 0.5))
    h = select(_wide(empty, h), filled(h, 0), h)
    none = full(shape_of(counts), 0, np.int32)
    counts = select(bitwise_and(finite, bitwise_not(empty)), counts, none)
    return [_or_nan(finite, u), _or_nan(finite, h), counts, bitwise_and(done, finite)]


def _until_converged(
    u: Any, done: Any, least: float, count: int, max_iterations: int, eps: float
) -> tuple[Any, Any, Any]:
    """Steps for each matrix until one changes little: then the next one, as they converge cubically, would none."""
    first, after = linalg_functions.halley_weights(least)
    later, _ = linalg_functions.halley_weights(after)
    bound = (10.0 * eps) ** (1.0 / 3.0)
    counts = full(shape_of(done), count, np.int32)

    def step(state: Any, weights: Any) -> Any:
        k, u, counts, done = state
        new = _halley_step(u, weights)
        moved = abs_(sub(new, u))
        change = sqrt(reduce_sum(square(moved), _last_two(u)))
        going = bitwise_not(done)
        u = select(_wide(going, u), new, u)
        counts = add(counts, convert(going, np.dtype(np.int32)))
        return add(k, np.int32(1)), u, counts, bitwise_or(done, le(change, constant(change, bound)))

    state = full((), count, np.int32), u, counts, done
    if count < max_iterations:
        state = step(state, first)

    def goes_on(state: Any) -> Any:
        return bitwise_and(lt(state[0], np.int32(max_iterations)), bitwise_not(_all(state[3])))

    _, u, counts, done = while_loop(goes_on, lambda s: step(s, later), state)
    return u, counts, done


def _halley_step(x: Any, weights: tuple[float, float, float]) -> Any:
    """One step of the weighted iteration."""
    a, b, c = weights
    m, n = shape_of(x)[-2:]
    axis = len(shape_of(x)) - 2
    square_like = block(x, (0, n), (0, n))
    eye = identity_like(square_like)
    if c > 100.0:  # by QR, which keeps the precision
        stacked = concatenate([mul(x, constant(x, np.sqrt(c))), eye], axis)
        q, _ = qr(stacked, full_matrices=False)
        product = matmul(block(q, (0, m), (0, n)), adjoint(block(q, (m, m + n), (0, n))))
        moved = mul(product, constant(x, (a - b / c) / np.sqrt(c)))
    else:
        z = add(eye, mul(matmul(adjoint(x), x), constant(x, c)))
        moved = mul(adjoint(solve(z, adjoint(x))), constant(x, a - b / c))
    return add(mul(x, constant(x, b / c)), moved)
