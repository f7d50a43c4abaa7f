"""What CuPy and cuBLAS refuse, and how CuPy lays results out: what stands in for them, and on a GPU they themselves."""

import gc
import inspect
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import cupy
import numpy as np
import pytest
from conftest import REAL

import nbgrad
from nbgrad.kernels.cuda import indexing

needs_stand_in = pytest.mark.skipif(REAL, reason="of the stand-in")


# ---- what functions take --------------------------------------------------------------------------------------------


def parameters(function):
    """Give names of parameters in order, None for any; Cython's functions have them in their documentation."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        heads = re.match(r"\w[\w.]*\((.*?)\)(?: ->.*)?$", function.__doc__ or "", re.M)
        if heads is None:
            return None
        parts = [part.split("=")[0].split()[-1] for part in re.sub(r"\\", "", heads[1]).split(",") if part.strip()]
        names = [part for part in parts if part not in ("*", "/")]
    else:
        names = [("*" if parameter.kind in (2, 4) else "") + parameter.name for parameter in found]
    names = [name for name in names if name != "self"]
    return None if any(name.startswith("*") for name in names) else names


def compare_with_cupy():
    """See that what stands in for functions of CuPy has no parameters that they have not, and in their order."""
    import stand_in

    pairs = [
        (name, found, getattr(cupy, name))
        for name, found in vars(stand_in).items()
        if inspect.isfunction(found) and not name.startswith("_") and name not in ("enqueue", "room_of")
        if found.__module__ == stand_in.__name__
    ]
    classes = {"ndarray": (stand_in.ndarray, cupy.ndarray), "Generator": (stand_in.Generator, cupy.random.Generator)}
    for name in ("Stream", "Event", "Graph", "MemoryPool", "Device"):
        classes[name] = getattr(stand_in.cuda, name), getattr(cupy.cuda, name)
    classes["memory pool"] = type(stand_in.get_default_memory_pool()), cupy.cuda.MemoryPool
    for name, (ours, theirs) in classes.items():
        pairs += [
            (f"{name}.{method}", found, getattr(theirs, method))
            for method, found in vars(ours).items()
            if inspect.isfunction(found) and (not method.startswith("_") or method.startswith("__dl"))
        ]
        if name in ("Stream", "Event"):
            pairs.append((name, ours, theirs))
        for attribute, found in vars(ours).items():
            hidden = attribute.startswith("_") or attribute == "freed"
            assert hidden or inspect.isfunction(found) or hasattr(theirs, attribute), f"{name} has no {attribute}"
    for name in vars(stand_in.runtime):
        assert hasattr(cupy.cuda.runtime, name), name
    assert set(vars(stand_in.cuda)) <= set(dir(cupy.cuda))
    compared = 0
    for name, ours, theirs in pairs:
        here, there = parameters(ours), parameters(theirs)
        if here is not None and there is not None:
            compared += 1
            assert [x for x in there if x in here] == here, f"{name} takes {here}, and CuPy's {there}"
            first = [x for x in here if x in inspect.signature(ours).parameters]
            positional = [x for x in first if inspect.signature(ours).parameters[x].kind < 3]
            assert there[: len(positional)] == positional, f"{name} takes {positional}, and CuPy's {there}"
    assert compared > 40, compared


@needs_stand_in
def test_functions_take_what_cupys_take():
    """In a process of its own, where CuPy is CuPy."""
    tests = Path(__file__).parent
    code = f"import sys; sys.path[:0] = {[str(tests), str(tests.parent)]!r}\n"
    code += "try:\n import cupy\nexcept ImportError:\n sys.exit(77)\n"
    code += "import test_stand_in; test_stand_in.compare_with_cupy()"
    environment = {name: value for name, value in os.environ.items() if name != "NBGRAD_TEST_CUDA"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if done.returncode == 77:
        pytest.skip("CuPy is not installed")
    assert done.returncode == 0, done.stdout + done.stderr


# ---- what arrays refuse ---------------------------------------------------------------------------------------------


def array(*shape, dtype=float):
    return cupy.asarray(np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape))


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (lambda: array(3).item(), ValueError),
        (lambda: array(3).item(1), TypeError),
        (lambda: array(3).astype("f", casting="safe"), TypeError),
        (lambda: array(3).fill(np.ones(2)), ValueError),
        (lambda: array(3, dtype="b").fill(300), OverflowError),
        (lambda: array(3).__setitem__(..., np.ones(3)), ValueError),
        (lambda: array(3).__setitem__(slice(1), [1.0]), ValueError),
        (lambda: array(3) + np.ones(3), TypeError),
        (lambda: array(3) + np.array(1.0), TypeError),
        (lambda: np.add(array(3), types.SimpleNamespace()), TypeError),
        (lambda: np.concatenate([array(3), np.ones(3)]), TypeError),
        (lambda: cupy.concatenate([array(3), np.ones(3)]), TypeError),
        (lambda: cupy.broadcast_to(np.ones(3), (2, 3)), TypeError),
        (lambda: np.asarray(array(3)), TypeError),
        (lambda: bool(array(3)), ValueError),
        (lambda: array(3)[array(3)], IndexError),
        (lambda: array(3)[3], IndexError),
        (lambda: cupy.asarray(np.array(["text"])), ValueError),
        (lambda: cupy.asarray(np.array([None])), ValueError),
        (lambda: cupy.asarray(np.ones(1, np.longdouble)), ValueError),
        (lambda: array(3).__dlpack__(dl_device=(7, 0)), BufferError),
        (lambda: array(3).__dlpack__(stream=-2), ValueError),
        (lambda: cupy.from_dlpack(np.ones(3)), TypeError),
        (lambda: cupy.random.default_rng(0).standard_normal(3, np.float16), TypeError),
        (lambda: cupy.random.default_rng(0).integers(0, 2, 3, bool), ValueError),
        (lambda: cupy.cuda.Stream.null.begin_capture(), RuntimeError),
        (lambda: cupy.cuda.Stream(non_blocking=True).end_capture(), RuntimeError),
        (lambda: cupy.cuda.Device(1 << 10).__enter__(), RuntimeError),
    ],
)
def test_what_is_refused(refused, kind):
    with pytest.raises(kind):
        refused()


def test_scalars_of_numpys_are_compared():
    assert (array(3) > np.array(1.0)).get().tolist() == [False, False, True]


def test_results_of_cupys_lie_as_cupy_has_them():
    x = array(2, 3, 4).transpose(2, 0, 1)
    assert x.astype("f").strides == (4, 48, 16)  # as near to what they were as may be
    assert x.copy().strides == (48, 24, 8) and x.copy("F").strides == (8, 32, 64)
    spread = cupy.broadcast_to(array(2, 1), (2, 3))
    assert spread.strides == (8, 0) and spread.astype("f").strides == (12, 4)
    spread = cupy.broadcast_to(array(3), (2, 3))
    assert spread.strides == (0, 8) and spread.astype("f").strides == (4, 8)
    assert (x + x).flags.c_contiguous and array(2, 3).T.get().flags.c_contiguous
    assert cupy.asarray(np.ones((2, 3), order="F")).flags.f_contiguous
    joined = cupy.concatenate([array(2, 3).T, array(2, 3).T])
    assert joined.flags.c_contiguous and joined.shape == (6, 2)


def test_conversions_of_repeated_elements_are_right():
    """Their results lie in an order of CuPy's own."""
    rows = nbgrad.Variable(cupy.broadcast_to(array(3), (2, 3)))
    columns = nbgrad.Variable(cupy.broadcast_to(array(2, 1), (2, 3)))
    for x in (rows, columns):
        y = x.to(np.float32)
        expected = x.data.get().astype("f")
        np.testing.assert_array_equal(y.detach().cpu().numpy(), expected)
        np.testing.assert_array_equal((y * 2 + y).detach().cpu().numpy(), 3 * expected)
        np.testing.assert_allclose(nbgrad.softmax(y, 1).sum(0).detach().cpu().numpy().sum(), 2, rtol=1e-6)
        assert x.grad is None and (y * y).sum().backward() is None
        np.testing.assert_array_equal(x.grad.cpu().numpy(), 2 * expected)


