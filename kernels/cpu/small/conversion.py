"""Elements of small arrays converted to other dtypes, by NumPy, where it would have nothing to warn of."""

from __future__ import annotations

import math
from functools import cache as once

import numpy as np

from ..ndarray import ALIGNED, CONTIGUOUS, IN_FORTRANS_ORDER
from .calls import AT, BEGIN, HAND_ON, Call, as_small_array

#: Of dtypes to convert to: the numbers that there is nothing to warn of, and the smallest of them besides 0.
_RANGES = {
    "f": (-3.4e38, 3.4e38, 1.2e-38),
    "d": (-math.inf, math.inf, 0.0),
    "e": (-65504.0, 65504.0, 6.2e-5),
    "?": (-math.inf, math.inf, 0.0),
    **{
        code: (float(-(2**bits)), 2.0**bits * (1 - 2.0**-20) - 1, 0.0)
        for code, bits in zip("bhil", (7, 15, 31, 63), strict=True)
    },
    **{code: (0.0, 2.0**bits * (1 - 2.0**-20) - 1, 0.0) for code, bits in zip("BHIL", (8, 16, 32, 64), strict=True)},
}
#: Dtypes of whole numbers and truth values, which any dtype takes.
_WHOLE = "?bhilBHIL"

# own words: 0 how many dtypes there are to convert to; for each of these, from 8 on, the dtype, the least and the
# largest number of it and the smallest one besides 0 that converting says nothing about; then dtypes of whole numbers
_CAST = f"""{BEGIN}
    fits = count == 2
    if not fits:
{HAND_ON}
    x = word_at(args)
    dtype = word_at(args + 8)
{as_small_array("x")}
    known = word_at(own)
    entry = own + 8
    last_entry = entry + 32 * (known - 1)
    while entry < last_entry and dtype != word_at(entry):
        entry += 32
    if dtype != word_at(entry):
        fits = False
    if x_flags & {ALIGNED} == 0 or x_flags & {CONTIGUOUS | IN_FORTRANS_ORDER} == 0:
        fits = False
    if fits:
        if x_dtype == word_at(api + {AT["float64"]}) or x_dtype == word_at(api + {AT["float32"]}):
            low = float64_place(entry + 8)[0]
            high = float64_place(entry + 16)[0]
            least = float64_place(entry + 24)[0]
            for i in range(x_n):
                value = 0.0
                if x_dtype == word_at(api + {AT["float64"]}):
                    value = float64_place(x_data + 8 * i)[0]
                else:
                    value = float64(float32_place(x_data + 4 * i)[0])
                size = abs(value)
                if not (value >= low) or not (value <= high) or (size < least and size > 0.0):
                    fits = False
        else:
            place = last_entry + 32
            end = place + {8 * len(_WHOLE)}
            while place < end and x_dtype != word_at(place):
                place += 8
            if place == end:
                fits = False
    if not fits:
{HAND_ON}
    invoke_1(word_at(api + {AT["Py_IncRef"]}), (dtype,))
    fortran = 0
    if x_flags & {CONTIGUOUS} == 0:
        fortran = 1
    return invoke_3(word_at(api + {AT["PyArray_CastToType"]}), (x, dtype, fortran))
"""


@once
def cast() -> Call:
    """Give ``(x, dtype)``: the elements in another dtype, where NumPy would have nothing to warn of."""
    words = [len(_RANGES)]
    dtypes = [np.dtype(code) for code in (*_RANGES, *_WHOLE)]
    for dtype, numbers in zip(dtypes, _RANGES.values(), strict=False):
        words += [id(dtype), *np.array(numbers, np.float64).view(np.int64).tolist()]
    return Call("cast", _CAST, [*words, *map(id, dtypes[len(_RANGES) :])], dtypes)
