"""Gates of LSTM in one loop, against the same formulas by NumPy, on rows that lie apart."""

import numpy as np
import pytest

from nbgrad.nn import recurrence

RNG = np.random.default_rng(0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-5), ("float64", 1e-12)])
def test_a_step_forth_and_back(dtype, limit):
    batch, size = 5, 7
    sums, more = (RNG.normal(size=(batch, 2, 4 * size)).astype(dtype)[:, 1] for _ in range(2))  # every other row
    before = RNG.normal(size=(batch, size)).astype(dtype)
    gates = np.empty((4, batch, size), dtype)
    after, y = np.empty((2, batch, size), dtype)
    recurrence._forward()(sums, more, before, out=(gates.transpose(1, 0, 2), after, y))
    first, forget, proposed, last = np.split(sums.astype(float) + more, 4, axis=1)
    kept = [sigmoid(first), sigmoid(forget), np.tanh(proposed), sigmoid(last)]
    memory = kept[1] * before + kept[0] * kept[2]
    np.testing.assert_allclose(gates, kept, rtol=limit, atol=limit)
    np.testing.assert_allclose(after, memory, rtol=limit, atol=limit)
    np.testing.assert_allclose(y, kept[3] * np.tanh(memory), rtol=limit, atol=limit)
    gy, other, gc = RNG.normal(size=(3, batch, size)).astype(dtype)
    slopes, earlier = np.empty((batch, 4 * size), dtype), np.empty((batch, size), dtype)
    recurrence._backward()(gy, other, gc, gates.transpose(1, 0, 2), before, after, out=(slopes, earlier))
    along, curved = gy.astype(float) + other, np.tanh(memory)
    c = gc + along * kept[3] * (1 - curved**2)
    expected = [c * kept[2], c * before, c * kept[0], along * curved]
    inner = [kept[0] * (1 - kept[0]), kept[1] * (1 - kept[1]), 1 - kept[2] ** 2, kept[3] * (1 - kept[3])]
    whole = np.concatenate([e * i for e, i in zip(expected, inner, strict=True)], 1)
    np.testing.assert_allclose(slopes, whole, rtol=limit * 10, atol=limit * 10)
    np.testing.assert_allclose(earlier, c * kept[1], rtol=limit * 10, atol=limit * 10)
