"""Indexing of every kind: values are NumPy's, gradients what adding at the index gives."""

import cases
import numpy as np
import pytest
from cases import DTYPES, LAYOUTS, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from peers import peer

import nbgrad
from nbgrad import Variable

SHAPE = (4, 3, 5)
MASK = np.arange(60).reshape(SHAPE) % 3 == 0
ROWS = np.array([True, False, True, True])

INDICES = {
    "int": 1,
    "negative int": -1,
    "numpy int": np.int32(2),
    "ints": (1, 2),
    "element": (1, -2, 3),
    "slice": slice(1, 3),
    "step": slice(None, None, 2),
    "negative step": slice(None, None, -1),
    "negative steps": (slice(3, 0, -2), slice(None, None, -1), slice(-1, None, -3)),
    "slice past the end": slice(2, 99),
    "empty slice": slice(3, 1),
    "int and slice": (0, slice(1, None)),
    "ellipsis": ...,
    "ellipsis first": (..., 1),
    "ellipsis last": (1, ...),
    "ellipsis between": (0, ..., slice(None, None, 2)),
    "None": None,
    "None between": (slice(None), None, 1, ..., None),
    "no index": (),
    "int array": np.array([0, 2, 1]),
    "list": [2, 0],
    "negative int array": np.array([-1, 0, -4]),
    "repeated": np.array([1, 1, 3, 1]),
    "small int array": np.array([1, 2, 1], np.int8),
    "unsigned int array": np.array([3, 0, 3], np.uint64),
    "2-d int array": np.array([[0, 1], [1, 3]]),
    "strided int array": np.arange(4)[::-2],
    "0-d int array": np.array(2),
    "empty int array": np.array([], np.int64),
    "empty list": [],
    "int arrays": (np.array([0, 3, 0]), np.array([2, 2, 2])),
    "int arrays that broadcast": (np.array([[0], [3]]), np.array([1, 1, 2])),
    "all axes": (np.array([0, 0]), np.array([1, 1]), np.array([4, 4])),
    "array and slice": (np.array([1, 1]), slice(None, None, -1)),
    "slice and array": (slice(1, 3), np.array([2, 0, 2])),
    "array after ellipsis": (..., np.array([4, 4, 0])),
    "array, slice, array": (np.array([0, 1, 1]), slice(1, None), np.array([4, 0, 0])),
    "int and array": (1, np.array([0, 0, 2])),
    "int, slice, array": (1, slice(None), np.array([0, 0, 2])),
    "array and None": (np.array([0, 0]), None, slice(1)),
    "list and list": ([0, 1], [2, 2]),
    "tuple": ((0, 2), slice(None)),
    "range": range(1, 4, 2),
    "range and list": (range(2), [0, 2]),
    "mask": MASK,
    "mask of rows": ROWS,
    "list of truth": [True, False, False, True],
    "mask and slice": (ROWS, slice(1, None)),
    "slice and mask": (slice(None), np.array([True, False, True])),
    "mask and array": (ROWS, np.array([0, 0, 2])),
    "mask and int": (ROWS, 1),
    "2-d mask and array": (MASK[:, :, 0], 2),
    "empty mask": np.zeros(4, bool),
    "True": True,
    "False": False,
    "truth and slice": (True, slice(1, 3)),
}

every_index = pytest.mark.parametrize("name", INDICES)


def gradient_by_adding(shape, dtype, index, cotangent):
    """Give the gradient of x[index]: the cotangent added into zeros, element by element."""
    gradient = np.zeros(shape, dtype)
    np.add.at(gradient, index, cotangent)
    return gradient


def check(array, index, cotangent_layout=lambda g: g):
    expected = np.asarray(array[index])
    cotangent = np.random.default_rng(0).uniform(1, 2, expected.shape).astype(array.dtype)
    if cotangent.ndim and cotangent.size:
        cotangent = cotangent_layout(cotangent)
    value, (gradient,) = cases.with_gradients(lambda x: x[index], [array], cotangent)
    assert value.dtype == array.dtype
    np.testing.assert_array_equal(value, expected)
    tolerance = 1e-6 if array.dtype == np.float32 else 1e-14
    np.testing.assert_allclose(gradient, gradient_by_adding(array.shape, array.dtype, index, cotangent), rtol=tolerance)


