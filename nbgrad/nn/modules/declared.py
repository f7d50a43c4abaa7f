"""Modules that are functions with options, each one declaration."""

from __future__ import annotations

import inspect
from typing import Any

from .. import functional
from .module import Module

#: Stands for options that must be given.
REQUIRED = inspect.Parameter.empty
#: What `repr` leaves out unless it is on.
_QUIET = {"inplace": False, "return_indices": False}


class Declared(Module):
    """A module that hands its inputs and its options to a function."""

    __constants__: tuple[str, ...] = ()
    _function = ""
    _shown: tuple[str, ...] = ()
    _accepted: inspect.Signature

    def __init__(self, *options: Any, **named: Any) -> None:
        super().__init__()
        try:
            bound = self._accepted.bind(*options, **named)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            self._take(name, value)

    def _take(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def _options(self) -> dict[str, Any]:
        """Give what differs from the function's own defaults; nothing is ever written over the input."""
        own = self._accepted.parameters
        given = [(name, getattr(self, name), option.default) for name, option in own.items() if name != "inplace"]
        return {name: value for name, value, default in given if value is not default and value != default}

    def forward(self, *inputs: Any) -> Any:
        """Apply the function."""
        return getattr(functional, self._function)(*inputs, **self._options())

    def extra_repr(self) -> str:
        """Show the options."""
        shown = [(name, getattr(self, name)) for name in self._shown]
        return ", ".join(f"{name}={value!r}" for name, value in shown if name not in _QUIET or value != _QUIET[name])


class DeclaredLoss(Declared):
    """A loss of an input and a target; weights are buffers, as in PyTorch."""

    def _take(self, name: str, value: Any) -> None:
        if name in ("weight", "pos_weight"):
            self.register_buffer(name, value)
        else:
            setattr(self, name, value)


def declared(
    name: str, function: str, sentence: str, base: Any = Declared, show: bool = True, module: str = "", **options: Any
) -> Any:
    """Make a module of a function of `functional`, whose options are given with their defaults."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(o, kind, default=value) for o, value in options.items()])
    body = {
        "__doc__": sentence,
        "__module__": module or __name__,
        "__signature__": signature,
        "_accepted": signature,
        "_function": function,
        "_shown": tuple(options) if show else (),
    }
    return type(name, (base,), body)
