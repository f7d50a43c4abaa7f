"""Every module against PyTorch's of that name: its state's keys, its result and its gradients with the same state."""

import inspect

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import nn
from nbgrad.nn import modules

RNG = np.random.default_rng(0)
X, IMAGES, SEQUENCES = (RNG.normal(size=shape) for shape in ((4, 6), (2, 4, 6, 6), (2, 4, 9)))
LABELS, TARGETS = RNG.integers(0, 6, 4), RNG.normal(size=(4, 6))
MASK = np.triu(np.full((5, 5), True), 1)

#: Arguments of the module, and inputs.
CASES = {
    **{name: ((), X) for name in (
        "ReLU", "ReLU6", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid", "Tanh", "LogSigmoid", "Softplus",
        "Softsign", "Tanhshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Hardshrink", "Softshrink", "LeakyReLU",
        "PReLU", "GLU", "Flatten", "Identity",
    )},
    **{name: ((1,), X) for name in ("Softmax", "Softmin", "LogSoftmax")},
    "Threshold": ((0.1, 2.0), X),
    "Softmax2d": ((), IMAGES),
    **{name: ((), X, TARGETS) for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss")},
    **{name: ((), X, LABELS) for name in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")},
    "BCELoss": ((), 1 / (1 + np.exp(-X)), (TARGETS > 0) * 1.0),
    "BCEWithLogitsLoss": ((), X, (TARGETS > 0) * 1.0),
    "KLDivLoss": ((None, None, "sum"), X, np.abs(TARGETS)),
    "PoissonNLLLoss": ((), X, np.abs(TARGETS)),
    "GaussianNLLLoss": ((), X, TARGETS, np.exp(TARGETS)),
    "SoftMarginLoss": ((), X, np.sign(TARGETS)),
    "MarginRankingLoss": ((0.5,), X, TARGETS, np.sign(X)),
    "TripletMarginLoss": ((), X, TARGETS, X[::-1].copy()),
    "Linear": ((6, 3), X),
    "Bilinear": ((6, 6, 3), X, TARGETS),
    "Embedding": ((6, 5), LABELS),
    "EmbeddingBag": ((6, 5), LABELS[None]),
    "Unflatten": ((1, (2, 3)), X),
    "CosineSimilarity": ((), X, TARGETS),
    "PairwiseDistance": ((), X, TARGETS),
    "PixelShuffle": ((2,), IMAGES),
    "PixelUnshuffle": ((2,), IMAGES),
    "Conv1d": ((4, 6, 3), SEQUENCES),
    "Conv2d": ((4, 6, 3, 2, 1), IMAGES),
    "ConvTranspose1d": ((4, 6, 3), SEQUENCES),
    "ConvTranspose2d": ((4, 6, 3, 2, 1, 1), IMAGES),
    "MaxPool1d": ((3,), SEQUENCES),
    "MaxPool2d": ((2,), IMAGES),
    "AvgPool1d": ((3,), SEQUENCES),
    "AvgPool2d": ((3, 2, 1), IMAGES),
    "AdaptiveAvgPool1d": ((4,), SEQUENCES),
    "AdaptiveAvgPool2d": ((4,), IMAGES),
    "AdaptiveMaxPool2d": ((4,), IMAGES),
    "Upsample": ((None, 2), IMAGES),
    "ZeroPad2d": ((1,), IMAGES),
    "ConstantPad1d": ((2, 1.5), SEQUENCES),
    "ReflectionPad2d": ((1,), IMAGES),
    "ReplicationPad1d": ((2,), SEQUENCES),
    "CircularPad2d": ((1,), IMAGES),
    "LayerNorm": ((6,), X),
    "RMSNorm": ((6,), X),
    "GroupNorm": ((2, 4), IMAGES),
    "BatchNorm1d": ((6,), X),
    "BatchNorm2d": ((4,), IMAGES),
    "InstanceNorm2d": ((4,), IMAGES),
    "LocalResponseNorm": ((2,), IMAGES),
    "RNN": ((6, 5), X[:, None]),
    "LSTM": ((6, 5, 2, True, True, 0.0, True), RNG.normal(size=(2, 3, 6))),
    "GRU": ((6, 5, 2, True, False, 0.0, True), RNG.normal(size=(3, 2, 6))),
    "RNNCell": ((6, 5), X),
    "LSTMCell": ((6, 5), X),
    "GRUCell": ((6, 5), X),
    "TransformerEncoderLayer": ((8, 2, 16, 0.0), RNG.normal(size=(5, 2, 8))),
    "TransformerDecoderLayer": ((8, 2, 16, 0.0), RNG.normal(size=(5, 2, 8)), RNG.normal(size=(4, 2, 8))),
}  # fmt: skip


def parts(result):
    if result is None:
        return []
    return [p for part in result for p in parts(part)] if isinstance(result, tuple | list) else [result]


STEPS, PADDING, CAUSAL = RNG.normal(size=(5, 2, 8)), np.zeros((2, 5), bool), np.triu(np.full((5, 5), True), 1)
PADDING[0, 3:] = True
PADDED = {"key_padding_mask": PADDING}
LAYER = {"dropout": 0.0, "dim_feedforward": 16}

#: The name, options, inputs, options of the call, whether it is in training.
OPTIONS = [
    *[("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "padding_mode": mode, **more}, [IMAGES])
      for mode in ("zeros", "reflect", "replicate", "circular")
      for more in ({"padding": (1, 2), "bias": False}, {"padding": "same", "dilation": 2})],
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "groups": 2}, [IMAGES[0]]),
    ("ConvTranspose2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1}, [IMAGES],
     {"output_size": (12, 11)}),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
     [IMAGES]),
    *[(name, {"input_size": 6, "hidden_size": 5, "num_layers": 2, "bias": bias, "bidirectional": bias}, [X[:, None]])
      for name in ("RNN", "LSTM", "GRU") for bias in (True, False)],
    ("LSTM", {"input_size": 6, "hidden_size": 5, "proj_size": 3, "batch_first": True}, [X[:, None]]),
    ("LSTM", {"input_size": 6, "hidden_size": 5, "num_layers": 2, "dropout": 0.5}, [X], {}, False),
    ("RNNCell", {"input_size": 6, "hidden_size": 5, "nonlinearity": "relu", "bias": False}, [X[0]]),
    *[("BatchNorm2d", {"num_features": 4, **options}, [IMAGES], {}, training) for training in (True, False)
      for options in ({"track_running_stats": False}, {"momentum": None}, {"affine": False})],
    ("InstanceNorm1d", {"num_features": 4, "affine": True, "track_running_stats": True}, [SEQUENCES]),
    ("LayerNorm", {"normalized_shape": (6, 6), "elementwise_affine": False}, [IMAGES]),
    ("GroupNorm", {"num_groups": 4, "num_channels": 4, "affine": False}, [IMAGES]),
    *[("MultiheadAttention", {"embed_dim": 8, "num_heads": 2, **options}, [STEPS] * 3, call)
      for options in ({"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True})
      for call in (PADDED, {"attn_mask": CAUSAL, "average_attn_weights": False})],
    ("MultiheadAttention", {"embed_dim": 8, "num_heads": 2}, [STEPS] * 3,
     {"attn_mask": CAUSAL, "is_causal": True, "need_weights": False}),
    *[("TransformerEncoderLayer", {"d_model": 8, "nhead": 2, **LAYER, **options}, [STEPS], call, training)
      for options in ({"norm_first": True}, {"bias": False, "activation": "gelu"})
      for call, training in (({"src_key_padding_mask": PADDING}, True), ({"src_mask": CAUSAL}, False))],
    ("Transformer", {"d_model": 8, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 2, **LAYER},
     [STEPS, STEPS[:4]]),
    ("EmbeddingBag", {"num_embeddings": 6, "embedding_dim": 5, "mode": "max", "padding_idx": 1}, [LABELS[None]]),
    ("Embedding", {"num_embeddings": 6, "embedding_dim": 5, "padding_idx": -2, "max_norm": 1.0}, [LABELS]),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 2, "reduction": "none"}, [X, LABELS]),
    ("ChannelShuffle", {"groups": 2}, [IMAGES]), ("LPPool3d", {"norm_type": 2, "kernel_size": 2}, [IMAGES[None]]),
    ("UpsamplingBilinear2d", {"scale_factor": 2}, [IMAGES]), ("UpsamplingNearest2d", {"size": 9}, [IMAGES]),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("number", range(len(OPTIONS)), ids=lambda k: f"{OPTIONS[k][0]}-{k}")
def test_options_are_pytorchs(number):
    name, options, inputs, *rest = OPTIONS[number]
    compare(name, (), options, inputs, *rest)


@pytest.mark.parametrize("name", CASES)
def test_module_agrees_with_pytorch(name):
    arguments, *inputs = CASES[name]
    compare(name, arguments, {}, inputs)


def compare(name, arguments, options, inputs, call=(), training=True):
    """Run a module and PyTorch's of the same state: results, gradients, buffers, keys and looks."""
    torch, call = peer("torch"), dict(call)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        theirs = getattr(torch.nn, name)(*arguments, **options).train(training)
    finally:
        torch.set_default_dtype(before)
    ours = getattr(nn, name)(*arguments, **options).train(training)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    looks = repr(theirs).replace("NonDynamicallyQuantizable", "")
    assert repr(ours) == looks or name in ("Hardshrink", "Softshrink")
    ours.load_state_dict(theirs.state_dict())
    xs = [nbgrad.tensor(x, requires_grad=x.dtype.kind == "f" and k == 0) for k, x in enumerate(inputs)]
    ts = [torch.tensor(x, requires_grad=x.dtype.kind == "f" and k == 0) for k, x in enumerate(inputs)]
    found = parts(ours(*xs, **call))
    expected = parts(theirs(*ts, **{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in call.items()}))
    sum((y * y.cos()).sum() for y in found).backward()
    sum((y * y.cos()).sum() for y in expected).backward()
    for y, t in zip(found, expected, strict=True):
        np.testing.assert_allclose(y.data, t.detach().numpy(), rtol=1e-7, atol=1e-9)
    if xs[0].requires_grad:
        np.testing.assert_allclose(xs[0].grad.data, ts[0].grad.numpy(), rtol=1e-6, atol=1e-9)
    for (key, x), t in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (x.grad is None) is (t.grad is None)
        if t.grad is not None:
            np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-6, atol=1e-9, err_msg=key)
    for (key, x), t in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(x.data, t.numpy(), rtol=1e-7, err_msg=key)


