"""Distributions are torch's: densities, shares, moments, entropies, divergences, with gradients; what is refused."""

import math

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import distributions

A, B = np.array([0.7, 2.5, 4.0]), np.array([1.5, 0.4, 2.0])
CHANCES, LOGITS = np.array([0.2, 0.5, 0.9]), np.array([-1.5, 0.3, 2.0])
WEIGHTS = np.array([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]])
FACTOR = np.array([[1.2, 0.0], [0.5, 0.8]])

#: Of each distribution the arguments, those of another one of its kind, and values.
CASES = {
    "Normal": ((A, B), (B, A), np.array([[0.1], [2.0]])),
    "LogNormal": ((A, B), (B, A), np.array([0.3, 1.0, 4.0])),
    "HalfNormal": ((B,), (A,), np.array([0.3, 1.0, 4.0])),
    "StudentT": ((A, B, A), None, np.array([-0.3, 1.0, 4.0])),
    "Cauchy": ((A, B), (B, A), np.array([-0.3, 1.0, 4.0])),
    "Laplace": ((A, B), (B, A), np.array([-0.3, 1.0, 4.5])),
    "Uniform": ((-A, B), (-A - 1, B + 1), np.array([-0.3, 0.0, 1.0])),
    "Exponential": ((A,), (B,), np.array([0.3, 1.0, 4.0])),
    "Gamma": ((A, B), (B, A), np.array([0.3, 1.0, 4.0])),
    "Beta": ((A, B), (B, A), np.array([0.3, 0.1, 0.8])),
    "Gumbel": ((A, B), (B, A), np.array([-0.3, 1.0, 4.0])),
    "HalfCauchy": ((B,), None, np.array([0.3, 1.0, 4.0])),
    "Weibull": ((A, B + 1), None, np.array([0.3, 1.0, 4.0])),
    "Pareto": ((B, A), (B / 2, B), np.array([1.7, 1.0, 4.0])),
    "Kumaraswamy": ((A + 1, B + 1), None, np.array([0.3, 0.1, 0.8])),
    "InverseGamma": ((A, B), None, np.array([0.3, 1.0, 4.0])),
    "Chi2": ((A,), (B,), np.array([0.3, 1.0, 4.0])),
    "FisherSnedecor": ((A, B + 3), None, np.array([0.3, 1.0, 4.0])),
    "VonMises": ((A, B), None, np.array([-0.3, 1.0, 3.0])),
    "Geometric": ((CHANCES,), (CHANCES[::-1].copy(),), np.array([0.0, 2.0, 5.0])),
    "Dirichlet": ((np.array([A, B]),), (np.array([B, A]),), np.array([0.2, 0.3, 0.5])),
    "MultivariateNormal": ((A[:2], FACTOR @ FACTOR.T), (B[:2], FACTOR.T @ FACTOR), np.array([[0.3, 1.0], [2.0, 0.1]])),
    "LowRankMultivariateNormal": (
        (np.array([A, B]), np.array([[1.0, 0.5], [-0.5, 2.0], [0.3, 0.1]]), B),
        None,
        np.array([0.3, 1.0, -2.0]),
    ),
    "Bernoulli": ((CHANCES,), (CHANCES[::-1].copy(),), np.array([0.0, 1.0, 1.0])),
    "Binomial": ((np.array(5.0), CHANCES), (np.array(5.0), CHANCES[::-1].copy()), np.array([0.0, 2.0, 5.0])),
    "NegativeBinomial": ((A, CHANCES), None, np.array([0.0, 2.0, 5.0])),
    "Poisson": ((A,), (B,), np.array([0.0, 2.0, 5.0])),
    "Categorical": ((WEIGHTS,), (WEIGHTS[::-1].copy(),), np.array([[0, 2], [1, 1], [2, 0]])),
    "OneHotCategorical": ((WEIGHTS,), (WEIGHTS[::-1].copy(),), np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])),
    "OneHotCategoricalStraightThrough": ((WEIGHTS,), None, np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])),
    "Multinomial": ((5, WEIGHTS), None, np.array([1.0, 1.0, 3.0])),
}
#: What torch has of each besides; the others it refuses.
WITH_SHARES = {
    *("Normal", "LogNormal", "HalfNormal", "Cauchy", "Laplace", "Uniform", "Exponential"),
    *("Gumbel", "HalfCauchy", "Weibull", "Pareto", "Kumaraswamy"),
}
NO_ENTROPY = {"NegativeBinomial", "Poisson", "FisherSnedecor", "VonMises"}

