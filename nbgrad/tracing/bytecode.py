"""What a function's code reads, as its instructions tell."""

from __future__ import annotations

import dis
import functools
import sys
from collections import Counter
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any


def names_of(code: CodeType) -> Iterator[str]:
    """Give the names of globals and attributes that code mentions."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from names_of(inner)


def strings_of(code: CodeType) -> Iterator[str]:
    """Give the strings of code that may be names."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from strings_of(constant)
        texts = constant if isinstance(constant, tuple | frozenset) else [constant]
        yield from (text for text in texts if isinstance(text, str) and text.isidentifier())


@functools.lru_cache(1024)  # functions are traced again and again
def reads_of(code: CodeType) -> tuple[str, ...]:
    """Give the names that code reads, without those that it only adds to: ``calls += 1``."""
    added = [""] * 3  # what the latest instructions were
    reads: Counter[str] = Counter()
    for instruction in dis.get_instructions(code):
        what, name = instruction.opname, instruction.argval
        if what.startswith("STORE_") and isinstance(name, str) and "+=" in added:
            reads[name] -= 1
        elif what.startswith("LOAD_") and what != "LOAD_CONST" and isinstance(name, str):
            reads[name] += 1
        added = [*added[1:], instruction.argrepr if what == "BINARY_OP" else ""]
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in reads_of(part)]
    return (*reads.elements(), *inner)


@functools.lru_cache(1024)
def computes_strings(code: CodeType) -> bool:
    """Tell whether code puts strings together, which may be names."""
    return (
        not {"format", "join", "str"}.isdisjoint(code.co_names)
        or any(isinstance(constant, str) and "%" in constant for constant in code.co_consts)
        or any(step.opname in ("FORMAT_VALUE", "FORMAT_SIMPLE", "BUILD_STRING") for step in dis.get_instructions(code))
        or any(isinstance(part, CodeType) and computes_strings(part) for part in code.co_consts)
    )


def imported(function: FunctionType) -> Iterator[ModuleType]:
    """Give the modules that a function imports itself."""
    for name, level in _imports(function.__code__):
        full = name
        if level:
            package = function.__globals__.get("__package__") or ""
            full = ".".join([*package.split(".")[: package.count(".") + 2 - level], *filter(None, [name])])
        parts = full.split(".")
        for count in range(1, len(parts) + 1):
            module = sys.modules.get(".".join(parts[:count]))
            if module is not None:
                yield module


@functools.lru_cache(1024)
def _imports(code: CodeType) -> tuple[tuple[str, int], ...]:
    """Give the names of modules that code imports, and how many packages above they are looked for."""
    found: list[tuple[str, int]] = []
    loaded: list[Any] = [0, None]  # at last the level, and the names that are taken
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            found.append((instruction.argval, loaded[-2]))
        elif instruction.opname.startswith("LOAD_"):
            loaded.append(instruction.argval)
    return (*found, *(name for part in code.co_consts if isinstance(part, CodeType) for name in _imports(part)))
