"""What names from outside of a compiled function stand for: another value has it traced anew."""

import dataclasses
import sys
import threading
import types
from collections import ChainMap, OrderedDict, UserDict, defaultdict, deque, namedtuple
from contextvars import ContextVar
from functools import cached_property, partial, singledispatch, singledispatchmethod
from operator import attrgetter

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
    Scale.shared = Settings.rate = Settings.Deep.rate = with_attribute.rate = 2.0
    with_default.__defaults__[0].update(rate=2.0)
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


class Scale:
    """What a factor is read from, in all the ways that classes have."""

    shared = 2.0
    __slots__ = ("__dict__", "slot")

    def __init__(self):
        self.slot = self.own = self.hidden = 2.0
        self.table, self.queue, self.names = OrderedDict(a=2.0), deque([2.0]), {"a"}

    @property
    def by_property(self):
        return self.own

    @cached_property
    def cached(self):
        return self.own

    @classmethod
    def of_class(cls):
        return cls.shared

    @staticmethod
    def of_nobody():
        return RATE

    def __getitem__(self, key):
        return self.hidden

    def __call__(self, x):
        return x * self.own


class Settings:
    rate = 2.0

    class Deep:
        rate = 2.0


def with_default(x, given={"rate": 2.0}):  # noqa: B006
    return x * given["rate"]


def with_attribute(x):
    return x * with_attribute.rate


with_attribute.rate = 2.0


@pytest.mark.parametrize(
    ("factor", "change"),
    [
        (lambda s, x: x * s.by_property, lambda s: setattr(s, "own", 3.0)),
        (lambda s, x: x * s.cached, lambda s: setattr(s, "cached", 3.0)),
        (lambda s, x: x * s.slot, lambda s: setattr(s, "slot", 3.0)),
        (lambda s, x: x * s.shared, lambda s: setattr(s, "shared", 3.0)),
        (lambda s, x: x * s.shared, lambda s: setattr(Scale, "shared", 3.0)),
        (lambda s, x: x * s.of_class(), lambda s: setattr(Scale, "shared", 4.0)),
        (lambda s, x: x * s.of_nobody(), lambda s: set_("RATE", 3.0)),
        (lambda s, x: x * s[0], lambda s: setattr(s, "hidden", 3.0)),
        (lambda s, x: s(x), lambda s: setattr(s, "own", 3.0)),
        (lambda s, x: x * getattr(s, "own", 1.0), lambda s: setattr(s, "own", 3.0)),
        (lambda s, x: x * sum(s.table.values()), lambda s: s.table.update(b=1.0)),
        (lambda s, x: x * s.table["a"], lambda s: s.table.update(a=3.0)),
        (lambda s, x: x * sum(s.queue), lambda s: s.queue.append(1.0)),
        (lambda s, x: x * (2.0 if "a" in s.names else 3.0), lambda s: s.names.clear()),
        (lambda s, x: x * Settings.rate, lambda s: setattr(Settings, "rate", 3.0)),
        (lambda s, x: x * Settings.Deep.rate, lambda s: setattr(Settings.Deep, "rate", 3.0)),
        (lambda s, x: with_default(x), lambda s: with_default.__defaults__[0].update(rate=3.0)),
        (lambda s, x: with_attribute(x), lambda s: setattr(with_attribute, "rate", 3.0)),
    ],
)
def test_ways_to_a_number(factor, change):
    scale = Scale()
    compiled = nbgrad.jit(lambda x: factor(scale, x))
    for step in (lambda s: None, change):
        step(scale)
        for _ in range(3):  # the slow way, and the quick one
            np.testing.assert_array_equal(compiled(X), factor(scale, X))
    assert traces(compiled) == 2
    assert not np.array_equal(compiled(X), X * 2.0)


def test_an_instance_that_is_called():
    scale = Scale()
    compiled = nbgrad.jit(scale)
    for scale.own in (2.0, 3.0):
        for _ in range(2):
            np.testing.assert_array_equal(compiled(X), X * scale.own)


