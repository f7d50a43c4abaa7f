"""Segments that are computed again on the way back: the same numbers as without, and less that is kept."""

import weakref

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn
from nbgrad.autograd import grad, gradcheck
from nbgrad.utils.checkpoint import checkpoint, checkpoint_sequential

X, W = np.array([[0.3, -1.2], [0.7, 2.0], [-0.4, 0.1]]), np.array([[0.5, 1.5], [-0.3, 0.8]])


def segment(x, w):
    """Two results, one of which has no gradient; the weight is among the arguments and in the closure of others."""
    h = (x @ w).sin() * x
    return {"value": h.cumsum(0), "largest": h.detach().max()}


def net():
    nbgrad.manual_seed(3)
    layers = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU())
    return layers.double()


@pytest.mark.parametrize("way", ["whole", "sequential", "reentrant"])
def test_modules_have_the_gradients_that_they_have_without(kernels, way):
    """Of parameters that are no arguments, by data that has no gradient; what is dropped is so again."""

    def gradients(call):
        model = net()
        nbgrad.manual_seed(1)
        (call(model, nbgrad.tensor(X)) ** 2).sum().backward()
        return [p.grad.data for p in model.parameters()], nbgrad.rand(2).tolist()

    calls = {
        "whole": lambda model, x: checkpoint(model, x, use_reentrant=False),
        "sequential": lambda model, x: checkpoint_sequential(model, 3, x),
        "reentrant": lambda model, x: checkpoint(lambda y: checkpoint(model, y), x, use_reentrant=True),
    }
    plain, following = gradients(lambda model, x: model(x))
    again, place = gradients(calls[way])
    assert place == following  # random numbers go on where they were
    for one, other in zip(plain, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_random_numbers_are_new_ones_where_they_need_not_be_the_same():
    seen = []

    def noisy(x):
        seen.append(nbgrad.rand(3).tolist())
        return x * 2

    for preserved in (True, False):
        seen.clear()
        x = nbgrad.ones(2, requires_grad=True)
        checkpoint(noisy, x, preserve_rng_state=preserved).sum().backward()
        assert len(seen) == 2 and (seen[0] == seen[1]) is preserved


def test_gradients_of_any_order(kernels):
    x, w = nbgrad.tensor(X, requires_grad=True), nbgrad.tensor(W, requires_grad=True)
    # arguments that depend on each other and on what the function has in its closure
    assert gradcheck(
        lambda x, w: checkpoint(lambda a, b: ((a @ w).sin() * b).cumsum(0), x @ w, x.exp()), (x, w), order=2
    )

    def third(function):
        t = nbgrad.tensor([0.7], requires_grad=True, dtype=nbgrad.float64)
        y = function(t)
        for _ in range(3):
            (y,) = grad(y.sum(), t, create_graph=True)
        return y.item()

    plain = third(lambda t: (t.exp() * t).sin())
    np.testing.assert_allclose(third(lambda t: checkpoint(lambda t: (t.exp() * t).sin(), t)), plain, rtol=1e-13)


def test_nests_go_in_and_out_and_results_without_gradients_are_as_they_were():
    x, w = nbgrad.tensor(X, requires_grad=True), nbgrad.tensor(W, requires_grad=True)
    made = checkpoint(lambda pair, *, scale: segment(*pair) | {"scale": scale}, (x, w), scale=2)
    plain = segment(x, w)
    assert made["scale"] == 2 and not made["largest"].requires_grad
    np.testing.assert_array_equal(made["value"].data, plain["value"].data)
    for one, other in zip(grad(made["value"].sum(), [x, w]), grad(plain["value"].sum(), [x, w]), strict=True):
        np.testing.assert_array_equal(one.data, other.data)
    assert checkpoint(lambda x: x, x).requires_grad  # what is given back as it is
    assert grad(checkpoint(lambda x: (x, x * 2), x)[0].sum(), x)[0].tolist() == np.ones((3, 2)).tolist()


def test_it_agrees_with_torch():
    torch = peer("torch")
    from torch.utils import checkpoint as theirs

    def trained(library, call):
        x, w = library.tensor(X, requires_grad=True), library.tensor(W, requires_grad=True)
        h = call(lambda a: library.tanh(a @ w), x)
        h = call(lambda a, b: library.sigmoid(a * b) @ w, h, x)
        (h * h).sum().backward()
        return [x.grad.tolist(), w.grad.tolist()]

    ours = trained(nbgrad, checkpoint)
    wanted = trained(torch, lambda *a: theirs.checkpoint(*a, use_reentrant=False))
    for one, other in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_what_lies_between_is_not_kept():
    between = []

    def function(x):
        h = x.exp()
        between.append(weakref.ref(h))
        return (h * h).sin()

    x = nbgrad.ones(3, requires_grad=True)
    y = function(x)
    assert between.pop()() is not None
    y = checkpoint(function, x)
    assert [r() for r in between] == [None] and type(y.creator).__name__ == "_Recomputed"
    assert y.creator.inputs == (x,)
    y.sum().backward()
    assert len(between) == 2
    with pytest.raises(RuntimeError, match="freed"):
        y.sum().backward()


def test_functions_into_functions_and_compiled_ones(kernels):
    def plain(a):
        return nbgrad.sin(a**3)

    def again(a):
        return checkpoint(plain, a)

    a = np.array([0.5, 1.5])
    for transform in (
        lambda f: nbgrad.hessian(lambda a: f(a).sum()),
        lambda f: nbgrad.jacfwd(f),
        lambda f: nbgrad.vmap(nbgrad.grad(f)),
        lambda f: nbgrad.jit(nbgrad.grad(lambda a: f(a).sum())),
    ):
        np.testing.assert_allclose(transform(again)(a), transform(plain)(a), rtol=1e-13)
    calls = []
    with nbgrad.no_grad():
        y = checkpoint(lambda x: calls.append(1) or x * 2, nbgrad.ones(2, requires_grad=True))
    assert not y.requires_grad and len(calls) == 1


def test_contexts_are_there_both_ways():
    entered = []

    class Noted:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            entered.append(self.name)

        def __exit__(self, *_):
            entered.append(f"end of {self.name}")

    x = nbgrad.ones(2, requires_grad=True)
    y = checkpoint(lambda x: x * x, x, context_fn=lambda: (Noted("forth"), Noted("back")))
    assert entered == ["forth", "end of forth"]
    y.sum().backward()
    assert entered[2:] == ["back", "end of back"]


def test_what_would_lose_a_gradient_is_refused():
    x = nbgrad.ones(2, requires_grad=True)
    outside, kept = x.exp(), []
    for function in (lambda a: a * outside, lambda a: kept.append(a * 2) or a * kept[-1]):
        with pytest.raises(RuntimeError, match="uses a Variable that was computed outside of it, or keeps one"):
            checkpoint(function, x)
    y = checkpoint(lambda a: a * outside.detach(), x)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.data, np.e, rtol=1e-6)


