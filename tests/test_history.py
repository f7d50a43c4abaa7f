"""What Variables were before they were written to."""

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable, history, sharing


def test_lost_elements_have_a_shape_and_are_nothing_to_compute_with():
    lost = history.Lost(np.zeros((2, 3), np.float32), "x[key] = value")
    assert lost.shape == (2, 3) and lost.dtype == np.float32 and lost.ndim == 2 and lost.nbytes == 24
    for use in (
        lambda: lost + 1, lambda: 2 * lost, lambda: -lost, lambda: lost[0], lambda: np.ones(3) * lost, np.asarray,
        lambda: np.sum(lost), lambda: np.exp(lost), lambda: lost.sum(), lambda: nbgrad.exp(lost), lambda: list(lost),
        lambda: nbgrad.softmax(lost, 0), lambda: lost @ lost, lambda: lost > 0, lambda: float(lost),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=r"shape \(2, 3\) and dtype float32 .* overwritten by x\[key\] = value"):
            use() if use is not np.asarray else use(lost)


def test_generations_tell_time():
    x = Variable(np.ones(2)) * 2
    kept, y = [x], x + 1
    before = x.generation
    x[0] = 5.0
    assert x._generation > y.creator.generation and x.generation <= before + 2 < 10 and len(kept) == 1
    (old,) = [z for z in history.as_recorded(y.creator) if z._generation >= 0]
    assert old is not x and old.creator is not x.creator


def test_written_constants_are_held_by_snapshots():
    x = nbgrad.zeros(2)
    kept, w = [x], Variable(np.ones(2))
    x += 1
    assert type(x) is history.Rewritten and isinstance(x, Variable) and len(kept) == 1
    y = x * w
    assert all(type(z) is Variable for z in y.creator.inputs)
    y.sum().backward()
    assert w.grad.tolist() == [1, 1]
    x[0] = w[0] * 3  # and now it is no constant any more
    assert type(x) is Variable and x.requires_grad


def test_a_leaf_that_was_written_to_is_one_leaf():
    w = Variable(np.array([1.0, 2.0]))
    kept, y = [w], w * 3
    with nbgrad.no_grad():
        w *= 2
    z = w * 5
    (y.sum() + z.sum()).backward()
    assert w.grad.tolist() == [8, 8] and len(kept) == 1
    assert [g.tolist() for g in nbgrad.autograd.grad((w * 2).sum(), [w])] == [[2, 2]]


def test_tangents_go_the_way_that_was_recorded():
    from nbgrad.forward import push

    w = Variable(np.array([1.0, 2.0]))
    x = w * 2
    kept, y = [x], x + 1
    x *= w
    t = Variable(np.array([1.0, 10.0]), requires_grad=False)
    first, second = push([y, x], [w], [t])
    assert first.tolist() == [2, 20] and len(kept) == 1
    np.testing.assert_allclose(second.data, 4 * w.data * t.data)


def test_gradients_by_what_was_written_to():
    w = Variable(np.array([1.0, 2.0]))
    x = w * 2
    y = x * 3
    x += w
    z = (x * 5).sum() + y.sum()
    assert nbgrad.autograd.grad(z, [x], retain_graph=True)[0].tolist() == [5, 5]
    assert nbgrad.autograd.grad(z, [w])[0].tolist() == [21, 21]


def test_hooks_stay_with_what_they_were_put_on():
    w = Variable(np.array([1.0, 2.0]))
    x = w * 2
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    x.retain_grad()
    x *= 3
    x.sum().backward()
    assert x.grad.tolist() == [1, 1] and seen == [[3, 3]]


def test_copies_and_pickles_have_no_past():
    import copy
    import pickle

    w = Variable(np.array([1.0, 2.0]))
    kept = [w]
    with nbgrad.no_grad():
        w *= 2
    for other in (pickle.loads(pickle.dumps(w)), copy.deepcopy(w), copy.copy(w)):
        assert other.tolist() == [2, 4] and other.requires_grad and other._story is None and other._generation == 0
    assert len(kept) == 1


def test_a_constant_that_became_a_parameter_is_trained_with_its_gradients():
    b = nbgrad.zeros(2)
    kept = [b]
    b += 1  # a constant that was written to, ...
    b.requires_grad_(True)  # ... and a leaf from here on
    y = (b * 3).sum()
    with nbgrad.no_grad():
        b -= nbgrad.ones(2)
    y.backward()
    assert b.grad.tolist() == [3, 3] and len(kept) == 1


def test_what_was_written_later_is_on_no_way_back():
    w, v = Variable(np.ones(2)), Variable(np.ones(2))
    x = nbgrad.zeros(2)
    kept, y = [x], x + w
    x[:] = v
    assert nbgrad.autograd.grad(y.sum(), [v], allow_unused=True, retain_graph=True) == (None,) and len(kept) == 1
    assert nbgrad.autograd.grad(y.sum(), [w])[0].tolist() == [1, 1]


@pytest.mark.parametrize("noted", [False, True])
def test_views_of_what_was_cut_off_belong_to_it(monkeypatch, noted):
    monkeypatch.setattr(sharing, "active", noted)
    w = Variable(np.array([5.0]))
    x = Variable(np.ones(3)) * 2
    cut = x.detach()
    part, same = cut[1:], x[1:]
    cut[2] = w[0] * 3
    assert part.requires_grad and part.tolist() == [2, 15]
    assert nbgrad.autograd.grad(part.sum(), [w], retain_graph=True)[0].tolist() == [3]
    for other in (x, same):  # on the same memory, and not of the same past
        assert nbgrad.autograd.grad(other.sum(), [w], allow_unused=True, retain_graph=True) == (None,)
