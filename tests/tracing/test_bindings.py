"""What names from outside of a compiled function stand for: another value has it traced anew."""

import types
from functools import partial

import numpy as np
import pytest

import nbgrad
from nbgrad import nn

pytestmark = pytest.mark.usefixtures("kernels")

X = np.array([1.0, 2.0, 3.0])
RATE, WEIGHTS, SETTINGS = 2.0, X, {"rate": 2.0, "deep": [1.0, {"power": 2}]}


def scaled(x):
    return x * RATE


def doubly(x):
    return scaled(x) + WEIGHTS


SCALED = scaled


def set_(name, value):
    globals()[name] = value


@pytest.fixture(autouse=True)
def as_it_was():
    before = RATE, WEIGHTS
    yield
    set_("RATE", before[0])
    set_("WEIGHTS", before[1])
    set_("scaled", SCALED)


def traces(compiled):
    """Count the traces that were made, by those that are kept and those that took the place of others."""
    return len(compiled._traces) + sum(compiled._changes.values())


def test_globals_numbers_arrays_and_functions():
    compiled = nbgrad.jit(doubly)
    for change in (
        lambda: None,
        lambda: set_("RATE", 3.0),
        lambda: set_("WEIGHTS", X[::-1].copy()),
        lambda: set_("scaled", lambda x: x - RATE),
        lambda: set_("RATE", np.float64(0.5)),
    ):
        change()
        for _ in range(3):  # the slow way, and the quick one
            np.testing.assert_array_equal(compiled(X), doubly(X))
    assert traces(compiled) == 5


def test_elements_and_equal_numbers_have_nothing_traced_anew():
    compiled = nbgrad.jit(doubly)
    set_("WEIGHTS", X.copy())
    for rate in (2.0, float("2"), float("2.0")):
        set_("RATE", rate)
        WEIGHTS[0] += 1.0
        for _ in range(2):
            np.testing.assert_array_equal(compiled(X), doubly(X))
    assert traces(compiled) == 1
    set_("RATE", 0.0)
    set_("WEIGHTS", np.zeros(3) * -1.0)
    assert not np.signbit(compiled(X)).any()
    set_("RATE", -0.0)
    assert np.signbit(compiled(X)).all()
    set_("RATE", 2)  # a whole number is another one than 2.0
    compiled(X)
    assert traces(compiled) == 4


def test_what_a_surrounding_function_binds():
    rate = 2.0

    def inner(x):
        return x**rate

    compiled = nbgrad.jit(nbgrad.value_and_grad(lambda x: inner(x).sum()))
    for rate in (2.0, 3.0, 3.0, 2.5):
        value, gradient = compiled(X)
        np.testing.assert_allclose(value, (X**rate).sum(), rtol=1e-12)
        np.testing.assert_allclose(gradient, rate * X ** (rate - 1), rtol=1e-12)


def test_items_of_containers():
    compiled = nbgrad.jit(lambda x: x ** SETTINGS["deep"][1]["power"] * SETTINGS["rate"])
    for power, rate in ((2, 2.0), (3, 2.0), (3, 0.5)):
        SETTINGS["deep"][1]["power"], SETTINGS["rate"] = power, rate
        for _ in range(2):
            np.testing.assert_allclose(compiled(X), X**power * rate, rtol=1e-12)
    assert traces(compiled) == 3


def test_attributes_of_instances():
    class Model:
        def __init__(self):
            self.weights, self.unused = X.copy(), 0

        def shifted(self, x):
            return x + self.shift

        @nbgrad.jit
        def value(self, x):
            return (self.weights * self.shifted(x)).sum()

    model = Model()
    model.shift = 1.0

    def same():
        for _ in range(3):
            assert model.value(X) == (model.weights * (X + model.shift)).sum()

    same()
    model.weights[:] = 2.0
    same()
    model.unused += 1  # no method that is reached names it
    same()
    compiled = Model.__dict__["value"]._bound()
    assert traces(compiled) == 1
    model.weights = X * 3.0
    same()
    model.shift = -1.0  # named by a method that it calls
    same()
    assert traces(compiled) == 3


def test_what_a_function_changes_itself_while_it_is_traced():
    calls = 0
    seen = []

    @nbgrad.jit
    def counting(x):
        nonlocal calls
        calls += 1
        seen.append(x.shape)
        return x * 2.0

    for _ in range(4):
        np.testing.assert_array_equal(counting(X), X * 2.0)
    assert calls == 1


def test_a_deleted_name_is_missed_as_ever():
    set_("SCALE", 2.0)
    compiled = nbgrad.jit(lambda x: x * SCALE)  # noqa: F821
    for _ in range(2):
        compiled(X)
    del globals()["SCALE"]
    with pytest.raises(NameError, match="SCALE"):
        compiled(X)


def test_a_name_that_changes_all_the_time_is_told_of():
    compiled = nbgrad.jit(scaled)
    with pytest.warns(UserWarning, match=r"scaled was traced anew 10 times since 'RATE' from outside .* argument"):
        for number in range(12):
            set_("RATE", number + 0.5)
            np.testing.assert_array_equal(compiled(X), X * (number + 0.5))


def test_another_module_takes_the_place_of_one():
    layers = [nn.Linear(3, 1), nn.Linear(3, 1)]
    layer = layers[0]
    compiled = nbgrad.jit(lambda x: layer(x))
    for layer in (layers[0], layers[1], layers[0]):
        for _ in range(2):
            np.testing.assert_allclose(compiled(X).data, layer(X).data, rtol=1e-12)


def test_users_modules_and_partial_functions():
    config = types.ModuleType("config_of_a_test")
    config.rate = 2.0
    compiled = nbgrad.jit(partial(lambda rate, x: x * rate * config.rate, 1.5))
    for config.rate in (2.0, 5.0):
        for _ in range(2):
            np.testing.assert_array_equal(compiled(X), X * 1.5 * config.rate)
