"""Calls on arrays of any target: NumPy's go to the CPU's kernels, others to their target's.

What stands in for an array answers itself. Operations say here what they want, and never ask where an array is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from .cpu import ndarray as numpys
from .cpu.caller import fast_call, with_few_numbers
from .cpu.failures import checked
from .cpu.products import MOST, multiply
from .cpu.reduction import reduce_array as _reduce_on_cpu
from .cpu.reduction import spread_array as _spread_on_cpu
from .cpu.scan import recur as _recur_on_cpu
from .cpu.scan import scan_array as _scan_on_cpu
from .formula import FLOATING, SIGNED
from .placement import CPU, away, cuda, elsewhere, target_of, together
from .shapes import broadcast_shapes
from .stand_ins import foremost as foremost
from .stand_ins import holder, stands_in

if TYPE_CHECKING:
    from .target import Target
    from .windows import Frame


def brought_together(what: str, arrays: Sequence[Any]) -> tuple[list[Any], Target]:
    """Return arrays with the scalars brought to the target that the others are on, and this target.

    Raises TypeError that names the targets where there are several.
    """
    target = together(what, arrays)
    return [x if target is CPU else moved(x, target) for x in arrays], target


def called(name: str, function: Callable[..., Any], *arrays: Any) -> Any:
    """Call a function of arrays of any target; where something stands in for one, that has it called in every run."""
    stand_in = foremost(arrays)
    return function(*arrays) if stand_in is None else stand_in.called(name, function, arrays)


# ---- elementwise ----------------------------------------------------------------------------------------------------


def caller(ufunc: np.ufunc, domain: str = FLOATING, views: bool = False) -> Callable[..., Any]:
    """Give a function like ``partial(ufunc, out=...)`` for arrays of any target, quick on small ones of NumPy's.

    With one argument more than the ufunc has inputs, the last is where the result goes. Ufuncs of the domain SIGNED
    refuse truth values, which NumPy would convert. With `views` the result may be a read-only view of fewer elements,
    where an argument repeats one: the cotangent of a sum is such, and what follows from it alone is one number again.
    """
    return fast_call(ufunc, slow_caller(ufunc, domain, views))


def slow_caller(ufunc: np.ufunc, domain: str = FLOATING, views: bool = False) -> Callable[..., Any]:
    """Give the same with nothing compiled in between, for who has no small arrays."""
    slow = _of_signed if domain == SIGNED else _of_repeated if views else _with_output
    return partial(slow, ufunc, ufunc.nin)


def stand_in_caller(ufunc: np.ufunc, domain: str = FLOATING, views: bool = False) -> Callable[..., Any]:
    """Give the same for who has what stands in for arrays, which answers itself: NumPy takes long to find it."""
    slow = slow_caller(ufunc, domain, views)
    inputs = ufunc.nin
    if domain == SIGNED or inputs > 2:
        return slow

    def call(*arguments: Any) -> Any:
        if stands_in(arguments[0]):
            out = {"out": arguments[inputs:]} if len(arguments) > inputs else {}
            answer = foremost(arguments).__array_ufunc__(ufunc, "__call__", *arguments[:inputs], **out)
            if answer is not NotImplemented:
                return answer
        return slow(*arguments)

    return call


#: Where an array has more elements, it is worth looking whether they are all one.
_MANY = 4096


def _is_one(x: Any) -> bool:
    """Tell whether many elements are one in memory, repeated along all axes."""
    return type(x) is ndarray and x.size > _MANY and not any(x.strides)


def _of_repeated(ufunc: np.ufunc, inputs: int, *arguments: Any) -> Any:
    """Compute with the one element that a cotangent, the first argument, may repeat, and repeat what comes of it."""
    first = arguments[0]
    if type(first) is not ndarray or first.size <= _MANY or any(first.strides) or len(arguments) > inputs:
        return _with_output(ufunc, inputs, *arguments)
    if inputs == 2:  # a sum of two cotangents, each of which is one number
        one, other = first.base, arguments[1].base
        if type(one) is ndarray is type(other) and not one.ndim and not other.ndim:
            if arguments[1].shape == first.shape:
                return _repeated(checked(ufunc, one, other, out=...), first.shape)
    single = [x[(0,) * x.ndim + (...,)] if _is_one(x) else x for x in arguments]
    result = _with_output(ufunc, inputs, *single)
    shape = first.shape
    if any([x.shape != shape for x in arguments]):
        shape = broadcast_shapes(*[x.shape for x in arguments])
    if result.shape == shape:
        return result
    return np.broadcast_to(result, shape) if result.ndim else _repeated(result, shape)


def _repeated(x: Any, shape: tuple[int, ...]) -> Any:
    """Repeat one element, as a view: four times as fast as np.broadcast_to."""
    view: Any = ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
    view.flags.writeable = False
    return view


def _of_signed(ufunc: np.ufunc, inputs: int, *arguments: Any) -> Any:
    if all([isinstance(x, bool) or getattr(x, "dtype", None) == np.bool_ for x in arguments[:inputs]]):
        raise TypeError(f"{ufunc.__name__}: truth values have no sign")
    return _with_output(ufunc, inputs, *arguments)


def _with_output(ufunc: np.ufunc, inputs: int, *arguments: Any) -> Any:
    if away:
        target = together(ufunc.__name__, arguments)
        if target is not CPU:
            return target.elementwise(ufunc, arguments[:inputs], *arguments[inputs:])
        stand_in = holder(arguments)
        if stand_in is not None:
            out = {"out": arguments[inputs:]} if len(arguments) > inputs else {}
            return stand_in.__array_ufunc__(ufunc, "__call__", *arguments[:inputs], **out)
    if inputs > 2:
        arguments = with_few_numbers(inputs, arguments)
    if len(arguments) > inputs:
        return checked(ufunc, *arguments)
    return checked(ufunc, *arguments, out=...)


def evaluate(ufunc: np.ufunc, arguments: Sequence[Any]) -> Any:
    """Evaluate a ufunc of ours, perhaps of several results, on arrays of a target."""
    return together(ufunc.__name__, arguments).elementwise(ufunc, arguments)


# ---- reductions and scans -------------------------------------------------------------------------------------------


def reduce_array(name: str, x: Any, axes: tuple[int, ...], numbers: tuple[float, ...] = ()) -> Any:
    """Reduce an array over `axes` (ascending), dropping them, given the numbers that the reduction takes."""
    if isinstance(x, ndarray):
        return _reduce_on_cpu(name, x, axes, numbers)
    target = elsewhere(x)
    return x.folded(name, axes, *numbers) if target is None else target.reduce(name, x, axes, numbers)


def sum_to_shape(x: Any, shape: tuple[int, ...]) -> Any:
    """Sum over the axes that broadcasting from `shape` to the shape of x stretched."""
    if x.shape == shape:
        return x
    if _is_one(x) and x.dtype.kind == "f":  # what so many of it add up to
        total = np.multiply(x[(0,) * x.ndim], x.size // math.prod(shape), dtype=np.float64) + 0.0
        return np.broadcast_to(total.astype(x.dtype), shape)
    extra = x.ndim - len(shape)
    stretched = tuple(
        axis for axis in range(x.ndim) if axis < extra or (shape[axis - extra] == 1 and x.shape[axis] != 1)
    )
    return reduce_array("sum", x, stretched).reshape(shape)


def spread_array(name: str, axis: int, *arrays: Any) -> Any:
    """Run a reduction that gives a value for each element along one axis of arrays of one shape."""
    first = arrays[0]
    if len(arrays) > 1:
        stand_in = foremost(arrays)
        if stand_in is not None and stand_in is not first:
            first = stand_in.outside(first)
    if isinstance(first, ndarray):
        if first.size > _MANY:  # loops over neighbours are several times as fast as loops over one element
            arrays = tuple([x if x.strides[axis] else np.ascontiguousarray(x) for x in arrays])
        return _spread_on_cpu(name, axis, *arrays)
    if elsewhere(first) is None:
        return first.folded(name, (axis,) if first.ndim else (), *arrays[1:])
    return together(name, arrays).spread(name, axis, *arrays)


def scan_array(name: str, x: Any, axis: int, reverse: bool = False) -> Any:
    """Scan an array along an axis, from its last element to its first if `reverse`."""
    if isinstance(x, ndarray):
        return _scan_on_cpu(name, x, axis, reverse)
    target = elsewhere(x)
    return x.scanned(name, axis, reverse) if target is None else target.scan(name, x, axis, reverse)


def recur(a: Any, b: Any, axis: int, reverse: bool = False) -> Any:
    """Give y with ``y[i] = b[i] + a[i - 1] * y[i - 1]`` along an axis, or from the other end if `reverse`."""
    if isinstance(a, ndarray) and isinstance(b, ndarray):
        return _recur_on_cpu(a, b, axis, reverse)
    stand_in = foremost((a, b))
    if stand_in is not None:
        return stand_in.recurring(a, b, axis, reverse)
    return together("recurrence", (a, b)).recur(a, b, axis, reverse)


def extreme_places(which: str, x: Any, axis: int | None) -> Any:
    """Return where along an axis, which is kept with size 1, the "max" or "min" is first met."""
    if stands_in(x):
        return getattr(np, f"arg{which}")(x, axis=axis, keepdims=True)
    return target_of(x).extreme_places(which, x, axis)


def power(x: Any, y: Any) -> Any:
    """Return whole numbers to whole powers; ValueError for negative powers."""
    return together("pow", (x, y)).power(x, y)


# ---- products, joining, picking -------------------------------------------------------------------------------------


def matmul(x: Any, w: Any) -> Any:
    """Multiply matrices, or stacks of them, as ``np.matmul`` does; stand-ins answer to NumPy's functions."""
    if away:
        target = together("matmul", (x, w))
        if target is not CPU:
            return target.matmul(x, w)
        stand_in = holder((x, w))
        if stand_in is not None:
            return stand_in.__array_ufunc__(np.matmul, "__call__", x, w)
    if isinstance(x, ndarray) and isinstance(w, ndarray) and x.size <= MOST >= w.size:
        y = multiply(x, w)
        if y is not None:
            return y
    return np.matmul(x, w) if x.ndim > 2 or w.ndim > 2 else np.dot(x, w)


