"""Eight threads on the same leaves, graphs and compiled functions; forks while other threads do all there is to do."""

import os
import sys

import numpy as np
import pytest
from workers import race, raced, run_python

import nbgrad

POINTS = np.linspace(-1, 1, 300)
T = np.tanh(POINTS)
SLOPE = T + POINTS * (1 - T * T)
COUNT = 8


@pytest.fixture(autouse=True)
def switches():
    """Threads take turns often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


def eager(x):
    return (nbgrad.tanh(x) * x).sum()


compiled = nbgrad.jit(eager)


@pytest.mark.parametrize("function", [eager, compiled])
def test_shared_leaves(function):
    x = nbgrad.Variable(POINTS.copy())

    def work(_):
        for _ in range(10):
            function(x).backward()

    race(work, COUNT)
    assert_close(x.grad.data, 10 * COUNT * SLOPE)


@pytest.mark.parametrize("function", [eager, compiled])
@pytest.mark.parametrize("retain", [True, False])
def test_shared_graphs(function, retain):
    """One that is freed is walked by those that come in time; the others are told."""
    for _ in range(5):
        x = nbgrad.Variable(POINTS.copy())
        y = function(x)
        walked = []

        def work(_, y=y, walked=walked):
            y.backward(retain_graph=retain)
            walked.append(1)

        _, raised = raced(work, COUNT)
        assert len(raised) + len(walked) == COUNT
        for error in raised:
            assert not retain and isinstance(error, RuntimeError) and "retain_graph" in str(error), repr(error)
        if walked:
            assert_close(x.grad.data, len(walked) * SLOPE)


@pytest.mark.parametrize("donated", [(), 0])
def test_shared_compiled_functions(donated):
    shared = nbgrad.jit(lambda x: nbgrad.tanh(x) * x, donate_argnums=donated)

    def work(number):
        for _ in range(20):
            x = POINTS * (number + 1)
            expected = np.tanh(x) * x
            assert_close(shared(x), expected)

    race(work, COUNT)


def test_shared_workspaces():
    def spread(x):
        shares = nbgrad.softmax(x.reshape(30, 10), -1)
        return (shares * shares).sum(0)

    shared = nbgrad.jit(spread)
    expected = [spread(POINTS * (number + 1)) for number in range(COUNT)]

    def work(number):
        for _ in range(20):
            assert_close(shared(POINTS * (number + 1)), expected[number])

    race(work, COUNT)


def test_first_calls():
    for _ in range(3):
        fresh = [nbgrad.elementwise(lambda x: x * x * 0.5 + x) for _ in range(3)]
        traced = nbgrad.jit(eager)

        def work(_, fresh=fresh, traced=traced):
            x = nbgrad.Variable(POINTS.copy())
            for function in fresh:
                y = function(x)
                assert_close(y.data, POINTS * POINTS * 0.5 + POINTS)
            y.sum().backward()
            assert_close(x.grad.data, POINTS + 1)
            x.grad = None
            traced(x).backward()
            assert_close(x.grad.data, SLOPE)

        race(work, COUNT)


FORKS = """
import faulthandler, os, random, sys, threading, time, warnings
import numpy as np, nbgrad
from nbgrad.kernels.cpu import codegen
warnings.simplefilter("ignore")  # Python warns of forks where there are threads, which is what is tried here
sys.path.insert(0, sys.argv[1])
import test_threads as shared
nbgrad.set_num_threads(3)
LONG = np.linspace(0.5, 1, 260_000)

def load():
    codegen._addresses.clear()
    nbgrad.elementwise(lambda x: x * x * 0.5 + x)(np.ones(3))

def make():
    factor = random.Random().random()
    nbgrad.elementwise(lambda x: x * factor)(np.ones(3))
    time.sleep(0.1)

def share():
    nbgrad.exp(LONG)

def walk(function):
    x = nbgrad.Variable(shared.POINTS.copy())
    function(x).backward()
    shared.assert_close(x.grad.data, shared.SLOPE)

def trace():
    walk(nbgrad.jit(shared.eager))

def all_of_it():
    share()
    walk(shared.eager)
    walk(shared.compiled)
    trace()
    load()

stop = threading.Event()
raised = []

def again(work):
    while not stop.is_set():
        try:
            work()
        except BaseException as error:
            raised.append(error)
            return

def fork():
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(100, exit=True)
        code = 1
        try:
            all_of_it()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if status:
        raised.append(f"a child ended with {status}")

all_of_it()
workers = [threading.Thread(target=again, args=(w,)) for w in (load, make, share, trace, lambda: walk(shared.eager))]
for worker in workers:
    worker.start()
for _ in range(int(sys.argv[2])):
    time.sleep(random.Random().random() * 0.02)  # the shared generator is watched while functions are traced
    forking = threading.Thread(target=fork)
    forking.start()
    forking.join()
stop.set()
for worker in workers:
    worker.join()
assert raised == [], raised
print("right")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("count", [3, pytest.param(150, marks=pytest.mark.slow)])
def test_a_child_of_any_moment_works(count):
    assert run_python(FORKS, os.path.dirname(__file__), str(count)) == "right\n"
