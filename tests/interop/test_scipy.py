"""SciPy's functions that NumPy's protocols do not reach: SciPy's values, and gradients of differences."""

import cases
import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.interop.scipy import integrate, signal, special, stats

X = np.array([[0.3, 0.6, 0.45], [0.7, 0.2, 0.9]])
POSITIVE = np.array([1.5, 2.5, 3.5])

SPECIAL = {
    "logsumexp": lambda s, x: s.logsumexp(x, axis=1),
    "logsumexp of all": lambda s, x: s.logsumexp(x),
    "logsumexp weighted": lambda s, x: s.logsumexp(x, 0, np.array([[1.0, 2, 3], [0.5, 0, 4]]), keepdims=True),
    "logsumexp's sign": lambda s, x: s.logsumexp(x, b=np.array([1.0, -5.0, 1.0]), return_sign=True)[0],
    "softmax": lambda s, x: s.softmax(x, axis=0),
    "softmax of all": lambda s, x: s.softmax(x),
    "log_softmax": lambda s, x: s.log_softmax(x, 1),
    "log_softmax of all": lambda s, x: s.log_softmax(x),
    "softplus": lambda s, x: s.softplus(x),
    "polygamma": lambda s, x: s.polygamma(1, x),
    "multigammaln": lambda s, x: s.multigammaln(x[0] + 2, 3),
    "sinc": lambda s, x: np.sinc(x) if s is not special else s.sinc(x),
    "jvp": lambda s, x: s.jvp(1.0, x, 2),
    "kvp": lambda s, x: s.kvp(1.0, x, 1),
    "ivp": lambda s, x: s.ivp(2.0, x, 3),
    "comb": lambda s, x: s.comb(x + 3, 2.5),
    "factorial": lambda s, x: s.factorial(x) if s is special else s.gamma(x + 1),
    "perm": lambda s, x: s.perm(x + 3, 2.5),
    "diric": lambda s, x: s.diric(x, 3),
    "spherical_jn": lambda s, x: s.spherical_jn(2, x) + s.spherical_jn(2, x, True),
    "spherical_yn": lambda s, x: s.spherical_yn(1, x + 1) + s.spherical_yn(1, x + 1, True),
    "spherical_in": lambda s, x: s.spherical_in(1, x) + s.spherical_in(1, x, True),
    "spherical_kn": lambda s, x: s.spherical_kn(1, x + 1) + s.spherical_kn(1, x + 1, True),
    "a ufunc": lambda s, x: s.expit(x),
}


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_special_functions(name, order):
    call = SPECIAL[name]
    expected = np.asarray(call(peer("scipy.special"), X))
    np.testing.assert_allclose(call(special, Variable(X)).data, expected, rtol=1e-11)
    np.testing.assert_allclose(call(special, X), expected, rtol=1e-11)
    assert nbgrad.autograd.gradcheck(lambda x: call(special, x), (Variable(X),), order=order)


def test_functions_of_scipys_name_what_there_is():
    with pytest.raises(RuntimeError, match=r"nbgrad\.interop\.scipy has logsumexp"):
        peer("scipy.special").logsumexp(Variable(X))
    with pytest.raises(RuntimeError, match=r"nbgrad\.stack joins several"):
        np.array([Variable(X), Variable(X)])


