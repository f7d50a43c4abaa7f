"""Linear algebra by LAPACK: values and gradients are torch's, to second order those of differences."""

import cases
import numpy as np
import pytest
from cases import DECOMPOSITIONS, draw

import nbgrad
from nbgrad import Variable
from nbgrad.ops.decomposition import LowerInverse

every_case = pytest.mark.parametrize("case", DECOMPOSITIONS, ids=repr)


def matrices(shape, dtype="float64"):
    """Give matrices that are not symmetric, and have an inverse."""
    x = draw(cases.ANY, shape, dtype)
    return x + 2 * np.eye(*shape[-2:], dtype=dtype)


@every_case
def test_values_and_gradients_are_torchs(case):
    for shape in case.shapes:
        for layout in ("contiguous", "strided", "Fortran-ordered"):
            x = cases.LAYOUTS[layout](matrices(shape))
            cases.assert_same_as_torch(
                case.function, lambda t, x: case.torch(t.linalg, x), [x], tolerance={"rtol": 1e-9, "atol": 1e-10}
            )
    x = matrices(case.shapes[0], "float32")
    with nbgrad.no_grad():
        assert case.function(Variable(x)).dtype == np.float32
    single = Variable(x)
    case.function(single).sum().backward()
    double = Variable(x.astype("float64"))
    case.function(double).sum().backward()
    np.testing.assert_allclose(single.grad.data, double.grad.data, rtol=2e-3, atol=2e-3)


@every_case
def test_second_derivatives_and_tangents_are_those_of_differences(case):
    for shape in case.shapes[1:2]:
        cases.check_to_second_order(case.function, [matrices(shape)])


@every_case
def test_compiled_ones_are_the_same(case, kernels):
    x = matrices(case.shapes[0])
    for f in (case.function, nbgrad.grad(lambda x: (case.function(x) ** 2).sum())):
        np.testing.assert_allclose(nbgrad.jit(f)(x), f(x), rtol=1e-10, atol=1e-11)


@every_case
def test_arrays_give_what_numpy_gives(case):
    x = matrices(case.shapes[0])
    with nbgrad.no_grad():
        np.testing.assert_array_equal(case.function(Variable(x)).data, case.function(x))


def test_functions_of_linalg_give_arrays_for_arrays():
    x = matrices((3, 3))
    for name in ("inv", "det", "pinv"):
        found = getattr(nbgrad.linalg, name)(x)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, getattr(np.linalg, name)(x))
    assert all(isinstance(part, np.ndarray) for part in (*nbgrad.linalg.svd(x), *nbgrad.linalg.qr(x[:2])))
    sign, logarithm = nbgrad.linalg.slogdet(Variable(x))
    assert not sign.requires_grad and logarithm.requires_grad
    upper = np.triu(x) + np.tril(np.ones((3, 3)), -1)  # of which the upper half is read
    values = nbgrad.linalg.eigh(upper, "U")[0]
    np.testing.assert_allclose(values, np.linalg.eigvalsh(upper, "U"), rtol=1e-12)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (32, 32), (33, 33), (2, 70, 70)])
def test_inverses_of_triangles(shape):
    size = shape[-1]
    lower = np.tril(np.random.default_rng(0).standard_normal(shape)) + 9 * np.eye(size)
    found = LowerInverse()(lower)
    np.testing.assert_allclose(found, np.linalg.inv(lower), 1e-10, 1e-13)
    assert (found == np.tril(found)).all()
    if size == 33:
        small = nbgrad.tensor(lower[:3, :3], requires_grad=True)
        assert nbgrad.autograd.gradcheck(lambda x: LowerInverse()(nbgrad.tril(x)), (small,), order=2)


def test_gradients_through_large_cholesky_factors(kernels):
    x = np.random.default_rng(0).standard_normal((40, 40))
    x = x @ x.T + 40 * np.eye(40)
    slope = nbgrad.grad(lambda x: np.log(np.diagonal(np.linalg.cholesky(x))).sum())
    for found in (slope(x), nbgrad.jit(slope)(x)):
        np.testing.assert_allclose(found, np.linalg.inv(x) / 2, 1e-10, 1e-14)


def test_stacks_broadcast_in_solve():
    a, b = matrices((3, 3)), draw(cases.ANY, (2, 1, 3, 2))
    cases.check_to_second_order(nbgrad.linalg.solve, [a, b[:, 0, :, :1]])
    for right in (b, b[0, 0, :, 0]):
        found = nbgrad.linalg.solve(Variable(a), Variable(right))
        np.testing.assert_allclose(found.data, np.linalg.solve(a, right), rtol=1e-12)


def test_equal_values_have_gradients_and_their_vectors_have_none():
    for function in (nbgrad.linalg.eigh, lambda x: nbgrad.linalg.svd(x)[1::-1]):
        x = Variable(np.eye(3))
        values, vectors = function(x)
        (values * values).sum().backward(retain_graph=True)
        np.testing.assert_allclose(x.grad.data, 2 * np.eye(3), atol=1e-12)
        (vectors**3).sum().backward()
        with np.errstate(all="ignore"):
            (vectors @ (values[:, None] * vectors.T)).sum()
    x = Variable(np.diag([1.0, 1.0, 2.0]))
    _, vectors = nbgrad.linalg.eigh(x)
    (vectors * np.arange(9.0).reshape(3, 3)).sum().backward()
    assert not np.isfinite(x.grad.data[0, 1])


def test_bad_input_is_refused():
    with pytest.raises(np.linalg.LinAlgError, match=r"inv: shape \(2, 3\): takes square matrices"):
        nbgrad.linalg.inv(nbgrad.ones(2, 3))
    with pytest.raises(np.linalg.LinAlgError, match=r"svd: shape \(3,\): takes matrices"):
        nbgrad.linalg.svd(nbgrad.ones(3))
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        nbgrad.linalg.inv(nbgrad.zeros(2, 2))
    x = nbgrad.zeros(2, 2, requires_grad=True)
    assert nbgrad.linalg.det(x).item() == 0
    with pytest.raises(np.linalg.LinAlgError, match="det: a matrix is singular, where its gradient is not computed"):
        nbgrad.linalg.det(x).backward()
    with pytest.raises(np.linalg.LinAlgError, match=r"np.linalg.lstsq of shape \(2, 2\): a matrix of rank 0"):
        np.linalg.lstsq(x, np.ones(2))
