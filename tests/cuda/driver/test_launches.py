"""What reaches the driver: arguments, sizes, streams, contexts and devices of launches, and what it answers."""

import subprocess
import sys
import threading

import cupy
import numpy as np
import pytest
import stub_driver
from stub_driver import CONTEXT, LEGACY

import nbgrad
from nbgrad.kernels.cuda import launch

SOURCE = "def kernel(x, n):\n    x[n] = n\n"
SIGNATURE = ("float64*", "int64")


def copy():
    return launch.kernel("copy", SOURCE, SIGNATURE)


def numbers(launched, *dtypes):
    return tuple(np.frombuffer(b, dtype)[0] for b, dtype in zip(launched.parameters, dtypes, strict=True))


# ---- arguments and sizes --------------------------------------------------------------------------------------------

HALF = np.array(-1.5, np.float16).view(np.uint16)[()]
SCALARS = [
    ("int64", -(2**63)),
    ("int64", 2**63 - 1),
    ("int8", np.int8(-128)),
    ("uint8", np.uint8(255)),
    ("int16", np.int16(-32768)),
    ("uint16", np.uint16(65535)),
    ("int32", np.int32(-(2**31))),
    ("uint32", np.uint32(2**32 - 1)),
    ("uint64", np.uint64(2**64 - 1)),
    ("float32", np.float32(1.1)),
    ("float64", np.float64(1.1)),
    ("float32", np.float32(-np.inf)),
    ("bool", np.uint8(1)),
    ("float16", HALF),
]


def test_arguments_arrive_with_the_widths_and_values_of_the_parameters(driver):
    names = [f"a{i}" for i in range(len(SCALARS))]
    source = f"def kernel(x, y, {', '.join(names)}):\n    x[0] = y[0]\n"
    run = launch.kernel("all", source, ("float32*", "uint8*", *(kind for kind, _ in SCALARS)))
    run(3, 256, 0x7F12_3456_7890, (1 << 47) - 512, *(value for _, value in SCALARS))
    (launched,) = driver.launches
    assert (launched.grid, launched.block) == ((3, 1, 1), (256, 1, 1))
    dtypes = [{"bool": "uint8", "float16": "uint16"}.get(kind, kind) for kind, _ in SCALARS]
    assert [len(b) for b in launched.parameters] == [8, 8, *(np.dtype(dtype).itemsize for dtype in dtypes)]
    found = numbers(launched, "int64", "int64", *dtypes)
    assert found == (0x7F12_3456_7890, (1 << 47) - 512, *(value for _, value in SCALARS))


def test_an_operation_gives_the_addresses_of_its_arrays(driver):
    x = nbgrad.ones(1000, device="cuda")
    y = x * 3
    (launched,) = driver.launches
    addresses = [b for b in launched.parameters if len(b) == 8]
    for array in (x.data, y.data):
        assert np.int64(array.data.ptr).tobytes() in addresses
    assert launched.grid[0] * launched.block[0] >= 250


def test_many_sizes_are_not_all_remembered(driver, monkeypatch):
    monkeypatch.setattr(launch, "_KEPT", 10)
    run = copy()
    for blocks in range(1, 50):
        run(blocks, 32, 0, 0)
    assert [launched.grid[0] for launched in driver.launches] == list(range(1, 50))
    assert len(launch.backend._configurations) <= 11


# ---- streams --------------------------------------------------------------------------------------------------------


def test_launches_are_on_cupys_current_stream(driver):
    run = copy()
    outer, inner = cupy.cuda.Stream(), cupy.cuda.Stream(non_blocking=True)
    run(1, 32, 0, 0)
    with outer:
        run(1, 32, 0, 0)
        with inner:
            run(1, 32, 0, 0)
        run(1, 32, 0, 0)
    run(1, 32, 0, 0)
    expected = [LEGACY, outer.ptr, inner.ptr, outer.ptr, LEGACY]
    assert [launched.stream for launched in driver.launches] == expected


