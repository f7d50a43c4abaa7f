"""What losses have in common: how those of elements become one number, and who multiplies them."""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np

from ..arrays import Array
from ..kernels.shapes import broadcast_shapes
from ..ops.reduction import mean, sum


def reduced(what: str, each: Any, reduction: str) -> Any:
    if reduction == "mean":
        return mean(each)
    if reduction == "sum":
        return sum(each)
    if reduction == "none":
        return each
    raise ValueError(f"{what}: reduction is 'mean', 'sum' or 'none', got {reduction!r}")


def same_shape(what: str, input: Any, target: Any) -> None:
    try:
        if input.shape == target.shape:
            return
    except AttributeError:
        kinds = f"{type(input).__name__} and {type(target).__name__}"
        raise TypeError(f"{what}: input and target are {kinds}: give Variables or arrays") from None
    raise ValueError(f"{what}: input has shape {input.shape}, target {target.shape}: they must be the same")


def broadcasting(what: str, input: Any, target: Any) -> None:
    try:
        broadcast_shapes(tuple(input.shape), tuple(target.shape))
    except ValueError:
        raise ValueError(
            f"{what}: shapes {tuple(input.shape)} and {tuple(target.shape)} do not broadcast: dimensions must be equal "
            "or 1, counted from the last"
        ) from None


def old_arguments(what: str) -> TypeError:
    return TypeError(f"{what}: size_average and reduce are gone: use reduction=")


@once
def number_of(count: float, char: str) -> Array:
    """Give what a loss is divided by, or the like: kernels take it as an array without dimensions."""
    array = np.array(count, char)
    array.flags.writeable = False
    return array
