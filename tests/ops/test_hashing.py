"""Hashes are torch's, of all dtypes, and change with any element."""

import numpy as np
import pytest
from peers import peer

import nbgrad


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("dim", [None, (), 0, -1, (0, 2)])
def test_hashes_are_torchs(dtype, dim):
    torch = peer("torch")
    x = (10 * np.random.default_rng(0).normal(size=(3, 4, 2))).astype("i8" if dtype == "uint8" else dtype).astype(dtype)
    for keepdim in (False, True):
        options = {} if dim is None else {"dim": dim, "keepdim": keepdim}
        wanted = torch.hash_tensor(torch.tensor(x), **options).numpy()
        for given in (nbgrad.tensor(x), nbgrad.tensor(np.asfortranarray(x))):
            found = nbgrad.hash_tensor(given, **options)
            assert found.dtype == np.uint64
            np.testing.assert_array_equal(found.data, wanted)
    np.testing.assert_array_equal(nbgrad.hash_tensor(x, axis=1, keepdims=True)[:, 0], nbgrad.hash_tensor(x, 1))


def test_a_hash_changes_with_the_last_bit_and_is_the_same_compiled():
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert nbgrad.hash_tensor(np.nextafter(x, 9)) != nbgrad.hash_tensor(x) == nbgrad.hash_tensor(x.T.ravel()[::-1])
    assert nbgrad.jit(nbgrad.hash_tensor)(x) == nbgrad.hash_tensor(x)
    assert not nbgrad.hash_tensor(nbgrad.tensor(x, requires_grad=True)).requires_grad
    assert nbgrad.hash_tensor(np.zeros((0, 2)), 0).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: nbgrad.hash_tensor(x, mode=1), ValueError, "mode is 1"),
        (lambda x: nbgrad.hash_tensor(x[:0]), ValueError, r"shape \(0, 3\) has no elements: give dim"),
        (lambda x: nbgrad.hash_tensor(x, (0, 0)), ValueError, "a dimension appears twice"),
        (lambda x: nbgrad.hash_tensor(x, 2), IndexError, "hash_tensor"),
        (lambda x: nbgrad.hash_tensor(x + 0j), TypeError, "hash_tensor: dtype complex128"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(np.ones((3, 3)))
