"""Loops as NumPy ufuncs: compiled at their first call, and honest about what goes wrong then."""

import ctypes
import itertools
import os
import threading

import numpy as np
import pytest
from workers import race

import nbgrad
from nbgrad.kernels.cpu import codegen, threads, ufunc
from nbgrad.kernels.dispatch import caller

_factors = itertools.count(1000 * (os.getpid() % 10_000))  # for kernels that no test compiled before

TEMPLATE = """
def loop(args, dims, steps, data):
    x = {number}_pointer(args[0])
    y = {number}_pointer(args[1])
    z = {number}_pointer(args[2])
    for i in range(dims[0]):
        a = x[i * (steps[0] // {size})]
        y[i * (steps[1] // {size})] = a + {number}(1)
        z[i * (steps[2] // {size})] = a * {number}(2)
"""


def loop_address(code):
    dtype = np.dtype(code)
    return codegen.address(f"two-{code}", TEMPLATE.format(number=dtype.name, size=dtype.itemsize))


def make(compiled, types=("fff", "ddd")):
    """Make a ufunc of two results, x + 1 and 2 * x, that notes what it compiles."""

    def compile_loop(codes):
        compiled.append(codes)
        return loop_address(codes[0]), threads.NEVER

    return ufunc.make("two", list(types), 2, compile_loop)


def test_nothing_is_compiled_before_it_is_called():
    compiled = []
    kernel = make(compiled)
    assert isinstance(kernel, np.ufunc)
    assert (kernel.__name__, kernel.nin, kernel.nout, kernel.types) == ("two", 1, 2, ["f->ff", "d->dd"])
    assert compiled == []
    kernel(np.ones(3))
    assert compiled == ["ddd"]
    kernel(np.ones(3))
    kernel(np.ones((2, 3))[:, ::-1])
    assert compiled == ["ddd"]
    assert kernel(np.ones(3, np.float32))[0].dtype == np.float32
    assert compiled == ["ddd", "fff"]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "x",
    [
        np.float64(3.0),
        np.array(3.0),
        np.zeros(0),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0)[::-3],
        np.arange(7),
        np.arange(20_000, dtype=np.int16),
        np.arange(5.0).astype(">f8"),
        np.broadcast_to(np.arange(3.0), (4, 3)),
        np.frombuffer(b"\0" + np.arange(5.0).tobytes(), np.float64, offset=1),
    ],
    ids=[
        "scalar",
        "0-d",
        "empty",
        "transposed",
        "reversed",
        "integers",
        "many casts",
        "swapped",
        "broadcast",
        "unaligned",
    ],
)
def test_numpy_brings_shapes_strides_and_casts(x, first):
    kernel = make([])
    if not first:
        kernel(np.ones(1))
        kernel(np.ones(1, np.float32))
    y, z = kernel(x)
    np.testing.assert_array_equal(y, x + 1.0)
    np.testing.assert_array_equal(z, x * 2.0)


def test_results_can_go_into_given_arrays():
    kernel = make([])
    x = np.arange(6.0)
    y, z = np.zeros((2, 6))[:, ::-1]
    kernel(x, y, z)
    np.testing.assert_array_equal(y, x + 1)
    kernel(x, out=(x, None))
    np.testing.assert_array_equal(x, np.arange(6.0) + 1)
    assert all(type(result) is np.ndarray for result in kernel(np.array(1.0), out=...))


def test_dtypes_without_a_loop_are_refused():
    with pytest.raises(TypeError, match="not supported for the input types"):
        make([])(np.ones(3, complex))


def test_core_dimensions():
    source = """
def loop(args, dims, steps, data):
    x = float64_pointer(args[0])
    y = float64_pointer(args[1])
    for b in range(dims[0]):
        total = 0.0
        for i in range(dims[1]):
            total += x[b * (steps[0] // 8) + i * (steps[2] // 8)]
        y[b * (steps[1] // 8)] = total
"""
    kernel = ufunc.make("rows", ["dd"], 1, lambda codes: (codegen.address("rows", source), threads.NEVER), "(k)->()")
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(kernel(x), x.sum(-1))
    np.testing.assert_array_equal(kernel(x, axis=0), x.sum(0))
    with pytest.raises(ValueError, match="does not have enough dimensions"):
        kernel(np.array(1.0))


# ---- what goes wrong at the first call ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5, 100_000])
def test_a_failing_compiler_is_an_exception_of_the_call(size):
    after = []

    def compile_loop(codes):
        raise ValueError("no such instruction")

    kernel = ufunc.make("failing", ["dd"], 1, compile_loop)
    if size:
        with pytest.raises(RuntimeError, match="a kernel could not be compiled: no such instruction"):
            after.append(kernel(np.ones(size)))
    else:
        assert kernel(np.ones(0)).size == 0
    assert after == []
    # nothing is left over to surface somewhere else
    assert sum(range(1000)) == 499500


