"""Several processes and threads at once: filling one cache, forking after kernels ran, first calls in a race."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import usually
from workers import race

import nbgrad
from nbgrad.kernels import cache
from nbgrad.kernels.cpu import codegen

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

PROGRAM = """
import numpy as np, nbgrad
x = nbgrad.tensor(np.linspace(-1, 1, 7), requires_grad=True)
y = nbgrad.tensor(np.linspace(0.5, 2, 7), requires_grad=True)
z = (nbgrad.tanh(x * y) / y + x.exp()).sum()
z.backward()
t = np.tanh(x.data * y.data)
assert np.allclose(x.grad.data, 1 - t * t + np.exp(x.data), rtol=1e-13)
assert np.allclose(y.grad.data, (1 - t * t) * x.data / y.data - t / y.data**2, rtol=1e-13)
print("right")
"""


def start(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def finish(process, seconds=120):
    """Wait for a process; one that hangs fails the test and does not stay."""
    try:
        out, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, error = process.communicate()
        pytest.fail(f"the process hangs; it printed: {error}")
    assert process.returncode == 0, error
    assert "Exception ignored" not in error
    return out


def test_processes_fill_an_empty_cache_together(tmp_path):
    processes = [start(PROGRAM, NBGRAD_CACHE_DIR=str(tmp_path / "cache")) for _ in range(2)]
    assert [finish(process) for process in processes] == ["right\n"] * 2
    files = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert not any(name.startswith(".") for name in files)
    assert len([name for name in files if name.endswith(".kernel")]) * 2 == len(files)


@pytest.mark.parametrize("trouble", usually(["unwritable", "garbage", "deleted"], "deleted"))
def test_a_troubled_cache_costs_time_and_nothing_else(tmp_path, trouble):
    place = tmp_path / "cache"
    before = ""
    if trouble == "unwritable":
        place.write_text("a file where the directory should be")
    elif trouble == "garbage":
        finish(start(PROGRAM, NBGRAD_CACHE_DIR=str(place)))
        for number, path in enumerate(sorted(place.glob("*.kernel"))):
            content = path.read_bytes()
            path.write_bytes([b"", content[:-7], content[: len(content) // 2], b"\x7fELF" * 100][number % 4])
    else:
        before = (
            "import os, shutil, numpy, nbgrad\n"
            "nbgrad.sqrt(numpy.ones(2))\nshutil.rmtree(os.environ['NBGRAD_CACHE_DIR'])\n"
        )
    assert finish(start(before + PROGRAM, NBGRAD_CACHE_DIR=str(place))) == "right\n"


FORKING = """
import os, signal, sys, warnings
import numpy as np, nbgrad
warnings.simplefilter("ignore")  # Python warns of forks where there are threads, which is what is tried here
nbgrad.set_num_threads(3)
LARGE = nbgrad.kernels.cpu.threads.SHARE_ABOVE + 100_003

def large(function, reference):
    x = np.linspace(0.5, 1, LARGE)
    for count in (3, 2, 5):
        nbgrad.set_num_threads(count)
        assert np.allclose(function(x), reference(x), rtol=1e-12)
    y = nbgrad.tensor(x, requires_grad=True)
    (function(y) * 2.0).sum().backward()
    assert y.grad.shape == x.shape

def in_child(work):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"the child ended with status {status}"
"""

FORK_AFTER_USE = """
large(nbgrad.exp, np.exp)                              # the pool has threads now, which a child has not

def child():
    large(nbgrad.exp, np.exp)                          # an old kernel
    large(nbgrad.log, np.log)                          # a new one, and its gradient
    fresh = nbgrad.elementwise(lambda x: x * x * 0.5 + x)
    large(fresh, lambda x: x * x * 0.5 + x)            # one that has to be compiled
    in_child(lambda: large(nbgrad.sin, np.sin))        # a grandchild

in_child(child)
large(nbgrad.exp, np.exp)                              # the parent goes on
large(nbgrad.log, np.log)
print("right")
"""


@FORKS
def test_a_fork_after_use(tmp_path):
    assert finish(start(FORKING + FORK_AFTER_USE, NBGRAD_CACHE_DIR=str(tmp_path))) == "right\n"


FORK_WHILE_COMPILING = """
import threading, time
from nbgrad.kernels.cpu import codegen
nbgrad.exp(np.ones(3))                                 # the compiler is loaded
compile_, compiling = codegen._compile, threading.Event()

def slowly(*arguments):
    compiling.set()
    return compile_(*arguments)

codegen._compile = slowly

def work():
    for number in range(8):
        nbgrad.elementwise(eval(f"lambda x: x * {number}.5 + {number}.0"))(np.ones(3))

