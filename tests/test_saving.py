import io
import os
import pickle

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn

NEST = {
    "weights": [np.arange(6.0).reshape(2, 3), nbgrad.tensor([1.5], requires_grad=True)],
    "state": {0: {"step": 3, "name": "x"}, 1: (None, True, float("inf"), 2**70)},
    "empty": {},
    "zero": np.zeros((0, 2), np.int8),
}
FORMATS = ["file.npz", "file.safetensors"]


def written(tmp_path, name, value=NEST):
    if not name.endswith(".npz"):
        peer("safetensors")
    nbgrad.save(value, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("name", FORMATS)
def test_nests_come_back(tmp_path, name):
    found = nbgrad.load(written(tmp_path, name))
    np.testing.assert_array_equal(found["weights"][0], NEST["weights"][0])
    assert isinstance(found["weights"][1], nbgrad.Variable) and found["weights"][1].requires_grad
    assert found["state"] == NEST["state"] and found["empty"] == {} and found["zero"].shape == (0, 2)
    assert nbgrad.load(written(tmp_path, name, 3.5)) == 3.5
    assert os.listdir(tmp_path) == [name]  # nothing is left beside it


def test_open_files_take_and_give_nests():
    file = io.BytesIO()
    file.write(b"before")
    nbgrad.save(NEST, file)
    file.seek(len(b"before"))
    found = nbgrad.load(file)
    np.testing.assert_array_equal(found["weights"][0], NEST["weights"][0])
    assert found["state"] == NEST["state"]
    with pytest.raises(ValueError, match="cut off"):
        nbgrad.load(io.BytesIO(file.getvalue()[6:-9]))


def test_modules_optimisers_and_pytorchs_states(tmp_path):
    torch, safetensors = peer("torch"), peer("safetensors.torch")
    net, other = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    safetensors.save_file(other.state_dict(), tmp_path / "torch.safetensors")
    net.load_state_dict(nbgrad.load(tmp_path / "torch.safetensors"))
    np.testing.assert_array_equal(net.weight.data.astype("f"), other.weight.detach().numpy())
    nbgrad.save(net.state_dict(), tmp_path / "ours.safetensors")
    back = safetensors.load_file(tmp_path / "ours.safetensors")
    assert list(back) == ["bias", "weight"] or set(back) == {"bias", "weight"}
    optimizer = nbgrad.optim.Adam(net.parameters(), lr=0.5)
    net(nbgrad.ones(1, 3)).sum().backward()
    optimizer.step()
    nbgrad.save(optimizer.state_dict(), tmp_path / "adam.npz")
    again = nbgrad.optim.Adam(net.parameters())
    again.load_state_dict(nbgrad.load(tmp_path / "adam.npz"))
    assert again.param_groups[0]["lr"] == 0.5 and again.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_cut_off_or_altered_is_refused(tmp_path, name):
    whole = written(tmp_path, name).read_bytes()
    broken = tmp_path / "broken"
    for length in (0, 1, 7, 8, 60, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is cut off, altered, or no file of"):
            nbgrad.load(broken)
    for place in range(0, len(whole), 37):
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = nbgrad.load(broken)
        except ValueError:
            continue
        # what no checksum covers has no say in what is read
        np.testing.assert_array_equal(found["weights"][0], NEST["weights"][0])


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Harm()))
    np.savez(tmp_path / "b.npz", x=np.array([Harm()], object))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(ValueError, match="no file of safetensors or npz"):
            nbgrad.load(name)
    with pytest.raises(ValueError, match="weights_only=False would execute"):
        nbgrad.load("a.npz", weights_only=False)
    assert not (tmp_path / "harm").exists()


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = written(tmp_path, "file.npz")
    before = path.read_bytes()
    for bad in ({"x": object()}, {"x": np.array(["a"])}, {1.5: 2}):
        with pytest.raises(TypeError, match="save: "):
            nbgrad.save(bad, path)

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        nbgrad.save({"x": 1}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["file.npz"]


@pytest.mark.parametrize("name", FORMATS)
def test_any_names_and_byte_orders_come_back(tmp_path, name):
    keys = ["file", "allow_pickle", "nbgrad.nest", "nbgrad.sha256", "", "a/b", "é", "a.b"]
    nest = {key: np.arange(3, dtype=">f4") + i for i, key in enumerate(keys)} | {"a": {"b": np.array(7, ">i2")}}
    found = nbgrad.load(written(tmp_path, name, nest))
    assert list(found) == [*keys, "a"] and found["a"]["b"] == 7
    for key in keys:
        np.testing.assert_array_equal(found[key], nest[key])


@pytest.mark.parametrize("name", FORMATS)
def test_a_link_goes_on_leading_to_the_file(tmp_path, name):
    (tmp_path / "real").mkdir()
    path = written(tmp_path / "real", name, 1.0)
    os.symlink(path, tmp_path / name)
    nbgrad.save(2.0, tmp_path / name)
    assert os.path.islink(tmp_path / name) and nbgrad.load(path) == 2.0


def test_dtypes_that_a_format_has_not_are_named(tmp_path):
    peer("safetensors")
    with pytest.raises(TypeError, match=r"save: .*complex128.*\.npz takes it"):
        nbgrad.save(np.ones(2, complex), tmp_path / "file.safetensors")