#: Those by the logarithms of odds.
ODDS = ["Bernoulli", "Binomial", "NegativeBinomial", "Geometric"]
#: Where torch computes approximations.
APPROXIMATE = {"VonMises": 1e-6}


def made(module, name, arguments, wrap):
    return getattr(module, name)(*(wrap(x) if isinstance(x, np.ndarray) else x for x in arguments))


class Sides:
    """The same distributions here and in torch."""

    def __init__(self, name, other=False):
        self.torch, self.rtol = peer("torch"), APPROXIMATE.get(name, 0)
        given, of_other, value = CASES[name]
        self.arrays = [x for x in (*given, *(of_other if other else ()), value) if isinstance(x, np.ndarray)]
        leaf = {"requires_grad": True}
        self.mine, self.theirs = [], []

        def ours(x):
            self.mine.append(nbgrad.tensor(x, **leaf))
            return self.mine[-1]

        def torchs(x):
            self.theirs.append(self.torch.tensor(x, **leaf))
            return self.theirs[-1]

        self.pairs = [
            (made(distributions, name, arguments, ours), made(self.torch.distributions, name, arguments, torchs))
            for arguments in ((given, of_other) if other else (given,))
        ]
        if value.dtype.kind == "f" and not other:
            self.value, self.torch_value = ours(value), torchs(value)
        else:
            self.value, self.torch_value = nbgrad.tensor(value), self.torch.tensor(value)

    def agree(self, found, wanted, rtol=1e-9):
        """Hold values, and the gradients of weighed sums, against torch's."""
        rtol = max(rtol, self.rtol)
        assert found.shape == tuple(wanted.shape)
        np.testing.assert_allclose(found.data, wanted.detach().numpy(), rtol=rtol, atol=1e-12)
        if not wanted.requires_grad or not np.isfinite(found.data).all():
            return
        weights = np.random.default_rng(0).uniform(0.5, 2, found.shape)
        (found * weights).sum().backward(retain_graph=True)
        (wanted * self.torch.tensor(weights)).sum().backward(retain_graph=True)
        for x, y in zip(self.mine, self.theirs, strict=True):
            mine = np.zeros(x.shape) if x.grad is None else x.grad.data
            theirs = np.zeros(x.shape) if y.grad is None else y.grad.numpy()
            np.testing.assert_allclose(mine, theirs, rtol=max(1e-7, self.rtol), atol=1e-9)
            x.grad = y.grad = None


@pytest.fixture(params=CASES)
def sides(request):
    return Sides(request.param)


def test_densities_are_torchs(sides):
    ((mine, theirs),) = sides.pairs
    assert (mine.batch_shape, mine.event_shape) == (tuple(theirs.batch_shape), tuple(theirs.event_shape))
    assert mine.has_rsample == theirs.has_rsample
    sides.agree(mine.log_prob(sides.value), theirs.log_prob(sides.torch_value))


def test_moments_and_entropies_are_torchs(sides):
    ((mine, theirs),) = sides.pairs
    for name in ("mean", "variance"):
        sides.agree(getattr(mine, name), getattr(theirs, name))
    if type(mine).__name__ not in (
        "Beta",
        "Kumaraswamy",
        "Multinomial",
        "Uniform",
    ):  # whose mode torch has not, or in another form
        np.testing.assert_allclose(mine.mode.data, theirs.mode.detach().numpy())
    if type(mine).__name__ in NO_ENTROPY:
        with pytest.raises(NotImplementedError, match="there is no formula for its entropy"):
            mine.entropy()
    else:
        # torch computes lgamma of the whole number of a Multinomial in float32
        sides.agree(mine.entropy(), theirs.entropy(), 1e-7 if type(mine).__name__ == "Multinomial" else 1e-9)


