"""What stands in for the array of one example while a function is run for many.

A `Batched` has the shape of one example's array and holds those of all: one more axis in front, which nobody else sees.
Where the examples do not differ that axis has one element, so that what does not depend on them is computed once. It
answers NumPy's protocols and `arrays.StandIn`, so operations, their rules and both walks run on it as they are, and no
operation knows of it; what it holds may be an array of any target, a traced one, or the Batched of an outer level.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import as_array, is_stand_in
from ..elements import WithoutElements, fixed, users_line
from ..kernels import dispatch, formula, reductions, scalars
from ..kernels.cpu import elementwise as cpu
from ..kernels.shapes import broadcast_shapes, numbered_axes, order_of_axes
from ..variable import Variable
from . import hot
from .levels import Level

if TYPE_CHECKING:
    from ..arrays import StandIn


class Batched(WithoutElements, np.lib.mixins.NDArrayOperatorsMixin):
    """The array of one of a level's examples.

    `value` has those of all along its first axis, or one in place of all.
    """

    __nbgrad_array__ = True
    weak: type | None = None
    base = None
    #: No number of bytes that an array has: the walk looks closer then.
    nbytes = 0
    #: Of memory that nobody may write to.
    flags = np.frombuffer(bytes(4), np.int8).reshape(2, 2).flags

    #: Set by `rules`.
    __array_function__: ClassVar[Callable[..., Any]]
    __getattr__: ClassVar[Callable[..., Any]]
    product: ClassVar[Callable[..., Any]]
    looped: ClassVar[Callable[..., Any]]
    multiplied: ClassVar[Callable[[Any, Any], Any]]
    #: Set by `keys`.
    picked: ClassVar[Callable[[Any, Any], Any]]
    scattered: ClassVar[Callable[[Any, Any, tuple[int, ...]], Any]]
    written: ClassVar[Callable[[Any, Any, Any], Any]]

    def __init__(
        self, level: Level, value: Any, factors: tuple[Any, Any] | None = None, hots: hot.Hots | None = None
    ) -> None:
        self.level, self._value = level, value
        #: Of a product of matrices that is not computed yet: of what. Added up over the examples it is one product.
        self.factors = factors
        #: Of what is zero but for a few places of each example: what these are, instead of the arrays of all.
        self.hots = hots

    @property
    def value(self) -> Any:
        """The arrays of all examples."""
        if self._value is None:
            if self.hots is not None:
                self._value = hot.spread(self.level, self.hots)
            else:
                self._value, self.factors = Batched.multiplied(*self.factors), None  # type: ignore[misc]
        return self._value

    # ---- what arrays have -------------------------------------------------------------------------------------------

    shape = fixed("shape", lambda self: _shape_of(self), "x.reshape(shape)")
    dtype = fixed("dtype", lambda self: _dtype_of(self), "x.view(dtype)")
    ndim = property(lambda self: len(self.shape))
    rank = property(lambda self: 1 + self.level.number)
    within = property(lambda self: _parts_of(self)[0])
    size = property(lambda self: math.prod(self.shape))
    itemsize = property(lambda self: self.dtype.itemsize)
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.transpose(*range(self.ndim - 2), self.ndim - 1, self.ndim - 2))
    real = property(lambda self: self._with(np.real(self.value)))
    imag = property(lambda self: self._with(np.imag(self.value)))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without dimensions")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _with(self, value: Any) -> Batched:
        return Batched(self.level, value)

    def copy(self, order: str = "C") -> Batched:
        """Give the same elements, which nobody writes to: what is written goes into a new array."""
        return Batched(self.level, self._value, self.factors, self.hots)

    def _moved(self, move: Callable[[Any], Any]) -> Batched:
        """Move the places of each example alike."""
        return Batched(self.level, None, None, hot.moved(self.hots, move))  # type: ignore[arg-type]

    def __copy__(self) -> Batched:
        return self.copy()

    def __deepcopy__(self, memory: Any) -> Batched:
        return self.copy()

    def view(self, dtype: Any = None) -> Batched:
        """Give the same elements, or the same bytes as elements of another dtype."""
        return self._with(self.value if dtype is None else self.value.view(dtype))

    def reshape(self, *shape: Any, order: Any = "C", copy: Any = None) -> Batched:
        """Give the elements in another shape."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
        if order not in ("C", None):
            return self.transpose().reshape(tuple(wanted)[::-1]).transpose()
        if -1 in tuple(wanted):
            wanted = np.broadcast_to(np.zeros((), np.int8), self.shape).reshape(wanted).shape
        if self.hots is not None:
            return self._moved(lambda x: x.reshape(tuple(wanted)))
        return self._with(self.value.reshape((self.value.shape[0], *wanted)))

    def ravel(self, order: Any = "C") -> Batched:
        """Give the elements in one dimension."""
        return self.reshape((self.size,), order=order)

    flatten = ravel

    def transpose(self, *axes: Any) -> Batched:
        """Give the elements with the axes in another order."""
        order = order_of_axes(numbered_axes(self.ndim).transpose(*axes))
        if self.hots is not None:
            return self._moved(lambda x: x.transpose(order))
        return self._with(self.value.transpose((0, *[axis + 1 for axis in order])))

    def astype(self, dtype: Any, **options: Any) -> Batched:
        """Convert the elements."""
        if self.hots is not None:
            hots = tuple([hot.Hot(h.owner, h.values.astype(dtype, **options)) for h in self.hots])
            return Batched(self.level, None, None, hots)
        return self._with(self.value.astype(dtype, **options))

    def conj(self) -> Batched:
        """Give the complex conjugates."""
        return self._with(np.conjugate(self.value))

    conjugate = conj

    def __getitem__(self, key: Any) -> Batched:
        return Batched.picked(self, key)

    # ---- what stands in for arrays has besides (`nbgrad.arrays.StandIn`) --------------------------------------------

    def folded(self, name: str, axes: tuple[int, ...], *others: Any) -> Batched:
        """Apply one of `kernels.reductions` over axes."""
        level = self.level
        if self.hots is not None and name == "sum" and (hots := hot.folded(self.hots, axes)) is not None:
            return Batched(level, None, None, hots)
        if not reductions.TABLE[name].spreads:
            return self._with(dispatch.reduce_array(name, self.value, tuple([a + 1 for a in axes]), others))
        values = together(level, [self, *others])
        if not axes:  # an axis to go along
            return self._with(dispatch.spread_array(name, 1, *[v[:, None] for v in values])[:, 0])
        return self._with(dispatch.spread_array(name, axes[0] + 1, *values))

    def scanned(self, name: str, axis: int, reverse: bool) -> Any:
        """Apply one of `kernels.scans`: (values, places) for extrema."""
        scalar = not self.ndim
        found = dispatch.scan_array(name, self.value[:, None] if scalar else self.value, axis + 1, reverse)
        results = [self._with(v[:, 0] if scalar else v) for v in (found if type(found) is tuple else (found,))]
        return tuple(results) if type(found) is tuple else results[0]

    def recurring(self, a: Any, b: Any, axis: int, reverse: bool) -> Batched:
        """Apply the linear recurrence that gradients of scans consist of."""
        a, b = together(self.level, [a, b])
        return self._with(dispatch.recur(a, b, axis + 1, reverse))

    def filled(self, value: float) -> Batched:
        """Give an array of the same shape and dtype, all of whose elements are a number."""
        like = self.value[:1] if self.hots is None else self.hots[0].values[None]
        return self._with(dispatch.filled(like, value))

    def pick_from(self, x: Any, key: tuple[Any, ...]) -> Any:
        """Pick from an array by an index; either has this array."""
        return Batched.picked(x, key)

    def scatter(self, key: tuple[Any, ...], shape: tuple[int, ...]) -> Batched:
        """Give zeros of a shape with these elements added at an index."""
        return Batched.scattered(self, key, shape)

    def outside(self, array: Any) -> Batched:
        """Give an array that is the same for all examples as one of this level's."""
        return array if type(array) is Batched and array.level is self.level else self._with(as_array(array)[None])

    def made_again(self, make: Callable[[], Any], like: Any) -> Batched:
        """Give what a function of arrays from outside gives; made again in every run of a trace."""
        value = self.value.made_again(make, like) if is_stand_in(self.value) else as_array(make())
        return value if type(value) is Batched else self._with(value[None])

    def put_into(self, x: Any, key: tuple[Any, ...], values: Any) -> Batched:
        """Give an array with values in place of the elements at an index."""
        return Batched.written(x, key, values)

    def place(self) -> tuple[int, tuple[int, ...], tuple[int, ...], int]:
        """Give where the elements of the first example are."""
        value = self.value
        if is_stand_in(value):
            address, shape, strides, itemsize = value.place()
            return address, shape[1:], strides[1:], itemsize
        return dispatch.address(value), value.shape[1:], value.strides[1:], value.itemsize

    def is_beside(self, other: Any) -> bool:
        """Tell whether another one is on the same memory."""
        if type(other) is not Batched or other.level is not self.level:
            return False
        if is_stand_in(self.value):
            return bool(is_stand_in(other.value) and self.value.is_beside(other.value))
        return bool(np.may_share_memory(self.value, other.value))

    def view_again(self, before: Any, after: Any) -> Any:
        """Leave it to where the elements are."""
        return None

    def refuse_if_given(self, what: str) -> None:
        """Raise for arrays that were given from outside, and views of them."""
        if is_stand_in(self.value):
            self.value.refuse_if_given(what)
        elif any(np.may_share_memory(self.value, array) for array in self.level.given):
            raise self._unchanged(f"{what}, which is an argument", "write into x.clone()")

    def called(self, name: str, function: Callable[..., Any], arrays: tuple[Any, ...]) -> Any:
        """Give what a function gives of arrays, of which this is one, example by example."""
        again = functools.partial(dispatch.called, name, function)  # one example's may be one of an outer level's
        return Batched.looped(again, name, arrays, {})

    def checked(self, begin: Callable[[Any], Callable[[], object]], label: str, identity: Any) -> Batched:
        """Have the elements looked at."""
        if is_stand_in(self.value):
            return self._with(self.value.checked(begin, label, identity))
        begin(self.value)()
        return self

    # ---- what is computed -------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(x, Variable) for x in inputs):
            return NotImplemented  # theirs to record
        target: Any = next(iter(options.pop("out", None) or (...,)), ...)
        level = top(inputs)
        if method != "__call__" or ufunc.signature is not None:
            if ufunc is np.matmul and method == "__call__":
                return self.product(*inputs)
            call = ufunc if method == "__call__" else getattr(ufunc, method)
            return self.__array_function__(_named(call, ufunc, method), (), inputs, options)
        in_place = type(target) is Batched
        if not options and (target is ... or in_place) and (hots := _hots_of(level, ufunc, inputs)) is not None:
            if not in_place:
                return Batched(level, None, None, hots)
            target.level, target._value, target.factors, target.hots = level, None, None, hots
            return target
        if target is ... and not options and _multiplies(ufunc) and _is_outer(level, *inputs):
            return later(level, *[x.value for x in inputs])
        ndim = max([np.ndim(x) for x in inputs])
        values = [aligned(x.value, ndim) if type(x) is Batched and x.level is level else x for x in inputs]
        found = _caller(ufunc)(*values) if not options and ufunc.nout == 1 else ufunc(*values, **options)
        if ufunc.nout > 1:
            return tuple(Batched(level, v) for v in found)
        result = Batched(level, found)
        if in_place:  # accumulation, by the walk back: the name goes over to the sum
            target.level, target._value, target.factors, target.hots = level, found, None, None
            return target
        if target is not ...:
            raise self._unchanged(f"np.{ufunc.__name__} with out=, or by an operator", "write x = x + y")
        return result

    # ---- what cannot be ---------------------------------------------------------------------------------------------

    def _no_value(self, what: str, remedy: str = "use nbgrad.where instead of `if`") -> Any:
        raise TypeError(
            f"{self.level.transform}: {what} asks for the elements of an array of shape {self.shape} and dtype "
            f"{self.dtype}, of which there are {self.level.size} at once, at {users_line()}: {remedy}, and keep to "
            "nbgrad's and NumPy's functions"
        )

    def _unchanged(self, what: str, remedy: str) -> Exception:
        return TypeError(
            f"{self.level.transform}: an array was changed in place at {users_line()}, by {what}: it stands for those "
            f"of {self.level.size} examples: {remedy}"
        )

    def __repr__(self) -> str:
        return f"<array of shape {self.shape} and dtype {self.dtype}, one of {self.level.size} examples>"


