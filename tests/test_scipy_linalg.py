"""scipy.linalg against SciPy: eager, compiled, stacked; derivatives; what has no result; errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg

import wengert
import wengert.numpy as jnp
import wengert.scipy.linalg as la
from wengert import jit, vmap
from wengert.test_util import check_grads

RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def _double_precision() -> Any:
    with wengert.enable_x64(True):
        yield


def _matrix(m: int, n: int, dtype: str = "float64") -> Any:
    """A matrix with distinct singular values between 1 and 3, so that its derivatives are moderate."""
    values = RNG.normal(size=(2, m, n))
    whole = values[0] + 1j * values[1] if dtype.startswith("complex") else values[0]
    u, _, vh = np.linalg.svd(whole, full_matrices=False)
    return (u * np.linspace(1, 3, min(m, n))) @ vh


TYPES = ("float64", "complex128")
MATRICES = {d: {s: _matrix(*s, d) for s in ((4, 4), (4, 3), (3, 4), (3, 3))} for d in TYPES}
DEFINITE = {d: m[4, 4] @ m[4, 4].conj().T + np.eye(4) for d, m in MATRICES.items()}


def _flat(x: Any) -> list[Any]:
    return [np.asarray(part) for part in x] if isinstance(x, tuple | list) else [np.asarray(x)]


def _assert_same(found: Any, expected: Any, tolerance: float = 1e-9) -> None:
    for a, b in zip(_flat(found), _flat(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def _everywhere(function: Any, reference: Any, *args: Any) -> None:
    """Eager, compiled, mapped and, of stacks, one by one."""
    expected = reference(*args)
    _assert_same(function(*args), expected)
    _assert_same(jit(function)(*args), expected)
    stacks = [np.stack([x, 2 * x, x - 0.5]) for x in args]
    each = [_flat(reference(*one)) for one in zip(*stacks, strict=True)]
    _assert_same(vmap(function)(*stacks), [np.stack(parts) for parts in zip(*each, strict=True)])


# --------------------------------------------------------------------------------------------- decompositions

TALL_AND_WIDE: dict[str, tuple[Any, Any]] = {
    "lu": (la.lu, scipy.linalg.lu),
    "lu, permuted": (lambda a: la.lu(a, permute_l=True), lambda a: scipy.linalg.lu(a, permute_l=True)),
    "lu_factor": (la.lu_factor, scipy.linalg.lu_factor),
    "svd": (lambda a: la.svd(a, compute_uv=False), scipy.linalg.svdvals),
    **{
        f"qr, {mode}, pivoting {pivoting}": (
            lambda a, m=mode, p=pivoting: la.qr(a, mode=m, pivoting=p),
            lambda a, m=mode, p=pivoting: scipy.linalg.qr(a, mode=m, pivoting=p),
        )
        for mode in ("full", "economic", "r")
        for pivoting in (False, True)
    },
    **{
        f"polar, {side}, {method}": (
            lambda a, s=side, m=method: la.polar(a, s, method=m),
            lambda a, s=side: scipy.linalg.polar(a, s),
        )
        for side in ("left", "right")
        for method in ("qdwh", "svd")
    },
}
SQUARE: dict[str, tuple[Any, Any]] = {
    "det": (la.det, scipy.linalg.det),
    "inv": (la.inv, scipy.linalg.inv),
    "hessenberg": (
        lambda a: la.hessenberg(a, calc_q=True),
        lambda a: scipy.linalg.hessenberg(a, calc_q=True),
    ),
    "schur": (la.schur, scipy.linalg.schur),
    "schur, complex": (lambda a: la.schur(a, "complex"), lambda a: scipy.linalg.schur(a, "complex")),
    "rsf2csf": (
        lambda a: la.rsf2csf(*la.schur(a)),
        lambda a: scipy.linalg.rsf2csf(*scipy.linalg.schur(a)),
    ),
    "expm": (la.expm, scipy.linalg.expm),
    "expm, triangular": (
        lambda a: la.expm(a, upper_triangular=True),
        lambda a: scipy.linalg.expm(np.triu(a)),
    ),
    "expm_frechet": (lambda a: la.expm_frechet(a, a @ a), lambda a: scipy.linalg.expm_frechet(a, a @ a)),
    "sqrtm": (lambda a: la.sqrtm(a @ a), lambda a: scipy.linalg.sqrtm(a @ a)),
    "funm": (lambda a: la.funm(a, jnp.cos), lambda a: scipy.linalg.cosm(a)),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", TALL_AND_WIDE)
def test_of_any_shape(name: str, dtype: str) -> None:
    for shape in ((4, 3), (3, 4)):
        _everywhere(*TALL_AND_WIDE[name], MATRICES[dtype][shape])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", SQUARE)
def test_of_square_matrices(name: str, dtype: str) -> None:
    _everywhere(*SQUARE[name], MATRICES[dtype][4, 4])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("conjugate", [False, True])
@pytest.mark.parametrize("pivoting", [False, True])
def test_qr_multiply(dtype: str, conjugate: bool, pivoting: bool) -> None:
    for a in (MATRICES[dtype][4, 3], MATRICES[dtype][3, 4]):
        for mode, rows in (("left", min(a.shape)), ("right", a.shape[0])):
            c = RNG.normal(size=(rows, 2) if mode == "left" else (2, rows))
            for factor in (c, c[:, 0] if mode == "left" else c[0]):
                args = (a, factor, mode, pivoting, conjugate)
                _assert_same(la.qr_multiply(*args), scipy.linalg.qr_multiply(*args))


@pytest.mark.parametrize("dtype", TYPES)
def test_hermitian_problems(dtype: str) -> None:
    a, b = DEFINITE[dtype], DEFINITE[dtype].T + np.eye(4)
    _assert_same(la.cholesky(a, lower=True), scipy.linalg.cholesky(a, lower=True))
    _assert_same(la.cholesky(a), scipy.linalg.cholesky(a))
    _assert_same(la.eigh(a, eigvals_only=True), scipy.linalg.eigvalsh(a))
    for kind in (1, 2, 3):
        w, v = la.eigh(a, b, type=kind)
        _assert_same(la.eigh(a, b, type=kind, eigvals_only=True), w)
        expected = scipy.linalg.eigh(a, b, type=kind)
        _assert_same([w, jnp.abs(v)], [expected[0], np.abs(expected[1])])
        left = {1: a @ v, 2: a @ b @ v, 3: b @ a @ v}[kind]
        _assert_same(left, (b @ v if kind == 1 else v) * w)


@pytest.mark.parametrize("dtype", TYPES)
def test_eigh_tridiagonal(dtype: str) -> None:
    d, e = RNG.normal(size=5), RNG.normal(size=4)
    e = e + 1j * RNG.normal(size=4) if dtype == "complex128" else e
    matrix = np.diag(d) + np.diag(e, 1) + np.diag(e.conj(), -1)
    expected = np.linalg.eigvalsh(matrix)
    w, v = la.eigh_tridiagonal(d.astype(dtype), e)
    _assert_same(w, expected)
    _assert_same(matrix @ v, v * w)
    _assert_same(jit(la.eigh_tridiagonal)(d.astype(dtype), e)[0], expected)
    bounds = {"select": "i", "select_range": (1, 2), "eigvals_only": True}
    _assert_same(la.eigh_tridiagonal(d.astype(dtype), e, **bounds), expected[1:3])
    bounds = {"select": "v", "select_range": (-1, 1), "eigvals_only": True}
    within = expected[(expected > -1) & (expected <= 1)]
    _assert_same([la.eigh_tridiagonal(d.astype(dtype), e, **bounds)], [within])


# ---------------------------------------------------------------------------------------------------- systems


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("columns", [(), (2,)])
def test_systems(dtype: str, columns: tuple[int, ...]) -> None:
    a, h, b = MATRICES[dtype][4, 4], DEFINITE[dtype], RNG.normal(size=(4, *columns))
    _everywhere(la.solve, scipy.linalg.solve, a, b)
    for lower in (False, True):
        _assert_same(la.cho_solve(la.cho_factor(h, lower), b), np.linalg.solve(h, b))
        _assert_same(la.solve(h, b, lower=lower, assume_a="pos"), np.linalg.solve(h, b))
        for trans, word in enumerate("NTC"):
            expected = scipy.linalg.solve_triangular(a, b, trans, lower)
            _assert_same(la.solve_triangular(a, b, word, lower), expected)
            unit = {"unit_diagonal": True, "lower": lower}
            _assert_same(
                la.solve_triangular(a, b, trans, **unit), scipy.linalg.solve_triangular(a, b, trans, **unit)
            )
    for trans in (0, 1, 2):
        expected = scipy.linalg.lu_solve(scipy.linalg.lu_factor(a), b, trans)
        _assert_same(la.lu_solve(la.lu_factor(a), b, trans), expected)


def test_systems_of_stacks_and_vectors() -> None:
    a = np.stack([MATRICES["float64"][4, 4], DEFINITE["float64"]])
    b = RNG.normal(size=(2, 4))
    expected = np.linalg.solve(a, b[..., None])[..., 0]
    with pytest.warns(FutureWarning, match=r"lu_solve\(..., b\[..., None\]\).squeeze\(-1\)"):
        _assert_same(la.lu_solve(la.lu_factor(a), b), expected)
    # one matrix, many right hand sides
    _assert_same(
        la.lu_solve(la.lu_factor(a[0]), b.T[None].repeat(3, 0)), np.linalg.solve(a[0], b.T)[None].repeat(3, 0)
    )


@pytest.mark.parametrize("dtype", TYPES)
def test_solve_sylvester(dtype: str) -> None:
    a, b, c = DEFINITE[dtype], MATRICES[dtype][3, 3] / 4, MATRICES[dtype][4, 3]
    _everywhere(la.solve_sylvester, scipy.linalg.solve_sylvester, a, b, c)
    _assert_same(la.solve_sylvester(a, b, c, method="eigen"), scipy.linalg.solve_sylvester(a, b, c))
    assert np.isnan(la.solve_sylvester(jnp.eye(2), -jnp.eye(2), jnp.eye(2))).all()


# ------------------------------------------------------------------------------------------- special matrices


@pytest.mark.parametrize("n", [2, 3, 6])
def test_matrices_of_vectors(n: int) -> None:
    a, b = RNG.normal(size=n), RNG.normal(size=n + 1)
    for name in ("circulant", "companion", "fiedler", "fiedler_companion", "hankel", "toeplitz"):
        _everywhere(getattr(la, name), getattr(scipy.linalg, name), a)
    for name in ("hankel", "toeplitz"):
        _everywhere(getattr(la, name), getattr(scipy.linalg, name), a, b)
    _assert_same(la.toeplitz(a + 1j), scipy.linalg.toeplitz(a + 1j))
    _everywhere(la.leslie, scipy.linalg.leslie, a, b[: n - 1])
    for mode in ("full", "same", "valid"):
        for m in (1, 4):
            _everywhere(
                lambda a, k=m, how=mode: la.convolution_matrix(a, k, how),
                lambda a, k=m, how=mode: scipy.linalg.convolution_matrix(a, k, how),
                a,
            )


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_matrices_of_numbers(n: int) -> None:
    for kind in ("symmetric", "lower", "upper"):
        _assert_same(la.pascal(n, kind), scipy.linalg.pascal(n, kind))
        _assert_same(la.invpascal(n, kind), scipy.linalg.invpascal(n, kind))
    for scale in (None, "sqrtn", "n"):
        _assert_same(la.dft(n, scale), scipy.linalg.dft(n, scale), 1e-13)
    _assert_same(la.hilbert(n), scipy.linalg.hilbert(n))
    _assert_same(la.invhilbert(n), scipy.linalg.invhilbert(n))
    for full in (False, True):
        _assert_same(la.helmert(n, full), scipy.linalg.helmert(n, full))
    size = 1 << (n.bit_length() - 1)
    _assert_same(la.hadamard(size), scipy.linalg.hadamard(size))


def test_block_diag() -> None:
    blocks = (1, [2, 3], np.ones((2, 1)), np.zeros((0, 2)))
    _assert_same(la.block_diag(*blocks), scipy.linalg.block_diag(*blocks))
    assert la.block_diag().shape == (1, 0)


# ------------------------------------------------------------------------------------------------ derivatives


def _hermitian(a: Any) -> Any:
    return a @ jnp.conj(a.mT) + jnp.eye(a.shape[-1])


SMOOTH: dict[str, Any] = {
    "cholesky": lambda a: la.cholesky(_hermitian(a)),
    "eigenvalues": lambda a: la.eigh(_hermitian(a), _hermitian(a.mT), eigvals_only=True),
    "eigenvectors": lambda a: jnp.abs(la.eigh(_hermitian(a))[1]),
    "lu": la.lu,
    "lu_solve": lambda a: la.lu_solve(la.lu_factor(a), a[:, 0], 2),
    "solve, definite": lambda a: la.solve(_hermitian(a), a, assume_a="pos"),
    "solve_triangular": lambda a: la.solve_triangular(a + 3 * jnp.eye(4), a, "C"),
    "qr, pivoting": lambda a: la.qr(a, pivoting=True)[:2],
    "qr, complete": lambda a: la.qr(a[:, :2]),
    "qr_multiply": lambda a: la.qr_multiply(a[:, :3], a, "right"),
    "polar, tall": lambda a: la.polar(a[:, :3]),
    "polar, wide": lambda a: la.polar(a[:3]),
    "expm": la.expm,
    "expm_frechet": lambda a: la.expm_frechet(a, a @ a, compute_expm=False),
    "sqrtm": lambda a: la.sqrtm(_hermitian(a)),
    "funm": lambda a: la.funm(a, jnp.exp),
    "solve_sylvester": lambda a: la.solve_sylvester(_hermitian(a), _hermitian(a.mT), a),
    "det": la.det,
    "companion": lambda a: la.companion(a[0]),
    "toeplitz": lambda a: la.toeplitz(a[0], a[1]),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name: str, dtype: str) -> None:
    check_grads(SMOOTH[name], (jnp.asarray(MATRICES[dtype][4, 4]),), order=2, rtol=1e-4, atol=1e-4)


def test_derivatives_where_values_are_equal() -> None:
    """Functions of matrices are smooth there, though eigenvectors aren't."""
    eye = jnp.eye(3)
    for function in (la.expm, la.sqrtm, la.polar, lambda a: la.funm(a, jnp.sin)):
        check_grads(function, (eye,), order=1)
    for function in (la.expm, la.sqrtm, la.polar):
        check_grads(function, (2 * eye,), order=2, rtol=1e-4)
    check_grads(la.expm, (jnp.zeros((3, 3)),), order=3, rtol=1e-3, atol=1e-3)