@pytest.mark.parametrize("name", ["Kumaraswamy", "Weibull", "InverseGamma", "FisherSnedecor"])
def test_densities_are_flat_where_they_are_highest(name):
    made = getattr(distributions, name)(np.array([2.5, 4.0]), np.array([1.5, 3.0]))
    place = made.mode.detach()
    place.requires_grad = True
    (slope,) = nbgrad.autograd.grad(made.log_prob(place).sum(), place)
    np.testing.assert_allclose(slope.data, 0, atol=1e-12)


def test_angles_are_scipys():
    """torch's Bessel functions are approximations of seven digits."""
    stats = peer("scipy.stats")
    places, k = np.array([-3.0, 0.1, 2.0]), np.array([1e-3, 2.0, 700.0])
    made = distributions.VonMises(0.2, k)
    np.testing.assert_allclose(made.log_prob(places).data, stats.vonmises(k, 0.2).logpdf(places), rtol=1e-9)
    np.testing.assert_allclose(made.variance.data[1], 1 - 0.697774657964, rtol=1e-9)
    x = nbgrad.tensor(k[:2], requires_grad=True)
    assert nbgrad.autograd.gradcheck(lambda k: distributions.VonMises(0.2, k).log_prob(0.5), (x,), order=2)


@pytest.mark.parametrize("name", sorted(WITH_SHARES))
def test_shares_and_quantiles_are_torchs(name):
    sides = Sides(name)
    ((mine, theirs),) = sides.pairs
    sides.agree(mine.cdf(sides.value), theirs.cdf(sides.torch_value))
    shares = np.array([0.2, 0.6, 0.9])
    sides.agree(mine.icdf(shares), theirs.icdf(sides.torch.tensor(shares)))


def test_shares_that_torch_has_none_of_are_scipys():
    stats = peer("scipy.stats")
    shares = np.array([0.2, 0.6, 0.9])
    for mine, theirs in (
        (distributions.Gamma(A, B), stats.gamma(A, scale=1 / B)),
        (distributions.Beta(A, B), stats.beta(A, B)),
        (distributions.StudentT(A, B, 2.0), stats.t(A, B, 2.0)),
        (distributions.InverseGamma(A, B), stats.invgamma(A, scale=B)),
        (distributions.Chi2(A), stats.chi2(A)),
    ):
        np.testing.assert_allclose(mine.icdf(shares).data, theirs.ppf(shares), rtol=1e-9)
        np.testing.assert_allclose(mine.cdf(theirs.ppf(shares)).data, shares, rtol=1e-9)
    places = stats.f(A, B).ppf(shares)
    np.testing.assert_allclose(distributions.FisherSnedecor(A, B).cdf(places).data, shares, rtol=1e-9)
    a = nbgrad.tensor(A, requires_grad=True)
    assert nbgrad.autograd.gradcheck(lambda a: distributions.Gamma(a, 2.0).cdf(1.5), (a,))


@pytest.mark.parametrize("name", [name for name, (_, other, _) in CASES.items() if other])
def test_divergences_are_torchs(name):
    sides = Sides(name, other=True)
    (p, p_of_torch), (q, q_of_torch) = sides.pairs
    divergence = sides.torch.distributions.kl_divergence
    sides.agree(distributions.kl_divergence(p, q), divergence(p_of_torch, q_of_torch))
    np.testing.assert_allclose(distributions.kl_divergence(p, p).data, 0, atol=1e-12)


