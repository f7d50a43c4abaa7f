"""Conversions in PyTorch's spelling; moving to a GPU is tested in tests/cuda."""

import numpy as np
import pytest

import nbgrad


def test_conversions_as_torch_spells_them():
    x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    assert x.to("cpu", np.float64, True, False) is x
    assert x.to(np.float64, non_blocking=True, memory_format="preserve") is x
    for call in (lambda: x.to(np.float64, False, True), lambda: x.to("cpu", copy=True), lambda: x.to(copy=True)):
        y = call()
        assert y is not x and not np.shares_memory(y.data, x.data) and y.requires_grad
    assert x.to("cpu", np.float32, True, True).dtype == np.float32
    for target in ((True, np.float32), (np.float32, True, False, True)):
        with pytest.raises(TypeError, match="to: takes a device, a dtype, non_blocking and copy in this order"):
            x.to(*target)
    with pytest.raises(TypeError, match="to: needs a device, a dtype or a Variable"):
        x.to()
