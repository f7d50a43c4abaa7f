import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn
from nbgrad.nn import utils


def leaves(*gradients):
    found = [nbgrad.zeros(*np.shape(g), requires_grad=True) for g in gradients]
    for x, g in zip(found, gradients, strict=True):
        x.grad = nbgrad.tensor(g)
    return [*found, nbgrad.zeros(1, requires_grad=True)]  # one without a gradient


@pytest.mark.parametrize("kind", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("most", [1.0, 100.0])
def test_gradients_are_scaled_as_by_pytorch(kind, most):
    torch = peer("torch")
    given = [np.array([3.0, -4.0]), np.array([[1.0, 2.0], [0.5, 5.0]])]
    ours, theirs = leaves(*given), [torch.zeros(g.shape, dtype=torch.float64) for g in given]
    for x, g in zip(theirs, given, strict=True):
        x.grad = torch.tensor(g)
    found, expected = utils.clip_grad_norm_(ours, most, kind), torch.nn.utils.clip_grad_norm_(theirs, most, kind)
    assert float(found) == pytest.approx(float(expected))
    for x, t in zip(ours, theirs, strict=False):
        np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-12)


def test_gradients_that_are_not_finite():
    xs = leaves(np.array([np.nan, 1.0]))
    with pytest.raises(RuntimeError, match=r"total norm of order 2\.0 for gradients is non-finite"):
        utils.clip_grad_norm_(xs, 1.0, error_if_nonfinite=True)
    assert xs[0].grad.data[1] == 1
    assert np.isnan(float(utils.clip_grad_norm_(xs, 1.0)))
    assert float(utils.clip_grad_norm_([nbgrad.zeros(1, requires_grad=True)], 1.0)) == 0


def test_values_and_vectors():
    xs = leaves(np.array([3.0, -4.0]))
    utils.clip_grad_value_(xs, 2.0)
    assert xs[0].grad.tolist() == [2, -2]
    layer = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (9,)
    utils.vector_to_parameters(vector * 0 + 1, layer.parameters())
    assert (layer.weight.data == 1).all() and (layer.bias.data == 1).all()
    with pytest.raises(ValueError, match="a vector of 9 elements is wanted"):
        utils.vector_to_parameters(nbgrad.zeros(8), layer.parameters())
