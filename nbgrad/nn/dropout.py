"""Dropout: elements that are left out at random while a network is trained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import scalars
from ..ops.creation import uniform_like
from ..ops.elementwise import add, elementwise, ge, mul
from ..ops.rewriting import in_place
from ..variable import Variable, data_of
from .activations import selu
from .windows import operand

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]


def _probability(what: str, p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"{what}: p is {p}: a probability is from 0 to 1")
    return float(p)


def _kept(x: Any, p: float, features: bool) -> Any:
    """Draw 1 for what is kept and 0 for the rest: for each element, or for each of (samples, channels)."""
    shape = (*x.shape[:2], *(1,) * (x.ndim - 2)) if features else tuple(x.shape)
    drawn = uniform_like(x, shape=shape)
    kept = ge(data_of(drawn), p).astype(x.dtype)
    return Variable(kept, requires_grad=False) if isinstance(x, Variable) else kept


_kept_times = elementwise(lambda drawn, p, scale: scalars.where(drawn < p, 0, scale), name="kept_times")


def _dropped(what: str, input: Any, p: float, training: bool, inplace: bool, features: bool = False) -> Any:
    x = operand(what, input)
    _probability(what, p)
    if not training or not p:
        return x
    if type(x) is Variable and not features:
        scaled = _kept_times(uniform_like(x), float(p), 1 / (1 - p) if p < 1 else 0.0)
    else:
        scaled = mul(_kept(x, p, features), 1 / (1 - p) if p < 1 else 0.0)
    return in_place(what, mul)(x, scaled) if inplace else mul(x, scaled)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Set elements to 0 with a probability of p, and divide the others by 1 - p; nothing unless training.

    Raises ValueError for what is no probability.
    """
    return _dropped("dropout", input, p, training, inplace)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Do as `dropout`, for whole channels of ((samples,) channels, length)."""
    return _of_features("dropout1d", input, p, training, inplace, (2, 3))


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Do as `dropout`, for whole channels of (samples, channels, height, width)."""
    return _of_features("dropout2d", input, p, training, inplace, None)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Do as `dropout`, for whole channels of ((samples,) channels, depth, height, width)."""
    return _of_features("dropout3d", input, p, training, inplace, (4, 5))


def _of_features(what: str, input: Any, p: float, training: bool, inplace: bool, ndims: Any) -> Any:
    x = operand(what, input)
    if (ndims is not None and x.ndim not in ndims) or x.ndim < 2:
        raise ValueError(f"{what}: input has shape {x.shape}: it needs samples and channels")
    if ndims is not None and x.ndim == ndims[0]:
        if inplace:
            return _dropped_channels_in_place(what, x, p, training)
        return _dropped(what, x[None], p, training, False, True)[0]
    return _dropped(what, x, p, training, inplace, True)


def _dropped_channels_in_place(what: str, x: Any, p: float, training: bool) -> Any:
    _probability(what, p)
    if not training or not p:
        return x
    mask = _kept(x[None], p, True)[0]
    return in_place(what, mul)(x, mul(mask, 1 / (1 - p) if p < 1 else 0.0))


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Set elements to what `selu` has for minus infinity, and scale all so that mean and variance stay 0 and 1.

    See https://arxiv.org/abs/1706.02515. Raises ValueError for what is no probability.
    """
    return _alpha("alpha_dropout", input, p, training, inplace, False)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Do as `alpha_dropout`, for whole channels of (samples, channels, ...)."""
    return _alpha("feature_alpha_dropout", input, p, training, inplace, True)


def _alpha(what: str, input: Any, p: float, training: bool, inplace: bool, features: bool) -> Any:
    x = operand(what, input)
    _probability(what, p)
    if not training or not p:
        return x
    if features and x.ndim < 2:
        raise ValueError(f"{what}: input has shape {x.shape}: it needs samples and channels")
    if p == 1:
        return in_place(what, mul)(x, 0.0) if inplace else mul(x, 0.0)
    lowest = float(selu(np.array(-np.inf)))
    scale = 1 / math.sqrt((1 - p) * (1 + p * lowest**2))
    mask = _kept(x, p, features)
    # scale * (x * mask + lowest * (1 - mask) - lowest * p), the mean of which is 0
    shift = add(mul(mask, -lowest * scale), (1 - p) * lowest * scale)

    def changed(x: Any, factor: Any, shift: Any) -> Any:
        return add(mul(x, factor), shift)

    factor = mul(mask, scale)
    return in_place(what, changed)(x, factor, shift) if inplace else changed(x, factor, shift)
