"""Writing into Variables: ``x[key] = value``, ``x += y``, ``x.add_(y)`` and their like.

What is written to becomes the result of a node like any other: of `Put` for elements, and of the operation itself for
``x.mul_(y)``. Other Variables on the same memory, views of one another, become results of `Seen`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from sys import getrefcount
from typing import Any

import numpy as np

from .. import hooks, sharing, versions
from ..arrays import Array, as_array, is_stand_in
from ..elementwise import Elementwise
from ..function import Operation
from ..grad_mode import is_grad_enabled
from ..kernels import devices
from ..kernels.formula import COMPARISON
from ..kernels.operators import OPERATORS
from ..registry import ENTRIES
from ..variable import Variable, as_variable, data_of
from ..versions import Lost
from .arguments import axis_of
from .elementwise import TABLE, add
from .indexing import GetItem, Index, Scatter
from .shape import Reshape, astype

new = object.__new__


class Put(Operation):
    """An array with values in place of the elements at an index."""

    __slots__ = ("index", "last")
    linear = True
    reads_all = False

    def __init__(self, index: Index, last: Array | None = None) -> None:
        self.index = index
        #: Where elements are met more than once: 1 for the values that came last, 0 for those written over.
        self.last = last

    def forward(self, x: Array, v: Array) -> Array:
        y = x.copy()
        y[self.index.key] = v
        return y

    def pull(self, gy: Any) -> tuple[Array | None, ...]:
        if (
            isinstance(gy, np.ndarray)
            and getrefcount(gy) <= _private_count()
            and gy.base is None
            and gy.flags.writeable
            and self.needs(0)
            and self.last is None
        ):  # nobody else has the cotangent, so that it need not be copied to have zeros in it
            gv = gy[self.index.key].copy() if self.needs(1) else None
            gy[self.index.key] = 0
            return gy, gv
        return super().pull(gy)

    def vjp(self, gy: Any, y: Any, x: Any, v: Any) -> Any:
        gv = GetItem(self.index)(gy) if self.needs(1) else None
        if gv is not None and self.last is not None:
            gv = gv * as_like(gy, self.last)
        return Without(self.index)(gy) if self.needs(0) else None, gv


@once
def _private_count() -> int:
    """Find out the count of references, asked in `pull`, of a cotangent that nobody but the walk has."""
    from ..engine import walk_all

    counts = []

    class Asking(Operation):
        def pull(self, gy: Any) -> tuple[Array, ...]:
            counts.append(getrefcount(gy))
            return (gy.copy(),)

    x = Variable(np.zeros(2))
    y: Any = x
    for _ in range(2):
        node: Any = Asking()
        node.inputs, node.generation = (y,), y._generation
        y = new(Variable)
        y._array, y.creator, y._generation = x._array, node, node.generation + 1
    walk_all((y,), (np.zeros(2),), False, False, None)
    return counts[1]


def as_like(gy: Any, array: Array) -> Any:
    """Give an array of 0 and 1 as what may be multiplied by a cotangent."""
    held = devices.moved(array.astype(gy.dtype), devices.name_of(data_of(gy)))
    return Variable(held, requires_grad=False) if isinstance(gy, Variable) else held


class Without(Operation):
    """An array with zeros at an index."""

    __slots__ = ("index",)
    linear = True
    reads_all = False

    def __init__(self, index: Index) -> None:
        self.index = index

    def forward(self, x: Array) -> Array:
        y = x.copy()
        y[self.index.key] = 0
        return y

    def vjp(self, gy: Any, y: Any, x: Any) -> Any:
        return Without(self.index)(gy)


class Seen(Operation):
    """What a write through one Variable does to another on the same memory: some of its elements are the other's."""

    __slots__ = ("here", "there")
    linear = True
    reads_all = False

    def __init__(self, here: Array, there: Array) -> None:
        self.here, self.there = Index.of_rows(here, unique=True), Index.of_rows(there)

    def forward(self, y: Array, x: Array) -> Array:
        seen = y.copy().reshape(-1)
        seen[self.here.key] = x.reshape(-1)[self.there.key]
        return seen.reshape(y.shape)

    def vjp(self, gy: Any, y: Any, before: Any, x: Any) -> Any:
        flat = Reshape((-1,))(gy)
        back = None
        if self.needs(0):
            back = Reshape(tuple(before.shape))(Without(self.here)(flat))
        size = int(np.prod(x.shape))
        return back, Reshape(tuple(x.shape))(Scatter(self.there, (size,))(GetItem(self.here)(flat)))


