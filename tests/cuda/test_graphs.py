"""Compiled functions as CUDA graphs: the same results as launches, on whatever memory a call brings."""

import gc
import threading

import cupy
import numpy as np
import pytest
from both import on_device

import nbgrad
from nbgrad.kernels.cuda import blas, graphs, workspace
from nbgrad.nn import functional as F


@pytest.fixture
def captured(monkeypatch):
    """Count captures, whether they succeed, and launches of graphs."""
    counts = {"captures": 0, "refused": 0, "launches": 0}
    real, launch = graphs.capture, graphs.Graph.launch

    def capture(*arguments):
        graph = real(*arguments)
        counts["captures" if graph is not None else "refused"] += 1
        return graph

    def counted(graph):
        counts["launches"] += 1
        return launch(graph)

    monkeypatch.setattr(workspace, "capture", capture)
    monkeypatch.setattr(graphs.Graph, "launch", counted)
    return counts


def network(parameters, x, y):
    w, b, v = parameters
    return F.cross_entropy(nbgrad.relu(x @ w + b) @ v, y)


def setting(samples=6):
    random = np.random.default_rng(0)
    parameters = [random.normal(size=shape).astype(np.float32) for shape in ((5, 7), (7,), (7, 3))]
    return parameters, random.normal(size=(samples, 5)).astype(np.float32), random.integers(0, 3, samples)


def test_a_graph_computes_what_launches_compute(captured):
    parameters, x, y = setting()
    expected = nbgrad.value_and_grad(network)(parameters, x, y)
    step = nbgrad.jit(nbgrad.value_and_grad(network))
    there = [on_device(p) for p in parameters], on_device(x), on_device(y)
    for _ in range(6):
        value, slopes = step(*there)
        np.testing.assert_allclose(cupy.asnumpy(value), expected[0], rtol=1e-5)
        for slope, like in zip(slopes, expected[1], strict=True):
            np.testing.assert_allclose(cupy.asnumpy(slope), like, rtol=1e-4, atol=1e-6)
    assert captured["launches"] and captured["captures"] and not captured["refused"]


def test_results_are_new_at_each_call(captured):
    f = nbgrad.jit(lambda x: (nbgrad.tanh(x) * 2, nbgrad.sum(x, 0), (x * 3).T))
    x = cupy.ones((3, 4))
    kept = []
    for n in range(8):
        x[...] = cupy.full((), float(n))
        kept.append(f(x))
        if n % 2:
            del kept[-1]  # whose memory comes again
    for results, n in zip(kept, range(0, 8, 2), strict=True):
        for result, expected in zip(results, (np.tanh(n) * 2, 3 * n, 3 * n), strict=True):
            np.testing.assert_allclose(cupy.asnumpy(result), expected)
    assert captured["launches"]


def test_what_lies_at_the_same_place_may_change(captured):
    f = nbgrad.jit(nbgrad.value_and_grad(lambda x: nbgrad.sum(x * x)))
    x = cupy.zeros(5)
    for n in range(6):
        x[...] = cupy.full((), float(n))
        value, slope = f(x)
        assert float(value) == 5 * n * n
        np.testing.assert_array_equal(cupy.asnumpy(slope), 2.0 * n)
    assert captured["launches"] >= 3


def test_small_arguments_that_are_always_elsewhere_are_copied(captured):
    f = nbgrad.jit(lambda w, x: w @ x + 1)
    w, kept = cupy.ones((2, 3)), []
    for n in range(20):
        x = cupy.full((3, 2), float(n))
        kept.append(x)
        y = f(w, x)
        np.testing.assert_array_equal(cupy.asnumpy(y), 3.0 * n + 1)
        np.testing.assert_array_equal(cupy.asnumpy(x), n)
    assert captured["launches"] >= 8