def test_derivatives_that_there_are_not() -> None:
    a = jnp.asarray(MATRICES["float64"][4, 4])
    with pytest.raises(NotImplementedError, match=r"'schur' not implemented: .* eig, scipy.linalg.sqrtm"):
        wengert.grad(lambda a: la.schur(a)[0].sum())(a)
    with pytest.raises(NotImplementedError, match=r"'hessenberg' not implemented: .* eig, solve or slogdet"):
        wengert.grad(lambda a: la.hessenberg(a).sum())(a)
    with pytest.raises(NotImplementedError, match=r"full matrices: .*Pass full_matrices=False"):
        wengert.grad(lambda a: la.svd(a[:3])[2].sum())(a)


# --------------------------------------------------------------------------------------- no results, and none

SQUARE_ONES = ("cholesky", "det", "eigh", "expm", "hessenberg", "inv", "schur", "sqrtm")
ANY = (*SQUARE_ONES, "lu", "lu_factor", "polar", "qr", "svd")


@pytest.mark.parametrize("name", ANY)
def test_what_is_not_finite_gives_nan_and_spares_the_others(name: str) -> None:
    good = DEFINITE["float64"].astype(np.float32)
    bad, worse = good.copy(), good.copy()
    bad[1, 2] = bad[2, 1] = np.nan
    worse[1, 2] = worse[2, 1] = np.inf
    function = getattr(la, name)
    for run in (function, jit(function)):
        for part, alone in zip(_flat(run(np.stack([good, bad, worse]))), _flat(function(good)), strict=True):
            np.testing.assert_allclose(part[0], alone, rtol=1e-5, atol=1e-5)
    assert not all(np.isfinite(part).all() for part in _flat(function(bad)))


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize("scale", [0.0, 1e-310, 1e160, 1e305])
def test_extreme_values_do_no_harm(name: str, scale: float) -> None:
    for a in (MATRICES["float64"][4, 4], np.ones((4, 4)), np.eye(4, k=1)):
        for part in _flat(jit(getattr(la, name))(scale * a)):
            assert part.size
    la.eigh_tridiagonal(scale * jnp.ones(3), scale * jnp.ones(2))
    la.solve(scale * jnp.ones((2, 2)), jnp.ones(2))
    la.funm(scale * jnp.ones((2, 2)), jnp.sqrt)


