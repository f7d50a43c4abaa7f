"""Whether operations are recorded: `no_grad`, `enable_grad`, `set_grad_enabled`, per thread and per async context."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, TypeVar

_recording: ContextVar[bool] = ContextVar("nbgrad_recording", default=True)

F = TypeVar("F", bound=Callable[..., Any])

#: Tell whether operations on Variables that require gradients are recorded here and now.
is_grad_enabled = _recording.get


class _GradMode:
    """A context manager, reusable and re-entrant, that is a decorator too."""

    _mode: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(_recording.set(self._mode))

    def __exit__(self, *_: object) -> None:
        _recording.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        # a fresh context manager at every call: tokens belong to the thread that made them
        mode = self._mode
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                iterator = function(*args, **kwargs)
                while True:
                    with _within(mode):
                        try:
                            item = next(iterator)
                        except StopIteration as stop:
                            return stop.value
                    yield item

            return generator  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _within(mode):
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]


class no_grad(_GradMode):
    """Record nothing inside: results require no gradient. A context manager and a decorator.

    >>> import numpy as np, nbgrad
    >>> x = nbgrad.Variable(np.ones(3))
    >>> with nbgrad.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _mode = False


class enable_grad(_GradMode):
    """Record inside, also within `no_grad`. A context manager and a decorator."""

    _mode = True


class set_grad_enabled(_GradMode):
    """Switch recording on or off at once; as a context manager, until the end of the block.

    >>> import nbgrad
    >>> with nbgrad.set_grad_enabled(False):
    ...     nbgrad.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled: needs True or False, got {type(mode).__name__}")
        self._mode = mode
        self._before: Token[bool] | None = _recording.set(mode)

    def __enter__(self) -> None:
        if self._before is None:
            super().__enter__()
        else:
            self._tokens.append(self._before)
            self._before = None

    def __call__(self, function: F) -> F:
        if self._before is not None:  # used as a decorator: the switch is the function's, not ours
            _recording.reset(self._before)
            self._before = None
        return super().__call__(function)


class _within(_GradMode):
    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._mode = mode
