"""How quantiles of gamma and beta distributions move: as differences of SciPy's say, and with gradients themselves."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad.ops.quantiles import _PIECE, beta_slope, gamma_slope

SHARES = np.array([1e-4, 0.02, 0.3, 0.5, 0.7, 0.98, 1 - 1e-4])
SHAPES = np.array([0.05, 0.5, 0.9, 1.0, 2.0, 20.0, 1000.0])


def slopes_by_digits(function, a):
    """Give derivatives by a parameter, in the digits of mpmath, of the share below."""
    mp = peer("mpmath").mp
    with mp.workdps(40):
        h = mp.mpf(a) * mp.mpf(10) ** -12
        return (function(mp.mpf(a) + h) - function(mp.mpf(a) - h)) / (2 * h)


@pytest.mark.parametrize("a", SHAPES)
def test_gammas_quantiles_move_as_their_shares_say(a):
    mp = peer("mpmath").mp
    x = peer("scipy.special").gammaincinv(a, SHARES)
    x = x[x > 1e-200]
    wanted = []
    for point in x:
        with mp.workdps(40):
            t = mp.mpf(point)
            slope = slopes_by_digits(lambda a, t=t: mp.gammainc(a, 0, t, regularized=True), a)
            density = t ** (mp.mpf(a) - 1) * mp.exp(-t) / mp.gamma(a)
            wanted.append(float(-slope / density))
    np.testing.assert_allclose(gamma_slope(np.full_like(x, a), x), wanted, rtol=1e-11)
    normal = x > 1e-30
    single = gamma_slope(np.full(normal.sum(), a, np.float32), x[normal].astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, np.array(wanted)[normal], rtol=2e-5)


@pytest.mark.parametrize(("a", "b"), [(0.05, 0.5), (0.5, 0.05), (1.0, 1.0), (3.0, 50.0), (1000.0, 0.5), (20.0, 20.0)])
def test_betas_quantiles_move_as_their_shares_say(a, b):
    mp = peer("mpmath").mp
    x = peer("scipy.special").betaincinv(a, b, SHARES)
    x = x[(x > 1e-200) & (x < 1 - 1e-9)]
    wanted = []
    for point in x:
        with mp.workdps(40):
            t = mp.mpf(point)
            slope = slopes_by_digits(lambda a, t=t: mp.betainc(a, b, 0, t, regularized=True), a)
            wanted.append(float(-slope * mp.beta(a, b) / (t ** (mp.mpf(a) - 1) * (1 - t) ** b)))
    np.testing.assert_allclose(beta_slope(x, 1 - x, np.full_like(x, a), np.full_like(x, b)), wanted, rtol=1e-10)


def test_slopes_have_gradients():
    a, x = nbgrad.tensor([0.4, 3.0]), nbgrad.tensor([0.2, 3.5])
    assert nbgrad.autograd.gradcheck(gamma_slope, (a.requires_grad_(), x.requires_grad_()), rtol=1e-5)
    share = nbgrad.tensor([0.2, 0.8], requires_grad=True)
    assert nbgrad.autograd.gradcheck(
        lambda x, a, b: beta_slope(x, 1 - x, a, b), (share, a, nbgrad.tensor([2.0, 0.7])), rtol=1e-5
    )


def test_many_elements_are_taken_in_pieces():
    x = np.linspace(0.1, 5, _PIECE + 3)
    a = np.float64(1.7) + np.zeros((1,))
    found = gamma_slope(a, x)
    np.testing.assert_array_equal(found[-5:], gamma_slope(a, x[-5:]))
    assert found.shape == x.shape
