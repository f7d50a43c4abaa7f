"""Sparse Jacobians and Hessians, against dense ones."""

import builtins

import cases
import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad.func import hessian, jacobian

X = cases.draw(cases.ANY, (12,))


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def arrow(x):
    return (x[0] * x).sum() ** 1 + (x**4).sum()


def diffusion(u):
    return nbgrad.cat([u[:1] * 0.0, u[2:] - 2.0 * u[1:-1] + u[:-2], u[-1:]]) * u


def wide(x):
    """Few results of many elements: rows are found together, and cotangents come back."""
    return (x.reshape(3, 4) ** 3).sum(1)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("function", "count", "forward"), [(diffusion, 3, True), (wide, 1, False), (lambda x: x[:3] * 2.0, 1, True)]
)
def test_jacobians(function, count, forward, compiled):
    peer("scipy.sparse")
    transform = jacobian(nbgrad.jit(function) if compiled else function, sparsity="detect")
    for x in (X, X * 2):
        found = transform(x)
        assert type(found).__name__ == "csr_array"
        np.testing.assert_allclose(found.toarray(), jacobian(function)(x), rtol=1e-12, atol=1e-14)
    plan = transform.plan(X)
    assert (plan.count, plan.forward) == (count, forward)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("function", "count", "nonzero"), [(rosenbrock, 3, 34), (arrow, 2, 34)])
def test_hessians(function, count, nonzero, compiled):
    peer("scipy.sparse")
    transform = hessian(nbgrad.jit(function) if compiled else function, sparsity="detect")
    found = transform(X)
    np.testing.assert_allclose(found.toarray(), hessian(function)(X), rtol=1e-12, atol=1e-12)
    assert transform.plan(X).count == count and found.nnz == nonzero


def test_a_given_pattern():
    sparse = peer("scipy.sparse")
    bands = sparse.diags_array([np.ones(12)] * 3, offsets=(-1, 0, 1), shape=(12, 12))
    expected = jacobian(diffusion)(X)
    for pattern in (bands, bands.toarray(), bands.toarray() > 0):
        np.testing.assert_allclose(jacobian(diffusion, sparsity=pattern)(X).toarray(), expected, rtol=1e-13)
    np.testing.assert_allclose(hessian(rosenbrock, sparsity=bands)(X).toarray(), hessian(rosenbrock)(X), atol=1e-10)
    with pytest.raises(ValueError, match=r"jacobian: sparsity is a pattern of shape \(2, 2\) for .* \(12, 12\)"):
        jacobian(diffusion, sparsity=np.ones((2, 2)))(X)
    with pytest.raises(ValueError, match="hessian: the pattern is not symmetric"):
        hessian(rosenbrock, sparsity=np.triu(np.ones((12, 12))))(X)


def test_other_arguments_chunks_and_what_else_there_is():
    peer("scipy.sparse")
    f = lambda x, c: (diffusion(x) * c, c * 2)  # noqa: E731
    transform = jacobian(f, has_aux=True, sparsity="detect", chunk_size=2)
    for c in (2.0, 3.0):
        found, aux = transform(X, c)
        np.testing.assert_allclose(found.toarray(), jacobian(diffusion)(X) * c, rtol=1e-13)
        assert aux == 2 * c
    second = jacobian(lambda c, x: diffusion(x) * c, 1, sparsity="detect")
    np.testing.assert_allclose(second(2.0, X).toarray(), jacobian(diffusion)(X) * 2, rtol=1e-13)
    np.testing.assert_array_equal(
        jacobian(lambda x: x * 0 + 1.0, sparsity="detect")(nbgrad.tensor(X)).toarray(), np.zeros((12, 12))
    )
    assert jacobian(lambda x: nbgrad.ones(3), sparsity="detect")(X).nnz == 0


def test_two_dimensions_count_in_order():
    peer("scipy.sparse")
    f = lambda u: u[1:] * u[:-1]  # noqa: E731
    u = X.reshape(4, 3)
    np.testing.assert_allclose(jacobian(f, sparsity="detect")(u).toarray(), jacobian(f)(u).reshape(9, 12))


def test_bad_input():
    peer("scipy.sparse")
    with pytest.raises(ValueError, match="sparsity is 'find': it is 'detect' or a matrix"):
        jacobian(diffusion, sparsity="find")
    with pytest.raises(TypeError, match=r"argnums is \(0, 1\): with sparsity there is one argument"):
        jacobian(diffusion, (0, 1), sparsity="detect")
    with pytest.raises(TypeError, match="the argument is one array"):
        jacobian(lambda p: p["x"], sparsity="detect")({"x": X})
    with pytest.raises(TypeError, match="the value is one array"):
        jacobian(lambda x: (x, x), sparsity="detect")(X)
    with pytest.raises(TypeError, match=r"hessian: the function gave shapes \[\(12,\)\]"):
        hessian(diffusion, sparsity="detect")(X)
    with pytest.raises(TypeError, match=r"a sparse matrix has no gradients: give x.detach\(\)"):
        jacobian(diffusion, sparsity="detect")(nbgrad.Variable(X.copy()))


def test_without_scipy(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"sparse Jacobians need SciPy: .*nbgrad\[scipy\]"):
        jacobian(diffusion, sparsity="detect")(X)