def _shape_of(x: Batched) -> tuple[int, ...]:
    if x.hots is not None:
        shape_of_one: tuple[int, ...] = x.hots[0].values.shape
        return shape_of_one
    if x.factors is None:
        shape: tuple[int, ...] = x._value.shape[1:]
        return shape
    first, second = x.factors
    return (*broadcast_shapes(first.shape[1:-2], second.shape[1:-2]), first.shape[-2], second.shape[-1])


def _dtype_of(x: Batched) -> np.dtype[Any]:
    held_by = x.hots[0].values if x.hots is not None else x.factors[0] if x.factors else x.value
    dtype: np.dtype[Any] = held_by.dtype
    return dtype


def _hots_of(level: Level, ufunc: np.ufunc, xs: Sequence[Any]) -> hot.Hots | None:
    """Give what a ufunc makes of arrays that are zero but for a few places; None where that is no such array."""
    given = [x.hots if type(x) is Batched and x.level is level else None for x in xs]
    if all([hots is None for hots in given]):
        return None
    others = [
        x.value if type(x) is Batched and x.level is level and not h else None for x, h in zip(xs, given, strict=True)
    ]
    if any([v is not None and v.shape[0] != 1 for v in others]):
        return None
    xs = [x if v is None else v[0] for x, v in zip(xs, others, strict=True)]
    return hot.elementwise(level, [h or () for h in given], _caller(ufunc), ufunc, xs)


