"""The generator by its published answers, and what an element is made of."""

import numpy as np
import pytest
import stream

from nbgrad.kernels import philox


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # Random123's known answers, kat_vectors
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter, key, answer):
    assert philox.philox(*map(np.uint64, counter + key)) == answer


def test_draws_take_whole_groups():
    assert [philox.blocks_of(n, "float32") for n in (0, 1, 64, 65)] == [0, 16, 16, 32]
    assert [philox.blocks_of(n, "float64") for n in (0, 1, 32, 33)] == [0, 16, 16, 32]
    assert philox.first_of(32, "float32") == 128 and philox.first_of(32, "float64") == 64


@pytest.mark.parametrize(("kind", "dtype"), [(k, d) for k, dtypes in philox.KINDS.items() for d in dtypes])
def test_no_word_is_given_twice(kind, dtype):
    found = stream.elements(kind, dtype, [5, 0], np.arange(256))
    again = stream.elements(kind, dtype, [5, philox.blocks_of(256, dtype)], np.arange(256))
    assert len(np.unique(np.concatenate([found, again]))) == 512
