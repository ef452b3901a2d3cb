"""The user's line: found, shown, put into errors; and tracebacks without our frames."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import traceback
import weakref
from collections.abc import Callable
from types import CodeType
from typing import Any

import pytest

import wengert.core.source as source

FOLDER = os.path.dirname(os.path.dirname(inspect.getfile(source)))


def inside(text: str, name: str = "made_up.py") -> dict[str, Any]:
    """The names that `text` defines, as if it were a file of the package."""
    code: CodeType = compile(text, os.path.join(FOLDER, name), "exec")
    names: dict[str, Any] = {"source": source}
    exec(code, names)
    return names


deep: Callable[[int], source.SourceLine] = inside(
    "def deep(n):\n    return deep(n - 1) if n else source.current_frame()\n"
)["deep"]


def test_the_line_that_calls_into_the_package() -> None:
    line = deep(8)
    here = inspect.currentframe()
    assert here is not None
    assert (line.filename, line.lineno) == (__file__, here.f_lineno - 3)
    assert line.function == "test_the_line_that_calls_into_the_package"
    assert line.summary() == f"test_source.py:{line.lineno} ({line.function})"
    assert line.text() == "line = deep(8)"
    assert line.marked() == "line = deep(8)\n       ^^^^^^^"
    assert line == source.SourceLine(line.code, line._instruction)


def test_an_expression_over_several_lines_is_shown_by_its_first() -> None:
    line = deep(
        3,
    )
    assert line.text() == "line = deep("
    assert line.marked() == "line = deep("


def test_demos_are_the_users() -> None:
    names = inside("def demo(deep):\n    return deep(2)\n", os.path.join("demos", "made_up.py"))
    assert names["demo"](deep).filename.endswith("made_up.py")


def test_a_line_holds_no_values_alive() -> None:
    class Big:
        pass

    def call() -> tuple[source.SourceLine, Any]:
        big = Big()
        return deep(1), weakref.ref(big)

    line, big = call()
    assert line is not None
    assert big() is None


def test_notes() -> None:
    error = source.user_context(ValueError("wrong"))
    source.user_context(error, deep(1))
    assert len(error.__notes__) == 2
    assert f"At {__file__}:" in error.__notes__[0]
    assert "source.user_context(error, deep(1))" in error.__notes__[1]
    line = deep(1)
    source.user_context(error, line)
    source.user_context(error, line)
    assert len(error.__notes__) == 3


def test_warnings_point_at_the_user() -> None:
    warn = inside("def warn():\n    source.warn_user('look out')\n")["warn"]
    with pytest.warns(UserWarning, match="look out") as caught:
        warn()
    assert caught[0].filename == __file__


def raises() -> None:
    raise KeyError("mine")


def frames(function: Callable[[], Any]) -> list[str]:
    try:
        function()
    except Exception as error:
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    raise AssertionError("no error")


def test_tracebacks_show_the_users_frames_only(monkeypatch: pytest.MonkeyPatch) -> None:
    call = source.api_boundary(
        inside("def call(f):\n    return again(f)\ndef again(f):\n    return f()\n")["call"]
    )
    assert frames(lambda: call(raises)) == ["frames", "<lambda>", "raises"]
    assert frames(lambda: call(3)) == ["frames", "<lambda>"]
    assert call(lambda: 5) == 5
    monkeypatch.setenv("WENGERT_TRACEBACK", "full")
    assert frames(lambda: call(raises)) == ["frames", "<lambda>", "boundary", "call", "again", "raises"]


def test_a_chain_of_errors_is_filtered_whole() -> None:
    text = "def call(f):\n  try:\n    f()\n  except KeyError as e:\n    raise ValueError('ours') from e\n"
    call = source.api_boundary(inside(text)["call"])
    with pytest.raises(ValueError, match="ours") as caught:
        call(raises)
    cause = caught.value.__cause__
    assert cause is not None
    assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == ["raises"]


def test_without_source_the_text_is_empty() -> None:
    program = (
        "from wengert.core.source import current_frame, user_context\n"
        "line = current_frame()\n"
        "assert line.text() == '' and line.marked() == ''\n"
        "print(user_context(ValueError()).__notes__)"
    )
    command = f"exec(compile({program!r}, '<generated>', 'exec'))"  # Python itself keeps the text of -c, from 3.13 on
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['At <generated>:4 (<module>)']"
