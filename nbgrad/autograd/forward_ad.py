"""PyTorch's `autograd.forward_ad`: Variables with tangents, and what comes of them.

A dual is a place in the graph with a tangent noted beside it. Tangents are computed when they are asked for, in one
walk forth along the graph, so operations run as they always do. Inside `no_grad` nothing is recorded, and they end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..forward import push
from ..function import DIFFERENTIABLE
from ..grad_mode import enable_grad
from ..variable import Variable
from .linearised import like
from .transforms import _leaf


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` gives: a value, and its tangent, None where it has none."""

    primal: Variable
    tangent: Variable | None


class _Duals(threading.local):
    """The duals of the level that is open in a thread, with their tangents; None where none is."""

    made: list[tuple[Variable, Variable]] | None = None


_duals = _Duals()


def enter_dual_level() -> int:
    """Open the level that duals belong to; gives its number, 0. Raises RuntimeError inside of one, as PyTorch does."""
    if _duals.made is not None:
        raise RuntimeError("enter_dual_level: a level is open already: nest nbgrad.func.jvp instead")
    _duals.made = []
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the level, and forget its tangents. Raises RuntimeError where none is open."""
    if _duals.made is None or level not in (None, 0):
        raise RuntimeError("exit_dual_level: no such level is open")
    _duals.made = None


@contextmanager
def dual_level() -> Iterator[int]:
    """Open a level for the block.

    >>> import nbgrad
    >>> forward_ad = nbgrad.autograd.forward_ad
    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(nbgrad.tensor(2.0), nbgrad.tensor(1.0))
    ...     forward_ad.unpack_dual(x**3)
    UnpackedDualTensor(primal=Variable(8.), tangent=Variable(12.))
    """
    level = enter_dual_level()
    try:
        yield level
    finally:
        exit_dual_level(level=level)


def make_dual(tensor: Variable, tangent: Variable, *, level: int | None = None) -> Variable:
    """Give a Variable of the same value with a tangent, which has its shape and dtype.

    Raises RuntimeError where no level is open, TypeError for a value without gradients, ValueError for a tangent of
    another shape.
    """
    if _duals.made is None or level not in (None, 0):
        raise RuntimeError("make_dual: no level is open: use it inside `with dual_level():`")
    if not isinstance(tensor, Variable) or tensor.dtype not in DIFFERENTIABLE:
        got = f"dtype {tensor.dtype}" if isinstance(tensor, Variable) else type(tensor).__name__
        raise TypeError(f"make_dual: got {got}: give a Variable of float32 or float64")
    with enable_grad():
        dual = _leaf(make_dual, (0,), tensor)
    _duals.made.append((dual, like("make_dual: the tangent", dual, tangent)))
    return dual


def unpack_dual(tensor: Variable, *, level: int | None = None) -> UnpackedDualTensor:
    """Give (value, tangent) of a dual, or of what was computed of some; the tangent is None where there is no way.

    The tangent can be differentiated, where anything that it was computed of requires a gradient.
    """
    if not isinstance(tensor, Variable):
        raise TypeError(f"unpack_dual: got {type(tensor).__name__}: give a Variable")
    made: Any = _duals.made
    if not made or level not in (None, 0) or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    places, tangents = zip(*made, strict=True)
    with enable_grad():
        (found,) = push([tensor], places, tangents, create_graph=True)
    return UnpackedDualTensor(tensor, found)
