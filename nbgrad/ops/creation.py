"""Variables made from numbers and shapes, and random ones; elsewhere than on the CPU with ``device="cuda"``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..arrays import Array, as_array, is_array, is_stand_in, of_numpys_own
from ..function import constant
from ..generator import Generator, default_generator
from ..grad_mode import differentiating, is_grad_enabled
from ..kernels import dispatch, placement
from ..kernels.placement import named
from ..variable import Variable, as_variable, data_of, get_default_dtype
from .arguments import whole_numbers
from .arithmetic import add
from .elementwise import mul
from .joining import stack
from .shape import broadcast_to
from .transfer import clone

if TYPE_CHECKING:
    from ..kernels.target import Target

Dtype = npt.DTypeLike | None

_NUMBERS = frozenset({int, float})


def _made(data: Array, requires_grad: bool, device: Any = None) -> Variable:
    if device is not None:
        data = dispatch.moved(data, named(device))
    return Variable(data, requires_grad=requires_grad)


def _of_new(data: Array, requires_grad: bool, device: Any = None) -> Variable:
    """Do as `_made` does, of memory that is nobody else's."""
    if device is None and requires_grad is False and type(data) is np.ndarray:
        return constant(data)
    return _made(data, requires_grad, device)


def _target(device: Any) -> Target:
    return placement.CPU if device is None else named(device)


def _floating(dtype: Dtype) -> np.dtype[Any]:
    return get_default_dtype() if dtype is None else np.dtype(dtype)


def tensor(data: Any, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable of numbers, nested lists or an array, which is copied.

    Arrays keep their dtype; Python floats become the default dtype, whole numbers int64, truth values bool. What is on
    a GPU already stays there unless `device` says otherwise, also arrays of other libraries, as torch's. A Variable
    that requires a gradient, alone or in a list, gets it through what is made of it, unless `requires_grad` asks for a
    leaf.

    Raises TypeError for what is masked or not numeric, and for `requires_grad` with a dtype that has no gradients;
    RuntimeError where a leaf would lose a gradient inside a function that is being differentiated.

    >>> import nbgrad
    >>> nbgrad.tensor([1, 2.5], requires_grad=True)
    Variable([1. , 2.5])
    """
    if type(data) is list and dtype is None and data and _NUMBERS.issuperset(map(type, data)):
        numbers = np.array(data)
        if numbers.dtype.char in "dl":  # or there are numbers out of range
            return _of_new(
                numbers.astype(get_default_dtype(), copy=False) if numbers.dtype.char == "d" else numbers,
                requires_grad,
                device,
            )
    if not isinstance(data, np.ndarray | int | float) and _records("tensor", data, requires_grad):
        return _finished(_joined(data), dtype, requires_grad, device)
    if isinstance(data, Variable):
        data = data.data
    if isinstance(data, list | tuple):
        data = _plain(data)
    here = dispatch.adopted(data)
    if here is not None:
        # a copy, but one is enough
        copied = here.copy() if dtype is None else here.astype(dtype)
        return _made(_numeric("tensor", copied), requires_grad, device)
    of_numpys_own(data)  # refuses masks, which would be lost unseen
    try:
        array = np.array(data, dtype=dtype)
    except (ValueError, TypeError) as error:
        raise type(error)(f"tensor: {error}") from None
    if dtype is None and array.dtype == np.float64 and not isinstance(data, np.ndarray | np.generic):
        array = array.astype(get_default_dtype(), copy=False)
    return _made(_numeric("tensor", array), requires_grad, device)


def as_tensor(data: Any, dtype: Dtype = None, device: Any = None) -> Variable:
    """Make a Variable that shares memory with an array, of whatever library, where dtype and device allow it.

    A Variable of that dtype and device is given as it is; numbers and lists are copied, as `tensor` does.
    """
    if isinstance(data, Variable):
        return data.to(device=device, dtype=data.dtype if dtype is None else dtype)
    here = dispatch.adopted(data)
    if here is None:
        if not is_array(data):
            return tensor(data, dtype, device=device)
        here = data
    array = _numeric("as_tensor", here if dtype is None else here.astype(dtype, copy=False))
    return _made(array, False, device)


def from_numpy(ndarray: Array) -> Variable:
    """Make a Variable on the memory of a NumPy array: what is written to one is in the other.

    Raises TypeError for what is no NumPy array of numbers.

    >>> import numpy as np, nbgrad
    >>> array = np.zeros(2)
    >>> x = nbgrad.from_numpy(array)
    >>> array[0] = 1
    >>> print(x)
    [1. 0.]
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(ndarray).__name__}: nbgrad.tensor takes others")
    return _made(_numeric("from_numpy", ndarray), False, None)