worker = threading.Thread(target=work)
worker.start()
forks = 0
while worker.is_alive() and forks < 4:
    compiling.clear()
    if compiling.wait(1):
        time.sleep(0.02)                               # into the middle of it
        forks += 1
        in_child(lambda: large(nbgrad.elementwise(lambda x: x * 3.25), lambda x: x * 3.25))
worker.join()
assert forks
print("right")
"""


@FORKS
def test_a_fork_while_another_thread_compiles(tmp_path):
    code = FORKING.replace("signal.alarm(60)", "signal.alarm(20)") + FORK_WHILE_COMPILING
    assert finish(start(code, NBGRAD_CACHE_DIR=str(tmp_path))) == "right\n"


FORK_WITH_KERNELS_BEGUN = """
import threading
from nbgrad.kernels.cpu import codegen
nbgrad.exp(np.ones(3))
codegen._compiling[:] = codegen._compiling[:1]         # the second kernel waits for the first
compile_, go = codegen._compile, threading.Event()

def slowly(*arguments):
    go.wait(1.0)
    return compile_(*arguments)

codegen._compile = slowly
text = "def loop(args, dims, steps, data):\\n    float64_pointer(args[0])[0] = {}\\n"
for number in (1.25, 2.25):
    codegen.begin("begun", text.format(number))
in_child(lambda: codegen.address("begun", text.format(2.25)) and large(nbgrad.exp, np.exp))
assert codegen.address("begun", text.format(2.25))
print("right")
"""


@FORKS
def test_a_child_waits_for_no_kernel_that_was_begun(tmp_path):
    code = FORKING.replace("signal.alarm(60)", "signal.alarm(20)") + FORK_WITH_KERNELS_BEGUN
    assert finish(start(code, NBGRAD_CACHE_DIR=str(tmp_path))) == "right\n"


FORK_WHILE_SHARING = """
import threading
stop = threading.Event()
x = np.linspace(0.5, 1, LARGE)
nbgrad.exp(x)

def work():
    while not stop.is_set():
        nbgrad.exp(x)
        nbgrad.elementwise(lambda x: x + 1.0)          # makes ufuncs

workers = [threading.Thread(target=work) for _ in range(2)]
for worker in workers:
    worker.start()
for _ in range(3):
    in_child(lambda: large(nbgrad.exp, np.exp))
stop.set()
for worker in workers:
    worker.join()
print("right")
"""


@FORKS
def test_a_fork_while_other_threads_use_the_pool(tmp_path):
    assert finish(start(FORKING + FORK_WHILE_SHARING)) == "right\n"


FORK_WITH_LOCKS_HELD = """
import threading
from nbgrad.kernels import formula
from nbgrad.kernels.cpu import codegen, ufunc
from nbgrad.kernels.cpu import threads
nbgrad.exp(np.ones(3))
locks = [
    value
    for module in (codegen, formula, ufunc, threads)
    for value in vars(module).values()
    if isinstance(value, (type(threading.Lock()), type(threading.RLock())))
]
assert locks
held, done = threading.Event(), threading.Event()

def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    done.wait(1.0)                                     # a fork may wait for this, a child cannot
    for lock in locks:
        lock.release()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
in_child(lambda: large(nbgrad.elementwise(lambda x: x * 4.25), lambda x: x * 4.25))
done.set()
holder.join()
print("right")
"""


@FORKS
def test_a_fork_while_another_thread_holds_our_locks(tmp_path):
    code = FORKING.replace("signal.alarm(60)", "signal.alarm(20)") + FORK_WITH_LOCKS_HELD
    assert finish(start(code, NBGRAD_CACHE_DIR=str(tmp_path))) == "right\n"


MULTIPROCESSING = """
import multiprocessing, sys, warnings
import numpy as np, nbgrad
warnings.simplefilter("ignore")

def gradient(scale):
    x = nbgrad.tensor(np.full(300_001, scale), requires_grad=True)
    (x * x * x).sum().backward()
    return float(x.grad.data[-1]), float(nbgrad.logsumexp(x).data)

