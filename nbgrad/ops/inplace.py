"""What writes into Variables: ``x[key] = value``, ``x += y``, ``x.add_(y)`` and their like."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once
from functools import wraps
from sys import getrefcount
from typing import Any

import numpy as np

from .. import hooks, sharing
from ..arrays import Array, as_array, is_stand_in
from ..elementwise import Elementwise, node_over, number_like, writing
from ..grad_mode import is_grad_enabled
from ..history import Lost
from ..kernels.cpu import small
from ..kernels.cpu.ndarray import as_method
from ..kernels.formula import COMPARISON
from ..kernels.operators import OPERATORS
from ..registry import ENTRIES
from ..variable import Variable, as_variable, constant, data_of
from .arguments import axis_of
from .elementwise import TABLE, add
from .indexing import Index, Scatter
from .shape import Reshape, astype
from .writing import Put, Writing, has_memory_alone, put, traced_part

new = object.__new__


def _counts(operator: Callable[..., Any], method: Callable[..., Any], setitem: Callable[..., Any]) -> Any:
    """Give what functions count that tell the references to an object, of what only one name holds."""
    kind = type("Asked", (), {"__iadd__": operator, "__setitem__": setitem, "method": method})
    asked = kind()
    asked[0] = 0
    by_method = asked.method(0)
    asked += 0
    return asked, by_method


def _counted() -> tuple[int, int, int]:
    counts = []

    def setitem(self: Any, key: Any, value: Any) -> None:
        counts.append(getrefcount(self))

    def method(self: Any, *others: Any, **options: Any) -> int:
        return getrefcount(self)

    def operator(self: Any, other: Any) -> int:
        return getrefcount(self)

    return (*_counts(operator, method, setitem), counts[0])


_IN_OPERATOR, _IN_METHOD, _IN_SETITEM = _counted()


@once
def _single() -> tuple[int, ...]:
    """Give the counts for what only one name holds that compiled calls see, by operators and by methods.

    And those that is seen by what they hand on to, likewise.
    """

    def behind(self: Any, *others: Any) -> int:
        return getrefcount(self)

    calls = small.writer.references().function(behind), writing(ENTRIES["add"].operation, 0, behind)
    counts = []
    for call in calls:

        def method(self: Any, *others: Any, **options: Any) -> Any:
            return call(self, *others)  # noqa: B023

        counts += _counts(as_method(call), method, lambda self, key, value: None)
    return tuple(counts)


def _check_holds(x: Variable, dtype: Any, what: str) -> None:
    """Make sure that a Variable can hold values of a dtype."""
    if not np.can_cast(dtype, x._array.dtype, "same_kind"):
        raise TypeError(
            f"{what}: values of dtype {dtype} do not fit a Variable of dtype {x._array.dtype}: convert them with "
            "astype, or make a new Variable (x = x + y in place of x += y)"
        )


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
    unseen = getrefcount(input) <= _IN_SETITEM
    if unseen and type(input) is Variable and type(key) in _BASIC and _write_alone(input, key, value):
        return
    write_elements(input, "x[key] = value", key, value, unseen)


#: Types of an index that is a single number or slice, or all there is.
_BASIC = frozenset({int, slice, type(Ellipsis)})


def _write_alone(x: Variable, key: Any, value: Any) -> bool:
    """Write where nobody but a name holds a Variable, and nobody but this its memory; False where more is to be seen.

    Arrays are filled so, row by row.
    """
    if not sharing.alone(x):
        return False
    array = x._array
    if type(array) is not np.ndarray or not array.ndim or not array.flags.writeable:
        return False
    generation = x._generation
    given: Any
    if type(value) is Variable:
        given = value._array
        if type(given) is not np.ndarray or given.dtype is not array.dtype or given.ndim >= array.ndim:
            return False
        later = value._generation
    elif (type(value) is float or type(value) is int) and array.dtype.char in "fd":
        given, later = value, -1
    else:
        return False
    recorded = (generation >= 0 or later >= 0) and is_grad_enabled()
    if (recorded and x.creator is None and generation >= 0) or generation < -1 or sharing.stand_ins:
        return False
    try:
        array[key] = given
    except (IndexError, ValueError):
        return False  # which is named on the other way
    if recorded:
        past: Any = new(Variable)
        past._array = Lost(array, "x[key] = value")
        past.creator, past._generation = x.creator, generation
        if x.creator is not None and x.creator.multiple:
            past._index = x._index
        node: Any = new(Put)
        if later < 0:
            value = constant(np.asarray(given, array.dtype))
        node.key, node.last, node.inputs = key, None, (past, value)
        node.generation = generation = later if later > generation else generation
        x.creator = node
        x._generation = generation + 1
        if hooks.watched:
            hooks.leave_behind(x, past.creator)
    return True


def write_elements(x: Variable, what: str, key: Any, value: Any, unseen: bool) -> None:
    """Do what `setitem` does, by the name of what asks for it; `unseen` tells that a single name holds x."""
    x = x._current()
    alone = has_memory_alone(x)
    array = x._array
    index = Index(key)
    if isinstance(value, list | tuple):
        from .creation import tensor

        value = tensor(value)
    v = value._current() if isinstance(value, Variable) else None
    given: Any = value if v is None else v._array
    if isinstance(given, int | float):
        if isinstance(given, float) and array.dtype.kind != "f":
            _check_holds(x, np.dtype(np.float64), what)
    else:
        given = as_array(given)
        _check_holds(x, given.dtype, what)
    traced = is_stand_in(array) or is_stand_in(given) or traced_part(index) is not None
    recorded = is_grad_enabled() and (x._generation >= 0 or (v is not None and v._generation >= 0))
    writing = Writing(x, what, recorded, alone, unseen, traced, index)
    node, result = None, None
    if recorded:
        if v is None:
            v = Variable(np.asarray(given, array.dtype), requires_grad=False)
        v = writing.as_it_is(as_variable(v))
        shape = _shape_at(index, array)
        extra = v.ndim - len(shape)
        if extra > 0 and all([size == 1 for size in v.shape[:extra]]):
            v = Reshape(v.shape[extra:])(v)
        node = Put(index, _last_ones(index, array.shape) if index.advanced and not index.masks_only else None)
        past = writing.past()
        past._array = writing.lost(x)
        node.inputs = past, v
    if traced:
        given = given if v is None else v._array
        result = put(array, index, given)
    writing.finish(node, lambda: writing.put(index, given), result)


def _shape_at(index: Index, array: Any) -> tuple[int, ...]:
    """Give the shape of what is picked from an array at an index."""
    if traced_part(index) is not None:
        return index.stand_in.pick_from(array, index.plain()).shape
    return (np.broadcast_to(False, array.shape) if index.advanced else array)[index.key].shape


def _last_ones(index: Index, shape: tuple[int, ...]) -> Array | None:
    """Tell which values are written last where positions come several times, by 1 and 0; None if none does."""
    if traced_part(index) is not None:  # which are not known before the program runs
        return None
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
    x = x._current()
    alone = has_memory_alone(x)
    array = x._array
    values = [v._current() if isinstance(v, Variable) else v for v in (*others, *options.values())]
    recorded = is_grad_enabled() and (
        x._generation >= 0 or any([isinstance(v, Variable) and v._generation >= 0 for v in values])
    )
    traced = any([is_stand_in(data_of(v)) for v in (x, *values)])
    writing = Writing(x, what, recorded, alone, unseen, traced)
    past = writing.past()
    if not recorded:
        past._generation, past.creator = -1, None
    elif not traced and (operation is None or _reads(operation, (2,), (x, *others))):
        past._array = array.copy()
    others = tuple([writing.as_it_is(v) if isinstance(v, Variable) else v for v in others])
    options = {name: writing.as_it_is(v) if isinstance(v, Variable) else v for name, v in options.items()}
    if not recorded and not traced and operation is not None and not options:
        found = _kernel_in_place(operation, array, others)
        if found is not None:
            writing.finish(None, found)
            return x
    if recorded and not traced and operation is not None and not options and operation.differentiable:
        found = _kernel_in_place(operation, array, others)
        if found is not None and "Node" in operation.namespace:
            inputs = (x, *[as_constant(v, array) for v in others])
            if not _reads(operation, (1, 2), inputs):
                reads = [i for i in range(1, len(inputs)) if _reads(operation, (2 + i,), inputs)]
                writing.finish(node_over(operation, past, inputs[1:], reads), found)
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
        past._array = writing.lost(x)
    writing.finish(node, lambda: writing.put(_EVERYTHING, result._array), result._array)
    return x


def _reads(operation: Elementwise, what: tuple[int, ...], inputs: tuple[Any, ...]) -> bool:
    """Tell whether a rule of what is recorded may read the elements of the output (1), or of the first input (2)."""
    wanted = zip(operation.pullbacks, inputs, strict=False)
    return any(
        [
            p is not None and any([use in p.needs for use in what]) and isinstance(x, Variable) and x._generation >= 0
            for p, x in wanted
        ]
    )


def as_constant(value: Any, array: Array) -> Variable:
    """Give a number as the Variable that meets an array, and a Variable as it is."""
    return number_like(value, array.dtype) if isinstance(value, int | float) else as_variable(value)


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
    return lambda: operation.kernel(array, *arrays, out=array)


def _stretches(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return len(shape) <= len(target) and all(
        [size in (1, whole) for size, whole in zip(shape[::-1], target[::-1], strict=False)]
    )


#: So many writes an operation has done before a compiled call is made for it: scripts with a few do not wait for that.
_FEW = 10


class _Writer:
    """What writes an operation's results into Variables: the compiled call, once it is worth its while."""

    def __init__(self, what: str, function: Callable[..., Any], operation: Elementwise | None, by_method: bool) -> None:
        self.what, self.function, self.operation, self.by_method = what, function, operation, by_method
        self.count = 0

    def made(self) -> Callable[..., Variable] | None:
        """Give the compiled call if there is one by now; asked at each write that is done without."""
        self.count += 1
        if self.count <= _FEW or self.operation is None or sharing.stand_ins or not self.operation.differentiable:
            return None
        for each in (self.operation, ENTRIES["add"].operation):  # the one by which references are counted
            each.function(*[Variable(np.ones(1), requires_grad=False)] * each.arity)  # which compiles its own call
        single, behind = _single()[self.by_method], _single()[2 + self.by_method]

        def otherwise(x: Variable, *others: Any) -> Variable:
            unseen = getrefcount(x) <= behind
            if unseen and reads_none and len(others) == 1 and _write_over(operation, x, *others):
                return x
            return written_by(self.what, self.function, self.operation, x, others, {}, unseen)

        operation = self.operation
        read = {use for p in operation.pullbacks if p is not None for use in p.needs}
        reads_none = operation.arity == 2 and not read & {1, 2, 3}
        call = writing(operation, single, otherwise)
        if call is otherwise:
            self.operation = None
            return None
        return call


