"""Walks that go to some inputs only."""

import numpy as np
import pytest
from graphs import Note, scalar
from peers import peer

import nbgrad
from nbgrad.autograd import grad

# ---- inputs= --------------------------------------------------------------------------------------------------------


def test_inputs_limits_what_is_filled():
    x, w, b = scalar(2.0), scalar(3.0), scalar(5.0)
    y = x * w + b
    y.backward(inputs=[w])
    assert x.grad is None and b.grad is None and w.grad.data == 2
    (x * w + b).backward(inputs=x)
    assert x.grad.data == 3 and w.grad.data == 2


def test_inputs_limits_what_is_walked():
    log = []
    x, w = scalar(2.0), scalar(3.0)
    aside = Note("aside", log)(Note("aside too", log)(x))
    on_the_way = Note("on the way", log)(w)
    (aside * on_the_way).backward(inputs=[w])
    assert log == ["on the way"] and w.grad.data == 2


def test_inputs_may_be_computed_variables():
    x = scalar(2.0)
    y = x * x
    z = y * y
    z.backward(inputs=[y, x], retain_graph=True)
    assert y.grad.data == 8 and x.grad.data == 32
    z.backward(inputs=[y])
    assert y.grad.data == 16 and x.grad.data == 32


def test_inputs_behind_each_other_and_used_otherwise_agree_with_torch():
    torch = peer("torch")

    def program(library, x, differentiate):
        a = x * x
        b = library.tanh(a)
        c = a * b + x
        return [g.item() for g in differentiate(c * b, [a, x, b, c])]

    mine = program(nbgrad, scalar(0.7), grad)
    expected = program(torch, torch.tensor(0.7, dtype=torch.float64, requires_grad=True), torch.autograd.grad)
    np.testing.assert_allclose(mine, expected, rtol=1e-13)


def test_bad_inputs():
    x = scalar(2.0)
    y = x * x
    with pytest.raises(ValueError, match="inputs is empty"):
        y.backward(inputs=[])
    with pytest.raises(TypeError, match="input 1 is a ndarray"):
        y.backward(inputs=[x, np.ones(1)])
    with pytest.raises(TypeError, match="input 0 has dtype int64, which has no gradients"):
        y.backward(inputs=[nbgrad.tensor([1])])
    with pytest.raises(RuntimeError, match="input 0 does not require a gradient"):
        y.backward(inputs=[nbgrad.tensor(1.0)])
    y.backward()
    assert x.grad.data == 4
