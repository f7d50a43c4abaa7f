"""Kernels in the place of what they stand for: values and gradients of both, layouts, special values, other ways."""

from functools import partial

import numpy as np
import pytest
from cases import LAYOUTS, draw
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.nn import by_kernel, ctc, functional, margins, sampling

LABELS = np.array([2, 0, 3, 1])
SEVERAL = np.array([[1, 3, -1, 2], [0, 0, 2, -1], [-1, 0, 1, 2], [3, 2, 1, 0]])
TOKENS = np.array([[1, 1, 2], [3, 2, 3], [2, 1, 1], [1, 1, 1]])
LENGTHS = np.array([[5, 3], [4, 2], [3, 0], [3, 3]])  # the last is too short for its labels
GRID = np.random.default_rng(3).uniform(-1.4, 1.4, (2, 2, 3, 2))
GRID[0, 0, 0], GRID[1, 1, 1, 0] = 7.0, np.nan

#: Operations, the shapes of what they take, and what they take instead of drawn numbers.
CALLS = {
    "multi margin": (lambda: margins.MultiMargin(LABELS, 1, 0.7), [(4, 5)]),
    "multi margin squared": (lambda: margins.MultiMargin(LABELS, 2, 1.0), [(4, 5)]),
    "multilabel margin": (lambda: margins.MultilabelMargin(SEVERAL), [(4, 4)]),
    "ctc": (lambda: ctc.Ctc(TOKENS, LENGTHS, 0), [(5, 4, 4)]),
    **{
        f"grid sample, {border}, {corners}": (partial(sampling.GridSample, border, corners), [(2, 2, 4, 5), GRID])
        for border in (False, True)
        for corners in (False, True)
    },
}


def inputs_of(shapes, dtype):
    drawn = [draw(((-2.0, 2.0),), s, dtype, i) if isinstance(s, tuple) else s for i, s in enumerate(shapes)]
    return [array.astype(dtype) for array in drawn]


def both_ways(make, arrays, gy=None):
    """Give the value and the gradients by kernels, and as composed."""
    found = []
    for way in ("__call__", "composed"):
        xs = [Variable(array) for array in arrays]
        y = getattr(make(), way)(*xs)
        gy = draw(((0.5, 2.0),), y.shape, y.dtype, 9) if gy is None else gy
        assert isinstance(y.creator, by_kernel.ByKernel) is (way == "__call__")
        found.append([y.data, *[g.data for g in nbgrad.autograd.grad(y, xs, gy)]])
    return found