# ---- what elements two arrays share ---------------------------------------------------------------------------------


def shared_positions(a: Array, b: Array) -> tuple[Array, Array]:
    """Give the flat positions in two arrays of the elements that they share.

    Raises RuntimeError where memory is shared by arrays whose elements lie across one another.
    """
    if a.itemsize != b.itemsize:
        raise RuntimeError(f"arrays of {a.dtype} and {b.dtype} share memory: write into x.clone()")
    if (b.size < a.size and _nested(a)) or not _nested(b):
        if not _nested(a):
            raise RuntimeError(
                f"arrays of shapes {a.shape} and {b.shape}, both broadcast, share memory: write into x.clone()"
            )
        there, here = shared_positions(b, a)
        return here, there
    (low, _), (origin, _) = sharing.bounds(a), sharing.bounds(b)
    offsets = _offsets(a) + (low - origin)
    inside = offsets >= 0
    rest = np.where(inside, offsets, 0)
    position = np.zeros(rest.shape, np.int64)
    steps = np.cumprod([1, *b.shape[:0:-1]], dtype=np.int64)[::-1]
    for axis in sorted(range(b.ndim), key=lambda axis: -abs(b.strides[axis])):
        size, stride = b.shape[axis], b.strides[axis]
        if size == 1:
            continue
        along, rest = np.divmod(rest, abs(stride))
        inside &= along < size
        position += (along if stride > 0 else size - 1 - along) * steps[axis]
    inside &= rest == 0
    here = np.flatnonzero(inside)
    return here, position.reshape(-1)[here]


def _offsets(a: Array) -> Array:
    """Give the offset in bytes of each element of an array from the lowest."""
    total = np.zeros(a.shape, np.int64)
    for axis, (size, stride) in enumerate(zip(a.shape, a.strides, strict=True)):
        along = np.arange(size, dtype=np.int64) * abs(stride)
        total += (along if stride >= 0 else along[::-1]).reshape(-1, *(1,) * (a.ndim - 1 - axis))
    return total


def _nested(a: Array) -> bool:
    """Tell whether an address tells the element: each stride steps over all that smaller ones reach."""
    reach = a.itemsize
    for stride, size in sorted((abs(stride), size) for stride, size in zip(a.strides, a.shape, strict=True)):
        if size > 1:
            if stride < reach:
                return False
            reach = stride * (size - 1) + reach
    return True


# ---- writing --------------------------------------------------------------------------------------------------------


def _counted() -> tuple[int, int, int]:
    """Find out what the counts of references are, asked as below, of what only one name holds."""
    counts = []

    class Asked:
        def __setitem__(self, key: Any, value: Any) -> None:
            counts.append(getrefcount(self))

        def method(self, *others: Any, **options: Any) -> None:
            counts.append(getrefcount(self))

        def __iadd__(self, other: Any) -> Any:
            counts.append(getrefcount(self))
            return self

    asked = Asked()
    asked[0] = 0
    asked.method(0)
    asked += 0
    return counts[0], counts[1], counts[2]


_IN_SETITEM, _IN_METHOD, _IN_OPERATOR = _counted()


