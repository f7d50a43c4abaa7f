"""Optimisers against PyTorch's over 100 steps, compiled and not, and what they refuse."""

import copy
import pickle

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn, optim
from nbgrad.nn import functional as F

CASES = {
    "SGD": {"lr": 0.1},
    "SGD-momentum": {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01},
    "SGD-nesterov": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True},
    "Adam": {"lr": 0.01},
    "Adam-amsgrad": {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True},
    "AdamW": {"lr": 0.01, "maximize": True},
    "Adamax": {},
    "Adagrad": {"lr_decay": 0.01, "initial_accumulator_value": 0.1, "weight_decay": 0.01},
    "RMSprop": {},
    "RMSprop-centered": {"momentum": 0.9, "centered": True, "weight_decay": 0.01},
    "Adadelta": {},
    "NAdam": {"weight_decay": 0.1, "decoupled_weight_decay": True},
    "RAdam": {"weight_decay": 0.1},
    "Rprop": {"lr": 0.02, "step_sizes": (1e-3, 0.5)},
    "Rprop-up": {"etas": (0.4, 1.3), "maximize": True},
    "ASGD": {"lr": 0.1, "lambd": 0.01, "t0": 20},
    "ASGD-decay": {"lr": 0.1, "weight_decay": 0.05, "alpha": 0.5, "maximize": True},
}
SHAPES = [(3, 4), (), (300,), (0,)]


def pair(name, options, dtype="float64", seed=0):
    torch = peer("torch")
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]
    ours = [nbgrad.Variable(x.copy()) for x in arrays]
    theirs = [torch.tensor(x.copy(), requires_grad=True) for x in arrays]
    name = name.split("-")[0]
    return ours, theirs, getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)


def give(ours, theirs, rng, skip=()):
    torch = peer("torch")
    for k, (x, t) in enumerate(zip(ours, theirs, strict=True)):
        g = np.asarray(rng.normal(size=x.shape), x.dtype)
        x.grad = None if k in skip else nbgrad.Variable(g, requires_grad=False)
        t.grad = None if k in skip else torch.tensor(g)


def assert_same(ours, theirs, **limits):
    for x, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.data, t.detach().numpy(), **limits)


@pytest.mark.parametrize("name", CASES)
def test_hundred_steps_are_those_of_pytorch(name):
    for dtype, limits in (("float64", {"rtol": 1e-7, "atol": 1e-11}), ("float32", {"rtol": 1e-4, "atol": 1e-5})):
        if name.startswith("ASGD") and dtype == "float64":
            limits = {"rtol": 1e-5, "atol": 1e-7}  # PyTorch keeps the lengths of its steps in float32
        ours, theirs, one, other = pair(name, CASES[name], dtype)
        rng = np.random.default_rng(1)
        for number in range(100):
            give(ours, theirs, rng, skip=[2] if number % 7 == 0 else [])  # counts of steps differ
            one.step(), other.step()
        assert_same(ours, theirs, **limits)


def test_states_go_over_from_pytorch_and_back():
    ours, theirs, one, other = pair("Adam", CASES["Adam"])
    rng = np.random.default_rng(1)
    for _ in range(3):
        give(ours, theirs, rng)
        other.step()
    for x, t in zip(ours, theirs, strict=True):
        x.data = t.detach().numpy().copy()
    one.load_state_dict(other.state_dict())
    another = optim.Adam(ours)
    another.load_state_dict(copy.deepcopy(one.state_dict()))
    assert another.param_groups[0]["lr"] == 0.01
    for _ in range(3):
        give(ours, theirs, rng)
        another.step(), other.step()
    assert_same(ours, theirs, rtol=1e-9)
    assert one.state_dict()["state"][0]["step"].item() == 3
    with pytest.raises(ValueError, match=r"the state has groups of \[4\] parameters, the optimiser of \[1\]"):
        optim.Adam(ours[:1]).load_state_dict(other.state_dict())


