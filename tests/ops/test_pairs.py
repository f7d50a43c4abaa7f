"""Pairs that stand for complex numbers: torch's parts, differences, and what is refused."""

import numpy as np
import pytest
from cases import ANY, POSITIVE
from families import Member, check_derivatives, check_traced, check_values, parameters

import nbgrad

MEMBERS = [
    Member("complex", lambda x, y: nbgrad.view_as_real(nbgrad.complex(x, y)),
           lambda t, x, y: t.view_as_real(t.complex(x, y)), (ANY, ANY), ((3, 1), (4,))),
    Member("polar", lambda x, y: nbgrad.view_as_real(nbgrad.polar(x, y)),
           lambda t, x, y: t.view_as_real(t.polar(x, y)), (POSITIVE, ANY), ((3, 4), (4,))),
    Member("view_as_complex", lambda x: nbgrad.mul(*nbgrad.view_as_complex(x)),
           lambda t, x: t.view_as_complex(x).real * t.view_as_complex(x).imag, (ANY,), (3, 2)),
]  # fmt: skip


@pytest.mark.parametrize("member", parameters(MEMBERS))
def test_values_are_torchs(member):
    check_values(member)


@pytest.mark.parametrize("member", parameters(MEMBERS))
def test_derivatives_are_those_of_differences_and_the_same_compiled(member):
    check_derivatives(member)
    check_traced(member)


def test_pairs_are_what_transforms_take():
    x = np.random.default_rng(0).normal(size=(4, 2))
    found = nbgrad.view_as_real(nbgrad.fft.fft(nbgrad.view_as_complex(x)))
    wanted = np.fft.fft(x[:, 0] + 1j * x[:, 1])
    np.testing.assert_allclose(found, np.stack([wanted.real, wanted.imag], -1))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: nbgrad.complex(x, x.astype("f")), TypeError, "real has dtype float64 and imag has dtype float32"),
        (lambda x: nbgrad.complex(x > 0, x > 0), TypeError, "complex: real has dtype bool"),
        (lambda x: nbgrad.complex(x, x[:2]), ValueError, "broadcast"),
        (lambda x: nbgrad.polar(x, x.astype(int)), TypeError, "polar: abs has dtype float64 and angle has dtype int64"),
        (lambda x: nbgrad.view_as_complex(x), ValueError, r"view_as_complex: shape \(3, 3\): the last dimension"),
        (lambda x: nbgrad.view_as_complex(x[0, 0]), ValueError, "view_as_complex: shape"),
        (lambda x: nbgrad.view_as_real(x), TypeError, "view_as_real: takes a pair"),
    ],
)
def test_what_is_no_pair_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(np.ones((3, 3)))
