"""Random keys: what they are made of, how they behave as arrays, and the search for those used twice."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wengert
import wengert.numpy as jnp
from wengert import lax, nn, random
from wengert.errors import KeyReuseError


@pytest.fixture
def keys() -> Any:
    return random.split(random.key(0), (2, 3))


def words(k: Any) -> Any:
    return np.asarray(random.key_data(k))


# -------------------------------------------------------------------------------------------------- generators


def test_documented_values_of_the_introduction() -> None:
    with wengert.threefry_partitionable(False):
        key, subkey = random.split(random.PRNGKey(seed=42))
        assert np.asarray(key).tolist() == [2465931498, 3679230171]
        assert np.asarray(subkey).tolist() == [255383827, 267815257]


def test_rbg() -> None:
    key = random.key(42, impl="rbg")
    assert words(key).tolist() == [0, 42, 0, 42]
    assert random.bits(key, (3,)).tolist() == [2620864722, 2991908441, 282133475]
    half = [[1832780943, 270669613], [64467757, 2916123636]]
    assert words(random.split(key)).tolist() == [2 * h for h in half]
    assert words(random.fold_in(key, 7)).tolist() == [2547012911, 1371500959] * 2
    np.testing.assert_allclose(random.normal(key, (2,)), [0.27988622, 0.51466948], rtol=1e-6)
    unsafe = random.key(42, impl="unsafe_rbg")
    assert words(random.split(unsafe)).tolist() == [
        [2620864722, 2991908441, 282133475, 2589630650],
        [4105776319, 298289174, 864345282, 274752888],
    ]
    assert words(random.fold_in(unsafe, 7)).tolist() == [2104303640, 250182049, 1106406590, 1983638428]


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_every_generator_under_every_transformation(impl: str) -> None:
    key = random.key(1, impl=impl)
    assert random.key_impl(key) == impl
    assert key.dtype == random.key_dtype(impl)

    def draw(k: Any) -> Any:
        first, second = random.split(random.fold_in(k, 3))
        return random.uniform(first, (2,)) + random.bits(second, (2,), "uint8")

    ks = random.split(key, 3)
    looped = np.stack([np.asarray(draw(k)) for k in ks])
    np.testing.assert_array_equal(wengert.vmap(draw)(ks), looped)
    np.testing.assert_array_equal(wengert.jit(wengert.vmap(draw))(ks), looped)
    _, scanned = lax.scan(lambda c, k: (random.split(c)[0], draw(k)), key, ks)
    np.testing.assert_array_equal(scanned, looped)
    raw = random.PRNGKey(1, impl=impl)
    np.testing.assert_array_equal(raw, words(key))
    with wengert.default_prng_impl(impl):
        np.testing.assert_array_equal(draw(raw), draw(key))


def test_stateful_generators() -> None:
    state, bits = lax.rng_bit_generator(jnp.arange(4, dtype="uint32"), (5,), "uint8")
    assert state.tolist() == [0, 1, 4, 3]
    assert bits.tolist() == [35, 125, 252, 137, 100]
    drawn = [np.asarray(lax.rng_uniform(2.0, 3.0, (4,))) for _ in range(2)]
    assert all((d >= 2).all() and (d < 3).all() for d in drawn)
    assert (drawn[0] != drawn[1]).all()
    with pytest.raises(TypeError, match="uint32 or uint64"):
        lax.rng_bit_generator(jnp.zeros(4), (5,))
    with pytest.raises(ValueError, match="128 bits"):
        lax.rng_bit_generator(jnp.zeros(2, "uint32"), (5,))


# -------------------------------------------------------------------------------------------- arrays of keys


def test_how_keys_print(keys: Any) -> None:
    key = random.key(7)
    assert repr(key) == str(key) == f"{key}" == "Array((), dtype=key<fry>) overlaying:\n[0 7]"
    assert repr(keys[0, :2]) == (
        "Array((2,), dtype=key<fry>) overlaying:\n[[1797259609 2579123966]\n [ 928981903 3453687069]]"
    )
    assert str(wengert.make_jaxpr(random.key)(0)) == (
        "{ lambda ; a:i32[]. let b:key<fry>[] = random_seed[impl=fry] a in (b,) }"
    )
    assert repr(wengert.eval_shape(random.key, 0)) == "ShapeDtypeStruct(shape=(), dtype=key<fry>)"


def test_moving_keys_moves_their_words(keys: Any) -> None:
    w = words(keys)
    for moved, expected in [
        (keys[1], w[1]), (keys[:, ::2], w[:, ::2]), (keys[None], w[None]), (keys.T, w.swapaxes(0, 1)),
        (keys[jnp.array([1, 0])], w[[1, 0]]), (keys[jnp.array([True, False])], w[:1]),
        (keys.reshape(3, 2), w.reshape(3, 2, 2)), (keys.ravel(), w.reshape(6, 2)),
        (keys.swapaxes(0, 1), w.swapaxes(0, 1)),
        (keys.take(4), w.reshape(6, 2)[4]), (keys[:1].squeeze(), w[0]),
        (jnp.concatenate([keys, keys]), np.concatenate([w, w])),
        (jnp.stack([keys[0], keys[1]]), w), (jnp.broadcast_to(keys[0, 0], (2,)), np.stack([w[0, 0]] * 2)),
        (jnp.where(jnp.array([True, False, True]), keys[0], keys[1]), np.where([[True], [False], [True]], w[0], w[1])),
        (jnp.flip(keys), w[::-1, ::-1]), (jnp.zeros_like(keys), 0 * w),
        (jnp.empty((2,), keys.dtype), np.zeros((2, 2))),
        (jnp.full((2,), keys[0, 0]), np.stack([w[0, 0]] * 2)),
        (keys.at[0].set(keys[1]), np.stack([w[1]] * 2)),
        (keys.at[0, 1].get(), w[0, 1]), (wengert.jit(lambda k: k.T[1:])(keys), w.swapaxes(0, 1)[1:]),
    ]:  # fmt: skip
        assert moved.dtype == keys.dtype
        np.testing.assert_array_equal(words(moved), expected)
    assert [words(k).tolist() for k in keys[0]] == w[0].tolist()


def test_attributes_of_keys(keys: Any) -> None:
    assert (keys.shape, keys.ndim, keys.size, keys.itemsize, keys.nbytes, len(keys)) == (
        (2, 3),
        2,
        6,
        8,
        48,
        2,
    )
    assert isinstance(keys, wengert.Array)
    assert "key<fry>" in keys.pprint()
    assert not hasattr(jnp.ones(3), "pprint")
    for other in (
        copy.copy(keys),
        copy.deepcopy(keys),
        pickle.loads(pickle.dumps(keys)),
        keys.copy(),
        jnp.array(keys),
    ):
        assert (keys == other).all()
    assert wengert.device_get(keys) is keys


def test_comparing_keys(keys: Any) -> None:
    assert bool(keys[0, 0] == keys[0, 0])
    assert (keys == keys[0]).tolist() == [[True] * 3, [False] * 3]
    assert (keys != keys[0]).tolist() == [[False] * 3, [True] * 3]
    assert wengert.jit(lambda a, b: a == b)(keys, keys[0]).tolist() == [[True] * 3, [False] * 3]


REFUSED: list[tuple[Any, str]] = [
    (lambda k: k + 1, "add does not accept dtypes key<fry>, int32"),
    (lambda k: jnp.ones(3) * k, "multiply does not accept dtypes float32, key<fry>"),
    (lambda k: k == 1, "equal does not accept dtypes key<fry>, int32"),
    (lambda k: k + k, "add does not accept dtype key<fry>"),
    (lambda k: -k, "neg does not accept dtype key<fry>"),
    (lambda k: k < k, "lt does not accept dtype key<fry>"),
    (lambda k: k.sum(), "does not accept dtype key<fry>"),
    (lambda k: k.any(), "random keys are no numbers"),
    (lambda k: k.astype("float32"), "can't be converted"),
    (lambda k: np.asarray(k), "key_data"),
    (lambda k: k.tolist(), "key_data"),
    (lambda k: int(k[0]), "key_data"),
    (lambda k: bool(k[0]), "converted to boolean"),
    (lambda k: jnp.sort(k), "does not accept dtype key<fry>"),
    (lambda k: hash(k), "unhashable"),
    (lambda k: k.at[0].add(k[1]), "does not accept dtype key<fry>"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_keys_are_no_numbers(keys: Any, number: int) -> None:
    function, message = REFUSED[number]
    with pytest.raises(TypeError, match=message):
        function(keys[0])


def test_errors_of_keys(keys: Any) -> None:
    with pytest.raises(TypeError, match="accepts a scalar seed"):
        random.key(jnp.arange(3))
    with pytest.raises(OverflowError, match="out of bounds for uint32"):
        random.fold_in(keys[0, 0], -1)
    with pytest.raises(TypeError, match="fold_in accepts a scalar"):
        random.fold_in(keys[0, 0], jnp.arange(3))
    with pytest.raises(TypeError, match=r"end with \(2,\)"):
        random.wrap_key_data(jnp.zeros((3, 3), "uint32"))
    with pytest.raises(TypeError, match="dtype = uint32"):
        random.wrap_key_data(jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="both `impl` and `dtype`"):
        random.key(0, impl="rbg", dtype=random.key_dtype())
    with pytest.raises(TypeError, match="name or the dtype of keys"):
        random.key(0, dtype=np.dtype("float32"))


def test_settings_for_keys_of_the_older_form() -> None:
    raw = random.PRNGKey(0)
    with wengert.legacy_prng_key("error"), pytest.raises(ValueError, match="Legacy uint32 key"):
        random.normal(raw)
    with wengert.legacy_prng_key("warn"), pytest.warns(UserWarning, match="Legacy uint32 key"):
        random.normal(raw)
    with wengert.enable_custom_prng(True):
        assert random.PRNGKey(0).dtype == random.key_dtype()
        with pytest.warns(FutureWarning, match="deprecated"):
            random.normal(raw)


# --------------------------------------------------------------------------------------------- used twice


def _normal(k: Any) -> Any:
    return random.normal(k)


def _both(k: Any) -> Any:
    return random.normal(k) + random.uniform(k)


_jitted = wengert.jit(_normal)


def _twice(use: Callable[[Any], Any], k: Any) -> None:
    use(k)
    use(k)


def _turns(body: Callable[[Any], Any], k: Any) -> Any:
    return lax.scan(lambda c, _: body(c), k, None, length=4)


def _after_scan(ks: Any) -> Any:
    lax.scan(lambda c, k: (c + random.normal(k), None), 0.0, ks)
    return random.normal(ks[4])


def _after_cond(k: Any) -> Any:
    lax.cond(True, _normal, lambda k: 0.0, k)
    return random.normal(k)


def _closed_over(k: Any) -> None:
    wengert.jit(lambda: random.normal(k))()
    random.normal(k)


REUSED: dict[str, Callable[[Any], Any]] = {
    "twice": lambda k: _twice(random.normal, k),
    "split, then used": lambda k: (random.split(k), random.normal(k)),
    "by an index": lambda k: (lambda ks: (random.normal(ks[0]), random.normal(ks[1]), random.normal(ks[0])))(
        random.split(k)
    ),
    "after .at": lambda k: (random.normal(k), random.normal(random.split(random.key(1)).at[0].set(k)[0])),
    "inside of jit": lambda k: wengert.jit(_both)(k),
    "by a jitted function": lambda k: _twice(_jitted, k),
    "closed over": _closed_over,
    "inside of vmap": lambda k: wengert.vmap(_both)(random.split(k, 3)),
    "inside of grad": lambda k: wengert.grad(lambda x: x * _both(k))(1.0),
    "carried by scan": lambda k: _turns(lambda c: (c, random.normal(c)), k),
    "constant of scan": lambda k: wengert.jit(lambda k: _turns(lambda c: (c, random.normal(k)), 0.0))(k),
    "after scan": lambda k: _after_scan(random.split(k, 5)),
    "in while": lambda k: lax.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + random.normal(c[1]), c[1]), (0.0, k)
    ),
    "after cond": _after_cond,
}
USED_ONCE: dict[str, Callable[[Any], Any]] = {
    "split": lambda k: [random.normal(s) for s in random.split(k, 3)],
    "clone": lambda k: (random.normal(k), random.normal(random.clone(k))),
    "fold_in": lambda k: [random.normal(random.fold_in(k, i)) for i in range(2)],
    "vmap": lambda k: wengert.jit(wengert.vmap(_normal))(random.split(k, 3)),
    "grad": lambda k: wengert.jit(wengert.grad(lambda a: random.gamma(k, a)))(2.0),
    "checkpoint": lambda k: wengert.grad(wengert.checkpoint(lambda x: jnp.sin(x * random.normal(k))))(1.0),
    "scan": lambda k: _turns(lambda c: (random.split(c)[0], 0.0), k),
    "branches": lambda k: lax.cond(True, _normal, random.uniform, k),
    "raw keys": lambda k: _twice(random.normal, random.PRNGKey(0)),
    "samplers": lambda k: [
        random.choice(random.fold_in(k, 0), 5, (3,)), random.beta(random.fold_in(k, 1), 1.0, 2.0),
        random.multinomial(random.fold_in(k, 2), 5.0, jnp.ones(3) / 3),
        random.randint(random.fold_in(k, 3), (3,), 0, 5),
        random.ball(random.fold_in(k, 4), 3), random.permutation(random.fold_in(k, 5), 5),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", REUSED)
def test_keys_that_are_used_twice(name: str) -> None:
    REUSED[name](random.key(0))
    with (
        wengert.debug_key_reuse(True),
        pytest.raises(KeyReuseError, match="Previously-consumed key") as caught,
    ):
        REUSED[name](random.key(0))
    message = str(caught.value)
    assert message.count("test_random_keys.py:") == 2
    assert "random.split(key)" in message


@pytest.mark.parametrize("name", USED_ONCE)
def test_keys_that_are_used_once(name: str) -> None:
    with wengert.debug_key_reuse(True):
        USED_ONCE[name](random.key(0))


def test_error_names_both_lines() -> None:
    with wengert.debug_key_reuse(True):
        key = random.key(0)
        random.normal(key)
        with pytest.raises(KeyReuseError) as caught:
            random.uniform(key, (2,))
    lines = str(caught.value).splitlines()
    assert "random.normal(key)" in lines[1]
    assert "random.uniform(key, (2,))" in lines[2]
    assert "random.clone" in lines[3]


# ----------------------------------------------------------------------------------------------- initializers


def test_initializers_of_equal_keys() -> None:
    key, init = random.key(3), nn.initializers
    for found, expected in [
        (init.orthogonal(2.0)(key, (3, 2)),
         [[-1.7996418, 0.5606728], [0.47596955, 1.9151733], [-0.73126066, -0.13325748]]),
        (init.he_normal()(key, (2, 2)), [[-1.5005311, 1.5837677], [0.41414264, 1.9152853]]),
        (init.glorot_uniform()(key, (2, 2)), [[-1.0433539, 1.073230], [0.3648687, 1.1650288]]),
        (init.lecun_normal(dtype="complex64")(key, (1, 2)), [[0.09585118 + 0.01579601j, -0.21290088 - 0.0571505j]]),
        (init.lecun_uniform(dtype="complex64")(key, (1, 2)), [[0.13011885 + 0.02144323j, -0.28646737 - 0.07689847j]]),
    ]:  # fmt: skip
        np.testing.assert_allclose(found, expected, rtol=3e-6)


def test_orthogonal_initializers() -> None:
    key, init = random.key(3), nn.initializers
    for axis in range(3):
        drawn = np.asarray(init.orthogonal(column_axis=axis)(key, (3, 2, 4)))
        assert drawn.shape == (3, 2, 4)
        matrix = np.moveaxis(drawn, axis, -1).reshape(-1, drawn.shape[axis])
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(drawn.shape[axis]), atol=1e-6)
    kernel = np.array(init.delta_orthogonal()(key, (3, 3, 4, 6)))
    np.testing.assert_allclose(kernel[1, 1] @ kernel[1, 1].T, np.eye(4), atol=1e-6)
    kernel[1, 1] = 0
    assert not kernel.any()
    with pytest.raises(ValueError, match="at least a 2D shape"):
        init.orthogonal()(key, (4,))
    with pytest.raises(ValueError, match="3D, 4D or 5D"):
        init.delta_orthogonal()(key, (4, 6))
    with pytest.raises(ValueError, match="fan_in"):
        init.delta_orthogonal()(key, (3, 6, 4))
