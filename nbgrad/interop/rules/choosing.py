"""Functions that choose between values, limit them, or put others in their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import is_stand_in
from ...ops import elementwise as plain
from ...ops.creation import zeros_like
from ...ops.shape import broadcast_to
from ...variable import Variable, data_of
from .operands import beside, computes, floating, has_kernels, is_number, operand, ours, together


def _clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: None = None,
    *,
    min: Any = None,
    max: Any = None,
    dtype: Any = None,
) -> Any:
    bounds = [a_min if min is None or min is np._NoValue else min, a_max if max is None or max is np._NoValue else max]
    bounds = [None if v is np._NoValue else v for v in bounds]
    if out is not None or dtype is not None:
        return NotImplemented
    if not computes(a, "f"):  # bounds outside of the range of whole numbers: as NumPy has them
        if not any(isinstance(v, Variable) and v.requires_grad for v in bounds):
            return NotImplemented
        a = floating(a)
    lowest, highest = (v if v is None or isinstance(v, int | float) else operand(v) for v in bounds)
    return a.reshape(a.shape) if lowest is None and highest is None else plain.clamp(a, lowest, highest)


def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    if x is None or y is None:  # the places where it holds
        return np.where(condition.data) if isinstance(condition, Variable) else NotImplemented
    condition = operand(condition)
    x, y = (v if is_number(v) else operand(v) for v in (x, y))
    values = [v for v in (condition, x, y) if not is_number(v)]
    if any(map(is_stand_in, values)) and not all(has_kernels(v.dtype) for v in values):
        return NotImplemented
    if is_stand_in(condition) and is_number(x) and is_number(y):
        x, y = np.asarray(x)[()], np.asarray(y)[()]  # of the dtypes that NumPy gives them
    if condition.dtype != np.bool_:
        condition = plain.ne(condition, 0)
    return plain.where(condition, x, y)


def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    if len(condlist) != len(choicelist) or not condlist:
        return NotImplemented  # NumPy says why
    conditions = [operand(data_of(condition)) for condition in condlist]
    if any(condition.dtype != np.bool_ for condition in conditions):
        return NotImplemented
    choices = [v if is_number(v) else operand(v) for v in choicelist]
    found = default if is_number(default) else operand(default)
    for condition, choice in zip(conditions[::-1], choices[::-1], strict=True):
        found = plain.where(condition, choice, found)
    shape = np.broadcast_shapes(*(x.shape for x in (*conditions, *(v for v in choices if not is_number(v)))))
    return found if found.shape == shape else broadcast_to(found, shape)


def _choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    if out is not None or ours(a):
        return NotImplemented
    if ours(choices):
        choices = [choices[i] for i in range(choices.shape[0])]
    parts = [x if is_number(x) else operand(x) for x in choices]
    places, *arrays = together(np.asarray(a), *(x for x in parts if not is_number(x)))
    if is_stand_in(places):
        return NotImplemented
    shape = np.broadcast_shapes(places.shape, *(x.shape for x in arrays))
    if mode == "raise" and places.size and not 0 <= places.min() <= places.max() < len(parts):
        return NotImplemented  # NumPy says why
    places = places % len(parts) if mode == "wrap" else np.clip(places, 0, len(parts) - 1)
    found = parts[0] if is_number(parts[0]) else broadcast_to(parts[0], shape)
    for number, part in enumerate(parts[1:], 1):
        found = plain.where(places == number, part, found)
    return found if len(parts) > 1 and found.shape == shape else broadcast_to(operand(found), shape)


def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    conditions = [data_of(c) for c in condlist] if isinstance(condlist, list | tuple) else [data_of(condlist)]
    if any(map(is_stand_in, (data_of(x), *conditions))):
        return _traced_piecewise(operand(x), conditions, funclist, args, kw)
    if not isinstance(x, Variable):
        return NotImplemented
    if conditions and np.ndim(conditions[0]) == 0 and x.ndim:
        conditions = [np.asarray(conditions)]
    conditions = [operand(c).astype(bool) for c in conditions]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.logical_or.reduce(conditions))
    if len(funclist) != len(conditions):
        return NotImplemented  # NumPy says why
    found: Any = np.zeros(x.shape, x.dtype)
    for condition, value in zip(conditions, funclist, strict=True):
        # a function is applied to what it is for, and no other element
        if not callable(value):
            found = plain.where(condition, broadcast_to(operand(value), ()).astype(x.dtype), found)
            continue
        if not condition.any():
            continue
        chosen = operand(value(x[condition], *args, **kw)).astype(x.dtype)
        places = np.zeros(x.shape, np.int64)
        places[condition] = np.arange(int(condition.sum()))
        spread = chosen[places] if chosen.ndim and chosen.size > 1 else chosen.reshape(())
        found = plain.where(condition, spread, found)
    return found


def _traced_piecewise(x: Any, conditions: list[Any], funclist: Any, args: Any, kw: Any) -> Any:
    """Choose where nobody can look at elements: functions get all of them, with 1 in the place of what is not theirs.

    That is the same only for those that go element by element, and the others are refused.
    """
    array = data_of(x)
    if not hasattr(array, "by_element_of") or len(funclist) - len(conditions) not in (0, 1):
        return NotImplemented
    if len(funclist) > len(conditions):
        some = conditions[0]
        for condition in conditions[1:]:
            some = plain.logical_or(some, condition)
        conditions = [*conditions, plain.logical_not(some)]
    found = zeros_like(x)
    for condition, value in zip(conditions, funclist, strict=True):
        if callable(value):
            own = plain.where(condition, x, 1.0)
            value = value(own, *args, **kw)
            result: Any = data_of(value)
            if hasattr(result, "by_element_of") and not (
                result.shape == x.shape and result.by_element_of(data_of(own))
            ):
                raise TypeError(
                    f"np.piecewise: a function gave shape {result.shape} of what is not one element alone, and in a "
                    "compiled function nobody can tell it which elements are its own: give one that goes element by "
                    "element, or compute with np.where"
                )
        found = plain.where(condition, value, found)
    return found


def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if not copy:
        return NotImplemented
    x = operand(x)
    if x.dtype.kind != "f":
        return NotImplemented
    limits = np.finfo(x.dtype)
    highest, lowest = float(limits.max) if posinf is None else posinf, float(limits.min) if neginf is None else neginf
    data = data_of(x)
    found = plain.where(data == np.inf, highest, plain.where(data == -np.inf, lowest, x))
    return plain.where(data != data, nan, found)


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Interpolate between points, differentiably by all three; outside of them it is flat."""
    if period is not None or ours(left) or ours(right) or any(map(is_stand_in, (x, xp, fp))):
        return NotImplemented
    x, xp, fp = together(x, xp, fp)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size or any(v.dtype.kind == "c" for v in (x, xp, fp)):
        return NotImplemented  # NumPy says why
    x, xp, fp = map(floating, (x, xp, fp))
    places, points = data_of(x), data_of(xp)
    last = xp.shape[0] - 1
    lower = np.clip(np.searchsorted(points, places, side="right") - 1, 0, max(last - 1, 0))
    upper = np.minimum(lower + 1, last)
    width = xp[upper] - xp[lower]
    share = (x - xp[lower]) / plain.where(data_of(width) == 0, 1.0, width)
    found = fp[lower] + share * (fp[upper] - fp[lower])
    found = plain.where(places >= points[last], fp[last], plain.where(places < points[0], fp[0], found))
    if left is not None:
        found = plain.where(places < points[0], float(left), found)
    if right is not None:
        found = plain.where(places > points[last], float(right), found)
    return plain.where(places != places, x, found).astype(np.float64)


def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * np.pi) -> Any:
    if not isinstance(p, Variable) or p.dtype.kind != "f" or ours(discont) or ours(period):
        return NotImplemented
    return p + beside(np.unwrap(p.data, discont, axis, period=period) - p.data, p)  # what is added is constant


RULES: dict[Any, Callable[..., Any]] = {
    np.clip: _clip,
    np.where: _where,
    np.select: _select,
    np.choose: _choose,
    np.piecewise: _piecewise,
    np.nan_to_num: _nan_to_num,
    np.interp: _interp,
    np.unwrap: _unwrap,
}
