"""Norms, ranks, powers, exponentials, eigenvalues, least squares: torch's, differences, and what is refused."""

import math

import numpy as np
import pytest
from cases import ANY, check_gradients
from families import Member, check_derivatives, check_values, parameters
from peers import peer

import nbgrad
from nbgrad import linalg


def _symmetric(x):
    return x + x.swapaxes(-1, -2)


def _norm(order):
    return Member(
        f"matrix_norm {order}",
        lambda x: linalg.matrix_norm(x, order),
        lambda t, x: t.linalg.matrix_norm(x, order),
    )


MEMBERS = [
    *map(_norm, ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)),
    Member("norm of dims", lambda x: linalg.norm(x, 1, (0, 2), True), lambda t, x: t.linalg.norm(x, 1, (0, 2), True),
           (ANY,), (2, 3, 4)),
    Member("norm", lambda x: linalg.norm(x), lambda t, x: t.linalg.norm(x)),
    Member("cond", lambda x: linalg.cond(x), lambda t, x: t.linalg.cond(x)),
    # torch 2.13 has no gradient of cond(x, 1): it writes over the inverse that its rule reads
    Member("cond 1", lambda x: linalg.cond(x, 1),
           lambda t, x: t.linalg.matrix_norm(x, 1) * t.linalg.matrix_norm(t.linalg.inv(x), 1), (ANY,), (3, 3)),
    Member("matrix_power", lambda x: linalg.matrix_power(x, 5), lambda t, x: t.linalg.matrix_power(x, 5),
           (ANY,), (3, 3)),
    Member("inverse power", lambda x: linalg.matrix_power(x, -2), lambda t, x: t.linalg.matrix_power(x, -2),
           (ANY,), (2, 3, 3)),
    Member("matrix_exp", linalg.matrix_exp, lambda t, x: t.linalg.matrix_exp(x), (ANY,), (2, 3, 3)),
    Member("eigvalsh", lambda x: linalg.eigvalsh(_symmetric(x)), lambda t, x: t.linalg.eigvalsh(x + x.mT),
           (ANY,), (3, 3)),
    Member("svdvals", linalg.svdvals, lambda t, x: t.linalg.svdvals(x)),
    Member("eigvals", lambda x: linalg.eigvals(_symmetric(x)), lambda t, x: t.linalg.eigvals(x + x.mT).real, (ANY,),
           (3, 3)),
    Member("eig's vectors", lambda x: linalg.eig(_symmetric(x))[1] ** 2,
           lambda t, x: t.linalg.eig(x + x.mT)[1].real ** 2, (ANY,), (3, 3)),
    Member("complex eigvals", lambda x: nbgrad.stack(linalg.eigvals(x, return_complex=True)),
           lambda t, x: t.view_as_real(t.linalg.eigvals(x)).movedim(-1, 0), (ANY,), (2, 4, 4)),
    Member("complex eig's vectors", lambda x: nbgrad.hypot(*linalg.eig(x, return_complex=True)[1]),
           lambda t, x: t.linalg.eig(x)[1].abs(), (ANY,), (2, 3, 3)),
    Member("lstsq, tall", lambda a, b: linalg.lstsq(a, b)[0], lambda t, a, b: t.linalg.lstsq(a, b)[0], (ANY, ANY),
           ((4, 2), (4, 3))),
    Member("lstsq, wide", lambda a, b: linalg.lstsq(a, b)[0], lambda t, a, b: t.linalg.lstsq(a, b)[0], (ANY, ANY),
           ((2, 4), (2, 1))),
    Member("pinv, symmetric", lambda x: linalg.pinv(_symmetric(x), hermitian=True),
           lambda t, x: t.linalg.pinv(x + x.mT, hermitian=True), (ANY,), (3, 3)),
    Member("tensorinv", linalg.tensorinv, lambda t, x: t.linalg.tensorinv(x), (ANY,), (2, 2, 4)),
    Member("tensorsolve", linalg.tensorsolve, lambda t, x, b: t.linalg.tensorsolve(x, b), (ANY, ANY),
           ((2, 2, 4), (2, 2))),
    Member("solve from the right", lambda a, b: linalg.solve(a, b, left=False),
           lambda t, a, b: t.linalg.solve(a, b, left=False), (ANY, ANY), ((3, 3), (2, 3))),
]  # fmt: skip
QUICK = {
    "matrix_norm nuc", "norm of dims", "cond", "matrix_exp", "eig's vectors", "complex eig's vectors", "lstsq, tall",
}  # fmt: skip


@pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))
def test_values_are_torchs(member):
    check_values(member)


@pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