def _to_be_written(x: Variable, what: str, recorded: bool) -> list[Variable]:
    """Make sure that a Variable may be written to, and give the others on its memory."""
    array = x._array
    if any([stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True)]):
        raise RuntimeError(
            f"{what}: several elements of the array of shape {array.shape} are one place in memory: write into x.clone()"
        )
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise ValueError(f"{what}: the array of shape {array.shape} is read-only: write into x.clone()")
    if recorded and x.creator is None and x._generation >= 0:
        raise RuntimeError(
            f"{what}: a leaf that requires a gradient cannot be written to while that is recorded: do so under "
            "no_grad(), or write into x.clone()"
        )
    if recorded and array.dtype.char not in "fd":
        raise TypeError(
            f"{what}: a Variable of dtype {array.dtype} has no gradients, and that of what is written would be lost "
            "unseen: convert it with astype first, or write x.detach()"
        )
    if sharing.alone(x, 1 if x.creator is not None and x.creator.output is array else 0):
        return []
    found = sharing.others(x)
    if recorded:
        for y in found:
            if y.creator is None and y._generation >= 0:
                raise RuntimeError(
                    f"{what}: this is a view of a leaf that requires a gradient (of shape {y.shape}), which cannot be "
                    "written to while that is recorded: do so under no_grad(), or write into x.clone()"
                )
    return found


def _check_holds(x: Variable, dtype: Any, what: str) -> None:
    """Make sure that a Variable can hold values of a dtype."""
    if not np.can_cast(dtype, x._array.dtype, "same_kind"):
        raise TypeError(
            f"{what}: values of dtype {dtype} do not fit a Variable of dtype {x._array.dtype}: convert them with "
            "astype, or make a new Variable (x = x + y in place of x += y)"
        )


class Writing:
    """A write to a Variable, from what it needs to know to what it leaves behind."""

    __slots__ = ("found", "past", "recorded", "traced", "unseen", "what", "x")

    def __init__(self, x: Variable, what: str, recorded: bool, unseen: bool, traced: bool) -> None:
        self.x, self.what, self.recorded, self.traced = x, what, recorded, traced
        if type(x) is versions.Stale:
            versions.refresh(x)
        self.found = _to_be_written(x, what, recorded)
        #: Whether no node can hold the Variable, since a single name does, and no other Variable is on its memory.
        self.unseen = unseen and not self.found
        self.past = versions.past_of(x, x._array)

    def as_it_is(self, v: Variable) -> Variable:
        """Give a Variable whose place in the graph stays what it is now: it may change with the write."""
        if v is self.x:
            return self.past
        if not any([v is y for y in self.found]):
            return v
        return versions.past_of(v, v._array if self.traced else v._array.copy())

    def put(self, index: Index, given: Any) -> None:
        """Write into memory."""
        try:
            self.x._array[index.key] = given
        except (IndexError, ValueError) as error:
            raise type(error)(f"{self.what}: x of shape {self.x.shape}: {error}") from None

    def finish(self, node: Any, write: Callable[[], None], result: Variable | None = None) -> None:
        """Write, and link the Variables to what they come from then: the node, if this is recorded.

        What is traced is not written to; it becomes the result.
        """
        if self.traced:
            assert result is not None
            self._link(node, result._array)
            return
        try:
            write()
        except (ValueError, TypeError, IndexError):
            raise
        except BaseException:  # an interrupt, when all was written perhaps
            self._link(node)
            raise
        self._link(node)

    def _link(self, node: Any, array: Any = None) -> None:
        x, what = self.x, self.what
        if not self.recorded:
            if self.unseen:
                versions.lose(x, what)
                return
            generation = versions.tick()
            for y in (x, *self.found):
                versions.overwritten(y, what, generation)
            return
        versions.lose(x, what)
        family = versions.family_of(x)
        if sharing.active and family != -1:
            versions.story_of(x).family = family
        if self.unseen:
            node.generation = max([x._generation for x in node.inputs])
        else:
            node.generation = versions.tick()
            versions.keep_past(x, versions.past_of(x, versions.lost(x, what)))
        _become(x, node)
        views = []
        for y in self.found:
            if versions.family_of(y) == family:
                views.append(y)
            else:
                versions.overwritten(y, what, node.generation)
        if views:
            self._link_views(views)

    def _link_views(self, views: list[Variable]) -> None:
        """Have views of one another see what was written: one that has all elements at once, the others when used."""
        x, what = self.x, self.what
        whole = max([x, *views], key=lambda y: y.size)
        (low, high) = sharing.bounds(whole._array)
        dense = high - low == whole.nbytes
        if whole is not x:
            self._see(whole, x)
        for y in views:
            versions.lose(y, what)
            if y is whole:
                continue
            begin, end = sharing.bounds(y._array)
            if dense and low <= begin and end <= high:
                sharing.forget(y)
                versions.story_of(y).source = whole
                y.__class__ = versions.Stale
            else:
                self._see(y, x)

    def _see(self, y: Variable, x: Variable) -> None:
        versions.lose(y, self.what)
        versions.keep_past(y, versions.past_of(y, versions.lost(y, self.what)))
        see(y, x)


