"""How shares move with the parameters of distributions, in the digits of mpmath."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable


def slope_by_digits(function, a):
    mp = peer("mpmath").mp
    with mp.workdps(50):
        h = mp.mpf(a) * mp.mpf(10) ** -15
        return float((function(mp.mpf(a) + h) - function(mp.mpf(a) - h)) / (2 * h))


@pytest.mark.parametrize(("a", "b"), [(0.05, 0.5), (0.5, 0.05), (1.0, 1.0), (3.0, 50.0), (20.0, 20.0)])
def test_shares_of_beta_by_both_parameters(a, b):
    mp, special = peer("mpmath").mp, peer("scipy.special")
    places = np.array([1e-30, 1e-9, 0.02, 0.5, 0.98, 1 - 1e-9])
    first, second = (Variable(np.full(places.shape, p)) for p in (a, b))
    special.betainc(first, second, places).sum().backward()
    for i, x in enumerate(places):
        wanted = (
            slope_by_digits(lambda p, x=x: mp.betainc(p, b, 0, mp.mpf(x), regularized=True), a),
            slope_by_digits(lambda p, x=x: mp.betainc(a, p, 0, mp.mpf(x), regularized=True), b),
        )
        np.testing.assert_allclose((first.grad[i].item(), second.grad[i].item()), wanted, rtol=1e-9, atol=1e-30)


def test_shares_of_beta_stand_still_at_their_ends():
    a, b = Variable(np.array([0.5, 2.0])), Variable(np.array([3.0, 0.7]))
    for end in (0.0, 1.0):
        grads = nbgrad.autograd.grad(peer("scipy.special").betainc(a, b, np.full(2, end)).sum(), (a, b))
        for g in grads:
            np.testing.assert_allclose(g.data, 0, atol=1e-12)


@pytest.mark.parametrize("df", [0.3, 1.0, 4.0, 30.0])
def test_shares_of_students_t_by_degrees_of_freedom(df):
    mp, special = peer("mpmath").mp, peer("scipy.special")

    def share(df, t):
        half = mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + t**2), regularized=True) / 2
        return half if t < 0 else 1 - half

    places = np.array([-50.0, -1.5, -1e-6, 0.0, 1e-3, 0.7, 6.0])
    degrees = Variable(np.full(places.shape, df))
    special.stdtr(degrees, places).sum().backward()
    wanted = [slope_by_digits(lambda df, t=t: share(df, mp.mpf(t)), df) for t in places]
    np.testing.assert_allclose(degrees.grad.data, wanted, rtol=1e-9, atol=1e-30)
