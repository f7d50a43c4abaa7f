"""No call from Python, however wrong its arrays, makes compiled code read or write outside of them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nbgrad
from nbgrad.kernels.cpu.failures import checked
from nbgrad.kernels.cpu.indexing import gather, scatter_add
from nbgrad.nn import classes, functional

POSIX = pytest.mark.skipif(os.name != "posix", reason="guards are made by mmap and mprotect")


def fuzz(*options):
    """Run wrong arrays through everything compiled, in memory with guards, in a process of its own."""
    program = [sys.executable, str(Path(__file__).parent / "fuzz_memory.py"), *options]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1:]
    assert (done.returncode, last) == (0, ["whole"]), f"round {last} of {' '.join(options)}: {done.stderr}"


@POSIX
def test_wrong_arrays_at_random():
    fuzz("--few", "--rounds", "150")


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_many_wrong_arrays_at_random(seed):
    fuzz("--seconds", "60", "--seed", seed)


@POSIX
def test_the_guards_are_there():
    """Without them the runs above would show nothing."""
    program = (
        "import sys, ctypes, numpy as np; sys.path.insert(0, sys.argv[1]); import guard_pages\n"
        "guard_pages.install()\n"
        "for x in [np.zeros(5) for _ in range(3)]:\n"
        "    place, end = x.ctypes.data, x.ctypes.data + x.nbytes\n"
        "    assert end % 4096 == 0 or place % 4096 == 0\n"
        "    print('so far', flush=True)\n"
        "    ctypes.c_int64.from_address(end if end % 4096 == 0 else place - 8).value\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(Path(__file__).parent)], capture_output=True, check=False)
    assert done.stdout.strip() == b"so far"
    assert done.returncode < 0


# Assignments to `_array` replace an array past whatever the setter of `data` looks at.

# ---- positions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [3, -1, 10**12, -(2**63)])
@pytest.mark.parametrize("width", [1, 4])
def test_loops_look_at_positions_themselves(position, width):
    table, rows = np.ones((3, width)), np.array([0, position, 2])
    with pytest.raises(IndexError, match="a position is outside of the array"):
        checked(gather(), table, rows)
    with pytest.raises(IndexError, match="a position is outside of the array"):
        checked(scatter_add(), rows, np.ones((3, width)), table)


def test_labels_that_another_thread_changes_after_they_were_looked_at(monkeypatch):
    labels = np.array([0, 1, 2])
    look = classes._checked

    def look_and_change(seen, count):
        wait = look(seen, count)
        labels[1] = 10**9
        return wait

    monkeypatch.setattr(classes, "_checked", look_and_change)
    x = nbgrad.Variable(np.arange(12.0).reshape(3, 4))
    loss = functional.nll_loss(x, labels, weight=np.ones(4))
    assert labels[1] == 10**9 and loss.item() == -(0 + 5 + 10) / 3  # of the labels as they were


@pytest.mark.parametrize("shape", [(2,), (13,), (0,), (3, 4)])
def test_a_table_that_was_replaced_before_the_gradient_came_back(shape):
    x = nbgrad.ones(3, 4, requires_grad=True)
    loss = functional.nll_loss(nbgrad.log_softmax(x, -1), np.array([3, 0, 1]), weight=np.ones(4))
    node = loss.creator
    while type(node).__name__ != "GetItem":
        node = next(y.creator for y in node.inputs if y.creator is not None)
    table = node.inputs[0]
    assert table.shape == (12,)
    table._array = np.ones(shape)
    with pytest.raises(ValueError, match="rows when its elements were picked"):
        loss.backward()
    assert x.grad is None


# ---- compiled functions ---------------------------------------------------------------------------------------------


@nbgrad.jit
def slope(x):
    return nbgrad.tanh(x) * x


@pytest.mark.parametrize("other", [np.ones(1), np.ones((5, 200)), np.ones(1000, "f"), np.ones(0)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_cotangent_unlike_the_traced_result_is_refused(other, create_graph):
    """Cotangents are made to fit the data of a result, which somebody may have replaced."""
    x = nbgrad.Variable(np.linspace(0, 1, 1000))
    y = slope(x)
    y._array = other
    with pytest.raises(ValueError, match=r"jit: the data of an argument|jit: the cotangent of a result"):
        (y * 2.0).sum().backward(create_graph=create_graph)
    assert x.grad is None
    slope(x).sum().backward()
    t = np.tanh(x.data)
    np.testing.assert_allclose(x.grad.data, t + x.data * (1 - t * t), rtol=1e-12)


def test_one_of_several_results_that_was_replaced():
    several = nbgrad.jit(lambda x: (nbgrad.tanh(x) * x, x.sum()))
    x = nbgrad.Variable(np.linspace(0, 1, 1000))
    y, total = several(x)
    y._array = np.ones(3)
    with pytest.raises(ValueError, match="jit: the cotangent of a result"):
        (y.sum() + total).backward()
    assert x.grad is None
    several(x)[1].backward()
    assert (x.grad.data == 1).all()


@pytest.mark.parametrize("scalar", [np.float64(0.5), np.float32(0.5)])
def test_a_scalar_in_the_place_of_data(scalar):
    """Arithmetic on 0-d arrays gives them: ``w.data = w.data - step``."""
    w = nbgrad.Variable(np.array(0.25))
    w._array = scalar
    for _ in range(3):
        np.testing.assert_allclose(slope(w).data, np.tanh(0.5) * 0.5, rtol=1e-6)


def test_an_array_from_outside_keeps_its_memory():
    outside = np.arange(1000.0)
    compiled = nbgrad.jit(lambda x: x + outside)
    x = np.ones(1000)
    for _ in range(2):  # the second call reads it where it was at the first
        assert (compiled(x) == outside + 1).all()
    with pytest.raises(ValueError, match="cannot resize"):
        outside.resize(10**6, refcheck=False)
    assert (compiled(x) == outside + 1).all()


def test_a_donated_array_whose_element_is_read_as_a_number_stays_as_it_is():
    scaled = nbgrad.jit(lambda x, number: x * 2.0 + number, donate_argnums=0)
    x = np.arange(400_000.0)
    expected = x * 2 + x[1]
    np.testing.assert_array_equal(scaled(x, x[1:2].reshape(())), expected)
    assert scaled(x, np.array(1.0)) is x  # nothing else lies there