def test_groups_have_options_of_their_own():
    torch = peer("torch")
    ours, theirs = (make([np.ones(2), np.ones(3)]) for make in (
        lambda xs: [nbgrad.Variable(x.copy()) for x in xs], lambda xs: [torch.tensor(x, requires_grad=True) for x in xs]
    ))  # fmt: skip
    one = optim.SGD([{"params": ours[:1]}, {"params": ours[1:], "lr": 1.0}], lr=0.1, momentum=0.5)
    other = torch.optim.SGD([{"params": theirs[:1]}, {"params": theirs[1:], "lr": 1.0}], lr=0.1, momentum=0.5)
    rng = np.random.default_rng(0)
    for _ in range(5):
        give(ours, theirs, rng)
        one.step(), other.step()
        one.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.3
    assert_same(ours, theirs, rtol=1e-12)
    assert "momentum: 0.5" in repr(one)


def test_steps_do_not_depend_on_threads_or_layout():
    found = []
    for threads, order in ((1, "C"), (3, "C"), (1, "F")):
        before = nbgrad.get_num_threads()
        nbgrad.set_num_threads(threads)
        try:
            x = nbgrad.Variable(np.asarray(np.linspace(0, 1, 600 * 500).reshape(600, 500), order=order))
            x.grad = nbgrad.Variable(np.cos(x.data), requires_grad=False)
            optim.Adam([x]).step()
            found.append(x.data.copy())
        finally:
            nbgrad.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], found[2], rtol=1e-15)