@every_index
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("0-d", "empty")])
def test_values_and_gradients(name, dtype, layout):
    check(LAYOUTS[layout](draw(cases.ANY, SHAPE, dtype)), INDICES[name], LAYOUTS[layout])


@every_index
def test_gradients_agree_with_differences_to_second_order(name):
    index = INDICES[name]
    cases.check_to_second_order(lambda x: nbgrad.sum(x[index] ** 3), [draw(cases.NONZERO, SHAPE)])


# torch puts the dimensions of "int, slice, array" elsewhere than NumPy
@pytest.mark.parametrize("name", [name for name in INDICES if name != "int, slice, array"])
def test_gradients_are_torchs(name):
    torch = peer("torch")
    index = INDICES[name]
    array = draw(cases.ANY, SHAPE)
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts):
        # torch has no negative steps: flip instead
        with pytest.raises(ValueError, match="step must be greater than zero"):
            torch.tensor(array)[index]
        positions = np.arange(array.size).reshape(SHAPE)[index]
        parts, flat = (positions,), True
    else:
        flat = False

    def translated(part):
        if isinstance(part, np.ndarray):
            part = np.array(part, bool if part.dtype == bool else np.int64)
            return torch.tensor(part)
        return int(part) if isinstance(part, np.integer) else part

    key = tuple(translated(part) for part in parts)
    cases.assert_same_as_torch(lambda x: x[index], lambda t, x: x.reshape(-1)[key] if flat else x[key], [array])