SHOWN = {
    "Linear": (2, 3), "Conv2d": (2, 4, 3), "MaxPool2d": (2,), "BatchNorm2d": (4,), "LayerNorm": (4,), "LSTM": (2, 3, 2),
    "Embedding": (4, 2), "Dropout": (0.2,), "ELU": (), "LeakyReLU": (), "ReLU": (), "Softmax": (1,), "MSELoss": (),
    "GroupNorm": (2, 4), "ConvTranspose2d": (2, 4, 3), "Flatten": (), "GRU": (2, 3), "AvgPool2d": (2,),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in SHOWN if name != "AvgPool2d"])
def test_modules_look_as_pytorchs_do(name):
    assert repr(getattr(nn, name)(*SHOWN[name])) == repr(getattr(peer("torch").nn, name)(*SHOWN[name]))


def test_arguments_have_pytorchs_names():
    torch = peer("torch")
    kinds = {name: kind for name, kind in vars(modules).items() if isinstance(kind, type)}
    assert len(kinds) > 110
    without = {"self", "device", "dtype", "args", "kwargs", "arguments", "options"}
    for name, kind in kinds.items():
        theirs = getattr(torch.nn, name)
        ours = [p for p in inspect.signature(kind).parameters if p not in without]
        names = [p for p in inspect.signature(theirs.__init__).parameters if p not in without]
        if name not in ("RNN", "LSTM", "GRU", "Transformer", "TransformerEncoder", "Sequential", "Module"):
            assert ours[: len(names)] == [*names][: len(ours)], name


