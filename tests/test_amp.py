"""Scaled gradients as PyTorch has them, and narrower numbers that are refused."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad.amp import GradScaler, autocast


def test_scales_and_steps_are_those_of_pytorch():
    """With overflow in two of the steps, one clipped, two optimisers, and a state that is taken over on the way."""
    torch = peer("torch")

    def trained(library, scaler_of):
        x = library.tensor([1.0, -2.0, 0.5], requires_grad=True)
        w = library.tensor([0.1, 0.2, 0.3], requires_grad=True)
        optimizers = library.optim.SGD([x], lr=0.1, momentum=0.9), library.optim.Adam([w], lr=0.01)
        scaler, scales = scaler_of(), []
        for number in range(12):
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = ((x * w - 1) ** 2).sum() * (float("inf") if number in (3, 4) else 1.0)
            scaler.scale(loss).backward()
            if number == 6:
                scaler.unscale_(optimizers[0])
                library.nn.utils.clip_grad_norm_([x], 0.01)
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update(8.0 if number == 8 else None)
            scales.append(scaler.get_scale())
            if number == 5:
                state = scaler.state_dict()
                scaler = scaler_of()
                scaler.load_state_dict(state)
        return scales, x.tolist(), w.tolist(), scaler.state_dict()

    options = {"init_scale": 1024.0, "growth_interval": 2, "growth_factor": 4.0, "backoff_factor": 0.25}
    ours = trained(nbgrad, lambda: GradScaler(**options))
    theirs = trained(torch, lambda: torch.amp.GradScaler("cpu", **options))
    assert ours[0] == theirs[0] and ours[3] == theirs[3]
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-5)


def test_nothing_happens_where_it_is_not_enabled(kernels):
    x = nbgrad.ones(2, requires_grad=True)
    optimizer, scaler = nbgrad.optim.SGD([x], lr=0.25), nbgrad.GradScaler("cpu", enabled=False)

    @nbgrad.jit
    @nbgrad.autocast("cpu", enabled=False)
    def step():
        optimizer.zero_grad()
        with autocast(device_type="cuda", dtype=nbgrad.float16, enabled=False):
            loss = (x * x).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        return loss

    assert [step().item(), step().item()] == [2.0, 0.5]
    assert scaler.state_dict() == {} and scaler.get_scale() == 1.0 and not scaler.is_enabled()


def test_small_gradients_are_saved_by_the_scale():
    """What comes back in float32 is 1e-60 in between, which is 0 there."""

    def gradient(scaler):
        x = nbgrad.tensor([0.5], dtype=nbgrad.float32, requires_grad=True)
        scaler.scale(((x * 1e30) * 1e-30 * 1e-30).sum()).backward()
        scaler.unscale_(nbgrad.optim.SGD([x]))
        return x.grad.item()

    assert gradient(GradScaler(enabled=False)) == 0
    np.testing.assert_allclose(gradient(GradScaler(init_scale=2.0**100)), 1e-30, rtol=1e-6)


def test_wrong_calls():
    with pytest.raises(NotImplementedError, match=r"none of float16 or bfloat16: give enabled=False"):
        autocast("cuda")
    with pytest.raises(ValueError, match="growth_factor is above 1"):
        GradScaler(growth_factor=1.0)
    with pytest.raises(TypeError, match="takes a Variable, or a list or tuple of them, got float"):
        GradScaler().scale(3.0)
    x = nbgrad.ones(2, requires_grad=True)
    optimizer, scaler = nbgrad.optim.SGD([x]), GradScaler()
    assert [y.tolist() for y in scaler.scale([x, x])] == [[65536.0] * 2] * 2
    with pytest.raises(RuntimeError, match="no optimizer has stepped since"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="was unscaled already since the last update"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="a closure computes gradients that nobody would unscale"):
        scaler.step(optimizer, lambda: None)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="has stepped already"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="the state is empty"):
        scaler.load_state_dict({})


def test_compiled_functions_refuse_it():
    """Whether to step is a question about numbers."""
    x = nbgrad.ones(2, requires_grad=True)
    optimizer, scaler = nbgrad.optim.SGD([x], lr=0.25), GradScaler()

    @nbgrad.jit
    def step():
        optimizer.zero_grad()
        scaler.scale((x * x).sum()).backward()
        scaler.step(optimizer)

    with pytest.raises(TypeError, match="jit"):
        step()