def test_small_results_that_somebody_keeps_are_copied(captured):
    parameters, x, y = setting()
    step = nbgrad.jit(nbgrad.value_and_grad(network))
    w, b, v = (on_device(p) for p in parameters)
    x, y, losses = on_device(x), on_device(y), []
    for _ in range(20):
        value, slopes = step([w, b, v], x, y)
        for parameter, slope in zip((w, b, v), slopes, strict=True):
            parameter[...] = parameter - slope * 0.1
        losses.append(value)
    expected = [float(value) for value in losses]
    host = [p.copy() for p in parameters]
    _, x, y = setting()
    for value in expected:
        found, slopes = nbgrad.value_and_grad(network)(host, x, y)
        assert value == pytest.approx(float(found), rel=1e-4)
        for parameter, slope in zip(host, slopes, strict=True):
            parameter[...] = parameter - slope * 0.1
    assert captured["launches"] >= 8


def test_addresses_that_never_come_again_end_it(captured, monkeypatch):
    monkeypatch.setattr(workspace, "_SMALL", 0)
    monkeypatch.setattr(workspace, "_MANY", 20)
    f = nbgrad.jit(lambda x: x + 1)
    kept = []
    for n in range(30):
        x = cupy.full(3, float(n))
        kept += [x, f(x)]
        np.testing.assert_array_equal(cupy.asnumpy(kept[-1]), n + 1)
    f(kept[0]), f(kept[0]), f(kept[0])
    assert captured == {"captures": 0, "refused": 0, "launches": 0}


def test_few_graphs_are_kept(captured, monkeypatch):
    monkeypatch.setattr(workspace, "_MOST", 2)
    monkeypatch.setattr(workspace, "_FEW", 1000)
    f = nbgrad.jit(lambda x: nbgrad.sum(x))
    arrays = [cupy.full(3, float(n)) for n in range(4)]
    for _ in range(3):
        for n, x in enumerate(arrays):
            for _ in range(3):
                assert float(f(x)) == 3 * n
    assert captured["captures"] >= 8


