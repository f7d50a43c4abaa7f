"""Sums of products over named dimensions, and of vectors moved along each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, as_array, is_array
from ..function import Operation
from ..kernels import placement
from ..registry import operation
from ..variable import Variable
from .diagonals import diagonal
from .elementwise import mul
from .indexing import getitem
from .linalg import matmul
from .reduction import sum
from .shape import permute, reshape

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Labelled(NamedTuple):
    """An array whose dimensions have names, each its own."""

    array: Any
    labels: str


@operation(method=False)
def einsum(input: Any, *operands: Any) -> Any:
    """Sum products over the dimensions that an equation names, and that its result does not have.

    The equation is NumPy's, ``"ij,jk->ik"``, with an ellipsis for dimensions that broadcast; or operands and lists of
    whole numbers take turns. Two operands are multiplied by `matmul` where they have dimensions to be summed over in
    common, more in the order that ``np.einsum_path`` finds. Raises ValueError for an equation that does not fit.

    >>> import nbgrad
    >>> x = nbgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> nbgrad.einsum("ij,ij->i", x, x), nbgrad.einsum("ii", x)
    (Variable([ 5., 25.]), Variable(5.))
    """
    equation, arrays = _equation_and_operands(input, operands)
    inputs, output = _labels(equation, arrays)
    sizes = _sizes(equation, inputs, arrays)
    parts = [_prepared(x, labels, sizes) for x, labels in zip(arrays, inputs, strict=True)]
    for positions in _path(parts, output, sizes):
        chosen = [parts.pop(i) for i in sorted(positions, reverse=True)][::-1]
        wanted = set(output).union(*(part.labels for part in parts))
        product = chosen[0]
        for other in chosen[1:]:
            product = _multiplied(product, other, wanted)
        parts.append(product)
    (last,) = parts
    last = _summed(last, set(output))
    missing = [label for label in output if label not in last.labels]  # of size 1
    array, labels = last.array, last.labels + "".join(missing)
    if missing:
        array = reshape(array, tuple(sizes[label] for label in labels))
    return _ordered(array, labels, output)


def _equation_and_operands(first: Any, others: Sequence[Any]) -> tuple[str, list[Any]]:
    """Give the equation as text, also where it came as lists of whole numbers."""
    if isinstance(first, str):
        operands = list(others[0]) if len(others) == 1 and isinstance(others[0], list | tuple) else list(others)
        return first.replace(" ", ""), [_operand(x) for x in operands]
    given = [first, *others]
    output = given.pop() if len(given) % 2 else None

    def written(names: Any) -> str:
        return "".join(["..." if name is Ellipsis else _LETTERS[name] for name in names])

    equation = ",".join(map(written, given[1::2]))
    return equation if output is None else f"{equation}->{written(output)}", [_operand(x) for x in given[::2]]


def _operand(x: Any) -> Any:
    return x if isinstance(x, Variable) or is_array(x) else as_array(x)


def _labels(equation: str, arrays: Sequence[Any]) -> tuple[list[str], str]:
    """Give a letter for each dimension of each operand, and of the result; what an ellipsis stands for gets its own."""
    left, arrow, output = equation.partition("->")
    inputs = left.split(",")
    if not arrays or len(inputs) != len(arrays):
        raise ValueError(f"einsum: {equation!r} is of {len(inputs)} operands, {len(arrays)} were given")
    free = [letter for letter in _LETTERS if letter not in equation]
    longest = 0
    named = []
    for labels, x in zip(inputs, arrays, strict=True):
        count = x.ndim - len(labels.replace("...", "", 1))
        if count < 0 or (count and "..." not in labels):
            raise ValueError(f"einsum: {labels!r} in {equation!r} names the dimensions of shape {x.shape}")
        longest = max(longest, count)
        named.append((labels, count))
    letters = "".join(free[:longest])  # the last ones belong together, as in broadcasting
    full = [labels.replace("...", letters[longest - count :], 1) for labels, count in named]
    if not arrow:
        plain = left.replace(",", "").replace("...", "")
        output = "..." + "".join(sorted(label for label in set(plain) if plain.count(label) == 1))
    result = output.replace("...", letters, 1)
    for label in (*result, *"".join(full)):
        if label not in _LETTERS:
            raise ValueError(f"einsum: {label!r} in {equation!r} is no letter")
    if len(set(result)) < len(result) or not set(result) <= set("".join(full)):
        raise ValueError(f"einsum: the result of {equation!r} names dimensions that are not there, or one twice")
    return full, result


def _sizes(equation: str, inputs: Sequence[str], arrays: Sequence[Any]) -> dict[str, int]:
    """Give the sizes of the dimensions by name; those of size 1 take that of others, as in broadcasting."""
    sizes: dict[str, int] = {}
    for labels, x in zip(inputs, arrays, strict=True):
        for label, size in zip(labels, x.shape, strict=True):
            if size != x.shape[labels.index(label)]:
                raise ValueError(f"einsum: {label!r} in {equation!r} is the diagonal of sides that differ: {x.shape}")
            known = sizes.setdefault(label, size)
            if known != size and 1 not in (known, size):
                raise ValueError(f"einsum: dimension {label!r} of {equation!r} is {known} and {size} long")
            sizes[label] = size if known == 1 else known
    return sizes


def _prepared(x: Any, labels: str, sizes: dict[str, int]) -> Labelled:
    """Give an operand without dimensions that are only stretched, and with diagonals where a name came twice."""
    kept = [i for i, label in enumerate(labels) if x.shape[i] == sizes[label]]
    if len(kept) < len(labels):
        labels = "".join([labels[i] for i in kept])
        x = reshape(x, tuple(x.shape[i] for i in kept))
    while len(set(labels)) < len(labels):
        label = next(label for label in labels if labels.count(label) > 1)
        first, second = [i for i, other in enumerate(labels) if other == label][:2]
        x = diagonal(x, 0, first, second)
        labels = "".join([other for i, other in enumerate(labels) if i not in (first, second)]) + label
    return Labelled(x, labels)


def _path(parts: Sequence[Labelled], output: str, sizes: dict[str, int]) -> list[tuple[int, ...]]:
    if len(parts) < 3:
        return [tuple(range(len(parts)))]
    present = set("".join([part.labels for part in parts]))
    equation = ",".join([part.labels for part in parts]) + "->" + "".join([x for x in output if x in present])
    shapes = [np.broadcast_to(0.0, [sizes[label] for label in part.labels]) for part in parts]
    return list(np.einsum_path(equation, *shapes, optimize="greedy")[0][1:])


def _summed(part: Labelled, wanted: set[str]) -> Labelled:
    """Sum over dimensions that nothing else has."""
    over = tuple(i for i, label in enumerate(part.labels) if label not in wanted)
    if not over:
        return part
    return Labelled(sum(part.array, over), "".join([label for label in part.labels if label in wanted]))


def _multiplied(first: Labelled, second: Labelled, wanted: set[str]) -> Labelled:
    """Multiply two operands and sum over what they share and nothing else wants."""
    first = _summed(first, wanted | set(second.labels))
    second = _summed(second, wanted | set(first.labels))
    shared = [label for label in first.labels if label in second.labels]
    batch = "".join([label for label in shared if label in wanted])
    inner = "".join([label for label in shared if label not in wanted])
    rows = "".join([label for label in first.labels if label not in shared])
    columns = "".join([label for label in second.labels if label not in shared])
    left, right = _ordered(*first, batch + rows + inner), _ordered(*second, batch + inner + columns)
    sizes = dict(zip(first.labels + second.labels, (*first.array.shape, *second.array.shape), strict=True))

    def shape(labels: str) -> tuple[int, ...]:
        return tuple(sizes[label] for label in labels)

    if inner and (rows or columns):
        stack = shape(batch)
        flat = [math.prod(shape(labels)) for labels in (rows, inner, columns)]
        product = matmul(reshape(left, (*stack, flat[0], flat[1])), reshape(right, (*stack, flat[1], flat[2])))
        return Labelled(reshape(product, shape(batch + rows + columns)), batch + rows + columns)
    left = reshape(left, shape(batch + rows) + (1,) * len(columns) + shape(inner))
    right = reshape(right, shape(batch) + (1,) * len(rows) + shape(inner + columns))
    product = mul(left, right)
    if inner:
        return Labelled(sum(product, tuple(range(len(batch), len(batch + inner)))), batch)
    return Labelled(product, batch + rows + columns)


def _ordered(x: Any, labels: str, wanted: str) -> Any:
    return x if labels == wanted else permute(x, tuple(labels.index(label) for label in wanted))


class Convolve(Operation):
    """All sums of products of two vectors, the second reversed and moved along the first."""

    __slots__ = ()
    reads_all = True

    def forward(self, x: Array, w: Array) -> Array:
        placement.only_on_cpu("convolve", "NumPy", (x, w))
        return as_array(np.convolve(x, w))

    def vjp(self, gy: Any, y: Any, x: Any, w: Any) -> Any:
        n, m = x.shape[0], w.shape[0]
        gx = gw = None
        if self.needs(0):
            gx = getitem(convolve(gy, _reversed(w)), slice(m - 1, m - 1 + n))
        if self.needs(1):
            gw = getitem(convolve(gy, _reversed(x)), slice(n - 1, n - 1 + m))
        return gx, gw


def _reversed(x: Any) -> Any:
    return getitem(x, slice(None, None, -1))


def convolve(x: Any, w: Any) -> Any:
    """Give the coefficients of the product of two polynomials, ``np.convolve(x, w)``; raises ValueError if not vectors.

    >>> import nbgrad
    >>> convolve(nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([1.0, 3.0]))
    Variable([1., 5., 6.])
    """
    x, w = _operand(x), _operand(w)
    if x.ndim != 1 or w.ndim != 1 or not x.shape[0] or not w.shape[0]:
        raise ValueError(f"convolve: shapes {x.shape} and {w.shape}: takes two vectors that have elements")
    return Convolve()(x, w)
