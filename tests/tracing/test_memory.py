"""Where values between the steps lie."""

import numpy as np

from nbgrad.tracing.memory import Memory


class Some(Memory):
    def __init__(self, sizes):
        self.buffers = sizes
        self.views = {f"v{i}": (i, (size // 8,), np.dtype("float64")) for i, size in enumerate(sizes)}


def test_arrays_begin_at_lines_of_their_own():
    """Large arrays from the system begin where pages do: a dozen of them would share a few places of a cache."""
    arrays = Some([1 << 20] * 12).maker(np.empty)()
    places = {x.ctypes.data % 4096 for x in arrays}
    assert len(places) > 8 and all(place % 64 == 0 for place in places)
    assert all(x.shape == (1 << 17,) for x in arrays)
