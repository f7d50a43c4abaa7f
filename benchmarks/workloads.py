"""The workloads: inputs, a formula that all libraries run, and the same value and gradients by hand in NumPy.

A formula gets the library's functions first (`exp`, `tanh`, `relu`, `sum`, `cross_entropy`, `bce_with_logits`), then
the parameters, which it is differentiated by, then the constants. What is by hand is written as one would write it
who knows the derivative: it is the reference for the numbers, and its calls are counted for the floors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Workload:
    """One computation of a value and the gradients by all parameters.

    `cotangent` is what backward starts from where the value is no scalar; `limit` is the promised ratio to torch;
    `small` work is dominated by the cost of calls.
    """

    name: str
    title: str
    formula: Callable[..., Any]
    by_hand: Callable[..., tuple[Any, ...]]
    parameters: tuple[Array, ...]
    constants: tuple[Array, ...] = ()
    cotangent: Array | None = None
    limit: float | None = None
    small: bool = False

    @property
    def dtype(self) -> str:
        """The dtype of the parameters, hence of the value and the gradients."""
        return self.parameters[0].dtype.name


def normal(*shape: int, dtype: str = "float64", scale: float = 1.0, seed: int = 0) -> Array:
    """Give normal random numbers that are the same in every run."""
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * scale, dtype)


def labels(samples: int, classes: int) -> Array:
    """Give random classes that are the same in every run."""
    return np.random.default_rng(1).integers(0, classes, samples)


# ---- multiplications -------------------------------------------------------------------------------------------------


def multiplications(count: int, limit: float) -> Workload:
    """Multiply 10 elements by 10 others `count` times."""

    def formula(_: Any, x: Any, w: Any) -> Any:
        y = x
        for _step in range(count):
            y = y * w
        return y

    def by_hand(x: Array, w: Array) -> tuple[Array, ...]:
        ys = [x]
        for _step in range(count):
            ys.append(ys[-1] * w)
        gy, gw = cotangent, None
        for y in ys[-2::-1]:
            gw = gy * y if gw is None else gw + gy * y
            gy = gy * w
        return ys[-1], gy, gw

    cotangent = np.ones(10)
    x, w = normal(10), 1 + normal(10, scale=0.01, seed=1)
    title = f"{count} multiplications of 10 elements" if count > 1 else "1 multiplication of 10 elements"
    return Workload(f"mul-{count}", title, formula, by_hand, (x, w), cotangent=cotangent, limit=limit, small=True)


# ---- Goldstein-Price -------------------------------------------------------------------------------------------------


def goldstein_price(_: Any, x: Any, y: Any) -> Any:
    return (1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)) * (
        30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    )


def goldstein_price_by_hand(x: Array, y: Array) -> tuple[Array, ...]:
    s, d, xx, xy, yy = x + y + 1, 2 * x - 3 * y, x * x, x * y, y * y
    p = 19 - 14 * x + 3 * xx - 14 * y + 6 * xy + 3 * yy
    q = 18 - 32 * x + 12 * xx + 48 * y - 36 * xy + 27 * yy
    ss, dd = s * s, d * d
    a, b = 1 + ss * p, 30 + dd * q
    sum_part = 2 * s * p + ss * (6 * (x + y) - 14)  # the partials of a by x and by y are the same
    ax_b = sum_part * b
    bx = 4 * d * q + dd * (24 * x - 36 * y - 32)
    by = dd * (54 * y - 36 * x + 48) - 6 * d * q
    return a * b, ax_b + a * bx, ax_b + a * by


# ---- matrices --------------------------------------------------------------------------------------------------------


def tanh_matmul(m: Any, x: Any, w: Any) -> Any:
    return m.sum(m.tanh(x @ w))


def tanh_matmul_by_hand(x: Array, w: Array) -> tuple[Array, ...]:
    y = np.tanh(x @ w)
    gu = 1 - y * y
    return np.sum(y), gu @ w.T, x.T @ gu


def square_matrices(size: int) -> tuple[Array, ...]:
    """Give two matrices whose product has elements of size 1."""
    return normal(size, size), normal(size, size, scale=size**-0.5, seed=1)


# ---- elementwise -----------------------------------------------------------------------------------------------------


def elementwise_chain(m: Any, x: Any, w: Any, b: Any) -> Any:
    return m.sum(m.tanh(x * w + b) ** 2 * m.exp(-(x**2)))


def elementwise_chain_by_hand(x: Array, w: Array, b: Array) -> tuple[Array, ...]:
    t, e = np.tanh(x * w + b), np.exp(-(x * x))
    tt = t * t
    y = tt * e
    gb = 2 * t * e * (1 - tt)
    return np.sum(y), gb * w - 2 * x * y, gb * x, gb


def elementwise_arrays(size: int) -> tuple[Array, ...]:
    """Give three arrays of float32."""
    return normal(size, dtype="float32"), normal(size, dtype="float32", seed=1), normal(size, dtype="float32", seed=2)


# ---- losses ----------------------------------------------------------------------------------------------------------


def cross_entropy(m: Any, logits: Any, targets: Any) -> Any:
    return m.cross_entropy(logits, targets)


def cross_entropy_by_hand(logits: Array, targets: Array) -> tuple[Array, ...]:
    rows = np.arange(len(targets))
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    powers = np.exp(shifted)
    totals = np.sum(powers, axis=1, keepdims=True)
    value = np.mean(np.log(totals[:, 0]) - shifted[rows, targets])
    gx = powers / totals
    gx[rows, targets] -= 1
    gx *= 1 / len(targets)
    return value, gx


def logistic_regression(m: Any, w: Any, b: Any, x: Any, targets: Any) -> Any:
    return m.bce_with_logits(x @ w + b, targets)


def logistic_regression_by_hand(w: Array, b: Array, x: Array, targets: Array) -> tuple[Array, ...]:
    z = x @ w + b
    powers = np.exp(-np.abs(z))
    value = np.mean(np.maximum(z, 0) - z * targets + np.log1p(powers))
    sigmoid = np.exp(np.minimum(z, 0)) / (1 + powers)
    gz = (sigmoid - targets) * (1 / len(z))
    return value, gz @ x, np.sum(gz, keepdims=True)


# ---- a network -------------------------------------------------------------------------------------------------------


def mlp(m: Any, w1: Any, b1: Any, w2: Any, b2: Any, x: Any, targets: Any) -> Any:
    return m.cross_entropy(m.relu(x @ w1 + b1) @ w2 + b2, targets)


def mlp_by_hand(w1: Array, b1: Array, w2: Array, b2: Array, x: Array, targets: Array) -> tuple[Array, ...]:
    h = np.maximum(x @ w1 + b1, 0)
    value, gz = cross_entropy_by_hand(h @ w2 + b2, targets)
    gh = (gz @ w2.T) * (h > 0)
    return value, x.T @ gh, np.sum(gh, axis=0), h.T @ gz, np.sum(gz, axis=0)


def mlp_parameters(inputs: int, hidden: int, outputs: int) -> tuple[Array, ...]:
    """Give weights and biases of float32, the weights scaled by the size of their input."""
    return (
        normal(inputs, hidden, dtype="float32", scale=inputs**-0.5, seed=2),
        normal(hidden, dtype="float32", scale=0.1, seed=3),
        normal(hidden, outputs, dtype="float32", scale=hidden**-0.5, seed=4),
        normal(outputs, dtype="float32", scale=0.1, seed=5),
    )


def workloads() -> list[Workload]:
    """Give all workloads, the promised ones first."""
    images = normal(128, 784, dtype="float32")
    samples, classes = normal(1000, 100), labels(1000, 2).astype("float64")
    return [
        multiplications(100, limit=0.40),
        Workload(
            "goldstein-price",
            "Goldstein-Price of 2 scalars",
            goldstein_price,
            goldstein_price_by_hand,
            (np.array(0.7), np.array(-0.4)),
            limit=0.35,
            small=True,
        ),
        multiplications(1, limit=0.15),
        Workload(
            "mlp",
            "MLP 784-256-10, batch 128, cross-entropy",
            mlp,
            mlp_by_hand,
            mlp_parameters(784, 256, 10),
            (images, labels(128, 10)),
            limit=0.8,
        ),
        Workload(
            "tanh-matmul-10",
            "sum(tanh(x @ w)), 10 x 10",
            tanh_matmul,
            tanh_matmul_by_hand,
            square_matrices(10),
            small=True,
        ),
        Workload(
            "tanh-matmul-256",
            "sum(tanh(x @ w)), 256 x 256",
            tanh_matmul,
            tanh_matmul_by_hand,
            square_matrices(256),
        ),
        *(
            Workload(
                f"elementwise-{size}",
                f"sum(tanh(x*w + b)**2 * exp(-x**2)), {size:,}",
                elementwise_chain,
                elementwise_chain_by_hand,
                elementwise_arrays(size),
                small=size <= 1000,
            )
            for size in (1_000, 100_000, 1_000_000)
        ),
        *(
            Workload(
                f"cross-entropy-{rows}x{columns}",
                f"softmax cross-entropy, {rows} x {columns}",
                cross_entropy,
                cross_entropy_by_hand,
                (normal(rows, columns, dtype="float32"),),
                (labels(rows, columns),),
                small=columns <= 10,
            )
            for rows, columns in ((128, 10), (256, 1000))
        ),
        Workload(
            "logistic-regression",
            "logistic regression, 1000 x 100",
            logistic_regression,
            logistic_regression_by_hand,
            (normal(100, scale=0.1, seed=3), normal(1, seed=4)),
            (samples, classes),
        ),
    ]
