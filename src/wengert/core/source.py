"""Which line of the user's program is running: for equations, error messages, warnings and tracebacks.

The user's frames are those outside this package (its demos are the user's too) and outside the few modules of
the standard library through which calls merely pass.
"""

from __future__ import annotations

import functools
import itertools
import linecache
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, TypeVar

from wengert.config import current

_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_DEMOS: Final = os.path.join(_PACKAGE, "demos") + os.sep
_PASSED_THROUGH: Final = frozenset(("contextlib.py", "functools.py"))
_STDLIB: Final = os.path.dirname(os.__file__) + os.sep

_F = TypeVar("_F", bound=Callable[..., Any])


class _Internal(dict[str, bool]):
    """File name -> whether it is none of the user's. Filled as file names are met."""

    def __missing__(self, filename: str) -> bool:
        path = os.path.abspath(filename) if filename[:1] != "<" else filename
        internal = path.startswith(_PACKAGE) and not path.startswith(_DEMOS)
        internal = internal or (path.startswith(_STDLIB) and path[len(_STDLIB) :] in _PASSED_THROUGH)
        internal = internal or filename in ("<frozen functools>", "<frozen contextlib>")
        self[filename] = internal
        return internal


_internal: Final = _Internal()


class SourceLine:
    """A place in the user's program. It holds no frame, so it keeps no values alive."""

    __slots__ = ("_instruction", "code", "scopes")

    def __init__(self, code: CodeType, instruction: int, scopes: tuple[str, ...] = ()) -> None:
        self.code = code
        self._instruction = instruction
        self.scopes = scopes  # the names given by `named_scope`, the outermost first

    @property
    def filename(self) -> str:
        """The file, as Python knows it."""
        return self.code.co_filename

    @property
    def function(self) -> str:
        """The name of the function, with those it is nested in."""
        return self.code.co_qualname

    @property
    def position(self) -> tuple[int | None, int | None, int | None, int | None]:
        """First line, last line, first column, end column; None where Python does not know."""
        found = itertools.islice(self.code.co_positions(), self._instruction // 2, None)
        return next(found, (None, None, None, None))

    @property
    def lineno(self) -> int:
        """The number of the line, from 1."""
        return self.position[0] or self.code.co_firstlineno

    def summary(self) -> str:
        """`file.py:12 (function)`, with the file's name but not its folder; and ` in scope/scope`, if named."""
        return f"{os.path.basename(self.filename)}:{self.lineno} ({self.function}){self._in_scopes()}"

    def place(self) -> str:
        """`/folder/file.py:12:8 (function)`."""
        column = self.position[2]
        at = self.lineno if column is None else f"{self.lineno}:{column}"
        return f"{self.filename}:{at} ({self.function})"

    @property
    def name_stack(self) -> str:
        """The names given by `named_scope`: `outer/inner`."""
        return "/".join(self.scopes)

    def _in_scopes(self) -> str:
        return f" in {self.name_stack}" if self.scopes else ""

    def text(self) -> str:
        """The line of source, stripped; empty where the source is not to be had."""
        return linecache.getline(self.filename, self.lineno).strip()

    def marked(self) -> str:
        """The line of source, and under it marks below the expression that was running."""
        first, last, start, end = self.position
        line = linecache.getline(self.filename, first or 0).rstrip()
        text = line.strip()
        if not text or first != last or start is None or end is None or not line.isascii():
            return text
        indent = len(line) - len(line.lstrip())
        if start < indent or end - start >= len(text):
            return text
        return f"{text}\n{' ' * (start - indent)}{'^' * (end - start)}"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SourceLine)
            and self.code is other.code
            and self._instruction == other._instruction
        )

    def __hash__(self) -> int:
        return hash((id(self.code), self._instruction))

    def __repr__(self) -> str:
        return f"<{self.filename}:{self.lineno} ({self.function})>"