def test_negative_powers_of_whole_numbers_are_refused():
    """CuPy makes them 0, but for those of 1 and -1."""
    x, y = array(4, dtype=int) - 1, cupy.asarray(np.array([2, -1, -3, -1]))
    assert (x**y).get().tolist() == [1, 0, 1, 0] and (x**-3).get().tolist() == [-1, 0, 1, 0]
    there, powers = nbgrad.Variable(x), nbgrad.Variable(y)
    for refused in (
        lambda: there**-1,
        lambda: there**powers,
        lambda: there ** np.int8(-2),
        lambda: 2**powers,
        lambda: nbgrad.jit(lambda x: x**-1)(x),
        lambda: nbgrad.jit(lambda x, y: x**y)(x, y),
    ):
        with pytest.raises(ValueError, match="Integers to negative integer powers are not allowed"):
            refused()
    assert (there ** np.int8(3)).data.get().tolist() == [-1, 0, 1, 8]
    assert (there**powers**2).data.get().tolist() == [1, 0, 1, 2]
    assert nbgrad.jit(lambda x, y: x**y)(x, y**2).get().tolist() == [1, 0, 1, 2]
    assert (there.astype("f") ** -1).data.get().tolist() == [-1, np.inf, 1, 0.5]


# ---- devices and streams --------------------------------------------------------------------------------------------