def test_complex_eigenvectors_are_determined_and_have_derivatives():
    """torch refuses what depends on their phases."""
    x = np.random.default_rng(0).normal(size=(4, 4))
    (w_re, w_im), (v_re, v_im) = linalg.eig(x, return_complex=True)
    w, v = w_re + 1j * w_im, v_re + 1j * v_im
    assert np.count_nonzero(w_im) == 2
    np.testing.assert_allclose(x @ v, v * w, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(v, axis=0), 1)
    largest = np.abs(v).argmax(0)
    assert (v_im[largest, range(4)] == 0).all() and (v_re[largest, range(4)] > 0).all()
    for part in range(4):

        def function(x, part=part):
            values, vectors = linalg.eig(x, return_complex=True)
            return (*values, *vectors)[part]

        check_gradients(function, [x], 2)
        gradient = nbgrad.grad(lambda x: (function(x) ** 3).sum())
        np.testing.assert_allclose(nbgrad.jit(gradient)(x), gradient(x), rtol=1e-9, atol=1e-12)
        stack = np.stack([x, x.T])
        each = np.stack([gradient(x), gradient(x.T)])
        np.testing.assert_allclose(nbgrad.vmap(gradient)(stack), each, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("return_complex", [False, True])
def test_equal_eigenvalues_have_gradients_and_their_vectors_none(return_complex):
    def first(x, which):
        found = linalg.eig(x, return_complex=return_complex)[which]
        return (found[0] if return_complex else found)[..., 0].sum()

    x = np.diag([2.0, 2.0, 3.0])
    np.testing.assert_array_equal(nbgrad.grad(lambda x: first(x, 0))(x), np.diag([1.0, 0, 0]))
    assert not np.isfinite(nbgrad.grad(lambda x: first(x, 1))(x)).all()


@pytest.mark.parametrize("shape", [(3, 2), (2, 4)])
def test_what_the_vectors_beyond_span_has_derivatives(shape):
    """torch takes them for constant."""

    def projection(x):
        u, _, vh = linalg.svd(x)
        rest = u[..., shape[1] :] if shape[0] > shape[1] else vh[shape[0] :].mT
        return rest @ rest.mT

    x = np.random.default_rng(8).normal(size=shape)
    check_derivatives(Member("projection", projection, None, (ANY,), shape))
    u, s, vh = linalg.svd(x)
    np.testing.assert_allclose((u[:, : len(s)] * s) @ vh[: len(s)], x, atol=1e-13)
    np.testing.assert_allclose(u.T @ u, np.eye(shape[0]), atol=1e-13)
    np.testing.assert_allclose(vh @ vh.T, np.eye(shape[1]), atol=1e-13)


def test_exponentials_of_large_and_small_matrices():
    expm = peer("scipy.linalg").expm
    random = np.random.default_rng(5)
    for scale in (1e-8, 1e-2, 1.0, 30.0):
        x = scale * random.normal(size=(4, 4))
        np.testing.assert_allclose(linalg.matrix_exp(x), expm(x), rtol=1e-10, atol=1e-13 * np.abs(expm(x)).max())
    stack = np.stack([np.zeros((2, 2)), 50 * np.eye(2)])
    np.testing.assert_allclose(linalg.matrix_exp(stack)[:, 0, 0], np.exp([0, 50]), rtol=1e-12)
    assert linalg.matrix_exp(np.zeros((0, 3, 3))).shape == (0, 3, 3)


def test_ranks_count_what_is_above_the_limits():
    torch = peer("torch")
    x = np.diag([3.0, 1e-3, 1e-20])
    for options in ({}, {"atol": 0.01}, {"rtol": 1e-2}, {"atol": 1e-4, "rtol": 1e-2}):
        wanted = torch.linalg.matrix_rank(torch.tensor(x), **options)
        assert linalg.matrix_rank(nbgrad.tensor(x), **options).item() == wanted
        np.testing.assert_allclose(linalg.pinv(x, **options), torch.linalg.pinv(torch.tensor(x), **options), atol=1e-10)
    assert linalg.matrix_rank(x, hermitian=True) == 2


def test_what_is_left_of_least_squares():
    torch = peer("torch")
    random = np.random.default_rng(6)
    a, b = random.normal(size=(5, 2)), random.normal(size=(5, 1))
    for driver in ("gels", "gelsy", "gelsd", "gelss"):
        found = linalg.lstsq(nbgrad.tensor(a), nbgrad.tensor(b), driver=driver)
        wanted = torch.linalg.lstsq(torch.tensor(a), torch.tensor(b), driver=driver)
        for mine, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine.data, theirs, rtol=1e-10)
    assert linalg.lstsq(a, b[:, 0]).solution.shape == (2,)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda x: linalg.eigvals(nbgrad.tensor([[0.0, 1.0], [-1.0, 0.0]])),
            np.linalg.LinAlgError,
            "eig: there are comp",
        ),
        (lambda x: linalg.matrix_norm(x, 3), ValueError, "matrix_norm: the order is 3"),
        (lambda x: linalg.matrix_norm(x[0]), ValueError, "matrix_norm: shape"),
        (lambda x: linalg.matrix_norm(x, dim=(0, 0)), ValueError, "matrix_norm: a dimension appears twice"),
        (lambda x: linalg.norm(x[0], "fro"), ValueError, "norm: order 'fro'"),
        (lambda x: linalg.cond(x, 3), ValueError, "cond: the order is 3"),
        (lambda x: linalg.matrix_power(x, 0.5), TypeError, "matrix_power: n is 0.5"),
        (lambda x: linalg.matrix_power(x[:2], 2), np.linalg.LinAlgError, "matrix_power: shape"),
        (lambda x: linalg.lstsq(x, x[:2]), ValueError, "lstsq: shapes"),
        (lambda x: linalg.lstsq(x, x, driver="qr"), ValueError, "lstsq: driver"),
        (lambda x: linalg.tensorinv(x, 0), ValueError, "tensorinv: ind is 0"),
        (lambda x: linalg.qr(x, "full"), ValueError, "qr: mode is"),
        (lambda x: linalg.qr(x[:, :2].detach().requires_grad_(), "complete"), TypeError, "qr of shape .*, complete"),
        (lambda x: linalg.eigh(x, "X"), ValueError, "eigh: UPLO"),
        (lambda x: linalg.solve(x, x[:2]), ValueError, "solve: shapes"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.randn(3, 3))