def test_divergences_without_overlap_are_infinite():
    kl = distributions.kl_divergence
    inside, outside = distributions.Uniform(0.0, 1.0), distributions.Uniform(-1.0, 3.0)
    assert kl(inside, outside).item() == pytest.approx(math.log(4)) and kl(outside, inside).item() == math.inf
    sure, fair = distributions.Bernoulli(np.array([0.0, 1.0])), distributions.Bernoulli(0.5)
    assert kl(fair, sure).tolist() == [math.inf] * 2
    np.testing.assert_allclose(kl(sure, fair).data, math.log(2))
    first, even = distributions.Categorical(np.array([1.0, 0.0])), distributions.Categorical(np.ones(2))
    assert kl(even, first).item() == math.inf and kl(first, even).item() == pytest.approx(math.log(2))
    more, fewer = distributions.Binomial(3, 0.5), distributions.Binomial(2, 0.5)
    assert kl(more, fewer).item() == math.inf
    with pytest.raises(NotImplementedError, match="kl_divergence: a Binomial of fewer tries"):
        kl(fewer, more)
    with pytest.raises(NotImplementedError, match="kl_divergence: no formula for Normal and Poisson: register_kl"):
        kl(distributions.Normal(0.0, 1.0), distributions.Poisson(1.0))


def test_pairs_of_ones_own_are_registered():
    class Shifted(distributions.Normal):
        pass

    distributions.register_kl(Shifted, distributions.Poisson)(lambda p, q: p.loc + q.rate)
    assert distributions.kl_divergence(Shifted(1.0, 1.0), distributions.Poisson(2.0)).item() == 3
    assert distributions.kl_divergence(Shifted(0.0, 1.0), distributions.Normal(0.0, 1.0)).item() == 0


@pytest.mark.parametrize(
    "name", ["Bernoulli", "Binomial", "NegativeBinomial", "Geometric", "Categorical", "Multinomial"]
)
def test_logits_are_torchs(name):
    torch = peer("torch")
    count = {"Binomial": (5,), "NegativeBinomial": (5,), "Multinomial": (5,)}.get(name, ())
    logits = LOGITS if name in ODDS else np.log(WEIGHTS) + 1
    value = CASES[name][2]
    x, y = nbgrad.tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    mine = getattr(distributions, name)(*count, logits=x)
    theirs = getattr(torch.distributions, name)(*map(torch.tensor, count) if name != "Multinomial" else count, logits=y)
    np.testing.assert_allclose(mine.probs.data, theirs.probs.detach().numpy())
    found, wanted = mine.log_prob(value), theirs.log_prob(torch.tensor(value))
    np.testing.assert_allclose(found.data, wanted.detach().numpy(), rtol=1e-12)
    found.sum().backward()
    wanted.sum().backward()
    np.testing.assert_allclose(x.grad.data, y.grad.numpy(), rtol=1e-9, atol=1e-12)
    for _ in range(2):  # nothing is kept of the first graph
        mine.log_prob(value).sum().backward()


