"""What counts as an array: NumPy's, those of other targets, and what stands in for one.

A stand-in has a shape and a dtype, and no elements that anybody could look at: a compiler's, while it runs a function
to find out what it computes. Operations, their rules and the walk back never ask what is behind it. They call NumPy's
functions and our kernels on it as on any array, and beyond that ask only what `StandIn` says.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from .kernels.placement import has_target

Array = npt.NDArray[Any]

#: The numbers of the levels that arrays of one of many examples may be of: the walk back then looks at all cotangents.
levels: set[int] = set()


class StandIn(Protocol):
    """What the engine, rules, operations and kernels ask of something that is no array but takes the place of one.

    It answers NumPy's protocols (``__array_ufunc__``, also for the ufuncs that our kernels are, and
    ``__array_function__``), has the attributes and the methods of arrays that change nothing, and besides the
    following, which takes the place of kernels that are no ufuncs, and of a look at elements.
    """

    #: That it is one; looked for on the class.
    __nbgrad_array__: bool

    @property
    def rank(self) -> int:
        """Which of several answers for all: the one of the highest rank."""

    @property
    def within(self) -> Any:
        """What it holds, and whose target is its own; None where that is no array."""

    #: int or float where it stands for a Python number, whose dtype gives way to that of arrays; else None.
    weak: type | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype."""

    def folded(self, name: str, axes: tuple[int, ...], *others: Any) -> Any:
        """Apply the reduction of that name over axes, ascending, to this array and others of its shape.

        One with a value for each element gives the shape, any other drops the axes.
        """

    def scanned(self, name: str, axis: int, reverse: bool) -> Any:
        """Apply the scan of that name along an axis, from its end if `reverse`: (values, places) for extrema."""

    def recurring(self, a: Any, b: Any, axis: int, reverse: bool) -> Any:
        """Give what `dispatch.recur` does, of this array and another one, in their order."""

    def filled(self, value: float) -> Any:
        """Give an array of the same shape and dtype, all of whose elements are a number."""

    def pick_from(self, x: Any, key: tuple[Any, ...]) -> Any:
        """Give ``x[key]`` of an array, for a key that has this one among its parts."""

    def scatter(self, key: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
        """Give zeros of a shape with these elements added at a key; repeated positions accumulate."""

    def outside(self, array: Array) -> Any:
        """Give an array with elements as one like this, which is read whenever elements are; one like this as it is."""

    def made_again(self, make: Callable[[], Array], like: Array) -> Any:
        """Give what `make` gives of arrays with elements as one like this, made again whenever elements are read.

        It has the shape and the dtype of `like`.
        """

    def called(self, name: str, function: Callable[..., Any], arrays: tuple[Any, ...]) -> Any:
        """Give what a function gives of arrays, of which this is one: an array, or several, called in every run."""

    def put_into(self, x: Any, key: tuple[Any, ...], values: Any) -> Any:
        """Give `x` with values in place of the elements at an index; this array is one of the three."""

    def place(self) -> tuple[int, tuple[int, ...], tuple[int, ...], int]:
        """Give where the elements would be: an address, the shape, the steps and the size of an element in bytes."""

    def is_beside(self, other: Any) -> bool:
        """Tell whether another one would be in the same memory."""

    def view_again(self, before: Any, after: Any) -> Any:
        """Give what this array, a view of `before`, is of `after` in its place; None if it was not made of that one."""

    def refuse_if_given(self, what: str) -> None:
        """Raise if this array was given from outside, where writing to it would not be seen."""

    def checked(self, begin: Callable[[Array], Callable[[], object]], label: str, identity: Any) -> Any:
        """Give this array, whose elements will be looked at whenever there are some.

        `begin` begins to look at an array, and gives a function that waits, and raises what there is to raise. Equal
        identities say that looks are the same.
        """


def is_stand_in(value: Any) -> TypeGuard[StandIn]:
    """Tell whether a value stands in for an array."""
    return hasattr(type(value), "__nbgrad_array__")


class OneByOne:
    """What applies a Function, and a rule on arrays, to one example after the other; `batching.moving` puts it here."""

    call: Callable[..., Any]
    rule: Callable[..., Any]


one_by_one = OneByOne()


def of_examples(values: Sequence[Any]) -> bool:
    """Tell whether any array is that of one of many examples."""
    return any([is_stand_in(x) and x.rank > 0 for x in values])


def is_weak(value: Any) -> bool:
    """Tell whether a value stands in for a Python number, which takes the dtype of the arrays it meets."""
    return is_stand_in(value) and value.weak is not None


def is_array(value: Any) -> bool:
    """Tell whether a value is an array, of NumPy or another target, or what stands in for one."""
    return isinstance(value, np.ndarray) or hasattr(type(value), "__nbgrad_array__") or has_target(value)


def as_array(value: Any) -> Array:
    """Give an array as it is, and make one of anything else."""
    return value if is_array(value) else np.asarray(value)


def of_numpys_own(array: Any) -> Any:
    """Give an array of a subclass of NumPy's as one of its own, anything else as it is.

    Raises TypeError for masked arrays.
    """
    if not isinstance(array, np.ndarray) or type(array) is np.ndarray:
        return array
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array has elements that do not count: give array.filled(value)")
    return array.view(np.ndarray)


def as_data(array: Array) -> Array:
    """Give an array as Variables hold it: no subclass of NumPy's, whose operators differ, and in native byte order."""
    if type(array) is not np.ndarray:
        array = of_numpys_own(array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def instead_of_an_array() -> str:
    """Tell what takes the place of a function that asks a Variable for its array, by whose it is."""
    frame: Any = sys._getframe(2)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("numpy."):
        frame = frame.f_back
    if frame is not None and str(frame.f_globals.get("__name__")).startswith("scipy."):
        return "nbgrad.interop.scipy has logsumexp, stats.norm and other functions of SciPy's that are no ufuncs"
    return "nbgrad.stack joins several, and what nbgrad.zeros makes can be written to"


#: Methods that arrays have and PyTorch's tensors have not, or the same: NumPy's functions of these names.
_METHODS = frozenset({
    "absolute", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin",
    "argpartition", "choose", "conj", "conjugate", "copy", "diagonal", "greater", "greater_equal", "less", "less_equal",
    "multiply", "negative", "not_equal", "ravel", "round", "searchsorted", "subtract", "take", "trace",
})  # fmt: skip

#: What else arrays, or PyTorch's tensors, have, and can be told of a Variable.
_ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "compress": lambda x: lambda condition, axis=None: np.compress(condition, x, axis),
    "element_size": lambda x: lambda: x._array.itemsize,
    "fill": lambda x: lambda value: _nothing(x.fill_(value)),
    "flat": lambda x: Flat(x),
    "inverse": lambda x: lambda: np.linalg.inv(x),
    "is_contiguous": lambda x: lambda: bool(x._array.flags.c_contiguous),
    "is_floating_point": lambda x: lambda: x._array.dtype.kind == "f",
    "imag": np.imag,
    "itemsize": lambda x: x._array.itemsize,
    "ndimension": lambda x: x.dim,
    "nelement": lambda x: x.numel,
    "real": np.real,
    "stride": lambda x: lambda dim=None: _steps(x._array) if dim is None else _steps(x._array)[dim],
    "strides": lambda x: x._array.strides,
    "tobytes": lambda x: x.numpy().tobytes,
    "type_as": lambda x: lambda other: x.to(other.device).astype(other.dtype),
    "where": lambda x: lambda condition, other: np.where(condition, x, other),
}
#: And what is about the memory, which Variables share.
_OF_MEMORY = frozenset({
    "base", "byteswap", "ctypes", "dump", "dumps", "flags", "getfield", "partition", "setfield", "setflags",
    "tofile",
})  # fmt: skip


def _nothing(_: object) -> None:
    return None


def _steps(array: Any) -> tuple[int, ...]:
    """Give strides in elements, as PyTorch counts them."""
    return tuple(step // array.itemsize for step in array.strides)


class Flat:
    """The elements in C order, NumPy's ``x.flat``: to be gone through, picked, and written to."""

    def __init__(self, x: Any) -> None:
        self._x = x

    def __len__(self) -> int:
        return int(self._x._array.size)

    def __iter__(self) -> Any:
        return iter(self._x.reshape(-1))

    def __getitem__(self, key: Any) -> Any:
        return self._x.reshape(-1)[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        places = np.arange(len(self))[key]
        self._x[np.unravel_index(places, self._x.shape) if self._x.ndim else ...] = value


def numpys_method(x: Any, name: str) -> Any:
    """Give a method of arrays as NumPy's function of its name, or an attribute; raises AttributeError for others."""
    if name in _METHODS:
        return partial(getattr(np, name), x)
    if name in _ATTRIBUTES:
        return _ATTRIBUTES[name](x)
    known = f": x.data, an array, has {name}" if name in _OF_MEMORY else ""
    raise AttributeError(f"{type(x).__name__!r} object has no attribute {name!r}{known}")


class Part:
    """A cotangent that is zero but for the elements at an index, which is written into the sum that it belongs to.

    Only the walk meets it, and only there, where it asks any cotangent for what is negative here.
    """

    __slots__ = ("gy", "key", "shape")

    nbytes = -1

    def __init__(self, key: Any, gy: Array, shape: tuple[int, ...]) -> None:
        self.key, self.gy, self.shape = key, gy, shape

    def whole(self) -> Array:
        """Give it as an array, which is nobody else's."""
        full = self.gy.size == math.prod(self.shape)  # no slice takes an element twice
        y = (np.empty if full else np.zeros)(self.shape, self.gy.dtype)
        y[self.key] = self.gy
        return y

    def add_to(self, total: Array) -> None:
        """Add it to an array of its shape."""
        view = total[self.key]
        np.add(view, self.gy, out=view)


class Count(int):
    """A number of elements, NumPy's ``x.size``, which may be called as PyTorch's: ``x.size()``, ``x.size(0)``."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        try:
            return self.shape if dim is None else self.shape[dim]
        except IndexError:
            raise IndexError(f"size: dimension {dim} is out of range for shape {self.shape}") from None