@pytest.mark.parametrize("name", ANY)
def test_empty_matrices(name: str) -> None:
    function = getattr(la, name)
    for shape in ((0, 0), (2, 0, 0), (0, 3, 3)):
        found = _flat(function(jnp.zeros(shape)))
        assert all(part.shape[: len(shape) - 2] == shape[:-2] for part in found)
        assert all(part.shape == q.shape for part, q in zip(found, _flat(jit(function)(jnp.zeros(shape)))))
    if name == "det":
        assert (la.det(jnp.zeros((2, 0, 0))) == 1).all()
    if name in ("lu", "polar", "qr", "svd"):
        for shape in ((3, 0), (0, 3)):
            assert _flat(function(jnp.zeros(shape)))


@pytest.mark.parametrize("name", ANY)
def test_dtypes(name: str) -> None:
    function = getattr(la, name)
    for dtype, expected in (("float32", "float32"), ("complex64", "complex64"), ("int32", "float32")):
        first = _flat(function(jnp.eye(3, dtype=dtype)))[-1].dtype
        wanted = {"float32": {"float32", "complex64"} if name == "sqrtm" else {"float32"}}
        assert str(first) in wanted.get(expected, {"complex64", "float32", "int32"}) | (
            {"int32"} if name == "lu_factor" else set()
        )
    if name != "det":
        with pytest.raises(TypeError, match=r"does not accept dtype bfloat16 .*; convert it with astype"):
            function(jnp.eye(3, dtype="bfloat16"))


