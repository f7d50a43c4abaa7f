"""Subclasses of Variable, copies and pickles."""

import copy
import pickle

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable


class Parameter(Variable):
    """A subclass, as users write them."""


def test_a_subclass_gets_its_gradient():
    p = Parameter(np.array([1.0, 2.0]))
    y = (p * p + nbgrad.exp(p)).sum() + nbgrad.cat([p, p]).sum() + p @ p
    y.backward()
    np.testing.assert_allclose(p.grad.data, 4 * p.data + np.exp(p.data) + 2)
    (g,) = nbgrad.autograd.grad((p**3).sum(), p, create_graph=True)
    (gg,) = nbgrad.autograd.grad(g.sum(), p)
    np.testing.assert_allclose(gg.data, 6 * p.data)


def test_copies_of_leaves():
    x = Variable(np.array([1.0, 2.0]), name="w")
    x.grad = nbgrad.ones(2)
    x.register_hook(lambda g: g * 100)
    deep = copy.deepcopy(x)
    assert not np.shares_memory(deep.data, x.data) and not np.shares_memory(deep.grad.data, x.grad.data)
    assert deep.requires_grad and deep.is_leaf and deep.name == "w" and type(deep) is Variable
    (deep * deep).sum().backward()
    np.testing.assert_array_equal(deep.grad.data, [3, 5])
    np.testing.assert_array_equal(x.grad.data, [1, 1])
    shallow = copy.copy(x)
    assert shallow.data is x.data and shallow.requires_grad and shallow.grad is None
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1] is not x
    assert not copy.deepcopy(nbgrad.ones(2)).requires_grad


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_leaves(protocol):
    p = Parameter(np.array([1.0, 2.0]), name="w")
    p.scale = 3.0
    p.grad = nbgrad.ones(2)
    p.register_hook(lambda g: None)
    for x in (p, p * 2, p.sum(), nbgrad.ones(2), (p > 1)):
        y = pickle.loads(pickle.dumps(x, protocol))
        assert type(y) is type(x) and y.requires_grad == x.requires_grad and y.is_leaf and y.name == x.name
        assert y.grad is None and y.generation == 0
        np.testing.assert_array_equal(y.data, x.data)
    y = pickle.loads(pickle.dumps(p, protocol))
    assert y.scale == 3 and copy.deepcopy(p).scale == 3
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.grad.data, [2, 4])


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: copy.deepcopy([x, x])[1], lambda x: copy.copy(2.0 * x) / 2.0]
)
def test_copies_inside_of_a_function_being_differentiated_go_on(copied):
    x = np.array([1.0, 2.0, 3.0])
    gradient = nbgrad.grad(lambda x: (copied(x) ** 2).sum())
    for compiled in (gradient, nbgrad.jit(gradient)):
        np.testing.assert_array_equal(compiled(x), 2.0 * x)
    np.testing.assert_array_equal(nbgrad.grad(lambda x: gradient(x).sum())(x), [2.0, 2.0, 2.0])


def test_copies_of_computed_variables():
    y = Variable(np.ones(2)) * 2
    with pytest.raises(RuntimeError, match=r"deep copy of a computed Variable.*x\.detach\(\)\.clone\(\)"):
        copy.deepcopy({"y": [y]})
    shallow = copy.copy(y)
    assert shallow.is_leaf and shallow.requires_grad and shallow.data is y.data
    torch = peer("torch")
    t = torch.ones(2, requires_grad=True) * 2
    assert copy.copy(t).is_leaf and pickle.loads(pickle.dumps(t)).is_leaf
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(t)


def test_masked_arrays_lose_no_gradient():
    masked, x = np.ma.masked_array([1.0, 2.0], [True, False]), nbgrad.tensor([1.0, 2.0], requires_grad=True)
    for function in (lambda: masked * x, lambda: np.ma.multiply(masked, x)):
        with pytest.raises((TypeError, RuntimeError)):
            function()


def test_methods_of_arrays_that_are_numpys_functions():
    x = Variable(np.array([[3.0, 1.0], [2.0, 4.0]]))
    (x.ravel() @ x.take([0, 1, 2, 3]) + x.trace() + x.diagonal().sum()).backward()
    np.testing.assert_array_equal(x.grad.data, [[8, 2], [4, 10]])
    assert x.argmax() == 3 and x.argmin(0).tolist() == [1, 0] and x.round().tolist() == x.tolist()
    with pytest.raises(AttributeError, match="'Variable' object has no attribute 'tofile'"):
        x.tofile("name")


def test_pytorchs_other_names_of_methods():
    torch = peer("torch")
    values = np.arange(1.0, 10.0).reshape(3, 3) ** 1.5
    x, t = nbgrad.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    for name in ("nelement", "ndimension", "element_size", "is_floating_point", "is_contiguous", "stride"):
        for a, b in ((x, t), (x.t(), t.t())):
            assert getattr(a, name)() == getattr(b, name)(), name
    assert x.stride(0) == t.stride(0) and x.type_as(nbgrad.ones(1, dtype=np.float32)).dtype == np.float32

    def total(x, library):
        zero = library.zeros_like(x)
        found = x.inverse() + x.where(x > 5, zero) + x.multiply(2).subtract(x).negative() + (x / 30).arcsin()
        return (found * x.greater(x - 1) + x.absolute().arctan2(x * 2)).sum()

    total(x, nbgrad).backward()
    total(t, torch).backward()
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-9)
