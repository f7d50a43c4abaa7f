"""Writing in one compiled call: the same results, graph and counts as the other way, and nothing left behind."""

import gc
import sys

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable, history, sharing
from nbgrad.function import Function
from nbgrad.kernels.cpu import ndarray
from nbgrad.kernels.cpu.ndarray import as_method
from nbgrad.kernels.cpu.small import writer
from nbgrad.ops import rewriting
from nbgrad.ops.elementwise import OPERATIONS
from nbgrad.ops.rewriting import writing

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")

HANDED_ON = "handed on"


def behind(*_):
    return HANDED_ON


class Asked:
    """Has the compiled call as an operator, which tells by counts of references whether only a name holds it."""

    counted = as_method(writer.references().function(behind))


def writes(name):
    """Give the compiled call of an operation, for Variables that are held by a name, as a function has them."""
    operation = OPERATIONS[name]
    operation.function(*[Variable(np.ones(1), requires_grad=False)] * operation.arity)
    x = Asked()
    return writing(operation, x.counted(), behind)


# `assert` holds what it calls by names of its own: so it is asked before.


def constant(*values):
    return Variable(np.array(values), requires_grad=False)


def test_what_is_not_recorded_is_written_over():
    x, y = constant(1.0, 2.0), constant(10.0, 20.0)
    array = x.data
    Variable.counted = as_method(writes("add"))
    try:
        told = x.counted(y) is HANDED_ON
        assert told  # the array has another name
        del array
        place = x.data.ctypes.data
        told = x.counted(y) is x
        assert told and x.tolist() == [11, 22] and x.data.ctypes.data == place
        assert x._generation == -1 and x.creator is None and x._story is None
        same = x
        told = x.counted(y) is HANDED_ON
        assert told and same is x
        del same
        told = x.counted(constant(1.0)) is x
        assert told and x.tolist() == [12, 23]
        for other in (1.0, y.data, constant(1.0, 2.0, 3.0), constant(1, 2), Variable(np.float32([1, 2])), x):
            told = x.counted(other) is HANDED_ON
            assert told and x.tolist() == [12, 23]
        view = x[:1]
        told = x.counted(y) is HANDED_ON
        assert told and view.tolist() == [12]
        read_only = constant(1.0, 2.0)
        read_only.data.flags.writeable = False
        told = read_only.counted(y) is HANDED_ON
        assert told
        large = Variable(np.ones(5000), requires_grad=False)
        told = large.counted(large * 1) is HANDED_ON
        assert told
    finally:
        del Variable.counted


def test_what_is_recorded_becomes_the_result_of_a_node():
    w, x = Variable(np.array([2.0, 3.0])), None
    Variable.counted = as_method(writes("mul"))
    try:
        x = w * 1.0
        before = x.creator
        told = x.counted(w) is x
        assert told and x.tolist() == [4, 9]
        assert type(x.creator).__name__ == "mul" and x._generation == 2
        past, other = x.creator.inputs
        assert past is not x and past.creator is before and past.tolist() == [2, 3] and other is w
        x.sum().backward()
        assert w.grad.tolist() == [4, 6]
        told = w.counted(w) is HANDED_ON
        assert told  # a leaf, while that is recorded
        hooked = w * 1.0
        hooked.register_hook(lambda g: None)
        told = hooked.counted(w) is HANDED_ON
        assert told
        with nbgrad.no_grad():
            node, y = None, w * 1.0
            told = y.counted(w) is y
            assert told and y.tolist() == [4, 9] and y.creator is node
    finally:
        del Variable.counted


def test_parameters_that_were_written_to_before_are_written_to_wherever_they_are(monkeypatch):
    w, g = Variable(np.array([2.0, 3.0])), constant(1.0, 1.0)
    calls = []
    call = writes("sub")
    y = w * w
    with nbgrad.no_grad():
        assert call(w, g) is HANDED_ON  # the first time nodes have to be told what it was
        w -= g
        for _ in range(3):
            writes_before, generation = history.writes, w._generation
            calls.append(call(w, g))
            assert history.writes == writes_before + 1 and w._generation == history.writes * history.CLOCK > generation
    assert calls[0] is w and w.tolist() == [-2, -1] and w.requires_grad and w.creator is None
    with pytest.raises(RuntimeError, match="overwritten"):
        y.sum().backward()
    (w * w).sum().backward()
    assert w.grad.tolist() == [-4, -2]
    monkeypatch.setattr(sharing, "stand_ins", 1)
    with nbgrad.no_grad():
        assert call(w, g) is HANDED_ON


@pytest.mark.parametrize("recorded", [False, True])
def test_no_reference_is_lost_or_left(recorded):
    w = Variable(np.array([2.0, 3.0]), requires_grad=recorded)
    call = writes("add")
    Variable.counted = as_method(call)
    held = [None, -1, True, np.dtype(float), Variable, w, w.data, OPERATIONS["add"].namespace["EvenNode"]]

    def once():
        x = w * 1.0
        for _ in range(5):
            told = x.counted(w) is x
            assert told
            x.counted(1.0)
        assert x.tolist() == [12, 18]

    try:
        once()
        gc.collect()
        before = [sys.getrefcount(value) for value in held[2:]]
        count = len([x for x in gc.get_objects() if issubclass(type(x), Variable | Function)])
        for _ in range(200):
            once()
        gc.collect()
        assert [sys.getrefcount(value) for value in held[2:]] == pytest.approx(before, abs=20)
        assert len([x for x in gc.get_objects() if issubclass(type(x), Variable | Function)]) == count
    finally:
        del Variable.counted


def test_operators_and_methods_give_way_to_it():
    w = Variable(np.array([1.0, 2.0]))
    x = w * 1.0
    for _ in range(rewriting._FEW + 5):
        x += w
        x.sub_(w)
    assert type(vars(Variable)["__iadd__"]).__name__ == "instancemethod"
    assert x.tolist() == [1, 2] and Variable.sub_.__wrapped__ is not None
    x += 1
    same = x
    x += w
    assert same is x and x.tolist() == [3, 5]
    x.sum().backward()
    assert w.grad.tolist() == [2, 2]
    with pytest.raises(ValueError, match=r"x \+= y: the result has shape"):
        x += Variable(np.ones((3, 2)))
    with pytest.raises(RuntimeError, match="a leaf that requires a gradient"):
        w += 1


def test_numbers_and_what_others_see_are_written_to_as_well():
    x, w = constant(1.0, 2.0), Variable(np.array([1.0, 2.0]))
    state = {"x": x}
    place = x.data.ctypes.data
    for _ in range(rewriting._FEW + 5):
        x += 2
        x.mul_(0.5)
    assert type(x) is history.Rewritten and state["x"] is x and x.data.ctypes.data == place
    assert np.allclose(x.data, [2, 2], atol=1e-3)
    x.fill_(3.0)
    y = w * x
    x += 1  # nodes hold what it was
    x += 1
    assert x.tolist() == [5, 5] and y.tolist() == [3, 6]
    with pytest.raises(RuntimeError, match="overwritten"):
        y.sum().backward()
    x += w
    assert x.requires_grad and state["x"] is x and type(x) is Variable
    x.sum().backward()
    assert w.grad.tolist() == [1, 1]
    y = w * 1.0
    for number in (2, 0.5, -1):
        y *= number
    y.sum().backward()
    assert y.tolist() == [-1, -2] and w.grad.tolist() == [0, 0]
    whole = constant(1, 2)
    whole += 1
    with pytest.raises(TypeError, match="do not fit"):
        whole += 0.5
    assert whole.tolist() == [2, 3]
