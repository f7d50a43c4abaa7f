"""Matrix products in all ranks, with batches that broadcast."""

import cases
import numpy as np
import pytest
from cases import DTYPES, LAYOUTS, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nbgrad
from nbgrad import Variable

SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((1, 3), (3, 1)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((6, 5, 2, 3), (3, 4)),
    ((6, 5, 2, 3), (3,)),
    ((3,), (6, 5, 3, 4)),
]
RANKED = {
    "mm": ((2, 3), (3, 4)),
    "bmm": ((5, 2, 3), (5, 3, 4)),
    "mv": ((2, 3), (3,)),
    "dot": ((3,), (3,)),
}

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_layout = pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("0-d", "empty")])
every_shapes = pytest.mark.parametrize("shapes", SHAPES, ids=str)


def operands(shapes, dtype="float64", layout="contiguous"):
    return [LAYOUTS[layout](draw(cases.ANY, shape, dtype, seed)) for seed, shape in enumerate(shapes)]


@every_shapes
@every_dtype
@every_layout
def test_matmul_is_numpys_and_torchs(shapes, dtype, layout):
    arrays = operands(shapes, dtype, layout)
    expected = np.matmul(*arrays)
    actual = nbgrad.matmul(*(Variable(array) for array in arrays))
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual.data, expected, **cases.TOLERANCE[dtype])
    cases.assert_same_as_torch(nbgrad.matmul, lambda t, x, w: t.matmul(x, w), arrays, LAYOUTS[layout])


@every_shapes
def test_matmul_agrees_with_differences_to_second_order(shapes):
    small = [tuple(min(size, 2) if size in (4, 5, 6) else size for size in shape) for shape in shapes]
    cases.check_to_second_order(nbgrad.matmul, operands(small))


@every_shapes
def test_gradients_of_one_operand_alone(shapes):
    arrays = operands(shapes)
    cotangent = np.ones(np.matmul(*arrays).shape)
    _, expected = cases.with_gradients(nbgrad.matmul, arrays, cotangent)
    for position in (0, 1):
        xs = [Variable(array, requires_grad=i == position) for i, array in enumerate(arrays)]
        nbgrad.matmul(*xs).backward(cotangent)
        np.testing.assert_allclose(xs[position].grad.data, expected[position], rtol=1e-12)
        assert xs[1 - position].grad is None


@pytest.mark.parametrize("name", RANKED)
@every_dtype
@every_layout
def test_products_of_fixed_rank_are_torchs(name, dtype, layout):
    function = getattr(nbgrad, name)
    arrays = operands(RANKED[name], dtype, layout)
    cases.assert_same_as_torch(function, lambda t, x, w: getattr(t, name)(x, w), arrays, LAYOUTS[layout])
    method = getattr(Variable(arrays[0]), name)(Variable(arrays[1]))
    np.testing.assert_array_equal(method.data, function(*arrays))


@pytest.mark.parametrize("name", RANKED)
def test_products_of_fixed_rank_agree_with_differences_to_second_order(name):
    cases.check_to_second_order(getattr(nbgrad, name), operands(RANKED[name]))


def test_the_operator_and_the_method():
    x, w = operands(((2, 3), (3, 4)))
    for product in (
        Variable(x) @ Variable(w),
        Variable(x) @ w,
        x @ Variable(w),
        np.matmul(x, Variable(w)),
        Variable(x).matmul(Variable(w)),
        Variable(w).__rmatmul__(x),  # what a type without NumPy's protocol on the left falls back to
    ):
        assert isinstance(product, Variable)
        np.testing.assert_array_equal(product.data, x @ w)
    plain = nbgrad.matmul(x, w)
    assert isinstance(plain, np.ndarray)


@pytest.mark.parametrize(
    "shapes",
    [
        ((0, 3), (3, 4)),
        ((2, 3), (3, 0)),
        ((2, 0), (0, 4)),
        ((0,), (0,)),
        ((2, 0), (0,)),
        ((0,), (0, 4)),
        ((0, 3), (3,)),
        ((0, 2, 3), (3, 4)),
        ((5, 0, 3), (3, 4)),
        ((5, 2, 0), (0, 4)),
        ((5, 2, 3), (3, 0)),
        ((5, 2, 0), (5, 0, 4)),
        ((0, 2, 3), (0, 3, 4)),
        ((0, 2, 3), (1, 3, 4)),
        ((5, 2, 0), (0,)),
        ((0,), (5, 0, 4)),
    ],
    ids=str,
)
@every_dtype
def test_empty_operands(shapes, dtype):
    arrays = [np.ones(shape, dtype) for shape in shapes]
    expected = np.matmul(*arrays)
    value, gradients = cases.with_gradients(nbgrad.matmul, arrays, np.ones(expected.shape, dtype))
    assert value.shape == expected.shape
    assert value.dtype == dtype
    np.testing.assert_array_equal(value, expected)
    _, wanted = cases.with_torch(lambda t, x, w: t.matmul(x, w), arrays, np.ones(expected.shape, dtype))
    for gradient, torch_gradient in zip(gradients, wanted, strict=True):
        np.testing.assert_array_equal(gradient, torch_gradient)


@every_shapes
def test_nan_and_infinity_pass_silently(shapes):
    arrays = operands(shapes)
    arrays[0].flat[0] = np.inf
    arrays[1].flat[1] = np.nan
    with np.errstate(all="ignore"):
        expected = np.matmul(*arrays)
    xs = [Variable(array) for array in arrays]
    y = nbgrad.matmul(*xs)
    np.testing.assert_allclose(y.data, expected, rtol=1e-12)
    y.backward(np.ones(y.shape))
    assert np.isnan(xs[0].grad.data).any()
    assert np.isinf(xs[1].grad.data).any()


