"""The kernels of small dense linear algebra, each for one matrix; `dense` runs them over batches.

Sources: E. Anderson and others, LAPACK Users' Guide, 1999, for conventions (the first largest pivot, the signs of
reflections); G. H. Golub and C. F. Van Loan, Matrix Computations, 1996, for Jacobi's method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from wengert.compiler import complexes
from wengert.compiler.affine import Affine
from wengert.compiler.dense import Kernel
from wengert.compiler.loops import BOOL, I32, I64, Buffer, DType, Expr

# Reads an element of an operand.
Read: TypeAlias = Callable[[Affine, Affine], Expr]
_SWEEPS = {4: 6, 8: 7}  # of Jacobi's method, by the bytes of a number: the last ones converge quadratically


def fill(k: Kernel, to: Buffer, rows: int, columns: int, read: Read, first_column: int = 0) -> None:
    """Copy a matrix into local memory."""
    k.loop(
        0,
        rows,
        lambda i: k.loop(0, columns, lambda j: k.set(to, (i, j + first_column), read(i, j))),
        ordered=True,
    )


def _nan(k: Kernel, dtype: DType) -> Expr:
    return k.number(complex(np.nan, np.nan) if dtype.kind == "c" else np.nan, dtype)


# ------------------------------------------------------------------------------------------------ elimination


def _integers(dtype: DType) -> DType:
    """Of the same size as a float, or as a part of a complex number."""
    return I32 if dtype.itemsize == (8 if dtype.kind == "c" else 4) else I64


def _size(k: Kernel, x: Expr) -> Expr:
    """The size of a number, by which LAPACK chooses pivots: of a complex one, the sum of those of its parts."""
    if x.dtype.kind != "c":
        return k.op("abs", x)
    re, im = (k.op("abs", part) for part in k.parts(x))
    return k.op("add", re, im)


def _bits(k: Kernel, x: Expr) -> Expr:
    """The size of a number as an integer: in the same order, NaN above all."""
    return k.op("bitcast", _size(k, x), dtype=_integers(x.dtype))


def _fetch(k: Kernel, w: Buffer, first: Affine, rows: int, place: Expr, j: Affine | None) -> Expr:
    """The element of column j (None: w is a vector) in a row that is computed, from `first` on."""
    dtype = k.dtype(w)
    bits = _integers(dtype)
    zero = k.number(0, bits)

    def part(number: int) -> Expr:
        def term(i: Affine) -> Expr:
            value = k.parts(k.at(w, i) if j is None else k.at(w, i, j))[number]
            return k.op("select", k.is_at(place, i), k.op("bitcast", value, dtype=bits), zero)

        return k.op("bitcast", k.total("or", zero, first, rows, term), dtype=w.dtype)

    if dtype.kind != "c":
        return part(0)
    return complexes.join(k.exprs, part(0), part(1), dtype)


def eliminate(
    k: Kernel,
    w: Buffer,
    rows: int,
    steps: int,
    columns: int,
    keep: bool,
    each: Callable[[Affine, Expr, Expr], None],
) -> None:
    """Gaussian elimination with partial pivoting, in place.

    Args:
      steps: how many columns are eliminated.
      keep: whether the factors of the rows are kept, below the diagonal.
      each: gets the number of the step, the row that the pivot came from, and the inverse of the pivot.
    """
    dtype = k.dtype(w)
    top = k.array(dtype, columns)  # the row of the pivot
    zero = k.number(0, dtype)

    def step(s: Affine) -> None:
        start = Affine() if keep else s
        largest = k.let(
            k.total("max", k.number(0, _integers(dtype)), s, rows, lambda i: _bits(k, k.at(w, i, s)))
        )
        last = k.number(rows - 1, I32)

        def candidate(i: Affine) -> Expr:
            is_largest = k.op("eq", _bits(k, k.at(w, i, s)), largest)
            return k.op("select", is_largest, k.exprs.index(i, I32), last)

        place = k.let(k.total("min", last, s, rows, candidate))
        k.loop(start, columns, lambda j: k.set(top, (j,), _fetch(k, w, s, rows, place, j)))
        pivot = k.let(k.at(top, s))
        inverse = k.let(k.op("select", k.op("eq", pivot, zero), zero, k.inverse(pivot)))

        def row(i: Affine) -> None:
            moved = k.let(k.is_at(place, i))

            def old(j: Affine) -> Expr:
                return k.op("select", moved, k.at(w, s, j), k.at(w, i, j))

            factor = k.let(k.op("mul", old(s), inverse))
            k.loop(
                s + 1,
                columns,
                lambda j: k.set(w, (i, j), k.less_product(old(j), factor, k.at(top, j))),
            )
            if keep:
                k.loop(0, s, lambda j: k.set(w, (i, j), old(j)))
                k.set(w, (i, s), factor)

        k.loop(s + 1, rows, row, ordered=True)
        k.loop(start, columns, lambda j: k.set(w, (s, j), k.at(top, j)))
        each(s, place, inverse)

    k.loop(0, steps, step, ordered=True)


def solve(
    k: Kernel, n: int, columns: int, a: Read, b: Read, put: Callable[[Affine, Affine, Expr], None]
) -> None:
    """The x with a @ x = b; NaN if a pivot is zero."""
    dtype = a(Affine(), Affine()).dtype
    w, inverses = k.array(dtype, n, n + columns), k.array(dtype, n)
    fill(k, w, n, n, a)
    fill(k, w, n, columns, b, n)
    eliminate(k, w, n, n, n + columns, False, lambda s, _, inverse: k.set(inverses, (s,), inverse))
    zero = k.number(0, dtype)
    singular = k.let(k.total("or", k.number(False, BOOL), 0, n, lambda i: k.op("eq", k.at(w, i, i), zero)))

    def back(t: Affine) -> None:
        s = n - 1 - t
        inverse = k.let(k.at(inverses, s))

        def scale(j: Affine) -> None:
            k.set(w, (s, n + j), k.op("mul", k.at(w, s, n + j), inverse))

        def row(i: Affine) -> None:
            factor = k.let(k.at(w, i, s))
            k.loop(
                0,
                columns,
                lambda j: k.set(w, (i, n + j), k.less_product(k.at(w, i, n + j), factor, k.at(w, s, n + j))),
            )

        k.loop(0, columns, scale)
        k.loop(0, s, row, ordered=True)

    k.loop(0, n, back, ordered=True)
    nan = _nan(k, dtype)
    k.loop(
        0,
        n,
        lambda i: k.loop(0, columns, lambda j: put(i, j, k.op("select", singular, nan, k.at(w, i, n + j)))),
        ordered=True,
    )


def lu(
    k: Kernel,
    rows: int,
    columns: int,
    a: Read,
    put: Callable[[Affine, Affine, Expr], None],
    put_pivot: Callable[[Affine, Expr], None],
    put_row: Callable[[Affine, Expr], None],
) -> None:
    """The factors, the row that each pivot came from, and the permutation of the rows."""
    dtype = a(Affine(), Affine()).dtype
    w, order = k.array(dtype, rows, columns), k.array(I32, rows)
    fill(k, w, rows, columns, a)
    k.loop(0, rows, lambda i: k.set(order, (i,), k.exprs.index(i, I32)))

    def each(s: Affine, place: Expr, _: Expr) -> None:
        put_pivot(s, place)
        old = k.let(k.at(order, s))
        new = k.let(_fetch(k, order, s, rows, place, None))

        def move(i: Affine) -> None:
            k.set(order, (i,), k.op("select", k.is_at(place, i), old, k.at(order, i)))

        k.loop(s + 1, rows, move)
        k.set(order, (s,), new)

    eliminate(k, w, rows, min(rows, columns), columns, True, each)
    k.loop(0, rows, lambda i: k.loop(0, columns, lambda j: put(i, j, k.at(w, i, j))), ordered=True)
    k.loop(0, rows, lambda i: put_row(i, k.at(order, i)))


def determinant(k: Kernel, n: int, a: Read) -> Expr:
    """The product of the pivots, with the sign of the permutation."""
    dtype = a(Affine(), Affine()).dtype
    w, product = k.array(dtype, n, n), k.array(dtype, 1)
    fill(k, w, n, n, a)
    k.set(product, (0,), k.number(1, dtype))

    def each(s: Affine, place: Expr, _: Expr) -> None:
        pivot = k.op("select", k.is_at(place, s), k.at(w, s, s), k.op("neg", k.at(w, s, s)))
        k.set(product, (0,), k.op("mul", k.at(product, 0), pivot))

    eliminate(k, w, n, n, n, False, each)
    return k.at(product, 0)


# --------------------------------------------------------------------------------------- triangular matrices


def cholesky(k: Kernel, n: int, a: Read, put: Callable[[Affine, Affine, Expr], None]) -> None:
    """The lower triangular factor, zeros above it; NaN if a pivot is not positive."""
    dtype = a(Affine(), Affine()).dtype
    half = complexes.part_dtype(dtype) if dtype.kind == "c" else dtype
    w, column, pivots = k.array(dtype, n, n), k.array(dtype, n), k.array(half, n)
    zero, none, nan = k.number(0, dtype), k.number(0, half), _nan(k, dtype)
    k.loop(0, n, lambda i: k.loop(0, i + 1, lambda j: k.set(w, (i, j), a(i, j))), ordered=True)

    def step(s: Affine) -> None:
        pivot = k.let(k.parts(k.at(w, s, s))[0])
        k.set(pivots, (s,), pivot)
        root = k.let(k.op("sqrt", pivot))
        inverse = k.let(k.op("convert", k.inverse(root), dtype=dtype))
        k.set(w, (s, s), k.op("convert", root, dtype=dtype))

        def scale(i: Affine) -> None:
            value = k.let(k.op("mul", k.at(w, i, s), inverse))
            k.set(column, (i,), k.op("conj", value) if dtype.kind == "c" else value)
            k.set(w, (i, s), value)

        def row(i: Affine) -> None:
            factor = k.let(k.at(w, i, s))
            k.loop(
                s + 1,
                i + 1,
                lambda j: k.set(w, (i, j), k.less_product(k.at(w, i, j), factor, k.at(column, j))),
            )

        k.loop(s + 1, n, scale, ordered=True)
        k.loop(s + 1, n, row, ordered=True)

    k.loop(0, n, step, ordered=True)
    failed = k.let(k.total("or", k.number(False, BOOL), 0, n, lambda i: k.op("le", k.at(pivots, i), none)))

    def finish(i: Affine) -> None:
        k.loop(0, i + 1, lambda j: put(i, j, k.op("select", failed, nan, k.at(w, i, j))))
        k.loop(i + 1, n, lambda j: put(i, j, k.op("select", failed, nan, zero)))

    k.loop(0, n, finish, ordered=True)


def substitute(
    k: Kernel,
    n: int,
    columns: int,
    a: Read,
    b: Read,
    put: Callable[[Affine, Affine, Expr], None],
    unit_diagonal: bool,
) -> None:
    """The x with a @ x = b, for lower triangular a."""
    dtype = b(Affine(), Affine()).dtype
    w, x = k.array(dtype, n, n), k.array(dtype, n, columns)
    k.loop(
        0,
        n,
        lambda i: k.loop(0, i if unit_diagonal else i + 1, lambda j: k.set(w, (i, j), a(i, j))),
        ordered=True,
    )
    fill(k, x, n, columns, b)

    def step(s: Affine) -> None:
        if not unit_diagonal:
            inverse = k.let(k.inverse(k.at(w, s, s)))
            k.loop(0, columns, lambda j: k.set(x, (s, j), k.op("mul", k.at(x, s, j), inverse)))

        def row(i: Affine) -> None:
            factor = k.let(k.at(w, i, s))
            k.loop(
                0, columns, lambda j: k.set(x, (i, j), k.less_product(k.at(x, i, j), factor, k.at(x, s, j)))
            )

        k.loop(s + 1, n, row, ordered=True)

    k.loop(0, n, step, ordered=True)
    k.loop(0, n, lambda i: k.loop(0, columns, lambda j: put(i, j, k.at(x, i, j))), ordered=True)


def update(
    k: Kernel,
    n: int,
    r: Read,
    w: Callable[[Affine], Expr],
    put: Callable[[Affine, Affine, Expr], None],
) -> None:
    """The upper triangular factor of adjoint(r) @ r + outer(w, w), by a rotation for each row."""
    dtype = w(Affine()).dtype
    rest = k.array(dtype, n)
    zero, one = k.number(0, dtype), k.number(1, dtype)
    k.loop(0, n, lambda j: k.set(rest, (j,), w(j)))

    def step(s: Affine) -> None:
        x, y = k.let(r(s, s)), k.let(k.at(rest, s))
        a, b = k.op("abs", x), k.op("abs", y)
        large, small = k.let(k.op("max", a, b)), k.op("min", a, b)
        ratio = k.let(k.op("div", small, k.op("select", k.op("eq", large, zero), one, large)))
        size = k.op("mul", large, k.op("sqrt", k.op("fma", ratio, ratio, one)))
        moved, inverse = k.let(k.op("ne", y, zero)), k.let(k.inverse(size))
        cosine = k.let(k.op("select", moved, k.op("mul", x, inverse), one))
        sine = k.let(k.op("select", moved, k.op("mul", y, inverse), zero))
        k.loop(0, s, lambda j: put(s, j, zero))

        def turn(j: Affine) -> None:
            above, below = k.let(r(s, j)), k.let(k.at(rest, j))
            put(s, j, k.op("fma", cosine, above, k.op("mul", sine, below)))
            k.set(rest, (j,), k.less_product(k.op("mul", cosine, below), sine, above))

        k.loop(s, n, turn)

    k.loop(0, n, step, ordered=True)


def triangular_root(
    k: Kernel,
    n: int,
    t: Read,
    values: Callable[[Affine], Expr],
    put: Callable[[Affine, Affine, Expr], None],
) -> None:
    """The root of a complex upper triangular matrix from those of its diagonal: column by column, upwards."""
    dtype = values(Affine()).dtype
    zero = k.number(0, dtype)
    root, diagonal, column = (
        k.array(dtype, n, n),
        k.array(dtype, n),
        k.array(dtype, n),
    )  # root is above the diagonal
    k.loop(0, n, lambda i: k.set(diagonal, (i,), values(i)))
    fill(k, root, n, n, lambda i, j: zero)

    def step(j: Affine) -> None:
        last = k.let(k.at(diagonal, j))
        k.loop(0, n, lambda i: k.set(column, (i,), zero))

        def upwards(down: Affine) -> None:
            i = n - 1 - down
            done = k.total("add", zero, 0, j, lambda m: k.op("mul", k.at(root, i, m), k.at(column, m)))
            rest = k.let(k.op("sub", t(i, j), done))
            quotient = k.op("div", rest, k.let(k.op("add", k.at(diagonal, i), last)))
            # 0 / 0 is of a matrix with several roots, or a singular one that has one; 0 is in one of these
            value = k.let(k.op("select", k.op("eq", rest, zero), zero, quotient))
            k.set(column, (i,), value)
            k.set(root, (i, j), value)

        k.loop(n - j, n, upwards, ordered=True)

    k.loop(0, n, step, ordered=True)

    def element(i: Affine, j: Affine) -> Expr:
        on = k.op("eq", k.exprs.index(i, I32), k.exprs.index(j, I32))
        return k.op("select", on, k.at(diagonal, i), k.at(root, i, j))

    k.loop(0, n, lambda i: k.loop(0, n, lambda j: put(i, j, element(i, j))), ordered=True)


# ------------------------------------------------------------------------------------------------ reflections


def _scale(k: Kernel, largest: Expr) -> Expr:
    """What to multiply numbers by whose squares might be beyond the range: a power of two, mostly 1."""
    dtype = largest.dtype
    far, down, up = (40, 80, 64) if dtype.itemsize == 4 else (300, 600, 600)
    one, less, more = (k.number(2.0**e, dtype) for e in (0, -down, up))
    small = k.op("select", k.op("lt", largest, k.number(2.0**-far, dtype)), more, one)
    return k.op("select", k.op("gt", largest, k.number(2.0**far, dtype)), less, small)


def reflect(k: Kernel, w: Buffer, taus: Buffer, rows: int, columns: int) -> None:
    """The QR decomposition by Householder's reflections, in place: R, and below it the vectors of the reflections."""
    dtype = w.dtype
    zero = k.number(0, dtype)
    along = k.array(dtype, columns)

    def step(s: Affine) -> None:
        alpha = k.let(k.at(w, s, s))
        below = k.let(k.total("max", zero, s + 1, rows, lambda i: k.op("abs", k.at(w, i, s))))
        scale = k.let(_scale(k, k.op("max", below, k.op("abs", alpha))))
        rest = k.let(
            k.total("add", zero, s + 1, rows, lambda i: k.op("square", k.op("mul", k.at(w, i, s), scale)))
        )
        scaled = k.let(k.op("mul", alpha, scale))
        norm = k.op("sqrt", k.op("add", k.op("square", scaled), rest))
        norm = k.let(k.op("mul", norm, k.inverse(scale)))
        idle = k.let(k.op("eq", below, zero))
        beta = k.let(
            k.op("select", idle, alpha, k.op("select", k.op("lt", alpha, zero), norm, k.op("neg", norm)))
        )
        difference = k.op("sub", beta, alpha)
        tau = k.let(k.op("select", idle, zero, k.op("div", difference, beta)))
        factor = k.let(k.op("select", idle, zero, k.op("neg", k.inverse(difference))))
        k.set(taus, (s,), tau)
        k.loop(s + 1, rows, lambda i: k.set(w, (i, s), k.op("mul", k.at(w, i, s), factor)), ordered=True)
        k.set(w, (s, s), beta)
        _apply(k, w, s, tau, w, along, rows, s + 1, columns)

    k.loop(0, min(rows, columns), step, ordered=True)


