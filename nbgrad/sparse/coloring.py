"""Columns that are found together: those of one colour do not meet, so that each number tells whose it is.

Greedy, in the order of the columns, which for bands is the best there is. The first is A. Curtis, M. Powell and
J. Reid, "On the estimation of sparse Jacobian matrices" (1974); the one for symmetric matrices, where of two numbers
that are the same one is enough, is the star colouring of A. Gebremedhin, F. Manne and A. Pothen, "What color is your
Jacobian? Graph coloring for computing derivatives" (2005).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from .patterns import Sets


def color_columns(pattern: Sets) -> Array:
    """Give a colour to each column, so that no row has two columns of one colour."""
    met = pattern.astype(np.int64)
    return _distinct((met.T @ met).tocsr())


def color_rows(pattern: Sets) -> Array:
    """Give a colour to each row, so that no column has two rows of one colour."""
    return color_columns(pattern.T.tocsr())


def _distinct(graph: Any) -> Array:
    """Give each node a colour that none of its neighbours has; nodes are their own neighbours."""
    starts, neighbours = graph.indptr.tolist(), graph.indices.tolist()
    colors = [-1] * graph.shape[0]
    for node in range(graph.shape[0]):
        taken = {colors[other] for other in neighbours[starts[node] : starts[node + 1]]}
        color = 0
        while color in taken:
            color += 1
        colors[node] = color
    return np.array(colors, np.int64)


def color_symmetric(pattern: Sets) -> Array:
    """Give a colour to each column of a symmetric matrix: neighbours differ, and no way of four nodes has only two."""
    starts, flat = pattern.indptr.tolist(), pattern.indices.tolist()
    neighbours = [[j for j in flat[starts[i] : starts[i + 1]] if j != i] for i in range(pattern.shape[0])]
    colors = [-1] * pattern.shape[0]
    for node, near in enumerate(neighbours):
        taken = set()
        for other in near:
            color = colors[other]
            if color < 0:
                taken.update([colors[far] for far in neighbours[other]])
                continue
            taken.add(color)
            for far in neighbours[other]:
                if colors[far] >= 0 and any([colors[end] == color and end != other for end in neighbours[far]]):
                    taken.add(colors[far])
        color = 0
        while color in taken:
            color += 1
        colors[node] = color
    return np.array(colors, np.int64)
