"""jacobian and hessian, against PyTorch's."""

import inspect

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.autograd.functional import hessian, jacobian

A, B = np.array([[0.5, -1.0, 0.3], [0.2, 0.7, -0.4]]), np.array([1.5, 0.5, -0.5])

FUNCTIONS = {
    "one to one": (lambda m: lambda a: m.tanh(a) * a, (A,)),
    "one to a scalar": (lambda m: lambda a: (a * a * a).sum(), (A,)),
    "one to several": (lambda m: lambda a: (m.exp(a).sum(), a.sum(1), a), (A,)),
    "several to one": (lambda m: lambda a, b: m.tanh(a @ b), (A, B)),
    "several to several": (lambda m: lambda a, b: (a * b, b * b, (a @ b).sum()), (A, B)),
    "partly independent": (lambda m: lambda a, b: (a * 2, b * 3), (A, B)),
    "of a scalar": (lambda m: lambda a: m.sin(a) * a, (np.array(0.7),)),
}


def flat(result):
    if isinstance(result, tuple):
        return [leaf for item in result for leaf in flat(item)]
    return [result]


def structure(result):
    return tuple(structure(item) for item in result) if isinstance(result, tuple) else tuple(result.shape)


def agree(mine, expected, **tolerance):
    assert structure(mine) == structure(expected)
    for found, other in zip(flat(mine), flat(expected), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), other.detach().numpy(), **{"rtol": 1e-11} | tolerance)


def inputs_for(library, arrays, as_tuple):
    if library is nbgrad:
        values = tuple(nbgrad.tensor(array.copy()) for array in arrays)
    else:
        values = tuple(library.tensor(array) for array in arrays)
    return values if as_tuple or len(values) > 1 else values[0]


def test_the_signatures_are_torchs():
    torch = peer("torch")
    for name in ("jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"):
        mine, expected = (
            inspect.signature(getattr(library.autograd.functional, name)).parameters.values()
            for library in (nbgrad, torch)
        )
        assert [(p.name, p.kind, p.default) for p in mine] == [(p.name, p.kind, p.default) for p in expected]


