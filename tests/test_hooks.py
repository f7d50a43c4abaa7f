"""Hooks, and gradients that computed Variables keep."""

import gc
import weakref

import numpy as np
import pytest
from graphs import scalar, vector
from peers import peer

import nbgrad
from nbgrad import hooks
from nbgrad.autograd import grad

# ---- hooks and retain_grad ------------------------------------------------------------------------------------------


def test_a_hook_on_a_leaf_sees_the_whole_gradient_once():
    x = scalar(2.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * x + x).backward()
    assert seen == [5.0] and x.grad.data == 5
    grad(x * 3, x)
    assert seen == [5.0, 3.0]


def test_a_hook_replaces_the_gradient():
    x, w = scalar(2.0), scalar(3.0)
    y = x * w
    x.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)
    (y * 4).backward()
    assert w.grad.data == 5 * 2 and x.grad.data == 5 * 3 * 10


def test_hooks_run_in_order_and_can_be_removed():
    x = scalar(1.0)
    first = x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 10)
    (x * 1.0).backward()
    assert x.grad.data == 20
    x.cleargrad()
    assert first() is None
    (x * 1.0).backward()
    assert x.grad.data == 10


def test_removing_a_hook_twice_leaves_others_alone():
    x = scalar(1.0)
    remove = x.register_hook(lambda g: g * 2)
    remove()
    x.register_hook(lambda g: g * 10)
    remove()
    (x * 1.0).backward()
    assert x.grad.data == 10


def test_hooks_and_kept_gradients_agree_with_torch():
    torch = peer("torch")

    def program(library, x):
        seen = []
        y = library.tanh(x)
        y.register_hook(lambda g: g * 2)
        y.retain_grad()
        z = y * y
        z.retain_grad()
        z.register_hook(lambda g: seen.append(g.tolist()))
        x.register_hook(lambda g: g - 1)
        for _ in range(2):
            (z + y).sum().backward(retain_graph=True)
        return [x.grad.tolist(), y.grad.tolist(), z.grad.tolist(), *seen]

    mine = program(nbgrad, vector(0.5, -1.0))
    expected = program(torch, torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True))
    np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_hooks_under_create_graph_are_part_of_the_graph():
    x = scalar(2.0)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = grad(y * 3, x, create_graph=True)
    assert g.data == 3 * 2 * 2 * 2
    (gg,) = grad(g, x)
    assert gg.data == 12 * 2


def test_a_hook_on_a_variable_nobody_else_holds():
    x = scalar(2.0)

    def inner():
        h = x * 3
        h.register_hook(lambda g: g * 10)
        return h * 2

    inner().backward()
    assert x.grad.data == 60


@pytest.mark.parametrize("result", [1.0, np.ones(2), nbgrad.ones(3), nbgrad.ones(2).astype(np.float32), "text"])
def test_what_a_hook_may_not_return(result):
    x = vector(1.0, 2.0)
    y = x * 2
    for v in (x, y):
        remove = v.register_hook(lambda g: result)
        with pytest.raises(TypeError, match=r"a hook returned .*None or a Variable of shape \(2,\) and dtype float64"):
            y.sum().backward(retain_graph=True)
        assert x.grad is None
        remove()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 2])


def test_a_hook_that_fails_leaves_all_gradients_as_they_were():
    def fail(g):
        raise LookupError("in a hook")

    for failing in (0, 1, 2):
        xs = [scalar(1.0), scalar(2.0), scalar(3.0)]
        xs[failing].register_hook(fail)
        with pytest.raises(LookupError, match="in a hook"):
            (xs[0] * xs[1] * xs[2]).backward()
        assert all(x.grad is None for x in xs)


def test_retain_grad():
    x = scalar(3.0)
    y = x * x
    y.retain_grad()
    z = y * 2
    z.backward(retain_graph=True)
    assert y.grad.data == 2 and z.grad is None
    z.backward()
    assert y.grad.data == 4
    x.retain_grad()
    (x * 1.0).backward()
    assert x.grad.data == 12 + 12 + 1


