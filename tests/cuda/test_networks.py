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


def test_distributions_are_those_of_the_cpu():
    from nbgrad import distributions as d

    a, weights = np.array([0.4, 1.5, 6.0]), np.array([0.2, 0.3, 0.5])

    def found(device):
        nbgrad.manual_seed(3)
        x, w = nbgrad.tensor(a, requires_grad=True, device=device), nbgrad.tensor(weights, device=device)
        moved = [d.Gamma(x, 2.0).rsample(), d.Dirichlet(x).rsample(), d.StudentT(x, 1.0).rsample()]
        drawn = [
            d.Normal(w, x).sample((2,)),
            d.Categorical(w).sample((4,)),
            d.Poisson(x).sample(),
            d.Uniform(0.0, x).mean,
        ]
        density = d.Gamma(x, 2.0).log_prob(w) + d.Laplace(w, x).log_prob(x) + d.Normal(x, 1.0).entropy()
        loss = (
            sum((y * y).sum() for y in moved)
            + density.sum()
            + d.kl_divergence(d.Normal(x, 1.0), d.Normal(w, 2.0)).sum()
        )
        (slope,) = nbgrad.autograd.grad(loss, x)
        results = [*moved, *drawn, density, slope]
        assert all(y.device.split(":")[0] == device for y in results)
        return [y.cpu().detach().numpy() for y in results]

    for mine, theirs in zip(found("cuda"), found("cpu"), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)
