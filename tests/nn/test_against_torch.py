"""Functions of `nn.functional` against torch's of the same names, differences, and themselves compiled."""

import warnings

import cases
import numpy as np
import pytest
from cases import ANY, POSITIVE
from nn_calls import call, hold_against_differences, hold_against_torch, hold_compiled_against_eager, torch_function
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.nn import functional

SIGNS = np.array([1.0, -1.0, 1.0, -1.0])
LABELS = np.array([0, 2, 2, 1])
GRID = np.random.default_rng(0).uniform(-1.2, 1.2, (1, 1, 2, 2, 3))
TRUTH = np.array([[True, False, True], [True, True, False], [False, True, True], [True, True, True]])

NORMS = [
    call("batch_norm", (4, 3, 2), running_mean=None, running_var=None, training=True),
    call("batch_norm", (4, 3), running_mean=np.array([0.1, 0.2, -1.0]), running_var=np.array([1.0, 0.5, 2.0])),
    call("instance_norm", (2, 3, 4)),
    call("group_norm", (2, 4, 3), num_groups=2, weight=np.array([1.0, 2.0, 0.5, -1.0]), bias=np.ones(4)),
    call("rms_norm", (3, 4), normalized_shape=(4,), weight=np.array([1.0, 2.0, 0.5, -1.0])),
    call("rms_norm", (2, 3, 4), normalized_shape=(3, 4), eps=0.1),
    call("local_response_norm", (2, 5, 3), size=3, alpha=0.5),
    call("normalize", (3, 4), dim=1),
    call("normalize", (3, 4), p=3.0, dim=0),
]
LOSSES = [
    call("kl_div", (4, 3), (4, 3), domains=(ANY, POSITIVE), reduction="batchmean"),
    call("kl_div", (4, 3), (4, 3), domains=(ANY, ANY), log_target=True, reduction="sum"),
    call("poisson_nll_loss", (4, 3), (4, 3), domains=(ANY, POSITIVE), full=True),
    call("poisson_nll_loss", (4, 3), (4, 3), domains=(POSITIVE, POSITIVE), log_input=False),
    call("gaussian_nll_loss", (4, 3), (4, 3), (4,), domains=(ANY, ANY, POSITIVE), full=True),
    call("margin_ranking_loss", (4,), (4,), target=SIGNS, margin=0.3),
    call("hinge_embedding_loss", (4,), target=SIGNS, reduction="none"),
    call("soft_margin_loss", (4,), target=SIGNS),
    call("cosine_embedding_loss", (4, 3), (4, 3), target=SIGNS, margin=-0.5),
    call("triplet_margin_loss", (4, 3), (4, 3), (4, 3), swap=True, p=3),
    call("triplet_margin_with_distance_loss", (4, 3), (4, 3), (4, 3), margin=2.0),
    call("multi_margin_loss", (4, 3), target=LABELS, p=2, weight=np.array([1.0, 2.0, 0.5])),
    call("multilabel_margin_loss", (4, 3), target=np.array([[0, -1, 1], [2, 1, -1], [-1, 0, 1], [0, 1, 2]])),
    call("multilabel_soft_margin_loss", (4, 3), target=TRUTH.astype(float), weight=np.array([1.0, 2.0, 0.5])),
    call("linear_cross_entropy", (4, 5), (3, 5), target=LABELS),
    call("cosine_similarity", (4, 3), (4, 3)),
    call("pairwise_distance", (4, 3), (3,), p=3.0),
    call("pdist", (4, 3)),
]
OTHERS = [
    call("bilinear", (4, 2), (4, 3), (5, 2, 3), (5,)),
    call("scaled_dot_product_attention", (2, 4, 3), (2, 3, 3), (2, 3, 5), attn_mask=TRUTH, scale=0.7),
    call("scaled_dot_product_attention", (2, 3, 4), (2, 3, 4), (2, 3, 4), is_causal=True),
    call("scaled_dot_product_attention", (1, 4, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2), enable_gqa=True),
    call("pad", (2, 3, 4), pad=(1, 2, -1, 1), value=0.5),
    *(call("pad", (2, 3, 4), pad=(1, 2), mode=mode) for mode in ("reflect", "replicate", "circular")),
    call("pixel_shuffle", (2, 8, 2, 3), upscale_factor=2),
    call("pixel_unshuffle", (2, 4, 6), downscale_factor=2),
    call("interpolate", (2, 2, 3, 4), size=(5, 3)),
    call("interpolate", (2, 2, 3), scale_factor=1.7, mode="linear"),
    call("interpolate", (2, 2, 3, 4), size=(5, 3), mode="bilinear", align_corners=True),
    call("interpolate", (1, 2, 3, 4), scale_factor=(2, 0.6), mode="bicubic"),
    call("interpolate", (1, 2, 6, 7), size=(3, 4), mode="bilinear", antialias=True),
    call("interpolate", (1, 2, 3, 4, 2), size=(5, 3, 3), mode="trilinear"),
    call("interpolate", (2, 2, 5, 4), size=(3, 2), mode="area"),
    call("grid_sample", (2, 2, 4, 3), (2, 3, 2, 2), domains=(ANY, ((-1.3, 1.3),)), align_corners=False),
    call("grid_sample", (1, 2, 4, 3), (1, 3, 2, 2), padding_mode="border", align_corners=True),
    call("grid_sample", (1, 2, 4, 3), (1, 3, 2, 2), padding_mode="reflection", align_corners=False),
    call("grid_sample", (1, 2, 4, 5), (1, 2, 2, 2), domains=(ANY, ((-0.9, 0.9),)), mode="bicubic", align_corners=False),
    call("grid_sample", (1, 2, 3, 3, 4), grid=GRID, mode="nearest", align_corners=False),
    call("affine_grid", (2, 2, 3), size=(2, 1, 3, 4), align_corners=False),
    call("embedding", (5, 3), input=np.array([[0, 4], [2, 4]]), padding_idx=-1, scale_grad_by_freq=True),
    call("embedding_bag", (5, 3), input=np.array([0, 4, 2, 4, 1]), offsets=np.array([0, 2, 2]), mode="mean"),
    call("embedding_bag", (5, 3), input=np.array([[0, 4], [2, 4]]), mode="max"),
    call("embedding_bag", (5, 3), input=np.array([[0, 4], [2, 1]]), mode="sum", padding_idx=4),
]
CALLS = [*NORMS, *LOSSES, *OTHERS]
#: Whose gradients are divided on purpose, or whose positions are numbers.
UNLIKE = [each for each in CALLS if each.options.get("scale_grad_by_freq")]


