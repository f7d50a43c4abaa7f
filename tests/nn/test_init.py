"""How parameters begin: the distributions of PyTorch's functions, and of its layers."""

import math

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn
from nbgrad.nn import init

BOUND = math.sqrt(6 / (400 + 50))
UNIFORM = {
    "uniform_": (lambda x: init.uniform_(x, -2, 3), -2, 3),
    "xavier_uniform_": (init.xavier_uniform_, -BOUND, BOUND),
    "kaiming_uniform_": (init.kaiming_uniform_, -math.sqrt(6 / 50), math.sqrt(6 / 50)),
    "kaiming_uniform_out": (
        lambda x: init.kaiming_uniform_(x, mode="fan_out"),
        -math.sqrt(6 / 400),
        math.sqrt(6 / 400),
    ),
    "Linear": (lambda x: nn.Linear(50, 400).weight, -1 / math.sqrt(50), 1 / math.sqrt(50)),
    "GRU": (lambda x: nn.GRU(50, 100).weight_ih_l0, -0.1, 0.1),
}
NORMAL = {
    "normal_": (lambda x: init.normal_(x, 1, 2), 1, 2),
    "xavier_normal_": (init.xavier_normal_, 0, math.sqrt(2 / 450)),
    "kaiming_normal_": (lambda x: init.kaiming_normal_(x, nonlinearity="relu"), 0, math.sqrt(2 / 50)),
    "Embedding": (lambda x: nn.Embedding(400, 50).weight, 0, 1),
}


@pytest.mark.parametrize("name", [*UNIFORM, *NORMAL])
def test_distributions(name):
    stats = peer("scipy.stats")
    fill, *figures = (UNIFORM | NORMAL)[name]
    x = nbgrad.zeros(400, 50)
    y = fill(x)
    if name.endswith("_"):
        assert y is x
    values = y.data.reshape(-1)
    shape = stats.uniform(figures[0], figures[1] - figures[0]) if name in UNIFORM else stats.norm(*figures)
    assert stats.kstest(values, shape.cdf).pvalue > 1e-3


def test_the_others():
    x = init.trunc_normal_(nbgrad.zeros(5000), 0, 1, -1, 0.5).data
    assert -1 <= x.min() < -0.99 and 0.49 < x.max() <= 0.5
    q = init.orthogonal_(nbgrad.zeros(3, 8), gain=2).data
    np.testing.assert_allclose(q @ q.T, 4 * np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(init.eye_(nbgrad.ones(2, 3)).data, np.eye(2, 3))
    sparse = init.sparse_(nbgrad.zeros(10, 4), 0.3).data
    assert ((sparse == 0).sum(0) == 3).all()
    torch = peer("torch")
    np.testing.assert_array_equal(
        init.dirac_(nbgrad.ones(6, 2, 3, 3), 2).data, torch.nn.init.dirac_(torch.ones(6, 2, 3, 3), 2).numpy()
    )
    for name, param in (("relu", None), ("tanh", None), ("leaky_relu", 0.2), ("conv2d", None), ("selu", None)):
        assert init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)
    assert init.ones_(nbgrad.zeros(2)).tolist() == [1, 1] and init.constant_(nbgrad.zeros(1), 3).tolist() == [3]


def test_refusals():
    for call in (
        lambda: init.xavier_normal_(nbgrad.zeros(3)),
        lambda: init.eye_(nbgrad.zeros(3)),
        lambda: init.calculate_gain("none"),
        lambda: init.kaiming_normal_(nbgrad.zeros(2, 2), mode="fan"),
        lambda: init.orthogonal_(nbgrad.zeros(3)),
    ):
        with pytest.raises(ValueError):
            call()


def test_seeds_and_generators_decide():
    nbgrad.manual_seed(1)
    first = nn.Linear(3, 3).weight.data.copy()
    nbgrad.manual_seed(1)
    np.testing.assert_array_equal(nn.Linear(3, 3).weight.data, first)
    generator = nbgrad.Generator().manual_seed(1)
    np.testing.assert_array_equal(
        init.kaiming_uniform_(nbgrad.zeros(3, 3), a=math.sqrt(5), generator=generator).data, first
    )