def test_attention_with_masks_and_weights():
    torch = peer("torch")
    for options in ({}, {"kdim": 6, "vdim": 3}, {"add_bias_kv": True, "add_zero_attn": True}, {"batch_first": True}):
        theirs = torch.nn.MultiheadAttention(8, 2, dtype=torch.float64, **options)
        ours = nn.MultiheadAttention(8, 2, **options)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        ours.load_state_dict(theirs.state_dict())
        sizes = 8, options.get("kdim", 8), options.get("vdim", 8)
        inputs = [RNG.normal(size=(5, 5, size)) for size in sizes]
        padding = np.zeros((5, 5), bool)
        padding[1, 3:] = True
        masks = {"attn_mask": MASK, "key_padding_mask": padding}
        found = ours(*map(nbgrad.tensor, inputs), **masks)
        expected = theirs(*map(torch.tensor, inputs), **{k: torch.tensor(v) for k, v in masks.items()})
        for y, t in zip(found, expected, strict=True):
            np.testing.assert_allclose(y.data, t.detach().numpy(), rtol=1e-7, atol=1e-9)
    with pytest.raises(ValueError, match=r"attn_mask has shape \(2, 2\), not \(5, 5\)"):
        nn.MultiheadAttention(8, 2)(*[nbgrad.ones(5, 1, 8)] * 3, attn_mask=np.zeros((2, 2)))


def test_states_that_do_not_fit():
    with pytest.raises(ValueError, match=r"LSTM: a state has shape \(1, 2, 4\): not \(1, 1, 3\)"):
        nn.LSTM(2, 3)(nbgrad.ones(4, 1, 2), (nbgrad.ones(1, 2, 4), nbgrad.ones(1, 1, 3)))
    with pytest.raises(ValueError, match="GRU: input has 2 or 3 dimensions, the last of size 2"):
        nn.GRU(2, 3)(nbgrad.ones(4, 1, 3))
    with pytest.raises(ValueError, match=r"all one batch: \(3, 2, 8\), \(4, 3, 8\)"):
        nn.MultiheadAttention(8, 2)(nbgrad.ones(3, 2, 8), *[nbgrad.ones(4, 3, 8)] * 2)
    for layer, xs, hint in (
        (nn.TransformerEncoderLayer(8, 2, 16), [nbgrad.ones(3, 1, 8)], "is_causal"),
        (nn.TransformerDecoderLayer(8, 2, 16), [nbgrad.ones(3, 1, 8)] * 2, "tgt_is_causal"),
    ):
        with pytest.raises(ValueError, match="is_causal is a hint, and needs attn_mask"):
            layer(*xs, **{hint: True})
    with pytest.raises(TypeError, match="Threshold: missing a required argument: 'threshold'"):
        nn.Threshold()
