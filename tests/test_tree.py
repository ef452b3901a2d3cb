"""Pytrees: taken apart, put together, compared, mapped; and errors that name the place."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any

import pytest
from hypothesis import given, strategies as st

from wengert import tree, tree_util
from wengert.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, Partial, SequenceKey

Point = namedtuple("Point", "x y")


@tree_util.register_pytree_node_class
class Special:
    """Registered by its methods."""

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b

    def tree_flatten(self) -> tuple[tuple[Any, Any], str]:
        return (self.a, self.b), "special"

    @classmethod
    def tree_unflatten(cls, aux: str, children: Any) -> Special:
        assert aux == "special"
        return cls(*children)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Special) and (self.a, self.b) == (other.a, other.b)

    __hash__ = None  # type: ignore[assignment]


@tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    """Two children and a static field."""

    weight: Any
    bias: Any = None
    activation: str = tree.static(default="relu")


TREES = [
    (3, "*", 1, 1),
    (None, "None", 0, 1),
    ((), "()", 0, 1),
    ((1,), "(*,)", 1, 2),
    ([1, (2, None)], "[*, (*, None)]", 2, 5),
    ({"b": 1, "a": [2]}, "{'a': [*], 'b': *}", 2, 4),
    ({2: 1, 1: 2}, "{1: *, 2: *}", 2, 3),
    ({}, "{}", 0, 1),
    (Point(1, (2, 3)), "CustomNode(namedtuple[Point], [*, (*, *)])", 3, 5),
    (OrderedDict(b=1, a=2), "CustomNode(OrderedDict[('b', 'a')], [*, *])", 2, 3),
    (defaultdict(int, b=1, a=2), "CustomNode(defaultdict[(<class 'int'>, ('a', 'b'))], [*, *])", 2, 3),
    (Special(1, [2]), "CustomNode(Special[special], [*, [*]])", 2, 4),
    (Layer(1, 2, "tanh"), "CustomNode(Layer[('tanh',)], [*, *])", 2, 3),
]


@pytest.mark.parametrize(("example", "text", "leaf_count", "node_count"), TREES)
def test_there_and_back(example: Any, text: str, leaf_count: int, node_count: int) -> None:
    leaves, treedef = tree.flatten(example)
    assert repr(treedef) == f"PyTreeDef({text})"
    assert (len(leaves), treedef.num_leaves, treedef.num_nodes) == (leaf_count, leaf_count, node_count)
    rebuilt = tree.unflatten(treedef, leaves)
    assert type(rebuilt) is type(example)
    assert rebuilt == example
    assert tree.leaves(example) == leaves
    again = tree.structure(rebuilt)
    assert again == treedef
    assert hash(again) == hash(treedef)
    assert treedef.flatten_up_to(example) == leaves
    assert pickle.loads(pickle.dumps(treedef)) == treedef
    pairs, with_paths = tree.flatten_with_path(example)
    assert with_paths == treedef
    assert [leaf for _, leaf in pairs] == leaves
    assert len({path for path, _ in pairs}) == leaf_count


def test_different_structures_differ() -> None:
    structures = [tree.structure(example) for example, *_ in TREES]
    structures += [tree.structure(x) for x in ([1], {"a": 1}, {"b": 1}, Layer(1, 2, "relu"), (1, 2))]
    for i, a in enumerate(structures):
        assert [j for j, b in enumerate(structures) if a == b] == [i]
    assert tree.structure(1) != 1


nested = st.recursive(
    st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Special, inner, inner)
        | st.builds(Layer, inner, inner, st.sampled_from(["relu", "tanh"]))
    ),
    max_leaves=12,
)


def by_the_book(x: Any) -> list[Any]:
    """The leaves, by a plain recursion."""
    if x is None:
        return []
    if isinstance(x, dict):
        x = [x[key] for key in sorted(x)]
    elif isinstance(x, Special):
        x = [x.a, x.b]
    elif isinstance(x, Layer):
        x = [x.weight, x.bias]
    elif not isinstance(x, (list, tuple)):
        return [x]
    return [leaf for child in x for leaf in by_the_book(child)]


@given(nested, nested)
def test_random_trees(a: Any, b: Any) -> None:
    leaves, treedef = tree.flatten(a)
    assert leaves == by_the_book(a)
    assert treedef.unflatten(leaves) == a
    assert tree.map(lambda x: -x, tree.map(lambda x: -x, a)) == a
    assert tree.map(lambda x, y: (x, y), a, a) == tree.map(lambda x: (x, x), a)
    both = treedef.compose(tree.structure(b))
    assert both == tree.structure(tree.map(lambda _: b, a))
    assert [p for p, _ in tree.leaves_with_path(a)] == tree.leaves(
        tree.map_with_path(lambda path, _: Box(path), a), is_leaf=lambda x: isinstance(x, Box)
    )
    assert tree_util.treedef_tuple([treedef, both]) == tree.structure((a, tree.map(lambda _: b, a)))


class Box:
    """A leaf that holds a path and is equal to it."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return self.path == (other.path if isinstance(other, Box) else other)

    __hash__ = None  # type: ignore[assignment]


