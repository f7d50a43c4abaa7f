"""PyTorch's anomaly mode: an error names the Function whose gradient is no number.

The walk asks once whether the mode is on, and goes its usual way if not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import is_stand_in
from .kernels import dispatch
from .variable import data_of

#: Whether walks look for NaN; for all threads, as in PyTorch.
enabled = False


class set_detect_anomaly:
    """Switch the mode on or off at once; as a context manager, until the end of the block.

    Raises TypeError for anything but True and False.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        global enabled
        if not isinstance(mode, bool) or not isinstance(check_nan, bool):
            raise TypeError(f"set_detect_anomaly: needs True or False, got mode={mode!r} and check_nan={check_nan!r}")
        self._before = enabled
        enabled = mode and check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        global enabled
        enabled = self._before


class detect_anomaly:
    """Have every backward inside look for NaN in the gradients that each Function gives, and raise for the first.

    RuntimeError names the Function, where the NaN is, and, if an infinite slope is behind it, the Function that gave
    that. A function compiled by `nbgrad.jit` is one Function.

    >>> import nbgrad
    >>> x = nbgrad.tensor([0.0, 1.0], requires_grad=True)
    >>> with nbgrad.autograd.detect_anomaly():
    ...     nbgrad.sqrt(x * x).sum().backward()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    RuntimeError: <mul> gave 1 NaN in the gradient of its input 0 of shape (2,), ... cotangent inf that <sqrt> gave: ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan

    def __enter__(self) -> None:
        self._switch = set_detect_anomaly(True, self._check_nan)

    def __exit__(self, *_: object) -> None:
        self._switch.__exit__()


def is_anomaly_enabled() -> bool:
    """Tell whether walks look for NaN."""
    return enabled


class Watch:
    """What a walk knows of the infinities in it."""

    def __init__(self) -> None:
        self.source: Any = None  # the last Function that made an infinite cotangent of a finite one

    def look(self, function: Any, gy: Any, gxs: Any) -> None:
        """Raise RuntimeError where one of the gradients that a Function gave is no number."""
        gys = [array for array in map(_elements, gy if function.multiple else [gy]) if array is not None]
        finite = all(np.isfinite(array).all() for array in gys)
        for position, gx in enumerate(gxs):
            array = _elements(gx)
            if array is None or np.isfinite(array).all():
                continue
            missing = np.isnan(array)
            if not missing.any():
                if finite:
                    self.source = function
                continue
            count, place = int(missing.sum()), tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(missing)))
            message = (
                f"{function!r} gave {count} NaN in the gradient of its input {position} of shape {array.shape}, "
                f"first at {place[: array.ndim]}"
            )
            if len(gys) == 1 and gys[0].shape == array.shape:
                message += f", from the cotangent {gys[0].reshape(-1)[np.flatnonzero(missing.reshape(-1))[0]]:g}"
                if not finite and self.source is not None:
                    message += f" that {self.source!r} gave"
            raise RuntimeError(f"{message}: mask such elements by nbgrad.where before they get there")


def _elements(g: Any) -> Any:
    """Give a cotangent's array on the CPU, of many examples all together; None where there is none, or none yet."""
    data: Any = data_of(g)
    while is_stand_in(data) and data.within is not None:
        data = data.within
    data = dispatch.in_numpy(data)
    return data if isinstance(data, np.ndarray) else None
