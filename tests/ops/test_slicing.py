"""Pieces, reversed orders and differences: values, gradients, dtypes, refusals."""

import cases
import numpy as np
import pytest
from cases import draw
from peers import peer

import nbgrad
from nbgrad import Variable

CUBE = draw(cases.ANY, (5, 4, 3))
#: Functions of one array here, in torch and in NumPy.
CASES = {
    "split": (lambda x: nbgrad.split(x, 2), lambda t, x: t.split(x, 2), lambda x: np.split(x, [2, 4])),
    "split of sizes": (
        lambda x: nbgrad.split(x, [1, 0, 3], 1),
        lambda t, x: t.split(x, [1, 0, 3], 1),
        lambda x: np.split(x, [1, 1], 1),
    ),
    "split larger": (lambda x: nbgrad.split(x, 9, -1), lambda t, x: x.split(9, -1), lambda x: [x]),
    "chunk": (lambda x: nbgrad.chunk(x, 3), lambda t, x: t.chunk(x, 3), lambda x: np.array_split(x, 3)),
    "chunk of fewer": (lambda x: nbgrad.chunk(x, 3, 1), lambda t, x: t.chunk(x, 3, 1), lambda x: np.split(x, 2, 1)),
    "tensor_split": (
        lambda x: nbgrad.tensor_split(x, 3, axis=1),
        lambda t, x: t.tensor_split(x, 3, 1),
        lambda x: np.array_split(x, 3, 1),
    ),
    "tensor_split at places": (
        lambda x: nbgrad.tensor_split(x, (1, -1, 9)),
        lambda t, x: t.tensor_split(x, (1, -1, 9)),
        lambda x: np.array_split(x, [1, -1, 9]),
    ),
    "flip": (lambda x: nbgrad.flip(x, 0, -1), lambda t, x: t.flip(x, (0, -1)), lambda x: np.flip(x, (0, -1))),
    "flip all": (lambda x: nbgrad.flip(x), lambda t, x: t.flip(x, (0, 1, 2)), np.flip),
    "flip none": (lambda x: nbgrad.flip(x, ()), lambda t, x: t.flip(x, ()), lambda x: x),
    "fliplr": (nbgrad.fliplr, lambda t, x: t.fliplr(x), np.fliplr),
    "flipud": (nbgrad.flipud, lambda t, x: t.flipud(x), np.flipud),
    "diff": (nbgrad.diff, lambda t, x: t.diff(x), np.diff),
    "diff twice": (lambda x: nbgrad.diff(x, 2, 0), lambda t, x: t.diff(x, 2, 0), lambda x: np.diff(x, 2, 0)),
    "diff too often": (lambda x: nbgrad.diff(x, 4), lambda t, x: t.diff(x, n=4), lambda x: np.diff(x, 4)),
    "diff of more": (
        lambda x: nbgrad.diff(x, dim=1, prepend=x[:, :1] * 2, append=x),
        lambda t, x: t.diff(x, dim=1, prepend=x[:, :1] * 2, append=x),
        lambda x: np.diff(x, axis=1, prepend=x[:, :1] * 2, append=x),
    ),
}


def parts(result):
    return list(result) if isinstance(result, tuple | list) else [result]


def joined(result):
    """Give one vector of all elements, so that all of them are differentiated."""
    return nbgrad.cat([part.reshape(-1) for part in parts(result)])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool"])