def see(y: Variable, x: Variable) -> None:
    """Make a Variable come from another on its memory, in what elements they share, and from what it was in others."""
    node: Any = Seen(*shared_positions(y._array, x._array))
    node.inputs = versions.past_of(y, versions.lost(y, "a write to a view")), x
    node.generation = max(x._generation, y._generation)
    _become(y, node)


def _refresh(y: Variable) -> None:
    source = versions.story_of(y).source
    assert source is not None
    whole = source._for_nodes()
    versions.keep_past(y, versions.past_of(y, versions.lost(y, "a write to another Variable on its memory")))
    see(y, whole)
    versions.story_of(y).source = None
    sharing.note(y)


versions.refresh = _refresh


def _become(x: Variable, node: Any) -> None:
    if type(x) in (versions.Rewritten, versions.Stale):
        x.__class__ = Variable
    x.creator = node
    x._generation = node.generation + 1
    if hooks.watched and x._retains:
        hooks.watch(x)


def setitem(input: Variable, key: Any, value: Any) -> None:
    """Write values in place of the elements at an index, which may be whatever reading takes.

    The gradient goes to the values for the elements written, and past them for all others. Raises RuntimeError for
    leaves that require a gradient, and views of them, where that is recorded; TypeError for values of a dtype that the
    Variable cannot hold; ValueError for shapes that do not fit, and for read-only arrays; IndexError for positions
    outside.

    >>> import numpy as np, nbgrad
    >>> w = nbgrad.tensor(2.0, requires_grad=True)
    >>> x = nbgrad.zeros(3)
    >>> x[1] = w * w
    >>> (x * 3).sum().backward()
    >>> w.grad
    Variable(12.)
    """
    what = "x[key] = value"
    unseen = getrefcount(input) <= _IN_SETITEM
    array = input._array
    index = Index(key)
    if isinstance(value, list | tuple):
        from .creation import tensor

        value = tensor(value)
    v = value if isinstance(value, Variable) else None
    given: Any = value if v is None else v._array
    if isinstance(given, int | float):
        if isinstance(given, float) and array.dtype.kind != "f":
            _check_holds(input, np.dtype(np.float64), what)
    else:
        given = as_array(given)
        _check_holds(input, given.dtype, what)
    if is_stand_in(array) or is_stand_in(given):
        raise NotImplementedError
    recorded = is_grad_enabled() and (input._generation >= 0 or (v is not None and v._generation >= 0))
    writing = Writing(input, what, recorded, unseen, False)
    node = None
    if recorded:
        if v is None:
            v = Variable(np.asarray(given, array.dtype), requires_grad=False)
        v = writing.as_it_is(as_variable(v))
        shape = (np.broadcast_to(False, array.shape) if index.advanced else array)[index.key].shape
        extra = v.ndim - len(shape)
        if extra > 0 and all([size == 1 for size in v.shape[:extra]]):
            v = Reshape(v.shape[extra:])(v)
        node = Put(index, _last_ones(index, array.shape) if index.advanced and not index.masks_only else None)
        writing.past._array = Lost(array, what)
        node.inputs = writing.past, v
    writing.finish(node, lambda: writing.put(index, given))


def _last_ones(index: Index, shape: tuple[int, ...]) -> Array | None:
    """Tell which values are written last where positions come several times, by 1 and 0; None if none does."""
    positions = index.positions(shape)
    flat = positions.reshape(-1)
    _, first = np.unique(flat[::-1], return_index=True)
    if first.size == flat.size:
        return None
    last = np.zeros(flat.size)
    last[flat.size - 1 - first] = 1
    return last.reshape(positions.shape)


# ---- operations in place --------------------------------------------------------------------------------------------