def test_whole_numbers_and_mixed_dtypes():
    whole = np.arange(6).reshape(2, 3)
    product = Variable(whole) @ Variable(whole.T)
    assert product.dtype == np.int64
    assert not product.requires_grad
    np.testing.assert_array_equal(product.data, whole @ whole.T)
    x, w = Variable(np.ones((2, 3), np.float32)), Variable(np.ones((3, 4)))
    y = x @ w
    assert y.dtype == np.float64
    y.sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(x.grad.data, np.full((2, 3), 4))
    z = Variable(whole) @ Variable(np.ones((3, 4)))
    assert z.dtype == np.float64
    assert z.requires_grad


REFUSALS = {
    "inner": ((2, 3), (4, 5), r"matmul: shapes \(2, 3\) and \(4, 5\): 3 columns meet 4 rows"),
    "vectors": ((2,), (3,), r"matmul: shapes \(2,\) and \(3,\): 2 columns meet 3 rows"),
    "vector": ((2, 3), (2,), "3 columns meet 2 rows"),
    "batched": ((5, 2, 3), (4, 2), "3 columns meet 4 rows"),
    "stacks": ((2, 2, 3), (5, 3, 4), r"matmul: shapes \(2, 2, 3\) and \(5, 3, 4\): the stacks do not broadcast"),
    "scalar": ((2, 3), (), r"matmul: shapes \(2, 3\) and \(\): scalars are multiplied with \*"),
    "scalar first": ((), (3,), r"scalars are multiplied with \*"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_shapes_that_do_not_match_are_refused(name):
    first, second, message = REFUSALS[name]
    with pytest.raises(ValueError, match=message):
        nbgrad.matmul(Variable(np.ones(first)), Variable(np.ones(second)))


@pytest.mark.parametrize("name", sorted(RANKED.keys() - {"dot"}))  # which takes them as NumPy's does
def test_other_ranks_are_refused_by_name(name):
    first, second = (len(shape) for shape in RANKED[name])
    message = rf"{name}: takes operands of {first} and {second} dimensions, got shapes \(2, 3, 1, 1\) and \(3,\)"
    with pytest.raises(ValueError, match=message):
        getattr(nbgrad, name)(Variable(np.ones((2, 3, 1, 1))), Variable(np.ones(3)))


def test_stacks_of_different_length_are_refused():
    with pytest.raises(ValueError, match="bmm: stacks of 1 and 5 matrices: they must be the same"):
        nbgrad.bmm(Variable(np.ones((1, 2, 3))), Variable(np.ones((5, 3, 4))))


@pytest.mark.parametrize("operand", [2, 1.5, "a", [[1.0], [2.0], [3.0]], None], ids=str)
def test_operands_of_other_types_are_refused(operand):
    x = Variable(np.ones((2, 3)))
    with pytest.raises(
        TypeError, match=f"matmul: operand of type {type(operand).__name__}: takes Variables and arrays"
    ):
        x @ operand
    with pytest.raises(TypeError, match=f"matmul: operand of type {type(operand).__name__}"):
        operand @ x


@pytest.mark.parametrize("name", RANKED)
def test_operands_of_other_types_are_refused_by_products_of_fixed_rank(name):
    with pytest.raises(TypeError, match=f"{name}: operand of type list"):
        getattr(nbgrad, name)([[1.0]], [[1.0]])


@settings(max_examples=60)
@given(
    shapes=hnp.mutually_broadcastable_shapes(
        signature=np.matmul.signature.replace("?", ""), max_dims=3, min_side=0, max_side=3
    ),
    seed=st.integers(0, 3),
)
def test_any_stacks(shapes, seed):
    arrays = [draw(cases.ANY, shape, "float64", seed + i) for i, shape in enumerate(shapes.input_shapes)]
    cases.assert_same_as_torch(nbgrad.matmul, lambda t, x, w: t.matmul(x, w), arrays)


@pytest.mark.parametrize(
    "array", [np.ones(2, complex), np.ones(2, object), np.ones(2, "m8[s]")], ids=lambda a: str(a.dtype)
)
def test_products_are_of_real_numbers(array):
    x = nbgrad.Variable(array, requires_grad=False)
    for product in (lambda: x @ x, lambda: nbgrad.ones(2, 2) @ x, lambda: nbgrad.matmul(array, array)):
        with pytest.raises(TypeError, match="matmul: no kernel for dtypes"):
            product()


# ---- outer products -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_outer_products(dtype):
    x, y = draw(cases.ANY, (3,), dtype), draw(cases.ANY, (2,), dtype)
    np.testing.assert_array_equal(nbgrad.outer(x, y), np.outer(x, y))
    cases.assert_same_as_torch(nbgrad.outer, lambda t, x, y: t.outer(x, y), [x, y])
    for pair in ((x, np.ones((2, 2))), (np.ones(()), y)):
        with pytest.raises(ValueError, match="outer: takes two vectors, got shapes"):
            nbgrad.outer(*pair)


def test_gradients_of_outer_products_agree_with_differences():
    cases.check_to_second_order(lambda x, y: x.outer(y * y), [draw(cases.ANY, (3,)), draw(cases.ANY, (2,))])
