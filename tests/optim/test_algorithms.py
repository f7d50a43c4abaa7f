"""The formulas themselves: what a step is, from its definition in NumPy."""

import numpy as np
import pytest

import nbgrad
from nbgrad import optim


def test_adam_by_hand():
    x, g = np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.0, -3.0])
    v = nbgrad.Variable(x.copy())
    optimizer = optim.Adam([v], lr=0.1, betas=(0.8, 0.9), eps=1e-3)
    m = s = np.zeros(3)
    for t in (1, 2, 3):
        v.grad = nbgrad.Variable(g.copy(), requires_grad=False)
        optimizer.step()
        m, s = 0.8 * m + 0.2 * g, 0.9 * s + 0.1 * g * g
        x = x - 0.1 * m / (1 - 0.8**t) / (np.sqrt(s / (1 - 0.9**t)) + 1e-3)
        np.testing.assert_allclose(v.data, x, rtol=1e-13)


KINDS = ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Adadelta", "NAdam", "RAdam", "Adamax", "Rprop", "ASGD"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_one_goes_down(kind):
    x = nbgrad.tensor([1.0, -2.0], requires_grad=True)
    optimizer = getattr(optim, kind)([x], lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < 4.99
