"""Looking inside of what was compiled."""

import numpy as np

import nbgrad

X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)


def test_looking_inside():
    compiled = nbgrad.jit(nbgrad.value_and_grad(lambda x, w: (nbgrad.tanh(x @ w) ** 2).sum(), (0, 1)))
    w = np.ones((4, 2))
    text = compiled.explain(X, w)
    assert "dot" in text
    assert "tanh" in text
    assert "fold_add" in text
    source = compiled.source(X, w)
    assert "def loop(args, dims, steps, data):" in source
    assert "def run(x0, x1):" in source
