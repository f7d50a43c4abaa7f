"""Arguments taken apart and results put together, signatures, and how calls like an earlier one are recognised."""

import dataclasses
from collections import namedtuple

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable
from nbgrad.kernels.cpu import ndarray
from nbgrad.tracing import trace

X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)

Pair = namedtuple("Pair", "first second")

# ---- arguments and results -------------------------------------------------------------------------------------------


def test_the_kinds_that_go_in_come_out():
    compiled = nbgrad.jit(lambda x: x * 2)
    assert isinstance(compiled(X), np.ndarray)
    assert isinstance(compiled(Variable(X)), Variable)
    with nbgrad.no_grad():
        assert not compiled(Variable(X)).requires_grad
    np.testing.assert_array_equal(compiled(3.0), 6.0)


def test_structures():
    def function(state, extra):
        return {
            "sum": state["a"] + state["b"][0],
            "rest": [state["b"][1] * extra, (extra, 5, None)],
            "pair": Pair(1, extra),
        }

    state = {"a": X, "b": (X * 2, Variable(X, requires_grad=False))}
    found = nbgrad.jit(function)(state, 3.0)
    assert list(found) == ["sum", "rest", "pair"]
    np.testing.assert_array_equal(found["sum"], X * 3)
    assert isinstance(found["rest"][0], Variable)
    np.testing.assert_array_equal(found["rest"][0].data, X * 3)
    assert found["rest"][1][1:] == (5, None)
    assert type(found["pair"]) is Pair
    assert found["pair"].second == 3.0


def energy(x, w=2.0):
    return (nbgrad.tanh(x * w) ** 2).sum()


def test_keyword_arguments_and_defaults():
    compiled = nbgrad.jit(energy)
    np.testing.assert_allclose(compiled(X, w=0.5), energy(X, 0.5), rtol=1e-14)
    np.testing.assert_allclose(compiled(X), energy(X), rtol=1e-14)


def test_a_python_number_takes_the_dtype_it_meets():
    compiled = nbgrad.jit(lambda x, s: x * s)
    assert compiled(X.astype("float32"), 2.0).dtype == np.float32
    assert compiled(X.astype("float32"), np.array(2.0)).dtype == np.float64


def test_layouts_that_are_not_contiguous():
    compiled = nbgrad.jit(lambda x: nbgrad.exp(x) * 2)
    for x in (X.T, X[:, ::2], X[::-1], np.broadcast_to(X[0], (2, 4)), X.astype(">f8")):
        np.testing.assert_allclose(compiled(x), np.exp(x) * 2, rtol=1e-14)


def test_results_are_arrays_of_their_own():
    @nbgrad.jit
    def function(x):
        y = x * 2
        return x, y, y, y.reshape(-1), y[1]

    x = X.copy()
    first = function(x)
    copies = [array.copy() for array in first]
    second = function(x + 1)
    for array, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    everything = [*first, *second, x]
    for i, array in enumerate(everything):
        assert not any(np.shares_memory(array, other) for other in everything[:i])


@pytest.mark.parametrize("argument", [np.array(["a"]), np.ones(2, complex)])
def test_dtypes_without_kernels_are_refused(argument):
    with pytest.raises(TypeError, match="has dtype"):
        nbgrad.jit(lambda x: x)(argument)


def test_variables_that_are_not_contiguous():
    x = Variable(np.arange(6.0).reshape(2, 3)).T
    y = nbgrad.jit(lambda a: a * 1)(x)
    np.testing.assert_array_equal(y.data, x.data)
    stretched = Variable(np.broadcast_to(np.array(2.0), (1000,)))
    np.testing.assert_array_equal(nbgrad.jit(lambda a: a * 1)(stretched).data, 2.0)
    a = np.arange(6.0).reshape(2, 3)
    v = Variable(np.ones((3, 2)))
    product = nbgrad.jit(lambda v, a: v * a)(v, a.T)
    np.testing.assert_array_equal(product.data, a.T)
    product.backward(np.ones((3, 2)))
    np.testing.assert_array_equal(v.grad.data, a.T)


def test_results_of_other_kinds_are_refused():
    with pytest.raises(TypeError, match="a result is a generator"):
        nbgrad.jit(lambda x: (y for y in [x]))(X)