@every_index
@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8", "float32"])
def test_other_dtypes_and_arrays_are_indexed_too(name, dtype):
    array = (np.arange(60).reshape(SHAPE) % 7).astype(dtype)
    for x in (Variable(array, requires_grad=False), array):
        y = nbgrad.ops.getitem(x, INDICES[name])
        assert type(y) is type(x)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.data if isinstance(y, Variable) else y, array[INDICES[name]])


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((), ()),
        ((), ...),
        ((), None),
        ((), True),
        ((), np.array(False)),
        ((0,), slice(None)),
        ((0, 3), []),
        ((0, 3), np.zeros((2, 0), np.int64)),
        ((0, 3), (slice(None), [2, 2])),
        ((3, 0), [1, 1]),
        ((3, 0), -1),
        ((0,), np.zeros(0, bool)),
        ((1,), [0, 0, 0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_empty_and_0d_arrays(shape, index, dtype):
    check(draw(cases.ANY, shape, dtype), index)


def test_variables_are_indices():
    x = Variable(draw(cases.ANY, SHAPE))
    for index in (np.array([1, 1]), ROWS, np.array(2)):
        np.testing.assert_array_equal(x[Variable(index)].data, x.data[index])
    np.testing.assert_array_equal(x[Variable(np.array([0, 1])), :, 2].data, x.data[[0, 1], :, 2])
    np.testing.assert_array_equal(x[x > 0].data, x.data[x.data > 0])
    np.testing.assert_array_equal(x[: Variable(np.array(2))].data, x.data[:2])


def test_changing_the_index_array_afterwards_changes_no_gradient():
    index = np.array([0, 1])
    x = Variable(np.ones(3))
    y = x[index]
    index[...] = 2
    y.backward(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(x.grad.data, [1, 2, 0])


def test_basic_indices_give_views():
    x = Variable(np.ones(SHAPE))
    for index in (1, (1, 2, 3), slice(None, None, -2), None, (..., 1)):
        assert np.shares_memory(x[index].data, x.data)
    assert x[1, 2, 3].shape == ()


def test_iteration_gives_rows_with_gradients():
    x = Variable(np.arange(6.0).reshape(3, 2))
    rows = list(x)
    assert [row.tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]
    (rows[0] * rows[2]).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[4, 5], [0, 0], [0, 1]])


# ---- take_along_dim -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_take_along_dim_is_torchs(dim, dtype):
    torch = peer("torch")
    array = draw(cases.ANY, SHAPE, dtype)
    for indices in (np.argsort(array, axis=dim), np.argmax(array, axis=dim, keepdims=True)):
        for given_indices in (indices, Variable(indices)):
            cases.assert_same_as_torch(
                lambda x, i=given_indices: nbgrad.take_along_dim(x, i, dim),
                lambda t, x, i=indices: t.take_along_dim(x, torch.tensor(i), dim),
                [array],
            )
    repeated = np.zeros_like(np.argmax(array, axis=dim, keepdims=True)).repeat(3, dim)
    cases.assert_same_as_torch(
        lambda x: nbgrad.take_along_dim(x, repeated, dim),
        lambda t, x: t.take_along_dim(x, torch.tensor(repeated), dim),
        [array],
    )


def test_take_along_dim_agrees_with_differences_to_second_order():
    array = draw(cases.ANY, (3, 4))
    cases.check_to_second_order(lambda x: nbgrad.take_along_dim(x * x, np.array([[1, 1], [0, 3], [2, 2]]), 1), [array])


def test_take_along_dim_refuses_positions_outside():
    with pytest.raises(IndexError, match="out of bounds"):
        nbgrad.take_along_dim(Variable(np.ones((2, 3))), np.array([[3], [0]]), 1)
    with pytest.raises(IndexError, match="take_along_dim: dimension 2 is out of range"):
        nbgrad.take_along_dim(Variable(np.ones((2, 3))), np.array([[0], [0]]), 2)


# ---- refusals -------------------------------------------------------------------------------------------------------

REFUSALS = {
    "int": (4, IndexError, "out of bounds"),
    "negative int": (-5, IndexError, "out of bounds"),
    "too many": ((0, 0, 0, 0), IndexError, "too many indices"),
    "array": (np.array([0, 4]), IndexError, "positions from 0 to 4 in 4 rows"),
    "negative array": (np.array([-5, 0]), IndexError, "positions from -5 to 0 in 4 rows"),
    "second array": (([0, 0], [0, 3]), IndexError, "out of bounds"),
    "arrays that do not broadcast": (([0, 0], [0, 1, 2]), IndexError, "could not be broadcast|shape mismatch"),
    "mask of another shape": (np.array([True, False]), IndexError, "boolean index did not match"),
    "two ellipses": ((..., 0, ...), IndexError, "ellipsis"),
    "float": (1.0, TypeError, "an index of type float: 1.0"),
    "text": ("a", TypeError, "an index of type str: 'a'"),
    "float array": (np.array([0.0, 1.0]), TypeError, "an index of dtype float64"),
    "objects": (np.array([None]), TypeError, "an index of dtype object"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    index, kind, message = REFUSALS[name]
    x = Variable(np.ones(SHAPE))
    with pytest.raises(kind, match=message):
        x[index]
    if kind is IndexError:
        with pytest.raises(IndexError, match=r"indexing shape \(4, 3, 5\)"):
            x[index]


def test_a_slice_without_step_is_refused():
    with pytest.raises(ValueError, match="slice step cannot be zero"):
        Variable(np.ones(3))[::0]


def test_a_scalar_has_no_rows():
    with pytest.raises(IndexError, match=r"indexing shape \(\)"):
        Variable(np.array(1.0))[0]
    with pytest.raises(TypeError, match="iteration over a 0-d"):
        iter(Variable(np.array(1.0)))
    with pytest.raises(TypeError, match="len"):
        len(Variable(np.array(1.0)))


# ---- properties -----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(data=st.data())
def test_any_basic_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    check(draw(cases.ANY, shape), data.draw(hnp.basic_indices(shape, allow_newaxis=True)))


@settings(max_examples=60)
@given(data=st.data())
def test_any_integer_arrays(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    index = data.draw(
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=3, max_side=4, min_side=0))
    )
    check(draw(cases.ANY, shape), index)


@settings(max_examples=60)
@given(data=st.data())
def test_any_mixture(data):
    """Whole numbers, slices, None, an ellipsis, arrays and masks in one index."""
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    length = data.draw(st.integers(1, 3))
    parts = []
    for size in shape[: data.draw(st.integers(1, len(shape)))]:
        kind = data.draw(st.sampled_from(["int", "slice", "array", "mask"]))
        if kind == "int":
            parts.append(data.draw(st.integers(-size, size - 1)))
        elif kind == "slice":
            parts.append(data.draw(st.slices(size)))
        elif kind == "array":
            parts.append(data.draw(hnp.arrays(np.int64, length, elements=st.integers(-size, size - 1))))
        else:
            mask = np.zeros(size, bool)
            mask[: min(length, size)] = True
            # what a mask picks must broadcast with the arrays
            parts.append(mask if mask.sum() == length else slice(None))
        if data.draw(st.booleans()):
            parts.append(None)
    if data.draw(st.booleans()):
        parts.append(...)
    check(draw(cases.ANY, shape), tuple(parts))


SLICES = {
    "overlapping": lambda x: x[1:] - x[:-1],
    "halves": lambda x: x[:50].sum() + 2 * x[50:].sum(),
    "thrice": lambda x: x[:60] * x[20:80] + x[40:],
    "columns": lambda x: x[:, ::2] * x[:, 1::2],
    "backwards": lambda x: x[::-1] * x,
    "one of all": lambda x: x[:, 3] * x[7, :100],
    "of a view": lambda x: x.t()[1:] * x[:, :-1].t(),
    "of a computed one": lambda x: (y := x.exp())[1:] * y[:-1] + y[:-1],
    "used as well": lambda x: x[1:] * 2 + (x * x)[1:] + x[0],
    "with a new axis": lambda x: x[None, 10:] + x[10:, None].sum(1),
    "by arrays too": lambda x: x[[3, 3, 5]].sum() + x[2:90].sum() + x[x.data > 0].sum(),
}


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_slices_of_large_arrays_are_torchs(name, dtype):
    torch = peer("torch")
    array = draw(cases.ANY, (100, 100), dtype)
    x, t = Variable(array), torch.tensor(array, requires_grad=True)
    for seed in range(2):  # into a gradient that is there, too
        y = SLICES[name](x)
        in_torch = t.flip(0) * t if name == "backwards" else SLICES[name](t)
        cotangent = draw(cases.ANY, y.shape, dtype, seed)
        y.backward(cotangent)
        in_torch.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=2e-5 if dtype == "float32" else 1e-12, atol=1e-5)


def test_the_sum_of_slices_is_nobody_elses():
    x = Variable(np.zeros((100, 100)))
    y = x * 1.0
    a, b = y[:60], y[20:]
    kept = nbgrad.autograd.grad((a.sum() * 2 + b.sum()), [x, y, a, b])
    assert not any(np.shares_memory(kept[i].data, kept[j].data) for i in range(4) for j in range(i))
    np.testing.assert_array_equal(kept[1].data[:, 0], [2] * 20 + [3] * 40 + [1] * 40)
    np.testing.assert_array_equal(kept[0].data, kept[1].data)
    assert (kept[2].data == 2).all() and (kept[3].data == 1).all()
    y = x * 1.0
    y.retain_grad()
    z = y[:60].sum() * 2 + y[20:].sum() + y.sum()
    z.backward()
    assert not np.shares_memory(x.grad.data, y.grad.data)
    np.testing.assert_array_equal(y.grad.data[:, 0], [3] * 20 + [4] * 40 + [2] * 40)
    np.testing.assert_array_equal(x.grad.data, y.grad.data)


def test_slices_of_an_array_replaced_meanwhile_are_refused():
    x = Variable(np.zeros((100, 100)))
    y = x[10:90] - x[20:]
    x.data = np.zeros((90, 100))
    with pytest.raises((IndexError, ValueError, RuntimeError)):
        y.backward(np.ones(y.shape))
    assert x.grad is None


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint64"])
@pytest.mark.parametrize("layout", ["contiguous", "strided", "Fortran-ordered"])
@pytest.mark.parametrize(("dim", "shape"), [(0, (2, 4, 3)), (1, (5, 2, 1)), (-1, (1, 1, 7)), (2, (5, 4, 2))], ids=str)
def test_take_along_dim_of_any_layout_and_positions(layout, dtype, dim, shape):
    x = Variable(LAYOUTS[layout](draw(cases.ANY, (5, 4, 3))))
    positions = np.random.default_rng(0).integers(0 if dtype == "uint64" else -3, 3, shape).astype(dtype)
    y = nbgrad.take_along_dim(x, positions, dim)
    np.testing.assert_array_equal(y.data, np.take_along_axis(x.data, positions.astype(np.int64), dim))
    positions[...] = 0  # what was picked, not what the array says now
    gy = draw(cases.ANY, y.shape)
    (gx,) = nbgrad.autograd.grad(y, x, gy)
    assert gx.data.sum() == pytest.approx(gy.sum(), rel=1e-12)
    np.testing.assert_allclose((gx.data * x.data).sum(), (gy * y.data).sum(), rtol=1e-12)


def test_positions_outside_along_a_dimension_are_refused():
    x = Variable(draw(cases.ANY, (3, 4)))
    for wrong in (np.full((3, 1), -5), np.full((3, 1), 4)):
        with pytest.raises(IndexError):
            nbgrad.take_along_dim(x, wrong, 1)
