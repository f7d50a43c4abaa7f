"""What numbers distributions take: where parameters, and the values that are asked about, may lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..kernels import dispatch
from ..variable import data_of


class Constraint(NamedTuple):
    """A set of values, each of the last `event_dim` dimensions of an array."""

    text: str
    #: Tells of an array which of its values belong to the set.
    holds: Callable[[Any], Any]
    event_dim: int = 0

    def check(self, value: Any) -> Any:
        """Tell of each value whether it belongs to the set."""
        return self.holds(dispatch.in_numpy(data_of(value)))

    def __repr__(self) -> str:
        return self.text


real = Constraint("a number", lambda x: x == x)
positive = Constraint("above 0", lambda x: x > 0)
nonnegative = Constraint("0 or above", lambda x: x >= 0)
unit_interval = Constraint("from 0 to 1", lambda x: (x >= 0) & (x <= 1))
nonnegative_integer = Constraint("a whole number, 0 or above", lambda x: (x >= 0) & (x % 1 == 0))
boolean = Constraint("0 or 1", lambda x: (x == 0) | (x == 1))
one_hot = Constraint("0 and a single 1", lambda x: ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1), 1)
real_vector = Constraint("numbers", lambda x: (x == x).all(-1), 1)
simplex = Constraint("0 or above, with a sum of 1", lambda x: (x >= 0).all(-1) & (np.abs(x.sum(-1) - 1) < 1e-6), 1)
lower_cholesky = Constraint(
    "a lower triangle with a diagonal above 0",
    lambda x: (np.tril(x) == x).all((-1, -2)) & (np.diagonal(x, 0, -2, -1) > 0).all(-1),
    2,
)
corr_cholesky = Constraint(
    "a lower triangle with a diagonal above 0 and rows of length 1",
    lambda x: lower_cholesky.holds(x) & (np.abs(np.square(x).sum(-1) - 1) < 1e-4).all(-1),
    2,
)
positive_definite = Constraint(
    "a symmetric matrix of positive eigenvalues",
    lambda x: np.isclose(x, x.swapaxes(-1, -2), 1e-5, 1e-6).all((-1, -2)) & (np.linalg.eigvalsh(x) > 0).all(-1),
    2,
)


def greater_than_eq(low: Any) -> Constraint:
    """Give the numbers from one on."""
    low = dispatch.in_numpy(data_of(low))
    return Constraint(f"{low} or above", lambda x: x >= low)


def interval(low: Any, high: Any) -> Constraint:
    """Give the numbers between two, and these."""
    low, high = dispatch.in_numpy(data_of(low)), dispatch.in_numpy(data_of(high))
    return Constraint(f"from {low} to {high}", lambda x: (x >= low) & (x <= high))


def integer_interval(low: Any, high: Any) -> Constraint:
    """Give the whole numbers between two, and these."""
    between = interval(low, high)
    return Constraint(f"a whole number {between.text}", lambda x: (x % 1 == 0) & between.holds(x))


def multinomial(total: int) -> Constraint:
    """Give the vectors of whole numbers, 0 or above, with a sum."""
    return Constraint(
        f"whole numbers, 0 or above, with a sum of {total}",
        lambda x: nonnegative_integer.holds(x).all(-1) & (x.sum(-1) == total),
        1,
    )


def independent(base: Constraint, ndims: int) -> Constraint:
    """Give the arrays of `ndims` dimensions more all whose values belong to a set."""
    if not ndims:
        return base
    axes = tuple(range(-ndims, 0))
    return Constraint(base.text, lambda x: base.holds(x).all(axes), base.event_dim + ndims)