def test_numbers_keep_their_digits_whatever_the_default_dtype():
    scaled = nbgrad.jit(lambda x, s: x * s)
    try:
        nbgrad.set_default_dtype(np.float32)
        for _ in range(2):
            assert scaled(np.ones(1), 0.1)[0] == 0.1
            assert scaled(np.ones(1, np.float32), 0.1).dtype == np.float32
            for function in (lambda s: s * s * 2, lambda s: nbgrad.sum(nbgrad.ones(2) * s)):
                slope, compiled = nbgrad.grad(function)(0.1), nbgrad.jit(nbgrad.grad(function))(0.1)
                assert slope.dtype == compiled.dtype == np.float32 and slope == pytest.approx(compiled)
    finally:
        nbgrad.set_default_dtype(np.float64)


def test_an_argument_may_be_called_self():
    assert nbgrad.jit(lambda self, x: self * x)(**{"self": np.ones(2), "x": np.ones(2)}).tolist() == [1, 1]


def test_arrays_in_the_other_byte_order_at_every_call():
    compiled = nbgrad.jit(lambda x: x * 2.0 + 1.0)
    x = np.arange(4.0).astype(np.dtype(float).newbyteorder())
    for argument in (x, x, np.arange(4.0), x):
        assert (compiled(argument) == [1, 3, 5, 7]).all()


@pytest.mark.parametrize(
    "function",
    [
        nbgrad.exp,
        nbgrad.sum,
        lambda x: x * 2,
        lambda x: x @ x,
        lambda x: np.float16(2) * x,
        lambda x: x + np.ones(3, np.float16),
        lambda x: nbgrad.amax(x, 0),
        lambda x: nbgrad.where(x > 1, x, 0.0),
        lambda x: x.reshape(9)[::2],
    ],
)
def test_float16_is_taken_as_eager_mode_takes_it(function):
    half = np.arange(9, dtype=np.float16).reshape(3, 3)
    for x in (half, Variable(half)):
        found, expected = nbgrad.jit(function)(x), function(x)
        assert found.dtype == expected.dtype
        pair = [y.data if isinstance(y, Variable) else y for y in (found, expected)]
        np.testing.assert_allclose(*pair, rtol=1e-3)


def test_arrays_of_numpys_subclasses():
    masked, matrix = np.ma.array([1.0, 2.0], mask=[False, True]), np.array([[1.0, 2.0], [3.0, 4.0]]).view(np.matrix)
    for function, x in ((lambda x: x * 2, masked), (lambda x: x * masked, np.ones(2))):
        with pytest.raises(TypeError, match="masked array"):
            nbgrad.jit(function)(x)
    compiled = nbgrad.jit(lambda x: x.sum(0) * (x * matrix))
    for _ in range(2):
        np.testing.assert_array_equal(compiled(matrix), [[4, 24], [36, 96]])


# ---- signatures ------------------------------------------------------------------------------------------------------


def test_other_shapes_and_dtypes_are_traced_anew():
    traced = []

    @nbgrad.jit
    def function(x):
        traced.append((x.shape, x.dtype))
        return (x * x).sum()

    for x in (X, X[0], X.astype("float32"), X, X + 1):
        np.testing.assert_allclose(function(x), (x * x).sum(), rtol=1e-6)
    assert traced == [((3, 4), np.float64), ((4,), np.float64), ((3, 4), np.float32)]


def test_another_size_compiles_nothing():
    from nbgrad.kernels.cpu import codegen

    def function(x):
        return (nbgrad.softmax(x, -1) * nbgrad.sin(x)).mean()

    compiled = nbgrad.jit(nbgrad.value_and_grad(function))
    compiled(X)
    arrays = [np.random.default_rng(0).normal(size=shape) for shape in ((5, 7), (2, 100), (300, 300))]
    expected = [nbgrad.value_and_grad(function)(x) for x in arrays]
    known = set(codegen._addresses)
    for x, (wanted, slope) in zip(arrays, expected, strict=True):
        value, gradient = compiled(x)
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-16)
    assert set(codegen._addresses) == known


def test_strings_and_other_values_are_static():
    compiled = nbgrad.jit(lambda x, how: x.sum() if how == "sum" else x.mean())
    np.testing.assert_allclose(compiled(X, "sum"), X.sum())
    np.testing.assert_allclose(compiled(X, "mean"), X.mean())


def test_static_tuples_beside_variables():
    x = Variable(X)
    y = nbgrad.jit(lambda x, shape: x.reshape(*shape) * 2, static_argnums=1)(x, (4, 3))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, 2.0)
    compiled = nbgrad.jit(lambda x, n: x + n, static_argnums=1)
    assert np.signbit(compiled(np.array(-0.0), -0.0))
    assert not np.signbit(compiled(np.array(-0.0), 0.0))


