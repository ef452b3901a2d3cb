"""`wengert.explain`: what a function was compiled to, for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wengert._lazy import lazy_module
from wengert.core.source import api_boundary
from wengert.transforms.api_util import check_callable
from wengert.transforms.jit import Entry, JitFunction, jit

if TYPE_CHECKING:
    from wengert.compiler.explain import Kernel

shutil = lazy_module("shutil")
textwrap = lazy_module("textwrap")
_explain = lazy_module("wengert.compiler.explain")
_dispatch = lazy_module("wengert.runtime.dispatch")
_vectorise = lazy_module("wengert.backends.vectorise")
_cpu = lazy_module("wengert.backends.cpu")
_printer = lazy_module("wengert.compiler.pretty")


_NARROWEST, _USUAL, _WIDEST = 80, 110, 140  # letters in a line


class Explanation:
    """What a function was compiled to. `print` it, or look at its parts.

    Attributes:
      kernels: what runs, in order; each with its loops, lines, bytes and operations.
    """

    def __init__(self, name: str, entry: Entry, arg_names: list[str], verbose: bool):
        self.name = name
        self.verbose = verbose
        self._entry = entry
        self._executable = _dispatch.executable(entry.jaxpr)
        compilation = self._executable.compilation
        bits = _cpu.target().vector_bits
        self._names = [f"constant {n}" for n in range(len(entry.consts))] + arg_names
        self.kernels: list[Kernel] = _explain.kernels_of(
            compilation, lambda loop: _vectorise.lanes_of(loop, bits)
        )

    @property
    def jaxpr(self) -> str:
        """What was traced, as text."""
        return str(self._entry.jaxpr)

    @property
    def program(self) -> str:
        """The loop program, as text."""
        return str(_printer.format_program(self._executable.compilation.program))

    @property
    def llvm(self) -> str:
        """The code in LLVM's language, after optimisation, as text."""
        return str(self._executable.code.optimised_ir())

    @property
    def assembly(self) -> str:
        """The machine's instructions, as text."""
        return str(self._executable.code.assembly())

    def __str__(self) -> str:
        program = self._executable.compilation.program
        names = dict(zip(program.args, self._names, strict=True))
        results = program.results
        names.update((b, "result" if len(results) == 1 else f"result {n}") for n, b in enumerate(results))
        width = max(_NARROWEST, min(shutil.get_terminal_size((_USUAL, 24)).columns, _WIDEST))
        report = _explain.Report(program, names, width)
        report.out.append(self._heading(width))
        report.kernels(self.kernels)
        report.out += ["", *textwrap.wrap(self._totals(), width, subsequent_indent="        ")]
        if self.verbose:
            report.out += ["", "jaxpr", "", self.jaxpr, "", "loop program", "", self.program]
        return "\n".join(report.out)

    __repr__ = __str__

    def _heading(self, width: int) -> str:
        """The function with its types."""
        jaxpr = self._entry.jaxpr
        args = [f"{n}: {a.str_short()}" for n, a in zip(self._names, jaxpr.in_avals, strict=True)]
        outs = ", ".join(a.str_short() for a in jaxpr.out_avals)
        line = f"{self.name}({', '.join(args)}) -> {outs}"
        if len(line) <= width:
            return line
        return "\n".join([f"{self.name}(", *(f"   {a}," for a in args), f") -> {outs}"])

    def _totals(self) -> str:
        totals = _explain.Totals()
        totals.add(self.kernels)
        program = self._executable.compilation.program
        size, plural = _explain.size, _explain.plural
        intensity = _explain.ratio(totals.operations, totals.read + totals.written)
        parts = [
            plural(totals.kernels, "kernel"),
            f"{size(totals.read)} read, {size(totals.written)} written",
            f"{plural(totals.operations, 'operation')}, {intensity}",
            f"{size(program.arena)} of temporaries" if program.arena else "no temporaries",
        ]
        if totals.unknown:
            parts.append("each while loop counted as one turn")
        return f"in all: {'; '.join(parts)}"


@api_boundary
def explain(fun: Callable[..., Any], *args: Any, verbose: bool = False, **kwargs: Any) -> Explanation:
    """What `fun` is compiled to for arguments of these types: `print(wengert.explain(f, x, y))`.

    It tells the kernels that the compiled program runs, and for each its loops, which lines of yours are in it,
    the bytes that it reads and writes, and its operations.

    Args:
      fun: a function, jitted or not.
      args: arrays, or `ShapeDtypeStruct`s, which say shape and dtype only. Nothing is computed.
      verbose: whether to print the jaxpr and the loop program too.
      kwargs: keyword arguments of `fun`.
    Returns:
      an `Explanation`: a text when printed, with the parts of it as attributes.
    """
    check_callable(fun, "explain")
    jitted = fun if isinstance(fun, JitFunction) else jit(fun)
    entry, _ = jitted.prepare(args, kwargs)
    dynamic, static = jitted.split_static(args, kwargs)
    names = [n.removeprefix("argument ") for n in jitted.argument_names(dynamic, static)]
    return Explanation(str(entry.params["name"]), entry, names, verbose)