def later(level: Level, first: Any, second: Any) -> Batched:
    """Give the products of all examples' matrices, or stacks of them, which are computed when they are needed."""
    ndim = max(first.ndim, second.ndim) - 1
    return Batched(level, None, (aligned(first, ndim), aligned(second, ndim)))


@functools.cache
def _multiplies(ufunc: np.ufunc) -> bool:
    """Tell whether a ufunc, NumPy's or of ours, is the product of two numbers."""
    (expression,), _ = cpu.formulas.get(ufunc, ((None,), ()))
    if expression is None or expression.function is not scalars.mul:
        return ufunc is np.multiply
    return all(x is formula.variable(i) for i, x in enumerate(expression.arguments))


def _is_outer(level: Level, x: Any, y: Any) -> bool:
    """Tell whether two factors are a column and a row for each example, so that their product is one of matrices."""
    for v in (x, y):
        if type(v) is not Batched or v.level is not level or v.ndim < 2 or v.value.shape[0] != level.size:
            return False
    return bool(x.dtype == y.dtype and x.dtype.kind == "f" and x.shape[-1] == y.shape[-2] == 1)


def _added_up(first: Any, second: Any) -> Any:
    """Give the sum of the products of all examples' matrices as one product, for each of a stack."""
    size, stacks = first.shape[0], (first.shape[1:-2], second.shape[1:-2])
    n, k = first.shape[-2:]
    m = second.shape[-1]
    count = len(stacks[0])
    between = tuple(range(1, 1 + count))
    if math.prod(stacks[0]) == 1:  # the rows are the same for the whole stack
        rows = first.reshape((size, n, k)).transpose((1, 0, 2)).reshape((n, size * k))
        columns = second.transpose((0, count + 1, *between, count + 2)).reshape((size * k, -1))
        found = Batched.multiplied(rows, columns).reshape((n, *stacks[1], m))
        return found.transpose((*between, 0, count + 1))
    stack = broadcast_shapes(*stacks)
    rows = first.transpose((*between, count + 1, 0, count + 2)).reshape((*stacks[0], n, size * k))
    if math.prod(stacks[1]) == 1:
        found = Batched.multiplied(rows.reshape((-1, size * k)), second.reshape((size * k, m)))
        return found.reshape((*stack, n, m))
    columns = second.transpose((*between, 0, count + 1, count + 2)).reshape((*stacks[1], size * k, m))
    return Batched.multiplied(rows, columns)