class Counter:
    def __init__(self):
        self.steps, self.state, self.kept, self.numbers = 0, None, None, {"steps": 0}

    def by_steps(self, x):
        self.steps += 1
        return x * self.steps

    def by_item(self, x):
        self.numbers["steps"] += 1
        return x * self.numbers["steps"]

    def in_a_circle(self, x):
        self.steps = (self.steps + 1) % 3
        return x * self.steps

    def set_before_it_is_read(self, x):
        self.steps = len(x)
        self.kept = x * 2.0
        return self.kept * self.steps

    def carried(self, x):
        self.state = x if self.state is None else self.state + x
        return self.state * 2.0


@pytest.mark.parametrize("name", ["by_steps", "by_item", "in_a_circle", "set_before_it_is_read"])
def test_a_number_that_a_function_changes_and_reads(name):
    counter, plain = Counter(), Counter()
    compiled = nbgrad.jit(getattr(counter, name))
    for _ in range(7):
        np.testing.assert_array_equal(compiled(X), getattr(plain, name)(X))
        assert counter.steps == plain.steps
    assert traces(compiled) == (2 if name.startswith("set") else 7)


@pytest.mark.parametrize("module", [False, True])
def test_a_traced_array_that_a_function_left_and_reads_again(module):
    class Carrying(nn.Module):
        def __init__(self):
            super().__init__()
            self.state = None

        carried = Counter.carried

    counter = Carrying() if module else Counter()
    compiled = nbgrad.jit(lambda x: counter.carried(x))
    np.testing.assert_array_equal(compiled(X), X * 2.0)
    with pytest.raises(TypeError, match=r"reads '\w+\.state', where it left a traced array.*an argument, and return"):
        compiled(X)
    assert counter.state is None  # as it was
    np.testing.assert_array_equal(counter.carried(X), X * 2.0)


def test_what_modules_hold_besides_numbers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rates, self.shift = {"rate": 2.0}, None

        def forward(self, x):
            y = x * self.rates["rate"]
            return y if self.shift is None else y + self.shift

    net = nn.Sequential(Net())
    compiled = nbgrad.jit(lambda x: net(x))
    for change in (
        lambda inner: None,
        lambda inner: inner.rates.update(rate=3.0),
        lambda inner: setattr(inner, "shift", X.copy()),
        lambda inner: setattr(inner, "shift", X * 2.0),
        lambda inner: setattr(inner, "shift", None),
    ):
        change(net[0])
        for _ in range(2):
            np.testing.assert_array_equal(compiled(X), net(X))


class Parent:
    def __init__(self):
        self.base = 2.0

    def scaled(self, x):
        return x * self.base

    @property
    def twice(self):
        return 2 * self.base


class Child(Parent):
    def scaled(self, x):
        return super().scaled(x) + 1.0

    @property
    def twice(self):
        return super().twice + 1.0


class Louder(Parent):
    def scaled(self, x):
        return super().scaled(x) + 1.0


def test_a_parents_method_that_is_changed_behind_a_method_that_calls_it(monkeypatch):
    """What is read of an instance is known before its method is, which then asks for its parents'."""
    louder = Louder()
    compiled = nbgrad.jit(lambda x: louder.scaled(x))
    np.testing.assert_array_equal(compiled(X), louder.scaled(X))
    monkeypatch.setattr(Parent, "scaled", lambda self, x: x * 7.0)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(X), X * 7.0 + 1.0)


class Named(type):
    @property
    def rate(cls):
        return cls.hidden


class WithRate(metaclass=Named):
    hidden = 2.0


