"""Wrong programs: the type of the error is JAX's; its text names the line, the cause and the way out.

Each row has a program, the type that JAX raises for it, and words that the text (with its notes) must have.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import errors, grad, jit, lax, random, tree, vmap

X = jnp.arange(3.0)
M = jnp.ones((2, 3))
I3 = jnp.arange(3)


def while_traced(n: Any) -> Any:
    i = 0
    while i < n:
        i += 1
    return i


def asserting(x: Any) -> Any:
    assert x > 0
    return x


def in_place(x: Any) -> Any:
    x[0] = 1
    return x


def added_in_place() -> None:
    x = jnp.arange(3.0)
    x[1:] += 2


def leaked() -> Any:
    seen: list[Any] = []
    jit(lambda x: seen.append(x * 2))(1.0)
    return seen[0] + 1


def deleted() -> Any:
    x = jnp.arange(3.0) + 1
    x.delete()
    return x + 1


Bool, Int, Array = (
    errors.TracerBoolConversionError,
    errors.TracerIntegerConversionError,
    errors.TracerArrayConversionError,
)
Concrete = errors.ConcretizationTypeError
TABLE = [f"{n}" for n in range(3)]

TRACED: list[tuple[Callable[[], Any], type[Exception], list[str]]] = [
    (lambda: jit(lambda x: x if x > 0 else -x)(1.0), Bool, ["argument x", "jnp.where", "lax.cond"]),
    (lambda: jit(while_traced)(3), Bool, ["argument n of while_traced", "lax.while_loop"]),
    (lambda: jit(lambda x: x > 0 and x < 1)(1.0), Bool, ["argument x", "& | ~"]),
    (lambda: jit(asserting)(1.0), Bool, ["argument x of asserting", "assert"]),
    (lambda: jit(lambda x: int(x))(1), Concrete, ["`int`", "argument x", "astype"]),
    (lambda: jit(lambda x: float(x))(1.0), Concrete, ["`float`", "argument x", "static_argnums"]),
    (lambda: jit(lambda n: list(range(n)))(3), Int, ["argument n", "range", "lax.fori_loop"]),
    (lambda: jit(lambda i: TABLE[i])(1), Int, ["argument i", "jnp.array(values)[i]"]),
    (lambda: jit(lambda n: jnp.zeros(n))(3), TypeError, ["argument n", "static_argnums"]),
    (lambda: jit(lambda n: jnp.arange(n))(3), Concrete, ["'start' of jnp.arange", "argument n", "static"]),
    (lambda: jit(lambda n: jnp.linspace(0, 1, n))(3), Concrete, ["'num' of jnp.linspace", "argument n"]),
    (lambda: jit(lambda n: X.reshape(n, 1))(3), TypeError, ["argument n", "static_argnums"]),
    (lambda: jit(lambda x: np.sin(x))(1.0), Array, ["argument x", "same name in wengert.numpy"]),
    (lambda: jit(lambda x: x.item())(1.0), Concrete, ["argument x", "Return the array"]),
    (lambda: jit(lambda x: x.tolist())(X), Concrete, ["argument x", "tolist"]),
    (lambda: jit(lambda x: f"{x:.2f}")(1.0), TypeError, ["unsupported format string", "debug.print"]),
    (leaked, errors.UnexpectedTracerError, ["argument x", "Return it"]),
    (lambda: jit(lambda x: x[x > 0])(X), errors.NonConcreteBooleanIndexError, ["argument x", "jnp.where"]),
    (lambda: jit(lambda x: jnp.nonzero(x))(X), Concrete, ["size argument of jnp.nonzero"]),
    (lambda: jit(lambda x: jnp.unique(x))(X), Concrete, ["size argument of jnp.unique"]),
    (lambda: jit(lambda r: jnp.repeat(X, r))(I3), Concrete, ["argument r", "total_repeat_length"]),
    (lambda: jit(lambda n: X[:n])(2), IndexError, ["argument n", "lax.dynamic_slice"]),
    (lambda: jit(in_place)(X), TypeError, ["immutable", "x.at[idx].set(y)"]),
]

ARRAYS: list[tuple[Callable[[], Any], type[Exception], list[str]]] = [
    (lambda: in_place(X), TypeError, ["immutable", "x = x.at[idx].set(y)"]),
    (added_in_place, TypeError, ["immutable", "x.at[idx].add(y)"]),
    (lambda: bool(X), ValueError, ["more than one element", "a.any() or a.all()"]),
    (lambda: float(X), TypeError, ["Only scalar arrays", "arr.ndim=1"]),
    (lambda: TABLE[jnp.float32(1)], TypeError, ["Only integer scalar arrays"]),  # type: ignore[call-overload]
    (lambda: len(jnp.float32(1)), TypeError, [r"len() of unsized object"]),
    (lambda: list(jnp.float32(1)), TypeError, ["iteration over a 0-d array"]),
    (lambda: X + jnp.ones(4), TypeError, ["add", "(3,), (4,)", "x[:, None]"]),
    (lambda: lax.add(X, jnp.ones(4)), TypeError, ["(3,), (4,)", "lax.broadcast_in_dim"]),
    (lambda: M @ M, TypeError, ["(3,) and (2,)"]),
    (lambda: jnp.concatenate([M, jnp.ones((2, 4))]), TypeError, ["(2, 3), (2, 4)", "dimension 0"]),
    (lambda: jnp.stack([X, jnp.ones(4)]), ValueError, ["(3,), (4,)"]),
    (lambda: X.reshape(2, 2), TypeError, ["(3,) (size 3)", "(2, 2) (size 4)"]),
    (lambda: jnp.sum(X, axis=1), ValueError, ["axis 1 is out of bounds", "from -1 to 0"]),
    (lambda: jnp.sum(M, axis=(0, 0)), ValueError, ["duplicate value in 'axis'"]),
    (lambda: jnp.max(jnp.zeros(0)), ValueError, ["zero-size array", "max"]),
    (lambda: M.transpose(0, 0), TypeError, ["isn't a permutation", "(2, 3)"]),
    (lambda: jnp.sum([1, 2, 3]), TypeError, ["<class 'list'>", "jnp.array([1, 2, 3])"]),
    (lambda: jnp.sin(None), TypeError, ["<class 'NoneType'>", "position 0"]),
    (lambda: jnp.sin("1.5"), TypeError, ["<class 'str'>", "float('1.5')"]),
    (lambda: jnp.array(["a"]), TypeError, ["not a valid array type", "numeric"]),
    (lambda: jnp.array([1, None]), ValueError, ["None is not a valid value"]),
    (lambda: jnp.zeros(3.5), TypeError, ["concrete values of integer type", "//"]),
    (lambda: jnp.zeros(3, "flot32"), TypeError, ["not understood", "did you mean 'float32'?"]),
    (lambda: jnp.zeros(3, object), TypeError, ["<class 'object'>", "zeros", "Python containers"]),
    (lambda: jnp.array(-1, jnp.uint8), OverflowError, ["-1 out of bounds for uint8"]),
    (lambda: X[1.0], TypeError, ["integer or boolean type", "float32", "astype(int)"]),
    (lambda: X["a"], TypeError, ["string indexing is not supported"]),
    (lambda: X[[0, 1]], TypeError, ["non-tuple sequence", "arr[array(seq)]"]),
    (lambda: X[0, 0], IndexError, ["1-dimensional", "2 were indexed"]),
    (lambda: X[jnp.array([True, False])], IndexError, ["(2,)", "(3,)"]),
    (lambda: X.at[:2].set(jnp.ones(3)), ValueError, ["(3,)", "(2,)"]),
    (lambda: X.at[0].get(mode="wrong"), ValueError, ["'wrong'", "'clip', 'fill', 'drop'"]),
    (lambda: jnp.sum(X, out=X), NotImplementedError, ["'out' argument to jnp.sum", "immutable"]),
    (lambda: X << 1, TypeError, ["shift_left", "float32"]),
    (lambda: I3**-1, TypeError, ["negative powers", "float"]),
    (lambda: jnp.ones(2, "int4") + jnp.ones(2), errors.TypePromotionError, ["int4", "astype('int8')"]),
    (deleted, RuntimeError, ["deleted", "float32[3]", "donate"]),
    (lambda: jnp.linalg.inv(M), ValueError, ["inv", "[..., n, n]", "(2, 3)"]),
    (lambda: random.normal(0), TypeError, ["<class 'int'>", "random.key"]),
]

TRANSFORMS: list[tuple[Callable[[], Any], type[Exception], list[str]]] = [
    (lambda: jit(lambda x: x)("a"), TypeError, ["<class 'str'>", "argument x"]),
    (lambda: jit(lambda x: {"b": object()})(1.0), TypeError, ["object", "['b']"]),
    (lambda: jit(lambda x, n: x, static_argnums=1)(1.0, [1]), ValueError, ["Non-hashable", "argument 1"]),
    (lambda: grad(lambda x: x * 2)(X), TypeError, ["scalar-output", "(3,)", "jnp.sum"]),
    (lambda: grad(lambda x: x * 2.0)(3), TypeError, ["int32", "allow_int"]),
    (lambda: grad(lambda x: x * 2)(1j), TypeError, ["complex64", "holomorphic=True"]),
    (lambda: grad(lambda x: (x, x))(1.0), TypeError, ["scalar-output", "has_aux=True"]),
    (lambda: vmap(lambda a, b: a + b)(X, jnp.ones(4)), ValueError, ["size 3", "argument b", "size 4"]),
    (lambda: vmap(lambda a: a, in_axes=1)(X), ValueError, ["argument a", "axis 1"]),
    (lambda: vmap(lambda a: a, out_axes=None)(X), ValueError, ["out_axes", "batched on axis 0"]),
    (lambda: lax.psum(X, "i"), NameError, ["unbound axis name: i", "axis_name='i'"]),
    (
        lambda: lax.scan(lambda c, x: (jnp.concatenate([c, c]), x), X, X),
        TypeError,
        ["carry c", "float32[3]", "float32[6]"],
    ),
    (lambda: lax.scan(lambda c, x: ((c, c), x), 0.0, X), TypeError, ["carry c", "PyTreeDef((*, *))"]),
    (lambda: lax.scan(lambda c, x: c, 0.0, X), TypeError, ["pair", "(carry, y)"]),
    (lambda: lax.scan(lambda c, x: (c, c), 0.0, (X, jnp.ones(4))), ValueError, ["3, 4"]),
    (lambda: lax.while_loop(lambda c: c, lambda c: c + 1, 0), TypeError, ["boolean scalar", "x != 0"]),
    (
        lambda: lax.cond(True, lambda x: x, lambda x: (x, x), 1.0),
        TypeError,
        ["true_fun", "false_fun", "pytree structure"],
    ),
    (lambda: lax.cond(True, lambda x: x, lambda x: x[:2], X), TypeError, ["float32[2]", "float32[3]"]),
    (lambda: lax.cond(X > 0, lambda x: x, lambda x: x, X), TypeError, ["(3,)", "jnp.where"]),
    (
        lambda: grad(lambda x: lax.while_loop(lambda c: c < 3, lambda c: c * 2, x))(1.0),
        ValueError,
        ["Reverse-mode", "lax.scan", "jvp"],
    ),
]


def text_of(error: BaseException) -> str:
    return "\n".join((str(error), *getattr(error, "__notes__", ())))


def check(program: Callable[[], Any], kind: type[Exception], words: list[str], line: bool) -> None:
    with pytest.raises(kind) as caught:
        program()
    text = text_of(caught.value)
    for word in words:
        assert word in text, text
    assert not re.search(r"object at 0x", text)
    if line:
        assert re.search(r"test_errors\.py:\d+", text), text


@pytest.mark.parametrize(("program", "kind", "words"), TRACED)
def test_traced_values(program: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    check(program, kind, words, line=True)


@pytest.mark.parametrize(("program", "kind", "words"), ARRAYS)
def test_arrays(program: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    # What a NumPy call or a donation refuses does not go through our code where the line is known.
    check(program, kind, words, line=kind not in (OverflowError, RuntimeError) and "random.key" not in words)


@pytest.mark.parametrize(("program", "kind", "words"), TRANSFORMS)
def test_transforms(program: Callable[[], Any], kind: type[Exception], words: list[str]) -> None:
    check(program, kind, words, line=True)


def test_the_tracer_errors_are_type_errors() -> None:
    for kind in (Bool, Concrete, Int, Array, errors.UnexpectedTracerError):
        assert issubclass(kind, errors.JAXTypeError)
        assert issubclass(kind, TypeError)
    assert issubclass(errors.NonConcreteBooleanIndexError, IndexError)


def test_arrays_are_no_keys() -> None:
    with pytest.raises(TypeError, match="unhashable type"):
        hash(X)
    with pytest.raises(TypeError, match=r"argument x.*no value yet"):
        jit(lambda x: {x: 1})(X)


def test_trees_that_differ_name_the_place() -> None:
    with pytest.raises(ValueError, match=re.escape("at ['b'][1]: tree 1 has a tuple of 2")):
        tree.map(lambda a, b: a, {"a": 1, "b": [0, (1, 2)]}, {"a": 1, "b": [0, [1, 2]]})


def test_a_marked_line() -> None:
    """The text shows the line of source with marks under the part that failed."""
    with pytest.raises(Bool) as caught:
        jit(lambda x: 1 if x > 0 else 2)(1.0)
    shown, marks = text_of(caught.value).splitlines()[-2:]
    assert shown.strip() == "jit(lambda x: 1 if x > 0 else 2)(1.0)"
    assert marks.index("^") == shown.index("x > 0")


def test_under_x64_nothing_is_truncated() -> None:
    with pytest.warns(UserWarning, match=r"dtype int64 in zeros is not available.*int32.*enable_x64"):
        assert jnp.zeros(2, "int64").dtype == jnp.int32
    with wengert.enable_x64(True):
        assert jnp.zeros(2, "int64").dtype == jnp.int64