def test_sets_and_deques_are_leaves() -> None:
    for example in ({1, 2}, deque([1, 2])):
        assert tree.leaves([example]) == [example]


def test_paths() -> None:
    example = {"a": [Point(1, 2)], "b": Special(3, 4), "c": Layer(5), 7 * "d": [6]}
    found = {tree_util.keystr(path): leaf for path, leaf in tree.leaves_with_path(example)}
    assert found == {
        "['a'][0].x": 1, "['a'][0].y": 2, "['b'][<flat index 0>]": 3, "['b'][<flat index 1>]": 4,
        "['c'].weight": 5, "['ddddddd'][0]": 6,
    }  # fmt: skip
    path = (DictKey("a"), SequenceKey(0), GetAttrKey("x"), FlattenedIndexKey(3))
    assert tree.leaves_with_path(example)[0][0] == path[:3]
    assert tree_util.keystr(path, simple=True, separator="/") == "a/0/x/3"
    assert (
        repr(path) == "(DictKey(key='a'), SequenceKey(idx=0), GetAttrKey(name='x'), FlattenedIndexKey(key=3))"
    )
    assert DictKey(0) != SequenceKey(0)


def test_is_leaf() -> None:
    example = [1, None, (2, 3), {"k": (4,)}]
    assert tree.leaves(example, is_leaf=lambda x: isinstance(x, tuple)) == [1, (2, 3), (4,)]
    assert tree.leaves(example, is_leaf=lambda x: x is None) == [1, None, 2, 3, 4]
    assert (
        str(tree.structure(example, is_leaf=lambda x: x is None)) == "PyTreeDef([*, *, (*, *), {'k': (*,)}])"
    )
    pairs = tree.leaves_with_path(example, lambda path, _: path[-1:] == (DictKey("k"),), True)
    assert pairs[-1] == ((SequenceKey(3), DictKey("k")), (4,))
    assert tree_util.all_leaves([1, 2])
    assert not tree_util.all_leaves([1, None])
    assert tree_util.all_leaves([1, None], is_leaf=lambda x: x is None)


