"""Small scans: the bits that NumPy's way gives, or handed on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, SHAPES, array, assert_same
from test_views import HANDED_ON, call

from nbgrad.kernels import scans as declared
from nbgrad.kernels.cpu import ndarray
from nbgrad.kernels.cpu.scan import scan_array
from nbgrad.kernels.cpu.small import scans

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")

layouts = st.sampled_from(sorted(LAYOUTS))
shapes = st.sampled_from([*SHAPES, (70,), (3, 70), (70, 3), (2, 9, 20)])
NAMES = ["cumsum", "logcumsumexp", "cummax", "cummin"]


@given(st.sampled_from(NAMES), shapes, layouts, st.sampled_from("fdl?"), st.integers(-1, 3), st.booleans())
@settings(max_examples=300)
def test_scans_have_the_same_bits_either_way(name, shape, layout, dtype, axis, backwards):
    scan = declared.TABLE[name]
    x = array(shape, layout, dtype)
    found = call(scans.scan(scan))(x, axis, backwards)
    if found is HANDED_ON:
        known = dtype in ("fd" if scan.floating else "fdl?")
        assert not (known and 0 <= axis < x.ndim and x.size and layout == "contiguous")
        return
    expected = scan_array(name, x, axis, backwards)
    assert_same(found, expected[1] if scan.places else expected)


@pytest.mark.parametrize("wrong", [(0.0, False), (0, 0), (0,), (0, None), (None, False), (0, False, 1)], ids=repr)
def test_what_is_no_axis_is_handed_on(wrong):
    assert call(scans.scan(declared.TABLE["cumsum"]))(np.ones(3), *wrong) is HANDED_ON
