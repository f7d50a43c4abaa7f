"""Reductions over any axes, softmax and log_softmax, maxima with their indices."""

import itertools

import cases
import numpy as np
import pytest
from cases import DTYPES, INTEGERS, LAYOUTS, REDUCTIONS, TOLERANCE, draw
from helpers import usually
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.kernels import reductions

SHAPE = (2, 3, 4)
AXES = [None, 0, 1, 2, -1, (0, 1), (1, 2), (0, 2), (2, 0), (-1, 0), (0, 1, 2), [1]]
SOFTMAXES = {"softmax": nbgrad.softmax, "log_softmax": nbgrad.log_softmax}
EXTREMA = {"max": (nbgrad.max, np.max, np.argmax), "min": (nbgrad.min, np.min, np.argmin)}

every_reduction = pytest.mark.parametrize("case", REDUCTIONS, ids=lambda case: case.name)
every_axes = pytest.mark.parametrize("axes", AXES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_layout = pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("0-d", "empty")])
whether_kept = pytest.mark.parametrize("keepdim", [False, True], ids=["dropped", "kept"])
every_softmax = pytest.mark.parametrize("name", SOFTMAXES)
every_extremum = pytest.mark.parametrize("name", EXTREMA)


def placed(layout, dtype, shape=SHAPE, domain=cases.NONZERO):
    return LAYOUTS[layout](draw(domain, shape, dtype))


def dims_of(axes, ndim):
    """Give axes as NumPy and torch take them: a tuple of non-negative numbers."""
    if axes is None:
        return tuple(range(ndim))
    return tuple(axis % ndim for axis in (axes if isinstance(axes, tuple | list) else (axes,)))


@every_reduction
@every_axes
@every_dtype
@every_layout
def test_values_are_numpys_and_gradients_torchs(case, axes, dtype, layout):
    array = placed(layout, dtype)
    dims = dims_of(axes, array.ndim)
    keepdim = len(dims) % 2 == 0
    expected = case.numpy(array, axis=dims, keepdims=keepdim)
    actual = case.function(Variable(array), axes, keepdim)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == dtype
    np.testing.assert_allclose(actual.data, expected, **TOLERANCE[dtype])
    cases.assert_same_as_torch(
        lambda x: case.function(x, axes, keepdim),
        lambda t, x: case.torch(t, x, dims, keepdim),
        [array],
        LAYOUTS[layout],
    )


@every_reduction
@pytest.mark.parametrize("axes", [None, 0, 1, -1, (0, 2), (0, 1)], ids=str)
@whether_kept
def test_gradients_agree_with_differences_to_second_order(case, axes, keepdim):
    cases.check_to_second_order(lambda x: case.function(x, axes, keepdim), [draw(cases.NONZERO, (2, 3, 2))])


@every_reduction
def test_both_spellings_of_arguments_mean_the_same(case):
    x = Variable(draw(cases.ANY, SHAPE))
    expected = case.function(x, 1, True).data
    for actual in (
        case.function(x, dim=1, keepdim=True),
        case.function(x, axis=1, keepdims=True),
        getattr(x, case.name)(1, True),
        getattr(x, case.name)(axis=(1,), keepdims=True),
    ):
        np.testing.assert_array_equal(actual.data, expected)
    with pytest.raises(TypeError, match=f"{case.name}: give dim or axis, not both"):
        case.function(x, 1, axis=1)
    with pytest.raises(TypeError, match=f"{case.name}: give keepdim or keepdims, not both"):
        case.function(x, 1, True, keepdims=True)


@every_reduction
@pytest.mark.parametrize("dim", [None, 0, -1, ()], ids=str)
@every_dtype
def test_scalars_reduce_to_themselves(case, dim, dtype):
    array = np.array(1.5, dtype)
    x = Variable(array)
    y = case.function(x, dim)
    assert y.shape == ()
    y.backward()
    assert y.item() == array.item()
    assert x.grad.item() == 1
    assert x.grad.dtype == dtype


@every_reduction
def test_no_axes_reduce_nothing(case):
    array = draw(cases.NONZERO, (2, 3))
    x = Variable(array)
    y = case.function(x, ())
    np.testing.assert_allclose(y.data, array, rtol=1e-12)
    y.backward(array)
    np.testing.assert_allclose(x.grad.data, array, rtol=1e-12)


