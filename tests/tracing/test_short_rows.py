"""Short rows are computed for all rows at once: no array of them, the same values and gradients of both orders."""

import numpy as np
import pytest

import nbgrad
from nbgrad import value_and_grad
from nbgrad.tracing import short_rows

pytestmark = pytest.mark.usefixtures("kernels")

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(20, 3)), RANDOM.normal(size=(14, 3))
W, MEANS = RANDOM.normal(size=(14, 1)), RANDOM.normal(size=(5, 4))
POINTS = RANDOM.normal(size=(60, 4))


def pairs(x):
    difference = x[:, None] - x[None]
    square = (difference**2).sum(-1) + np.eye(len(x), dtype=x.dtype) + 1
    return (square**-6 - square**-3).sum()


def distances(x, y, w):
    return (np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1) + 1e-3) @ w).sum()


def forces(x, y):
    between = y[None] - x[:, None]
    distance = np.sqrt((between * between).sum(-1) + 0.1)
    return ((between / distance[..., None] ** 3).sum(1) ** 2).sum()


def mixture(means, scales, x):
    likelihood = -0.5 * (((x[:, None] - means) * np.exp(-scales)) ** 2).sum(-1) - scales.sum(-1)
    return nbgrad.logsumexp(likelihood, -1).mean()


def largest(x, y):
    return np.max(np.abs(x[:, None] - y[None]), -1).sum()


def classes(x, w, labels):
    """A softmax over four, which a product reads as an array."""
    score = x @ w
    return -(np.log(nbgrad.softmax(score, -1)) * labels).sum() + ((nbgrad.softmax(score, -1) @ w.T) ** 2).sum()


def normalised(x, scale):
    centred = x - np.mean(x, -1, keepdims=True)
    rows = centred / np.sqrt(np.mean(centred**2, -1, keepdims=True) + 1e-5) * scale
    return (np.tanh(rows) ** 2 * x).sum()


def of_the_middle(x):
    turned = x.reshape(6, 10, 4).transpose(0, 2, 1)
    return (np.mean(np.tanh(x.reshape(12, 5, 4)), 1) ** 2).sum() + (turned.sum(-1) ** 3).sum()


def turned(x, turns):
    """Rows that are put together of columns, step by step."""
    for a in turns:
        w, x0, y, z = (x[:, k] for k in range(4))
        x = x + 0.5 * np.stack([-x0 * a, w * a + y, z - x0 * a, w * z], 1)
        x = x / np.sqrt((x * x).sum(-1, keepdims=True))
    return (x[:, 0] ** 2).sum() + (x[:, 1] * x[:, 2]).sum()


def scaled(x, scale):
    """A sum over all of the short rows of pairs, for the scale's gradient."""
    return np.exp(-(((x[:, None] - x[None]) / scale) ** 2).sum(-1)).sum() + (np.tanh(x) * scale).sum() ** 2


PROGRAMS = {
    "turned": (turned, (POINTS, RANDOM.normal(size=(3, 60)))),
    "scaled": (scaled, (X, np.array(0.7))),
    "classes": (classes, (POINTS, MEANS[:4], POINTS[::-1] ** 2)),
    "normalised": (normalised, (POINTS, MEANS[0])),
    "of the middle": (of_the_middle, (POINTS,)),
    "pairs": (pairs, (X,)),
    "distances": (distances, (X, Y, W)),
    "forces": (forces, (X, Y)),
    "mixture": (mixture, (MEANS, MEANS[::-1] / 4, POINTS)),
    "largest": (largest, (X, Y)),
}


def gradients(function, count):
    return value_and_grad(function, tuple(range(count)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name, dtype):
    function, arrays = PROGRAMS[name]
    arrays = [x.astype(dtype) for x in arrays]
    both = gradients(function, len(arrays))
    found, wanted = nbgrad.jit(both)(*arrays), both(*arrays)
    limit = 1e-12 if dtype == "float64" else 2e-5
    for x, y in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        assert x.dtype == y.dtype == dtype and x.shape == y.shape
        np.testing.assert_allclose(x, y, limit, limit * np.abs(y).max())


@pytest.mark.parametrize("name", ["pairs", "mixture", "classes", "of the middle", "turned", "scaled"])
def test_second_gradients(name):
    function, arrays = PROGRAMS[name]

    def slopes(*arrays):
        return sum((np.tanh(g) ** 2).sum() for g in gradients(function, len(arrays))(*arrays)[1])

    both = gradients(slopes, len(arrays))
    found, wanted = nbgrad.jit(both)(*arrays), both(*arrays)
    for x, y in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(x, y, 1e-9, 1e-10 * np.abs(y).max())


@pytest.mark.parametrize("name", ["pairs", "distances", "forces", "mixture", "largest", "scaled"])
def test_no_array_of_short_rows(name):
    function, arrays = PROGRAMS[name]
    text = nbgrad.jit(gradients(function, len(arrays))).explain(*arrays)
    rows = [space for space in text.split("loop over (")[1:] if space.split(")")[0].count(",") == 2]
    largest = X.shape[0] * Y.shape[0] * 3
    assert all(np.prod([int(n) for n in space.split(")")[0].split(",") if n.strip()]) < largest for space in rows)
    if name == "pairs":
        assert f"{X.shape[0]}, {X.shape[0]})" in text and text.count("fold_add") == 1  # 7 x fold_add, in one loop


def test_rows_that_are_put_together_of_columns_are_never_there():
    function, arrays = PROGRAMS["turned"]
    text = nbgrad.jit(gradients(function, 2)).explain(*arrays)
    # the gradient of the first rows, of which the last term is read where it lies
    assert text.count("loop over (60, 4)") <= 2 < text.count("loop over (60,)")


def test_rows_that_are_repeated_are_folded_as_often():
    """What the seeds of random programs found, where they were let unroll few rows as well."""
    columns = RANDOM.normal(size=(2, 40))

    def repeated(x):
        rows = np.broadcast_to(x.T[:1], (40, 2))
        return (rows.sum(-1) ** 2).sum() + rows.sum(0).prod() + (x[0, 0] * x[1] > 0)[None].sum()

    for one, other in zip(
        nbgrad.jit(value_and_grad(repeated))(columns), value_and_grad(repeated)(columns), strict=True
    ):
        np.testing.assert_allclose(one, other, 1e-12, 1e-12)


def test_few_rows_and_long_ones_stay(monkeypatch):
    few, long = X[:4], RANDOM.normal(size=(20, 40))
    for x in (few, long):
        text = nbgrad.jit(value_and_grad(pairs)).explain(x)
        monkeypatch.setattr(short_rows, "_LEAST_ROWS", 10**9)
        assert nbgrad.jit(value_and_grad(pairs)).explain(x).count("loop over") == text.count("loop over")
        monkeypatch.undo()