#: Methods of distributions, with arguments: those that gradients are taken by come as arrays of three.
DISTRIBUTIONS = {
    **{f"norm.{name}": (X[0], X[1], POSITIVE) for name in ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf", "ppf")},
    "t.logpdf": (X[0], POSITIVE, X[1], POSITIVE),
    "t.pdf": (X[0], POSITIVE),
    "gamma.logpdf": (POSITIVE, POSITIVE),
    "gamma.pdf": (POSITIVE, POSITIVE, X[0], POSITIVE),
    "beta.logpdf": (X[0], POSITIVE, POSITIVE[::-1]),
    "beta.pdf": (X[0], POSITIVE, POSITIVE[::-1]),
    "chi2.logpdf": (POSITIVE, POSITIVE),
    "chi2.pdf": (POSITIVE, POSITIVE),
    "dirichlet.logpdf": (np.array([0.2, 0.5, 0.3]), POSITIVE),
    "dirichlet.pdf": (np.array([0.2, 0.5, 0.3]), POSITIVE),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions(name):
    distribution, method = name.split(".")
    ours = getattr(getattr(stats, distribution), method)
    theirs = getattr(getattr(peer("scipy.stats"), distribution), method)
    arguments = [np.array(a) for a in DISTRIBUTIONS[name]]
    np.testing.assert_allclose(ours(*[Variable(a) for a in arguments]).data, theirs(*arguments), rtol=1e-11)
    if distribution == "dirichlet":
        return  # SciPy wants shares that add up to 1
    assert nbgrad.autograd.gradcheck(ours, [Variable(a) for a in arguments], order=1, rtol=1e-4)


def test_distributions_of_whole_numbers_and_by_one_argument():
    scipy = peer("scipy.stats")
    k, mu, p = np.array([0, 2, 5]), Variable(POSITIVE), Variable(X[0])
    for ours, theirs, x in (
        (stats.poisson, scipy.poisson, mu),
        (stats.bernoulli, scipy.bernoulli, p),
    ):
        places = k if ours is stats.poisson else k % 2
        for name in ("pmf", "logpmf"):
            function = getattr(ours, name)
            np.testing.assert_allclose(function(places, x).data, getattr(theirs, name)(places, x.data), rtol=1e-12)
            assert nbgrad.autograd.gradcheck(lambda x, f=function, k=places: f(k, x), (x,), order=2)
    assert stats.poisson.logpmf(np.array([-1, 1.5]), 2.0).tolist() == [-np.inf, -np.inf]
    for ours, theirs, others in (
        (stats.poisson.cdf, lambda x, k: scipy.poisson.cdf(k, x), (k,)),
        (stats.t.cdf, scipy.t.cdf, (POSITIVE,)),
        (stats.t.logcdf, scipy.t.logcdf, (POSITIVE,)),
        (stats.gamma.cdf, scipy.gamma.cdf, (POSITIVE,)),
        (stats.chi2.cdf, scipy.chi2.cdf, (POSITIVE,)),
        (stats.beta.cdf, scipy.beta.cdf, (POSITIVE, POSITIVE)),
    ):
        function = (lambda x, *o: stats.poisson.cdf(o[0], x)) if ours is stats.poisson.cdf else ours
        np.testing.assert_allclose(function(Variable(X[0]), *others).data, theirs(X[0], *others), rtol=1e-12)
        assert nbgrad.autograd.gradcheck(lambda x, f=function, o=others: f(x, *o), (Variable(X[0]),), order=1)


def test_normal_distribution_of_vectors():
    scipy = peer("scipy.stats").multivariate_normal
    root = cases.draw(cases.ANY, (3, 3)) + 2 * np.eye(3)
    cov, mean = root @ root.T, POSITIVE

    def logpdf(x, mean, root):
        return stats.multivariate_normal.logpdf(x, mean, root @ root.T)

    np.testing.assert_allclose(logpdf(X, mean, root), scipy.logpdf(X, mean, cov), rtol=1e-11)
    np.testing.assert_allclose(stats.multivariate_normal.pdf(X, mean, cov), scipy.pdf(X, mean, cov), rtol=1e-11)
    np.testing.assert_allclose(stats.multivariate_normal.entropy(mean, cov), scipy.entropy(mean, cov), rtol=1e-11)
    for given in (X[0], X):
        assert nbgrad.autograd.gradcheck(logpdf, [Variable(v) for v in (given, mean, root)], order=2)
    for arguments in ((POSITIVE, 0.5, 2.0), (X, POSITIVE, 2.0), (X, POSITIVE, POSITIVE), (POSITIVE,), (0.3, 0.1, 2.0)):
        found = stats.multivariate_normal.logpdf(*arguments)
        np.testing.assert_allclose(found, scipy.logpdf(*arguments), rtol=1e-11)
    with pytest.raises(TypeError, match="a singular covariance has no gradient"):
        stats.multivariate_normal.logpdf(X, mean, cov, True)


CONVOLUTIONS = {
    "plain": ((4, 5), (2, 3), {}),
    "along one axis": ((4, 5), (2, 3), {"axes": ([1], [0])}),
    "of images": ((2, 3, 5, 6), (3, 4, 2, 3), {"axes": ([2, 3], [2, 3]), "dot_axes": ([1], [0])}),
    "by a larger one": ((2, 3), (4, 5), {}),
    "of an even length": ((6,), (4,), {}),
}


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_is_autograds(name, mode):
    first, second, options = CONVOLUTIONS[name]
    a, b = cases.draw(cases.ANY, first), cases.draw(cases.ANY, second, seed=1)
    theirs = peer("autograd.scipy.signal").convolve
    found = signal.convolve(Variable(a), Variable(b), **options, mode=mode)
    np.testing.assert_allclose(found.data, theirs(a, b, **options, mode=mode), rtol=1e-12, atol=1e-12)
    if name == "of images" or mode == "full":
        anp, grad = peer("autograd.numpy"), peer("autograd").grad
        for by in (0, 1):
            slope = nbgrad.grad(lambda a, b: np.sum(signal.convolve(a, b, **options, mode=mode) ** 2), by)(a, b)
            wanted = grad(lambda a, b: anp.sum(theirs(a, b, **options, mode=mode) ** 2), by)(a, b)
            np.testing.assert_allclose(slope, wanted, rtol=1e-11, atol=1e-11)


def test_convolutions_that_do_not_fit():
    with pytest.raises(ValueError, match="mode 'some': give"):
        signal.convolve(X, X, mode="some")
    with pytest.raises(ValueError, match="in mode 'valid' one must cover the other"):
        signal.convolve(np.ones((2, 5)), np.ones((3, 4)), mode="valid")


def test_odeint():
    a = np.array([[-0.1, 2.0], [-2.0, -0.1]])
    times, y0 = np.linspace(0, 1, 4), np.array([2.0, 0.5])
    options = {"rtol": 1e-10, "atol": 1e-10}

    def loss(y0, times, a):
        path = integrate.odeint(lambda y, t, a, k: np.dot(y**3, a) * k + t, y0, times, (a, 0.5), **options)
        return (path * np.arange(8.0).reshape(4, 2)).sum()

    assert nbgrad.autograd.gradcheck(loss, [Variable(v) for v in (y0, times, a)], order=1, rtol=1e-4, atol=1e-4)
    plain = integrate.odeint(lambda y, t: -y, y0, times)
    np.testing.assert_array_equal(plain, peer("scipy.integrate").odeint(lambda y, t: -y, y0, times))
    with pytest.raises(TypeError, match="jit: a conversion to an array"):
        nbgrad.jit(lambda y: integrate.odeint(lambda y, t: -y, y, times))(y0)