@pytest.mark.parametrize(("name", "value"), [("sum", 0.0), ("mean", np.nan), ("prod", 1.0), ("logsumexp", -np.inf)])
@pytest.mark.parametrize(
    ("shape", "axes"), [((0,), None), ((0, 3), 0), ((2, 0, 3), 1), ((2, 0), (1,)), ((3, 0, 2), (0, 1))]
)
@every_dtype
def test_reducing_nothing_gives_the_identity_silently(name, value, shape, axes, dtype):
    x = Variable(np.zeros(shape, dtype))
    y = getattr(nbgrad, name)(x, axes)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.data, np.full(np.zeros(shape).sum(axis=axes).shape, value))
    y.backward(np.ones(y.shape, dtype))
    assert x.grad.shape == shape


@every_reduction
@pytest.mark.parametrize(("shape", "axes"), [((0, 3), 1), ((3, 0), 0), ((0, 0, 2), 2)])
def test_results_without_elements_are_empty(case, shape, axes):
    x = Variable(np.zeros(shape))
    y = case.function(x, axes)
    assert y.shape == case.numpy(np.zeros(shape), axis=axes).shape
    y.backward(np.zeros(y.shape))
    assert x.grad.shape == shape


@pytest.mark.parametrize("name", ["amax", "amin", "max", "min"])
def test_the_extremum_of_nothing_is_refused(name):
    for dim in (None, 1, (0, 1)):
        with pytest.raises(ValueError, match=rf"{name[-3:]}: no elements to take it of in shape \(3, 0\)"):
            getattr(nbgrad, name)(Variable(np.zeros((3, 0))), dim)


@every_reduction
@pytest.mark.parametrize("dtype", usually([*INTEGERS, "bool"], "int32", "uint8", "bool"))
def test_whole_numbers_reduce_as_in_numpy(case, dtype):
    array = np.array([[1, 0, 1], [1, 1, 0]]).astype(dtype)
    expected = case.numpy(array.astype(float) if reductions.TABLE[case.name].floating else array, axis=1)
    actual = case.function(Variable(array), 1)
    assert actual.dtype == expected.dtype
    assert not actual.requires_grad
    np.testing.assert_allclose(actual.data, expected)


def test_small_integers_do_not_overflow():
    x = Variable(np.array([200, 100], np.uint8))
    assert nbgrad.sum(x).item() == 300
    assert nbgrad.prod(x).item() == 20_000
    assert nbgrad.mean(x).item() == 150


@every_reduction
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 3, 6])
@every_dtype
def test_special_values_pass_silently(case, special, position, dtype):
    array = np.linspace(-1, 2, 7).astype(dtype)
    array[position] = special
    for axis, values in ((None, array), (0, np.stack([array, array], -1)), (1, np.stack([array, array]))):
        with np.errstate(all="ignore"):
            expected = case.numpy(values, axis=axis)
        np.testing.assert_allclose(case.function(Variable(values), axis).data, expected, **TOLERANCE[dtype])


@every_dtype
def test_logsumexp_neither_overflows_nor_loses_infinities(dtype):
    x = Variable(np.array([[1000, 1000], [-1000, -1000], [-np.inf, 0], [np.inf, 0], [-np.inf, -np.inf]], dtype))
    y = nbgrad.logsumexp(x, 1)
    np.testing.assert_allclose(y.data, [1000 + np.log(2), -1000 + np.log(2), 0, np.inf, -np.inf], rtol=1e-6)
    y[[0, 1, 2, 4]].sum().backward()
    rtol = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(x.grad.data[[0, 1, 2, 4]], [[0.5, 0.5], [0.5, 0.5], [0, 1], [0, 0]], rtol=rtol)


