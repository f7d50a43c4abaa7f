"""Gradients as they are written: added up, shared with nothing, and all of them or none."""

import signal

import numpy as np
import pytest
from graphs import scalar, vector
from workers import run_python

import nbgrad
from nbgrad import Variable
from nbgrad.autograd import grad

# ---- accumulation ---------------------------------------------------------------------------------------------------


def test_gradients_accumulate_until_cleared():
    x = vector(1.0, 2.0)
    for k in range(1, 4):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.data, 2 * k * x.data)
    x.grad.zero_()
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3, 3])
    x.cleargrad()
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, 2 * x.data)


def test_gradients_record_nothing_without_create_graph():
    x = vector(1.0, 2.0)
    (x**3).sum().backward()
    assert not x.grad.requires_grad and x.grad.creator is None and x.grad.grad is None


def test_grad_may_be_assigned():
    x = vector(1.0, 2.0)
    start = np.array([10.0, 20.0])
    x.grad = Variable(start)
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [12, 22])


def test_a_read_only_gradient_is_replaced():
    x = vector(1.0, 2.0)
    start = np.broadcast_to(np.array(1.0), (2,))
    x.grad = Variable(start, requires_grad=False)
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3, 3])
    np.testing.assert_array_equal(start, [1, 1])


def test_a_gradient_used_as_a_constant_keeps_the_value_it_was_used_with():
    x, w = scalar(2.0), scalar(1.0)
    (x * x).backward()
    z = w * x.grad
    assert z.data == 4
    (x * x).backward()
    assert x.grad.data == 8
    try:
        z.backward()
    except RuntimeError as error:
        assert "in place" in str(error)
    else:
        assert w.grad.data == 4, "the gradient of w * 4 by w"


def test_accumulating_recorded_gradients_under_no_grad():
    x = scalar(3.0)
    y = x**3
    with nbgrad.no_grad():
        y.backward(create_graph=True)
        y.backward(create_graph=True)
    assert x.grad.data == 54 and x.grad.requires_grad
    (second,) = grad(x.grad, x)
    assert second.data == 2 * 6 * 3


# ---- no two gradients share memory ----------------------------------------------------------------------------------


def spoil(*variables):
    for v in variables:
        v.data[...] = -99.0


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        lambda a, b: (a + b).clone(),
        lambda a, b: (a + b).reshape(2, 1).reshape(2),
        lambda a, b: (a.reshape(2, 1) + b.reshape(2, 1)).t()[0],
        lambda a, b: nbgrad.cat([a, b])[0:2] + nbgrad.cat([a, b])[2:4],
    ],
)
def test_gradients_share_nothing_with_each_other_or_the_cotangent(function, create_graph):
    a, b = vector(1.0, 2.0), vector(3.0, 4.0)
    start = np.array([1.0, 2.0])
    gradient = Variable(start, requires_grad=False)
    function(a, b).backward(gradient, create_graph=create_graph)
    assert a.grad is not b.grad and a.grad is not gradient and b.grad is not gradient
    spoil(a.grad)
    np.testing.assert_array_equal(b.grad.data, [1, 2])
    np.testing.assert_array_equal(start, [1, 2])
    spoil(b.grad)
    np.testing.assert_array_equal(start, [1, 2])
    np.testing.assert_array_equal(a.data, [1, 2])
    np.testing.assert_array_equal(b.data, [3, 4])


def test_the_cotangent_is_not_accumulated_into():
    x = vector(1.0, 2.0)
    start = np.array([1.0, 2.0])
    for _ in range(3):
        (x + 0.0).backward(start)
        x.backward(start)
    np.testing.assert_array_equal(start, [1, 2])
    np.testing.assert_array_equal(x.grad.data, 6 * start)
    start[...] = 0
    np.testing.assert_array_equal(x.grad.data, [6, 12])


def test_a_view_of_the_users_array_as_the_cotangent():
    whole = np.arange(6.0)
    x = vector(1.0, 2.0, 3.0)
    x.backward(whole[::2])
    spoil(x.grad)
    np.testing.assert_array_equal(whole, np.arange(6.0))
    x.cleargrad()
    x.backward(np.broadcast_to(np.array(2.0), (3,)))
    x.grad.zero_()


def test_gradients_of_multiplication_by_one_share_nothing_with_data():
    a, b = vector(1.0, 1.0), vector(1.0, 1.0)
    (a * b).sum().backward()
    spoil(a.grad)
    np.testing.assert_array_equal(b.data, [1, 1])
    np.testing.assert_array_equal(b.grad.data, [1, 1])


def test_gradients_of_sums_may_be_written_to():
    x = vector(1.0, 2.0)
    x.sum().backward()
    x.grad.zero_()
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [1, 1])


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_computed_variables_share_nothing(create_graph):
    x = vector(1.0, 2.0)
    a, b = x * 2, x * 3
    start = np.ones(2)
    c = a + b
    c.backward(start, inputs=[a, b, c], create_graph=create_graph)
    spoil(a.grad)
    np.testing.assert_array_equal(b.grad.data, [1, 1])
    np.testing.assert_array_equal(c.grad.data, [1, 1])
    spoil(b.grad, c.grad)
    np.testing.assert_array_equal(start, [1, 1])