def concatenate(what: str, arrays: Sequence[Any], axis: int) -> Any:
    """Join arrays along an axis."""
    return together(what, arrays).concatenate(arrays, axis)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Return a view of an array that repeats its elements."""
    return (CPU if stands_in(x) else target_of(x)).broadcast_to(x, shape)


def gather(table: Any, rows: Any) -> Any:
    """Return the rows of a table at positions, which are on its target."""
    return (CPU if isinstance(table, ndarray) else target_of(table)).gather(table, rows)


def scatter(rows: Any, g: Any, shape: tuple[int, ...], unique: bool) -> Any:
    """Return zeros of a shape, as rows as wide as those of g, with these added at positions on their target."""
    return (CPU if isinstance(g, ndarray) else target_of(g)).scatter(rows, g, shape, unique)


def columns(x: Any, frame: Frame) -> Any:
    """Return all that windows see of x, of (samples, channels, *size), as (channels, *kernel, samples, *places)."""
    return target_of(x).columns(x, frame)


def overlapped(g: Any, frame: Frame) -> Any:
    """Return what windows see, added up where it was seen: the adjoint of `columns`."""
    return target_of(g).overlapped(g, frame)


def highest(x: Any, frame: Frame) -> Any:
    """Return the largest element in each window on x of (samples, channels, *size), and its place in the image."""
    return target_of(x).highest(x, frame)


def nonzero(mask: Any) -> Any:
    """Return the positions of an array's true elements, counted through all dimensions."""
    return target_of(mask).nonzero(mask)


