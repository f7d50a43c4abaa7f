"""Sums and differences that stand for integrals and derivatives along a dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import as_array
from ..kernels import dispatch
from ..registry import operation
from ..variable import Variable, data_of
from .arguments import axes_of, axis_of, either
from .elementwise import add, div, mul, sub
from .indexing import getitem
from .joining import cat
from .places import summing
from .reduction import sum
from .scan import cumsum
from .shape import reshape
from .slicing import diff
from .steps import plain


def _cut(x: Any, along: int, part: slice) -> Any:
    return getitem(x, (*(slice(None),) * along, part))


def _areas(what: str, y: Any, x: Any, dx: Any, dim: Any, axis: Any) -> tuple[Any, int]:
    """Give the areas between neighbours along a dimension."""
    y = plain(y)
    if not y.ndim:
        raise ValueError(f"{what}: a scalar has no dimension to go along")
    along = axis_of(what, either(what, "dim", dim, "axis", axis, -1), y.ndim)
    if x is not None and dx is not None:
        raise TypeError(f"{what}: give x, the places, or dx, their distance, not both")
    heights = add(_cut(y, along, slice(1, None)), _cut(y, along, slice(None, -1)))
    if x is None:
        if isinstance(dx, bool) or not isinstance(1 if dx is None else dx, int | float):
            raise TypeError(f"{what}: dx is {dx!r}: it is a number")
        return mul(heights, 0.5 * (1 if dx is None else dx)), along
    x = plain(x)
    if x.ndim == 1 and y.ndim - along > 1:
        x = reshape(x, (-1, *(1,) * (y.ndim - 1 - along)))
    place = x.ndim - (y.ndim - along)  # its dimension that goes with that of y
    if not x.ndim or place < 0 or x.shape[place] != y.shape[along]:
        raise ValueError(f"{what}: x of shape {x.shape} has no place for each in dimension {along} of {y.shape}")
    return mul(mul(heights, diff(x, dim=place)), 0.5), along - y.ndim


@operation(method=False, alias="trapz")
@summing
def trapezoid(input: Any, x: Any = None, *, dx: Any = None, dim: int | None = None, axis: int | None = None) -> Any:
    """Integrate along a dimension, the last unless given, by trapezoids: of places x, or of a distance dx (1).

    Raises ValueError for a scalar, and for places that do not fit.

    >>> import nbgrad
    >>> nbgrad.trapezoid(nbgrad.tensor([1.0, 3.0, 5.0]), dx=0.5)
    Variable(3.)
    """
    areas, along = _areas("trapezoid", input, x, dx, dim, axis)
    return sum(areas, along)


trapz = trapezoid


@operation(method=False)
@summing
def cumulative_trapezoid(
    input: Any, x: Any = None, *, dx: Any = None, dim: int | None = None, axis: int | None = None
) -> Any:
    """Give the integrals up to each place but the first, in the ways of `trapezoid`."""
    areas, along = _areas("cumulative_trapezoid", input, x, dx, dim, axis)
    return cumsum(areas, along)


@operation(method=False)
@summing
def gradient(
    input: Any, *, spacing: Any = 1, dim: Any = None, axis: Any = None, edge_order: int = 1
) -> tuple[Any, ...]:
    """Give differences that stand for derivatives along each dimension, of second order inside: a tuple.

    `spacing` is the distance of neighbours, one for all dimensions or one for each, or places, a vector for each. At
    the ends they are one-sided, of first or second order. Raises ValueError for too few elements.

    >>> import nbgrad
    >>> nbgrad.gradient(nbgrad.tensor([0.0, 1.0, 4.0, 9.0]))
    (Variable([1., 2., 4., 5.]),)
    """
    y = plain(input)
    if y.dtype.kind != "f":
        y = y.astype(np.float64)
    dims = either("gradient", "dim", dim, "axis", axis)
    if dims is None:
        axes = list(range(y.ndim))
    else:
        given = dims if isinstance(dims, tuple | list) else (dims,)
        axes_of("gradient", dims, y.ndim)
        axes = [axis_of("gradient", d, y.ndim) for d in given]
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order is {edge_order!r}: it is 1 or 2")
    each = _spacings(spacing, axes)
    for along, places in zip(axes, each, strict=True):
        if y.shape[along] <= edge_order:
            raise ValueError(f"gradient: dimension {along} of shape {y.shape} needs at least {edge_order + 1} elements")
        if np.ndim(places) and np.shape(places) != (y.shape[along],):
            raise ValueError(
                f"gradient: {np.shape(places)} places for dimension {along} of shape {y.shape}: give one for each"
            )
    return tuple([_gradient(y, along, places, edge_order) for along, places in zip(axes, each, strict=True)])


def _spacings(spacing: Any, axes: list[int]) -> list[Any]:
    """Give a number or an array of places for each dimension."""
    if isinstance(spacing, tuple | list):
        each = [data_of(s) for s in spacing]
        if len(each) != len(axes):
            raise ValueError(f"gradient: {len(each)} spacings for {len(axes)} dimensions")
        return each
    return [1.0 if spacing is None else data_of(spacing)] * len(axes)


def _gradient(y: Any, along: int, places: Any, order: int) -> Any:
    """Give the differences along one dimension, by the formulas for uneven distances."""
    n = y.shape[along]
    h = np.diff(places) if np.ndim(places) else np.full(n - 1, float(places))
    h = as_array(h).astype(y.dtype)

    def column(values: Any) -> Any:
        shaped = dispatch.beside(as_array(values).reshape(-1, *(1,) * (y.ndim - 1 - along)), data_of(y))
        return Variable(shaped, requires_grad=False) if isinstance(y, Variable) else shaped

    def taken(*terms: tuple[int, Any]) -> Any:
        """Sum elements at places along the dimension with weights."""
        total: Any = None
        for i, weight in terms:
            term = mul(_cut(y, along, slice(i, i + 1)), column(weight))
            total = term if total is None else add(total, term)
        return total

    a, b = h[:-1], h[1:]
    parts = []
    if order == 1:
        parts.append(div(sub(_cut(y, along, slice(1, 2)), _cut(y, along, slice(0, 1))), column(h[:1])))
    else:
        p, q = h[0], h[1]
        parts.append(taken((0, -(2 * p + q) / (p * (p + q))), (1, (p + q) / (p * q)), (2, -p / (q * (p + q)))))
    if n > 2:
        before, here, after = (_cut(y, along, slice(i, n - 2 + i)) for i in range(3))
        inner = add(mul(before, column(-b / (a * (a + b)))), mul(here, column((b - a) / (a * b))))
        parts.append(add(inner, mul(after, column(a / (b * (a + b))))))
    if order == 1:
        parts.append(div(sub(_cut(y, along, slice(n - 1, n)), _cut(y, along, slice(n - 2, n - 1))), column(h[-1:])))
    else:
        p, q = h[-2], h[-1]
        parts.append(
            taken((n - 3, q / (p * (p + q))), (n - 2, -(p + q) / (p * q)), (n - 1, (p + 2 * q) / (q * (p + q))))
        )
    return cat(parts, along)
