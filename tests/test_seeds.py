"""The two programs that the project comes from, with only their imports changed."""

import numpy as np
import pytest
from peers import peer

import nbgrad
import nbgrad as torch
from nbgrad import Function, Variable
from nbgrad.autograd.functional import jacobian

# ---- the first program ----------------------------------------------------------------------------------------------


def test_binary_cross_entropy_of_a_linear_map():
    x = torch.ones(5)
    y = torch.zeros(3)
    w = torch.randn(5, 3, requires_grad=True)
    b = torch.randn(3, requires_grad=True)
    z = torch.matmul(x, w) + b
    loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
    loss.backward()

    peers_torch = peer("torch")
    pw = peers_torch.tensor(w.data, requires_grad=True)
    pb = peers_torch.tensor(b.data, requires_grad=True)
    pz = peers_torch.matmul(peers_torch.ones(5, dtype=pw.dtype), pw) + pb
    expected = peers_torch.nn.functional.binary_cross_entropy_with_logits(pz, peers_torch.zeros(3, dtype=pw.dtype))
    expected.backward()
    assert loss.shape == ()
    np.testing.assert_allclose(loss.data, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(w.grad.data, pw.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(b.grad.data, pb.grad.numpy(), rtol=1e-12)


def test_gradients_accumulate_over_three_calls(capsys):
    inp = torch.eye(4, 5, requires_grad=True)
    out = (inp + 1).pow(2).t()
    assert out.shape == (5, 4)
    once = 2 * np.ones((4, 5)) + 2 * np.eye(4, 5)
    out.backward(torch.ones_like(out), retain_graph=True)
    print(f"First call\n{inp.grad}")
    np.testing.assert_array_equal(inp.grad.data, once)
    out.backward(torch.ones_like(out), retain_graph=True)
    print(f"\nSecond call\n{inp.grad}")
    np.testing.assert_array_equal(inp.grad.data, 2 * once)
    inp.grad.zero_()
    out.backward(torch.ones_like(out), retain_graph=True)
    print(f"\nCall after zeroing gradients\n{inp.grad}")
    np.testing.assert_array_equal(inp.grad.data, once)
    printed = capsys.readouterr().out
    assert printed == (f"First call\n{once}\n\nSecond call\n{2 * once}\n\nCall after zeroing gradients\n{once}\n")


def test_jacobian_of_sums_of_exponentials():
    def func(x):
        return x.exp().sum(dim=1)

    x = torch.rand(2, 3)
    found = jacobian(func, x)
    expected = np.zeros((2, 2, 3))
    expected[[0, 1], [0, 1]] = np.exp(x.data)
    np.testing.assert_allclose(found.data, expected, rtol=1e-14)

    peers_torch = peer("torch")
    peers = peers_torch.autograd.functional.jacobian(func, peers_torch.tensor(x.data))
    np.testing.assert_allclose(found.data, peers.numpy(), rtol=1e-14)


def test_jacobian_of_a_sum_is_the_identity():
    torch.manual_seed(5)
    a = torch.randn(3)

    def func2(x):
        return a + x

    x = torch.rand(3)
    np.testing.assert_array_equal(jacobian(func2, x).data, np.eye(3))


def test_a_row_of_ones_times_the_jacobian_is_the_accumulated_gradient():
    def func(x):
        return x.exp().sum(dim=1)

    x1 = torch.rand(2, 3, requires_grad=True)
    y = func(x1)
    y.backward(torch.ones_like(y))
    # as in PyTorch, a row times a stack of matrices: (2,) @ (2, 2, 3) gives a row for each matrix
    product = torch.ones_like(y) @ jacobian(func, x1)
    assert product.shape == (2, 3)
    np.testing.assert_allclose(product.data, x1.grad.data, rtol=1e-14)
    np.testing.assert_allclose(x1.grad.data, np.exp(x1.data), rtol=1e-14)


def test_jacobians_of_rows_and_columns_add_up_to_the_gradients_of_a_product():
    a = torch.randn(2, 3, requires_grad=True)
    b = torch.randn(3, 3, requires_grad=True)
    y = a @ b
    y.backward(torch.ones_like(y))

    def func_a(a):
        return a @ b

    def func_b(b):
        return a @ b

    peers_torch = peer("torch")
    pa, pb = (peers_torch.tensor(v.data, requires_grad=True) for v in (a, b))
    (pa @ pb).backward(peers_torch.ones(2, 3, dtype=pa.dtype))
    np.testing.assert_allclose(a.grad.data, pa.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(b.grad.data, pb.grad.numpy(), rtol=1e-12)

    for row in range(2):
        jacobian_a = jacobian(func_a, a[row])
        np.testing.assert_allclose(jacobian_a.data, b.data.T, rtol=1e-14)
        expected = peers_torch.autograd.functional.jacobian(lambda v: v @ pb, pa[row])
        np.testing.assert_allclose(jacobian_a.data, expected.detach().numpy(), rtol=1e-14)
        loss_jacobian_a = torch.ones_like(func_a(a[row])) @ jacobian_a
        np.testing.assert_allclose(loss_jacobian_a.data, a.grad.data[row], rtol=1e-12)
    for column in range(3):
        jacobian_b = jacobian(func_b, b[:, column])
        np.testing.assert_allclose(jacobian_b.data, a.data, rtol=1e-14)
        expected = peers_torch.autograd.functional.jacobian(lambda v: pa @ v, pb[:, column])
        np.testing.assert_allclose(jacobian_b.data, expected.detach().numpy(), rtol=1e-14)
        loss_jacobian_b = torch.ones_like(func_b(b[:, column])) @ jacobian_b
        np.testing.assert_allclose(loss_jacobian_b.data, b.grad.data[:, column], rtol=1e-12)
    # the jacobians left the gradients as they were
    np.testing.assert_allclose(a.grad.data, pa.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(b.grad.data, pb.grad.numpy(), rtol=1e-12)


# ---- the second program ---------------------------------------------------------------------------------------------


class Square(Function):
    def forward(self, x):
        return x**2

    def backward(self, gy):
        x = self.inputs[0].data
        gx = 2 * x * gy
        return gx


class Add(Function):
    def forward(self, x0, x1):
        y = x0 + x1
        return y

    def backward(self, gy):
        return gy, gy


def square(x):
    return Square()(x)


def add(x0, x1):
    return Add()(x0, x1)


def test_diamond(capsys):
    x = Variable(np.array(2.0))
    a = square(x)
    y = add(square(a), square(a))
    y.backward()
    print(y.data)
    print(x.grad)
    assert capsys.readouterr().out == "32.0\n64.0\n"


def test_two_inputs(capsys):
    x = Variable(np.array(2.0))
    y = Variable(np.array(3.0))
    z = add(square(x), square(y))
    z.backward()
    print(z.data)
    print(x.grad)
    print(y.grad)
    assert capsys.readouterr().out == "13.0\n4.0\n6.0\n"


def test_a_variable_used_twice_accumulates():
    x = Variable(np.array(3.0))
    add(x, x).backward()
    assert x.grad.data == 2.0
    x.cleargrad()
    add(add(x, x), x).backward()
    assert x.grad.data == 3.0


def test_a_second_graph_adds_to_the_gradient_unless_cleared():
    x = Variable(np.array(3.0))
    add(x, x).backward()
    add(add(x, x), x).backward()
    assert x.grad.data == 5.0
    x.cleargrad()
    assert x.grad is None
    add(add(x, x), x).backward()
    assert x.grad.data == 3.0


def test_generations_and_creators():
    x = Variable(np.array(2.0))
    a = square(x)
    b, c = square(a), square(a)
    y = add(b, c)
    assert [v.generation for v in (x, a, b, c, y)] == [0, 1, 2, 2, 3]
    assert isinstance(y.creator, Add)
    assert isinstance(a.creator, Square)
    assert x.creator is None
    assert y.creator.generation == 2
    assert y.creator.inputs[0] is b and y.creator.inputs[1] is c
    assert y.creator.outputs[0] is y


@pytest.mark.parametrize(
    ("data", "name"), [(1.0, "float"), ([1.0, 2.0], "list"), (3, "int"), ("x", "str"), (None, "NoneType")]
)
def test_only_arrays_are_supported(data, name):
    with pytest.raises(TypeError, match=rf"<class '{name}'> is not supported"):
        Variable(data)


def test_the_alias_of_variable():
    assert nbgrad.Tensor is Variable