def look(index: Any, lowest: int, highest: int) -> Callable[[], tuple[bool, bool]]:
    """Begin to look at whole numbers; gives a function that waits: is any out of limits, is any negative?"""
    return target_of(index).look(index, lowest, highest)


# ---- memory ---------------------------------------------------------------------------------------------------------


def zeros(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """Return zeros where another array is."""
    return np.zeros(shape, dtype) if isinstance(like, ndarray) else target_of(like).zeros(shape, dtype)


def empty(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """Return an array of whatever the memory held, where another array is."""
    return target_of(like).empty(shape, dtype)


def full(shape: tuple[int, ...], value: Any, dtype: Any, like: Any) -> Any:
    """Return an array of a number where another array is."""
    return target_of(like).full(shape, value, dtype)


def arange(count: int, step: int, like: Any) -> Any:
    """Return the numbers 0, step, 2 * step, ... where another array is."""
    return target_of(like).arange(count, step)


def filled(like: Any, value: float) -> Any:
    """Return an array like another one, all of whose elements are a number."""
    if isinstance(like, ndarray):
        y = np.empty(like.shape, like.dtype)
        y.fill(value)
        return y
    target = elsewhere(like)
    return like.filled(value) if target is None else target.full(like.shape, value, like.dtype)


def moved(x: Any, target: Target) -> Any:
    """Return an array on a target; itself, if it is there."""
    source = target_of(x)
    if source is target:
        return x
    if stands_in(x):
        raise TypeError(f"{type(x).__name__} cannot be moved to {target.name}: nbgrad.jit compiles for one target")
    if source is not CPU and type(source) is not type(target):
        x = source.to_numpy(x)
    return target.bring(x)


def beside(x: Any, like: Any, wait: bool = False) -> Any:
    """Return an array on the target of another one, and `wait` until it is there; itself, if it is."""
    if not away:
        return x
    target = target_of(like)
    there = moved(x, target)
    if wait and there is not x:
        target.wait()
    return there


def in_numpy(x: Any) -> Any:
    """Return an array of NumPy's with the same elements; itself, if it is one, and what stands in for one."""
    target = None if isinstance(x, ndarray) else elsewhere(x)
    return x if target is None else target.to_numpy(x)


def of_numpys(x: Any) -> Any:
    """Return an array that is NumPy's, or stands in for one; TypeError for any other, whose copy nobody would see."""
    target = None if isinstance(x, ndarray) else elsewhere(x)
    if target is not None:
        raise TypeError(f"a Variable on {target.name} is no NumPy array: copy it to the CPU with x.cpu() first")
    return x


#: What `hollow` repeats, for each dtype.
_atoms: dict[Any, ndarray[Any, Any]] = {}
#: What `hollow` made, which is one for all of a shape and a dtype, and how many of these are kept.
_hollows: dict[Any, ndarray[Any, Any]] = {}
_KEPT = 512


def has_address(array: Any) -> bool:
    """Tell whether it is known where in memory an array is."""
    return isinstance(array, ndarray) or hasattr(type(array), "__cuda_array_interface__")


def address(array: Any) -> int:
    """Return where an array's first element is."""
    place: int = numpys.address(array) if isinstance(array, ndarray) else array.__cuda_array_interface__["data"][0]
    return place


def sample(array: Any) -> Any:
    """Return an array on the target of another one that takes no memory; None while all are in the CPU's."""
    return hollow(array) if away else None


def hollow(x: Any) -> Any:
    """Return an array of the same shape, dtype and target that takes no memory: all of its elements are one."""
    target = None if isinstance(x, ndarray) else elsewhere(x)
    if target is None and not isinstance(x, ndarray):
        return x  # what stands in for one has no elements
    dtype = x.dtype
    if target is None:
        made = _hollows.get((x.shape, dtype))
        if made is not None:
            return made
    atom = _atoms.get(dtype)
    if atom is None:
        # who reads what should not be read finds NaN
        atom = _atoms[dtype] = np.full((), np.nan if dtype.kind == "f" else 0, dtype)
        atom.flags.writeable = False
    if target is not None:
        return target.broadcast_to(target.bring(atom), x.shape)
    if len(_hollows) > _KEPT:
        _hollows.clear()
    made = _hollows[x.shape, dtype] = np.ndarray(x.shape, dtype, atom, 0, (0,) * x.ndim)
    return made


def is_writeable(x: Any) -> bool:
    """Tell whether an array may be written to."""
    return x.flags.writeable if isinstance(x, ndarray) or stands_in(x) else target_of(x).is_writeable(x)


def guarded(x: Any) -> Any:
    """Return a view of an array that cannot be written to; of other targets' arrays any view."""
    view = x.view()
    if isinstance(view, ndarray) or elsewhere(view) is None:
        view.flags.writeable = False
    return view


# ---- arrays of other libraries --------------------------------------------------------------------------------------

#: DLPack's numbers for the memory of GPUs, and for memory that they share with the CPU.
_CUDA_MEMORY = (2, 13)


def adopted(value: Any) -> Any:
    """Return the array on the memory of another library's that is in no memory of the CPU; None for any other value."""
    if isinstance(value, ndarray | list | int | float):
        return None
    if elsewhere(value) is not None:
        return value
    return cuda("cuda").bring(value) if hasattr(value, "__cuda_array_interface__") else None


def from_dlpack(value: Any, kind: int) -> Any:
    """Return the array on the memory of another library's, of DLPack's kind, by its protocol."""
    if kind in _CUDA_MEMORY:
        cuda("cuda")
        return sys.modules["cupy"].from_dlpack(value)
    return np.from_dlpack(value)
