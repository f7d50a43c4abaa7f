"""Recording in one compiled call: the same graph as the Operation's own way, and nothing left behind."""

import gc
import sys
import weakref

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable, history, sharing
from nbgrad.function import Operation
from nbgrad.grad_mode import recording_mode
from nbgrad.kernels.cpu import caller, ndarray
from nbgrad.kernels.cpu.small import recorder, views
from nbgrad.ops.elementwise import OPERATIONS
from nbgrad.ops.indexing import GetItem
from nbgrad.ops.reduction import Amax, Softmax, SoftmaxVjp, Sum

pytestmark = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")


@pytest.fixture(autouse=True)
def no_views_are_noted(monkeypatch):
    """As in a process where nothing was written to yet."""
    monkeypatch.setattr(sharing, "active", False)


CALLS = {
    "getitem": (GetItem, 1, (slice(1, 3),)),
    "sum": (Sum, 1, ((0,), True, ())),
    "amax": (Amax, 1, ((1,), False, ())),
    "softmax": (Softmax, 1, (1,)),
    "softmax_vjp": (SoftmaxVjp, 2, (0,)),
}


def slots(node):
    """Give what a node's slots hold, as far as they are set."""
    names = {name for kind in type(node).__mro__ for name in vars(kind).get("__slots__", ())} - {"__weakref__"}
    return {name: getattr(node, name) for name in names if hasattr(node, name)}


@pytest.mark.parametrize("name", CALLS)
def test_nodes_are_as_operations_make_them(name):
    kind, count, arguments = CALLS[name]
    x = Variable(np.arange(12.0).reshape(3, 4)) * 1.0
    inputs = (x, Variable(np.ones((3, 4)), requires_grad=False))[:count]
    quick, slow = kind.apply(*inputs, *arguments), kind(*arguments)(*inputs)
    assert type(kind.apply).__name__ == "builtin_function_or_method"
    assert type(quick) is Variable and type(quick.creator) is kind
    assert quick.data.tobytes() == slow.data.tobytes() and quick._generation == slow._generation == 2
    found, expected = slots(quick.creator), slots(slow.creator)
    assert found.keys() == expected.keys()
    for key in ("inputs", "generation", *kind.kept):
        # an index becomes an Index where it is looked at the other way
        assert key == "index" or found[key] is expected[key] or found[key] == expected[key]
    assert (found.get("output") is quick.data) == (expected.get("output") is slow.data)


def test_views_step_aside_while_functions_are_traced(monkeypatch):
    x = Variable(np.ones(3))
    assert GetItem.apply(x, 0).creator.index == 0
    seen = []
    monkeypatch.setattr(sharing, "note_view", lambda y, x: seen.append((y, x)))
    monkeypatch.setattr(sharing, "stand_ins", 1)
    y = GetItem.apply(x, 0)
    assert seen == [(y, x)] and type(y.creator.index).__name__ == "Index"
    assert GetItem.apply(x.data, 0).base is x.data and len(seen) == 1


def test_views_leave_to_be_noted_what_shares_memory(monkeypatch):
    sharing.fresh.clear()
    monkeypatch.setattr(sharing, "active", False)
    x = Variable(np.ones(3))
    GetItem.apply(x, 0)
    assert not sharing.fresh
    monkeypatch.setattr(sharing, "active", True)
    views = [GetItem.apply(x, 0) for _ in range(3)]
    assert [id(reference()) for reference in sharing.fresh] == [id(part) for y in views for part in (x, y)]
    del views[0]
    assert [*map(id, sharing.others(x, x.data))] == [*map(id, views)] and not sharing.fresh
    for _ in range(2 * sharing.MANY):
        y = GetItem.apply(x, slice(1))
        assert type(y.creator.index) is slice or len(sharing.fresh) == 0  # which was the other way
    assert 0 < len(sharing.fresh) <= sharing.MANY
    assert [*map(id, sharing.others(x, x.data))] == [*map(id, [*views, y])]


def test_views_of_what_was_cut_off_and_written_to_belong_to_its_family(monkeypatch):
    monkeypatch.setattr(sharing, "active", True)
    w, x = Variable(np.ones(3)), Variable(np.ones(3)) * 1
    cut = x.detach()
    part = GetItem.apply(cut, slice(1, 2))
    assert part._generation == cut._generation < -1 and type(cut.creator) is type(part.creator) is type(None)
    cut[0] = w[0]
    assert history.family_of(GetItem.apply(cut, slice(1, 2))) == history.family_of(cut) == part._generation
    x[0] = w[0]
    assert x._story is not None and type(GetItem.apply(x, slice(1, 2)).creator.index) is slice


class Marked(GetItem):
    """Sets a slot that is no argument."""

    __slots__ = ("mark",)

    def __init__(self, index):
        super().__init__(index)
        self.mark = "set"


