"""Rprop and ASGD where they differ from the others: besides, `test_optimizer` holds them against PyTorch's."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import optim


def test_steps_by_signs():
    """Longer while the sign stays, none and half as long where it changed, and then as long again."""
    x = nbgrad.zeros(1, requires_grad=True, dtype=nbgrad.float64)
    optimizer = optim.Rprop([x], lr=1.0, etas=(0.5, 2.0), step_sizes=(0.75, 3.0))
    places = []
    for g in (1.0, 5.0, 0.1, -2.0, -2.0, 0.0, 3.0):
        x.grad = nbgrad.full((1,), g, dtype=nbgrad.float64)
        optimizer.step()
        places.append(x.item())
    assert places == [-1.0, -3.0, -6.0, -6.0, -4.5, -4.5, -6.0]
    with pytest.raises(ValueError, match="Invalid etas of Rprop"):
        optim.Rprop([x], etas=(1.5, 2.0))


def test_rates_that_change_are_those_of_the_step_before(kernels):
    """The length of a step is computed at the end of the one before; states go both ways."""
    torch = peer("torch")
    from torch import optim as theirs

    def trained(library, kinds, pause):
        x = library.tensor([1.0, -2.0], requires_grad=True)
        optimizer = kinds.ASGD([x], lr=0.1, lambd=0.1, t0=2)
        schedule = kinds.lr_scheduler.StepLR(optimizer, 2, 0.5)
        for number in range(8):
            optimizer.zero_grad()
            (x**2).sum().backward()
            optimizer.step()
            schedule.step()
            if number == 4 and pause:
                state = optimizer.state_dict()
                optimizer = kinds.ASGD([x], lr=0.1, lambd=0.1, t0=2)
                optimizer.load_state_dict(state)
                schedule.optimizer = optimizer
        state = optimizer.state_dict()["state"][0]
        return [*x.tolist(), *state["ax"].tolist(), state["eta"].item(), state["mu"].item(), state["step"].item()]

    wanted = trained(torch, theirs, False)
    np.testing.assert_allclose(trained(nbgrad, optim, False), wanted, rtol=1e-6)
    np.testing.assert_allclose(trained(nbgrad, optim, True), wanted, rtol=1e-6)
    for kind in ("ASGD", "Rprop"):  # PyTorch's own states
        x, t = nbgrad.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
        one, other = getattr(optim, kind)([x]), getattr(theirs, kind)([t])
        for number in range(4):
            t.grad = torch.tensor([1.0, -0.5])
            x.grad = nbgrad.tensor([1.0, -0.5], dtype=nbgrad.float32)
            other.step()
            if number == 1:
                one.load_state_dict(other.state_dict())
                x.data[...] = t.detach().numpy()
            elif number > 1:
                one.step()
        np.testing.assert_allclose(x.data, t.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["Rprop", "ASGD"])
def test_the_pure_form_is_the_same(kind):
    init, update = getattr(optim, kind).pure(lr=0.1)
    x = nbgrad.tensor([1.0, -2.0], requires_grad=True)
    optimizer = getattr(optim, kind)([x], lr=0.1)
    params = {"x": x.data.copy()}
    state = init(params)
    for _ in range(5):
        params, state = update({"x": 2 * params["x"]}, state, params)
        x.grad = 2 * x.detach()
        optimizer.step()
    np.testing.assert_allclose(params["x"], x.data, rtol=1e-12)
