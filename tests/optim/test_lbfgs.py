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
