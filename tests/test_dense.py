"""Linear algebra in compiled code: the kernels of small matrices, and the calls of LAPACK, against `impl`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax
from wengert.compiler.dense import LARGEST
from wengert.compiler.interpret import interpret
from wengert.compiler.loops import Call, For, Program
from wengert.compiler.pipeline import compile_jaxpr
from wengert.compiler.pretty import format_program
from wengert.compiler.rewrite import statements
from wengert.compiler.verify import verify
from wengert.core.avals import ShapedArray
from wengert.core.staging import hoist_consts, stage
from wengert.prims import linalg_eigen, linalg_functions, linalg_lu, linalg_qr

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(0)
SMALL = (1, 2, 3, 4, 5, 8, LARGEST)
# with 16 lanes: less than a vector, several of them that overlap
BATCHES: dict[str, tuple[tuple[int, ...], ...]] = {"float32": ((), (3,), (21,)), "float64": ((2, 5),)}
FLOATS = tuple(BATCHES)
COMPLEX = ("complex64", "complex128")


def program_of(f: Callable[..., Any], *args: Any) -> Program:
    avals = [ShapedArray(np.shape(a), np.asarray(a).dtype) for a in args]
    jaxpr = hoist_consts(stage(lambda *xs: wengert.tree.leaves(f(*xs)), avals, "f")).jaxpr
    return compile_jaxpr(jaxpr).program


def calls(f: Callable[..., Any], *args: Any) -> list[str]:
    """The names of the library routines that the program calls."""
    return [s.name for s in statements(program_of(f, *args).body) if isinstance(s, Call)]


def matrices(*shape: int, dtype: Any = np.float32, far_from_singular: bool = False) -> Any:
    a = RNG.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * RNG.standard_normal(shape)
    if far_from_singular:
        a = a + 2 * shape[-1] * np.eye(shape[-1])
    return a.astype(dtype)


def definite(*shape: int, dtype: Any = np.float32) -> Any:
    a = matrices(*shape, dtype=dtype)
    return (a @ a.conj().swapaxes(-1, -2) + np.eye(shape[-1])).astype(dtype)


def assert_as_impl(f: Callable[..., Any], *args: Any) -> None:
    """Compiled code gives what eager execution gives, up to errors that grow with the size."""
    for found, wanted in zip(_flat(wengert.jit(f)(*args)), _flat(f(*args)), strict=True):
        assert found.dtype == wanted.dtype
        if found.dtype.kind not in "fc":
            np.testing.assert_array_equal(found, wanted)
            continue
        scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-30)
        atol = 2000 * np.finfo(found.dtype).eps
        np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=atol)


def _flat(x: Any) -> list[Any]:
    return [np.asarray(leaf) for leaf in wengert.tree.leaves(x)]


def cholesky(a: Any) -> Any:
    return lax.linalg.cholesky(a, symmetrize_input=False)


# ------------------------------------------------------------------------------------- the kernels, against impl


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", SMALL)
def test_small_matrices(n: int, dtype: str) -> None:
    for batch in BATCHES[dtype]:
        a = matrices(*batch, n, n, dtype=dtype)
        far = matrices(*batch, n, n, dtype=dtype, far_from_singular=True)
        b = matrices(*batch, n, 2, dtype=dtype)
        assert_as_impl(linalg_lu.solve, far, b)
        assert_as_impl(linalg_lu.lu, a)
        assert_as_impl(linalg_lu.det, a)
        assert_as_impl(cholesky, definite(*batch, n, n, dtype=dtype))
        assert_as_impl(lax.linalg.qr, a)


@pytest.mark.parametrize(
    ("n", "dtype"),
    [(1, "complex64"), (5, "complex64"), (3, "complex128"), (LARGEST + 1, "complex128")],
)
def test_complex_matrices(n: int, dtype: str) -> None:
    for batch in ((), (11,)) if n < LARGEST else ((2,),):
        a = matrices(*batch, n, n, dtype=dtype)
        far = matrices(*batch, n, n, dtype=dtype, far_from_singular=True)
        assert_as_impl(linalg_lu.solve, far, matrices(*batch, n, 2, dtype=dtype))
        assert_as_impl(lambda a: linalg_lu.lu(a[..., : max(n - 1, 1)]), a)
        assert_as_impl(lambda a: linalg_lu.det(a / 4), a)
        assert_as_impl(cholesky, definite(*batch, n, n, dtype=dtype))
        assert_as_impl(lax.linalg.qr, a)


@pytest.mark.parametrize("n", [2, 5, LARGEST + 3])
def test_matrices_that_are_not_square(n: int) -> None:
    for batch in ((), (20,)):
        tall = matrices(*batch, n, max(n // 2, 1), dtype=np.float64)
        wide = np.ascontiguousarray(tall.swapaxes(-1, -2))
        for a in (tall, wide):
            assert_as_impl(linalg_lu.lu, a)
            assert_as_impl(lambda a: lax.linalg.qr(a, full_matrices=True), a)
            assert_as_impl(lambda a: lax.linalg.qr(a, full_matrices=False), a)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_triangular_systems(left: bool, lower: bool, transposed: bool, unit: bool) -> None:
    how = {"left_side": left, "lower": lower, "transpose_a": transposed, "unit_diagonal": unit}
    for n, batch in ((3, (20,)), (6, ()), (LARGEST + 1, (2,))):
        a = (matrices(*batch, n, n, far_from_singular=True) / (2 * n)).astype(np.float32)
        b = matrices(*batch, *((n, 5) if left else (5, n)))
        assert_as_impl(lambda a, b: lax.linalg.triangular_solve(a, b, **how), a, b)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("conjugated", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_complex_triangular_systems(left: bool, conjugated: bool, transposed: bool) -> None:
    how = {"left_side": left, "transpose_a": transposed, "conjugate_a": conjugated}
    for n, batch in ((3, (20,)), (LARGEST + 1, (2,))):
        a = (matrices(*batch, n, n, dtype="complex64", far_from_singular=True) / (2 * n)).astype("complex64")
        b = matrices(*batch, *((n, 5) if left else (5, n)), dtype="complex64")
        assert_as_impl(lambda a, b: lax.linalg.triangular_solve(a, b, **how), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [LARGEST + 1])
def test_lapack_by_address(n: int, dtype: str) -> None:
    for batch in ((), (2, 2)):
        a = matrices(*batch, n, n, dtype=dtype)
        far = matrices(*batch, n, n, dtype=dtype, far_from_singular=True)
        assert_as_impl(linalg_lu.solve, far, matrices(*batch, n, 3, dtype=dtype))
        assert_as_impl(linalg_lu.lu, a)
        assert_as_impl(lambda a: linalg_lu.det(a / 4), a)
        assert_as_impl(cholesky, definite(*batch, n, n, dtype=dtype))
        assert_as_impl(lax.linalg.qr, a)
        assert_as_impl(lambda a: lax.linalg.svd(a, compute_uv=False), a)


@pytest.mark.parametrize("shape", [(3, 3), (40, 40), (4, 30, 50), (2, 2, 50, 3)])
@pytest.mark.parametrize("full", [False, True])
def test_singular_vectors(shape: tuple[int, ...], full: bool) -> None:
    a = matrices(*shape, dtype=np.float64)
    u, s, vh = wengert.jit(lambda a: jnp.linalg.svd(a, full_matrices=full))(a)
    np.testing.assert_allclose(s, np.linalg.svd(a, compute_uv=False), rtol=1e-12)
    k = s.shape[-1]
    np.testing.assert_allclose(u[..., :k] * s[..., None, :] @ vh[..., :k, :], a, atol=1e-12)
    for q in (np.swapaxes(u, -1, -2) @ u, vh @ np.swapaxes(vh, -1, -2)):
        np.testing.assert_allclose(q, np.broadcast_to(np.eye(q.shape[-1]), q.shape), atol=1e-12)


def symmetric_matrices(shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[Any]:
    """Random ones, with large and tiny numbers, with equal eigenvalues, and with rows of different sizes."""
    a = RNG.standard_normal(shape)
    graded = a * 10.0 ** RNG.integers(-6, 1, (*shape[:-1], 1))
    sizes = 1, float(np.finfo(dtype).max) ** 0.7, float(np.finfo(dtype).eps) ** 4
    kinds = [*(a * size for size in sizes), np.round(a), graded]
    return [(x + x.swapaxes(-1, -2)).astype(dtype) for x in kinds]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("lower", [False, True])
def test_eigenvectors(n: int, dtype: str, lower: bool) -> None:
    decompose = wengert.jit(lambda x: lax.linalg.eigh(x, lower=lower, symmetrize_input=False))
    bound = 20 * np.finfo(dtype).eps * max(n, 2)
    for batch in ((), (33,)):
        for a in symmetric_matrices((*batch, n, n), np.dtype(dtype)):
            part = np.tril(a) if lower else np.triu(a)  # the rest is not read
            v, w = (np.asarray(x, np.float64) for x in decompose(part))
            scale = np.abs(a).max((-1, -2), keepdims=True).astype(np.float64) + 1e-300
            wanted = np.linalg.eigvalsh(a.astype(np.float64))
            assert np.max(np.abs(w - wanted) / scale[..., 0]) < bound
            assert np.max(np.abs(a @ v - v * w[..., None, :]) / scale) < bound
            assert np.max(np.abs(v.swapaxes(-1, -2) @ v - np.eye(n))) < bound


def test_products_of_reflections() -> None:
    for batch, rows, columns, count in (((), 4, 3, 3), ((20,), 6, 6, 4), ((2,), 40, 30, 30), ((), 50, 9, 5)):
        a = matrices(*batch, rows, columns, dtype=np.float64)
        taus = RNG.uniform(0, 1, (*batch, count))
        assert_as_impl(lax.linalg.householder_product, a / rows, taus)
        assert calls(lax.linalg.householder_product, a, taus) == ["fortran"] * (rows > LARGEST)


def test_permutations() -> None:
    for batch, n, size in (((), 4, 4), ((3,), 5, 9), ((2, 3), 40, 40)):
        swaps = RNG.integers(0, size, (*batch, n)).astype(np.int32)
        assert_as_impl(lambda p, s=size: linalg_lu.lu_pivots_to_permutation(p, s), swaps)
        order = np.argsort(RNG.standard_normal((*batch, n)), -1).astype(np.int32)
        assert_as_impl(linalg_lu.inverse_permutations, order)


def adjoint(x: Any) -> Any:
    return np.asarray(x).conj().swapaxes(-1, -2)


@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 40, 40)])
def test_eigenvectors_of_any_matrix(shape: tuple[int, ...], dtype: str) -> None:
    a = matrices(*shape, dtype=dtype)
    w, left, right = (np.asarray(x) for x in wengert.jit(lax.linalg.eig)(a))
    bound = 50 * np.finfo(dtype).eps * shape[-1]
    assert np.abs(a @ right - w[..., None, :] * right).max() < bound * np.abs(a).max()
    assert np.abs(adjoint(left) @ a - w[..., :, None] * adjoint(left)).max() < bound * np.abs(a).max()
    for v in (left, right):
        np.testing.assert_allclose(np.linalg.norm(v, axis=-2), 1, rtol=bound)
    (alone,) = wengert.jit(
        lambda a: lax.linalg.eig(a, compute_left_eigenvectors=False, compute_right_eigenvectors=False)
    )(a)
    np.testing.assert_allclose(
        np.sort_complex(np.round(alone, 2)), np.sort_complex(np.round(w, 2)), atol=0.02
    )


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("shape", [(4, 3), (3, 30, 40)])
def test_complex_singular_values_and_hermitian_eigenvalues(shape: tuple[int, ...], dtype: str) -> None:
    a = matrices(*shape, dtype=dtype)
    bound = 50 * np.finfo(dtype).eps * max(shape)
    u, s, vh = (np.asarray(x) for x in wengert.jit(lax.linalg.svd)(a))
    k = s.shape[-1]
    assert np.abs(u[..., :k] * s[..., None, :] @ vh[..., :k, :] - a).max() < bound * np.abs(a).max()
    for q in (u, vh):
        assert np.abs(q @ adjoint(q) - np.eye(q.shape[-1])).max() < bound
    square = definite(*shape[:-1], shape[-2], dtype=dtype)
    v, w = (np.asarray(x) for x in wengert.jit(lax.linalg.eigh)(square))
    assert np.abs(square @ v - v * w[..., None, :]).max() < bound * np.abs(square).max()


def everything(n: int, batch: tuple[int, ...], dtype: str) -> dict[str, tuple[Any, ...]]:
    """A function of each primitive, and its operands."""
    a, tall, wide = (
        matrices(*batch, *shape, dtype=dtype) for shape in ((n, n), (n, n // 2 + 1), (n // 2 + 1, n))
    )
    near = (a / n**0.5 + 2 * np.eye(n)).astype(dtype)
    positive, taus = definite(*batch, n, n, dtype=dtype), (tall[..., 0, :] / 4).astype(dtype)
    lines = [matrices(*batch, n, dtype=dtype) for _ in range(3)]
    found: dict[str, tuple[Any, ...]] = {
        "qr": (lambda x: lax.linalg.qr(x, pivoting=True), tall),
        "qr, wide": (lambda x: lax.linalg.qr(x, pivoting=True, full_matrices=False), wide),
        "geqrf": (linalg_qr.geqrf, tall),
        "geqrf, pivoting": (lambda x: linalg_qr.geqrf(x, pivoting=True), wide),
        "householder_product": (lax.linalg.householder_product, tall / n, taus),
        "ormqr": (lambda x, t, c: lax.linalg.ormqr(x, t, c, transpose=True), tall / n, taus, tall),
        "ormqr, right": (lambda x, t, c: lax.linalg.ormqr(x, t, c, left=False), tall / n, taus, wide),
        "hessenberg": (lax.linalg.hessenberg, a),
        "tridiagonal": (lambda x: lax.linalg.tridiagonal(x, lower=False), positive / n),
        "schur": (lax.linalg.schur, near),
        "schur, form": (lambda x: lax.linalg.schur(x, compute_schur_vectors=False), near),
        "tridiagonal_solve": (lax.linalg.tridiagonal_solve, lines[0], lines[1] + 4, lines[2], tall),
        "sylvester": (linalg_functions.solve_sylvester, near, near[..., :2, :2], tall[..., :2]),
        "expm": (linalg_functions.expm, a),
        "expm_frechet": (linalg_functions.expm_frechet, near, a),
        "sqrtm": (linalg_functions.sqrtm, positive),
        "qdwh": (lax.linalg.qdwh, tall),
        "adjugate": (linalg_lu.adjugate_p.bind, near / 2),
        "adjugate_change": (linalg_lu.adjugate_change_p.bind, near / 2, a),
    }
    if np.dtype(dtype).kind == "f":
        upper = np.linalg.cholesky(positive).swapaxes(-1, -2).astype(dtype)
        found["cholesky_update"] = (lax.linalg.cholesky_update, upper, lines[0])
        product = lambda a, c: lax.linalg.symmetric_product(a, c, alpha=2, beta=3)  # noqa: E731
        found["symmetric_product"] = (product, tall, positive)
    return found


NAMES = list(everything(2, (), "float32"))


@pytest.mark.parametrize(
    ("n", "batch", "dtype"), [(3, (2,), "float32"), (LARGEST + 2, (), "complex64")], ids=["small", "large"]
)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_a_call_of_python(name: str, n: int, batch: tuple[int, ...], dtype: str) -> None:
    found = everything(n, batch, dtype).get(name)
    if found is not None:
        f, *args = found
        assert_as_impl(f, *args)
        assert "host" not in calls(f, *args)


# ------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize("n", [3, 7, 40])
def test_matrices_that_fail_are_nan_and_spare_the_others(n: int) -> None:
    good = definite(4, n, n, dtype=np.float64)
    singular, indefinite, unknown = good.copy(), good.copy(), good.copy()
    singular[1, :, 0] = 0
    indefinite[1, 0, 0] = -1
    unknown[2, 1, 0] = unknown[2, 0, 1] = np.nan
    b = matrices(4, n, 2, dtype=np.float64)
    assert_as_impl(linalg_lu.solve, singular, b)
    assert_as_impl(linalg_lu.det, singular)
    assert_as_impl(linalg_lu.lu, singular)
    assert_as_impl(cholesky, indefinite)
    stacks = [unknown, np.concatenate([unknown] * 5)]  # few, and many
    for stack in stacks:
        for f in (lax.linalg.eigh, lambda a: lax.linalg.svd(a, full_matrices=False)):
            for part in _flat(wengert.jit(f)(stack)):
                assert np.isnan(part[2]).all()
                assert np.isfinite(part[[0, 1, 3]]).all()
    found = np.asarray(wengert.jit(linalg_lu.solve)(unknown, b))
    assert np.isnan(found[2]).any()
    assert np.isfinite(found[[0, 1, 3]]).all()


@pytest.mark.parametrize(
    ("name", "dtype"), [*((n, "float32") for n in NAMES), ("schur", "complex64"), ("qr", "complex64")]
)
def test_what_is_not_finite_spares_the_others(name: str, dtype: str) -> None:
    """Compiled code gives NaN for those matrices for which `impl` does: one that has NaN, and one of zeros."""
    f, *args = everything(4, (3,), dtype)[name]
    args = [np.array(x) for x in args]
    args[0][1] = np.nan
    args[0][2] = 0
    for x, y in zip(_flat(wengert.jit(f)(*args)), _flat(f(*args)), strict=True):
        fine, wanted = np.isfinite(x), np.isfinite(y)
        np.testing.assert_array_equal(fine[[0, 2]], wanted[[0, 2]])
        assert fine[1].all() == wanted[1].all()
        assert fine[0].all()


@pytest.mark.parametrize("scale", [1e-28, 1e-20, 1e20, 1e37])
def test_reflections_of_very_small_and_large_numbers(scale: float) -> None:
    a = (matrices(20, 4, 3) * np.float32(scale)).astype(np.float32)
    q, r = wengert.jit(lambda a: lax.linalg.qr(a, full_matrices=False))(a)
    np.testing.assert_allclose(np.swapaxes(q, 1, 2) @ q, np.broadcast_to(np.eye(3), (20, 3, 3)), atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(q, np.float64) @ np.asarray(r, np.float64) / scale, a / np.float64(scale), atol=1e-5
    )


def test_the_first_of_equal_pivots_is_taken() -> None:
    a = np.array([[1, 2, 0], [-1, 1, 5], [1, 0, 3]], np.float32)
    stack = np.stack([a[list(p)] for p in ((0, 1, 2), (2, 1, 0), (1, 2, 0))] * 7)
    assert_as_impl(linalg_lu.lu, stack)
    assert_as_impl(linalg_lu.lu, np.zeros((20, 3, 3), np.float32))


# ------------------------------------------------------------------------------------------------- in programs


def test_operands_are_read_where_they_are() -> None:
    """Transposes, sums and slices of the matrices are computed where the kernel reads them."""
    a, b = matrices(5, 5, 20), matrices(7, 5, 20)

    def f(a: Any, b: Any) -> Any:
        m = jnp.transpose(a, (2, 0, 1)) + 9 * jnp.eye(5, dtype=a.dtype)
        return linalg_lu.solve(m, jnp.transpose(b, (2, 1, 0))[:, :, 1:4])

    assert_as_impl(f, a, b)
    program = program_of(f, a, b)
    assert all(t.size <= 25 for t in program.temps)  # one matrix, not a stack
    assert calls(f, a, b) == []


def test_scans_vmaps_and_gradients() -> None:
    a, b = definite(12, 4, 4, dtype=np.float64), matrices(12, 4, dtype=np.float64)

    def filtered(a: Any, b: Any) -> Any:
        def step(p: Any, xs: Any) -> Any:
            a, b = xs
            factor = jnp.linalg.cholesky(a + p)
            gain = lax.linalg.triangular_solve(factor, p, left_side=True, lower=True)
            p = p - gain.T @ gain + 0.1 * jnp.eye(4)
            return p, jnp.linalg.solve(p, b)

        return lax.scan(step, jnp.eye(4, dtype=a.dtype), (a, b))[1]

    assert_as_impl(filtered, a, b)
    assert calls(filtered, a, b).count("host") == 0
    assert_as_impl(wengert.vmap(jnp.linalg.solve), a, b)
    assert_as_impl(wengert.vmap(jnp.linalg.solve, in_axes=(2, 1)), a.transpose(1, 2, 0).copy(), b.T.copy())
    assert_as_impl(wengert.vmap(jnp.linalg.solve, in_axes=(None, 0)), a[0], b)
    for f in (
        lambda a: jnp.sum(jnp.linalg.slogdet(a)[1]),
        lambda a: jnp.sum(jnp.linalg.inv(a) ** 2),
        lambda a: jnp.sum(jnp.linalg.cholesky(a) ** 3),
        lambda a: jnp.sum(jnp.linalg.qr(a)[1] ** 2),
        lambda a: jnp.sum(filtered(a, b)),
    ):
        gradient = wengert.grad(f)
        assert_as_impl(gradient, a)
        assert calls(gradient, a).count("host") == 0


def test_singular_vectors_that_nobody_wants_are_not_computed() -> None:
    def values(a: Any) -> Any:
        return jnp.linalg.svd(a)[1]

    a = matrices(40, 30)
    routine = next(s for s in statements(program_of(values, a).body) if isinstance(s, Call))
    assert repr(routine.payload).startswith("sgesdd (N, ")
    assert_as_impl(values, a)
    assert_as_impl(wengert.grad(lambda a: jnp.sum(jnp.linalg.svd(a, full_matrices=False)[1] ** 3)), a)


def test_matrices_without_elements() -> None:
    for shape in ((0, 3, 3), (2, 0, 0)):
        empty = np.ones(shape, np.float32)
        assert_as_impl(linalg_lu.solve, empty, empty)
        assert_as_impl(linalg_lu.det, empty)
    for shape in ((4, 0), (0, 4)):
        empty = np.ones(shape, np.complex64)
        for f in (
            linalg_lu.lu,
            lax.linalg.svd,
            lambda a: lax.linalg.qr(a, pivoting=True),
            lambda a: linalg_qr.geqrf(a, pivoting=True),
        ):
            assert_as_impl(f, empty)
            assert calls(f, empty) == []
    a, c = matrices(4, 3), matrices(4, 2)
    assert_as_impl(lax.linalg.householder_product, a, a[0, :0])
    assert_as_impl(lax.linalg.ormqr, a, a[0, :0], c)
    for n in (1, 2):  # diagonals with next to nothing beside them
        d = matrices(3, n) + 4
        assert_as_impl(linalg_eigen.eigh_tridiagonal, d, d[:, 1:])
        assert_as_impl(lax.linalg.tridiagonal_solve, d, d, d, matrices(3, n, 2))


# ------------------------------------------------------------------------------------------------- the loop program


def test_batches_run_in_lanes_and_by_all_threads() -> None:
    program = program_of(linalg_lu.solve, matrices(1000, 16, 16), matrices(1000, 16, 1))
    (loop,) = program.body
    assert isinstance(loop, For)
    assert loop.batch
    assert loop.parallel
    assert "parallel batch for b0 in 0:1000" in format_program(program)
    assert sum(isinstance(s, For) and s.first is not None for s in statements(program.body)) > 5


def test_code_stays_small() -> None:
    """Loops of larger matrices are not written out."""
    for n in (8, 16, LARGEST):
        program = program_of(linalg_lu.solve, matrices(1000, n, n), matrices(1000, n, 1))
        assert sum(1 for _ in statements(program.body)) < 70


@pytest.mark.parametrize("n", [3, 5])
def test_kernels_mean_the_same_to_the_interpreter(n: int) -> None:
    many = definite(4, n, n, dtype=np.float64)
    right = matrices(4, n, 2, dtype=np.float64)
    stack = np.concatenate([many[:, :3, :3]] * 4)
    for f, *args in (
        (linalg_lu.solve, many, right),
        (linalg_lu.lu, many),
        (linalg_lu.det, many),
        (cholesky, many),
        (lax.linalg.qr, many[:, :, : n - 1]),
        (lax.linalg.eigh, stack),
        (lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True), many, right),
    ):
        program = program_of(f, *args)
        verify(program)
        found = interpret(program, args)
        for x, y in zip(found, _flat(wengert.jit(f)(*args)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)


def test_lapack_means_the_same_to_the_interpreter() -> None:
    n = LARGEST + 1
    a, b = definite(2, n, n, dtype=np.float64), matrices(2, n, 3, dtype=np.float64)
    for f, *args in (
        (linalg_lu.solve, a, b),
        (linalg_lu.lu, a),
        (cholesky, a),
        (lax.linalg.qr, a[:, :, :5]),
        (lax.linalg.eigh, a),
        (lambda a: lax.linalg.svd(a, full_matrices=False), a),
        (lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True), a, b),
    ):
        program = program_of(f, *args)
        verify(program)
        found = interpret(program, args)
        for x, y in zip(found, _flat(wengert.jit(f)(*args)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-11)


ALONE = [n for n in NAMES if not n.startswith(("exp", "adj", "symm", "qdwh", "sylv"))]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", ALONE)
def test_routines_mean_the_same_to_the_interpreter(name: str, dtype: str) -> None:
    found = everything(3, (2,), dtype).get(name)
    if found is not None:
        f, *args = found
        program = program_of(f, *args)
        verify(program)
        for x, y in zip(interpret(program, args), _flat(wengert.jit(f)(*args)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-10)


def test_complex_kernels_mean_the_same_to_the_interpreter() -> None:
    a, b = definite(3, 3, 3, dtype=np.complex128), matrices(3, 3, 2, dtype=np.complex128)
    for f, *args in ((linalg_lu.solve, a, b), (linalg_lu.lu, a), (linalg_lu.det, a), (cholesky, a)):
        program = program_of(f, *args)
        verify(program)
        for x, y in zip(interpret(program, args), _flat(wengert.jit(f)(*args)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)
