"""Settings: where they come from, how far they reach, and what they refuse."""

from __future__ import annotations

import contextlib
import contextvars
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from wengert.config import (
    Config,
    config,
    current,
    debug_nans,
    disable_jit,
    enable_x64,
    numpy_rank_promotion as rank_promotion,
)


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = current()
    yield
    for name in ("enable_x64", "debug_nans", "num_threads", "numpy_rank_promotion"):
        config.update(name, getattr(before, name))


def in_a_thread(read: object) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(read()))  # type: ignore[operator]
    thread.start()
    thread.join()
    return found[0]


def test_an_update_is_seen_by_every_thread_at_once() -> None:
    config.update("jax_enable_x64", True)
    assert current().enable_x64
    assert in_a_thread(lambda: current().enable_x64) is True


def test_names_with_and_without_prefix() -> None:
    config.update("enable_x64", True)
    assert config.jax_enable_x64 is True
    assert config.enable_x64 is True
    assert config.read("jax_enable_x64") is True
    assert config.values["jax_enable_x64"] is True
    assert enable_x64.value is True


def test_a_context_manager_reaches_this_context_only() -> None:
    with enable_x64(True):
        assert current().enable_x64
        assert in_a_thread(lambda: current().enable_x64) is False
        inside = contextvars.copy_context()
    assert not current().enable_x64
    assert inside.run(lambda: current().enable_x64)


def test_context_managers_nest_and_restore_after_errors() -> None:
    with enable_x64(True), debug_nans(True):
        with enable_x64(False):
            assert (current().enable_x64, current().debug_nans) == (False, True)
        assert current().enable_x64
        with contextlib.suppress(KeyError), rank_promotion("raise"):
            assert current().numpy_rank_promotion == "raise"
            raise KeyError
        assert current().numpy_rank_promotion == "allow"
    assert (current().enable_x64, current().debug_nans) == (False, False)


def test_an_update_inside_a_context_manager_is_seen_unless_overridden() -> None:
    with enable_x64(False):
        config.update("jax_debug_nans", True)
        config.update("jax_enable_x64", True)
        assert current().debug_nans
        assert not current().enable_x64
    assert current().enable_x64


def test_called_without_a_value_a_flag_is_set() -> None:
    with enable_x64(), disable_jit():
        assert current().enable_x64
        assert current().disable_jit
    with pytest.raises(TypeError, match="numpy_rank_promotion needs a value"):
        rank_promotion()


def test_as_a_decorator_also_of_a_recursive_function() -> None:
    @enable_x64(True)
    def depth(n: int) -> int:
        assert current().enable_x64
        return 0 if n == 0 else 1 + depth(n - 1)

    assert depth(3) == 3
    assert not current().enable_x64


def test_the_trace_key_tells_flags_apart_that_change_programs() -> None:
    plain = current().trace_key
    with enable_x64(True):
        wide = current().trace_key
    with enable_x64(True):
        assert current().trace_key == wide
    assert plain != wide
    config.update("num_threads", 1)
    assert current().trace_key == plain
    hash(plain)


def test_unknown_flags_are_refused_with_a_hint() -> None:
    with pytest.raises(AttributeError, match="jax_enabel_x64; did you mean jax_enable_x64"):
        config.update("jax_enabel_x64", True)
    with pytest.raises(AttributeError, match="no_such_flag"):
        _ = config.no_such_flag


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("jax_enable_x64", "maybe", "True or False"),
        ("jax_enable_x64", None, "True or False"),
        ("jax_numpy_rank_promotion", "never", "'allow', 'warn', 'raise'"),
        ("jax_default_matmul_precision", "best", "'highest'"),
        ("num_threads", 0, "positive"),
        ("num_threads", "many", "positive"),
    ],
)
def test_values_that_a_flag_cannot_have(name: str, value: object, message: str) -> None:
    before = config.values
    with pytest.raises(ValueError, match=message):
        config.update(name, value)
    assert config.values == before


def test_flags_are_not_set_by_assignment_and_have_no_truth_value() -> None:
    with pytest.raises(AttributeError, match=r"config\.update\('jax_enable_x64', True\)"):
        config.jax_enable_x64 = True
    with pytest.raises(AttributeError, match="frozen"):
        current().enable_x64 = True
    with pytest.raises(TypeError, match="no truth value"):
        bool(enable_x64)


def test_options_of_other_machinery_are_kept_for_reading() -> None:
    config.update("jax_platforms", "cpu")
    assert config.jax_platforms == "cpu"
    assert isinstance(current(), Config)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"WENGERT_ENABLE_X64": "1"}, "True"),
        ({"JAX_ENABLE_X64": "true"}, "True"),
        ({"JAX_ENABLE_X64": "1", "WENGERT_ENABLE_X64": "0"}, "False"),
        ({"WENGERT_ENABLE_X64": "perhaps"}, "environment variable WENGERT_ENABLE_X64"),
    ],
)
def test_the_environment(variables: dict[str, str], expected: str) -> None:
    inherited = {key: value for key, value in os.environ.items() if "X64" not in key}
    program = "from wengert.config import current; print(current().enable_x64)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected in done.stdout + done.stderr
