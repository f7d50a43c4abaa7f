"""Products of small matrices and vectors, by the loop that is quicker than a call of BLAS."""

from __future__ import annotations

import ctypes
from functools import cache as once

from .. import matrix_vector
from ..matrix_vector import FEWEST, SHORTEST
from ..ndarray import ALIGNED, DATA
from ..products import LONGEST, MOST, kernel
from ..threads import NEVER
from ..ufunc import loops_of
from .calls import AT, BEGIN, HAND_ON, Call, as_small_array, new_array

# a vector is a row on the left, and a column on the right, whose axis the result does not have
_OPERANDS = f"""
    fits = count == 2
    if not fits:
{HAND_ON}
    x = word_at(args)
    w = word_at(args + 8)
{as_small_array("x")}
{as_small_array("w")}
    shape = int64_lanes()
    out = 0
    stack = 1
    rows = 0
    deep = x_ndim == 3 and w_ndim == 3
    if deep:
        stack = word_at(x_shape)
        if word_at(w_shape) != stack:
            fits = False
        shape[0] = stack
        rows = 1
        out = 1
    elif x_ndim < 1 or x_ndim > 2 or w_ndim < 1 or w_ndim > 2:
        fits = False
    if not fits:
{HAND_ON}
    m = word_at(x_shape + 8 * rows) if x_ndim > 1 else 1
    k = word_at(x_shape + 8 * (x_ndim - 1))
    n = word_at(w_shape + 8 * (w_ndim - 1)) if w_ndim > 1 else 1
    down = word_at(w_strides + 8 * rows)
    across = word_at(w_strides + 8 * (w_ndim - 1)) if w_ndim > 1 else 8
    if word_at(w_shape + 8 * rows) != k:
        fits = False
    if x_ndim > 1:
        shape[out] = m
        out += 1
    if w_ndim > 1:
        shape[out] = n
        out += 1
"""

# matrices, of which the second lies on its side, and what is added to each column
_LINEAR = f"""
    fits = count == 2 or count == 3
    if not fits:
{HAND_ON}
    x = word_at(args)
    w = word_at(args + 8)
{as_small_array("x")}
{as_small_array("w")}
    if x_ndim != 2 or w_ndim != 2:
        fits = False
    if not fits:
{HAND_ON}
    stack = 1
    rows = 0
    deep = False
    m = word_at(x_shape)
    k = word_at(x_shape + 8)
    n = word_at(w_shape)
    down = word_at(w_strides + 8)
    across = word_at(w_strides)
    if word_at(w_shape + 8) != k:
        fits = False
    shape = int64_lanes()
    shape[0] = m
    shape[1] = n
    out = 2
    bias = word_at(args + 8 * (count - 1))
{as_small_array("bias")}
    if count == 3 and (bias_ndim != 1 or bias_n != n or bias_dtype != x_dtype or bias_flags & {ALIGNED} == 0):
        fits = False
"""

# what `matrix_vector.form_of` finds, for a result in C order: the matrix's lines, and the bytes from one to the next,
# and from one to the next of what the other operand has for each of them
_FORM = f"""
    second = m == 1
    lines = k if second else m
    length = n if second else k
    apart = down if second else onward
    near = across if second else inward
    along = inward if second else down
    folds = not second
    if near != itemsize and apart == itemsize:
        lines = n if second else k
        length = k if second else m
        apart = near
        near = itemsize
        folds = second
    lined = stack == 1 and not deep and second != (n == 1) and near == itemsize and (along == itemsize or not folds)
    if lines < {FEWEST} or length < {SHORTEST}:
        lined = False
"""

_ADDED = f"""
    if count == 3:
        step = word_at(bias_strides)
        for i in range(m * n):
            to = word_at(y + {DATA}) + i * itemsize
            if itemsize == 8:
                float64_place(to)[0] += float64_place(bias_data + i % n * step)[0]
            else:
                float32_place(to)[0] += float32_place(bias_data + i % n * step)[0]
        clear_exceptions()
"""


def _product(operands: str, added: str = "") -> str:
    """Write the product of `stack` matrices of m by k elements and as many of k by n, and what is `added` to it."""
    return f"""{BEGIN}
{operands}
    entry = own
    itemsize = 4
    if x_dtype == word_at(api + {AT["float64"]}):
        entry = own + 16
        itemsize = 8
    elif x_dtype != word_at(api + {AT["float32"]}):
        fits = False
    if w_dtype != x_dtype or x_flags & w_flags & {ALIGNED} == 0:
        fits = False
    inward = word_at(x_strides + 8 * (x_ndim - 1))
    onward = word_at(x_strides + 8 * rows) if x_ndim > 1 else 0
{_FORM}
    if not lined and (stack * m * k * n > {MOST} or k > {LONGEST} or stack * m * n > {MOST}):
        fits = False
    if not fits:
{HAND_ON}
{new_array("y", "x_dtype", "out", "address(shape)")}
    pointers = int64_lanes()
    dims = int64_lanes()
    strides = int64_lanes()
    if lined:
        pointers[0] = 0
        pointers[1] = address(strides)
        pointers[2] = x_data
        pointers[3] = w_data
        pointers[4] = word_at(y + {DATA})
        dims[0] = 1
        dims[1] = {NEVER}
        strides[0] = lines
        strides[1] = length
        strides[2] = lines
        strides[3] = apart // itemsize
        strides[4] = 1 if folds else along // itemsize
        strides[5] = 1 if second else 0
        strides[6] = 1
        strides[7] = 1
        loop = word_at(word_at(own + 32) + 4 * itemsize - (8 if folds else 16))  # of `matrix_vector.KINDS`
        invoke_4(loop, (address(pointers), address(dims), address(strides), address(dims) + 8))
    else:
        pointers[0] = x_data
        pointers[1] = w_data
        pointers[2] = word_at(y + {DATA})
        dims[0] = stack
        dims[1] = m
        dims[2] = k
        dims[3] = n
        strides[0] = word_at(x_strides) if deep else 0
        strides[1] = word_at(w_strides) if deep else 0
        strides[2] = m * n * itemsize
        strides[3] = onward
        strides[4] = inward
        strides[5] = down
        strides[6] = across
        strides[7] = n * itemsize
        strides[8] = itemsize
        data = word_at(word_at(entry + 8))
        invoke_4(word_at(word_at(entry)), (address(pointers), address(dims), address(strides), data))
{added}
    return y
"""


_PRODUCT, _OF_LAYER = _product(_OPERANDS), _product(_LINEAR, _ADDED)


def _call(name: str, source: str) -> Call:
    loops = loops_of[kernel()]
    functions, data = ctypes.addressof(loops.functions), ctypes.addressof(loops.data)
    return Call(name, source, [functions, data, functions + 8, data + 8, ctypes.addressof(matrix_vector.places())])


@once
def product() -> Call:
    """Give ``(x, w)``: the product of small matrices or vectors, or of as many matrices each, of one floating dtype."""
    return _call("product", _PRODUCT)


@once
def linear() -> Call:
    """Give ``(x, weight)`` and ``(x, weight, bias)``: ``x @ weight.T``, and a bias for each column added."""
    return _call("linear", _OF_LAYER)