def _apply(
    k: Kernel,
    v: Buffer,
    s: Affine,
    tau: Expr,
    w: Buffer,
    along: Buffer,
    rows: int,
    first: Affine,
    columns: int,
) -> None:
    """Apply the reflection number s, whose vector is below the diagonal of v, to columns of w."""
    k.loop(first, columns, lambda j: k.set(along, (j,), k.at(w, s, j)))

    def gather(i: Affine) -> None:
        factor = k.let(k.at(v, i, s))
        k.loop(
            first,
            columns,
            lambda j: k.set(along, (j,), k.op("fma", factor, k.at(w, i, j), k.at(along, j))),
        )

    k.loop(s + 1, rows, gather, ordered=True)
    k.loop(first, columns, lambda j: k.set(along, (j,), k.op("mul", k.at(along, j), tau)))
    k.loop(first, columns, lambda j: k.set(w, (s, j), k.op("sub", k.at(w, s, j), k.at(along, j))))

    def spread(i: Affine) -> None:
        factor = k.let(k.at(v, i, s))
        k.loop(
            first, columns, lambda j: k.set(w, (i, j), k.less_product(k.at(w, i, j), factor, k.at(along, j)))
        )

    k.loop(s + 1, rows, spread, ordered=True)


def product_of_reflections(
    k: Kernel, v: Buffer, taus: Buffer, q: Buffer, rows: int, columns: int, count: int
) -> None:
    """The first columns of the product of `count` reflections, into q."""
    dtype = v.dtype
    zero, one = k.number(0, dtype), k.number(1, dtype)
    along = k.array(dtype, columns)

    def unit(i: Affine, j: Affine) -> Expr:
        return k.op("select", k.is_at(k.exprs.index(i, I32), j), one, zero)

    fill(k, q, rows, columns, unit)

    def step(t: Affine) -> None:
        s = count - 1 - t
        tau = k.let(k.at(taus, s))
        _apply(k, v, s, tau, q, along, rows, s, columns)

    k.loop(0, count, step, ordered=True)


