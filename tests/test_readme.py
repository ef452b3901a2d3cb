"""The README's programs print what it says, and its commands are the ones that are checked."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(README) if found == language]


def programs() -> list[tuple[str, str]]:
    """Each Python block with the text block that follows it: what it must print."""
    found = BLOCK.findall(README)
    pairs = []
    for (language, body), (next_language, printed) in zip(found, [*found[1:], ("", "")], strict=True):
        if language == "python":
            assert next_language == "text", f"no printed output follows this program:\n{body}"
            pairs.append((body, printed))
    return pairs


def test_the_first_program_is_ten_lines() -> None:
    program, _ = programs()[0]
    assert len([line for line in program.splitlines() if line.strip()]) == 10


@pytest.mark.parametrize(("program", "printed"), programs())
def test_program_prints_what_the_readme_says(program: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == printed


def test_two_commands_set_everything_up() -> None:
    demo, tests = (block.strip() for block in blocks("bash"))
    for command in (demo, tests):
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert demo.endswith("&& .venv/bin/wengert demo wave")
    assert tests.endswith("&& .venv/bin/pytest")
    assert tests in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert tests in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_command_of_the_readme_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    command = EntryPoint("wengert", project["scripts"]["wengert"], "console_scripts")
    assert callable(command.load())


PAGES = ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/performance.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    here = ROOT / page
    targets = [t for t in LINK.findall(here.read_text(encoding="utf-8")) if "://" not in t]
    missing = [target for target in targets if not (here.parent / target).exists()]
    assert not missing
