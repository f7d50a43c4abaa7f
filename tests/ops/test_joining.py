"""cat and stack: values, gradients, dtypes, refusals."""

import math

import cases
import numpy as np
import pytest
from cases import DTYPES, LAYOUTS, draw
from peers import peer

import nbgrad
from nbgrad import Variable

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_layout = pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("0-d", "empty")])


def parts(dim, dtype, layout="contiguous"):
    """Give three arrays that differ along one dimension."""
    shapes = [[3, 3, 3] for _ in range(3)]
    for size, shape in zip((1, 2, 4), shapes, strict=True):
        shape[dim] = size
    return [LAYOUTS[layout](draw(cases.ANY, tuple(shape), dtype, seed)) for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@every_dtype
@every_layout
def test_cat_is_torchs(dim, dtype, layout):
    arrays = parts(dim, dtype, layout)
    cases.assert_same_as_torch(lambda *xs: nbgrad.cat(xs, dim), lambda t, *xs: t.cat(xs, dim), arrays, LAYOUTS[layout])


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@every_dtype
@every_layout
def test_stack_is_torchs(dim, dtype, layout):
    arrays = [LAYOUTS[layout](draw(cases.ANY, (2, 3), dtype, seed)) for seed in range(3)]
    cases.assert_same_as_torch(
        lambda *xs: nbgrad.stack(xs, dim), lambda t, *xs: t.stack(xs, dim), arrays, LAYOUTS[layout]
    )


@pytest.mark.parametrize("function", [nbgrad.cat, nbgrad.stack])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gradients_agree_with_differences_to_second_order(function, dim):
    arrays = [draw(cases.ANY, (2, 2), seed=seed) for seed in range(2)]
    cases.check_to_second_order(lambda x, y: function([x * y, y], dim) ** 2, arrays)


@pytest.mark.parametrize("function", [nbgrad.cat, nbgrad.stack])
def test_both_spellings_and_any_sequence(function):
    arrays = [draw(cases.ANY, (2, 3), seed=seed) for seed in range(2)]
    xs = [Variable(array) for array in arrays]
    reference = {"cat": np.concatenate, "stack": np.stack}[function.__name__]
    np.testing.assert_array_equal(function(xs).data, reference(arrays))
    for actual in (function(xs, 1), function(xs, dim=1), function(xs, axis=1), function(iter(xs), 1)):
        np.testing.assert_array_equal(actual.data, reference(arrays, 1))
    np.testing.assert_array_equal(function((xs[0], arrays[1])).data, reference(arrays))
    plain = function(arrays)
    assert isinstance(plain, np.ndarray)
    np.testing.assert_array_equal(plain, reference(arrays))
    with pytest.raises(TypeError, match=f"{function.__name__}: give dim or axis, not both"):
        function(xs, 1, axis=1)


@pytest.mark.parametrize("function", [nbgrad.cat, nbgrad.stack])
def test_one_variable_in_several_places_accumulates(function):
    x = Variable(np.array([1.0, 2.0]))
    weights = np.array([1.0, 2.0, 3.0, 4.0]).reshape(function([x, x]).shape)
    (function([x, x]) * weights).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [4, 6])


@pytest.mark.parametrize("function", [nbgrad.cat, nbgrad.stack])
def test_dtypes_promote_and_gradients_come_back_in_each(function):
    x, y, z = Variable(np.ones(2, np.float32)), Variable(np.ones(2)), Variable(np.ones(2, np.int64))
    joined = function([x, y, z])
    assert joined.dtype == np.float64
    joined.sum().backward()
    assert (x.grad.dtype, y.grad.dtype, z.grad) == (np.float32, np.float64, None)
    assert x.grad.tolist() == [1, 1]
    whole = function([z, z])
    assert whole.dtype == np.int64
    assert not whole.requires_grad