def test_closures_and_zero_grad():
    x = nbgrad.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([x], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1 and x.item() == pytest.approx(0.8)
    optimizer.zero_grad(set_to_none=False)
    assert x.grad.tolist() == [0]
    optimizer.zero_grad()
    assert x.grad is None
    optimizer.step()  # nothing to do
    assert x.item() == pytest.approx(0.8)


REFUSED = {
    "empty": (lambda x: optim.Adam([]), ValueError, "empty parameter list"),
    "one": (lambda x: optim.Adam(x), TypeError, "params is an iterable of Variables"),
    "kind": (lambda x: optim.Adam([1.0]), TypeError, "can only optimize Variables"),
    "computed": (lambda x: optim.Adam([x * 2]), ValueError, "can't optimize a non-leaf Variable"),
    "twice": (lambda x: optim.Adam([x, x]), ValueError, "more than one place"),
    "whole": (lambda x: optim.Adam([nbgrad.tensor([1])]), TypeError, "dtype int64 has no gradient"),
    "lr": (lambda x: optim.SGD([x], lr=-1), ValueError, "Invalid lr value of SGD: -1"),
    "nan": (lambda x: optim.SGD([x], lr=float("nan")), ValueError, "Invalid lr value of SGD: nan"),
    "betas": (lambda x: optim.Adam([x], betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0"),
    "nesterov": (lambda x: optim.SGD([x], nesterov=True), ValueError, "Nesterov momentum requires"),
    "closure": (lambda x: optim.LBFGS([x]).step(), TypeError, "takes a closure"),
    "through": (lambda x: optim.Adam([x], differentiable=True), NotImplementedError, "functions that `pure` gives"),
    "state": (
        lambda x: optim.Adam([x]).load_state_dict({"a": 1}),
        ValueError,
        r"'state' and 'param_groups', got \['a'\]",
    ),
    "text": (lambda x: optim.SGD([x]).param_groups[0].update(lr="much"), TypeError, "'lr' is a number, got 'much'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call(nbgrad.tensor([1.0], requires_grad=True))


def test_gradients_of_another_shape_are_refused_and_nothing_changes():
    for options in ({}, {"momentum": 0.9}):
        x, other = nbgrad.ones(1000, requires_grad=True), nbgrad.ones(3, requires_grad=True)
        optimizer = optim.SGD([other, x], lr=0.1, **options)
        other.grad, x.grad = nbgrad.ones(3), nbgrad.ones(1)
        for _ in range(2):
            with pytest.raises(ValueError, match=r"grad has shape \(1,\), its parameter \(1000,\)"):
                optimizer.step()
        assert (x.data == 1).all() and (other.data == 1).all() and not optimizer.param_groups[0].steps.data.any()
        x.grad = nbgrad.ones(1000)
        optimizer.step()
        x.grad = nbgrad.ones(2)  # what was found out about the arrays before does not count for these
        with pytest.raises(ValueError, match=r"grad has shape \(2,\)"):
            optimizer.step()
        np.testing.assert_allclose(x.data, 0.9)


def test_what_is_one_number_for_a_parameter_is_one_in_its_state():
    torch = peer("torch")
    ours, theirs, one, other = pair("NAdam", {})
    rng = np.random.default_rng(1)
    for _ in range(3):
        give(ours, theirs, rng)
        one.step(), other.step()
    assert one.state_dict()["state"][0]["mu_product"].shape == ()
    again = optim.NAdam([nbgrad.Variable(t.detach().numpy().copy()) for t in theirs])
    again.load_state_dict(other.state_dict())
    for _ in range(3):
        give(again.param_groups[0]["params"], theirs, rng)
        again.step(), other.step()
    assert_same(again.param_groups[0]["params"], theirs, rtol=1e-6)
    with pytest.raises(ValueError, match="exp_avg has shape"):
        state = other.state_dict()
        state["state"][0]["exp_avg"] = torch.zeros(2)
        again.load_state_dict(state)


# ---- compiled -------------------------------------------------------------------------------------------------------


def model():
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


def make_step(net, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


@pytest.mark.parametrize("name", ["SGD-momentum", "Adam", "RAdam", "Rprop", "ASGD"])
def test_a_compiled_step_trains_in_place(kernels, name):
    rng = np.random.default_rng(0)
    data = [(rng.normal(size=(6, 5)), rng.integers(0, 3, 6)) for _ in range(8)]
    first, losses = model(), []
    second = copy.deepcopy(first)
    for net, wrap in ((first, lambda f: f), (second, nbgrad.jit)):
        optimizer = getattr(optim, name.split("-")[0])(net.parameters(), **CASES[name])
        schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        step = wrap(make_step(net, optimizer))
        losses.append([])
        held = net[0].weight.data
        for x, y in data:
            losses[-1].append(step(x, y).item())
            schedule.step()
        assert net[0].weight.data is held  # written where it was
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-7, atol=1e-10)
    assert second[0].weight.grad is None and len(step._traces) == 1
    assert optimizer.state_dict()["state"][0]["step"].item() == 8


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_results_of_compiled_steps_are_not_in_the_memory_of_parameters(kernels, shape):
    """Of the shape of one, where the step would write over them; what a parameter becomes is told as well."""

    def trained(wrap):
        a, b = (nbgrad.Variable(np.full(shape, value)) for value in (0.5, 2.0))
        optimizer = optim.SGD([a, b], lr=0.1, momentum=0.5)

        @wrap
        def step(x):
            optimizer.zero_grad()
            product = a * b * x - b
            product.sum().backward()
            optimizer.step()
            with nbgrad.no_grad():
                return product.detach(), a * 1.0, a - b

        results = [step(1.0) for _ in range(3)]
        copies = [[y.data.copy() for y in result] for result in results]
        step(1.0)
        assert all(
            np.array_equal(y.data, c) for r, cs in zip(results, copies, strict=True) for y, c in zip(r, cs, strict=True)
        )
        return [*copies[0], *copies[1], *copies[2], a.data, b.data]

    for one, other in zip(trained(lambda f: f), trained(nbgrad.jit), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_buffers_that_take_each_others_place(kernels):
    """In a step that swaps them, and gives what one was."""

    class Swapping(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("first", nbgrad.ones(3))
            self.register_buffer("second", nbgrad.ones(3) * 2)

        def forward(self, x):
            with nbgrad.no_grad():
                before = self.first * x
                self.first.copy_(self.second * x)
                self.second.copy_(before * x)
            return before

    module = Swapping()
    run = nbgrad.jit(module)
    for number in range(1, 4):
        assert run(nbgrad.ones(3)).tolist() == [2 - number % 2] * 3
        assert module.first.tolist() == [1 + number % 2] * 3 and module.second.tolist() == [2 - number % 2] * 3


def test_compiled_modules_follow_their_parameters_and_modes(kernels):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(nbgrad.ones(3))

        def forward(self, x):
            return x * self.weight + (nbgrad.randn(3) if self.training else 0)

    net = Noisy()
    compiled, x = nbgrad.jit(net), nbgrad.tensor([1.0, 2.0, 3.0])
    assert (compiled(x).data != compiled(x).data).all()
    net.eval()
    assert compiled(x).tolist() == [1, 2, 3]
    net.weight.data[...] = 2
    assert compiled(x).tolist() == [2, 4, 6]
    net.weight.data = np.full(3, 3.0)
    y = compiled(x)
    assert y.tolist() == [3, 6, 9]
    y.sum().backward()
    assert net.weight.grad.tolist() == [1, 2, 3]
    net.weight.requires_grad = False
    assert not compiled(x).requires_grad
    net.double().float()
    assert compiled(nbgrad.ones(3, dtype=np.float32)).dtype == np.float32


def test_running_figures_and_counts_are_kept(kernels):
    class Running(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", nbgrad.zeros(2))
            self.register_buffer("count", nbgrad.tensor(np.zeros((), np.int64)))

        def forward(self, x):
            with nbgrad.no_grad():
                self.count.add_(1)
                self.mean.mul_(0.5).add_(x.mean(0) * 0.5)
            return x - self.mean

    eager, compiled = Running(), Running()
    run = nbgrad.jit(compiled)
    for k in range(4):
        x = nbgrad.tensor([[1.0, k], [3.0, -k]])
        np.testing.assert_allclose(run(x).data, eager(x).data)
    np.testing.assert_allclose(compiled.mean.data, eager.mean.data)
    assert compiled.count.item() == 4 and type(compiled.mean) is nbgrad.Variable


def test_compiled_modules_follow_what_they_read_of_themselves(kernels):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(nbgrad.ones(2))
            self.scale, self.shift, self.act, self.calls, self.unread = 1.0, (0, 0.0), None, 0, 0

        def forward(self, x):
            self.calls += 1  # only once a trace: no setting
            y = x * self.weight * self.scale + self.shift[1]
            return y if self.act is None else self.act(y)

    net = Scaled()
    compiled, x = nbgrad.jit(net), nbgrad.tensor([1.0, 2.0])
    assert compiled(x).tolist() == [1, 2]
    for name, value, expected in (
        ("scale", 2.0, [2, 4]),
        ("shift", (0, -3.0), [-1, 1]),
        ("act", F.relu, [0, 1]),
        ("scale", 2, [0, 1]),
        ("act", None, [-1, 1]),
    ):
        setattr(net, name, value)
        assert compiled(x).tolist() == expected, name
    traces, calls = len(compiled._traces), net.calls
    for k in range(3):
        net.unread, net.calls = k + 1, net.calls
        assert compiled(x).tolist() == [-1, 1]
    assert len(compiled._traces) == traces and net.calls == calls
    assert "__getattribute__" not in vars(nn.Module)  # watched while a function is traced only


def test_compiled_modules_follow_their_hooks():
    net = nn.Linear(2, 1, bias=False, dtype=np.float64)
    net.weight.data[...] = 1
    compiled, x = nbgrad.jit(net), nbgrad.tensor([[1.0, 2.0]])
    assert compiled(x).item() == 3
    after = net.register_forward_hook(lambda module, inputs, y: y * 2)
    assert compiled(x).item() == 6
    with net.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,)):
        assert compiled(x).item() == 10
    after.remove()
    assert compiled(x).item() == 3


def test_the_mean_of_all_batches_is_compiled(kernels):
    eager, compiled = (nn.BatchNorm1d(2, momentum=None, dtype=np.float64) for _ in range(2))
    run = nbgrad.jit(lambda x: compiled(x))
    for k in range(3):
        x = nbgrad.tensor([[1.0, k], [3.0, -k]])
        np.testing.assert_allclose(run(x).data, eager(x).data)
    np.testing.assert_allclose(compiled.running_mean.data, eager.running_mean.data)
    np.testing.assert_allclose(eager.running_mean.data, [2.0, 0.0], atol=1e-15)


def test_gradients_that_nobody_takes_are_refused():
    net = model()
    with pytest.raises(TypeError, match="it filled grad of a parameter of shape"):
        nbgrad.jit(lambda x: net(x).sum().backward())(np.ones((2, 5)))
    assert net[0].weight.grad is None and type(net[0].weight.data) is np.ndarray


@pytest.mark.parametrize("kind", ["SGD", "Adam", "LBFGS"])
def test_a_graph_from_before_a_step_tells_that_it_needs_what_was_overwritten(kind):
    """As PyTorch's versions do; what needs no elements of the parameters goes back as ever."""
    w, b = (nbgrad.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [0.5, 0.5]))
    optimizer = getattr(nbgrad.optim, kind)([w, b], lr=0.1)
    read, unread, view = (w * w + b).sum(), (w * 3 + b).sum(), (w[None] * w[:, None]).sum()

    def closure():
        loss = (w * w + b).sum()
        optimizer.zero_grad()
        loss.backward()
        return loss

    closure()
    optimizer.step(closure)
    for loss in (read, view):
        with pytest.raises(RuntimeError, match=r"elements of shape \(2,\) .* overwritten by .*: go back before it"):
            loss.backward()
    optimizer.zero_grad()
    unread.backward()
    assert w.grad.tolist() == [3, 3] and b.grad.tolist() == [1, 1]
    optimizer.zero_grad()
    (w * w + b).sum().backward()
    np.testing.assert_allclose(w.grad.data, 2 * w.data)


def test_batch_norm_over_all_batches_is_compiled(kernels):
    first, second = [nn.BatchNorm1d(3, momentum=None) for _ in range(2)]
    run, rng = nbgrad.jit(second), np.random.default_rng(0)
    for _ in range(3):
        x = nbgrad.tensor(rng.normal(size=(5, 3)))
        np.testing.assert_allclose(run(x).data, first(x).data, rtol=1e-9)
    for key, value in first.state_dict().items():
        np.testing.assert_allclose(second.state_dict()[key].data, value.data, rtol=1e-9, err_msg=key)


def given_a_gradient(array, dtype=np.float64):
    x = nn.Parameter(np.ones(3, dtype))
    x.grad = nbgrad.Variable(array, requires_grad=False)
    return x


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_arrays_of_other_shapes_are_refused_ahead_of_everything(name):
    x = given_a_gradient(np.ones(2))
    optimizer = getattr(optim, name)([x])
    with pytest.raises(ValueError, match=r"grad has shape \(2,\), its parameter \(3,\)"):
        optimizer.step()
    x.grad = nbgrad.ones(3)
    optimizer.step()
    after = x.data.copy()
    assert optimizer.state_dict()["state"][0]["step"].item() == 1
    x.data = np.ones(50)  # the kernel was made for three elements
    with pytest.raises(ValueError, match=r"grad has shape \(3,\), its parameter \(50,\)"):
        optimizer.step()
    if name == "Adam":
        x.grad = nbgrad.ones(50)
        with pytest.raises(ValueError, match=r"exp_avg has shape \(3,\), its parameter \(50,\)"):
            optimizer.step()
    x.data, x.grad = after, np.ones(3)
    with pytest.raises(TypeError, match="no Variable"):
        optimizer.step()


def test_cleared_gradients_are_zero_whatever_they_were():
    wild = np.array([np.nan, np.inf, 1.0])
    net = nn.Linear(3, 1, dtype=np.float64)
    for clear in (optim.SGD(net.parameters(), lr=1.0), net):
        net.weight.grad = nbgrad.Variable(wild[None], requires_grad=False)
        clear.zero_grad(set_to_none=False)
        assert not net.weight.grad.data.any()


@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_as_what_they_are_copies_of(how):
    x = given_a_gradient(np.array([1.0, 2.0, 3.0]))
    optimizer = optim.Adam([x], lr=0.1)
    optimizer.step()
    other = how(optimizer)
    (y,) = other.param_groups[0]["params"]
    assert y is not x and isinstance(y, nn.Parameter) and y.grad is None
    for z, one in ((x, optimizer), (y, other)):
        z.grad = nbgrad.ones(3)
        one.step()
    np.testing.assert_array_equal(x.data, y.data)


def test_steps_are_counted_for_the_parameters_that_a_group_has():
    x, y = given_a_gradient(np.ones(3)), given_a_gradient(np.ones(3))
    optimizer = optim.Adam([x], lr=0.1)
    optimizer.step(), optimizer.step()
    optimizer.param_groups[0]["params"].append(y)
    optimizer.step()
    np.testing.assert_allclose(y.data, 0.9)  # its first step
    optimizer.param_groups[0]["params"] = [y, x]
    assert [optimizer.state_dict()["state"][k]["step"].item() for k in (0, 1)] == [1, 3]


def test_options_may_be_set_in_any_way():
    x = given_a_gradient(np.ones(3))
    optimizer = optim.SGD([x], lr=0.1)
    optimizer.param_groups[0] |= {"lr": 0.5}
    assert optimizer.param_groups[0].setdefault("lr", 7.0) == 0.5
    optimizer.step()
    np.testing.assert_allclose(x.data, 0.5)


def train(make, changes=(), steps=4, body=None):
    """Train one model eagerly and its like compiled, change both in the same way, and hold them together."""

    def usual(net, optimizer, x):
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    pairs = []
    for _ in range(2):
        nbgrad.manual_seed(0)
        net = make()
        pairs.append((net, optim.Adam(net.parameters(), lr=0.1)))
    (net, optimizer), (other, its) = pairs
    take = nbgrad.jit(lambda x: (body or usual)(net, optimizer, x))
    rng = np.random.default_rng(0)
    for number in range(steps):
        x = nbgrad.tensor(rng.normal(size=(4, 3)))
        for change in dict(changes).get(number, ()):
            for each in pairs:
                change(*each)
        np.testing.assert_allclose(take(x).data, (body or usual)(other, its, x).data, rtol=1e-6, atol=1e-12)
        kept = [[*each.named_parameters(), *each.named_buffers()] for each in (net, other)]
        for (name, p), (_, q) in zip(*kept, strict=True):
            np.testing.assert_allclose(p.data, q.data, rtol=1e-6, atol=1e-9, err_msg=f"{name} in step {number}")
    return net


def two_layers():
    return nn.Sequential(nn.Linear(3, 4, dtype=np.float64), nn.Tanh(), nn.Linear(4, 2, dtype=np.float64))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(
            nn.Linear(3, 4, dtype=np.float64), nn.BatchNorm1d(4, dtype=np.float64), nn.Linear(4, 2, dtype=np.float64)
        ),
        lambda: nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4, dtype=np.float64)),
            nn.Linear(4, 2, dtype=np.float64),
        ),
    ],
)
def test_what_is_kept_is_written_over_itself_and_nothing_else(make, kernels):
    train(make)  # arrays of one size, any of which another could be written over