def test_values_are_numpys_and_torchs(name, dtype):
    ours, torchs, numpys = CASES[name]
    array = (CUBE * 2).astype(dtype)
    if dtype == "bool" and name == "diff of more":
        array = array.astype("int8")  # x * 2 is none of truth values
    torch = peer("torch")
    found = parts(ours(Variable(array)))
    plain = parts(ours(array))
    for y, bare, wanted, other in zip(
        found, plain, parts(torchs(torch, torch.tensor(array))), parts(numpys(array)), strict=False
    ):
        assert isinstance(y, Variable) and isinstance(bare, np.ndarray)
        assert y.dtype == bare.dtype == other.dtype and y.shape == tuple(wanted.shape)
        np.testing.assert_array_equal(y.data, wanted.numpy())
        np.testing.assert_array_equal(bare, wanted.numpy())
    assert len(found) == len(parts(torchs(torch, torch.tensor(array))))


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_torchs(name):
    ours, torchs, _ = CASES[name]
    cases.assert_same_as_torch(
        lambda x: joined(ours(x * x)),
        lambda t, x: t.cat([part.reshape(-1) for part in parts(torchs(t, x * x))]),
        [CUBE],
    )


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_differences_to_second_order(name):
    cases.check_to_second_order(lambda x: joined(CASES[name][0](x)) ** 2, [CUBE[:, :, :2]])


def test_pieces_are_views():
    array = np.arange(6.0)
    for pieces in (nbgrad.split(array, 4), nbgrad.chunk(array, 2), nbgrad.tensor_split(array, 4)):
        assert all(np.shares_memory(piece, array) for piece in pieces)


def test_pieces_of_nothing():
    x = nbgrad.zeros(0, 3)
    assert [piece.shape for piece in nbgrad.split(x, 2)] == [(0, 3)]
    assert [piece.shape for piece in nbgrad.split(x, 0)] == [(0, 3)]
    assert nbgrad.split(x, []) == ()
    assert [piece.shape for piece in nbgrad.chunk(x, 3)] == [(0, 3)] * 3
    assert [piece.shape for piece in nbgrad.tensor_split(x, 2)] == [(0, 3)] * 2


REFUSALS = {
    "size of 0": (lambda x: nbgrad.split(x, 0), ValueError, "split: pieces of size 0 of 5"),
    "negative size": (lambda x: nbgrad.split(x, -1), ValueError, "give a positive size"),
    "sizes": (lambda x: nbgrad.split(x, [2, 2]), ValueError, r"split: sizes \(2, 2\) .* do not add up to 5"),
    "negative sizes": (lambda x: nbgrad.split(x, [6, -1]), ValueError, "split: sizes"),
    "no chunks": (lambda x: nbgrad.chunk(x, 0), ValueError, "chunk: 0 pieces: give a positive number"),
    "no sections": (lambda x: nbgrad.tensor_split(x, 0), ValueError, "tensor_split: 0 pieces"),
    "fraction": (lambda x: nbgrad.split(x, 1.5), TypeError, "split: sizes and dimensions are whole numbers"),
    "scalar split": (lambda x: nbgrad.split(x[0, 0, 0], 1), ValueError, "split: a scalar has no dimension"),
    "scalar diff": (lambda x: nbgrad.diff(x[0, 0, 0]), ValueError, "diff: a scalar has no dimension"),
    "negative diff": (lambda x: nbgrad.diff(x, -1), ValueError, "diff: n is -1"),
    "diff of shapes": (lambda x: nbgrad.diff(x, prepend=x[0]), ValueError, "diff: shape .* cannot be joined"),
    "dimension": (lambda x: nbgrad.flip(x, 3), IndexError, "flip: dimension 3 is out of range"),
    "twice": (lambda x: nbgrad.flip(x, 0, 0), ValueError, "flip: a dimension appears twice"),
    "both": (lambda x: nbgrad.flip(x, 0, dims=1), TypeError, "flip: give dimensions one by one or dims"),
    "dim and axis": (lambda x: nbgrad.chunk(x, 2, 0, axis=1), TypeError, "chunk: give dim or axis, not both"),
    "columns": (lambda x: nbgrad.fliplr(x[0, 0]), ValueError, "fliplr: shape"),
    "rows": (lambda x: nbgrad.flipud(x[0, 0, 0]), ValueError, "flipud: a scalar"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    function, kind, words = REFUSALS[name]
    for x in (CUBE, Variable(CUBE)):
        with pytest.raises(kind, match=words):
            function(x)
