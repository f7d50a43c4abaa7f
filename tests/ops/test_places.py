"""Functions whose places are found once give what they would have given themselves, in values and gradients."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad.nn import functional as F
from nbgrad.ops import places

T = nbgrad

MOVES = {
    "roll": (T.roll, (4, 5), (1, 0)),
    "roll of several": (T.roll, (4, 5), ((1, 2), (0, 1))),
    "repeat": (T.repeat, (2, 3), (2, 2)),
    "repeat_interleave": (T.repeat_interleave, (5,), (2,)),
    "tile": (T.tile, (2, 3), ((2, 1),)),
    "diag_embed": (T.diag_embed, (3, 4), ()),
    "tril": (T.tril, (4, 5), ()),
    "unbind_copy": (T.unbind_copy, (3, 4), ()),
    "fftshift": (T.fft.fftshift, (4, 5), ()),
    "pad": (F.pad, (2, 3), ((1, 1),)),
    "pad by reflection": (F.pad, (1, 2, 4), ((1, 2), "reflect")),
    "pixel_shuffle": (F.pixel_shuffle, (1, 4, 2, 3), (2,)),
    "windows": (F.unfold, (1, 2, 4, 4), (2,)),
    "nearest": (F.upsample_nearest, (1, 2, 3, 3), (None, 2)),
}
SUMS = {
    "fft": (T.fft.fft, (6,), ()),
    "irfft2": (T.fft.irfft2, (4, 5), ()),
    "trapezoid": (T.trapezoid, (5,), ()),
    "cumulative_trapezoid": (T.cumulative_trapezoid, (2, 5), ()),
    "gradient": (T.gradient, (5,), ()),
    "avg_pool2d": (F.avg_pool2d, (1, 2, 4, 4), (2,)),
    "adaptive_avg_pool2d": (F.adaptive_avg_pool2d, (1, 2, 5, 4), (3,)),
    "bilinear": (F.upsample_bilinear, (1, 2, 3, 3), (None, 2)),
    "fold": (F.fold, (1, 4, 4), ((3, 3), 2)),
    "affine_grid": (F.affine_grid, (1, 2, 3), ((1, 1, 3, 4), False)),
}


def each(found):
    return found if isinstance(found, tuple) else (found,)


def both(case):
    """Give what a function gives by its places, and without them."""
    function, shape, arguments = case
    x = nbgrad.Variable(np.random.default_rng(0).standard_normal(shape))
    quick = each(function(x, *arguments))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "FEW", -1)
        clear()
        slow = each(function(x, *arguments))
    clear()
    return x, quick, slow


def clear():
    for found in places.known:
        found.cache_clear()


@pytest.mark.parametrize("case", [*MOVES.values(), *SUMS.values()], ids=[*MOVES, *SUMS])
def test_values_and_gradients_are_those_of_the_function_itself(case):
    x, quick, slow = both(case)
    tolerance = 0 if case in MOVES.values() else 1e-14
    kinds = (places.At,) if case in MOVES.values() else (places.SumsAt,)
    for one, other in zip(quick, slow, strict=True):
        assert isinstance(one.creator, kinds)
        assert not isinstance(other.creator, kinds)
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one.data, other.data, tolerance, tolerance)
    gradients = []
    for found in (quick, slow):
        loss = sum([(y * y * np.random.default_rng(i).standard_normal(y.shape)).sum() for i, y in enumerate(found)])
        (gx,) = nbgrad.autograd.grad(loss, [x], create_graph=True)
        (second,) = nbgrad.autograd.grad((gx * gx).sum(), [x])
        gradients.append((gx, second))
    for g, h in zip(*gradients, strict=True):
        np.testing.assert_allclose(g.data, h.data, 1e-12, 1e-12)


@pytest.mark.parametrize("name", ["roll", "pad", "fft", "avg_pool2d"])
def test_functions_are_transformed_as_before(name):
    function, shape, arguments = (MOVES | SUMS)[name]
    x = np.random.default_rng(0).standard_normal((2, *shape))

    def loss(x):
        return sum([(y * y).sum() for y in each(function(x, *arguments))])

    expected = [loss(nbgrad.Variable(row)).item() for row in x]
    np.testing.assert_allclose(nbgrad.vmap(loss)(nbgrad.Variable(x)).data, expected)
    np.testing.assert_allclose(nbgrad.jit(loss)(nbgrad.Variable(x[0])).item(), expected[0])
    primal, tangent = nbgrad.Variable(x[0]), nbgrad.Variable(x[1])
    _, forth = nbgrad.func.jvp(loss, (primal,), (tangent,))
    back = nbgrad.func.grad(loss)(primal)
    np.testing.assert_allclose(forth.item(), (back.data * x[1]).sum())


def test_what_is_no_number_or_word_is_no_key():
    x, counts = nbgrad.Variable(np.arange(3.0)), np.array([1, 2, 0])
    np.testing.assert_array_equal(nbgrad.repeat_interleave(x, counts).data, [0, 1, 1])
    counts[:] = [0, 0, 2]
    np.testing.assert_array_equal(nbgrad.repeat_interleave(x, counts).data, [2, 2])
    np.testing.assert_array_equal(nbgrad.tile(x, [2]).data, nbgrad.tile(x, (2,)).data)
    for wrong in (1.0, "one", None):
        with pytest.raises(TypeError):
            nbgrad.roll(x, wrong)


@pytest.mark.parametrize("case", MOVES.values(), ids=[*MOVES])
def test_what_is_moved_is_a_copy(case):
    x, quick, slow = both(case)
    assert not any(np.shares_memory(y.data, x.data) for y in (*quick, *slow))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "bool"])
def test_any_dtype_is_moved(dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    for array in (x, np.asfortranarray(x), x[::-1], np.broadcast_to(x[:1], (2, 3))):
        y = nbgrad.roll(nbgrad.Variable(array, requires_grad=False), 1, 1)
        assert y.dtype == array.dtype
        np.testing.assert_array_equal(y.data, np.roll(array, 1, 1))


def some(t, v):
    """Give more elements than there are places for; the gradient of torch knows nothing of these."""
    return v if t is nbgrad else v[:, :2]


WRITES = {
    "index_copy": lambda t, x, v, i: t.index_copy(x, 0, i, v),
    "index_fill": lambda t, x, v, i: t.index_fill(x, 0, i, 0.5) * v[0, 0],
    "scatter": lambda t, x, v, i: t.scatter(x, 0, i[:, None].expand(3, 4), v),
    "scatter of some": lambda t, x, v, i: t.scatter(x, 0, i[:, None].expand(3, 2), some(t, v)),
    "scatter_reduce": lambda t, x, v, i: t.scatter_reduce(x, 0, i[:, None].expand(3, 2), some(t, v), "sum"),
    "scatter_add": lambda t, x, v, i: t.scatter_add(x, 0, i[:, None].expand(3, 2), some(t, v)),
    "put": lambda t, x, v, i: x.put(i, v[0, :3]),
    "masked_scatter": lambda t, x, v, i: t.masked_scatter(x, x > 0.5, v.reshape(-1)),
    "select_scatter": lambda t, x, v, i: t.select_scatter(x, v[0], 0, 1),
    "slice_scatter": lambda t, x, v, i: t.slice_scatter(x, v[:2], 0, 1, 3),
    "diagonal_scatter": lambda t, x, v, i: t.diagonal_scatter(x, v[0]),
}


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("name", WRITES)
def test_written_elements_are_torchs(name, repeated):
    torch = peer("torch")
    if repeated and name in ("index_copy", "scatter", "scatter of some", "put"):
        pytest.skip("which one is left is not said by torch")
    random = np.random.default_rng(0)
    x, v = random.uniform(0, 1, (5, 4)), random.uniform(0, 1, (3, 4))
    i = np.array([4, 0, 4 if repeated else 2])
    found = []
    for t, make, grad in ((nbgrad, nbgrad.tensor, nbgrad.autograd.grad), (torch, torch.tensor, torch.autograd.grad)):
        a, b = make(x, requires_grad=True), make(v, requires_grad=True)
        y = WRITES[name](t, a, b, make(i))
        first = grad((y**3).sum(), [a, b], create_graph=True)
        second = grad(sum([(g * g).sum() for g in first]), [a, b])
        found.append([np.asarray(z.detach()) for z in (y, *first, *second)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, 1e-12, 1e-12)


def test_of_what_goes_to_one_place_the_last_is_left():
    x, v = (nbgrad.Variable(np.zeros(3)), nbgrad.Variable(np.array([1.0, 2.0, 3.0])))
    for y in (
        nbgrad.index_copy(x, 0, nbgrad.tensor([1, 0, 1]), v),
        nbgrad.scatter(x, 0, nbgrad.tensor([1, 0, 1]), v),
        nbgrad.put(x, nbgrad.tensor([1, 0, 1]), v),
        nbgrad.index_put(x, (nbgrad.tensor([1, 0, 1]),), v),
    ):
        np.testing.assert_array_equal(y.data, [2, 3, 0])
        gx, gv = nbgrad.autograd.grad((y * y).sum(), [x, v])
        np.testing.assert_array_equal(gx.data, [0, 0, 0])
        np.testing.assert_array_equal(gv.data, [0, 4, 6])


@pytest.mark.parametrize("shape", [(2, 5), (300, 7)])
def test_the_last_of_what_goes_to_one_place(shape):
    given = np.random.default_rng(0).integers(-1, 9, shape)
    flat = given.reshape(-1)
    expected = [p if p >= 0 and p not in flat[i + 1 :] else -1 for i, p in enumerate(flat)]
    np.testing.assert_array_equal(places.calls.last(given, 9), np.reshape(expected, shape))


def test_places_outside_are_refused_as_before():
    x, v = nbgrad.zeros(3), nbgrad.ones(2)
    for function in (nbgrad.index_copy, nbgrad.scatter):
        with pytest.raises(IndexError, match=function.__name__):
            function(x, 0, nbgrad.tensor([0, 3]), v)
    with pytest.raises(IndexError):
        nbgrad.put(x, nbgrad.tensor([0, 3]), v)
    with pytest.raises(ValueError, match="index_copy"):
        nbgrad.index_copy(x, 0, nbgrad.tensor([0, 1, 2]), v)
