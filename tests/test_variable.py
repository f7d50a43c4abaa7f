"""Variable: making one, reading it, another array in its place, what requires a gradient."""

import math

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable

# ---- making one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ([1.0], "list"),
        ((1.0,), "tuple"),
        (1.0, "float"),
        (1, "int"),
        (True, "bool"),
        (np.float64(1.0), "numpy.float64"),
        ("text", "str"),
        (None, "NoneType"),
        ({}, "dict"),
    ],
)
def test_anything_but_an_array_is_refused_by_name(data, name):
    with pytest.raises(TypeError, match=f"<class '{name}'> is not supported.*nbgrad.tensor"):
        Variable(data)


def test_a_variable_is_no_array():
    with pytest.raises(TypeError, match=r"nbgrad\.variable\.Variable'> is not supported"):
        Variable(Variable(np.ones(2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_arrays_record_by_default(dtype):
    data = np.ones(3, dtype)
    x = Variable(data)
    assert x.data is data
    assert x.requires_grad and x.is_leaf and x.dtype == dtype
    assert not Variable(data, requires_grad=False).requires_grad


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "bool", "U3", "object", "complex128"])
def test_other_dtypes_are_held_but_have_no_gradients(dtype):
    data = np.zeros(2, dtype)
    x = Variable(data)
    assert x.data is data and not x.requires_grad
    with pytest.raises(TypeError, match="has no gradients; convert to float32 or float64"):
        Variable(data, requires_grad=True)
    with pytest.raises(TypeError, match="has no gradients"):
        x.requires_grad = True
    with pytest.raises(TypeError, match="has no gradients"):
        x.requires_grad_()
    assert not x.requires_grad


def test_tensor_does_not_record_by_default():
    assert not nbgrad.tensor([1.0]).requires_grad
    assert nbgrad.tensor([1.0], requires_grad=True).requires_grad
    with pytest.raises(TypeError, match="no gradients"):
        nbgrad.tensor([1, 2], requires_grad=True)


def test_default_dtype_of_lists_and_floats():
    assert nbgrad.tensor([1.0]).dtype == np.float64
    assert nbgrad.tensor(1.0).dtype == np.float64
    try:
        nbgrad.set_default_dtype(np.float32)
        assert nbgrad.get_default_dtype() == np.float32
        assert nbgrad.tensor([1.0]).dtype == np.float32
        assert nbgrad.tensor(1.0).dtype == np.float32
        assert nbgrad.zeros(2).dtype == np.float32
        assert nbgrad.tensor(np.ones(1)).dtype == np.float64, "arrays keep their dtype"
        for bad in (np.int64, np.float16, "complex64"):
            with pytest.raises(TypeError, match="needs float32 or float64"):
                nbgrad.set_default_dtype(bad)
        assert nbgrad.get_default_dtype() == np.float32
    finally:
        nbgrad.set_default_dtype(np.float64)


def test_attributes():
    x = Variable(np.arange(6.0).reshape(2, 3), name="weights")
    assert (x.shape, x.ndim, x.size, x.nbytes, x.dim(), x.numel()) == ((2, 3), 2, 6, 48, 2, 6)
    assert (x.name, x.grad, x.creator, x.grad_fn, x.generation) == ("weights", None, None, None, 0)
    assert Variable(np.ones(1)).name is None
    x.name = "bias"
    assert x.name == "bias"
    np.testing.assert_array_equal(x.T.data, x.data.T)
    assert x.T.creator is not None
    with pytest.raises(AttributeError, match="'Variable' object has no attribute 'gradient'"):
        _ = x.gradient
    with pytest.raises(AttributeError):
        x.gradient = 1


def test_t_passes_gradients():
    x = Variable(np.arange(6.0).reshape(2, 3))
    weights = np.arange(6.0).reshape(3, 2)
    (x.T * weights).sum().backward()
    np.testing.assert_array_equal(x.grad.data, weights.T)


def test_set_creator_links_and_counts():
    x, y = Variable(np.ones(1)), Variable(np.ones(1))
    creator = (x * x * x).creator
    y.set_creator(creator)
    assert y.creator is creator and y.grad_fn is creator
    assert y.generation == creator.generation + 1 == 2
    assert not y.is_leaf and x.is_leaf


def test_cleargrad():
    x = Variable(np.array(2.0))
    (x * x).backward()
    assert x.grad.data == 4
    x.cleargrad()
    assert x.grad is None
    (x * x).backward()
    assert x.grad.data == 4


# ---- reading it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([1.0, 2.0]), "Variable([1., 2.])"),
        (np.array(3.5), "Variable(3.5)"),
        (np.array([1.0], np.float32), "Variable([1.], dtype=float32)"),
        (np.array([1, 2]), "Variable([1, 2])"),
        (np.array([True]), "Variable([ True])"),
        (np.array([1], np.int32), "Variable([1], dtype=int32)"),
        (np.eye(2), "Variable([[1., 0.],\n          [0., 1.]])"),
        (np.array([np.nan, np.inf]), "Variable([nan, inf])"),
    ],
)
def test_repr(array, text):
    assert repr(Variable(array)) == text