def swapped(m, x):
    kept = m.a.clone()
    m.a.copy_(m.b)
    m.b.copy_(kept)


def shifted(m, x):
    m.c.copy_(m.b * 2.0)
    m.b.copy_(m.a * 2.0)
    m.a.copy_(x * 2.0)


def all_the_same(m, x):
    y = m.a * 2.0 + x
    m.a.copy_(y)
    m.b.copy_(y)
    m.c.copy_(y.flip(0))
    return y.clone()


def earlier(m, x):
    kept = m.a.clone()
    m.a.mul_(2.0)
    return kept, x - m.a


def by_rows(m, x):
    m.a.copy_(nbgrad.softmax(m.b, 0))
    m.b.copy_(nbgrad.softmax(m.a + m.c, 0))
    m.c.copy_(nbgrad.cumsum(m.c, 0))
    return m.a * 1.0


@pytest.mark.parametrize("body", [swapped, shifted, all_the_same, earlier, by_rows])
def test_each_buffer_is_written_over_itself_and_results_over_none(body, kernels):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            for number, name in enumerate("abc"):
                self.register_buffer(name, nbgrad.tensor([1.0, 2.0, 4.0]) * (number + 1))

        def forward(self, x):
            return body(self, x)

    eager, compiled = Net(), Net()
    run = nbgrad.jit(compiled)
    given = []
    for number in range(3):
        x = nbgrad.ones(3) * number
        results = [y if isinstance(y, tuple) else (y,) for y in (run(x), eager(x)) if y is not None]
        given += [(found, expected.data.copy()) for found, expected in zip(*results, strict=True)]
        for (name, found), expected in zip(compiled.named_buffers(), eager.buffers(), strict=True):
            np.testing.assert_allclose(found.data, expected.data, rtol=1e-12, err_msg=name)
    for found, expected in given:
        np.testing.assert_allclose(found.data, expected, rtol=1e-12)


