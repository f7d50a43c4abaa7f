"""Differences and sums along an axis that stand for derivatives and integrals, and evenly spaced numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import is_stand_in
from ...ops import slicing
from ...variable import Variable, data_of
from .operands import axis_within, computes, floating, has_ours, is_number, operand, ours, together


def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue) -> Any:
    if not computes(a) or n < 0 or not -a.ndim <= axis < a.ndim:
        return NotImplemented

    def end(value: Any) -> Any:
        value = None if value is np._NoValue else operand(value)
        if value is None or value.ndim:
            return value
        return np.broadcast_to(value, tuple(1 if i == axis % a.ndim else size for i, size in enumerate(a.shape)))

    return slicing.diff(a, n, axis, end(prepend), end(append))


def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    ary = operand(ary).reshape(-1)
    parts = [to_begin, ary[1:] - ary[:-1], to_end]
    return np.concatenate([operand(part).reshape(-1).astype(ary.dtype) for part in parts if part is not None])


def _along(axis: int, part: slice) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, part)


def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Give central differences, and one-sided ones of first or second order at the ends, as NumPy's docstring says."""
    if operand(f).dtype == np.bool_:
        return NotImplemented  # NumPy says why
    f, *spacings = together(f, *(varargs or (1.0,)))
    f = floating(f)
    axes = range(f.ndim) if axis is None else (axis,) if np.ndim(axis) == 0 else axis
    axes = [axis_within(i, f.ndim) for i in axes]
    if len(spacings) == 1 and len(axes) > 1 and not spacings[0].ndim:
        spacings *= len(axes)
    if len(spacings) != len(axes) or edge_order not in (1, 2) or len(set(axes)) != len(axes):
        return NotImplemented  # NumPy says why
    if any(f.shape[along] <= edge_order for along in axes) or any(x.ndim > 1 for x in spacings):
        return NotImplemented
    if any(x.ndim and x.shape[0] != f.shape[along] for x, along in zip(spacings, axes, strict=True)):
        return NotImplemented
    found = [_gradient_along(f, x, along, edge_order).astype(f.dtype) for x, along in zip(spacings, axes, strict=True)]
    return found[0] if len(axes) == 1 else tuple(found)


def _gradient_along(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    def at(*bounds: Any) -> Any:
        return f[_along(axis, slice(*bounds))]

    if spacing.ndim:
        steps = slicing.diff(floating(spacing)).reshape((-1,) + (1,) * (f.ndim - 1 - axis))
        before, after = steps[:-1], steps[1:]
        ends = steps[:1], steps[1:2], steps[-1:], steps[-2:-1]
        inner = (
            -after / (before * (before + after)) * at(None, -2)
            + (after - before) / (before * after) * at(1, -1)
            + before / (after * (before + after)) * at(2, None)
        )
    else:
        ends = (spacing,) * 4
        inner = (at(2, None) - at(None, -2)) / (2 * spacing)
    if edge_order == 1:
        first, last = (at(1, 2) - at(0, 1)) / ends[0], (at(-1, None) - at(-2, -1)) / ends[2]
    else:
        h, k = ends[:2]
        first = -(2 * h + k) / (h * (h + k)) * at(0, 1) + (h + k) / (h * k) * at(1, 2) - h / (k * (h + k)) * at(2, 3)
        h, k = ends[2:]
        last = (
            (2 * h + k) / (h * (h + k)) * at(-1, None) - (h + k) / (h * k) * at(-2, -1) + h / (k * (h + k)) * at(-3, -2)
        )
    return np.concatenate([first, inner, last], axis)


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = operand(y)
    along = axis_within(axis, y.ndim)
    if x is not None:
        y, x = together(y, x)
        ones = y.ndim - 1 - along
        dx = slicing.diff(x).reshape((-1,) + (1,) * ones) if x.ndim == 1 else slicing.diff(x, axis=axis)
    first, second = y[_along(along, slice(1, None))], y[_along(along, slice(None, -1))]
    return np.sum(dx * (first + second) / 2.0, along)


def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: None = None,
) -> Any:
    if dtype is not None and np.dtype(dtype).kind != "f":
        return NotImplemented
    start, stop = _of_one_dtype(start, stop)
    parts = num - 1 if endpoint else num
    step = (stop - start) / parts if parts > 0 else (stop - start) * np.nan
    shape = np.broadcast_shapes(start.shape, stop.shape)
    places = np.arange(num, dtype=start.dtype).reshape((-1,) + (1,) * len(shape))
    found = start + (places / parts if parts > 0 else places) * (stop - start)
    if endpoint and num > 1:  # the last one is what was asked for, to the last digit
        found = np.concatenate([found[:-1], np.broadcast_to(stop, shape).reshape((1, *shape))])
    if dtype is not None:
        found = found.astype(dtype)
    found = np.moveaxis(found, 0, axis) if axis else found
    return (found, step) if retstep else found


