"""`python -m benchmarks`: the table of ratios. Exit code 1 if a row fails or the results differ."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy as np

from benchmarks import drive, limits, report, scaling
from benchmarks.rows import Row, first_call_of
from benchmarks.table import TABLE


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Times the same programs on Wengert and on JAX, in turn, and compares their results."
        " `ratio` is Wengert's time over JAX's by the best rounds, `limit` the least time that this machine's"
        " measured rates allow or, for the smallest work, NumPy's own time.",
    )
    parser.add_argument(
        "--rows", nargs="+", metavar="TEXT", help="only the rows whose names contain one of these"
    )
    parser.add_argument(
        "--all", action="store_true", help="all rows, ten minutes; without it the few that show most"
    )
    parser.add_argument("--first-call", action="store_true", help="also the first call of every jitted row")
    parser.add_argument(
        "--scaling", action="store_true", help="in place of the table: microseconds for each equation"
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="rounds of each row (15)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all measured times to this file, too"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for a page, too")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Row]:
    """The rows to run, and a line on those that are not."""
    rows = list(TABLE.values())
    if options.first_call:
        known = {row.name for row in rows}
        extra = [first_call_of(row.name, 0.35) for row in rows if row.mode == "jit"]
        rows += [row for row in extra if row.name not in known]
    if options.rows:
        picked = [row for row in rows if any(text in row.name for text in options.rows)]
    else:
        picked = [row for row in rows if options.all or not row.more]
    if not picked:
        sys.exit(f"no row is called like {' or '.join(options.rows)}; there are:\n" + "\n".join(TABLE))
    if len(picked) < len(rows):
        print(f"{len(picked)} of {len(rows)} rows; --all runs the others too")
    return picked


def versions() -> dict[str, str]:
    """What is compared; ends the program if one of the two cannot be imported."""
    try:
        with drive.both_workers() as workers:
            found = {library: process.ask("version") for library, process in workers.items()}
    except drive.Failed as failure:
        sys.exit(f'{failure}\nBoth are installed by: pip install ".[bench]"')
    return {**found, "numpy": np.__version__, "python": platform.python_version()}


def main() -> int:
    options = arguments()
    if options.scaling:
        scaling.main()
        return 0
    rows = chosen(options)
    about = versions()
    print(", ".join(f"{name} {version}" for name, version in about.items()))
    print(limits.describe())
    table = report.Table([row.name for row in rows])
    print(table.header())
    outcomes: list[drive.Outcome] = []
    lowest: list[float | None] = []
    for row in rows:
        outcome = drive.measure(row, options.rounds)
        limit = row.limit() if row.limit else None
        outcomes.append(outcome)
        lowest.append(limit)
        print(*table.lines(outcome, limit), sep="\n", flush=True)
    print(report.summary(outcomes))
    if options.json:
        records = [report.as_json(outcome, limit) for outcome, limit in zip(outcomes, lowest, strict=True)]
        content = {"versions": about, "machine": limits.describe(), "rows": records}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.as_markdown(outcomes, lowest), encoding="utf-8")
    return int(any(outcome.failed or outcome.differs for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
