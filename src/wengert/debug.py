"""Looking into programs while they run: `print`, `callback` and `breakpoint`, under the names of `jax.debug`.

They work under every transformation. In the derivative of a function they show the values of the way forward;
under `vmap` each element of the batch; inside of compiled loops each iteration.
"""

from __future__ import annotations

import builtins
import functools
import linecache
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any

import numpy as np

from wengert import tree
from wengert._lazy import lazy_module
from wengert.core.device import CPU
from wengert.core.source import user_frames
from wengert.core.staging import StagedTracer, StagingTrace
from wengert.prims.callbacks import (
    DebugEffect as DebugEffect,
    OrderedDebugEffect as OrderedDebugEffect,
    debug_callback_p,
    debug_print_p,
    show,
)
from wengert.sharding import Sharding, SingleDeviceSharding

cmd = lazy_module("cmd")
logging = lazy_module("logging")
pprint = lazy_module("pprint")
string = lazy_module("string")
traceback = lazy_module("traceback")


def callback(
    callback: Callable[..., None] | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a Python function with the values that the arguments have when the program runs.

    Args:
      callback: a function; what it returns is ignored. Without it, a decorator is returned, which calls what it
        decorates.
      args, kwargs: its arguments. Arrays arrive as Arrays; anything that is no array arrives as it is.
      ordered: the order of the calls is part of the program. (Calls are made in the order of the program anyway.)
      partitioned: accepted for compatibility; there is one device.
    Raises:
      TypeError: `callback` is not callable.
    """
    if callback is None:
        return functools.partial(_callback, ordered=ordered, partitioned=partitioned, **kwargs)
    if not callable(callback):
        raise TypeError(f"debug.callback takes a function as its first argument, got {callback!r}")
    show(debug_callback_p, callback, args, kwargs, ordered=bool(ordered), partitioned=bool(partitioned))
    return None


_callback = callback


def print(
    fmt: str | None = None,
    *args: Any,
    ordered: bool = False,
    partitioned: bool = False,
    skip_format_check: bool = False,
    _use_logging: bool = False,
    **kwargs: Any,
) -> Any:
    """Print values when the program runs: `debug.print("x is {x}, its sum {}", x.sum(), x=x)`.

    Args:
      fmt: a format string, as `str.format` takes it; not an f-string, which is formatted while the function is
        traced, before there are values. Without it, a function is returned that takes the rest.
      args, kwargs: what its fields refer to.
      ordered: the order of the lines is part of the program.
      partitioned: accepted for compatibility; there is one device.
      skip_format_check: don't check that every argument is used.
    Raises:
      TypeError: `fmt` is no string.
      ValueError: an argument is not used by the format string.
      IndexError, KeyError: the format string refers to an argument that isn't there.
    """
    if fmt is None:
        options: dict[str, Any] = {"ordered": ordered, "partitioned": partitioned, **kwargs}
        return functools.partial(
            print, skip_format_check=skip_format_check, _use_logging=_use_logging, **options
        )
    if not isinstance(fmt, str):
        raise TypeError(f"debug.print takes a format string first, as print('x is {{}}', x): got {fmt!r}")
    if not skip_format_check:
        _check_format(fmt, args, kwargs)
    numpy_options: Any = np.get_printoptions()
    write = _log if _use_logging else builtins.print

    def print_values(*values: Any, **named: Any) -> None:
        with np.printoptions(**numpy_options):
            write(fmt.format(*values, **named))

    show(
        debug_print_p, print_values, args, kwargs,
        fmt=fmt, ordered=bool(ordered), partitioned=bool(partitioned),
    )  # fmt: skip
    return None


def _log(text: str) -> None:
    logging.getLogger("wengert.debug").info(text)


def _check_format(fmt: str, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Compare the fields of a format string with the arguments, without formatting anything."""
    used: set[int | str] = set()
    _collect_fields(fmt, used)
    for field in used:
        if isinstance(field, int) and field >= len(args):
            raise IndexError(
                f"debug.print({fmt!r}, ...) refers to positional argument {field}, but was given {len(args)}"
            )
        if isinstance(field, str) and field not in kwargs:
            raise KeyError(field)
    unused = [a for n, a in enumerate(args) if n not in used]
    if unused:
        raise ValueError(f"Unused positional arguments to `jax.debug.print`: {unused}")
    unused_names = [name for name in kwargs if name not in used]
    if unused_names:
        raise ValueError(
            f"Unused keyword arguments to `jax.debug.print`: {unused_names}. Did you pass an f-string (such as"
            ' f"{x}")? It is formatted before there are values: pass a plain string, debug.print("{x}", x=x).'
        )


def _collect_fields(fmt: str, used: set[int | str]) -> None:
    for _, field, spec, _ in string.Formatter().parse(fmt):
        if field is None:
            continue
        name = field.partition(".")[0].partition("[")[0]
        if name == "":
            used.add(sum(isinstance(u, int) for u in used))
        else:
            used.add(int(name) if name.isdigit() else name)
        if spec:
            _collect_fields(spec, used)


# -------------------------------------------------------------------------------------------------- breakpoint


class _Frame:
    """A frame of the user's, as it was when the function was traced; its local variables get values later."""

    __slots__ = ("filename", "function", "globals", "lineno", "locals")

    def __init__(self, frame: FrameType):
        self.filename = frame.f_code.co_filename
        self.function = frame.f_code.co_name
        self.lineno = frame.f_lineno
        self.globals = frame.f_globals
        self.locals = {name: tree.map(_usable, value) for name, value in _locals(frame).items()}

    def __str__(self) -> str:
        return f"{self.filename}({self.lineno}) {self.function}()"


def _locals(frame: FrameType) -> dict[str, Any]:
    """The local variables; none for a module, whose variables are global."""
    return {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)


def _usable(leaf: Any) -> Any:
    """A leaf of a local variable; a traced value whose function has returned is only described."""
    if isinstance(leaf, StagedTracer) and isinstance(leaf._trace, StagingTrace) and leaf._trace.finished:
        return f"<{leaf.describe()}, from a function that has returned>"
    return leaf


def breakpoint(
    *,
    backend: str | None = None,
    filter_frames: bool = True,
    num_frames: int | None = None,
    ordered: bool = False,
    token: Any = None,
    **kwargs: Any,
) -> Any:
    """Stop when the program comes by, with a prompt that shows the values of the local variables.

    The frames are those in which the function was traced; `help` at the prompt lists what can be done there.

    Args:
      backend: "cli", which is the default.
      filter_frames: leave out the frames of this package.
      num_frames: only so many of the innermost frames.
      ordered: the order of breakpoints is part of the program.
      token: is returned, for programs that thread one through.
      kwargs: `stdin` and `stdout`, in place of those of `sys`.
    Raises:
      ValueError: another backend.
    """
    if backend not in (None, "cli"):
        raise ValueError(f"there is no debugger {backend!r}; there is 'cli'")
    stdin, stdout = kwargs.pop("stdin", None), kwargs.pop("stdout", None)
    if kwargs:
        raise TypeError(f"breakpoint got unexpected keyword arguments: {', '.join(kwargs)}")
    frames = [_Frame(f) for f in user_frames(include_own=not filter_frames)][:num_frames]

    def stop(values: list[dict[str, Any]]) -> None:
        _debugger(frames, values, stdin or sys.stdin, stdout or sys.stdout).cmdloop()

    show(
        debug_callback_p, stop, ([f.locals for f in frames],), {},
        ordered=bool(ordered), partitioned=False,
    )  # fmt: skip
    return token


class _Commands:
    """What can be said at the prompt of a breakpoint."""

    prompt = "(wdb) "
    intro = "Stopped at a breakpoint; `help` lists the commands."
    frames: list[_Frame]
    values: list[dict[str, Any]]
    at: int
    stdout: Any

    def say(self, text: Any) -> None:
        self.stdout.write(f"{text}\n")

    def say_place(self) -> None:
        if self.frames:
            self.say(f"> {self.frames[self.at]}")
        else:
            self.say("> no frame of the user's")

    def evaluate(self, expression: str) -> Any:
        scope = {**self.frames[self.at].globals, **self.values[self.at]} if self.frames else {}
        return eval(expression, scope)

    def do_p(self, line: str) -> None:
        """p EXPRESSION: print its value; the local variables have their values of this run."""
        self.answer(line, str)

    def do_pp(self, line: str) -> None:
        """pp EXPRESSION: pretty-print its value."""
        self.answer(line, pprint.pformat)

    def answer(self, line: str, show: Callable[[Any], str]) -> None:
        try:
            self.say(show(self.evaluate(line)))
        except Exception as error:
            self.say("".join(traceback.format_exception_only(error)).rstrip())

    def default(self, line: str) -> None:
        self.answer(line, repr)

    def emptyline(self) -> bool:
        return False

    def do_a(self, _: str) -> None:
        """a: print all local variables of this frame."""
        for name, value in self.values[self.at].items() if self.frames else ():
            self.say(f"{name} = {value!r}")

    def do_bt(self, _: str) -> None:
        """bt: print the frames, the innermost last."""
        for n in reversed(range(len(self.frames))):
            self.say(f"{'>' if n == self.at else ' '} {self.frames[n]}")
            text = linecache.getline(self.frames[n].filename, self.frames[n].lineno).strip()
            self.say(f"    {text}")

    def do_l(self, _: str) -> None:
        """l: print the lines around this one."""
        for frame in self.frames[self.at : self.at + 1]:
            for n in range(max(frame.lineno - 5, 1), frame.lineno + 6):
                text = linecache.getline(frame.filename, n).rstrip("\n")
                if text or n <= frame.lineno:
                    self.say(f"{'->' if n == frame.lineno else '  '} {n:4} {text}")

    def do_u(self, _: str) -> None:
        """u: go up to the caller."""
        self.move(1)

    def do_d(self, _: str) -> None:
        """d: go down to what this frame has called."""
        self.move(-1)

    def move(self, by: int) -> None:
        if 0 <= self.at + by < len(self.frames):
            self.at += by
            self.say_place()
        else:
            self.say("there is no frame beyond")

    def do_c(self, _: str) -> bool:
        """c: go on with the program."""
        return True

    def do_q(self, _: str) -> None:
        """q: end the process."""
        sys.exit(0)

    do_EOF = do_continue = do_cont = do_c
    do_quit = do_exit = do_q
    do_up, do_down, do_list, do_args, do_where, do_w = do_u, do_d, do_l, do_a, do_bt, do_bt


def _debugger(frames: list[_Frame], values: list[dict[str, Any]], stdin: Any, stdout: Any) -> Any:
    """A prompt. Its class derives from one of a module that is imported only when it is needed."""
    made = type("Debugger", (_Commands, cmd.Cmd), {})(stdin=stdin, stdout=stdout)
    made.use_rawinput = stdin is sys.__stdin__ and stdout is sys.__stdout__
    made.frames, made.values, made.at = frames, values, 0
    made.say_place()
    return made


# ---------------------------------------------------------------------------------------------------- sharding


def inspect_array_sharding(value: Any, *, callback: Callable[[Sharding], None]) -> None:
    """Call a function with the sharding of each leaf of `value`; all are on the one device."""
    for _ in tree.leaves(value):
        callback(SingleDeviceSharding())


def visualize_sharding(
    shape: Sequence[int],
    sharding: Sharding,
    *,
    use_color: bool = True,
    scale: float = 1.0,
    min_width: int = 9,
    max_width: int = 80,
    color_map: Any = None,
) -> None:
    """Draw which device holds which part of an array of one or two axes.

    Raises:
      ValueError: the array has another number of axes.
    """
    if len(shape) not in (1, 2):
        raise ValueError(
            f"`visualize_sharding` only works for shapes with 1 and 2 dimensions, got {len(shape)}."
        )
    rows = 1 if len(shape) == 1 else max(1, round(scale * min(shape[0], 8) / 2))
    width = min(max_width, max(min_width, round(scale * 4 * min(shape[-1], 16))))
    names = ", ".join(sorted(f"{d.platform.upper()} {d.id}" for d in sharding.device_set))
    builtins.print(_box(names, width, rows))


def visualize_array_sharding(arr: Any, **kwargs: Any) -> None:
    """Draw which device holds which part of an array of one or two axes."""
    visualize_sharding(np.shape(arr), getattr(arr, "sharding", None) or SingleDeviceSharding(CPU), **kwargs)


def _box(text: str, width: int, rows: int) -> str:
    inner: Iterable[str] = [text.center(width) if n == rows // 2 else " " * width for n in range(rows)]
    return "\n".join([f"┌{'─' * width}┐", *(f"│{line}│" for line in inner), f"└{'─' * width}┘"])