@pytest.mark.parametrize("layout", ["contiguous", "strided", "negative-stride", "Fortran-ordered", "read-only"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_kernels_give_what_they_stand_for(name, dtype, layout):
    make, shapes = CALLS[name]
    kernels, composed = both_ways(make, [LAYOUTS[layout](x) for x in inputs_of(shapes, dtype)])
    tolerance = 2e-5 if dtype == "float32" else 1e-13
    for x, y in zip(kernels, composed, strict=True):
        assert x.dtype == y.dtype == dtype
        finite = np.isfinite(y) | np.isinf(y)  # the place of NaN is nowhere, and its own gradient NaN or 0
        np.testing.assert_allclose(x[finite], y[finite], rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_of_any_order_and_ways_that_kernels_do_not_know(name):
    make, shapes = CALLS[name]
    xs = [np.nan_to_num(x, nan=0.3) for x in inputs_of(shapes, "float64")]
    if name == "ctc":
        xs[0] = xs[0][:, :3]  # infinity has no differences
        make = partial(ctc.Ctc, TOKENS[:3], LENGTHS[:3], 0)
    leaves = [Variable(x) for x in xs]
    assert nbgrad.autograd.gradcheck(lambda *given: make()(*given), tuple(leaves), order=2)
    primal, tangent = nbgrad.jvp(lambda *given: make()(*given), tuple(xs), tuple(np.ones_like(x) for x in xs))
    gradients = nbgrad.autograd.grad(make()(*leaves), leaves, np.ones_like(primal))
    np.testing.assert_allclose(tangent.sum(), sum(g.data.sum() for g in gradients), rtol=1e-9, atol=1e-9)


def test_hooks_of_inputs_see_one_gradient():
    x, seen = Variable(np.ones((4, 5))), []
    x.register_hook(lambda g: seen.append(g.shape))
    y = margins.MultiMargin(LABELS, 2, 1.0)(x)
    nbgrad.autograd.grad(y.sum(), x, create_graph=True)
    assert seen == [(4, 5)]


PUBLIC = {
    "multi_margin_loss": lambda x: functional.multi_margin_loss(x, LABELS, p=2),
    "multilabel_margin_loss": lambda x: functional.multilabel_margin_loss(x[:, :4], SEVERAL),
    "ctc_loss": lambda x: functional.ctc_loss(nbgrad.stack([x * 0.1, x, x], 0), TOKENS, [3] * 4, [1, 2, 0, 2]),
    "grid_sample": lambda x: functional.grid_sample(x.reshape(1, 1, 4, 5), GRID[:1] * 0.5, align_corners=False).sum(),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_stand_ins_take_what_kernels_stand_for(name):
    function = PUBLIC[name]
    x = draw(((-2.0, 2.0),), (4, 5))
    value, slope = nbgrad.value_and_grad(function)(x)
    several, slopes = nbgrad.vmap(nbgrad.value_and_grad(function))(np.stack([x, 2 * x]))
    np.testing.assert_allclose(several[0], value, rtol=1e-12)
    np.testing.assert_allclose(slopes[0], slope, rtol=1e-11, atol=1e-13)
    compiled = nbgrad.jit(nbgrad.value_and_grad(function))(x)
    np.testing.assert_allclose(compiled[0], value, rtol=1e-12)
    np.testing.assert_allclose(compiled[1], slope, rtol=1e-11, atol=1e-13)


def test_public_functions_use_kernels_and_copies_of_what_they_were_given():
    torch = peer("torch")
    x = Variable(draw(((-2.0, 2.0),), (4, 5), "float32"))
    labels = LABELS.copy()
    y = functional.multi_margin_loss(x, labels, reduction="none")
    assert type(y.creator) is margins.MultiMargin and y.creator.inputs[0] is x
    labels[:] = 0
    (gx,) = nbgrad.autograd.grad(y.sum(), x)
    held = torch.tensor(x.data, requires_grad=True)
    torch.nn.functional.multi_margin_loss(held, torch.tensor(LABELS), reduction="sum").backward()
    np.testing.assert_allclose(gx.data, held.grad.numpy(), rtol=1e-5, atol=1e-7)
    logs = nbgrad.randn(5, 4, 4, requires_grad=True)
    each = functional.ctc_loss(logs, TOKENS, *LENGTHS.T, reduction="none")
    assert type(each.creator) is ctc.Ctc
    assert np.isinf(each.data).tolist() == [False, False, False, True]


@pytest.mark.parametrize("wrong", [-1, 5, 2**40])
def test_classes_that_do_not_exist_are_refused(wrong):
    x, labels = Variable(np.ones((4, 5))), np.array([0, 1, 2, wrong])
    with pytest.raises(IndexError, match=str(wrong)):
        functional.multi_margin_loss(x, labels)
    if wrong > 0:
        with pytest.raises(IndexError, match=str(wrong)):
            functional.multilabel_margin_loss(x, np.array([[0, wrong, 1, 2, 3]] * 4))
    with pytest.raises(ValueError, match="labels from"):
        functional.ctc_loss(x.reshape(4, 1, 5), labels[None], [4], [4])
    with pytest.raises(ValueError, match="input_lengths"):
        functional.ctc_loss(x.reshape(4, 1, 5), labels[None, :2], [wrong], [2])


def test_other_arrays_have_no_kernels():
    x = np.ones((2, 3))
    assert by_kernel.have_kernels(x, Variable(x))
    assert not by_kernel.have_kernels(x, x.astype("float32"))
    assert not by_kernel.have_kernels(x.astype("float16")) and not by_kernel.have_kernels([1.0])
