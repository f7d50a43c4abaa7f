"""Fit the polynomials of ``kernels/cpu/elementary.py``: ``python -m benchmarks.fit_elementary`` prints the tables.

Each polynomial interpolates its function at Chebyshev nodes, computed in 60 digits (mpmath), which comes within a few
percent of the minimax error. Degrees are the lowest at which that error is far below half a unit in the last place.
"""

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

mp.mp.dps = 60

#: Degrees for float32 and float64, and the end of tanh's polynomial.
DEGREES = {"EXP": (5, 10), "LOG": (3, 7), "TANH": (8, 15)}
TANH_END = 1


def exp_rest(r: Any) -> Any:
    """(exp(r) - 1 - r) / r**2."""
    return (mp.expm1(r) - r) / r**2 if abs(r) > mp.mpf(10) ** -25 else mp.mpf(1) / 2


def log_rest(z: Any) -> Any:
    """(log((1 + s) / (1 - s)) - 2*s) / s**3 for z = s**2."""
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) - 2 * s) / (s * z) if s > mp.mpf(10) ** -15 else mp.mpf(2) / 3


def tanh_rest(z: Any) -> Any:
    """(tanh(x) - x) / x**3 for z = x**2."""
    x = mp.sqrt(z)
    return (mp.tanh(x) - x) / (x * z) if x > mp.mpf(10) ** -15 else -mp.mpf(1) / 3


def interpolate(function: Callable[[Any], Any], low: Any, high: Any, degree: int) -> list[Any]:
    """Give the coefficients, lowest power first, of the interpolation at Chebyshev nodes of low...high."""
    count = degree + 1
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    powers = mp.matrix(count, count)
    for row, node in enumerate(nodes):
        for column in range(count):
            powers[row, column] = node**column
    return list(mp.lu_solve(powers, mp.matrix([function(node) for node in nodes])))


def main() -> None:
    """Print the tables."""
    half = mp.log(2) / 2
    widest = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    ranges = {
        "EXP": (exp_rest, -half, half),
        "LOG": (log_rest, mp.mpf(0), widest**2 * mp.mpf("1.001")),
        "TANH": (tanh_rest, mp.mpf(0), mp.mpf(TANH_END) ** 2),
    }
    for position, dtype in enumerate((np.float32, np.float64)):
        print(f'    "{np.dtype(dtype).name}": {{')
        for name, (function, low, high) in ranges.items():
            print(f'        "{name}": (')
            for coefficient in interpolate(function, low, high, DEGREES[name][position]):
                print(f"            {float(dtype(coefficient))!r},")
            print("        ),")
        print("    },")


if __name__ == "__main__":
    main()