@pytest.mark.parametrize("zeros", [[], [0], [3], [1, 4], [0, 1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8])
def test_gradients_of_products_are_right_for_zeros(zeros, length):
    array = draw(cases.NONZERO, (length,))
    array[[zero for zero in zeros if zero < length]] = 0
    x = Variable(array)
    nbgrad.prod(x).backward()
    np.testing.assert_allclose(x.grad.data, [np.prod(np.delete(array, i)) for i in range(length)], rtol=1e-12)
    cases.check_to_second_order(nbgrad.prod, [array])


@pytest.mark.parametrize("shape", [(3, 1000), (1000, 3), (70, 130), (2, 64, 65), (200_003,), (600, 601)], ids=str)
@every_reduction
@every_dtype
def test_long_axes(case, shape, dtype):
    """Lanes, blocks of rows and pieces for the threads all have rests."""
    array = (np.random.default_rng(0).uniform(-1, 1, shape) + (case.name == "prod")).astype(dtype)
    if case.name == "prod":  # products near 1, or they vanish
        array = (1 + (array - 1) / array.size).astype(dtype)
    for axes in (None, *range(len(shape))):
        actual = case.function(Variable(array), axes)
        expected = case.numpy(array.astype(np.float64), axis=axes)
        np.testing.assert_allclose(actual.data, expected, rtol=1e-4 if dtype == "float32" else 1e-10, atol=1e-7)


def test_float32_is_added_up_without_losing_small_terms():
    array = np.full(1_000_001, 0.1, np.float32)
    array[0] = 1e6
    exact = float(np.sum(array.astype(np.float64)))
    assert abs(nbgrad.sum(Variable(array)).item() - exact) <= 0.07  # half a unit in the last place
    assert abs(nbgrad.sum(Variable(array.reshape(1, -1)), 1).item() - exact) <= 0.07


# ---- max and min ----------------------------------------------------------------------------------------------------


@every_extremum
@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@every_layout
@every_dtype
def test_extrema_along_a_dimension_give_values_and_indices(name, dim, layout, dtype):
    keepdim = dim == 1
    function, numpy_values, numpy_indices = EXTREMA[name]
    array = placed(layout, dtype)
    values, indices = function(Variable(array), dim, keepdim)
    np.testing.assert_array_equal(values.data, numpy_values(array, axis=dim, keepdims=keepdim))
    np.testing.assert_array_equal(indices.data, numpy_indices(array, axis=dim, keepdims=keepdim))
    assert indices.dtype == np.int64
    assert not indices.requires_grad
    assert values.dtype == dtype
    cases.assert_same_as_torch(
        lambda x: function(x, dim, keepdim).values,
        lambda t, x: getattr(t, name)(x, dim, keepdim).values,
        [array],
        LAYOUTS[layout],
    )


@every_extremum
def test_gradients_of_extrema_agree_with_differences_to_second_order(name):
    function = EXTREMA[name][0]
    array = draw(cases.ANY, (3, 4))
    cases.check_to_second_order(lambda x: function(x, 1).values, [array])
    cases.check_to_second_order(lambda x: function(x * x, axis=0), [array])
    cases.check_to_second_order(lambda x: function(x * x), [array])


@every_extremum
def test_extrema_spelled_numpys_way_give_values_alone(name):
    function, reference, _ = EXTREMA[name]
    array = draw(cases.ANY, SHAPE)
    x = Variable(array)
    for axes in (0, -1, (0, 2)):
        np.testing.assert_array_equal(function(x, axis=axes).data, reference(array, axis=axes))
        kept = function(x, axis=axes, keepdims=True)
        np.testing.assert_array_equal(kept.data, reference(array, axis=axes, keepdims=True))
    np.testing.assert_array_equal(getattr(x, name)().data, reference(array))
    np.testing.assert_array_equal(getattr(x, name)((0, 1)).data, reference(array, axis=(0, 1)))


@every_extremum
def test_extrema_of_two_are_elementwise(name):
    function = EXTREMA[name][0]
    x, y = draw(cases.ANY, (3,), seed=0), draw(cases.ANY, (3,), seed=1)
    expected = getattr(np, f"{name}imum")(x, y)
    np.testing.assert_array_equal(function(Variable(x), Variable(y)).data, expected)
    np.testing.assert_array_equal(function(Variable(x), y).data, expected)


@every_extremum
def test_arguments_of_extrema_are_spelled_one_way_or_refused(name):
    function = EXTREMA[name][0]
    x = Variable(draw(cases.ANY, (2, 3)))
    assert function(x, 1, keepdims=True).values.shape == (2, 1)
    with pytest.raises(TypeError, match=f"{name}: give dim or axis, not both"):
        function(x, 1, axis=0)
    with pytest.raises(TypeError, match=f"{name}: give keepdim or keepdims, not both"):
        function(x, 1, True, keepdims=True)


@every_extremum
def test_ties_share_the_gradient_except_where_there_is_an_index(name):
    function = EXTREMA[name][0]
    array = np.array([[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]])
    for call, expected in (
        (lambda x: function(x), np.full((2, 3), 1 / 6)),
        (lambda x: function(x, axis=1).sum(), np.full((2, 3), 1 / 3)),
        (lambda x: function(x, axis=0, keepdims=True).sum(), np.full((2, 3), 1 / 2)),
        (lambda x: function(x, 1).values.sum(), np.array([[1.0, 0.0, 0.0]] * 2)),
    ):
        x = Variable(array)
        call(x).backward()
        np.testing.assert_allclose(x.grad.data, expected)
    assert function(Variable(array), 1).indices.tolist() == [0, 0]


@every_extremum
def test_nan_is_the_extremum_and_its_index_that_of_the_first(name):
    values, indices = EXTREMA[name][0](Variable(np.array([[1.0, np.nan, 3.0, np.nan]])), 1)
    assert np.isnan(values.item())
    assert indices.item() == 1


@every_extremum
@pytest.mark.parametrize("dim", [0, -1])
def test_a_scalars_extremum_is_at_index_0(name, dim):
    x = Variable(np.array(3.0))
    values, indices = EXTREMA[name][0](x, dim)
    values.backward()
    assert (values.item(), indices.item(), x.grad.item()) == (3.0, 0, 1.0)
    assert values.shape == indices.shape == ()


@every_extremum
def test_extrema_along_a_dimension_of_an_array_without_columns_are_empty(name):
    values, indices = EXTREMA[name][0](Variable(np.zeros((3, 0))), 0)
    assert values.shape == indices.shape == (0,)


@every_extremum
def test_extrema_of_arrays_are_arrays(name):
    array = draw(cases.ANY, (2, 3))
    values, indices = EXTREMA[name][0](array, 1)
    assert isinstance(values, np.ndarray)
    assert isinstance(indices, np.ndarray)


# ---- softmax --------------------------------------------------------------------------------------------------------


@every_softmax
@pytest.mark.parametrize("dim", [0, 1, 2, 3, -1])
@every_layout
@every_dtype
def test_softmax_over_every_axis_is_torchs(name, dim, layout, dtype):
    array = placed(layout, dtype, (2, 3, 4, 5))
    cases.assert_same_as_torch(
        lambda x: SOFTMAXES[name](x, dim), lambda t, x: getattr(t, name)(x, dim), [array], LAYOUTS[layout]
    )


@every_softmax
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_softmax_agrees_with_differences_to_second_order(name, dim):
    cases.check_to_second_order(lambda x: SOFTMAXES[name](x, dim), [draw(cases.ANY, (2, 3, 2))])


@every_softmax
def test_softmax_agrees_with_scipy(name):
    array = draw(cases.ANY, (3, 4))
    expected = getattr(peer("scipy.special"), name)(array, axis=1)
    for actual in (
        SOFTMAXES[name](Variable(array)),
        SOFTMAXES[name](Variable(array), axis=1),
        getattr(Variable(array), name)(1),
    ):
        np.testing.assert_allclose(actual.data, expected, rtol=1e-12)
    np.testing.assert_allclose(SOFTMAXES[name](array, 1), expected, rtol=1e-12)


@every_softmax
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)], ids=str)
@pytest.mark.parametrize("dim", [0, -1])
def test_softmax_of_nothing_is_empty(name, shape, dim):
    x = Variable(np.zeros(shape))
    y = SOFTMAXES[name](x, dim)
    assert y.shape == shape
    y.backward(np.zeros(shape))
    assert x.grad.shape == shape


