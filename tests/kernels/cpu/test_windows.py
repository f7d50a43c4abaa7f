"""Windows that move over images: loops against slices, and against what NumPy finds in each window."""

import itertools

import numpy as np
import pytest

from nbgrad.kernels import windows
from nbgrad.kernels.cpu.windows import columns, highest, overlapped
from nbgrad.kernels.windows import Frame

#: Sizes of images, windows, strides, elements before and behind, dilations, of one dimension.
LINES = [(5, 1, 1, 0, 0, 1), (6, 3, 1, 1, 1, 1), (7, 2, 3, 1, 0, 2), (4, 3, 2, 4, 3, 1), (19, 3, 1, 0, 0, 1)]


def frames(dims):
    """Give frames whose dimensions differ."""
    for lines in itertools.islice(itertools.product(LINES, repeat=dims), 0, None, 1 if dims < 3 else 11):
        yield Frame(*[tuple(line[i] for line in lines) for i in (0, 1, 2, 3, 5, 4)])


def images(frame, dtype, layout):
    x = np.random.default_rng(0).normal(size=(2, 3, *frame.size)).astype(dtype)
    return {"contiguous": x, "strided": x[..., ::-1], "swapped": np.array(x.swapaxes(0, 1)).swapaxes(0, 1)}[layout]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("layout", ["contiguous", "strided", "swapped"])
def test_columns_and_their_adjoint_are_those_of_slices(dims, layout):
    dtype = "float32" if layout == "contiguous" else "float64"
    for frame in frames(dims):
        x = images(frame, dtype, layout)
        seen = columns(x, frame)
        assert seen.dtype == dtype
        np.testing.assert_array_equal(seen, windows.columns(x, frame, np.zeros))
        g = np.random.default_rng(1).normal(size=seen.shape).astype(dtype)
        back = overlapped(g, frame)
        np.testing.assert_allclose(back, windows.overlapped(g, frame, np.zeros), rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose((seen.astype(float) * g).sum(), (x.astype(float) * back).sum(), rtol=2e-4, atol=1e-4)


def places_by_hand(x, frame):
    """Find the largest element that each window sees, element by element."""
    found = np.empty(frame.places, np.int64)
    for place in np.ndindex(frame.places):
        best = None
        for offsets in np.ndindex(frame.kernel):
            at = [p * s - b + o * d for p, s, b, o, d in zip(place, *frame[2:4], offsets, frame.dilation, strict=True)]
            if all(0 <= i < n for i, n in zip(at, frame.size, strict=True)):
                value = x[tuple(at)]
                if best is None or value > x[best] or value != value:
                    best = tuple(at)
        found[place] = np.ravel_multi_index(best, frame.size)
    return found


@pytest.mark.parametrize("frame", [
    Frame((7,), (3,), (2,), (1,), (1,), (1,)),
    Frame((5, 6), (2, 3), (1, 2), (1, 1), (2, 1), (0, 1)),
    Frame((4, 3, 5), (2, 2, 3), (2, 1, 1), (1, 0, 1), (1, 1, 2), (1, 1, 1)),
], ids=str)  # fmt: skip
def test_the_largest_is_the_first_of_equal_ones_or_nan(frame):
    x = np.random.default_rng(2).integers(0, 4, (2, 2, *frame.size)).astype("float32")
    x.reshape(-1)[[3, 11]] = np.nan, -np.inf
    y, where = highest(x, frame)
    for image in np.ndindex(2, 2):
        places = places_by_hand(x[image], frame)
        np.testing.assert_array_equal(where[image], places)
        np.testing.assert_array_equal(y[image], x[image].reshape(-1)[places])


def test_windows_without_images_and_images_without_windows():
    frame = Frame((3, 3), (2, 2), (1, 1), (0, 0), (1, 1), (0, 0))
    assert columns(np.zeros((0, 2, 3, 3)), frame).shape == (2, 2, 2, 0, 2, 2)
    assert overlapped(np.zeros((2, 2, 2, 0, 2, 2)), frame).shape == (0, 2, 3, 3)
    assert highest(np.zeros((0, 2, 3, 3)), frame)[1].shape == (0, 2, 2, 2)
    assert Frame((1,), (3,), (1,), (0,), (1,), (0,)).places == (0,)
    assert Frame((4,), (1,), (1,), (0,), (1,), (0,)).is_whole and not Frame((4,), (1,), (2,), (0,), (1,), (0,)).is_whole
