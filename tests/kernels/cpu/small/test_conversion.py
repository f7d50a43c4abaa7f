"""Conversions of small arrays: NumPy's, or handed on where it would warn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, SHAPES, array, assert_same
from test_views import HANDED_ON, call

from nbgrad.kernels.cpu import ndarray
from nbgrad.kernels.cpu.small import conversion

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")

DTYPES = "?bhilBHILefd"
#: Of which many are at the edges of dtypes, and beyond.
NUMBERS = [0.0, -0.0, 0.5, -0.5, -1.0, 1e-300, 1e-42, 127.0, 128.0, -129.0, 255.9, 32768.0, 65504.0, 65519.0, 65521.0]
NUMBERS += [
    2.0**31 - 1,
    2.0**31,
    -(2.0**31) - 1,
    2.0**53 + 2,
    2.0**63,
    -(2.0**63),
    2.0**64,
    3.5e38,
    1e300,
    np.inf,
    np.nan,
]


@given(st.lists(st.sampled_from(NUMBERS), max_size=3), st.sampled_from("fd"), st.sampled_from(DTYPES))
@settings(max_examples=400)
def test_numbers_are_converted_unless_numpy_would_warn(numbers, source, target):
    with np.errstate(all="ignore"):
        x = np.array(numbers, source)
    found = call(conversion.cast())(x, np.dtype(target))
    if found is HANDED_ON:
        assert numbers
        return
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        assert_same(found, x.astype(target))


@given(st.sampled_from(SHAPES), st.sampled_from(sorted(LAYOUTS)), st.sampled_from(DTYPES), st.sampled_from(DTYPES))
@settings(max_examples=200)
def test_arrays_are_converted_as_by_numpy(shape, layout, source, target):
    x = np.abs(array(shape, layout, "d")).astype(source) if source in "?BHIL" else array(shape, layout, source)
    found = call(conversion.cast())(x, np.dtype(target))
    if found is not HANDED_ON:
        assert found is not x
        assert_same(found, x.astype(target))


def test_what_is_no_dtype_or_not_small_is_handed_on():
    cast = call(conversion.cast())
    for wrong in (None, "f", np.float32, np.dtype(">f4"), np.dtype("U1"), np.dtype(complex)):
        assert cast(np.ones(2), wrong) is HANDED_ON
    assert cast(np.ones(5000), np.dtype("f")) is HANDED_ON and cast([1.0], np.dtype("f")) is HANDED_ON
    assert cast(np.ones(2)) is HANDED_ON and cast(np.ones(2, complex), np.dtype("f")) is HANDED_ON
