"""`wengert.explain`: what a function was compiled to, for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wengert._lazy import lazy_module
from wengert.core.avals import ShapedArray
from wengert.core.source import api_boundary
from wengert.core.trace import as_array
from wengert.transforms.api_util import ShapeDtypeStruct, check_callable
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
_measure = lazy_module("wengert.runtime.measure")
_page = lazy_module("wengert._explain_page")


_NARROWEST, _USUAL, _WIDEST = 80, 110, 140  # letters in a line


class Explanation:
    """What a function was compiled to. `print` it, or look at its parts.

    Attributes:
      kernels: what runs, in order; each with its loops, lines, bytes and operations, and `seconds` if measured.
      seconds: the time of a call, if measured.
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
        self.seconds: float | None = None

    def measure(self, flat: list[Any]) -> None:
        """Run the program on these arguments, and fill in the times of the kernels."""
        args = [*self._entry.consts, *flat]
        self.seconds = _measure.measure(self._executable, self.kernels, [as_array(a) for a in args])
        self._limit(self.kernels, 1)

    def _limit(self, kernels: list[Kernel], turns: int) -> None:
        rates = _measure.rates()
        for kernel in kernels:
            for body in kernel.inner:
                self._limit(body, turns * (kernel.turns or 1))
            if not kernel.inner:
                runs = turns if self.seconds is None else kernel.runs
                moved = kernel.bytes_read + kernel.bytes_written
                limit = rates.limit(runs * moved, runs * kernel.operations.total())
                # what is quicker than its limit shows that the machine was busy when its rates were measured
                kernel.limit = limit if kernel.seconds is None or limit[0] <= kernel.seconds else None

    @property
    def html(self) -> str:
        """A page of HTML that needs no other file: each kernel with its share of the time, the measured one or, if it
        was not measured, the least that this machine's rates allow."""
        self._limit(self.kernels, 1)
        sources = {"jaxpr": self.jaxpr, "loop program": self.program}
        return str(
            _page.page(self._heading(1 << 30), self._totals(), self.kernels, self._report(120), sources)
        )

    def to_html(self, path: Any) -> None:
        """Write the page to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.html)

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

    def _report(self, width: int) -> Any:
        program = self._executable.compilation.program
        names = dict(zip(program.args, self._names, strict=True))
        results = program.results
        names.update((b, "result" if len(results) == 1 else f"result {n}") for n, b in enumerate(results))
        return _explain.Report(program, names, width)

    def __str__(self) -> str:
        width = max(_NARROWEST, min(shutil.get_terminal_size((_USUAL, 24)).columns, _WIDEST))
        report = self._report(width)
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
        if self.seconds is not None:
            parts.append(f"{_explain.duration(self.seconds)} a call")
        return f"in all: {'; '.join(parts)}"


@api_boundary
def explain(
    fun: Callable[..., Any], *args: Any, verbose: bool = False, measure: bool = False, **kwargs: Any
) -> Explanation:
    """What `fun` is compiled to for arguments of these types: `print(wengert.explain(f, x, y))`.

    It tells the kernels that the compiled program runs, and for each its loops, which lines of yours are in it,
    the bytes that it reads and writes, and its operations.

    Args:
      fun: a function, jitted or not.
      args: arrays, or `ShapeDtypeStruct`s, which say shape and dtype only. Nothing is computed, unless measured.
      verbose: whether to print the jaxpr and the loop program too.
      measure: whether to run the program on these arguments for half a second, to tell each kernel's time.
      kwargs: keyword arguments of `fun`.
    Returns:
      an `Explanation`: a text when printed, with the parts of it as attributes; `to_html(path)` writes a page.
    Raises:
      TypeError: it is to be measured, and an argument is a type.
    """
    check_callable(fun, "explain")
    jitted = fun if isinstance(fun, JitFunction) else jit(fun)
    entry, flat = jitted.prepare(args, kwargs)
    dynamic, static = jitted.split_static(args, kwargs)
    names = [n.removeprefix("argument ") for n in jitted.argument_names(dynamic, static)]
    explanation = Explanation(str(entry.params["name"]), entry, names, verbose)
    if measure:
        types = [n for n, x in zip(names, flat, strict=True) if isinstance(x, ShapeDtypeStruct | ShapedArray)]
        if types:
            raise TypeError(
                f"to measure a program takes arrays to run it on; these are types: {', '.join(types)}"
            )
        explanation.measure(flat)
    return explanation
