"""PyTorch's other names: all are there, and take what PyTorch's take."""

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import synonyms

X = np.random.default_rng(0).standard_normal((2, 4, 8))
#: Calls by arguments in PyTorch's order.
CALLS = [
    ("absolute", (X,)), ("arctan2", (X, X + 1)), ("concat", ([X, X], 1)), ("ger", (X[0, 0], X[1, 0])),
    ("greater_equal", (X, 0.0)), ("inverse", (X[0, :, :4],)), ("subtract", (X, X * 2)), ("vander", (X[0, 0], 3)),
    ("vander", (X[0, 0], 3, True)),
    ("avg_pool1d", (X, 2, 2)), ("bilinear", (X[0], X[1], X[:, :, :8].reshape(1, 8, 8))), ("celu", (X, 0.5)),
    ("channel_shuffle", (X[None], 2)), ("conv1d", (X, X[:, :, :3])), ("cosine_similarity", (X, X + 1, 1)),
    ("dropout", (X, 0.5, False)), ("group_norm", (X, 2)), ("hardshrink", (X, 0.3)), ("layer_norm", (X, (8,))),
    ("max_pool1d", (X, 2)), ("pairwise_distance", (X, X + 1)), ("pixel_shuffle", (X.reshape(1, 4, 4, 4), 2)),
    ("prelu", (X, np.array([0.3]))), ("rms_norm", (X, (8,))), ("selu", (X,)), ("threshold", (X, 0.1, 0.2)),
    ("conv_transpose1d", (X, X[0][:, None, :3])), ("asarray", (X,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments"), [pytest.param(*call, id=call[0]) for call in CALLS])
def test_they_do_what_torch_does(name, arguments):
    torch = peer("torch")

    def given(make):
        return [
            make(x) if isinstance(x, np.ndarray) else [*map(make, x)] if isinstance(x, list) else x for x in arguments
        ]

    found = getattr(nbgrad, name)(*given(nbgrad.tensor))
    np.testing.assert_allclose(found.data, getattr(torch, name)(*given(torch.tensor)).numpy(), rtol=1e-9, atol=1e-12)


def test_all_names_stand_for_something_and_are_torchs():
    torch = peer("torch")
    for name in synonyms.NAMES:
        assert getattr(nbgrad, name) is not None and hasattr(torch, name), name
    assert set(synonyms.NAMES) <= set(dir(nbgrad))
    with pytest.raises(AttributeError, match="no attribute 'nothing_here'"):
        nbgrad.nothing_here  # noqa: B018


@pytest.mark.parametrize("question", ["numel", "is_floating_point", "is_complex", "is_signed", "is_nonzero"])
def test_questions(question):
    torch = peer("torch")
    for x in (np.array([1.5]), np.array([0]), np.array([True]), np.array([2], np.uint8)):
        assert getattr(nbgrad, question)(nbgrad.tensor(x)) == getattr(torch, question)(torch.tensor(x))
        assert getattr(nbgrad, question)(x) == getattr(torch, question)(torch.tensor(x))
    with pytest.raises(TypeError, match=f"{question}: input of type str"):
        getattr(nbgrad, question)("x")
    with pytest.raises(RuntimeError, match=r"is_nonzero: input has shape \(2,\)"):
        nbgrad.is_nonzero(nbgrad.zeros(2))
    assert nbgrad.is_tensor(nbgrad.zeros(1)) and not nbgrad.is_tensor(np.zeros(1))


def test_old_constructors():
    assert nbgrad.LongTensor([1, 2]).dtype == np.int64 and nbgrad.FloatTensor(2, 3).shape == (2, 3)
    assert nbgrad.FloatTensor([1, 2]).dtype == np.float32 and nbgrad.BoolTensor().shape == (0,)
    with pytest.raises(TypeError, match="FloatTensor: 2 arguments"):
        nbgrad.FloatTensor([1.0], [2.0])


def test_dtypes():
    single = nbgrad.zeros(2, dtype=np.float32)
    assert nbgrad.result_type(single, 1.0) == np.float32 and nbgrad.result_type(single, np.zeros(1)) == np.float64
    assert nbgrad.finfo(nbgrad.float32).eps == np.finfo(np.float32).eps
    nbgrad.use_deterministic_algorithms(True)
    assert nbgrad.are_deterministic_algorithms_enabled()
    x = nbgrad.tensor([1.0], requires_grad=True)
    assert nbgrad.detach(x * 2).requires_grad is False