def test_repr_with_a_name_and_empty_and_large():
    assert repr(Variable(np.array([1.0]), name="w")) == "Variable([1.], name='w')"
    assert repr(Variable(np.zeros(0))) == "Variable([])"
    assert "..." in repr(Variable(np.zeros(5000)))


def test_str_is_that_of_the_array():
    for array in (np.array(2.0), np.eye(2), np.arange(3)):
        assert str(Variable(array)) == str(array)
        assert f"{Variable(array)}" == str(array)


def test_format_of_one_element():
    assert f"{Variable(np.array(2.0)):.3f}" == "2.000"
    assert f"{Variable(np.array([[2.0]])):5.1f}" == "  2.0"
    assert f"{Variable(np.array(7)):03d}" == "007"
    with pytest.raises(ValueError, match="format"):
        format(Variable(np.ones(2)), ".3f")


def test_item_float_int_bool():
    for array in (np.array(2.5), np.array([2.5]), np.array([[2.5]], np.float32)):
        x = Variable(array)
        assert x.item() == 2.5 and type(x.item()) is float
        assert float(x) == 2.5 and int(x) == 2 and bool(x) is True
        assert math.floor(float(x)) == 2
    assert bool(Variable(np.array(0.0))) is False
    assert type(Variable(np.array(3)).item()) is int


@pytest.mark.parametrize("shape", [(2,), (0,), (1, 3)])
def test_more_or_less_than_one_element_is_no_number(shape):
    x = Variable(np.zeros(shape))
    with pytest.raises(ValueError, match=r"elements, not one"):
        x.item()
    with pytest.raises(ValueError, match=r"float\(\) needs one element"):
        float(x)
    with pytest.raises(ValueError, match=r"int\(\) needs one element"):
        int(x)
    with pytest.raises(ValueError, match=r"truth value .* is ambiguous"):
        bool(x)


def test_index():
    assert [10, 20, 30][Variable(np.array(1))] == 20
    assert range(5)[Variable(np.array([2], np.uint8))] == 2
    for bad in (np.array(1.0), np.array([1, 2]), np.array(True)):
        with pytest.raises(TypeError, match="only a Variable of one whole number is an index"):
            _ = [1, 2, 3][Variable(bad)]


def test_len_and_iteration():
    x = Variable(np.arange(6.0).reshape(3, 2))
    assert len(x) == 3
    rows = list(x)
    assert [row.shape for row in rows] == [(2,)] * 3
    sum((row.sum() * k for k, row in enumerate(rows)), start=nbgrad.tensor(0.0)).backward()
    np.testing.assert_array_equal(x.grad.data, [[0, 0], [1, 1], [2, 2]])
    a, b, c = x[:, 0]
    assert (a.item(), b.item(), c.item()) == (0.0, 2.0, 4.0)
    assert len(Variable(np.zeros((0, 2)))) == 0 and list(Variable(np.zeros((0, 2)))) == []
    scalar = Variable(np.array(1.0))
    with pytest.raises(TypeError, match=r"len\(\) of a 0-d Variable"):
        len(scalar)
    with pytest.raises(TypeError, match="iteration over a 0-d Variable"):
        iter(scalar)


def test_tolist():
    assert Variable(np.array([[1.5, 2.0]])).tolist() == [[1.5, 2.0]]
    assert Variable(np.array(1)).tolist() == 1


def test_numpy_shares_memory():
    x = nbgrad.tensor([1.0, 2.0])
    array = x.numpy()
    assert np.shares_memory(array, x.data)
    array[0] = 9
    assert x.data[0] == 9


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.numpy(),
        np.asarray,
        np.array,
        lambda x: np.array([x, x]),
        lambda x: np.asarray(x, dtype=np.float32),
    ],
)
def test_a_recorded_variable_does_not_become_an_array_unseen(convert):
    x = Variable(np.array([1.0, 2.0]))
    for recorded in (x, x * 2):
        with pytest.raises(RuntimeError, match=r"losing the gradient unseen.*detach\(\).*no_grad"):
            convert(recorded)


def test_array_protocol_without_gradients():
    x = nbgrad.tensor([1.0, 2.0])
    np.testing.assert_array_equal(np.asarray(x), [1, 2])
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert not np.shares_memory(np.array(x), x.data)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float32, copy=False)
    np.testing.assert_array_equal(Variable(np.ones(2)).detach().numpy(), [1, 1])


