"""The activation functions of neural networks, as formulas; of PyTorch's values and slopes at their kinks."""

from __future__ import annotations

import math
from typing import Any

from . import scalars as s
from .formula import ScalarFunction
from .scalars import where

_LAMBDA, _ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # of Klambauer et al. (2017)


def _gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + s.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _elu(x: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    return where(x > 0, scale * x, scale * alpha * s.expm1(input_scale * x))


def _between(x: Any, low: Any, high: Any) -> Any:
    return where((x <= low) | (x >= high), 0, 1)


celu = ScalarFunction(
    "celu", lambda x, a: where(x > 0, x, a * s.expm1(x / a)), lambda y, x, a: where(x > 0, 1, s.exp(x / a)), None
)
elu = ScalarFunction("elu", _elu, lambda y, x, a, b, c: where(x > 0, b, b * a * c * s.exp(c * x)), None, None, None)
gelu = ScalarFunction(
    "gelu",
    lambda x: x * s._normal_share(x),
    lambda y, x: s._normal_share(x) + x * (1 / math.sqrt(2 * math.pi) * s._bell(x)),
)
gelu_tanh = ScalarFunction("gelu_tanh", _gelu_tanh)
hardshrink = ScalarFunction(
    "hardshrink",
    lambda x, limit: where((x >= -limit) & (x <= limit), 0, x),
    lambda y, x, limit: where((x >= -limit) & (x <= limit), 0, 1),
    None,
)
hardsigmoid = ScalarFunction(
    "hardsigmoid",
    lambda x: s.clamp(x / 6 + 0.5, 0, 1),
    lambda y, x: where((x > -3) & (x < 3), 1 / 6, 0),
)
hardswish = ScalarFunction(
    "hardswish",
    lambda x: x * s.clamp(x + 3, 0, 6) / 6,
    lambda y, x: where(x <= -3, 0, where(x < 3, x / 3 + 0.5, 1)),
)
hardtanh = ScalarFunction(
    "hardtanh", lambda x, a, b: s.clamp(x, a, b), lambda y, x, a, b: _between(x, a, b), None, None
)
leaky_relu = ScalarFunction(
    "leaky_relu",
    lambda x, w: where(x > 0, x, w * x),
    lambda y, x, w: where(x > 0, 1, w),
    lambda y, x, w: where(x > 0, 0, x),
)
mish = ScalarFunction("mish", lambda x: x * s.tanh(s.softplus(x)))
selu = ScalarFunction(
    "selu",
    lambda x: where(x > 0, _LAMBDA * x, _LAMBDA * _ALPHA * s.expm1(x)),
    lambda y, x: where(x > 0, _LAMBDA, _LAMBDA * _ALPHA * s.exp(x)),
)
silu = ScalarFunction("silu", lambda x: x * s.sigmoid(x), lambda y, x: s.sigmoid(x) * (1 + x * s.sigmoid(-x)))
softshrink = ScalarFunction(
    "softshrink",
    lambda x, limit: where(x > limit, x - limit, where(x < -limit, x + limit, x * 0)),
    lambda y, x, limit: where((x >= -limit) & (x <= limit), 0, 1),
    None,
)
softsign = ScalarFunction("softsign", lambda x: x / (1 + s.abs(x)), lambda y, x: 1 / ((1 + s.abs(x)) * (1 + s.abs(x))))
tanhshrink = ScalarFunction("tanhshrink", lambda x: x - s.tanh(x), lambda y, x: s.tanh(x) * s.tanh(x))
threshold = ScalarFunction(
    "threshold", lambda x, t, v: where(x <= t, v, x), lambda y, x, t, v: where(x <= t, 0, 1), None, None
)
