"""Code written for one structure does what the general functions do, and refuses every other structure."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import wengert
import wengert.numpy as jnp
from wengert import treecode
from wengert.treedef import flatten, unflatten

Point = namedtuple("Point", ["x", "y"])

leaves = st.integers(0, 99) | st.text(max_size=2)
keys = st.text(max_size=3) | st.sampled_from(["'", '"', "\\", "\n", "{x}", "o0", "x1"])
trees = st.recursive(
    leaves | st.none(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(st.integers(-3, 3), inner, max_size=3)
    ),
    max_leaves=12,
)


def built(treedef: Any, values: list[Any]) -> Any:
    build = treecode.builder(treedef)
    results = [build(values) for _ in range(5)]  # the later ones by written code
    assert all(r == results[0] for r in results)
    return results[-1]


@settings(max_examples=150, deadline=None)
@given(trees, trees)
def test_reading_and_building_are_flatten_and_unflatten(tree: Any, other: Any) -> None:
    values, treedef = flatten(tree)
    read = treecode.reader(treedef)
    assert built(treedef, values) == tree
    if read is None:
        assert treedef.num_nodes == 1  # a leaf, which needs no code
        return
    assert read(tree) == values
    theirs, their_def = flatten(other)
    found = read(other)
    if their_def == treedef:
        assert found == theirs
    elif found is not None:  # a node where the structure has a leaf: the caller looks at the types
        assert any(flatten(x)[1] != flatten(0)[1] for x in found)


def test_nodes_of_other_classes_are_built_but_not_read() -> None:
    tree = {"a": Point(1, 2), "b": OrderedDict(z=3, a=4)}
    values, treedef = flatten(tree)
    assert treecode.reader(treedef) is None
    again = built(treedef, values)
    assert again == tree
    assert type(again["a"]) is Point
    assert list(again["b"]) == ["z", "a"]


def test_subclasses_of_containers_are_not_taken_for_them() -> None:
    class Special(dict[str, Any]):
        pass

    read = treecode.reader(flatten({"a": 1})[1])
    assert read is not None
    assert read({"a": 7}) == [7]
    assert read(Special(a=7)) is None
    assert read({"a": 1, "b": 2}) is None
    assert read({"b": 1}) is None


def test_deep_trees_are_left_to_the_general_functions() -> None:
    tree: Any = 1
    for _ in range(300):
        tree = [tree]
    values, treedef = flatten(tree)
    assert treecode.reader(treedef) is None
    assert built(treedef, values) == unflatten(treedef, values)


def test_jitted_functions_tell_structures_and_types_apart() -> None:
    traced = []

    @wengert.jit
    def double(tree: Any) -> Any:
        traced.append(None)
        return wengert.tree.map(lambda x: 2 * x, tree)

    ones = jnp.ones(3)
    cases: list[Any] = [
        {"a": ones, "b": [ones, ones]},
        {"b": [ones, ones], "a": ones},
        {"a": ones, "b": [ones, jnp.ones(4)]},
        {"a": ones, "b": [ones, 1.5]},
        {"a": ones, "b": [ones, np.ones(3, np.float32)]},
        {"a": ones, "b": [ones, {"c": ones}]},
        {"a": ones, "c": [ones, ones]},
        {"a": ones, "b": (ones, ones)},
    ]
    for _ in range(6):
        for case in cases:
            found = double(case)
            values, treedef = flatten(case)
            theirs, their_def = flatten(found)
            assert their_def == treedef
            for x, y in zip(values, theirs, strict=True):
                assert np.array_equal(2 * np.asarray(x), np.asarray(y))
    assert len(traced) == 6  # the order of keys, and whether an array is NumPy's, make no difference


def test_a_jitted_function_that_forgets_traces_again() -> None:
    traced = []

    @wengert.jit
    def first(tree: Any) -> Any:
        traced.append(None)
        return tree["a"] + 1

    for _ in range(5):
        first({"a": jnp.ones(2)})
    first.clear_cache()
    assert first({"a": jnp.ones(2)}).tolist() == [2.0, 2.0]
    assert len(traced) == 2


@pytest.mark.parametrize("level", [1, 2])
def test_remembered_structures_leave_transformations_alone(level: int) -> None:
    double = wengert.jit(lambda tree: tree["a"] ** 2)
    for _ in range(5):
        double({"a": jnp.float32(3)})
    derivative: Any = lambda x: double({"a": x})  # noqa: E731
    for _ in range(level):
        derivative = wengert.grad(derivative)
    assert float(derivative(jnp.float32(3))) == (6.0 if level == 1 else 2.0)