def test_static_arguments_may_be_nests():
    compiled = nbgrad.jit(lambda shape, x: nbgrad.sum(x) * nbgrad.ones(*shape), static_argnums=0)
    shape = (2, 3)
    for _ in range(3):
        assert compiled(shape, np.ones(4)).shape == (2, 3)
        assert compiled((3, 2), np.ones(4)).shape == (3, 2)


def test_the_default_dtype_is_part_of_the_signature():
    compiled = nbgrad.jit(lambda x: x * nbgrad.ones(3).data)
    x = np.ones(3, np.float32)
    try:
        for dtype in (np.float32, np.float64, np.float32):
            nbgrad.set_default_dtype(dtype)
            for _ in range(3):
                assert compiled(x).dtype == dtype
    finally:
        nbgrad.set_default_dtype(np.float64)


@dataclasses.dataclass(frozen=True)
class Setting:
    value: object
    note: object = dataclasses.field(default=None, compare=False)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (frozenset({1}), frozenset({True})),
        (frozenset({0.0}), frozenset({-0.0})),
        (1j, True + 0j * -1),
        ((1, frozenset({2})), (1, frozenset({2.0}))),
        (np.float32(0.0), np.float32(-0.0)),
        (Setting(1), Setting(True)),
        (Setting((0.0,)), Setting((-0.0,))),
    ],
)
def test_static_values_of_other_types_have_traces_of_their_own(first, second):
    traced = []
    compiled = nbgrad.jit(lambda x, static: traced.append(static) or x * 2, static_argnums=1)
    for value in (first, second, first):
        compiled(X, value)
    assert [repr(value) for value in traced] == [repr(first), repr(second)]


def test_static_values_that_are_one_share_a_trace():
    traced = []
    compiled = nbgrad.jit(lambda x, static: traced.append(static) or x * 2, static_argnums=1)
    for value in (Setting(1), Setting(1, "another"), np.float32(2), np.float32(2)):
        compiled(X, value)
    assert traced == [Setting(1), np.float32(2)]


@pytest.mark.parametrize("keys", [(1, True, 1.0), ((0.0,), (-0.0,))])
def test_keys_of_other_types_have_traces_of_their_own(keys):
    compiled = nbgrad.jit(lambda nest: {key: value * 2 for key, value in nest.items()})
    for key in keys * 2:
        assert repr(list(compiled({key: X}))) == repr([key])


# ---- calls like an earlier one ---------------------------------------------------------------------------------------

recognised_at_once = pytest.mark.skipif(not ndarray.layout_holds(), reason="arrays cannot be read by their layout here")


@recognised_at_once
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_the_second_call_is_recognised_at_once(dtype):
    compiled = nbgrad.jit(lambda x: x | x if dtype == "bool" else x * 2)
    x = np.ones(3, dtype)
    compiled(x)
    last = compiled._last
    assert last[0](x) is not None
    compiled(x)
    assert compiled._last is last


@recognised_at_once
def test_nests_are_recognised_at_once():
    Pair = namedtuple("Pair", "first second")
    compiled = nbgrad.jit(lambda p, x: {"sum": p["a"][0] + p["b"].second * x, "rest": [p["b"].first]})

    def nest(*numbers):
        return {"a": [np.full(2, numbers[0])], "b": Pair(np.full(2, numbers[1]), np.full(2, numbers[2]))}

    for numbers in ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)):
        found = compiled(nest(*numbers), np.full(2, 10.0))
        assert found["sum"].tolist() == [numbers[0] + 10 * numbers[2]] * 2
        assert found["rest"][0].tolist() == [numbers[1]] * 2
    last = compiled._last
    assert last[0](nest(1.0, 2.0, 3.0), np.ones(2)) is not None
    others = [
        {"a": [np.ones(2), np.ones(2)], "b": Pair(np.ones(2), np.ones(2))},
        {"a": (np.ones(2),), "b": Pair(np.ones(2), np.ones(2))},
        {"a": [np.ones(2)], "b": (np.ones(2), np.ones(2))},
        {"b": Pair(np.ones(2), np.ones(2)), "a": [np.ones(2)]},
        {"a": [np.ones(2)], "c": Pair(np.ones(2), np.ones(2))},
        {"a": [np.ones(3)], "b": Pair(np.ones(2), np.ones(2))},
        {"a": np.ones((1, 2)), "b": Pair(np.ones(2), np.ones(2))},
        np.ones(2),
    ]
    for other in others:
        assert last[0](other, np.ones(2)) is None
    assert last[0](nest(1.0, 2.0, 3.0)) is None and last[0](nest(1.0, 2.0, 3.0), np.ones(2), np.ones(2)) is None