def test_gradients_of_computed_variables_may_be_written_to():
    x = vector(1.0, 2.0)
    y = x * 2
    y.sum().backward(inputs=[y])
    y.grad.zero_()
    np.testing.assert_array_equal(y.grad.data, [0, 0])


def test_the_gradient_of_the_output_itself_does_not_spoil_later_walks():
    # in a process of its own: were it to fail, every later test here would
    printed = run_python("""
import numpy, nbgrad
x = nbgrad.Variable(numpy.array(2.0))
y = x * x
y.retain_grad()
y.backward(inputs=[y], retain_graph=True)
y.grad.zero_()
y.backward()
(g,) = nbgrad.autograd.grad(x * x, x)
x.backward(inputs=[x])
x.grad.zero_()
(x * x).backward()
print(g.data, x.grad.data)
""")
    assert printed == "4.0 4.0\n"


def test_results_of_grad_share_nothing():
    a, b = vector(1.0, 2.0), vector(3.0, 4.0)
    start = np.ones(2)
    ga, gb, again = grad(a + b, [a, b, a], start)
    spoil(ga)
    np.testing.assert_array_equal(gb.data, [1, 1])
    np.testing.assert_array_equal(again.data, [1, 1])
    spoil(gb)
    np.testing.assert_array_equal(start, [1, 1])


def test_a_gradient_kept_by_a_hook_is_not_changed_later():
    a, b = vector(1.0, 2.0), vector(3.0, 4.0)
    kept = []
    a.register_hook(lambda g: kept.append(g))
    c = a + b
    c.register_hook(lambda g: kept.append(g))
    for _ in range(2):
        c.backward(np.ones(2), retain_graph=True)
        spoil(a.grad, b.grad)
    for g in kept:
        np.testing.assert_array_equal(g.data, [1, 1])


# ---- gradients that were assigned -----------------------------------------------------------------------------------


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("assigned, kind, message", [
    (0, TypeError, "was set to int: it is None or a Variable"),
    (np.ones(2), TypeError, "was set to ndarray"),
    (nbgrad.ones(3), ValueError, r"float64, shape \(3,\)"),
    (nbgrad.ones(1), ValueError, r"float64, shape \(1,\)"),
    (nbgrad.ones(2, dtype=np.float32), ValueError, "float32, shape"),
], ids=str)  # fmt: skip
def test_what_cannot_be_a_gradient(assigned, kind, message, create_graph):
    x, w = vector(1.0, 2.0), vector(3.0, 4.0)
    y = (x * w).sum()
    x.grad = assigned
    with pytest.raises(kind, match=message):
        y.backward(retain_graph=True, create_graph=create_graph)
    assert x.grad is assigned and w.grad is None
    x.grad = None
    y.backward()
    np.testing.assert_array_equal(x.grad.data, w.data)


# ---- interrupts -----------------------------------------------------------------------------------------------------

INTERRUPTED = """
import signal, threading, time
import numpy as np, nbgrad
from nbgrad import accumulate

def interrupt(*_):
    if armed:
        raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
armed = False
done = threading.Event()
threading.Thread(target=done.wait, daemon=True).start()  # so that locks are taken
leaves = [nbgrad.Variable(np.array([1.0, float(i)])) for i in range(12)]

def graph():
    y = sum([x.sum() for x in leaves[1:]], leaves[0].sum())
    for number, x in enumerate(leaves):
        x.grad = nbgrad.ones(2, dtype=np.float64) if number % 2 else None
    return y, [x.grad for x in leaves]

y, _ = graph()
start = time.perf_counter()
y.backward()
duration = time.perf_counter() - start
random = np.random.default_rng(0)
counts = {"interrupted": 0, "written": 0, "between": 0}
for _ in range(4000):
    y, before = graph()
    delay = random.uniform(0.2, 1.5) * duration
    finished = False
    try:
        armed = True
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, delay)
        y.backward()
        finished = True
        armed = False
    except KeyboardInterrupt:
        armed = False
        counts["interrupted"] += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    duration += 0.05 * (time.perf_counter() - start - duration) if finished else 0
    changed = [x.grad is not g for x, g in zip(leaves, before)]
    assert len(set(changed)) == 1, changed
    assert changed[0] or not finished
    for x, g in zip(leaves, before):
        assert x.grad is g or (x.grad.data == (1 if g is None else 2)).all()
    counts["written" if changed[0] else "between"] += 1
    assert not accumulate._writing._is_owned()
assert min(counts.values()) > 400, counts
print("right")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_an_interrupt_leaves_all_gradients_or_none_and_no_lock():
    assert run_python(INTERRUPTED) == "right\n"
