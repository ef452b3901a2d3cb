"""Every code block of the documentation runs and prints what the page says; and every page and module has its place.

The `python` blocks of a page are one program, run in order, as if they stood in one file named after the page. What a
block prints, and the error that ends it, is the `text` block that follows it; a block without one prints nothing.
Errors may be wrapped on the page, and the marks below a quoted line are not compared, as versions of Python differ in
them. Blocks in `bash`, `console` and `text` that follow no program are not run.

`python tests/test_docs.py docs/quickstart.md ...` writes what the programs print into the pages. Read the difference.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import linecache
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wengert

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "wengert"
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
TOCTREE = re.compile(r"^```\{toctree\}\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"^```\{reference\} (?P<module>[\w.]+)$", re.MULTILINE)
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```python" in page.read_text(encoding="utf-8"))

# Not public: the layers below the API, what is run from the command line, and stand-ins for private modules.
INTERNAL = {"backends", "cli", "compiler", "core", "demos", "prims", "runtime", "transforms"}
# Modules whose names are public elsewhere: `wengert.numpy.reductions` is a part of `wengert.numpy`.
GATHERED = {"numpy": {"fft", "linalg"}, "nn": {"initializers"}, "image": set(), "scipy.signal": set()}
GATHERED["scipy.linalg"] = set()
ELSEWHERE = {"as_jax.private", "treecode", "treedef", "version"}


def programs(page: Path) -> list[tuple[str, str]]:
    """Each Python block: the program, and what it prints."""
    found = list(BLOCK.finditer(page.read_text(encoding="utf-8")))
    pairs = []
    for block, following in zip(found, [*found[1:], None]):
        if block["language"] != "python":
            continue
        printed = following["body"] if following is not None and following["language"] == "text" else ""
        pairs.append((block["body"], printed))
    return pairs


class Session:
    """Runs the programs of a page as parts of one file."""

    def __init__(self, page: Path) -> None:
        self.name = f"{page.stem.replace('-', '_')}.py"
        self.source = ""
        self.namespace: dict[str, Any] = {"__name__": "__main__"}

    def run(self, program: str) -> tuple[str, str]:
        """What a program prints, and the error that ends it."""
        lines_before = self.source.count("\n")
        self.source += program
        # errors quote the file
        linecache.cache[self.name] = (
            len(self.source),
            None,
            self.source.splitlines(keepends=True),
            self.name,
        )
        printed, error = io.StringIO(), ""
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile("\n" * lines_before + program, self.name, "exec"), self.namespace)
            except Exception as raised:
                error = "".join(traceback.format_exception_only(raised))
        return printed.getvalue(), error


def words(text: str) -> list[str]:
    return [word for word in text.split() if word.strip("^")]


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """What pages change for the whole process is set back: settings, and what `import jax` means."""
    settings, finders = wengert.config.values, [*sys.meta_path]
    yield
    for name, value in settings.items():
        wengert.config.update(name, value)
    sys.meta_path[:] = finders
    for name in [n for n in sys.modules if n.partition(".")[0] == "jax"]:
        del sys.modules[name]


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_programs_of_the_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")  # the width of what `explain` prints
    session = Session(page)
    for program, expected in programs(page):
        printed, error = session.run(program)
        if error:
            assert words(printed + error) == words(expected), program
        else:
            assert [x.rstrip() for x in printed.splitlines()] == [
                x.rstrip() for x in expected.splitlines()
            ], program


def test_pages_have_programs() -> None:
    assert PAGES


def in_toctrees(page: Path) -> set[Path]:
    """The pages that the toctrees of a page lead to."""
    found = set()
    for tree in TOCTREE.finditer(page.read_text(encoding="utf-8")):
        for line in tree["body"].splitlines():
            entry = line.split("<")[-1].rstrip(">").strip()
            if entry and not entry.startswith(":"):
                found.add((page.parent / f"{entry}.md").resolve())
    return found


def test_toctrees_lead_to_every_page() -> None:
    reached = {DOCS / "index.md"}
    waiting = [DOCS / "index.md"]
    while waiting:
        new = in_toctrees(waiting.pop()) - reached
        assert all(page.exists() for page in new)
        reached |= new
        waiting += new
    assert reached == set(DOCS.rglob("*.md"))


def public_modules() -> set[str]:
    """The modules whose names are public, without `wengert.`; the package itself is ''."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        name = ".".join(parts)
        parent, _, last = name.rpartition(".")
        if any(part.startswith("_") for part in parts) or (parts and parts[0] in INTERNAL):
            continue
        if any(name == other or name.startswith(f"{other}.") for other in ELSEWHERE):
            continue
        if last not in GATHERED.get(parent, {last}):
            continue
        found.add(name)
    return found


def test_every_public_module_is_in_the_reference() -> None:
    described = set()
    for page in (DOCS / "api").glob("*.md"):
        for match in REFERENCE.finditer(page.read_text(encoding="utf-8")):
            described.add(match["module"].removeprefix("wengert").removeprefix("."))
    assert described == public_modules()


def test_public_names_have_docstrings() -> None:
    sys.path.insert(0, str(DOCS))
    try:
        public_names = importlib.import_module("public").public_names
    finally:
        sys.path.remove(str(DOCS))
    missing = []
    for name in sorted(public_modules()):
        module = importlib.import_module(f"wengert.{name}".rstrip("."))
        for public in public_names(module):
            value = getattr(module, public)
            if not (inspect.isroutine(value) or inspect.isclass(value)):
                continue
            members = {k: v for k, v in vars(value).items() if k[0] != "_"} if inspect.isclass(value) else {}
            asked = [
                member for member, v in members.items() if inspect.isroutine(v) or isinstance(v, property)
            ]
            undescribed = [member for member in asked if not inspect.getdoc(getattr(value, member))]
            missing += [f"{name}.{public}.{member}" for member in undescribed]
            if not inspect.getdoc(value):
                missing.append(f"{name}.{public}")
    assert not missing


def refreshed(page: Path) -> str:
    """The text of a page with what its programs print now."""
    text = page.read_text(encoding="utf-8")
    found = list(BLOCK.finditer(text))
    session, parts, at = Session(page), [], 0
    for block, following in zip(found, [*found[1:], None]):
        if block["language"] != "python":
            continue
        printed, error = session.run(block["body"])
        lines = [line.rstrip() for line in printed.splitlines()]
        for line in error.splitlines():
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            lines += textwrap.wrap(line, 92, subsequent_indent=indent, break_on_hyphens=False) or [""]
        parts.append(text[at : block.end()])
        at = block.end()
        if following is not None and following["language"] == "text":
            at = following.end()
        if lines:
            parts.append("\n".join(["", "", "```text", *lines, "```"]))
    return "".join([*parts, text[at:]])


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    for name in sys.argv[1:]:
        Path(name).write_text(refreshed(Path(name)), encoding="utf-8")
