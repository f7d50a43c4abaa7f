"""Modules that learn the number of channels from their first input."""

import copy
import pickle

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn

RNG = np.random.default_rng(0)
#: Arguments of the module, and the shapes of inputs that it learns from, each in its turn.
CASES = {
    "LazyLinear": ((3,), {"bias": False}, [(4, 6), (2, 3, 6)]),
    **{f"LazyConv{n}d": ((4, 2), {"groups": 2, "stride": 2}, [(2, 6, *[5] * n), (6, *[5] * n)]) for n in (1, 2, 3)},
    **{
        f"LazyConvTranspose{n}d": ((4, 2), {"bias": False, "dilation": 2}, [(2, 6, *[3] * n), (6, *[3] * n)])
        for n in (1, 2, 3)
    },
    "LazyBatchNorm1d": ((), {"momentum": 0.3}, [(5, 6), (5, 6, 2)]),
    "LazyBatchNorm2d": ((1e-3,), {}, [(5, 6, 2, 2)]),
    "LazyBatchNorm3d": ((), {"track_running_stats": False}, [(5, 6, 2, 2, 2)]),
    "LazyInstanceNorm1d": ((), {"affine": True}, [(5, 6, 4)]),
    "LazyInstanceNorm2d": ((), {"track_running_stats": False}, [(5, 6, 2, 3)]),
    "LazyInstanceNorm3d": ((), {}, [(5, 6, 2, 3, 2)]),
}


@pytest.mark.parametrize("name", CASES)
def test_they_become_what_pytorchs_become(name):
    torch = peer("torch")
    arguments, options, shapes = CASES[name]
    for shape in shapes:
        ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
        assert isinstance(ours, getattr(nn, name[4:])) and ours.has_uninitialized_params() == (
            theirs.has_uninitialized_params()
        )
        assert [*ours.state_dict()] == [*theirs.state_dict()]
        ours, theirs = ours.double(), theirs.double()
        parameters = list(ours.parameters())
        x = RNG.normal(size=shape)
        ours(nbgrad.tensor(x))
        theirs(torch.tensor(x))
        assert type(ours) is getattr(nn, name[4:]) and repr(ours) == repr(theirs)
        assert all(a is b for a, b in zip(parameters, ours.parameters(), strict=True))
        assert {k: v.shape for k, v in ours.state_dict().items()} == {
            k: tuple(v.shape) for k, v in theirs.state_dict().items()
        }
        ours.load_state_dict(theirs.state_dict())
        np.testing.assert_allclose(ours(nbgrad.tensor(x)).data, theirs(torch.tensor(x)).detach().numpy(), atol=1e-12)


def test_single_samples():
    """PyTorch 2.13 takes the number of channels of one sample from the dimension behind them."""
    for name, shape in (("LazyInstanceNorm1d", (6, 4)), ("LazyInstanceNorm3d", (6, 2, 3, 2))):
        layer = getattr(nn, name)()
        assert layer(nbgrad.randn(*shape)).shape == shape and layer.num_features == 6


def network():
    return nn.Sequential(nn.LazyConv1d(4, 3), nn.LazyBatchNorm1d(), nn.Flatten(), nn.Tanh(), nn.LazyLinear(2))


def test_numbers_are_those_of_the_usual_kinds():
    """The same draws, at the first call, and training from there on; an optimiser may be made before."""
    lazy = network()
    optimizers = [nbgrad.optim.Adam(lazy.parameters(), lr=0.1)]
    nbgrad.manual_seed(2)
    usual = nn.Sequential(nn.Conv1d(5, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Tanh(), nn.Linear(16, 2))
    optimizers.append(nbgrad.optim.Adam(usual.parameters(), lr=0.1))
    x = nbgrad.randn(3, 5, 6)
    nbgrad.manual_seed(2)
    for _ in range(3):
        losses = []
        for model, optimizer in zip((lazy, usual), optimizers, strict=True):
            optimizer.zero_grad()
            losses.append((model(x) ** 2).sum())
            losses[-1].backward()
            optimizer.step()
        assert losses[0].item() == losses[1].item()


def test_copies_pickles_and_states():
    model = network()
    again = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    x = nbgrad.randn(3, 5, 6)
    wanted = model(x)
    for other in again:
        assert all(map(nn.parameter.is_lazy, other.parameters())) and type(other[0]) is nn.LazyConv1d
        assert all(isinstance(p, nn.UninitializedParameter) for p in other.parameters())
        assert nn.parameter.is_lazy(other[1].running_mean)
        other.load_state_dict(model.state_dict())
        assert not any(map(nn.parameter.is_lazy, other.parameters()))
        np.testing.assert_array_equal(other.train()(x).data, wanted.data)
        assert repr(other) == repr(model)
    for p in (nn.UninitializedParameter(), nn.UninitializedBuffer(dtype=nbgrad.float64)):
        assert nn.parameter.is_lazy(p) and not isinstance(nbgrad.ones(2), nn.UninitializedBuffer)


def test_compiled_ones_are_called_once_before(kernels):
    model = nn.LazyLinear(2)
    compiled = nbgrad.jit(lambda x: model(x))
    with pytest.raises(TypeError, match="LazyLinear: its first call is in a traced or vectorised function"):
        compiled(nbgrad.ones(3, 4))
    wanted = model(nbgrad.ones(3, 4))
    np.testing.assert_allclose(compiled(nbgrad.ones(3, 4)).data, wanted.data, rtol=1e-6)


def test_wrong_calls():
    with pytest.raises(TypeError, match="LazyConv2d: missing a required argument: 'kernel_size'"):
        nn.LazyConv2d(3)
    with pytest.raises(ValueError, match="2 and 5 channels are not multiples"):
        nn.LazyConv2d(5, 3, groups=2)
    with pytest.raises(ValueError, match=r"an input of shape \(6, 6\) has no channels"):
        nn.LazyConv2d(4, 3)(nbgrad.ones(6, 6))
