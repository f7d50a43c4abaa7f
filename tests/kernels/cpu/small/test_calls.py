"""What compiled calls have in common."""

import ctypes

import numpy as np
import pytest

from nbgrad.kernels.cpu import ndarray
from nbgrad.kernels.cpu.small import calls, views


@pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")
def test_one_compiled_function_serves_all_records(compiled):
    first, second = (views.getitem().function(lambda *given, name=name: name) for name in "ab")
    before = len(compiled)
    assert first(np.ones(3), "key") == "a" and second(np.ones(3), "key") == "b"
    assert views.getitem().address() == views.getitem().address() and len(compiled) == before


def test_where_arrays_cannot_be_read_the_other_way_has_all(monkeypatch):
    monkeypatch.setattr(ndarray, "layout_holds", lambda: False)

    def otherwise():
        pass

    assert views.getitem().function(otherwise) is otherwise


def test_the_table_is_as_it_is_described():
    table = calls._table()
    assert table[calls.AT["none"] // 8] == id(None) and table[calls.AT["ndarray"] // 8] == id(np.ndarray)
    assert table[calls.AT["PyArray_NewFromDescr"] // 8] == ndarray.array_api()[0]


def test_a_table_that_two_threads_made_lives_on():
    """Each has an address of its own in what it made, though only one table is found again."""
    table = calls._table()
    place, size = ctypes.addressof(table), ctypes.sizeof(table)
    words = bytes(table)
    del table
    calls._table.cache_clear()
    others = [(ctypes.c_int64 * (size // 8))(*[2] * (size // 8)) for _ in range(100)]
    assert ctypes.string_at(place, size) == words and calls._table() and others
