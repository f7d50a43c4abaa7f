"""Matrix products, by the BLAS that NumPy brings, or cuBLAS."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np

from ..arrays import Array, as_array, is_array
from ..function import Operation
from ..kernels import dispatch
from ..kernels.cpu import small
from ..recording import RecordedCall
from ..registry import operation
from ..variable import Variable
from .elementwise import add, mul
from .shape import Permute, Reshape, SumTo, unsqueeze


def _transposed(x: Any) -> Any:
    return Permute.apply(x, (1, 0) if x.ndim == 2 else (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


class MatMul(Operation):
    """Matrix product over the last two axes, broadcast over the others; vectors as NumPy's matmul has them."""

    __slots__ = ()
    reads_all = False
    arity = 2
    work = staticmethod(lambda: small.products.product())

    def reads(self, inputs: tuple[Variable, ...]) -> Collection[int]:
        return [1 - i for i, x in enumerate(inputs) if x._generation >= 0]

    def forward(self, x: Array, w: Array) -> Array:
        if not x.ndim or not w.ndim:
            raise ValueError(f"matmul: shapes {x.shape} and {w.shape}: scalars are multiplied with *")
        if x.dtype.kind not in "fiub" or w.dtype.kind not in "fiub":
            raise TypeError(f"matmul: no kernel for dtypes {x.dtype} and {w.dtype}: convert to real dtypes first")
        try:
            with np.errstate(all="ignore"):  # infinities and NaN are as silent as everywhere
                if w.ndim == 2 and x.ndim > 2:  # one large product instead of many small ones
                    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
                    return dispatch.matmul(rows, w).reshape(*x.shape[:-1], w.shape[-1])
                return as_array(dispatch.matmul(x, w))
        except ValueError:
            inner = x.shape[-1], w.shape[0 if w.ndim == 1 else -2]
            hint = f"{inner[0]} columns meet {inner[1]} rows" if inner[0] != inner[1] else "the stacks do not broadcast"
            raise ValueError(f"matmul: shapes {x.shape} and {w.shape}: {hint}") from None

    def jvp(self, tangents: Sequence[Any], y: Any, x: Any, w: Any) -> Any:
        dx, dw = tangents
        if dx is None or dw is None:
            return matmul(x, dw) if dx is None else matmul(dx, w)
        return add(matmul(dx, w), matmul(x, dw))

    def vjp(self, gy: Any, y: Any, x: Any, w: Any) -> Any:
        ga = gb = None
        if x.ndim == w.ndim == 1:
            return mul(gy, w) if self.needs(0) else None, mul(gy, x) if self.needs(1) else None
        if w.ndim == 1:  # a vector for each matrix's columns: outer products, and all rows at once
            if self.needs(0):
                ga = mul(unsqueeze(gy, -1), w)
            if self.needs(1):
                gb = matmul(Reshape.apply(gy, (gy.size,)), Reshape.apply(x, (gy.size, w.shape[0])))
        elif x.ndim == 1:
            column = unsqueeze(gy, -1)
            if self.needs(0):
                products = matmul(w, column)
                ga = SumTo.apply(Reshape.apply(products, products.shape[:-1]), x.shape)
            if self.needs(1):
                gb = mul(unsqueeze(x, -1), unsqueeze(gy, -2))
        else:
            if self.needs(0):
                ga = matmul(gy, _transposed(w))
            if self.needs(1):
                if w.ndim == 2 and x.ndim > 2:  # one large product instead of a stack of small ones and a sum
                    rows = math.prod(x.shape[:-1])
                    x, gy = Reshape.apply(x, (rows, x.shape[-1])), Reshape.apply(gy, (rows, gy.shape[-1]))
                gb = matmul(_transposed(x), gy)
        return ga, gb


def _check_operands(name: str, *operands: Any) -> None:
    for operand in operands:
        if not isinstance(operand, Variable) and not is_array(operand):
            raise TypeError(f"{name}: operand of type {type(operand).__name__}: takes Variables and arrays")


