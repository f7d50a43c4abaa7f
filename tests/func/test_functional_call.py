"""Modules as functions of their parameters, and many models at once, held against torch.func."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import func, nn

RNG = np.random.default_rng(5)
X = RNG.normal(size=(5, 3))
STATES = [[RNG.normal(size=shape) for shape in ((4, 3), (4,), (1, 4), (1,))] for _ in range(3)]


def figures(library, func):
    """Give outputs and gradients of models one by one, of all at once, and for each example."""
    net, tensor = library.nn, library.from_numpy
    models = [net.Sequential(net.Linear(3, 4), net.Tanh(), net.Linear(4, 1)) for _ in STATES]
    for model, state in zip(models, STATES, strict=True):
        model.load_state_dict(dict(zip(model.state_dict(), map(tensor, state), strict=True)), assign=True)
    parameters, buffers = func.stack_module_state(models)
    x = tensor(X)

    def error(parameters, x):
        return (func.functional_call(models[0], (parameters, buffers), (x,)) ** 2).mean()

    own = {name: value.detach() for name, value in models[1].named_parameters()}
    found = [*parameters.values(), func.vmap(error, (0, None))(parameters, x)]
    found += func.vmap(func.grad(error), (0, None))(parameters, x).values()
    found += func.grad(error)(own, x).values()
    found += func.vmap(func.grad(error), (None, 0))(own, x).values()
    found.append(func.hessian(lambda bias: error({"2.bias": bias}, x))(own["2.bias"]))
    found += models[0].parameters()
    return [value.detach().numpy() for value in found]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own
def test_as_in_pytorch():
    torch = peer("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        expected = figures(torch, torch.func)
    finally:
        torch.set_default_dtype(before)
    for a, b in zip(figures(nbgrad, func), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_gradients_go_through_steps_of_training():
    """Of a line fitted by one step, by arrays, compiled and not, as worked out by hand."""
    model = nn.Linear(1, 1, bias=False, dtype=np.float64)
    kept = model.weight

    def after_a_step(w):
        def error(w):
            return ((func.functional_call(model, {"weight": w}, np.ones((1, 1))) - 3.0) ** 2).sum()

        return error(w - 0.1 * nbgrad.grad(error)(w))

    w = np.array([[1.0]])
    for gradient in (nbgrad.grad(after_a_step), nbgrad.jit(nbgrad.grad(after_a_step))):
        np.testing.assert_allclose(gradient(w), 2 * 0.8 * (0.8 * (w - 3)))
        assert model.weight is kept


def test_buffers_and_what_is_in_several_places():
    norm = nn.BatchNorm1d(2)
    state = {name: value.clone() for name, value in norm.state_dict().items()}
    func.functional_call(norm.eval(), state | {"running_mean": nbgrad.ones(2)}, nbgrad.ones(3, 2))
    np.testing.assert_array_equal(norm.running_mean.data, [0, 0])
    shared = nn.Linear(2, 2, bias=False)
    twice = nn.Sequential(shared, nn.Linear(2, 2, bias=False))
    twice[1].weight = shared.weight
    double = {"0.weight": nbgrad.eye(2) * 2}
    np.testing.assert_array_equal(func.functional_call(twice, double, nbgrad.ones(2)).data, [4, 4])
    shared.weight.data[...] = np.eye(2)
    np.testing.assert_array_equal(func.functional_call(twice, double, nbgrad.ones(2), tie_weights=False).data, [2, 2])


def test_what_is_refused():
    model = nn.Linear(2, 1)
    weight = model.weight.detach()
    with pytest.raises(KeyError, match="Linear has no"):
        func.functional_call(model, {"wait": weight}, nbgrad.ones(2))
    with pytest.raises(ValueError, match="given twice"):
        func.functional_call(model, [{"weight": weight}, {"weight": weight}], nbgrad.ones(2))
    with pytest.raises(RuntimeError, match=r"\['bias'\] are missing"):
        func.functional_call(model, {"weight": weight}, nbgrad.ones(2), strict=True)
    kept = model.weight
    with pytest.raises(ValueError, match=r"matmul|linear|shape"):
        func.functional_call(model, {"weight": weight}, nbgrad.ones(3))
    assert model.weight is kept
    for models in ([], [model, nn.Identity()], [model, nn.Linear(2, 1).eval()]):
        with pytest.raises(ValueError, match="stack_module_state"):
            func.stack_module_state(models)
