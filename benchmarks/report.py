"""The table for people and the same as JSON."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.drive import Outcome

HEADER = ("row", "wengert", "jax", "ratio", "(medians)", "at most", "", "limit", "of limit")


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def verdict(outcome: Outcome) -> str:
    if outcome.failed or outcome.differs:
        return "FAILED"
    return "ok" if outcome.ratio <= outcome.row.at_most else "behind"


def cells(outcome: Outcome, limit: float | None) -> tuple[str, ...]:
    """The outcome as a line of the table; what failed is said in a line below it."""
    row = outcome.row
    name = row.name
    if outcome.failed:
        return name, "", "", "", "", f"{row.at_most:g}", verdict(outcome), "", ""
    ours = outcome.best("wengert")
    return (
        name, duration(ours), duration(outcome.best("jax")),
        f"{outcome.ratio:.2f}", f"({outcome.middle_ratio:.2f})", f"{row.at_most:g}",
        verdict(outcome), "" if limit is None else duration(limit),
        "" if limit is None else f"{ours / limit:.1f}x",
    )  # fmt: skip


class Table:
    """Prints one line as soon as it is known."""

    def __init__(self, names: list[str]) -> None:
        self._widths = [max(map(len, [*names, HEADER[0]])), 8, 8, 6, 9, 7, 6, 8, 8]

    def line(self, texts: tuple[str, ...]) -> str:
        first, *rest = texts
        padded = [
            first.ljust(self._widths[0]),
            *(t.rjust(w) for t, w in zip(rest, self._widths[1:], strict=True)),
        ]
        return "  ".join(padded).rstrip()

    def header(self) -> str:
        return self.line(HEADER)

    def lines(self, outcome: Outcome, limit: float | None) -> list[str]:
        trouble = outcome.failed or (f"the results differ: {outcome.differs}" if outcome.differs else None)
        return [self.line(cells(outcome, limit)), *([f"    {trouble}"] if trouble else [])]


def summary(outcomes: list[Outcome]) -> str:
    """How many rows are where, and the geometric mean of the ratios."""
    counts = {kind: sum(verdict(o) == kind for o in outcomes) for kind in ("ok", "behind", "FAILED")}
    ratios = [o.ratio for o in outcomes if not o.failed]
    text = f"{counts['ok']} rows ok, {counts['behind']} behind, {counts['FAILED']} failed"
    if ratios:
        text += f"; geometric mean of the ratios {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}"
    return text


def as_markdown(outcomes: list[Outcome], limits: list[float | None]) -> str:
    """The whole table, for a page."""
    lines = [HEADER, ("---", *["---:"] * (len(HEADER) - 1))]
    lines += [cells(outcome, limit) for outcome, limit in zip(outcomes, limits, strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_json(outcome: Outcome, limit: float | None) -> dict[str, Any]:
    return {
        "row": outcome.row.name,
        "mode": outcome.row.mode,
        "more": outcome.row.more,
        "at_most": outcome.row.at_most,
        "seconds": outcome.times,
        "ratio": None if outcome.failed else outcome.ratio,
        "limit_seconds": limit,
        "verdict": verdict(outcome),
        "failed": outcome.failed,
        "differs": outcome.differs,
    }
