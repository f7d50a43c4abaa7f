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
#: Losses of an input and a target of its shape.
ELEMENTWISE = (MSE, BCE, "binary_cross_entropy", "l1_loss", "smooth_l1_loss", "huber_loss")

every_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_layout = pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("0-d", "empty")])


def arrays_of(name, dtype="float64", layout="contiguous", shape=(4, 3)):
    """Give a loss's input and, where it is floating, its target."""
    domains = [cases.ANY, cases.ANY] if name in ELEMENTWISE else [cases.ANY]
    domains = {BCE: [cases.ANY, ((0.0, 1.0),)], "binary_cross_entropy": [((0.05, 0.95),)] * 2}.get(name, domains)
    return [LAYOUTS[layout](draw(domain, shape, dtype, seed)) for seed, domain in enumerate(domains)]


def ours(name, reduction):
    function = getattr(functional, name)
    if name in ELEMENTWISE:
        return lambda x, target: function(x, target, reduction=reduction)
    return lambda x: function(x, Variable(LABELS), reduction=reduction)


def torchs(name, reduction):
    if name in ELEMENTWISE:
        return lambda t, x, target: getattr(t.nn.functional, name)(x, target, reduction=reduction)
    return lambda t, x: getattr(t.nn.functional, name)(x, t.tensor(LABELS), reduction=reduction)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "cross_entropy", "nll_loss"])
@every_reduction
@every_dtype
@every_layout
def test_losses_are_torchs(name, reduction, dtype, layout):
    placement = LAYOUTS[layout] if reduction == "none" else lambda x: x
    arrays = arrays_of(name, dtype, layout)
    cases.assert_same_as_torch(ours(name, reduction), torchs(name, reduction), arrays, placement)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "cross_entropy", "nll_loss"])
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
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_losses_take_any_shape(name, reduction, shape):
    cases.assert_same_as_torch(ours(name, reduction), torchs(name, reduction), arrays_of(name, shape=shape))


@every_dtype
@pytest.mark.parametrize("weight_shape", [(4, 3), (3,), (4, 1), ()], ids=str)
@pytest.mark.parametrize("name", [BCE, "binary_cross_entropy"])
def test_weights_of_binary_cross_entropy_are_torchs(name, weight_shape, dtype):
    weight = draw(cases.POSITIVE, weight_shape, dtype, 5)
    cases.assert_same_as_torch(
        lambda x, target: getattr(functional, name)(x, target, weight=weight),
        lambda t, x, target: getattr(t.nn.functional, name)(x, target, weight=t.tensor(weight)),
        arrays_of(name, dtype),
    )


@every_reduction
@pytest.mark.parametrize(
    ("name", "options"),
    [("smooth_l1_loss", {"beta": 0.3}), ("smooth_l1_loss", {"beta": 0}), ("huber_loss", {"delta": 2.5})],
    ids=str,
)
def test_widths_of_parabolas_are_torchs(name, options, reduction):
    cases.assert_same_as_torch(
        lambda x, target: getattr(functional, name)(x, target, reduction=reduction, **options),
        lambda t, x, target: getattr(t.nn.functional, name)(x, target, reduction=reduction, **options),
        arrays_of(name),
    )


@every_reduction
def test_weights_of_the_huber_loss_are_torchs(reduction):
    weight = draw(cases.POSITIVE, (4, 3), "float64", 5)
    cases.assert_same_as_torch(
        lambda x, target: functional.huber_loss(x, target, reduction, 0.7, weight),
        lambda t, x, target: t.nn.functional.huber_loss(x, target, reduction, 0.7, t.tensor(weight)),
        arrays_of("huber_loss"),
    )


def test_binary_cross_entropy_at_the_ends_is_torchs():
    x, target = np.array([0.0, 1.0, 0.0, 1.0, 1e-14]), np.array([0.0, 1.0, 1.0, 0.0, 0.5])
    cases.assert_same_as_torch(
        lambda x: functional.binary_cross_entropy(x, target),
        lambda t, x: t.nn.functional.binary_cross_entropy(x, t.tensor(target)),
        [x],
        tolerance={"rtol": 1e-8},  # torch's 1e-12 is of float32
    )


