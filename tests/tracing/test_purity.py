"""Random numbers are refused in traced functions, whoever draws them."""

import random

import numpy as np
import pytest

import nbgrad

RNG = np.random.default_rng(0)
X = np.ones(2)


class Model:
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def noisy(self, x):
        return x + self.rng.normal(size=2)


def noise():
    return RNG.normal(size=2)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: x + nbgrad.rand(2), r"nbgrad\.rand drew"),
        (lambda x: x + nbgrad.randn(2), r"nbgrad\.randn drew"),
        (lambda x: x + nbgrad.randint(5, (2,)), r"nbgrad\.randint drew"),
        (lambda x: x + np.random.standard_normal(2), r"np\.random was drawn from"),  # noqa: NPY002
        (lambda x: x * random.random(), "random was drawn from"),
        (lambda x: x + RNG.normal(size=2), "Generator was drawn from"),
        (lambda x: x + noise(), "Generator was drawn from"),
        (Model().noisy, "Generator was drawn from"),
        (nbgrad.grad(lambda x: (x * noise()).sum()), "Generator was drawn from"),
    ],
)
def test_random_numbers_that_would_stay_the_same_are_refused(function, named):
    with pytest.raises(TypeError, match=f"{named}.*pass them as arguments"):
        nbgrad.jit(function)(X)
    assert nbgrad.rand(2).shape == (2,)  # and outside they are drawn as ever


def test_random_numbers_outside_of_the_function_are_no_concern():
    compiled = nbgrad.jit(lambda x, noise: x + noise)
    drawn = RNG.normal(size=2)
    np.testing.assert_array_equal(compiled(X, drawn), X + drawn)
