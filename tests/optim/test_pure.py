"""Optimisers as functions of nests."""

import numpy as np

import nbgrad
from nbgrad import optim


def test_optimisers_as_functions(kernels):
    init, update = optim.Adam.pure(lr=0.1)
    x = nbgrad.tensor([1.0, -2.0], requires_grad=True)
    optimizer = optim.Adam([x], lr=0.1)
    params = {"x": x.data.copy()}
    state = init(params)
    compiled = nbgrad.jit(lambda p, s: update(nbgrad.grad(lambda p: (p["x"] ** 2).sum())(p), s, p))
    for _ in range(5):
        params, state = compiled(params, state)
        x.grad = 2 * x.detach()
        optimizer.step()
    np.testing.assert_allclose(params["x"], x.data, rtol=1e-12)
    assert state["step"] == 5


def test_gradients_go_through_steps_of_the_pure_form():
    init, update = optim.SGD.pure(lr=0.1, momentum=0.5)

    def trained(w, target):
        params, state = {"w": w}, init({"w": w})
        for _ in range(3):
            (g,) = nbgrad.autograd.grad(((params["w"] - target) ** 2).sum(), [params["w"]], create_graph=True)
            params, state = update({"w": g}, state, params)
        return (params["w"] ** 3).sum()

    assert nbgrad.autograd.gradcheck(trained, (nbgrad.Variable(np.array([1.0, -2.0])), nbgrad.Variable(np.ones(2))))
