"""How operations on matrices are compiled: as loops where the matrices are small, else by calls of LAPACK.

The `emit` rules of the primitives get a `Matrices` from their context. A method says in its result whether it has
done the work; where it has not, the primitive's `impl` runs by a host call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wengert.compiler import dense, dense_kernels, lapack, lapack_eigen, matrix_programs
from wengert.compiler.affine import Affine
from wengert.compiler.dense import Bound, Kernel
from wengert.compiler.dense_kernels import Read
from wengert.compiler.loops import I32, Expr, Nest, View

if TYPE_CHECKING:
    from wengert.compiler.lower import Block, Operand

# Eigenvalues are found by rotations of matrices with up to so many rows, if there are many of them, and else by
# LAPACK: the signs of eigenvectors are free, and single ones are to have those that NumPy gives them.
_JACOBI, _MANY = 8, 16


def _written_out(*sizes: int) -> bool:
    return max(sizes) <= dense.WRITTEN_OUT


def _in_lanes(*sizes: int) -> bool:
    """Whether matrices of these sizes are small."""
    return max(sizes) <= dense.LARGEST


class Matrices:
    """Appends decompositions of stacks of matrices to a block."""

    def __init__(self, block: Block):
        self.block = block

    # ---- elimination

    def solve(self, outs: Sequence[View], a: Operand, b: Operand) -> bool:
        """x with a @ x = b."""
        *batch, n, columns = b.aval.shape
        if not lapack.has(b.aval.dtype, *b.aval.shape):
            return False
        if not _in_lanes(n, columns):
            lapack.solve(self.block, outs[0], a, b)
            return True

        def one(k: Kernel, at: list[Affine]) -> None:
            dense_kernels.solve(k, n, columns, _reader(k, a, at), _reader(k, b, at), _Put(k, outs[0], at))

        dense.over(self.block, batch, _written_out(n, columns), one)
        return True

    def lu(self, outs: Sequence[View], x: Operand) -> bool:
        """The factors, the pivots and the permutation."""
        *batch, rows, columns = x.aval.shape
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        if not columns:
            self._number(outs[2])
            return True
        if not _in_lanes(rows, columns):
            lapack.lu(self.block, outs, x)
            return True

        def one(k: Kernel, at: list[Affine]) -> None:
            puts = [_Put(k, o, at) for o in outs]
            dense_kernels.lu(k, rows, columns, _reader(k, x, at), *puts)

        dense.over(self.block, batch, _written_out(rows, columns), one)
        return True

    def determinant(self, outs: Sequence[View], x: Operand) -> bool:
        *batch, n, _ = x.aval.shape
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        if not n:
            self._fill(outs[0], 1)
            return True
        if not _in_lanes(n):
            lapack.determinant(self.block, outs[0], x)
            return True

        def one(k: Kernel, at: list[Affine]) -> None:
            _Put(k, outs[0], at)(dense_kernels.determinant(k, n, _reader(k, x, at)))

        dense.over(self.block, batch, _written_out(n), one)
        return True

    # ---- triangular matrices

    def cholesky(self, outs: Sequence[View], x: Operand) -> bool:
        *batch, n, _ = x.aval.shape
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        if not _in_lanes(n):
            lapack.cholesky(self.block, outs[0], x)
            return True

        def one(k: Kernel, at: list[Affine]) -> None:
            dense_kernels.cholesky(k, n, _reader(k, x, at), _Put(k, outs[0], at))

        dense.over(self.block, batch, _written_out(n), one)
        return True

    def triangular_solve(self, outs: Sequence[View], a: Operand, b: Operand, **params: bool) -> bool:
        """x with op(a) @ x = b, or x @ op(a) = b: each is a lower triangular system in other indices."""
        *batch, rows, columns = b.aval.shape
        if not lapack.has(b.aval.dtype, *b.aval.shape):
            return False
        if not _in_lanes(rows, columns):
            lapack.triangular_solve(self.block, outs[0], a, b, **params)
            return True
        left_side, lower, transpose_a = params["left_side"], params["lower"], params["transpose_a"]
        n, count = (rows, columns) if left_side else (columns, rows)
        turned = transpose_a == left_side  # which element of a is at (i, j) of the system
        backwards = lower == turned
        conjugated = params["conjugate_a"] and a.aval.dtype.kind == "c"

        def one(k: Kernel, at: list[Affine]) -> None:
            read_a, read_b, put = _reader(k, a, at), _reader(k, b, at), _Put(k, outs[0], at)

            def place(i: Affine) -> Affine:
                return n - 1 - i if backwards else i

            def system(i: Affine, j: Affine) -> Expr:
                i, j = place(i), place(j)
                value = read_a(j, i) if turned else read_a(i, j)
                return k.op("conj", value) if conjugated else value

            def right(i: Affine, j: Affine) -> Expr:
                return read_b(place(i), j) if left_side else read_b(j, place(i))

            def found(i: Affine, j: Affine, value: Expr) -> None:
                if left_side:
                    put(place(i), j, value)
                else:
                    put(j, place(i), value)

            dense_kernels.substitute(k, n, count, system, right, found, params["unit_diagonal"])

        dense.over(self.block, batch, _written_out(n, count), one)
        return True

    # ---- reflections

    def qr(self, outs: Sequence[View], x: Operand, *, pivoting: bool, full_matrices: bool) -> bool:
        *batch, rows, columns = x.aval.shape
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        if not rows or not columns:
            self._identity(outs[0])
            if pivoting:
                self._number(outs[2])
            return True
        if pivoting or x.aval.dtype.kind == "c" or not _in_lanes(rows, columns):
            lapack.qr(self.block, outs, x, pivoting)
            return True
        width = outs[0].shape[-1]

        def one(k: Kernel, at: list[Affine]) -> None:
            dtype, count = x.aval.dtype, min(rows, columns)
            w, taus, q = k.array(dtype, rows, columns), k.array(dtype, count), k.array(dtype, rows, width)
            dense_kernels.fill(k, w, rows, columns, _reader(k, x, at))
            dense_kernels.reflect(k, w, taus, rows, columns)
            dense_kernels.product_of_reflections(k, w, taus, q, rows, width, count)
            put_q, put_r, zero = _Put(k, outs[0], at), _Put(k, outs[1], at), k.number(0, dtype)
            k.loop(0, rows, lambda i: k.loop(0, width, lambda j: put_q(i, j, k.at(q, i, j))), ordered=True)

            def row(i: Affine) -> None:
                k.loop(0, columns, lambda j: put_r(i, j, upper(i, j)))

            def upper(i: Affine, j: Affine) -> Expr:
                below = k.op("lt", k.exprs.index(j, I32), k.exprs.index(i, I32))
                return k.op("select", below, zero, k.at(w, i, j))

            k.loop(0, count, row, ordered=True)
            k.loop(count, width, lambda i: k.loop(0, columns, lambda j: put_r(i, j, zero)), ordered=True)

        dense.over(self.block, batch, _written_out(rows, columns), one)
        return True

    def householder_product(self, outs: Sequence[View], a: Operand, taus: Operand) -> bool:
        """The first columns of a product of reflections."""
        *batch, rows, columns = a.aval.shape
        count = taus.aval.shape[-1]
        if not lapack.has(a.aval.dtype, *a.aval.shape):
            return False
        if not count:
            self._identity(outs[0])
            return True
        if a.aval.dtype.kind == "c" or not _in_lanes(rows):
            lapack.householder_product(self.block, outs[0], a, taus)
            return True

        def one(k: Kernel, at: list[Affine]) -> None:
            dtype = a.aval.dtype
            v, scales, q = k.array(dtype, rows, count), k.array(dtype, count), k.array(dtype, rows, columns)
            dense_kernels.fill(k, v, rows, count, _reader(k, a, at))
            k.loop(0, count, lambda s: k.set(scales, (s,), k.read(taus, (*at, s))))
            dense_kernels.product_of_reflections(k, v, scales, q, rows, columns, count)
            put = _Put(k, outs[0], at)
            k.loop(0, rows, lambda i: k.loop(0, columns, lambda j: put(i, j, k.at(q, i, j))), ordered=True)

        dense.over(self.block, batch, _written_out(rows), one)
        return True

    def geqrf(self, outs: Sequence[View], x: Operand, *, pivoting: bool) -> bool:
        """R and the reflections of Q."""
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        if 0 not in x.aval.shape:
            lapack.factors(self.block, outs, x, pivoting)
        elif pivoting:
            self._number(outs[2])
        return True

    def ormqr(
        self, outs: Sequence[View], a: Operand, taus: Operand, c: Operand, *, left: bool, transpose: bool
    ) -> bool:
        """A product of reflections times a matrix."""
        if not lapack.has(a.aval.dtype, *a.aval.shape, *c.aval.shape):
            return False
        if taus.aval.shape[-1]:
            lapack.reflected(self.block, outs[0], a, taus, c, left, transpose)
        else:
            self.block.put(c, outs[0])
        return True

    # ---- eigenvalues and singular values

    def eigh(self, outs: Sequence[View], x: Operand, *, lower: bool, sort_eigenvalues: bool) -> bool:
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        *batch, n, _ = x.aval.shape
        if n > _JACOBI or x.aval.dtype.kind == "c" or math.prod(batch) < _MANY:
            lapack_eigen.eigh(self.block, outs, x, lower)
            return True

        def one(k: Kernel, at: list[Affine]) -> None:
            read = _reader(k, x, at)

            def element(i: Affine, j: Affine) -> Expr:
                return read(i, j) if lower else read(j, i)

            dense_kernels.eigh(k, n, element, _Put(k, outs[0], at), _Put(k, outs[1], at))

        dense.over(self.block, batch, n < dense.WRITTEN_OUT, one)
        return True

    def svd(self, outs: Sequence[View], x: Operand, *, full_matrices: bool, compute_uv: bool) -> bool:
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        if 0 in x.aval.shape:
            for out in outs[1:]:
                self._identity(out)
        else:
            lapack_eigen.svd(self.block, outs, x, full_matrices, compute_uv)
        return True

    def eigh_tridiagonal(self, outs: Sequence[View], d: Operand, e: Operand) -> bool:
        if not lapack.has(d.aval.dtype, *d.aval.shape):
            return False
        lapack_eigen.eigh_tridiagonal(self.block, outs, d, e)
        return True

    def eig(
        self,
        outs: Sequence[View],
        x: Operand,
        *,
        compute_left_eigenvectors: bool,
        compute_right_eigenvectors: bool,
    ) -> bool:
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        lapack_eigen.eig(self.block, outs, x, compute_left_eigenvectors, compute_right_eigenvectors)
        return True

    # ---- unitary reductions

    def tridiagonal(self, outs: Sequence[View], x: Operand, *, lower: bool) -> bool:
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        lapack_eigen.tridiagonal(self.block, outs, x, lower)
        return True

    def hessenberg(self, outs: Sequence[View], x: Operand) -> bool:
        if not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        lapack_eigen.hessenberg(self.block, outs, x)
        return True

    def schur(
        self,
        outs: Sequence[View],
        x: Operand,
        *,
        compute_schur_vectors: bool,
        select_callable: Any,
    ) -> bool:
        """Schur's form; not with a selection, which is a Python function."""
        if select_callable is not None or not lapack.has(x.aval.dtype, *x.aval.shape):
            return False
        lapack_eigen.schur(self.block, outs, x)
        return True

    # ---- other triangular matrices

    def cholesky_update(self, outs: Sequence[View], r: Operand, w: Operand) -> bool:
        *batch, n = w.aval.shape

        def one(k: Kernel, at: list[Affine]) -> None:
            dense_kernels.update(k, n, _reader(k, r, at), lambda i: k.read(w, (*at, i)), _Put(k, outs[0], at))

        dense.over(self.block, batch, _written_out(n), one, _in_lanes(n))
        return True

    def triangular_root(self, outs: Sequence[View], t: Operand, values: Operand) -> bool:
        *batch, n = values.aval.shape

        def one(k: Kernel, at: list[Affine]) -> None:
            dense_kernels.triangular_root(
                k, n, _reader(k, t, at), lambda i: k.read(values, (*at, i)), _Put(k, outs[0], at)
            )

        dense.over(self.block, batch, False, one, n <= dense.LARGEST)
        return True

    def triangular_sylvester(self, outs: Sequence[View], a: Operand, b: Operand, c: Operand) -> bool:
        if not lapack.has(c.aval.dtype, *c.aval.shape):
            return False
        if 0 in c.aval.shape:
            self._fill(outs[1], 1)
        else:
            lapack_eigen.triangular_sylvester(self.block, outs, a, b, c)
        return True

    # ---- functions that are programs of others

    def sylvester(self, outs: Sequence[View], *operands: Operand, tol: float) -> bool:
        return self._program(outs, operands, matrix_programs.sylvester, tol)

    def symmetric_product(self, outs: Sequence[View], *operands: Operand, alpha: float, beta: float) -> bool:
        return self._program(outs, operands, matrix_programs.symmetric_product, alpha, beta)

    def expm(self, outs: Sequence[View], *operands: Operand) -> bool:
        return self._program(outs, operands, matrix_programs.expm)

    def expm_frechet(self, outs: Sequence[View], *operands: Operand) -> bool:
        return self._program(outs, operands, matrix_programs.expm_frechet)

    def sqrtm(self, outs: Sequence[View], *operands: Operand) -> bool:
        return self._program(outs, operands, matrix_programs.sqrtm)

    def adjugate(self, outs: Sequence[View], *operands: Operand) -> bool:
        return self._program(outs, operands, matrix_programs.adjugate)

    def adjugate_change(self, outs: Sequence[View], *operands: Operand) -> bool:
        return self._program(outs, operands, matrix_programs.adjugate_change)

    def polar(self, outs: Sequence[View], x: Operand, *, max_iterations: int, eps: float | None) -> bool:
        if not x.aval.shape[-1]:
            self._fill(outs[2], 0)
            self._fill(outs[3], 1)
            return True
        return self._program(outs, [x], matrix_programs.polar, max_iterations, eps)

    def _program(
        self, outs: Sequence[View], operands: Sequence[Operand], run: Callable[..., Any], *params: Any
    ) -> bool:
        matrix_programs.append(self.block, outs, operands, lambda *xs: run(*xs, *params))
        return True

    # ---- tridiagonal systems

    def tridiagonal_solve(self, outs: Sequence[View], *operands: Operand, perturb_singular: bool) -> bool:
        *diagonals, b = operands
        if not lapack.has(b.aval.dtype, b.aval.shape[-1]):
            return False
        lapack.tridiagonal_solve(self.block, outs[0], diagonals, b, perturb_singular)
        return True

    # ---- permutations

    def permutation(self, outs: Sequence[View], pivots: Operand, *, permutation_size: int) -> bool:
        """The permutation that swaps make."""
        lapack.permutation(self.block, outs[0], lambda *at: pivots.at(at), pivots.aval.shape[-1])
        return True

    def inverse_permutation(self, outs: Sequence[View], permutation: Operand) -> bool:
        if permutation.aval.dtype != I32:
            return False
        lapack.inverse_permutation(self.block, outs[0], permutation)
        return True

    # ---- what is found of matrices without elements

    def _store(self, out: View, element: Callable[[Sequence[Affine]], Expr]) -> None:
        axes, index = self.block.domain(out.shape)
        self.block.stmts.append(Nest(out, (*out.prefix, *index), axes, element(index)))

    def _fill(self, out: View, number: float) -> None:
        self._store(out, lambda index: self.block.const(number, out.dtype))

    def _number(self, out: View) -> None:
        """0, 1, 2, ... along the last axis."""
        self._store(out, lambda index: self.block.exprs.index(index[-1], out.dtype))

    def _identity(self, out: View) -> None:
        """Ones on the diagonals, zeros elsewhere."""
        one, zero = (self.block.const(n, out.dtype) for n in (1, 0))

        def element(index: Sequence[Affine]) -> Expr:
            i, j = (self.block.exprs.index(x, I32) for x in index[-2:])
            return self.block.op("select", self.block.op("eq", i, j), one, zero)

        self._store(out, element)


def _reader(k: Kernel, operand: Operand, at: Sequence[Affine]) -> Read:
    return lambda i, j: k.read(operand, (*at, i, j))


class _Put:
    """Stores an element of a result: its last indices, then the value."""

    __slots__ = ("at", "kernel", "out")

    def __init__(self, kernel: Kernel, out: View, at: Sequence[Affine]):
        self.kernel, self.out, self.at = kernel, out, at

    def __call__(self, *index_and_value: Bound | Expr) -> None:
        *index, value = index_and_value
        assert isinstance(value, Expr)
        self.kernel.put(self.out, (*self.at, *index), value)
