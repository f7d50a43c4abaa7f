"""Attention as one node: what its operations give one by one, to any order, and in every way of differentiating."""

import numpy as np
import pytest
from cases import check_gradients
from peers import peer

import nbgrad
from nbgrad.nn import attention
from nbgrad.nn.functional import scaled_dot_product_attention

SHAPES = (2, 3, 4), (2, 5, 4), (2, 5, 3)


def drawn(shapes=SHAPES, dtype="float64"):
    return [np.random.default_rng(i).normal(size=shape).astype(dtype) for i, shape in enumerate(shapes)]


def alone(causal, **options):
    return lambda *arrays: scaled_dot_product_attention(*arrays, is_causal=causal, **options)


def by_steps(causal, **options):
    def function(query, key, value):
        mask = np.tri(query.shape[-2], key.shape[-2], dtype=bool) if causal else np.ones((1, 1), bool)
        return scaled_dot_product_attention(query, key, value, mask, **options)

    return function


def gradient(function):
    return nbgrad.grad(lambda *arrays: (function(*arrays) ** 2).sum(), (0, 1, 2))


@pytest.fixture(params=[False, True], ids=["all at once", "one matrix after the other"])
def in_turn(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(attention, "_MANY", 0)


def assert_close(found, wanted, rtol=1e-10):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("causal", [False, True])
def test_it_is_what_its_operations_give(in_turn, causal):
    arrays = drawn()
    one, other = alone(causal), by_steps(causal)
    assert type(one(*map(nbgrad.Variable, arrays)).creator) is attention.Attention
    assert type(other(*map(nbgrad.Variable, arrays)).creator) is not attention.Attention
    np.testing.assert_allclose(one(*arrays), other(*arrays))
    assert_close(gradient(one)(*arrays), gradient(other)(*arrays))
    check_gradients(one, arrays, 2)


@pytest.mark.parametrize("causal", [False, True])
def test_examples_tangents_and_compiled_it_is_the_same(in_turn, causal):
    arrays = drawn()
    one, other = alone(causal), by_steps(causal)
    assert_close(nbgrad.jit(gradient(one))(*arrays), gradient(other)(*arrays))
    assert_close(nbgrad.vmap(gradient(one))(*arrays), gradient(other)(*arrays))
    y, pull = nbgrad.func.vjp(one, *arrays)
    cotangents = np.random.default_rng(9).normal(size=(3, *y.shape))
    assert_close(nbgrad.vmap(pull)(cotangents), [np.stack(g) for g in zip(*map(pull, cotangents), strict=True)])
    tangents = tuple(map(np.cos, arrays))
    assert_close(nbgrad.func.jvp(one, tuple(arrays), tangents), nbgrad.func.jvp(other, tuple(arrays), tangents))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (0, 2)])
def test_gradients_are_torchs_and_only_those_that_are_needed(in_turn, dtype, needed):
    torch = peer("torch")
    arrays = drawn(((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 3)), dtype)
    arrays[0] = arrays[0].swapaxes(0, 1)  # in another order in memory
    ours = [nbgrad.tensor(a, requires_grad=i in needed) for i, a in enumerate(arrays)]
    theirs = [torch.tensor(a.copy(), requires_grad=i in needed) for i, a in enumerate(arrays)]
    y = scaled_dot_product_attention(*ours, scale=np.float64(0.7))
    z = torch.nn.functional.scaled_dot_product_attention(*theirs, scale=0.7)
    (y**2).sum().backward()
    (z**2).sum().backward()
    assert y.dtype == dtype
    tolerance = 1e-10 if dtype == "float64" else 1e-4
    assert_close([y.data], [z.detach()], tolerance)
    assert [x.grad is not None for x in ours] == [i in needed for i in range(3)]
    assert_close([ours[i].grad.data for i in needed], [theirs[i].grad for i in needed], tolerance)


def test_what_does_not_fit_goes_by_steps_or_is_refused():
    query, key, value = drawn()
    broadcast = scaled_dot_product_attention(query, key[0], value[0])
    np.testing.assert_allclose(broadcast[1], scaled_dot_product_attention(query[1], key[0], value[0]))
    scale = nbgrad.tensor(0.7, requires_grad=True)
    scaled_dot_product_attention(query, key, value, scale=scale).sum().backward()
    assert scale.grad is not None
    with pytest.raises(TypeError, match="dtypes float64, float32 and float64"):
        scaled_dot_product_attention(query, key.astype("f"), value)
