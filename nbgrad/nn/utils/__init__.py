"""What is done to gradients and parameters of many Variables at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...grad_mode import no_grad
from ...ops.elementwise import abs as absolute
from ...ops.joining import cat, stack
from ...ops.norms import norm
from ...variable import Variable
from . import rnn as rnn


def _graded(parameters: Variable | Iterable[Variable]) -> list[Variable]:
    given = [parameters] if isinstance(parameters, Variable) else list(parameters)
    return [x for x in given if x.grad is not None]


def get_total_norm(tensors: Iterable[Variable], norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Any:
    """Give the norm of all elements of some Variables together.

    Raises RuntimeError if asked to where it is NaN or infinite.
    """
    kept = list(tensors)
    if not kept:
        return Variable(_zero(), requires_grad=False)
    each = [x.reshape(-1) for x in kept]
    if norm_type == math.inf:
        total = stack([absolute(x).max() for x in each]).max()
    else:
        total = norm(stack([norm(x, norm_type) for x in each]), norm_type)
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients is non-finite, so it cannot be clipped; "
            "error_if_nonfinite=False scales by it anyway"
        )
    return total


def _zero() -> Any:
    import numpy as np

    return np.zeros(())


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Any:
    """Scale the gradients of parameters down so that their norm together is at most `max_norm`; gives what it was.

    Raises RuntimeError if asked to where the norm is NaN or infinite, and leaves the gradients alone.
    """
    kept = _graded(parameters)
    with no_grad():
        grads: list[Any] = [x.grad for x in kept]
        total = get_total_norm(grads, norm_type, error_if_nonfinite)
        factor = (max_norm / (total + 1e-6)).clip(None, 1.0)
        for x in kept:
            x.grad = x.grad * factor.astype(x.dtype)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Bring every element of the gradients of parameters to the range from -clip_value to clip_value."""
    with no_grad():
        for x in _graded(parameters):
            x.grad = x.grad.clip(-clip_value, clip_value)  # type: ignore[union-attr]


def parameters_to_vector(parameters: Iterable[Variable]) -> Any:
    """Give all elements of parameters in one dimension; gradients go through."""
    return cat([x.reshape(-1) for x in parameters])


def vector_to_parameters(vec: Variable, parameters: Iterable[Variable]) -> None:
    """Put the elements of a vector into parameters, in order; raises ValueError where there are more or fewer."""
    kept = list(parameters)
    count = sum(int(x.size) for x in kept)
    if vec.ndim != 1 or vec.shape[0] != count:
        raise ValueError(f"vector_to_parameters: a vector of {count} elements is wanted, got shape {vec.shape}")
    begin = 0
    for x in kept:
        x.data = vec.data[begin : begin + int(x.size)].reshape(x.shape)
        begin += int(x.size)


if not TYPE_CHECKING:

    def __getattr__(name):
        """Import what is asked for seldom, when it is; the older names give what the newer ones do."""
        from importlib import import_module

        if name in ("parametrizations", "parametrize"):
            return import_module(f".{name}", __name__)
        if name in ("spectral_norm", "weight_norm"):
            return getattr(import_module(".parametrizations", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
