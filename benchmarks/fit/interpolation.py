"""What a fit is, and the interpolation."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

mp.mp.dps = 60


class Fit(NamedTuple):
    """A function to be approximated by a polynomial from `low` to `high`."""

    function: Callable[[Any], Any]
    low: Any
    high: Any
    #: The degree for each type of number: "float32", "float64", and "wide", which is float64 used by float32 functions.
    degrees: dict[str, int]
    #: What the error is multiplied by before its largest is made as small as can be; None asks for interpolation.
    weight: Callable[[Any], Any] | None = None


class Split(NamedTuple):
    """A constant to be given as a sum of two numbers."""

    value: Any
    #: How many bits at the end of the first number are zero, for each type of number.
    zeros: dict[str, int]


class Known(NamedTuple):
    """A polynomial that needs no fit, such as the beginning of a series."""

    coefficients: list[Any]
    degrees: dict[str, int]


def split(value: Any, number: Any, zeros: int) -> tuple[float, float]:
    """Give the number nearest to a value that ends in so many zero bits, and the rest."""
    unit = mp.ldexp(mp.mpf(1), int(mp.floor(mp.log(abs(value), 2))) - np.finfo(number).nmant + zeros)
    high = mp.nint(value / unit) * unit
    return float(number(high)), float(number(value - high))


def interpolate(function: Callable[[Any], Any], low: Any, high: Any, degree: int) -> list[Any]:
    """Give the coefficients, lowest power first, of the interpolation at Chebyshev nodes of low...high."""
    low, high = mp.mpf(low), mp.mpf(high)
    count = degree + 1
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    powers = mp.matrix(count, count)
    for row, node in enumerate(nodes):
        for column in range(count):
            powers[row, column] = node**column
    return list(mp.lu_solve(powers, mp.matrix([function(node) for node in nodes])))


def minimax(
    function: Callable[[Any], Any], low: Any, high: Any, degree: int, weight: Callable[[Any], Any]
) -> list[Any]:
    """Give the coefficients, lowest power first, of the polynomial with the least largest weighted error on low...high.

    The second algorithm of Remez, on a grid: the error alternates at `degree + 2` points, which move to its extremes.
    """
    low, high = mp.mpf(low), mp.mpf(high)
    count = degree + 2
    size = 16 * count
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / (size - 1)) for i in range(size)]
    values = [function(point) for point in grid]
    weights = [weight(point) for point in grid]
    places = [round(i * (size - 1) / (count - 1)) for i in range(count)]
    for _ in range(50):
        rows, right = mp.matrix(count, count), mp.matrix(count, 1)
        for row, place in enumerate(places):
            for column in range(degree + 1):
                rows[row, column] = grid[place] ** column
            rows[row, degree + 1] = (-1) ** row / weights[place]
            right[row] = values[place]
        *coefficients, level = mp.lu_solve(rows, right)
        errors = [
            float((mp.polyval(coefficients[::-1], point) - value) * factor / level)
            for point, value, factor in zip(grid, values, weights, strict=True)
        ]
        extremes: list[int] = []
        for place, error in enumerate(errors):
            if not extremes or (error > 0) != (errors[extremes[-1]] > 0):
                extremes.append(place)
            elif abs(error) > abs(errors[extremes[-1]]):
                extremes[-1] = place
        while len(extremes) > count:  # leave out the least, keeping the signs in alternation
            ends = min(extremes[0], extremes[-1], key=lambda place: abs(errors[place]))
            if len(extremes) == count + 1:
                extremes.remove(ends)
            else:
                pairs = pairwise(extremes)
                for place in min(pairs, key=lambda pair: max(abs(errors[pair[0]]), abs(errors[pair[1]]))):
                    extremes.remove(place)
        if max(map(abs, errors)) < 1.02 or len(extremes) < count:
            break
        places = extremes
    return list(coefficients)


def table(fits: dict[str, Fit | Split | Known]) -> dict[str, dict[str, tuple[float, ...]]]:
    """Fit everything, for every type of number. What follows a colon in a name tells fits of one name apart."""
    result: dict[str, dict[str, tuple[float, ...]]] = {}
    for name, fit in fits.items():
        for kind, detail in (fit.zeros if isinstance(fit, Split) else fit.degrees).items():
            number = np.float32 if kind == "float32" else np.float64
            if isinstance(fit, Split):
                values: tuple[float, ...] = split(fit.value, number, detail)
            else:
                if isinstance(fit, Known):
                    exact = fit.coefficients[: detail + 1]
                elif fit.weight is None:
                    exact = interpolate(fit.function, fit.low, fit.high, detail)
                else:
                    exact = minimax(fit.function, fit.low, fit.high, detail, fit.weight)
                values = tuple(float(number(coefficient)) for coefficient in exact)
            result.setdefault(kind, {})[name.partition(":")[0]] = values
    return result
