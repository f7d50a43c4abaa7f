"""Normalisation, compared with torch's functions of the same names; layer norm as one node."""

import cases
import numpy as np
import pytest
from cases import LAYOUTS, draw

import nbgrad
from nbgrad import Variable
from nbgrad.nn import functional
from nbgrad.nn.normalisation import ChannelNorm, LayerNorm

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
    assert type(y.creator) is LayerNorm and y.creator.inputs == tuple(operands)
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


# ---- batch norm ------------------------------------------------------------------------------------------------------

#: Shapes of (samples, channels, ...): one element a run, runs shorter and longer than the lanes, many elements, and
#: columns in strips that threads share, with some left over.
BATCHES = [(5, 3), (70, 2), (70, 2, 1), (4, 3, 5), (2, 3, 9, 8), (600, 5, 7), (300, 600)]


@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("shape", BATCHES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "strided", "Fortran-ordered"])
def test_batch_norm_is_torchs(shape, dtype, layout):
    arrays = [LAYOUTS[layout](draw(cases.ANY, s, dtype, i)) for i, s in enumerate((shape, shape[1:2], shape[1:2]))]
    cases.assert_same_as_torch(
        lambda x, w, b: functional.batch_norm(x, None, None, w, b, True, eps=1e-3),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, True, eps=1e-3),
        arrays,
        LAYOUTS[layout],
        {"rtol": 2e-4, "atol": 2e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-10},
    )


@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 3)], ids=str)
def test_batch_norm_agrees_with_differences_to_second_order(shape):
    arrays = [draw(cases.ANY, s, seed=i) for i, s in enumerate((shape, shape[1:2], shape[1:2]))]
    cases.check_to_second_order(lambda x, w, b: functional.batch_norm(x, None, None, w, b, True), arrays)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2)], ids=str)
def test_jacobians_of_norms_are_those_of_tangents(shape):
    x, w, b = (draw(cases.ANY, s, seed=i) for i, s in enumerate((shape, shape[1:2], shape[1:2])))
    for norm in (
        lambda x: functional.batch_norm(x, None, None, w, b, True),
        lambda x: functional.layer_norm(x, shape[1:]),
    ):
        np.testing.assert_allclose(nbgrad.jacrev(norm)(x), nbgrad.jacfwd(norm)(x), rtol=1e-9, atol=1e-12)


def test_batch_norm_is_one_node_and_refuses_data_of_another_shape():
    x = Variable(draw(cases.ANY, (4, 3, 2)))
    y = functional.batch_norm(x, None, None, training=True)
    assert type(y.creator) is ChannelNorm
    x.data = np.ones((4, 3, 3))
    with pytest.raises(ValueError, match=r"batch_norm: input had shape \(4, 3, 2\) when it was normalised"):
        y.sum().backward()


def test_means_far_from_zero_cost_no_digits():
    x = draw(cases.ANY, (64, 2, 9), "float32") + np.float32(1e4)
    y = functional.batch_norm(x, None, None, training=True)
    exact = x.astype(float)
    exact = (exact - exact.mean((0, 2), keepdims=True)) / np.sqrt(exact.var((0, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, exact, atol=2e-6)
