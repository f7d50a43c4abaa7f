"""Shapes that broadcast, and axes in another order, up to as many dimensions as arrays have."""

import numpy as np
import pytest

from nbgrad.kernels.shapes import broadcast_shapes, numbered_axes, order_of_axes


@pytest.mark.parametrize("ndim", [1, 4, 32, 33, 64])
def test_shapes_broadcast_as_numpys_arrays_do(ndim):
    for shapes in [((1,) * ndim, (3,)), ((2, *(1,) * (ndim - 1)), (1,), ()), ((0, *(1,) * (ndim - 1)), (1,) * ndim)]:
        arrays = [np.broadcast_to(np.int8(0), shape) for shape in shapes]
        assert broadcast_shapes(*shapes) == sum(arrays).shape
    with pytest.raises(ValueError, match="do not broadcast"):
        broadcast_shapes((2,) * ndim, (3,))
    assert broadcast_shapes() == ()


@pytest.mark.parametrize("ndim", [2, 33, 64])
def test_axes_are_known_again(ndim):
    axes = numbered_axes(ndim)
    assert order_of_axes(axes.T) == tuple(range(ndim))[::-1]
    assert order_of_axes(np.moveaxis(axes, 0, -1)) == (*range(1, ndim), 0)
    assert [stride < 0 for stride in np.flip(axes, (0, -1)).strides] == [True, *[False] * (ndim - 2), True]
    assert order_of_axes(numbered_axes(0)) == ()