@every_softmax
def test_softmax_of_a_scalar(name):
    x = Variable(np.array(3.0))
    y = SOFTMAXES[name](x, 0)
    y.backward()
    assert y.item() == (1.0 if name == "softmax" else 0.0)
    assert x.grad.item() == 0
    cases.check_to_second_order(SOFTMAXES[name], [np.array(3.0)])


@every_dtype
def test_softmax_neither_overflows_nor_warns(dtype):
    array = np.array([[1e4, 0], [-1e4, -1e4], [-np.inf, 0], [np.nan, 0], [np.inf, 0], [-np.inf, -np.inf]], dtype)
    nan = np.nan
    expected = [[1, 0], [0.5, 0.5], [0, 1], [nan, nan], [nan, nan], [nan, nan]]
    np.testing.assert_allclose(nbgrad.softmax(Variable(array), 1).data[:4], expected[:4])
    assert np.isnan(nbgrad.softmax(Variable(array), 1).data[4:]).any(axis=1).all()
    logs = nbgrad.log_softmax(Variable(array), 1).data
    half = np.log(0.5)
    np.testing.assert_allclose(logs[:4], [[0, -1e4], [half, half], [-np.inf, 0], [nan, nan]], rtol=1e-6)
    np.testing.assert_allclose(
        nbgrad.softmax(Variable(array.T.copy()), 0).data, nbgrad.softmax(Variable(array), 1).data.T
    )


