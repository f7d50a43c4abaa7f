"""How parameters begin: PyTorch's functions, which fill a Variable and give it back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..generator import Generator, default_generator
from ..kernels import dispatch, placement
from ..variable import Variable


def _drawn(tensor: Variable, kind: str, generator: Generator | None) -> Any:
    """Draw numbers for a Variable's elements, where it is."""
    target = placement.named(tensor.device)
    dtype = tensor.dtype if tensor.dtype.char in "fd" else np.dtype(np.float32)
    return (generator or default_generator).draw(kind, tensor.shape, dtype, target)


def _filled(tensor: Variable, values: Any) -> Variable:
    """Write values into a Variable's array, unseen by graphs."""
    tensor.data[...] = values
    return tensor


def uniform_(tensor: Variable, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Variable:
    """Fill with numbers uniform from a to b."""
    return _filled(tensor, _drawn(tensor, "uniform", generator) * (b - a) + a)


def normal_(tensor: Variable, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Variable:
    """Fill with normal numbers of a mean and a standard deviation."""
    return _filled(tensor, _drawn(tensor, "normal", generator) * std + mean)


def trunc_normal_(
    tensor: Variable,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Variable:
    """Fill with normal numbers of those that are from a to b: the inverse distribution of uniform ones."""
    from ..ops.elementwise import erfinv

    low, high = [math.erf((limit - mean) / std / math.sqrt(2)) for limit in (a, b)]
    share = Variable(_drawn(tensor, "uniform", generator) * (high - low) + low, requires_grad=False)
    values = (erfinv(share) * (std * math.sqrt(2)) + mean).clip(a, b)
    return _filled(tensor, values.data)


def constant_(tensor: Variable, val: float) -> Variable:
    """Fill with a number."""
    return _filled(tensor, val)


def ones_(tensor: Variable) -> Variable:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Variable) -> Variable:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def _numpys(tensor: Variable, values: Any) -> Variable:
    """Write NumPy's values into a Variable's array, wherever it is."""
    return _filled(tensor, placement.named(tensor.device).bring(np.asarray(values, tensor.dtype)))


def eye_(tensor: Variable) -> Variable:
    """Make a matrix the identity; raises ValueError for anything else."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: needs a matrix, got shape {tensor.shape}")
    return _numpys(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Variable, groups: int = 1) -> Variable:
    """Make a convolution's weight one that gives its input."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_: needs a convolution's weight, got shape {tensor.shape}")
    outputs, inputs, *sizes = tensor.shape
    if outputs % groups:
        raise ValueError(f"dirac_: {outputs} channels are no multiple of {groups} groups")
    values, each = np.zeros(tensor.shape), outputs // groups
    for group in range(groups):
        for channel in range(min(each, inputs)):
            values[(group * each + channel, channel, *[size // 2 for size in sizes])] = 1
    return _numpys(tensor, values)


def _fans(tensor: Variable) -> tuple[int, int]:
    """Give how many inputs an output has, and how many outputs an input."""
    if tensor.ndim < 2:
        raise ValueError(
            f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions: {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


_GAINS = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
_PLAIN = ("linear", "sigmoid", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)))


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """Give the factor that keeps the size of numbers through a nonlinearity, as PyTorch has it."""
    if nonlinearity in _PLAIN:
        return 1.0
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not (param is None or isinstance(param, int | float)):
            raise ValueError(f"calculate_gain: a negative slope is a number, got {param!r}")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}")
    return _GAINS[nonlinearity]


def xavier_uniform_(tensor: Variable, gain: float = 1.0, generator: Generator | None = None) -> Variable:
    """Fill with uniform numbers of variance ``2 * gain**2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Variable, gain: float = 1.0, generator: Generator | None = None) -> Variable:
    """Fill with normal numbers of variance ``2 * gain**2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _deviation(tensor: Variable, a: float, mode: str, nonlinearity: str) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode is 'fan_in' or 'fan_out', not {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(_fans(tensor)[mode == "fan_out"])


def kaiming_uniform_(
    tensor: Variable,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Variable:
    """Fill with uniform numbers of variance ``gain**2 / fan`` (He et al., 2015)."""
    if 0 in tensor.shape:
        return tensor
    bound = math.sqrt(3.0) * _deviation(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Variable,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Variable:
    """Fill with normal numbers of variance ``gain**2 / fan`` (He et al., 2015)."""
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _deviation(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Variable, gain: float = 1.0, generator: Generator | None = None) -> Variable:
    """Fill with a matrix whose rows, or columns, are orthogonal; further dimensions count as columns."""
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: needs at least 2 dimensions, got shape {tensor.shape}")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    drawn = dispatch.in_numpy(_drawn(tensor, "normal", generator)).reshape(rows, columns)
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q = q * np.sign(np.diag(r))
    return _numpys(tensor, (q.T if rows < columns else q).reshape(tensor.shape) * gain)


def sparse_(tensor: Variable, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Variable:
    """Fill a matrix with normal numbers, of which a share of each column is zero."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: needs a matrix, got shape {tensor.shape}")
    rows, columns = tensor.shape
    values = dispatch.in_numpy(_drawn(tensor, "normal", generator)) * std
    order = np.argsort((generator or default_generator).draw("uniform", (rows, columns), np.float64), 0)
    zeros = order[: math.ceil(sparsity * rows)]
    values[zeros, np.arange(columns)] = 0
    return _numpys(tensor, values)
