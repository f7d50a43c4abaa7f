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
from contextlib import suppress
from functools import cache as once
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
    """Give the directory of the cache: $NBGRAD_CACHE_DIR, or ``nbgrad`` in the user's cache directory.

    For a user without a home it is in the directory for temporary files.
    """
    chosen = os.environ.get("NBGRAD_CACHE_DIR")
    if chosen:
        return _absolute(os.path.expanduser(chosen))
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~\\AppData\\Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # which the standard says to ignore
            base = "~/.cache"
    return _absolute(os.path.expanduser(os.path.join(base, "nbgrad")))


@once
def _absolute(place: str) -> Path:
    """Give a directory where it is when it is first asked for: a program may go elsewhere."""
    try:
        if place.startswith("~"):  # nobody knows the home of this user
            if not hasattr(os, "geteuid"):  # nor whose files are whose: the kernels are kept for this process only
                return Path(tempfile.mkdtemp(prefix="nbgrad-"))
            place = os.path.join(tempfile.gettempdir(), f"nbgrad-{os.geteuid()}")
        return Path(os.path.abspath(place))
    except OSError:  # neither a place for temporary files nor a working directory
        return Path(place)


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
    name = re.sub(r"[^A-Za-z0-9_-]", "_", name)  # it may be any text of a user's
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{name[:80]}-{digest[:32]}"


def holds(key: str) -> bool:
    """Tell whether a kernel is stored under `key`, whatever `read` has to say of it."""
    return os.path.exists(directory() / f"{key}.kernel")


def read(key: str) -> CompiledKernel | None:
    """Give the kernel stored under `key`, or None where there is none that can be trusted."""
    base = directory()
    try:
        if not _only_ours(os.stat(base)):
            return None
        with open(base / f"{key}.kernel", "rb", opener=_open_at_once) as file:
            # the open file is judged, not its name: what is checked is what is read
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or not _only_ours(status):
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
    words = header.decode(errors="replace").split(" ")
    if words[0] != key or not words[1:2] or not words[1]:  # under another kernel's name, or without an entry
        return None
    return CompiledKernel(words[1], tuple(words[2:]), code)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting, as one would for whoever writes into a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


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
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=base)  # mode 0600
    except OSError:
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, os.path.join(base, name))
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if not isinstance(error, OSError):  # an interrupt
            raise


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
