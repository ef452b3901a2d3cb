"""Which classes are nodes of pytrees, the structure of a pytree, and taking one apart.

Flattening is on the way of every jitted call, so flat tuples, lists and dicts of leaves take a shorter path:
their structures are made once and kept.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

IsLeaf = Callable[[Any], bool] | None


# -------------------------------------------------------------------------------------------------- key paths


class _Key:
    """One step from a node to a child. Equal by value, so that paths can be compared and looked up."""

    __slots__ = ()
    _field = ""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and getattr(self, self._field) == getattr(other, self._field)

    def __hash__(self) -> int:
        return hash((type(self).__name__, getattr(self, self._field)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._field}={getattr(self, self._field)!r})"


class SequenceKey(_Key):
    """A child of a tuple or list: `[idx]`."""

    __slots__ = ("idx",)
    __match_args__ = ("idx",)
    _field = "idx"

    def __init__(self, idx: int) -> None:
        self.idx = idx

    def __str__(self) -> str:
        return f"[{self.idx}]"


class DictKey(_Key):
    """A child of a dict: `['key']`."""

    __slots__ = ("key",)
    __match_args__ = ("key",)
    _field = "key"

    def __init__(self, key: Any) -> None:
        self.key = key

    def __str__(self) -> str:
        return f"[{self.key!r}]"


class GetAttrKey(_Key):
    """A child that is an attribute: `.name`."""

    __slots__ = ("name",)
    __match_args__ = ("name",)
    _field = "name"

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f".{self.name}"


class FlattenedIndexKey(_Key):
    """A child of a registered class that gives no keys: `[<flat index key>]`."""

    __slots__ = ("key",)
    __match_args__ = ("key",)
    _field = "key"

    def __init__(self, key: int) -> None:
        self.key = key

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


KeyEntry = Any
KeyPath = tuple[KeyEntry, ...]


def keystr(keys: KeyPath, *, simple: bool = False, separator: str = "") -> str:
    """A key path as text: `['a'][1].x`; with `simple` only the bare keys, joined by `separator`: `a/1/x`."""
    if not simple:
        return separator.join([str(key) for key in keys])
    return separator.join([str(getattr(key, key._field) if isinstance(key, _Key) else key) for key in keys])


# --------------------------------------------------------------------------------------------------- registry

Flatten = Callable[[Any], tuple[Iterable[Any], Any]]
FlattenWithKeys = Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]]
Unflatten = Callable[[Any, Iterable[Any]], Any]


class Entry:
    """How one class is taken apart and put together."""

    __slots__ = ("flatten", "flatten_with_keys", "kind", "name", "unflatten")

    def __init__(
        self, kind: type, flatten: Flatten, unflatten: Unflatten, flatten_with_keys: FlattenWithKeys | None
    ) -> None:
        self.kind = kind
        self.name = kind.__name__
        self.flatten = flatten
        self.unflatten = unflatten
        self.flatten_with_keys = flatten_with_keys


def _is_namedtuple(kind: type) -> bool:
    return issubclass(kind, tuple) and kind is not tuple and hasattr(kind, "_fields")


_leaf_types: set[type] = set()


class Entries(dict[type, "Entry | None"]):
    """Type -> how to flatten it, or None for a leaf. An unknown type is classified when it is first met."""

    def __missing__(self, kind: type) -> Entry | None:
        entry = None
        if _is_namedtuple(kind):
            names = kind._fields  # type: ignore[attr-defined]
            entry = Entry(
                kind,
                lambda node: (node, kind),
                lambda _, children: kind(*children),
                lambda node: ([(GetAttrKey(n), child) for n, child in zip(names, node, strict=True)], kind),
            )
        else:
            _leaf_types.add(kind)
        self[kind] = entry
        return entry


entries: Final = Entries()


def _keys_of(node: dict[Any, Any]) -> tuple[Any, ...]:
    """The keys of a dict, sorted."""
    try:
        return tuple(sorted(node))
    except TypeError as error:
        kinds = ", ".join(sorted({type(key).__name__ for key in node}))
        raise ValueError(
            f"the keys of a dict in a pytree must be sortable, so that equal dicts flatten alike; these are"
            f" not: {list(node)!r} (their types: {kinds}). Use keys of one type."
        ) from error


def _dict_with_keys(node: dict[Any, Any]) -> tuple[list[tuple[DictKey, Any]], Any]:
    keys = _keys_of(node)
    return [(DictKey(key), node[key]) for key in keys], keys


def _flatten_dict(node: dict[Any, Any]) -> tuple[list[Any], Any]:
    keys = _keys_of(node)
    return [node[key] for key in keys], keys


def _flatten_defaultdict(node: defaultdict[Any, Any]) -> tuple[list[Any], Any]:
    keys = _keys_of(node)
    return [node[key] for key in keys], (node.default_factory, keys)


def _indexed(node: Iterable[Any]) -> list[tuple[SequenceKey, Any]]:
    return [(SequenceKey(i), child) for i, child in enumerate(node)]


def _dict_from(keys: Any, children: Iterable[Any]) -> dict[Any, Any]:
    return dict(zip(keys, children, strict=True))


TUPLE: Final = Entry(
    tuple, lambda node: (node, None), lambda _, children: tuple(children), lambda node: (_indexed(node), None)
)
LIST: Final = Entry(
    list, lambda node: (node, None), lambda _, children: list(children), lambda node: (_indexed(node), None)
)
DICT: Final = Entry(dict, _flatten_dict, _dict_from, _dict_with_keys)
NONE_ENTRY: Final = Entry(type(None), lambda _: ((), None), lambda _, __: None, lambda _: ((), None))
for _entry in (
    TUPLE,
    LIST,
    DICT,
    NONE_ENTRY,
    Entry(
        OrderedDict,
        lambda node: (list(node.values()), tuple(node)),
        lambda keys, children: OrderedDict(zip(keys, children, strict=True)),
        lambda node: ([(DictKey(key), child) for key, child in node.items()], tuple(node)),
    ),
    Entry(
        defaultdict,
        _flatten_defaultdict,
        lambda data, children: defaultdict(data[0], _dict_from(data[1], children)),
        lambda node: (_dict_with_keys(node)[0], (node.default_factory, _keys_of(node))),
    ),
):
    entries[_entry.kind] = _entry


def register_pytree_node(
    nodetype: type[Any],
    flatten_func: Flatten,
    unflatten_func: Unflatten,
    flatten_with_keys_func: FlattenWithKeys | None = None,
) -> None:
    """Make instances of exactly the class `nodetype` nodes of pytrees.

    Args:
      flatten_func: instance -> (children, auxiliary data). The data must be hashable and comparable by ==.
      unflatten_func: (auxiliary data, children) -> instance. It must take any objects as children.
      flatten_with_keys_func: instance -> ((key, child) pairs, auxiliary data), for key paths.
    Raises:
      ValueError: the class is a node already.
    """
    if not isinstance(nodetype, type):
        raise TypeError(f"register_pytree_node takes a class, got {nodetype!r}")
    if not (callable(flatten_func) and callable(unflatten_func)):
        raise TypeError(f"to register {nodetype.__name__}, flatten_func and unflatten_func must be functions")
    known = entries.get(nodetype)
    if known is not None and not (_is_namedtuple(nodetype) and nodetype not in _registered):
        raise ValueError(
            f"Duplicate custom PyTreeDef type registration for {nodetype}: it is a pytree node already"
        )
    _registered.add(nodetype)
    _leaf_types.discard(nodetype)
    entries[nodetype] = Entry(nodetype, flatten_func, unflatten_func, flatten_with_keys_func)


_registered: set[type] = set()


# -------------------------------------------------------------------------------------------------- structure


class PyTreeDef:
    """The structure of a pytree: everything but its leaves. Hashable, and equal by value."""

    __slots__ = ("_children", "_data", "_entry", "_hash", "num_leaves", "num_nodes")

    num_leaves: int
    num_nodes: int

    def __init__(self, entry: Entry | None, data: Any, children: tuple[PyTreeDef, ...]) -> None:
        self._entry = entry
        self._data = data
        self._children = children
        self._hash: int | None = None
        leaf_count, node_count = (1 if entry is None else 0), 1
        for child in children:
            leaf_count += child.num_leaves
            node_count += child.num_nodes
        self.num_leaves = leaf_count
        self.num_nodes = node_count

    def __hash__(self) -> int:
        if self._hash is None:
            try:
                data = hash(self._data)
            except TypeError:  # the data of a user's node need compare, not hash
                data = 0
            self._hash = hash((self._entry and self._entry.kind, data, self._children))
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, PyTreeDef):
            return NotImplemented
        return (
            self._entry is other._entry
            and self.num_nodes == other.num_nodes
            and bool(self._data == other._data)
            and self._children == other._children
        )

    def __repr__(self) -> str:
        return f"PyTreeDef({self._text()})"

    def _text(self) -> str:
        entry = self._entry
        if entry is None:
            return "*"
        parts = [child._text() for child in self._children]
        if entry is NONE_ENTRY:
            return "None"
        if entry is TUPLE:
            return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
        if entry is LIST:
            return f"[{', '.join(parts)}]"
        if entry is DICT:
            return (
                f"{{{', '.join([f'{key!r}: {part}' for key, part in zip(self._data, parts, strict=True)])}}}"
            )
        if _is_namedtuple(entry.kind) and entry.kind not in _registered:
            return f"CustomNode(namedtuple[{entry.name}], [{', '.join(parts)}])"
        return f"CustomNode({entry.name}[{self._data}], [{', '.join(parts)}])"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _rebuild, (None if self._entry is None else self._entry.kind, self._data, self._children)

    def children(self) -> list[PyTreeDef]:
        """The structures of the children; none for a leaf."""
        return list(self._children)

    def node_data(self) -> tuple[type, Any] | None:
        """The class of the root and its auxiliary data (the keys of a dict); None for a leaf."""
        if self._entry is None:
            return None
        kind = self._entry.kind
        if _is_namedtuple(kind) and kind not in _registered:
            return kind, None
        return kind, list(self._data) if self._entry is DICT else self._data

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The pytree of this structure with these leaves.

        Raises:
          ValueError: there are more or fewer leaves than the structure has.
        """
        values = leaves if isinstance(leaves, list) else list(leaves)
        if len(values) != self.num_leaves:
            raise ValueError(
                f"Too {'few' if len(values) < self.num_leaves else 'many'} leaves for PyTreeDef;"
                f" expected {self.num_leaves}, got {len(values)}: {self}"
            )
        if self._entry is TUPLE and self.num_nodes == self.num_leaves + 1:
            return tuple(values)
        return self._build(values, 0)

    def _build(self, values: list[Any], start: int) -> Any:
        entry = self._entry
        if entry is None:
            return values[start]
        children = []
        for child in self._children:
            if child is LEAF:
                children.append(values[start])
                start += 1
            else:
                children.append(child._build(values, start))
                start += child.num_leaves
        return children if entry is LIST else entry.unflatten(self._data, children)

    def flatten_up_to(self, full_tree: Any) -> list[Any]:
        """The subtrees of `full_tree` where this structure has leaves.

        Raises:
          ValueError: this structure is not a prefix of the tree's.
        """
        found: list[Any] = []
        if not self._collect(full_tree, found):
            raise ValueError(prefix_error(self, full_tree, "the structure", "the tree"))
        return found

    def _collect(self, tree: Any, found: list[Any]) -> bool:
        entry = self._entry
        if entry is None:
            found.append(tree)
            return True
        if entries[type(tree)] is not entry:
            return False
        children, data = one_level(entry, tree)
        if len(children) != len(self._children) or data != self._data:
            return False
        for child, subtree in zip(self._children, children, strict=True):
            if child is LEAF:
                found.append(subtree)
            elif not child._collect(subtree, found):
                return False
        return True

    def compose(self, inner: PyTreeDef) -> PyTreeDef:
        """This structure with `inner` in the place of each leaf."""
        if self._entry is None:
            return inner
        return PyTreeDef(self._entry, self._data, tuple([child.compose(inner) for child in self._children]))


