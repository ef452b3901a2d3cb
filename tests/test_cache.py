"""Compiled code on disk: whatever happens to an entry or to the folder, programs run."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys

import pytest

from wengert.compiler.cache import DiskCache, key_of

PROGRAM = """
import wengert, wengert.numpy as jnp
print(wengert.jit(lambda x: jnp.tanh(x) + 1)(jnp.arange(5.0)).tolist())
"""


def run_program(folder: pathlib.Path) -> str:
    env = {**os.environ, "WENGERT_COMPILATION_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_put_is_got(tmp_path: pathlib.Path) -> None:
    cache = DiskCache(str(tmp_path / "cache"))
    assert cache.get(key_of("a")) is None
    cache.put(key_of("a"), b"code")
    assert cache.get(key_of("a")) == b"code"
    assert DiskCache(str(tmp_path / "cache")).get(key_of("a")) == b"code"


def test_keys_tell_texts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("ab", "c") == key_of("ab", "c")


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_damaged_entries_are_dropped(tmp_path: pathlib.Path, damage: str) -> None:
    cache = DiskCache(str(tmp_path))
    cache.put("k" * 64, b"0123456789")
    path = tmp_path / ("k" * 64)
    content = path.read_bytes()
    changed = {"truncated": content[:-3], "altered": content[:-1] + b"x", "empty": b""}[damage]
    path.write_bytes(changed)
    assert cache.get("k" * 64) is None


def test_folder_that_others_can_write_is_not_used(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    cache = DiskCache(str(folder))
    cache.put("k", b"code")
    assert cache.get("k") is None
    assert list(folder.iterdir()) == []


def test_folder_that_cannot_be_made_is_no_error(tmp_path: pathlib.Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    cache = DiskCache(str(blocked / "cache"))
    cache.put("k", b"code")
    assert cache.get("k") is None


def test_oldest_entries_are_removed(tmp_path: pathlib.Path) -> None:
    cache = DiskCache(str(tmp_path), max_bytes=300)
    for n in range(5):
        cache.put(f"k{n}", bytes(68))  # 100 bytes with the checksum
        os.utime(tmp_path / f"k{n}", (n, n))
    cache.put("last", bytes(68))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k3", "k4", "last"]


def test_a_second_process_loads_what_the_first_compiled(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "cache"
    first = run_program(folder)
    entries = {p.name: p.stat().st_size for p in folder.iterdir()}
    assert entries
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert run_program(folder) == first
    assert {p.name: p.stat().st_size for p in folder.iterdir()} == entries


def test_a_damaged_entry_is_compiled_again(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "cache"
    first = run_program(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert run_program(folder) == first
    assert all(p.stat().st_size > 100 for p in folder.iterdir())