def _write_over(operation: Elementwise, x: Variable, other: Any) -> bool:
    """Write what an operation, whose rule reads nothing, gives over its first input; False where more is to be seen.

    Nobody but a name holds that input. This is for arrays that are too large for the compiled call.
    """
    if type(x) is not Variable or type(other) is not Variable or not sharing.alone(x) or not is_grad_enabled():
        return False
    array, given = x._array, other._array
    before, generation = x.creator, x._generation
    if type(array) is not np.ndarray or type(given) is not np.ndarray or array.dtype is not given.dtype:
        return False
    if array.shape != given.shape or not array.flags.writeable or array.dtype.char not in "fd":
        return False
    if generation < -1 or (before is None and generation >= 0) or x._story is not None or hooks.watched:
        return False
    later = max(generation, other._generation)
    if later < 0 or sharing.stand_ins:
        return False
    past: Any = new(Variable)
    past._array, past.creator, past._generation = array, before, generation
    if before is not None and before.multiple:
        past._index = x._index
    node = node_over(operation, past, (other,), ())
    node.generation = later
    try:
        operation.kernel(array, given, out=array)
    finally:  # an interrupt comes when all is written
        x.creator, x._generation = node, later + 1
    return True


def in_place(name: str, function: Callable[..., Any], operation: Elementwise | None = None) -> Callable[..., Variable]:
    """Make the method ``x.name_(...)`` that writes what ``function(x, ...)`` gives into x."""
    what = f"{name}_"
    writer = _Writer(what, function, operation, True)
    call: Callable[..., Variable] | None = None

    def method(self: Variable, *others: Any, **options: Any) -> Variable:
        nonlocal call
        if call is not None and not options:
            return call(self, *others)
        unseen = getrefcount(self) <= _IN_METHOD
        written = written_by(what, function, operation, self, others, options, unseen)
        if call is None:
            call = writer.made()
        return written

    method.__name__ = method.__qualname__ = what
    method.__wrapped__ = function  # type: ignore[attr-defined]  # whose parameters it has
    method.__doc__ = f"Write what `{name}` gives into this Variable, and give it."
    return method


