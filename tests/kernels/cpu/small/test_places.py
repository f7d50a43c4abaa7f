"""Elements at places: what the compiled calls give, and what they hand on."""

import numpy as np
import pytest

from nbgrad.kernels.cpu import ndarray, small

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")

HANDED_ON = object()
X = np.arange(6.0).reshape(2, 3)
LOWEST, HIGHEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
PLACES = np.array([[5, -1], [0, 2]])


def call(name, *given):
    return getattr(small.places, name)().function(lambda *given: HANDED_ON)(*given)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "layout", [lambda x: x, np.asfortranarray, lambda x: x[::-1, ::-1], lambda x: np.broadcast_to(x[0, 0], x.shape)]
)
def test_elements_go_where_places_say(dtype, layout):
    x = layout(X.astype(dtype))
    v = layout(np.arange(4.0, dtype=dtype).reshape(2, 2) + 7)
    inside = PLACES >= 0
    np.testing.assert_array_equal(call("at", x, PLACES), np.where(inside, x.reshape(-1)[PLACES], 0))
    added, written, filled = np.zeros(6), x.reshape(-1).copy(), x.reshape(-1).copy()
    np.add.at(added, PLACES[inside], v[inside])
    written[PLACES[inside]] = v[inside]
    filled[PLACES[inside]] = 0.5
    for name, given, expected in (
        ("add", (v, PLACES, (2, 3)), added),
        ("write", (x, v, PLACES), written),
        ("fill", (x, PLACES, 0.5), filled),
    ):
        found = call(name, *given)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected.reshape(2, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shares_are_added_up(dtype):
    table = np.random.default_rng(0).standard_normal((4, 6)) * (np.arange(6) % 2)
    places, taken = map(np.ascontiguousarray, np.nonzero(table))
    found = call("sums", X.astype(dtype), places, taken, table[places, taken], (2, 2))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.reshape(-1), table @ X.reshape(-1), 1e-6 if dtype == "float32" else 1e-14)


def test_positions_become_places():
    shape = (2, 3, 4)
    numbers = np.arange(24).reshape(shape)
    for axis, size in enumerate(shape):
        positions = np.array([size - 1, 0, 1])
        found = call("found", positions, shape, axis, True)
        np.testing.assert_array_equal(found, numbers.take(positions, axis))
        each = np.random.default_rng(axis).integers(0, size, (2, 2, 3))
        inner = numbers[tuple(slice(None) if i == axis else slice(0, n) for i, n in enumerate(each.shape))]
        np.testing.assert_array_equal(call("found", each, shape, axis, False), np.take_along_axis(inner, each, axis))
    np.testing.assert_array_equal(call("last", np.array([[1, 2], [1, 0]]), 3), [[-1, 2], [1, 0]])


@pytest.mark.parametrize(
    "name, given",
    [
        ("at", (X, np.array([6]))),
        ("at", (X, np.array([-2]))),
        ("at", (X, np.array([5, LOWEST]))),
        ("at", (X, np.array([HIGHEST, 5]))),
        ("at", (X, PLACES.astype(np.int32))),
        ("at", (X.astype(np.float16), PLACES)),
        ("at", (X, PLACES[:, ::-1])),
        ("add", (X, PLACES, (2, 3))),
        ("add", (np.ones(4), PLACES, (2, -3))),
        ("write", (X, np.ones(3), PLACES)),
        ("write", (X, np.ones(4, np.float32), PLACES)),
        ("fill", (X, PLACES, 1)),
        ("sums", (X, np.array([0]), np.array([6]), np.ones(1), (2,))),
        ("sums", (X, np.array([2]), np.array([0]), np.ones(1), (2,))),
        ("sums", (X, np.array([0]), np.array([0]), np.ones(2), (2,))),
        ("found", (np.array([3]), (2, 3), 1, True)),
        ("found", (np.array([-1]), (2, 3), 1, True)),
        ("found", (np.array([LOWEST, 2]), (2, 3), 1, True)),
        ("found", (np.array([HIGHEST, 2]), (2, 3), 1, True)),
        ("found", (np.array([0]), (2, 3), 2, True)),
        ("found", (np.array([[0], [0], [0]]), (2, 3), 1, False)),
        ("last", (np.array([3]), 3)),
        ("at", (X,)),
    ],
)
def test_what_is_not_known_is_handed_on(name, given):
    assert call(name, *given) is HANDED_ON


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_of_the_largest_is_found(dtype):
    x = np.array([1.0, 3.0, 3.0, -np.inf, np.nan, np.nan], dtype)
    rows = np.array([[0, 1, 2], [3, -1, -1], [-1, 3, 0], [1, 4, 5], [-1, -1, -1]])
    np.testing.assert_array_equal(call("largest", x, rows), [1, 3, 0, 4, -1])
    assert call("largest", x, np.array(0)) is HANDED_ON
    assert call("largest", np.arange(6), rows) is HANDED_ON
