"""Convolutions without columns against sums of products, by other kernels and on other layouts; and what they take."""

import numpy as np
import pytest

import nbgrad
from nbgrad.kernels.cpu import direct
from nbgrad.kernels.windows import Frame, columns

FRAMES = [
    Frame((9, 10), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)),
    Frame((9, 10), (2, 3), (1, 1), (0, 1), (2, 1), (2, 0)),
    Frame((12,), (3,), (1,), (1,), (2,), (3,)),
]
RNG = np.random.default_rng(0)


def plainly(x, weight, frame):
    """Give the sum over channels and elements of the window, and how it depends on each of the two."""
    seen = columns(x, frame, np.zeros)
    flat = seen.reshape(-1, x.shape[0], *frame.places)
    w = weight.reshape(len(weight), -1)
    return np.einsum("ot,tn...->no...", w, flat), flat


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("channels", [(1, 6), (3, 4)])
def test_all_three_are_the_sums_of_products(frame, channels):
    x = RNG.normal(size=(5, channels[0], *frame.size)).swapaxes(0, 1).copy().swapaxes(0, 1)  # samples not outermost
    weight = RNG.normal(size=(channels[1], channels[0], *frame.kernel))
    assert direct.fits(frame, 1, channels)
    expected, seen = plainly(x, weight, frame)
    np.testing.assert_allclose(direct.output(x, weight, frame), expected, rtol=1e-12, atol=1e-12)
    gy = RNG.normal(size=expected.shape)
    places = (*gy.shape[:2], -1), (*seen.shape[:2], -1)
    gw = np.einsum("nop,tnp->ot", gy.reshape(places[0]), seen.reshape(places[1])).reshape(weight.shape)
    np.testing.assert_allclose(direct.weight(x, gy, frame), gw, rtol=1e-11, atol=1e-11)
    if direct.fits_back(frame, 1, channels):
        back = direct.input(weight, gy, frame)
        np.testing.assert_allclose((back * x).sum(), (expected * gy).sum(), rtol=1e-10)
        one = np.zeros_like(x)
        one[2, -1, ..., 3] = 1
        np.testing.assert_allclose((back * one).sum(), (plainly(one, weight, frame)[0] * gy).sum(), rtol=1e-10)


def test_float32_threads_and_many_samples():
    frame = FRAMES[0]
    x, weight = (RNG.normal(size=shape).astype(np.float32) for shape in ((700, 2, 9, 10), (4, 2, 3, 3)))
    found, before = [], nbgrad.get_num_threads()
    try:
        for threads in (1, 3):
            nbgrad.set_num_threads(threads)
            y = direct.output(x, weight, frame)
            found.append((y, direct.weight(x, y, frame), direct.input(weight, y, frame)))
    finally:
        nbgrad.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(found[0][0], plainly(x, weight, frame)[0], rtol=1e-4, atol=1e-5)


def test_what_is_left_to_others():
    frame = FRAMES[0]
    assert direct.fits_back(frame, 1, (3, 4))
    for other in (
        frame._replace(stride=(1, 2)),
        frame._replace(kernel=(1, 1)),
        frame._replace(behind=(1, -1)),
        frame._replace(size=(9, 5)),
        Frame(*[(3, *part) for part in frame]),
    ):
        assert not direct.fits(other, 1, (3, 4)) and not direct.fits_back(other, 1, (3, 4))
    assert not direct.fits(frame, 2, (4, 4)) and not direct.fits(frame, 1, (64, 64))
    assert not direct.fits_back(frame._replace(before=(3, 1)), 1, (3, 4))


def test_many_channels_take_many_places():
    def square(size):
        return Frame((size, size), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))

    assert direct.fits(square(28), 1, (64, 64)) and not direct.fits(square(14), 1, (64, 64))
    assert direct.fits(square(14), 1, (32, 64)) and not direct.fits(square(28), 1, (128, 128))
