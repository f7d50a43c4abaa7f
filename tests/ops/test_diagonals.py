"""Diagonals and triangles: torch's values and gradients, and what is refused."""

import numpy as np
import pytest
from cases import ANY
from families import Member, check_derivatives, check_traced, check_values, parameters
from peers import peer

import nbgrad


def member(name, shape, *arguments):
    return Member(
        f"{name}{arguments}",
        lambda x: getattr(nbgrad, name)(x, *arguments),
        lambda t, x: getattr(t, name)(x, *arguments),
        (ANY,),
        shape,
    )


MEMBERS = [
    member("diagonal", (3, 4), 1),
    member("diagonal", (2, 3, 4), -1, 2, 0),
    member("diag_embed", (2, 3)),
    member("diag_embed", (2, 3), 1, 0, 2),
    member("diag_embed", (2, 3), 1, 2, 0),
    member("diag", (3,), -1),
    member("diag", (3, 4), 1),
    member("diagflat", (2, 2), 1),
    member("trace", (3, 4)),
    member("tril", (2, 3, 4)),
    member("triu", (4, 3), -1),
]
QUICK = {MEMBERS[i].name for i in (1, 4, 8, 9)}
every_member = pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))


@pytest.mark.parametrize("member", parameters(MEMBERS))
def test_values_are_torchs(member):
    check_values(member)


@every_member
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@every_member
def test_compiled(member, kernels):
    check_traced(member)


def test_triangles_hide_what_is_not_finite_and_keep_whole_numbers():
    x = nbgrad.tensor([[1.0, np.nan], [2.0, 3.0]], requires_grad=True)
    y = nbgrad.tril(x)
    assert y.tolist() == [[1.0, 0.0], [2.0, 3.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert nbgrad.triu(nbgrad.tensor([[1, 2], [3, 4]])).dtype == np.int64


@pytest.mark.parametrize("offset", [-5, -2, 0, 3, 5])
def test_diagonals_beyond_the_matrix_are_empty(offset):
    torch = peer("torch")
    x = np.arange(12.0).reshape(3, 4)
    wanted = torch.diagonal(torch.tensor(x), offset) if -3 <= offset <= 4 else np.zeros(0)
    np.testing.assert_array_equal(nbgrad.diagonal(x, offset), wanted)
    assert nbgrad.linalg.diagonal(np.ones((2, 3, 4))).shape == (2, 3)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: nbgrad.diagonal(x[0]), IndexError, "diagonal: 1 dimensions"),
        (lambda x: nbgrad.diagonal(x, 0, 1, 1), ValueError, "diagonal: dimensions 1 and 1 are the same"),
        (lambda x: nbgrad.diagonal(x, 0, 0, 2), IndexError, "diagonal: dimension 2 is out of range"),
        (lambda x: nbgrad.diag(nbgrad.ones(1, 1, 1)), ValueError, "diag: shape"),
        (lambda x: nbgrad.trace(x[0]), ValueError, "trace: shape"),
        (lambda x: nbgrad.tril(x[0]), ValueError, "tril: shape"),
        (lambda x: nbgrad.diag_embed(x[0, 0]), IndexError, "diag_embed: a scalar"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.ones(3, 4))


def test_matrices_with_rows_for_columns():
    x = nbgrad.randn(2, 3, 4)
    np.testing.assert_array_equal(x.mT.data, np.swapaxes(x.data, 1, 2))
    np.testing.assert_array_equal(x[0].H.data, x.data[0].T)
    with pytest.raises(ValueError, match="mT: shape"):
        x[0, 0].mT  # noqa: B018
    with pytest.raises(ValueError, match="H: shape"):
        x.H  # noqa: B018