def test_buffers_that_are_assigned_in_compiled_functions(kernels):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2, dtype=np.float64)
            self.register_buffer("mean", nbgrad.zeros(()))
            self.register_buffer("last", nbgrad.zeros(4, 2))
            self.register_buffer("earlier", nbgrad.ones(4, 2))

        def forward(self, x):
            y = self.layer(x)
            with nbgrad.no_grad():
                self.mean = 0.9 * self.mean
                self.mean.add_(y.mean(), alpha=0.1)
                self.earlier, self.last = self.last, y.detach() * self.earlier
            return y + self.mean

    net = train(Net)
    assert type(net.mean.data) is np.ndarray and list(net._buffers) == ["mean", "last", "earlier"]


@pytest.mark.parametrize("name", ["other", "nothing", "shared"])
def test_buffers_that_no_run_would_assign_are_refused(name):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("other", nbgrad.zeros(2))
            self.register_buffer("nothing", None)
            self.register_buffer("shared", nbgrad.zeros(3))
            self.register_buffer("sharing", self.shared)

        def forward(self, x):
            setattr(self, name, x * 2.0)
            return x

    net = Net()
    before = dict(net._buffers)
    with pytest.raises(TypeError, match=f"jit: the traced function put an array of shape .* where the buffer '{name}'"):
        nbgrad.jit(net)(nbgrad.ones(3))
    assert all(net._buffers[key] is value for key, value in before.items())


