"""The functions of `wengert.tree` under their longer names, and the registration of node classes."""

from __future__ import annotations

from wengert.tree import (
    DictKey as DictKey,
)
from wengert.tree import (
    FlattenedIndexKey as FlattenedIndexKey,
)
from wengert.tree import (
    GetAttrKey as GetAttrKey,
)
from wengert.tree import (
    KeyEntry as KeyEntry,
)
from wengert.tree import (
    KeyPath as KeyPath,
)
from wengert.tree import (
    Partial as Partial,
)
from wengert.tree import (
    PyTreeDef as PyTreeDef,
)
from wengert.tree import (
    SequenceKey as SequenceKey,
)
from wengert.tree import (
    all as tree_all,
)
from wengert.tree import (
    all_leaves as all_leaves,
)
from wengert.tree import (
    broadcast as tree_broadcast,
)
from wengert.tree import (
    default_registry as default_registry,
)
from wengert.tree import (
    flatten as tree_flatten,
)
from wengert.tree import (
    flatten_one_level as flatten_one_level,
)
from wengert.tree import (
    flatten_one_level_with_keys as flatten_one_level_with_keys,
)
from wengert.tree import (
    flatten_with_path as tree_flatten_with_path,
)
from wengert.tree import (
    is_tree_node as is_tree_node,
)
from wengert.tree import (
    keystr as keystr,
)
from wengert.tree import (
    leaves as tree_leaves,
)
from wengert.tree import (
    leaves_with_path as tree_leaves_with_path,
)
from wengert.tree import (
    map as tree_map,
)
from wengert.tree import (
    map_with_path as tree_map_with_path,
)
from wengert.tree import (
    reduce as tree_reduce,
)
from wengert.tree import (
    reduce_associative as tree_reduce_associative,
)
from wengert.tree import (
    register_dataclass as register_dataclass,
)
from wengert.tree import (
    register_pytree_node as register_pytree_node,
)
from wengert.tree import (
    register_pytree_node_class as register_pytree_node_class,
)
from wengert.tree import (
    register_pytree_with_keys as register_pytree_with_keys,
)
from wengert.tree import (
    register_pytree_with_keys_class as register_pytree_with_keys_class,
)
from wengert.tree import (
    register_static as register_static,
)
from wengert.tree import (
    structure as tree_structure,
)
from wengert.tree import (
    transpose as tree_transpose,
)
from wengert.tree import (
    treedef_children as treedef_children,
)
from wengert.tree import (
    treedef_is_leaf as treedef_is_leaf,
)
from wengert.tree import (
    treedef_tuple as treedef_tuple,
)
from wengert.tree import (
    unflatten as tree_unflatten,
)

__all__ = [
    "DictKey", "FlattenedIndexKey", "GetAttrKey", "KeyEntry", "KeyPath", "Partial", "PyTreeDef",
    "SequenceKey", "all_leaves", "default_registry", "flatten_one_level", "flatten_one_level_with_keys",
    "is_tree_node", "keystr", "register_dataclass", "register_pytree_node", "register_pytree_node_class",
    "register_pytree_with_keys", "register_pytree_with_keys_class", "register_static", "tree_all",
    "tree_broadcast", "tree_flatten", "tree_flatten_with_path", "tree_leaves", "tree_leaves_with_path",
    "tree_map", "tree_map_with_path", "tree_reduce", "tree_reduce_associative", "tree_structure",
    "tree_transpose", "tree_unflatten", "treedef_children", "treedef_is_leaf", "treedef_tuple",
]  # fmt: skip
