"""Loops written by hand: what comes around them, and the ufuncs they become."""

import numpy as np
import pytest

from nbgrad.kernels.cpu import gufuncs, threads


def doubled(number):
    """Write: each row doubled, and its first element."""
    with gufuncs.loop({"x": (number, "k"), "o": (number, "k"), "f": ("int64", "")}, ["k"]) as text:
        with text.block("for b in range(outer):"):
            text.put("for i in range(k):", "    o[b * ob + i * ok] = 2 * x[b * xb + i * xk]")
            text.put("f[b * fb] = int64(x[b * xb])")
    return str(text)


def test_a_loop_has_operands_with_steps_in_elements():
    lines = [line.strip() for line in doubled("float32").splitlines()]
    assert lines[0] == "def loop(args, dims, steps, data):" and lines[-1] == "clear_exceptions()"
    for line in ("k = dims[1]", "o = float32_pointer(args[1])", "fb = steps[2] // 8", "ok = steps[4] // 4"):
        assert line in lines
    assert "if outer > 1 and outer * k >= longest:" in lines


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_ufunc_takes_any_layout(dtype):
    kernel = gufuncs.make("doubled", doubled, "xxi", "(k)->(k),()", 2, threads.NEVER)
    x = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    for given in (x, x.T, x[:, ::-1, ::2], np.broadcast_to(x[0, 0], (2, 4))):
        twice, first = kernel(given)
        assert twice.dtype == dtype and first.dtype == np.int64
        np.testing.assert_array_equal(twice, 2 * given)
        np.testing.assert_array_equal(first, given[..., 0])