def freeze(wanted):
    return lambda net, optimizer: [setattr(p, "requires_grad", wanted) for p in net[0].parameters()]


def tripled(net, optimizer):
    net.handle = net[0].weight.register_hook(lambda g: g * 3)


@pytest.mark.parametrize(
    "changes",
    [
        {1: [freeze(False)], 3: [freeze(True)]},
        {1: [tripled], 2: [lambda net, optimizer: net.handle.remove()]},
        {1: [lambda net, optimizer: setattr(net[0], "forward", lambda x, old=net[0].forward: old(x) * 2)]},
        {2: [lambda net, optimizer: optimizer.state.clear()]},
    ],
)
def test_compiled_steps_follow_what_was_set_in_between(changes):  # calls are recognised quickly if compiled only
    train(two_layers, changes)


@pytest.mark.parametrize(
    "change", [lambda group: group["params"].pop(), lambda group: group.update(params=group["params"][:2])]
)
def test_compiled_steps_notice_parameters_that_were_taken_away(change):
    net = two_layers()
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    @nbgrad.jit
    def step(x):
        optimizer.zero_grad()
        net(x).sum().backward()
        optimizer.step()

    step(nbgrad.ones(1, 3))
    change(optimizer.param_groups[0])
    with pytest.raises(TypeError, match=r"filled grad of a parameter .* that no optimiser changed"):
        step(nbgrad.ones(1, 3))