@every_dtype
def test_empty_arrays_are_joined(dtype):
    x, y = Variable(np.ones((0, 3), dtype)), Variable(np.ones((2, 3), dtype))
    joined = nbgrad.cat([x, y])
    assert joined.shape == (2, 3)
    joined.sum().backward()
    assert x.grad.shape == (0, 3)
    assert y.grad.tolist() == [[1, 1, 1]] * 2
    assert nbgrad.stack([x, x], 1).shape == (0, 2, 3)
    assert nbgrad.stack([Variable(np.array(1.0)), Variable(np.array(2.0))]).tolist() == [1, 2]


def test_an_empty_vector_joins_with_any_shape():
    torch = peer("torch")
    empty, x = np.ones(0), np.arange(6.0).reshape(2, 3)
    for parts in ([empty, x, x], [x, empty], [empty, empty], [empty, np.ones(2)]):
        for dim in (0, -1):
            expected = torch.cat([torch.tensor(part) for part in parts], dim)
            np.testing.assert_array_equal(nbgrad.cat([Variable(part) for part in parts], dim).data, expected)
    with pytest.raises(ValueError, match=r"cat: shapes \(2, 3\) and \(0, 2\) differ"):
        nbgrad.cat([x, np.ones((0, 2))])


@pytest.mark.parametrize("shapes", [((3, 4), (3, 2)), ((3, 4), (1, 5)), ((1, 4), (3, 2)), ((2, 3), None)], ids=str)
def test_taking_along_a_dimension_broadcasts_and_flattens(shapes):
    shape, places = shapes
    x = np.random.default_rng(0).normal(size=shape)
    where = np.arange(math.prod(places)).reshape(places) % shape[1] if places else np.array([5, 0, 5])
    dim = 1 if places else None
    cases.assert_same_as_torch(
        lambda x: nbgrad.take_along_dim(x, where, dim),
        lambda t, x: t.take_along_dim(x, t.tensor(where), dim),
        [x],
    )


def test_taking_along_needs_equal_numbers_of_dimensions():
    with pytest.raises(ValueError, match=r"take_along_dim: positions of shape \(2,\) for shape \(2, 2\): both need"):
        nbgrad.take_along_dim(nbgrad.ones(2, 2), np.array([0, 1]), 0)
    with pytest.raises(IndexError, match="positions from 0 to 4"):
        nbgrad.take_along_dim(nbgrad.ones(2, 2), np.array([0, 4]))


REFUSALS = {
    "nothing": ((), 0, ValueError, "nothing to join"),
    "a Variable": (Variable(np.ones(2)), 0, TypeError, "takes a sequence of Variables, got Variable"),
    "an array": (np.ones(2), 0, TypeError, "takes a sequence of Variables, got ndarray"),
    "a number": (3, 0, TypeError, "takes a sequence of Variables, got int"),
    "no such dimension": ([Variable(np.ones(2))], 2, IndexError, "dimension 2 is out of range"),
    "dimension of another type": ([Variable(np.ones(2))], "x", TypeError, "a dimension is a whole number, got 'x'"),
    "text": ([Variable(np.ones(2)), np.array(["a", "b"])], 0, TypeError, "cannot take part in a computation"),
}


@pytest.mark.parametrize("function", [nbgrad.cat, nbgrad.stack])
@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(function, name):
    tensors, dim, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        function(tensors, dim)


def test_shapes_that_do_not_fit_are_refused():
    x, y = Variable(np.ones((2, 3))), Variable(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"cat: shapes \(2, 3\) and \(2, 4\) differ outside dimension 0"):
        nbgrad.cat([x, y])
    with pytest.raises(ValueError, match=r"cat: shapes \(2, 3\) and \(2,\) differ outside dimension 0"):
        nbgrad.cat([x, Variable(np.ones(2))])
    with pytest.raises(ValueError, match=r"stack: shapes \(2, 3\) and \(2, 4\) differ"):
        nbgrad.stack([x, y])
    with pytest.raises(ValueError, match="cat: scalars have no dimension to join along: use stack"):
        nbgrad.cat([Variable(np.array(1.0))])
