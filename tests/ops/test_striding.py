"""What is a view and what a copy, as in PyTorch and NumPy; views a step apart in several dimensions at once."""

import numpy as np
import pytest
from peers import peer

import nbgrad

#: What PyTorch gives a view of, or the same, and what a copy: a write to one is seen in the other, or not.
FUNCTIONS = {
    "diagonal": lambda lib, a: lib.diagonal(a),
    "diagonal below": lambda lib, a: a.diagonal(-1),
    "diagonal of three": lambda lib, a: a.reshape(2, 2, 5).diagonal(1, 2, 0),
    "linalg.diagonal": lambda lib, a: lib.linalg.diagonal(a),
    "diag": lambda lib, a: lib.diag(a),
    "einsum of a diagonal": lambda lib, a: lib.einsum("ii->i", a[:, 1:]),
    "unfold": lambda lib, a: a.unfold(1, 3, 1),
    "unfold apart": lambda lib, a: a.t().unfold(0, 2, 2),
    "as_strided": lambda lib, a: lib.as_strided(a, (3, 3), (5, 1)),
    "flip": lambda lib, a: lib.flip(a, (0,)),
    "fliplr": lambda lib, a: lib.fliplr(a),
    "flipud": lambda lib, a: lib.flipud(a),
    "rot90": lambda lib, a: lib.rot90(a),
    "rot90 twice": lambda lib, a: lib.rot90(a, 2),
    "rot90 back": lambda lib, a: lib.rot90(a, -1),
    "roll by nothing": lambda lib, a: lib.roll(a, 0, 0),
    "tile once": lambda lib, a: lib.tile(a, (1, 1)),
    "repeat once": lambda lib, a: a.repeat(1, 1),
    "ravel": lambda lib, a: lib.ravel(a),
    "ravel of every other": lambda lib, a: lib.ravel(a[:, ::2]),
    "contiguous": lambda lib, a: a.contiguous(),
    "contiguous of every other": lambda lib, a: a.reshape(-1)[::2].contiguous(),
    "pad with nothing": lambda lib, a: lib.nn.functional.pad(a, (0, 0)),
    "pad that cuts": lambda lib, a: lib.nn.functional.pad(a, (-1, 0)),
    "pixel_shuffle by 1": lambda lib, a: lib.nn.functional.pixel_shuffle(a.reshape(1, 1, 4, 5), 1),
    "matrix_power 1": lambda lib, a: lib.linalg.matrix_power(a[:, :4], 1),
    "to the same dtype": lambda lib, a: a.to(a.dtype),
}

NUMPYS = {
    "diagonal": np.diagonal,
    "diag": np.diag,
    "flip": np.flip,
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "rot90": np.rot90,
    "rot90 back": lambda a: np.rot90(a, 3),
    "rot90 twice": lambda a: np.rot90(a, 2),
    "einsum": lambda a: np.einsum("ii->i", a[:, :4]),
    "ravel": lambda a: np.ravel(a[:, ::2]),
    "meshgrid": lambda a: np.meshgrid(a[0], a[1])[0],
    "astype": lambda a: a.astype(float),
    "astype without a copy": lambda a: a.astype(float, copy=False),
    "np.astype": lambda a: np.astype(a, float),
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a, (2, 3)),
    "windows of an axis": lambda a: np.lib.stride_tricks.sliding_window_view(a, 3, -1),
}


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


VALUES = np.random.default_rng(0).normal(size=(4, 5))


def seen(a, b, no_grad, numbers):
    """Tell whether b changes with a, and give what it was."""
    before = np.array(numbers(b))
    with no_grad():
        a += 100.0
    return bool((np.array(numbers(b)) != before).any()), before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_views_are_those_of_torch(name):
    torch = peer("torch")
    a, b = torch.tensor(VALUES) * 1, nbgrad.tensor(VALUES) * 1
    theirs, values = seen(a, FUNCTIONS[name](torch, a), torch.no_grad, lambda y: y.numpy())
    ours, found = seen(b, FUNCTIONS[name](nbgrad, b), nbgrad.no_grad, lambda y: y.data)
    np.testing.assert_array_equal(found, values)
    assert ours is theirs


@pytest.mark.parametrize("name", NUMPYS)
def test_views_are_those_of_numpy(name):
    a, b = VALUES.copy(), nbgrad.tensor(VALUES) * 1
    theirs, values = seen(a, NUMPYS[name](a), nbgrad.no_grad, lambda y: y)
    ours, found = seen(b, NUMPYS[name](b), nbgrad.no_grad, lambda y: y.data)
    np.testing.assert_array_equal(found, values)
    assert ours is theirs


def diagonal_written(lib, x, y):
    a = x * 1
    a.diagonal().mul_(y[0, :4])
    a[:, 1:].diagonal(-1)[1:] += y[1, 1:3]
    return (a * a).sum()


