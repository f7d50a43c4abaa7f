"""Activations, losses and linear maps, compared with torch's functions of the same names."""

import cases
import numpy as np
import pytest
from cases import DTYPES, LAYOUTS, draw
from peers import peer

import nbgrad
import nbgrad.nn.functional as functional
from nbgrad import Variable

LABELS = np.array([0, 2, 2, 1])
REDUCTIONS = ("mean", "sum", "none")
MSE, BCE = "mse_loss", "binary_cross_entropy_with_logits"

every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_layout = pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("0-d", "empty")])


def arrays_of(name, dtype="float64", layout="contiguous", shape=(4, 3)):
    """Give a loss's input and, where it is floating, its target."""
    domains = {MSE: [cases.ANY, cases.ANY], BCE: [cases.ANY, ((0.0, 1.0),)]}.get(name, [cases.ANY])
    return [LAYOUTS[layout](draw(domain, shape, dtype, seed)) for seed, domain in enumerate(domains)]


def ours(name, reduction):
    function = getattr(functional, name)
    if name in (MSE, BCE):
        return lambda x, target: function(x, target, reduction=reduction)
    return lambda x: function(x, Variable(LABELS), reduction=reduction)


def torchs(name, reduction):
    if name in (MSE, BCE):
        return lambda t, x, target: getattr(t.nn.functional, name)(x, target, reduction=reduction)
    return lambda t, x: getattr(t.nn.functional, name)(x, t.tensor(LABELS), reduction=reduction)


@pytest.mark.parametrize("name", [MSE, BCE, "cross_entropy", "nll_loss"])
@every_reduction
@every_dtype
@every_layout
def test_losses_are_torchs(name, reduction, dtype, layout):
    placement = LAYOUTS[layout] if reduction == "none" else lambda x: x
    arrays = arrays_of(name, dtype, layout)
    cases.assert_same_as_torch(ours(name, reduction), torchs(name, reduction), arrays, placement)


@pytest.mark.parametrize("name", [MSE, BCE, "cross_entropy", "nll_loss"])
@every_reduction
def test_losses_agree_with_differences_to_second_order(name, reduction):
    cases.check_to_second_order(ours(name, reduction), arrays_of(name))


@every_reduction
@every_dtype
def test_cross_entropy_with_probabilities_is_torchs(reduction, dtype):
    x = draw(cases.ANY, (4, 3), dtype)
    p = draw(cases.POSITIVE, (4, 3), dtype, 1)
    p /= p.sum(1, keepdims=True)
    cases.assert_same_as_torch(
        lambda x, p: functional.cross_entropy(x, p, reduction=reduction),
        lambda t, x, p: t.nn.functional.cross_entropy(x, p, reduction=reduction),
        [x, p],
    )
    cases.check_to_second_order(functional.cross_entropy, [x.astype(float), p.astype(float)])


@every_reduction
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("name", [MSE, BCE])
def test_elementwise_losses_take_any_shape(name, reduction, shape):
    cases.assert_same_as_torch(ours(name, reduction), torchs(name, reduction), arrays_of(name, shape=shape))


@every_dtype
@pytest.mark.parametrize("weight_shape", [(4, 3), (3,), (4, 1), ()], ids=str)
def test_weights_of_binary_cross_entropy_are_torchs(weight_shape, dtype):
    weight = draw(cases.POSITIVE, weight_shape, dtype, 5)
    cases.assert_same_as_torch(
        lambda x, target: getattr(functional, BCE)(x, target, weight=weight),
        lambda t, x, target: getattr(t.nn.functional, BCE)(x, target, weight=t.tensor(weight)),
        arrays_of(BCE, dtype),
    )


@every_dtype
@pytest.mark.parametrize(("logit", "target"), [(1e4, 1.0), (1e4, 0.0), (-1e4, 1.0), (-1e4, 0.0), (0.0, 0.5), (80.0, 1)])
def test_binary_cross_entropy_is_stable(logit, target, dtype):
    x = Variable(np.array([logit], dtype))
    loss = getattr(functional, BCE)(x, Variable(np.array([target], dtype)))
    loss.backward()
    exact = np.logaddexp(0, logit) - logit * target
    np.testing.assert_allclose(loss.item(), exact, rtol=1e-6, atol=1e-30)
    slope = {1e4: 1.0, -1e4: 0.0, 0.0: 0.5, 80.0: 1.0}[logit] - target
    np.testing.assert_allclose(x.grad.data, [slope], atol=1e-7)