def from_dlpack(data: Any) -> Variable:
    """Make a Variable on the memory of another library's array, on the CPU or a GPU, by the DLPack protocol.

    >>> import numpy as np, nbgrad
    >>> array = np.zeros(2)
    >>> x = nbgrad.from_dlpack(array)
    >>> array[0] = 1
    >>> x
    Variable([1., 0.])
    """
    try:
        kind, _ = data.__dlpack_device__()
    except AttributeError:
        raise TypeError(f"from_dlpack: {type(data).__name__} has no __dlpack__: nbgrad.tensor copies") from None
    return _made(_numeric("from_dlpack", dispatch.from_dlpack(data, kind)), False)


def _numeric(what: str, array: Array) -> Array:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what}: dtype {array.dtype} is not numeric: give numbers, or a numeric dtype=")
    return array


def _records(what: str, data: Any, leaf: bool = False) -> bool:
    """Tell whether what is made of a value, or of anything in nested lists, is computed from it and not from numbers.

    So it is where a gradient goes through, and for what stands in for arrays.
    `leaf`: a leaf is asked for, which cuts a gradient off; an error where that loses one unseen.
    """
    if isinstance(data, list | tuple):
        return any([_records(what, item, leaf) for item in data])
    if not isinstance(data, Variable):
        return is_stand_in(data)
    stands_in = is_stand_in(data._array)
    if data._generation < 0 or not is_grad_enabled():
        return stands_in
    if leaf and differentiating.get():
        raise RuntimeError(
            f"{what}: a leaf of a Variable that requires a gradient, inside a function that is being differentiated, "
            "loses the gradient unseen: leave requires_grad out, or use x.detach() where the gradient is not wanted"
        )
    return stands_in or not leaf


def _joined(data: Any) -> Variable:
    """Make a Variable of nested lists through which gradients go."""
    if isinstance(data, Variable):
        return clone(data)
    if not isinstance(data, list | tuple):
        return as_variable(data) if is_stand_in(data) else tensor(data)
    return stack([_joined(item) for item in data])


def _finished(made: Any, dtype: Dtype, leaf: bool, device: Any) -> Variable:
    """Give what was computed from Variables, or from what stands in for arrays, as it was asked for."""
    made = as_variable(made)
    if dtype is not None or device is not None:
        made = made.to(device=device, dtype=dtype or made.dtype)
    return made.detach().requires_grad_() if leaf else made


def _number(value: Any) -> Any:
    """Give the number that a Variable holds, to count with and not to differentiate."""
    return value.detach().item() if isinstance(value, Variable) else value


def _plain(data: Any) -> Any:
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    return dispatch.in_numpy(data_of(data))


def _fresh(what: str, make: Callable[..., Any], shape: tuple[int, ...], *rest: Any) -> Any:
    """Give what makes an array of a shape. Raises ValueError for negative sizes."""
    try:
        return make(shape, *rest)
    except ValueError:
        if min(shape, default=0) >= 0:
            raise
        raise ValueError(f"{what}: a size is negative, in {shape}: give 0 or more") from None