def test_streams_that_are_gone_are_not_remembered(driver, monkeypatch):
    monkeypatch.setattr(launch, "_KEPT", 10)
    run = copy()
    expected = []
    for i in range(50):
        stream = cupy.cuda.Stream()
        stream.ptr = 0x5000 + i % 30 * 16
        expected.append(stream.ptr)
        with stream:
            run(1, 32, 0, 0)
    assert [launched.stream for launched in driver.launches] == expected
    assert len(launch.backend._streams) <= 11


def test_a_launch_calls_nothing_but_the_launch(driver):
    """So that it may be captured."""
    run = copy()
    stream = cupy.cuda.Stream()
    driver.forget()
    with stream:
        run(1, 32, 0, 0)
        run(2, 64, 0, 0)
    assert driver.calls == ["cuLaunchKernelEx"] * 2


def test_launches_are_captured_into_a_graph(driver):
    from cuda.bindings import driver as bindings

    def called(function, *arguments):
        code, *results = getattr(bindings, function)(*arguments)
        assert code == bindings.CUresult.CUDA_SUCCESS
        return results

    run = copy()
    stream = cupy.cuda.Stream()
    called("cuStreamBeginCapture", stream.ptr, bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
    with stream:
        for n in range(3):
            run(n + 1, 32, 1 << 40, n)
    assert driver.launches == []
    (captured,) = called("cuStreamEndCapture", stream.ptr)
    (graph,) = called("cuGraphInstantiate", captured, 0)
    for _ in range(2):
        called("cuGraphLaunch", graph, stream.ptr)
    assert [launched.grid[0] for launched in driver.launches] == [1, 2, 3] * 2
    assert [numbers(launched, "int64", "int64") for launched in driver.launches] == [(1 << 40, n) for n in range(3)] * 2


# ---- devices and threads --------------------------------------------------------------------------------------------


def test_a_kernel_is_loaded_for_each_device_and_launched_on_it(driver):
    run = copy()
    run(1, 32, 0, 0)
    with cupy.cuda.Device(1):
        other = copy()
        assert other is not run
        other(1, 32, 0, 0)
    run(1, 32, 0, 0)
    assert [launched.context for launched in driver.launches] == [CONTEXT, CONTEXT + 1, CONTEXT]
    assert driver.calls.count("cuLibraryLoadData") == 2


def in_threads(*functions):
    """Run functions in threads of their own, at once; an exception in one of them is raised here."""
    start, errors = threading.Barrier(len(functions)), []

    def target(function):
        start.wait()
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=target, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


@pytest.mark.parametrize("loaded", [False, True])
def test_a_new_thread_gets_a_context(driver, loaded):
    """What takes memory from CuPy's pool never asked the driver for one."""
    if loaded:
        copy()
    in_threads(lambda: [copy()(1, 32, 0, n) for n in range(3)])
    assert [launched.context for launched in driver.launches] == [CONTEXT] * 3
    assert driver.calls.count("cuCtxSetCurrent") == 1


def test_two_threads_launch_at_once(driver):
    def launches(number):
        for n in range(500):
            copy()(number, 32, number, n)

    in_threads(lambda: launches(1), lambda: launches(2))
    assert driver.calls.count("cuLibraryLoadData") == 1
    for number in (1, 2):
        mine = [launched for launched in driver.launches if launched.grid[0] == number]
        assert [numbers(launched, "int64", "int64") for launched in mine] == [(number, n) for n in range(500)]


# ---- what the driver refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (stub_driver.LAUNCH_OUT_OF_RESOURCES, RuntimeError, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: .* too many threads"),
        (stub_driver.OUT_OF_MEMORY, MemoryError, "CUDA_ERROR_OUT_OF_MEMORY: .* unable to allocate enough memory"),
        (stub_driver.ILLEGAL_ADDRESS, RuntimeError, "CUDA_ERROR_ILLEGAL_ADDRESS: .* must be terminated and relaunched"),
    ],
)
def test_a_launch_that_is_refused(driver, code, kind, says):
    run = copy()
    driver.fail("cuLaunchKernelEx", code)
    with pytest.raises(kind, match=f"^CUDA: kernel copy, 7 blocks of 64 threads: {says}"):
        run(7, 64, 0, 0)
    run(8, 64, 0, 0)
    assert [launched.grid[0] for launched in driver.launches] == [8]