if __name__ == "__main__":
    nbgrad.set_num_threads(2)
    expected = gradient(2.0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(gradient, [2.0, 2.0, 2.0, 2.0])
    assert found == [expected] * 4, found
    assert expected[0] == 12.0
    print("right")
"""


@FORKS
def test_multiprocessing_with_fork(tmp_path):
    assert finish(start(MULTIPROCESSING, NBGRAD_CACHE_DIR=str(tmp_path))) == "right\n"


AT_EXIT = """
import atexit, threading
import numpy as np, nbgrad
nbgrad.set_num_threads(3)
x = np.full(1_000_003, 2.0)

def late():
    assert (nbgrad.square(x) == 4).all()
    print("right", flush=True)

atexit.register(late)
nbgrad.square(x)
threading.Thread(target=lambda: [nbgrad.square(x) for _ in range(20)]).start()
"""


def test_large_loops_still_run_at_the_end_of_the_process():
    assert finish(start(AT_EXIT)) == "right\n"


INTERRUPTED = """
import os, signal, threading
import numpy as np, nbgrad
from nbgrad.kernels.cpu import codegen
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
nbgrad.exp(np.ones(2))
compile_ = codegen._compile

def interrupted(*arguments):
    codegen._compile = compile_
    signal.raise_signal(signal.SIGINT)
    return compile_(*arguments)

for shape in ((3,), (300, 5)):
    fresh = nbgrad.elementwise(eval(f"lambda x: x * {shape[0]}.75"))
    x = nbgrad.tensor(np.ones(shape), requires_grad=True)
    codegen._compile = interrupted
    try:
        fresh(x)
    except KeyboardInterrupt:
        print("interrupted")
    assert (fresh(x).data == shape[0] + 0.75).all()
    fresh(x).sum().backward()
    assert (x.grad.data == shape[0] + 0.75).all()
"""


def test_an_interrupt_while_compiling_ends_the_call_and_not_the_kernel(tmp_path):
    assert finish(start(INTERRUPTED, NBGRAD_CACHE_DIR=str(tmp_path))) == "interrupted\n" * 2


# ---- threads --------------------------------------------------------------------------------------------------------


RACING = """
import sys, threading
import numpy as np, nbgrad
from nbgrad import nn
sys.setswitchinterval(1e-5)
COUNT = 6
together = threading.Barrier(COUNT)
failures = []

def work(seed):
    try:
        random = np.random.default_rng(seed)
        a, b = random.normal(size=(5, 4)), random.normal(size=(4, 3))
        together.wait()
        for _ in range(3):
            x, w = nbgrad.tensor(a, requires_grad=True), nbgrad.tensor(b, requires_grad=True)
            y = nbgrad.tanh(x @ w) * 2.0
            loss = (y * y).sum() + nbgrad.clamp(x, -0.5, 0.5).sum() + nbgrad.logsumexp(x, 1).sum() + (x**3).mean()
            loss.backward()
            t = np.tanh(a @ b)
            g = 8 * t * (1 - t * t)
            e = np.exp(a) / np.exp(a).sum(1, keepdims=True)
            gx = g @ b.T + ((a >= -0.5) & (a <= 0.5)) + e + 3 * a * a / a.size
            assert np.allclose(x.grad.data, gx, rtol=1e-12, atol=1e-13)
            assert np.allclose(w.grad.data, a.T @ g, rtol=1e-12, atol=1e-13)
    except BaseException as error:
        failures.append(error)

workers = [threading.Thread(target=work, args=(seed,)) for seed in range(COUNT)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
for failure in failures:
    raise failure
print("right")
"""


@pytest.mark.parametrize("cached", usually(["empty", "full"]))
def test_threads_race_from_an_empty_memory(tmp_path, cached):
    places = {"NBGRAD_CACHE_DIR": str(tmp_path)}
    if cached == "full":
        finish(start(RACING, **places))
    for _ in range(1 if cached == "empty" else 2):
        assert finish(start(RACING, **places)) == "right\n"


def test_threads_race_to_a_formula_of_many_inputs():
    """Tracing, differentiation and compilation in threads: every thread gets the gradients of its own formula."""

    def work(_):
        @nbgrad.elementwise
        def mixed(a, b, c, d, e):
            return a * b + nbgrad.where(c > 0, c * d, d - e) * nbgrad.sin(e)

        values = [0.5, -1.5, 2.0, 3.0, 0.25]
        xs = [nbgrad.tensor(value, requires_grad=True) for value in values]
        mixed(*xs).backward()
        return [x.grad.item() for x in xs]

    sine, cosine = np.sin(0.25), np.cos(0.25)
    for gradients in race(work, 6):
        assert gradients == pytest.approx([-1.5, 0.5, 3 * sine, 2 * sine, 6 * cosine], rel=1e-14)


def test_threads_share_one_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(codegen, "_addresses", {})

    def work(_):
        fresh = nbgrad.elementwise(lambda x: x * 0.625 + 1)
        return float(fresh(np.array([2.0]))[0])

    assert race(work, 6) == [2.25] * 6
    sources = [path.read_text() for path in tmp_path.glob("*.py")]
    assert len(set(sources)) == len(sources) == cache.size()[0] > 0


SUBINTERPRETER = """
import numpy, _xxsubinterpreters as interpreters
try:
    interpreters.run_string(interpreters.create(), "import nbgrad")
except interpreters.RunFailedError as error:
    print(error)
"""


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="interpreters have other names")
def test_a_second_interpreter_is_refused_with_the_reason():
    printed = finish(start(SUBINTERPRETER))
    assert "nbgrad needs NumPy, which works in one interpreter of a process only" in printed
    assert "use threads of that interpreter, or processes" in printed
