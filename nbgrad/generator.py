"""Generators of random numbers: a place in a stream, which every draw takes further.

What a stream gives depends on its seed and the place alone (`kernels.philox`): neither on threads, nor on the device,
nor on whether the drawing function was compiled.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from .arrays import Array
from .kernels import philox, placement
from .kernels.forks import hold_over_fork
from .variable import Variable

#: The names of dtypes by their letters, which NumPy would look for at length.
_NAMES = {"f": "float32", "d": "float64", "L": "uint64", "Q": "uint64"}

#: Held while a generator's place is read and moved on.
_moving = threading.Lock()
hold_over_fork(_moving)

#: What draws in the place of generators, in this context: a compiler, which has every run draw anew.
traced_draw: ContextVar[Callable[[Generator, str, tuple[int, ...], np.dtype[Any]], Any] | None] = ContextVar(
    "nbgrad_traced_draw", default=None
)


#: The dtypes that are drawn: NumPy takes a microsecond to tell the name of one.
_NAMES = {np.dtype(name).char: name for name in ("float32", "float64", "uint64")}


class Generator:
    """A stream of random numbers and a place in it, for ``generator=`` arguments.

    Starts from a seed of its own kind, the same for all, until `manual_seed` or `seed` says otherwise. One generator
    serves all devices: `device` is where functions make their arrays that are told of no other, as in PyTorch.

    >>> import nbgrad
    >>> g = nbgrad.Generator().manual_seed(1)
    >>> first = nbgrad.rand(3, generator=g)
    >>> bool((nbgrad.rand(3, generator=g.manual_seed(1)) == first).all())
    True
    """

    __slots__ = ("__weakref__", "_place", "_seed", "device")

    def __init__(self, device: Any = "cpu") -> None:
        self.device = placement.named(device).name
        self._seed, self._place = 67280421310721, 0

    def manual_seed(self, seed: int) -> Generator:
        """Go to the beginning of the stream of a seed, a whole number of 64 bits, negative ones from the end."""
        if traced_draw.get() is not None:
            raise TypeError(
                "manual_seed: a generator was seeded inside a traced function, which no run would do again: seed it "
                "before the call"
            )
        if not isinstance(seed, int | np.integer) or not -(2**63) <= seed < 2**64:
            raise TypeError(f"manual_seed: a seed is a whole number from -2**63 to 2**64 - 1, got {seed!r}")
        with _moving:
            self._seed, self._place = int(seed) % 2**64, 0
        return self

    def seed(self) -> int:
        """Go to the beginning of a stream that nobody can foresee, and give its seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """Give the seed of the stream."""
        return self._seed

    def get_state(self) -> Variable:
        """Give the seed and the place, as two whole numbers of 64 bits."""
        return Variable(np.array([self._seed, self._place], np.uint64), requires_grad=False)

    def set_state(self, state: Any) -> Generator:
        """Go to a place that `get_state` gave; raises ValueError for anything else."""
        array = state.data if isinstance(state, Variable) else np.asarray(state)
        if array.dtype != np.uint64 or array.shape != (2,):
            raise ValueError(f"set_state: a state has shape (2,) and dtype uint64, not {array.shape} and {array.dtype}")
        with _moving:
            self._seed, self._place = map(int, array)
        return self

    def reserve(self, blocks: int) -> Array:
        """Give the stream and the place, and move on by so many counters: whoever asked has the numbers in between."""
        with _moving:
            place, self._place = self._place, (self._place + blocks) % 2**64
        return np.array([self._seed, place], np.uint64)

    def draw(self, kind: str, shape: tuple[int, ...], dtype: Any, target: Any = placement.CPU) -> Any:
        """Draw an array: "uniform" in [0, 1), "normal", both of float32 or float64, or "bits" of uint64.

        Inside a function that is traced it is what stands for one, which every run draws anew.
        Raises TypeError for other dtypes.
        """
        wanted = np.dtype(dtype)
        name = _NAMES.get(wanted.char, "")
        if name not in philox.KINDS[kind]:
            raise TypeError(f"random numbers: {kind} ones are drawn as {' or '.join(philox.KINDS[kind])}, not {wanted}")
        traced = traced_draw.get()
        if traced is not None:
            return traced(self, kind, shape, wanted)
        state = self.reserve(philox.blocks_of(_count(shape), name))
        return target.drawn(kind, name, shape, state)

    def __reduce__(self) -> Any:
        return _again, (self.device, self._seed, self._place)

    def __repr__(self) -> str:
        return f"<nbgrad.Generator seed={self._seed} place={self._place}>"


def _again(device: str, seed: int, place: int) -> Generator:
    generator = Generator(device)
    generator._seed, generator._place = seed, place
    return generator


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        if size < 0:
            raise ValueError(f"random numbers: a size is negative, in {shape}")
        count *= size
    return count


#: What draws where no generator is given.
default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Start the random numbers over from a seed, and give the generator of those that no other one draws.

    >>> import nbgrad
    >>> _ = nbgrad.manual_seed(0); a = nbgrad.randn(3)
    >>> _ = nbgrad.manual_seed(0); b = nbgrad.randn(3)
    >>> bool((a == b).all())
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the random numbers over from a seed that nobody can foresee, and give it."""
    return default_generator.seed()


def initial_seed() -> int:
    """Give the seed that the random numbers started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Variable:
    """Give the state of the generator that draws where none is given."""
    return default_generator.get_state()


def set_rng_state(state: Any) -> None:
    """Set the state of the generator that draws where none is given."""
    default_generator.set_state(state)
