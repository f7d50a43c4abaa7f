"""nbgrad.autograd.grad, with PyTorch's signature."""

import inspect

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.autograd import grad


def leaves(*arrays):
    return [Variable(np.array(a, dtype=np.float64)) for a in arrays]


def test_the_signature_is_torchs():
    torch = peer("torch")
    names = list(inspect.signature(torch.autograd.grad).parameters)
    assert list(inspect.signature(grad).parameters) == names


def test_gives_a_tuple_and_leaves_grad_alone():
    x, w = leaves([1.0, 2.0], [3.0, 4.0])
    results = grad((x * w).sum(), [x, w])
    assert type(results) is tuple
    np.testing.assert_array_equal(results[0].data, [3, 4])
    np.testing.assert_array_equal(results[1].data, [1, 2])
    assert x.grad is None and w.grad is None
    assert not results[0].requires_grad and results[0].creator is None
    assert type(grad((x * w).sum(), x)) is tuple


def test_several_outputs_are_summed_with_their_cotangents():
    torch = peer("torch")

    def program(library, x, make):
        a, b = library.tanh(x), x * x
        return library.autograd.grad([a, b.sum(), a], x, [make([1.0, 2.0]), None, make([0.5, 0.25])])

    (mine,) = program(nbgrad, leaves([0.5, -1.0])[0], nbgrad.tensor)
    (expected,) = program(
        torch,
        torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True),
        lambda v: torch.tensor(v, dtype=torch.float64),
    )
    np.testing.assert_allclose(mine.data, expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("seed", [np.array([1.0, 3.0]), nbgrad.tensor([1.0, 3.0]), [np.array([1.0, 3.0])]])
def test_one_cotangent_may_stand_alone(seed):
    (x,) = leaves([1.0, 2.0])
    np.testing.assert_array_equal(grad(x * x, x, seed)[0].data, [2, 12])
    np.testing.assert_array_equal(grad([x * x], [x], seed)[0].data, [2, 12])


def test_the_number_of_cotangents():
    (x,) = leaves([1.0, 2.0])
    with pytest.raises(ValueError, match="2 outputs and 1 grad_outputs"):
        grad([x * x, x * 2], x, [np.ones(2)])
    with pytest.raises(ValueError, match="1 outputs and 2 grad_outputs"):
        grad([x * x], x, [np.ones(2), np.ones(2)])


def test_unused_inputs():
    x, w = leaves([1.0, 2.0], [3.0, 4.0])
    y = (x * x).sum()
    for options in ({}, {"allow_unused": False}):
        with pytest.raises(RuntimeError, match=r"input 1 of shape \(2,\) was not used.*allow_unused=True"):
            grad(y, [x, w], retain_graph=True, **options)
    gx, gw = grad(y, [x, w], retain_graph=True, allow_unused=True)
    np.testing.assert_array_equal(gx.data, [2, 4])
    assert gw is None
    for options in ({}, {"allow_unused": True}):
        gx, gw = grad(y, [x, w], retain_graph=True, materialize_grads=True, **options)
        np.testing.assert_array_equal(gw.data, [0, 0])
        assert gw.dtype == np.float64 and not gw.requires_grad
    with pytest.raises(ValueError, match="materialize_grads gives zeros"):
        grad(y, [x, w], materialize_grads=True, allow_unused=False)
    with pytest.raises(ValueError, match="is_grads_batched is not supported"):
        grad(y, x, is_grads_batched=True)
    np.testing.assert_array_equal(grad(y, x)[0].data, [2, 4])


def test_an_input_computed_from_the_used_one_is_unused():
    (x,) = leaves([1.0, 2.0])
    beside = x * 2
    with pytest.raises(RuntimeError, match="was not used"):
        grad((x * x).sum(), beside)


def test_zeros_have_the_inputs_dtype_and_shape():
    w = Variable(np.ones((2, 3), np.float32))
    (x,) = leaves([1.0])
    (g,) = grad(x.sum(), w, materialize_grads=True)
    assert g.dtype == np.float32 and g.shape == (2, 3)


def test_create_graph_links_to_inputs_and_cotangents():
    x, seed = leaves([1.0, 2.0], [3.0, 5.0])
    (g,) = grad(x * x, x, seed, create_graph=True)
    gx, gs = grad(g.sum(), [x, seed])
    np.testing.assert_array_equal(gx.data, 2 * seed.data)
    np.testing.assert_array_equal(gs.data, 2 * x.data)
    # without it the cotangent is a constant
    (g,) = grad(x * x, x, seed)
    assert not g.requires_grad


def test_forward_mode_by_two_walks_agrees_with_torch():
    torch = peer("torch")
    a, direction = np.array([0.5, -0.2, 1.0]), np.array([1.0, 2.0, -1.0])

    def program(library, x, v, zeros):
        y = library.tanh(x) * x.sum()
        u = zeros
        (pulled,) = library.autograd.grad(y, x, u, create_graph=True)
        (pushed,) = library.autograd.grad(pulled, u, v)
        return pushed

    mine = program(nbgrad, Variable(a), Variable(direction), Variable(np.zeros(3)))
    tensor = torch.tensor
    expected = program(
        torch,
        tensor(a, requires_grad=True),
        tensor(direction),
        torch.zeros(3, dtype=torch.float64, requires_grad=True),
    )
    np.testing.assert_allclose(mine.data, expected.detach().numpy(), rtol=1e-12)


def test_what_cannot_be_an_output_or_input():
    (x,) = leaves([1.0])
    with pytest.raises(TypeError, match="output is a ndarray; only Variables have gradients"):
        grad([np.ones(1)], x)
    with pytest.raises(TypeError, match="input 0 is a float"):
        grad(x.sum(), [1.0])
    with pytest.raises(TypeError, match="input 0 has dtype int64, which has no gradients"):
        grad(x.sum(), nbgrad.tensor([1]))
    with pytest.raises(RuntimeError, match="input 0 does not require a gradient: set requires_grad=True"):
        grad(x.sum(), nbgrad.tensor([1.0]))


def test_the_same_input_twice():
    (x,) = leaves([1.0, 2.0])
    first, second = grad((x * x).sum(), [x, x])
    np.testing.assert_array_equal(first.data, second.data)
    first.zero_()
    np.testing.assert_array_equal(second.data, [2, 4])


def test_hooks_change_what_is_given():
    x, w = leaves([1.0, 2.0], [3.0, 4.0])
    y = x * w
    x.register_hook(lambda g: g * 2)
    y.register_hook(lambda g: g + 1)
    gx, gy = grad(y.sum(), [x, y])
    np.testing.assert_array_equal(gx.data, 2 * 2 * w.data)
    np.testing.assert_array_equal(gy.data, [2, 2])


def test_several_roots_are_walked_back_from_at_once():
    x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    nbgrad.autograd.backward([x * 2, (x * x).sum(), x * 3], [nbgrad.ones(2), None, nbgrad.tensor([1.0, 0.0])])
    np.testing.assert_array_equal(x.grad.data, [2 + 2 + 3, 2 + 4])
    x.grad = None
    nbgrad.autograd.backward((x * x).sum(), create_graph=True)
    x.grad.sum().backward(inputs=[x])
    np.testing.assert_array_equal(x.grad.data, [4, 6])
    for tensors, cotangents, error in (
        ([x * 2, x.sum()], None, RuntimeError),
        ([x * 2, x.sum()], [nbgrad.ones(3), None], ValueError),
        ([x * 2, x * 2], [nbgrad.ones(2)], ValueError),
        ([], None, ValueError),
    ):
        with pytest.raises(error, match="backward"):
            nbgrad.autograd.backward(tensors, cotangents)
