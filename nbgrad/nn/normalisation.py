"""Normalisation: numbers brought to mean 0 and variance 1, or to length 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..grad_mode import no_grad
from ..kernels.cpu import channels, norms
from ..ops.elementwise import add, clamp, div, elementwise, mul, pow, rsqrt, sub
from ..ops.indexing import getitem
from ..ops.norms import vector_norm
from ..ops.reduction import mean
from ..ops.shape import SumTo, reshape
from ..variable import Given, Variable, data_of
from .padding import pad
from .reduced import number_of
from .windows import operand

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


class LayerNorm(Operation):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last dimensions, which weight and bias have."""

    __slots__ = ("eps", "shape", "state")

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.shape = x.shape
        eps = number_of(self.eps, x.dtype.char)
        if x.ndim == 2 and weight.ndim == 1:
            y, self.state = norms.layer_norm(x, weight, bias, eps)
            return y
        y, self.state = norms.layer_norm(x.reshape(-1, weight.size), weight.reshape(-1), bias.reshape(-1), eps)
        return y.reshape(x.shape)

    def vjp(self, gy: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
        if not isinstance(x, np.ndarray) or not isinstance(gy, np.ndarray):
            return self._recorded(gy, x, weight, bias)
        if x.shape != self.shape:
            raise ValueError(
                f"layer_norm: input had shape {self.shape} when it was normalised, and has {x.shape} now: put new data "
                "of another shape into a new Variable"
            )
        size, scale = weight.size, weight.reshape(-1)
        rows, cotangents = x.reshape(-1, size), np.ascontiguousarray(gy).reshape(-1, size)
        gx: Any = None
        gw: Any = None
        gb: Any = None
        if not self.needs(0):
            gw, gb = norms.layer_norm_columns(cotangents, rows, self.state)
        elif self.needs(1) or self.needs(2):
            gx, gw, gb = norms.layer_norm_slopes(cotangents, rows, scale, self.state)
        else:
            gx = norms.layer_norm_slope(cotangents, rows, scale, self.state)
        shapes = x.shape, weight.shape, bias.shape
        pairs = enumerate(zip((gx, gw, gb), shapes, strict=True))
        return tuple([g.reshape(shape) if g is not None and self.needs(i) else None for i, (g, shape) in pairs])

    def _recorded(self, gy: Any, x: Any, weight: Any, bias: Any) -> Any:
        axes = tuple(range(x.ndim - weight.ndim, x.ndim))
        normal, factor, _ = normalised(x, axes, self.eps)
        g = mul(gy, weight)
        along = mul(normal, mean(mul(g, normal), axes, True))
        gx = mul(factor, sub(sub(g, mean(g, axes, True)), along)) if self.needs(0) else None
        gw = SumTo(weight.shape)(mul(gy, normal)) if self.needs(1) else None
        return gx, gw, SumTo(bias.shape)(gy) if self.needs(2) else None


def normalised(x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """Give x with mean 0 and variance 1 over some axes, one over the root of its own variance, and its own mean."""
    middle = mean(x, axes, True)
    difference = sub(x, middle)
    factor = rsqrt(add(mean(mul(difference, difference), axes, True), eps))
    return mul(difference, factor), factor, middle


@lru_cache(64)
def _filled(shape: tuple[int, ...], char: str, value: float) -> Array:
    array = np.full(shape, value, char)
    array.flags.writeable = False
    return array


@lru_cache(64)
def _constant(shape: tuple[int, ...], char: str, value: float) -> Variable:
    return Variable(_filled(shape, char, value), requires_grad=False)


def as_one_node(x: Any, shape: tuple[int, ...], weight: Any, bias: Any, eps: float) -> Any:
    """Give the norm over the last dimensions, of a shape, as one node; None where it takes other ways."""
    array = x._array if isinstance(x, Variable) else x
    if type(array) is not np.ndarray or array.dtype.char not in "fd" or not array.size:
        return None
    operands = [x]
    for parameter, value in ((weight, 1.0), (bias, 0.0)):
        if parameter is None:
            parameter = (_constant if array is not x else _filled)(shape, array.dtype.char, value)
        given = parameter._array if isinstance(parameter, Variable) else parameter
        if type(given) is not np.ndarray or given.dtype != array.dtype:
            return None
        operands.append(parameter)
    return LayerNorm(eps)(*operands)


def layer_norm(
    input: Given, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Given:
    """Bring input to mean 0 and variance 1 over its last dimensions, then multiply by weight and add bias.

    That is ``(x - mean) / sqrt(variance + eps) * weight + bias``; weight and bias have the shape of these dimensions,
    and either may be left out. Raises ValueError for other shapes.

    >>> import nbgrad
    >>> nbgrad.nn.functional.layer_norm(nbgrad.tensor([[1.0, 3.0]]), 2, eps=0.0)
    Variable([[-1.,  1.]])
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if weight is None and bias is None and type(input) is Variable:  # nothing to look at but the shape
        array = input._array
        char, ends = array.dtype.char, array.shape[-len(shape) :] == shape
        if type(array) is np.ndarray and array.size and char in "fd" and ends:
            return LayerNorm(eps)(input, _constant(shape, char, 1.0), _constant(shape, char, 0.0))
    if not shape or input.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: input of shape {input.shape} does not end in the shape {shape} to normalise")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.shape != shape:
            raise ValueError(f"layer_norm: {name} has shape {value.shape}: it must be {shape}")
    found = as_one_node(input, shape, weight, bias, eps)
    if found is not None:
        return found
    y: Any = normalised(input, tuple(range(input.ndim - len(shape), input.ndim)), eps)[0]
    y = y if weight is None else mul(y, weight)
    return y if bias is None else add(y, bias)


class ChannelNorm(Operation):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over samples and places of (samples, channels, ...).

    `state` has the channels' means, and one over the roots of their variances.
    """

    __slots__ = ("eps", "shape", "state")

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        self.shape, eps = x.shape, np.array(self.eps, x.dtype)
        if _has_columns(x):
            y, self.state = channels.column_norm(x.reshape(x.shape[:2]), weight, bias, eps)
            return y.reshape(x.shape)
        y, self.state = channels.channel_norm(_by_channel(x), weight, bias, eps)
        return self._as_it_was(y)

    def _as_it_was(self, y: Array) -> Array:
        samples, count, *size = self.shape
        return y.reshape(count, samples, *size).swapaxes(0, 1)

    def vjp(self, gy: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
        if not isinstance(x, np.ndarray) or not isinstance(gy, np.ndarray):
            return self._recorded(gy, x, weight, bias)
        if x.shape != self.shape:
            raise ValueError(
                f"batch_norm: input had shape {self.shape} when it was normalised, and has {x.shape} now: put new data "
                "of another shape into a new Variable"
            )
        if _has_columns(x):
            matrix = x.shape[:2]
            gx, sums = channels.column_norm_slope(gy.reshape(matrix), x.reshape(matrix), weight, self.state)
            gx = gx.reshape(x.shape)
        else:
            gx, sums = channels.channel_norm_slope(_by_channel(gy), _by_channel(x), weight, self.state)
            gx = self._as_it_was(gx)
        by_weight, by_bias = sums.astype(x.dtype).T
        return gx, by_weight if self.needs(1) else None, by_bias if self.needs(2) else None

    def _recorded(self, gy: Any, x: Any, weight: Any, bias: Any) -> Any:
        axes = (0, *range(2, x.ndim))
        wide = (1, weight.size, *(1,) * (x.ndim - 2))
        normal, factor, _ = normalised(x, axes, self.eps)
        g = mul(gy, reshape(weight, wide))
        along = mul(normal, mean(mul(g, normal), axes, True))
        gx = mul(factor, sub(sub(g, mean(g, axes, True)), along)) if self.needs(0) else None
        gw = reshape(SumTo(wide)(mul(gy, normal)), weight.shape) if self.needs(1) else None
        return gx, gw, reshape(SumTo(wide)(gy), bias.shape) if self.needs(2) else None


def _has_columns(x: Array) -> bool:
    """Tell whether channels are columns of a matrix, and not the rows of one."""
    return math.prod(x.shape[2:]) == 1 and x.strides[0] >= x.strides[1]


def _by_channel(x: Array) -> Array:
    """Give (samples, channels, ...) as (channels, runs, elements of a run), without a copy if that can be."""
    swapped = x.swapaxes(0, 1)
    count, samples = swapped.shape[:2]
    places = math.prod(x.shape[2:])
    return swapped.reshape(count, 1, samples) if places == 1 else swapped.reshape(count, samples, places)


def _channels_as_one_node(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Give the norm over samples and places, and its state, as one node; None where it takes other ways."""
    array = x._array if isinstance(x, Variable) else x
    if type(array) is not np.ndarray or not array.size:
        return None
    operands = [x]
    for parameter, value in ((weight, 1.0), (bias, 0.0)):
        if parameter is None:
            parameter = _filled(array.shape[1:2], array.dtype.char, value)
        given = parameter._array if isinstance(parameter, Variable) else parameter
        if type(given) is not np.ndarray or given.dtype != array.dtype:
            return None
        operands.append(parameter)
    node = ChannelNorm(eps)
    return node(*operands), node.state


def _of_channels(what: str, name: str, value: Any, channels: int) -> None:
    if value is not None and value.shape != (channels,):
        raise ValueError(f"{what}: {name} has shape {value.shape}: it must be ({channels},), one for each channel")


_scaled = elementwise(lambda x, factor, shift: x * factor + shift, name="scaled")


def _affine(x: Any, weight: Any, bias: Any) -> Any:
    """Multiply (samples, channels, ...) by a weight for each channel and add a bias, where there are any."""
    ends = (1,) * (x.ndim - 2)
    if weight is not None and bias is not None:
        return _scaled(x, reshape(weight, -1, *ends), reshape(bias, -1, *ends))
    x = x if weight is None else mul(x, reshape(weight, -1, *ends))
    return x if bias is None else add(x, reshape(bias, -1, *ends))


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Bring each channel of (samples, channels, ...) to mean 0 and variance 1, then multiply by weight and add bias.

    In training mean and variance are the input's, and running ones, if given, move towards them by `momentum`, in place
    (the variance's by the one that divides by one less). Otherwise the running ones count. All have the shape
    (channels,). Raises ValueError for other shapes, and for one value a channel in training.

    >>> import nbgrad
    >>> x = nbgrad.tensor([[1.0], [3.0]])
    >>> nbgrad.nn.functional.batch_norm(x, None, None, training=True, eps=0.0)
    Variable([[-1.],
              [ 1.]])
    """
    x = operand("batch_norm", input)
    if x.shape == (0,):  # no samples of no channels, to PyTorch
        x = reshape(x, (0, 0))
        return reshape(batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps), (0,))
    if x.ndim < 2:
        raise ValueError(f"batch_norm: input has shape {x.shape}: it is (samples, channels, ...)")
    named = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, value in named.items():
        _of_channels("batch_norm", name, value, x.shape[1])
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: give running_mean and running_var, or training=True")
        factor = rsqrt(add(running_var, eps))
        factor = factor if weight is None else mul(factor, weight)
        shift = mul(running_mean, factor)
        shift = mul(shift, -1.0) if bias is None else sub(bias, shift)
        return _affine(x, factor, shift)
    count = math.prod(x.shape) // max(x.shape[1], 1)
    if count == 1:
        raise ValueError(f"batch_norm: input of shape {x.shape} has one value a channel, which has no variance")
    found = _channels_as_one_node(x, weight, bias, eps)
    if found is not None:
        y, state = found
        if running_mean is not None:
            _move(running_mean, state[:, 0].astype(x.dtype), momentum)
        if running_var is not None:
            variances = (state[:, 1] ** -2.0 - eps) * (count / max(count - 1, 1))
            _move(running_var, variances.astype(x.dtype), momentum)
        return y
    y, factor, middle = normalised(x, (0, *range(2, x.ndim)), eps)
    if running_mean is not None:
        _move(running_mean, reshape(middle, x.shape[1]), momentum)
    if running_var is not None:
        variance = sub(div(1.0, mul(factor, factor)), eps)
        _move(running_var, mul(reshape(variance, x.shape[1]), count / max(count - 1, 1)), momentum)
    return _affine(y, weight, bias)


def _move(running: Any, value: Any, momentum: float) -> None:
    """Move a running mean towards a value, in place."""
    value = value.detach() if isinstance(value, Variable) else value
    moved = add(mul(data_of(running), 1 - momentum), mul(data_of(value), momentum))
    if isinstance(running, Variable):
        with no_grad():
            running.copy_(moved)
    else:
        running[...] = moved


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Bring each channel of each sample to mean 0 and variance 1, as `batch_norm` does those of all samples together.

    Running means and variances move towards those of the samples' means, if given. Raises ValueError for shapes that do
    not match, and for one value a channel.
    """
    x = operand("instance_norm", input)
    if x.ndim < 2:
        raise ValueError(f"instance_norm: input has shape {x.shape}: it is (samples, channels, ...)")
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    size = math.prod(x.shape[2:])
    if size == 1:
        raise ValueError(f"instance_norm: input of shape {x.shape} has one value a channel, which has no variance")
    named = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, value in named.items():
        _of_channels("instance_norm", name, value, x.shape[1])
    y, factor, middle = normalised(x, tuple(range(2, x.ndim)), eps)
    if running_mean is not None:
        _move(running_mean, mean(reshape(middle, *x.shape[:2]), 0), momentum)
    if running_var is not None:
        variance = sub(div(1.0, mul(factor, factor)), eps)
        _move(running_var, mul(mean(reshape(variance, *x.shape[:2]), 0), size / max(size - 1, 1)), momentum)
    return _affine(y, weight, bias)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Bring each group of channels of each sample to mean 0 and variance 1, then multiply by weight and add bias.

    Input has the shape (samples, channels, ...), weight and bias (channels,). Raises ValueError for other shapes, and
    where the groups do not divide the channels.
    """
    x = operand("group_norm", input)
    if x.ndim < 2 or not isinstance(num_groups, int) or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"group_norm: input has shape {x.shape}: {num_groups} groups do not divide its channels")
    for name, value in (("weight", weight), ("bias", bias)):
        _of_channels("group_norm", name, value, x.shape[1])
    each = math.prod(x.shape[1:]) // num_groups
    if each * x.shape[0] == 1:
        raise ValueError(f"group_norm: input of shape {x.shape} has one value a group, which has no variance")
    rows = reshape(x, x.shape[0] * num_groups, each)
    y = layer_norm(rows, each, eps=eps) if each else rows
    return _affine(reshape(y, *x.shape), weight, bias)


def rms_norm(input: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """Divide by the root of the mean of squares over the last dimensions, then multiply by a weight of their shape.

    `eps`, the dtype's epsilon unless given, is added to the mean. Raises ValueError for shapes that do not match.
    """
    x = operand("rms_norm", input)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"rms_norm: input of shape {x.shape} does not end in the shape {shape} to normalise")
    if weight is not None and weight.shape != shape:
        raise ValueError(f"rms_norm: weight has shape {weight.shape}: it must be {shape}")
    small = float(np.finfo(x.dtype).eps) if eps is None else eps
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    y = mul(x, rsqrt(add(mean(mul(x, x), axes, True), small)))
    return y if weight is None else mul(y, weight)


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """Divide by ``(k + alpha * mean of squares of neighbouring channels) ** beta``: `size` of them, or zeros.

    Input has the shape (samples, channels, ...). Raises ValueError for fewer than three dimensions.
    """
    x = operand("local_response_norm", input)
    if x.ndim < 3:
        raise ValueError(
            f"local_response_norm: input has shape {x.shape}: it is (samples, channels, ...), of 3 or more"
        )
    if not x.size:
        return x
    channels = x.shape[1]
    ends = (0, 0) * (x.ndim - 2)
    squares = pad(mul(x, x), (*ends, size // 2, (size - 1) // 2))
    total: Any = None
    for start in range(size):
        part = getitem(squares, (slice(None), slice(start, start + channels)))
        total = part if total is None else add(total, part)
    return div(x, pow(add(mul(total, alpha / size), k), beta))


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """Divide by the p-norm along a dimension, or several, or by eps where that is larger.

    Raises IndexError for a dimension that does not exist.
    """
    x = operand("normalize", input)
    if out is not None:
        raise TypeError("normalize: out= is not supported: use the result")
    return div(x, clamp(vector_norm(x, p, dim, True), min=eps))