def in_place_operator(
    sign: str, name: str, function: Callable[..., Any], operation: Elementwise | None
) -> Callable[..., Any]:
    """Make the operator ``x += y`` or its like, of a name, which gives way to the compiled call when there is one."""
    what = f"x {sign}= y"
    writer = _Writer(what, function, operation, False)

    def operator(self: Variable, other: Any) -> Variable:
        unseen = getrefcount(self) <= _IN_OPERATOR
        written = written_by(what, function, operation, self, (other,), {}, unseen)
        call = writer.made()
        if call is not None and vars(Variable).get(name) is operator:
            setattr(Variable, name, as_method(call))
        return written

    return operator


#: Operations that are methods of PyTorch's tensors in place as well.
NAMES = """abs acos acosh add asin asinh atan atan2 atanh clamp clamp_max clamp_min cos cosh cumprod cumsum digamma div
    erf erfc erfinv exp exp2 expm1 floor_divide hypot lgamma log log10 log1p log2 mul neg pow reciprocal relu remainder
    rsqrt sigmoid sign sin sinh sqrt square sub tan tanh""".split()


def writing_elements(where: Callable[..., tuple[Any, Any]]) -> Callable[..., Variable]:
    """Make a method that writes elements, and gives the Variable, of what tells where and what to write."""

    @wraps(where)
    def method(self: Variable, *arguments: Any, **options: Any) -> Variable:
        unseen = getrefcount(self) <= _IN_METHOD
        key, value = where(self, *arguments, **options)
        if unseen and type(self) is Variable and type(key) in _BASIC and _write_alone(self, key, value):
            return self
        write_elements(self, where.__name__, key, value, unseen)
        return self

    return method


