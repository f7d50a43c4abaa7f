"""Random numbers of other libraries are refused in traced functions, whoever draws them."""

import functools
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


class Shared:
    rng = np.random.default_rng(0)
    legacy = np.random.RandomState(0)

    def noisy(self, x):
        return x + self.rng.normal(size=2)

    @classmethod
    def of_class(cls, x):
        return x + cls.legacy.normal(size=2)

    @staticmethod
    def of_nobody(x):
        return x + Shared.rng.normal(size=2)

    @property
    def noise(self):
        return self.rng.normal(size=2)


class Slotted:
    __slots__ = ("rng",)

    def __init__(self):
        self.rng = random.Random(0)

    def __call__(self, x):
        return x * self.rng.gauss(0, 1)


class Calling:
    def __call__(self, x):
        return x + noise()


def noise():
    return RNG.normal(size=2)


def with_default(x, rng=RNG):
    return x + rng.normal(size=2)


def with_named(x, *, rng=RNG):
    return x + rng.normal(size=2)


HELD, NESTED, SHARED, DRAW = [RNG], {"a": ({"b": RNG},)}, Shared(), RNG.normal


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: x + np.random.standard_normal(2), r"np\.random was drawn from"),  # noqa: NPY002
        (lambda x: x * random.random(), "random was drawn from"),
        (lambda x: x + RNG.normal(size=2), "Generator was drawn from"),
        (lambda x: x + noise(), "Generator was drawn from"),
        (Model().noisy, "Generator was drawn from"),
        (nbgrad.grad(lambda x: (x * noise()).sum()), "Generator was drawn from"),
        (Shared().noisy, "Generator was drawn from"),
        (Shared.of_class, "RandomState was drawn from"),
        (Shared.of_nobody, "Generator was drawn from"),
        (lambda x: x + SHARED.noise, "Generator was drawn from"),
        (Slotted(), "Random was drawn from"),
        (Calling(), "Generator was drawn from"),
        (with_default, "Generator was drawn from"),
        (with_named, "Generator was drawn from"),
        (functools.partial(lambda rng, x: x + rng.normal(size=2), RNG), "Generator was drawn from"),
        (functools.partial(with_default, rng=np.random.default_rng(0)), "Generator was drawn from"),
        (lambda x: x + HELD[0].normal(size=2), "Generator was drawn from"),
        (lambda x: x + NESTED["a"][0]["b"].normal(size=2), "Generator was drawn from"),
        (lambda x: x + DRAW(size=2), "Generator was drawn from"),
        (nbgrad.jit(nbgrad.value_and_grad(lambda x: (with_default(x) * x).sum())), "Generator was drawn from"),
    ],
)
def test_random_numbers_that_would_stay_the_same_are_refused(function, named):
    with pytest.raises(TypeError, match=f"{named}.*pass them as arguments"):
        nbgrad.jit(function)(X)
    assert nbgrad.rand(2).shape == (2,)  # and outside they are drawn as ever


def test_random_numbers_outside_of_the_function_are_no_concern():
    compiled = nbgrad.jit(lambda x, noise: x + noise)
    drawn = with_default(0 * X)
    np.testing.assert_array_equal(compiled(X, drawn), X + drawn)


def test_what_a_function_mentions_may_be_large_and_go_in_circles():
    many = {number: [number] for number in range(100_000)}
    many["itself"] = many
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match="Generator was drawn from"):
        nbgrad.jit(lambda x: (len(many), x + rng.normal(size=2))[1])(X)
    np.testing.assert_array_equal(nbgrad.jit(lambda x: x + len(many))(X), X + len(many))
    assert rng.normal() != np.random.default_rng(0).normal()
