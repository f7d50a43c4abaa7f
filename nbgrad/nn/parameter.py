"""Parameters of modules: leaves that are marked as such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from ..ops.creation import empty
from ..variable import Variable, marked_again


class _Marks:
    """Variables by their identity, as long as they live."""

    def __init__(self) -> None:
        self._known: dict[int, ref[Variable]] = {}

    def add(self, x: Variable) -> None:
        key = id(x)
        self._known[key] = ref(x, lambda _: self._known.pop(key, None))

    def __contains__(self, x: Variable) -> bool:
        return id(x) in self._known


#: What was made a parameter, or a buffer by its own class, the buffers that no state has, and what has no shape yet.
_parameters, _buffers, _passing, _lazy = _Marks(), _Marks(), _Marks(), _Marks()


class _Marked(type):
    """The class of marks: a Variable is an instance of a mark if it was given it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Variable) and instance in cls.marked  # type: ignore[attr-defined]


class Parameter(metaclass=_Marked):
    """A Variable that a module takes for one of its own: ``Parameter(data, requires_grad=True)``.

    What is made is an ordinary Variable, a leaf on the memory of `data`, so that operations on it are as quick as on
    any other; ``isinstance(x, Parameter)`` knows it again. Raises TypeError for dtypes without gradients unless
    `requires_grad` is False.
    """

    marked = _parameters

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        """Mark a Variable on the memory of `data`."""
        if data is None:
            data = empty(0)
        x = Variable(data._array if isinstance(data, Variable) else data, requires_grad=requires_grad)
        cls.marked.add(x)
        return x


class Buffer(metaclass=_Marked):
    """A Variable that a module keeps and no optimiser changes: ``self.steps = Buffer(nbgrad.zeros(1))``."""

    marked = _buffers

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        """Mark a Variable on the memory of `data`."""
        data = empty(0) if data is None else data
        x = Variable(data._array if isinstance(data, Variable) else data, requires_grad=False)
        cls.marked.add(x)
        if not persistent:
            _passing.add(x)
        return x


class UninitializedParameter(metaclass=_Marked):
    """A Parameter without elements, whose shape the first call of a lazy module tells; it stays the same object.

    ``isinstance(x, UninitializedParameter)`` tells of any Variable whether it was made one, `is_lazy` whether it still
    waits for its elements.
    """

    marked = _lazy

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        """Mark a Variable of no elements."""
        x = Parameter(empty(0, dtype=dtype, device=device), requires_grad)
        cls.marked.add(x)
        return x


class UninitializedBuffer(metaclass=_Marked):
    """A buffer without elements, whose shape the first call of a lazy module tells."""

    marked = _lazy

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> Any:
        """Mark a Variable of no elements."""
        x = Variable(empty(0, dtype=dtype, device=device)._array, requires_grad=requires_grad)
        cls.marked.add(x)
        return x


def is_lazy(x: Any) -> bool:
    """Tell whether a parameter or a buffer has no shape yet."""
    return isinstance(x, Variable) and x in _lazy and x.shape == (0,)


def is_passing(x: Variable) -> bool:
    """Tell whether a buffer is to be left out of the state of its module."""
    return x in _passing


_ALL = _parameters, _buffers, _passing, _lazy


def _marked(*kinds: bool) -> Variable:
    """Make a Variable without an array, which copies and pickles put there, and mark it."""
    x = Variable.__new__(Variable)
    for marks, wanted in zip(_ALL, kinds, strict=True):
        if wanted:
            marks.add(x)
    return x


def _again(x: Variable) -> tuple[Callable[..., Variable], tuple[Any, ...]] | None:
    kinds = tuple([x in marks for marks in _ALL])
    return (_marked, kinds) if any(kinds) else None


marked_again.append(_again)
