"""Colours: no two columns of one meet, and few are needed."""

import numpy as np
import pytest
from peers import peer

from nbgrad.sparse.coloring import color_columns, color_rows, color_symmetric


def drawn(shape, share, seed=0):
    sparse = peer("scipy.sparse")
    return sparse.csr_array((np.random.default_rng(seed).random(shape) < share).astype(np.int8))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_columns_and_rows_of_one_colour_do_not_meet(share):
    pattern = drawn((30, 20), share)
    for found, dense in ((color_columns(pattern), pattern.toarray()), (color_rows(pattern), pattern.toarray().T)):
        assert found.shape == (dense.shape[1],)
        for color in range(found.max() + 1):
            assert (dense[:, found == color].sum(1) <= 1).all()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_symmetric_matrices_are_told_from_their_colours(share):
    pattern = drawn((20, 20), share)
    pattern = pattern + pattern.T + peer("scipy.sparse").eye_array(20, dtype=np.int8)
    dense = pattern.toarray() > 0
    colors = color_symmetric(pattern.tocsr())
    for i, j in zip(*np.nonzero(dense), strict=True):
        in_row = [k for k in np.nonzero(dense[i])[0] if colors[k] == colors[j]]
        in_column = [k for k in np.nonzero(dense[j])[0] if colors[k] == colors[i]]
        assert len(in_row) == 1 or len(in_column) == 1


def test_bands_need_as_many_as_they_are_wide():
    sparse = peer("scipy.sparse")
    for width in (1, 3, 5):
        bands = sparse.diags_array([np.ones(50)] * width, offsets=range(-(width // 2), width // 2 + 1), shape=(50, 50))
        assert color_columns(bands.tocsr().astype(np.int8)).max() + 1 == width
    arrow = np.eye(30, dtype=np.int8)
    arrow[0] = arrow[:, 0] = 1
    assert color_columns(sparse.csr_array(arrow)).max() + 1 == 30
    assert color_symmetric(sparse.csr_array(arrow)).max() + 1 == 2