@every_dtype
def test_cross_entropy_is_stable(dtype):
    x = Variable(np.array([[1e4, 0.0], [0.0, 1e4], [-1e4, -1e4]], dtype))
    loss = functional.cross_entropy(x, np.array([0, 0, 1]), reduction="none")
    loss.sum().backward()
    np.testing.assert_allclose(loss.data, [0, 1e4, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(x.grad.data, [[0, 0], [-1, 1], [0.5, -0.5]])


@pytest.mark.parametrize(
    "shapes",
    [((4, 3), (2, 3)), ((3,), (2, 3)), ((5, 4, 3), (2, 3)), ((0, 3), (2, 3)), ((4, 0), (2, 0))],
    ids=str,
)
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@every_dtype
def test_linear_is_torchs(shapes, biased, dtype):
    arrays = [draw(cases.ANY, shape, dtype, seed) for seed, shape in enumerate(shapes)]
    if biased:
        arrays.append(draw(cases.ANY, (2,), dtype, 2))
    cases.assert_same_as_torch(functional.linear, lambda t, *xs: t.nn.functional.linear(*xs), arrays)


def test_linear_agrees_with_differences_to_second_order():
    arrays = [draw(cases.ANY, shape, seed=seed) for seed, shape in enumerate([(2, 3), (2, 3), (2,)])]
    cases.check_to_second_order(functional.linear, arrays)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softplus"])
@every_dtype
@every_layout
def test_activations_are_torchs(name, dtype, layout):
    reference = lambda t, x: getattr(t.nn.functional, name)(x) if name != "tanh" else t.tanh(x)  # noqa: E731
    cases.assert_same_as_torch(
        getattr(functional, name), reference, [LAYOUTS[layout](draw(cases.ANY, (3, 4), dtype))], LAYOUTS[layout]
    )


@pytest.mark.parametrize("beta", [0.5, 1, 1.0, 4])
def test_softplus_is_linear_above_a_threshold(beta):
    x = np.array([-1.0, 0.05, 0.2, 0.5, 30.0])
    for threshold in (0.2, 20, -1):
        cases.assert_same_as_torch(
            lambda x, t=threshold: functional.softplus(x, beta, t),
            lambda torch, x, t=threshold: torch.nn.functional.softplus(x, beta, t),
            [x],
        )
        np.testing.assert_array_equal(
            functional.softplus(x, beta, threshold), functional.softplus(Variable(x), beta, threshold).data
        )


@pytest.mark.parametrize("beta", [1, 3, 0.5])
def test_softplus_takes_a_sharpness_and_needs_no_threshold(beta):
    x = draw(cases.ANY, (5,))
    cases.assert_same_as_torch(
        lambda x: functional.softplus(x, beta=beta, threshold=20),
        lambda t, x: t.nn.functional.softplus(x, beta=beta),
        [x],
    )
    y = functional.softplus(Variable(np.array([1e4, -1e4])), beta)
    np.testing.assert_array_equal(y.data, [1e4, 0])


def test_the_functions_are_those_of_the_library():
    for name in ("relu", "sigmoid", "tanh", "softmax", "log_softmax", "softplus"):
        assert getattr(functional, name) is getattr(nbgrad, name)
    assert nbgrad.nn.functional is functional


def test_a_small_model_has_torchs_gradients():
    torch = peer("torch")
    shapes = [(4, 5), (6, 5), (6,), (3, 6), (3,)]
    arrays = [draw(cases.ANY, shape, "float32", seed) for seed, shape in enumerate(shapes)]

    def model(f, x, w1, b1, w2, b2, labels):
        return f.cross_entropy(f.linear(f.relu(f.linear(x, w1, b1)), w2, b2), labels)

    cases.assert_same_as_torch(
        lambda *xs: model(functional, *xs, LABELS),
        lambda t, *xs: model(t.nn.functional, *xs, torch.tensor(LABELS)),
        arrays,
    )


# ---- refusals -------------------------------------------------------------------------------------------------------

X = Variable(np.ones((4, 3)))
bce = getattr(functional, BCE)
mse, nll, cross = functional.mse_loss, functional.nll_loss, functional.cross_entropy
REFUSALS = {
    "mse shapes": (lambda: mse(X, X[0]), ValueError, r"mse_loss: input has shape \(4, 3\), target \(3,\)"),
    "bce shapes": (lambda: bce(X, X[:1]), ValueError, rf"{BCE}: input has shape \(4, 3\), target \(1"),
    "mse reduction": (
        lambda: mse(X, X, "max"),
        ValueError,
        "mse_loss: reduction is 'mean', 'sum' or 'none', got 'max'",
    ),
    "bce reduction": (lambda: bce(X, X, reduction=None), ValueError, f"{BCE}: reduction is .*got None"),
    "nll reduction": (lambda: nll(X, LABELS, "all"), ValueError, "nll_loss: reduction is .*got 'all'"),
    "cross reduction": (lambda: cross(X, LABELS, "all"), ValueError, "reduction is .*got 'all'"),
    "nll shapes": (lambda: nll(X, LABELS[:2]), ValueError, r"nll_loss: .*\(4, 3\) and classes of shape \(2,\)"),
    "cross shapes": (lambda: cross(X, X[0]), ValueError, r"\(samples, classes\) and \(samples,\)"),
    "classes": (lambda: cross(X, LABELS + 1.0), TypeError, "classes have dtype float64: they must be whole"),
    "out of range": (lambda: cross(X, LABELS + 1), IndexError, "classes from 1 to 3, .* for 3"),
    "negative": (lambda: cross(X, LABELS - 1), IndexError, "classes from -1 to 1, .* for 3"),
    "linear": (lambda: functional.linear(X, Variable(np.ones((2, 4)))), ValueError, "3 columns meet 4 rows"),
    "linear bias": (lambda: functional.linear(X, X, Variable(np.ones(3))), ValueError, "add: .* do not broadcast"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    call, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        call()
