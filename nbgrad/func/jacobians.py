"""Jacobians and Hessians, all rows or columns of which are found in one walk, as many examples of a cotangent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd.linearised import Linearised
from ..batching.batched import leave
from ..batching.levels import Level
from ..batching.moving import Enter, Leave
from ..kernels import dispatch
from ..ops.joining import cat
from ..variable import Variable

Argnums = int | Sequence[int]

#: The bytes of what a walk carries for all rows at once, at most, unless a chunk_size is given.
MOST = 1 << 28


def chunks(size: int, chunk_size: int | None, largest: int) -> Iterator[tuple[int, int]]:
    """Cut a number of rows into parts: of `chunk_size`, or as keeps to `MOST` with arrays of so many bytes."""
    if chunk_size is None:
        chunk_size = max(1, MOST // max(largest, 1))
    elif isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size!r}: give a positive whole number, or None")
    for begin in range(0, size, chunk_size):
        yield begin, min(begin + chunk_size, size)


def basis(x: Variable, begin: int, end: int, level: Level) -> Variable:
    """Give unit vectors of a shape, some of all, as one of a level's examples."""
    rows = np.zeros((end - begin, x.size), x.dtype)
    rows[np.arange(end - begin), np.arange(begin, end)] = 1
    array = dispatch.beside(rows.reshape((end - begin, *x.shape)), x.data)
    return Variable(Enter(level).forward(array), requires_grad=False)


def walked(
    x: Variable, chunk_size: int | None, largest: int, walk: Callable[[Variable], Sequence[Any]], recorded: bool
) -> list[Any]:
    """Give what a walk gives for each unit vector of a shape, along new first axes of that shape."""
    parts: list[list[Any]] = []
    for begin, end in chunks(x.size, chunk_size, largest):
        with Level(end - begin, "jacobian") as level:
            found = walk(basis(x, begin, end, level))
            parts.append([Leave(level)(y) if recorded else leave(level, y.data) for y in found])
    if not parts:
        with Level(0, "jacobian") as level:
            parts.append([leave(level, y.data) for y in walk(basis(x, 0, 0, level))])
    columns = [list(column) for column in zip(*parts, strict=True)]
    whole = [column[0] if len(column) == 1 else cat(column, 0) for column in columns]
    return [y.reshape((*x.shape, *y.shape[1:])) for y in whole]


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


def moved_behind(column: Any, ndim: int) -> Any:
    """Put the first axes behind the others."""
    axes = range(column.ndim)
    return column.transpose((*axes[ndim:], *axes[:ndim])) if ndim else column


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