_callers: dict[np.ufunc, Callable[..., Any]] = {}


def _caller(ufunc: np.ufunc) -> Callable[..., Any]:
    """Give what calls a ufunc, if it is one of ours on arrays of any target, quick on small ones."""
    found = _callers.get(ufunc)
    if found is None:
        found = _callers[ufunc] = dispatch.caller(ufunc) if ufunc in cpu.formulas else ufunc
    return found


def _named(call: Callable[..., Any], ufunc: np.ufunc, method: str) -> Callable[..., Any]:
    """Give a method of a ufunc as a function with a name."""

    def function(*arguments: Any, **options: Any) -> Any:
        return call(*arguments, **options)

    function.__name__ = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    function.__module__ = "numpy"
    return function


# ---- levels ---------------------------------------------------------------------------------------------------------


def top(values: Sequence[Any]) -> Any:
    """Return the innermost level among those of values; None where none has any."""
    levels = [x.level for x in values if type(x) is Batched]
    return max(levels, key=lambda level: level.number) if levels else None


def held(level: Level, x: Any) -> Any:
    """Return the arrays of all of a level's examples; one, along an axis in front, where these do not differ."""
    return x.value if type(x) is Batched and x.level is level else as_array(x)[None]


def aligned(value: Any, ndim: int) -> Any:
    """Give what is held with as many axes behind the first as broadcasting with arrays of `ndim` takes."""
    missing = ndim + 1 - value.ndim
    return value[(slice(None), *(None,) * missing)] if missing > 0 else value