def test_gradients_that_runs_would_not_add_to_are_told_of():
    def body(net, optimizer, x):
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    with pytest.warns(UserWarning, match=r"fills gradients that it does not forget.*optimizer.zero_grad\(\)"):
        train(two_layers, {k: [lambda net, optimizer: optimizer.zero_grad()] for k in range(4)}, body=body)

    def forgetting(net, optimizer, x):
        loss = body(net, optimizer, x)
        net.zero_grad(set_to_none=False)
        return loss

    train(two_layers, body=forgetting)

    def written_to(net, optimizer, x):
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        for p in net.parameters():
            p.grad.mul_(0.5).add_(p.detach(), alpha=0.1)
        optimizer.step()
        return loss

    train(two_layers, body=written_to)
    net = two_layers()
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="does not forget"):
        step = nbgrad.jit(lambda x: body(net, optimizer, x))
        step(nbgrad.ones(1, 3))
    net(nbgrad.ones(1, 3)).sum().backward()
    with pytest.raises(TypeError, match="has a gradient, to which eager mode would add and no run does"):
        step(nbgrad.ones(1, 3))


def test_parameters_that_a_compiled_function_does_not_use_have_no_gradient(kernels):
    used, unused = (nn.Linear(3, 2, dtype=np.float64) for _ in range(2))
    net = nn.ModuleList([used, unused])
    optimizer = optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    before = unused.weight.data.copy()
    run = nbgrad.jit(lambda x: net[0](x) + net[1].bias.detach())
    for _ in range(2):
        run(nbgrad.ones(1, 3)).sum().backward()
        assert unused.weight.grad is None and unused.bias.grad is None
        np.testing.assert_array_equal(used.weight.grad.data, np.ones((2, 3)))
        optimizer.step()
        optimizer.zero_grad()
    np.testing.assert_array_equal(unused.weight.data, before)
