"""Steps of training, the same in nbgrad, PyTorch and JAX: a model, its loss, and an optimiser.

nbgrad and PyTorch run the same lines; JAX has neither modules nor optimisers, so its models are written out, as
functions of a dict that has PyTorch's names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Arrays = list[np.ndarray]
Weights = dict[str, Any]


class Case(NamedTuple):
    """A step of training, and what was promised of it."""

    title: str
    #: Of torch, or of nbgrad, whose names are the same.
    model: Callable[[Any], Any]
    loss: Callable[[Any, Any, Any], Any]
    optimizer: Callable[[Any, Any], Any]
    #: The loss of weights, by jax.numpy and jax, and the optimiser's name with its decay of weights.
    jax_loss: Callable[[Any, Weights, Any, Any], Any]
    jax_optimizer: tuple[str, float]
    data: Callable[[np.random.Generator], Arrays]
    #: Multiplications of the products of matrices, forward and backward.
    products: float
    #: What was promised of the ratios, by the rows' and the columns' names.
    limits: dict[tuple[str, str], float]


def by_labels(library: Any, y: Any, labels: Any) -> Any:
    return library.nn.functional.cross_entropy(y, labels)


def by_squares(library: Any, y: Any, target: Any) -> Any:
    return library.nn.functional.mse_loss(y, target)


# ---- models ---------------------------------------------------------------------------------------------------------


def mlp(library: Any) -> Any:
    nn = library.nn
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet(library: Any) -> Any:
    nn = library.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def transformer(library: Any) -> Any:
    return library.nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True)


def lstm(library: Any) -> Any:
    nn = library.nn

    class Net(nn.Module):  # type: ignore[name-defined,misc]
        """Numbers that follow one another, and one number for each."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.last = nn.LSTM(16, 64), nn.Linear(64, 1)

        def forward(self, x: Any) -> Any:
            return self.last(self.lstm(x)[0])

    return Net()


# ---- the same for JAX -----------------------------------------------------------------------------------------------


