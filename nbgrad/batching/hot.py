"""Arrays of many examples that are zero but for a few places of each, as unit vectors are and what walks make of these.

A place of a `Hot` belongs to at most one example, so one array of an example's shape has the numbers of all, and what
is linear and elementwise costs as much as for one example. A Jacobian's rows and columns begin like that. Sums of a few
Hots are kept apart, which is how bands and diagonals stay what they are; all else gets the arrays of all examples.
Places that are nobody's stay zero, whatever they are multiplied by, infinities too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, is_stand_in
from ..kernels import dispatch, formula, scalars
from ..kernels.cpu import elementwise as cpu
from ..kernels.shapes import broadcast_shapes
from ..ops.elementwise import add, mul, neg, where
from ..ops.indexing import GetItem, Index, Scatter
from .levels import Level

#: Fewer examples have their arrays at once.
LEAST = 2
#: What an array may be a sum of, at most, and how many examples there are for each of these, at least.
TERMS, EXAMPLES = 8, 4
#: Elements of all examples' arrays, beyond which traced programs do not get to know whose each is.
MOST = 1 << 22
#: Elements of unit vectors, up to which they are kept for the next time.
KEPT = 1 << 12


class Hot(NamedTuple):
    """What examples have in places that are each one's own."""

    #: Whose each place is, by the number of the example; negative where it is nobody's, and the value is zero.
    owner: Array
    #: What is there: an array of any target, or what stands in for one.
    values: Any


Hots = tuple[Hot, ...]


def units(size: int, begin: int, shape: tuple[int, ...], dtype: Any, like: Any) -> Hots | None:
    """Give unit vectors of a shape, beginning with that of a place, one for each of so many examples."""
    count = math.prod(shape)
    if size < LEAST or (is_stand_in(like) and size * count > MOST):
        return None
    owner, values = (_units if count <= KEPT else _units.__wrapped__)(size, begin, shape, dtype)
    return (Hot(owner, dispatch.beside(values, like)),)


@functools.lru_cache(maxsize=64)
def _units(size: int, begin: int, shape: tuple[int, ...], dtype: Any) -> tuple[Array, Array]:
    """Give whose each place is, and a one there."""
    count = math.prod(shape)
    owner = np.arange(-begin, count - begin).reshape(shape)
    owner[(owner < 0) | (owner >= size)] = -1
    values = np.asarray(owner >= 0).astype(dtype)
    owner.flags.writeable = values.flags.writeable = False
    return owner, values


def spread(level: Level, hots: Hots) -> Any:
    """Give the arrays of all examples along a new first axis."""
    shape = hots[0].values.shape
    if all([type(h.values) is np.ndarray for h in hots]):
        whole = np.zeros((level.size, *shape), hots[0].values.dtype)
        flat, size = whole.reshape(-1), math.prod(shape)
        for number, hot in enumerate(hots):
            owner, values = hot.owner.reshape(-1), hot.values.reshape(-1)
            places = np.arange(size)
            if owner.min(initial=0) < 0:
                (places,) = np.nonzero(owner >= 0)
                owner, values = owner[places], values[places]
            at = owner * size + places  # no two are the same
            flat[at] = values if not number else flat[at] + values
        return whole
    examples = np.arange(level.size).reshape(-1, *(1,) * len(shape))
    total: Any = None
    for hot in hots:
        own = dispatch.beside(hot.owner[None] == examples, hot.values)
        part = where(own, hot.values[None], 0)
        total = part if total is None else add(total, part)
    return total


def total(hots: Hots) -> Any:
    """Add up over the examples."""
    return functools.reduce(add, [h.values for h in hots])


def moved(hots: Hots, move: Callable[[Any], Any]) -> Hots:
    """Move the places of each example alike."""
    return tuple([Hot(move(h.owner), move(h.values)) for h in hots])


def picked(hots: Hots, key: tuple[Any, ...]) -> Hots:
    """Pick elements by an index that is the same for all examples."""
    pick = GetItem(Index(key)).forward
    return tuple([Hot(h.owner[key], pick(h.values)) for h in hots])


def scattered(hots: Hots, key: tuple[Any, ...], shape: tuple[int, ...]) -> Hots:
    """Put elements among zeros, at an index that meets none twice."""
    made = []
    for hot in hots:
        owner = np.full(shape, -1)
        owner[key] = hot.owner
        made.append(Hot(owner, Scatter(Index(key), shape).forward(hot.values)))
    return tuple(made)


def folded(hots: Hots, axes: tuple[int, ...]) -> Hots | None:
    """Add up along axes, if along each line places are one example's; otherwise None."""
    made = []
    for hot in hots:
        first = hot.owner.max(axes, initial=-1, keepdims=True)
        if ((hot.owner != first) & (hot.owner >= 0)).any():
            return None
        made.append(Hot(first.squeeze(axes), dispatch.reduce_array("sum", hot.values, axes)))
    return tuple(made)


