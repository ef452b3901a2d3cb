"""Compiled code on disk, so that a second run of a program need not compile it again.

The cache is a folder that only its owner can write: `wengert` in the user's cache folder, unless the
setting `compilation_cache_dir` says otherwise. An entry is a file named after what it was compiled from; it
holds a checksum and the code. Entries are written atomically, and the oldest are removed when the folder
grows too large. Whatever is wrong with an entry or with the folder, the answer is that there is none: the
code is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile

_MAX_BYTES = 256 << 20
_DIGEST = 32


def key_of(*parts: str) -> str:
    """The name of the entry for code that is determined by these texts."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
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
        try:
            with open(path, "rb") as file:
                if not _is_ours(os.fstat(file.fileno())):
                    return None
                content = file.read()
        except OSError:
            return None
        code = content[_DIGEST:]
        if hashlib.sha256(code).digest() != content[:_DIGEST]:
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the entries that were used last are removed last
        return code

    def put(self, key: str, code: bytes) -> None:
        """Keep a byte string under the key."""
        if not self._ready():
            return
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(temporary, os.path.join(self.folder, key))
        except OSError:
            if temporary:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            return
        self._trim()

    def _ready(self) -> bool:
        """Whether the folder is there and only its owner can write to it."""
        if self._usable is None:
            try:
                os.makedirs(self.folder, mode=0o700, exist_ok=True)
                self._usable = _is_ours(os.stat(self.folder))
            except OSError:
                self._usable = False
        return self._usable

    def _trim(self) -> None:
        """Remove the oldest entries until the folder is small enough."""
        try:
            with os.scandir(self.folder) as entries:
                found = [(e.stat().st_mtime, e.stat().st_size, e.path) for e in entries if e.is_file()]
        except OSError:
            return
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.max_bytes:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
                total -= size


def _is_ours(status: os.stat_result) -> bool:
    """Whether the user owns a file or folder and nobody else can write to it."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