class Stored:
    """Attributes that are found by strings, in many ways, and an equality of its own."""

    def __init__(self):
        object.__setattr__(self, "store", {"rate": 2.0})
        self.w0 = self.w1 = self.power = 2.0

    def __getattr__(self, name):
        try:
            return self.__dict__["store"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __eq__(self, other):
        return self.power == other

    def __hash__(self):
        return 0

    @singledispatchmethod
    def dispatched(self, x):
        return x * self.power


@dataclasses.dataclass
class Record:
    rate: float = 2.0


class Listed(list):
    rate = 2.0


class Pair(namedtuple("Pair", "first second")):
    @property
    def total(self):
        return self.first[0] * RATE


def with_rate(settings, x):
    return x * settings.rate


@singledispatch
def dispatched(x):
    return x * RATE


def importing(x):
    import settings_of_a_test.deep
    from settings_of_a_test import rate

    return x * rate * settings_of_a_test.deep.rate


def multiplied(x, rate):
    return x * rate


def subtracted(x, rate):
    return x - rate


class Holder:
    """One of each thing that is looked into."""

    def __init__(self):
        self.child, self.stored, self.record, self.listed = Child(), Stored(), Record(), Listed([1.0])
        self.pair, self.chain, self.user = Pair([2.0], 1), ChainMap({"rate": 2.0}), UserDict(rate=2.0)
        self.back = {"rate": 2.0}
        self.proxy = types.MappingProxyType(self.back)
        self.many = [2.0] * 100
        self.table = {number: [2.0] for number in range(100)}
        self.layers = tuple({"w": 2.0} for _ in range(100))
        self.context = ContextVar("rate", default=2.0)
        self.partial = partial(multiplied, rate=2.0)
        self.names = ["w0"]
        self.default = defaultdict(lambda: 2.0, rate=2.0)
        self.module = types.ModuleType("settings_of_a_test")
        self.module.deep = types.ModuleType("settings_of_a_test.deep")
        self.module.rate = self.module.deep.rate = 2.0


@pytest.mark.parametrize(
    ("function", "change"),
    [
        (lambda h, x: h.child.scaled(x), lambda h: setattr(h.child, "base", 3.0)),
        (lambda h, x: x * h.child.twice, lambda h: setattr(h.child, "base", 3.0)),
        (lambda h, x: h.child.scaled(x), lambda h: setattr(Child, "scaled", lambda self, x: x * 5.0)),
        (lambda h, x: x * WithRate.rate, lambda h: setattr(WithRate, "hidden", 3.0)),
        (lambda h, x: x * h.stored.rate, lambda h: h.stored.store.update(rate=3.0)),
        (lambda h, x: x * (2.0 if h.stored == 3.0 else 4.0), lambda h: setattr(h.stored, "power", 3.0)),
        (lambda h, x: h.stored.dispatched(x), lambda h: setattr(h.stored, "power", 3.0)),
        (lambda h, x: x * vars(h.stored)["w1"], lambda h: setattr(h.stored, "w1", 3.0)),
        (lambda h, x: x * h.stored.__dict__["w1"], lambda h: setattr(h.stored, "w1", 3.0)),
        (lambda h, x: sum(x * getattr(h.stored, f"w{i}") for i in range(2)), lambda h: setattr(h.stored, "w1", 3.0)),
        (lambda h, x: sum(x * getattr(h.stored, n) for n in ("w0", "w1")), lambda h: setattr(h.stored, "w1", 3.0)),
        (lambda h, x: sum(x * getattr(h.stored, n) for n in h.names), lambda h: setattr(h.stored, "w0", 3.0)),
        (lambda h, x, get=attrgetter("w1"): x * get(h.stored), lambda h: setattr(h.stored, "w1", 3.0)),
        (lambda h, x: x * (2.0 if hasattr(h.child, "shift") else 3.0), lambda h: setattr(h.child, "shift", 3.0)),
        (lambda h, x: x * getattr(h.record, "lambda", 2.0), lambda h: setattr(h.record, "lambda", 3.0)),
        (lambda h, x: x * globals()["RATE"], lambda h: set_("RATE", 3.0)),
        (lambda h, x: multiplied(x, **dataclasses.asdict(h.record)), lambda h: setattr(h.record, "rate", 3.0)),
        (lambda h, x: x * h.listed.rate, lambda h: setattr(h.listed, "rate", 3.0)),
        (lambda h, x: x * h.pair.total, lambda h: h.pair.first.__setitem__(0, 3.0)),
        (lambda h, x: x * h.pair.total, lambda h: set_("RATE", 3.0)),
        (lambda h, x: x * h.chain["rate"], lambda h: h.chain.update(rate=3.0)),
        (lambda h, x: x * h.user["rate"], lambda h: h.user.update(rate=3.0)),
        (lambda h, x: x * h.proxy["rate"], lambda h: h.back.update(rate=3.0)),
        (lambda h, x: x * h.many[70], lambda h: h.many.__setitem__(70, 3.0)),
        (lambda h, x: x * len(h.many), lambda h: h.many.append(3.0)),
        (lambda h, x: x * h.table[70][0], lambda h: h.table.update({70: [3.0]})),
        (lambda h, x: x * h.table[70][0], lambda h: h.table[70].__setitem__(0, 3.0)),
        (lambda h, x: x * h.layers[70]["w"], lambda h: h.layers[70].update(w=3.0)),
        (lambda h, x: x * h.context.get(), lambda h: h.context.set(3.0)),
        (lambda h, x: h.partial(x), lambda h: h.partial.keywords.update(rate=3.0)),
        (lambda h, x: with_rate(h.module.deep, x), lambda h: setattr(h.module.deep, "rate", 3.0)),
        (lambda h, x: dispatched(x), lambda h: set_("RATE", 3.0)),
        (lambda h, x: importing(x), lambda h: setattr(h.module, "rate", 3.0)),
        (lambda h, x: importing(x), lambda h: setattr(h.module.deep, "rate", 3.0)),
        (lambda h, x: multiplied(x, 2.0), lambda h: setattr(multiplied, "__code__", subtracted.__code__)),
    ],
)
def test_more_ways_to_a_number(function, change, monkeypatch):
    holder = Holder()
    monkeypatch.setitem(sys.modules, "settings_of_a_test", holder.module)
    monkeypatch.setitem(sys.modules, "settings_of_a_test.deep", holder.module.deep)
    method, hidden, code = Child.scaled, WithRate.hidden, multiplied.__code__
    compiled = nbgrad.jit(lambda x: function(holder, x))
    try:
        for step in (lambda h: None, change):
            step(holder)
            for _ in range(3):  # the slow way, and the quick one
                np.testing.assert_array_equal(compiled(X), function(holder, X))
        assert traces(compiled) == 2
    finally:
        Child.scaled, WithRate.hidden, multiplied.__code__ = method, hidden, code


def test_equal_items_of_long_containers_have_nothing_traced_anew():
    holder = Holder()
    compiled = nbgrad.jit(lambda x: x * holder.many[70] + holder.default["rate"])
    for change in (lambda: None, lambda: holder.many.__setitem__(slice(None), [float("2")] * 100)):
        change()
        for _ in range(3):
            np.testing.assert_array_equal(compiled(X), X * 2.0 + 2.0)
    assert traces(compiled) == 1
    del holder.default["rate"]
    holder.default["other"] = 1.0
    compiled(X)
    assert list(holder.default) == ["other", "rate"]  # put there by the function, not by looking
    holder.many[70] = 2
    assert compiled(X).dtype == np.float64
    assert traces(compiled) == 3


def test_attributes_of_each_thread():
    local = threading.local()
    compiled = nbgrad.jit(lambda x: x * local.rate)
    results = {}

    def work(rate):
        local.rate = rate
        results[rate] = [compiled(X) for _ in range(3)]

    for rate in (2.0, 3.0, 2.0):
        thread = threading.Thread(target=work, args=(rate,))
        thread.start()
        thread.join()
        np.testing.assert_array_equal(results[rate], [X * rate] * 3)


def test_more_than_is_looked_at_is_told_of():
    tree = [[[{}] for _ in range(60)] for _ in range(60)]
    with pytest.warns(UserWarning, match="more than 3000 functions, instances and containers"):
        nbgrad.jit(lambda x: x * len(tree))(X)
