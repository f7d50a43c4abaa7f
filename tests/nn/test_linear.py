"""Linear maps as one node: what the graph keeps, and what goes by other ways."""

import cases
import numpy as np
import pytest
from cases import LAYOUTS, draw

import nbgrad
from nbgrad import Variable
from nbgrad.nn import functional
from nbgrad.nn.linear import Linear

SHAPES = [(4, 3), (5, 3), (5,)]


@pytest.mark.parametrize("biased", [False, True])
def test_a_linear_map_is_one_node(biased):
    operands = [Variable(draw(cases.ANY, shape)) for shape in SHAPES][: 2 + biased]
    y = functional.linear(*operands)
    assert type(y.creator) is Linear
    assert [a is b for a, b in zip(y.creator.inputs, operands, strict=True)] == [True] * len(operands)


@pytest.mark.parametrize("layout", ["contiguous", "strided", "negative-stride", "Fortran-ordered", "read-only"])
def test_a_linear_map_of_any_layout_is_torchs(layout):
    arrays = [LAYOUTS[layout](draw(cases.ANY, shape)) for shape in SHAPES]
    cases.assert_same_as_torch(functional.linear, lambda t, *xs: t.nn.functional.linear(*xs), arrays, LAYOUTS[layout])


@pytest.mark.parametrize("wanted", range(3))
def test_only_gradients_that_are_wanted_are_computed(wanted):
    arrays = [draw(cases.ANY, shape) for shape in SHAPES]
    operands = [Variable(a, requires_grad=i == wanted) for i, a in enumerate(arrays)]
    y = functional.linear(*operands)
    found = y.creator.pull(np.ones(y.shape))
    assert [g is not None for g in found] == [i == wanted for i in range(3)]
    with cases.everything_large():
        y = functional.linear(*operands)
        (g,) = nbgrad.autograd.grad(y.sum(), operands[wanted])
    np.testing.assert_allclose(g.data, found[wanted], rtol=1e-13)


@pytest.mark.parametrize("shapes", [[(2, 4, 3), (5, 3), (5,)], [(3,), (5, 3), (5,)], [(4, 3), (5, 3), (4, 5)]], ids=str)
def test_other_shapes_go_by_products_and_additions(shapes):
    operands = [Variable(draw(cases.ANY, shape)) for shape in shapes]
    y = functional.linear(*operands)
    assert type(y.creator) is not Linear
    np.testing.assert_allclose(y.data, operands[0].data @ operands[1].data.T + operands[2].data, rtol=1e-12)


def test_operands_of_several_dtypes_are_promoted():
    x, weight = Variable(draw(cases.ANY, (4, 3), "float32")), Variable(draw(cases.ANY, (5, 3)))
    y = functional.linear(x, weight, np.zeros(5))
    y.sum().backward()
    assert y.dtype == np.float64 and x.grad.dtype == np.float32
    half = Variable(np.ones((4, 3), np.float16), requires_grad=False)
    assert functional.linear(half, np.ones((5, 3), np.float16)).dtype == np.float16


def test_infinities_pass_in_silence():
    x = Variable(np.full((2, 2), 1e300))
    y = functional.linear(x, np.full((2, 2), 1e300), np.zeros(2))
    assert np.isinf(y.data).all()
    y.backward(np.full((2, 2), 1e300))
    assert np.isinf(x.grad.data).all()
