"""Jacobians and Hessians, all rows or columns of which are found in one walk, as many examples of a cotangent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..autograd.linearised import Linearised
from ..variable import Variable
from .walking import moved_behind, walked

Argnums = int | Sequence[int]


def blocks(at: Linearised, forward: bool | None, chunk_size: int | None) -> list[list[Any]]:
    """Give the Jacobian of each output by each input, forth or back, or as the shapes have it: the fewer walks."""
    sizes = [sum(v.size for v in vs) for vs in (at.inputs, at.outputs)]
    if forward is None:
        forward = sizes[0] < sizes[1]
    largest = max([v.nbytes for v in (*at.inputs, *at.outputs)], default=0)
    rows: list[list[Any]] = []
    if not forward:
        for i, y in enumerate(at.outputs):

            def back(seed: Variable, i: int = i) -> list[Variable]:
                single = Part(at, i)
                return single.pulled([seed], at.recorded)

            rows.append(walked(y, chunk_size, largest, back, at.recorded))
        return rows
    columns = []
    for i, x in enumerate(at.inputs):

        def forth(seed: Variable, i: int = i) -> list[Variable]:
            return Part(at, None, i).pushed(at.outputs, [seed], at.recorded)

        made = walked(x, chunk_size, largest, forth, at.recorded)
        columns.append([moved_behind(column, x.ndim) for column in made])
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in at.outputs]


class Part(Linearised):
    """A linearised function of which one output, or one input, is looked at."""

    def __init__(self, at: Linearised, output: int | None, input: int | None = None) -> None:
        self.outputs = at.outputs if output is None else [at.outputs[output]]
        self.inputs = at.inputs if input is None else [at.inputs[input]]


def _transform(
    what: str, function: Callable[..., Any], argnums: Argnums, has_aux: bool, matrix: Callable[[Linearised], Any]
) -> Callable[..., Any]:
    """Make a function of what a matrix is found of."""

    @functools.wraps(function)
    def transformed(*arguments: Any, **options: Any) -> Any:
        at = Linearised(what, function, argnums, arguments, options, has_aux, True)
        found = matrix(at)
        return (found, at.aux) if has_aux else found

    return transformed


def _jacobian(
    what: str, function: Callable[..., Any], argnums: Argnums, has_aux: bool, chunk_size: int | None, forward: Any
) -> Callable[..., Any]:
    def matrix(at: Linearised) -> Any:
        return at.like_value([at.like_arguments(row) for row in blocks(at, forward, chunk_size)])

    return _transform(what, function, argnums, has_aux, matrix)


def jacrev(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """Turn a function into one that gives its Jacobian, walking back for all elements of the value at once.

    For arrays it has the shape (*shape of the value, *shape of the argument); for nests it is a nest like the value of
    nests like the argument. `argnums` names the positional arguments to differentiate by; a sequence gives tuples.
    `chunk_size` bounds how many rows are found at once, and so the memory. With `has_aux` the function gives (value,
    anything), and (Jacobian, anything) comes out.

    >>> import numpy as np, nbgrad
    >>> print(nbgrad.func.jacrev(lambda x: x * x.sum())(np.array([1.0, 2.0])))
    [[4. 1.]
     [2. 5.]]
    """
    return _jacobian("jacrev", function, argnums, has_aux, chunk_size, False)


def jacfwd(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """Turn a function into one that gives its Jacobian, walking forth for all elements of the argument at once.

    What comes out is as `jacrev` has it; `chunk_size` bounds how many columns are found at once.
    """
    return _jacobian("jacfwd", function, argnums, has_aux, chunk_size, True)


def jacobian(
    function: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    sparsity: Any = None,
) -> Callable[..., Any]:
    """Turn a function into one that gives its Jacobian, as `jacfwd` or `jacrev`, whichever has less to carry.

    With `sparsity` the function is of one array, and the Jacobian a `scipy.sparse` matrix, of a row for each element of
    the value and a column for each of the argument. "detect" finds where it may differ from 0, by following sets of
    elements through the graph; a matrix says so. Rows or columns that do not meet are found together.

    >>> import numpy as np, nbgrad
    >>> print(nbgrad.func.jacobian(lambda x: x[1:] - x[:-1], sparsity="detect")(np.arange(3.0)).toarray())
    [[-1.  1.  0.]
     [ 0. -1.  1.]]
    """
    if sparsity is not None:
        from ..sparse.compressed import SparseJacobian

        return SparseJacobian(function, argnums, has_aux, chunk_size, sparsity)
    return _jacobian("jacobian", function, argnums, has_aux, chunk_size, None)


def hessian(
    function: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    sparsity: Any = None,
) -> Callable[..., Any]:
    """Turn a function with one element as its value into one that gives its Hessian: tangents of the gradient.

    For an array it has its shape twice; for nests it is a nest of nests. `sparsity` is that of `jacobian`; the matrix
    is symmetric, which saves colours. Raises TypeError for a value of several elements.

    >>> import numpy as np, nbgrad
    >>> print(nbgrad.func.hessian(lambda x: (x**3).sum() + x[0] * x[1])(np.array([1.0, 2.0])))
    [[ 6.  1.]
     [ 1. 12.]]
    """
    if sparsity is not None:
        from ..sparse.compressed import SparseHessian

        return SparseHessian(function, argnums, has_aux, chunk_size, sparsity)

    def matrix(at: Linearised) -> Any:
        slopes = at.gradient()
        largest = max([x.nbytes for x in at.inputs], default=0)
        rows = []
        for i, x in enumerate(at.inputs):

            def forth(seed: Variable, i: int = i) -> list[Variable]:
                return Part(at, None, i).pushed(slopes, [seed], at.recorded)

            rows.append(at.like_arguments(walked(x, chunk_size, largest, forth, at.recorded)))
        return at.like_arguments(rows)

    return _transform("hessian", function, argnums, has_aux, matrix)