def test_several_signatures_are_recognised_at_once():
    compiled = nbgrad.jit(lambda x, y=None: x * 2 if y is None else [x, x * y])
    calls = [(np.ones(3),), (np.ones(4),), (np.ones(3), 2.0), (nbgrad.ones(3, requires_grad=True), np.ones(3))]
    for arguments in calls:
        compiled(*arguments)
    traces, routes = len(compiled._traces), (compiled._last, compiled._earlier)
    for arguments in [*calls, *reversed(calls)]:
        found = compiled(*arguments)
        first = found[0] if isinstance(found, list) else found
        assert first.shape == arguments[0].shape and float(first[0]) == (1 if len(arguments) > 1 else 2)
    assert len(compiled._traces) == traces and (compiled._last, compiled._earlier) == routes


@recognised_at_once
def test_arguments_by_name_are_recognised_at_once():
    compiled = nbgrad.jit(lambda x, scale, training=False: x * scale["by"] if training else x)
    x, scale = np.ones(3), {"by": np.full(3, 2.0)}
    for _ in range(2):
        assert compiled(x, scale=scale).tolist() == [1, 1, 1]
        assert compiled(x, scale=scale, training=True).tolist() == [2, 2, 2]
        assert compiled(x, training=True, scale=scale).tolist() == [2, 2, 2]
        assert compiled(x, scale).tolist() == [1, 1, 1]
    routes = compiled._last, compiled._earlier, compiled._named
    for training, expected in ((True, 2), (False, 1), (True, 2)):
        assert compiled(x, scale=scale, training=training).tolist() == [expected] * 3
        assert compiled(x, scale=scale).tolist() == [1, 1, 1]
    assert len(compiled._named) == 4 and compiled._last == routes[0]
    with pytest.raises(TypeError, match="unexpected keyword argument 'rate'"):
        compiled(x, scale=scale, rate=1.0)


@recognised_at_once
def test_what_has_been_recognised_once_is_not_written_again(monkeypatch):
    written, real = [], trace._written
    monkeypatch.setattr(trace, "_written", lambda *given: written.append(1) or real(*given))

    class Model:
        @nbgrad.jit
        def scaled(self, x, how):
            return x * 2 if how == "twice" else x

    models, x = [Model() for _ in range(7)], nbgrad.ones(3)
    for _ in range(3):
        for model in models:
            assert model.scaled(x, "".join(["tw", "ice"])).tolist() == [2, 2, 2]
        if not written:
            pytest.fail("nothing was written at all")
        assert len(written) == len(models)


@pytest.mark.parametrize(
    "unusual",
    [lambda x: x[::2], lambda x: x[:3].astype(">f8"), lambda x: x[:3].view(type("Array", (np.ndarray,), {}))],
)
def test_what_is_converted_first_takes_the_way_of_first_calls(unusual):
    compiled = nbgrad.jit(lambda x, nest: x * 2 + nest[0])
    plain = np.arange(3.0), [np.arange(3.0)]
    compiled(*plain)
    last = compiled._last, compiled._earlier
    for _ in range(3):
        x = unusual(np.arange(6.0))
        np.testing.assert_array_equal(compiled(x, [np.arange(3.0)]), 2 * np.asarray(x, float) + np.arange(3.0))
        np.testing.assert_array_equal(compiled(np.arange(3.0), [x]), x + 2 * np.arange(3.0))
        assert (compiled._last, compiled._earlier) == last


def test_numbers_and_variables_take_the_quick_way_too():
    calls = []

    def traced(x, y, scale):
        calls.append(type(x))
        return (x * y * scale).sum()

    compiled = nbgrad.jit(traced)
    x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    for factor in (2.0, 3.0):
        for scale in (np.float32(4), np.float32(5)):
            y = compiled(x, factor, scale)
            assert y.item() == 3 * factor * scale
            x.grad = None
            y.backward()
            assert (x.grad.data == factor * scale).all()
    assert len(calls) == 1
    with nbgrad.no_grad():
        assert not compiled(x, 2.0, np.float32(4)).requires_grad
    constant = nbgrad.tensor([1.0, 2.0])
    assert compiled(constant, 2.0, np.float32(4)).requires_grad is False
    assert compiled(x, np.ones(2), np.float32(4)).item() == 12  # another kind
    assert compiled(x, 2.0, np.float32(4)).item() == 24
    assert compiled(nbgrad.tensor([1.0, 2.0, 3.0]), 2.0, np.float32(4)).item() == 48
