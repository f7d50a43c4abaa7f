"""The probe of NumPy's functions finds what it is to find, and the page says what it found."""

import numpy as np
import numpy_coverage
import pytest
from numpy_coverage import CONSTANT, DOCS, NONE, RAISES, WORKS, WRONG, probe, probed

import nbgrad
from nbgrad import Variable

X = np.array([0.3, 1.2, -0.7])


class Halved(nbgrad.Function):
    """Twice a number, with the gradient of once."""

    def forward(self, x):
        return 2 * x

    def backward(self, gy):
        return gy


def of_variables(function):
    """Make a function that does something else to Variables."""
    return lambda x: function(x) if isinstance(x, Variable) else 2 * x


def refused(x):
    if isinstance(x, Variable):
        raise TypeError("op: no|way; not at all")
    return 2 * x


@pytest.mark.parametrize(
    ("function", "state"),
    [
        (np.sin, WORKS),
        (lambda x: (x * x, np.argmax(x)), WORKS),
        (lambda x: x > 0, CONSTANT),
        (np.floor, CONSTANT),
        (lambda x: x.shape, CONSTANT),
        (lambda x: str(x), NONE),
        (lambda x: x + "1", NONE),
        (of_variables(lambda x: 3 * x), WRONG),
        (of_variables(lambda x: 2 * x.data), WRONG),
        (of_variables(lambda x: Halved()(x)), WRONG),
        (of_variables(lambda x: (2 * x, x)), WRONG),
        (refused, RAISES),
    ],
)
def test_the_probe_tells_them_apart(function, state):
    assert probe(function, X).state == state


def test_what_is_said_fits_into_a_table():
    assert probe(refused, X).detail == "TypeError: no/way"


@pytest.mark.slow
def test_the_page_is_what_is_found():
    found = probed()
    wrong = {name: f for functions in found.values() for name, f in functions.items() if f.state == WRONG}
    assert not wrong
    text = numpy_coverage.page(found)
    share = int(text.split("| all |")[1].split("%")[0].rpartition("|")[2])
    assert share >= 85
    listed = DOCS.read_text().split("## numpy\n")[1]
    assert text.split("## numpy\n")[1] == listed, "run python -m tests.numpy_coverage"
