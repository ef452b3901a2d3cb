"""Pytrees: nested containers taken apart into a list of leaves and a structure, and put together again.

Nodes are tuples, lists, dicts (by sorted key), None (no leaves), named tuples, OrderedDict, defaultdict, deque, and
every registered class; everything else is a leaf. This module is public as `wengert.tree`, and the home of what
`wengert.tree_util` offers.

Flattening is on the way of every jitted call, so flat tuples, lists and dicts of leaves take a shorter path: their
structures are made once and kept.
"""

from __future__ import annotations

import builtins
import functools
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from wengert._lazy import lazy_module

dataclasses = lazy_module("dataclasses")

__all__ = [
    "all", "broadcast", "flatten", "flatten_with_path", "leaves", "leaves_with_path", "map", "map_with_path", "reduce",
    "reduce_associative", "static", "structure", "transpose", "unflatten",
]  # fmt: skip

T = TypeVar("T")
Cls = TypeVar("Cls", bound=type)
IsLeaf = Callable[[Any], bool] | None
# map and all are names of functions below
_map: Final = builtins.map
_all: Final = builtins.all


# ---------------------------------------------------------------------------------------------------- key paths


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


# ----------------------------------------------------------------------------------------------------- registry

Flatten = Callable[[Any], tuple[Iterable[Any], Any]]
FlattenWithKeys = Callable[[Any], tuple[Iterable[tuple[Any, Any]], Any]]
Unflatten = Callable[[Any, Iterable[Any]], Any]


class _Entry:
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


class _Entries(dict[type, "_Entry | None"]):
    """Type -> how to flatten it, or None for a leaf. An unknown type is classified when it is first met."""

    def __missing__(self, kind: type) -> _Entry | None:
        entry = None
        if _is_namedtuple(kind):
            names = kind._fields  # type: ignore[attr-defined]
            entry = _Entry(
                kind,
                lambda node: (node, kind),
                lambda _, children: kind(*children),
                lambda node: ([(GetAttrKey(n), child) for n, child in zip(names, node, strict=True)], kind),
            )
        else:
            _leaf_types.add(kind)
        self[kind] = entry
        return entry


_entries: Final = _Entries()