def two_devices():
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one GPU")


def test_random_numbers_are_drawn_where_they_are_wanted(request):
    if not REAL:
        request.getfixturevalue("driver").count = 2
    two_devices()
    generator = cupy.random.default_rng(0)
    with cupy.cuda.Device(1), pytest.raises(RuntimeError, match="different device"):
        generator.random(3)
    for x in (
        nbgrad.rand(3, device="cuda:1"),
        nbgrad.randn(3, device="cuda:1"),
        nbgrad.randint(5, (3,), device="cuda:1"),
    ):
        assert x.device == "cuda:1"


def test_truth_values_are_drawn_though_cupy_draws_none():
    x = nbgrad.randint(2, (100,), dtype=bool, device="cuda")
    assert x.dtype == np.bool_ and 0 < x.data.get().sum() < 100
    with pytest.raises(ValueError, match="randint: bool has 0 and 1, not numbers from 0 to 4"):
        nbgrad.randint(5, (3,), dtype=bool, device="cuda")


@needs_stand_in
def test_each_device_has_a_current_stream_of_its_own(driver):
    driver.count = 2
    stream = cupy.cuda.Stream()
    with stream:
        assert cupy.cuda.get_current_stream() is stream
        with cupy.cuda.Device(1):
            assert cupy.cuda.get_current_stream().ptr == 0
            with pytest.raises(RuntimeError, match="does not match with the current device"), stream:
                pass
        assert cupy.cuda.get_current_stream() is stream


# ---- what is captured -----------------------------------------------------------------------------------------------


def captured(function):
    """Capture a function; gives the errors that it and the end of the capture raised."""
    x = cupy.ones(3)
    x[...] = 0  # by now the kernel that fills has been loaded
    cupy.cuda.get_current_stream().synchronize()
    errors = [None, None]
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        x.fill(1)
        try:
            function(x, stream)
        except RuntimeError as error:
            errors[0] = error
        try:
            stream.end_capture().launch()
        except RuntimeError as error:
            errors[1] = error
        stream.synchronize()
    return errors, x.get().tolist()


def test_what_is_done_while_nothing_is_refused_is_captured():
    x = cupy.ones(3)
    x[...] = 0
    cupy.cuda.get_current_stream().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        x.fill(1)
        graph = stream.end_capture()
        stream.synchronize()
        assert x.get().tolist() == [0, 0, 0]
        graph.launch()
        assert x.get().tolist() == [1, 1, 1]


def test_cupy_refuses_copies_to_the_cpu_and_the_capture_is_good():
    for function in (lambda x, _: x.get(), lambda x, _: float(x[0]), lambda x, _: x[0].item()):
        (refused, ended), found = captured(function)
        assert "the current stream is capturing" in str(refused) and ended is None and found == [1, 1, 1]


def test_to_wait_for_what_is_captured_spoils_it():
    event = cupy.cuda.Event(disable_timing=True)

    def record_and_wait(x, stream):
        event.record()
        event.synchronize()

    for function in (lambda x, stream: stream.synchronize(), record_and_wait):
        (refused, ended), found = captured(function)
        assert refused is not None and ended is not None and found == [0, 0, 0]
    with pytest.raises(RuntimeError, match="Captured"):
        event.synchronize()  # even now
    event.record()
    event.synchronize()


