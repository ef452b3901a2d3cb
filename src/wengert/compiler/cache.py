"""Compiled code on disk, so that a second run of a program need not compile it again.

The cache is a folder that only its owner can write: `wengert` in the user's cache folder, unless the
setting `compilation_cache_dir` says otherwise. An entry is a file named after what it was compiled from; it
holds a checksum of its name and of the code. Entries are written atomically, and the oldest are removed when the
folder grows too large. Whatever is wrong with an entry or with the folder, the answer is that there is none: the
code is compiled again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
import time

# The hashlib module would load OpenSSL for this, which takes longer than a program's first call.
try:
    from _blake2 import blake2b
except ImportError:  # an interpreter that has it elsewhere
    from hashlib import blake2b

_MAX_BYTES = 256 << 20
_DIGEST = 32
_MARKER = ".trimmed"  # its time says when the folder was trimmed last
_TRIM_SECONDS = 600.0  # how long after that it is trimmed again, if anything is written
_STALE_SECONDS = 3600.0  # after which a file that was being written has been given up
_numbers = itertools.count()


def key_of(*parts: str | bytes) -> str:
    """The name of the entry for code that is determined by these texts."""
    digest = blake2b(digest_size=_DIGEST)
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def default_folder() -> str:
    """Where the cache is unless a setting says otherwise."""
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "wengert")


def _checksum(key: str, code: bytes) -> bytes:
    return blake2b(code, digest_size=_DIGEST, key=key.encode()[:64]).digest()


def read(path: str, key: str, owner: int | None = None) -> bytes | None:
    """What `write` put there under this key, if it is whole, and if nobody but its owner (by default the user) can
    have written it."""
    try:
        with open(path, "rb") as file:
            if not _is_owned(os.fstat(file.fileno()), owner):
                return None
            content = file.read()
    except OSError:
        return None
    code = content[_DIGEST:]
    return code if _checksum(key, code) == content[:_DIGEST] else None


def write(path: str, key: str, code: bytes, mode: int = 0o600) -> bool:
    """Put code in a file, all of it or nothing, whoever else writes there; False if that cannot be done."""
    temporary = f"{path}.{os.getpid()}-{next(_numbers)}.tmp"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            file.write(_checksum(key, code) + code)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True


class DiskCache:
    """Byte strings by key, in a folder. No method raises an exception because of the file system."""

    def __init__(self, folder: str, max_bytes: int = _MAX_BYTES):
        self.folder = folder
        self.max_bytes = max_bytes
        self._usable: bool | None = None

    def get(self, key: str) -> bytes | None:
        """What was put under the key, if it is there and whole."""
        if not self._ready():
            return None
        path = os.path.join(self.folder, key)
        code = read(path, key)
        if code is not None:
            with contextlib.suppress(OSError):
                os.utime(path)  # the entries that were used last are removed last
        return code

    def put(self, key: str, code: bytes) -> None:
        """Keep a byte string under the key."""
        if self._ready() and write(os.path.join(self.folder, key), key, code) and self._is_due():
            self.trim()

    def _ready(self) -> bool:
        """Whether the folder is there and only its owner can write to it."""
        if self._usable is None:
            try:
                os.makedirs(self.folder, mode=0o700, exist_ok=True)
                self._usable = _is_owned(os.stat(self.folder))
            except OSError:
                self._usable = False
        return self._usable

    def _is_due(self) -> bool:
        """Whether nobody has trimmed the folder of late: looking at every entry takes a while."""
        marker = os.path.join(self.folder, _MARKER)
        try:
            if 0 <= time.time() - os.stat(marker).st_mtime < _TRIM_SECONDS:
                return False
        except OSError:
            pass
        with contextlib.suppress(OSError):
            os.close(os.open(marker, os.O_CREAT | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), 0o600))
            os.utime(marker)
        return True

    def trim(self) -> None:
        """Remove the oldest entries until the folder is small enough, and what was never finished."""
        try:
            with os.scandir(self.folder) as entries:
                found = [(e.stat().st_mtime, e.stat().st_size, e.path) for e in entries if e.is_file()]
        except OSError:
            return
        total = sum(size for _, size, _ in found)
        newest = max((written for written, _, _ in found), default=0.0)
        for written, size, path in sorted(found):
            unfinished = path.endswith(".tmp") and written < newest - _STALE_SECONDS
            if total <= self.max_bytes and not unfinished:
                continue
            with contextlib.suppress(OSError):
                os.unlink(path)
                total -= size


def _is_owned(status: os.stat_result, owner: int | None = None) -> bool:
    """Whether the user, or `owner`, owns a file or folder and nobody else can write to it."""
    if not hasattr(os, "getuid"):
        return True
    user = os.getuid() if owner is None else owner
    return status.st_uid == user and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
