"""Functions of `nn.functional` on a GPU against the CPU's: values and gradients."""

import cases
import numpy as np
import pytest
from cases import ANY

import nbgrad
from nbgrad.nn import functional

CALLS = {
    "conv2d": (lambda x, w: functional.conv2d(x, w, padding=1, groups=2), [(2, 4, 4, 3), (2, 2, 3, 2)]),
    "conv_transpose1d": (lambda x, w: functional.conv_transpose1d(x, w, stride=2), [(2, 3, 4), (3, 2, 3)]),
    "max_pool2d": (lambda x: functional.max_pool2d(x, 2, padding=1), [(2, 2, 5, 4)]),
    "avg_pool1d": (lambda x: functional.avg_pool1d(x, 2), [(2, 2, 6)]),
    "batch_norm": (lambda x, w: functional.batch_norm(x, None, None, w, None, True), [(4, 3, 2), (3,)]),
    "attention": (functional.scaled_dot_product_attention, [(2, 3, 4), (2, 3, 4), (2, 3, 2)]),
    "roll": (lambda x: nbgrad.roll(x, 1, 0).repeat(2, 1), [(3, 2)]),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_are_the_cpus(name):
    call, shapes = CALLS[name]
    arrays = [cases.draw(ANY, shape, "float32", i) for i, shape in enumerate(shapes)]
    here = [nbgrad.tensor(a, requires_grad=True) for a in arrays]
    there = [nbgrad.tensor(a, requires_grad=True, device="cuda") for a in arrays]
    y, z = call(*here), call(*there)
    assert z.device == "cuda:0"
    np.testing.assert_allclose(z.cpu().data, y.data, rtol=2e-4, atol=2e-5)
    (y * y).sum().backward()
    (z * z).sum().backward()
    for ours, theirs in zip(here, there, strict=True):
        np.testing.assert_allclose(theirs.grad.cpu().data, ours.grad.data, rtol=3e-4, atol=3e-5)
