"""The anomaly mode: who gave NaN, and where the infinity came from."""

import numpy as np
import pytest

import nbgrad
from nbgrad import Function, Variable
from nbgrad.autograd import detect_anomaly, is_anomaly_enabled, set_detect_anomaly


def zero_and_one():
    return Variable(np.array([1.0, 0.0]))


class Spoilt(Function):
    """Gives the gradient of its second input as NaN."""

    def forward(self, x, y):
        return x + y, x - y

    def backward(self, *gys):
        return gys[0], np.full(gys[1].shape, np.nan)


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_infinite_slope_of_a_cotangent_of_zero_is_named(create_graph):
    y = (nbgrad.sqrt(zero_and_one()) * np.array([2.0, 0.0])).sum()
    with (
        detect_anomaly(),
        pytest.raises(
            RuntimeError, match=r"^<sqrt> gave 1 NaN in .* input 0 .* first at \(1,\), from the cotangent 0:"
        ),
    ):
        y.backward(create_graph=create_graph)


def test_an_infinity_is_followed_to_where_it_came_from():
    """The square has a slope of 0 there, and is not to blame."""
    x = zero_and_one()
    with detect_anomaly():
        y = nbgrad.sqrt((x * x) * 1.0).sum()
        with pytest.raises(RuntimeError, match=r"^<mul> gave 1 NaN .* cotangent inf that <sqrt> gave: .*nbgrad\.where"):
            y.backward()
    assert x.grad is None
    x = Variable(np.array([2.0]))
    with detect_anomaly():
        nbgrad.sqrt(x * x).backward()
    assert x.grad.tolist() == [1.0]


def test_a_users_function_is_named_also_with_several_outputs():
    x, y = zero_and_one(), zero_and_one()
    total, difference = Spoilt()(x, y)
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"<Spoilt> gave 2 NaN in the gradient of its input 1"):
        (total * difference).sum().backward()


def test_a_compiled_function_is_one_function():
    def loss(x):
        return nbgrad.sqrt(x * x).sum()

    with detect_anomaly():
        compiled = nbgrad.jit(loss)  # traced inside: there is nothing to look at yet
        compiled(Variable(np.array([2.0, 1.0]))).backward()
        with pytest.raises(RuntimeError, match=r"gave 1 NaN in the gradient of its input 0"):
            compiled(zero_and_one()).backward()


def test_gradients_are_as_always_where_there_is_no_nan():
    x = Variable(np.array([0.0, 1.0]))
    with detect_anomaly():
        nbgrad.sqrt(x).sum().backward()
        (slope,) = nbgrad.autograd.grad((x**3).sum(), x, create_graph=True)
        (curvature,) = nbgrad.autograd.grad(slope.sum(), x)
    assert x.grad.tolist() == [np.inf, 0.5]
    assert curvature.tolist() == [0.0, 6.0]


def test_the_mode_ends_with_its_block_and_may_be_switched():
    assert not is_anomaly_enabled()
    mode = detect_anomaly()
    assert not is_anomaly_enabled()
    with mode:
        assert is_anomaly_enabled()
        with set_detect_anomaly(False):
            assert not is_anomaly_enabled()
        with detect_anomaly(check_nan=False):
            assert not is_anomaly_enabled()
        assert is_anomaly_enabled()
    assert not is_anomaly_enabled()
    try:
        set_detect_anomaly(True)
        assert is_anomaly_enabled()
    finally:
        set_detect_anomaly(False)
    x = zero_and_one()
    (nbgrad.sqrt(x) * 0.0).sum().backward()
    assert np.isnan(x.grad.data[1])
    with pytest.raises(TypeError, match="set_detect_anomaly: needs True or False, got mode='yes'"):
        set_detect_anomaly("yes")
