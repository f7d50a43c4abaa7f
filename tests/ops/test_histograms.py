"""Counts in the cells of a grid: torch's, NumPy's, and gradients by weights."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.autograd import gradcheck

RANDOM = np.random.default_rng(0)
POINTS, WEIGHTS = RANDOM.normal(size=(4, 25, 2)), RANDOM.uniform(size=(4, 25))
EDGES = [np.array([-1.0, 0.0, 0.5, 2.0]), np.array([-0.5, 0.5, 1.0])]


@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counts_are_torchs(dtype, weighted, density):
    x, w = POINTS.astype(dtype), WEIGHTS.astype(dtype) if weighted else None
    given = {"density": density, "weight": None if w is None else Variable(w)}
    torch = peer("torch")
    theirs = {"density": density, "weight": None if w is None else torch.tensor(w)}
    edges = [e.astype(dtype) for e in EDGES]
    for bins, others, options in (
        (3, 3, {}),
        ((2, 4), (2, 4), {"range": (-1.0, 1.0, -0.5, 2.0)}),
        ([Variable(e) for e in edges], [torch.tensor(e) for e in edges], {}),
    ):
        found = nbgrad.histogramdd(Variable(x), bins, **given, **options)
        expected = torch.histogramdd(torch.tensor(x), others, **theirs, **options)
        assert found.hist.dtype == dtype
        np.testing.assert_allclose(found.hist.data, expected.hist, rtol=1e-5 if dtype == "float32" else 1e-12)
        for ours, other in zip(found.bin_edges, expected.bin_edges, strict=True):
            np.testing.assert_allclose(ours.data, other, rtol=1e-6)


def test_points_on_edges_are_above_them_and_on_the_last_below():
    x = np.array([[0.0, 0.0], [0.5, 1.0], [1.0, 1.0], [1.1, 0.0], [np.nan, 0.0]])
    edges = [np.array([0.0, 0.5, 1.0])] * 2
    found = nbgrad.histogramdd(x, edges).hist
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, np.histogramdd(x[:4], edges)[0])


def test_gradients_go_to_weights():
    x = POINTS[0]

    def density(w):
        return nbgrad.histogramdd(Variable(x), [Variable(e) for e in EDGES], weight=w, density=True).hist

    assert gradcheck(density, Variable(WEIGHTS[0], requires_grad=True), order=2)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="3 bins and no bounds for points of 2 dimensions"):
        nbgrad.histogramdd(Variable(POINTS), [1, 2, 3])
    with pytest.raises(ValueError, match="in ascending order"):
        nbgrad.histogramdd(Variable(POINTS), [Variable(EDGES[0][::-1].copy()), Variable(EDGES[1])])
    with pytest.raises(ValueError, match=r"weights have shape \(3,\): it must be \(4, 25\)"):
        nbgrad.histogramdd(Variable(POINTS), 2, weight=Variable(np.ones(3)))
    with pytest.raises(ValueError, match="0 bins from"):
        nbgrad.histogramdd(Variable(POINTS), 0)
    with pytest.raises(TypeError, match="points have dtype int64"):
        nbgrad.histogramdd(Variable(np.ones((2, 2), np.int64)), 2)
    with pytest.raises(ValueError, match=r"points have shape \(3,\)"):
        nbgrad.histogramdd(Variable(np.ones(3)), 2)