@pytest.mark.parametrize("each", CALLS, ids=repr)
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_values_and_gradients_are_torchs(each, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's about its own defaults
        hold_against_torch(each, dtype)


@pytest.mark.parametrize("each", [each for each in CALLS if each not in UNLIKE], ids=repr)
def test_gradients_agree_with_differences_to_second_order(each):
    hold_against_differences(each)


@pytest.mark.parametrize("each", [each for each in CALLS if each not in UNLIKE], ids=repr)
def test_compiled_they_are_the_same(each, kernels):
    hold_compiled_against_eager(each)


def test_all_functions_are_found_in_their_rooms():
    for name, room in functional.HOMES.items():
        function = getattr(functional, name)
        assert callable(function) and function.__doc__, name
        module = __import__(f"nbgrad.nn.{room}", fromlist=[name])
        assert name in module.__all__, name
        assert set(module.__all__) == set(functional.ROOMS[room].split()), room
    assert set(functional.HOMES) <= set(dir(functional))
    with pytest.raises(AttributeError, match="has no attribute 'conv4d'"):
        functional.conv4d  # noqa: B018


# ---- what is drawn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
)
def test_dropout_keeps_a_share_and_the_mean(name):
    shape = {"dropout1d": (200, 20, 3), "dropout3d": (200, 20, 2, 1, 2)}.get(name, (200, 20, 2, 2))
    x = nbgrad.randn(*shape, requires_grad=True) if "alpha" in name else nbgrad.ones(*shape, requires_grad=True)
    y = getattr(functional, name)(x, 0.3, training=True)
    y.sum().backward()
    if "alpha" in name:
        assert abs(y.data.mean()) < 0.1 and abs(y.data.std() - 1) < 0.1
    else:
        assert set(np.unique(y.data)) == {0.0, 1 / 0.7}
        np.testing.assert_allclose(y.data.mean(), 1, atol=0.1)
        np.testing.assert_array_equal(x.grad.data, y.data)
    dropped = x.grad.data == 0
    np.testing.assert_allclose(dropped.mean(), 0.3, atol=0.05)
    if name not in ("dropout", "alpha_dropout"):  # whole channels
        assert (dropped == dropped[(..., *(slice(0, 1),) * (x.ndim - 2))]).all()
    assert getattr(functional, name)(x, 0.3, training=False) is x
    np.testing.assert_array_equal(getattr(functional, name)(x, 1.0, training=True).data, 0 * y.data)
    with pytest.raises(ValueError, match=f"{name}: p is 1.5: a probability"):
        getattr(functional, name)(x, 1.5)
    compiled = nbgrad.jit(lambda x: getattr(functional, name)(x, 0.5, training=True))
    first, second = compiled(x.data), compiled(x.data)
    assert (first != second).any()  # drawn anew in every run