def widened(level: Level, value: Any) -> Any:
    """Repeat what is the same for all examples for each."""
    if value.shape[0] == level.size:
        return value
    return dispatch.broadcast_to(value, (level.size, *value.shape[1:]))


def together(level: Level, xs: Sequence[Any]) -> list[Any]:
    """Return what several hold, for each example where any of them differs."""
    values = [held(level, x) for x in xs]
    return values if all(v.shape[0] == 1 for v in values) else [widened(level, v) for v in values]


def _swapped(value: Any) -> Any:
    """Exchange the first two axes."""
    return value.transpose((1, 0, *range(2, value.ndim)))


def enter(level: Level, value: Any) -> Batched:
    """Give an array with all examples' along its first axis as that of one of them.

    Where it stands for examples of inner levels itself, these stay outermost.
    """
    if type(value) is Batched and value.level.number > level.number:
        return Batched(value.level, enter(level, _swapped(value.value)))
    return Batched(level, value)


def leave(level: Level, x: Any) -> Any:
    """Give the arrays of all examples along a new first axis."""
    if type(x) is Batched and x.level is level:
        return widened(level, x.value)
    if type(x) is Batched and x.level.number > level.number:
        return Batched(x.level, _swapped(leave(level, x.value)))
    return widened(level, as_array(x)[None])


def total(level: Level, x: Any) -> Any:
    """Add up over the examples of a level; an array that is the same for all counts for each."""
    if type(x) is not Batched:
        return x * np.asarray(level.size, x.dtype)
    if x.level is not level:
        return Batched(x.level, total(level, x.value))
    if x.hots is not None:
        return hot.total(x.hots)
    if x.factors is not None:
        return _added_up(*x.factors)
    value = x.value
    return dispatch.reduce_array("sum", value, (0,)) if value.shape[0] == level.size else total(level, value[0])


def _parts_of(x: Batched) -> Sequence[Any]:
    if x.hots is not None:
        return [h.values for h in x.hots]
    return (x._value,) if x.factors is None else x.factors


def levels_of(x: Any) -> list[Level]:
    """List the levels that an array has, the innermost first."""
    if type(x) is not Batched:
        return []
    found: dict[int, Level] = {}
    stack: list[Any] = [x]
    while stack:
        held_by = stack.pop()
        if type(held_by) is Batched:
            found[held_by.level.number] = held_by.level
            stack.extend(_parts_of(held_by))
    return [found[number] for number in sorted(found, reverse=True)]


if TYPE_CHECKING:
    _fulfilled: type[StandIn] = Batched
