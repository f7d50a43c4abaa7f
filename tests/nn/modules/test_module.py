"""Modules against PyTorch's: names, states, modes, copies, looks, and what is refused."""

import copy
import pickle
import re

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.rest = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Sequential(nn.Linear(4, 2), nn.Tanh())])
        self.scale = nn.Parameter(nbgrad.ones(1))
        self.register_buffer("count", nbgrad.zeros(1))
        self.register_buffer("passing", nbgrad.zeros(1), persistent=False)
        self.plain = nbgrad.ones(2)

    def forward(self, x):
        return self.rest[1](self.rest[0](self.first(x))) * self.scale


KEYS = ["scale", "count", "first.weight", "first.bias", "rest.0.weight", "rest.1.0.weight", "rest.1.0.bias"]


def test_names_are_those_of_pytorch():
    torch = peer("torch")
    net = Net()
    assert list(net.state_dict()) == KEYS
    assert [name for name, _ in net.named_parameters()] == [key for key in KEYS if key != "count"]
    assert [name for name, _ in net.named_buffers()] == ["count", "passing"]
    assert [name for name, _ in net.named_modules()] == [
        "",
        "first",
        "rest",
        "rest.0",
        "rest.1",
        "rest.1.0",
        "rest.1.1",
    ]
    assert [name for name, _ in net.named_children()] == ["first", "rest"]
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Sequential(torch.nn.Linear(4, 2)))
    ours = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2)))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert not ours.load_state_dict(theirs.state_dict()).missing_keys
    np.testing.assert_array_equal(ours[0].weight.data, theirs[0].weight.detach().numpy())


def test_parts_are_found_and_taken_away():
    net = Net()
    assert net.get_submodule("rest.1.0") is net.rest[1][0] and net.get_parameter("first.bias") is net.first.bias
    assert net.get_buffer("count") is net.count and "first" in dir(net)
    assert isinstance(net.scale, nn.Parameter) and not isinstance(net.plain, nn.Parameter)
    assert isinstance(net.scale, nbgrad.Variable) and type(net.scale) is nbgrad.Variable
    del net.scale
    assert not hasattr(net, "scale") and "scale" not in net.state_dict()
    net.first = None
    assert "first.weight" not in net.state_dict() and net.first is None
    shared = nn.Linear(2, 2)
    assert len(list(nn.Sequential(shared, shared).parameters())) == 2
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'nothing'"):
        net.nothing  # noqa: B018


def test_modes_dtypes_and_gradients():
    net = Net()
    assert net.eval() is net and not any(module.training for module in net.modules())
    assert net.train().rest[1].training
    assert net.float().first.weight.dtype == np.float32 and net.double().count.dtype == np.float64
    assert net.to(np.float32).scale.dtype == np.float32 and net.to("cpu").scale.device == "cpu"
    net(nbgrad.ones(2, 3, dtype=np.float32)).sum().backward()
    assert net.first.weight.grad is not None
    net.zero_grad()
    assert all(x.grad is None for x in net.parameters())
    net.requires_grad_(False)
    assert not any(x.requires_grad for x in net.parameters())
    seen = []
    net.apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "Linear", "Linear", "Tanh", "Sequential", "ModuleList", "Net"]


def test_hooks_see_and_change():
    layer, seen = nn.Identity(), []
    before = layer.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    after = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.item()) or output * 2)
    first = layer.register_forward_hook(
        lambda module, inputs, options, output: output + 10, prepend=True, with_kwargs=True
    )
    assert layer(nbgrad.tensor(1.0)).item() == 24 and seen == [12]
    first.remove()
    with after:
        assert layer(nbgrad.tensor(1.0)).item() == 4
    before.remove()
    assert layer(nbgrad.tensor(1.0)).item() == 1 and seen == [12, 2]


def hooked_figures(library):
    """Give what hooks of backward see, and the gradients that they made of it."""
    net = library.nn.Sequential(library.nn.Linear(3, 4), library.nn.Tanh(), library.nn.Linear(4, 2))
    drawn = np.random.default_rng(2)
    for parameter in net.parameters():
        parameter.data = library.from_numpy(drawn.normal(size=tuple(parameter.shape)))
    x = library.tensor(np.arange(6.0).reshape(2, 3) / 6, requires_grad=True)
    seen = []
    handles = [
        net[0].register_full_backward_hook(lambda module, given, gradients: seen.append(given + gradients)),
        net[1].register_full_backward_hook(lambda module, given, gradients: (given[0] * 3,)),
        net[2].register_full_backward_pre_hook(lambda module, gradients: (gradients[0] * 2,)),
    ]
    (g,) = library.autograd.grad((net(x) ** 3).sum(), x, create_graph=True)
    (g * g).sum().backward()
    found = [y.detach().clone() for y in (g, x.grad, *(parameter.grad for parameter in net.parameters()))]
    net(x.detach()).sum().backward()  # nothing that goes in has a gradient
    assert seen[-1][0] is None and len(seen) == 3
    for handle in handles:
        handle.remove()
    net(x).sum().backward()
    assert len(seen) == 3
    return [value.detach().numpy() for value in [*found, *(g for pair in seen for g in pair if g is not None)]]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")  # PyTorch's own
