"""Running sums, products, extrema and log-sum-exp, along one axis."""

import cases
import numpy as np
import pytest
from cases import DTYPES, INTEGERS, LAYOUTS, SCANS, TOLERANCE, draw
from helpers import usually
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import peer

import nbgrad
from nbgrad import Variable

SHAPE = (2, 3, 4)
EXTREMA = {"cummax": nbgrad.cummax, "cummin": nbgrad.cummin}

every_scan = pytest.mark.parametrize("case", SCANS, ids=repr)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
every_extremum = pytest.mark.parametrize("name", EXTREMA)


@every_scan
@every_dtype
@every_layout
def test_values_are_numpys_and_gradients_torchs(case, dtype, layout):
    array = LAYOUTS[layout](draw(cases.NONZERO, SHAPE, dtype))
    for dim in range(max(array.ndim, 1)):
        actual = case.function(Variable(array), dim)
        assert actual.shape == array.shape
        assert actual.dtype == dtype
        if array.ndim:
            np.testing.assert_allclose(actual.data, case.numpy(array, dim), **TOLERANCE[dtype])
        cases.assert_same_as_torch(
            lambda x, dim=dim: case.function(x, dim),
            lambda t, x, dim=dim: case.torch(t, x, dim),
            [array],
            LAYOUTS[layout],
        )


@every_scan
@pytest.mark.parametrize("shape", [(5,), (2, 3), (3, 1), (2, 3, 2)], ids=str)
def test_gradients_agree_with_differences_to_second_order(case, shape):
    for dim in range(len(shape)):
        cases.check_to_second_order(lambda x, dim=dim: case.function(x, dim), [draw(cases.NONZERO, shape)])


@pytest.mark.parametrize("zeros", [[0], [2], [5], [0, 1], [1, 3], [0, 2, 5], [0, 1, 2, 3, 4, 5]], ids=str)
def test_gradients_of_products_are_right_for_zeros(zeros):
    array = draw(cases.NONZERO, (6,))
    array[zeros] = 0
    cases.check_to_second_order(lambda x: nbgrad.cumprod(x, 0), [array])
    cases.assert_same_as_torch(lambda x: nbgrad.cumprod(x, 0), lambda t, x: x.cumprod(0), [array])


def test_third_derivatives_of_products():
    x = Variable(np.array([2.0, 0.0, 3.0, -1.0]))
    y = nbgrad.cumprod(x, 0)[-1]
    for _ in range(3):
        (g,) = nbgrad.autograd.grad(y.sum(), [x], create_graph=True)
        y = g * nbgrad.tensor(np.arange(1.0, 5.0))
    # of a * b * c * d along 1 to 4 twice: what is left of each by one of them is the other two's weights, and the last
    w, a = np.arange(1, 5), x.data
    left = [{*range(4)} - {i} for i in range(4)]
    expected = [2 * sum(np.prod(w[[*rest - {k}]]) * a[k] for k in rest) for rest in left]
    np.testing.assert_allclose(g.data, expected, rtol=1e-12)


@every_scan
def test_both_spellings_and_methods_mean_the_same(case):
    x = Variable(draw(cases.ANY, SHAPE))
    function = getattr(nbgrad, case.name)
    expected = function(x, 1)
    for actual in (function(x, dim=1), function(x, axis=-2), getattr(x, case.name)(1), getattr(x, case.name)(axis=1)):
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(one.data, other.data)
    array = function(x.data, 1)
    assert isinstance(array if isinstance(array, np.ndarray) else array[0], np.ndarray)


@every_scan
def test_bad_input_is_refused_by_name(case):
    function, x = getattr(nbgrad, case.name), Variable(np.ones((2, 3)))
    with pytest.raises(IndexError, match=f"{case.name}: dimension 2 is out of range for 2 dimensions"):
        function(x, 2)
    with pytest.raises(TypeError, match=f"{case.name}: give dim, the dimension to go along"):
        function(x)
    with pytest.raises(TypeError, match=f"{case.name}: give dim or axis, not both"):
        function(x, 1, axis=1)
    with pytest.raises(TypeError, match=f"{case.name}: a dimension is a whole number, got 0.5"):
        function(x, 0.5)
    for dtype in (complex, object, "U1", np.longdouble):
        with pytest.raises(TypeError, match=f"{case.name}: no kernel for dtype .*: convert to a real dtype first"):
            function(np.ones(3, dtype), 0)


@pytest.mark.parametrize("dtype", usually(["bool", *INTEGERS], "bool", "int8", "uint64"))
def test_whole_numbers_add_up_in_64_bits(dtype):
    array = draw(((0, 3),), (3, 4)).astype(dtype)
    for name in ("cumsum", "cumprod") if dtype == "int8" else ("cumsum",):
        y = getattr(nbgrad, name)(Variable(array), 1)
        expected = getattr(np, name)(array, 1)
        assert y.dtype == expected.dtype
        assert not y.requires_grad
        np.testing.assert_array_equal(y.data, expected)


