"""Reductions of what a mask tells to look at: those of the elements picked out, torch's, differences, and refusals."""

import numpy as np
import pytest
from cases import ANY, draw
from families import Member, check_derivatives, check_traced
from peers import peer

import nbgrad
from nbgrad import masked

MASK = np.array([[True, False, True, True], [False, True, True, False], [True, True, True, True]])
#: By NumPy, of the elements of a line.
LINES = {
    "sum": np.sum,
    "prod": np.prod,
    "amax": np.max,
    "amin": np.min,
    "mean": np.mean,
    "var": lambda v: np.var(v, ddof=1),
    "std": lambda v: np.std(v, ddof=1),
    "norm": np.linalg.norm,
    "logsumexp": lambda v: np.log(np.exp(v).sum()),
    "median": lambda v: np.sort(v)[(len(v) - 1) // 2],
}
QUICK = ("mean", "var", "amax")


@pytest.mark.parametrize("name", LINES)
def test_reductions_are_those_of_the_elements_picked_out(name):
    x = draw(ANY, (3, 4))
    wanted = [LINES[name](line[inside]) for line, inside in zip(x, MASK, strict=True)]
    found = getattr(masked, name)(nbgrad.tensor(x), dim=1, mask=nbgrad.tensor(MASK))
    np.testing.assert_allclose(found.data, wanted, rtol=1e-12)
    whole = getattr(masked, name)(x, dim=1, keepdim=True)
    np.testing.assert_allclose(whole[:, 0], [LINES[name](line) for line in x], rtol=1e-12)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in LINES])
def test_gradients_are_those_of_differences_and_traced(name, kernels):
    function = getattr(masked, name)
    member = Member(name, lambda x: function(x, dim=1, mask=MASK), None)
    check_derivatives(member)
    check_traced(member)


@pytest.mark.parametrize("name", ["softmax", "softmin", "log_softmax", "cumsum", "cumprod", "argmax", "argmin"])
def test_functions_along_lines_are_torchs(name):
    torch = peer("torch")
    x = draw(ANY, (3, 4))
    found = getattr(masked, name)(nbgrad.tensor(x), 1, mask=MASK)
    wanted = getattr(torch.masked, name)(torch.tensor(x), 1, mask=torch.tensor(MASK)).numpy()
    inside = MASK if found.ndim == 2 else Ellipsis
    np.testing.assert_allclose(found.data[inside], wanted[inside], rtol=1e-12)


def test_two_masks_and_lengths():
    torch = peer("torch")
    x, y = draw(ANY, (3, 4)), draw(ANY, (3, 4), seed=1)
    found = masked.logaddexp(x, y, input_mask=MASK, other_mask=~MASK)
    np.testing.assert_allclose(found, np.where(MASK, x, y), rtol=1e-12)
    found = masked.normalize(x, 2.0, 1, mask=MASK)
    np.testing.assert_allclose(found, torch.masked.normalize(torch.tensor(x), 2.0, 1, mask=torch.tensor(MASK)))


def test_what_is_not_looked_at_may_be_nan():
    x = nbgrad.tensor([1.0, np.nan, 3.0], requires_grad=True)
    y = masked.mean(x, mask=[True, False, True])
    y.backward()
    assert y.item() == 2 and x.grad.tolist() == [0.5, 0.0, 0.5]
    assert np.isnan(masked.mean(x, mask=[False] * 3).data)


def test_wrong_masks_are_refused():
    with pytest.raises(TypeError, match="sum: mask has dtype int64"):
        masked.sum(nbgrad.ones(3), mask=nbgrad.tensor([1, 0, 1]))
    with pytest.raises(ValueError, match=r"sum: a mask of shape \(2,\) does not broadcast to \(3,\)"):
        masked.sum(nbgrad.ones(3), mask=nbgrad.tensor([True, False]))
    assert all(callable(getattr(masked, name)) for name in masked.__all__)
