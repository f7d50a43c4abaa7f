"""Views of views as compiled loops read them, where NumPy would copy in between and where it would not."""

import itertools

import numpy as np
import pytest

import nbgrad
from nbgrad.tracing.layout import access, can_reshape
from nbgrad.tracing.program import Program, View

A = np.arange(1.0, 25).reshape(2, 3, 4)

VIEWS = {
    "t": lambda x: x.transpose(tuple(reversed(range(x.ndim)))),
    "flat": lambda x: x.reshape(-1),
    "rows": lambda x: x.reshape(4, 6),
    "cube": lambda x: x.reshape(3, 2, 4),
    "swap": lambda x: np.swapaxes(x, 0, -1),
    "reversed": lambda x: x[..., ::-1],
    "from the end": lambda x: np.flip(x, 0),
    "new": lambda x: x[:, None],
    "twice": lambda x: np.broadcast_to(x, (2, *x.shape)).reshape(2, -1)[1].reshape(x.shape),
}
LAST = {"all": lambda x: x, "every other": lambda x: x[::2], "inner": lambda x: x[..., 1:], "turned": lambda x: x[::-1]}


def doubled(*steps):
    def function(x):
        for step in steps:
            x = step(x)
        return x * 2.0

    return function


@pytest.mark.parametrize("last", LAST)
def test_views_of_copies_are_read_where_they_are(last):
    for chain in itertools.product(VIEWS, repeat=2):
        for middle in ("flat", "rows"):
            function = doubled(VIEWS[chain[0]], VIEWS[middle], VIEWS[chain[1]], LAST[last])
            found, expected = nbgrad.jit(function)(A), function(A)
            np.testing.assert_array_equal(found, expected, err_msg=f"{chain[0]}, {middle}, {chain[1]}, {last}")


@pytest.mark.parametrize(
    "function",
    [
        lambda v: nbgrad.softmax(v.T.reshape(3, 8).T, -1),
        lambda v: nbgrad.amax(v.T.reshape(3, 8).T, 0),
        lambda v: nbgrad.prod(v, axis=(0, 2)),
        lambda v: nbgrad.swapaxes(nbgrad.permute(v.reshape(2, 3, 2, 2), (0, 2, 1, 3)).reshape(4, 3, 2), 1, 2) * 0.5,
        lambda v: nbgrad.matmul(v.T.reshape(6, 4).T, v.reshape(6, 4)),
    ],
)
def test_values_and_gradients_of_copied_views_are_the_eager_ones(function):
    weighted = nbgrad.value_and_grad(lambda v: (function(v) * nbgrad.cos(function(v))).sum())
    for dtype in (np.float64, np.float32):
        x = (A % 5 - 1).astype(dtype)
        for found, expected in zip(nbgrad.jit(weighted)(x), weighted(x), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-5)


def test_only_reshapings_that_no_view_gives_are_copied():
    program = Program()
    x = program.input((2, 3), np.float64)
    turned = program.add(View("transpose", (1, 0)), (x,), (3, 2), np.float64)
    assert access(turned).root is x and access(turned).strides == (1, 3)
    assert can_reshape(x, (6,)) and can_reshape(turned, (3, 1, 2)) and not can_reshape(turned, (6,))


def test_arrays_from_outside_are_read_as_they_lie_and_as_they_are():
    base = np.arange(12.0).reshape(3, 4)
    swapped = np.arange(4.0).astype(">f8")
    packed = np.zeros(4, [("flag", "i1"), ("value", "f8")])
    views = [base.T[:, 1], base[1, ::-1], np.broadcast_to(base[0, :1], 4), swapped, packed["value"]]
    for view in views:
        compiled = nbgrad.jit(lambda x, view=view: x * view)
        for value in (3.0, 5.0):
            base[...], swapped[...], packed["value"] = value, value, value
            np.testing.assert_array_equal(compiled(np.ones(len(view))), [value] * len(view))
