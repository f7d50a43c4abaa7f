"""Functions that move elements about: values, gradients, views, refusals."""

import cases
import numpy as np
import pytest
from cases import DTYPES, LAYOUTS, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nbgrad
from nbgrad import Variable

SHAPE = (2, 3, 4)

# name: shape of the input, ours, torch's
FUNCTIONS = {
    "reshape": (SHAPE, lambda x: nbgrad.reshape(x, 4, 6), lambda t, x: t.reshape(x, (4, 6))),
    "reshape-sequence": (SHAPE, lambda x: nbgrad.reshape(x, (3, -1)), lambda t, x: t.reshape(x, (3, -1))),
    "view": (SHAPE, lambda x: nbgrad.view(x, -1, 2), lambda t, x: x.reshape(-1, 2)),
    "flatten": (SHAPE, lambda x: nbgrad.flatten(x), lambda t, x: t.flatten(x)),
    "flatten-some": (SHAPE, lambda x: nbgrad.flatten(x, 1), lambda t, x: t.flatten(x, 1)),
    "flatten-first": (SHAPE, lambda x: nbgrad.flatten(x, 0, -2), lambda t, x: t.flatten(x, 0, -2)),
    "squeeze": ((2, 1, 3, 1), lambda x: nbgrad.squeeze(x), lambda t, x: t.squeeze(x)),
    "squeeze-one": ((2, 1, 3, 1), lambda x: nbgrad.squeeze(x, -1), lambda t, x: t.squeeze(x, -1)),
    "squeeze-several": ((2, 1, 3, 1), lambda x: nbgrad.squeeze(x, (1, 2)), lambda t, x: t.squeeze(x, (1, 2))),
    "unsqueeze": (SHAPE, lambda x: nbgrad.unsqueeze(x, 1), lambda t, x: t.unsqueeze(x, 1)),
    "unsqueeze-last": (SHAPE, lambda x: nbgrad.unsqueeze(x, -1), lambda t, x: t.unsqueeze(x, -1)),
    "t": ((3, 4), lambda x: nbgrad.t(x), lambda t, x: t.t(x)),
    "t-vector": ((3,), lambda x: nbgrad.t(x), lambda t, x: t.t(x)),
    "T": (SHAPE, lambda x: x.T, lambda t, x: x.permute(2, 1, 0)),
    "transpose": (SHAPE, lambda x: nbgrad.transpose(x, 0, -1), lambda t, x: t.transpose(x, 0, -1)),
    "transpose-reversed": (SHAPE, lambda x: nbgrad.transpose(x), lambda t, x: x.permute(2, 1, 0)),
    "transpose-order": (SHAPE, lambda x: nbgrad.transpose(x, (1, 2, 0)), lambda t, x: x.permute(1, 2, 0)),
    "transpose-pair-order": ((3, 4), lambda x: nbgrad.transpose(x, (0, 1)), lambda t, x: x.permute(0, 1)),
    "swapaxes": (SHAPE, lambda x: nbgrad.swapaxes(x, 1, 2), lambda t, x: t.swapaxes(x, 1, 2)),
    "permute": (SHAPE, lambda x: nbgrad.permute(x, 2, 0, 1), lambda t, x: t.permute(x, (2, 0, 1))),
    "permute-sequence": (SHAPE, lambda x: nbgrad.permute(x, (1, -1, 0)), lambda t, x: t.permute(x, (1, -1, 0))),
    "expand": ((3, 1), lambda x: nbgrad.expand(x, 2, -1, 4), lambda t, x: x.expand(2, -1, 4)),
    "expand-sequence": ((3, 1), lambda x: nbgrad.expand(x, (3, 4)), lambda t, x: x.expand((3, 4))),
    "expand_as": ((3, 1), lambda x: nbgrad.expand_as(x, np.ones((2, 3, 4))), lambda t, x: x.expand(2, 3, 4)),
    "broadcast_to": ((3, 1), lambda x: nbgrad.broadcast_to(x, (2, 3, 4)), lambda t, x: t.broadcast_to(x, (2, 3, 4))),
    "sum_to": (SHAPE, lambda x: nbgrad.sum_to(x, (3, 1)), lambda t, x: x.sum_to_size(3, 1)),
    "sum_to-all": (SHAPE, lambda x: nbgrad.sum_to(x, ()), lambda t, x: x.sum()),
    "clone": (SHAPE, lambda x: nbgrad.clone(x), lambda t, x: t.clone(x)),
}  # fmt: skip

