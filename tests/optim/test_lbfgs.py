import copy

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import optim


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_rosenbrock_as_pytorch_goes(search):
    torch = peer("torch")
    lr = 1 if search else 1e-3
    x = nbgrad.tensor([-1.2, 1.0], requires_grad=True)
    t = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    losses = []
    for variable, library in ((x, optim), (t, torch.optim)):
        optimizer = library.LBFGS([variable], lr=lr, max_iter=20, line_search_fn=search)

        def closure(variable=variable, optimizer=optimizer):
            optimizer.zero_grad()
            loss = 100 * (variable[1] - variable[0] ** 2) ** 2 + (1 - variable[0]) ** 2
            loss.backward()
            return loss

        losses.append([optimizer.step(closure).item() for _ in range(4)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(x.data, t.detach().numpy(), rtol=1e-6)
    if search:
        np.testing.assert_allclose(x.data, 1, rtol=1e-4)


def test_the_memory_goes_over_from_pytorch_and_back():
    torch = peer("torch")

    def going(variable, library, state=None):
        optimizer = library.LBFGS([variable], lr=1, max_iter=5, line_search_fn="strong_wolfe")
        if state is not None:
            optimizer.load_state_dict(state)

        def closure():
            optimizer.zero_grad()
            loss = 100 * (variable[1] - variable[0] ** 2) ** 2 + (1 - variable[0]) ** 2
            loss.backward()
            return loss

        return optimizer, [optimizer.step(closure).item() for _ in range(2)]

    t = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    theirs, _ = going(t, torch.optim)
    x = nbgrad.tensor(t.detach().numpy().copy(), requires_grad=True)
    again = nbgrad.tensor(x.data.copy(), requires_grad=True)
    state = theirs.state_dict()
    ours, losses = going(x, optim, state)
    _, expected = going(t, torch.optim, copy.deepcopy(state))
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    optimizer = optim.LBFGS([again])
    optimizer.load_state_dict(state)
    np.testing.assert_allclose(going(again, optim, optimizer.state_dict())[1], expected, rtol=1e-6)
    assert ours.state_dict()["state"][0].keys() <= state["state"][0].keys()
    with pytest.raises(ValueError, match="the state is of 2 numbers, the parameters have 3"):
        optim.LBFGS([nbgrad.ones(3, requires_grad=True)]).load_state_dict(state)
