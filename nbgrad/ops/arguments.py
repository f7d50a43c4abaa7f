"""What functions take as sizes and dimensions, in PyTorch's spelling and NumPy's."""

from __future__ import annotations

from typing import Any


def whole_numbers(what: str, values: tuple[Any, ...]) -> tuple[int, ...]:
    """Take sizes or dimensions as separate arguments or as one sequence."""
    if len(values) == 1 and isinstance(values[0], tuple | list):
        values = tuple(values[0])
    for value in values:
        if type(value) is not int:
            break
    else:
        return values
    try:
        return tuple(v.__index__() for v in values)
    except (AttributeError, TypeError):
        raise TypeError(f"{what}: sizes and dimensions are whole numbers, got {values!r}") from None


def axis_of(what: str, axis: Any, ndim: int) -> int:
    """Give an axis counted from the front.

    Raises IndexError where there is no such axis, as PyTorch and NumPy do.
    """
    try:
        index = int(axis.__index__())
    except (AttributeError, TypeError):
        raise TypeError(f"{what}: a dimension is a whole number, got {axis!r}") from None
    if not -ndim <= index < ndim:
        raise IndexError(f"{what}: dimension {index} is out of range for {ndim} dimensions")
    return index % ndim


def axes_of(what: str, dim: Any, ndim: int) -> tuple[int, ...]:
    """Give the axes that `dim` names, ascending: None all, a number one, a sequence several."""
    if dim is None:
        return tuple(range(ndim))
    dims = dim if isinstance(dim, tuple | list) else (dim,)
    if not ndim and all(d in (0, -1) for d in dims):  # PyTorch lets a scalar have a dimension
        return ()
    axes = tuple(sorted(axis_of(what, d, ndim) for d in dims))
    if len(set(axes)) != len(axes):
        raise ValueError(f"{what}: a dimension appears twice in {tuple(dims)}")
    return axes


def either(what: str, torch_name: str, first: Any, numpy_name: str, second: Any, default: Any = None) -> Any:
    """Give the argument that was spelled PyTorch's way or NumPy's."""
    if second is None:
        return default if first is None else first
    if first is not None:
        raise TypeError(f"{what}: give {torch_name} or {numpy_name}, not both")
    return second
