"""The on-disk cache of compiled kernels: object code in files named by a hash of everything that shaped it.

Files live outside the package, in a directory that belongs to the user. A file is trusted when it belongs to the
user, nobody else can write it, and its checksum holds; anything else counts as absent. Trouble with the disk costs
time and never correctness: a kernel that cannot be read is compiled again, one that cannot be written stays in memory.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"nbgrad kernel 2\n"
#: The names of files that are ours; nothing else in the directory is ever touched.
_OURS = re.compile(r".+-[0-9a-f]{32}\.(kernel|py)|\..+\.part")


class CompiledKernel(NamedTuple):
    """Machine code and what it takes to load it: the entry's symbol and the symbols it expects to find."""

    symbol: str
    undefined: tuple[str, ...]
    code: bytes


def directory() -> Path:
    """Give the directory of the cache: $NBGRAD_CACHE_DIR, or ``nbgrad`` in the user's cache directory."""
    chosen = os.environ.get("NBGRAD_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~\\AppData\\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "nbgrad"


def _only_ours(status: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):  # Windows keeps %LOCALAPPDATA% private by its access lists
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _usable_directory() -> str | None:
    path = directory()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(path) if _only_ours(os.stat(path)) else None
    except OSError:
        return None


def is_usable() -> bool:
    """Tell whether kernels can be kept: the directory exists or can be made, is ours, and is closed to others."""
    base = _usable_directory()
    return base is not None and os.access(base, os.W_OK)


def key_of(name: str, *parts: str) -> str:
    """Give the file stem for a kernel: its name, for the eye, and a hash of all the parts, for the truth."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{name[:80]}-{digest[:32]}"


def read(key: str) -> CompiledKernel | None:
    """Give the kernel stored under `key`, or None where there is none that can be trusted."""
    base = directory()
    try:
        if not _only_ours(os.stat(base)):
            return None
        with open(base / f"{key}.kernel", "rb") as file:
            # the open file is judged, not its name: what is checked is what is read
            if not _only_ours(os.fstat(file.fileno())):
                return None
            content = file.read()
    except OSError:
        return None
    if not content.startswith(_MAGIC):
        return None
    checksum, body = content[len(_MAGIC) : len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
    if hashlib.sha256(body).digest() != checksum:
        return None
    header, _, code = body.partition(b"\n")
    stored, symbol, *undefined = header.decode().split(" ")
    if stored != key:  # a file under another kernel's name
        return None
    return CompiledKernel(symbol, tuple(undefined), code)


def write(key: str, kernel: CompiledKernel, source: str) -> None:
    """Store a kernel, and beside it the source it was compiled from, for the curious; give up silently."""
    base = _usable_directory()
    if base is None:
        return
    body = " ".join((key, kernel.symbol, *kernel.undefined)).encode() + b"\n" + kernel.code
    _write_file(base, f"{key}.py", source.encode())
    _write_file(base, f"{key}.kernel", _MAGIC + hashlib.sha256(body).digest() + body)


def _write_file(base: str, name: str, content: bytes) -> None:
    """Put a whole file in place at once: other processes see the old state or the new one, nothing between."""
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=base)  # mode 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, os.path.join(base, name))
    except OSError:
        if temporary is not None:
            try:
                os.unlink(temporary)
            except OSError:
                return


def _our_files() -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory()) as entries:
            return [entry for entry in entries if _OURS.fullmatch(entry.name)]
    except OSError:
        return []


def size() -> tuple[int, int]:
    """Give the number of kernels in the cache and the bytes that all its files take."""
    kernels = total = 0
    for entry in _our_files():
        try:
            total += entry.stat().st_size
        except OSError:  # deleted meanwhile
            continue
        kernels += entry.name.endswith(".kernel")
    return kernels, total


def clear() -> int:
    """Delete every file the cache wrote and give their number; kernels already loaded stay usable."""
    removed = 0
    for entry in _our_files():
        try:
            os.unlink(entry.path)
        except OSError:
            continue
        removed += 1
    return removed