def _of_one_dtype(*xs: Any) -> list[Any]:
    """Give operands in the floating dtype that they have together; Python numbers do not change it."""

    def asked(x: Any) -> Any:
        number = type(x) if is_number(x) else getattr(data_of(x), "weak", None)
        return operand(x).dtype if number is None else number(0)

    dtype = np.result_type(*map(asked, xs))
    return [operand(x).astype(dtype if dtype.kind == "f" else np.float64) for x in xs]


def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    if ours(base) and base.ndim:
        return NotImplemented
    found = np.power(base if is_number(base) else operand(base), _linspace(start, stop, num, endpoint, axis=axis))
    return found if dtype is None else found.astype(dtype)


def _geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    start, stop = _of_one_dtype(operand(start), operand(stop))
    known = [x for x in (start, stop) if isinstance(x, Variable) and not is_stand_in(x.data)]
    if not all((x.data > 0).all() for x in known):
        return NotImplemented
    found = np.exp(_linspace(np.log(start), np.log(stop), num, endpoint, axis=axis))
    return found if dtype is None else found.astype(dtype)


def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    if not isinstance(a, Variable) or not isinstance(bins, int) or range is not None or not a.size:
        return NotImplemented
    lowest, highest = np.min(a), np.max(a)
    if is_stand_in(a.data) or lowest.data == highest.data:
        return NotImplemented
    return _linspace(lowest, highest, bins + 1)


def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Count, which has no gradient, or add up weights, which has; edges depend on the elements as they do alone."""
    if any(is_stand_in(data_of(x)) for x in (a, bins, weights)) or isinstance(bins, Variable) or has_ours(range):
        return NotImplemented
    edges = _histogram_bin_edges(a, bins, range) if weights is None else NotImplemented
    counts, plain_edges = np.histogram(data_of(a), bins, range, weights=data_of(weights))
    if edges is NotImplemented:
        if isinstance(a, Variable) and a.requires_grad and isinstance(bins, int | str) and range is None:
            return NotImplemented  # edges between the extremes of the elements
        edges = plain_edges
    found: Any = counts
    if isinstance(weights, Variable):
        places = np.searchsorted(plain_edges, data_of(a), side="right") - 1
        places = np.where(data_of(a) == plain_edges[-1], len(counts) - 1, places).reshape(-1)
        inside = (places >= 0) & (places < len(counts))
        found = np.bincount(places[inside], weights.reshape(-1)[inside], len(counts)).astype(counts.dtype)
    if density:
        found = found / slicing.diff(edges) / (np.sum(found) if isinstance(found, Variable) else counts.sum())
    return found, edges


RULES: dict[Any, Callable[..., Any]] = {
    np.diff: _diff,
    np.ediff1d: _ediff1d,
    np.gradient: _gradient,
    np.trapezoid: _trapezoid,
    np.linspace: _linspace,
    np.logspace: _logspace,
    np.geomspace: _geomspace,
    np.histogram: _histogram,
    np.histogram_bin_edges: _histogram_bin_edges,
}
