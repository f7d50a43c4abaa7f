"""A third target, in NumPy's memory, which records what it is asked: written from `nbgrad.kernels.target` alone."""

# ruff: noqa: E731, most members are a line each
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from nbgrad.kernels import windows
from nbgrad.kernels.cpu.target import CPU
from nbgrad.kernels.cpu.windows import highest


class RecordingArray:
    """An array of the target: it holds one of NumPy's, and is none."""

    __array_ufunc__ = None  # NumPy refuses it

    def __init__(self, held: Any, base: RecordingArray | None = None) -> None:
        self.held = np.asarray(held)
        self.base = base if base is None or base.base is None else base.base

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("an array of the recording target became one of NumPy's unasked")

    def view_of(self, held: Any) -> RecordingArray:
        return RecordingArray(held, self)

    def copy(self) -> RecordingArray:
        return RecordingArray(self.held.copy())

    def astype(self, dtype: Any, copy: bool = True) -> RecordingArray:
        return self if not copy and self.dtype == dtype else RecordingArray(self.held.astype(dtype))

    def item(self) -> Any:
        return self.held.item()

    def __len__(self) -> int:
        return len(self.held)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.held[key] = held(value)


for name in ("shape", "ndim", "size", "dtype", "itemsize", "nbytes"):
    setattr(RecordingArray, name, property(lambda self, name=name: getattr(self.held, name)))
for name in ("reshape", "transpose", "view", "__getitem__"):
    setattr(RecordingArray, name, lambda self, *given, name=name: self.view_of(getattr(self.held, name)(*given)))


def held(x: Any) -> Any:
    """Return what an array of the target holds, and a number as it is."""
    assert isinstance(x, RecordingArray) or not np.ndim(x), "the target was given an array of another one"
    return x.held if isinstance(x, RecordingArray) else x


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "logsumexp": np.logaddexp.reduce,
    **{f.__name__: lambda x, axes, correction, f=f: f(x, axes, ddof=correction) for f in (np.var, np.std)},
}
SPREADS: dict[str, Callable[..., Any]] = {
    "log_softmax": lambda axis, x: x - np.logaddexp.reduce(x, axis, keepdims=True),
    "softmax": lambda axis, x: np.exp(SPREADS["log_softmax"](axis, x)),
    "softmax_vjp": lambda axis, gy, y: y * (gy - (gy * y).sum(axis, keepdims=True)),
    "log_softmax_vjp": lambda axis, gy, y: gy - np.exp(y) * gy.sum(axis, keepdims=True),
}


class Recording:
    """The target; `asked` lists what it was asked for."""

    name = "recording"
    compiler = None

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not callable(found):
            return found
        self.asked.append(name)

        def asked(*arguments: Any) -> Any:
            result = found(*arguments)
            if isinstance(result, tuple):
                return tuple(map(RecordingArray, result))
            ours = isinstance(result, np.ndarray | np.generic) and name != "to_numpy"
            return RecordingArray(result) if ours else result

        return asked

    empty = lambda self, shape, dtype: np.empty(shape, dtype)
    zeros = lambda self, shape, dtype: np.zeros(shape, dtype)
    full = lambda self, shape, value, dtype: np.full(shape, held(value), dtype)
    arange = lambda self, count, step: np.arange(count) * step
    bring = lambda self, array: array.copy()
    to_numpy = lambda self, x: x.held.copy()
    current = lambda self: nullcontext()
    concatenate = lambda self, arrays, axis: np.concatenate([*map(held, arrays)], axis)
    broadcast_to = lambda self, x, shape: x.view_of(np.broadcast_to(x.held, shape))
    is_writeable = lambda self, x: x.held.flags.writeable
    drawn = lambda self, kind, dtype, shape, state: CPU.drawn(kind, dtype, shape, state)
    wait = lambda self: None
    spread = lambda self, name, axis, *arrays: SPREADS[name](axis, *map(held, arrays))
    extreme_places = lambda self, which, x, axis: getattr(np, f"arg{which}")(held(x), axis, keepdims=True)
    matmul = lambda self, x, w: np.matmul(held(x), held(w))
    power = lambda self, x, y: np.power(held(x), held(y))
    gather = lambda self, table, rows: held(table)[held(rows)]
    nonzero = lambda self, mask: np.flatnonzero(held(mask))
    columns = lambda self, x, frame: windows.columns(held(x), frame, np.zeros)
    overlapped = lambda self, g, frame: windows.overlapped(held(g), frame, np.zeros)
    highest = lambda self, x, frame: highest(held(x), frame)

    def elementwise(self, ufunc: np.ufunc, arguments: Sequence[Any], out: Any = None) -> Any:
        if out is None:
            return ufunc(*map(held, arguments))
        ufunc(*map(held, arguments), out.held)
        return out

    def reduce(self, name: str, x: Any, axes: tuple[int, ...], numbers: tuple[float, ...] = ()) -> Any:
        return (REDUCTIONS.get(name) or getattr(np, name))(held(x), axes, *numbers)

    def scan(self, name: str, x: Any, axis: int, reverse: bool) -> Any:
        order = (slice(None),) * axis + (slice(None, None, -1 if reverse else 1),)
        return getattr(np, name)(held(x)[order], axis)[order]

    def recur(self, a: Any, b: Any, axis: int, reverse: bool) -> Any:
        order = -1 if reverse else 1
        a, b = (np.moveaxis(held(x), axis, 0)[::order] for x in (a, b))
        y = b.copy()
        for i in range(1, len(y)):
            y[i] += a[i - 1] * y[i - 1]
        return np.moveaxis(y[::order], 0, axis)

    def scatter(self, rows: Any, g: Any, shape: tuple[int, ...], unique: bool) -> Any:
        y = np.zeros(shape, g.dtype)
        if g.size:
            np.add.at(y.reshape(-1, g.shape[1]), held(rows), held(g))
        return y

    def look(self, index: Any, lowest: int, highest: int) -> Any:
        found = held(index)
        return lambda: (bool(((found < lowest) | (found > highest)).any()), bool((found < 0).any()))