def test_the_dtype_that_is_asked_for():
    x = Variable(np.array([1.75, 2.5, 0.5]))
    assert nbgrad.cumsum(x, 0, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(nbgrad.cumsum(x, 0, dtype=int).data, [1, 3, 3])
    half = nbgrad.cumprod(np.ones(3, np.float16), 0, dtype=np.float16)
    assert half.dtype == np.float16
    assert nbgrad.cumsum(np.ones(3, np.float16), 0).dtype == nbgrad.sum(np.ones(3, np.float16)).dtype
    assert nbgrad.logcumsumexp(np.ones(3, int), 0).dtype == np.float64
    nbgrad.cumsum(x, 0, dtype=np.float32).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3, 2, 1])
    assert x.grad.dtype == np.float64


# ---- extrema --------------------------------------------------------------------------------------------------------


@every_extremum
@pytest.mark.parametrize(
    "dtype", usually(["float32", "float64", "int16", "uint8", "bool"], "float32", "float64", "int16")
)
def test_indices_are_torchs_also_of_equal_elements_and_nan(name, dtype):
    torch = peer("torch")
    array = np.random.default_rng(3).integers(0, 2 if dtype == "bool" else 4, (9, 12)).astype(dtype)
    arrays = [array]
    if array.dtype.kind == "f":
        arrays.append(np.array([-np.inf, 1, np.nan, np.inf], dtype)[array.astype(int)])
    for x in arrays:
        for dim in (0, 1):
            found = EXTREMA[name](Variable(x), dim)
            expected = getattr(torch, name)(torch.tensor(x), dim)
            assert found.values.dtype == x.dtype
            assert found.indices.dtype == np.int64
            np.testing.assert_array_equal(found.values.data, expected.values.numpy())
            np.testing.assert_array_equal(found.indices.data, expected.indices.numpy())


@every_extremum
def test_the_last_of_equal_elements_has_the_gradient(name):
    array = np.array([[1.0, 1.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    cases.assert_same_as_torch(lambda x: EXTREMA[name](x, 1)[0], lambda t, x: getattr(x, name)(1)[0], [array])


# ---- log-sum-exp ----------------------------------------------------------------------------------------------------


@every_dtype
def test_logcumsumexp_neither_overflows_nor_loses_infinities(dtype):
    inf = np.inf
    x = Variable(np.array([[-inf, -inf, 1, 2], [1000, 1000, -1000, 1001], [inf, 1, -inf, 2], [1, np.nan, 2, 3]], dtype))
    y = nbgrad.logcumsumexp(x, 1)
    log2 = np.log(2)
    expected = [
        [-inf, -inf, 1, np.logaddexp(1, 2)],
        [1000, 1000 + log2, 1000 + log2, 1000 + np.logaddexp(log2, 1)],
        [inf] * 4,
        [1, np.nan, np.nan, np.nan],
    ]
    np.testing.assert_allclose(y.data, expected, rtol=TOLERANCE[dtype]["rtol"])
    y[:2, 2:].sum().backward()
    a, b = 1 / (1 + np.e), 1 / (2 + np.e)
    wanted = [[0, 0, 1 + a, 1 - a], [0.5 + b, 0.5 + b, 0, 1 - 2 * b]]
    # float32 around 1000 has four digits behind the point
    np.testing.assert_allclose(x.grad.data[:2], wanted, rtol=1e-4)


def test_gradients_of_logcumsumexp_where_elements_leave_no_trace():
    """Later elements too small to change the value: a difference of 0 is no constant."""
    cases.check_to_second_order(lambda x: nbgrad.logcumsumexp(x, 0), [np.array([3.0, -80.0, 1.0, -90.0, 4.0])])


# ---- lengths --------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    st.sampled_from(SCANS),
    st.sampled_from([(1, 1 << 16), (70, 130), (9, 66), (3, 1 << 16), (130, 70)]),
    st.integers(-3, 3),
    st.integers(-3, 3),
    st.booleans(),
    st.booleans(),
)
def test_any_length_gives_what_torch_gives(case, shape, more_rows, more, transposed, backwards):
    rows, length = max(shape[0] + more_rows, 1), shape[1] + more
    array = draw(((0.9999, 1.0001),), (rows, length), "float64", 5)
    array = (array.T if transposed else array)[:, :: -1 if backwards else 1]
    cases.assert_same_as_torch(
        lambda x: case.function(x, 1),
        lambda t, x: case.torch(t, x, 1),
        [array],
        tolerance={"rtol": 1e-10, "atol": 1e-10},
    )


def test_all_derivatives_of_a_chain():
    """Scans of scans, through views: the graph keeps what their rules read."""

    def chain(x):
        y = nbgrad.cumprod(nbgrad.cumsum(x, 0).T, 0)
        return nbgrad.logcumsumexp(y[::-1], 1) * nbgrad.cummax(y, 1).values

    cases.check_to_second_order(chain, [draw(cases.NONZERO, (3, 2))])


def test_nothing_is_kept_that_no_rule_reads():
    x = Variable(np.ones(1 << 16))
    y = nbgrad.cumsum(x * 2, 0)
    assert y.creator.inputs[0].data.strides == (0,)
