"""Linear systems and roots that a solver of the user's finds, with derivatives from the equations they satisfy.

What a solver does is not differentiated: of A x = b follows A dx = db - dA x, one more system with the same matrix;
of f(p, x) = 0 follows (df/dx) dx = -(df/dp) dp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wengert import tree
from wengert.core.avals import ShapedArray, same_type
from wengert.core.jaxpr import ClosedJaxpr
from wengert.core.primitive import Primitive
from wengert.core.reference import run_jaxpr
from wengert.core.source import api_boundary
from wengert.core.staging import eval_jaxpr
from wengert.core.trace import get_aval
from wengert.core.zeros import UndefinedPrimal, Zero, instantiate, is_undefined
from wengert.prims.arithmetic import neg, sub
from wengert.prims.axes import batch_to
from wengert.prims.control import Body, trace_body, with_common_consts
from wengert.prims.lists import nonzero_mask
from wengert.transforms.api_util import check_arraylike, check_callable, operand, result
from wengert.transforms.batch import BatchAxis, batch_jaxpr, to_front
from wengert.transforms.custom_rules import custom_jvp, zero_from_primal
from wengert.transforms.dce import dce_closed
from wengert.transforms.jvp import jvp_jaxpr
from wengert.transforms.transpose import backward_pass
from wengert.transforms.vjp import jvp, linearize

Fun = Callable[..., Any]
# solve, matvec, and for the transposed system the same; all take the constants of all, then one vector
Jaxprs = tuple[ClosedJaxpr, ...]


def _solve_avals(*avals: ShapedArray, jaxprs: Jaxprs, num_consts: int) -> list[ShapedArray]:
    for got, want in zip(avals, jaxprs[0].in_avals, strict=True):
        if not same_type(got, want):
            raise TypeError(
                f"custom_linear_solve got {got.str_short()}, but its solver takes {want.str_short()}"
            )
    return jaxprs[0].out_avals


def _solve_impl(xp: Any, *args: Any, jaxprs: Jaxprs, num_consts: int) -> list[Any]:
    return run_jaxpr(xp, jaxprs[0], args)


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, jaxprs: Jaxprs, num_consts: int) -> Any:
    params = {"jaxprs": jaxprs, "num_consts": num_consts}
    outs = linear_solve_p.bind(*primals, **params)
    n = len(primals) - num_consts
    consts, rhs = primals[:num_consts], [instantiate(t) for t in tangents[num_consts:]]
    changed = nonzero_mask(tangents[:num_consts])
    if any(changed):
        matvec, found_nz = jvp_jaxpr(jaxprs[1], (*changed, *(False,) * n), (True,) * n)
        matvec, _ = dce_closed(matvec, (*(False,) * n, *found_nz), (True,) * len(matvec.in_avals))
        given = [t for t in tangents[:num_consts] if type(t) is not Zero]
        found = eval_jaxpr(matvec.jaxpr, matvec.consts, *consts, *outs[:n], *given)
        rhs = [sub(b, a) for b, a in zip(rhs, found, strict=True)]
    dx = linear_solve_p.bind(*consts, *rhs, **params)[:n]
    return outs, [*dx, *(Zero.of(o) for o in outs[n:])]


def _solve_transpose(cts: Sequence[Any], *args: Any, jaxprs: Jaxprs, num_consts: int) -> list[Any]:
    if len(jaxprs) == 2:
        raise TypeError(
            "transpose_solve required for backwards mode automatic differentiation of custom_linear_solve: pass a"
            " solver of the transposed system, or symmetric=True if the matrix is symmetric."
        )
    consts, b = args[:num_consts], args[num_consts:]
    solve, matvec, transpose_solve, vecmat = jaxprs
    given = [instantiate(ct) for ct in cts[: len(b)]]
    transposed = (transpose_solve, vecmat, solve, matvec)
    found = linear_solve_p.bind(*consts, *given, jaxprs=transposed, num_consts=num_consts)
    return [None] * num_consts + [ct if is_undefined(x) else None for x, ct in zip(b, found)]


def _solve_batch(
    axis: BatchAxis, args: Sequence[Any], dims: Sequence[int | None], *, jaxprs: Jaxprs, num_consts: int
) -> tuple[list[Any], list[int]]:
    """Each element has its vector: even if only the matrix has the batch axis, the solutions have it."""
    n = len(args) - num_consts
    batched = (*(d is not None for d in dims[:num_consts]), *(True,) * n)
    mapped = tuple(batch_jaxpr(j, axis, batched, (True,) * len(j.out_avals))[0] for j in jaxprs)
    operands = [
        *to_front(axis, args[:num_consts], dims[:num_consts]),
        *(batch_to(x, d, axis.size, 0) for x, d in zip(args[num_consts:], dims[num_consts:])),
    ]
    outs = linear_solve_p.bind(*operands, jaxprs=mapped, num_consts=num_consts)
    return outs, [0] * len(outs)


# jaxprs: (solve, matvec), and (transpose_solve, vecmat) if the transposed system can be solved
linear_solve_p = Primitive(
    "custom_linear_solve",
    "call",
    abstract_eval=_solve_avals,
    impl=_solve_impl,
    jvp=_solve_jvp,
    transpose=_solve_transpose,
    batch=_solve_batch,
    multiple_results=True,
    compiled=True,
    hidden_params=("num_consts",),
)


# ------------------------------------------------------------------------------------------- public functions


def _flatten(name: str, value: Any) -> tuple[list[Any], Any]:
    leaves, structure = tree.flatten(value)
    for leaf in leaves:
        check_arraylike(leaf, name, "an operand")
    return [operand(x) for x in leaves], structure


def _check_output(name: str, expected: str, body: Body, structure: Any, avals: Any, has_aux: bool) -> Any:
    """Raise unless a function returns what looks like its argument; returns the structure of aux."""
    found, aux = body.out_tree, None
    if has_aux:
        children = tree.treedef_children(found)
        node = found.node_data()
        if node is None or node[0] is not tuple or len(children) != 2:
            raise ValueError(
                f"{name}() produced a pytree with structure {found}, but a pytree tuple with auxiliary output was"
                " expected because has_aux was set to True."
            )
        found, aux = children
    if found != structure:
        raise TypeError(
            f"{name}() output pytree structure must match {expected}, got {found} and {structure}."
        )
    got, want = [a.shape for a in body.jaxpr.out_avals[: len(avals)]], [a.shape for a in avals]
    if got != want:
        raise ValueError(f"{name}() output shapes must match {expected}, got {got} and {want}")
    return aux


@api_boundary
def custom_linear_solve(
    matvec: Fun,
    b: Any,
    solve: Fun,
    transpose_solve: Fun | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The solution x of matvec(x) = b that `solve` finds, differentiable whatever `solve` does.

    Args:
      matvec: a linear function of a pytree like `b`, differentiable in the values that it closes over.
      b: the right-hand side, a pytree of arrays.
      solve: from (matvec, b) to the solution. It is not differentiated.
      transpose_solve: from (vecmat, b) to the solution of vecmat(x) = b, where vecmat is the transpose of matvec.
        Reverse mode needs it.
      symmetric: matvec is its own transpose; `solve` then serves for both.
      has_aux: `solve` and `transpose_solve` return a pair (x, aux). aux has no derivative.
    Returns:
      What solve(matvec, b) returns.
    Raises:
      TypeError, ValueError: a function returns another structure or other shapes than those of `b`.
      TypeError: in reverse mode without `transpose_solve`.
    """
    for name, fun in (("matvec", matvec), ("solve", solve)):
        check_callable(fun, f"custom_linear_solve ({name})")
    flat, structure = _flatten("custom_linear_solve", b)
    avals = [get_aval(x) for x in flat]
    in_tree = tree.treedef_tuple((structure,))
    if transpose_solve is None and symmetric:
        transpose_solve = solve

    def traced(fun: Fun, name: str, aux: bool) -> Body:
        body = trace_body(lambda x: fun(x), in_tree, avals, name)
        _check_output(name, "b", body, structure, avals, aux)
        return body

    forward = traced(matvec, "matvec", False)
    bodies = [traced(lambda x: solve(matvec, x), "solve", has_aux), forward]
    if transpose_solve is not None:
        backward = _transposed(forward, avals, structure) if not symmetric else matvec
        solver = transpose_solve
        bodies.append(traced(lambda x: solver(backward, x), "transpose_solve", has_aux))
        bodies.append(forward if symmetric else traced(backward, "vecmat", False))
    jaxprs, consts = with_common_consts(bodies)
    outs = linear_solve_p.bind(*consts, *flat, jaxprs=jaxprs, num_consts=len(consts))
    return tree.unflatten(bodies[0].out_tree, outs)