def test_an_event_of_before_may_be_waited_for():
    event = cupy.cuda.Event(disable_timing=True)
    event.record()
    assert captured(lambda x, stream: event.synchronize()) == ([None, None], [1, 1, 1])


def test_a_look_at_positions_that_was_captured_does_no_harm():
    """Its event is of no use afterwards, and somebody else would get it."""
    index = array(4, dtype=int)
    indexing.look(index, 0, 3)()
    free = len(indexing._free[0])

    def look(x, stream):
        indexing.look(index, 0, 3)()

    (refused, ended), _ = captured(look)
    assert refused is not None and ended is not None
    assert indexing.look(index, 0, 2)() == (True, False)
    assert indexing.look(index, 0, 3)() == (False, False)
    assert len(indexing._free[0]) == free


def test_a_look_that_ends_as_garbage_leaves_memory_and_event(monkeypatch):
    """What is garbage together is ended in any order, an event by its own end."""
    ended = []

    class Event(cupy.cuda.Event):
        def __del__(self):
            ended.append(self)

    index = array(4, dtype=int)
    monkeypatch.setattr(cupy.cuda, "Event", Event)
    monkeypatch.setattr(indexing, "_free", indexing.defaultdict(list))
    circle = [indexing.look(index, 0, 3)]
    circle.append(circle)
    del circle
    gc.collect()
    (slot,) = indexing._free[0]
    assert not ended
    assert indexing.look(index, 0, 2)() == (True, False) and indexing._free[0] == [slot]


# ---- cuBLAS ---------------------------------------------------------------------------------------------------------


@needs_stand_in
def test_what_cublas_refuses():
    import stand_in_cublas as cublas

    handle = cublas.create()
    x, w, y = array(2, 3), array(3, 4), cupy.zeros((2, 4))
    numbers = np.array([1.0, 0.0])
    one, zero = numbers.ctypes.data, numbers.ctypes.data + 8
    right = [handle, 0, 0, 4, 2, 3, one, w.data.ptr, 4, x.data.ptr, 3, zero, y.data.ptr, 4]
    cublas.dgemm(*right)
    np.testing.assert_array_equal(y.get(), x.get() @ w.get())
    for place, wrong, kind in (
        (0, 1, cublas.cuBLASError),  # no handle
        (3, 4.0, TypeError),
        (3, 2**31, OverflowError),
        (3, -1, cublas.cuBLASError),
        (8, 3, cublas.cuBLASError),  # rows lie over each other
        (5, 5, (RuntimeError, cublas.cuBLASError)),  # more than the memory has
        (12, y.data.ptr + 8, RuntimeError),
    ):
        with pytest.raises(kind):
            cublas.dgemm(*right[:place], wrong, *right[place + 1 :])
    cublas.set_pointer_mode(handle, 1)
    with pytest.raises(cublas.cuBLASError):
        cublas.dgemm(*right)
    cublas.set_pointer_mode(handle, 0)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        with pytest.raises(AssertionError, match="on another stream"):
            cublas.dgemm(*right)
        room = cupy.empty(1 << 10, np.uint8)
        cublas.set_workspace(handle, room.data.ptr, room.nbytes)
        cublas.set_stream(handle, stream.ptr)  # which takes it back
        stream.begin_capture()
        with pytest.raises(AssertionError, match="captured with memory"):
            cublas.dgemm(*right)
        with pytest.raises(cublas.cuBLASError):
            cublas.create()
        stream.end_capture()
    cublas.destroy(handle)
    with pytest.raises(cublas.cuBLASError):
        cublas.set_stream(handle, 0)


# ---- memory ---------------------------------------------------------------------------------------------------------


@needs_stand_in
def test_memory_is_found_whatever_ends_meanwhile(monkeypatch):
    """Garbage may be collected between any two steps of looking for it."""
    import stand_in

    rooms = [cupy.zeros(4) for _ in range(20)]
    rooms.sort(key=lambda x: x.data.ptr)
    wanted = rooms[10].data.ptr
    real = stand_in.bisect.bisect_right

    def meanwhile(*arguments):
        found = real(*arguments)
        del rooms[3:6]
        return found

    monkeypatch.setattr(stand_in.bisect, "bisect_right", meanwhile)
    assert stand_in.room_of(wanted + 8) == (wanted, 32)
    monkeypatch.undo()
    assert len(rooms) == 17 and stand_in.room_of(wanted) == (wanted, 32)