def test_comparisons_give_booleans_without_gradients():
    x, y = Variable(np.array([1.0, 2.0, 3.0])), Variable(np.array([3.0, 2.0, 1.0]))
    for result, expected in [
        (x < y, [True, False, False]),
        (x <= y, [True, True, False]),
        (x > y, [False, False, True]),
        (x >= y, [False, True, True]),
        (x == y, [False, True, False]),
        (x != y, [True, False, True]),
        (x > 2, [False, False, True]),
        (2 > x, [True, False, False]),
        (x == y.data, [False, True, False]),
        (y.data < x, [False, False, True]),
    ]:
        assert isinstance(result, Variable) and result.dtype == np.bool_ and not result.requires_grad
        np.testing.assert_array_equal(result.data, expected)


def test_hash_is_identity():
    x, y = Variable(np.ones(2)), Variable(np.ones(2))
    assert {x: 1, y: 2}[x] == 1
    assert len({x, y, x}) == 2


# ---- the array is replaced -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, [1.0], 1.0, "text", {}, (1.0,), lambda: None], ids=lambda v: type(v).__name__)
def test_what_cannot_be_the_array(given):
    x = Variable(np.array([1.0]))
    with pytest.raises(TypeError, match=f"{type(given).__name__}'>: a Variable holds a numpy.ndarray"):
        x.data = given
    assert x.data == 1 and (x * x).data == 1


def test_dtypes_of_the_array():
    x, constant = Variable(np.ones(2)), nbgrad.ones(2)
    x.data = np.ones(3, np.float32)
    assert x.dtype == np.float32 and x.shape == (3,)
    for dtype in (int, bool, complex, object, np.float16):
        with pytest.raises(TypeError, match=r"in place of float32 of shape \(3,\): it requires a gradient"):
            x.data = np.ones(3, dtype)
        constant.data = np.ones(3, dtype)
        assert constant.dtype == dtype
    x.data = np.ones(2).astype(">f8")
    assert x.dtype.isnative
    x.data = nbgrad.zeros(2)
    np.testing.assert_array_equal(x.data, [0, 0])
    with pytest.raises(RuntimeError, match=r"requires a gradient, which would be lost unseen.*x\.detach"):
        x.data = x * 2
    with nbgrad.no_grad():
        x.data = x + 2
    np.testing.assert_array_equal(x.data, [2, 2])


def test_a_computed_variable_keeps_its_shape_and_dtype():
    y = Variable(np.ones(3)) * 2
    for array in (np.ones(2), np.ones((3, 1)), np.ones(3, np.float32), np.ones((), int)):
        with pytest.raises(ValueError, match="this Variable was computed"):
            y.data = array
    y.data = np.zeros(3)
    assert (y + 1).data.tolist() == [1, 1, 1]


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    "function",
    [
        lambda x: nbgrad.sum(x, 0),
        lambda x: nbgrad.reshape(x, (-1,)),
        lambda x: nbgrad.take_along_dim(x, np.zeros((2, 3), int), -1),
        lambda x: nbgrad.median(x, 1).values,
        lambda x: nbgrad.argmax(x, 1),
        lambda x: nbgrad.unique_consecutive(x, dim=1),
    ],
)
def test_functions_of_arrays_take_those_of_a_subclass_for_arrays(function):
    x = np.array([[1.0, 2.0, 2.0], [4.0, 3.0, 3.0]])
    found, expected = function(np.matrix(x)), function(x)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(TypeError, match=r"a masked array has elements that do not count: give array\.filled"):
        function(np.ma.masked_array(x))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_subclasses_of_numpys_array(tmp_path):
    matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    x = Variable(matrix)
    assert type(x.data) is np.ndarray and np.shares_memory(x.data, matrix)
    np.testing.assert_array_equal((x * x).data, [[1, 4], [9, 16]])
    assert x.sum(0).shape == (2,)
    np.testing.assert_array_equal((nbgrad.ones(2, 2) * matrix).data, matrix)
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    uses = [
        Variable,
        nbgrad.tensor,
        x.__class__.data.fset.__get__(x),
        lambda a: x * a,
        lambda a: nbgrad.cat([x, a]),
        nbgrad.jit(lambda a: a * 2),
        lambda a: nbgrad.jit(lambda x: x * a)(np.ones(2)),
    ]
    for use in uses:
        with pytest.raises(TypeError, match=r"masked array has elements that do not count: give array\.filled"):
            use(masked)
    mapped = np.memmap(tmp_path / "array", float, "w+", shape=(2,))
    y = Variable(mapped)
    y.data[0] = 5
    assert mapped[0] == 5 and type(y.data) is np.ndarray


# ---- arrays of every kind --------------------------------------------------------------------------------------------

