"""Modules that hold modules or parameters: by their order, or by name."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..parameter import Parameter
from .module import Module


def _place(what: Any, index: Any) -> int:
    count, place = len(what), operator.index(index)
    if not -count <= place < count:
        raise IndexError(f"{type(what).__name__}: index {place} is out of range for {count}")
    return place % count


class _Ordered(Module):
    """What has modules or parameters by their order."""

    _held = "_modules"

    def _items(self) -> dict[str, Any]:
        found: dict[str, Any] = getattr(self, self._held)
        return found

    def _replace(self, values: Iterable[Any]) -> None:
        values = list(values)
        for name in list(self._items()):
            delattr(self, name)
        for place, value in enumerate(values):
            self._add(str(place), value)

    def _add(self, name: str, value: Any) -> None:
        self.add_module(name, value)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items().values())

    def __getitem__(self, index: Any) -> Any:
        values = list(self._items().values())
        if isinstance(index, slice):
            made: Any = type(self)
            return made(values[index])
        return values[_place(self, index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._add(list(self._items())[_place(self, index)], value)

    def __delitem__(self, index: Any) -> None:
        values = list(self._items().values())
        del values[index]
        self._replace(values)

    def append(self, value: Any) -> Any:
        """Add one at the end."""
        self._add(str(len(self)), value)
        return self

    def insert(self, index: int, value: Any) -> Any:
        """Add one before another."""
        values = list(self._items().values())
        values.insert(index, value)
        self._replace(values)
        return self

    def extend(self, values: Iterable[Any]) -> Any:
        """Add several at the end."""
        for value in values:
            self.append(value)
        return self

    def pop(self, index: int) -> Any:
        """Take one away, and give it."""
        value = self[index]
        del self[index]
        return value

    def __iadd__(self, values: Iterable[Any]) -> Any:
        return self.extend(values)


class Sequential(_Ordered):
    """Modules one after the other, each of which takes what the one before gives.

    >>> from nbgrad import nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
    )
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for place, module in enumerate(modules):
                self.add_module(str(place), module)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def forward(self, input: Any) -> Any:
        """Run them all."""
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Ordered):
    """Modules by their order."""

    def __init__(self, modules: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __add__(self, others: Iterable[Any]) -> ModuleList:
        return ModuleList([*self, *others])

    def __repr__(self) -> str:
        runs: list[list[Any]] = []  # modules that look alike are shown once
        for place, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = place
            else:
                runs.append([place, place, text])
        lines = []
        for first, last, text in runs:
            head = f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x "
            lines.append(head + text.replace("\n", "\n  "))
        return f"{type(self).__name__}(" + ("\n  " + "\n  ".join(lines) + "\n" if lines else "") + ")"


class ParameterList(_Ordered):
    """Parameters by their order; Variables become some."""

    _held = "_parameters"

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def _add(self, name: str, value: Any) -> None:
        setattr(self, name, value if isinstance(value, Parameter) else Parameter(value))

    def extra_repr(self) -> str:
        """Show shapes and dtypes."""
        return "\n".join(f"({name}): Parameter of {x.dtype} of shape {x.shape}" for name, x in self._parameters.items())


class _Named(Module):
    """What has modules or parameters by name."""

    _held = "_modules"

    def _items(self) -> dict[str, Any]:
        found: dict[str, Any] = getattr(self, self._held)
        return found

    def __getitem__(self, name: str) -> Any:
        return self._items()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.add_module(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self._items():
            raise KeyError(name)
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __contains__(self, name: object) -> bool:
        return name in self._items()

    def keys(self) -> Any:
        """Give the names."""
        return self._items().keys()

    def values(self) -> Any:
        """Give what has the names."""
        return self._items().values()

    def items(self) -> Any:
        """Give names and what has them."""
        return self._items().items()

    def clear(self) -> None:
        """Take all away."""
        for name in list(self._items()):
            del self[name]

    def pop(self, name: str) -> Any:
        """Take one away, and give it."""
        value = self[name]
        del self[name]
        return value

    def update(self, values: Any) -> None:
        """Add several, from a mapping or pairs."""
        for name, value in values.items() if isinstance(values, Mapping) or hasattr(values, "items") else values:
            self[name] = value


class ModuleDict(_Named):
    """Modules by name."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})


class ParameterDict(_Named):
    """Parameters by name; Variables become some."""

    _held = "_parameters"

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value if isinstance(value, Parameter) else Parameter(value))

    def extra_repr(self) -> str:
        """Show shapes and dtypes."""
        return "\n".join(f"({name}): Parameter of {x.dtype} of shape {x.shape}" for name, x in self._parameters.items())
