"""Products of vectors and matrices, sums over named dimensions, and polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import is_stand_in
from ...ops import linalg
from ...ops.shape import broadcast_to
from ...variable import Variable
from .operands import computes, floating, has_ours, is_complex, operand, ours, together
from .ufuncs import special, vecdot


def _dot(a: Any, b: Any, out: None = None) -> Any:
    a, b = together(a, b)
    if out is not None or is_complex(a, b):
        return NotImplemented
    if not a.ndim or not b.ndim:
        return np.multiply(a, b)
    return linalg.matmul(a, b) if b.ndim == 1 or max(a.ndim, b.ndim) <= 2 else np.tensordot(a, b, (-1, -2))


def _inner(a: Any, b: Any) -> Any:
    a, b = together(a, b)
    return np.tensordot(a, b, (-1, -1)) if a.ndim and b.ndim else np.multiply(a, b)


def _vdot(a: Any, b: Any) -> Any:
    a, b = together(a, b)
    return NotImplemented if is_complex(a, b) else np.matmul(np.ravel(a), np.ravel(b))


def _outer(a: Any, b: Any, out: None = None) -> Any:
    if out is not None:
        return NotImplemented
    return np.multiply(np.reshape(operand(a), (-1, 1)), np.reshape(operand(b), (1, -1)))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = together(a, b)
    if isinstance(axes, int | np.integer):
        over = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        over = tuple([int(i)] if np.ndim(i) == 0 else [int(j) for j in i] for i in axes)  # type: ignore[assignment]
    first, second = ([i % x.ndim for i in names] for x, names in zip((a, b), over, strict=True))
    if [a.shape[i] for i in first] != [b.shape[i] for i in second]:
        raise ValueError(f"tensordot: shapes {a.shape} and {b.shape} differ along axes {over[0]} and {over[1]}")
    rows, columns = ([i for i in range(x.ndim) if i not in names] for x, names in ((a, first), (b, second)))
    inner = math.prod(a.shape[i] for i in first)
    left = a.transpose(tuple(rows + first)).reshape(math.prod(a.shape[i] for i in rows), inner)
    right = b.transpose(tuple(second + columns)).reshape(inner, math.prod(b.shape[i] for i in columns))
    return np.matmul(left, right).reshape((*(a.shape[i] for i in rows), *(b.shape[i] for i in columns)))


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Any:
    if not isinstance(a, Variable) or out is not None:
        return NotImplemented
    return np.sum(np.diagonal(a, offset, axis1, axis2), -1, dtype=dtype)


def _einsum(*operands: Any, out: None = None, dtype: Any = None, optimize: Any = False, **options: Any) -> Any:
    if out is not None or options:
        return NotImplemented
    from ...ops.contraction import einsum

    if isinstance(operands[0], str):
        found = einsum(operands[0], *together(*operands[1:]))
    else:
        arrays = together(*operands[: len(operands) // 2 * 2 : 2])
        found = einsum(*[arrays[i // 2] if i % 2 == 0 and i // 2 < len(arrays) else x for i, x in enumerate(operands)])
    return found if dtype is None else found.astype(dtype)


def _kron(a: Any, b: Any) -> Any:
    a, b = together(a, b)
    ndim = max(a.ndim, b.ndim)
    shapes = [(1,) * (ndim - x.ndim) + tuple(x.shape) for x in (a, b)]
    first = a.reshape(tuple(size for n in shapes[0] for size in (n, 1)))
    second = b.reshape(tuple(size for n in shapes[1] for size in (1, n)))
    return np.multiply(first, second).reshape(tuple(m * n for m, n in zip(*shapes, strict=True)))


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = (np.moveaxis(x, i, -1) for x, i in zip(together(a, b), (axisa, axisb), strict=True))
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"cross: vectors of {a.shape[-1]} and {b.shape[-1]} elements along axes: give 2 or 3")
    if a.shape[-1] == b.shape[-1] == 2:
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    x, y = ([v[..., i] for i in range(3)] for v in map(_in_space, (a, b)))
    parts = [x[i] * y[j] - x[j] * y[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.moveaxis(np.stack(parts, -1), -1, axisc)


def _in_space(v: Any) -> Any:
    """Give vectors of two elements a third one, 0."""
    return v if v.shape[-1] == 3 else np.concatenate([v, np.zeros((*v.shape[:-1], 1), v.dtype)], -1)


def _linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    x1, x2 = operand(x1), operand(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        return NotImplemented  # NumPy says why
    return _cross(x1, x2, axis=axis)


# ---- vectors along vectors, polynomials -----------------------------------------------------------------------------


def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    from ...ops.contraction import convolve

    a, v = (np.atleast_1d(operand(x)) for x in (a, v))
    if any(map(is_stand_in, (a, v))) or a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        return NotImplemented
    whole = convolve(a, v)
    longer, shorter = sorted([a.shape[0], v.shape[0]], reverse=True)
    if mode == "valid":
        return whole[shorter - 1 : longer]
    if mode == "same":
        return whole[(shorter - 1) // 2 : (shorter - 1) // 2 + longer]
    return whole if mode == "full" else NotImplemented


def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    a, v = operand(a), operand(v)
    if is_complex(a, v) or v.ndim != 1 or any(map(is_stand_in, (a, v))) or a.ndim != 1:
        return NotImplemented
    from ...ops.contraction import convolve

    whole = convolve(a, np.flip(v))
    longer, shorter = sorted([a.shape[0], v.shape[0]], reverse=True)
    if mode == "valid":
        return whole[shorter - 1 : longer]
    if mode == "same":
        # NumPy turns the operands round where the second is longer, and so the side that has one element more
        before = (shorter - 1) // 2
        begin = before if a.shape[0] >= v.shape[0] else shorter - 1 - before
        return whole[begin : begin + longer]
    return whole if mode == "full" else NotImplemented


def _polyval(p: Any, x: Any) -> Any:
    """Evaluate by Horner's scheme, differentiably by coefficients and places."""
    if isinstance(x, np.poly1d) or isinstance(p, np.poly1d):
        return NotImplemented
    p, x = together(p, x)
    found: Any = np.zeros(x.shape, np.result_type(p.dtype, x.dtype))
    for i in range(p.shape[0]):
        found = found * x + p[i]
    return found