# ------------------------------------------------------------------------------------------------ eigenvalues


def eigh(
    k: Kernel,
    n: int,
    a: Read,
    put_vector: Callable[[Affine, Affine, Expr], None],
    put_value: Callable[[Affine, Expr], None],
) -> None:
    """Eigenvectors and ascending eigenvalues of a symmetric matrix, of which the lower triangle is read.

    By Jacobi's method: sweeps of rotations, each of which makes one element off the diagonal zero. NaN if an
    element is not finite.
    """
    dtype = a(Affine(), Affine()).dtype
    w, v = k.array(dtype, n, n), k.array(dtype, n, n)
    zero, one, nan = k.number(0, dtype), k.number(1, dtype), k.number(np.nan, dtype)
    k.loop(0, n, lambda i: k.loop(0, i + 1, lambda j: k.set(w, (i, j), a(i, j))), ordered=True)
    k.loop(
        0, n, lambda i: k.loop(0, i, lambda j: k.set(w, (j, i), k.at(w, i, j)), ordered=True), ordered=True
    )
    fill(k, v, n, n, lambda i, j: k.op("select", k.is_at(k.exprs.index(i, I32), j), one, zero))
    largest, finite = _extent(k, w, n)
    scale = k.let(_scale(k, largest))
    k.loop(
        0,
        n,
        lambda i: k.loop(0, n, lambda j: k.set(w, (i, j), k.op("mul", k.at(w, i, j), scale))),
        ordered=True,
    )

    def pair(p: Affine, q: Affine) -> None:
        off, first, second = (k.let(k.at(w, *place)) for place in ((p, q), (p, p), (q, q)))
        gap = k.let(k.op("sub", second, first))
        twice = k.let(k.op("add", off, off))
        root = k.op("sqrt", k.op("fma", gap, gap, k.op("square", twice)))
        turned = k.op("select", k.op("lt", gap, zero), k.op("neg", twice), twice)
        ratio = k.op("div", turned, k.op("add", k.op("abs", gap), root))
        t = k.let(k.op("select", k.op("eq", off, zero), zero, ratio))
        c = k.let(k.inverse(k.op("sqrt", k.op("fma", t, t, one))))
        s = k.let(k.op("mul", t, c))

        def rotate(to: Buffer, at_p: tuple[Affine, Affine], at_q: tuple[Affine, Affine]) -> None:
            x, y = k.let(k.at(to, *at_p)), k.let(k.at(to, *at_q))
            k.set(to, at_p, k.less_product(k.op("mul", c, x), s, y))
            k.set(to, at_q, k.op("fma", s, x, k.op("mul", c, y)))

        k.loop(0, n, lambda i: rotate(w, (i, p), (i, q)), ordered=True)
        k.loop(0, n, lambda i: rotate(w, (p, i), (q, i)), ordered=True)
        k.loop(0, n, lambda i: rotate(v, (i, p), (i, q)), ordered=True)
        k.set(w, (p, p), k.less_product(first, t, off))
        k.set(w, (q, q), k.op("fma", t, off, second))
        k.set(w, (p, q), zero)
        k.set(w, (q, p), zero)

    def sweep(_: Affine) -> None:
        k.loop(0, n - 1, lambda p: k.loop(p + 1, n, lambda q: pair(p, q), ordered=True), ordered=True)

    k.repeat(_SWEEPS[dtype.itemsize] + (n > 4), sweep)
    _sort_columns(k, w, v, n)
    back = k.let(k.inverse(scale))
    k.loop(0, n, lambda i: put_value(i, k.op("select", finite, k.op("mul", k.at(w, i, i), back), nan)))
    k.loop(
        0,
        n,
        lambda i: k.loop(0, n, lambda j: put_vector(i, j, k.op("select", finite, k.at(v, i, j), nan))),
        ordered=True,
    )