_EVERYTHING = Index(Ellipsis)


def written_by(
    what: str,
    function: Callable[..., Any],
    operation: Elementwise | None,
    x: Variable,
    others: tuple[Any, ...],
    options: dict[str, Any],
    unseen: bool,
) -> Variable:
    """Write into a Variable what an operation makes of it and others, and give it.

    `operation` is the elementwise one behind the function, if there is one.
    """
    if options:
        operation = None
    array = x._array
    values = [*others, *options.values()]
    recorded = is_grad_enabled() and (
        x._generation >= 0 or any([isinstance(v, Variable) and v._generation >= 0 for v in values])
    )
    traced = any([is_stand_in(data_of(v)) for v in (x, *values)])
    writing = Writing(x, what, recorded, unseen, traced)
    past = writing.past
    if not recorded:
        past._generation, past.creator = -1, None
    elif not traced and _reads_itself(operation, (x, *others)):
        past._array = array.copy()
    others = tuple([writing.as_it_is(v) if isinstance(v, Variable) else v for v in others])
    options = {name: writing.as_it_is(v) if isinstance(v, Variable) else v for name, v in options.items()}
    if not recorded and not traced and operation is not None and not options:
        found = _kernel_in_place(operation, array, others)
        if found is not None:
            writing.finish(None, found)
            return x
    result: Variable = function(past, *others, **options)
    if result is past:
        return x
    if result.shape != array.shape:
        raise ValueError(
            f"{what}: the result has shape {result.shape}, and a Variable of shape {array.shape} is written to: make a "
            "new one (x = x + y in place of x += y)"
        )
    if result.dtype != array.dtype:
        _check_holds(x, result.dtype, what)
        result = astype(result, array.dtype)
    node: Any = result.creator
    if recorded and node is None:  # what was written depends on nothing recorded
        node = Put(_EVERYTHING)
        node.inputs = past, result
    if not traced and past._array is array:
        past._array = Lost(array, what)
    writing.finish(node, lambda: writing.put(_EVERYTHING, result._array), result)
    return x


def _reads_itself(operation: Elementwise | None, inputs: tuple[Any, ...]) -> bool:
    """Tell whether a rule may read the elements that an operation in place overwrites: those of its first input."""
    if operation is None:
        return True
    wanted = zip(operation.pullbacks, inputs, strict=False)
    return any([p is not None and 2 in p.needs and isinstance(x, Variable) and x._generation >= 0 for p, x in wanted])


def _kernel_in_place(operation: Elementwise, array: Array, others: tuple[Any, ...]) -> Callable[[], None] | None:
    """Give what writes an elementwise operation's result where its first input is, if dtypes and shapes allow it."""
    if not isinstance(array, np.ndarray) or len(others) != operation.arity - 1:
        return None
    arrays = []
    for v in others:
        if type(v) is int or type(v) is float:
            if array.dtype.kind != "f":
                return None
            v = np.asarray(v, array.dtype)
        v = data_of(v)
        if type(v) is not np.ndarray or v.dtype != array.dtype or not _stretches(v.shape, array.shape):
            return None
        arrays.append(v)
    if operation.domain == COMPARISON or (not operation.differentiable and array.dtype.kind != "f"):
        return None
    # NumPy's ufunc sees to operands that lie across one another
    return lambda: operation.kernel(array, *arrays, out=array)  # type: ignore[return-value]