def _polyadd(sign: int) -> Any:
    def rule(a1: Any, a2: Any) -> Any:
        if isinstance(a1, np.poly1d) or isinstance(a2, np.poly1d):
            return NotImplemented
        a1, a2 = (np.atleast_1d(x) for x in together(a1, a2))
        size = max(a1.shape[0], a2.shape[0])
        first, second = (
            x if x.shape[0] == size else np.concatenate([np.zeros(size - x.shape[0], x.dtype), x]) for x in (a1, a2)
        )
        return first + second if sign > 0 else first - second

    return rule


def _polymul(a1: Any, a2: Any) -> Any:
    if isinstance(a1, np.poly1d) or isinstance(a2, np.poly1d):
        return NotImplemented
    return _convolve(a1, a2)


def _polyder(p: Any, m: int = 1) -> Any:
    if isinstance(p, np.poly1d) or m < 0:
        return NotImplemented
    p = operand(p)
    for _ in range(m):
        p = p[:-1] * np.arange(p.shape[0] - 1, 0, -1)
    return p


def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    if isinstance(p, np.poly1d) or m < 0 or has_ours(k):
        return NotImplemented
    constants = np.zeros(m) if k is None else np.broadcast_to(np.atleast_1d(k), m)
    p = floating(p)
    for constant in constants:
        p = np.concatenate([p / np.arange(p.shape[0], 0, -1), np.full(1, constant)])
    return p


