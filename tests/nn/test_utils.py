import copy

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


# ---- sequences of several lengths -----------------------------------------------------------------------------------

SEQUENCES = [np.random.default_rng(n).normal(size=(n, 3)) for n in (2, 5, 5, 1)]
STATE = np.random.default_rng(0).normal(size=(4, 4, 4))


def packed_figures(library, rnn, kind):
    """Give what a recurrent network makes of sequences of several lengths, and its gradients."""
    model = getattr(library.nn, kind)(3, 4, num_layers=2, bidirectional=True)
    drawn = np.random.default_rng(7)
    for parameter in model.parameters():
        parameter.data = library.from_numpy(drawn.normal(size=tuple(parameter.shape)))
    state = library.from_numpy(STATE)
    sequences = [library.from_numpy(x) for x in SEQUENCES]
    padded, lengths = rnn.pad_sequence(sequences), library.tensor([2, 5, 5, 1])
    found = [padded, rnn.pad_sequence(sequences, batch_first=True, padding_value=-1.0, padding_side="left")]
    for first in (None, (state, state * 0.5) if kind == "LSTM" else state):
        packed = rnn.pack_padded_sequence(padded, lengths, enforce_sorted=False)
        y, last = model(packed, first)
        whole, back = rnn.pad_packed_sequence(y, total_length=7, padding_value=-2.0)
        ends = last if kind == "LSTM" else (last,)
        ((whole**2).sum() + sum((end**3).sum() for end in ends)).backward()
        found += [*packed, *y, whole, back, *ends]
    y, last = model(rnn.pack_sequence([sequences[1], sequences[0]]))
    found += [y.data, y.batch_sizes, *rnn.unpack_sequence(y), *rnn.unpad_sequence(padded.clone(), lengths)]
    alike = rnn.pack_padded_sequence(padded[:, 1:3].swapaxes(0, 1).contiguous(), library.tensor([5, 4]), True)
    found += [alike.data, rnn.pad_packed_sequence(alike, batch_first=True)[0]]
    return [x.detach().numpy() for x in [*found, *(parameter.grad for parameter in model.parameters())]]


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_packed_sequences_are_run_as_by_pytorch(kind):
    torch = peer("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        expected = packed_figures(torch, torch.nn.utils.rnn, kind)
    finally:
        torch.set_default_dtype(before)
    for a, b in zip(packed_figures(nbgrad, utils.rnn, kind), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_lengths_that_no_sequences_have_are_refused():
    padded = nbgrad.zeros(4, 2, 3)
    for lengths in ([4], [5, 1], [4, 0], [1, 4]):
        with pytest.raises(ValueError, match="pack_padded_sequence"):
            utils.rnn.pack_padded_sequence(padded, lengths)
    with pytest.raises(ValueError, match="total_length"):
        utils.rnn.pad_packed_sequence(utils.rnn.pack_padded_sequence(padded, [4, 2]), total_length=3)
    with pytest.raises(ValueError, match="padding_side"):
        utils.rnn.pad_sequence([padded], padding_side="up")
    with pytest.raises(ValueError, match="no sequences"):
        utils.rnn.pad_sequence([])
    with pytest.raises(ValueError, match="packed rows have 2 features"):
        nn.LSTM(2, 3)(utils.rnn.pack_padded_sequence(padded, [4, 2]))


# ---- parameters that are computed -----------------------------------------------------------------------------------


def normed_figures(library, parametrizations):
    """Give weights, gradients and names of layers whose weights are computed."""
    found, names = [], []
    layers = [
        (library.nn.Linear(3, 2), lambda layer: parametrizations.weight_norm(layer), (4, 3)),
        (library.nn.Conv1d(3, 2, 2), lambda layer: parametrizations.weight_norm(layer, dim=None), (2, 3, 5)),
        (library.nn.Linear(3, 2), lambda layer: parametrizations.spectral_norm(layer, n_power_iterations=400), (4, 3)),
        (
            library.nn.ConvTranspose1d(3, 2, 2),
            lambda layer: parametrizations.spectral_norm(layer, n_power_iterations=400),
            (2, 3, 5),
        ),
    ]
    for layer, change, shape in layers:
        drawn = np.random.default_rng(4)
        for parameter in layer.parameters():
            parameter.data = library.from_numpy(drawn.normal(size=tuple(parameter.shape)))
        assert change(layer) is layer
        (layer(library.from_numpy(drawn.normal(size=shape))) ** 3).sum().backward()
        names += [name for name, _ in layer.named_parameters()] + [f"buffer {n}" for n, _ in layer.named_buffers()]
        found += [layer.weight, *layer.parameters(), *(parameter.grad for parameter in layer.parameters())]
    return [x.detach().numpy() for x in found], names


def test_weights_are_computed_as_by_pytorch():
    torch = peer("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        expected, names = normed_figures(torch, torch.nn.utils.parametrizations)
    finally:
        torch.set_default_dtype(before)
    found, own = normed_figures(nbgrad, utils.parametrizations)
    assert own == names
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


class Positive(nn.Module):
    def forward(self, x):
        return x.exp()

    def right_inverse(self, y):
        return y.log()


def test_any_module_computes_a_parameter_and_is_taken_off_again():
    parametrize, layer = utils.parametrize, nn.Linear(2, 1, bias=False)
    layer.weight.data = np.array([[2.0, 3.0]])
    parametrize.register_parametrization(layer, "weight", Positive())
    np.testing.assert_allclose(layer.weight.data, [[2, 3]])
    assert parametrize.is_parametrized(layer, "weight") and isinstance(layer, nn.Linear)
    optimizer = nbgrad.optim.SGD(layer.parameters(), lr=0.1)

    @nbgrad.jit
    def step(x):
        optimizer.zero_grad()
        layer(x).sum().backward()
        optimizer.step()

    step(nbgrad.ones(1, 2))
    expected = np.array([[2.0, 3.0]]) * np.exp(-0.1 * np.array([[2.0, 3.0]]))
    np.testing.assert_allclose(layer.weight.data, expected)
    other = copy.deepcopy(layer)
    other.parametrizations.weight.original.data[...] = 0
    np.testing.assert_allclose(layer.weight.data, expected)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and [name for name, _ in layer.named_parameters()] == ["weight"]
    np.testing.assert_allclose(layer.weight.data, expected)
    np.testing.assert_allclose(other.weight.data, np.ones((1, 2)))
    for wrong in (
        lambda: parametrize.remove_parametrizations(layer, "weight"),
        lambda: parametrize.register_parametrization(layer, "bias", Positive()),
        lambda: parametrize.register_parametrization(layer, "weight", nn.Flatten(0)),
        lambda: utils.spectral_norm(layer, "wait"),
        lambda: utils.spectral_norm(layer, n_power_iterations=0),
    ):
        with pytest.raises(ValueError, match=r"parametrization|spectral_norm"):
            wrong()
    assert layer.weight.requires_grad


@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder", None])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 4, 3)])
def test_orthogonal_weights_are_those_of_pytorch(shape, orthogonal_map):
    """From the same base and original: the value, gradients, and what is learned of; with and without a base."""
    torch = peer("torch")
    weight = np.random.default_rng(0).normal(size=shape)
    for from_base in (True, False):
        layers = []
        for library in (nbgrad, torch):
            layer = library.nn.Module()
            layer.weight = library.nn.Parameter(library.from_numpy(weight.copy()))
            kwargs = {"orthogonal_map": orthogonal_map, "use_trivialization": from_base}
            change = library.nn.utils.parametrizations.orthogonal
            assert change(layer, **kwargs) is layer
            layers.append(layer)
        ours, theirs = layers
        assert [*ours.state_dict()] == [*theirs.state_dict()]
        original = ours.parametrizations.weight.original
        if from_base:
            value, k = ours.weight.detach(), min(shape[-2:])
            tall = value if shape[-2] >= shape[-1] else value.mT
            np.testing.assert_allclose(
                (tall.mT @ tall).data, np.broadcast_to(np.eye(k), (*shape[:-2], k, k)), atol=1e-12
            )
            if shape[-1] == shape[-2]:
                np.testing.assert_allclose(value.data, theirs.weight.detach().numpy(), atol=1e-12)
            theirs.parametrizations.weight[0].base.data = torch.from_numpy(ours.parametrizations.weight[0].base.data)
        np.testing.assert_allclose(original.data, theirs.parametrizations.weight.original.detach().numpy(), atol=1e-12)
        moved = original.data + np.tril(np.random.default_rng(1).normal(size=shape), -1)
        original.data = moved
        theirs.parametrizations.weight.original.data = torch.from_numpy(moved.copy())
        np.testing.assert_allclose(ours.weight.data, theirs.weight.detach().numpy(), atol=1e-12)
        (ours.weight**3).sum().backward()
        (theirs.weight**3).sum().backward()
        wanted = theirs.parametrizations.weight.original.grad.numpy()
        np.testing.assert_allclose(original.grad.data, wanted, rtol=1e-9, atol=1e-10)


def test_orthogonal_weights_stay_what_they_were_and_are_trained(kernels):
    layer = nn.Linear(3, 3, bias=False)
    nn.init.orthogonal_(layer.weight)
    before = layer.weight.data.copy()
    utils.parametrizations.orthogonal(layer)
    np.testing.assert_allclose(layer.weight.data, before, atol=1e-6)
    optimizer = nbgrad.optim.SGD(layer.parameters(), lr=0.1)

    @nbgrad.jit
    def step(x):
        optimizer.zero_grad()
        loss = ((layer(x) - x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(nbgrad.eye(3)).item() for _ in range(30)]
    assert losses[-1] < losses[0]
    value = layer.weight.data
    np.testing.assert_allclose(value.T @ value, np.eye(3), atol=1e-5)
    for wrong, match in (
        (lambda: utils.parametrizations.orthogonal(nn.Linear(2, 2), "bias"), r"'bias' has shape \(2,\)"),
        (lambda: utils.parametrizations.orthogonal(nn.Linear(2, 2), "wait"), "Linear has no parameter 'wait'"),
        (lambda: utils.parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="qr"), "or householder, not 'qr'"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()
