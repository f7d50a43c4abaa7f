"""Scans of arrays along any axis, from either end, by way of loops over lines."""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import scans
from ..scans import Scan
from .failures import checked
from .scan_loops import joining_kernel, line_kernel, result_dtype, state_dtypes, total_kernel

Array = npt.NDArray[Any]

#: Where there are fewer lines than _FEW, of at least _LONG elements, pieces of them are scanned at once, having been
#: looked through for what each of them adds to what is carried. That depends on the shape alone, and so do all bits.
_FEW = 64
_LONG = 1 << 16
_PIECE = 1000  # no power of two, at which the pieces' elements would want the same places of a cache
#: Elements that are looked through before they are scanned: they are still in a cache then.
_CACHED = 1 << 18


@once
def kernel_code(scan: Scan, dtype: np.dtype[Any]) -> str:
    """Give the dtype that elements are read in, by its letter.

    Raises TypeError for dtypes that are not real numbers or truth values.
    """
    code = {"e": "f"}.get(dtype.char, dtype.char)
    if code not in ("fd" if scan.floating else "?bhilqBHILQfd"):
        raise TypeError(f"{scan.name}: no kernel for dtype {dtype}: convert to a real dtype first")
    return code


@once
def result_dtypes(scan: Scan, code: str) -> list[np.dtype[Any]]:
    """Give the dtypes of values, and of places."""
    return [result_dtype(scan, code), *[np.dtype(np.int64)] * scan.places]


@once
def beginnings(scan: Scan, code: str) -> tuple[Array, ...]:
    """Give what lines begin with: what is carried before the first element, and its place."""
    values = []
    for s, dtype in enumerate(state_dtypes(scan, code)):
        value = (*scan.carried.identity, 0)[s]
        if np.dtype(dtype).kind != "f" and not np.isfinite(value):
            limits = np.iinfo(dtype)
            value = limits.max if value > 0 else limits.min
        values.append(np.array(value, dtype))
    return tuple(values)


def scan_array(name: str, x: Array, axis: int, reverse: bool = False) -> Any:
    """Scan an array along an axis; from its last element to its first if `reverse`. Gives (values, places) for extrema.

    Raises TypeError for dtypes that are not real numbers or truth values.
    """
    scan = scans.TABLE[name]
    code = kernel_code(scan, x.dtype)
    if not x.ndim:
        results = scan_array(name, x.reshape(1), 0)
        return tuple(y.reshape(()) for y in results) if scan.places else results.reshape(())
    begin = beginnings(scan, code)
    last = axis == x.ndim - 1
    few_and_long = scan.splits and x.shape[axis] >= _LONG and x.size < _FEW * x.shape[axis]
    if last and not reverse and not few_and_long:
        return checked(line_kernel(scan), x, *begin)
    results = tuple([np.empty_like(x, dtype, subok=False) for dtype in result_dtypes(scan, code)])
    lines, *outs = [_lines(array, axis, reverse) for array in (x, *results)]
    if few_and_long:
        _scan_pieces(scan, code, lines, outs, begin)
    else:
        checked(line_kernel(scan), lines, *begin, out=tuple(outs))
    return results if scan.places else results[0]


def recur(a: Array, b: Array, axis: int, reverse: bool = False) -> Any:
    """Give y with ``y[i] = b[i] + a[i - 1] * y[i - 1]`` along an axis, from ``y[0] = b[0]`` on.

    If `reverse`, from the last element to the first: ``y[i] = b[i] + a[i] * y[i + 1]``. Either way `a` has the factors
    between neighbours, and is shorter by one.
    """
    y = np.empty_like(b, subok=False)
    factors, terms, values = (_lines(array, axis, reverse) for array in (a, b, y))
    if y.size:
        values[..., 0] = terms[..., 0]
        checked(line_kernel(scans.recurrence), factors, terms[..., 1:], terms[..., 0], out=values[..., 1:])
    return y


def _lines(array: Array, axis: int, reverse: bool) -> Array:
    """Give a view in which lines are along the last axis, and begin where the scan does."""
    lines = array if axis == array.ndim - 1 else array.swapaxes(axis, -1)
    return lines[..., ::-1] if reverse else lines


def _scan_pieces(scan: Scan, code: str, x: Array, outs: list[Array], begin: tuple[Array, ...]) -> None:
    """Scan a few long lines in pieces: what each piece gives, what comes before each, and then its elements."""
    carried = begin[: len(begin) - scan.places]
    identities = carried
    step = max(_PIECE, _CACHED // max(1, x.size // x.shape[-1]) // _PIECE * _PIECE)
    for start in range(0, x.shape[-1], step):
        stop = min(start + step, x.shape[-1])
        count = (stop - start) // _PIECE
        whole = start + count * _PIECE
        pieces, *into = (array[..., start:whole].reshape(*x.shape[:-1], count, _PIECE) for array in (x, *outs))
        places = (np.arange(start, whole, _PIECE),) * scan.places
        totals = checked(total_kernel(scan), pieces, *identities, *places)
        totals = totals if isinstance(totals, tuple) else (totals,)
        found = checked(joining_kernel(scan, code), *totals, *carried)
        before, carried = found[: len(carried)], found[len(carried) :]
        checked(line_kernel(scan), pieces, *before, *places, out=tuple(into))
        if whole < stop:
            rest, *into = (array[..., whole:stop] for array in (x, *outs))
            place = (np.array(whole),) * scan.places
            checked(line_kernel(scan), rest, *carried, *place, out=tuple(into))