PLACES = {"(4, 3)": (4, 3), "(2, 3, 2)": (2, 3, 2), "(2, 3, 1, 2)": (2, 3, 1, 2), "(3,)": (3,)}
OPTIONS = {
    "weight": {"weight": np.array([0.5, 2.0, 1.5])},
    "ignore_index": {"ignore_index": 2},
    "both": {"weight": np.array([0.5, 2.0, 1.5]), "ignore_index": 2},
    "neither": {},
}
SMOOTHED = {f"{name}, smoothed": {**options, "label_smoothing": 0.3} for name, options in OPTIONS.items()}


def labels_of(shape):
    return np.array([1, 2, 2, 0]).reshape(*shape[:1], *shape[2:]) if len(shape) > 1 else np.array(1)


def losses_of(name, shape, options, reduction):
    """Give our function and torch's of log-probabilities, or logits, of a shape."""
    labels = labels_of(shape)

    def in_torch(t, x):
        weight = {k: t.tensor(v, dtype=x.dtype) if k == "weight" else v for k, v in options.items()}
        return getattr(t.nn.functional, name)(x, t.tensor(labels), reduction=reduction, **weight)

    def here(x):
        weight = {k: v.astype(x.dtype) if k == "weight" else v for k, v in options.items()}
        return getattr(functional, name)(x, Variable(labels), reduction=reduction, **weight)

    return here, in_torch


CLASSES = [("nll_loss", options) for options in OPTIONS] + [
    ("cross_entropy", options) for options in (*OPTIONS, *SMOOTHED)
]


@pytest.mark.parametrize(("name", "options"), CLASSES)
@pytest.mark.parametrize("shape", PLACES)
@pytest.mark.parametrize(("reduction", "dtype"), [*((r, "float64") for r in REDUCTIONS), ("mean", "float32")])
def test_weights_ignored_and_smoothed_labels_are_torchs(name, options, shape, reduction, dtype):
    if shape == "(3,)" and name == "nll_loss" and reduction == "none" and "neither" not in options:
        reduction = "sum"  # torch's is without dimensions then as well
    functions = losses_of(name, PLACES[shape], (OPTIONS | SMOOTHED)[options], reduction)
    cases.assert_same_as_torch(*functions, [draw(cases.ANY, PLACES[shape], dtype)])


@pytest.mark.parametrize("options", ["weight", "ignore_index", "both, smoothed"])
@pytest.mark.parametrize("shape", ["(4, 3)", "(2, 3, 2)"])
def test_weights_ignored_and_smoothed_labels_agree_with_differences(options, shape):
    here, _ = losses_of("cross_entropy", PLACES[shape], (OPTIONS | SMOOTHED)[options], "mean")
    cases.check_to_second_order(here, [draw(cases.ANY, PLACES[shape])])


def test_class_weights_have_gradients():
    x, weight = draw(cases.ANY, (4, 3)), draw(cases.POSITIVE, (3,))
    cases.check_to_second_order(lambda x, w: functional.cross_entropy(x, LABELS, w), [x, weight])


def test_labels_of_minus_100_count_for_nothing():
    torch = peer("torch")
    x = draw(cases.ANY, (4, 3))
    labels = np.array([0, -100, 2, -100])
    ours = functional.cross_entropy(Variable(x), labels)
    theirs = torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(labels))
    np.testing.assert_allclose(ours.data, theirs, rtol=1e-14)
    assert np.isnan(functional.cross_entropy(Variable(x), np.full(4, -100)).data)
    # an ignored row has no gradient, whatever stands in it
    x[1] = -np.inf, np.inf, np.nan
    variable = Variable(x)
    functional.nll_loss(variable, labels, reduction="sum").backward()
    np.testing.assert_array_equal(variable.grad.data, [[-1, 0, 0], [0, 0, 0], [0, 0, -1], [0, 0, 0]])
    with pytest.raises(IndexError, match=r"classes from -100 to 2, .*; ignore_index= names one"):
        nbgrad.jit(lambda x, y: functional.cross_entropy(x, y))(x, labels)


