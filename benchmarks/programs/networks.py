"""Layers of networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from .declaration import program


def _normal(random: Any, *shape: int) -> Any:
    """Give weights that keep the scale of what goes through them."""
    return random.standard_normal(shape) * shape[0] ** -0.5


def _sentences(random: Any, batch: int, words: int, table: int, width: int) -> Any:
    tokens, labels = random.integers(0, table, (batch, words)), random.integers(0, 10, batch)
    return random.standard_normal((table, width)), _normal(random, width, 10), np.zeros(10), tokens, labels


@program(
    "embedding of {0} x {1} ids in a {2} x {3} table",
    _sentences,
    3,
    small=(64, 12, 1000, 32),
    large=(512, 50, 20_000, 64),
    dtype="float32",
    limit=0.5,
)
def embedding(m: Any, table: Any, w: Any, b: Any, tokens: Any, labels: Any) -> Any:
    score = m.mean(table[tokens], 1) @ w + b
    return m.cross_entropy(score, labels)


def _heads(random: Any, batch: int, length: int, width: int) -> Any:
    weights = [_normal(random, width, width) for _ in range(4)]
    mask = np.triu(np.full((length, length), -1e9), 1)
    return *weights, np.ones(width), np.zeros(width), random.standard_normal((batch, length, width)), mask


def _layer_norm(m: Any, x: Any, scale: Any, shift: Any) -> Any:
    centred = x - m.mean(x, -1, keepdims=True)
    return centred / m.sqrt(m.mean(centred**2, -1, keepdims=True) + 1e-5) * scale + shift


@program(
    "causal attention of 4 heads and layer norm, {0} x {1} x {2}",
    _heads,
    6,
    small=(8, 64, 64),
    large=(16, 256, 128),
    dtype="float32",
    limit=0.5,
)
def attention(m: Any, q: Any, k: Any, v: Any, o: Any, scale: Any, shift: Any, x: Any, mask: Any) -> Any:
    batch, length, width = x.shape
    depth = width // 4
    queries, keys, values = (m.swapaxes((x @ w).reshape(batch, length, 4, depth), 1, 2) for w in (q, k, v))
    weights = m.softmax(queries @ m.swapaxes(keys, 2, 3) * depth**-0.5 + mask, -1)
    mixed = m.swapaxes(weights @ values, 1, 2).reshape(batch, length, width) @ o
    return m.mean(_layer_norm(m, x + mixed, scale, shift) ** 2 * x)


def _one_head(random: Any, length: int, width: int) -> Any:
    return tuple(random.standard_normal((length, width)) for _ in range(3))


@program("attention over {0} rows of {1}", _one_head, 3, small=(512, 16), large=(2048, 64), dtype="float32")
def long_attention(m: Any, queries: Any, keys: Any, values: Any) -> Any:
    return m.mean((m.softmax(queries @ keys.T * keys.shape[1] ** -0.5, -1) @ values) ** 2)


def _digits(random: Any, batch: int, pixels: int, hidden: int, latent: int) -> Any:
    sizes = (pixels, hidden), (hidden, 2 * latent), (latent, hidden), (hidden, pixels)
    weights = [_normal(random, *size) for size in sizes]
    biases = [np.zeros(size[1]) for size in sizes]
    images = (random.uniform(size=(batch, pixels)) < 0.3).astype("float64")
    return *weights, *biases, images, random.standard_normal((batch, latent))


@program(
    "variational autoencoder {1}-{2}-{3}, batch {0}",
    _digits,
    8,
    small=(16, 64, 32, 4),
    large=(128, 784, 256, 16),
    dtype="float32",
)
def autoencoder(
    m: Any, w1: Any, w2: Any, w3: Any, w4: Any, b1: Any, b2: Any, b3: Any, b4: Any, x: Any, noise: Any
) -> Any:
    code = m.tanh(x @ w1 + b1) @ w2 + b2
    latent = noise.shape[1]
    mean, spread = code[:, :latent], code[:, latent:]
    score = m.tanh((mean + m.exp(0.5 * spread) * noise) @ w3 + b3) @ w4 + b4
    seen = m.sum(m.softplus(score) - x * score, -1)
    return m.mean(seen + 0.5 * m.sum(mean**2 + m.exp(spread) - spread - 1, -1))


def _images(random: Any, batch: int, side: int, channels: int) -> Any:
    kernels = [random.standard_normal((9 * channels, channels)) / (9 * channels) ** 0.5 for _ in range(2)]
    return *kernels, np.ones(channels), np.zeros(channels), random.standard_normal((batch, side, side, channels))


def _convolved(m: Any, x: Any, kernel: Any) -> Any:
    """Convolve with zeros around, the channels last: nine shifted images, and one product."""
    side = x.shape[1]
    row = x[:, :1] * 0
    x = m.concatenate([row, x, row], 1)
    column = x[:, :, :1] * 0
    x = m.concatenate([column, x, column], 2)
    shifted = [x[:, i : i + side, j : j + side] for i in range(3) for j in range(3)]
    return m.concatenate(shifted, 3) @ kernel


@program(
    "residual block of two 3 x 3 convolutions, {0} x {1} x {1} x {2}",
    _images,
    4,
    small=(2, 8, 8),
    large=(16, 32, 32),
    dtype="float32",
)
def residual_block(m: Any, first: Any, second: Any, scale: Any, shift: Any, x: Any) -> Any:
    inner = m.relu(_layer_norm(m, _convolved(m, x, first), scale, shift))
    return m.mean(m.relu(x + _convolved(m, inner, second)) ** 2)


def _graph(random: Any, nodes: int, edges: int, width: int) -> Any:
    sources, targets = random.integers(0, nodes, (2, edges))
    degree = 1 + np.bincount(targets, minlength=nodes)
    labels = random.integers(0, 7, nodes)
    weights = _normal(random, width, 16), _normal(random, 16, 7)
    return *weights, random.standard_normal((nodes, width)), sources, targets, 1 / degree[:, None], labels


@program(
    "graph convolutions, {0} nodes, {1} edges, {2}-16-7",
    _graph,
    2,
    small=(300, 1000, 16),
    large=(10_000, 100_000, 64),
    dtype="float32",
)
def graph_network(m: Any, w1: Any, w2: Any, x: Any, sources: Any, targets: Any, share: Any, labels: Any) -> Any:
    def spread(h: Any) -> Any:
        return (m.segment_sum(h[sources], targets, len(h)) + h) * share

    return m.cross_entropy(spread(m.relu(spread(x @ w1)) @ w2), labels)


def _experts(random: Any, batch: int, width: int, hidden: int, experts: int) -> Any:
    return (
        _normal(random, width, experts),
        random.standard_normal((experts, width, hidden)) / width**0.5,
        random.standard_normal((experts, hidden, width)) / hidden**0.5,
        random.standard_normal((batch, width)),
    )


@program(
    "mixture of {3} experts {1}-{2}-{1}, batch {0}",
    _experts,
    3,
    small=(32, 16, 32, 4),
    large=(256, 128, 256, 8),
    dtype="float32",
)
def experts(m: Any, gate: Any, w1: Any, w2: Any, x: Any) -> Any:
    shares = m.softmax(x @ gate, -1)
    answers = m.relu(x @ w1) @ w2  # experts, batch, width
    return m.mean((m.sum(m.swapaxes(shares, 0, 1)[:, :, None] * answers, 0) - x) ** 2)


def _couplings(random: Any, batch: int, width: int, hidden: int) -> Any:
    half = width // 2
    return (
        random.standard_normal((4, half, hidden)) / half**0.5,
        random.standard_normal((4, hidden, width)) / hidden**0.5,
        random.standard_normal((batch, width)),
    )


@program(
    "normalising flow of 4 couplings, {0} x {1}",
    _couplings,
    2,
    small=(64, 4, 16),
    large=(2000, 32, 128),
    dtype="float32",
)
def flow(m: Any, w1: Any, w2: Any, x: Any) -> Any:
    half = x.shape[1] // 2
    volume = 0.0
    for layer in range(4):
        kept, changed = x[:, :half], x[:, half:]
        answer = m.tanh(kept @ w1[layer]) @ w2[layer]
        scale = m.tanh(answer[:, :half])
        x = m.concatenate([changed * m.exp(scale) + answer[:, half:], kept], 1)
        volume = volume + m.sum(scale, -1)
    return m.mean(0.5 * m.sum(x**2, -1) - volume)
