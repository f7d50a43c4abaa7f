"""Duals, against torch."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.autograd import forward_ad as ours

X, T = np.array([0.5, -1.0, 2.0]), np.array([1.0, 10.0, 100.0])


def program(library, forward_ad, x, t, w):
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, t)
        y = library.tanh(dual * w).sum() * dual
        primal, tangent = forward_ad.unpack_dual(y)
        assert forward_ad.unpack_dual(w).tangent is None
        assert forward_ad.unpack_dual(dual).tangent.tolist() == t.tolist()
        (gradient,) = library.autograd.grad(y.sum(), w, create_graph=True)
        mixed = forward_ad.unpack_dual(gradient).tangent
    return primal, tangent, mixed


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_as_torch():
    torch = peer("torch")
    mine = program(nbgrad, ours, nbgrad.tensor(X), nbgrad.tensor(T), Variable(X + 1))
    w = torch.tensor(X + 1, requires_grad=True)
    theirs = program(torch, torch.autograd.forward_ad, torch.tensor(X), torch.tensor(T), w)
    for found, expected in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-12)


def test_a_tangent_can_be_differentiated():
    x = Variable(X.copy())
    with ours.dual_level():
        tangent = ours.unpack_dual(ours.make_dual(x, nbgrad.tensor(T)) ** 3).tangent
    np.testing.assert_allclose(nbgrad.autograd.grad(tangent.sum(), x)[0].data, 6 * X * T)


def test_several_duals():
    with ours.dual_level():
        a, b = ours.make_dual(nbgrad.tensor(2.0), nbgrad.tensor(1.0)), ours.make_dual(nbgrad.tensor(3.0), 10.0)
        assert ours.unpack_dual(a * b).tangent.item() == 3 + 20
        assert ours.unpack_dual((a * b).detach()).tangent is None


def test_levels():
    with pytest.raises(RuntimeError, match="no level is open"):
        ours.make_dual(nbgrad.tensor(1.0), nbgrad.tensor(1.0))
    with ours.dual_level():
        dual = ours.make_dual(nbgrad.tensor(1.0), nbgrad.tensor(1.0))
        with pytest.raises(RuntimeError, match="a level is open already"):
            ours.enter_dual_level()
        with pytest.raises(ValueError, match=r"make_dual: the tangent has shape \(3,\)"):
            ours.make_dual(nbgrad.tensor(1.0), nbgrad.tensor(T))
        with pytest.raises(TypeError, match="make_dual: got dtype int64"):
            ours.make_dual(nbgrad.tensor(1), nbgrad.tensor(1))
    assert ours.unpack_dual(dual).tangent is None
    with pytest.raises(RuntimeError, match="no such level"):
        ours.exit_dual_level()
    with pytest.raises(TypeError, match="unpack_dual: got float"):
        ours.unpack_dual(1.0)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nbgrad.autograd.nothing  # noqa: B018
