"""Compiled functions in the graph: gradients through them."""

import os

import numpy as np
import pytest
from workers import run_python

import nbgrad
from nbgrad import Variable

X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)


def energy(x, w=2.0):
    return (nbgrad.tanh(x * w) ** 2).sum()


def test_transforms_outside():
    compiled = nbgrad.jit(energy)
    np.testing.assert_allclose(nbgrad.grad(compiled)(X), nbgrad.grad(energy)(X), rtol=1e-13)
    twice = nbgrad.grad(lambda x: nbgrad.grad(compiled)(x).sum())(X)
    np.testing.assert_allclose(twice, nbgrad.grad(lambda x: nbgrad.grad(energy)(x).sum())(X), rtol=1e-12, atol=1e-15)


def test_one_function_in_the_graph():
    x, w = Variable(X), Variable(np.array(0.5))
    y = nbgrad.jit(energy)(nbgrad.exp(x), w) * 2
    y.backward()
    a, b = Variable(X), Variable(np.array(0.5))
    (energy(nbgrad.exp(a), b) * 2).backward()
    np.testing.assert_allclose(x.grad.data, a.grad.data, rtol=1e-12)
    np.testing.assert_allclose(w.grad.data, b.grad.data, rtol=1e-12)
    functions = [y.creator, y.creator.inputs[0].creator if y.creator.inputs else None]
    assert type(functions[0]).__name__ == "mul"


def test_several_results_and_inputs_without_gradient():
    @nbgrad.jit
    def function(x, index):
        return x * 2, (x * index).sum(), index + 1

    x, index = Variable(X), Variable(np.arange(4))
    first, second, third = function(x, index)
    assert not third.requires_grad
    (first.sum() + second).backward()
    np.testing.assert_allclose(x.grad.data, np.broadcast_to(2 + np.arange(4.0), X.shape))
    x.cleargrad()
    function(x, index)[1].backward()
    np.testing.assert_allclose(x.grad.data, np.broadcast_to(np.arange(4.0), X.shape))


def test_value_and_gradient_come_from_one_run():
    calls: list[int] = []
    x = Variable(np.ones(20))
    y = nbgrad.jit(lambda x: x * (calls.append(1) or len(calls)))(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, y.data)


def test_functions_with_a_backward_of_numpys():
    class Square(nbgrad.Function):
        def forward(self, x):
            return x**2

        def backward(self, gy):
            return 2 * self.inputs[0].data * gy

    x = Variable(X)
    nbgrad.jit(lambda x: Square()(nbgrad.sin(x)).sum())(x).backward()
    np.testing.assert_allclose(x.grad.data, 2 * np.sin(X) * np.cos(X), rtol=1e-12)


def test_results_without_gradient():
    x = Variable(X)

    @nbgrad.jit
    def function(x):
        with nbgrad.no_grad():
            fixed = x * 2
        return x * 3, fixed, x.detach() * 4

    first, second, third = function(x)
    assert (first.requires_grad, second.requires_grad, third.requires_grad) == (True, False, False)


@pytest.mark.parametrize("replaced", [np.ones(4), np.ones(3, np.float32), np.ones((3, 1))])
def test_data_of_another_kind_is_refused_on_the_way_back(replaced):
    compiled = nbgrad.jit(lambda x: nbgrad.sum(x * x))
    for create_graph in (False, True):
        x = nbgrad.ones(3, requires_grad=True)
        y = compiled(x)
        x.data = replaced
        with pytest.raises(ValueError, match=r"jit: the data of an argument has shape .* where float64 of shape \(3,"):
            nbgrad.autograd.grad(y, x, create_graph=create_graph)
        x.data = np.full(3, 2.0)


def test_nests_of_variables_and_numbers_take_gradients_at_every_call():
    compiled = nbgrad.jit(lambda p, x: nbgrad.sum(p["w"] * x * p["rate"]))
    w = nbgrad.ones(3, requires_grad=True)
    for n in range(1, 4):
        w.grad = None
        compiled({"w": w, "rate": float(n)}, np.full(3, 2.0)).backward()
        assert w.grad.tolist() == [2.0 * n] * 3
        with nbgrad.no_grad():
            assert not compiled({"w": w, "rate": float(n)}, np.full(3, 2.0)).requires_grad


def test_only_results_of_what_requires_gradients_require_them():
    compiled = nbgrad.jit(lambda x, w: (x * 2, w * 2))
    x, w = nbgrad.tensor([1.0], requires_grad=True), nbgrad.tensor([1.0])
    for a, b in ((x, w), (w, x), (x, x), (w, w), (x, w)):
        assert [y.requires_grad for y in compiled(a, b)] == [a.requires_grad, b.requires_grad]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_while_another_thread_compiles_a_way_back():
    program = """
import os, threading, warnings
import numpy as np, nbgrad
warnings.simplefilter("ignore")
stop = threading.Event()
def work():
    for n in range(12):
        x = nbgrad.tensor(np.ones(3), requires_grad=True)
        nbgrad.jit(lambda x: (x * (n + 0.25)).sum())(x).backward()
    stop.set()
thread = threading.Thread(target=work)
thread.start()
while not stop.is_set():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
thread.join()
"""
    run_python(program)