def test_choices_by_noise_are_one_hot_and_have_the_softmaxs_gradient():
    logits = Variable(np.log([[0.2, 0.8]]).repeat(4000, 0))
    y = functional.gumbel_softmax(logits, hard=True)
    np.testing.assert_allclose(y.data.mean(0), [0.2, 0.8], atol=0.03)
    assert set(np.unique(y.data)) == {0.0, 1.0}
    (y * np.array([1.0, 2.0])).sum().backward()
    assert (logits.grad.data[:, 1] > 0).all()
    soft = functional.gumbel_softmax(logits, tau=0.5)
    np.testing.assert_allclose(soft.data.sum(1), 1)


def test_slopes_at_random_are_between_their_bounds():
    x = Variable(-np.ones(1000))
    y = functional.rrelu(x, 0.1, 0.3, training=True)
    assert 0.1 <= -y.data.max() < 0.12 and 0.28 < -y.data.min() <= 0.3


# ---- in place --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "elu", "leaky_relu", "hardtanh", "selu", "celu", "threshold", "rrelu"])
def test_activations_in_place(name):
    arguments = (0.1, 2.0) if name == "threshold" else ()
    function = getattr(functional, name)
    for written in (getattr(functional, f"{name}_"), lambda x, *given: function(x, *given, inplace=True)):
        w = Variable(np.array([-1.0, 2.0]))
        x = w * 1.0
        assert written(x, *arguments) is x
        np.testing.assert_array_equal(x.data, function(w, *arguments).data)
        (g,) = nbgrad.autograd.grad(x.sum(), w)
        np.testing.assert_array_equal(g.data, nbgrad.autograd.grad(function(w, *arguments).sum(), w)[0].data)


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_running_statistics_move_as_torchs(name):
    torch = peer("torch")
    x, mean, var = cases.draw(ANY, (4, 3, 5)), np.array([0.1, 0.2, -1.0]), np.array([1.0, 0.5, 2.0])
    ours = [Variable(a.copy(), requires_grad=False) for a in (mean, var)]
    theirs = [torch.tensor(a) for a in (mean, var)]
    option = {"training" if name == "batch_norm" else "use_input_stats": True}
    y = getattr(functional, name)(Variable(x), *ours, **option, momentum=0.3)
    z = torch_function(name)(torch.tensor(x), *theirs, **option, momentum=0.3)
    np.testing.assert_allclose(y.data, z, rtol=1e-10)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found.data, expected, rtol=1e-8)


def test_long_rows_of_a_table_are_shortened_in_place():
    torch = peer("torch")
    table = cases.draw(ANY, (5, 3))
    weight, theirs = Variable(table.copy()), torch.tensor(table)
    positions = np.array([1, 1, 3])
    y = functional.embedding(positions, weight, max_norm=0.5)
    z = torch.nn.functional.embedding(torch.tensor(positions), theirs, max_norm=0.5)
    np.testing.assert_allclose(y.data, z, rtol=1e-10)
    np.testing.assert_allclose(weight.data, theirs, rtol=1e-10)


# ---- sequences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_alignments_are_summed_as_torch_sums_them(reduction):
    torch = peer("torch")
    logits, targets = cases.draw(ANY, (6, 3, 4)), np.array([[1, 1], [2, 3], [1, 2]])
    lengths = (np.array([6, 5, 2]), np.array([2, 2, 1]))

    def loss(f, x, targets, lengths):
        return f.ctc_loss(f.log_softmax(x, -1), targets, *lengths, reduction=reduction)

    cases.assert_same_as_torch(
        lambda x: loss(functional, x, targets, lengths),
        lambda t, x: loss(t.nn.functional, x, torch.tensor(targets), [torch.tensor(n) for n in lengths]),
        [logits],
        tolerance={"rtol": 1e-9, "atol": 1e-11},
    )
    if reduction == "sum":
        cases.check_to_second_order(lambda x: loss(functional, x, targets, lengths), [logits])


def test_targets_that_are_too_long_have_infinite_loss_or_none():
    x = functional.log_softmax(Variable(np.zeros((2, 1, 3))), -1)
    given = np.array([[1, 1, 2]]), np.array([2]), np.array([3])
    assert np.isinf(functional.ctc_loss(x, *given).data)
    assert functional.ctc_loss(x, *given, zero_infinity=True).data == 0


# ---- refusals --------------------------------------------------------------------------------------------------------

