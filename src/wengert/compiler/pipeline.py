"""The passes, in order: a jaxpr to a loop program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from wengert.compiler import joining, memory, nest, partial, verify
from wengert.compiler.inplace import Plan
from wengert.compiler.loops import Branch, Buffer, Call, Loop, Program, Stmt, Ufunc, View
from wengert.compiler.lower import Block, Shared
from wengert.compiler.rewrite import bodies
from wengert.compiler.simplify import simplify
from wengert.core.jaxpr import Jaxpr, Literal, Var, check_jaxpr


class Compilation:
    """What the passes made of a jaxpr.

    `outputs` says where each result of the jaxpr is: result number n of the program, or, if negative, -1 -
    n for argument number n, which is passed through or was written to. `in_place` are the equations (by id)
    that write to the memory of an operand.
    """

    __slots__ = ("in_place", "jaxpr", "outputs", "program")

    def __init__(self, program: Program, outputs: list[int], jaxpr: Jaxpr, in_place: Collection[int] = ()):
        self.in_place = frozenset(in_place)
        self.program = program
        self.outputs = outputs
        self.jaxpr = jaxpr


def compile_jaxpr(
    jaxpr: Jaxpr,
    watch: Callable[[str, Program], None] | None = None,
    given: Sequence[bool] = (),
    simple: Jaxpr | None = None,
) -> Compilation:
    """Run all passes. `watch` is called with the name of each pass and the program that it has made.

    `given` says of which arguments the program may have the memory. A result that takes it counts as the argument
    in `Compilation.outputs`.

    `simple` is what `simplify` made of the jaxpr, if that is known.

    The jaxpr has no constants; `hoist_consts` makes arguments of them. With the flag `enable_checks`, jaxprs
    and programs are checked between the passes.
    """
    assert not jaxpr.constvars
    checked = verify.enabled()
    simple = simplify(jaxpr) if simple is None else simple
    if checked:
        check_jaxpr(jaxpr)
        check_jaxpr(simple)
    shared = Shared()
    args = [Buffer(v.aval.shape, v.aval.dtype, "arg", f"x{n}") for n, v in enumerate(simple.invars)]
    env = {v: View(b) for v, b in zip(simple.invars, args, strict=True)}
    plan = shared.planner.plan(simple, {v: None for v, g in zip(simple.invars, given, strict=False) if g})
    results, targets, outputs = _results(simple, plan)
    for n in {-1 - n for n in outputs if n < 0}:
        if simple.invars[n] in plan.taken.values():
            args[n].kind = "given"
    body = partial.spread(Block(shared, simple, env, plan=plan).lower(targets), shared)
    program = Program(jaxpr.name or "f", args, results, shared.temps, body)

    def done(name: str) -> None:
        if watch is not None:
            watch(name, program)
        if checked and name != "lower":  # which leaves nests, not loops
            verify.verify(program, placed=name == "memory")

    done("lower")
    program.body = joining.join(nest.nest(program.body, shared.exprs), shared.exprs)
    done("nest")
    memory.contract(program, shared.exprs)
    done("contract")
    memory.place(program)
    done("memory")
    return Compilation(program, outputs, simple, {id(e) for e in shared.in_place})


def _results(jaxpr: Jaxpr, plan: Plan) -> tuple[list[Buffer], list[View | None], list[int]]:
    """The result buffers; arguments that are returned, results that take the memory of an argument, and those that
    are returned twice, need none."""
    number_of: dict[Var, int] = {}
    position = {v: n for n, v in enumerate(jaxpr.invars)}
    results: list[Buffer] = []
    targets: list[View | None] = []
    outputs: list[int] = []
    for atom in jaxpr.outvars:
        first = plan.origin(atom)
        if isinstance(first, Var) and first in position:
            outputs.append(-1 - position[first])
            targets.append(None)
            continue
        if isinstance(atom, Var) and atom in number_of:
            outputs.append(number_of[atom])
            targets.append(None)
            continue
        buffer = Buffer(atom.aval.shape, atom.aval.dtype, "result", f"y{len(results)}")
        if not isinstance(atom, Literal):
            number_of[atom] = len(results)
        outputs.append(len(results))
        results.append(buffer)
        targets.append(View(buffer))
    return results, targets, outputs


def total_work(body: list[Stmt]) -> float:
    """The work of a program in vector additions; that of while loops and library calls is taken as large."""
    total = 0.0
    for stmt in body:
        inner = bodies(stmt)
        if isinstance(stmt, Loop):
            total += (stmt.trips or 10_000) * sum(total_work(b) + 10.0 for b in inner)
        elif isinstance(stmt, Branch):
            total += max(total_work(b) for b in inner)
        else:
            total += _work_of_call(stmt) if isinstance(stmt, Call) else nest.work([stmt])
    return total


def _work_of_call(stmt: Call) -> float:
    return stmt.payload.work if isinstance(stmt.payload, Ufunc) else 10_000.0
