"""Which target an array is on, which a name means, and what holds the arrays of a computation together."""

import copy
import pickle
import threading

import numpy as np
import pytest
from recording_target import RecordingArray

import nbgrad
from nbgrad.kernels import placement
from nbgrad.kernels.cpu.target import CPU


def test_arrays_are_where_their_class_says(recording):
    x, y = np.ones(2), recording.bring(np.ones(2))
    assert placement.target_of(x) is CPU and placement.target_of(y) is recording
    assert placement.target_of(3.0) is CPU and placement.target_of("text") is CPU
    assert placement.elsewhere(x) is None and placement.elsewhere(y) is recording
    assert [placement.has_target(value) for value in (x, y, 3.0, [x])] == [True, True, False, False]
    assert (placement.name_of(x), placement.name_of(y)) == ("cpu", "recording")
    assert placement.parted(x, y) == ("cpu", "recording")
    assert placement.parted(y, y) is None and placement.parted(x, x) is None


def test_names_mean_targets(recording):
    assert placement.named() is placement.named("cpu") is placement.named("cpu:0") is CPU
    assert placement.named("recording") is placement.named("recording:0") is recording
    assert placement.named(like=recording.bring(np.ones(2))) is recording
    assert [placement.is_name(value) for value in ("recording:1", "cpu", 0, True, np.float32, "float32")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    for name in ("tpu", "recording:", "recording:x", "cpu:1", ""):
        with pytest.raises(ValueError, match=f"device '{name}' is not known: give 'recording', 'cpu', 'cuda'"):
            placement.named(name)


def test_arrays_of_a_computation_are_together(recording):
    x, y = np.ones(2), recording.bring(np.ones(2))
    assert placement.together("add", [x, x]) is CPU
    assert placement.together("add", [y, np.float64(2.0), np.array(2.0), 3]) is recording
    with pytest.raises(TypeError, match="add: operands on cpu and recording: bring them together"):
        placement.together("add", [x, y])
    placement.only_on_cpu("lu", "SciPy", [x])
    with pytest.raises(TypeError, match="lu: SciPy computes it, on the CPU"):
        placement.only_on_cpu("lu", "SciPy", [y])


def test_targets_become_known_while_others_look(recording):
    kinds = [type(f"Array{i}", (RecordingArray,), {}) for i in range(200)]
    stop, failed = threading.Event(), []

    def look():
        try:
            while not stop.is_set():
                placement.elsewhere(3.0)
        except RuntimeError as error:
            failed.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for kind in kinds:
            placement.register("recording", kind, lambda where: recording)
    finally:
        stop.set()
        thread.join()
        for kind in kinds:
            placement.away.pop(kind, None)
    assert not failed


def test_a_device_is_its_name_and_has_parts():
    device = nbgrad.device
    for given, name, kind, index in (
        (("cpu",), "cpu", "cpu", None), (("cuda",), "cuda", "cuda", None), (("cuda:1",), "cuda:1", "cuda", 1),
        (("cuda", 0), "cuda:0", "cuda", 0), ((2,), "cuda:2", "cuda", 2), ((device("cuda:3"),), "cuda:3", "cuda", 3),
    ):  # fmt: skip
        found = device(*given)
        assert (found, found.type, found.index) == (name, kind, index)
        assert pickle.loads(pickle.dumps(found)).type == copy.deepcopy(found).type == kind
    assert nbgrad.ones(2).device.type == "cpu"
    assert nbgrad.ones(2, device=device("cpu")).to(device("cpu")).device == device("cpu") == "cpu"
    for wrong in (("tpu",), ("cuda:x",), ("cuda:",)):
        with pytest.raises(ValueError, match=r"is not known: give .*'cpu', 'cuda' or 'cuda:0'"):
            device(*wrong)
    with pytest.raises(ValueError, match="has an index, and 1 is another"):
        device("cuda:0", 1)
