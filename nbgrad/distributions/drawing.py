"""Samples of gamma and Dirichlet distributions, which move with their parameters as quantiles do.

A gamma number is the first of twelve tries that passes (Marsaglia and Tsang, A simple method for generating gamma
variables, 2000), of which each does with a probability of 0.95 or more: a fixed number of draws for each sample, which
can be compiled and drawn for many examples at once. Where elements can be looked at, tries end when all have passed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, as_array, is_stand_in
from ..function import Operation
from ..generator import default_generator
from ..kernels import philox
from ..ops.drawing import drawn_beside
from ..ops.elementwise import div, elementwise, mul, sub, where
from ..ops.quantiles import beta_slope, gamma_slope
from ..ops.reduction import sum

_TRIES = 12


@elementwise
def _tried(found: Any, d: Any, normal: Any, uniform: Any) -> Any:
    """Give what a try gave, in units of d, for what has not passed before, which is below 0."""
    root = 1 + normal / np.sqrt(9 * d)
    cube = root * root * root
    limit = 0.5 * normal * normal + d * (1 - cube + np.log(where(cube > 0, cube, 1.0)))
    passed = where(cube > 0, limit - np.log1p(-uniform), -1.0)
    return where(found > 0, found, where(passed > 0, cube, -1.0))


def gamma_numbers(a: Array) -> Array:
    """Draw an array of numbers of gamma distributions with shapes `a` each, and a rate of 1."""

    def noise(kind: str) -> Array:
        return drawn_beside("Gamma", None, a, kind, tuple(a.shape), a.dtype)

    small = a < 1
    d = where(small, a + 1, a) - 1 / 3
    roots = noise("random")
    found = d * 0.0 - 1
    for tries in range(1, _TRIES + 1):
        found = _tried(found, d, noise("standard_normal"), noise("random"))
        if not is_stand_in(found) and bool((found > 0).all()):  # as if all had been drawn, for who draws next
            default_generator.reserve(2 * (_TRIES - tries) * philox.blocks_of(a.size, a.dtype.name))
            break
    found = d * where(found > 0, found, 1.0)
    # of shapes below 1: the number of one more, times a root (section 6)
    found = where(small, found * (1 - roots) ** div(1.0, where(small, a, 1.0)), found)
    return np.maximum(found, np.finfo(a.dtype).tiny)


class StandardGamma(Operation):
    """Numbers of gamma distributions with shapes each."""

    __slots__ = ("output",)

    def forward(self, a: Array) -> Array:
        self.output = as_array(gamma_numbers(a))
        return self.output

    def vjp(self, gy: Any, y: Any, a: Any) -> Any:
        return mul(gy, gamma_slope(a, y))


class StandardDirichlet(Operation):
    """Shares, in the last axis, of gamma numbers in their sum.

    Each shape moves its share as it does that of a beta distribution, and the other ones in proportion.
    """

    __slots__ = ("output",)

    def forward(self, a: Array) -> Array:
        numbers = gamma_numbers(a)
        self.output = as_array(numbers / numbers.sum(-1, keepdims=True))
        return self.output

    def vjp(self, gy: Any, y: Any, a: Any) -> Any:
        slope = beta_slope(y, sub(1, y), a, sub(sum(a, -1, keepdim=True), a))
        return mul(slope, sub(gy, sum(mul(y, gy), -1, keepdim=True)))


standard_gamma, standard_dirichlet = StandardGamma.apply, StandardDirichlet.apply