def _linear(p: Weights, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def _cross_entropy(jax: Any, y: Any, labels: Any) -> Any:
    return -jax.numpy.take_along_axis(jax.nn.log_softmax(y), labels[:, None], 1).mean()


def jax_mlp(jax: Any, p: Weights, x: Any, labels: Any) -> Any:
    return _cross_entropy(jax, _linear(p, "2", jax.nn.relu(_linear(p, "0", x))), labels)


def jax_lenet(jax: Any, p: Weights, x: Any, labels: Any) -> Any:
    lax = jax.lax
    for name, padding in (("0", "SAME"), ("3", "VALID")):
        y = lax.conv_general_dilated(x, p[f"{name}.weight"], (1, 1), padding) + p[f"{name}.bias"][:, None, None]
        x = lax.reduce_window(jax.nn.relu(y), -jax.numpy.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = x.reshape(len(x), -1)
    for name in ("7", "9"):
        x = jax.nn.relu(_linear(p, name, x))
    return _cross_entropy(jax, _linear(p, "11", x), labels)


def jax_transformer(jax: Any, p: Weights, x: Any, target: Any) -> Any:
    def norm(name: str, v: Any) -> Any:
        v = v - v.mean(-1, keepdims=True)
        return v / jax.numpy.sqrt((v**2).mean(-1, keepdims=True) + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    samples, tokens, width = x.shape
    joined = x @ p["self_attn.in_proj_weight"].T + p["self_attn.in_proj_bias"]
    q, k, v = joined.reshape(samples, tokens, 3, 4, width // 4).transpose(2, 0, 3, 1, 4)
    scores = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / jax.numpy.sqrt(width / 4), -1)
    heads = (scores @ v).transpose(0, 2, 1, 3).reshape(x.shape)
    x = norm("norm1", x + _linear(p, "self_attn.out_proj", heads))
    x = norm("norm2", x + _linear(p, "linear2", jax.nn.relu(_linear(p, "linear1", x))))
    return ((x - target) ** 2).mean()


def jax_lstm(jax: Any, p: Weights, x: Any, target: Any) -> Any:
    inner = p["lstm.weight_hh_l0"].T
    given = x @ p["lstm.weight_ih_l0"].T + p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]

    def cell(state: Any, row: Any) -> Any:
        h, c = state
        i, f, g, o = jax.numpy.split(row + h @ inner, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
        h = jax.nn.sigmoid(o) * jax.numpy.tanh(c)
        return (h, c), h

    start = jax.numpy.zeros((x.shape[1], 64), x.dtype)
    _, hidden = jax.lax.scan(cell, (start, start), given)
    return ((_linear(p, "last", hidden) - target) ** 2).mean()


def jax_step(jax: Any, case: Case) -> Callable[..., Any]:
    """Give a compiled function of (weights, two states, step's number, x, y) to (loss, weights, the states)."""
    kind, decay = case.jax_optimizer
    sqrt, each = jax.numpy.sqrt, jax.tree.map

    def step(p: Weights, m: Weights, v: Weights, t: Any, x: Any, y: Any) -> Any:
        loss, g = jax.value_and_grad(lambda p: case.jax_loss(jax, p, x, y))(p)
        if kind == "SGD":
            return loss, each(lambda p, g: p - 0.01 * g, p, g), m, v
        m = each(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = each(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p * (1 - 1e-3 * decay) - 1e-3 * (m / (1 - 0.9**t)) / (sqrt(v / (1 - 0.999**t)) + 1e-8)

        return loss, each(moved, p, m, v), m, v

    compiled: Callable[..., Any] = jax.jit(step, donate_argnums=(0, 1, 2))
    return compiled


# ---- the cases ------------------------------------------------------------------------------------------------------


def _given(x: tuple[int, ...], y: tuple[int, ...] | int) -> Callable[[np.random.Generator], Arrays]:
    def data(random: np.random.Generator) -> Arrays:
        target = random.integers(10, size=y) if isinstance(y, int) else random.normal(size=y).astype(np.float32)
        return [random.normal(size=x).astype(np.float32), target]

    return data


def _limits(torch: tuple[float, ...], compiled: float, jax: float) -> dict[tuple[str, str], float]:
    """Say what was promised: of torch for the compiled step, or for the eager one too, of torch.compile, and of JAX."""
    named = dict(zip((("jit", "torch"), ("eager", "torch")), torch, strict=False))
    return {**named, ("jit", "torch.compile"): compiled, ("jit", "JAX"): jax}


#: What an input that needs no gradient, as the first layer's, takes less: one of three products.
CASES = [
    Case(
        "MLP 784-256-10, Adam, batch 128", mlp, by_labels, lambda lib, p: lib.optim.Adam(p),
        jax_mlp, ("Adam", 0.0), _given((128, 784), 128), 128 * (2 * 784 * 256 + 3 * 256 * 10),
        _limits((0.5, 0.7), 0.8, 0.7),
    ),
    Case(
        "LeNet-5 on 28 x 28, SGD, batch 64", lenet, by_labels, lambda lib, p: lib.optim.SGD(p, 0.01),
        jax_lenet, ("SGD", 0.0), _given((64, 1, 28, 28), 64),
        64 * (2 * 784 * 6 * 25 + 3 * (100 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10)), _limits((0.5,), 0.8, 0.8),
    ),
    Case(
        "transformer layer, 128 wide, 4 heads, 64 tokens, batch 16, AdamW", transformer, by_squares,
        lambda lib, p: lib.optim.AdamW(p), jax_transformer, ("AdamW", 0.01), _given((16, 64, 128), (16, 64, 128)),
        1024 * (3 * (128 * 128 + 2 * 128 * 512 + 2 * 64 * 128) + 2 * 128 * 384), _limits((0.6,), 0.9, 0.9),
    ),
    Case(
        "LSTM of 64, 50 steps, batch 32, Adam", lstm, by_squares, lambda lib, p: lib.optim.Adam(p),
        jax_lstm, ("Adam", 0.0), _given((50, 32, 16), (50, 32, 1)), 1600 * (2 * 16 * 256 + 3 * 64 * 257),
        _limits((0.3,), 0.8, 0.6),
    ),
]  # fmt: skip
