"""Nests of arrays: named tuples, dataclasses, what users register; through gradients and jit."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad.nests import Kind, count, flatten, unflatten


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="layer", metadata={"static": True})

    def __post_init__(self):
        assert isinstance(self.name, str)


@dataclasses.dataclass(frozen=True)
class Options:
    """No array in it: a value like any."""

    rate: float
    sizes: tuple


class Pair:
    def __init__(self, first, second, tag):
        self.first, self.second, self.tag = first, second, tag


@pytest.fixture(autouse=True)
def registered():
    from nbgrad.nests import _registered

    nbgrad.func.register_nest(Pair, lambda p: ([p.first, p.second], p.tag), lambda tag, parts: Pair(*parts, tag))
    yield
    _registered.pop(Pair)


def test_apart_and_together():
    nest = {"a": [Point(np.ones(1), None), (2.0,)], "b": Layer(np.zeros(2), {"c": 3}), "o": Options(0.1, (1,))}
    leaves: list[Any] = []
    structure = flatten(nest, leaves)
    assert len(leaves) == count(structure) == 6 and leaves[-1] is nest["o"] and leaves[1] is None
    hash(structure)
    again = unflatten(structure, iter(leaves))
    assert type(again["a"][0]) is Point and type(again["a"][1]) is tuple and type(again["b"]) is Layer
    assert again["b"].bias == {"c": 3} and again["b"].name == "layer"
    more: list[Any] = []
    other = flatten({**nest, "b": Layer(np.zeros(2), {"c": 3}, "other")}, more)
    assert other != structure and len(more) == 6
    assert flatten({**nest, "b": Layer(np.zeros(2), {"c": 4})}, []) == structure
    assert Kind(Layer, ("a",)) != Kind(Layer, ("b",)) and repr(Kind(Layer, ("a",))) == "Layer(('a',))"


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_by_nests_of_all_kinds(compiled):
    def f(p):
        layer, pair = p["layer"], p["pair"]
        assert layer.name == "first" and pair.tag == "t"
        return (layer.weight * pair.first).sum() + layer.bias * pair.second[0] + p["point"].x

    transform = nbgrad.jit(nbgrad.grad(f)) if compiled else nbgrad.grad(f)
    given = {
        "layer": Layer(np.ones(2), 2.0, "first"),
        "pair": Pair(np.array([3.0, 4.0]), [5.0], "t"),
        "point": Point(1.0, 7.0),
    }
    for _ in range(2):
        found = transform(given)
        assert type(found["layer"]) is Layer and found["layer"].name == "first"
        np.testing.assert_array_equal(found["layer"].weight, [3, 4])
        assert found["layer"].bias == 5 and found["pair"].second == [2] and found["pair"].tag == "t"
        np.testing.assert_array_equal(found["pair"].first, [1, 1])
        assert found["point"] == Point(1, 0)


def test_jit_tells_structures_apart():
    calls = []
    f = nbgrad.jit(lambda p: (calls.append(p.tag), p.first * 2)[1])
    for _ in range(2):
        assert f(Pair(np.ones(1), np.ones(1), "a")) == 2
        assert f(Pair(np.ones(1), np.ones(1), "b")) == 2
    assert calls == ["a", "b"]
    g = nbgrad.jit(lambda x, o: x * o.rate)
    assert g(np.ones(1), Options(0.5, (1,))) == 0.5 and g(np.ones(1), Options(0.25, (1,))) == 0.25
    made = nbgrad.jit(lambda x: Layer(x, x * 2))
    for _ in range(2):
        found = made(np.ones(1))
        assert type(found) is Layer and found.bias == 2


def test_jax_has_the_same_gradient():
    jax = peer("jax")
    f = lambda p: p.x * p.y[0] ** 2  # noqa: E731
    assert nbgrad.grad(f)(Point(2.0, [3.0])) == tuple(map(lambda v: v, jax.grad(f)(Point(2.0, [3.0]))))


def test_vmap_of_dataclasses():
    found = nbgrad.vmap(lambda p: Layer(p.weight.sum(), p.bias * 2))(Layer(np.ones((3, 2)), np.arange(3.0)))
    assert type(found) is Layer
    np.testing.assert_array_equal(found.weight, [2, 2, 2])
    np.testing.assert_array_equal(found.bias, [0, 2, 4])


def test_what_is_no_class_is_refused():
    with pytest.raises(TypeError, match="register_nest: 3 is no class"):
        nbgrad.func.register_nest(3, None, None)
