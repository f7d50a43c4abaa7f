"""Hooks of modules: functions that see what goes in and out."""

from __future__ import annotations

import itertools
from typing import Any

#: How often a module has got another parameter, buffer, part, mode, setting or hook: what was compiled looks here.
changes = itertools.count(1)
changed = [0]

_keys = itertools.count()


def hooked(held: dict[int, Any], hook: Any, prepend: bool, named: bool) -> Any:
    if not callable(hook):
        raise TypeError(f"a hook is a function, got {type(hook).__name__}")
    key = next(_keys)
    entry: Any = {key: (hook, named)}
    if prepend:
        kept = dict(held)
        held.clear()
        held.update(entry | kept)
    else:
        held.update(entry)
    changed[0] = next(changes)
    return Removable(held, key)


class Removable:
    """What takes a hook off again: `remove`, or the end of ``with``."""

    def __init__(self, held: dict[int, Any], key: int) -> None:
        self._held, self._key = held, key

    def remove(self) -> None:
        """Take the hook off."""
        self._held.pop(self._key, None)
        changed[0] = next(changes)

    def __enter__(self) -> Removable:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
