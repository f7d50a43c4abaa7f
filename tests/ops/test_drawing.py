"""Random numbers: their moments, their sources, and what is refused."""

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable

LIKE = nbgrad.zeros(100, 100)
#: What is drawn, with its mean and standard deviation.
DRAWS = {
    "rand_like": (lambda g: nbgrad.rand_like(LIKE, generator=g), 0.5, 12**-0.5),
    "randn_like": (lambda g: nbgrad.randn_like(LIKE, generator=g), 0, 1),
    "randint_like": (lambda g: nbgrad.randint_like(LIKE, 1, 5, generator=g), 2.5, (15 / 12) ** 0.5),
    "normal": (lambda g: nbgrad.normal(LIKE + 3, 2.0, generator=g), 3, 2),
    "normal of a size": (lambda g: nbgrad.normal(3.0, 2.0, (100, 100), generator=g), 3, 2),
    "bernoulli": (lambda g: nbgrad.bernoulli(LIKE + 0.3, generator=g), 0.3, 0.21**0.5),
    "poisson": (lambda g: nbgrad.poisson(LIKE + 4, g), 4, 2),
    "uniform_": (lambda g: LIKE.clone().uniform_(-1, 3, generator=g), 1, 4 * 12**-0.5),
    "normal_": (lambda g: LIKE.clone().normal_(-1, 3, generator=g), -1, 3),
    "exponential_": (lambda g: LIKE.clone().exponential_(0.5, generator=g), 2, 2),
    "bernoulli_": (lambda g: LIKE.clone().bernoulli_(0.3, generator=g), 0.3, 0.21**0.5),
    "geometric_": (lambda g: LIKE.clone().geometric_(0.5, generator=g), 2, 2**0.5),
    "log_normal_": (lambda g: LIKE.clone().log_normal_(0, 0.5, generator=g).log(), 0, 0.5),
    "cauchy_": (lambda g: (LIKE.clone().cauchy_(generator=g) > 1).astype(float), 0.25, 0.1875**0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_moments_and_sources(name):
    draw, mean, deviation = DRAWS[name]
    y = draw(None)
    assert isinstance(y, Variable) and y.shape == LIKE.shape and not y.requires_grad
    np.testing.assert_allclose(y.data.mean(), mean, atol=6 * deviation / 100)
    np.testing.assert_allclose(y.data.std(), deviation, rtol=0.1)
    first, again = draw(nbgrad.Generator().manual_seed(3)), draw(nbgrad.Generator().manual_seed(3))
    np.testing.assert_array_equal(first.data, again.data)
    assert (draw(np.random.default_rng(0)).data != first.data).any()
    nbgrad.manual_seed(5)
    before = draw(None).data
    nbgrad.manual_seed(5)
    np.testing.assert_array_equal(draw(None).data, before)


def test_permutations_and_choices():
    assert sorted(nbgrad.randperm(20).tolist()) == list(range(20))
    weights = nbgrad.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 0.0]])
    drawn = nbgrad.multinomial(weights, 4000, replacement=True)
    np.testing.assert_allclose((drawn.data[0] == 2).mean(), 0.75, atol=0.04)
    assert (drawn.data[0] > 0).all() and (drawn.data[1] == 0).all() and drawn.dtype == np.int64
    for _ in range(5):
        assert sorted(nbgrad.multinomial(nbgrad.tensor([1.0, 2.0, 3.0]), 3).tolist()) == [0, 1, 2]


def test_a_generator_goes_back_to_where_it_was():
    source = nbgrad.Generator()
    assert source.device == "cpu" and source.initial_seed() == nbgrad.Generator().initial_seed()
    state = source.get_state()
    first = nbgrad.rand_like(LIKE, generator=source)
    np.testing.assert_array_equal(nbgrad.rand_like(LIKE, generator=source.set_state(state)).data, first.data)
    assert source.seed() == source.initial_seed()


def test_a_leaf_is_filled_only_where_nothing_is_recorded():
    w = nbgrad.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="uniform_"):
        w.uniform_()
    with nbgrad.no_grad():
        assert w.uniform_(1, 2) is w
    assert w.requires_grad and (w.data >= 1).all()


@pytest.mark.parametrize("name", ["rand_like", "randn_like", "bernoulli", "poisson", "uniform_", "exponential_"])
def test_compiled_functions_draw_as_uncompiled_ones(name, kernels):
    def function(x):
        return getattr(x.clone(), name)() if name.endswith("_") else getattr(nbgrad, name)(x)

    compiled, x = nbgrad.jit(function), nbgrad.full((3, 4), 0.5)
    nbgrad.manual_seed(1)
    expected = [function(x).data for _ in range(2)]
    nbgrad.manual_seed(1)
    found = [compiled(x).data for _ in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found[0] != found[1]).any()


def test_compiled_functions_look_at_rates_in_every_run():
    compiled = nbgrad.jit(lambda x: nbgrad.poisson(x * 2) + 1)
    assert (compiled(np.full(3, 20.0)) > 5).all() and compiled(np.zeros(3)).tolist() == [1, 1, 1]
    for wrong in (-0.5, np.nan):
        with pytest.raises(ValueError, match="poisson: a rate is"):
            compiled(np.full(3, wrong))


REFUSALS = {
    "bounds": (lambda: LIKE.clone().uniform_(1, 0), ValueError, "uniform_: from 1 to 0"),
    "deviation": (lambda: LIKE.clone().normal_(0, -1), ValueError, "normal_: the standard deviation is -1"),
    "rate": (lambda: LIKE.clone().exponential_(0), ValueError, "exponential_: the rate is 0"),
    "whole": (lambda: nbgrad.zeros(2, dtype=int).uniform_(), TypeError, "uniform_: dtype int64"),
    "probability": (lambda: nbgrad.bernoulli(LIKE + 2), ValueError, "bernoulli: probabilities from 2.0 to 2.0"),
    "rates": (lambda: nbgrad.poisson(LIKE - 1), ValueError, "poisson: a rate is -1.0"),
    "weights": (lambda: nbgrad.multinomial(LIKE[0], 1), ValueError, "multinomial: weights are finite"),
    "samples": (lambda: nbgrad.multinomial(LIKE[0, :2] + 1, 3), ValueError, "multinomial: 3 samples of 2 classes"),
    "permutation": (lambda: nbgrad.randperm(-1), ValueError, "randperm: n is -1"),
    "source": (lambda: nbgrad.rand_like(LIKE, generator=3), TypeError, "rand_like: generator is int"),
    "dtype": (lambda: nbgrad.rand_like(LIKE, dtype=int), TypeError, "rand_like: draws float32 or float64"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    work, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        work()