every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@every_function
@every_dtype
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("0-d", "empty")])
def test_values_and_gradients_are_torchs(name, dtype, layout):
    shape, function, reference = FUNCTIONS[name]
    cases.assert_same_as_torch(function, reference, [LAYOUTS[layout](draw(cases.ANY, shape, dtype))], LAYOUTS[layout])


@every_function
def test_gradients_agree_with_differences_to_second_order(name):
    shape, function, _ = FUNCTIONS[name]
    # a square, so that there is a second derivative
    cases.check_to_second_order(lambda x: function(x) * function(x), [draw(cases.ANY, shape)])


@every_function
@pytest.mark.parametrize("dtype", ["int64", "bool", "float32"])
def test_dtypes_are_kept(name, dtype):
    shape, function, _ = FUNCTIONS[name]
    y = function(Variable(np.ones(shape, dtype), requires_grad=False))
    assert y.dtype == (np.int64 if name.startswith("sum_to") and dtype == "bool" else dtype)
    assert not y.requires_grad


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("T", "clone")])
def test_arrays_give_arrays(name):
    shape, function, _ = FUNCTIONS[name]
    array = draw(cases.ANY, shape)
    y = function(array)
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, function(Variable(array)).data)


@pytest.mark.parametrize(
    ("function", "shape", "result"),
    [
        (lambda x: x.reshape(-1, 3), (0, 3), (0, 3)),
        (lambda x: x.reshape(0, 7), (0, 3), (0, 7)),
        (lambda x: x.flatten(), (2, 0), (0,)),
        (lambda x: x.flatten(1), (0, 3, 4), (0, 12)),
        (lambda x: x.T, (0, 3), (3, 0)),
        (lambda x: x.permute(1, 0), (0, 3), (3, 0)),
        (lambda x: x.expand(3, 0), (1, 0), (3, 0)),
        (lambda x: x.expand(0, 3), (1, 3), (0, 3)),
        (lambda x: x.expand(0, 3), (), (0, 3)),
        (lambda x: x.broadcast_to((0, 3)), (1,), (0, 3)),
        (lambda x: x.squeeze(), (1, 0), (0,)),
        (lambda x: x.unsqueeze(0), (0,), (1, 0)),
        (lambda x: x.reshape(1), (), (1,)),
        (lambda x: x.reshape(()), (1, 1), ()),
        (lambda x: x.flatten(), (), (1,)),
        (lambda x: x.squeeze(), (), ()),
        (lambda x: x.unsqueeze(-1), (), (1,)),
        (lambda x: x.t(), (), ()),
        (lambda x: x.T, (), ()),
        (lambda x: x.permute(), (), ()),
        (lambda x: x.expand(2, 3), (), (2, 3)),
    ],
)
@every_dtype
def test_empty_and_0d_arrays(function, shape, result, dtype):
    x = Variable(np.full(shape, 2, dtype))
    y = function(x)
    assert y.shape == result
    assert y.dtype == dtype
    y.backward(np.ones(result, dtype))
    assert x.grad.shape == shape
    assert x.grad.dtype == dtype
    np.testing.assert_array_equal(x.grad.data, np.full(shape, y.size // max(x.size, 1)))


def test_views_share_memory_and_clones_do_not():
    x = Variable(np.ones((2, 3)))
    for view in (x.reshape(3, 2), x.T, x.t(), x.permute(1, 0), x.unsqueeze(0), x.flatten(), x.expand(4, 2, 3), x[0]):
        assert np.shares_memory(view.data, x.data)
    assert not np.shares_memory(x.clone().data, x.data)
    whole = Variable(np.arange(3))
    assert not np.shares_memory(whole.clone().data, whole.data)
    assert whole.clone().tolist() == [0, 1, 2]


def test_repeated_elements_cannot_be_written():
    x = Variable(np.ones(3))
    for view in (x.expand(2, 3), x.sum().expand(2)):
        with pytest.raises(ValueError, match="read-only"):
            view.data[...] = 2


# ---- astype ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_astype_brings_the_gradient_back_in_the_inputs_dtype(source, target):
    x = Variable(np.array([0.1, 2.0], source))
    y = x.astype(target)
    assert y.dtype == target
    (y * y).sum().backward()
    assert x.grad.dtype == source
    np.testing.assert_allclose(x.grad.data, 2 * x.data, rtol=1e-6)


def test_astype_to_whole_numbers_has_no_gradient():
    y = Variable(np.array([1.7, -1.7])).astype(np.int64)
    assert y.tolist() == [1, -1]
    assert not y.requires_grad
    assert Variable(np.array([0, 2])).astype(bool).tolist() == [False, True]
    assert Variable(np.array([1, 2])).astype(np.float32).dtype == np.float32


def test_astype_to_floats_without_gradients_is_refused_where_one_would_be_lost():
    x = Variable(np.array([1.0, 2.0]))
    for dtype in (np.float16, np.longdouble):
        with pytest.raises(TypeError, match=f"astype: {np.dtype(dtype)} has no gradients"):
            x.astype(dtype)
        with pytest.raises(TypeError, match="would be lost unseen"):
            nbgrad.sum(x, dtype=dtype)
        with nbgrad.no_grad():
            assert x.astype(dtype).dtype == x.detach().astype(dtype).dtype == dtype


def test_astype_gives_variables_in_native_byte_order():
    y = Variable(np.array([1.0, 2.0])).astype(">f4")
    assert y.dtype == np.float32 and y.dtype.isnative
    assert nbgrad.astype(np.ones(1), ">f4").dtype == np.dtype(">f4")


def test_astype_overflows_to_infinity_silently():
    assert Variable(np.array([1e300])).astype(np.float32).item() == np.inf


@pytest.mark.parametrize("dtype", ["U3", object, complex, "M8[s]"], ids=str)
def test_astype_refuses_what_is_not_numeric(dtype):
    with pytest.raises(TypeError, match=r"astype: .* is not a numeric dtype"):
        Variable(np.ones(2)).astype(dtype)


def test_astype_agrees_with_differences_to_second_order():
    cases.check_to_second_order(
        lambda x: nbgrad.astype(nbgrad.astype(x, np.float64) ** 3, "float64"), [draw(cases.ANY, (3,))]
    )


# ---- refusals -------------------------------------------------------------------------------------------------------

REFUSALS = {
    "reshape": (lambda x: x.reshape(4, 4), ValueError, r"reshape: 6 elements of shape \(2, 3\) do not fill .*4, 4"),
    "reshape-float": (lambda x: x.reshape(1.5), TypeError, "reshape: sizes and dimensions are whole numbers, got"),
    "reshape-two-unknown": (lambda x: x.reshape(-1, -1), ValueError, r"do not fill shape \(-1, -1\)"),
    "view": (lambda x: x.view(5), ValueError, r"do not fill shape \(5,\)"),
    "flatten-order": (lambda x: x.flatten(1, 0), ValueError, "flatten: start_dim 1 comes after end_dim 0"),
    "flatten-range": (lambda x: x.flatten(0, 2), IndexError, "flatten: dimension 2 is out of range for 2 dimensions"),
    "squeeze": (lambda x: x.squeeze(2), IndexError, "squeeze: dimension 2 is out of range"),
    "unsqueeze": (lambda x: x.unsqueeze(-4), IndexError, "unsqueeze: dimension -4 is out of range for 3"),
    "unsqueeze-text": (lambda x: x.unsqueeze("a"), TypeError, "unsqueeze: a dimension is a whole number, got 'a'"),
    "t": (lambda x: x.unsqueeze(0).t(), ValueError, r"t: takes at most 2 dimensions, got shape \(1, 2, 3\): use trans"),
    "transpose": (lambda x: x.transpose(0, 2), IndexError, "transpose: dimension 2 is out of range"),
    "permute": (lambda x: x.permute(0, 0), ValueError, r"permute: \(0, 0\) is no permutation of the 2 dimensions"),
    "permute-short": (lambda x: x.permute(0), ValueError, "is no permutation of the 2 dimensions"),
    "permute-range": (lambda x: x.permute(0, 2), IndexError, "permute: dimension 2 is out of range"),
    "expand": (lambda x: x.expand(3, 3), ValueError, r"broadcast_to: shape \(2, 3\) does not broadcast to \(3, 3\)"),
    "expand-short": (lambda x: x.expand(3), ValueError, r"expand: shape \(2, 3\) has more dimensions than \(3,\)"),
    "broadcast_to": (lambda x: x.broadcast_to((3,)), ValueError, r"shape \(2, 3\) does not broadcast to \(3,\)"),
    "sum_to": (lambda x: nbgrad.sum_to(x, (4,)), ValueError, r"sum_to: .*\(4,\).*\(2, 3\)"),
    "sum_to-more": (lambda x: nbgrad.sum_to(x, (1, 2, 3)), ValueError, r"sum_to: .*\(1, 2, 3\).*\(2, 3\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_name_the_function_and_the_shapes(name):
    function, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        function(Variable(np.ones((2, 3))))


# ---- properties -----------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 3, 2), max_dims=3))
def test_sum_to_is_the_adjoint_of_broadcast_to(shapes):
    (small,), large = shapes.input_shapes, shapes.result_shape
    x, y = draw(cases.ANY, small, seed=1), draw(cases.ANY, large, seed=2)
    forward = np.sum(nbgrad.broadcast_to(x, large) * y)
    back = np.sum(x * nbgrad.sum_to(y, small))
    np.testing.assert_allclose(forward, back, rtol=1e-12)
    assert nbgrad.sum_to(y, small).shape == small


@settings(max_examples=40)
@given(data=st.data())
def test_permuting_and_back_is_the_identity(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=3))
    order = data.draw(st.permutations(range(len(shape))))
    array = draw(cases.ANY, shape)
    y = nbgrad.permute(Variable(array), *order)
    np.testing.assert_array_equal(y.data, array.transpose(order))
    np.testing.assert_array_equal(y.permute(*np.argsort(order)).data, array)
    x = Variable(array)
    cotangent = draw(cases.ANY, y.shape, seed=3)
    nbgrad.permute(x, *order).backward(cotangent)
    np.testing.assert_array_equal(x.grad.data, cotangent.transpose(np.argsort(order)))


def test_transposing_as_torch_does():
    x = nbgrad.tensor(np.arange(6.0).reshape(1, 2, 3), requires_grad=True)
    for call in (lambda x: x.transpose(dim0=0, dim1=2), lambda x: x.transpose(0, dim1=-1)):
        np.testing.assert_array_equal(call(x).data, x.data.transpose(2, 1, 0))
    scalar = Variable(np.array(2.0))
    y = nbgrad.transpose(scalar, 0, -1)
    y.backward()
    assert y.shape == () and scalar.grad.item() == 1
    with pytest.raises(TypeError, match="transpose: dim0 and dim1 are two dimensions, got"):
        x.transpose(dim0=1)
    with pytest.raises(IndexError, match="transpose: dimension 1 is out of range"):
        nbgrad.transpose(scalar, 0, 1)
