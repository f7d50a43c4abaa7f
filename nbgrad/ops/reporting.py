"""Decompositions that tell which matrices of a stack have none, rather than raise for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..arrays import as_array
from ..variable import Variable, data_of
from .decomposition import _operand, cholesky, inv, solve
from .elementwise import where
from .steps import plain


class FactorAndInfo(NamedTuple):
    """What `cholesky_ex` gives."""

    L: Any
    info: Any


class InverseAndInfo(NamedTuple):
    """What `inv_ex` gives."""

    inverse: Any
    info: Any


class ResultAndInfo(NamedTuple):
    """What `solve_ex` gives."""

    result: Any
    info: Any


def _told(x: Any, fails: Callable[[Any], Any], function: Callable[[Any], Any], check: bool) -> Any:
    """Apply a function to the matrices for which another one does not fail, and give NaN for the others; and which."""
    data = data_of(x)
    info = np.zeros(x.shape[:-2], np.int32)
    try:
        result = function(x)
    except np.linalg.LinAlgError:
        for place in np.ndindex(*info.shape):
            info[place] = fails(data[place])
        if check or not info.any():
            raise
        bad = (info != 0)[..., None, None]
        result = where(bad, np.full((), np.nan, x.dtype), function(where(bad, np.eye(x.shape[-1], dtype=x.dtype), x)))
    return result, Variable(as_array(info), requires_grad=False) if isinstance(x, Variable) else as_array(info)


def _singular(matrix: Any) -> int:
    try:
        np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return matrix.shape[-1]
    return 0


def _indefinite(matrix: Any) -> int:
    """Give the size of the first leading block that is not positive definite, 0 if none is."""
    for size in range(1, matrix.shape[-1] + 1):
        try:
            np.linalg.cholesky(matrix[:size, :size])
        except np.linalg.LinAlgError:
            return size
    return 0


def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> FactorAndInfo:
    """Give `cholesky`, and for each matrix 0, or the size of its first block that is not positive definite."""
    x = _operand("cholesky_ex", A)
    return FactorAndInfo(*_told(x, _indefinite, lambda x: cholesky(x, upper=upper), check_errors))


def inv_ex(A: Any, *, check_errors: bool = False) -> InverseAndInfo:
    """Give `inv`, and for each matrix 0, or its size if it is singular."""
    return InverseAndInfo(*_told(_operand("inv_ex", A), _singular, inv, check_errors))


def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> ResultAndInfo:
    """Give `solve`, and for each matrix 0, or its size if it is singular."""
    a, b = _operand("solve_ex", A), plain(B)
    return ResultAndInfo(*_told(a, _singular, lambda a: solve(a, b, left=left), check_errors))
