"""Convolutions and their adjoints: against torch, differences, and each other."""

import numpy as np
import pytest
from cases import DTYPES
from nn_calls import call, hold_against_differences, hold_against_torch, hold_compiled_against_eager

import nbgrad
from nbgrad import Variable
from nbgrad.nn import convolution, functional

CALLS = [
    call("conv1d", (2, 4, 9), (6, 2, 3), (6,), stride=2, padding=1, groups=2),
    call("conv2d", (2, 3, 6, 5), (4, 3, 3, 2), (4,), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    call("conv2d", (2, 3, 4, 4), (5, 3, 1, 1)),
    call("conv2d", (3, 6, 5), (4, 3, 3, 3), padding="same"),
    call("conv2d", (1, 2, 6, 5), (2, 2, 2, 4), padding="same", dilation=(2, 1)),
    call("conv3d", (1, 2, 3, 4, 3), (2, 1, 2, 2, 2), (2,), padding=1, groups=2),
    call("conv_transpose1d", (2, 4, 5), (4, 3, 3), (6,), stride=2, padding=1, output_padding=1, groups=2),
    call("conv_transpose2d", (2, 3, 4, 3), (3, 2, 3, 2), (2,), stride=(2, 1), dilation=(1, 2), padding=(1, 0)),
    call("conv_transpose3d", (2, 2, 3, 2), (2, 2, 2, 2, 2), stride=2),
    call("unfold", (2, 3, 5, 4), kernel_size=(2, 3), padding=1, stride=2),
    call("fold", (2, 12, 6), output_size=(4, 5), kernel_size=2, stride=2, padding=(0, 1), dilation=(1, 2)),
]
every_call = pytest.mark.parametrize("each", CALLS, ids=repr)


@every_call
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_values_and_gradients_are_torchs(each, dtype):
    hold_against_torch(each, dtype)


@every_call
def test_gradients_agree_with_differences_to_second_order(each):
    hold_against_differences(each)


@every_call
def test_compiled_they_are_the_same(each, kernels):
    hold_compiled_against_eager(each)


@pytest.fixture
def of_any_size(monkeypatch):
    """Have few elements go the way of many."""
    monkeypatch.setattr(convolution, "FEW", -1)
    convolution._columns_in.cache_clear()
    yield
    convolution._columns_in.cache_clear()


def test_few_elements_go_the_way_of_many_as_well(of_any_size):
    for each in CALLS:
        hold_against_torch(each, "float64")
    for each in CALLS[::3]:
        hold_against_differences(each)


@pytest.mark.parametrize("block", [1, 200, 1000])
def test_samples_are_taken_in_blocks(monkeypatch, of_any_size, block):
    monkeypatch.setattr(convolution, "BLOCK", block)
    for each in CALLS[:2]:
        hold_against_torch(each, "float64")


def test_arrays_give_arrays_and_only_wanted_gradients_are_computed():
    x, w = np.ones((1, 1, 3)), np.ones((2, 1, 2))
    assert type(functional.conv1d(x, w)) is np.ndarray
    y = functional.conv1d(Variable(np.ones((1, 1, 3000))), Variable(w, requires_grad=False))
    assert y.creator.pull(np.ones(y.shape))[1] is None


def test_infinities_pass_in_silence():
    y = functional.conv1d(Variable(np.full((1, 1, 3), 1e300)), np.full((1, 1, 2), 1e300))
    assert np.isinf(y.data).all()


X, W = nbgrad.ones(2, 4, 5, 5), nbgrad.ones(6, 2, 3, 3)
REFUSALS = {
    "channels": (lambda: functional.conv2d(X, W), ValueError, r"conv2d: input of 4 channels, weight of shape"),
    "groups": (lambda: functional.conv2d(X, W[:5], groups=2), ValueError, "and 2 divides none"),
    "no groups": (lambda: functional.conv2d(X, W, groups=0), ValueError, "groups is 0: give a whole number"),
    "dimensions": (lambda: functional.conv2d(X[0, 0], W), ValueError, r"input has shape \(5, 5\): it has"),
    "weight": (lambda: functional.conv2d(X, W[0]), ValueError, r"weight has shape \(2, 3, 3\): it has 4 dimensions"),
    "bias": (lambda: functional.conv2d(X, W, X[0, 0, 0], groups=2), ValueError, r"bias has shape \(5,\): it"),
    "window": (lambda: functional.conv2d(X, nbgrad.ones(1, 4, 6, 6)), ValueError, r"windows of \(6, 6\) elements do"),
    "stride": (lambda: functional.conv2d(X, W, stride=0, groups=2), ValueError, "stride is 0: give one number, or 2"),
    "padding": (lambda: functional.conv2d(X, W, padding=-1, groups=2), ValueError, "padding is -1"),
    "name": (lambda: functional.conv2d(X, W, padding="full", groups=2), ValueError, "padding is 'full': give numbers"),
    "same": (lambda: functional.conv2d(X, W, padding="same", stride=2, groups=2), ValueError, "is for a stride of 1"),
    "dtype": (lambda: functional.conv2d(X.astype(int), W), TypeError, "takes float32 and float64, got dtype int64"),
    "type": (lambda: functional.conv2d([1.0], W), TypeError, "conv2d: takes Variables and arrays, got list"),
    "output padding": (
        lambda: functional.conv_transpose2d(X, W[:4], output_padding=1),
        ValueError,
        "output_padding is 1: it must be smaller than the stride",
    ),
    "nothing left": (
        lambda: functional.conv_transpose2d(X, nbgrad.ones(4, 1, 1, 1), padding=3),
        ValueError,
        r"leaves images of \(-1, -1\) elements",
    ),
    "fold": (lambda: functional.fold(X[0], (4, 4), 2), ValueError, r"fold: input has shape \(4, 5, 5\): windows of 4"),
    "unfold": (lambda: functional.unfold(X, 9), ValueError, "unfold: windows of"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    work, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        work()


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv_transpose2d"])
def test_no_samples_have_a_weight_with_a_gradient_of_zeros(name):
    dims = int(name[-2])
    x = Variable(np.zeros((0, 3, *(5,) * dims)))
    weight, bias = Variable(np.ones((3, 3, *(2,) * dims))), Variable(np.ones(3))
    for compiled in (lambda f: f, nbgrad.jit):
        y, (gx, gw, gb) = compiled(
            nbgrad.value_and_grad(lambda *a: getattr(functional, name)(*a).sum(), argnums=(0, 1, 2))
        )(x, weight, bias)
        assert y.item() == 0 and gx.shape == x.shape and gw.shape == weight.shape
        assert not gw.data.any() and not gb.data.any()