def _stretches(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return len(shape) <= len(target) and all(
        [size in (1, whole) for size, whole in zip(shape[::-1], target[::-1], strict=False)]
    )


def in_place(name: str, function: Callable[..., Any], operation: Elementwise | None = None) -> Callable[..., Variable]:
    """Make the method ``x.name_(...)`` that writes what ``function(x, ...)`` gives into x."""
    what = f"{name}_"

    def method(self: Variable, *others: Any, **options: Any) -> Variable:
        return written_by(what, function, operation, self, others, options, getrefcount(self) <= _IN_METHOD)

    method.__name__ = method.__qualname__ = what
    method.__doc__ = f"Write what `{name}` gives into this Variable, and give it."
    return method


def in_place_operator(sign: str, function: Callable[..., Any], operation: Elementwise | None) -> Callable[..., Any]:
    """Make the operator ``x += y`` or its like."""
    what = f"x {sign}= y"

    def operator(self: Variable, other: Any) -> Variable:
        unseen = getrefcount(self) <= _IN_OPERATOR
        if unseen and self._generation > 0 and self.creator is not None and sharing.alone(self) and not hooks.watched:
            # nobody can tell a new one from this one
            result: Variable = function(self, other)
            if result._array.shape == self._array.shape and result._array.dtype == self._array.dtype:
                return result
        return written_by(what, function, operation, self, (other,), {}, unseen)

    return operator


#: Operations that are methods of PyTorch's tensors in place as well.
NAMES = """abs acos acosh add asin asinh atan atan2 atanh clamp clamp_max clamp_min cos cosh cumprod cumsum digamma div
    erf erfc erfinv exp exp2 expm1 floor_divide hypot lgamma log log10 log1p log2 mul neg pow reciprocal relu remainder
    rsqrt sigmoid sign sin sinh sqrt square sub tan tanh""".split()


def zero_(self: Variable) -> Variable:
    """Set all elements to zero, and give the Variable.

    Raises RuntimeError for a leaf that requires a gradient, outside of no_grad.
    """
    return fill_(self, 0)


def fill_(self: Variable, value: Any) -> Variable:
    """Set all elements to one value, a number or a Variable without dimensions, and give the Variable."""
    if np.ndim(data_of(value)):
        raise ValueError(f"fill_: the value has shape {np.shape(data_of(value))}: give one number; copy_ takes arrays")
    setitem(self, ..., value)
    return self


def copy_(self: Variable, source: Any) -> Variable:
    """Write the elements of an array or a Variable, broadcast and converted, into this Variable, and give it."""
    setitem(self, ..., source)
    return self


def masked_fill_(self: Variable, mask: Any, value: Any) -> Variable:
    """Write one value where a mask, broadcast to the shape, is True, and give the Variable."""
    chosen = as_array(data_of(mask))
    if chosen.dtype != np.bool_:
        raise TypeError(f"masked_fill_: the mask has dtype {chosen.dtype}: it takes bool")
    setitem(self, np.broadcast_to(chosen, self.shape), value)
    return self


def index_fill_(self: Variable, dim: int, index: Any, value: Any) -> Variable:
    """Write one value at positions along a dimension, and give the Variable."""
    setitem(self, _along(self, "index_fill_", dim, index), value)
    return self


def index_copy_(self: Variable, dim: int, index: Any, source: Any) -> Variable:
    """Write the slices of `source` at positions along a dimension, and give the Variable."""
    setitem(self, _along(self, "index_copy_", dim, index), source)
    return self


def index_add_(self: Variable, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Variable:
    """Add the slices of `source`, times `alpha`, at positions along a dimension, and give the Variable.

    Positions that come several times add up.
    """
    place = Index(_along(self, "index_add_", dim, index))
    added = Scatter(place, tuple(self.shape))(as_variable(source))
    return written_by("index_add_", add, None, self, (added * alpha if alpha != 1 else added,), {}, False)


def _along(x: Variable, what: str, dim: int, index: Any) -> tuple[Any, ...]:
    return (slice(None),) * axis_of(what, dim, x.ndim) + (index,)


def install(methods: dict[str, Any]) -> None:
    """Add the methods and operators that write to a table of methods."""
    methods["__setitem__"] = setitem
    for sign, operator in {
        "+": "add",
        "-": "sub",
        "*": "mul",
        "/": "truediv",
        "//": "floordiv",
        "%": "mod",
        "**": "pow",
    }.items():
        name = OPERATORS[operator]
        methods[f"__i{operator}__"] = in_place_operator(sign, TABLE[name], ENTRIES[name].operation)
    for name in NAMES:
        methods[f"{name}_"] = in_place(name, ENTRIES[name].function, ENTRIES[name].operation)
    for method in (zero_, fill_, copy_, masked_fill_, index_fill_, index_copy_, index_add_):
        methods[method.__name__] = method
