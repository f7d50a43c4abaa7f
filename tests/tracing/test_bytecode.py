"""What code reads is told by its instructions, also that of functions inside."""

import math
import os.path
from collections import Counter

import pytest

from nbgrad.tracing import bytecode

rate, calls = 2.0, 0


def counting(x):
    global calls
    calls += 1
    return x * rate


def reading(x):
    global calls
    calls = calls + 1
    return x * calls


def test_what_is_only_added_to_is_not_read():
    assert Counter(bytecode.reads_of(counting.__code__))["calls"] == 0
    assert Counter(bytecode.reads_of(counting.__code__))["rate"] == 1
    assert Counter(bytecode.reads_of(reading.__code__))["calls"] == 2


def outer(x):
    def inner(y):
        return y.shape + getattr(y, "dtype_of_inner")  # noqa: B009

    return [inner(z) for z in x.values], ("name", "no name!")


def test_functions_inside_are_looked_into():
    assert {"shape", "values", "getattr"} <= {*bytecode.names_of(outer.__code__)}
    assert {"dtype_of_inner", "name"} <= {*bytecode.strings_of(outer.__code__)}
    assert "no name!" not in {*bytecode.strings_of(outer.__code__)}
    assert "shape" in bytecode.reads_of(outer.__code__)


@pytest.mark.parametrize(
    ("function", "computed"),
    [
        (lambda s, i: getattr(s, f"w{i}"), True),
        (lambda s, i: getattr(s, "w%d" % i), True),  # noqa: UP031
        (lambda s, i: getattr(s, "w{}".format(i)), True),  # noqa: UP032
        (lambda s, i: getattr(s, "_".join(i)), True),
        (lambda s, i: [getattr(s, f"w{k}") for k in i], True),
        (lambda s, i: getattr(s, i), False),
        (lambda s, i: s.w + i, False),
    ],
)
def test_strings_that_are_put_together(function, computed):
    assert bytecode.computes_strings(function.__code__) is computed


def importing():
    import math
    import os.path as place
    from collections import Counter

    return math, place, Counter


def test_modules_that_a_function_imports():
    assert {math, os, os.path, __import__("collections")} == {*bytecode.imported(importing)}


def test_relative_imports_are_looked_for_in_the_functions_package():
    namespace = {"__package__": "nbgrad.tracing"}
    exec("def f():\n    from . import trace\n    from ..ops import shape\n    from .. import engine", namespace)
    found = {module.__name__ for module in bytecode.imported(namespace["f"])}
    assert {"nbgrad", "nbgrad.tracing", "nbgrad.ops"} <= found
