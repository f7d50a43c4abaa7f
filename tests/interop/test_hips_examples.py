"""HIPS autograd's examples give the same with its import lines changed: values and gradients, eager and compiled."""

from types import SimpleNamespace

import hips_examples as examples
import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad.interop.autograd import hessian_vector_product, value_and_grad
from nbgrad.interop.autograd.builtins import tuple
from nbgrad.interop.autograd.misc.flatten import flatten, flatten_func
from nbgrad.interop.scipy.integrate import odeint
from nbgrad.interop.scipy.signal import convolve
from nbgrad.interop.scipy.special import logsumexp
from nbgrad.interop.scipy.stats import multivariate_normal, norm, t

pytestmark = pytest.mark.usefixtures("kernels")

#: What is not compiled, and why.
NOT_COMPILED = {"ode_net": "jit: a conversion to an array"}  # its time steps depend on elements

every_example = pytest.mark.parametrize("example", examples.EXAMPLES, ids=lambda example: example.__name__)


def theirs():
    """Give what a script imports of HIPS autograd."""
    stats = peer("autograd.scipy.stats")
    return SimpleNamespace(
        np=peer("autograd.numpy"),
        flatten=peer("autograd.misc.flatten").flatten,
        logsumexp=peer("autograd.scipy.special").logsumexp,
        convolve=peer("autograd.scipy.signal").convolve,
        odeint=peer("autograd.scipy.integrate").odeint,
        tuple=peer("autograd.builtins").tuple,
        constant=np.asarray,
        **{name: getattr(stats, name) for name in ("norm", "multivariate_normal", "t")},
    )


def ours():
    """Give the same by the changed lines."""
    return SimpleNamespace(
        np=np,
        flatten=flatten,
        logsumexp=logsumexp,
        convolve=convolve,
        odeint=odeint,
        tuple=tuple,
        constant=np.asarray,
        norm=norm,
        multivariate_normal=multivariate_normal,
        t=t,
    )


def same(found, wanted, limit):
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            same(found[key], wanted[key], limit)
    elif isinstance(wanted, list | tuple):
        assert type(found) is type(wanted) and len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other, limit)
    else:
        assert np.shape(found) == np.shape(wanted)
        np.testing.assert_allclose(found, wanted, rtol=limit, atol=limit)


@every_example
def test_values_and_gradients_are_autograds(example):
    limit = 1e-5 if example.__name__ == "ode_net" else 1e-9
    loss, params = example(ours())
    their_loss, their_params = example(theirs())
    value, gradient = value_and_grad(loss)(params)
    wanted, slope = peer("autograd").value_and_grad(their_loss)(their_params)
    same(value, wanted, limit)
    same(gradient, slope, limit)


@every_example
def test_compiled_ones_give_the_same(example):
    loss, params = example(ours())
    compiled = nbgrad.jit(nbgrad.value_and_grad(loss))
    if example.__name__ in NOT_COMPILED:
        with pytest.raises(TypeError, match=NOT_COMPILED[example.__name__]):
            compiled(params)
        return
    if example.__name__ == "fluidsim":  # NumPy itself looks for an element of its arrays, at places that are traced
        with pytest.raises(TypeError, match=r"index nbgrad\.tensor\(array\) instead of an array from outside"):
            compiled(params)
        loss, params = example(SimpleNamespace(**(vars(ours()) | {"constant": nbgrad.tensor})))
        compiled = nbgrad.jit(nbgrad.value_and_grad(loss))
    value, gradient = compiled(params)
    expected, slope = nbgrad.value_and_grad(loss)(params)
    same(value, expected, 1e-10)
    same(gradient, slope, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logistic_regression", "gaussian_process", "gmm"])
def test_products_with_hessians_are_autograds(name):
    """What Newton's method asks for, as the example of mixtures does."""
    example = getattr(examples, name)
    loss, params = example(ours())
    function, _, start = flatten_func(loss, params)
    their_loss, their_params = example(theirs())
    their_function, _, their_start = peer("autograd.misc.flatten").flatten_func(their_loss, their_params)
    direction = np.cos(np.arange(start.size))
    found = hessian_vector_product(lambda x: function(x)[0])(start, direction)
    wanted = peer("autograd").hessian_vector_product(lambda x: their_function(x)[0])(their_start, direction)
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-8)
