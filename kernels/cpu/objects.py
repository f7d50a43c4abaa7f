"""Object code into memory: by this file where all that is left to fill in are addresses, and by LLVM everywhere else.

LLVM's code for x86-64 names what it needs by whole addresses, so that linking it is adding numbers up. A process that
finds its kernels in the cache need not load LLVM then, which is half of what it would have to import.
The format is that of the System V application binary interface, chapters 4 and 5, and its supplement for AMD64.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from functools import cache as once
from itertools import starmap
from struct import Struct
from typing import Any, NamedTuple

_HEADER = Struct("<16sHHIQQQIHHHHHH")
_RELOCATION = Struct("<QQq")
_SYMBOL = Struct("<IBBHQQ")
#: ELF of 64 bits, least byte first; relocatable; for AMD64.
_MAGIC, _RELOCATABLE, _AMD64 = b"\x7fELF\x02\x01", 1, 62
#: Kinds of sections, and marks that they have.
_SYMBOLS, _RELOCATIONS, _ZEROS = 2, 4, 8
_WRITTEN, _IN_MEMORY = 1, 2
#: The one kind of relocation there may be: the whole address of a symbol. Symbols of no section are somebody else's.
_ADDRESS, _ELSEWHERE = 1, 0
#: What memory may be used for, and that it is nobody else's and no file's, as Linux has it: the module takes longer.
_READ, _WRITE, _EXECUTE, _PRIVATE, _ANONYMOUS = 1, 2, 4, 2, 32


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


_SECTION = Struct("<IIQQQQIIQQ")


@once
def are_linked_here() -> bool:
    """Tell whether `linked` knows this platform's object code."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


@once
def _process() -> Any:
    """Give the C library, and all else that this process was linked with."""
    process = ctypes.CDLL(None, use_errno=True)
    process.mmap.restype = ctypes.c_void_p
    process.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_ssize_t]
    process.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return process


def address_of(symbol: str) -> int | None:
    """Give the address of a symbol of this process, None if it has none."""
    try:
        return ctypes.cast(_process()[symbol], ctypes.c_void_p).value
    except AttributeError:
        return None


def linked(code: bytes, entry: str, address: Callable[[str], int | None]) -> int | None:
    """Put object code into memory for good, and give the address of its function `entry`.

    `address` gives those of symbols that the code has not itself. None for what is not of the kind that this file is
    for, or not to be had: LLVM will say why.
    """
    if not code.startswith(_MAGIC):
        return None
    header = _HEADER.unpack_from(code)
    if header[1:3] != (_RELOCATABLE, _AMD64):
        return None
    first, count = header[6], header[12]
    sections = list(starmap(_Section, _SECTION.iter_unpack(code[first : first + count * _SECTION.size])))
    image = bytearray()
    places: dict[int, int] = {}
    for number, section in enumerate(sections):
        if section.flags & _IN_MEMORY and section.size:
            if section.flags & _WRITTEN or section.kind == _ZEROS:
                return None
            image += bytes(-len(image) % section.alignment)
            places[number] = len(image)
            image += code[section.offset : section.offset + section.size]
    base = _room(len(image))
    if base is None:
        return None
    found: int | None = None
    table = next(section for section in sections if section.kind == _SYMBOLS)
    symbols: list[int | str] = []  # addresses, and names of what is elsewhere
    names = sections[table.link].offset
    for name, _, _, place, value, _ in _SYMBOL.iter_unpack(code[table.offset : table.offset + table.size]):
        if place == _ELSEWHERE or name:
            begin = names + name
            text = code[begin : code.index(b"\0", begin)].decode()
        symbols.append(text if place == _ELSEWHERE else base + places.get(place, 0) + value)
        if name and text == entry:
            found = symbols[-1] if place in places else None  # type: ignore[assignment]
    for section in sections:
        if section.kind != _RELOCATIONS or section.info not in places:
            continue
        for offset, info, more in _RELOCATION.iter_unpack(code[section.offset : section.offset + section.size]):
            symbol = symbols[info >> 32]
            target = address(symbol) if isinstance(symbol, str) else symbol
            if info & 0xFFFFFFFF != _ADDRESS or target is None:
                return None
            begin = places[section.info] + offset
            image[begin : begin + 8] = (target + more).to_bytes(8, "little")
    return found if _made_code(base, image) else None


def _room(size: int) -> int | None:
    """Reserve memory that nobody gives back: threads may be in a kernel when the process ends."""
    found = _process().mmap(None, size, _READ | _WRITE, _PRIVATE | _ANONYMOUS, -1, 0)
    return None if found == ctypes.c_void_p(-1).value else int(found)


def _made_code(base: int, image: bytearray) -> bool:
    """Fill memory, and have it executed from now on instead of written; tells whether that is allowed."""
    ctypes.memmove(base, (ctypes.c_char * len(image)).from_buffer(image), len(image))
    return bool(_process().mprotect(base, len(image), _READ | _EXECUTE) == 0)