def test_slots_that_are_no_arguments_are_set_as_well():
    y = Marked.apply(Variable(np.ones(3)), 0)
    assert type(Marked.apply).__name__ == "builtin_function_or_method"
    assert (y.creator.mark, y.creator.index) == ("set", 0)


def test_nothing_is_recorded_that_requires_nothing():
    x = Variable(np.ones((3, 4)))
    constant = Variable(x.data, requires_grad=False)
    assert GetItem.apply(constant, 0).creator is None and GetItem.apply(constant, 0)._generation == -1
    with nbgrad.no_grad():
        y = GetItem.apply(x, 0)
    assert y.creator is None and not y.requires_grad
    bare = GetItem.apply(x.data, 0)
    assert type(bare) is np.ndarray and bare.base is x.data


BOXES = recorder.Boxes(Variable, "_array", "creator", "_generation", recording_mode)


class Own(Variable):
    pass


def test_others_are_handed_on():
    seen = []
    work = views.getitem()
    nodes = recorder.Nodes(GetItem, GetItem, "inputs", "generation", ("index",))
    call = recorder.recorded(work, BOXES, nodes, 1, lambda *given: seen.append(given))
    x = Variable(np.ones(3))
    large = Variable(np.ones(5000))
    unset = Variable.__new__(Variable)
    odd = [(), (x,), (x, 0, 0), (Own(np.ones(3)), 0), (1.0, 0), (large, 0), (unset, 0), (x, "key"), (x, 7), (x.data, 7)]
    for arguments in odd:
        assert call(*arguments) is None
    assert seen == odd


def test_classes_without_such_slots_are_left_to_the_other_way():
    class Plain(Operation):  # has a dictionary
        pass

    def otherwise():
        pass

    nodes = recorder.Nodes(Plain, Plain, "inputs", "generation", ("shape",))
    Plain.shape = property(lambda self: ())
    assert recorder.recorded(views.reshape(), BOXES, nodes, 1, otherwise) is otherwise
    assert recorder.slot_of(Variable, "_array") is not None
    assert recorder.slot_of(Variable, "shape") is None


@pytest.mark.parametrize("name", CALLS)
def test_no_reference_is_lost_or_left(name):
    kind, count, arguments = CALLS[name]
    inputs = [Variable(np.arange(12.0).reshape(3, 4)) for _ in range(count)]
    wrong = (*arguments[:-1], object())
    held = [*inputs, *(x.data for x in inputs), *arguments, None, kind, Variable, wrong[-1], np.dtype(float)]

    def run(times):
        for _ in range(times):
            kind.apply(*inputs, *arguments)
            kind.apply(*(x.data for x in inputs), *arguments)
            try:
                kind.apply(*inputs, *wrong)
            except Exception:
                pass

    run(20)
    gc.collect()
    before = [sys.getrefcount(value) for value in held]
    run(500)
    gc.collect()
    after = [sys.getrefcount(value) for value in held]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 50


def test_the_graph_is_seen_by_the_garbage_collector():
    x = Variable(np.ones(3))
    y = x[1:]
    y.creator.inputs = (*y.creator.inputs, y)
    alive = weakref.ref(y.creator)
    del y
    gc.collect()
    assert alive() is None


def test_numbers_are_operands_once_their_boxes_are_known():
    x, n = Variable(np.array([1.0, 2.0])), OPERATIONS["mul"]
    n.function(x, 3.5)
    seen = []
    kinds = n.namespace["Node"], n.namespace["EvenNode"]
    nodes = recorder.Nodes(*kinds, "inputs", "generation")
    boxes = {("d", 3.5): Variable(np.array(3.5), requires_grad=False)}
    call = recorder.recorded(caller.elementwise(n.kernel), BOXES, nodes, 2, lambda *given: seen.append(given), boxes)
    counts = [sys.getrefcount(value) for value in (*boxes, *boxes.values(), x)]
    for first, second in ((x, 3.5), (3.5, x)):
        y = call(first, second)
        assert y.tolist() == [3.5, 7] and type(y.creator) is kinds[0]
        assert [box is x or box is boxes["d", 3.5] for box in y.creator.inputs] == [True, True]
    odd = [(x, 2.0), (x, 0), (x, 0.0), (x, -0.0), (3.5, 3.5), (x, True), (x, np.float64(3.5)), (x, 10**400)]
    odd += [(Variable(np.float32([1])), 3.5), (Variable(np.array([1]), requires_grad=False), 3.5), (x.data, 3.5)]
    assert [call(*arguments) for arguments in odd] == [None] * len(odd) and seen == odd
    del y, odd, first, second
    seen.clear()
    assert [sys.getrefcount(value) for value in (*boxes, *boxes.values(), x)] == counts
    boxes |= {("d", "0.0"): Variable(np.array(0.0)), ("d", "-0.0"): Variable(np.array(-0.0))}
    for zero, sign in ((0, False), (0.0, False), (-0.0, True)):
        assert np.signbit(call(x, zero).data).tolist() == [sign] * 2
