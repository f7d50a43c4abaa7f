"""What a walk frees, walking again, and graphs of a million operations."""

import gc
import weakref

import numpy as np
import pytest
from graphs import Note, scalar, vector
from workers import run_python

import nbgrad
from nbgrad.autograd import grad

# ---- freeing, and walking again --------------------------------------------------------------------------------------


def test_a_second_walk_names_the_remedy():
    x = vector(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    for again in (
        lambda: y.backward(),
        lambda: y.backward(create_graph=True),
        lambda: grad(y, x),
        lambda: grad(y, x, allow_unused=True),
        lambda: grad(y, x, materialize_grads=True),
        lambda: y.backward(inputs=[x]),
        lambda: (y * 2).backward(),
        lambda: grad(y * 2, x),
    ):
        with pytest.raises(RuntimeError, match=r"freed by an earlier backward.*retain_graph=True"):
            again()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


def test_grad_frees_the_graph_too():
    x = vector(1.0, 2.0)
    y = (x * x).sum()
    grad(y, x)
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()
    assert x.grad is None


def test_retain_graph_walks_as_often_as_wanted():
    x = vector(1.0, 2.0)
    y = (nbgrad.exp(x) * x).sum()
    for k in range(1, 4):
        y.backward(retain_graph=True)
        np.testing.assert_allclose(x.grad.data, k * np.exp(x.data) * (1 + x.data))
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_create_graph_retains_unless_told_otherwise():
    x = scalar(2.0)
    y = x**3
    grad(y, x, create_graph=True)
    (g,) = grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()
    assert g.data == 12


def test_a_shared_part_that_was_freed_is_noticed_and_nothing_is_added():
    x, w = scalar(2.0), scalar(3.0)
    shared = x * x
    first, second = shared * 2, shared * w + w
    first.backward()
    assert x.grad.data == 8
    with pytest.raises(RuntimeError, match="freed"):
        second.backward()
    assert x.grad.data == 8 and w.grad is None


def test_the_graph_above_a_freed_part_can_be_walked_where_it_is_whole():
    x, w = scalar(2.0), scalar(3.0)
    shared = x * x
    shared.backward()
    (gw,) = grad(shared * w, w)
    assert gw.data == 4


def test_computing_anew_is_the_other_remedy():
    x = scalar(2.0)
    for k in range(1, 3):
        (x * x).backward()
        assert x.grad.data == 4 * k


def test_memory_is_freed_while_walking():
    x = vector(1.0, 2.0)
    alive_at_the_start = []
    references = []

    def look(gradient):
        alive_at_the_start.append([reference() is not None for reference in references])

    first = x * 2
    first.register_hook(look)
    y = first
    for _ in range(5):
        y = nbgrad.exp(y * 0.1)
        references.append(weakref.ref(y))
    y = y.sum()
    gc.disable()
    try:
        assert all(reference() is not None for reference in references)
        y.backward()
        assert alive_at_the_start == [[False] * 5]
        assert y.creator is not None and y.creator.inputs is None
    finally:
        gc.enable()


def test_retain_graph_keeps_the_memory():
    x = vector(1.0, 2.0)
    y = x * 2
    reference = weakref.ref(y)
    z = (y * y).sum()
    del y
    z.backward(retain_graph=True)
    assert reference() is not None
    z.backward()
    assert reference() is None


BUILDERS = [
    lambda x: (x * x).sum(),
    lambda x: nbgrad.exp(x.reshape(2, 1) @ x.reshape(1, 2)).mean(),
    lambda x: nbgrad.cat([x, x[:1]]).max(),
    lambda x: nbgrad.logsumexp(x, 0) + x.prod() + nbgrad.softmax(x, 0)[0],
    lambda x: Note("n", [])(x).sum(),
]


@pytest.mark.parametrize("build_graph", BUILDERS)
@pytest.mark.parametrize("walk", ["none", "backward", "grad", "retained", "error"])
def test_graphs_have_no_reference_cycles(build_graph, walk):
    build_graph(vector(1.0, 2.0)).backward()  # compiling leaves garbage behind that holds its arguments
    gc.collect()
    gc.disable()
    try:
        x = vector(1.0, 2.0)
        inner = x * 3.0
        y = build_graph(inner)
        references = [weakref.ref(v) for v in (x, inner, y, inner.creator, y.creator)]
        if walk == "backward":
            y.backward()
        elif walk == "retained":
            y.backward(retain_graph=True)
        elif walk == "grad":
            grad(y, x)
        elif walk == "error":
            with pytest.raises(ValueError, match="gradient has shape"):
                y.backward(np.ones(7))
        del x, inner, y
        assert all(reference() is None for reference in references)
    finally:
        gc.enable()


def test_a_hook_does_not_keep_the_graph():
    gc.collect()
    gc.disable()
    try:
        x = vector(1.0, 2.0)
        y = x * 2
        y.register_hook(lambda g: None)
        y.retain_grad()
        x.register_hook(lambda g: None)
        references = [weakref.ref(x), weakref.ref(y), weakref.ref(y.creator)]
        del x, y
        assert all(reference() is None for reference in references)
    finally:
        gc.enable()


# ---- a million operations --------------------------------------------------------------------------------------------

CHAIN = """
import numpy as np, nbgrad
n = 1_000_000
x = nbgrad.Variable(np.array(1.0))
y = x
for _ in range(n):
    y = y * 1.000001
"""


@pytest.mark.slow
def test_a_million_operations_forward_and_destroyed():
    printed = run_python(CHAIN + "print(y.generation)\ndel y\nprint('gone')")
    assert printed == "1000000\ngone\n"


@pytest.mark.slow
def test_a_million_operations_backward():
    printed = run_python(CHAIN + "y.backward()\nprint(np.isclose(x.grad.data, 1.000001**n), y.creator.inputs)")
    assert printed == "True None\n"


@pytest.mark.slow
def test_a_million_operations_backward_retained_and_destroyed():
    printed = run_python(
        CHAIN + "y.backward(retain_graph=True)\nprint(np.isclose(x.grad.data, 1.000001**n))\ndel y\nprint('gone')"
    )
    assert printed == "True\ngone\n"


def test_long_chains_recorded_to_targets_and_of_users_functions():
    printed = run_python("""
import numpy as np, nbgrad
class Keep(nbgrad.Function):
    def forward(self, x):
        return x + 0.0
    def backward(self, gy):
        return gy
x = nbgrad.Variable(np.array(1.0))
def chain(step, n):
    y = x
    for _ in range(n):
        y = step(y)
    return y
y = chain(lambda y: y * 1.00001, 40_000)
(g,) = nbgrad.autograd.grad(y, x, create_graph=True)
print(np.isclose(g.data, 1.00001**40_000))
(g2,) = nbgrad.autograd.grad(g * x, x)
print(np.isclose(g2.data, 1.00001**40_000))
del y, g, g2
y = chain(lambda y: Keep()(y), 40_000)
y.backward(inputs=[x])
print(x.grad.data)
y = chain(lambda y: Keep()(y), 40_000)
del y
y = chain(lambda y: nbgrad.tanh(y + x).reshape(1)[0], 20_000)
y.backward()
del y
y = chain(lambda y: y.sum(), 40_000)
del y
print('gone')
""")
    assert printed == "True\nTrue\n1.0\ngone\n"


def test_operations_take_at_most_a_kilobyte_each():
    printed = run_python("""
import tracemalloc
import numpy as np, nbgrad
x = nbgrad.Variable(np.array(1.0))
(x * 1.000001).backward()
x.cleargrad()
n = 50_000
tracemalloc.start()
y = x
for _ in range(n):
    y = y * 1.000001
y.backward()
print(tracemalloc.get_traced_memory()[1] / n)
""")
    assert 100 < float(printed) <= 1024