# ---- hooks ----------------------------------------------------------------------------------------------------------


def test_a_hook_that_mentions_its_variable_does_not_keep_it():
    def hooked():
        y = vector(1.0, 2.0) * 2
        y.register_hook(lambda g: y * g)
        y.retain_grad()
        assert hooks.watched
        return weakref.ref(y), weakref.ref(y.creator)

    others = set(hooks.watched)
    reference, creator = hooked()
    gc.collect()
    assert reference() is None and creator() is None
    assert set(hooks.watched) <= others


def test_walks_of_graphs_without_hooks_do_not_look_for_them():
    x = vector(1.0, 2.0)
    watched = x * 2
    seen = []
    watched.register_hook(seen.append)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])
    assert not seen
    watched.sum().backward()
    assert len(seen) == 1


def test_a_hook_that_runs_backward_to_itself():
    x = scalar(1.0)
    x.register_hook(lambda g: (x * 2).backward())
    with pytest.raises(RecursionError, match=r"a hook on a Variable of shape .* runs backward to that Variable again"):
        (x * 3).backward()


# ---- after gradients are written ------------------------------------------------------------------------------------


def test_steps_in_the_walk_back_agree_with_torch(kernels):
    """A leaf is shown once its gradient is written, for each backward; `grad` of all others are written, too."""
    torch = peer("torch")
    data = np.array([1.0, -2.0]), np.array([0.5, 3.0])

    def trained(library, make):
        leaves = [make(x) for x in data]
        kinds = [library.optim.SGD([x], lr=0.1, momentum=0.5) for x in leaves]
        seen = []

        def hook(leaf):
            number = next(k for k, x in enumerate(leaves) if x is leaf)
            seen.append(number)
            kinds[number].step()
            kinds[number].zero_grad()

        for x in leaves:
            x.register_post_accumulate_grad_hook(hook)
        for _ in range(3):
            ((leaves[0] * leaves[1]).sum() ** 2).backward()
        assert all(x.grad is None for x in leaves) and sorted(seen) == [0, 0, 0, 1, 1, 1]
        return [x.detach().numpy() for x in leaves]

    ours = trained(nbgrad, lambda x: nbgrad.tensor(x.copy(), requires_grad=True))
    theirs = trained(torch, lambda x: torch.tensor(x.copy(), requires_grad=True))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_hooks_after_gradients_are_those_of_backward_alone():
    x = vector(1.0, 2.0)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad.tolist()))
    grad((x * x).sum(), x)
    assert seen == []
    (x * x).sum().backward(create_graph=True)
    nbgrad.autograd.backward([(x * 1.0).sum(), x.sum()])
    assert seen == [[2.0, 4.0], [4.0, 6.0]]
    handle.remove()
    (x * x).sum().backward()
    assert len(seen) == 2
    number = len(hooks.after_writing)
    del x
    gc.collect()
    assert len(hooks.after_writing) == number - 1


def test_hooks_after_gradients_are_part_of_compiled_steps(kernels):
    x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    optimizer = nbgrad.optim.SGD([x], lr=0.25)
    x.register_post_accumulate_grad_hook(lambda leaf: optimizer.step())

    @nbgrad.jit
    def step(factor):
        optimizer.zero_grad()
        loss = (x * x).sum() * factor
        loss.backward()
        return loss

    losses = [step(np.array(factor)).item() for factor in (1.0, 1.0, 2.0)]
    np.testing.assert_allclose(losses, [5.0, 1.25, 0.625])
    np.testing.assert_allclose(x.data, 0.0)


def test_hooks_after_gradients_are_those_of_leaves():
    x = vector(1.0)
    with pytest.raises(RuntimeError, match="takes leaves that require a gradient; this one was computed"):
        (x * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="takes leaves that require a gradient; this one does not require"):
        x.detach().register_post_accumulate_grad_hook(print)
    with pytest.raises(TypeError, match="takes a function of a leaf, got int"):
        x.register_post_accumulate_grad_hook(3)