LEAF: Final = PyTreeDef(None, None, ())
NONE: Final = PyTreeDef(NONE_ENTRY, None, ())


def _rebuild(kind: type | None, data: Any, children: tuple[PyTreeDef, ...]) -> PyTreeDef:
    if kind is None:
        return LEAF
    entry = entries[kind]
    if entry is None:
        raise ValueError(
            f"a pickled PyTreeDef has nodes of {kind}, which is not registered as a pytree node here"
        )
    return PyTreeDef(entry, data, children)


def one_level(entry: Entry, node: Any) -> tuple[Sequence[Any], Any]:
    """The children and the data of a node, whose registered function may return any iterable."""
    try:
        children, data = entry.flatten(node)
    except (TypeError, ValueError) as error:
        if entry.kind in _registered:
            error.add_note(
                f"While flattening a {entry.name}: its flatten function must return (children, data)."
            )
        raise
    return (children if isinstance(children, (list, tuple)) else tuple(children)), data


def one_level_with_keys(entry: Entry, node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    if entry.flatten_with_keys is not None:
        pairs, data = entry.flatten_with_keys(node)
        return list(pairs), data
    children, data = one_level(entry, node)
    return [(FlattenedIndexKey(i), child) for i, child in enumerate(children)], data


# --------------------------------------------------------------------------------------------------- prefixes


def _kind_text(entry: Entry | None, length: int) -> str:
    if entry is None:
        return "a leaf"
    if entry is NONE_ENTRY:
        return "None"
    return f"a {entry.name} of {length}"


def _difference(prefix: PyTreeDef, tree: Any, path: KeyPath) -> tuple[KeyPath, str, str] | None:
    """Where `tree` first fails to have the prefix: the path, what the prefix has there, what the tree has."""
    entry, other = prefix._entry, entries[type(tree)]
    if entry is None:
        return None
    expected = _kind_text(entry, len(prefix._children))
    if other is None:
        return path, expected, f"a leaf of type {type(tree).__name__}"
    pairs, data = one_level_with_keys(other, tree)
    if entry is not other or len(pairs) != len(prefix._children):
        got = _kind_text(other, len(pairs))
    elif data != prefix._data:
        got = expected
    else:
        for child, (key, subtree) in zip(prefix._children, pairs, strict=True):
            found = _difference(child, subtree, (*path, key))
            if found is not None:
                return found
        return None
    if entry is other and data != prefix._data and not (data is prefix._data is None):
        word = "keys" if entry.kind in (dict, OrderedDict) else "data"
        mine, its = (list(x) if word == "keys" else x for x in (prefix._data, data))
        return path, f"{expected} with {word} {mine}", f"{got} with {word} {its}"
    return path, expected, got


def prefix_error(prefix: PyTreeDef, full_tree: Any, prefix_name: str, full_name: str) -> str:
    """Why `prefix` is not a prefix of `full_tree`, for an error message."""
    found = _difference(prefix, full_tree, ())
    if found is None:
        return f"{prefix_name} and {full_name} have different structures"
    path, expected, got = found
    place = f"at {keystr(path)}" if path else "at the root"
    return (
        f"pytree structure error: {prefix_name} and {full_name} differ {place}: {prefix_name} has {expected}"
        f" there, {full_name} has {got}.\n  {prefix_name}: {prefix}\n  {full_name}: {flatten(full_tree)[1]}"
    )


# ------------------------------------------------------------------------------------------------- flattening

_KEPT: Final = 4096
_STR: Final = frozenset((str,))
_flat: dict[tuple[Entry, int], PyTreeDef] = {}
_dict_keys: dict[tuple[str, ...], tuple[str, ...]] = {}
_flat_dicts: dict[tuple[str, ...], PyTreeDef] = {}


def _flat_structure(entry: Entry, count: int) -> PyTreeDef:
    """The structure of a tuple or list of `count` leaves."""
    treedef = _flat.get((entry, count))
    if treedef is None:
        treedef = PyTreeDef(entry, None, (LEAF,) * count)
        if len(_flat) < _KEPT:
            _flat[entry, count] = treedef
    return treedef


def _sorted_keys(node: dict[Any, Any]) -> tuple[Any, ...]:
    """`_keys_of`, remembered for dicts of strings."""
    if not _STR.issuperset(map(type, node)):
        return _keys_of(node)
    given = tuple(node)
    keys = _dict_keys.get(given)
    if keys is None:
        keys = tuple(sorted(given))
        if len(_dict_keys) >= _KEPT:
            _dict_keys.clear()
            _flat_dicts.clear()
        _dict_keys[given] = keys
        _flat_dicts[keys] = PyTreeDef(DICT, keys, (LEAF,) * len(keys))
    return keys


def _flatten(tree: Any, found: list[Any]) -> PyTreeDef:
    """Append the leaves of `tree` to `found`; return its structure."""
    entry = entries[type(tree)]
    if entry is None:
        found.append(tree)
        return LEAF
    if entry is DICT:
        data: Any = _sorted_keys(tree)
        children: Any = [tree[key] for key in data]
        if _leaf_types.issuperset(map(type, children)):
            flat_dict = _flat_dicts.get(data)
            if flat_dict is not None and flat_dict._data is data:
                found += children
                return flat_dict
    elif entry is TUPLE or entry is LIST:
        children, data = tree, None
        if _leaf_types.issuperset(map(type, children)):
            found += children
            return _flat_structure(entry, len(children))
    elif entry is NONE_ENTRY:
        return NONE
    else:
        children, data = one_level(entry, tree)
    structures = []
    for child in children:
        if entries[type(child)] is None:
            found.append(child)
            structures.append(LEAF)
        else:
            structures.append(_flatten(child, found))
    return PyTreeDef(entry, data, tuple(structures))


def _flatten_with(tree: Any, found: list[Any], is_leaf: Callable[[Any], bool]) -> PyTreeDef:
    """`_flatten`, where `is_leaf` may declare any subtree a leaf."""
    entry = entries[type(tree)]
    if entry is None or is_leaf(tree):
        found.append(tree)
        return LEAF
    if entry is NONE_ENTRY:
        return NONE
    children, data = one_level(entry, tree)
    return PyTreeDef(entry, data, tuple([_flatten_with(child, found, is_leaf) for child in children]))


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
    """Take a pytree apart: its leaves, in order, and its structure.

    Args:
      is_leaf: called on every node; where it returns True, the node is a leaf and is not looked into.
    Raises:
      ValueError: a dict has keys that can't be sorted.
    """
    found: list[Any] = []
    return found, (_flatten(tree, found) if is_leaf is None else _flatten_with(tree, found, is_leaf))


def unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """Put a pytree together from its structure and its leaves, the inverse of `flatten`.

    Raises:
      ValueError: the structure has another number of leaves.
    """
    return treedef.unflatten(leaves)


def flatten_paths(
    tree: Any, path: KeyPath, found: list[tuple[KeyPath, Any]], is_leaf: Callable[[KeyPath, Any], bool] | None
) -> PyTreeDef:
    entry = entries[type(tree)]
    if entry is None or (is_leaf is not None and is_leaf(path, tree)):
        found.append((path, tree))
        return LEAF
    if entry is NONE_ENTRY:
        return NONE
    pairs, data = one_level_with_keys(entry, tree)
    return PyTreeDef(
        entry, data, tuple([flatten_paths(child, (*path, key), found, is_leaf) for key, child in pairs])
    )