def test_map_takes_subtrees_of_the_rest() -> None:
    assert tree.map(lambda a, b: (a, b), {"x": 1, "y": 2}, {"x": [3], "y": None}) == {
        "x": (1, [3]),
        "y": (2, None),
    }


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            {"b": (1, 2)},
            {"b": (1, 2, 3)},
            r"at \['b'\]: tree 1 has a tuple of 2 there, tree 2 has a tuple of 3",
        ),
        ({"b": (1, 2)}, {"b": [1, 2]}, r"at \['b'\]: .* a tuple of 2 there, .* a list of 2"),
        ({"b": 1}, {"c": 1}, r"at the root: .* keys \['b'\] there, .* keys \['c'\]"),
        ([1, None], [1, 2], r"at \[1\]: tree 1 has None there, tree 2 has a leaf of type int"),
        (Point(1, (2,)), Point(1, 2), r"at \.y: .* a tuple of 1 there, .* a leaf of type int"),
        (Layer(1), Layer(1, None, "tanh"), r"data \('relu',\) there, .* data \('tanh',\)"),
        ({"a": {"b": [(1,)]}}, {"a": {"b": [()]}}, r"at \['a'\]\['b'\]\[0\]"),
    ],
)
def test_errors_name_the_place_and_both_structures(first: Any, second: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        tree.map(lambda a, b: a, first, second)
    assert str(tree.structure(first)) in str(caught.value)
    assert str(tree.structure(second)) in str(caught.value)
    with pytest.raises(
        ValueError, match=message.replace("tree 1", "the structure").replace("tree 2", "the tree")
    ):
        tree.structure(first).flatten_up_to(second)


def test_errors_of_leaves_and_keys() -> None:
    treedef = tree.structure((1, 2))
    with pytest.raises(ValueError, match="Too few leaves for PyTreeDef; expected 2, got 1"):
        treedef.unflatten([1])
    with pytest.raises(ValueError, match="Too many leaves for PyTreeDef; expected 2, got 3"):
        treedef.unflatten(iter([1, 2, 3]))
    with pytest.raises(ValueError, match=r"keys of a dict.*sortable.*int, str"):
        tree.leaves({"a": 1, 2: 3})


def test_broadcast_prefix() -> None:
    full = (1, {"a": [2, 3], "b": None}, 4)
    assert tree.broadcast_prefix((0, 1, 2), full) == [0, 1, 1, 2]
    assert tree.broadcast_prefix(7, full) == [7, 7, 7, 7]
    axes = (0, {"a": None, "b": 1}, None)
    assert tree.broadcast_prefix(axes, full, is_leaf=lambda x: x is None) == [0, None, None, None]
    assert tree.broadcast((0, 1, 2), full) == (0, {"a": [1, 1], "b": None}, 2)
    assert tree.broadcast((0, None, 2), full, is_leaf=lambda x: x is None) == (
        0,
        {"a": [None, None], "b": None},
        2,
    )
    with pytest.raises(
        ValueError, match=r"in_axes and the arguments differ at \[1\]: in_axes has a list of 1"
    ) as caught:
        tree.broadcast_prefix((0, [1], 2), full, prefix_name="in_axes", full_name="the arguments")
    assert "in_axes: PyTreeDef((*, [*], *))" in str(caught.value)


def test_reductions() -> None:
    text = list("abcdefg")
    assert tree.reduce(lambda a, b: f"({a}{b})", text[:3]) == "((ab)c)"
    assert tree.reduce(lambda a, b: a + b, {"a": 1, "b": (2, None)}, 10) == 13
    assert tree.reduce(lambda a, b: a or b, (), None) is None
    assert tree.reduce_associative(lambda a, b: f"({a}{b})", text) == "((a(bc))((de)(fg)))"
    assert tree.reduce_associative(lambda a, b: a + b, [], identity=0) == 0
    assert tree.all([1, {"a": True}])
    assert not tree.all([1, {"a": 0}])
    assert tree.all(())
    with pytest.raises(TypeError, match="empty"):
        tree.reduce(lambda a, b: a, [])
    with pytest.raises(TypeError, match="identity"):
        tree.reduce_associative(lambda a, b: a, [])


def test_transpose() -> None:
    rows = [{"x": 1, "y": 2}, {"x": 3, "y": 4}, {"x": 5, "y": 6}]
    outer, inner = tree.structure([0, 0, 0]), tree.structure(rows[0])
    columns = {"x": [1, 3, 5], "y": [2, 4, 6]}
    assert tree.transpose(outer, inner, rows) == columns
    assert tree.transpose(outer, None, rows) == columns
    assert tree.transpose(inner, outer, columns) == rows
    with pytest.raises(TypeError, match="has 4 leaves, not 3 times 2"):
        tree.transpose(outer, inner, rows[:2])
    with pytest.raises(TypeError, match="must have leaves"):
        tree.transpose(tree.structure([]), None, [])


def test_one_level() -> None:
    assert tree_util.flatten_one_level({"b": (1,), "a": 2}) == ((2, (1,)), ("a", "b"))
    pairs, data = tree_util.flatten_one_level_with_keys(Point(1, [2]))
    assert list(pairs) == [(GetAttrKey("x"), 1), (GetAttrKey("y"), [2])]
    assert data is Point
    with pytest.raises(ValueError, match="not a pytree node"):
        tree_util.flatten_one_level(3)
    registry = tree_util.default_registry
    assert registry.flatten_one_level(3) is None
    assert registry.flatten([1, (2,)])[0] == [1, 2]
    assert registry.is_node(Special)
    assert not registry.is_node(int)
    treedef = tree.structure({"b": (1,), "a": 2})
    assert treedef.node_data() == (dict, ["a", "b"])
    assert tree_util.treedef_children(treedef) == [tree.structure(2), tree.structure((1,))]
    assert not tree_util.treedef_is_leaf(treedef)
    assert not tree_util.treedef_is_leaf(tree.structure(None))
    assert tree_util.treedef_is_leaf(tree.structure(2))


def test_registration_after_instances_were_leaves() -> None:
    class Late:
        def __init__(self, value: Any) -> None:
            self.value = value

    late = Late(3)
    assert tree.leaves([late]) == [late]
    tree_util.register_pytree_with_keys(
        Late, lambda x: (((GetAttrKey("value"), x.value),), None), lambda _, children: Late(*children)
    )
    assert tree.leaves([late]) == [3]
    assert tree.leaves_with_path(late) == [((GetAttrKey("value"),), 3)]
    with pytest.raises(ValueError, match=r"Duplicate.*Late"):
        tree_util.register_static(Late)
    with pytest.raises(ValueError, match=r"Duplicate.*dict"):
        tree_util.register_pytree_node(dict, lambda x: ((), None), lambda _, __: {})


def test_a_registered_named_tuple_follows_its_registration() -> None:
    Pair = namedtuple("Pair", "left right")
    assert tree.leaves(Pair(1, 2)) == [1, 2]
    tree_util.register_pytree_node(
        Pair, lambda p: ((p.left,), p.right), lambda right, left: Pair(*left, right)
    )
    assert tree.leaves(Pair(1, 2)) == [1]
    assert tree.map(lambda x: x + 1, Pair(1, 2)) == Pair(2, 2)


def test_classes_registered_with_keys_and_static_ones() -> None:
    @tree_util.register_pytree_with_keys_class
    class Keyed:
        def __init__(self, value: Any) -> None:
            self.value = value

        def tree_flatten_with_keys(self) -> tuple[Any, None]:
            return ((GetAttrKey("value"), self.value),), None

        @classmethod
        def tree_unflatten(cls, _: None, children: Any) -> Keyed:
            return cls(*children)

    assert tree.leaves_with_path(Keyed(1)) == [((GetAttrKey("value"),), 1)]
    assert tree.map(lambda x: x + 1, Keyed(1)).value == 2

    @tree_util.register_static
    class Mode(str):
        __slots__ = ()

    assert tree.leaves((Mode("fast"), 1)) == [1]
    assert tree.structure(Mode("fast")) == tree.structure(Mode("fast"))
    assert tree.structure(Mode("fast")) != tree.structure(Mode("slow"))
    assert tree.map(lambda x: x, Mode("fast")) == "fast"


def test_dataclasses_are_checked() -> None:
    @dataclasses.dataclass
    class Pair:
        left: Any
        right: Any = 0

    with pytest.raises(ValueError, match=r"Missing: \['right'\]"):
        tree_util.register_dataclass(Pair, ["left"], [])
    with pytest.raises(ValueError, match=r"unknown: \['middle'\]"):
        tree_util.register_dataclass(Pair, ["left", "right"], ["middle"])
    with pytest.raises(TypeError, match="both, or neither"):
        tree_util.register_dataclass(Pair, ["left", "right"])
    with pytest.raises(TypeError, match="no dataclass"):
        tree_util.register_dataclass(int)
    tree_util.register_dataclass(Pair, ["left"], [], drop_fields=["right"])
    assert tree.map(lambda x: x, Pair(1, 2)) == Pair(1, 0)
    assert tree.leaves_with_path(Layer(1, (2, 3)))[2] == ((GetAttrKey("bias"), SequenceKey(1)), 3)


def add(*args: int, scale: int = 1) -> int:
    return sum(args) * scale


def test_partial() -> None:
    bound = Partial(add, 1, 2, scale=3)
    assert bound(4) == 21
    assert tree.leaves(bound) == [1, 2, 3]
    doubled = tree.map(lambda x: 2 * x, bound)
    assert isinstance(doubled, Partial)
    assert doubled(0) == 36
    assert tree.structure(bound) == tree.structure(doubled)
    assert tree.structure(bound) != tree.structure(Partial(max, 1, 2, scale=3))


def test_partial_of_a_partial_keeps_the_inner_one_whole() -> None:
    inner = functools.partial(add, 5)
    outer = Partial(inner, 1)
    assert outer(1) == 7
    assert tree.leaves(outer) == [1]
    assert tree.structure(outer) == tree.structure(Partial(inner, 2))


def test_a_flatten_function_that_returns_nonsense() -> None:
    class Broken:
        pass

    tree_util.register_pytree_node(Broken, lambda _: 3, lambda *_: Broken())  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match=r"iterable|unpack") as caught:
        tree.leaves([Broken()])
    assert "Broken" in caught.value.__notes__[0]
