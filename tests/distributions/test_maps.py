"""Maps of values are torch's: both ways, determinants, gradients; and the distributions made by them."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import distributions

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 3))
MATRICES = RNG.normal(size=(2, 3, 3))


def affine(d, tensor):
    return d.AffineTransform(tensor(np.array([0.5, 1.0, -2.0])), tensor(np.array([2.0, -1.5, 0.3])), event_dim=1)


#: Of each map what makes it, of a module and of what makes its tensors, and values.
MAPS = {
    "Exp": (lambda d, _: d.ExpTransform(), X),
    "Power": (lambda d, t: d.PowerTransform(t(np.array([0.5, -2.0, 3.0]))), np.abs(X)),
    "Sigmoid": (lambda d, _: d.SigmoidTransform(), X),
    "Tanh": (lambda d, _: d.TanhTransform(), X),
    "Softplus": (lambda d, _: d.SoftplusTransform(), X),
    "Affine": (affine, X),
    "Affine of numbers": (lambda d, _: d.AffineTransform(1.0, -0.5), X),
    "StickBreaking": (lambda d, _: d.StickBreakingTransform(), X),
    "CorrCholesky": (lambda d, _: d.CorrCholeskyTransform(), RNG.normal(size=(2, 6))),
    "Reshape": (lambda d, _: d.transforms.ReshapeTransform((4, 3), (2, 6)), X),
    "Independent": (lambda d, _: d.transforms.IndependentTransform(d.ExpTransform(), 2), X),
    "Cumulative": (lambda d, t: d.transforms.CumulativeDistributionTransform(d.Normal(t(np.array(0.5)), 2.0)), X),
    "Compose": (lambda d, t: d.ComposeTransform([d.TanhTransform(), affine(d, t), d.ExpTransform()]), X),
    "Compose, sticks": (lambda d, t: d.ComposeTransform([affine(d, t), d.StickBreakingTransform()]), X),
}


def both(name):
    torch = peer("torch")
    make, value = MAPS[name]
    return torch, make(distributions, nbgrad.tensor), make(torch.distributions, torch.tensor), value


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_torchs(name):
    torch, mine, theirs, value = both(name)
    assert mine.bijective == theirs.bijective
    assert mine.domain.event_dim == theirs.domain.event_dim and mine.codomain.event_dim == theirs.codomain.event_dim
    assert mine.forward_shape(value.shape) == tuple(theirs.forward_shape(value.shape))
    x, t = nbgrad.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
    y, u = mine(x), theirs(t)
    np.testing.assert_allclose(y.data, u.detach().numpy(), rtol=1e-10)
    assert mine.inverse_shape(y.shape) == value.shape == mine.inv.forward_shape(y.shape)
    np.testing.assert_allclose(mine.inv(y).data, value, rtol=1e-7, atol=1e-9)
    found, wanted = mine.log_abs_det_jacobian(x, y), theirs.log_abs_det_jacobian(t, u)
    assert found.shape == tuple(wanted.shape)
    np.testing.assert_allclose(found.data, wanted.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mine.inv.log_abs_det_jacobian(y, x).data, -found.data)
    if name != "Reshape":  # whose determinant is a constant
        for weighed in ((found**2).sum() + (y * y).sum(), (wanted**2).sum() + (u * u).sum()):
            weighed.backward()
        np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-8, atol=1e-10)
    assert mine.inv.inv(x).shape == y.shape


@pytest.mark.parametrize("name", ["Exp", "Sigmoid", "Tanh", "Softplus", "StickBreaking"])
def test_determinants_are_those_of_jacobians(name):
    _, mine, _, _ = both(name)
    x = np.array([0.3, -0.7, 1.1])
    matrix = nbgrad.func.jacrev(lambda x: mine(nbgrad.as_tensor(x)))(nbgrad.tensor(x)).data
    if name == "StickBreaking":
        matrix = matrix[:-1]
    total = mine.log_abs_det_jacobian(nbgrad.tensor(x), mine(nbgrad.tensor(x))).data.sum()
    np.testing.assert_allclose(total, np.log(abs(np.linalg.det(matrix))), rtol=1e-9)


def test_maps_without_inverses_and_of_matrices_are_torchs():
    torch = peer("torch")
    for name, value in (("AbsTransform", X), ("SoftmaxTransform", X), ("LowerCholeskyTransform", MATRICES)):
        mine = getattr(distributions, name)()
        theirs = getattr(torch.distributions, name)()
        y, u = mine(nbgrad.tensor(value)), theirs(torch.tensor(value))
        np.testing.assert_allclose(y.data, u, rtol=1e-12)
        np.testing.assert_allclose(mine.inv(y).data, theirs.inv(u), rtol=1e-9, atol=1e-12)
        assert not mine.bijective
        with pytest.raises(NotImplementedError, match="log_abs_det_jacobian is not defined"):
            mine.log_abs_det_jacobian(y, y)


def test_caches_keep_digits():
    x = nbgrad.tensor([0.5, 9.0, 40.0])
    lost, kept = distributions.TanhTransform(), distributions.TanhTransform(cache_size=1)
    assert lost.inv(lost(x)).data[2] == np.inf and kept.inv(kept(x)) is x
    assert kept.with_cache(0).inv(kept(x)).data[2] == np.inf
    whole = distributions.ComposeTransform([lost, distributions.ExpTransform()], cache_size=1)
    y = whole(x)
    assert whole.inv(y) is x
    made = distributions.TransformedDistribution(distributions.Normal(0.0, 30.0), kept)
    assert np.isfinite(made.log_prob(made.rsample((100,))).data).all()


BASES = {
    "logistic": (lambda d, t: (d.Uniform(t(np.zeros(3)), t(np.ones(3))), [d.SigmoidTransform().inv, affine(d, t)]), X),
    "squashed": (lambda d, t: (d.Normal(t(X[0, 0]), t(np.ones(3))), [d.TanhTransform()]), np.tanh(X)),
    "falling": (lambda d, t: (d.Normal(t(X[0, 0]), t(np.ones(3))), [d.AffineTransform(1.0, -2.0)]), X),
    "of vectors": (lambda d, t: (d.MultivariateNormal(t(X[0, 0]), t(np.eye(3))), [d.ExpTransform()]), np.exp(X)),
    "sticks": (
        lambda d, t: (d.Normal(t(np.zeros(2)), t(np.ones(2))), d.StickBreakingTransform()),
        np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]),
    ),
    "none": (lambda d, t: (d.Normal(t(X[0, 0]), t(np.ones(3))), []), X),
}
BASES["spread"] = (
    lambda d, t: (d.Normal(t(np.array(0.5)), t(np.array(2.0))), [d.AffineTransform(t(np.arange(3.0)), 2.0)]),
    X,
)


@pytest.mark.parametrize("name", BASES)
def test_distributions_made_by_maps_are_torchs(name):
    torch = peer("torch")
    make, value = BASES[name]
    mine = distributions.TransformedDistribution(*make(distributions, nbgrad.tensor))
    theirs = torch.distributions.TransformedDistribution(*make(torch.distributions, torch.tensor))
    assert (mine.batch_shape, mine.event_shape) == (tuple(theirs.batch_shape), tuple(theirs.event_shape))
    x, t = nbgrad.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
    found, wanted = mine.log_prob(x), theirs.log_prob(t)
    assert found.shape == tuple(wanted.shape)
    np.testing.assert_allclose(found.data, wanted.detach().numpy(), rtol=1e-9)
    found.sum().backward()
    wanted.sum().backward()
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-8)
    assert mine.rsample((5,)).shape == mine.sample((5,)).shape == tuple(theirs.rsample((5,)).shape)
    wider = (value.shape[-2], *mine.batch_shape)
    assert mine.expand(wider).log_prob(x.detach()).shape == tuple(theirs.expand(wider).log_prob(t).shape)
    assert mine.expand(wider).sample().shape == (*wider, *mine.event_shape)
    if name in ("squashed", "falling", "spread"):
        np.testing.assert_allclose(mine.cdf(value).data, theirs.cdf(torch.tensor(value)), rtol=1e-9)
        np.testing.assert_allclose(mine.icdf(mine.cdf(value).data).data, value, rtol=1e-6, atol=1e-9)


def test_parameters_of_maps_are_learned(kernels):
    """A flow of a map of one's own, fitted to samples, compiled and not."""

    class Shift(distributions.Transform):
        domain = codomain = distributions.constraints.real
        bijective, sign = True, 1

        def __init__(self, by, cache_size=0):
            super().__init__(cache_size)
            self.by = by

        def _call(self, x):
            return x + self.by

        def _inverse(self, y):
            return y - self.by

        def log_abs_det_jacobian(self, x, y):
            return nbgrad.zeros_like(x)

    data = np.array([1.0, 2.0, 4.0, 5.0])

    def loss(by, log_scale):
        maps = [distributions.AffineTransform(0.0, nbgrad.exp(log_scale)), Shift(by)]
        return -distributions.TransformedDistribution(distributions.Normal(0.0, 1.0), maps).log_prob(data).mean()

    def trained(step):
        by, log_scale = nbgrad.tensor(0.0, requires_grad=True), nbgrad.tensor(0.0, requires_grad=True)
        for _ in range(200):
            gradients = step(by.detach(), log_scale.detach())
            for x, g in zip((by, log_scale), gradients, strict=True):
                x.data -= 0.2 * g.data
        return by.item(), log_scale.item()

    gradient = nbgrad.grad(loss, (0, 1))
    np.testing.assert_allclose(trained(gradient), (3.0, 0.5 * np.log(2.5)), rtol=1e-3)
    np.testing.assert_allclose(trained(nbgrad.jit(gradient)), (3.0, 0.5 * np.log(2.5)), rtol=1e-3)


def test_wrong_maps():
    d = distributions
    for call, error, says in (
        (lambda: d.TransformedDistribution(d.Normal(0.0, 1.0), [abs]), TypeError, "takes transforms, got builtin"),
        (lambda: d.TransformedDistribution(d.Normal(0.0, 1.0), d.StickBreakingTransform()), ValueError, "1 dimensions"),
        (lambda: d.TanhTransform(cache_size=2), ValueError, "cache_size is 0 or 1, got 2"),
        (lambda: d.transforms.ReshapeTransform((2,), (3,)), ValueError, "have not as many elements"),
        (lambda: d.CorrCholeskyTransform()(nbgrad.ones(2)), ValueError, "2 numbers are not those below a diagonal"),
        (lambda: d.CorrCholeskyTransform().event_dim, ValueError, "event_dim differs"),
        (lambda: d.AbsTransform().sign, NotImplementedError, "AbsTransform: neither rises nor falls"),
        (
            lambda: d.TransformedDistribution(d.Normal(0.0, 1.0), d.ExpTransform()).log_prob(-1.0),
            ValueError,
            "value .* above 0",
        ),
    ):
        with pytest.raises(error, match=says):
            call()
