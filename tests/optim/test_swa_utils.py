"""Averages of parameters and their schedule, against PyTorch's."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn, optim

X = np.random.default_rng(1).normal(size=(6, 5, 3))
START = [np.random.default_rng(2).normal(size=shape) for shape in ((2, 3), (2,), (2,), (2,))]


def figures(library, averages):
    """Train a little, and give what the averages have, and how the rate went."""
    model = library.nn.Sequential(library.nn.Linear(3, 2), library.nn.BatchNorm1d(2))
    for parameter, value in zip(model.parameters(), START, strict=True):
        parameter.data = library.from_numpy(value.copy())
    optimizer = library.optim.SGD(model.parameters(), lr=0.1)
    schedules = [averages.SWALR(optimizer, 0.05, anneal_epochs=3, anneal_strategy=how) for how in ("cos", "linear")]
    every = [
        averages.AveragedModel(model),
        averages.AveragedModel(model, avg_fn=averages.get_ema_avg_fn(0.9)),
        averages.AveragedModel(model, multi_avg_fn=averages.get_ema_multi_avg_fn(0.9), use_buffers=True),
        averages.AveragedModel(model, multi_avg_fn=averages.get_swa_multi_avg_fn()),
    ]
    found = []
    for x in map(library.from_numpy, X):
        optimizer.zero_grad()
        (model(x) ** 3).mean().backward()
        optimizer.step()
        for average in every:
            average.update_parameters(model)
        schedules[0].step()
        found.append(np.asarray(optimizer.param_groups[0]["lr"]))
    averages.update_bn([(x, 0) for x in map(library.from_numpy, X)], every[0])
    for average in every:
        kept = average.state_dict()
        kept.pop("module.1.num_batches_tracked")  # which PyTorch averages as well, in whole numbers
        found += [value.detach().numpy() for value in kept.values()]
        found.append(average.eval()(library.from_numpy(X[0])).detach().numpy())
    return found, list(every[0].state_dict())


def test_as_in_pytorch():
    torch = peer("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        expected, names = figures(torch, torch.optim.swa_utils)
    finally:
        torch.set_default_dtype(before)
    ours, own = figures(nbgrad, optim.swa_utils)
    assert sorted(own) == sorted(names)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_compiled_steps_average():
    model = nn.Linear(2, 1, bias=False)
    average = optim.swa_utils.AveragedModel(model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.5))

    @nbgrad.jit
    def step(x):
        average.update_parameters(model)
        return model(x).sum()

    for value in (1.0, 3.0, 7.0):
        model.weight.data[...] = value
        step(nbgrad.ones(1, 2))
    np.testing.assert_allclose(average.module.weight.data, [[4.5, 4.5]])
    assert average.n_averaged.item() == 3


def test_what_is_refused():
    averages, model = optim.swa_utils, nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for make in (
        lambda: averages.get_ema_avg_fn(1.5),
        lambda: averages.AveragedModel(model, None, averages.get_swa_avg_fn(), averages.get_swa_multi_avg_fn()),
        lambda: averages.SWALR(optimizer, 0.1, anneal_strategy="square"),
        lambda: averages.SWALR(optimizer, 0.1, anneal_epochs=-1),
        lambda: averages.SWALR(optimizer, [0.1, 0.2]),
    ):
        with pytest.raises(ValueError, match=r"get_ema_avg_fn|AveragedModel|SWALR"):
            make()
