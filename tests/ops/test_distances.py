"""Distances, limits of lengths, covariances: torch's, those of differences, and what is refused."""

import numpy as np
import pytest
from cases import ANY
from families import Member, check_derivatives, check_traced, check_values, parameters

import nbgrad

MEMBERS = [
    Member("dist", lambda x, y: nbgrad.dist(x, y, 3), lambda t, x, y: t.dist(x, y, 3), (ANY, ANY)),
    Member("cdist", nbgrad.cdist, lambda t, x, y: t.cdist(x, y), (ANY, ANY), ((2, 3, 4), (2, 5, 4))),
    Member("cdist 1", lambda x, y: nbgrad.cdist(x, y, 1), lambda t, x, y: t.cdist(x, y, 1), (ANY, ANY), order=1),
    Member("pdist", nbgrad.pdist, lambda t, x: t.pdist(x)),
    Member("renorm", lambda x: nbgrad.renorm(x, 2, 0, 2.0), lambda t, x: t.renorm(x, 2, 0, 2.0)),
    Member("cov", nbgrad.cov, lambda t, x: t.cov(x)),
    Member(
        "weighed cov",
        lambda x: nbgrad.cov(x, fweights=np.array([1, 2, 1, 3]), aweights=np.array([0.5, 1.0, 2.0, 1.0], x.dtype)),
        lambda t, x: t.cov(x, fweights=t.tensor([1, 2, 1, 3]), aweights=t.tensor([0.5, 1.0, 2.0, 1.0], dtype=x.dtype)),
    ),
    Member("corrcoef", nbgrad.corrcoef, lambda t, x: t.corrcoef(x)),
]
QUICK = {"cdist", "renorm", "weighed cov"}
every_member = pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))


@every_member
def test_values_are_torchs(member):
    check_values(member)


@every_member
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@every_member
def test_compiled(member, kernels):
    check_traced(member)


def test_one_variable_has_a_variance_and_no_matrix():
    x = np.array([1.0, 2.0, 4.0])
    assert nbgrad.cov(x).shape == () and nbgrad.cov(x) == pytest.approx(np.var(x, ddof=1))
    assert nbgrad.corrcoef(x) == 1
    assert nbgrad.cdist(np.ones((2, 0)), np.ones((3, 0))).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: nbgrad.cdist(x, nbgrad.ones(3, 5)), ValueError, r"cdist: shapes \(3, 4\) and \(3, 5\)"),
        (lambda x: nbgrad.cdist(x, x, -1), ValueError, "cdist: the order is -1"),
        (lambda x: nbgrad.cdist(x, x, compute_mode="x"), ValueError, "cdist: compute_mode"),
        (lambda x: nbgrad.pdist(x[0]), ValueError, r"pdist: shape \(4,\)"),
        (lambda x: nbgrad.renorm(x[0], 2, 0, 1), ValueError, "renorm: shape"),
        (lambda x: nbgrad.renorm(x, 0, 0, 1), ValueError, "renorm: the order is 0"),
        (lambda x: nbgrad.cov(nbgrad.ones(1, 1, 1)), ValueError, "cov: shape"),
        (lambda x: nbgrad.cov(x, fweights=np.ones(4)), TypeError, "cov: fweights has dtype float64"),
        (lambda x: nbgrad.cov(x, aweights=-np.ones(4)), ValueError, "cov: aweights has negative numbers"),
        (lambda x: nbgrad.cov(x, aweights=np.ones(3)), ValueError, r"cov: aweights of shape \(3,\) for 4"),
        (lambda x: nbgrad.cov(x, aweights=np.zeros(4)), ZeroDivisionError, "cov: the weights add up to 0"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.ones(3, 4))
