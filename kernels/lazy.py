"""Attributes that are computed when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

_T = TypeVar("_T")


class lazy(Generic[_T]):
    """A method as an attribute that is computed once, as by `functools.cached_property`.

    That one, in Python 3.11, holds a lock for all instances meanwhile: a fork in another thread, while a kernel is
    compiled, would leave it taken in the child for ever. Here threads may compute the same, and the first result stays.
    """

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self.compute, self.name, self.__doc__ = compute, compute.__name__, compute.__doc__

    @overload
    def __get__(self, instance: None, owner: Any) -> lazy[_T]: ...
    @overload
    def __get__(self, instance: object, owner: Any) -> _T: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        return self if instance is None else instance.__dict__.setdefault(self.name, self.compute(instance))
