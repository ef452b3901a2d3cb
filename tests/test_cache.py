"""Compiled code on disk: whatever happens to an entry or to the folder, programs run."""

from __future__ import annotations

import ctypes
import errno
import os
import pathlib
import stat
import subprocess
import sys
from typing import Any

import pytest

import wengert
import wengert.numpy as jnp
from wengert.backends import cpu
from wengert.compiler.cache import DiskCache, key_of
from wengert.compiler.fingerprint import fingerprint
from wengert.compiler.simplify import simplify
from wengert.core.staging import hoist_consts
from wengert.extend.core import Primitive
from wengert.runtime import dispatch

PROGRAM = """
import wengert, wengert.numpy as jnp
print(wengert.jit(lambda x: jnp.tanh(x) + 1)(jnp.arange(5.0)).tolist())
"""


def run_program(folder: pathlib.Path) -> str:
    env = {**os.environ, "WENGERT_COMPILATION_CACHE_DIR": str(folder), "WENGERT_ENABLE_CHECKS": "0"}
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
    cache.trim()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name[0] != ".") == ["k3", "k4", "last"]


def test_the_folder_is_trimmed_now_and_then(tmp_path: pathlib.Path) -> None:
    """Looking at every entry takes a while, so not each new one is a reason for it."""
    cache = DiskCache(str(tmp_path), max_bytes=300)
    for n in range(5):
        cache.put(f"k{n}", bytes(68))
    assert len(list(tmp_path.glob("k*"))) == 5
    os.utime(tmp_path / ".trimmed", (0, 0))
    DiskCache(str(tmp_path), max_bytes=300).put("last", bytes(68))
    assert len(list(tmp_path.glob("[kl]*"))) == 3


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
    entries = [p for p in folder.iterdir() if p.name[0] != "."]
    for path in entries:
        path.write_bytes(path.read_bytes()[:100])
    assert run_program(folder) == first
    assert all(p.stat().st_size > 100 for p in entries)


def entry_of(path: pathlib.Path, code: bytes = b"0123456789") -> DiskCache:
    cache = DiskCache(str(path))
    cache.put("k", code)
    assert cache.get("k") == code
    return cache


def test_an_entry_under_another_name_is_not_taken(tmp_path: pathlib.Path) -> None:
    cache = entry_of(tmp_path)
    (tmp_path / "k").rename(tmp_path / "other")
    assert cache.get("other") is None


def test_entries_that_others_could_have_written_are_not_taken(tmp_path: pathlib.Path) -> None:
    cache = entry_of(tmp_path)
    (tmp_path / "k").chmod(0o622)
    assert cache.get("k") is None
    (tmp_path / "k").chmod(0o600)
    assert cache.get("k") is not None


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives files away")
def test_entries_and_folders_of_another_user_are_not_taken(tmp_path: pathlib.Path) -> None:
    cache = entry_of(tmp_path)
    os.chown(tmp_path / "k", 12345, 12345)
    assert cache.get("k") is None
    os.chown(tmp_path / "k", 0, 0)
    assert cache.get("k") is not None
    os.chown(tmp_path, 12345, 12345)
    assert DiskCache(str(tmp_path)).get("k") is None


def test_a_full_disk_is_no_error(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(str(tmp_path))
    real = os.fdopen

    def full(*args: object, **kwargs: object) -> object:
        file = real(*args, **kwargs)  # type: ignore[call-overload]

        class Full:
            def __enter__(self) -> Full:
                return self

            def __exit__(self, *error: object) -> None:
                file.close()

            def write(self, data: bytes) -> None:
                file.write(data[:5])
                raise OSError(errno.ENOSPC, "No space left on device")

        return Full()

    monkeypatch.setattr(os, "fdopen", full)
    cache.put("k", b"code")
    monkeypatch.undo()
    assert cache.get("k") is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: pathlib.Path) -> None:
    cache = entry_of(tmp_path)
    real_open = os.open

    def refuse(path: str, flags: int, *args: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real_open(path, flags, *args)

    with pytest.MonkeyPatch.context() as patch:  # root may write anywhere, so that modes don't tell
        patch.setattr(os, "open", refuse)
        cache.put("new", b"code")
        assert cache.get("new") is None
        assert cache.get("k") == b"0123456789"


def test_many_processes_may_write_at_once(tmp_path: pathlib.Path) -> None:
    program = f"""
import sys
sys.path[:] = {sys.path!r}
from wengert.compiler.cache import DiskCache
cache = DiskCache({str(tmp_path)!r}, max_bytes=40_000)
for n in range(400):
    code = bytes([n % 7]) * 5000
    cache.put(f"k{{n % 7}}", code)
    found = cache.get(f"k{{n % 7}}")
    assert found is None or found == code, n
"""
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_what_was_never_finished_is_removed_in_time(tmp_path: pathlib.Path) -> None:
    old, new = tmp_path / "a.1-0.tmp", tmp_path / "b.2-0.tmp"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (1, 1))
    entry_of(tmp_path)
    assert not old.exists()
    assert new.exists()


