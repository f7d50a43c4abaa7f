"""What the graph keeps of what was computed, and what it gives where it kept nothing."""

import numpy as np
import pytest
from graphs import vector

import nbgrad
from nbgrad import Function, Variable, function
from nbgrad.autograd import grad
from nbgrad.kernels import placement

# ---- what the graph keeps -------------------------------------------------------------------------------------------

BIG = function.LARGE // 8 + 1


def kept(y):
    """Count the large arrays that the graph behind a Variable keeps: those whose elements take memory."""
    arrays = set()
    seen = set()
    stack = [y.creator]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack.extend(x.creator for x in node.inputs)
        held = [x.data for x in node.inputs if x._generation != 0]
        held += [] if node.output is None else [node.output]
        arrays |= {id(array) for array in held if array.nbytes > function.LARGE and any(array.strides)}
    return len(arrays)


CHAINS = {
    "x + 1": (lambda y: y + 1, 0),
    "x - c": (lambda y: y - nbgrad.ones(BIG), 0),
    "-x": (lambda y: -y, 0),
    "x * 2.5": (lambda y: y * 2.5, 0),
    "x / 2.5": (lambda y: y / 2.5, 0),
    "reshape": (lambda y: y.reshape(1, -1).reshape(-1), 0),
    "permute": (lambda y: y.reshape(-1, 1).T[0], 0),
    "cat": (lambda y: nbgrad.cat([y[1:], y[:1]]), 0),
    "product of two": (lambda y: y * (y + 1), 2),
    "exp": (lambda y: nbgrad.exp(y), 1),
    "relu": (lambda y: nbgrad.relu(y), 1),
    "sin": (lambda y: nbgrad.sin(y), 1),
    "softmax": (lambda y: nbgrad.softmax(y, 0), 1),
}


@pytest.mark.parametrize("operation", [nbgrad.mul, nbgrad.div, nbgrad.pow, nbgrad.maximum])
@pytest.mark.parametrize("shape", [(BIG,), ()])
def test_what_requires_a_gradient_only_after_its_use_gets_none(operation, shape):
    """Nothing was kept for it: PyTorch gives none either."""
    constant = nbgrad.tensor(np.full(shape, 2.0))
    x = Variable(np.linspace(1, 2, BIG))
    y = operation(x + 1, constant) + operation(constant, x + 1) + (constant * nbgrad.ones(BIG)) @ (x + 1)
    constant.requires_grad = True
    y.sum().backward()
    assert constant.grad is None and np.isfinite(x.grad.data).all()


@pytest.mark.parametrize("name", CHAINS)
def test_the_graph_keeps_what_rules_read(name):
    step, arrays = CHAINS[name]
    x = Variable(np.linspace(-1, 1, BIG))
    y, counts = x, []
    for _ in range(3):
        y = step(y)
        counts.append(kept(y + 0))
    assert counts[2] - counts[1] == arrays


def test_products_keep_the_factors_that_are_read():
    for first, second in [(True, True), (True, False), (False, True)]:
        x, w = (Variable(np.ones(shape), requires_grad=g) for shape, g in [((2, BIG), first), ((BIG, 2), second)])
        node = ((x * 1.0) @ (w * 1.0)).creator
        assert [any(factor.data.strides) for factor in node.inputs] == [second, first]
        assert [factor.shape for factor in node.inputs] == [x.shape, w.shape]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_by_what_the_graph_does_not_keep(dtype, create_graph):
    size = function.LARGE // np.dtype(dtype).itemsize + 1
    x = Variable(np.linspace(0.5, 1.5, size, dtype=dtype))
    a = x * x
    b = a + 1  # whose graph has something else in the place of a
    unused = a * 3
    assert b.creator.inputs[0] is not a and b.creator.inputs[0].creator is a.creator
    y = (b * b).sum() + (a > 1).sum().astype(dtype)
    by_a, by_b, by_x = grad(y, (a, b, x), retain_graph=True, create_graph=create_graph)
    np.testing.assert_allclose(by_a.data, 2 * b.data)
    np.testing.assert_allclose(by_x.data, 4 * b.data * x.data, rtol=1e-6)
    np.testing.assert_array_equal(by_b.data, by_a.data)
    assert by_a.dtype == by_x.dtype == dtype
    assert grad(y, unused, allow_unused=True, retain_graph=True) == (None,)
    a.retain_grad()
    y.backward(inputs=[a, x], create_graph=create_graph)
    np.testing.assert_array_equal(a.grad.data, by_a.data)
    np.testing.assert_array_equal(x.grad.data, by_x.data)
    assert (a.grad.creator is not None) == create_graph


def test_outputs_of_several_are_told_apart_where_they_are_not_kept():
    class Halves(Function):
        def forward(self, x):
            return x[:BIG] * 2.0, x[BIG:] * 3.0

        def vjp(self, gys, ys, x):
            return nbgrad.cat([gys[0] * 2.0, gys[1] * 3.0])

    x = Variable(np.ones(2 * BIG))
    first, second = Halves()(x)
    y = (second + 1).sum()
    assert grad(y, first, allow_unused=True, retain_graph=True) == (None,)
    (by_second,) = grad(y, second, retain_graph=True)
    np.testing.assert_array_equal(by_second.data, np.ones(BIG))
    y.backward()
    np.testing.assert_array_equal(x.grad.data, np.repeat([0.0, 3.0], BIG))


def test_hooks_of_what_the_graph_does_not_keep():
    x = Variable(np.ones(BIG))
    a = x * 2
    seen = []
    a.register_hook(seen.append)
    a.retain_grad()
    y = (a + 1).sum()
    y.backward()
    np.testing.assert_array_equal(seen[0].data, np.ones(BIG))
    np.testing.assert_array_equal(a.grad.data, np.ones(BIG))


# ---- arrays put in place of others ----------------------------------------------------------------------------------


@pytest.mark.parametrize("old, new", [
    (np.ones((3, 4)), np.ones((2, 6))),
    (np.ones(4, np.float32), np.ones(2)),
    (np.ones(4, np.float32), np.ones(4)),
    (np.ones(3), np.ones(4)),
], ids=["shape", "dtype of the same bytes", "dtype", "size"])  # fmt: skip
@pytest.mark.parametrize("create_graph", [False, True])
def test_an_array_of_another_shape_or_dtype_between_forward_and_backward(monkeypatch, old, new, create_graph):
    monkeypatch.setattr(placement, "away", {})  # where other targets take part, cotangents are made to fit
    x, other = Variable(old), Variable(old.copy())
    y = (x * other).sum() + (other * other).sum()
    x.data = new
    for walk in (y.backward, lambda **options: grad(y, x, **options)):
        with pytest.raises((RuntimeError, ValueError), match=r"replaced after the forward|broadcast"):
            walk(retain_graph=True, create_graph=create_graph)
        assert x.grad is None and other.grad is None
    assert (x * 2).sum().backward() is None
    assert x.grad.shape == new.shape and x.grad.dtype == new.dtype


def test_an_array_of_the_same_shape_may_take_the_place():
    x = vector(1.0, 2.0)
    y = (x * x).sum()
    x.data = np.array([3.0, 4.0])
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [6, 8])  # of the values that are there now