@pytest.mark.parametrize("given", ["covariance_matrix", "precision_matrix", "scale_tril"])
def test_normal_vectors_by_each_of_their_matrices(given):
    torch, stats = peer("torch"), peer("scipy.stats")
    covariance = FACTOR @ FACTOR.T
    matrix = {"covariance_matrix": covariance, "precision_matrix": np.linalg.inv(covariance), "scale_tril": FACTOR}
    values = np.random.default_rng(0).normal(size=(5, 2, 2))
    loc = np.array([[0.1, 0.2], [1.0, -1.0]])
    x, y = nbgrad.tensor(matrix[given], requires_grad=True), torch.tensor(matrix[given], requires_grad=True)
    mine = distributions.MultivariateNormal(loc, **{given: x})
    theirs = torch.distributions.MultivariateNormal(torch.tensor(loc), **{given: y})
    found, wanted = mine.log_prob(values), theirs.log_prob(torch.tensor(values))
    np.testing.assert_allclose(found.data, wanted.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(found.data[:, 0], stats.multivariate_normal(loc[0], covariance).logpdf(values[:, 0]))
    found.sum().backward()
    wanted.sum().backward()
    triangle = np.tril(np.ones((2, 2))) if given == "scale_tril" else np.ones((2, 2))
    np.testing.assert_allclose(x.grad.data, y.grad.numpy() * triangle, rtol=1e-8)
    np.testing.assert_allclose(mine.covariance_matrix.data[0], covariance, rtol=1e-10)
    np.testing.assert_allclose(mine.precision_matrix.data[0], np.linalg.inv(covariance), rtol=1e-10)


def test_independent_values_are_torchs():
    torch = peer("torch")
    loc = np.arange(6.0).reshape(2, 3)
    mine = distributions.Independent(distributions.Normal(loc, 2.0), 1)
    theirs = torch.distributions.Independent(torch.distributions.Normal(torch.tensor(loc), 2.0), 1)
    assert (mine.batch_shape, mine.event_shape) == ((2,), (3,))
    value = np.ones(3)
    np.testing.assert_allclose(mine.log_prob(value).data, theirs.log_prob(torch.tensor(value)))
    np.testing.assert_allclose(mine.entropy().data, theirs.entropy())
    other = distributions.Independent(distributions.Normal(loc + 1, 2.0), 1)
    np.testing.assert_allclose(distributions.kl_divergence(mine, other).data, [0.375] * 2)
    assert mine.expand((4, 2)).log_prob(value).shape == (4, 2)
    assert mine.has_rsample and mine.rsample((5,)).shape == (5, 2, 3)
    with pytest.raises(ValueError, match=r"Independent: 3 dimensions of a batch of shape \(2, 3\)"):
        distributions.Independent(distributions.Normal(loc, 2.0), 3)


@pytest.mark.parametrize("vectors", [False, True])
def test_mixtures_are_torchs(vectors):
    torch = peer("torch")

    def mixture(module, tensor):
        loc, scale = tensor(np.arange(6.0).reshape(2, 3)), tensor(np.array([0.5, 1.0, 2.0]))
        parts = module.Normal(loc, scale)
        if vectors:
            parts = module.Independent(module.Normal(loc[..., None] * tensor(np.ones(2)), scale[..., None]), 1)
        return module.MixtureSameFamily(module.Categorical(tensor(WEIGHTS)), parts)

    mine, theirs = mixture(distributions, nbgrad.tensor), mixture(torch.distributions, torch.tensor)
    value = np.array([[0.5, 1.0], [2.0, 3.0]])
    for name in ("mean", "variance"):
        np.testing.assert_allclose(getattr(mine, name).data, getattr(theirs, name), rtol=1e-12)
    np.testing.assert_allclose(mine.log_prob(value).data, theirs.log_prob(torch.tensor(value)), rtol=1e-12)
    if not vectors:
        np.testing.assert_allclose(mine.cdf(value).data, theirs.cdf(torch.tensor(value)), rtol=1e-12)
        assert mine.expand((4, 2)).mean.shape == (4, 2)
    assert mine.sample((7,)).shape == tuple(theirs.sample((7,)).shape)


def test_compiled_and_vectorised(kernels, sides):
    """Through the whole of a loss: parameters, density, entropy."""
    ((mine, _),) = sides.pairs
    name, arguments = type(mine).__name__, CASES[type(mine).__name__][0]
    count, arrays = (
        [x for x in arguments if not isinstance(x, np.ndarray)],
        [x for x in arguments if isinstance(x, np.ndarray)],
    )

    def loss(*xs):
        return getattr(distributions, name)(*count, *xs).log_prob(sides.value.data).sum()

    wanted = nbgrad.grad(loss, tuple(range(len(arrays))))(*arrays)
    for mine, theirs in zip(nbgrad.jit(nbgrad.grad(loss, tuple(range(len(arrays)))))(*arrays), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    fixed = {"MultivariateNormal": 1, "Binomial": 0}.get(name)  # a matrix, a whole number
    several = [np.stack([x, x if i == fixed else x * 0.9]) for i, x in enumerate(arrays)]
    found = nbgrad.vmap(nbgrad.grad(loss))(*several)
    np.testing.assert_allclose(found[1], nbgrad.grad(loss)(*[x[1] for x in several]), rtol=1e-9, atol=1e-12)


def test_dtypes_devices_and_shapes():
    single = distributions.Normal(np.zeros(3, np.float32), 1)
    assert single.log_prob(2).dtype == single.sample().dtype == single.entropy().dtype == np.float32
    assert distributions.Poisson(3).log_prob(np.array([1, 2])).shape == (2,)
    wide = distributions.Gamma(A, 1.0).expand((2, 3))
    assert wide.batch_shape == wide.mean.shape == (2, 3) and wide.sample((4, 5)).shape == (4, 5, 2, 3)
    assert distributions.Dirichlet(np.ones(3)).expand((2,)).sample().shape == (2, 3)
    chosen = distributions.Categorical(logits=np.zeros((2, 4))).enumerate_support()
    assert chosen.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert distributions.Bernoulli(CHANCES).enumerate_support(False).shape == (2, 1)
    assert repr(distributions.Normal(1.0, 2.0)) == "Normal(loc: 1.0, scale: 2.0)"


def test_factors_of_correlations_are_torchs():
    torch = peer("torch")
    concentration = np.array([0.7, 1.0, 3.0])
    matrix = np.array([[1.0, 0.3, -0.2, 0.1], [0.3, 1.0, 0.4, 0.0], [-0.2, 0.4, 1.0, 0.5], [0.1, 0.0, 0.5, 1.0]])
    value = np.linalg.cholesky(matrix)
    x, t = nbgrad.tensor(concentration, requires_grad=True), torch.tensor(concentration, requires_grad=True)
    mine, theirs = distributions.LKJCholesky(4, x), torch.distributions.LKJCholesky(4, t)
    found, wanted = mine.log_prob(value), theirs.log_prob(torch.tensor(value))
    np.testing.assert_allclose(found.data, wanted.detach().numpy(), rtol=1e-9)
    found.sum().backward()
    wanted.sum().backward()
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-9)
    assert mine.expand((2, 3)).sample((5,)).shape == (5, 2, 3, 4, 4)
    assert np.isfinite(mine.log_prob(mine.sample((9,))).data).all()


def relaxed(module, tensor, name):
    temperature = tensor(np.array(0.7))
    return {
        "bernoulli": lambda: module.RelaxedBernoulli(temperature, tensor(CHANCES)),
        "bernoulli, logits": lambda: module.RelaxedBernoulli(temperature, logits=tensor(LOGITS)),
        "classes": lambda: module.RelaxedOneHotCategorical(temperature, tensor(WEIGHTS)),
        "classes, logits": lambda: module.RelaxedOneHotCategorical(temperature, logits=tensor(np.log(WEIGHTS) + 1)),
        "shares": lambda: module.LogisticNormal(tensor(np.array([A[:2], B[:2]])), tensor(B[:2])),
    }[name]()


@pytest.mark.parametrize("name", ["bernoulli", "bernoulli, logits", "classes", "classes, logits", "shares"])
def test_relaxed_distributions_are_torchs(kernels, name):
    torch = peer("torch")
    values = np.array([0.1, 0.3, 0.6]) if "bernoulli" in name else np.array([[[0.1, 0.3, 0.6]], [[0.5, 0.2, 0.3]]])
    mine, theirs = relaxed(distributions, nbgrad.tensor, name), relaxed(torch.distributions, torch.tensor, name)
    assert (mine.batch_shape, mine.event_shape) == (tuple(theirs.batch_shape), tuple(theirs.event_shape))
    x, t = nbgrad.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    found, wanted = mine.log_prob(x), theirs.log_prob(t)
    np.testing.assert_allclose(found.data, wanted.detach().numpy(), rtol=1e-9)
    found.sum().backward()
    wanted.sum().backward()
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-8)
    assert mine.has_rsample and mine.rsample((5,)).shape == tuple(theirs.rsample((5,)).shape)
    wider = mine.expand((2, *mine.batch_shape))
    assert type(wider) is type(mine) and wider.log_prob(mine.sample()).shape == (2, *mine.batch_shape)
    compiled = nbgrad.jit(lambda value: relaxed(distributions, nbgrad.tensor, name).log_prob(value))
    np.testing.assert_allclose(np.asarray(compiled(values).data), found.data, rtol=1e-12)
    if "shares" not in name:
        kind, given = type(mine), LOGITS if "bernoulli" in name else WEIGHTS
        by_temperature = nbgrad.grad(lambda t: kind(t, logits=given).log_prob(values).sum())
        np.testing.assert_allclose(nbgrad.jit(by_temperature)(0.7), by_temperature(0.7), rtol=1e-9)


