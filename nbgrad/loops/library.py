"""NumPy's functions as loops, in the language that is differentiated: each is put in the place of its call.

They compute what NumPy's do, for the arguments that Numba takes; their derivatives follow as those of anybody's loops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .matrices import MATRICES

# mypy: disable-error-code="no-untyped-def, type-arg"


def _cumsum(a):
    x = a if a.ndim == 1 else a.flatten()
    y = np.empty(x.size, x.dtype)
    total = 0.0
    for i in range(x.size):
        total += x[i]
        y[i] = total
    return y


def _cumprod(a):
    x = a if a.ndim == 1 else a.flatten()
    y = np.empty(x.size, x.dtype)
    product = 1.0
    for i in range(x.size):
        product *= x[i]
        y[i] = product
    return y


def _diff(a):
    if a.ndim == 1:
        return a[1:] - a[:-1]
    return a[..., 1:] - a[..., :-1]


def _concatenate(arrays, axis=0):
    if arrays[0].ndim == 1:
        size = 0
        for part in arrays:
            size += part.size
        y = np.empty(size, np.result_type(*arrays))
        place = 0
        for part in arrays:
            for i in range(part.size):
                y[place + i] = part[i]
            place += part.size
        return y
    size = 0
    for part in arrays:
        size += part.shape[axis]
    shape = (size, arrays[0].shape[1]) if axis == 0 else (arrays[0].shape[0], size)
    y = np.empty(shape, np.result_type(*arrays))
    place = 0
    for part in arrays:
        for i in range(part.shape[0]):
            for j in range(part.shape[1]):
                if axis == 0:
                    y[place + i, j] = part[i, j]
                else:
                    y[i, place + j] = part[i, j]
        place += part.shape[axis]
    return y


def _stack(arrays):
    y = np.empty((len(arrays), *arrays[0].shape), np.result_type(*arrays))
    place = 0
    for part in arrays:
        y[place] = part
        place += 1
    return y


def _vstack(tup):
    return _stack(tup) if tup[0].ndim == 1 else _concatenate(tup)


def _hstack(tup):
    return _concatenate(tup) if tup[0].ndim == 1 else _concatenate(tup, 1)


def _column_stack(tup):
    return _stack(tup).T.copy() if tup[0].ndim == 1 else _concatenate(tup, 1)


def not_empty(size):
    """Raise ValueError where there is no element to give."""
    if size == 0:
        raise ValueError("an array without elements has no greatest one, and no least")


def _argmax(a):
    x = a if a.ndim == 1 else a.flatten()
    not_empty(x.size)
    best, place = x[0], 0
    for i in range(1, x.size):
        if x[i] > best or (x[i] != x[i] and best == best):
            best, place = x[i], i
    return place


def _argmin(a):
    x = a if a.ndim == 1 else a.flatten()
    not_empty(x.size)
    best, place = x[0], 0
    for i in range(1, x.size):
        if x[i] < best or (x[i] != x[i] and best == best):
            best, place = x[i], i
    return place


def _argsort(a):
    """Merge ever longer runs; equal elements stay in order."""
    n = a.size
    order = np.empty(n, np.int64)
    other = np.empty(n, np.int64)
    for i in range(n):
        order[i] = i
    width = 1
    while width < n:
        for low in range(0, n, 2 * width):
            middle = min(low + width, n)
            high = min(low + 2 * width, n)
            i, j = low, middle
            for k in range(low, high):
                left = j >= high
                if i < middle and not left:
                    left = a[order[i]] <= a[order[j]]
                if left:
                    other[k] = order[i]
                    i += 1
                else:
                    other[k] = order[j]
                    j += 1
        for i in range(n):
            order[i] = other[i]
        width *= 2
    return order


def _sort(a):
    order = _argsort(a)
    y = np.empty(a.size, a.dtype)
    for i in range(a.size):
        y[i] = a[order[i]]
    return y


def _median(a):
    x = _sort(a if a.ndim == 1 else a.flatten())
    half = x.size // 2
    if x.size % 2 == 1:
        return x[half]
    return 0.5 * (x[half - 1] + x[half])


def _roll(a, shift):
    y = np.empty(a.size, a.dtype)
    for i in range(a.size):
        y[(i + shift) % a.size] = a[i]
    return y


def _trace(a):
    total = 0.0
    for i in range(min(a.shape[0], a.shape[1])):
        total += a[i, i]
    return total


def _diag(v):
    if v.ndim == 1:
        y = np.zeros((v.size, v.size), v.dtype)
        for i in range(v.size):
            y[i, i] = v[i]
        return y
    x = np.empty(min(v.shape[0], v.shape[1]), v.dtype)
    for i in range(x.size):
        x[i] = v[i, i]
    return x


def _kron(a, b):
    n, m = b.shape
    y = np.empty((a.shape[0] * n, a.shape[1] * m), np.result_type(a, b))
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            for k in range(n):
                for q in range(m):
                    y[i * n + k, j * m + q] = a[i, j] * b[k, q]
    return y


def _cross(a, b):
    y = np.empty(3, np.result_type(a, b))
    y[0] = a[1] * b[2] - a[2] * b[1]
    y[1] = a[2] * b[0] - a[0] * b[2]
    y[2] = a[0] * b[1] - a[1] * b[0]
    return y


def _any(a):
    found = False
    for i in np.ndindex(a.shape):
        if a[i]:
            found = True
    return found


def _all(a):
    missing = False
    for i in np.ndindex(a.shape):
        if not a[i]:
            missing = True
    return not missing


def _count_nonzero(a):
    count = 0
    for i in np.ndindex(a.shape):
        if a[i]:
            count += 1
    return count


def _nansum(a):
    total = 0.0
    for i in np.ndindex(a.shape):
        if not np.isnan(a[i]):
            total += a[i]
    return total


def _nanmean(a):
    total, count = 0.0, 0
    for i in np.ndindex(a.shape):
        if not np.isnan(a[i]):
            total += a[i]
            count += 1
    return total / count


def _interp(x, xp, fp):
    last = xp.size - 1
    if x <= xp[0]:
        return fp[0]
    if x >= xp[last]:
        return fp[last]
    k = 0
    while xp[k + 1] < x:
        k += 1
    return fp[k] + (fp[k + 1] - fp[k]) * (x - xp[k]) / (xp[k + 1] - xp[k])


# ---- of numbers ------------------------------------------------------------------------------------------------------


def _fmax(x1, x2):
    return x2 if x2 > x1 or x1 != x1 else x1


def _fmin(x1, x2):
    return x2 if x2 < x1 or x1 != x1 else x1


def _remainder(x1, x2):
    return x1 % x2


def _copysign(x1, x2):
    return -abs(x1) if np.signbit(x2) else abs(x1)


def _ldexp(x, i):
    return x * 2.0**i


def _degrees(x):
    return x * (180.0 / math.pi)


def _radians(x):
    return x * (math.pi / 180.0)


def _gamma(x):
    y = math.exp(math.lgamma(x))
    return -y if x < 0 and math.floor(x) % 2 != 0 else y


def _fmod(x1, x2):
    return x1 - x2 * np.trunc(x1 / x2)


def _heaviside(x1, x2):
    return x2 if x1 == 0 else (1.0 if x1 > 0 else 0.0)


def _clip(a, a_min, a_max):
    if a_min is not None and a < a_min:
        return a_min
    if a_max is not None and a > a_max:
        return a_max
    return a


def _divmod(x, y):
    return x // y, x % y


# ---- elements that a mask or an array of places picks ----------------------------------------------------------------


def masked(a, mask):
    """Give the elements, or rows, where a mask is true."""
    if mask.size != (a.size if a.ndim == mask.ndim else a.shape[0]):
        raise IndexError("a mask of another size than the array")
    count = 0
    for i in np.ndindex(mask.shape):
        if mask[i]:
            count += 1
    if a.ndim == mask.ndim:
        y = np.empty(count, a.dtype)
        k = 0
        for i in np.ndindex(mask.shape):
            if mask[i]:
                y[k] = a[i]
                k += 1
        return y
    rows = np.empty((count, *a.shape[1:]), a.dtype)
    k = 0
    for row in range(mask.size):
        if mask[row]:
            rows[k] = a[row]
            k += 1
    return rows


def put_one(a, mask, value):
    """Write a number where a mask is true."""
    if mask.size != (a.size if a.ndim == mask.ndim else a.shape[0]):
        raise IndexError("a mask of another size than the array")
    for i in np.ndindex(mask.shape):
        if mask[i]:
            a[i] = value


def put_several(a, mask, values):
    """Write one number after the other where a mask is true, or rows."""
    if mask.size != (a.size if a.ndim == mask.ndim else a.shape[0]):
        raise IndexError("a mask of another size than the array")
    if _count_nonzero(mask) != values.shape[0]:
        raise ValueError("not as many values as a mask picks elements")
    k = 0
    for i in np.ndindex(mask.shape):
        if mask[i]:
            a[i] = values[k]
            k += 1


def put_at(a, places, value):
    """Write a number, or a row, to places."""
    for k in range(places.size):
        a[places[k]] = value


def put_at_each(a, places, values):
    """Write one number, or row, after the other to places."""
    if values.shape[0] != places.size:
        raise ValueError("not as many values as places")
    for k in range(places.size):
        a[places[k]] = values[k]


#: What is put in the place of a function on arrays.
ARRAYS: dict[Any, Any] = {
    np.cumsum: _cumsum,
    np.cumprod: _cumprod,
    np.diff: _diff,
    np.concatenate: _concatenate,
    np.stack: _stack,
    np.vstack: _vstack,
    np.hstack: _hstack,
    np.column_stack: _column_stack,
    np.argmax: _argmax,
    np.argmin: _argmin,
    np.argsort: _argsort,
    np.sort: _sort,
    np.median: _median,
    np.roll: _roll,
    np.trace: _trace,
    np.diag: _diag,
    np.kron: _kron,
    np.cross: _cross,
    np.any: _any,
    np.all: _all,
    np.count_nonzero: _count_nonzero,
    np.nansum: _nansum,
    np.nanmean: _nanmean,
    divmod: _divmod,
    **MATRICES,
}

#: What is put in the place of a function of numbers, and for each element of the arrays that are its first argument.
NUMBERS: dict[Any, Any] = {
    np.fmax: _fmax,
    np.fmin: _fmin,
    np.fmod: _fmod,
    np.remainder: _remainder,
    np.copysign: _copysign,
    math.copysign: _copysign,
    math.ldexp: _ldexp,
    math.gamma: _gamma,
    math.degrees: _degrees,
    np.degrees: _degrees,
    np.rad2deg: _degrees,
    math.radians: _radians,
    np.radians: _radians,
    np.deg2rad: _radians,
    np.heaviside: _heaviside,
}

#: Likewise, but only its first argument may be an array, and the others are what they are.
OF_THE_FIRST: dict[Any, Any] = {np.clip: _clip, np.interp: _interp}