@pytest.mark.parametrize("as_tuple", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians_agree_with_torch(name, create_graph, as_tuple):
    torch = peer("torch")
    make, arrays = FUNCTIONS[name]
    mine = jacobian(make(nbgrad), inputs_for(nbgrad, arrays, as_tuple), create_graph=create_graph)
    expected = torch.autograd.functional.jacobian(
        make(torch), inputs_for(torch, arrays, as_tuple), create_graph=create_graph
    )
    agree(mine, expected)
    if not create_graph:
        assert not any(leaf.requires_grad for leaf in flat(mine))


HESSIANS = {
    "of one": (lambda m: lambda a: (m.tanh(a) * a * a).sum(), (A,)),
    "of several": (lambda m: lambda a, b: (m.exp(a @ b) * b[0]).sum(), (A, B)),
    "partly linear": (lambda m: lambda a, b: (a * a).sum() + b.sum(), (A, B)),
    "partly unused": (lambda m: lambda a, b: (a * a * a).sum(), (A, B)),
    "of a scalar": (lambda m: lambda a: m.sin(a) * a, (np.array(0.7),)),
}


@pytest.mark.parametrize("as_tuple", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", HESSIANS)
def test_hessians_agree_with_torch(name, create_graph, as_tuple):
    torch = peer("torch")
    make, arrays = HESSIANS[name]
    mine = hessian(make(nbgrad), inputs_for(nbgrad, arrays, as_tuple), create_graph=create_graph)
    expected = torch.autograd.functional.hessian(
        make(torch), inputs_for(torch, arrays, as_tuple), create_graph=create_graph
    )
    agree(mine, expected)


def test_a_jacobian_can_be_differentiated():
    torch = peer("torch")

    def program(library, jacobian, a, b):
        found = jacobian(lambda x, y: library.tanh(x * y), (a, b), create_graph=True)
        total = (found[0] * found[0]).sum() + (found[1] * found[0]).sum()
        total.backward()
        return a.grad, b.grad

    mine = program(nbgrad, jacobian, Variable(A[0].copy()), Variable(B.copy()))
    expected = program(
        torch,
        torch.autograd.functional.jacobian,
        torch.tensor(A[0], requires_grad=True),
        torch.tensor(B, requires_grad=True),
    )
    agree(mine, expected)


def test_a_hessian_can_be_differentiated():
    torch = peer("torch")

    def program(library, hessian, a):
        (hessian(lambda x: (x**4).sum() + library.exp(x).prod(), a, create_graph=True) ** 2).sum().backward()
        return a.grad

    mine = program(nbgrad, hessian, Variable(B.copy()))
    expected = program(torch, torch.autograd.functional.hessian, torch.tensor(B, requires_grad=True))
    agree(mine, expected, rtol=1e-9)


def test_jacobians_of_jacobians():
    x = nbgrad.tensor([0.5, -1.0])
    found = jacobian(lambda v: jacobian(lambda u: u**3, v, create_graph=True), x)
    expected = np.zeros((2, 2, 2))
    expected[[0, 1], [0, 1], [0, 1]] = 6 * x.data
    np.testing.assert_allclose(found.data, expected)


def test_the_callers_variables_are_left_alone():
    x, w = Variable(np.array([1.0, 2.0])), Variable(np.array([3.0, 4.0]))
    seen = []
    x.register_hook(lambda g: seen.append(g))
    jacobian(lambda v: v * w, x)
    jacobian(lambda v: v * w, x, create_graph=True)
    hessian(lambda v: (v * v * w).sum(), x)
    assert x.grad is None and w.grad is None and seen == []
    np.testing.assert_array_equal(x.data, [1, 2])


def test_a_closure_over_the_input_itself_is_a_constant():
    torch = peer("torch")
    for create_graph in (False, True):
        x = Variable(np.array([1.0, 2.0]))
        mine = jacobian(lambda v, x=x: v * x, x, create_graph=create_graph)
        t = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        agree(mine, torch.autograd.functional.jacobian(lambda v, t=t: v * t, t, create_graph=create_graph))


def test_the_same_variable_in_two_places():
    x = Variable(np.array([1.0, 2.0]))
    for create_graph in (False, True):
        first, second = jacobian(lambda a, b: a * b * b, (x, x), create_graph=create_graph)
        np.testing.assert_array_equal(first.data, np.diag(x.data**2))
        np.testing.assert_array_equal(second.data, np.diag(2 * x.data**2))


def test_works_under_no_grad():
    x = nbgrad.tensor([1.0, 2.0])
    with nbgrad.no_grad():
        found = jacobian(lambda v: v * v, x)
        second = hessian(lambda v: (v**3).sum(), x)
        assert not nbgrad.is_grad_enabled()
    np.testing.assert_array_equal(found.data, np.diag(2 * x.data))
    np.testing.assert_array_equal(second.data, np.diag(6 * x.data))


def test_dtypes_and_empty_shapes():
    x = nbgrad.tensor(np.ones(2, np.float32))
    assert jacobian(lambda v: v * v, x).dtype == np.float32
    assert jacobian(lambda v: v.astype(np.float64) * 2, x).dtype == np.float32
    empty = nbgrad.zeros(0)
    assert jacobian(lambda v: v * 2, empty).shape == (0, 0)
    assert jacobian(lambda v: v.sum(), empty).shape == (0,)
    assert jacobian(lambda v: v[:0], x).shape == (0, 2)
    assert hessian(lambda v: v.sum(), empty).shape == (0, 0)


def test_outputs_without_gradients_give_zeros_or_an_error():
    x = nbgrad.tensor([1.0, 2.0])
    constant = nbgrad.ones(3)
    found = jacobian(lambda v: constant, x)
    np.testing.assert_array_equal(found.data, np.zeros((3, 2)))
    with pytest.raises(RuntimeError, match="output 0 does not depend on input 0, which strict forbids"):
        jacobian(lambda v: constant, x, strict=True)
    with pytest.raises(RuntimeError, match="output 1 does not depend on input 0, which strict forbids"):
        jacobian(lambda v, w: (v * w, w), (x, x), strict=True)
    np.testing.assert_array_equal(jacobian(lambda v: v * 2, x, strict=True).data, np.diag([2, 2]))


def test_strict_hessians():
    x = nbgrad.tensor([1.0, 2.0])
    np.testing.assert_array_equal(hessian(lambda v: (v * v).sum(), x, strict=True).data, np.diag([2, 2]))
    with pytest.raises(RuntimeError, match="strict"):
        hessian(lambda v, w: (v * v).sum(), (x, x), strict=True)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", ["jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"])
@pytest.mark.parametrize(
    "make",
    [
        lambda m: lambda a, b: (m.tanh(a) * b).sum(),
        lambda m: lambda a, b: a.sum() * 2 + b.sum(),  # whose derivatives are constant
        lambda m: lambda a, b: (a * a).sum(),  # which does not depend on b
    ],
)
def test_strict_refuses_what_torch_refuses(make, name, create_graph):
    torch = peer("torch")

    def program(library):
        given = inputs_for(library, (B, B * 2), True)
        more = () if name in ("jacobian", "hessian") else (None if name == "vjp" else given,)
        return getattr(library.autograd.functional, name)(make(library), given, *more, create_graph, True)

    try:
        expected = program(torch)
    except RuntimeError:
        with pytest.raises(RuntimeError, match="strict"):
            program(nbgrad)
    else:
        agree(program(nbgrad), expected)


@pytest.mark.parametrize("transform", [jacobian, hessian])
def test_bad_inputs_are_named(transform):
    with pytest.raises(TypeError, match="input 1 is a str: give Variables or arrays"):
        transform(lambda v, w: v.sum(), (np.ones(2), "text"))
    with pytest.raises(TypeError, match="input 1 has dtype int64, which has no gradients"):
        transform(lambda v, w: v.sum(), (nbgrad.ones(2), nbgrad.tensor([1, 2])))


def test_bad_outputs_are_named():
    x = nbgrad.ones(2)
    with pytest.raises(TypeError, match="output 0 is a float: func must give Variables"):
        jacobian(lambda v: 1.0, x)
    with pytest.raises(TypeError, match="output 1 is a ndarray"):
        jacobian(lambda v: (v, v.data), x)
    with pytest.raises(ValueError, match=r"hessian: func gave shape \(2,\)"):
        hessian(lambda v: v * v, x)
    with pytest.raises(ValueError, match="hessian: func gave float"):
        hessian(lambda v: 1.0, x)
    with pytest.raises(ValueError, match="strategy 'forward-mode' is not supported"):
        jacobian(lambda v: v, x, strategy="forward-mode")


def test_arrays_in_arrays_out():
    x = np.array([1.0, 2.0])
    found = jacobian(lambda v: v * v, x)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, [[2, 0], [0, 4]])
    pair = jacobian(lambda v, w: (v * w, v), (x, np.array([3.0, 4.0], np.float32)))
    assert [[type(part) for part in row] for row in pair] == [[np.ndarray] * 2] * 2
    assert pair[0][1].dtype == np.float32
    np.testing.assert_array_equal(hessian(lambda v: (v**3).sum(), x), [[6, 0], [0, 12]])
    assert jacobian(lambda v: v * v, 3.0) == 6
    mixed = jacobian(lambda v, w: v * w, (x, nbgrad.ones(2)))
    assert all(isinstance(part, nbgrad.Variable) for part in mixed)
    assert isinstance(jacobian(lambda v: v * v, x, create_graph=True), nbgrad.Variable)


def test_a_gradient_inside_keeps_what_it_depends_on():
    # by x, which the inner function does not get as its argument
    found = jacobian(lambda x: nbgrad.grad(lambda w: (w * w * x).sum())(np.ones(2)), nbgrad.tensor([3.0, 4.0]))
    np.testing.assert_array_equal(found.data, [[2, 0], [0, 2]])