def test_one_hot_values_are_all_told():
    made = distributions.OneHotCategorical(WEIGHTS)
    assert made.enumerate_support().shape == (3, 2, 3) and made.enumerate_support(False).shape == (3, 1, 3)
    np.testing.assert_allclose(made.log_prob(made.enumerate_support()).exp().sum(0).data, 1)
    sample = made.sample((7,))
    assert sample.shape == (7, 2, 3) and (sample.sum(-1).data == 1).all()
    logits = nbgrad.tensor(np.log(WEIGHTS), requires_grad=True)
    through = distributions.OneHotCategoricalStraightThrough(logits=logits)
    (through.rsample() * np.array([1.0, 2.0, 4.0])).sum().backward()
    wanted = nbgrad.grad(lambda x: (nbgrad.softmax(x, -1) * np.array([1.0, 2.0, 4.0])).sum())(np.log(WEIGHTS))
    np.testing.assert_allclose(logits.grad.data, wanted, rtol=1e-12)


def test_import_is_left_to_who_needs_it():
    from nbgrad.registry import MODULES

    assert "distributions" in MODULES


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda d: d.Normal(0.0, -1.0), ValueError, r"Normal: parameter scale of shape \(\) has to be above 0"),
        (lambda d: d.Normal(np.nan, 1.0), ValueError, "Normal: parameter loc .* has to be a number, and holds .nan"),
        (lambda d: d.Normal(np.ones(2), np.ones(3)), ValueError, r"Normal: loc of shape \(2,\) and scale .* broadcast"),
        (lambda d: d.Normal(0.0, 1.0).log_prob(np.nan), ValueError, "Normal: value .* has to be a number"),
        (lambda d: d.Normal(A, B).log_prob(np.ones(2)), ValueError, r"Normal: value of shape \(2,\) .* batch shape"),
        (lambda d: d.Uniform(1.0, 0.0), ValueError, "Uniform: parameter high .* above low"),
        (lambda d: d.Uniform(0.0, 1.0).log_prob(2.0), ValueError, "Uniform: value .* from 0.0 to 1.0"),
        (lambda d: d.Gamma(1.0, 1.0).log_prob(-1.0), ValueError, "Gamma: value .* 0 or above"),
        (lambda d: d.Beta(1.0, 1.0).log_prob(1.5), ValueError, "Beta: value .* from 0 to 1"),
        (lambda d: d.Dirichlet(2.0), ValueError, r"Dirichlet: concentration has shape \(\): give 1 dimensions"),
        (lambda d: d.Dirichlet(A).log_prob(A), ValueError, "Dirichlet: value .* with a sum of 1"),
        (lambda d: d.Bernoulli(1.5), ValueError, "Bernoulli: parameter probs .* from 0 to 1"),
        (lambda d: d.Bernoulli(0.5).log_prob(0.5), ValueError, "Bernoulli: value .* 0 or 1"),
        (lambda d: d.Bernoulli(), ValueError, "Bernoulli: give probs or logits, one of them"),
        (lambda d: d.Bernoulli(0.5, 0.5), ValueError, "Bernoulli: give probs or logits, not both"),
        (lambda d: d.Binomial(2, 0.5).log_prob(3.0), ValueError, "Binomial: value .* a whole number from 0 to 2"),
        (lambda d: d.Binomial(np.array([1, 2]), 0.5).entropy(), NotImplementedError, "Binomial: there is an entropy"),
        (lambda d: d.Poisson(1.0).log_prob(0.5), ValueError, "Poisson: value .* a whole number, 0 or above"),
        (lambda d: d.NegativeBinomial(1, 1.0), ValueError, "NegativeBinomial: parameter probs .* below 1"),
        (lambda d: d.Categorical(np.zeros(3)), ValueError, "Categorical: parameter probs .* not all 0"),
        (lambda d: d.Categorical(np.ones(3)).log_prob(3), ValueError, "Categorical: value .* from 0 to 2"),
        (lambda d: d.Multinomial(A, np.ones(3)), NotImplementedError, "Multinomial: total_count is array"),
        (lambda d: d.Multinomial(2, np.ones(3)).log_prob(np.ones(3)), ValueError, "Multinomial: .* sum of 2"),
        (lambda d: d.MultivariateNormal(A), ValueError, "MultivariateNormal: no matrix given: give one of"),
        (lambda d: d.MultivariateNormal(A, np.eye(2)), ValueError, r"covariance_matrix of shape \(2, 2\) for .* 3"),
        (lambda d: d.MultivariateNormal(A, -np.eye(3)), ValueError, "parameter covariance_matrix .* positive eigenv"),
        (lambda d: d.MixtureSameFamily(d.Normal(A, B), d.Normal(A, B)), ValueError, "Normal and Normal given"),
        (lambda d: d.MixtureSameFamily(d.Categorical(np.ones(2)), d.Normal(A, B)), ValueError, "2 weights for"),
        (lambda d: d.OneHotCategorical(A).log_prob(np.array([0.5, 0.5, 0.0])), ValueError, "value .* 0 and a single 1"),
        (lambda d: d.RelaxedBernoulli(-1.0, 0.5), ValueError, "parameter temperature .* above 0"),
        (lambda d: d.RelaxedOneHotCategorical(1.0, A).log_prob(A), ValueError, "with a sum of 1"),
        (lambda d: d.LKJCholesky(1), ValueError, "LKJCholesky: dim is a whole number, 2 or above, got 1"),
        (lambda d: d.LKJCholesky(2).log_prob(np.ones((2, 2))), ValueError, "rows of length 1"),
        (lambda d: d.LowRankMultivariateNormal(A, np.ones((2, 1)), A), ValueError, r"cov_factor of shape \(2, 1\)"),
        (lambda d: d.LogisticNormal(0.0, 1.0), ValueError, "LogisticNormal: loc and scale have one dimension"),
        (lambda d: d.Pareto(2.0, 1.0).log_prob(1.0), ValueError, "Pareto: value .* 2.0 or above"),
        (lambda d: d.Geometric(0.0), ValueError, "Geometric: parameter probs .* above 0, up to 1"),
        (lambda d: d.Poisson(1.0).rsample(), NotImplementedError, "Poisson: samples do not move with the parameters"),
        (lambda d: d.Dirichlet(A).cdf(A / A.sum()), NotImplementedError, "Dirichlet: there is no formula for its cdf"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(distributions)


def test_nothing_is_looked_at_where_nobody_asks():
    assert distributions.Normal(0.0, -1.0, validate_args=False).mean.item() == 0
    assert distributions.Uniform(0.0, 1.0, validate_args=False).log_prob(2.0).item() == -math.inf
    before = distributions.Distribution._validate_args
    distributions.Distribution.set_default_validate_args(False)
    try:
        distributions.Gamma(-1.0, 1.0)
    finally:
        distributions.Distribution.set_default_validate_args(before)