def test_max_squarings() -> None:
    assert np.isnan(la.expm(100 * jnp.eye(2), max_squarings=3)).all()
    assert np.isfinite(la.expm(100 * jnp.eye(2), max_squarings=4)).all()


# ----------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", SQUARE_ONES)
def test_matrices_that_are_not_square(name: str) -> None:
    of_vectors = TypeError if name in ("hessenberg", "schur", "sqrtm") else ValueError
    for shape, kind in (((2, 3), ValueError), ((3,), of_vectors)):
        message = rf"{name}.*must have shape \[..., n, n\].*got .*{shape[0]}"
        with pytest.raises(kind, match=message):
            getattr(la, name)(jnp.ones(shape))


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: la.solve(jnp.eye(3), jnp.ones(2)), ValueError, r"b must have 3 rows.*\(2,\)"),
    (lambda: la.solve(jnp.eye(3), jnp.ones(3), assume_a="x"), ValueError, "assume_a must be one of"),
    (
        lambda: la.solve_triangular(jnp.eye(3), jnp.ones(2)),
        ValueError,
        r"\(3, 3\) and a right hand side of shape \(2,\)",
    ),
    (lambda: la.solve_triangular(jnp.eye(3), jnp.ones(3), "X"), ValueError, "trans must be one of"),
    (
        lambda: la.lu_solve((jnp.eye(3), jnp.arange(2)), jnp.ones(3)),
        ValueError,
        r"need 3 swaps, got pivots of shape \(2,\)",
    ),
    (
        lambda: la.cho_solve((jnp.ones((2, 3, 3)), True), jnp.ones((4, 3, 1))),
        ValueError,
        r"cho_solve: the batch axes of \(2, 3, 3\) and \(4, 3, 1\)",
    ),
    (
        lambda: la.solve_sylvester(jnp.eye(3), jnp.eye(2), jnp.ones((2, 2))),
        ValueError,
        "C must have as many rows as A",
    ),
    (lambda: la.qr(jnp.eye(3), mode="x"), ValueError, r"mode must be one of \['full', 'r', 'economic'\]"),
    (lambda: la.qr_multiply(jnp.eye(3), jnp.ones(2)), ValueError, "c must have 3 columns, got 2"),
    (lambda: la.eigh(jnp.eye(3), type=4), ValueError, "type must be one of"),
    (lambda: la.eigh(jnp.eye(3), eigvals=(0, 1)), ValueError, "subset_by_index"),  # type: ignore[arg-type]
    (lambda: la.eigh_tridiagonal(jnp.ones(3), jnp.ones(3)), TypeError, r"got \(3,\) and \(3,\)"),
    (lambda: la.eigh_tridiagonal(jnp.ones(3), jnp.ones(2, int)), TypeError, "must have same dtype"),
    (
        lambda: la.eigh_tridiagonal(jnp.ones(3), jnp.ones(2), select="i"),
        ValueError,
        "select_range must be specified",
    ),
    (lambda: la.block_diag(jnp.ones((1, 1, 1))), ValueError, "at most 2 dimensions, got shape"),
    (lambda: la.expm_frechet(jnp.eye(3), jnp.eye(2)), ValueError, r"A.shape=\(3, 3\) E.shape=\(2, 2\)"),
    (lambda: la.funm(jnp.ones((2, 3, 3)), jnp.exp), ValueError, "use vmap"),
    (lambda: la.polar(jnp.eye(3), "up"), ValueError, r"side must be one of \['right', 'left'\], got 'up'"),
    (lambda: la.schur(jnp.eye(3), "x"), ValueError, "output must be one of"),
    (lambda: la.hadamard(3), ValueError, "positive power of 2; got 3"),
    (lambda: la.dft(3, dtype="float32"), ValueError, "must be a complex floating-point type"),
    (lambda: la.leslie(jnp.ones(3), jnp.ones(3)), ValueError, "one less than the length of f"),
    (lambda: la.companion(jnp.ones(1)), ValueError, "a must have at least 2 elements"),
    (lambda: la.hankel(jnp.ones(())), ValueError, "hankel: c must be at least 1-dimensional"),
    (lambda: la.convolution_matrix(jnp.ones(3), 0), ValueError, "n must be a positive integer; got 0"),
    (lambda: la.pascal(3, "x"), ValueError, "kind must be one of"),
    (lambda: la.rsf2csf(jnp.eye(3), jnp.eye(2)), ValueError, "Input array shapes must match"),
]


@pytest.mark.parametrize("at", range(len(ERRORS)))
def test_errors(at: int) -> None:
    function, kind, message = ERRORS[at]
    with pytest.raises(kind, match=message) as caught:
        function()
    assert any("test_scipy_linalg.py" in note for note in getattr(caught.value, "__notes__", []))
