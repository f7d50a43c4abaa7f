"""Whether operations are recorded: `no_grad`, `enable_grad`, `set_grad_enabled`, per thread and per async context."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from typing import Any, TypeVar

from .kernels.interrupts import covered

recording_mode: ContextVar[bool] = ContextVar("nbgrad_recording", default=True)
#: The modes to go back to, innermost first, as nested pairs: in the context, so that one context manager may be shared.
_outer: ContextVar[Any] = ContextVar("nbgrad_outer_modes", default=None)

#: Whether a function is being differentiated here and now, by `nbgrad.grad` or its like.
differentiating: ContextVar[bool] = ContextVar("nbgrad_differentiating", default=False)

F = TypeVar("F", bound=Callable[..., Any])

#: Tell whether operations on Variables that require gradients are recorded here and now.
is_grad_enabled = recording_mode.get


class _GradMode:
    """A context manager without state of its own, so reusable, re-entrant and shared at will; a decorator too."""

    _mode: bool

    def __enter__(self) -> None:
        before = recording_mode.get()
        outer = _outer.get()
        try:
            _outer.set((before, outer))
            recording_mode.set(self._mode)
        except BaseException:  # of a signal handler: nobody will leave what was not entered
            recording_mode.set(before)
            _outer.set(outer)
            raise

    @covered
    def __exit__(self, modes: Any, *_: object) -> None:
        try:
            modes = _outer.get()
            recording_mode.set(modes[0])
            _outer.set(modes[1])
        except BaseException:
            if type(modes) is not tuple:  # still the class of an exception, or None
                modes = _outer.get()
            recording_mode.set(modes[0])
            _outer.set(modes[1])
            raise

    def __call__(self, function: F) -> F:
        return _within(self._mode, function)


def _within(mode: bool, function: F) -> F:
    """Make a function, generator or coroutine run in a mode; between its steps the caller's mode holds."""
    manager = _GradMode()
    manager._mode = mode
    wrapper: Any
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner = function(*args, **kwargs)
            step = inner.__anext__
            arguments: tuple[Any, ...] = ()
            try:
                while True:
                    try:
                        with manager:
                            item = await step(*arguments)
                    except StopAsyncIteration:
                        return
                    try:
                        step, arguments = inner.asend, ((yield item),)
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        step, arguments = inner.athrow, (error,)
            finally:
                with manager:
                    await inner.aclose()

    elif inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with manager:
                return await function(*args, **kwargs)

    elif inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            inner = function(*args, **kwargs)
            step = inner.__next__
            arguments: tuple[Any, ...] = ()
            try:
                while True:
                    try:
                        with manager:
                            item = step(*arguments)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        step, arguments = inner.send, ((yield item),)
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        step, arguments = inner.throw, (error,)
            finally:
                with manager:
                    inner.close()

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with manager:
                return function(*args, **kwargs)

    return wrapper


class _FixedMode(_GradMode):
    """A mode that decorates with and without parentheses."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return super().__new__(cls) if function is None else _within(cls._mode, function)


class no_grad(_FixedMode):
    """Record nothing inside: results require no gradient. A context manager and a decorator.

    >>> import numpy as np, nbgrad
    >>> x = nbgrad.Variable(np.ones(3))
    >>> with nbgrad.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _mode = False


class inference_mode(_FixedMode):
    """PyTorch's other name for `no_grad`; ``inference_mode(False)`` records."""

    def __new__(cls, mode: Any = True) -> Any:
        if not isinstance(mode, bool):
            return _within(False, mode)
        made = super().__new__(cls)
        made._mode = not mode
        return made

    _mode = False


class enable_grad(_FixedMode):
    """Record inside, also within `no_grad`. A context manager and a decorator."""

    _mode = True


class set_grad_enabled(_GradMode):
    """Switch recording on or off at once; as a context manager, until the end of the block.

    Raises TypeError for anything but True and False.

    >>> import nbgrad
    >>> with nbgrad.set_grad_enabled(False):
    ...     nbgrad.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled: needs True or False, got {type(mode).__name__}")
        self._mode = mode
        self._switched_from: bool | None = recording_mode.get()
        recording_mode.set(mode)

    def _undo(self) -> None:
        if self._switched_from is not None:
            recording_mode.set(self._switched_from)
            self._switched_from = None

    def __enter__(self) -> None:
        self._undo()  # the switch becomes the block's
        super().__enter__()

    def __call__(self, function: F) -> F:
        self._undo()  # the switch becomes the function's
        return super().__call__(function)