def _sizes(sizes: tuple[Any, ...], size: Any) -> tuple[Any, ...]:
    """Give sizes that come as arguments, as one sequence, or by their name."""
    return sizes if size is None else (*sizes, size)


def zeros(
    *sizes: Any, size: Any = None, dtype: Dtype = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Make a Variable of zeros; sizes as arguments or as one sequence."""
    shape, kind = whole_numbers("zeros", _sizes(sizes, size)), _floating(dtype)
    return _of_new(_fresh("zeros", _target(device).zeros, shape, kind), requires_grad)


def ones(
    *sizes: Any, size: Any = None, dtype: Dtype = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Make a Variable of ones; sizes as arguments or as one sequence."""
    shape, kind = whole_numbers("ones", _sizes(sizes, size)), _floating(dtype)
    return _of_new(_fresh("ones", _target(device).full, shape, 1, kind), requires_grad)


def empty(
    *sizes: Any, size: Any = None, dtype: Dtype = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Make a Variable whose elements are whatever the memory held."""
    shape, kind = whole_numbers("empty", _sizes(sizes, size)), _floating(dtype)
    return _of_new(_fresh("empty", _target(device).empty, shape, kind), requires_grad)


def full(size: Any, fill_value: Any, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable with every element `fill_value`, whose kind of number decides the dtype unless given.

    The gradient of a Variable that requires one is the sum of those of the elements.
    Raises TypeError for what is no number, and for whole numbers out of the range of 64 bits.
    """
    if type(fill_value) is float and dtype is None:
        shape = whole_numbers("full", tuple(size) if isinstance(size, tuple | list) else (size,))
        return _of_new(_fresh("full", _target(device).full, shape, fill_value, get_default_dtype()), requires_grad)
    if _records("full", fill_value, requires_grad):
        shape = whole_numbers("full", (size,) if not isinstance(size, tuple | list) else tuple(size))
        return _finished(clone(broadcast_to(as_variable(fill_value), shape)), dtype, requires_grad, device)
    if isinstance(fill_value, Variable):
        fill_value = fill_value.data
    if dtype is None:
        value = _numeric("full", as_array(fill_value))
        dtype = get_default_dtype() if isinstance(fill_value, float) else value.dtype
    shape = whole_numbers("full", (size,) if not isinstance(size, tuple | list) else tuple(size))
    return _of_new(_fresh("full", _target(device).full, shape, fill_value, np.dtype(dtype)), requires_grad)


def eye(n: int, m: int | None = None, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make an n by m matrix (n by n unless given) with ones on the diagonal."""
    if n < 0 or (m is not None and m < 0):
        raise ValueError(f"eye: {n} rows and {n if m is None else m} columns: give 0 or more")
    return _made(np.eye(n, m, dtype=_floating(dtype)), requires_grad, device)


def _bounds_by_name(given: Sequence[Any], **named: Any) -> tuple[Any, ...]:
    """Give arange's bounds in their order, some of which were named."""
    positions = ("end",) if len(given) == 1 and named["end"] is None else ("start", "end", "step")
    twice = any(named[name] is not None for name in positions[: len(given)])
    named |= dict(zip(positions, given, strict=False))
    if twice or len(given) > 3 or named["end"] is None:
        raise TypeError("arange: takes (end), (start, end) or (start, end, step), each once, by position or by name")
    return named["start"] or 0, named["end"], 1 if named["step"] is None else named["step"]


def arange(
    *bounds: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    dtype: Dtype = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Variable:
    """Make a Variable of start, start + step, ... before end: ``arange(end)``, ``arange(start, end, step)``."""
    if len(bounds) == 1 and type(bounds[0]) is int and bounds[0] >= 0 and start is end is step is None:
        return _of_new(np.arange(bounds[0], dtype=dtype), requires_grad, device)
    if start is not None or end is not None or step is not None:
        bounds = _bounds_by_name(bounds, start=start, end=end, step=step)
    if not 1 <= len(bounds) <= 3:
        raise TypeError(f"arange: takes 1 to 3 bounds, got {len(bounds)}")
    numbers = [_number(b) for b in bounds]
    _check_direction(numbers)
    if dtype is None and any(isinstance(b, float) for b in numbers):
        dtype = get_default_dtype()
    values = np.arange(*numbers, dtype=dtype)
    if len(bounds) > 1 and _records("arange", [bounds[0], *bounds[2:]], requires_grad):  # how many has no gradient
        start, step = bounds[0], bounds[2] if len(bounds) > 2 else 1
        made = start + step * np.arange(values.size, dtype=values.dtype)
        return _finished(made, values.dtype, requires_grad, device)
    return _made(values, requires_grad, device)


def _check_direction(bounds: list[Any]) -> None:
    """Refuse steps that lead away from the end."""
    start, end = (0, bounds[0]) if len(bounds) == 1 else bounds[:2]
    step = bounds[2] if len(bounds) == 3 else 1
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange: a step of {step} does not lead from {start} to {end}")


def linspace(
    start: Any, end: Any, steps: int, dtype: Dtype = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Make a Variable of `steps` evenly spaced values from `start` to `end`, both included."""
    if steps < 0:
        raise ValueError(f"linspace: {steps} steps: give 0 or more")
    if _records("linspace", [start, end], requires_grad):
        share = np.linspace(0, 1, steps)
        return _finished(start * (1 - share) + end * share, _floating(dtype), requires_grad, device)
    if type(steps) is int and steps > 1 and dtype is device is None and _is_number(start) and _is_number(end):
        values = np.arange(steps, dtype=np.float64)  # what np.linspace does, of which Python is most
        step = (end - start) / (steps - 1)
        if step:
            values *= step
            values += float(start)
            values[-1] = end
            return _of_new(values.astype(get_default_dtype(), copy=False), requires_grad)
    return _made(np.linspace(_number(start), _number(end), steps, dtype=_floating(dtype)), requires_grad, device)


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**53)


def _like(x: Any) -> Array:
    return x.data if isinstance(x, Variable) else as_array(x)


def _beside(device: Any, like: Array) -> Target:
    return placement.CPU if device is None and type(like) is np.ndarray else named(device, like)


def _kind(dtype: Dtype, like: Array) -> np.dtype[Any]:
    return like.dtype if dtype is None else np.dtype(dtype)


def zeros_like(x: Any, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable of zeros with the shape and dtype of x."""
    like = _like(x)
    return _of_new(_beside(device, like).zeros(like.shape, _kind(dtype, like)), requires_grad)


def ones_like(x: Any, dtype: Dtype = None, requires_grad: bool = False, device: Any = None) -> Variable:
    """Make a Variable of ones with the shape and dtype of x."""
    like = _like(x)
    return _of_new(_beside(device, like).full(like.shape, 1, _kind(dtype, like)), requires_grad)


def full_like(
    x: Any, fill_value: Any, dtype: Dtype = None, requires_grad: bool = False, device: Any = None
) -> Variable:
    """Make a Variable with every element `fill_value` and the shape and dtype of x."""
    like = _like(x)
    target, kind = _beside(device, like), _kind(dtype, like)
    if isinstance(fill_value, Variable) or _records("full_like", fill_value):
        return full(like.shape, fill_value, kind, requires_grad, target.name)
    return _of_new(target.full(like.shape, fill_value, kind), requires_grad)


# ---- random numbers -------------------------------------------------------------------------------------------------


def drawn(what: str, kind: str, size: tuple[Any, ...], dtype: Dtype, device: Any, generator: Generator | None) -> Any:
    """Draw an array from a generator, or the one there is for all; see `Generator.draw`."""
    generator = default_generator if generator is None else generator
    if not isinstance(generator, Generator):
        raise TypeError(f"{what}: a generator is a nbgrad.Generator, got {type(generator).__name__}")
    wanted = _floating(dtype)
    if wanted.char not in "fd":
        raise TypeError(f"{what}: draws float32 or float64, not {wanted}")
    target = _target(generator.device if device is None and generator is not default_generator else device)
    return generator.draw(kind, whole_numbers(what, size), wanted, target)


def rand(
    *sizes: Any,
    size: Any = None,
    dtype: Dtype = None,
    requires_grad: bool = False,
    device: Any = None,
    generator: Generator | None = None,
) -> Variable:
    """Make a Variable of numbers uniform in [0, 1), float32 or float64."""
    return _of_new(drawn("rand", "uniform", _sizes(sizes, size), dtype, device, generator), requires_grad)


def randn(
    *sizes: Any,
    size: Any = None,
    dtype: Dtype = None,
    requires_grad: bool = False,
    device: Any = None,
    generator: Generator | None = None,
) -> Variable:
    """Make a Variable of numbers from the standard normal distribution, float32 or float64."""
    return _of_new(drawn("randn", "normal", _sizes(sizes, size), dtype, device, generator), requires_grad)


def uniform_like(x: Any, low: float = 0.0, high: float = 1.0, shape: Any = None) -> Any:
    """Give numbers uniform in [low, high), of the dtype of x, where it is: a Variable for a Variable.

    They have the shape of x unless told otherwise.
    """
    data = data_of(x)
    size = tuple(data.shape) if shape is None else shape
    kind = np.dtype(data.dtype)
    target = placement.CPU if is_stand_in(data) else named(None, data)
    found = default_generator.draw("uniform", size, kind if kind.char in "fd" else np.dtype(np.float32), target)
    found = found.astype(kind)
    if (low, high) != (0.0, 1.0):
        found = found * kind.type(high - low) + kind.type(low)
    return Variable(found, requires_grad=False) if isinstance(x, Variable) else found


def randint(
    *bounds: Any,
    low: Any = None,
    high: Any = None,
    size: Any = None,
    dtype: Dtype = np.int64,
    requires_grad: bool = False,
    device: Any = None,
    generator: Generator | None = None,
) -> Variable:
    """Make a Variable of whole numbers in [low, high): ``randint(high, size)`` or ``randint(low, high, size)``.

    The numbers may be wanted in a floating dtype. Each of n numbers is as likely as another to one part in 2**53 / n.
    Raises ValueError where there is no number, or more than 2**53.
    """
    numbers = list(bounds)
    if size is None and numbers:
        size = numbers.pop()
    numbers += [high] if high is not None else []
    numbers = ([low] if low is not None else []) + numbers
    if not 1 <= len(numbers) <= 2 or size is None or (len(numbers) == 1 and low is not None):
        raise TypeError("randint: takes (high, size) or (low, high, size)")
    low, high = (0, numbers[0]) if len(numbers) == 1 else numbers
    shape = whole_numbers("randint", (size,) if not isinstance(size, tuple | list) else tuple(size))
    kind = np.dtype(dtype)
    if kind == np.bool_ and not 0 <= low < high <= 2:
        raise ValueError(f"randint: bool has 0 and 1, not numbers from {low} to {high - 1}")
    low, high = int(low), int(high)
    if not 0 < high - low <= 2**53:
        trouble = "low >= high" if low >= high else "more than 2**53 numbers"
        raise ValueError(f"randint: {trouble}, from {low} up to {high}")
    share = drawn("randint", "uniform", shape, np.float64, device, generator)
    if type(share) is np.ndarray:
        found = np.asarray(share * float(high - low), np.int64)  # rounds down; arithmetic makes numbers of 0-d arrays
        found += low
        return _of_new(found if kind.char == "l" else found.astype(kind), requires_grad)
    with (placement.elsewhere(share) or placement.CPU).current():
        whole = mul(Variable(share, requires_grad=False), float(high - low)).astype(np.int64)  # rounds down
        return _made(add(whole, low).astype(kind)._array, requires_grad)