@overload
def matmul(input: Variable, other: Variable | Array) -> Variable: ...
@overload
def matmul(input: Variable | Array, other: Variable) -> Variable: ...
@overload
def matmul(input: Array, other: Array) -> Array: ...
@operation
def matmul(input: Any, other: Any) -> Any:
    """Matrix product with NumPy's rules: stacks broadcast, a vector is a row on the left and a column on the right.

    Raises ValueError for shapes that do not match.

    >>> import nbgrad
    >>> nbgrad.matmul(nbgrad.ones(2, 3), nbgrad.ones(3))
    Variable([3., 3.])
    """
    return calls.product(input, other)


def _of_any(input: Any, other: Any) -> Any:
    kind = type(input)
    if kind is type(other) is np.ndarray:
        return MatMul().forward(input, other)
    if kind is not Variable or type(other) is not Variable:
        _check_operands("matmul", input, other)
    return MatMul()(input, other)


class _Calls:
    """The compiled call."""

    product = RecordedCall(MatMul, _of_any)


calls = _Calls()


if TYPE_CHECKING:

    class Product(Protocol):
        """A function that multiplies two of certain dimensions."""

        @overload
        def __call__(self, input: Variable, other: Variable | Array) -> Variable: ...
        @overload
        def __call__(self, input: Variable | Array, other: Variable) -> Variable: ...
        @overload
        def __call__(self, input: Array, other: Array) -> Array: ...


def _dot_of_any(x: Any, y: Any) -> Any:
    """Sum products over the last dimension and the last but one, as NumPy's ``x.dot(y)`` does."""
    if not x.ndim or not y.ndim:
        return mul(x, y)
    if y.ndim <= 2:
        return matmul(x, y)
    *stack, rows, columns = y.shape
    y = Permute.apply(y, (y.ndim - 2, *range(y.ndim - 2), y.ndim - 1))
    products = matmul(x, Reshape.apply(y, (rows, math.prod(stack) * columns)))
    return Reshape.apply(products, (*x.shape[:-1], *stack, columns))


def _of_rank(name: str, sentence: str, first: int, second: int) -> Product:
    def product(input: Any, other: Any) -> Any:
        _check_operands(name, input, other)
        if input.ndim != first or other.ndim != second:
            if name == "dot":
                return _dot_of_any(input, other)
            raise ValueError(
                f"{name}: takes operands of {first} and {second} dimensions, got shapes {input.shape} and {other.shape}"
            )
        if first == 3 and input.shape[0] != other.shape[0]:
            raise ValueError(f"{name}: stacks of {input.shape[0]} and {other.shape[0]} matrices: they must be the same")
        return matmul(input, other)

    product.__name__ = product.__qualname__ = name
    product.__doc__ = sentence
    function: Product = operation(product)
    return function


mm = _of_rank("mm", "Multiply two matrices.", 2, 2)
bmm = _of_rank("bmm", "Multiply two stacks of matrices, one by one.", 3, 3)
mv = _of_rank("mv", "Multiply a matrix and a vector.", 2, 1)
dot = _of_rank("dot", "Give the inner product of two vectors; of other dimensions what NumPy's dot gives.", 1, 1)


@overload
def outer(input: Variable, other: Variable | Array) -> Variable: ...
@overload
def outer(input: Variable | Array, other: Variable) -> Variable: ...
@overload
def outer(input: Array, other: Array) -> Array: ...
@operation
def outer(input: Any, other: Any) -> Any:
    """Multiply each element of a vector by each of another one: a matrix with a row for each element of the first.

    Raises ValueError for anything but vectors.

    >>> import nbgrad
    >>> nbgrad.outer(nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([3.0, 4.0]))
    Variable([[3., 4.],
              [6., 8.]])
    """
    _check_operands("outer", input, other)
    if input.ndim != 1 or other.ndim != 1:
        raise ValueError(f"outer: takes two vectors, got shapes {input.shape} and {other.shape}")
    return mul(unsqueeze(input, 1), other)
