"""Windows are torch's, symmetric and periodic, of all lengths."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad.signal import windows

OPTIONS = {"general_cosine": {"a": [0.5, 0.3, 0.2]}, "exponential": {"tau": 2.5}, "gaussian": {"std": 1.5}}


@pytest.mark.parametrize("sym", [True, False])
@pytest.mark.parametrize("name", windows.__all__)
def test_windows_are_torchs(name, sym):
    torch = peer("torch")
    for length in (0, 1, 2, 5, 8):
        options = {"sym": sym, **OPTIONS.get(name, {})}
        found = getattr(nbgrad.signal.windows, name)(length, **options)
        wanted = getattr(torch.signal.windows, name)(length, dtype=torch.float64, **options)
        np.testing.assert_allclose(found.data, wanted, rtol=1e-12, atol=1e-13)
    assert getattr(windows, name)(4, dtype=np.float32, **options).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: windows.hann(-1), "hann: -1 samples"),
        (lambda: windows.gaussian(3, std=0), "gaussian: std is 0"),
        (lambda: windows.exponential(3, tau=-1), "exponential: tau is -1"),
        (lambda: windows.exponential(3, center=1.0), "exponential: a symmetric window"),
        (lambda: windows.general_cosine(3, a=[]), "general_cosine: coefficients"),
        (lambda: windows.kaiser(3, beta=-1), "kaiser: beta is -1"),
        (lambda: windows.hann(3, device="cuda"), "hann: device"),
    ],
)
def test_wrong_arguments_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
    with pytest.raises(TypeError, match="hann: dtype int64"):
        windows.hann(3, dtype=np.int64)