@every_softmax
def test_softmax_of_whole_numbers_is_float64(name):
    y = SOFTMAXES[name](Variable(np.array([1, 2, 3])), 0)
    np.testing.assert_allclose(y.data, SOFTMAXES[name](np.array([1.0, 2.0, 3.0]), 0))
    assert y.dtype == np.float64


# ---- refusals -------------------------------------------------------------------------------------------------------

NAMES = [case.name for case in REDUCTIONS]


@pytest.mark.parametrize("name", [*NAMES, "softmax", "log_softmax", "max", "min"])
@pytest.mark.parametrize("dim", [2, -3])
def test_dimensions_that_do_not_exist_are_refused(name, dim):
    with pytest.raises(IndexError, match=f"{name}: dimension {dim} is out of range for 2 dimensions"):
        getattr(nbgrad, name)(Variable(np.ones((2, 3))), dim)


@pytest.mark.parametrize("name", [*NAMES, "softmax", "log_softmax", "max", "min"])
@pytest.mark.parametrize("dim", [1.5, "rows"])
def test_dimensions_that_are_no_whole_numbers_are_refused(name, dim):
    with pytest.raises(TypeError, match=f"{name}: a dimension is a whole number, got {dim!r}"):
        getattr(nbgrad, name)(Variable(np.ones((2, 3))), dim)


@every_reduction
def test_dimensions_named_twice_are_refused(case):
    with pytest.raises(ValueError, match=rf"{case.name}: a dimension appears twice in \(0, -2\)"):
        case.function(Variable(np.ones((2, 3))), (0, -2))


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin"])
@pytest.mark.parametrize(
    "array", [np.array([1j]), np.array(["a"]), np.array([None])], ids=["complex", "text", "object"]
)
def test_dtypes_without_kernels_are_refused(name, array):
    with pytest.raises(TypeError, match=f"{name}: no kernel for dtype {array.dtype}".replace("<", ".")):
        getattr(nbgrad, name)(Variable(array))


@pytest.mark.parametrize("name", ["mean", "logsumexp", "softmax", "log_softmax"])
@pytest.mark.parametrize(
    "array", [np.array([1j]), np.array(["a"]), np.array([None])], ids=["complex", "text", "object"]
)
def test_dtypes_that_floating_reductions_cannot_take_are_refused(name, array):
    with pytest.raises(TypeError, match=f"{name}: no kernel for dtype {array.dtype}".replace("<", ".")):
        getattr(nbgrad, name)(Variable(array))