def test_a_failing_compiler_is_an_exception_of_the_call_with_keywords():
    def compile_loop(codes):
        raise ValueError("no such instruction")

    kernel = ufunc.make("failing", ["dd"], 1, compile_loop)
    for arguments in ({"out": ...}, {"where": np.array([True]), "out": np.zeros(3)}, {"dtype": float}):
        with pytest.raises(RuntimeError, match="no such instruction"):
            kernel(np.ones(3), **arguments)


PIECES = {
    "cast in buffers": lambda n: np.ones(n * np.getbufsize(), np.int16),
    "strided": lambda n: np.ones((n, 7, 2))[:, ::2, :1],
}


@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
@pytest.mark.parametrize("layout", PIECES)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_surfaces_however_many_pieces_numpy_makes(monkeypatch, layout, pieces, error):
    """NumPy calls the loop once for each piece, and an exception from one must outlive the calls for the others."""
    compile_ = codegen._compile

    def failing(*arguments):
        monkeypatch.setattr(codegen, "_compile", compile_)
        raise error("no such instruction")

    x = PIECES[layout](pieces)
    factor = next(_factors)
    scaled = nbgrad.elementwise(lambda x: x * factor)
    scaled(np.ones(1, np.float32))  # what is compiled once for all functions
    monkeypatch.setattr(codegen, "_compile", failing)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else RuntimeError):
        scaled(x.astype(np.int32) if x.dtype.kind == "i" else x)
    np.testing.assert_array_equal(scaled(x * 1.0), x * float(factor))


def test_an_interrupt_while_compiling_surfaces():
    interrupts = [KeyboardInterrupt()]
    address = loop_address("d")

    def compile_loop(codes):
        if interrupts:
            raise interrupts.pop()
        return address, threads.NEVER

    kernel = ufunc.make("interrupted", ["ddd"], 2, compile_loop)
    with pytest.raises(KeyboardInterrupt):
        kernel(np.ones(3))
    np.testing.assert_array_equal(kernel(np.ones(3)), [[2.0] * 3, [2.0] * 3])


def test_a_failure_surfaces_through_the_quick_call():
    kernel = ufunc.make("failing", ["ff", "dd"], 1, lambda codes: 1 / 0)
    call = caller(kernel)
    for arguments in ((np.ones(3),), (np.ones(3, np.float32), np.ones(3, np.float32)), (np.ones((3, 2)).T,)):
        with pytest.raises(RuntimeError, match="a kernel could not be compiled: division by zero"):
            call(*arguments)


def test_a_failure_surfaces_in_its_own_thread():
    failing = ufunc.make("failing", ["dd"], 1, lambda codes: 1 / 0)
    caught = []

    def work():
        try:
            failing(np.ones(3))
        except RuntimeError as error:
            caught.append(str(error))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert caught == ["a kernel could not be compiled: division by zero"]


# ---- first calls in many threads ------------------------------------------------------------------------------------


def test_first_calls_race():
    for _ in range(20):
        kernel = make([])

        def work(_, kernel=kernel):
            x = np.arange(1000.0)
            for _ in range(5):
                y, z = kernel(x)
                np.testing.assert_array_equal(y, x + 1)
                np.testing.assert_array_equal(z, x * 2)

        race(work, 6)


def test_a_published_record_is_never_replaced():
    """NumPy hands its address to loops that run without the GIL; a second thread that settles must leave it alone."""
    address = loop_address("d")
    turns = itertools.count()
    both_compile, first_is_done = threading.Barrier(2), threading.Event()
    published = []

    def compile_loop(codes):
        try:
            both_compile.wait(0.5)
        except threading.BrokenBarrierError:
            pass  # the other was kept waiting outside, which is as good
        if next(turns):
            first_is_done.wait(5)
            published.append(ufunc.loops_of[kernel].data[0])
        return address, threads.NEVER

    def work(_):
        kernel(np.ones(3))
        first_is_done.set()
        published.append(ufunc.loops_of[kernel].data[0])

    kernel = ufunc.make("two", ["ddd"], 2, compile_loop)
    race(work, 2)
    assert len(published) >= 2
    assert len(set(published)) == 1
    record = ufunc.loops_of[kernel].records[0]
    assert published[0] == ctypes.addressof(record)


def test_the_record_holds_what_a_loop_needs():
    record = threads.loop_record(1234, 2, 3, 2, 4, 99)
    assert (record.threshold, record.address, record.inputs) == (99, 1234, 2)
    assert (record.operands, record.dimensions, record.steps) == (3, 3, 7)
    assert record.share == ctypes.cast(threads._entry, ctypes.c_void_p).value
