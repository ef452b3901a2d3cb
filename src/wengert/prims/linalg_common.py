"""What the primitives on matrices share: operations on stacks of them, checks, and how LAPACK is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from wengert._lazy import lazy_module
from wengert.core.avals import ShapedArray
from wengert.core.primitive import Primitive
from wengert.core.zeros import Zero, is_zero
from wengert.prims.arithmetic import add, conj, div, mul, sub
from wengert.prims.axes import batch_to, broadcast_in_dim, move_axis, reduce_sum, transpose
from wengert.prims.constructors import Shape, constant, dtype_of, shape_of
from wengert.prims.conversion import convert
from wengert.prims.dot import dot_general
from wengert.prims.logic import eq, ge
from wengert.prims.select import select
from wengert.prims.shape import broadcasted_iota, full, reshape
from wengert.prims.slicing import pad, slice

scipy_linalg = lazy_module("scipy.linalg")

# ----------------------------------------------------------------------------------------- matrices in stacks


def swap(x: Any) -> Any:
    """The transposes of the matrices."""
    n = len(shape_of(x))
    return transpose(x, [*range(n - 2), n - 1, n - 2])


def conjugate(x: Any) -> Any:
    """The conjugates; x itself if it is real."""
    return conj(x) if dtype_of(x).kind == "c" else x


def adjoint(x: Any) -> Any:
    """The conjugate transposes of the matrices."""
    return swap(conjugate(x))


def matmul(x: Any, y: Any) -> Any:
    """The products of the matrices."""
    n = len(shape_of(x))
    batch = tuple(range(n - 2))
    return dot_general(x, y, (((n - 1,), (n - 2,)), (batch, batch)))


def _from_diagonal(shape: Shape, offset: int) -> Any:
    """Where column <= row + offset, for matrices of the shape."""
    rows, columns = (broadcasted_iota(np.int32, shape, len(shape) - k) for k in (2, 1))
    return ge(add(rows, np.int32(offset)), columns)


def lower_part(x: Any, offset: int = 0) -> Any:
    """The matrices with zeros above a diagonal."""
    return select(_from_diagonal(shape_of(x), offset), x, constant(x, 0))


def upper_part(x: Any, offset: int = 0) -> Any:
    """The matrices with zeros below a diagonal."""
    return select(_from_diagonal(shape_of(x), offset - 1), constant(x, 0), x)


def identity_like(x: Any) -> Any:
    """Identity matrices, or their first rows or columns, in the shape of x."""
    shape = shape_of(x)
    rows, columns = (broadcasted_iota(np.int32, shape, len(shape) - k) for k in (2, 1))
    return convert(eq(rows, columns), dtype_of(x))


def diagonal(x: Any) -> Any:
    """The diagonals of square matrices."""
    n = len(shape_of(x))
    return reduce_sum(mul(x, identity_like(x)), (n - 1,))


def as_rows(v: Any, rows: int) -> Any:
    """Each vector as all the rows of a matrix."""
    shape = shape_of(v)
    n = len(shape)
    return broadcast_in_dim(v, (*shape[:-1], rows, shape[-1]), [*range(n - 1), n])


def as_columns(v: Any, columns: int) -> Any:
    """Each vector as all the columns of a matrix."""
    shape = shape_of(v)
    return broadcast_in_dim(v, (*shape, columns), range(len(shape)))


def block(x: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """Some rows and columns, from a first to before a last one, of the matrices."""
    batch = shape_of(x)[:-2]
    low = [0] * len(batch)
    return slice(x, [*low, rows[0], columns[0]], [*batch, rows[1], columns[1]])


def padded(x: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """The matrices with rows and columns of zeros before and after them."""
    config = [(0, 0, 0)] * (len(shape_of(x)) - 2) + [(*rows, 0), (*columns, 0)]
    return pad(x, constant(x, 0), config)


def filled(x: Any, value: float) -> Any:
    """The number in every place, in the shape and dtype of x."""
    return full(shape_of(x), value, dtype_of(x))


def inverse_gaps(w: Any, like: Any) -> Any:
    """1 / (w_j - w_i) off the diagonal, 0 on it."""
    n = shape_of(w)[-1]
    eye = identity_like(like)
    gaps = convert(sub(as_rows(w, n), as_columns(w, n)), dtype_of(like))
    return sub(div(constant(like, 1), add(gaps, eye)), eye)


# ----------------------------------------------------------------------------------------------------- checks


def check_matrix_dtype(name: str, x: ShapedArray, position: int = 0, real_only: bool = False) -> None:
    """Raise TypeError unless LAPACK has the operation for the dtype."""
    if x.dtype.kind not in ("f" if real_only else "fc") or x.dtype.itemsize < 4:
        accepted = "float32, float64" if real_only else "float32, complex128, complex64, float64"
        mend = "; convert it with astype" if x.dtype.kind != "c" else ""
        raise TypeError(
            f"{name} does not accept dtype {x.dtype} at position {position}. Accepted dtypes at position "
            f"{position} are subtypes of {accepted}{mend}."
        )


def check_matrices(name: str, x: ShapedArray, square_only: bool = True) -> None:
    """Raise TypeError or ValueError unless x is a stack of matrices that LAPACK takes."""
    check_matrix_dtype(name, x)
    if x.ndim < 2:
        raise (ValueError if square_only else TypeError)(
            f"Argument to {name} must have shape [..., {'n, n' if square_only else 'm, n'}], got shape {x.shape}"
        )
    if square_only and x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"Argument to {name} must have shape [..., n, n], square matrices, got shape {x.shape}."
        )


def check_ranks(name: str, ranks: Sequence[int], avals: Sequence[ShapedArray]) -> None:
    """Raise TypeError unless the operands have these ranks, after batch axes that are the same for all.

    Dtypes have to be the same too.
    """
    for i, (rank, x) in enumerate(zip(ranks, avals)):
        if x.ndim < rank:
            raise TypeError(f"Input {i} to {name} must have rank at least {rank}, but got shape={x.shape}")
    if any(x.dtype != avals[0].dtype for x in avals):
        raise TypeError(f"{name} takes arrays of one dtype, got {', '.join(str(x.dtype) for x in avals)}")
    batches = [x.shape[: x.ndim - rank] for rank, x in zip(ranks, avals)]
    if any(b != batches[0] for b in batches):
        raise TypeError(
            f"All inputs to {name} must have the same batch dimensions, but got {batches}; broadcast them first, "
            "or use vmap"
        )


# ------------------------------------------------------------------------------------------------- primitives


def each(
    fun: Callable[..., Any], ranks: Sequence[int], outs: Iterable[ShapedArray], *stacks: Any
) -> list[Any]:
    """Apply a function of matrices or vectors, which returns several arrays, to each of a stack.

    Where it raises LinAlgError, as routines do that did not converge, the results are NaN.

    Args:
      ranks: of the arguments of the function.
      outs: the types of the results for the whole stack.
    """
    found = [np.empty(a.shape, a.dtype) for a in outs]
    batch = stacks[0].shape[: stacks[0].ndim - ranks[0]]
    for at in np.ndindex(batch):
        try:
            results = fun(*[s[at] for s in stacks])
        except np.linalg.LinAlgError:
            missing = {"f": np.nan, "c": complex(np.nan, np.nan)}
            results = [missing.get(o.dtype.kind, 0) for o in found]
        for o, r in zip(found, results):
            o[at] = r
    return found


def finite(*xs: Any) -> bool:
    """Whether all elements are finite numbers; some routines of LAPACK don't end if one is not."""
    return all(bool(np.isfinite(x).all()) for x in xs)


