"""Gradients that are recorded, to third order."""

import numpy as np
import pytest
from graphs import scalar, vector
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.autograd import grad

CLOSED_FORMS = [
    ("x**4", lambda x: x**4, [lambda x: 4 * x**3, lambda x: 12 * x**2, lambda x: 24 * x]),
    ("sin", nbgrad.sin, [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)]),
    ("exp(2x)", lambda x: nbgrad.exp(2 * x), [lambda x, k=k: 2**k * np.exp(2 * x) for k in (1, 2, 3)]),
    ("1/x", lambda x: 1 / x, [lambda x: -1 / x**2, lambda x: 2 / x**3, lambda x: -6 / x**4]),
    ("log", nbgrad.log, [lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3]),
    ("x*exp(x)", lambda x: x * nbgrad.exp(x), [lambda x, k=k: (x + k) * np.exp(x) for k in (1, 2, 3)]),
]


@pytest.mark.parametrize(("name", "function", "derivatives"), CLOSED_FORMS, ids=[c[0] for c in CLOSED_FORMS])
@pytest.mark.parametrize("way", ["grad", "backward"])
def test_derivatives_to_third_order_have_their_closed_forms(name, function, derivatives, way):
    x = vector(0.7, 1.3, 2.1)
    value = function(x)
    for closed_form in derivatives:
        if way == "grad":
            (value,) = grad(value.sum(), x, create_graph=True)
        else:
            x.cleargrad()
            value.sum().backward(create_graph=True)
            value = x.grad
            assert value.requires_grad
        np.testing.assert_allclose(value.data, closed_form(x.data), rtol=1e-11)


def test_mixed_third_derivatives_agree_with_torch():
    torch = peer("torch")
    a, b = np.array([0.5, -1.2, 0.3]), np.array([[1.0], [0.4]])

    def third(library, x, y, differentiate):
        value = (library.tanh(x * y) * library.exp(x) + x * x * y).sum()
        (gx,) = differentiate(value, x, create_graph=True)
        (gxy,) = differentiate((gx * gx).sum(), y, create_graph=True)
        return differentiate((gxy * y).sum(), [x, y])

    mine = third(nbgrad, Variable(a), Variable(b), grad)
    expected = third(
        torch, torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True), torch.autograd.grad
    )
    for g, p in zip(mine, expected, strict=True):
        np.testing.assert_allclose(g.data, p.numpy(), rtol=1e-9)


def test_recorded_gradients_accumulate():
    x = scalar(2.0)
    (x**3).backward(create_graph=True)
    (x**2).backward(create_graph=True)
    assert x.grad.data == 12 + 4
    (second,) = grad(x.grad, x)
    assert second.data == 12 + 2


def test_a_gradient_penalty_agrees_with_torch():
    torch = peer("torch")
    weights, points = np.random.default_rng(0).normal(size=(3, 2)), np.random.default_rng(1).normal(size=(4, 3))

    w, x = Variable(weights), Variable(points)
    y = nbgrad.tanh(x @ w).sum()
    y.backward(create_graph=True)
    gx = x.grad
    x.cleargrad()
    w.cleargrad()
    ((gx * gx).sum() + y).backward()

    tw, tx = torch.tensor(weights, requires_grad=True), torch.tensor(points, requires_grad=True)
    ty = torch.tanh(tx @ tw).sum()
    (tgx,) = torch.autograd.grad(ty, tx, create_graph=True)
    ((tgx * tgx).sum() + ty).backward()
    np.testing.assert_allclose(w.grad.data, tw.grad.numpy(), rtol=1e-11)
    np.testing.assert_allclose(x.grad.data, tx.grad.numpy(), rtol=1e-11)
