"""PyTorch's names of dtypes."""

import numpy as np
import pytest
from peers import peer

import nbgrad

NAMES = [
    "float16", "half", "float32", "float", "float64", "double", "uint8", "int8", "int16", "short", "int32", "int",
    "int64", "long", "bool",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_mean_what_they_mean_in_torch(name):
    torch = peer("torch")
    found = getattr(nbgrad, name)
    assert isinstance(found, nbgrad.dtype) and found == torch.zeros(1, dtype=getattr(torch, name)).numpy().dtype
    assert nbgrad.zeros(2, dtype=found).dtype is found
    assert nbgrad.tensor(np.ones(2)).to(found).dtype == found