def test_arguments_that_are_refused_are_not_the_drivers_doing(driver):
    with pytest.raises(TypeError, match="unsupported type"):
        copy()(1, 32, "address", 0)


@pytest.mark.parametrize("function", ["cuLibraryLoadData", "cuLibraryGetKernel"])
@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (stub_driver.NO_BINARY_FOR_GPU, RuntimeError, "CUDA_ERROR_NO_BINARY_FOR_GPU: .* no kernel image"),
        (stub_driver.INVALID_IMAGE, RuntimeError, "CUDA_ERROR_INVALID_IMAGE"),
        (stub_driver.OUT_OF_MEMORY, MemoryError, "CUDA_ERROR_OUT_OF_MEMORY"),
    ],
)
def test_a_kernel_that_is_refused(driver, function, code, kind, says):
    driver.fail(function, code)
    why = r"could not be loaded; nbgrad\[cuda13\] needs an NVIDIA driver for CUDA 13.0 or later"
    with pytest.raises(kind, match=rf"^CUDA: kernel copy for compute capability 9\.0 {why} \(580 or later\): {says}"):
        copy()
    copy()(1, 32, 0, 0)
    assert len(driver.launches) == 1


def test_an_operation_leaves_no_trace_when_it_is_refused(driver):
    x = nbgrad.ones(1000, device="cuda", requires_grad=True)
    y = (x * 3).sum()
    driver.fail("cuLaunchKernelEx", stub_driver.LAUNCH_OUT_OF_RESOURCES)
    with pytest.raises(RuntimeError, match="CUDA: kernel"):
        y.backward()
    assert x.grad is None


# ---- the cache, and what is not installed ----------------------------------------------------------------------------

SECOND = """
import sys
sys.path[:0] = {path!r}
import stand_in, stub_driver
sys.modules["cupy"] = stand_in
driver = stub_driver.Driver()
driver.set_device(0)
from nbgrad.kernels.cuda import launch
launch.kernel("copy", {source!r}, {signature!r})(5, 32, 1 << 40, -7)
(launched,) = driver.launches
print(launched.grid[0], b"".join(launched.parameters).hex(), "numba" in sys.modules)
"""


def test_another_process_finds_the_cubin_and_never_imports_the_compiler(driver, monkeypatch, tmp_path):
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path))
    second = [sys.executable, "-c", SECOND.format(path=sys.path, source=SOURCE, signature=SIGNATURE)]
    sent = (np.int64(1 << 40).tobytes() + np.int64(-7).tobytes()).hex()
    for compiled in (True, False):
        done = subprocess.run(second, capture_output=True, text=True)
        assert done.stdout == f"5 {sent} {compiled}\n", done.stderr


def test_without_what_launches_the_remedy_is_named(driver, monkeypatch):
    assert nbgrad.cuda.is_available()
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    assert not nbgrad.cuda.is_available()
    with pytest.raises(ImportError, match=r"CUDA needs cuda-core and numba-cuda .*pip install 'nbgrad\[cuda13\]'"):
        copy()


def test_without_the_compiler_the_remedy_is_named(driver, monkeypatch, tmp_path):
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nbgrad.kernels.cuda.cubin", None)
    with pytest.raises(ImportError, match=r"CUDA needs cuda-core and numba-cuda .*pip install 'nbgrad\[cuda13\]'"):
        copy()