def windows_read(lib, x, y):
    a = x * 1
    pieces = a.unfold(1, 3, 1)
    a[:, 2] = y[:, 0] * y[:, 1]
    return (pieces * pieces * y[:, :3].unsqueeze(1)).sum()


def windows_apart_written(lib, x, y):
    a = x * 1
    a.unfold(1, 2, 2)[:, 1] = y[:, :2]
    return (a * a * x).sum()


def strided_written(lib, x, y):
    a = x * 1
    lib.as_strided(a, (3, 2), (5, 2), 1).copy_(y[:3, :2])
    return (a * a).sum()


def einsum_written(lib, x, y):
    a = x * 1
    lib.einsum("ii->i", a[:, :4])[:] = y[0, :4]
    return (a * a * y).sum()


def flipped_written(lib, x, y):
    a = lib.flip(x, (0, 1))
    a[0] *= y[1]
    return (a * a * x).sum()


WRITERS = [diagonal_written, windows_read, windows_apart_written, strided_written, einsum_written, flipped_written]


@pytest.mark.parametrize("writer", WRITERS, ids=lambda f: f.__name__)
def test_writes_through_such_views_have_the_gradients_of_torch(writer):
    found = []
    for lib in (peer("torch"), nbgrad):
        x, y = (lib.tensor(values).requires_grad_(True) for values in (VALUES, VALUES[::-1] + 0.5))
        value = writer(lib, x, y)
        first = lib.autograd.grad(value, (x, y), create_graph=True)
        second = lib.autograd.grad(sum((g * g).sum() for g in first), (x, y))
        found.append([value.detach(), *(g.detach() for g in first), *second])
    for theirs, ours in zip(*found, strict=True):
        assert_close(ours.data, theirs.numpy())


@pytest.mark.parametrize("size", [3, 60])
def test_writes_through_such_views_of_any_size(size):
    """Small arrays are seen by compiled calls, large ones by NumPy's own."""

    def value(lib, x, y):
        a = x * 1
        pieces = a.unfold(1, 3, 1)
        a.diagonal().mul_(y)
        a[:, 2] = y * y
        return (pieces * pieces).sum() + (a * a).sum()

    values = np.random.default_rng(1).normal(size=(size, size))
    found = []
    for lib in (peer("torch"), nbgrad):
        x, y = (lib.tensor(given).requires_grad_(True) for given in (values, values[0]))
        found.append(lib.autograd.grad(value(lib, x, y), (x, y)))
    for theirs, ours in zip(*found, strict=True):
        assert_close(ours.data, theirs.numpy())


def flat_diagonal_written(lib, x, y):
    a = x * 1
    a.diagonal().mul_(y[0, :4])
    return (a * a).sum()


@pytest.mark.parametrize("writer", [flat_diagonal_written, flipped_written], ids=lambda f: f.__name__)
def test_compiled_writes_through_such_views_are_right(writer):
    function = nbgrad.value_and_grad(lambda x, y: writer(nbgrad, x, y), argnums=(0, 1))
    value, slopes = function(VALUES, VALUES + 0.5)
    found, own = nbgrad.jit(function)(VALUES, VALUES + 0.5)
    assert_close(found, value)
    for ours, eager in zip(own, slopes, strict=True):
        assert_close(ours, eager)


@pytest.mark.parametrize("part", [slice(None), slice(1, None)])
def test_copies_in_traces_of_what_would_be_views_are_not_written_to(part):
    def function(x):
        a = nbgrad.tensor(x) * 1
        a[:, 1:].diagonal()[part] += 1
        return a

    with pytest.raises(TypeError, match="a copy of what it would be a view of"):
        nbgrad.jit(function)(VALUES)


def test_windows_from_before_a_write_are_refused_in_traces():
    with pytest.raises(TypeError, match="take it again behind the write"):
        nbgrad.jit(lambda x, y: windows_read(nbgrad, nbgrad.tensor(x), nbgrad.tensor(y)))(VALUES, VALUES)


def test_windows_that_overlap_are_not_written_to():
    a = nbgrad.tensor(VALUES) * 1
    with pytest.raises((RuntimeError, ValueError), match=r"x.clone\(\)"):
        a.unfold(1, 3, 1).mul_(2)
    np.testing.assert_array_equal(a.data, VALUES)


@pytest.mark.parametrize("shape, step", [((2, 3), 1), ((3, 0), 1), ((0, 3), 2), ((1, 7), 3)])
def test_windows_of_odd_shapes(shape, step):
    x = np.arange(np.prod(shape), dtype=float).reshape(shape)
    for size in range(shape[1] + 1):
        theirs = peer("torch").tensor(x).unfold(1, size, step)
        np.testing.assert_array_equal(nbgrad.tensor(x).unfold(1, size, step).data, theirs.numpy())
    for offset in range(-3, 4):
        np.testing.assert_array_equal(
            nbgrad.tensor(x).diagonal(offset).data, x.diagonal(offset), err_msg=f"{shape} {offset}"
        )