@writing_elements
def zero_(self: Variable) -> tuple[Any, Any]:
    """Set all elements to zero, and give the Variable.

    Raises RuntimeError for a leaf that requires a gradient, outside of no_grad.
    """
    return ..., 0


@writing_elements
def fill_(self: Variable, value: Any) -> tuple[Any, Any]:
    """Set all elements to one value, a number or a Variable without dimensions, and give the Variable."""
    if np.ndim(data_of(value)):
        raise ValueError(f"fill_: the value has shape {np.shape(data_of(value))}: give one number; copy_ takes arrays")
    return ..., value


@writing_elements
def copy_(self: Variable, source: Any) -> tuple[Any, Any]:
    """Write the elements of an array or a Variable, broadcast and converted, into this Variable, and give it."""
    return ..., source


@writing_elements
def masked_fill_(self: Variable, mask: Any, value: Any) -> tuple[Any, Any]:
    """Write one value where a mask, broadcast to the shape, is True, and give the Variable."""
    chosen = as_array(data_of(mask))
    if chosen.dtype != np.bool_:
        raise TypeError(f"masked_fill_: the mask has dtype {chosen.dtype}: it takes bool")
    return np.broadcast_to(chosen, self.shape), value


@writing_elements
def index_fill_(self: Variable, dim: int, index: Any, value: Any) -> tuple[Any, Any]:
    """Write one value at positions along a dimension, and give the Variable."""
    return _along(self, "index_fill_", dim, index), value


@writing_elements
def index_copy_(self: Variable, dim: int, index: Any, source: Any) -> tuple[Any, Any]:
    """Write the slices of `source` at positions along a dimension, and give the Variable."""
    return _along(self, "index_copy_", dim, index), source


def index_add_(self: Variable, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Variable:
    """Add the slices of `source`, times `alpha`, at positions along a dimension, and give the Variable.

    Positions that come several times add up.
    """
    unseen = getrefcount(self) <= _IN_METHOD
    place = Index(_along(self, "index_add_", dim, index))
    added = Scatter(place, tuple(self.shape))(as_variable(source))
    return written_by("index_add_", add, None, self, (added * alpha if alpha != 1 else added,), {}, unseen)


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
        own = f"__i{operator}__"
        methods[own] = in_place_operator(sign, own, TABLE[name], ENTRIES[name].operation)
    for name in NAMES:
        methods[f"{name}_"] = in_place(name, ENTRIES[name].function, ENTRIES[name].operation)
    for method in (zero_, fill_, copy_, masked_fill_, index_fill_, index_copy_, index_add_):
        methods[method.__name__] = method
