"""Sets of elements through the graph: never less than what finite differences see, and no more where that is known."""

import cases
import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.nn import functional as F
from nbgrad.sparse.patterns import pattern_of

X = cases.draw(cases.ANY, (3, 4))
PLACES = np.array([2, 0, 2])

#: Functions of a (3, 4) array whose sets are known exactly: where the Jacobian is not 0.
EXACT = {
    "elementwise": lambda x: nbgrad.tanh(x) * x + 2.0,
    "broadcast": lambda x: x[:, :1] * x[1],
    "a constant factor": lambda x: x * nbgrad.tensor(np.ones((3, 4))) + nbgrad.sign(x) * x[0, 0] * 3.0,
    "moved": lambda x: x.reshape(4, 3).permute(1, 0)[::-1],
    "stretched": lambda x: nbgrad.broadcast_to(x[1], (2, 4)),
    "picked": lambda x: x[PLACES, PLACES] * x[PLACES][:, 1],
    "masked": lambda x: x[np.arange(12).reshape(3, 4) % 3 == 1],
    "joined": lambda x: nbgrad.cat([x, nbgrad.zeros(1, 4), x[:1] * 2]),
    "stacked": lambda x: nbgrad.stack([x[0], nbgrad.ones(4), x[1]], 1),
    "summed to": lambda x: nbgrad.sum_to(x, (3, 1)),
    "reduced": lambda x: x.sum(0) * x.mean(0, keepdim=True),
    "softmax": lambda x: nbgrad.softmax(x, 1),
    "log-sum-exp": lambda x: nbgrad.logsumexp(x, 1),
    "a variance": lambda x: nbgrad.var(x, 0),
    "a matrix product": lambda x: x @ np.ones((4, 2)) * 1.5,
    "of two": lambda x: x[:, :2] @ x[1:, 2:],
    "by a vector": lambda x: x[:2] @ x[2],
    "a vector by": lambda x: x[:, 0] @ x,
    "stacks": lambda x: nbgrad.stack([x, x * 2]) @ nbgrad.ones(4, 2),
    "linear": lambda x: F.linear(x, nbgrad.ones(2, 4), nbgrad.ones(2)),
    "linear in its weights": lambda x: F.linear(nbgrad.ones(2, 4), x, x[:, 0]),
    "layer_norm": lambda x: F.layer_norm(x, (4,), x[0], x[1]),
    "another dtype": lambda x: x.astype(np.float32).astype(np.float64),
    "diff": lambda x: nbgrad.diff(x, dim=1),
    "gradients of rows": lambda x: nbgrad.autograd.grad((x[PLACES] ** 3).sum(), x, create_graph=True)[0],
    "gradients of slices": lambda x: nbgrad.autograd.grad((x[1:] * x[:-1]).sum(), x, create_graph=True)[0],
}

#: Others, of which more is taken than there is.
AT_LEAST = {
    "cumsum": lambda x: nbgrad.cumsum(x, 1),
    "a loss": lambda x: F.mse_loss(x, x * x),
    "an inverse": lambda x: np.linalg.inv(x[:, :3] @ x[:, :3].T + nbgrad.tensor(np.eye(3))),
    "singular values": lambda x: np.linalg.svd(x, False)[1],
    "a convolution": lambda x: np.convolve(x[0], x[1]),
    "a maximum": lambda x: nbgrad.max(x, 1)[0],
    "a write": lambda x: _written(x),
}


def _written(x):
    y = x * 1.0
    y[0] = x[1] * 2
    y[1, 1] = 7.0
    return y


def of(function):
    x = Variable(X.copy())
    y = function(x)
    found = pattern_of([y], x)
    dense = nbgrad.func.jacrev(function)(X).reshape(y.size, 12)
    return found.toarray().astype(bool), dense != 0


@pytest.mark.parametrize("name", EXACT)
def test_what_is_known_exactly(name):
    peer("scipy.sparse")
    found, expected = of(EXACT[name])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", AT_LEAST)
def test_nothing_is_left_out(name):
    peer("scipy.sparse")
    found, expected = of(AT_LEAST[name])
    assert (found | ~expected).all()
    assert name != "a write" or (found == expected).all()


def test_random_programs():
    peer("scipy.sparse")
    random = np.random.default_rng(0)
    steps = [*EXACT.values(), *AT_LEAST.values()]
    for _ in range(12):
        first, second = (steps[random.integers(len(steps))] for _ in range(2))

        def program(x, first=first, second=second):
            y = first(x).reshape(-1)
            z = nbgrad.cat([y] * (12 // y.size + 1))[:12].reshape(3, 4) if y.size < 12 else y[:12].reshape(3, 4)
            return second(z * x)

        found, expected = of(program)
        assert (found | ~expected).all()


def test_functions_of_users_and_what_does_not_depend():
    peer("scipy.sparse")

    class Own(nbgrad.Function):
        def forward(self, x, y):
            return x * 2, y.sum()

        def backward(self, g, h):
            return g * 2, h * np.ones(4)

    x = Variable(X[0].copy())
    first, second = Own()(x, x[:1])
    found = pattern_of([first, second, nbgrad.ones(2), x[1:2]], x).toarray()
    assert found.shape == (8, 4)
    assert found[:5].all() and not found[5:7].any() and found[7].tolist() == [0, 1, 0, 0]