# ---- properties -----------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(data=st.data())
def test_any_shape_and_axes(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
    axes = data.draw(hnp.valid_tuple_axes(len(shape), min_size=1))
    keepdim = data.draw(st.booleans())
    array = draw(cases.NONZERO, shape)
    order = data.draw(st.permutations(range(len(shape))))
    array = array.transpose(order)
    # extrema of nothing are refused, and torch knows no logsumexp of it
    known = [case for case in REDUCTIONS if array.size or case.name in ("sum", "mean", "prod")]
    case = data.draw(st.sampled_from(known))
    dims = dims_of(axes, len(shape))
    cases.assert_same_as_torch(
        lambda x: case.function(x, axes, keepdim), lambda t, x: case.torch(t, x, dims, keepdim), [array]
    )


@pytest.mark.parametrize("pair", [*itertools.combinations(range(3), 2)], ids=str)
def test_reducing_one_axis_after_the_other_is_reducing_both(pair):
    x = Variable(draw(cases.ANY, SHAPE))
    for function in (nbgrad.sum, nbgrad.amax, nbgrad.logsumexp):
        both = function(x, pair)
        np.testing.assert_allclose(function(function(x, pair[1]), pair[0]).data, both.data, rtol=1e-12)


@pytest.mark.parametrize("name", ["sum", "mean", "prod"])
@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32")])
@pytest.mark.parametrize("dim", [None, 1])
def test_reductions_in_another_dtype_are_torchs(name, dtypes, dim):
    torch = peer("torch")
    array = (np.arange(1, 7).reshape(2, 3) / 4).astype(dtypes[0])
    function = getattr(nbgrad, name)
    wanted, dimension = getattr(torch, dtypes[1]), {} if dim is None else {"dim": dim}
    cases.assert_same_as_torch(
        lambda x: function(x, **dimension, dtype=dtypes[1]),
        lambda t, x: getattr(t, name)(x, **dimension, dtype=wanted),
        [array],
        tolerance={"rtol": 1e-6},
    )
    assert function(array, keepdims=True, dtype=dtypes[1]).shape == (1, 1)


def test_whole_numbers_are_reduced_in_the_dtype_that_is_asked_for():
    x = nbgrad.tensor([100, 100, 1], dtype=np.int8)
    for function in (nbgrad.sum, nbgrad.mean, nbgrad.prod):
        mean = function(x, dtype=np.float32)
        assert mean.dtype == np.float32
        np.testing.assert_allclose(mean.data, getattr(np, function.__name__)(x.data, dtype=np.float32), rtol=1e-6)
    assert nbgrad.sum(x, dtype=np.int8).data == np.sum(x.data, dtype=np.int8)
    assert nbgrad.sum(x, axis=0, dtype=np.int16).dtype == np.int16
    assert nbgrad.sum(nbgrad.tensor([1.6, 1.6]), dtype=int).item() == 2
    for function in (nbgrad.mean, nbgrad.softmax, nbgrad.log_softmax):
        with pytest.raises(TypeError, match=f"{function.__name__}: dtype is int64"):
            function(x, dtype=np.int64)
    with pytest.raises(TypeError, match="sum: give dim or axis, not both"):
        nbgrad.sum(x, dim=0, axis=0, dtype=np.int8)
    with pytest.raises(TypeError, match="sum: give keepdim or keepdims, not both"):
        nbgrad.sum(x, keepdim=True, keepdims=False, dtype=np.int8)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_in_another_dtype_is_torchs(name):
    array = np.arange(6).reshape(2, 3) % 4
    for dtype in ("float32", "float64"):
        cases.assert_same_as_torch(
            lambda x, dtype=dtype: getattr(nbgrad, name)(x, 0, dtype=dtype),
            lambda t, x, dtype=dtype: getattr(t, name)(x, 0, dtype=getattr(t, dtype)),
            [array.astype("float32")],
            tolerance={"rtol": 1e-6, "atol": 1e-6},
        )


def test_reductions_in_another_dtype_are_compiled():
    def program(x):
        return nbgrad.sum(x, dtype=np.float64) + (nbgrad.softmax(x, 0, dtype=np.float64) * nbgrad.prod(x, 0)).sum()

    x = np.linspace(0.5, 1, 6, dtype=np.float32).reshape(2, 3)
    value, slope = nbgrad.jit(nbgrad.value_and_grad(program))(x)
    expected, theirs = nbgrad.value_and_grad(program)(x)
    np.testing.assert_allclose(value, expected, rtol=1e-7)
    np.testing.assert_allclose(slope, theirs, rtol=1e-6)
    assert slope.dtype == np.float32


def test_values_and_their_indices_never_become_one_array():
    """Which NumPy makes of a pair unasked, with the indices for its second row."""
    x = nbgrad.tensor([[1.0, 3.0], [4.0, 2.0]])
    for wrong in (
        lambda: x.data - x.max(-1, keepdims=True),
        lambda: np.exp(x.max(-1)),
        lambda: np.sum(x.sort()),
        lambda: np.asarray(x.median(-1)),
        lambda: x - x.max(-1, keepdims=True),
    ):
        with pytest.raises(TypeError, match=r"take \.values, or give axis= instead of dim"):
            wrong()
    values, places = x.max(-1, keepdims=True)
    np.testing.assert_array_equal(values.data, x.max(axis=-1, keepdims=True).data)
    np.testing.assert_array_equal(places.data, [[1], [0]])