def test_code_for_another_processor_or_version_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [dispatch.origin()]
    for target, name, value in (
        (cpu, "machine_key", lambda: "another processor"),
        (dispatch, "__version__", "0.0.0"),
        (dispatch, "source_stamp", lambda: "another source"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            dispatch.origin.cache_clear()
            names.append(dispatch.origin())
    dispatch.origin.cache_clear()
    assert dispatch.origin() == names[0]
    assert len({key_of("program", *name) for name in names}) == 4


LOADED = """
import sys, numpy as np, wengert, wengert.numpy as jnp
f = wengert.jit(lambda x, t: (wengert.lax.scan(lambda c, _: (jnp.sin(c) @ t, c.sum()), x, None, length=3), x[:, ::2]))
x = jnp.asarray(np.arange(12.0, dtype=np.float32).reshape(3, 4))
(c, s), y = f(x, jnp.eye(4) * 0.5)
print(c.tolist(), s.tolist(), y.tolist())
from wengert.runtime import loading
loading.settle()
from wengert.runtime import dispatch
run = dispatch.executable(next(iter(f._cache.entries.values())).jaxpr)
print(run._compilation is None, "define i32 @program" in f.lower(x, jnp.eye(4)).as_text("llvm"))
"""


def test_a_program_from_the_disk_runs_without_the_compiler(tmp_path: pathlib.Path) -> None:
    # where compilation is checked, it takes place
    env = {
        **os.environ,
        "WENGERT_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "WENGERT_ENABLE_CHECKS": "0",
    }
    printed = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", LOADED], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.splitlines())
    assert printed[0][0] == printed[1][0]
    assert printed[0][1] == "False True"
    assert printed[1][1] == "True True"


def test_fingerprints_tell_programs_apart() -> None:
    def printed(fun: Any, *args: Any) -> bytes | None:
        return fingerprint(simplify(hoist_consts(wengert.make_jaxpr(fun)(*args)).jaxpr))

    x = jnp.ones((3, 4))
    different = [
        printed(lambda x: x + 1, x),
        printed(lambda x: x + 2, x),
        printed(lambda x: x - 1, x),
        printed(lambda x: x + 1, x[0]),
        printed(lambda x: x + 1, x.astype(jnp.int32)),
        printed(lambda x: x.sum(0), x),
        printed(lambda x: x.sum(1), x),
        printed(lambda x: wengert.lax.scan(lambda c, y: (c + y, c), x[0], x)[0], x),
        printed(lambda x: wengert.lax.scan(lambda c, y: (c - y, c), x[0], x)[0], x),
        printed(lambda x: (x, x + 1), x),
        printed(lambda x: (x + 1, x), x),
    ]
    assert None not in different
    assert len(set(different)) == len(different)
    assert printed(lambda y: 1 + y, x) == printed(lambda y: 1 + y, x + 1)
    assert printed(lambda x: jax_callback(x), x) is None


def jax_callback(x: Any) -> Any:
    return wengert.pure_callback(lambda x: x, x, x)


def test_primitives_of_users_have_no_fingerprint() -> None:
    same_name = Primitive("sin")
    same_name.def_impl(lambda x: x)
    same_name.def_abstract_eval(lambda x: x)
    jaxpr = wengert.make_jaxpr(lambda x: same_name.bind(x))(1.0).jaxpr
    assert fingerprint(jaxpr) is None


def test_routines_of_the_runtime_are_compiled_once(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("")
    (tmp_path / "__pycache__").mkdir()  # as Python makes it for bytecode
    text = "define i32 @f() {\n  ret i32 41\n}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", False)
        patch.setattr(sys, "pycache_prefix", None)
        assert (
            ctypes.CFUNCTYPE(ctypes.c_int32)(cpu.load_routines("r", text, str(source)).address("f"))() == 41
        )
        (kept,) = (tmp_path / "__pycache__").iterdir()
        content = kept.read_bytes()
        patch.setattr(cpu, "_parse", None)  # no compiler from now on
        assert (
            ctypes.CFUNCTYPE(ctypes.c_int32)(cpu.load_routines("r", text, str(source)).address("f"))() == 41
        )
        patch.undo()
        patch.setattr(sys, "dont_write_bytecode", True)
        changed = text.replace("41", "42")
        assert (
            ctypes.CFUNCTYPE(ctypes.c_int32)(cpu.load_routines("r", changed, str(source)).address("f"))()
            == 42
        )
        kept.write_bytes(content[:-9])
        assert (
            ctypes.CFUNCTYPE(ctypes.c_int32)(cpu.load_routines("r", text, str(source)).address("f"))() == 41
        )
