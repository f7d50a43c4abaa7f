"""Triangles and reflections: products give the matrix back, torch's gradients, differences, and what is refused."""

import numpy as np
import pytest
from cases import ANY
from families import Member, check_derivatives, check_values, parameters
from peers import peer

import nbgrad
from nbgrad import linalg

SHAPES = ((3, 3), (4, 2), (2, 4), (2, 3, 3), (2, 2, 3), (2, 0, 0))


def _well(x):
    """Give a matrix far from singular ones, also with rows to be exchanged."""
    n = x.shape[-1]
    return x + 3 * np.eye(n, dtype=x.dtype)[::-1]


def _torch_well(t, x):
    return x + 3 * t.eye(x.shape[-1], dtype=x.dtype).flip(0)


MEMBERS = [
    Member("lu's L", lambda x: linalg.lu(x).L, lambda t, x: t.linalg.lu(x).L, (ANY,), (3, 3)),
    Member("lu's U, wide", lambda x: linalg.lu(x).U, lambda t, x: t.linalg.lu(x).U, (ANY,), (2, 2, 4)),
    Member("lu's L, tall", lambda x: linalg.lu(x).L, lambda t, x: t.linalg.lu(x).L, (ANY,), (4, 3)),
    Member("lu_factor", lambda x: linalg.lu_factor(x).LU, lambda t, x: t.linalg.lu_factor(x).LU, (ANY,), (3, 3)),
    Member(
        "lu_solve",
        lambda x, b: linalg.lu_solve(*linalg.lu_factor(_well(x)), b),
        lambda t, x, b: t.linalg.lu_solve(*t.linalg.lu_factor(_torch_well(t, x)), b),
        (ANY, ANY),
        ((2, 3, 3), (3, 2)),
    ),
    Member(
        "solve_triangular",
        lambda x, b: linalg.solve_triangular(_well(x @ x.T), b, upper=False),
        lambda t, x, b: t.linalg.solve_triangular(_torch_well(t, x @ x.T), b, upper=False),
        (ANY, ANY),
        ((3, 3), (3, 2)),
    ),
    Member("householder_product", linalg.householder_product,
           lambda t, x, tau: t.linalg.householder_product(x, tau), (ANY, ANY), ((4, 3), (2,))),
    Member("ormqr", lambda x, tau, y: nbgrad.ormqr(x, tau, y, True, True),
           lambda t, x, tau, y: t.ormqr(x, tau, y, True, True), (ANY,) * 3, ((4, 3), (3,), (4, 2))),
    Member("logdet", lambda x: nbgrad.logdet(x @ x.T + 1), lambda t, x: t.logdet(x @ x.T + 1), (ANY,), (2, 3)),
]  # fmt: skip
QUICK = {"lu's U, wide", "lu's L, tall", "lu_solve", "householder_product"}


@pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))
def test_values_are_torchs(member):
    check_values(member)


@pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@pytest.mark.parametrize("shape", SHAPES)
def test_factors_multiply_to_the_matrix(shape):
    x = np.random.default_rng(1).normal(size=shape)
    p, lower, upper = linalg.lu(nbgrad.tensor(x))
    np.testing.assert_allclose((p @ lower @ upper).data, x, atol=1e-14)
    again = nbgrad.lu_unpack(*linalg.lu_factor(x))
    for mine, part in zip(again, (p, lower, upper), strict=True):
        np.testing.assert_array_equal(mine, part.data)
    packed, tau = nbgrad.geqrf(x)
    k = min(shape[-2:])
    q = linalg.householder_product(packed[..., :k], tau)
    np.testing.assert_allclose(q @ np.triu(packed[..., :k, :]), x, atol=1e-13)


def test_triangles_are_solved_for_matrices_that_could_be_stacks_of_vectors():
    torch = peer("torch")
    lower = np.tril(np.random.default_rng(5).uniform(0.5, 1, (2, 2, 2)))
    b = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = linalg.solve_triangular(lower, b, upper=False)
    np.testing.assert_allclose(found, torch.linalg.solve_triangular(*map(torch.tensor, (lower, b)), upper=False))
    found = nbgrad.cholesky_solve(b, lower)
    np.testing.assert_allclose(found, torch.cholesky_solve(*map(torch.tensor, (b, lower))))


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_equations_are_solved_by_factors(left, adjoint):
    random = np.random.default_rng(2)
    a, b = random.normal(size=(2, 3, 3)), random.normal(size=(2, 3, 3))
    x = linalg.lu_solve(*linalg.lu_factor(a), b, left=left, adjoint=adjoint)
    matrix = np.swapaxes(a, -1, -2) if adjoint else a
    np.testing.assert_allclose(matrix @ x if left else x @ matrix, b, atol=1e-12)
    for upper in (False, True):
        x = linalg.solve_triangular(a, b, upper=upper, left=left, unitriangular=adjoint)
        t = np.triu(a) if upper else np.tril(a)
        t = t + (np.eye(3) - t * np.eye(3)) if adjoint else t
        np.testing.assert_allclose(t @ x if left else x @ t, b, atol=1e-8)