def current_frame() -> SourceLine | None:
    """The innermost line of the user's that is running now; None if there is none (a thread of our own)."""
    frame: Any = sys._getframe(1)
    internal = _internal
    try:
        while internal[frame.f_code.co_filename]:
            frame = frame.f_back
    except AttributeError:  # beyond the outermost frame; cheaper than a test in each round
        return None
    return SourceLine(frame.f_code, frame.f_lasti, _scopes.get())


_scopes: ContextVar[tuple[str, ...]] = ContextVar("wengert_scopes", default=())


class naming:
    """Context manager: operations inside are in a scope of this name; None leaves all scopes."""

    __slots__ = ("name", "token")

    def __init__(self, name: str | None):
        self.name = name

    def __enter__(self) -> None:
        self.token = _scopes.set(() if self.name is None else (*_scopes.get(), self.name))

    def __exit__(self, *_: object) -> None:
        _scopes.reset(self.token)


def user_frames(include_own: bool = False) -> Iterator[FrameType]:
    """The frames of the user's that are running, the innermost first; those of this package too, if asked."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if include_own or not _internal[frame.f_code.co_filename]:
            yield frame
        frame = frame.f_back


def user_context(error: BaseException, line: SourceLine | None = None) -> BaseException:
    """Add a note to `error` that names the user's line and shows it: `line`, or the one that is running.

    Adds nothing if the same note is there already. Returns `error`, so that it can be raised at once.
    """
    line = current_frame() if line is None else line
    if line is not None:
        shown = line.marked().replace("\n", "\n    ")
        note = f"At {line.filename}:{line.lineno} ({line.function}){line._in_scopes()}" + (
            f":\n    {shown}" if shown else ""
        )
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    return error


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """`warnings.warn`, pointing at the user's line."""
    depth = 2
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _internal[frame.f_code.co_filename]:
        frame = frame.f_back
        depth += 1
    warnings.warn(message, category, stacklevel=depth if frame is not None else 2)


# ------------------------------------------------------------------------------------------------- tracebacks


def _show_all() -> bool:
    return os.environ.get("WENGERT_TRACEBACK") == "full" or current().traceback_filtering in ("off", "full")


def filter_traceback(error: BaseException) -> None:
    """Take the frames inside this package out of the traceback of `error`, and of the errors it came from.

    Follow it by a bare `raise`, which adds no entry for the frame that it is in. The environment variable
    WENGERT_TRACEBACK=full, or `config.update("jax_traceback_filtering", "off")`, keeps all frames.
    """
    if _show_all():
        return
    _note_where(error)
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = _users_part(link.__traceback__)
        link = link.__cause__ or link.__context__


def _note_where(error: BaseException) -> None:
    """If `error` was raised in this package, note the user's line that called it, unless its text names one."""
    trace, line = error.__traceback__, None
    users = False
    while trace is not None:
        users = not _internal[trace.tb_frame.f_code.co_filename]
        if users:
            line = SourceLine(trace.tb_frame.f_code, trace.tb_lasti)
        trace = trace.tb_next
    if line is None:  # the traceback goes up to the public function only
        line = current_frame()
    if users or line is None:
        return
    if f"{os.path.basename(line.filename)}:" not in "".join((str(error), *getattr(error, "__notes__", ()))):
        user_context(error, line)


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while trace is not None:
        if not _internal[trace.tb_frame.f_code.co_filename]:
            kept.append(trace)
        trace = trace.tb_next
    result: TracebackType | None = None
    for entry in reversed(kept):
        result = TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result


def api_boundary(function: _F) -> _F:
    """Decorate a public function that calls back into the user's code: errors then show the user's frames.

    It costs one more Python call. Where that counts, write `try` and `filter_traceback` into the function.
    """

    @functools.wraps(function)
    def boundary(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # for IPython and pytest
        try:
            return function(*args, **kwargs)
        except Exception as error:
            filter_traceback(error)
            raise

    return boundary  # type: ignore[return-value]