def _poly(seq_of_zeros: Any) -> Any:
    zeros = floating(seq_of_zeros)
    if not isinstance(zeros, Variable) or zeros.ndim != 1 or not zeros.size:
        return NotImplemented
    found: Any = np.ones(1, zeros.dtype)
    one = np.ones(1, zeros.dtype)
    for i in range(zeros.shape[0]):
        found = _convolve(found, np.concatenate([one, -zeros[i : i + 1]]))
    return found


def _polydiv(u: Any, v: Any) -> Any:
    """Divide as by hand; NumPy trims zeros at the beginning of the remainder, by the elements."""
    if isinstance(u, np.poly1d) or isinstance(v, np.poly1d):
        return NotImplemented
    u, v = (np.atleast_1d(floating(x)) for x in together(u, v))
    if any(is_stand_in(x) for x in (u, v)):
        return NotImplemented
    quotient, rest, size = [], u, v.shape[0]
    for k in range(max(u.shape[0] - size + 1, 0)):
        factor = rest[k] / v[0]
        quotient.append(factor)
        rest = np.concatenate([rest[:k], rest[k : k + size] - factor * v, rest[k + size :]])
    plainly = rest.data if isinstance(rest, Variable) else rest
    while rest.shape[0] > 1 and np.allclose(plainly[0], 0, rtol=1e-14):
        rest, plainly = rest[1:], plainly[1:]
    return (np.stack(quotient) if quotient else np.zeros(1)), rest


def _polyfit(x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: bool = False) -> Any:
    if full or cov or rcond is not None or np.ndim(deg):
        return NotImplemented
    x, y = map(floating, together(x, y))
    left, right = np.vander(x, deg + 1), y
    if w is not None:
        w = floating(w)
        left, right = left * w[:, None], right * (w[:, None] if y.ndim == 2 else w)
    scale = np.sqrt(np.sum(left * left, 0))
    found = np.transpose(np.transpose(np.linalg.lstsq(left / scale, right)[0]) / scale)
    return found


def _vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    x = operand(x)
    if x.ndim != 1 or ours(N):
        return NotImplemented
    count = x.shape[0] if N is None else N
    x = x.astype(np.result_type(x.dtype, int))
    powers = [broadcast_to(np.ones((), x.dtype), x.shape)]
    while len(powers) < count:
        powers.append(powers[-1] * x)
    return np.stack((powers if increasing else powers[::-1])[:count] if increasing else powers[:count][::-1], -1)


RULES: dict[Any, Callable[..., Any]] = {
    np.dot: _dot,
    np.inner: _inner,
    np.vdot: _vdot,
    **dict.fromkeys((np.outer, np.linalg.outer), _outer),
    **dict.fromkeys((np.tensordot, np.linalg.tensordot), _tensordot),
    np.linalg.matmul: lambda x1, x2, /: np.matmul(x1, x2),
    np.linalg.vecdot: lambda x1, x2, /, *, axis=-1: (
        vecdot(np.moveaxis(operand(x1), axis, -1), np.moveaxis(operand(x2), axis, -1))
        if computes(x1) or computes(x2)
        else NotImplemented
    ),
    np.trace: _trace,
    np.linalg.trace: lambda x, /, *, offset=0, dtype=None: _trace(x, offset, -2, -1, dtype),
    np.einsum: _einsum,
    np.kron: _kron,
    np.cross: _cross,
    np.linalg.cross: _linalg_cross,
    np.convolve: _convolve,
    np.correlate: _correlate,
    np.polyval: _polyval,
    np.polyadd: _polyadd(1),
    np.polysub: _polyadd(-1),
    np.polymul: _polymul,
    np.polyder: _polyder,
    np.polyint: _polyint,
    np.poly: _poly,
    np.polydiv: _polydiv,
    np.polyfit: _polyfit,
    np.vander: _vander,
    np.sinc: special("sinc"),
    np.i0: special("i0"),
}
