"""Pools, of windows of one size and of several: against torch, differences, and each other."""

import numpy as np
import pytest
from cases import POSITIVE
from nn_calls import call, hold_against_differences, hold_against_torch, hold_compiled_against_eager, torch_function
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.nn import adaptive_pooling, functional, pooling

CALLS = [
    call("max_pool1d", (2, 3, 9), kernel_size=3, stride=2, padding=1),
    call("max_pool2d", (2, 2, 6, 5), kernel_size=(2, 3), padding=1, ceil_mode=True),
    call("max_pool2d", (2, 6, 7), kernel_size=2, dilation=(2, 1), stride=1),
    call("max_pool3d", (1, 2, 4, 5, 3), kernel_size=2, padding=1),
    call("avg_pool1d", (2, 3, 9), kernel_size=3, stride=2, padding=1, count_include_pad=False),
    call("avg_pool2d", (2, 2, 6, 5), kernel_size=(2, 3), padding=1, ceil_mode=True),
    call("avg_pool2d", (2, 6, 6), kernel_size=2, divisor_override=3),
    call("avg_pool3d", (1, 2, 4, 5, 3), kernel_size=2, stride=1, ceil_mode=True),
    call("lp_pool1d", (2, 3, 8), domains=(POSITIVE,), norm_type=3, kernel_size=2),
    call("lp_pool2d", (2, 3, 5, 6), norm_type=2, kernel_size=(2, 3), ceil_mode=True),
    call("adaptive_avg_pool1d", (2, 3, 7), output_size=3),
    call("adaptive_avg_pool2d", (2, 3, 7, 6), output_size=(4, None)),
    call("adaptive_avg_pool3d", (3, 4, 5, 6), output_size=(2, 3, 1)),
    call("adaptive_max_pool1d", (2, 3, 7), output_size=3),
    call("adaptive_max_pool2d", (2, 3, 7, 6), output_size=(4, None)),
    call("adaptive_max_pool3d", (2, 1, 4, 5, 6), output_size=(2, 3, 1)),
]
every_call = pytest.mark.parametrize("each", CALLS, ids=repr)


@every_call
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_values_and_gradients_are_torchs(each, dtype):
    hold_against_torch(each, dtype)


@every_call
def test_gradients_agree_with_differences_to_second_order(each):
    hold_against_differences(each)


@every_call
def test_compiled_they_are_the_same(each, kernels):
    hold_compiled_against_eager(each)


def test_few_elements_go_the_way_of_many_as_well(monkeypatch):
    for room in (pooling, adaptive_pooling):
        monkeypatch.setattr(room, "FEW", -1)
        room._table.cache_clear()
    for each in CALLS:
        if "max" in each.name:
            hold_against_torch(each, "float64")
    for room in (pooling, adaptive_pooling):
        room._table.cache_clear()


@pytest.mark.parametrize("each", [c for c in CALLS if "max" in c.name], ids=repr)
def test_places_are_torchs_and_lead_back(each):
    torch = peer("torch")
    (x,) = each.arrays()
    y, places = getattr(functional, each.name)(Variable(x), **each.options, return_indices=True)
    _, expected = torch_function(each.name)(torch.tensor(x), **each.options, return_indices=True)
    np.testing.assert_array_equal(places.data, expected)
    assert places.dtype == np.int64 and not places.requires_grad
    again = getattr(functional, f"{each.name}_with_indices")(x, **each.options)
    np.testing.assert_array_equal(again[1], places.data)
    np.testing.assert_array_equal(again[0], y.data)