@pytest.mark.filterwarnings("ignore")  # torch's say that there are newer ones
def test_older_names_have_older_arguments():
    torch = peer("torch")
    x = np.random.default_rng(3).normal(size=(3, 3))
    definite = x @ x.T + np.eye(3)
    b = x[:, :1].copy()
    pairs = [
        (nbgrad.cholesky(definite, True), torch.cholesky(torch.tensor(definite), True)),
        (nbgrad.svd(x).S, torch.svd(torch.tensor(x)).S),
        (nbgrad.lu(x)[0], torch.lu(torch.tensor(x))[0]),
        (nbgrad.pinverse(x), torch.pinverse(torch.tensor(x))),
        (nbgrad.det(x), torch.det(torch.tensor(x))),
        (nbgrad.matrix_power(x, -2), torch.matrix_power(torch.tensor(x), -2)),
        (np.abs(nbgrad.qr(x)[1]), torch.qr(torch.tensor(x))[1].abs()),
        (nbgrad.slogdet(x)[1], torch.slogdet(torch.tensor(x))[1]),
        (nbgrad.triangular_solve(b, x)[0], torch.triangular_solve(torch.tensor(b), torch.tensor(x))[0]),
        (nbgrad.lu_solve(b, *nbgrad.lu(x)), torch.linalg.solve(torch.tensor(x), torch.tensor(b))),
        (
            nbgrad.cholesky_solve(b, np.linalg.cholesky(definite)),
            torch.cholesky_solve(torch.tensor(b), torch.linalg.cholesky(torch.tensor(definite))),
        ),
        (nbgrad.cholesky_inverse(np.linalg.cholesky(definite)), torch.linalg.inv(torch.tensor(definite))),
    ]
    for found, wanted in pairs:
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-11)
    u, s, v = nbgrad.svd(nbgrad.tensor(x[:2]))
    np.testing.assert_allclose(((u * s) @ v.T).data, x[:2], atol=1e-13)


def test_what_has_no_decomposition_is_told_rather_than_raised():
    stack = np.stack([np.eye(2), np.zeros((2, 2)), np.array([[1.0, 0.0], [0.0, -1.0]])])
    x = nbgrad.tensor(stack, requires_grad=True)
    inverse, info = linalg.inv_ex(x)
    assert info.tolist() == [0, 2, 0] and np.isnan(inverse.data[1]).all()
    inverse[0].sum().backward()
    assert np.isfinite(x.grad.data).all()
    assert linalg.cholesky_ex(x).info.tolist() == [0, 1, 2]
    assert linalg.solve_ex(x, nbgrad.ones(3, 2, 1)).info.tolist() == [0, 2, 0]
    assert linalg.lu_factor_ex(x).info.tolist() == [0, 1, 0]
    for function in (linalg.inv_ex, linalg.cholesky_ex, linalg.lu_factor_ex):
        with pytest.raises(np.linalg.LinAlgError):
            function(x, check_errors=True)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: linalg.lu(x, pivot=False), NotImplementedError, "lu: pivot is False"),
        (lambda x: linalg.lu_factor(x * 0), np.linalg.LinAlgError, "lu_factor: pivot 1 is 0"),
        (lambda x: linalg.lu_solve(*linalg.lu_factor(x), x[:2]), ValueError, "lu_solve: shapes"),
        (lambda x: nbgrad.lu_unpack(x, np.ones(3)), TypeError, "lu_unpack: pivots have dtype float64"),
        (lambda x: linalg.solve_triangular(x, x[:2], upper=True), ValueError, "solve_triangular: shapes"),
        (lambda x: linalg.solve_triangular(x, x.float(), upper=True), TypeError, "solve_triangular: dtypes"),
        (lambda x: linalg.householder_product(x[:2], x[0]), ValueError, "householder_product: shapes"),
        (lambda x: nbgrad.ormqr(x, x[0], x[:2]), ValueError, "ormqr: shapes"),
        (lambda x: linalg.lu(x[0]), np.linalg.LinAlgError, r"lu: shape \(3,\): takes matrices"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.tensor(_well(np.ones((3, 3)))))


def test_lu_is_compiled_and_for_many_and_still_refuses_what_is_singular():
    x = np.array([[0.0, 2.0, 1.0], [1.0, 1.0, 3.0], [2.0, 1.0, 1.0]])

    def solved(x):
        return nbgrad.linalg.lu_solve(*nbgrad.linalg.lu_factor(x), np.ones((3, 1)))

    compiled = nbgrad.jit(solved)
    stack = np.stack([x, x[::-1]])  # whose rows are exchanged in another order
    for one in stack:
        np.testing.assert_allclose(compiled(one), np.linalg.solve(one, np.ones((3, 1))), rtol=1e-13)
    np.testing.assert_allclose(nbgrad.vmap(solved)(stack), [solved(one) for one in stack], rtol=1e-13)
    with pytest.raises(np.linalg.LinAlgError, match="lu_factor: pivot 1 is 0"):
        compiled(np.zeros((3, 3)))
