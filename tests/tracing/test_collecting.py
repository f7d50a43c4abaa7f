"""No garbage is collected while a function is traced."""

import gc

import numpy as np
import pytest

import nbgrad


def test_nothing_is_collected_while_a_function_is_traced():
    seen = []

    def traced(x, fails):
        seen.append(gc.isenabled())
        if fails:
            raise ValueError("no")
        return x * 2

    jitted = nbgrad.jit(traced, static_argnums=1)
    assert gc.isenabled()
    jitted(np.ones(3), False)
    with pytest.raises(ValueError, match="no"):
        jitted(np.ones(3), True)
    assert seen == [False, False] and gc.isenabled()
    gc.disable()
    try:
        jitted(np.ones(4), False)
        assert not gc.isenabled()
    finally:
        gc.enable()
