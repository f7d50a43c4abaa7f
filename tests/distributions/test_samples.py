"""Samples follow their distributions, and move with parameters as torch's do."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import distributions as d

COUNT = 20000

#: Distributions beside SciPy's.
SAME = {
    "Normal": (lambda: d.Normal(1.0, 2.0), lambda s: s.norm(1, 2)),
    "LogNormal": (lambda: d.LogNormal(0.5, 0.7), lambda s: s.lognorm(0.7, scale=np.exp(0.5))),
    "HalfNormal": (lambda: d.HalfNormal(2.0), lambda s: s.halfnorm(scale=2)),
    "StudentT": (lambda: d.StudentT(3.0, 1.0, 2.0), lambda s: s.t(3, 1, 2)),
    "Cauchy": (lambda: d.Cauchy(1.0, 2.0), lambda s: s.cauchy(1, 2)),
    "Laplace": (lambda: d.Laplace(1.0, 2.0), lambda s: s.laplace(1, 2)),
    "Uniform": (lambda: d.Uniform(1.0, 3.0), lambda s: s.uniform(1, 2)),
    "Exponential": (lambda: d.Exponential(2.0), lambda s: s.expon(scale=0.5)),
    "Gamma, 0.3": (lambda: d.Gamma(0.3, 2.0), lambda s: s.gamma(0.3, scale=0.5)),
    "Gamma, 1": (lambda: d.Gamma(1.0, 2.0), lambda s: s.gamma(1, scale=0.5)),
    "Gamma, 30": (lambda: d.Gamma(30.0, 2.0), lambda s: s.gamma(30, scale=0.5)),
    "Beta": (lambda: d.Beta(0.5, 3.0), lambda s: s.beta(0.5, 3)),
    "Gumbel": (lambda: d.Gumbel(1.0, 2.0), lambda s: s.gumbel_r(1, 2)),
    "HalfCauchy": (lambda: d.HalfCauchy(2.0), lambda s: s.halfcauchy(scale=2)),
    "Weibull": (lambda: d.Weibull(2.0, 1.5), lambda s: s.weibull_min(1.5, scale=2)),
    "Pareto": (lambda: d.Pareto(2.0, 1.5), lambda s: s.pareto(1.5, scale=2)),
    "InverseGamma": (lambda: d.InverseGamma(1.5, 2.0), lambda s: s.invgamma(1.5, scale=2)),
    "Chi2": (lambda: d.Chi2(3.0), lambda s: s.chi2(3)),
    "FisherSnedecor": (lambda: d.FisherSnedecor(3.0, 5.0), lambda s: s.f(3, 5)),
    "VonMises, 0.5": (lambda: d.VonMises(0.0, 0.5), lambda s: s.vonmises(0.5)),
    "VonMises, 20": (lambda: d.VonMises(0.0, 20.0), lambda s: s.vonmises(20)),
    "VonMises, 1e-5": (lambda: d.VonMises(0.0, 1e-5), lambda s: s.uniform(-np.pi, 2 * np.pi)),
}
COUNTED = {
    "Bernoulli": (lambda: d.Bernoulli(0.3), lambda s: s.bernoulli(0.3)),
    "Binomial": (lambda: d.Binomial(7, 0.3), lambda s: s.binom(7, 0.3)),
    "NegativeBinomial": (lambda: d.NegativeBinomial(2.5, 0.6), lambda s: s.nbinom(2.5, 0.4)),
    "Geometric": (lambda: d.Geometric(0.3), lambda s: s.geom(0.3, loc=-1)),
    "Poisson": (lambda: d.Poisson(2.5), lambda s: s.poisson(2.5)),
    "Categorical": (
        lambda: d.Categorical(np.array([1.0, 0.0, 2.0, 5.0])),
        lambda s: s.rv_discrete(values=([0, 1, 2, 3], [0.125, 0, 0.25, 0.625])),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_samples_follow_the_density(name):
    mine, theirs = SAME[name]
    stats = peer("scipy.stats")
    sample = mine().sample((COUNT,))
    assert not sample.requires_grad and sample.shape == (COUNT,)
    assert stats.kstest(sample.data, theirs(stats).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", COUNTED)
def test_counts_follow_the_probabilities(name):
    mine, theirs = COUNTED[name]
    stats = peer("scipy.stats")
    sample = mine().sample((COUNT,)).data
    values = np.arange(int(sample.max()) + 1)
    wanted = COUNT * theirs(stats).pmf(values)
    found = np.array([(sample == value).sum() for value in values])
    assert (found[wanted == 0] == 0).all()
    kept = wanted > 20
    assert stats.chi2.sf((((found - wanted) ** 2 / np.where(kept, wanted, 1))[kept]).sum(), kept.sum()) > 1e-3


def test_vectors_have_their_means_and_covariances():
    a = np.array([0.5, 1.0, 4.0])
    shares = d.Dirichlet(a)
    sample = shares.sample((COUNT,)).data
    np.testing.assert_allclose(sample.sum(-1), 1)
    np.testing.assert_allclose(sample.mean(0), shares.mean.data, atol=0.01)
    np.testing.assert_allclose(sample.var(0), shares.variance.data, atol=0.003)
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    sample = d.MultivariateNormal(np.array([1.0, -1.0]), covariance).sample((COUNT,)).data
    np.testing.assert_allclose(sample.mean(0), [1, -1], atol=0.05)
    np.testing.assert_allclose(np.cov(sample.T), covariance, atol=0.06)
    counts = d.Multinomial(6, np.array([0.2, 0.3, 0.5])).sample((COUNT,)).data
    assert (counts.sum(-1) == 6).all()
    np.testing.assert_allclose(counts.mean(0), [1.2, 1.8, 3.0], atol=0.05)
    mixture = d.MixtureSameFamily(d.Categorical(np.array([0.25, 0.75])), d.Normal(np.array([-5.0, 5.0]), 1.0))
    sample = mixture.sample((COUNT,)).data
    assert (sample < 0).mean() == pytest.approx(0.25, abs=0.02)
    assert sample.var() == pytest.approx(mixture.variance.item(), rel=0.05)


def test_correlations_and_vectors_of_few_directions():
    """A correlation of an LKJ matrix of 3 rows is, from 0 to 1, a beta number of ``concentration + 1/2`` twice.

    PyTorch 2.13 draws the rows below the second too long.
    """
    stats = peer("scipy.stats")
    factors = d.LKJCholesky(3, 2.0).sample((COUNT,)).data
    matrices = factors @ factors.swapaxes(-1, -2)
    np.testing.assert_allclose(np.diagonal(matrices, 0, -2, -1), 1, rtol=1e-5)
    for i, j in ((1, 0), (2, 0), (2, 1)):
        assert stats.kstest((matrices[:, i, j] + 1) / 2, stats.beta(2.5, 2.5).cdf).pvalue > 1e-3
    made = d.LowRankMultivariateNormal(np.array([1.0, 0.0, -1.0]), np.array([[1.0], [0.5], [-1.0]]), np.full(3, 0.2))
    sample = made.sample((COUNT,)).data
    np.testing.assert_allclose(sample.mean(0), [1, 0, -1], atol=0.05)
    np.testing.assert_allclose(np.cov(sample.T), made.covariance_matrix.data, atol=0.06)
    factor = made.scale_tril.data
    np.testing.assert_allclose(factor @ factor.T, made.covariance_matrix.data, rtol=1e-12)
    np.testing.assert_allclose(made.precision_matrix.data, np.linalg.inv(made.covariance_matrix.data), rtol=1e-9)


def test_relaxed_samples_are_of_the_class_that_is_drawn():
    """The largest share falls to a class as often as the class is drawn, whatever the temperature."""
    weights = np.array([0.2, 0.5, 0.3])
    for temperature in (0.1, 2.0):
        sample = d.RelaxedOneHotCategorical(temperature, weights).sample((COUNT,)).data
        np.testing.assert_allclose(sample.sum(-1), 1, rtol=1e-6)
        np.testing.assert_allclose(np.bincount(sample.argmax(-1)) / COUNT, weights, atol=0.015)
        assert (d.RelaxedBernoulli(temperature, 0.3).sample((COUNT,)).data > 0.5).mean() == pytest.approx(
            0.3, abs=0.015
        )
    hits = d.OneHotCategorical(weights).sample((COUNT,)).data
    np.testing.assert_allclose(hits.mean(0), weights, atol=0.015)
    probs = nbgrad.tensor(0.3, requires_grad=True)
    d.RelaxedBernoulli(0.5, probs).rsample((COUNT,)).mean().backward()
    assert probs.grad.item() > 0.5


def test_gammas_and_dirichlets_samples_move_as_torchs():
    torch = peer("torch")
    a = nbgrad.tensor([0.2, 0.9, 3.0, 40.0], requires_grad=True)
    sample = d.Gamma(a, 1.0).rsample()
    sample.sum().backward()
    theirs = torch._standard_gamma_grad(torch.tensor(a.data), torch.tensor(sample.data))
    np.testing.assert_allclose(a.grad.data, theirs.numpy(), rtol=2e-3)  # torch's are approximations
    for shares in (d.Dirichlet(nbgrad.tensor([0.7, 2.0, 5.0], requires_grad=True)),):
        sample = shares.rsample()
        weights = np.array([1.0, -2.0, 0.5])
        (sample * weights).sum().backward()
        alpha = shares.concentration
        theirs = torch.distributions.dirichlet._Dirichlet_backward(
            *map(torch.tensor, (sample.data, alpha.data, weights))
        )
        np.testing.assert_allclose(alpha.grad.data, theirs.numpy(), rtol=2e-3)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Normal", (1.0, 2.0)), ("LogNormal", (0.5, 0.3)), ("HalfNormal", (2.0,)), ("Laplace", (1.0, 2.0)),
        ("Uniform", (1.0, 3.0)), ("Exponential", (2.0,)), ("Gamma", (0.6, 2.0)), ("Gamma", (7.0, 2.0)),
        ("Beta", (0.6, 2.0)), ("StudentT", (9.0, 1.0, 2.0)), ("Gumbel", (1.0, 0.5)), ("Weibull", (1.0, 2.0)),
        ("Pareto", (1.0, 12.0)), ("Kumaraswamy", (2.0, 1.5)), ("InverseGamma", (12.0, 3.0)), ("Chi2", (3.0,)),
        ("FisherSnedecor", (5.0, 20.0)),
    ],
)  # fmt: skip
def test_what_samples_move_by_is_what_means_move_by(name, parameters):
    xs = [nbgrad.tensor(p, requires_grad=True) for p in parameters]
    distribution = getattr(d, name)(*xs)
    for found, wanted in ((lambda x: x, distribution.mean), (lambda x: x * x, None)):
        if wanted is None:
            wanted = distribution.variance + distribution.mean**2
        slopes = nbgrad.autograd.grad(found(distribution.rsample((COUNT,))).mean(), xs, allow_unused=True)
        exact = nbgrad.autograd.grad(wanted, xs, allow_unused=True)
        for mine, theirs in zip(slopes, exact, strict=True):
            theirs = 0.0 if theirs is None else theirs.item()
            assert (0.0 if mine is None else mine.item()) == pytest.approx(theirs, rel=0.08, abs=0.03)


def test_samples_have_second_gradients():
    a = nbgrad.tensor([0.5, 3.0], requires_grad=True)

    def second(a):
        nbgrad.manual_seed(3)
        (slope,) = nbgrad.autograd.grad((d.Gamma(a, 1.0).rsample() ** 2).sum(), a, create_graph=True)
        return slope

    (found,) = nbgrad.autograd.grad(second(a).sum(), a)
    # along the quantiles, which stay what they are while shapes move
    special = peer("scipy.special")
    nbgrad.manual_seed(3)
    share = special.gammainc(a.data, d.Gamma(a, 1.0).sample().data)
    square, h = (lambda shape: special.gammaincinv(shape, share) ** 2), 1e-3
    wanted = (square(a.data + h) - 2 * square(a.data) + square(a.data - h)) / h**2
    np.testing.assert_allclose(found.data, wanted, rtol=1e-4)


def test_samples_are_drawn_anew_when_compiled_and_the_same_for_a_seed(kernels):
    @nbgrad.jit
    def drawn(a):
        return d.Gamma(a, 2.0).sample((3,)), d.Categorical(a).sample((3,)), nbgrad.rand(2)

    def eager(a):
        return d.Gamma(a, 2.0).sample((3,)), d.Categorical(a).sample((3,)), nbgrad.rand(2)

    a = np.array([0.5, 2.0])
    drawn(a)
    nbgrad.manual_seed(5)
    first = drawn(a)
    assert not np.array_equal(np.asarray(first[0]), np.asarray(drawn(a)[0]))
    nbgrad.manual_seed(5)
    for mine, theirs in zip(first, eager(a), strict=True):  # and the stream goes on where it would
        np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs.data), rtol=1e-12)


def test_samples_of_many_examples():
    f = nbgrad.vmap(lambda a: d.Gamma(a, 1.0).sample((200,)).mean(), randomness="different")
    found = np.asarray(f(np.array([1.0, 10.0, 100.0])))
    np.testing.assert_allclose(found, [1, 10, 100], rtol=0.3)
    counts = nbgrad.jit(lambda rate: d.Poisson(rate).sample((300,)))
    first, second = (np.asarray(counts(np.array([1.0, 100.0]))) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_allclose(first.mean(0), [1, 100], rtol=0.3)


def test_no_sample_is_outside():
    """Where numbers drawn are smallest and largest."""
    tiny = d.Gamma(np.full(1000, 0.001, np.float32), 1.0).sample()
    assert (tiny.data > 0).all()
    assert np.isfinite(d.Laplace(np.zeros(100000, np.float32), 1.0).sample().data).all()
    assert np.isfinite(d.Dirichlet(np.full((100, 3), 0.01)).rsample().data).all()