def _transposed(forward: Body, avals: Sequence[ShapedArray], structure: Any) -> Fun:
    """The transpose of a traced linear function, as a function of pytrees."""

    def vecmat(ct: Any) -> Any:
        flat, _ = _flatten("vecmat", ct)
        args = [*forward.consts, *(UndefinedPrimal(a) for a in avals)]
        found = backward_pass(forward.jaxpr.jaxpr, forward.jaxpr.consts, args, flat)
        return tree.unflatten(structure, [instantiate(x) for x in found[len(forward.consts) :]])

    return vecmat


@api_boundary
def custom_root(f: Fun, initial_guess: Any, solve: Fun, tangent_solve: Fun, has_aux: bool = False) -> Any:
    """A root x of f(x) = 0 that `solve` finds, differentiable in the values that `f` closes over.

    Args:
      f: a differentiable function from a pytree of arrays to one of the same structure and shapes.
      initial_guess: where to start. The root has no derivative in it.
      solve: from (f, initial_guess) to the root. It is not differentiated.
      tangent_solve: from (g, y) to the solution x of g(x) = y, where g is the derivative of `f` at the root, a linear
        function. For a scalar equation `lambda g, y: y / g(1.0)` will do; in several dimensions a dense solve of
        `jacobian(g)(y)`, or `custom_linear_solve`. It has to be differentiable itself, for derivatives of second
        order, and linear in y.
      has_aux: `solve` returns a pair (x, aux). aux has no derivative.
    Returns:
      What solve(f, initial_guess) returns.
    Raises:
      TypeError, ValueError: a function returns another structure or other shapes than those of the guess.
    """
    for name, fun in (("f", f), ("solve", solve), ("tangent_solve", tangent_solve)):
        check_callable(fun, f"custom_root ({name})")
    flat, structure = _flatten("custom_root", initial_guess)
    avals = [get_aval(x) for x in flat]
    one, two = tree.treedef_tuple((structure,)), tree.treedef_tuple((structure, structure))

    def from_residual(x: Any, y: Any) -> Any:
        _, derivative = linearize(f, x)
        return tangent_solve(derivative, y)

    residual = trace_body(lambda x: f(x), one, avals, "f")
    _check_output("f", "initial_guess", residual, structure, avals, False)
    solver = trace_body(lambda x: solve(f, x), one, avals, "solve")
    _check_output("solve", "initial_guess", solver, structure, avals, has_aux)
    n = len(flat)
    roots = solver.jaxpr.out_avals[:n]
    tangent = trace_body(from_residual, two, [*roots, *(a.to_tangent_aval() for a in roots)], "tangent_solve")
    _check_output("tangent_solve", "x", tangent, structure, avals, False)
    (solve_jaxpr,), solve_consts = with_common_consts([solver])
    (f_jaxpr, tangent_jaxpr), consts = with_common_consts([residual, tangent])

    def run(closed: ClosedJaxpr, *args: Any) -> list[Any]:
        return eval_jaxpr(closed.jaxpr, closed.consts, *args)

    @custom_jvp
    def root(solve_consts: list[Any], guess: list[Any], consts: list[Any]) -> list[Any]:
        return run(solve_jaxpr, *solve_consts, *guess)

    @root.defjvp
    def _root_jvp(primals: Any, tangents: Any) -> Any:
        outs = root(*primals)
        x, consts, changes = outs[:n], primals[2], tangents[2]
        _, rhs = jvp(lambda *c: run(f_jaxpr, *c, *x), consts, changes)
        dx = [neg(t) for t in run(tangent_jaxpr, *consts, *x, *rhs)]
        return outs, [*dx, *(zero_from_primal(o) for o in outs[n:])]

    outs = root(solve_consts, flat, consts)
    return tree.unflatten(solver.out_tree, [result(o) for o in outs])
