"""PyTorch's other names for what is here, and its small questions about tensors, looked up when first asked for.

>>> import nbgrad
>>> nbgrad.concat is nbgrad.cat
True
>>> nbgrad.numel(nbgrad.zeros(2, 3))
6
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .arrays import is_array
from .variable import Variable, data_of

#: Second names, by what they stand for here.
_STANDS_FOR = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "asarray": "as_tensor", "concat": "cat", "concatenate": "cat",
    "ger": "outer", "greater": "gt", "greater_equal": "ge", "inverse": "linalg.inv", "less": "lt", "less_equal": "le",
    "multiply": "mul", "negative": "neg", "not_equal": "ne", "orgqr": "linalg.householder_product", "subtract": "sub",
}  # fmt: skip
#: Functions of `nn.functional` that PyTorch has in its main namespace as well, with the same arguments in their order.
_FUNCTIONAL = frozenset({
    "adaptive_avg_pool1d", "adaptive_max_pool1d", "alpha_dropout", "avg_pool1d", "bilinear", "celu", "channel_shuffle",
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "cosine_similarity", "dropout", "feature_alpha_dropout", "group_norm", "hardshrink", "layer_norm", "max_pool1d",
    "max_pool1d_with_indices", "max_pool2d", "max_pool3d", "native_channel_shuffle", "pairwise_distance",
    "pixel_shuffle", "pixel_unshuffle", "prelu", "rms_norm", "rrelu", "selu", "threshold",
})  # fmt: skip
#: Old constructors, and the dtypes of what they make.
_CONSTRUCTORS = {
    "BoolTensor": "bool", "ByteTensor": "uint8", "CharTensor": "int8", "DoubleTensor": "float64",
    "FloatTensor": "float32", "IntTensor": "int32", "LongTensor": "int64", "ShortTensor": "int16",
}  # fmt: skip


def is_tensor(obj: Any) -> bool:
    """Tell whether an object is a Variable, which Tensor is another name of."""
    return isinstance(obj, Variable)


def numel(input: Any) -> int:
    """Give the number of elements of a Variable or an array."""
    return int(_array("numel", input).size)


def is_floating_point(input: Any) -> bool:
    """Tell whether a Variable's or an array's dtype is floating."""
    return bool(_array("is_floating_point", input).dtype.kind == "f")


def is_complex(input: Any) -> bool:
    """Tell whether a dtype is complex; no Variable's is."""
    return bool(_array("is_complex", input).dtype.kind == "c")


def is_signed(input: Any) -> bool:
    """Tell whether a Variable's or an array's dtype has negative numbers."""
    return bool(_array("is_signed", input).dtype.kind in "if")


def is_nonzero(input: Any) -> bool:
    """Tell whether the one element there is differs from 0; RuntimeError if there are others."""
    if _array("is_nonzero", input).size != 1:
        raise RuntimeError(f"is_nonzero: input has shape {input.shape}: it has one element")
    return bool(input)


def detach(input: Variable) -> Variable:
    """Give the same elements without their history, as ``input.detach()``."""
    return input.detach()


def result_type(tensor1: Any, tensor2: Any) -> np.dtype[Any]:
    """Give the dtype of what two operands are computed in; Python numbers change none."""
    operands = [x if isinstance(x, int | float) else data_of(x).dtype for x in (tensor1, tensor2)]
    return np.result_type(*operands)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Give the powers of the elements of a vector, those of the highest first unless `increasing`, as columns."""
    nbgrad = import_module(__package__)
    powers = nbgrad.linalg.vander(x, N=N)
    return powers if increasing else nbgrad.flip(powers, (-1,))


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Do nothing: results never depend on threads, or on chance that no seed decides."""


def are_deterministic_algorithms_enabled() -> bool:
    """Give True: results never depend on threads, or on chance that no seed decides."""
    return True


def _array(name: str, x: Any) -> Any:
    if not isinstance(x, Variable) and not is_array(x):
        raise TypeError(f"{name}: input of type {type(x).__name__}: give a Variable or an array")
    return data_of(x)


def _constructor(name: str, dtype: str) -> Callable[..., Any]:
    def make(*given: Any) -> Any:
        nbgrad = import_module(__package__)
        if given and all(type(size) is int for size in given):
            return nbgrad.empty(*given, dtype=dtype)
        if len(given) > 1:
            raise TypeError(f"{name}: {len(given)} arguments: give a list of elements, or whole numbers as sizes")
        return nbgrad.tensor(*(given or ([],)), dtype=dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"Give a Variable of {dtype} of the elements of a list, or of sizes and any elements."
    return make


#: What is NumPy's, or Python's.
_NUMPYS = {
    "Size": tuple, "can_cast": np.can_cast, "finfo": np.finfo, "iinfo": np.iinfo, "promote_types": np.promote_types,
    "set_printoptions": np.set_printoptions,
}  # fmt: skip

_OWN: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        is_tensor, numel, is_floating_point, is_complex, is_signed, is_nonzero, detach, result_type, vander,
        use_deterministic_algorithms, are_deterministic_algorithms_enabled,
    )
}  # fmt: skip

NAMES = (*_STANDS_FOR, *sorted(_FUNCTIONAL), *_CONSTRUCTORS, *_NUMPYS, *_OWN)


def of_name(name: str) -> Any:
    """Give what a name stands for, None if it is none of these."""
    nbgrad = import_module(__package__)
    if name in _STANDS_FOR:
        found = nbgrad
        for part in _STANDS_FOR[name].split("."):
            found = getattr(found, part)
        return found
    if name in _FUNCTIONAL:
        return getattr(nbgrad.nn.functional, name)
    if name in _CONSTRUCTORS:
        return _constructor(name, _CONSTRUCTORS[name])
    return _NUMPYS.get(name) or _OWN.get(name)
