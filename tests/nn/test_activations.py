"""Activation functions: torch's values and gradients, differences, compiled, and what is refused."""

import numpy as np
import pytest
from cases import ANY, draw
from families import Member, check_derivatives, check_traced, check_values, parameters
from peers import peer

import nbgrad
from nbgrad.nn import activations
from nbgrad.nn import functional as F


def member(name, *arguments, domains=(ANY,), **options):
    return Member(
        "-".join([name, *map(str, arguments), *map(str, options.values())]),
        lambda *xs: getattr(F, name)(*xs, *arguments, **options),
        lambda t, *xs: getattr(t.nn.functional, name)(*xs, *arguments, **options),
        domains,
    )


MEMBERS = [
    *map(member, ("gelu", "silu", "mish", "selu", "elu", "celu", "leaky_relu", "hardswish", "hardtanh")),
    # torch's own slope of float64 is the sixth of float32, 2 ** -25 too much
    Member("hardsigmoid", F.hardsigmoid, lambda t, x: t.nn.functional.relu6(x + 3) / 6),
    *map(member, ("relu6", "hardshrink", "softshrink", "tanhshrink", "softsign", "logsigmoid", "glu")),
    member("gelu", approximate="tanh"),
    member("elu", 0.7),
    member("threshold", 0.1, 5.0),
    member("rrelu", 0.1, 0.3),
    member("softmin", dim=1),
]
PRELU = Member("prelu", F.prelu, lambda t, x, w: t.nn.functional.prelu(x, w), (ANY, ANY), ((3, 4), (4,)))
QUICK = {"silu", "leaky_relu", "glu"}


@pytest.mark.parametrize("member", parameters([*MEMBERS, PRELU], QUICK))
def test_values_are_torchs(member):
    check_values(member)


@pytest.mark.parametrize("member", parameters([*MEMBERS, PRELU], QUICK))
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@pytest.mark.parametrize("member", parameters([*MEMBERS, PRELU], QUICK))
def test_compiled(member, kernels):
    check_traced(member)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "selu", "elu", "softsign", "tanhshrink", "logsigmoid"])
def test_large_numbers_overflow_nowhere(name):
    x = nbgrad.tensor([-1e4, -800.0, 800.0, 1e4, -np.inf, np.inf], requires_grad=True)
    y = getattr(F, name)(x)
    (slope,) = nbgrad.autograd.grad(y.sum(), x)
    assert np.isfinite(y.data[:4]).all() and np.isfinite(slope.data[:4]).all()


@pytest.mark.parametrize(("dtype", "least"), [("float32", -13), ("float64", -37)])
def test_gelu_keeps_its_digits_where_little_is_left(dtype, least):
    mp = peer("mpmath")
    x = np.concatenate([np.linspace(least, 12, 60), [-1e-3, 0.0, 1e-3]]).astype(dtype)
    v = nbgrad.tensor(x, requires_grad=True)
    y = F.gelu(v)
    (slope,) = nbgrad.autograd.grad(y.sum(), v)
    with mp.workdps(40):
        numbers = [mp.mpf(float(number)) for number in x]
        shares = [mp.erfc(-number / mp.sqrt(2)) / 2 for number in numbers]
        products = [number * share for number, share in zip(numbers, shares, strict=True)]
        density = [mp.exp(-(number**2) / 2) / mp.sqrt(2 * mp.pi) for number in numbers]
        terms = zip(numbers, shares, density, strict=True)
        slopes = [(share + number * d, share + abs(number) * d) for number, share, d in terms]
    eps = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(y.data.astype(float), np.array(products, float), eps, np.finfo(dtype).tiny)
    exact, scale = np.array(slopes, float).T
    assert (np.abs(slope.data - exact) <= eps * scale + np.finfo(dtype).tiny).all()
    assert F.gelu(np.array([0.0], dtype)) == 0 and F.gelu(np.array([1e-30], dtype)) == np.array(5e-31, dtype)


def test_drawn_slopes_are_between_the_bounds():
    x = nbgrad.tensor(-np.ones(1000))
    drawn = F.rrelu(x, 0.25, 0.5, training=True).data
    assert -0.5 <= drawn.min() < -0.45 and -0.3 < drawn.max() <= -0.25


def test_gumbel_softmax_has_one_largest_place_and_the_gradient_of_softmax():
    x = nbgrad.tensor(draw(ANY, (50, 4)), requires_grad=True)
    y = F.gumbel_softmax(x, tau=0.5, hard=True)
    np.testing.assert_allclose(np.sort(y.data, -1), np.eye(4)[[3] * 50], atol=1e-12)
    (y * nbgrad.arange(4.0)).sum().backward()
    np.testing.assert_allclose(x.grad.data.sum(-1), 0, atol=1e-12)
    assert np.abs(x.grad.data).max() > 0.01
    np.testing.assert_allclose(F.gumbel_softmax(x).data.sum(-1), 1)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: F.gelu(x, "cubic"), ValueError, "gelu: approximate is"),
        (lambda x: F.celu(x, 0.0), ValueError, "celu: alpha is 0"),
        (lambda x: F.glu(x, 0), ValueError, r"glu: dimension 0 of shape \(3, 4\)"),
        (lambda x: F.prelu(x, np.ones(3)), ValueError, r"prelu: 3 slopes for shape \(3, 4\)"),
        (lambda x: F.prelu(x, np.ones(4, np.float32)), TypeError, "prelu: input has dtype float64"),
        (lambda x: F.softshrink(x, -1.0), ValueError, "softshrink: lambd is -1.0"),
        (lambda x: F.rrelu(x, 0.5, 0.1), ValueError, "rrelu: lower is 0.5"),
        (lambda x: F.silu(np.arange(3)), TypeError, "silu: dtype int64"),
        (lambda x: F.hardtanh(x, 1, 0), ValueError, "hardtanh: min_val is 1"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.tensor(draw(ANY, (3, 4))))


def test_all_that_is_public_is_there():
    assert all(getattr(F, name) is getattr(activations, name) for name in activations.__all__)