X = nbgrad.ones(4, 3)
REFUSALS = {
    "batch": (lambda: functional.batch_norm(X, None, None), ValueError, "give running_mean and running_var, or"),
    "channels": (lambda: functional.batch_norm(X, X[0], X[:, 0]), ValueError, r"running_var has shape \(4,\): it must"),
    "one": (lambda: functional.batch_norm(X[:1], None, None, training=True), ValueError, "has one value a channel"),
    "instance": (lambda: functional.instance_norm(X), ValueError, "has one value a channel"),
    "groups": (lambda: functional.group_norm(X, 2), ValueError, "2 groups do not divide its channels"),
    "rms": (lambda: functional.rms_norm(X, 4), ValueError, r"rms_norm: input of shape \(4, 3\) does not end in"),
    "response": (lambda: functional.local_response_norm(X, 2), ValueError, "local_response_norm: input has shape"),
    "normalize": (lambda: functional.normalize(X, dim=2), IndexError, "dimension 2 is out of range"),
    "kl": (lambda: functional.kl_div(X, X, reduction="max"), ValueError, "kl_div: reduction is"),
    "variance": (lambda: functional.gaussian_nll_loss(X, X, -X), ValueError, "variances must not be negative"),
    "ranking": (lambda: functional.margin_ranking_loss(X, X, X[0]), ValueError, "they must have as many dimensions"),
    "soft": (lambda: functional.soft_margin_loss(X, X[0]), ValueError, r"soft_margin_loss: input has shape \(4, 3\)"),
    "triplet": (lambda: functional.triplet_margin_loss(X, X, X, margin=0), ValueError, "margin is 0: it must be"),
    "power": (lambda: functional.multi_margin_loss(X, LABELS, p=3), ValueError, "p is 3: it must be 1 or 2"),
    "labels": (lambda: functional.multi_margin_loss(X, LABELS + 0.5), TypeError, "target has dtype float64: classes"),
    "cosine": (lambda: functional.cosine_embedding_loss(X, X, X), ValueError, "inputs of shapes"),
    "similar": (lambda: functional.cosine_similarity(X, X[:, :2]), ValueError, "do not broadcast"),
    "pairs": (lambda: functional.pdist(X[0]), ValueError, r"pdist: input has shape \(3,\): it takes a matrix"),
    "attention": (lambda: functional.scaled_dot_product_attention(X, X[:, :2], X), ValueError, "query, key and value"),
    "causal": (
        lambda: functional.scaled_dot_product_attention(X, X, X, X @ X.T, is_causal=True),
        ValueError,
        "give a mask or is_causal, not both",
    ),
    "one hot": (lambda: functional.one_hot(nbgrad.tensor([3]), 2), ValueError, "numbers from 3 to 3 in 2 classes"),
    "embedding": (lambda: functional.embedding(np.array([-1]), X), IndexError, "positions from -1 to -1, and"),
    "bag": (lambda: functional.embedding_bag(LABELS, X), ValueError, "give offsets for a vector of positions"),
    "offsets": (lambda: functional.embedding_bag(LABELS, X, np.array([1])), ValueError, "must begin with 0"),
    "mode": (lambda: functional.embedding_bag(LABELS, X, mode="min"), ValueError, "mode is 'min'"),
    "pad": (lambda: functional.pad(X, (1, 2, 3)), ValueError, "give two numbers a dimension, for 2 at most"),
    "reflect": (lambda: functional.pad(X, (3, 0), "reflect"), ValueError, "there are not as many elements"),
    "shuffle": (lambda: functional.pixel_shuffle(X, 2), ValueError, r"shape \(4, 3\) has no 2\*\*2 channels"),
    "size": (lambda: functional.interpolate(X[None], mode="linear"), ValueError, "give size or scale_factor"),
    "modes": (lambda: functional.interpolate(X[None], 2, mode="bilinear"), ValueError, "mode 'bilinear' for shape"),
    "grid": (lambda: functional.grid_sample(X[None, None], X[None]), ValueError, "grid_sample: input has shape"),
    "ctc": (
        lambda: functional.ctc_loss(X, np.array([3]), np.array([4]), np.array([1])),
        ValueError,
        "ctc_loss: labels from 3 to 3 of 3 classes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    work, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        work()


def test_ctc_takes_traced_targets_and_lengths():
    """What is a label's, and how long a target is, is looked at in every run."""
    x = np.random.default_rng(0).normal(size=(5, 2, 4))

    def loss(x, *given):
        return functional.ctc_loss(functional.log_softmax(x, 2), *given)

    compiled, eager = nbgrad.jit(nbgrad.value_and_grad(loss)), nbgrad.value_and_grad(loss)
    for targets in (np.array([[1, 2], [3, 3]]), np.array([1, 2, 3])):
        for lengths in (np.array([2, 1]), np.array([1, 2])):
            given = x, targets, np.array([5, 4]), lengths
            for mine, wanted in zip(compiled(*given), eager(*given), strict=True):
                np.testing.assert_allclose(mine, wanted, rtol=1e-10)
        with pytest.raises(ValueError, match=r"ctc_loss: .*3"):
            compiled(x, targets, np.array([5, 4]), np.array([3, 1]))
        with pytest.raises(ValueError, match="labels from 0 to 12 of 4 classes"):
            compiled(x, targets * 4, np.array([5, 4]), np.array([2, 1]))
