"""What a row of the table is, and how rows enter it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.limits import Limit

Mode = Literal["jit", "eager", "first call", "second process", "start"]
Inputs = Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `run(jax, *inputs)` is the work, written once against a module with JAX's API, so that JAX and Wengert
    run the same source on the same numbers; in the mode "start" it is the text of a program, with `{jax}`
    for the module's name. `inputs(rng)` gives NumPy arrays or pytrees of them. `at_most` is the ratio of
    times, Wengert's over JAX's, that the project aims at, and `more` marks what is run with --all only.
    Results agree if `|a - b| <= tolerance * max|b|` everywhere. `waits` is False for calls so short that
    waiting for each result would be a good part of the time: then only the last one of a round is waited
    for.
    """

    name: str
    mode: Mode
    run: Callable[..., Any] | str
    inputs: Inputs
    at_most: float
    limit: Limit | None = None
    tolerance: float = 1e-5
    waits: bool = True
    more: bool = False


TABLE: dict[str, Row] = {}


def enter(row: Row) -> None:
    """Add a row to the table."""
    if row.name in TABLE:
        raise ValueError(f"two rows are called {row.name!r}")
    TABLE[row.name] = row


def row(
    name: str, inputs: Inputs, at_most: float, mode: Mode = "jit", **settings: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function to be a row; one function may be several, under different names."""

    def decorate(run: Callable[..., Any]) -> Callable[..., Any]:
        enter(Row(name, mode, run, inputs, at_most, **settings))
        return run

    return decorate


def first_call_of(name: str, at_most: float) -> Row:
    """The row that times tracing and compiling another row's function, each time in a fresh process."""
    whole = TABLE[name]
    return Row(
        f"first call: {name}", "first call", whole.run, whole.inputs, at_most,
        tolerance=whole.tolerance, more=whole.more,
    )  # fmt: skip


def second_process_of(name: str, at_most: float) -> Row:
    """The row that times the same in a process that comes second: what the first one compiled is on disk. JAX keeps
    nothing on disk unless it is told to, and is not."""
    whole = TABLE[name]
    return Row(
        f"second process: {name}", "second process", whole.run, whole.inputs, at_most,
        tolerance=whole.tolerance, more=whole.more,
    )  # fmt: skip


def normal(*shapes: tuple[int, ...]) -> Inputs:
    """Inputs: a float32 array of standard normal numbers for each shape."""
    return lambda rng: tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)
