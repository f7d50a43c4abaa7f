"""Leading singular values: exact of matrices of low rank, close of others, and their gradients."""

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable
from nbgrad.autograd import gradcheck

RANDOM = np.random.default_rng(0)
LEFT, RIGHT = RANDOM.normal(size=(2, 6, 3)), RANDOM.normal(size=(2, 4, 3))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("function", ["svd_lowrank", "pca_lowrank"])
def test_matrices_of_low_rank_are_decomposed_exactly(function, wide):
    x = LEFT @ RIGHT.swapaxes(1, 2)
    x = x.swapaxes(1, 2) if wide else x
    u, s, v = getattr(nbgrad, function)(Variable(x), 3)
    y = x - x.mean(1, keepdims=True) if function == "pca_lowrank" else x
    np.testing.assert_allclose((u.data * s.data[:, None]) @ v.data.swapaxes(1, 2), y, atol=1e-12)
    np.testing.assert_allclose(s.data, np.linalg.svd(y)[1][:, :3], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(u.data.swapaxes(1, 2) @ u.data, np.eye(3)[None].repeat(2, 0), atol=1e-12)


def test_the_largest_of_many_are_found_and_a_centre_is_taken_away():
    spread = 0.5 ** np.arange(30)
    q, r = np.linalg.qr(RANDOM.normal(size=(60, 30)))[0], np.linalg.qr(RANDOM.normal(size=(30, 30)))[0]
    x, centre = (q * spread) @ r, RANDOM.normal(size=30)
    u, s, v = nbgrad.svd_lowrank(Variable(x + centre), 8, M=Variable(centre))
    assert (u.shape, s.shape, v.shape) == ((60, 8), (8,), (30, 8))
    np.testing.assert_allclose(s.data[:4], spread[:4], rtol=1e-6)
    assert nbgrad.pca_lowrank(Variable(x))[1].shape == (6,)
    assert nbgrad.pca_lowrank(x.astype("float32")[:3])[1].dtype == np.float32


def test_gradients_are_those_of_the_exact_ones():
    def values(a, b):
        return nbgrad.svd_lowrank(a @ b.mT, 2)[1]

    given = [Variable(x[0, :, :2].copy(), requires_grad=True) for x in (LEFT, RIGHT)]
    assert gradcheck(values, tuple(given), order=2)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"svd_lowrank: matrices have shape \(6, 3\), q is 4"):
        nbgrad.svd_lowrank(Variable(LEFT[0]), 4)
    with pytest.raises(ValueError, match=r"pca_lowrank: matrices have shape \(3,\)"):
        nbgrad.pca_lowrank(Variable(np.ones(3)))
    with pytest.raises(ValueError, match="niter -1"):
        nbgrad.pca_lowrank(Variable(LEFT[0]), niter=-1)
