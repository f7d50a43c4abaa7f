"""Layers as one node: what the graph keeps, and what goes by other ways."""

import cases
import numpy as np
import pytest
from cases import LAYOUTS, draw

import nbgrad
from nbgrad import Variable
from nbgrad.nn import functional, layers

SHAPES = [(4, 3), (5, 3), (5,)]


@pytest.mark.parametrize("biased", [False, True])
def test_a_linear_map_is_one_node(biased):
    operands = [Variable(draw(cases.ANY, shape)) for shape in SHAPES][: 2 + biased]
    y = functional.linear(*operands)
    assert type(y.creator) is layers.Linear
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
    assert type(y.creator) is not layers.Linear
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


# ---- layer norm -----------------------------------------------------------------------------------------------------

#: Input, and the dimensions to normalise: shorter than the lanes, as long, longer; several; many rows.
NORMS = [((4, 5), 1), ((3, 64), 1), ((2, 3, 70), 1), ((2, 3, 4), 2), ((6,), 1), ((3, 4), 2), ((600, 130), 1)]


def arrays_of(shape, dims, dtype="float64"):
    shapes = (shape, shape[len(shape) - dims :], shape[len(shape) - dims :])
    return [draw(cases.ANY, s, dtype, seed) for seed, s in enumerate(shapes)]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize(("shape", "dims"), NORMS, ids=str)
def test_layer_norm_is_torchs(shape, dims, dtype):
    ends = shape[len(shape) - dims :]
    cases.assert_same_as_torch(
        lambda x, w, b: functional.layer_norm(x, ends, w, b),
        lambda t, x, w, b: t.nn.functional.layer_norm(x, ends, w, b),
        arrays_of(shape, dims, dtype),
        tolerance={"rtol": 2e-4, "atol": 3e-5} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11},
    )


@pytest.mark.parametrize("layout", ["strided", "negative-stride", "Fortran-ordered", "read-only"])
def test_layer_norm_of_any_layout_is_torchs(layout):
    cases.assert_same_as_torch(
        lambda x, w, b: functional.layer_norm(x, 66, w, b),
        lambda t, x, w, b: t.nn.functional.layer_norm(x, (66,), w, b),
        [LAYOUTS[layout](a) for a in arrays_of((3, 66), 1)],
        LAYOUTS[layout],
        {"rtol": 1e-9, "atol": 1e-11},
    )


def test_layer_norm_agrees_with_differences_to_second_order():
    cases.check_to_second_order(lambda x, w, b: functional.layer_norm(x, (2, 3), w, b), arrays_of((2, 2, 3), 2))


@pytest.mark.parametrize("left_out", [(1,), (2,), (1, 2)], ids=str)
def test_weight_and_bias_may_be_left_out(left_out):
    x, *rest = arrays_of((4, 5), 1)
    given = [None if i in left_out else a for i, a in enumerate(rest, 1)]
    for eps in (1e-5, 0.5):
        cases.assert_same_as_torch(
            lambda x, eps=eps: functional.layer_norm(x, 5, *given, eps=eps),
            lambda t, x, eps=eps: t.nn.functional.layer_norm(
                x, (5,), *(None if a is None else t.tensor(a) for a in given), eps=eps
            ),
            [x],
            tolerance={"rtol": 1e-10, "atol": 1e-12},
        )


def test_layer_norm_is_one_node_and_jits_as_it_is():
    arrays = arrays_of((4, 5), 1)
    operands = [Variable(a) for a in arrays]
    y = functional.layer_norm(operands[0], 5, *operands[1:])
    assert type(y.creator) is layers.LayerNorm and y.creator.inputs == tuple(operands)
    f = nbgrad.value_and_grad(lambda x, w, b: (functional.layer_norm(x, 5, w, b) ** 2).sum(), (0, 1, 2))
    (value, gradients), (expected, slopes) = nbgrad.jit(f)(*arrays), f(*arrays)
    for fast, slow in zip((value, *gradients), (expected, *slopes), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-12)


def test_layer_norm_refuses_other_shapes():
    x = Variable(draw(cases.ANY, (4, 5)))
    for shape in (4, (5, 5), ()):
        with pytest.raises(ValueError, match=r"layer_norm: input of shape \(4, 5\) does not end"):
            functional.layer_norm(x, shape)
    with pytest.raises(ValueError, match=r"layer_norm: bias has shape \(4,\): it must be \(5,\)"):
        functional.layer_norm(x, 5, np.ones(5), np.ones(4))
    y = functional.layer_norm(x, 5)
    x.data = np.ones((2, 10))
    with pytest.raises(ValueError, match=r"input had shape \(4, 5\) when it was normalised"):
        y.sum().backward()
