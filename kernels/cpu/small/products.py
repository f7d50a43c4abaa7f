"""Products of small matrices and vectors, by the loop that is quicker than a call of BLAS."""

from __future__ import annotations

import ctypes
from functools import cache as once

from ..ndarray import ALIGNED, DATA
from ..products import LONGEST, MOST, kernel
from ..ufunc import loops_of
from .calls import AT, BEGIN, HAND_ON, Call, as_small_array, new_array

# a vector is a row on the left, and a column on the right, whose axis the result does not have
_SOURCE = f"""{BEGIN}
    fits = count == 2
    if not fits:
{HAND_ON}
    x = word_at(args)
    w = word_at(args + 8)
{as_small_array("x")}
{as_small_array("w")}
    entry = own
    itemsize = 4
    if x_dtype == word_at(api + {AT["float64"]}):
        entry = own + 16
        itemsize = 8
    elif x_dtype != word_at(api + {AT["float32"]}):
        fits = False
    if w_dtype != x_dtype or x_flags & w_flags & {ALIGNED} == 0:
        fits = False
    if x_ndim < 1 or x_ndim > 2 or w_ndim < 1 or w_ndim > 2:
        fits = False
    if not fits:
{HAND_ON}
    m = word_at(x_shape) if x_ndim == 2 else 1
    k = word_at(x_shape + 8 * (x_ndim - 1))
    n = word_at(w_shape + 8) if w_ndim == 2 else 1
    if word_at(w_shape) != k or m * k * n > {MOST} or k > {LONGEST} or m * n > {MOST}:
        fits = False
    if not fits:
{HAND_ON}
    shape = int64_lanes()
    out = 0
    if x_ndim == 2:
        shape[out] = m
        out += 1
    if w_ndim == 2:
        shape[out] = n
        out += 1
{new_array("y", "x_dtype", "out", "address(shape)")}
    pointers = int64_lanes()
    dims = int64_lanes()
    strides = int64_lanes()
    pointers[0] = x_data
    pointers[1] = w_data
    pointers[2] = word_at(y + {DATA})
    dims[0] = 1
    dims[1] = m
    dims[2] = k
    dims[3] = n
    strides[3] = word_at(x_strides) if x_ndim == 2 else 0
    strides[4] = word_at(x_strides + 8 * (x_ndim - 1))
    strides[5] = word_at(w_strides)
    strides[6] = word_at(w_strides + 8) if w_ndim == 2 else itemsize
    strides[7] = n * itemsize
    strides[8] = itemsize
    for i in range(3):
        strides[i] = 0
    data = word_at(word_at(entry + 8))
    invoke_4(word_at(word_at(entry)), (address(pointers), address(dims), address(strides), data))
    return y
"""


@once
def product() -> Call:
    """Give ``(x, w)``: the product of small matrices or vectors of one floating dtype."""
    loops = loops_of[kernel()]
    functions, data = ctypes.addressof(loops.functions), ctypes.addressof(loops.data)
    return Call("product", _SOURCE, [functions, data, functions + 8, data + 8])