@pytest.mark.parametrize("by", ["step", "write"])
def test_parameters_that_were_overwritten_are_noticed(by):
    x, w = nbgrad.ones(2, requires_grad=True), nbgrad.ones(2, requires_grad=True)
    optimizer = nbgrad.optim.SGD([w], lr=0.1)
    y = checkpoint(lambda a: a * w, x)
    if by == "step":
        w.grad = nbgrad.ones(2)
        optimizer.step()
    else:
        with nbgrad.no_grad():
            w.add_(1)
    with pytest.raises(RuntimeError, match="overwritten"):
        y.sum().backward()


def test_functions_that_do_something_else_the_second_time():
    sizes = iter([2, 3, 2, 3])

    def changing(x):
        return x.sum() * nbgrad.ones(next(sizes))

    x = nbgrad.ones(4, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"computed again, the function gave results of shapes"):
        checkpoint(changing, x).sum().backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(2,\), the output \(3,\)"):
        checkpoint(changing, x, determinism_check="none").sum().backward()


def test_wrong_calls():
    x = nbgrad.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="takes a function and its arguments, got Variable"):
        checkpoint(x, x)
    with pytest.raises(ValueError, match="determinism_check is 'default' or 'none', got 'maybe'"):
        checkpoint(nbgrad.exp, x, determinism_check="maybe")
    for segments in (0, 3):
        with pytest.raises(ValueError, match=f"{segments} segments of 2 functions"):
            checkpoint_sequential([nbgrad.exp, nbgrad.sin], segments, x)