def _extent(k: Kernel, w: Buffer, n: int) -> tuple[Expr, Expr]:
    """The size of the largest element, and whether all are finite."""
    rows, fine = k.array(w.dtype, n), k.array(BOOL, n)
    zero, true = k.number(0, w.dtype), k.number(True, BOOL)

    def row(i: Affine) -> None:
        k.set(rows, (i,), k.total("max", zero, 0, n, lambda j: k.op("abs", k.at(w, i, j))))
        k.set(fine, (i,), k.op("is_finite", k.at(rows, i)))

    k.loop(0, n, row, ordered=True)
    largest = k.let(k.total("max", zero, 0, n, lambda i: k.at(rows, i)))
    return largest, k.let(k.total("and", true, 0, n, lambda i: k.at(fine, i)))


def _sort_columns(k: Kernel, w: Buffer, v: Buffer, n: int) -> None:
    """Exchange columns of v so that the diagonal of w ascends."""

    def pair(i: Affine, j: Affine) -> None:
        x, y = k.let(k.at(w, i, i)), k.let(k.at(w, j, j))
        wrong = k.let(k.op("gt", x, y))

        def exchange(to: Buffer, one: tuple[Affine, Affine], other: tuple[Affine, Affine]) -> None:
            x, y = k.let(k.at(to, *one)), k.let(k.at(to, *other))
            k.set(to, one, k.op("select", wrong, y, x))
            k.set(to, other, k.op("select", wrong, x, y))

        exchange(w, (i, i), (j, j))
        k.loop(0, n, lambda r: exchange(v, (r, i), (r, j)), ordered=True)

    k.loop(0, n - 1, lambda i: k.loop(i + 1, n, lambda j: pair(i, j), ordered=True), ordered=True)