def test_hooks_of_backward_see_and_change_as_in_pytorch():
    torch = peer("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        expected = hooked_figures(torch)
    finally:
        torch.set_default_dtype(before)
    for a, b in zip(hooked_figures(nbgrad), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_hooks_of_backward_tell_apart_what_goes_in_and_out():
    class Both(nn.Module):
        def forward(self, a, b, factor=2.0):
            return a * b, a + b * factor

    both, seen = Both(), []
    a, b = nbgrad.ones(2, requires_grad=True), nbgrad.ones(2)
    with both.register_full_backward_hook(lambda module, given, gradients: seen.append((given, gradients))):
        double, total = both(a, b, factor=3.0)
        (double.sum() + 5 * total.sum()).backward()
        both(both(a, b)[0], b)[0].sum().backward()  # each call has gradients of its own
    assert len(seen) == 3
    ((first, second), (product, summed)), (_, (last, _)), _ = seen
    assert second is None
    for found, expected in ((first, 6), (product, 1), (summed, 5), (last, 1)):
        np.testing.assert_array_equal(found.data, [expected] * 2)


def test_copies_have_parameters_of_their_own():
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(other.state_dict()) == KEYS and isinstance(other.scale, nn.Parameter)
        other.scale.data[...] = 5
        assert net.scale.item() == 1 and other.first.weight is not net.first.weight


def test_a_state_that_does_not_fit_names_everything_and_changes_nothing():
    net, before = Net(), None
    state = {key: value.data.copy() for key, value in net.state_dict().items()}
    before = state["rest.0.weight"].copy()
    state["rest.0.weight"] = state["rest.0.weight"] + 1
    del state["scale"], state["first.bias"]
    state["first.weight"], state["new"] = np.zeros((2, 2)), np.zeros(1)
    message = (
        'Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "scale", "first.bias".'
        '\n\tUnexpected key(s) in state_dict: "new".\n\tsize mismatch for first.weight: it has shape (2, 2)'
    )
    with pytest.raises(RuntimeError, match=re.escape(message)):
        net.load_state_dict(state)
    np.testing.assert_array_equal(net.rest[0].weight.data, before)
    del state["first.weight"]
    found = net.load_state_dict(state, strict=False)
    assert found.missing_keys == ["scale", "first.weight", "first.bias"] and found.unexpected_keys == ["new"]
    np.testing.assert_array_equal(net.rest[0].weight.data, before + 1)
    with pytest.raises(TypeError, match="a state is a mapping"):
        net.load_state_dict([1])


REFUSED = {
    "early": (
        lambda: type("Early", (nn.Module,), {"__init__": lambda self: setattr(self, "a", nn.Tanh())})(),
        AttributeError,
    ),
    "parameter": (lambda: setattr(nn.Linear(1, 1), "weight", nbgrad.ones(1, 1)), TypeError),
    "module": (lambda: setattr(Net(), "first", 3), TypeError),
    "buffer": (lambda: setattr(Net(), "count", 3), TypeError),
    "name": (lambda: nn.Module().register_parameter("a.b", None), KeyError),
    "taken": (lambda: Net().register_parameter("forward", None), KeyError),
    "computed": (lambda: nn.Module().register_parameter("a", nbgrad.ones(1)), TypeError),
    "forward": (lambda: nn.Module()(1), NotImplementedError),
    "mode": (lambda: nn.Module().train(1), ValueError),
    "hook": (lambda: nn.Module().register_forward_hook(3), TypeError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    call, error = REFUSED[name]
    with pytest.raises(error):
        call()


def test_containers():
    layers = [nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)]
    modules = nn.ModuleList(layers)
    assert len(modules) == 3 and modules[-1] is layers[2] and list(modules[1:]) == layers[1:]
    modules.append(nn.ReLU()).insert(0, nn.Identity())
    assert [type(m).__name__ for m in modules] == ["Identity", "Linear", "Tanh", "Linear", "ReLU"]
    del modules[0]
    assert modules.pop(3).__class__ is nn.ReLU and list(modules) == layers
    sequence = nn.Sequential({"a": nn.Linear(2, 3), "b": nn.Tanh()})
    assert list(sequence.state_dict()) == ["a.weight", "a.bias"] and sequence[:1](nbgrad.ones(1, 2)).shape == (1, 3)
    named = nn.ModuleDict({"x": nn.Tanh()})
    named["y"] = nn.Linear(1, 1)
    assert list(named) == ["x", "y"] and "x" in named and len(named) == 2 and named.pop("x").__class__ is nn.Tanh
    numbers = nn.ParameterList([nbgrad.ones(2), nn.Parameter(nbgrad.zeros(1))])
    assert len(list(numbers.parameters())) == 2 and list(numbers.state_dict()) == ["0", "1"]
    by_name = nn.ParameterDict({"a": nbgrad.ones(2)})
    assert list(by_name.state_dict()) == ["a"] and by_name["a"].requires_grad
    with pytest.raises(IndexError):
        modules[7]