@pytest.mark.parametrize("shape", ["(4, 3)", "(2, 3, 2)", "(3,)"])
@pytest.mark.parametrize("options", ["weight", "neither", "weight, smoothed"])
@every_reduction
def test_probabilities_with_further_arguments_are_torchs(shape, options, reduction):
    given = (OPTIONS | SMOOTHED)[options]
    arrays = [draw(cases.ANY, PLACES[shape]), draw(cases.POSITIVE, PLACES[shape], seed=1)]

    def in_torch(t, x, p):
        weight = {k: t.tensor(v) if k == "weight" else v for k, v in given.items()}
        return t.nn.functional.cross_entropy(x, p, reduction=reduction, **weight)

    cases.assert_same_as_torch(
        lambda x, p: functional.cross_entropy(x, p, reduction=reduction, **given), in_torch, arrays
    )


@pytest.mark.parametrize("weight_shape", [(3,), (4, 1), ()], ids=str)
@every_reduction
@every_dtype
def test_weights_of_positive_answers_are_torchs(weight_shape, reduction, dtype):
    p = draw(cases.POSITIVE, weight_shape, dtype, 5)
    cases.assert_same_as_torch(
        lambda x, target: getattr(functional, BCE)(x, target, pos_weight=p, reduction=reduction),
        lambda t, x, target: getattr(t.nn.functional, BCE)(x, target, pos_weight=t.tensor(p), reduction=reduction),
        arrays_of(BCE, dtype),
    )


def test_weights_of_positive_answers_agree_with_differences_and_are_stable():
    loss = lambda x, t, p: getattr(functional, BCE)(x, t, pos_weight=p)  # noqa: E731
    cases.check_to_second_order(loss, [*arrays_of(BCE), draw(cases.POSITIVE, (3,))])
    x = Variable(np.array([-1e4, -60.0, 1e4]))
    loss(x, np.zeros(3), np.full(3, 2.0)).backward()
    np.testing.assert_allclose(x.grad.data * 3, [0, np.exp(-60.0), 1], rtol=1e-12)


@every_reduction
def test_weights_of_squared_errors_are_torchs(reduction):
    arrays = [*arrays_of(MSE), draw(cases.POSITIVE, (4, 3), seed=7)]
    cases.assert_same_as_torch(
        lambda x, y, w: functional.mse_loss(x, y, weight=w, reduction=reduction),
        lambda t, x, y, w: t.nn.functional.mse_loss(x, y, weight=w, reduction=reduction),
        arrays,
    )