# ---- elementwise ----------------------------------------------------------------------------------------------------


def elementwise(level: Level, given: Sequence[Hots], apply: Callable[..., Any], ufunc: np.ufunc, xs: Any) -> Any:
    """Apply a ufunc to arrays of which some are sums of Hots, and none else differs among examples; None if it spreads.

    `given` has these, nothing in the place of the others.
    """
    among = [i for i, hots in enumerate(given) if hots]
    if len(among) == 1:
        (place,) = among
        if not _is_linear(ufunc)[place]:
            return None
        made = []
        for hot in given[place]:
            values = apply(*[hot.values if i == place else x for i, x in enumerate(xs)])
            made.append(_as_wide(hot.owner, values))
        return tuple(made)
    sign = _sign(ufunc)
    if not sign or given[0][0].values.dtype != given[1][0].values.dtype:
        return None
    shape = broadcast_shapes(*[hots[0].values.shape for hots in given])
    terms: list[Hot] = []
    for number, hots in enumerate(given):
        for hot in hots:
            values = hot.values if number == 0 or sign > 0 else neg(hot.values)
            values = values if values.shape == shape else dispatch.broadcast_to(values, shape)
            _put(terms, _as_wide(hot.owner, values))
    return tuple(terms) if len(terms) <= TERMS and len(terms) * EXAMPLES <= level.size else None


def _as_wide(owner: Array, values: Any) -> Hot:
    return Hot(owner if owner.shape == values.shape else np.broadcast_to(owner, values.shape), values)


def _put(terms: list[Hot], hot: Hot) -> None:
    """Add to a sum: to what does not belong to other examples, if there is such."""
    for i, other in enumerate(terms):
        own = other.owner
        if own is not hot.owner:
            if ((own != hot.owner) & (own >= 0) & (hot.owner >= 0)).any():
                continue
            own = np.maximum(own, hot.owner)
        terms[i] = Hot(own, add(other.values, hot.values))
        return
    terms.append(hot)


@functools.cache
def _is_linear(ufunc: np.ufunc) -> tuple[bool, ...]:
    """Tell for each input of a ufunc whether the result is proportional to it."""
    if ufunc in _LINEAR:
        return _LINEAR[ufunc]
    expressions, kinds = cpu.formulas.get(ufunc, ((), ()))
    if len(expressions) != 1:
        return (False,) * ufunc.nin
    return tuple([_proportional(expressions[0], formula.variable(i, kind)) for i, kind in enumerate(kinds)])


_LINEAR = {np.multiply: (True, True), np.divide: (True, False), np.negative: (True,), np.positive: (True,)}


def _proportional(expression: Any, variable: Any) -> bool:
    """Tell whether a formula is zero where a variable is, and linear in it."""
    depends: dict[Any, bool] = {}

    def has(node: Any) -> bool:
        if node not in depends:
            depends[node] = node is variable or any([has(x) for x in node.arguments])
        return depends[node]

    def holds(node: Any) -> bool:
        if node is variable:
            return True
        x = node.arguments
        if node.function is scalars.mul:
            return (holds(x[0]) and not has(x[1])) or (holds(x[1]) and not has(x[0]))
        if node.function is scalars.div:
            return holds(x[0]) and not has(x[1])
        if node.function in (scalars.add, scalars.sub, scalars.neg):
            return all([holds(y) for y in x])
        if node.function is scalars.where:
            return not has(x[0]) and all([holds(y) or formula.constant_value(y) == 0 for y in x[1:]])
        return False

    return holds(expression)


@functools.cache
def _sign(ufunc: np.ufunc) -> int:
    """Tell whether a ufunc adds its second input, 1, subtracts it, -1, or does neither, 0."""
    if ufunc in (np.add, np.subtract):
        return 1 if ufunc is np.add else -1
    (expression, *more), _ = cpu.formulas.get(ufunc, ((None,), ()))
    if expression is None or more or expression.function not in (scalars.add, scalars.sub):
        return 0
    if any([x is not formula.variable(i) for i, x in enumerate(expression.arguments)]):
        return 0
    return 1 if expression.function is scalars.add else -1


# ---- products -------------------------------------------------------------------------------------------------------


def rows(level: Level, hots: Hots, matrix: Any) -> Any:
    """Give vectors, one an example, times a matrix, along a new first axis; None where an example has not one place."""
    total: Any = None
    for owner, values in hots:
        (places,) = np.nonzero(owner >= 0)
        if len(places) != level.size or np.bincount(owner[places], minlength=level.size).max() > 1:
            return None
        of_examples = np.empty(level.size, np.int64)
        of_examples[owner[places]] = places
        picked = matrix
        if level.size != len(owner) or (of_examples != np.arange(level.size)).any():
            pick = GetItem(Index(of_examples)).forward
            values, picked = pick(values), pick(matrix)
        part = mul(picked, values[:, None])
        total = part if total is None else add(total, part)
    return total