LAYOUTS = {
    "0-d": np.array(1.5),
    "empty": np.zeros((0, 3)),
    "one dimension": np.arange(1.0, 5.0),
    "strided": np.arange(1.0, 21.0)[::3],
    "negative stride": np.arange(1.0, 7.0)[::-1],
    "negative strides": np.arange(1.0, 13.0).reshape(3, 4)[::-1, ::-2],
    "fortran": np.asfortranarray(np.arange(1.0, 7.0).reshape(2, 3)),
    "transposed": np.arange(1.0, 7.0).reshape(2, 3).T,
    "broadcast": np.broadcast_to(np.arange(1.0, 4.0), (2, 3)),
    "unaligned": np.frombuffer(b"x" + np.arange(1.0, 4.0).tobytes(), np.uint8)[1:].view(np.float64),
    "big-endian": np.arange(1.0, 4.0).astype(">f8"),
    "a field of records": np.array([(1.0, 2), (3.0, 4)], [("a", "f8"), ("b", "i4")])["a"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_works_and_is_left_alone(layout):
    array = LAYOUTS[layout].view()
    array.flags.writeable = False
    before = array.copy()
    x = Variable(array)
    assert x.requires_grad
    y = (nbgrad.tanh(x) * x + x / 2).sum()
    y.backward()
    t = np.tanh(before)
    np.testing.assert_allclose(y.data, np.sum(t * before + before / 2), rtol=1e-13)
    np.testing.assert_allclose(x.grad.data, (1 - t * t) * before + t + 0.5, rtol=1e-12)
    assert x.grad.shape == x.shape and x.grad.dtype.kind == "f" and x.grad.dtype.itemsize == 8
    x.grad.zero_()
    np.testing.assert_array_equal(array, before)


def test_nan_and_infinity_pass_silently():
    x = Variable(np.array([np.nan, np.inf, -np.inf, 0.0, 1.0]))
    y = nbgrad.exp(x) * 2 + x / 0.0
    y.backward(np.ones(5))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(y.data, np.exp(x.data) * 2 + x.data / 0.0)
        np.testing.assert_array_equal(x.grad.data, np.exp(x.data) * 2 + np.inf)


# ---- requires_grad ---------------------------------------------------------------------------------------------------


def test_requires_grad_of_leaves_may_be_set():
    x = nbgrad.tensor([1.0, 2.0])
    assert x.requires_grad_() is x and x.requires_grad
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])
    x.requires_grad = False
    assert not (x * x).requires_grad
    assert x.requires_grad_(False) is x


def test_requires_grad_of_computed_variables_may_not_be_taken():
    y = Variable(np.ones(2)) * 2
    y.requires_grad = True
    with pytest.raises(RuntimeError, match=r"leaves only: use x\.detach\(\)"):
        y.requires_grad = False
    assert y.requires_grad
    with nbgrad.no_grad():
        z = y * 2
    z.requires_grad = True
    assert z.is_leaf and z.requires_grad


def test_a_leaf_that_stopped_requiring_gets_none():
    x, w = Variable(np.array(2.0)), Variable(np.array(3.0))
    y = x * w
    w.requires_grad = False
    y.backward()
    assert x.grad.data == 3 and w.grad is None


def test_detach_shares_memory_and_records_nothing():
    x = Variable(np.array([1.0, 2.0]))
    y = x * 2
    for v in (x, y):
        d = v.detach()
        assert np.shares_memory(d.data, v.data)
        assert not d.requires_grad and d.creator is None
    (y.detach() * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


def test_clone_copies_and_passes_the_gradient():
    x = Variable(np.array([1.0, 2.0]))
    y = x.clone()
    assert not np.shares_memory(x.data, y.data)
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])
    whole = Variable(np.array([1, 2])).clone()
    assert whole.dtype == np.array([1]).dtype and not whole.requires_grad


def test_zero_is_in_place():
    x = nbgrad.tensor([1.0, 2.0])
    data = x.data
    assert x.zero_() is x and x.data is data
    np.testing.assert_array_equal(data, [0, 0])
    recorded = Variable(np.ones(2))
    with pytest.raises(RuntimeError, match=r"zero_: a leaf .*no_grad\(\)"):
        recorded.zero_()
    np.testing.assert_array_equal(recorded.data, [1, 1])
    with nbgrad.no_grad():
        recorded.zero_()
    np.testing.assert_array_equal(recorded.data, [0, 0])


def test_hooks_and_retained_gradients_need_a_gradient():
    x = nbgrad.tensor([1.0])
    with pytest.raises(RuntimeError, match="retain_grad: this Variable does not require"):
        x.retain_grad()
    with pytest.raises(RuntimeError, match="register_hook: this Variable does not require"):
        x.register_hook(lambda g: None)
