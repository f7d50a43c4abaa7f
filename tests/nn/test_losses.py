"""Losses as one node: what the graph keeps, arrays of many elements, and what goes by other ways."""

import cases
import numpy as np
import pytest
from cases import DTYPES, TOLERANCE, draw
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.nn import classes, functional, losses
from nbgrad.ops.places import SumsAt

ELEMENTWISE = {
    "mse_loss": losses.SQUARED_ERROR,
    "l1_loss": losses.ABSOLUTE_ERROR,
    "smooth_l1_loss": losses.SMOOTH_L1,
    "binary_cross_entropy": losses.BCE,
    "binary_cross_entropy_with_logits": losses.BCE_WITH_LOGITS,
}
PROBABILITIES = ((0.05, 0.95),)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_elementwise_loss_is_one_node(name):
    x = Variable(draw(PROBABILITIES, (3, 4)))
    y = getattr(functional, name)(x, x.data.copy())
    assert isinstance(y.creator, losses.Reduced)
    assert y.creator.inputs[0] is x


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_a_loss_of_classes_is_one_node(name):
    x = Variable(draw(cases.ANY, (3, 4)))
    y = getattr(functional, name)(x, np.array([0, 3, 1]))
    assert type(y.creator) is {"cross_entropy": classes.CrossEntropy, "nll_loss": SumsAt}[name]
    assert y.creator.inputs[0] is x
    x = Variable(draw(cases.ANY, (1100, 4)))  # which is no small one
    y = getattr(functional, name)(x, np.arange(1100) % 4)
    assert type(y.creator) is {"cross_entropy": classes.CrossEntropy, "nll_loss": classes.Nll}[name]


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1 << 17, (1 << 17) + 1001])
def test_many_elements_are_added_in_pieces(name, reduction, dtype, size):
    torch = peer("torch")
    x, target = draw(cases.ANY, (size,), dtype), draw(cases.ANY, (size,), dtype, 1)
    found, gradients = cases.with_gradients(
        lambda x, t: getattr(functional, name)(x, t, reduction=reduction), [x, target], np.ones((), dtype)
    )
    assert found.dtype == dtype
    each = abs(x.astype(float) - target) if name == "l1_loss" else (x.astype(float) - target) ** 2
    np.testing.assert_allclose(found, getattr(np, reduction)(each), rtol=1e-6 if dtype == "float32" else 1e-13)
    in_torch = getattr(torch.nn.functional, name)
    _, expected = cases.with_torch(
        lambda t, x, target: in_torch(x, target, reduction=reduction), [x, target], np.ones((), dtype)
    )
    for gradient, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, **TOLERANCE[dtype])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_other_dtypes_go_by_the_functions_that_a_loss_is_made_of(reduction):
    x, target = Variable(draw(cases.ANY, (3, 4), "float32")), Variable(draw(cases.ANY, (3, 4)))
    y = functional.mse_loss(x, target, reduction=reduction)
    assert not isinstance(y.creator, losses.Reduced)
    y.backward()
    assert x.grad.dtype == np.float32 and target.grad.dtype == np.float64
    half, labels = Variable(draw(cases.ANY, (3, 4), "float16")), np.array([0, 3, 1])
    expected = functional.cross_entropy(half.data.astype("float32"), labels, reduction=reduction)
    np.testing.assert_allclose(functional.cross_entropy(half, labels, reduction=reduction).data, expected, rtol=2e-3)
    with pytest.raises(ValueError, match="must be"):
        functional.cross_entropy(x, labels[:2])


def test_classes_changed_after_the_forward_count_as_they_were():
    x, labels = Variable(draw(cases.ANY, (3, 4))), np.array([0, 3, 1])
    for name in ("cross_entropy", "nll_loss"):
        before, after = getattr(functional, name)(x, labels), getattr(functional, name)(x, labels)
        (expected,) = nbgrad.autograd.grad(before, x)
        labels += 7
        np.testing.assert_array_equal(nbgrad.autograd.grad(after, x)[0].data, expected.data)
        labels -= 7


def test_data_of_another_shape_is_noticed():
    x = Variable(draw(cases.ANY, (3, 4)))
    y = functional.cross_entropy(x, np.array([0, 3, 1]))
    x.data = draw(cases.ANY, (3, 5))
    with pytest.raises(ValueError, match=r"logits had shape \(3, 4\) when the loss was computed"):
        y.backward()


@pytest.mark.parametrize("name", ["mse_loss", "cross_entropy", "nll_loss"])
def test_compiled_losses_are_the_eager_ones(name):
    x = draw(cases.ANY, (3, 4))
    target = x + 1 if name == "mse_loss" else np.array([0, 3, 1])
    loss = nbgrad.value_and_grad(lambda x: getattr(functional, name)(x, target))
    for fast, slow in zip(nbgrad.jit(loss)(x), loss(x), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-13)


def test_third_derivatives():
    x = Variable(draw(cases.ANY, (2, 3)))
    labels = np.array([2, 0])

    def slope(x):
        (g,) = nbgrad.autograd.grad(functional.cross_entropy(x, labels), x, create_graph=True)
        (h,) = nbgrad.autograd.grad((g * g).sum(), x, create_graph=True)
        return (h * h).sum()

    assert nbgrad.autograd.gradcheck(slope, (x,), order=2)
