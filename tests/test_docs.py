"""Every code block of the documentation runs, and prints what the page says.

The `python` blocks of a page are one program, run in order. What a block prints, or the last line of the error that
ends it, is the `text` block that follows it; a block without one prints nothing. Blocks in `bash`, `console` and `text`
that follow no program are not run.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```python" in page.read_text(encoding="utf-8"))


def programs(page: Path) -> list[tuple[int, str, str]]:
    """Each Python block: the line it starts at, the program, and what it prints."""
    text = page.read_text(encoding="utf-8")
    found = list(BLOCK.finditer(text))
    pairs = []
    for block, following in zip(found, [*found[1:], None]):
        if block["language"] != "python":
            continue
        line = text[: block.start("body")].count("\n")
        printed = following["body"] if following is not None and following["language"] == "text" else ""
        pairs.append((line, block["body"], printed))
    return pairs


def run(program: str, name: str, namespace: dict[str, Any]) -> str:
    """What a program prints; an error that ends it is the last thing printed, in one line."""
    linecache.cache[name] = (
        len(program),
        None,
        program.splitlines(keepends=True),
        name,
    )  # for errors that quote it
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(program, name, "exec"), namespace)
        except Exception as error:
            print(traceback.format_exception_only(error)[0].splitlines()[0])
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_programs_of_the_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": page.stem}
    for line, program, expected in programs(page):
        name = f"{page.name}, line {line}"
        found = run("\n" * line + program, name, namespace)
        assert [x.rstrip() for x in found.splitlines()] == [x.rstrip() for x in expected.splitlines()], name


def test_pages_have_programs() -> None:
    assert PAGES