@pytest.mark.usefixtures("kernels")
def test_further_arguments_are_compiled():
    x, y = draw(cases.ANY, (2, 3, 2)), np.array([[0, 1], [-100, 2]])
    weight, p = draw(cases.POSITIVE, (3,)), draw(cases.POSITIVE, (2,))

    def program(x, y, weight, p):
        classes = functional.cross_entropy(x, y, weight, ignore_index=-100, label_smoothing=0.2)
        plain = functional.nll_loss(x, y, weight, ignore_index=-100, reduction="sum")
        answers = getattr(functional, BCE)(x, functional.sigmoid(x * x), pos_weight=p)
        return classes + plain + answers + functional.mse_loss(x, x * x, weight=x * x)

    value, slopes = nbgrad.jit(nbgrad.value_and_grad(program, (0, 2, 3)))(x, y, weight, p)
    expected, theirs = nbgrad.value_and_grad(program, (0, 2, 3))(x, y, weight, p)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    for slope, other in zip(slopes, theirs, strict=True):
        np.testing.assert_allclose(slope, other, rtol=1e-12)


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
    for name in ("sigmoid", "tanh", "softmax", "log_softmax", "softplus"):
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
    "negative beta": (
        lambda: functional.smooth_l1_loss(X, X, beta=-1),
        ValueError,
        "smooth_l1_loss: beta is -1: it must not be",
    ),
    "no delta": (lambda: functional.huber_loss(X, X, delta=0), ValueError, "huber_loss: delta is 0: it must be"),
    "huber weights": (
        lambda: functional.huber_loss(X, X, weight=X[0]),
        ValueError,
        r"huber_loss: input has shape \(4, 3\), target \(3,\)",
    ),
    "l1 shapes": (lambda: functional.l1_loss(X, X[0]), ValueError, r"l1_loss: input has shape \(4, 3\), target"),
    "l1 reduction": (
        lambda: functional.l1_loss(X, X, reduction="all"),
        ValueError,
        "l1_loss: reduction is .*got 'all'",
    ),
    "old l1 arguments": (lambda: functional.l1_loss(X, X, True), TypeError, "size_average and reduce are gone"),
    "mse shapes": (lambda: mse(X, X[0]), ValueError, r"mse_loss: input has shape \(4, 3\), target \(3,\)"),
    "bce shapes": (lambda: bce(X, X[:1]), ValueError, rf"{BCE}: input has shape \(4, 3\), target \(1"),
    "mse reduction": (
        lambda: mse(X, X, reduction="max"),
        ValueError,
        "mse_loss: reduction is 'mean', 'sum' or 'none', got 'max'",
    ),
    "bce reduction": (lambda: bce(X, X, reduction=None), ValueError, f"{BCE}: reduction is .*got None"),
    "nll reduction": (lambda: nll(X, LABELS, reduction="all"), ValueError, "nll_loss: reduction is .*got 'all'"),
    "cross reduction": (lambda: cross(X, LABELS, reduction="all"), ValueError, "reduction is .*got 'all'"),
    "nll shapes": (lambda: nll(X, LABELS[:2]), ValueError, r"nll_loss: .*\(4, 3\) and classes of shape \(2,\)"),
    "cross shapes": (
        lambda: cross(X, X[0]),
        ValueError,
        r"cross_entropy: .*\(samples, classes, \.\.\.\) and \(samples,",
    ),
    "no classes": (lambda: nll(X[0, 0], LABELS[0]), ValueError, r"nll_loss: log-probabilities of shape \(\)"),
    "class weights": (lambda: nll(X, LABELS, np.ones(4)), ValueError, r"weight has shape \(4,\): it must be \(3,\)"),
    "old arguments": (lambda: cross(X, LABELS, None, True), TypeError, "size_average and reduce are gone"),
    "smoothing": (lambda: cross(X, LABELS, label_smoothing=2), ValueError, "label_smoothing is 2: it must be from 0"),
    "ignored probability": (lambda: cross(X, X, ignore_index=1), ValueError, "ignore_index is for classes"),
    "out of range, ignoring": (lambda: cross(X, LABELS + 1, ignore_index=1), IndexError, "classes from 0 to 3, .* 3;"),
    "bce weights": (
        lambda: bce(X[0], X[0], pos_weight=X),
        ValueError,
        r"weights of shape .* do not broadcast",
    ),
    "mse weights": (lambda: mse(X, X, weight=X[0]), ValueError, r"mse_loss: input has shape \(4, 3\), target \(3,\)"),
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


def test_compiled_losses_read_labels_from_outside_in_every_run():
    labels, x = np.array([0, 2, 1]), np.random.default_rng(0).normal(size=(3, 4))
    weight = np.arange(4.0) + 1
    losses = [
        lambda x: functional.cross_entropy(x, labels),
        nbgrad.grad(lambda x: functional.cross_entropy(x, labels, weight=weight, ignore_index=1)),
    ]
    compiled = [nbgrad.jit(loss) for loss in losses]
    for now in ([0, 2, 1], [3, 3, 3]):
        labels[:] = now
        for loss, fast in zip(losses, compiled, strict=True):
            np.testing.assert_allclose(fast(x), loss(x), rtol=1e-13)