def test_what_was_pooled_is_put_back():
    torch = peer("torch")
    x = Variable(np.random.default_rng(0).normal(size=(2, 3, 6, 4)))
    y, places = functional.max_pool2d(x, 2, return_indices=True)
    back = functional.max_unpool2d(y, places, 2)
    theirs = torch.nn.functional.max_unpool2d(torch.tensor(y.data), torch.tensor(places.data), 2)
    np.testing.assert_array_equal(back.data, theirs)
    assert nbgrad.autograd.gradcheck(
        lambda y: functional.max_unpool2d(y, places, 2, output_size=(7, 5)), (Variable(y.data),)
    )
    with pytest.raises(IndexError, match=r"max_unpool2d: places from .* in images of \(6, 4\)"):
        functional.max_unpool2d(y, places + 100, 2)
    with pytest.raises(ValueError, match=r"output_size is \(9, 9\)"):
        functional.max_unpool2d(y, places, 2, output_size=(9, 9))


def test_fractional_pools_are_torchs_for_given_numbers():
    torch = peer("torch")
    random = np.random.default_rng(0)
    for dims, size in ((2, (9, 8)), (3, (6, 7, 5))):
        x, shares = random.normal(size=(2, 3, *size)), random.uniform(size=(2, 3, dims))
        name = f"fractional_max_pool{dims}d"
        options = {"output_size": (4, 3, 2)[:dims], "return_indices": True}
        y, places = getattr(functional, name)(Variable(x), 2, **options, _random_samples=shares)
        theirs = torch_function(name)(torch.tensor(x), 2, **options, _random_samples=torch.tensor(shares))
        np.testing.assert_array_equal(y.data, theirs[0])
        np.testing.assert_array_equal(places.data, theirs[1])
    nbgrad.manual_seed(3)
    assert functional.fractional_max_pool2d(Variable(x[:, :, 0]), 2, output_ratio=0.5).shape == (2, 3, 3, 2)


X = nbgrad.ones(2, 4, 5, 5)
REFUSALS = {
    "padding": (lambda: functional.max_pool2d(X, 2, padding=2), r"max_pool2d: padding \(2, 2\) is more than half"),
    "window": (lambda: functional.avg_pool2d(X, 6), r"avg_pool2d: windows of \(6, 6\) elements do not fit into"),
    "empty": (lambda: functional.max_pool2d(X[:, :0], 2), "only samples may be none"),
    "divisor": (lambda: functional.avg_pool2d(X, 2, divisor_override=0), "divisor_override is 0"),
    "size": (lambda: functional.adaptive_avg_pool2d(X, (2, 3, 4)), "output_size is .*: give one number, or 2"),
    "negative": (lambda: functional.adaptive_max_pool2d(X, -1), "give whole numbers of at least 0"),
    "neither": (lambda: functional.fractional_max_pool2d(X, 2), "give output_size or output_ratio"),
    "ratio": (lambda: functional.fractional_max_pool2d(X, 2, output_ratio=2), "output_ratio is 2: give"),
    "many": (lambda: functional.fractional_max_pool2d(X, 2, 5), "windows of .* elements do not fit"),
    "places": (lambda: functional.max_unpool2d(X, nbgrad.zeros(2, 4, 5, 4, dtype=int), 2), "input has shape .*, pl"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    work, message = REFUSALS[name]
    with pytest.raises(ValueError, match=message):
        work()


def test_no_samples_are_pooled():
    for dims in (1, 2):
        x = Variable(np.zeros((0, 3, *(4,) * dims)))
        y = getattr(functional, f"max_pool{dims}d")(x, 2)
        y.sum().backward()
        assert y.shape == (0, 3, *(2,) * dims) and x.grad.shape == x.shape


def test_windows_that_would_see_nothing_but_padding_are_refused():
    x = nbgrad.tensor([[[1.0, 2.0]]])
    with pytest.raises(ValueError, match="sees nothing but padding"):
        functional.max_pool1d(x, 2, padding=1, dilation=3, stride=1)  # elements -1 and 2 of two
    with pytest.raises(ValueError, match="sees nothing but padding"):
        functional.max_pool2d(x[None], (1, 2), padding=(0, 1), dilation=(1, 3))
    y = functional.max_pool1d(nbgrad.tensor([[[1.0, 2.0, 0.0]]]), 2, padding=1, dilation=3, stride=1)
    assert y.tolist() == [[[0.0, 1.0]]]
