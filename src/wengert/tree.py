"""Pytrees: nested containers taken apart into a list of leaves and a structure, and put together again.

Nodes are tuples, lists, dicts (by sorted key), None (no leaves), named tuples, OrderedDict, defaultdict
and every registered class; everything else is a leaf, sets and deques too. This module is public as
`wengert.tree`, and the home of what `wengert.tree_util` offers.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from wengert._lazy import lazy_module
from wengert.treedef import (
    NONE,
    TUPLE,
    DictKey,
    Flatten,
    FlattenedIndexKey,
    FlattenWithKeys,
    GetAttrKey,
    IsLeaf,
    KeyEntry,
    KeyPath,
    PyTreeDef,
    SequenceKey,
    Unflatten,
    entries,
    flatten,
    flatten_paths,
    keystr,
    one_level,
    one_level_with_keys,
    prefix_error,
    register_pytree_node,
    unflatten,
)

dataclasses = lazy_module("dataclasses")

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "IsLeaf",
    "KeyEntry",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "PyTreeRegistry",
    "SequenceKey",
    "all",
    "all_leaves",
    "broadcast",
    "broadcast_prefix",
    "default_registry",
    "flatten",
    "flatten_one_level",
    "flatten_one_level_with_keys",
    "flatten_with_path",
    "is_tree_node",
    "keystr",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "prefix_error",
    "reduce",
    "reduce_associative",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "static",
    "structure",
    "transpose",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
    "unflatten",
]

T = TypeVar("T")
Cls = TypeVar("Cls", bound=type)
_all: Final = builtins.all  # the name is taken by a function below


# ----------------------------------------------------------------------------------------------- registration


def register_pytree_node_class(cls: Cls) -> Cls:
    """Class decorator: by the method `tree_flatten()` and the classmethod `tree_unflatten(aux, children)`."""
    unflatten_func = cls.tree_unflatten  # type: ignore[attr-defined]
    register_pytree_node(cls, lambda node: node.tree_flatten(), unflatten_func)
    return cls


def register_pytree_with_keys(
    nodetype: type[Any],
    flatten_with_keys: FlattenWithKeys,
    unflatten_func: Unflatten,
    flatten_func: Flatten | None = None,
) -> None:
    """As `register_pytree_node`, by a function that gives (key, child) pairs.

    With `flatten_func`, the keys need not be made where nobody asks for them.
    """

    def without_keys(node: Any) -> tuple[Iterable[Any], Any]:
        pairs, data = flatten_with_keys(node)
        return [child for _, child in pairs], data

    register_pytree_node(nodetype, flatten_func or without_keys, unflatten_func, flatten_with_keys)


def register_pytree_with_keys_class(cls: Cls) -> Cls:
    """Class decorator: by the methods `tree_flatten_with_keys`, `tree_unflatten`, perhaps `tree_flatten`."""
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
                f"register_dataclass: {nodetype.__name__} is no dataclass, so data_fields and meta_fields"
                " must be given"
            )
        fields = [
            field for field in dataclasses.fields(nodetype) if field.init and field.name not in drop_fields
        ]
        data_fields = [field.name for field in fields if not field.metadata.get("static", False)]
        meta_fields = [field.name for field in fields if field.metadata.get("static", False)]
    data, meta = tuple(data_fields), tuple(meta_fields)
    if is_dataclass:
        wanted = {field.name for field in dataclasses.fields(nodetype) if field.init} - set(drop_fields)
        given = {*data, *meta}
        if wanted != given:
            raise ValueError(
                f"register_dataclass: data_fields and meta_fields must together be the fields that the"
                f" constructor of {nodetype.__name__} takes. Missing: {sorted(wanted - given)}; unknown:"
                f" {sorted(given - wanted)}. Fields that are not to be kept go into drop_fields."
            )

    def flatten_fields(node: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple([getattr(node, name) for name in data]), tuple([getattr(node, name) for name in meta])

    def flatten_fields_with_keys(node: Any) -> tuple[list[tuple[GetAttrKey, Any]], tuple[Any, ...]]:
        return [(GetAttrKey(name), getattr(node, name)) for name in data], tuple(
            [getattr(node, n) for n in meta]
        )

    def unflatten_fields(values: tuple[Any, ...], children: Iterable[Any]) -> Any:
        arguments = dict(zip(meta, values, strict=True))
        arguments.update(zip(data, children, strict=True))
        return nodetype(**arguments)

    register_pytree_node(nodetype, flatten_fields, unflatten_fields, flatten_fields_with_keys)
    return nodetype


def register_static(cls: type[T]) -> type[T]:
    """Class decorator: instances are part of the structure, without leaves; hashable, comparable by ==."""
    register_pytree_node(cls, lambda node: ((), node), lambda node, _: node)
    return cls


def static(**kwargs: Any) -> Any:
    """A field that `register_dataclass` makes part of the structure. Arguments as of `dataclasses.field`."""
    metadata = {"static": True, **(kwargs.pop("metadata", None) or {})}
    return dataclasses.field(metadata=metadata, **kwargs)


# ------------------------------------------------------------------------------------------------- flattening


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a pytree, in order."""
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf = None) -> PyTreeDef:
    """The structure of a pytree."""
    return flatten(tree, is_leaf)[1]


def flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """As `flatten`, with (key path, leaf) pairs in the place of leaves.

    Args:
      is_leaf_takes_path: call `is_leaf` on (path, node) instead of node.
    """
    found: list[tuple[KeyPath, Any]] = []
    if is_leaf is None or is_leaf_takes_path:
        return found, flatten_paths(tree, (), found, is_leaf)
    test = is_leaf
    return found, flatten_paths(tree, (), found, lambda _, node: test(node))


def leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """The (key path, leaf) pairs of a pytree."""
    return flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def flatten_one_level(tree: Any) -> tuple[tuple[Any, ...], Hashable]:
    """The children and the auxiliary data of the root.

    Raises:
      ValueError: `tree` is a leaf.
    """
    entry = entries[type(tree)]
    if entry is None:
        raise ValueError(f"can't tree-flatten type: {type(tree)} is not a pytree node, but a leaf")
    children, data = one_level(entry, tree)
    return tuple(children), data


def flatten_one_level_with_keys(tree: Any) -> tuple[Iterable[tuple[Any, Any]], Hashable]:
    """The (key, child) pairs and the auxiliary data of the root.

    Raises:
      ValueError: `tree` is a leaf.
    """
    entry = entries[type(tree)]
    if entry is None:
        raise ValueError(f"can't tree-flatten type: {type(tree)} is not a pytree node, but a leaf")
    return one_level_with_keys(entry, tree)


def is_tree_node(typ: type) -> bool:
    """Whether instances of this class are nodes."""
    return entries[typ] is not None


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf = None) -> bool:
    """Whether no element is a node (None is one)."""
    return _all([entries[type(x)] is None or (is_leaf is not None and is_leaf(x)) for x in iterable])


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees with these structures."""
    return PyTreeDef(TUPLE, None, tuple(treedefs))


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the children of the root."""
    return treedef.children()


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether this is the structure of a single leaf."""
    return treedef.num_nodes == 1 and treedef.num_leaves == 1


# --------------------------------------------------------------------------------- prefixes, maps, reductions


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
        if entries[type(subtree)] is None:
            result.append(value)
        else:
            result += [value] * structure(subtree).num_leaves
    return result


def broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> Any:
    """A tree like `full_tree`, each leaf replaced by the leaf of `prefix_tree` above it.

    Raises:
      ValueError: `prefix_tree` is not a prefix of `full_tree`.
    """
    return structure(full_tree).unflatten(broadcast_prefix(prefix_tree, full_tree, is_leaf))


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


def reduce(
    function: Callable[[Any, Any], Any], tree: Any, initializer: Any = _UNSPECIFIED, is_leaf: IsLeaf = None
) -> Any:
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
      TypeError: the tree has not as many leaves as the structure outer of inner, or one of them has none.
      ValueError: the inner structure is to be found, and the tree does not begin with the outer one.
    """
    if inner_treedef is None:
        subtrees = outer_treedef.flatten_up_to(pytree_to_transpose)
        inner_treedef = structure(subtrees[0]) if subtrees else NONE
    outer_size, inner_size = outer_treedef.num_leaves, inner_treedef.num_leaves
    if outer_size == 0 or inner_size == 0:
        raise TypeError("tree.transpose: both structures must have leaves")
    values, treedef = flatten(pytree_to_transpose)
    if len(values) != outer_size * inner_size:
        raise TypeError(
            f"tree.transpose: the tree has {len(values)} leaves, not {outer_size} times {inner_size}.\n"
            f"  expected: {outer_treedef.compose(inner_treedef)}\n  the tree: {treedef}"
        )
    columns = [values[start : start + inner_size] for start in range(0, len(values), inner_size)]
    rows = [outer_treedef.unflatten([column[i] for column in columns]) for i in range(inner_size)]
    return inner_treedef.unflatten(rows)


# ---------------------------------------------------------------------------------------------------- Partial


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
        return super().__new__(
            cls, _Boxed(func) if isinstance(func, functools.partial) else func, *args, **kw
        )


register_pytree_node(
    Partial,
    lambda node: ((node.args, node.keywords), node.func),
    lambda function, children: Partial(function, *(pair := tuple(children))[0], **pair[1]),
)


# ---------------------------------------------------------------------------------- the registry as an object


class PyTreeRegistry:
    """The registry of node classes, for programs that ask it directly. There is one: `default_registry`."""

    __slots__ = ()

    def flatten(self, tree: Any, leaf_predicate: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
        """`tree.flatten`."""
        return flatten(tree, leaf_predicate)

    def flatten_one_level(self, tree: Any) -> tuple[Iterable[Any], Any] | None:
        """The children and the data of the root; None for a leaf."""
        entry = entries[type(tree)]
        return None if entry is None else flatten_one_level(tree)

    def flatten_one_level_with_keys(self, tree: Any) -> tuple[Iterable[tuple[Any, Any]], Any] | None:
        """The (key, child) pairs and the data of the root; None for a leaf."""
        entry = entries[type(tree)]
        return None if entry is None else one_level_with_keys(entry, tree)

    def flatten_with_path(
        self, tree: Any, leaf_predicate: IsLeaf = None
    ) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
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
