"""Who else holds an array, by counts of references.

A gradient that nobody else holds becomes a leaf's `grad` as it is, and any other one is copied: rules hand cotangents
through and give views of them, and what is written into one `grad` in place must not show in another one.
"""

from __future__ import annotations

from sys import getrefcount

import numpy as np

from .arrays import Array
from .kernels import dispatch


def _lonely() -> tuple[int, int]:
    """Find out what the counts of references are where nobody else holds an array, and the base of a view.

    Interpreters differ in how they count the asking: some lend a local name's reference instead of counting it. So
    this asks as `backward` does, of a name that runs through a dictionary.
    """
    for _, view in {0: np.zeros(2)[:1]}.items():
        base = view.base
        return getrefcount(view), getrefcount(base)
    raise AssertionError


#: ``getrefcount(gx) <= ALONE`` tells, in a loop like the one above, that only the dictionary holds an array. It is no
#: function, whose own names would be counted.
ALONE, _BASE_ALONE = _lonely()


def _lonely_in_walk() -> int:
    """Find out what a node's `pull` counts, called as the walk calls it, of a cotangent that only the walk has."""

    class Node:
        def pull(self, gy: Array) -> int:
            return getrefcount(gy)

    function, gy = Node(), np.zeros(2)
    return function.pull(gy)


#: ``getrefcount(gy) <= ALONE_IN_WALK`` tells a node's `pull` that nobody but the walk has its cotangent. Walks that are
#: recorded or watched call it through others, who have names for it as well: there it is never alone.
ALONE_IN_WALK = _lonely_in_walk()


def is_private(gx: Array) -> bool:
    """Tell whether an array that only its caller holds shares its memory with nobody.

    Either the memory is its own, or that of an array which nobody but this view holds.
    """
    base = gx.base
    if not dispatch.is_writeable(gx):  # a broadcast view
        return False
    return base is None or (type(base) is type(gx) and base.base is None and getrefcount(base) <= _BASE_ALONE)
