"""The page of an explanation: one file of HTML that needs nothing else, with a bar for each kernel's share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wengert.compiler.explain import Kernel, Report

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #4a7fd0; --limit: #d9822b; --soft: #8881; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; } pre, code { font: 13px/1.4 ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .35rem .6rem; text-align: left; vertical-align: top; }
tr.kernel > td { border-top: 1px solid var(--line); } td.number, th.number { text-align: right; white-space: nowrap; }
.track { position: relative; background: var(--soft); height: .9rem; min-width: 9rem; margin-top: .25rem; }
.bar { position: absolute; inset: 0 auto 0 0; background: var(--bar); }
.mark { position: absolute; top: -2px; bottom: -2px; width: 3px; background: var(--limit); }
details { margin: .2rem 0 .5rem; } summary { cursor: pointer; color: inherit; opacity: .75; }
pre { background: var(--soft); padding: .5rem .7rem; overflow-x: auto; margin: .3rem 0; white-space: pre; }
ul { margin: .2rem 0; padding-left: 1.2rem; } .legend { opacity: .75; } .inner > td:first-child { padding-left: 2rem; }
"""


def page(title: str, summary: str, kernels: Sequence[Kernel], report: Report, sources: dict[str, str]) -> str:
    """The whole page. `sources` are texts to be unfolded at the end, by their names."""
    rows = list(_flat(kernels))
    measured = any(kernel.seconds is not None for _, kernel in rows)
    whole = sum(_weight(kernel) for _, kernel in rows) or 1.0
    longest = max((_weight(kernel) for _, kernel in rows), default=1.0) or 1.0
    what = "measured time" if measured else "least time that this machine's rates allow"
    legend = f"Blue: {what}, as a share of the longest."
    if measured:
        legend += (
            " Orange: the least time that the kernel's bytes and operations take at this machine's rates."
        )
    body = "".join([_row(number, kernel, report, whole, longest) for number, kernel in rows])
    folded = "".join(
        [
            f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
            for name, text in sources.items()
        ]
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1><code>{escape(title)}</code></h1><p>{escape(summary)}</p><p class=legend>{escape(legend)}</p>"
        '<table><thead><tr><th>kernel</th><th>time</th><th class="number">seconds</th><th class="number">share</th>'
        f'<th class="number">of the limit</th></tr></thead><tbody>{body}</tbody></table>{folded}</body></html>\n'
    )


def _flat(kernels: Sequence[Kernel], number: str = "") -> Iterator[tuple[str, Kernel]]:
    for n, kernel in enumerate(kernels, 1):
        yield f"{number}{n}", kernel
        for k, body in enumerate(kernel.inner):
            yield from _flat(body, f"{number}{n}.{f'{k}.' if kernel.kind == 'cond' else ''}")


def _weight(kernel: Kernel) -> float:
    if kernel.inner:
        return 0.0  # its time is that of what is in it
    if kernel.seconds is not None:
        return kernel.seconds
    return kernel.limit[0] if kernel.limit is not None else 0.0


def _row(number: str, kernel: Kernel, report: Report, whole: float, longest: float) -> str:
    weight = _weight(kernel)
    limit = kernel.limit
    bar = times = ratio = ""
    if not kernel.inner:
        mark = ""
        if limit is not None and kernel.seconds is not None:
            mark = f'<div class="mark" style="left:{min(100.0, 100 * limit[0] / longest):.1f}%"></div>'
            ratio = f"{kernel.seconds / limit[0]:.1f}x" if limit[0] else ""
        bar = f'<div class="track"><div class="bar" style="width:{100 * weight / longest:.1f}%"></div>{mark}</div>'
        times = f"{1e6 * weight:.3g} &micro;s"
    share = f"{100 * weight / whole:.0f} %" if weight else ""
    code = "".join([f"<div><code>{escape(text)}</code></div>" for text in report.lines(kernel, 110)])
    facts = [*kernel.notes, *report.facts(kernel)]
    listed = "".join([f"<li>{escape(fact)}</li>" for fact in facts])
    loops = escape("\n".join([text.replace("\t", "   ") for text in kernel.loops]))
    inside = f"<pre>{loops}</pre>" if loops else ""
    details = (
        f"<details><summary>loops, memory, work</summary>{inside}<ul>{listed}</ul></details>"
        if inside or listed
        else ""
    )
    nested = " inner" if "." in number else ""
    return (
        f'<tr class="kernel{nested}"><td><b>{number}. {escape(kernel.title)}</b>{code}{details}</td><td>{bar}</td>'
        f'<td class="number">{times}</td><td class="number">{share}</td><td class="number">{ratio}</td></tr>'
    )