PRODUCTS = {
    "vectors": (lambda x, y: x @ y + 1, ((7,), (7,))),
    "stacks of stacks": (lambda x, y: nbgrad.softmax(x @ y, -1) @ x, ((2, 3, 4, 5), (2, 3, 5, 4))),
    "a stack and a matrix": (lambda x, y: x @ y, ((2, 3, 4, 5), (5, 2))),
    "a matrix and a vector": (lambda x, y: x @ y, ((4, 5), (5,))),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_captured(captured, name):
    function, shapes = PRODUCTS[name]
    arrays = [np.random.default_rng(0).normal(size=shape) for shape in shapes]
    both = nbgrad.value_and_grad(lambda x, y: nbgrad.sum(function(x, y) ** 2), (0, 1))
    value, slopes = both(*arrays)
    compiled, there = nbgrad.jit(both), [on_device(array) for array in arrays]
    for _ in range(14):
        found, gradients = compiled(*there)
        np.testing.assert_allclose(cupy.asnumpy(found), value, rtol=1e-12)
        for gradient, slope in zip(gradients, slopes, strict=True):
            np.testing.assert_allclose(cupy.asnumpy(gradient), slope, rtol=1e-12)
    assert captured["launches"] and not captured["refused"]


def test_memory_of_graphs_is_given_back_when_they_are_gone(captured):
    if not hasattr(cupy.cuda.MemoryPool, "freed"):
        pytest.skip("only the stand-in tells")
    f, x = nbgrad.jit(lambda x: (x[np.array([0, 0, 1])], x + 1)), cupy.ones((2, 3))
    for _ in range(4):
        f(x)
    assert captured["captures"]
    gc.collect()  # what other tests have left
    before = len(cupy.cuda.MemoryPool.freed)
    del f
    gc.collect()
    assert len(cupy.cuda.MemoryPool.freed) == before + 1


def test_a_refusal_that_passes_is_no_end(captured, monkeypatch):
    f, x = nbgrad.jit(lambda x: nbgrad.exp(x) @ x), cupy.ones((3, 3))
    f(x)
    with monkeypatch.context() as patch:
        patch.setattr(graphs, "_scratch", {})
        patch.setattr(blas, "WORKSPACE", 1 << 60)  # there is no memory, for once
        np.testing.assert_allclose(cupy.asnumpy(f(x)), 3 * np.e)
    assert captured == {"captures": 0, "refused": 1, "launches": 0}
    for _ in range(3):
        np.testing.assert_allclose(cupy.asnumpy(f(x)), 3 * np.e)
    assert captured["launches"]


def test_collections_wait_for_the_end_of_a_capture(captured, monkeypatch):
    enabled = []
    monkeypatch.setattr(blas, "_operand", lambda *a, real=blas._operand: enabled.append(gc.isenabled()) or real(*a))
    f, x = nbgrad.jit(lambda x: x @ x), cupy.ones((3, 3))
    for _ in range(3):
        f(x)
    assert gc.isenabled() and enabled == [True, True, False, False]


def test_what_cannot_be_captured_is_launched(captured):
    def looked_at(x):
        index = np.argmax(x, -1)
        return x[np.arange(3), index]  # positions are checked on the way

    f, array = nbgrad.jit(looked_at), np.random.default_rng(0).normal(size=(3, 4))
    x = on_device(array)
    for _ in range(8):
        np.testing.assert_array_equal(cupy.asnumpy(f(x)), array.max(-1))
    assert captured["refused"] == 3 and not captured["launches"]


def rows_of(kind):
    positions = np.array([[0, -1, 2], [1, 1, -3]])
    outside = on_device(positions)
    return {
        "an argument": (lambda x, i: x[i] * 2, positions),
        "computed": (lambda x, i: x[i - 1] * 2, positions + 1),
        "on the GPU outside": (lambda x, i: x[outside] * 2, positions),
        "on the CPU outside": (lambda x, i: x[positions] * 2, positions),
    }[kind]


@pytest.mark.parametrize("kind", ["an argument", "computed", "on the GPU outside", "on the CPU outside"])
def test_rows_are_picked_without_waiting(captured, kind):
    function, given = rows_of(kind)
    array = np.random.default_rng(0).normal(size=(3, 5))
    f, x, i = nbgrad.jit(function), on_device(array), on_device(given)
    expected = 2 * array[np.array([[0, -1, 2], [1, 1, -3]])]
    for _ in range(4):
        np.testing.assert_array_equal(cupy.asnumpy(f(x, i)), expected)
    assert bool(captured["launches"]) is (kind != "computed")  # what is computed is looked at on the way
    if "outside" not in kind:
        for wrong in (9, -9, 2**40):  # far from anything that is there
            i[1, 2] = wrong
            with pytest.raises(IndexError, match=r"indexing shape \(3, 5\): positions from -?\d+ to \d+ in 3 rows"):
                f(x, i)
        i[...] = on_device(given)
        np.testing.assert_array_equal(cupy.asnumpy(f(x, i)), expected)


@pytest.mark.parametrize("kind", ["an argument", "computed", "on the GPU outside", "on the CPU outside"])
def test_gradients_of_picked_rows_accumulate(captured, kind):
    function, given = rows_of(kind)
    array = np.random.default_rng(0).normal(size=(3, 5))
    f = nbgrad.jit(nbgrad.grad(lambda x, i: nbgrad.sum(function(x, i) ** 2)))
    picked = np.array([2, 2, 2])[:, None]  # how often each row is
    x, i = on_device(array), on_device(given)
    for _ in range(4):
        np.testing.assert_allclose(cupy.asnumpy(f(x, i)), 8 * array * picked, rtol=1e-14)
    assert bool(captured["launches"]) is (kind != "computed")


def test_what_is_called_gives_arrays_of_its_own(captured):
    f = nbgrad.jit(lambda x, g: (nbgrad.sum(x * 2, 0), x[np.array([0, 0, 1])], x + g))
    x, kept = cupy.ones((2, 3)), []
    for n in range(6):
        x[...] = cupy.full((), float(n))
        kept.append(f(x, x))
    for n, (total, picked, added) in enumerate(kept):
        np.testing.assert_array_equal(cupy.asnumpy(total), 4.0 * n)
        np.testing.assert_array_equal(cupy.asnumpy(picked), np.full((3, 3), n))
        np.testing.assert_array_equal(cupy.asnumpy(added), 2.0 * n)


def test_donated_arguments_are_written_over(captured):
    f = nbgrad.jit(lambda w, g: w - g, donate_argnums=(0,))
    w, g = cupy.full(4, 10.0), cupy.ones(4)
    for n in range(1, 30):
        moved = f(w, g)
        assert moved is w
        np.testing.assert_array_equal(cupy.asnumpy(w), 10.0 - n)
    assert captured["launches"] > 20


def test_classes_that_do_not_exist_are_refused_at_the_call(captured):
    parameters, x, y = setting()
    step = nbgrad.jit(nbgrad.value_and_grad(network))
    there = [on_device(p) for p in parameters], on_device(x), on_device(y)
    value = [float(step(*there)[0]) for _ in range(4)][-1]
    for wrong in (3, -1, 2**40):
        there[2][4:5] = wrong
        with pytest.raises(IndexError, match=r"nll_loss: classes from -?\d+ to \d+, log-probabilities for 3"):
            step(*there)
        there[2][...] = on_device(y)
        assert float(step(*there)[0]) == pytest.approx(value)
    assert captured["launches"] > 6


def test_classes_that_do_not_exist_lose_nothing_that_was_donated():
    def update(w, x, y):
        return w - nbgrad.grad(lambda w: F.cross_entropy(x @ w, y))(w)

    step = nbgrad.jit(update, donate_argnums=(0,))
    w, x = cupy.ones((5, 3)), cupy.ones((2, 5))
    for labels in ([0, 1], [0, 3]):
        before = cupy.asnumpy(w)
        try:
            step(w, x, on_device(np.array(labels)))
        except IndexError:
            np.testing.assert_array_equal(cupy.asnumpy(w), before)
        else:
            assert labels == [0, 1] and (cupy.asnumpy(w) != before).any()


def test_classes_that_are_computed_are_checked_too():
    f = nbgrad.jit(lambda x, y: F.cross_entropy(x, y * 2))
    x = cupy.zeros((2, 4))
    for _ in range(3):
        assert float(f(x, on_device(np.array([0, 1])))) == pytest.approx(np.log(4))
    with pytest.raises(IndexError, match="classes from 0 to 4"):
        f(x, on_device(np.array([0, 2])))


def test_threads_have_workspaces_of_their_own(captured):
    f = nbgrad.jit(nbgrad.value_and_grad(lambda x: nbgrad.sum(nbgrad.softmax(x, -1) ** 2)))
    arrays = [np.random.default_rng(n).normal(size=(4, 9)) for n in range(4)]
    expected = [nbgrad.value_and_grad(lambda x: nbgrad.sum(nbgrad.softmax(x, -1) ** 2))(a) for a in arrays]
    faults = []

    def work(n):
        x = on_device(arrays[n])
        for _ in range(10):
            value, slope = f(x)
            if not np.isclose(float(value), expected[n][0]) or not np.allclose(cupy.asnumpy(slope), expected[n][1]):
                faults.append(n)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults


def test_each_stream_has_graphs_of_its_own(captured):
    f, x = nbgrad.jit(lambda x: x * 2), cupy.ones(3)
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    for _ in range(4):
        for stream in streams:
            with stream:
                np.testing.assert_array_equal(cupy.asnumpy(f(x)), 2)
    assert captured["captures"] >= 2


def test_explaining_runs_no_graph(captured):
    f, x = nbgrad.jit(lambda x: nbgrad.sum(x @ x)), cupy.ones((4, 4))
    for _ in range(4):
        f(x)
    launches = captured["launches"]
    assert "2 steps" in f.explain(x)
    assert captured["launches"] == launches


def test_gradients_of_compiled_functions_in_the_graph_are_captured_too(captured):
    f = nbgrad.jit(lambda x: nbgrad.sum(nbgrad.exp(x)))
    x = nbgrad.zeros(3, device="cuda", requires_grad=True)
    for _ in range(6):
        x.grad = None
        f(x).backward()
        np.testing.assert_array_equal(x.grad.cpu().numpy(), 1)
    assert captured["launches"]
