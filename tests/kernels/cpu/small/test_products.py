"""Small products in one call: the bits of the loop, or handed on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, array, assert_same
from test_views import HANDED_ON, call

from nbgrad.kernels.cpu import matrix_vector, ndarray, products
from nbgrad.kernels.cpu.small import products as small
from nbgrad.kernels.cpu.small.calls import SMALL

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")
layouts = st.sampled_from(sorted(LAYOUTS))
shapes = st.lists(st.sampled_from([0, 1, 3, 5, 9, 70]), max_size=3).map(tuple)


def multiplied(x, w):
    """Give the bits that there are to be: those of lines, or of the loop for what is small."""
    found = matrix_vector.multiply(x, w) if max(x.size, w.size) <= SMALL else None
    return products.multiply(x, w) if found is None else found


@given(shapes, shapes, layouts, layouts, st.sampled_from("fdi"))
@settings(max_examples=300)
def test_products_have_the_same_bits_either_way(first, second, one, other, dtype):
    if len(first) == len(second) == 3:
        first, second = (2, *first[1:]), (2, first[-1], second[-1])
    elif first and second:
        second = (first[-1], *second[1:])
    x, w = array(first, one, dtype), array(second, other, dtype, 1)
    found, expected = call(small.product())(x, w), multiplied(x, w)
    if found is not HANDED_ON:
        assert_same(found, expected)
    else:
        assert expected is None or {one, other} & {"misaligned", "big-endian", "subclass", "large"}


def test_operands_that_are_no_arrays_are_handed_on():
    product = call(small.product())
    for arguments in ((), (np.ones(2),), (np.ones(2), 1.0), ([1.0], np.ones(1)), (np.ones(2), np.ones(2), None)):
        assert product(*arguments) is HANDED_ON


@given(st.sampled_from([(1, 3, 4), (5, 1, 9), (0, 2, 3), (20, 70, 3)]), layouts, layouts, st.sampled_from("fd"))
@settings(max_examples=100)
def test_maps_have_the_bits_of_product_and_sum(sizes, one, other, dtype):
    m, k, n = sizes
    x, weight, bias = array((m, k), one, dtype), array((n, k), other, dtype, 1), array((n,), one, dtype, 2)
    linear = call(small.linear())
    expected = multiplied(x, weight.T)
    for found, bits in ((linear(x, weight), expected), (linear(x, weight, bias), None)):
        if found is HANDED_ON:
            assert expected is None or {one, other} & {"misaligned", "big-endian", "subclass", "large"}
        else:
            assert_same(found, expected + bias if bits is None else bits)
    assert linear(x, weight, bias[:-1]) is HANDED_ON and linear(x, weight[:, 1:], bias) is HANDED_ON
    assert linear(x, bias) is HANDED_ON and linear(x) is HANDED_ON and linear(x, weight, None) is HANDED_ON
