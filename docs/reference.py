"""The `reference` directive: the API reference of one module, from its docstrings.

    ```{reference} wengert.numpy
    ```

It describes the names that the module offers, as `public.py` finds them. A class that several modules offer is
described on one page, and the others lead there.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from types import GenericAlias
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from public import public_names
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from wengert.config import Flag
from wengert.numpy import ufunc

# Where a class is described, if more than one of them offers it: the first here.
CLASSES_FIRST_IN = (
    "wengert.sharding", "wengert.stages", "wengert.custom_derivatives", "wengert.custom_batching", "wengert.tree_util",
    "wengert.extend.core", "wengert.profiler", "wengert.explain", "wengert.errors",
)  # fmt: skip


@functools.cache
def _home_of_class(cls: type) -> str | None:
    for name in CLASSES_FIRST_IN:
        module = importlib.import_module(name)
        if any(getattr(module, n) is cls for n in public_names(module)):
            return name
    return None


class Reference(SphinxDirective):
    """The directive; its argument is the module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        lines, elsewhere, flags = [f".. automodule:: {module.__name__}", "   :no-members:", ""], [], []
        for name in public_names(module):
            value = getattr(module, name)
            home = _home_of_class(value) if inspect.isclass(value) else None
            if f"{module.__name__}.{name}" in sys.modules:  # as `wengert.explain`, in a module of this name
                elsewhere.append(f":py:mod:`{name} <{module.__name__}.{name}>`")
            elif home not in (None, module.__name__):
                elsewhere.append(f":py:class:`{name} <{value.__module__}.{value.__qualname__}>`")
            elif isinstance(value, Flag):
                flags.append(f"``{name}``")
            else:
                lines += _described(f"{module.__name__}.{name}", value)
        if flags:
            lines += [
                "",
                f"Flags, which are context managers (see :doc:`/configuration`): {', '.join(flags)}.",
            ]
        if elsewhere:
            lines += ["", f"Described on other pages: {', '.join(elsewhere)}."]
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *lines, "```"]))


def _described(path: str, value: Any) -> list[str]:
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
        options = ["   :members:", "   :undoc-members:"] if value.__name__ == path.rpartition(".")[2] else []
        return [f".. auto{kind}:: {path}", *options, ""]
    if isinstance(value, ufunc):
        operands = "x" if value.nin == 1 else "x1, x2"
        return [f".. autofunction:: {path}({operands}, /, out=None, where=None)", ""]
    if callable(value) and not hasattr(value, "__origin__"):  # a type alias has an origin
        return [f".. autofunction:: {path}", ""]
    if path.endswith(".float0"):
        text = "The dtype of gradients with respect to what has none, such as integers. It has no values."
        return [f".. py:data:: {path.rpartition('.')[2]}", "", f"   {text}", ""]
    return [f".. autodata:: {path}", *([] if isinstance(value, float) else ["   :no-value:"]), ""]


# ------------------------------------------------------------------------------- docstrings are plain text, not markup

_CODE = re.compile(r"``(?P<double>.+?)``|`(?P<single>[^`]+)`", re.DOTALL)
_SPECIAL = re.compile(r"(?<!^)(?<!\n)[*|\\]|[*|\\](?! )|(?<=\w)_(?=\W|$)")  # not the `* ` of a list


def escape(text: str) -> str:
    """Plain text with `code` in it as reStructuredText: nothing else in it is markup."""
    parts, at = [], 0
    for code in _CODE.finditer(text):
        parts.append(_SPECIAL.sub(r"\\\g<0>", text[at : code.start()]))
        after = text[code.end() : code.end() + 1]
        parts.append(f"``{code['double'] or code['single']}``" + ("\\ " if after.isalnum() else ""))
        at = code.end()
    parts.append(_SPECIAL.sub(r"\\\g<0>", text[at:]))
    return "".join(parts)


def plain_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Escape a docstring, but not the programs in it, which follow a `::`."""
    if isinstance(value, GenericAlias) and inspect.getdoc(value.__origin__) == "\n".join(lines).strip():
        lines[:] = []  # what it stands for is printed anyway
        return
    done: list[str] = []
    waiting: list[str] = []
    margin: int | None = None  # of the line with the `::`, while in its program
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if margin is not None and line.strip() and indent <= margin:
            margin = None
        if margin is not None:
            done.append(line)
            continue
        waiting.append(line)
        if line.rstrip().endswith("::"):
            margin = indent
            done += escape("\n".join(waiting)).split("\n")
            waiting = []
    done += escape("\n".join(waiting)).split("\n") if waiting else []
    lines[:] = done
    if what in ("attribute", "data", "property"):
        app.env.temp_data["plain"] = done


def no_types(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Undo that what precedes a colon in the docstring of a value passes for its type."""
    if what in ("attribute", "data", "property"):
        lines[:] = app.env.temp_data.pop("plain", [])


def skip_member(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of a named tuple, which its docstring describes."""
    return True if (inspect.getdoc(value) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    directive: type[Directive] = Reference
    app.add_directive("reference", directive)
    app.connect("autodoc-process-docstring", plain_docstring, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", no_types, priority=900)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