def _keys_of(node: dict[Any, Any]) -> tuple[Any, ...]:
    """The keys of a dict, sorted."""
    try:
        return tuple(sorted(node))
    except TypeError as error:
        kinds = ", ".join(sorted({type(key).__name__ for key in node}))
        raise ValueError(
            f"the keys of a dict in a pytree must be sortable, so that equal dicts flatten alike; these are not"
            f" (their types: {kinds}): {list(node)!r}. Use keys of one type."
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


_TUPLE: Final = _Entry(
    tuple, lambda node: (node, None), lambda _, children: tuple(children), lambda node: (_indexed(node), None)
)
_LIST: Final = _Entry(
    list, lambda node: (node, None), lambda _, children: list(children), lambda node: (_indexed(node), None)
)
_DICT: Final = _Entry(dict, _flatten_dict, _dict_from, _dict_with_keys)
_NONE_ENTRY: Final = _Entry(type(None), lambda _: ((), None), lambda _, __: None, lambda _: ((), None))
for _entry in (
    _TUPLE,
    _LIST,
    _DICT,
    _NONE_ENTRY,
    _Entry(
        OrderedDict,
        lambda node: (list(node.values()), tuple(node)),
        lambda keys, children: OrderedDict(zip(keys, children, strict=True)),
        lambda node: ([(DictKey(key), child) for key, child in node.items()], tuple(node)),
    ),
    _Entry(
        defaultdict,
        _flatten_defaultdict,
        lambda data, children: defaultdict(data[0], _dict_from(data[1], children)),
        lambda node: (_dict_with_keys(node)[0], (node.default_factory, _keys_of(node))),
    ),
    _Entry(
        deque,
        lambda node: (list(node), node.maxlen),
        lambda maxlen, children: deque(children, maxlen),
        lambda node: (_indexed(node), node.maxlen),
    ),
):
    _entries[_entry.kind] = _entry


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
    known = _entries.get(nodetype)
    if known is not None and not (_is_namedtuple(nodetype) and nodetype not in _registered):
        raise ValueError(f"Duplicate custom PyTreeDef type registration for {nodetype}: it is a pytree node already")
    _registered.add(nodetype)
    _leaf_types.discard(nodetype)
    _entries[nodetype] = _Entry(nodetype, flatten_func, unflatten_func, flatten_with_keys_func)


_registered: set[type] = set()


def register_pytree_node_class(cls: Cls) -> Cls:
    """Class decorator: register by the methods `tree_flatten(self)` and classmethod `tree_unflatten(aux, children)`."""
    register_pytree_node(cls, lambda node: node.tree_flatten(), cls.tree_unflatten)  # type: ignore[attr-defined]
    return cls


def register_pytree_with_keys(
    nodetype: type[Any],
    flatten_with_keys: FlattenWithKeys,
    unflatten_func: Unflatten,
    flatten_func: Flatten | None = None,
) -> None:
    """As `register_pytree_node`, with a function that gives (key, child) pairs; `flatten_func` may save their making."""

    def without_keys(node: Any) -> tuple[Iterable[Any], Any]:
        pairs, data = flatten_with_keys(node)
        return [child for _, child in pairs], data

    register_pytree_node(nodetype, flatten_func or without_keys, unflatten_func, flatten_with_keys)


def register_pytree_with_keys_class(cls: Cls) -> Cls:
    """Class decorator: by the methods `tree_flatten_with_keys(self)`, `tree_unflatten`, and if there is one `tree_flatten`."""
    register_pytree_with_keys(
        cls,
        lambda node: node.tree_flatten_with_keys(),
        cls.tree_unflatten,  # type: ignore[attr-defined]
        (lambda node: node.tree_flatten()) if hasattr(cls, "tree_flatten") else None,
    )
    return cls


def register_dataclass(
    nodetype: Cls,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> Cls:
    """Make a dataclass (or a class that is built by keyword arguments) a pytree node.

    Args:
      data_fields: the children. By default all fields but those declared by `tree.static(...)`.
      meta_fields: static fields, part of the structure: hashable, comparable by ==.
      drop_fields: fields that are left out, to be filled by their defaults.
    Raises:
      TypeError: only one of `data_fields` and `meta_fields` is given, or neither, for no dataclass.
      ValueError: together they are not the fields of the dataclass.
    """
    if (data_fields is None) != (meta_fields is None):
        raise TypeError("register_dataclass: data_fields and meta_fields must be given both, or neither")
    is_dataclass = dataclasses.is_dataclass(nodetype)
    if data_fields is None or meta_fields is None:
        if not is_dataclass:
            raise TypeError(
                f"register_dataclass: {nodetype.__name__} is no dataclass, so data_fields and meta_fields must be given"
            )
        fields = [field for field in dataclasses.fields(nodetype) if field.init and field.name not in drop_fields]
        data_fields = [field.name for field in fields if not field.metadata.get("static", False)]
        meta_fields = [field.name for field in fields if field.metadata.get("static", False)]
    data, meta = tuple(data_fields), tuple(meta_fields)
    if is_dataclass:
        wanted = {field.name for field in dataclasses.fields(nodetype) if field.init} - set(drop_fields)
        given = {*data, *meta}
        if wanted != given:
            raise ValueError(
                f"register_dataclass: data_fields and meta_fields must together be the fields of {nodetype.__name__}"
                f" that its constructor takes. Missing: {sorted(wanted - given)}; unknown: {sorted(given - wanted)}."
                " Fields that are not to be kept go into drop_fields."
            )

    def flatten_fields(node: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple([getattr(node, name) for name in data]), tuple([getattr(node, name) for name in meta])

    def flatten_fields_with_keys(node: Any) -> tuple[list[tuple[GetAttrKey, Any]], tuple[Any, ...]]:
        return [(GetAttrKey(name), getattr(node, name)) for name in data], tuple([getattr(node, n) for n in meta])

    def unflatten_fields(values: tuple[Any, ...], children: Iterable[Any]) -> Any:
        arguments = dict(zip(meta, values, strict=True))
        arguments.update(zip(data, children, strict=True))
        return nodetype(**arguments)

    register_pytree_node(nodetype, flatten_fields, unflatten_fields, flatten_fields_with_keys)
    return nodetype


def register_static(cls: type[T]) -> type[T]:
    """Class decorator: instances are nodes without leaves, part of the structure; hashable, comparable by ==."""
    register_pytree_node(cls, lambda node: ((), node), lambda node, _: node)
    return cls


def static(**kwargs: Any) -> Any:
    """A dataclass field that `register_dataclass` makes part of the structure. Arguments as of `dataclasses.field`."""
    metadata = {"static": True, **(kwargs.pop("metadata", None) or {})}
    return dataclasses.field(metadata=metadata, **kwargs)


# ----------------------------------------------------------------------------------------------------- structure


class PyTreeDef:
    """The structure of a pytree: everything but its leaves. Hashable, and equal by value."""

    __slots__ = ("_children", "_data", "_entry", "_hash", "num_leaves", "num_nodes")

    num_leaves: int
    num_nodes: int

    def __init__(self, entry: _Entry | None, data: Any, children: tuple[PyTreeDef, ...]) -> None:
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
            self._hash = hash((self._entry and self._entry.kind, self._data, self._children))
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
        if entry is _NONE_ENTRY:
            return "None"
        if entry is _TUPLE:
            return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
        if entry is _LIST:
            return f"[{', '.join(parts)}]"
        if entry is _DICT:
            return f"{{{', '.join([f'{key!r}: {part}' for key, part in zip(self._data, parts, strict=True)])}}}"
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
        return self._entry.kind, list(self._data) if self._entry is _DICT else self._data

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
        if self._entry is _TUPLE and self.num_nodes == self.num_leaves + 1:
            return tuple(values)
        return self._build(values, 0)

    def _build(self, values: list[Any], start: int) -> Any:
        entry = self._entry
        if entry is None:
            return values[start]
        children = []
        for child in self._children:
            if child is _LEAF:
                children.append(values[start])
                start += 1
            else:
                children.append(child._build(values, start))
                start += child.num_leaves
        return children if entry is _LIST else entry.unflatten(self._data, children)

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
        if _entries[type(tree)] is not entry:
            return False
        children, data = _one_level(entry, tree)
        if len(children) != len(self._children) or data != self._data:
            return False
        for child, subtree in zip(self._children, children, strict=True):
            if child is _LEAF:
                found.append(subtree)
            elif not child._collect(subtree, found):
                return False
        return True

    def compose(self, inner: PyTreeDef) -> PyTreeDef:
        """This structure with `inner` in the place of each leaf."""
        if self._entry is None:
            return inner
        return PyTreeDef(self._entry, self._data, tuple([child.compose(inner) for child in self._children]))


_LEAF: Final = PyTreeDef(None, None, ())
_NONE: Final = PyTreeDef(_NONE_ENTRY, None, ())


def _rebuild(kind: type | None, data: Any, children: tuple[PyTreeDef, ...]) -> PyTreeDef:
    if kind is None:
        return _LEAF
    entry = _entries[kind]
    if entry is None:
        raise ValueError(f"a pickled PyTreeDef has nodes of {kind}, which is not registered as a pytree node here")
    return PyTreeDef(entry, data, children)


def _one_level(entry: _Entry, node: Any) -> tuple[Sequence[Any], Any]:
    """The children and the data of a node, whose registered function may return any iterable."""
    try:
        children, data = entry.flatten(node)
    except (TypeError, ValueError) as error:
        if entry.kind in _registered:
            error.add_note(f"While flattening a {entry.name}: its flatten function must return (children, data).")
        raise
    return (children if isinstance(children, (list, tuple)) else tuple(children)), data


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees with these structures."""
    return PyTreeDef(_TUPLE, None, tuple(treedefs))


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the children of the root."""
    return treedef.children()


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether this is the structure of a single leaf."""
    return treedef.num_nodes == 1 and treedef.num_leaves == 1


# ----------------------------------------------------------------------------------------------------- flattening

_KEPT: Final = 4096
_STR: Final = frozenset((str,))
_flat: dict[tuple[_Entry, int], PyTreeDef] = {}
_dict_keys: dict[tuple[str, ...], tuple[str, ...]] = {}
_flat_dicts: dict[tuple[str, ...], PyTreeDef] = {}


def _flat_structure(entry: _Entry, count: int) -> PyTreeDef:
    """The structure of a tuple or list of `count` leaves."""
    treedef = _flat.get((entry, count))
    if treedef is None:
        treedef = PyTreeDef(entry, None, (_LEAF,) * count)
        if len(_flat) < _KEPT:
            _flat[entry, count] = treedef
    return treedef


def _sorted_keys(node: dict[Any, Any]) -> tuple[Any, ...]:
    """`_keys_of`, remembered for dicts of strings."""
    if not _STR.issuperset(_map(type, node)):
        return _keys_of(node)
    given = tuple(node)
    keys = _dict_keys.get(given)
    if keys is None:
        keys = tuple(sorted(given))
        if len(_dict_keys) >= _KEPT:
            _dict_keys.clear()
            _flat_dicts.clear()
        _dict_keys[given] = keys
        _flat_dicts[keys] = PyTreeDef(_DICT, keys, (_LEAF,) * len(keys))
    return keys


def _flatten(tree: Any, found: list[Any]) -> PyTreeDef:
    """Append the leaves of `tree` to `found`; return its structure."""
    entry = _entries[type(tree)]
    if entry is None:
        found.append(tree)
        return _LEAF
    if entry is _DICT:
        data: Any = _sorted_keys(tree)
        children: Any = [tree[key] for key in data]
        if _leaf_types.issuperset(_map(type, children)):
            flat_dict = _flat_dicts.get(data)
            if flat_dict is not None and flat_dict._data is data:
                found += children
                return flat_dict
    elif entry is _TUPLE or entry is _LIST:
        children, data = tree, None
        if _leaf_types.issuperset(_map(type, children)):
            found += children
            return _flat_structure(entry, len(children))
    elif entry is _NONE_ENTRY:
        return _NONE
    else:
        children, data = _one_level(entry, tree)
    structures = []
    for child in children:
        if _entries[type(child)] is None:
            found.append(child)
            structures.append(_LEAF)
        else:
            structures.append(_flatten(child, found))
    return PyTreeDef(entry, data, tuple(structures))


def _flatten_with(tree: Any, found: list[Any], is_leaf: Callable[[Any], bool]) -> PyTreeDef:
    """`_flatten`, where `is_leaf` may declare any subtree a leaf."""
    entry = _entries[type(tree)]
    if entry is None or is_leaf(tree):
        found.append(tree)
        return _LEAF
    if entry is _NONE_ENTRY:
        return _NONE
    children, data = _one_level(entry, tree)
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


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a pytree, in order."""
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf = None) -> PyTreeDef:
    """The structure of a pytree."""
    return flatten(tree, is_leaf)[1]


def _one_level_with_keys(entry: _Entry, node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    if entry.flatten_with_keys is not None:
        pairs, data = entry.flatten_with_keys(node)
        return list(pairs), data
    children, data = _one_level(entry, node)
    return [(FlattenedIndexKey(i), child) for i, child in enumerate(children)], data


def _flatten_paths(
    tree: Any, path: KeyPath, found: list[tuple[KeyPath, Any]], is_leaf: Callable[[KeyPath, Any], bool] | None
) -> PyTreeDef:
    entry = _entries[type(tree)]
    if entry is None or (is_leaf is not None and is_leaf(path, tree)):
        found.append((path, tree))
        return _LEAF
    if entry is _NONE_ENTRY:
        return _NONE
    pairs, data = _one_level_with_keys(entry, tree)
    return PyTreeDef(
        entry, data, tuple([_flatten_paths(child, (*path, key), found, is_leaf) for key, child in pairs])
    )


def flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """As `flatten`, with (key path, leaf) pairs. With `is_leaf_takes_path`, `is_leaf` is called on (path, node)."""
    found: list[tuple[KeyPath, Any]] = []
    if is_leaf is None or is_leaf_takes_path:
        return found, _flatten_paths(tree, (), found, is_leaf)
    test = is_leaf
    return found, _flatten_paths(tree, (), found, lambda _, node: test(node))


def leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """The (key path, leaf) pairs of a pytree."""
    return flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def flatten_one_level(tree: Any) -> tuple[Iterable[Any], Hashable]:
    """The children and the auxiliary data of the root.

    Raises:
      ValueError: `tree` is a leaf.
    """
    entry = _entries[type(tree)]
    if entry is None:
        raise ValueError(f"can't tree-flatten type: {type(tree)} is not a pytree node, but a leaf")
    return _one_level(entry, tree)


def flatten_one_level_with_keys(tree: Any) -> tuple[Iterable[tuple[Any, Any]], Hashable]:
    """The (key, child) pairs and the auxiliary data of the root.

    Raises:
      ValueError: `tree` is a leaf.
    """
    entry = _entries[type(tree)]
    if entry is None:
        raise ValueError(f"can't tree-flatten type: {type(tree)} is not a pytree node, but a leaf")
    return _one_level_with_keys(entry, tree)


def is_tree_node(typ: type) -> bool:
    """Whether instances of this class are nodes."""
    return _entries[typ] is not None


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf = None) -> bool:
    """Whether no element is a node (None is one)."""
    return _all([_entries[type(x)] is None or (is_leaf is not None and is_leaf(x)) for x in iterable])


# -------------------------------------------------------------------------------------------------- prefixes


def _kind_text(entry: _Entry | None, length: int) -> str:
    if entry is None:
        return "a leaf"
    if entry is _NONE_ENTRY:
        return "None"
    return f"a {entry.name} of {length}"


def _difference(prefix: PyTreeDef, tree: Any, path: KeyPath) -> tuple[KeyPath, str, str] | None:
    """Where and how `tree` first fails to have the prefix: path, what the prefix has there, what the tree has."""
    entry, other = prefix._entry, _entries[type(tree)]
    if entry is None:
        return None
    expected = _kind_text(entry, len(prefix._children))
    if other is None:
        return path, expected, f"a leaf of type {type(tree).__name__}"
    pairs, data = _one_level_with_keys(other, tree)
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
        f"pytree structure error: {prefix_name} and {full_name} differ {place}: {prefix_name} has {expected} there,"
        f" {full_name} has {got}.\n  {prefix_name}: {prefix}\n  {full_name}: {structure(full_tree)}"
    )


def broadcast_prefix(
    prefix_tree: Any,
    full_tree: Any,
    is_leaf: IsLeaf = None,
    *,
    prefix_name: str = "the prefix",
    full_name: str = "the tree",
) -> list[Any]:
    """For each leaf of `full_tree`, the leaf of `prefix_tree` above it.

    `vmap` finds the axis of every argument so, with `is_leaf=lambda x: x is None`.

    Raises:
      ValueError: `prefix_tree` is not a prefix; the message names the place.
    """
    values, prefix = flatten(prefix_tree, is_leaf)
    subtrees: list[Any] = []
    if not prefix._collect(full_tree, subtrees):
        raise ValueError(prefix_error(prefix, full_tree, prefix_name, full_name))
    result: list[Any] = []
    for value, subtree in zip(values, subtrees, strict=True):
        if _entries[type(subtree)] is None:
            result.append(value)
        else:
            result += [value] * structure(subtree).num_leaves
    return result


def broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> Any:
    """A tree like `full_tree`, each leaf replaced by the leaf of `prefix_tree` above it.

    Raises:
      ValueError: `prefix_tree` is not a prefix of `full_tree`.
    """
    return structure(full_tree, is_leaf).unflatten(broadcast_prefix(prefix_tree, full_tree, is_leaf))


# -------------------------------------------------------------------------------------------- maps and reductions


def _matched(treedef: PyTreeDef, rest: tuple[Any, ...], name: str) -> Iterator[list[Any]]:
    """The subtrees of each tree of `rest` at the leaves of `treedef`."""
    for number, tree in enumerate(rest, start=2):
        found: list[Any] = []
        if not treedef._collect(tree, found):
            raise ValueError(f"{name}: {prefix_error(treedef, tree, 'tree 1', f'tree {number}')}")
        yield found


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """Apply `f` to every leaf of `tree`, together with the subtrees of `rest` at the same places.

    Returns:
      a tree of the structure of `tree`.
    Raises:
      ValueError: `tree` is not a prefix of one of `rest`; the message names the place.
    """
    values, treedef = flatten(tree, is_leaf)
    if not rest:
        return treedef.unflatten([f(value) for value in values])
    columns = [values, *_matched(treedef, rest, "tree.map")]
    return treedef.unflatten([f(*row) for row in zip(*columns, strict=True)])


def map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """As `map`, with the key path of the leaf as the first argument of `f`."""
    pairs, treedef = flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    columns = [
        [path for path, _ in pairs],
        [value for _, value in pairs],
        *_matched(treedef, rest, "tree.map_with_path"),
    ]
    return treedef.unflatten([f(*row) for row in zip(*columns, strict=True)])


class Unspecified:
    """The default of an argument for which None is a value like others."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<unspecified>"


_UNSPECIFIED: Final = Unspecified()


def reduce(function: Callable[[Any, Any], Any], tree: Any, initializer: Any = _UNSPECIFIED, is_leaf: IsLeaf = None) -> Any:
    """Combine the leaves from left to right, beginning with `initializer` if it is given.

    Raises:
      TypeError: there are no leaves and no initializer.
    """
    if isinstance(initializer, Unspecified):
        return functools.reduce(function, leaves(tree, is_leaf))
    return functools.reduce(function, leaves(tree, is_leaf), initializer)


def reduce_associative(
    operation: Callable[[Any, Any], Any], tree: Any, *, identity: Any = _UNSPECIFIED, is_leaf: IsLeaf = None
) -> Any:
    """Combine the leaves by an associative operation, halves first, so that the depth is logarithmic.

    Raises:
      TypeError: there are no leaves and no identity.
    """
    values = leaves(tree, is_leaf)
    if not values:
        if isinstance(identity, Unspecified):
            raise TypeError("reduce_associative: the tree has no leaves, so an identity must be given")
        return identity

    def combine(start: int, stop: int) -> Any:
        if stop - start == 1:
            return values[start]
        middle = start + (stop - start) // 2
        return operation(combine(start, middle), combine(middle, stop))

    return combine(0, len(values))


def all(tree: Any, *, is_leaf: IsLeaf = None) -> bool:
    """Whether every leaf is true."""
    return _all(leaves(tree, is_leaf))


def transpose(outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, pytree_to_transpose: Any) -> Any:
    """Turn a tree of trees inside out: from structure outer of inner to inner of outer.

    Args:
      inner_treedef: None to take it from the tree.
    Raises:
      TypeError, ValueError: the tree has not the structure outer of inner.
    """
    subtrees = outer_treedef.flatten_up_to(pytree_to_transpose)
    if inner_treedef is None:
        if not subtrees:
            raise TypeError("tree.transpose: the inner structure can't be found in a tree without leaves; give it")
        inner_treedef = structure(subtrees[0])
    outer_size, inner_size = outer_treedef.num_leaves, inner_treedef.num_leaves
    if outer_size == 0 or inner_size == 0:
        raise TypeError("tree.transpose: the structures must have leaves")
    columns = []
    for subtree in subtrees:
        values, treedef = flatten(subtree)
        if treedef != inner_treedef:
            if inner_size == len(values):
                raise TypeError(f"tree.transpose: a subtree has the structure {treedef}, not the inner {inner_treedef}")
            values = inner_treedef.flatten_up_to(subtree)
        columns.append(values)
    rows = [outer_treedef.unflatten([column[i] for column in columns]) for i in range(inner_size)]
    return inner_treedef.unflatten(rows)


# ------------------------------------------------------------------------------------------------------- Partial


class _Boxed:
    """A functools.partial that another one must not merge with: its arguments are not to become leaves."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Boxed) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return repr(self.function)


class Partial(functools.partial):  # type: ignore[type-arg]
    """`functools.partial` as a pytree node: the bound arguments are leaves, the function is structure.

    So it can be passed into and out of transformed functions.
    """

    def __new__(cls, func: Callable[..., Any], *args: Any, **kw: Any) -> Partial:
        return super().__new__(cls, _Boxed(func) if isinstance(func, functools.partial) else func, *args, **kw)


register_pytree_node(
    Partial,
    lambda node: ((node.args, node.keywords), node.func),
    lambda function, children: Partial(function, *(pair := tuple(children))[0], **pair[1]),
    lambda node: (((GetAttrKey("args"), node.args), (GetAttrKey("keywords"), node.keywords)), node.func),
)


# ------------------------------------------------------------------------------------------- the registry as an object


class PyTreeRegistry:
    """The registry of node classes, for programs that ask it directly. There is one: `default_registry`."""

    __slots__ = ()

    def flatten(self, tree: Any, leaf_predicate: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
        """`tree.flatten`."""
        return flatten(tree, leaf_predicate)

    def flatten_one_level(self, tree: Any) -> tuple[Iterable[Any], Any] | None:
        """The children and the data of the root; None for a leaf."""
        entry = _entries[type(tree)]
        return None if entry is None else _one_level(entry, tree)

    def flatten_one_level_with_keys(self, tree: Any) -> tuple[Iterable[tuple[Any, Any]], Any] | None:
        """The (key, child) pairs and the data of the root; None for a leaf."""
        entry = _entries[type(tree)]
        return None if entry is None else _one_level_with_keys(entry, tree)

    def flatten_with_path(self, tree: Any, leaf_predicate: IsLeaf = None) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
        """`tree.flatten_with_path`."""
        return flatten_with_path(tree, leaf_predicate)

    def is_node(self, typ: type) -> bool:
        """Whether instances of this class are nodes."""
        return is_tree_node(typ)

    def register_node(
        self,
        typ: type,
        to_iterable: Flatten,
        from_iterable: Unflatten,
        to_iterable_with_keys: FlattenWithKeys | None = None,
    ) -> None:
        """`register_pytree_node`."""
        register_pytree_node(typ, to_iterable, from_iterable, to_iterable_with_keys)


default_registry: Final = PyTreeRegistry()
