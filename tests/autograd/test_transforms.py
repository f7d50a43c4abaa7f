"""nbgrad.grad and nbgrad.value_and_grad."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable, value_and_grad
from nbgrad.nn import functional as F


def loss(w, b, x):
    return ((x @ w + b) ** 2).mean()


ARRAYS = (np.array([[0.5], [-1.0]]), np.array([0.3]), np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.1]]))


@pytest.mark.parametrize("argnums", [0, 1, 2, -1, (0,), (0, 1), (2, 0), [1, 2], (0, 1, 2)])
def test_argnums_agree_with_torch(argnums):
    torch = peer("torch")
    value, gradients = value_and_grad(loss, argnums)(*ARRAYS)
    tensors = [torch.tensor(array, requires_grad=True) for array in ARRAYS]
    expected = loss(*tensors)
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-13)
    if isinstance(argnums, int):
        assert isinstance(gradients, np.ndarray)
        pairs = [(argnums, gradients)]
    else:
        assert type(gradients) is tuple
        pairs = list(zip(argnums, gradients, strict=True))
    for position, found in pairs:
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, tensors[position].grad.numpy(), rtol=1e-12)
    alone = nbgrad.grad(loss, argnums)(*ARRAYS)
    np.testing.assert_array_equal(
        np.concatenate([np.ravel(g) for g in (alone if isinstance(alone, tuple) else (alone,))]),
        np.concatenate([np.ravel(g) for _, g in pairs]),
    )


def test_the_same_argument_twice_in_argnums():
    for argnums in ((0, 0), (0, -1)):
        try:
            first, second = nbgrad.grad(lambda x: x * x, argnums)(3.0)
        except ValueError as error:
            assert "argnums" in str(error)
        else:
            assert first == 6 and second == 6


def test_arrays_in_arrays_out():
    x = np.array([1.0, 2.0])
    value, gradient = value_and_grad(lambda v: (v * v).sum())(x)
    assert type(value) is np.ndarray and value.shape == () and type(gradient) is np.ndarray
    gradient[0] = 100
    np.testing.assert_array_equal(x, [1, 2])
    (same,) = nbgrad.grad(lambda v: v.sum(), (0,))(x)
    same[0] = 7  # not a read-only view
    first, second = nbgrad.grad(lambda a, b: (a + b).sum(), (0, 1))(x, x)
    first[0] = 50
    np.testing.assert_array_equal(second, [1, 1])


def test_dtypes_are_kept_and_numbers_are_taken():
    gradient = nbgrad.grad(lambda v: (v * v).sum())(np.ones(2, np.float32))
    assert gradient.dtype == np.float32
    for number in (3, 3.0, np.float64(3.0)):
        assert nbgrad.grad(lambda v: v * v)(number) == 6
    assert nbgrad.grad(lambda v: v * v)(np.float32(3.0)).dtype == np.float32


def test_variables_in_variables_out():
    x = Variable(np.array([1.0, 2.0]))
    value, gradient = value_and_grad(lambda v: (v**3).sum())(x)
    assert isinstance(value, Variable) and isinstance(gradient, Variable)
    np.testing.assert_array_equal(gradient.data, 3 * x.data**2)
    assert x.grad is None
    (gradient * gradient).sum().backward()
    np.testing.assert_allclose(x.grad.data, 36 * x.data**3)
    x.cleargrad()
    value.backward()
    np.testing.assert_allclose(x.grad.data, 3 * x.data**2)


def test_a_variable_without_gradient_is_taken_as_well():
    x = nbgrad.tensor([1.0, 2.0])
    gradient = nbgrad.grad(lambda v: (v * v).sum())(x)
    assert isinstance(gradient, Variable)
    np.testing.assert_array_equal(gradient.data, [2, 4])
    assert not x.requires_grad and x.grad is None


def test_computed_variables_are_taken_and_linked_to_their_past():
    x = Variable(np.array(2.0))
    gradient = nbgrad.grad(lambda v: v**3)(x * x)
    assert gradient.data == 3 * 16
    gradient.backward()
    assert x.grad.data == 6 * 4 * 2 * 2


def test_the_same_variable_in_two_places_has_two_partial_derivatives():
    x = Variable(np.array(3.0))
    first, second = nbgrad.grad(lambda a, b: a * a * b, (0, 1))(x, x)
    assert first.data == 2 * 9 and second.data == 9
    assert nbgrad.grad(lambda a, b: a * a * b)(x, x).data == 18
    # and both are functions of x
    (second_derivative,) = nbgrad.autograd.grad(first, x)
    assert second_derivative.data == 4 * 3


def test_a_closure_over_the_argument_itself_is_a_constant():
    x = Variable(np.array(3.0))
    gradient = nbgrad.grad(lambda v: v * x)(x)
    assert gradient.data == 3


def test_derivatives_of_derivatives():
    f = nbgrad.sin
    expected = [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin]
    for closed_form in expected:
        f = nbgrad.grad(f)
        np.testing.assert_allclose(f(np.array(0.5)), closed_form(0.5), rtol=1e-13)
        assert type(f(np.array(0.5))) is np.ndarray
        assert isinstance(f(Variable(np.array(0.5))), Variable)


def test_mixed_derivatives():
    f = nbgrad.grad(nbgrad.grad(lambda x, y: nbgrad.sin(x * y) + x * y**3, 0), 1)
    x, y = 0.7, 1.3
    np.testing.assert_allclose(f(x, y), np.cos(x * y) - x * y * np.sin(x * y) + 3 * y**2)


def test_perturbations_are_not_confused():
    # d/dx (x * d/dy (x * y)) = 2x, with x known to the inner function by closure only
    jax = peer("jax")

    def nested(differentiate):
        return differentiate(lambda x: x * differentiate(lambda y: x * y)(2.0))(3.0)

    assert float(nested(jax.grad)) == 6.0
    assert float(nested(nbgrad.grad)) == 6.0


def test_an_inner_function_of_the_outer_argument():
    found = nbgrad.grad(lambda x: x * nbgrad.grad(lambda y: y * y * x)(x))(3.0)
    assert found == 3 * 2 * 9  # d/dx 2x**3


def test_the_value_needs_one_element():
    with pytest.raises(
        TypeError, match=r"gave dtype float64, shape \(2,\): its value must be a number, of one element"
    ):
        nbgrad.grad(lambda v: v * v)(np.ones(2))

    def nothing(v):
        return None

    with pytest.raises(TypeError, match="grad: nothing gave NoneType"):
        nbgrad.grad(nothing)(np.ones(2))
    with pytest.raises(TypeError, match="grad: nothing gave NoneType"):
        value_and_grad(nothing)(np.ones(2))
    gradient = nbgrad.grad(lambda v: v * 2)(np.ones((1, 1)))
    np.testing.assert_array_equal(gradient, [[2]])


@pytest.mark.parametrize(
    ("argument", "dtype"),
    [
        (np.array([1, 2]), "int64"),
        (True, "bool"),
        (np.array(["a"]), "<U1"),
        ("text", "<U4"),
        (np.ones(1, "c16"), "comp"),
    ],
)
def test_arguments_without_gradients(argument, dtype):
    def named(v, w):
        return w.sum()

    with pytest.raises(TypeError, match=f"argument 0 of named holds .* of dtype {dtype}.*has no gradients"):
        nbgrad.grad(named)(argument, nbgrad.ones(2))


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_arguments_in_the_other_byte_order(dtype):
    gradient = nbgrad.grad(lambda v: (v * v).sum())(np.array([1.0, 2.0], dtype))
    np.testing.assert_array_equal(gradient, [2, 4])
    assert gradient.dtype == np.dtype(dtype).newbyteorder("=")


def test_missing_arguments():
    with pytest.raises(TypeError, match="was called without a positional argument 1"):
        nbgrad.grad(lambda v, w=None: v.sum(), 1)(np.ones(2))
    with pytest.raises(TypeError, match="without a positional argument -2"):
        nbgrad.grad(lambda v: v.sum(), -2)(np.ones(2))


def test_arguments_that_do_not_matter_get_zeros():
    value, (gx, gy) = value_and_grad(lambda x, y: (x * x).sum(), (0, 1))(np.ones(2), np.ones(3, np.float32))
    np.testing.assert_array_equal(gx, [2, 2])
    np.testing.assert_array_equal(gy, [0, 0, 0])
    assert gy.dtype == np.float32
    constant = nbgrad.tensor(4.0)
    value, gradient = value_and_grad(lambda x: constant)(np.ones(2))
    assert value == 4
    np.testing.assert_array_equal(gradient, [0, 0])


def test_other_arguments_pass_through():
    def f(w, targets, *, reduction, scale=1.0):
        """A loss."""
        assert isinstance(targets, np.ndarray) and targets.dtype == np.int64
        return F.cross_entropy(w, nbgrad.tensor(targets), reduction=reduction) * scale

    differentiated = nbgrad.grad(f)
    assert differentiated.__name__ == "f" and differentiated.__doc__ == "A loss."
    gradient = differentiated(np.zeros((2, 4)), np.array([1, 2]), reduction="sum", scale=2.0)
    expected = np.full((2, 4), 0.5)
    expected[[0, 1], [1, 2]] -= 2
    np.testing.assert_allclose(gradient, expected)


def test_works_under_no_grad_and_within_it():
    with nbgrad.no_grad():
        assert nbgrad.grad(lambda v: v * v)(3.0) == 6
        assert not nbgrad.is_grad_enabled()

    def stopped(v):
        with nbgrad.no_grad():
            factor = v * 1.0
        return factor * v

    assert nbgrad.grad(stopped)(3.0) == 3


def test_gradients_of_parameters_around_are_left_alone():
    w = Variable(np.array([1.0, 2.0]))
    outer = w * w
    gradient = nbgrad.grad(lambda v: (v * outer).sum())(np.ones(2))
    np.testing.assert_array_equal(gradient, [1, 4])
    assert w.grad is None
    outer.sum().backward()  # its graph was not freed
    np.testing.assert_array_equal(w.grad.data, [2, 4])


def test_errors_leave_the_mode_and_the_arguments_alone():
    def fail(v):
        raise LookupError("inside")

    with nbgrad.no_grad():
        with pytest.raises(LookupError, match="inside"):
            nbgrad.grad(fail)(np.ones(2))
        assert not nbgrad.is_grad_enabled()
    assert nbgrad.is_grad_enabled()


# ---- nests of parameters --------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    weight: Any
    bias: Any


def network(parameters, x):
    for layer in parameters["hidden"]:
        x = nbgrad.tanh(x @ layer.weight + layer.bias)
    return (x * parameters["scale"]).sum()


def make_parameters(kind=np.asarray):
    values = np.random.default_rng(3)
    hidden = [Layer(kind(values.normal(size=(3, 3))), kind(values.normal(size=3))) for _ in range(2)]
    return {"hidden": hidden, "scale": kind(values.normal(size=()))}


@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_by_a_nest_is_such_a_nest(compiled):
    parameters, x = make_parameters(), np.ones((2, 3))
    transform = nbgrad.value_and_grad(network)
    value, gradient = (nbgrad.jit(transform) if compiled else transform)(parameters, x)
    variables = make_parameters(lambda array: nbgrad.tensor(array, requires_grad=True))
    expected = network(variables, nbgrad.tensor(x))
    expected.backward()
    np.testing.assert_allclose(value, expected.data, rtol=1e-13)
    assert list(gradient) == ["hidden", "scale"]
    for layer, variable in zip(gradient["hidden"], variables["hidden"], strict=True):
        assert type(layer) is Layer
        np.testing.assert_allclose(layer.weight, variable.weight.grad.data, rtol=1e-12)
        np.testing.assert_allclose(layer.bias, variable.bias.grad.data, rtol=1e-12)
    np.testing.assert_allclose(gradient["scale"], variables["scale"].grad.data, rtol=1e-12)


def test_several_arguments_may_be_nests():
    first, second = {"a": np.array(2.0)}, [np.array(3.0), (np.array(5.0),)]
    gradients = nbgrad.grad(lambda p, q: p["a"] * q[0] * q[1][0], argnums=(1, 0))(first, second)
    assert gradients == ([10.0, (6.0,)], {"a": 15.0})


def test_gradients_of_gradients_by_nests():
    def inner(p):
        return nbgrad.grad(lambda q: (q["x"] ** 3).sum())(p)["x"].sum()

    assert nbgrad.grad(inner)({"x": np.array([2.0])})["x"] == 12.0


def test_a_leaf_without_gradients_is_named():
    with pytest.raises(TypeError, match="argument 0 of network holds ndarray of dtype int64"):
        nbgrad.grad(network)(make_parameters() | {"scale": np.array(1)}, np.ones((2, 3)))


# ---- what other libraries take --------------------------------------------------------------------------------------


def test_argnum_is_hips_name_for_it():
    f = lambda x, y: x * x * y  # noqa: E731
    assert nbgrad.grad(f, argnum=1)(3.0, 2.0) == 9
    assert value_and_grad(f, argnum=(0, 1))(3.0, 2.0) == (18, (12, 9))
    assert nbgrad.grad(f, np.int64(1))(3.0, 2.0) == 9
    with pytest.raises(TypeError, match="argnums or argnum, not both"):
        nbgrad.grad(f, 1, argnum=1)
    for argnums in ("x", 1.5, None, (0, "y")):
        with pytest.raises(TypeError, match="argnums is a whole number or a sequence of them"):
            nbgrad.grad(f, argnums)


def test_nothing_in_a_nest_stays_nothing():
    jax = peer("jax")
    parameters = {"w": 2.0, "b": None, "rest": [None, 3.0]}
    f = lambda p: p["w"] * p["rest"][1] if p["b"] is None and p["rest"][0] is None else p["w"]  # noqa: E731
    found = nbgrad.grad(f)(parameters)
    assert found == {"w": 3, "b": None, "rest": [None, 2]}
    assert found == jax.grad(f)(parameters)
    with pytest.raises(TypeError, match="holds str of dtype"):
        nbgrad.grad(f)({**parameters, "rest": ["text", 3.0]})


@pytest.mark.parametrize("constant", [3.0, 3, np.float64(3), np.float32(3), np.array([3.0]), np.array(3)], ids=repr)
def test_a_constant_has_zero_gradients(constant):
    value, gradient = value_and_grad(lambda x: constant)(np.ones(2))
    assert isinstance(value, np.ndarray) and value == 3 and value.dtype == getattr(constant, "dtype", np.float64)
    np.testing.assert_array_equal(gradient, [0, 0])
    x = Variable(np.ones(2))
    value, gradient = value_and_grad(lambda x: constant)(x)
    assert isinstance(value, Variable) and gradient.data.tolist() == [0, 0]


@pytest.mark.parametrize("value", [np.ones(2), "text", None, np.array([1j]), [1.0]], ids=str)
def test_what_is_no_value(value):
    with pytest.raises(TypeError, match="its value must be a number"):
        nbgrad.grad(lambda x: value)(np.ones(2))


def test_grad_and_value_gives_what_torch_gives():
    torch = peer("torch")

    def function(w, x):
        return ((w * x) ** 2).sum(), {"seen": w * x}

    arrays = np.array([0.5, -1.0]), np.array([1.0, 3.0])
    for options in ({}, {"argnums": 1}, {"argnums": (0, 1)}):
        ours = nbgrad.func.grad_and_value(function, has_aux=True, **options)(*arrays)
        theirs = torch.func.grad_and_value(function, has_aux=True, **options)(*map(torch.tensor, arrays))
        gradients, (value, aux) = ours
        wanted, (number, seen) = theirs
        wanted = np.array(torch.stack(wanted).tolist() if isinstance(wanted, tuple) else wanted.tolist())
        np.testing.assert_allclose(np.array(gradients), wanted, rtol=1e-13)
        np.testing.assert_allclose([value, *aux["seen"]], [number.item(), *seen["seen"].tolist()], rtol=1e-13)
        gradients, value = nbgrad.func.grad_and_value(lambda w, x: function(w, x)[0], **options)(*arrays)
        np.testing.assert_allclose(np.array(gradients), wanted, rtol=1e-13)
        np.testing.assert_allclose(value, number.item(), rtol=1e-13)
    assert nbgrad.autograd.no_grad is nbgrad.no_grad and nbgrad.autograd.enable_grad is nbgrad.enable_grad
