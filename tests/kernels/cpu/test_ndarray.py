"""How compiled functions see NumPy's arrays: only where the layout is the one that is checked."""

import gc
import os
import platform
import sys
import weakref

import numpy as np
import pytest

from nbgrad.kernels.cpu import codegen, ndarray

pytestmark = pytest.mark.skipif(os.environ.get("NBGRAD_TEST_LAYOUT") == "unknown", reason="nothing reads arrays so")


@pytest.fixture(autouse=True)
def asked_anew():
    ndarray.layout_holds.cache_clear()
    yield
    ndarray.layout_holds.cache_clear()


@pytest.mark.skipif(
    platform.python_implementation() != "CPython" or not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="the layout is that of CPython with the GIL",
)
def test_the_layout_holds():
    assert ndarray.layout_holds()


@pytest.mark.parametrize(
    "field", ["TYPE", "DATA", "NDIM", "SHAPE", "DTYPE", "STRIDES", "FLAGS", "PAYLOAD", "LENGTH", "ITEMS", "MEMBERS"]
)
def test_a_field_elsewhere_is_noticed(monkeypatch, field):
    other = {"TYPE": ndarray.DTYPE, "SHAPE": ndarray.SHAPE + 8, "PAYLOAD": ndarray.PAYLOAD + 1}
    other |= {"LENGTH": 8, "ITEMS": ndarray.LENGTH, "MEMBERS": 24, "STRIDES": ndarray.SHAPE}
    monkeypatch.setattr(ndarray, field, other.get(field, ndarray.TYPE))
    assert not ndarray.layout_holds()


def test_builds_without_the_gil_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert not ndarray.layout_holds()


# gives the second word of its record, an object
_SECOND = f"""
def call(record, args, count):
    record += {ndarray.PAYLOAD}
    invoke_1(word_at(record), (word_at(record + 8),))
    return word_at(record + 8)
"""


class Kept:
    pass


def test_a_builtin_function_keeps_what_its_words_point_to():
    if not ndarray.layout_holds():
        pytest.skip("records cannot be read by their layout here")
    import ctypes

    kept = Kept()
    alive = weakref.ref(kept)
    words = [*ndarray.addresses_of(ctypes.pythonapi.Py_IncRef), id(kept)]
    method = ndarray.method("second", codegen.address("second", _SECOND, entry="call"))
    function = ndarray.builtin(method, words, kept)
    assert function() is function(np.ones(2), 1) is kept and function.__name__ == "second"
    del kept
    gc.collect()
    assert isinstance(function(), Kept)
    del function
    gc.collect()
    assert alive() is None