def not_finite() -> np.linalg.LinAlgError:
    return np.linalg.LinAlgError("the matrix has elements that are not finite")


def avals_of(*xs: Any) -> list[ShapedArray]:
    """The types of NumPy arrays."""
    return [ShapedArray(x.shape, x.dtype) for x in xs]


def no_derivative(prim: Callable[[], Primitive], why: str) -> Callable[..., Any]:
    """The rule of a primitive that has no derivative: NotImplementedError, if an operand has a tangent."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        if not all(is_zero(t) for t in tangents):
            raise NotImplementedError(f"Differentiation rule for '{prim().name}' not implemented: {why}")
        outs = prim().bind(*primals, **params)
        if prim().multiple_results:
            return outs, [Zero.of(o) for o in outs]
        return outs, Zero.of(outs)

    return jvp


def library(
    name: str,
    *,
    abstract_eval: Callable[..., Any],
    impl: Callable[..., Any],
    jvp: Callable[..., Any],
    transpose: Callable[..., Any] | None = None,
    multiple_results: bool = True,
    systems: bool = False,
    native: str = "",
    dce: Callable[..., Any] | None = None,
) -> Primitive:
    """A primitive on stacks of matrices: a batch axis is one more axis of the stack.

    Args:
      native: the method of the compiler's `matrices` that compiles it, for such matrices as it can.
      systems: the last operand is a right hand side. If it alone has the batch axis, this makes more columns of it
        (rows, if there is a parameter left_side that is false), so that no matrix is decomposed many times.
    """

    def batch(axis: Any, args: Any, dims: Any, **params: Any) -> Any:
        if systems and all(d is None for d in dims[:-1]):
            b, at = args[-1], len(shape_of(args[-1])) - (2 if params.get("left_side", True) else 3)
            b = move_axis(b, dims[-1], at)
            shape = shape_of(b)
            x = prim.bind(
                *args[:-1], reshape(b, (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])), **params
            )
            return reshape(x, shape), at
        outs = prim.bind(*[batch_to(x, d, axis.size, 0) for x, d in zip(args, dims)], **params)
        return (outs, [0] * len(outs)) if multiple_results else (outs, 0)

    def emit(ctx: Any, outs: Sequence[Any], *operands: Any, **params: Any) -> Any:
        done = all(0 in o.shape for o in outs) or getattr(ctx.matrices, native)(outs, *operands, **params)
        return outs if done else None

    prim = Primitive(
        name,
        "library",
        abstract_eval=abstract_eval,
        impl=impl,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        multiple_results=multiple_results,
        dce=dce,
        emit=emit if native else None,
        access="view" if native else "stored",
    )
    return prim
