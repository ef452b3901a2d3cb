"""``wengert demo transforms``: what each transformation makes of one small program, side by side.

A traced function is a jaxpr: a list of equations, each the application of one primitive. A transformation takes
equations and gives equations, and this is all that it does; so what it has made can be printed beside what it was
given.
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import wengert
import wengert.numpy as wnp
from wengert import lax
from wengert.demos.common import BadInput, positive

SUMMARY = "print what each transformation does to a program, side by side"
NARROWEST = 60  # columns
SOURCE = """\
def chirp(x):
    return sin(x * x)
"""


def chirp(x: Any) -> Any:
    """The program that is transformed."""
    return wnp.sin(x * x)


def relax(x: Any) -> Any:
    """A program with a loop: Newton's method for a square root, three steps of it."""
    return lax.fori_loop(0, 3, lambda _, y: 0.5 * (y + x / y), x)


class View(NamedTuple):
    """One transformation: what to call it, the two programs, and what to look for."""

    title: str
    before: str
    after: str
    remark: str


def views() -> dict[str, View]:
    """All that is shown, by the name to ask for it, in order."""
    x, tangent, batch = wnp.float32(2.0), wnp.float32(1.0), wnp.ones(8)
    plain = jaxpr(chirp, x)
    gradient = wengert.grad(chirp)
    _, linear = wengert.linearize(chirp, x)
    loop = wengert.jit(relax).trace(x)
    return {
        "make_jaxpr": View(
            "make_jaxpr: a function becomes a list of equations",
            SOURCE,
            plain,
            "The function ran once, with a stand-in for x that knows a dtype and a shape but no number. Each line is "
            "one primitive; each variable is bound once.",
        ),
        "jvp": View(
            "jvp: derivatives forwards, with the values",
            plain,
            jaxpr(lambda x, t: wengert.jvp(chirp, (x,), (t,)), x, tangent),
            "Beside each equation stands the one for its tangent: mul got two products and a sum, sin a cosine. The "
            "second argument is the direction, the second result the derivative along it.",
        ),
        "linearize": View(
            "linearize: what is left for the tangents, once the values are known",
            jaxpr(lambda x, t: wengert.jvp(chirp, (x,), (t,)), x, tangent),
            jaxpr(linear, tangent),
            "At a fixed x the derivative is a linear program of the tangent alone. The numbers that it needs from the "
            "way forward are its constants.",
        ),
        "grad": View(
            "grad: derivatives backwards",
            plain,
            jaxpr(gradient, x),
            "The way forward first, then the linear program transposed: from the last equation to the first, starting "
            "from 1.0.",
        ),
        "grad-grad": View(
            "grad of grad: the result is a program like any other",
            jaxpr(gradient, x),
            jaxpr(wengert.grad(gradient), x),
            "No new rule was needed. Equations that nobody uses any more are printed with _ and are not compiled.",
        ),
        "vmap": View(
            "vmap: a whole batch at once",
            jaxpr(gradient, x),
            jaxpr(wengert.vmap(gradient), batch),
            "The same equations, on arrays with one axis more. A loop over the batch was never written.",
        ),
        "jit": View(
            "jit: the loops that become machine code",
            jaxpr(wengert.vmap(gradient), batch),
            wengert.jit(wengert.vmap(gradient)).lower(batch).as_text("loops"),
            "The equations became one loop. What is between them lives in registers; one array is read, one written.",
        ),
        "scan": View(
            "loops: an equation that holds a program",
            str(loop.jaxpr),
            jaxpr(wengert.grad(relax), x),
            "fori_loop is traced once and not once for each step. Its derivative is two loops: one forwards, which "
            "keeps what the other one, backwards, needs.",
        ),
    }


def jaxpr(function: Any, *args: Any) -> str:
    """The jaxpr as text."""
    return str(wengert.make_jaxpr(function)(*args))


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` columns; what is cut off goes on below, further to the right."""
    lines = []
    for line in text.rstrip("\n").splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        lines += textwrap.wrap(
            line, width, subsequent_indent=indent, drop_whitespace=True, break_long_words=True
        ) or [""]
    return lines


def side_by_side(left: str, right: str, width: int) -> str:
    """Two texts in two columns of one page."""
    # the left column is as wide as it needs, up to a half
    widest = max((len(line) for line in left.splitlines()), default=0)
    first = min(widest, (width - 3) // 2)
    lefts, rights = wrapped(left, first), wrapped(right, width - 3 - first)
    rows = max(len(lefts), len(rights))
    lefts += [""] * (rows - len(lefts))
    rights += [""] * (rows - len(rights))
    return "\n".join(f"{a.ljust(first)} │ {b}".rstrip() for a, b in zip(lefts, rights, strict=True))


def page(view: View, width: int) -> str:
    """One transformation as text."""
    rule = "─" * width
    remark = textwrap.fill(view.remark, width)
    return "\n".join([rule, view.title, rule, side_by_side(view.before, view.after, width), "", remark, ""])


def chosen(names: Sequence[str]) -> list[View]:
    """The views with these names, or all. Raises ``BadInput`` for a name that there is not."""
    known = views()
    for name in names:
        if name not in known:
            raise BadInput(f"there is no transformation {name!r} to show; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the demonstration."""
    parser.description = f"{SUMMARY[0].upper()}{SUMMARY[1:]}."
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to show, such as jvp or grad (all)")
    parser.add_argument(
        "--width", type=positive(int), metavar="N", help="columns of the page (the terminal's, at most 120)"
    )


def run(options: argparse.Namespace) -> int:
    """The whole demonstration. Returns the exit code; raises ``BadInput`` for a name that there is not."""
    width = options.width or min(shutil.get_terminal_size((100, 24)).columns, 120)
    if width < NARROWEST:
        raise BadInput(f"two programs need {NARROWEST} columns side by side, not {width}; give --width")
    print("\n".join(page(view, width) for view in chosen(options.names)))
    return 0
