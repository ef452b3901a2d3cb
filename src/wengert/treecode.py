"""Pytrees of one structure taken apart and put together by code that was written for it.

A function that is called over and over with a dict of sixty arrays spends most of its time on finding out, each time,
what is in the dict. For a structure that comes again there is a Python function that expects exactly it:

    read = reader(treedef)        read(tree) is the list of leaves, or None if the tree is another one
    build = builder(treedef)      build(leaves) is the tree
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from wengert.treedef import DICT, LEAF, LIST, NONE_ENTRY, TUPLE, PyTreeDef

_WARM: Final = 2  # calls before code is written
_LARGEST: Final = 20_000  # nodes
_DEEPEST: Final = 40

Reader = Callable[[Any], "list[Any] | None"]
Builder = Callable[[Sequence[Any]], Any]


class _Writer:
    """Source text, and the objects that it names."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.objects: dict[str, Any] = {}
        self.leaves = 0
        self.nodes = 0

    def name(self, value: Any) -> str:
        """How the text refers to an object."""
        if type(value) is int or type(value) is str:
            return repr(value)
        name = f"o{len(self.objects)}"
        self.objects[name] = value
        return name

    def leaf(self) -> str:
        self.leaves += 1
        return f"x{self.leaves - 1}"

    def read(self, treedef: PyTreeDef, at: str) -> bool:
        """Add the lines that take apart what is in the variable `at`; False if there is no code for that."""
        entry, count = treedef._entry, len(treedef._children)
        if entry is NONE_ENTRY:
            self.lines.append(f" if {at} is not None: return None")
            return True
        if entry is TUPLE or entry is LIST:
            kind = "tuple" if entry is TUPLE else "list"
        elif entry is DICT:
            kind = "dict"
        else:
            return False
        self.lines.append(f" if type({at}) is not {kind} or len({at}) != {count}: return None")
        inner: list[tuple[PyTreeDef, str, int]] = []
        names = []
        for child in treedef._children:
            if child._entry is None:
                names.append(self.leaf())
                continue
            self.nodes += 1
            names.append(f"n{self.nodes}")
            inner.append((child, names[-1], self.leaves))
            self.leaves += child.num_leaves
        if entry is DICT:
            self.lines += [f" {n} = {at}[{self.name(k)}]" for n, k in zip(names, treedef._data, strict=True)]
        elif names:
            self.lines.append(f" {', '.join(names)}, = {at}")
        after = self.leaves
        for child, name, self.leaves in inner:
            if not self.read(child, name):
                return False
        self.leaves = after
        return True

    def build(self, treedef: PyTreeDef) -> str:
        """The expression for a tree."""
        entry = treedef._entry
        if entry is None:
            return self.leaf()
        if entry is NONE_ENTRY:
            return "None"
        parts = [self.build(child) for child in treedef._children]
        if entry is TUPLE:
            return f"({''.join([f'{p},' for p in parts])})"
        if entry is LIST:
            return f"[{','.join(parts)}]"
        if entry is DICT:
            pairs = [f"{self.name(k)}:{p}" for k, p in zip(treedef._data, parts, strict=True)]
            return f"{{{','.join(pairs)}}}"
        return f"{self.name(entry.unflatten)}({self.name(treedef._data)},[{','.join(parts)}])"

    def made(self, source: str) -> Any:
        space = dict(self.objects)
        exec(source, space)  # of names that are ours, integers and quoted strings
        return space["f"]


def _can_be_code(treedef: PyTreeDef, depth: int = 0) -> bool:
    """Whether Python's compiler takes it: expressions have a limited depth."""
    if treedef.num_nodes > _LARGEST or depth > _DEEPEST:
        return False
    return all(_can_be_code(child, depth + 1) for child in treedef._children if child is not LEAF)


def reader(treedef: PyTreeDef) -> Reader | None:
    """What takes apart trees of this structure; None if there are nodes in it that only their class can take apart.

    Anything may stand where the structure has a leaf, even a node: look at the leaves' types.
    """
    writer = _Writer()
    if treedef._entry is None or not _can_be_code(treedef) or not writer.read(treedef, "t"):
        return None
    body = "\n ".join(writer.lines)
    leaves = ",".join([f"x{n}" for n in range(treedef.num_leaves)])
    read: Reader = writer.made(
        f"def f(t):\n try:\n {body}\n except KeyError:\n  return None\n return [{leaves}]\n"
    )
    return read


def builder(treedef: PyTreeDef) -> Builder:
    """What puts trees of this structure together; it writes code when it is called for the third time."""
    calls = 0
    made: Builder | None = None

    def build(leaves: Sequence[Any]) -> Any:
        nonlocal calls, made
        if made is not None:
            return made(leaves)
        calls += 1
        if calls > _WARM and treedef.num_leaves > 0 and _can_be_code(treedef):
            writer = _Writer()
            expression = writer.build(treedef)
            names = "".join([f"x{n}," for n in range(treedef.num_leaves)])
            made = writer.made(f"def f(v):\n {names} = v\n return {expression}\n")
        return treedef.unflatten(leaves)

    return build
