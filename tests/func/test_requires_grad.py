"""What comes out of transformed functions requires a gradient where what went in did, and nowhere else."""

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable
from nbgrad.interop import autograd as hips

V = nbgrad.tensor([1.0, -1.0])


def energy(x):
    return (nbgrad.exp(x) * x).sum()


def squares(x):
    return x * x * V


TRANSFORMED = {
    "grad": nbgrad.grad(energy),
    "value_and_grad": nbgrad.value_and_grad(energy),
    "has_aux": nbgrad.grad(lambda x: (energy(x), {"aux": x * 2}), has_aux=True),
    "jacobian": nbgrad.jacobian(squares),
    "jacfwd": nbgrad.jacfwd(squares),
    "jacrev": nbgrad.jacrev(squares),
    "jacfwd with aux": nbgrad.jacfwd(lambda x: (squares(x), x * 2), has_aux=True),
    "hessian": nbgrad.hessian(energy),
    "jvp": lambda x: nbgrad.jvp(squares, (x,), (V,)),
    "vjp": lambda x: (nbgrad.vjp(squares, x)[0], *nbgrad.vjp(squares, x)[1](V)),
    "hvp": lambda x: nbgrad.hvp(energy, x, V),
    "linearize": lambda x: nbgrad.linearize(squares, x)[1](V),
    "vmap": nbgrad.vmap(nbgrad.grad(lambda x: x * x * x)),
    "nested": nbgrad.grad(lambda x: (nbgrad.grad(energy)(x) ** 2).sum()),
}


def leaves(found):
    if isinstance(found, dict):
        found = list(found.values())
    return [y for part in found for y in leaves(part)] if isinstance(found, tuple | list) else [found]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", TRANSFORMED)
def test_what_comes_out_requires_a_gradient_where_what_went_in_did(name, compiled):
    function = nbgrad.jit(TRANSFORMED[name]) if compiled else TRANSFORMED[name]
    with_gradient, without = nbgrad.tensor([0.5, 2.0], requires_grad=True), nbgrad.tensor([0.5, 2.0])
    recorded, plain = leaves(function(with_gradient)), leaves(function(without))
    arrays = leaves(TRANSFORMED[name](without.data)) if name not in ("jvp", "vjp", "hvp", "linearize") else recorded
    for y, z, array in zip(recorded, plain, arrays, strict=True):
        assert type(y) is type(z) is Variable and y.requires_grad and not z.requires_grad and z.creator is None
        np.testing.assert_allclose(y.data, z.data, rtol=1e-14)
        np.testing.assert_allclose(z.data, array.data if isinstance(array, Variable) else array, rtol=1e-14)


@pytest.mark.parametrize("transform", [nbgrad.grad, nbgrad.hessian, nbgrad.jacfwd, hips.grad, hips.jacobian])
def test_a_gradient_by_what_the_function_mentions_goes_through(transform):
    """As of a penalty on the slope of a network by its inputs."""
    w, x = nbgrad.tensor([2.0, 3.0], requires_grad=True), nbgrad.tensor([0.5, 2.0])
    found = transform(lambda x: (w * x**3).sum())(x)
    assert found.requires_grad
    (gw,) = nbgrad.autograd.grad(found.sum(), w)
    np.testing.assert_allclose(gw.data, 6 * x.data if transform is nbgrad.hessian else 3 * x.data**2, rtol=1e-14)


def test_a_gradient_by_tangents_and_cotangents_goes_through():
    x, t = nbgrad.tensor([0.5, 2.0]), nbgrad.tensor([1.0, 3.0], requires_grad=True)
    for found in (nbgrad.jvp(nbgrad.exp, (x,), (t,))[1], nbgrad.vjp(nbgrad.exp, x)[1](t)[0]):
        (g,) = nbgrad.autograd.grad(found.sum(), t)
        np.testing.assert_allclose(g.data, np.exp(x.data), rtol=1e-14)


def test_steps_along_a_gradient_have_no_past():
    """Whose graph would else become longer with each of them."""
    x = nbgrad.tensor([0.5, 2.0])
    for _ in range(3):
        x = x - 0.1 * nbgrad.grad(energy)(x)
        assert x.creator is None and x.generation == 0
