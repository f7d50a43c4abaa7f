"""Products of vectors and matrices composed of `matmul`: added to something, over named dimensions, of all pairs."""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import is_array
from ..kernels import dispatch
from ..registry import operation
from ..variable import Variable, data_of
from .arguments import axis_of, either, whole_numbers
from .elementwise import add, mul, sub
from .indexing import getitem
from .joining import cat
from .linalg import matmul, outer
from .places import moving
from .reduction import sum
from .scan import cumprod
from .shape import astype, broadcast_to, permute, reshape, t, unsqueeze
from .steps import plain


def _operands(what: str, *xs: Any) -> list[Any]:
    """Give operands of one dtype as arrays or Variables; raises TypeError where dtypes differ."""
    found = [plain(x) for x in xs]
    dtypes = [x.dtype for x in found]
    if len(set(dtypes)) > 1:
        raise TypeError(f"{what}: dtypes {' and '.join(map(str, dtypes))}: convert them to one first")
    return found


# ---- added to something ---------------------------------------------------------------------------------------------


def _added(what: str, x: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """Give beta * x + alpha * product, for an x that broadcasts to the product; without beta, x is not looked at."""
    x = plain(x)
    for name, factor in (("beta", beta), ("alpha", alpha)):
        if isinstance(factor, builtins.float) and x.dtype.kind in "iu":
            raise TypeError(f"{what}: {name} is {factor} for whole numbers: give a whole one")
    given, wanted = tuple(x.shape), tuple(product.shape)
    try:
        shape = wanted if given in (wanted, wanted[1:]) else np.broadcast_shapes(given, wanted)
    except ValueError:
        shape = ()
    if shape != wanted:
        raise ValueError(f"{what}: shape {x.shape} does not broadcast to the product's, {product.shape}")
    product = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return product
    return add(x if beta == 1 else mul(x, beta), product)


def _checked(what: str, input: Any, first: Any, second: Any, ranks: tuple[int, int]) -> list[Any]:
    operands = _operands(what, input, first, second)
    _, a, b = operands
    if (a.ndim, b.ndim) != ranks:
        raise ValueError(f"{what}: shapes {a.shape} and {b.shape}: takes {ranks[0]} and {ranks[1]} dimensions")
    inner = a.shape[-1], b.shape[0 if b.ndim < 2 else -2]
    if ranks != (1, 1) and (inner[0] != inner[1] or (ranks == (3, 3) and a.shape[0] != b.shape[0])):
        raise ValueError(f"{what}: shapes {a.shape} and {b.shape} have no product")
    return operands


@operation
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Give beta * input + alpha * (mat1 @ mat2) of matrices; input broadcasts, and is not read if beta is 0."""
    x, a, b = _checked("addmm", input, mat1, mat2, (2, 2))
    return _added("addmm", x, matmul(a, b), beta, alpha)


@operation
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Give beta * input + alpha * (mat @ vec) of a matrix and a vector, in the ways of `addmm`."""
    x, a, b = _checked("addmv", input, mat, vec, (2, 1))
    return _added("addmv", x, matmul(a, b), beta, alpha)


@operation
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Give beta * input + alpha * outer(vec1, vec2) of vectors, in the ways of `addmm`."""
    x, a, b = (plain(v) for v in (input, vec1, vec2))
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"addr: shapes {a.shape} and {b.shape}: takes two vectors")
    return _added("addr", x, outer(a, b), beta, alpha)


@operation
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Give beta * input + alpha * bmm(batch1, batch2) of stacks of matrices, in the ways of `addmm`."""
    x, a, b = _checked("baddbmm", input, batch1, batch2, (3, 3))
    return _added("baddbmm", x, matmul(a, b), beta, alpha)


@operation
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Give beta * input + alpha * the sum of bmm(batch1, batch2) over the stack, in the ways of `addmm`."""
    x, a, b = _checked("addbmm", input, batch1, batch2, (3, 3))
    rows, inner, columns = a.shape[1], a.shape[0] * a.shape[2], b.shape[2]
    product = matmul(reshape(permute(a, (1, 0, 2)), (rows, inner)), reshape(b, (inner, columns)))
    return _added("addbmm", x, product, beta, alpha)


# ---- of vectors -----------------------------------------------------------------------------------------------------


@operation
def inner(input: Any, other: Any) -> Any:
    """Sum products along the last dimensions, of each pair of lines; a scalar multiplies.

    >>> import nbgrad
    >>> nbgrad.inner(nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([3.0, 4.0]))
    Variable(11.)
    """
    x, y = _operands("inner", input, other)
    if not x.ndim or not y.ndim:
        return mul(x, y)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"inner: shapes {x.shape} and {y.shape}: the last dimensions differ")
    if x.ndim <= 2 and y.ndim <= 2:
        return matmul(x, y if y.ndim == 1 else t(y))
    return tensordot(x, y, ((-1,), (-1,)))


@operation
def vdot(input: Any, other: Any) -> Any:
    """Give the inner product of two vectors of one length; raises ValueError for anything else."""
    x, y = _operands("vdot", input, other)
    if x.ndim != 1 or y.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"vdot: shapes {x.shape} and {y.shape}: takes two vectors of one length")
    return matmul(x, y)


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """Sum products along a dimension, with broadcasting over the others."""
    x, y = _operands("vecdot", x, y)
    if x.shape[dim] != y.shape[dim]:
        raise ValueError(f"vecdot: shapes {x.shape} and {y.shape} differ in dimension {dim}")
    product = mul(x, y)
    return sum(product, dim)


@operation
def cross(input: Any, other: Any, dim: int | None = None, *, axis: int | None = None) -> Any:
    """Give vector products along a dimension of size 3: the first such, unless given; others broadcast.

    Raises ValueError where there is none.

    >>> import nbgrad
    >>> nbgrad.cross(nbgrad.tensor([1.0, 0.0, 0.0]), nbgrad.tensor([0.0, 1.0, 0.0]))
    Variable([0., 0., 1.])
    """
    x, y = _operands("cross", input, other)
    dim = either("cross", "dim", dim, "axis", axis)
    if dim is None:
        shape = np.broadcast_shapes(x.shape, y.shape)
        dim = next((i for i, size in enumerate(shape) if size == 3), None)
        if dim is None:
            raise ValueError(f"cross: shapes {x.shape} and {y.shape} have no dimension of size 3")
    return _cross("cross", x, y, dim)


def _cross(what: str, x: Any, y: Any, dim: int) -> Any:
    if x.ndim != y.ndim:
        raise ValueError(f"{what}: shapes {x.shape} and {y.shape}: they need the same number of dimensions")
    along = axis_of(what, dim, x.ndim)
    if x.shape[along] != 3 or y.shape[along] != 3:
        raise ValueError(f"{what}: shapes {x.shape} and {y.shape} are not of size 3 in dimension {dim}")
    first = mul(_turned(x, along, 1), _turned(y, along, 2))
    return sub(first, mul(_turned(x, along, 2), _turned(y, along, 1)))


@moving
def _turned(v: Any, along: int, by: int) -> Any:
    """Give vectors of three with their elements in turn moved by so many places to the front."""
    return getitem(v, (*(slice(None),) * along, [by % 3, (1 + by) % 3, (2 + by) % 3]))


# ---- over named dimensions, and of all pairs ------------------------------------------------------------------------


@operation(method=False)
def tensordot(input: Any, other: Any, dims: Any = 2) -> Any:
    """Sum products over dimensions: the last of input and the first of other, so many, or those of two lists.

    Raises ValueError for dimensions that do not fit.

    >>> import nbgrad
    >>> nbgrad.tensordot(nbgrad.ones(2, 3), nbgrad.ones(3, 2), dims=1)
    Variable([[3., 3.],
              [3., 3.]])
    """
    x, y = _operands("tensordot", input, other)
    if isinstance(dims, Variable) or is_array(dims):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0 or dims > min(x.ndim, y.ndim):
            raise ValueError(f"tensordot: {dims} dimensions of shapes {x.shape} and {y.shape}")
        left, right = list(range(x.ndim - dims, x.ndim)), list(range(dims))
    else:
        left, right = (
            [axis_of("tensordot", d, v.ndim) for d in (part if isinstance(part, Sequence) else (part,))]
            for part, v in zip(dims, (x, y), strict=True)
        )
    if len(left) == len(right):  # what is stretched is as well a sum of the other
        pairs = list(zip(left, right, strict=True))
        y = _summed(y, [j for i, j in pairs if x.shape[i] == 1 < y.shape[j]])
        x = _summed(x, [i for i, j in pairs if y.shape[j] == 1 < x.shape[i]])
    if len(left) != len(right) or any(x.shape[i] != y.shape[j] for i, j in zip(left, right, strict=True)):
        raise ValueError(f"tensordot: dimensions {left} of shape {x.shape} and {right} of shape {y.shape} do not match")
    rows, columns = ([i for i in range(v.ndim) if i not in taken] for v, taken in ((x, left), (y, right)))
    shape = (*(x.shape[i] for i in rows), *(y.shape[i] for i in columns))
    size = math.prod(x.shape[i] for i in left)
    first = reshape(permute(x, (*rows, *left)), (math.prod(x.shape[i] for i in rows), size))
    second = reshape(permute(y, (*right, *columns)), (size, math.prod(y.shape[i] for i in columns)))
    return reshape(matmul(first, second), shape)


def _summed(x: Any, over: list[int]) -> Any:
    return sum(x, over, True) if over else x


@operation
def kron(input: Any, other: Any) -> Any:
    """Give Kronecker's product: each element of input times all of other, block by block.

    >>> import nbgrad
    >>> nbgrad.kron(nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([1.0, 10.0]))
    Variable([ 1., 10.,  2., 20.])
    """
    x, y = plain(input), plain(other)
    ndim = max(x.ndim, y.ndim)
    left, right = ((1,) * (ndim - v.ndim) + tuple(v.shape) for v in (x, y))
    x = reshape(x, tuple(size for n in left for size in (n, 1)))
    y = reshape(y, tuple(size for n in right for size in (1, n)))
    return reshape(mul(x, y), tuple(m * n for m, n in zip(left, right, strict=True)))


@operation(method=False)
def chain_matmul(input: Any, *matrices: Any) -> Any:
    """Multiply matrices in the order that takes the least work: PyTorch's older name for `linalg.multi_dot`."""
    return multi_dot([input, *matrices])


def multi_dot(tensors: Sequence[Any]) -> Any:
    """Multiply two or more matrices in the order that takes the least work; the ends may be vectors.

    Raises ValueError for shapes that do not match.
    """
    parts = _operands("multi_dot", *tensors)
    if len(parts) < 2:
        raise ValueError(f"multi_dot: {len(parts)} matrices: takes two or more")
    ends = parts[0].ndim, parts[-1].ndim
    if any(x.ndim not in (1, 2) for x in (parts[0], parts[-1])) or any(x.ndim != 2 for x in parts[1:-1]):
        raise ValueError(f"multi_dot: shapes {', '.join(str(x.shape) for x in parts)}: takes matrices, vectors at ends")
    if ends[0] == 1:
        parts[0] = unsqueeze(parts[0], 0)
    if ends[1] == 1:
        parts[-1] = unsqueeze(parts[-1], 1)
    for x, y in itertools.pairwise(parts):
        if x.shape[1] != y.shape[0]:
            raise ValueError(f"multi_dot: shapes {x.shape} and {y.shape} have no product")
    product = _ordered(parts, _cuts([parts[0].shape[0], *(x.shape[1] for x in parts)]), 0, len(parts) - 1)
    kept = tuple(size for size, end in zip(product.shape, ends, strict=True) if end == 2)
    return product if len(kept) == 2 else reshape(product, kept)


def _cuts(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Give where to cut each stretch of a chain, for the least work (Cormen et al., Algorithms, 14.2)."""
    count = len(sizes) - 1
    work: dict[tuple[int, int], int] = {(i, i): 0 for i in range(count)}
    cuts: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            costs = [(work[i, k] + work[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            work[i, j], cuts[i, j] = min(costs)
    return cuts


def _ordered(parts: list[Any], cuts: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return parts[i]
    k = cuts[i, j]
    return matmul(_ordered(parts, cuts, i, k), _ordered(parts, cuts, k + 1, j))


def vander(x: Any, *, N: int | None = None) -> Any:
    """Give the powers 0, 1, ..., N - 1 of each element as a further dimension; as many as there are elements, unless N.

    A scalar counts as a vector. Raises ValueError for N below 1.
    """
    x = plain(x)
    if x.dtype.kind == "b":
        x = astype(x, np.int64)
    x = x if x.ndim else reshape(x, (1,))
    (count,) = whole_numbers("vander", (x.shape[-1] if N is None else N,))
    if count < 1 and N is not None:
        raise ValueError(f"vander: N is {N}: give at least 1")
    ones = dispatch.full((*x.shape, 1), 1, x.dtype, data_of(x))
    if count <= 1:
        made = ones[..., :count]
        return Variable(made) if isinstance(x, Variable) else made
    first = Variable(ones, None, False) if isinstance(x, Variable) else ones
    return cumprod(cat([first, broadcast_to(unsqueeze(x, -1), (*x.shape, count - 1))], -1), -1)
