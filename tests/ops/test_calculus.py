"""Integrals by trapezoids and differences: torch's, those of differences, and what is refused."""

import numpy as np
import pytest
from cases import ANY, draw
from families import Member, check_derivatives, check_traced, check_values, parameters
from peers import peer

import nbgrad

MEMBERS = [
    Member("trapezoid", lambda y: nbgrad.trapezoid(y, dx=0.5), lambda t, y: t.trapezoid(y, dx=0.5)),
    Member(
        "trapezoid at places",
        lambda y, x: nbgrad.trapezoid(y, x, dim=0),
        lambda t, y, x: t.trapezoid(y, x, dim=0),
        (ANY, ANY),
        ((3, 4), (3,)),
    ),
    Member(
        "cumulative_trapezoid",
        nbgrad.cumulative_trapezoid,
        lambda t, y, x: t.cumulative_trapezoid(y, x),
        (ANY, ANY),
    ),
    Member("gradient", lambda y: nbgrad.gradient(y)[0], lambda t, y: t.gradient(y)[0]),
    Member(
        "gradient of second order",
        lambda y: nbgrad.gradient(y, spacing=0.5, dim=1, edge_order=2)[0],
        lambda t, y: t.gradient(y, spacing=0.5, dim=1, edge_order=2)[0],
    ),
]


@pytest.mark.parametrize("member", parameters(MEMBERS, {"trapezoid at places", "gradient"}))
def test_values_are_torchs(member):
    check_values(member)


@pytest.mark.parametrize("member", parameters(MEMBERS, {"trapezoid at places"}))
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@pytest.mark.parametrize("member", parameters(MEMBERS, {"trapezoid at places"}))
def test_compiled(member, kernels):
    check_traced(member)


@pytest.mark.parametrize("order", [1, 2])
def test_differences_at_places_are_numpys_and_torchs(order):
    torch = peer("torch")
    y, places = draw(ANY, (5, 6)), [np.array([0.0, 1.0, 3.0, 3.5, 5.0]), np.linspace(0, 1, 6) ** 2]
    found = nbgrad.gradient(nbgrad.tensor(y), spacing=[nbgrad.tensor(p) for p in places], edge_order=order)
    for mine, wanted in zip(found, np.gradient(y, *places, edge_order=order), strict=True):
        np.testing.assert_allclose(mine.data, wanted, rtol=1e-12, atol=1e-12)
    theirs = torch.gradient(torch.tensor(y), spacing=[torch.tensor(p) for p in places], edge_order=order)
    np.testing.assert_allclose(found[1].data, theirs[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda y: nbgrad.trapezoid(y[0, 0]), ValueError, "trapezoid: a scalar has no dimension"),
        (lambda y: nbgrad.trapezoid(y, y, dx=1), TypeError, "trapezoid: give x, the places, or dx"),
        (lambda y: nbgrad.trapezoid(y, nbgrad.ones(7)), ValueError, r"trapezoid: x of shape \(7,\)"),
        (lambda y: nbgrad.trapezoid(y, dx="1"), TypeError, "trapezoid: dx is '1'"),
        (lambda y: nbgrad.gradient(y, edge_order=3), ValueError, "gradient: edge_order is 3"),
        (lambda y: nbgrad.gradient(y[:1]), ValueError, "gradient: dimension 0 of shape"),
        (lambda y: nbgrad.gradient(y, spacing=[1.0]), ValueError, "gradient: 1 spacings for 2 dimensions"),
        (lambda y: nbgrad.gradient(y, spacing=[np.ones(2), 1]), ValueError, r"gradient: \(2,\) places"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.ones(3, 4))
