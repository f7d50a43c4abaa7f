"""Variables made from numbers and shapes, and random ones."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable


@pytest.fixture
def float32_by_default():
    nbgrad.set_default_dtype(np.float32)
    yield
    nbgrad.set_default_dtype(np.float64)


# name: the call, NumPy's array, whether the default dtype decides
FUNCTIONS = {
    "zeros": (lambda **o: nbgrad.zeros(2, 3, **o), np.zeros((2, 3)), True),
    "zeros-sequence": (lambda **o: nbgrad.zeros((2, 3), **o), np.zeros((2, 3)), True),
    "zeros-list": (lambda **o: nbgrad.zeros([2, 3], **o), np.zeros((2, 3)), True),
    "zeros-0-d": (lambda **o: nbgrad.zeros(**o), np.zeros(()), True),
    "zeros-empty": (lambda **o: nbgrad.zeros(0, 3, **o), np.zeros((0, 3)), True),
    "ones": (lambda **o: nbgrad.ones(np.int64(2), 3, **o), np.ones((2, 3)), True),
    "eye": (lambda **o: nbgrad.eye(3, **o), np.eye(3), True),
    "eye-wide": (lambda **o: nbgrad.eye(4, 5, **o), np.eye(4, 5), True),
    "full": (lambda **o: nbgrad.full((2, 3), 1.5, **o), np.full((2, 3), 1.5), True),
    "full-one size": (lambda **o: nbgrad.full(3, 2.0, **o), np.full(3, 2.0), True),
    "full-whole": (lambda **o: nbgrad.full((2,), 7, **o), np.full(2, 7), False),
    "full-truth": (lambda **o: nbgrad.full((2,), True, **o), np.full(2, True), False),
    "arange": (lambda **o: nbgrad.arange(5, **o), np.arange(5), False),
    "arange-bounds": (lambda **o: nbgrad.arange(2, 5, **o), np.arange(2, 5), False),
    "arange-step": (lambda **o: nbgrad.arange(5, 0, -2, **o), np.arange(5, 0, -2), False),
    "arange-float": (lambda **o: nbgrad.arange(0, 1, 0.25, **o), np.arange(0, 1, 0.25), True),
    "arange-Variable": (lambda **o: nbgrad.arange(nbgrad.tensor(3), **o), np.arange(3), False),
    "linspace": (lambda **o: nbgrad.linspace(0, 1, 5, **o), np.linspace(0, 1, 5), True),
    "linspace-one": (lambda **o: nbgrad.linspace(2, 3, 1, **o), np.array([2.0]), True),
    "tensor-float": (lambda **o: nbgrad.tensor(1.5, **o), np.array(1.5), True),
    "tensor-list": (lambda **o: nbgrad.tensor([[1, 2.5]], **o), np.array([[1, 2.5]]), True),
    "tensor-whole": (lambda **o: nbgrad.tensor([1, 2], **o), np.array([1, 2]), False),
    "tensor-truth": (lambda **o: nbgrad.tensor([True, False], **o), np.array([True, False]), False),
    "tensor-empty": (lambda **o: nbgrad.tensor([], **o), np.array([]), True),
}

every_function = pytest.mark.parametrize("name", FUNCTIONS)


@every_function
def test_values_and_dtypes_are_numpys(name):
    make, expected, _ = FUNCTIONS[name]
    x = make()
    assert type(x) is Variable
    assert x.dtype == expected.dtype
    assert x.shape == expected.shape
    assert not x.requires_grad
    assert x.is_leaf
    np.testing.assert_array_equal(x.data, expected)


@every_function
def test_the_default_dtype_decides_for_python_floats_only(name, float32_by_default):
    make, expected, decides = FUNCTIONS[name]
    x = make()
    assert x.dtype == (np.float32 if decides else expected.dtype)
    np.testing.assert_array_equal(x.data, expected.astype(x.dtype))


@every_function
@pytest.mark.parametrize("dtype", [np.float32, "float64", np.int8, bool], ids=str)
def test_a_given_dtype_wins(name, dtype):
    make, expected, _ = FUNCTIONS[name]
    if dtype is bool and name.startswith("arange"):
        dtype = np.uint8  # NumPy's arange has no truth values
    x = make(dtype=dtype)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.data, expected.astype(dtype))


@every_function
def test_gradients_are_recorded_on_request(name):
    make = FUNCTIONS[name][0]
    x = make(dtype=np.float32, requires_grad=True)
    assert x.requires_grad
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.full(x.shape, 3))
    with pytest.raises(TypeError, match="dtype int64 has no gradients"):
        make(dtype=np.int64, requires_grad=True)


def test_empty_has_a_shape_and_a_dtype():
    x = nbgrad.empty(2, 3)
    assert (x.shape, x.dtype, x.requires_grad) == ((2, 3), np.float64, False)
    assert nbgrad.empty((4,), dtype=np.int32, requires_grad=False).dtype == np.int32
    assert nbgrad.empty(1, requires_grad=True).requires_grad


@pytest.mark.parametrize(
    ("function", "value"),
    [(nbgrad.zeros_like, 0), (nbgrad.ones_like, 1), (lambda x, **o: nbgrad.full_like(x, 7, **o), 7)],
    ids=["zeros_like", "ones_like", "full_like"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool"])
def test_likes_take_shape_and_dtype(function, value, dtype):
    array = np.ones((2, 3), dtype)
    for source in (Variable(array), array):
        y = function(source)
        assert type(y) is Variable
        assert y.dtype == dtype
        assert not y.requires_grad
        np.testing.assert_array_equal(y.data, np.full((2, 3), value, dtype))
    assert function(array, dtype=np.float32).dtype == np.float32
    assert function(array, dtype=np.float32, requires_grad=True).requires_grad


# ---- tensor ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool", "float16"])
def test_tensor_copies_arrays_and_keeps_their_dtype(dtype):
    array = np.array([0, 1], dtype)
    x = nbgrad.tensor(array)
    assert x.dtype == dtype
    array[0] = 1
    assert x.data[0] == 0


def test_tensor_takes_numpy_scalars_with_their_dtype(float32_by_default):
    assert nbgrad.tensor(np.float64(2)).dtype == np.float64
    assert nbgrad.tensor(np.float32(2)).dtype == np.float32
    assert nbgrad.tensor(np.ones(2)).dtype == np.float64


def test_tensor_takes_variables_alone_and_in_lists():
    x = nbgrad.tensor([1.0, 2.0])
    y = nbgrad.tensor(x)
    assert not y.requires_grad
    assert not np.shares_memory(x.data, y.data)
    assert nbgrad.tensor([x, [3.0, 4.0]]).tolist() == [[1, 2], [3, 4]]
    assert nbgrad.tensor((x[0], 5.0)).tolist() == [1, 5]


@pytest.mark.parametrize("data", ["text", ["a"], None, [None], {}, 1j, [2**100]], ids=str)
def test_tensor_refuses_what_is_not_numeric(data):
    with pytest.raises(TypeError, match=r"tensor: dtype .* is not numeric: give numbers"):
        nbgrad.tensor(data)


def test_tensor_refuses_ragged_lists_and_numbers_out_of_range():
    with pytest.raises(ValueError, match=r"tensor: .*inhomogeneous"):
        nbgrad.tensor([[1, 2], [3]])
    with pytest.raises(ValueError, match="tensor: could not convert"):
        nbgrad.tensor("text", dtype=np.float64)
    with pytest.raises(OverflowError, match="300 out of bounds for int8"):
        nbgrad.tensor([300], dtype=np.int8)


# ---- from Variables that require a gradient ------------------------------------------------------------------------

DIFFERENTIABLE = {
    "tensor of one": lambda x: nbgrad.tensor(x),
    "tensor of a list": lambda x: nbgrad.tensor([x[0], 1.0, x[1] * x[2]]),
    "tensor of nested lists": lambda x: nbgrad.tensor([[x[0], 2], (np.float64(3), x[1])]),
    "as_tensor of a list": lambda x: nbgrad.as_tensor([x[0], x[2]]),
    "linspace": lambda x: nbgrad.linspace(0, x[1], 3),
    "linspace between two": lambda x: nbgrad.linspace(x[0], x[2], 4),
    "arange by its start": lambda x: nbgrad.arange(x[0], 3),
    "arange by its step": lambda x: nbgrad.arange(x[0], 3.0, x[1]),
    "full": lambda x: nbgrad.full((2, 3), x[1]),
    "full_like": lambda x: nbgrad.full_like(x, x[2]),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_go_through_what_is_made_of_variables(name):
    x = Variable(np.array([0.3, 0.7, 2.1]))
    made = DIFFERENTIABLE[name]
    y = made(x)
    np.testing.assert_allclose(y.data, made(x.detach()).data, rtol=1e-15)
    assert y.requires_grad and y.dtype == np.float64 and y.shape == made(x.detach()).shape
    assert nbgrad.autograd.gradcheck(lambda v: made(v) * made(v), x)
    with nbgrad.no_grad():
        assert not made(x).requires_grad


def test_a_leaf_may_be_asked_for_where_no_gradient_is_lost_by_it():
    x = Variable(np.ones(2))
    for make in (
        lambda x: nbgrad.tensor([x[0], 1.0], requires_grad=True),
        lambda x: nbgrad.linspace(x[0], 1.0, 2, requires_grad=True),
        lambda x: nbgrad.full((2,), x[0], requires_grad=True),
    ):
        assert make(x).is_leaf and make(x).requires_grad
        with pytest.raises(RuntimeError, match=r"loses the gradient unseen: leave requires_grad out.*x\.detach"):
            nbgrad.grad(lambda x, make=make: make(x).sum())(np.ones(2))
    assert nbgrad.tensor([x[0], 1.0], dtype=np.float32).dtype == np.float32


def test_numbers_out_of_range_are_no_objects():
    for fill in (2**70, "a", None, 1j):
        with pytest.raises(TypeError, match=r"full: dtype .* is not numeric"):
            nbgrad.full((2,), fill)


# ---- default dtype --------------------------------------------------------------------------------------------------


def test_the_default_dtype_is_float64_and_can_be_set(float32_by_default):
    assert nbgrad.get_default_dtype() == np.float32
    assert nbgrad.randn(2).dtype == np.float32
    assert nbgrad.rand(2).dtype == np.float32
    nbgrad.set_default_dtype("float64")
    assert nbgrad.get_default_dtype() == np.float64
    assert nbgrad.randn(2).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.int64, np.float16, bool, complex])
def test_other_default_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="set_default_dtype: needs float32 or float64, got"):
        nbgrad.set_default_dtype(dtype)
    assert nbgrad.get_default_dtype() == np.float64


# ---- random ---------------------------------------------------------------------------------------------------------

RANDOM = {
    "rand": lambda **o: nbgrad.rand(3, 4, **o),
    "rand-sequence": lambda **o: nbgrad.rand((3, 4), **o),
    "randn": lambda **o: nbgrad.randn(3, 4, **o),
    "randn-0-d": lambda **o: nbgrad.randn(**o),
    "randint": lambda **o: nbgrad.randint(10, (3, 4), **o),
    "randint-bounds": lambda **o: nbgrad.randint(-5, 5, (3, 4), **o),
    "randint-size": lambda **o: nbgrad.randint(-5, 5, size=(3, 4), **o),
    "randint-one size": lambda **o: nbgrad.randint(10, 12, **o),
}


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_seed_gives_the_same_numbers(name):
    draws = []
    for seed in (3, 3, 4):
        nbgrad.manual_seed(seed)
        draws.append(RANDOM[name]().data)
    assert draws[0].shape == (() if name == "randn-0-d" else (12,) if name == "randint-one size" else (3, 4))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()
    assert (RANDOM[name]().data != draws[2]).any()


def test_random_functions_draw_from_the_generator_they_are_given():
    before = nbgrad.get_rng_state().data.copy()
    generator = nbgrad.Generator().manual_seed(11)
    draws = [nbgrad.rand(3, generator=generator), nbgrad.randn(3, generator=generator)]
    draws.append(nbgrad.randint(5, (3,), generator=generator))
    np.testing.assert_array_equal(nbgrad.get_rng_state().data, before)
    nbgrad.manual_seed(11)
    for drawn, again in zip(draws, (nbgrad.rand(3), nbgrad.randn(3), nbgrad.randint(5, (3,))), strict=True):
        np.testing.assert_array_equal(drawn.data, again.data)
    with pytest.raises(TypeError, match=r"randn: a generator is a nbgrad\.Generator, got Generator"):
        nbgrad.randn(3, generator=np.random.default_rng(0))
    with pytest.raises(ValueError, match="randint: low >= high, from 5 up to 5"):
        nbgrad.randint(5, 5, (2,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    uniform, normal = nbgrad.rand(20_000, dtype=dtype), nbgrad.randn(20_000, dtype=dtype)
    assert uniform.dtype == normal.dtype == dtype
    assert 0 <= uniform.data.min() < 0.01 < 0.99 < uniform.data.max() < 1
    assert abs(uniform.data.mean() - 0.5) < 0.02
    assert abs(normal.data.mean()) < 0.05
    assert abs(normal.data.std() - 1) < 0.05
    whole = nbgrad.randint(-2, 3, (1000,))
    assert sorted(set(whole.tolist())) == [-2, -1, 0, 1, 2]
    assert whole.dtype == np.int64
    assert nbgrad.randint(3, (5,), dtype=np.int8).dtype == np.int8


def test_random_variables_may_require_gradients():
    for make in (nbgrad.rand, nbgrad.randn):
        x = make(2, requires_grad=True)
        x.sum().backward()
        assert x.grad.tolist() == [1, 1]
        assert not make(2).requires_grad


@pytest.mark.parametrize(
    ("bounds", "names"),
    [
        ((), {"end": 3}),
        ((1,), {"end": 4}),
        ((1,), {"end": 6, "step": 2}),
        ((), {"start": 1, "end": 4}),
        ((1, 7), {"step": 3}),
        ((1.5,), {"end": 3}),
    ],
)
def test_bounds_of_arange_by_name_are_torchs(bounds, names):
    theirs = peer("torch").arange(*bounds, **names, dtype=peer("torch").float64)
    np.testing.assert_array_equal(nbgrad.arange(*bounds, **names).data, theirs)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32, np.bool_])
def test_randint_of_one_number(dtype):
    found = nbgrad.randint(0, 2, (), dtype=dtype)
    assert type(found.data) is np.ndarray and found.shape == () and found.dtype == dtype and found.item() in (0, 1)


def test_randint_takes_names_and_floating_dtypes():
    for make in (
        lambda: nbgrad.randint(low=2, high=5, size=(50,), dtype=np.float32),
        lambda: nbgrad.randint(2, high=5, size=50, dtype=np.float32),
        lambda: nbgrad.randint(2, 5, (50,), dtype="float32"),
    ):
        x = make()
        assert (x.dtype, x.shape) == (np.float32, (50,))
        assert set(x.tolist()) == {2, 3, 4}
    assert nbgrad.randint(high=1, size=3).tolist() == [0, 0, 0]
    assert nbgrad.randint(5, (3,), dtype=np.float64, requires_grad=True).requires_grad


# ---- refusals -------------------------------------------------------------------------------------------------------

REFUSALS = {
    "zeros": (lambda: nbgrad.zeros(1.5), TypeError, "zeros: sizes and dimensions are whole numbers"),
    "ones": (lambda: nbgrad.ones("a"), TypeError, "ones: sizes and dimensions are whole numbers"),
    "empty": (lambda: nbgrad.empty((2, None)), TypeError, "empty: sizes and dimensions are whole numbers"),
    "full": (lambda: nbgrad.full(2.5, 1), TypeError, "full: sizes and dimensions are whole numbers"),
    "negative": (lambda: nbgrad.zeros(-1), ValueError, "zeros: a size is negative"),
    "arange": (lambda: nbgrad.arange(), TypeError, "arange: takes 1 to 3 bounds, got 0"),
    "arange-away": (lambda: nbgrad.arange(0, -3, 2), ValueError, "arange: a step of 2 does not lead from 0 to -3"),
    "arange-back": (lambda: nbgrad.arange(0, 3, -1), ValueError, "arange: a step of -1 does not lead from 0 to 3"),
    "arange-negative": (lambda: nbgrad.arange(-2.0), ValueError, "arange: a step of 1 does not lead from 0 to -2.0"),
    "arange-stays": (lambda: nbgrad.arange(1, 2, 0), ValueError, "arange: a step of 0 does not lead from 1 to 2"),
    "arange-many": (lambda: nbgrad.arange(1, 2, 3, 4), TypeError, "arange: takes 1 to 3 bounds, got 4"),
    "arange-twice": (lambda: nbgrad.arange(1, 2, end=3), TypeError, r"arange: takes \(end\), \(start, end\) or"),
    "arange-start": (lambda: nbgrad.arange(start=3), TypeError, r"arange: takes \(end\), \(start, end\) or"),
    "randint-low": (lambda: nbgrad.randint(low=1, size=2), TypeError, r"randint: takes \(high, size\)"),
    "randint-thrice": (lambda: nbgrad.randint(1, 2, high=3, size=2), TypeError, r"randint: takes \(high, size\)"),
    "rand": (lambda: nbgrad.rand(2, dtype=np.int64), TypeError, "rand: draws float32 or float64, not int64"),
    "randn": (lambda: nbgrad.randn(2, dtype=np.float16), TypeError, "randn: draws float32 or float64, not float16"),
    "randint": (lambda: nbgrad.randint(5), TypeError, r"randint: takes \(high, size\) or \(low, high, size\)"),
    "randint-none": (lambda: nbgrad.randint(), TypeError, r"randint: takes \(high, size\)"),
    "randint-empty": (lambda: nbgrad.randint(0, (2,)), ValueError, "randint: low >= high, from 0 up to 0"),
    "randint-gradient": (lambda: nbgrad.randint(5, (2,), requires_grad=True), TypeError, "int64 has no gradients"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    call, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("given", [np.array, nbgrad.tensor, lambda x: nbgrad.tensor(x, requires_grad=True)])
def test_what_is_made_of_traced_values_is_computed_from_them(given):
    def made(x):
        return [
            nbgrad.tensor([x[0], 1.0, x[1]]),
            nbgrad.tensor(x),
            nbgrad.tensor(x, dtype=np.float32),
            nbgrad.full((2, 2), x[0]),
            nbgrad.full_like(x, x[1]),
            nbgrad.linspace(x[0], 3.0, 3),
        ]

    x = given([2.0, 5.0])
    for found, expected in zip(nbgrad.jit(made)(x), made(x), strict=True):
        assert isinstance(found, Variable) and found.dtype == expected.dtype
        assert found.requires_grad is expected.requires_grad
        np.testing.assert_array_equal(found.data, expected.data)


def test_a_leaf_made_in_a_traced_function_gets_its_gradient():
    def step(w):
        for leaf in (nbgrad.tensor(w, requires_grad=True), nbgrad.tensor([w[0], w[1]], requires_grad=True)):
            (leaf * leaf).sum().backward()
        return leaf.grad

    np.testing.assert_array_equal(nbgrad.jit(step)(np.array([2.0, 5.0])).data, [4, 10])


def test_variables_like_another_one_and_powers():
    torch = peer("torch")
    x = nbgrad.zeros(2, 3, dtype="float32")
    for made, shape, dtype in (
        (nbgrad.empty_like(x), (2, 3), np.float32),
        (x.new_empty(4), (4,), np.float32),
        (x.new_zeros(2, 2, dtype=int), (2, 2), np.int64),
        (x.new_ones((1, 2)), (1, 2), np.float32),
        (x.new_full((2,), 7.5), (2,), np.float32),
        (x.new_tensor([1, 2]), (2,), np.float32),
        (nbgrad.scalar_tensor(3), (), np.float64),
    ):
        assert made.shape == shape and made.dtype == dtype and not made.requires_grad
    assert x.new_full((2,), 7.5, requires_grad=True).requires_grad and x.new_ones(2).data.tolist() == [1, 1]
    ours, theirs = nbgrad.logspace(-1, 2, 4, 2.0), torch.logspace(-1, 2, 4, 2.0, dtype=torch.float64)
    np.testing.assert_allclose(ours.data, theirs, rtol=1e-14)
    with pytest.raises(ValueError, match="logspace: -1 steps"):
        nbgrad.logspace(0, 1, -1)


@pytest.mark.parametrize("make", [nbgrad.zeros, nbgrad.ones, nbgrad.empty, nbgrad.rand, nbgrad.randn])
def test_sizes_by_their_name(make):
    assert make(size=(2, 3)).shape == (2, 3)
    with pytest.raises(TypeError, match=make.__name__):
        make(4, size=(2, 3))


def test_from_numpy_is_on_the_same_memory():
    array = np.arange(3)
    x = nbgrad.from_numpy(array)
    array[0] = 5
    assert x.tolist() == [5, 1, 2] and not x.requires_grad and x.dtype == array.dtype
    with pytest.raises(TypeError, match="from_numpy: expected a NumPy array, got list"):
        nbgrad.from_numpy([1.0])
    with pytest.raises(TypeError, match="from_numpy"):
        nbgrad.from_numpy(np.array(["a"]))
