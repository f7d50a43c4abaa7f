"""What writes into Variables: ``x[key] = value``, ``x += y``, ``x.add_(y)`` and their like."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from functools import wraps
from sys import getrefcount
from types import FrameType
from typing import Any

import numpy as np

from .. import history, hooks, sharing
from ..arrays import Array, as_array, is_array, is_stand_in
from ..function import Function, constant
from ..grad_mode import is_grad_enabled
from ..history import Lost, Stale
from ..kernels import dispatch
from ..kernels.operators import OPERATORS
from ..nests import flatten
from ..registry import ENTRIES
from ..variable import Variable, as_variable, cuts, data_of
from .arguments import axis_of
from .elementwise import TABLE, add, polygamma, where
from .indexing import Index, Scatter, within
from .rewriting import IN_METHOD, IN_SETITEM, check_holds, in_place, in_place_operator, written_by
from .shape import Reshape
from .writing import Put, Writing, has_memory_alone, put, traced_part

new = object.__new__


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
    unseen = getrefcount(input) <= IN_SETITEM
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
        if type(given) is not np.ndarray or given.dtype is not array.dtype:
            return False
        if given.ndim > array.ndim or (given.ndim == array.ndim and type(key) is int):
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


def overwrite(x: Variable, what: str, values: Array) -> None:
    """Write an array that has no gradient over all of a Variable of its shape, which may be on others' memory."""
    alone = has_memory_alone(x)
    array = x._array
    recorded = x._generation >= 0 and is_grad_enabled()
    plain = type(array) is type(values) is np.ndarray and type(x) is not Stale and not sharing.stand_ins
    if alone or recorded or not plain or not array.flags.writeable or not array.flags.c_contiguous:
        write_elements(x, what, ..., values, False)
        return
    # what `Writing` does where nothing is recorded: nodes that came before find that the elements are gone
    found = sharing.others(x, array)
    generation = history.tick()
    for y in (x, *found):
        if not isinstance(y._array, Lost):
            history.lose(y, what)
            history.keep_past(y, Lost(y._array, what))
            history.rewritten(y, generation)
    array[...] = values


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
            check_holds(x, np.dtype(np.float64), what)
    else:
        given = as_array(given)
        check_holds(x, given.dtype, what)
    traced = is_stand_in(array) or is_stand_in(given) or traced_part(index) is not None
    if traced and np.size(given) == 1 and _is_mask(index, array):  # one value, wherever the mask holds
        mask = data_of(index.given[0])
        mask = mask.reshape((*mask.shape, *(1,) * (array.ndim - mask.ndim)))
        one: Any = value if v is None or not v.ndim else Reshape(())(v)
        value = where(mask, one.reshape(()) if is_array(one) else one, x)
        write_elements(x, what, ..., value, False)
        return
    recorded = is_grad_enabled() and (x._generation >= 0 or (v is not None and v._generation >= 0))
    writing = Writing(x, what, recorded, alone, unseen, traced, index)
    node, result = None, None
    if recorded:
        if v is None:
            v = Variable(as_array(given).astype(array.dtype, copy=False), requires_grad=False)
        v = writing.as_it_is(as_variable(v))
        if array.ndim and not traced and index.is_rows():
            index = Index.of_rows(within(array.shape, index.key[0], array.shape[0]))
        shape = _shape_at(index, array)
        extra = v.ndim - len(shape)
        if extra > 0 and all([size == 1 for size in v.shape[:extra]]):
            v = Reshape(v.shape[extra:])(v)
        node = Put(index, last_ones(index, array.shape) if index.advanced and not index.masks_only else None)
        past = writing.past()
        past._array = writing.lost(x)
        node.inputs = past, v
    if traced:
        given = given if v is None else v._array
        result = put(array, index, given)
    writing.finish(node, lambda: writing.put(index, given), result)


def _is_mask(index: Index, array: Any) -> bool:
    """Tell whether an index is one traced mask, of the first dimensions of an array."""
    mask = traced_part(index)
    alone = mask is not None and len(index.given) == 1
    return alone and mask.dtype == np.bool_ and mask.shape == array.shape[: mask.ndim]


def _shape_at(index: Index, array: Any) -> tuple[int, ...]:
    """Give the shape of what is picked from an array at an index."""
    if traced_part(index) is not None:
        return index.stand_in.pick_from(array, index.plain()).shape
    if array.ndim and index.is_rows():
        return (*index.key[0].shape, *array.shape[1:])
    return (np.broadcast_to(False, array.shape) if index.advanced else array)[index.key].shape


def last_ones(index: Index, shape: tuple[int, ...]) -> Array | None:
    """Tell which values are written last where positions come several times, by 1 and 0; None if none does."""
    rows = len(index.key) == 1  # all elements of a row are written as often as it is
    traced = traced_part(index)
    if traced is not None:  # it turns out in every run
        blank, key = np.zeros(shape[:1] if rows else shape, np.int64), index.plain()
        form = traced.pick_from(blank, key).shape
        every = np.arange(math.prod(form)).reshape(form)
        there: Any = traced.pick_from(traced.put_into(blank, key, every), key) == every
        return there.astype(float).reshape((*form, *(1,) * (len(shape) - 1 if rows else 0)))
    here = Index(tuple(map(dispatch.in_numpy, index.key))) if index.foreign else index
    if shape and here.is_rows():
        positions = within(shape, here.key[0], shape[0])
    else:
        positions = here.positions(shape[:1] if rows else shape)
    flat = positions.reshape(-1)
    size = shape[0] if rows else math.prod(shape)
    if size > 64 * flat.size + 4096:  # more places than it is worth to set aside
        last = np.zeros(flat.size, bool)
        last[flat.size - 1 - np.unique(flat[::-1], return_index=True)[1]] = True
    else:
        numbers, found = np.arange(flat.size), np.empty(size, np.int64)
        found[flat] = numbers  # as the values are written, the last ones stay
        last = found[flat] == numbers
    if last.all():
        return None
    last = last.astype(float)
    return last.reshape(*positions.shape, *(1,) * (len(shape) - 1 if rows else 0))


#: Operations that are methods of PyTorch's tensors in place as well.
NAMES = """abs acos acosh add asin asinh atan atan2 atanh clamp clamp_max clamp_min cos cosh cumprod cumsum digamma div
    erf erfc erfinv exp exp2 expm1 floor_divide hypot lgamma log log10 log1p log2 mul neg pow reciprocal relu remainder
    rsqrt sigmoid sign sin sinh sqrt square sub tan tanh""".split()


def writing_elements(find: Callable[..., tuple[Any, Any]]) -> Callable[..., Variable]:
    """Make a method that writes elements, and gives the Variable, of what tells where and what to write."""

    @wraps(find)
    def method(self: Variable, *arguments: Any, **options: Any) -> Variable:
        unseen = getrefcount(self) <= IN_METHOD
        key, value = find(self, *arguments, **options)
        if unseen and type(self) is Variable and type(key) in _BASIC and _write_alone(self, key, value):
            return self
        write_elements(self, find.__name__, key, value, unseen)
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


@writing_elements
def fill_diagonal_(self: Variable, fill_value: Any, wrap: bool = False) -> tuple[Any, Any]:
    """Set the elements whose positions are the same in all dimensions to one value, and give the Variable.

    In tall matrices the diagonal begins again behind its end if `wrap`. Raises ValueError for fewer than two
    dimensions, and for more of different sizes.
    """
    if np.ndim(data_of(fill_value)):
        raise ValueError(f"fill_diagonal_: the value has shape {np.shape(data_of(fill_value))}: give one number")
    mask = np.zeros(self.shape, np.bool_)
    np.fill_diagonal(mask, True, wrap)
    return mask, fill_value


def detach_(self: Variable) -> Variable:
    """Cut the Variable off from what it was computed of, and give it: it records nothing from here on."""
    x = self._current()
    if x._generation >= 0:
        if is_stand_in(x._array):
            x._array.refuse_if_given("detach_")
        if is_stand_in(x._array) or sharing.stand_ins:
            history.note_write(x)
        history.leave(x)
        x.creator, x._generation = None, next(cuts)
        x.__class__ = history.Rewritten
    return x


def polygamma_(self: Variable, n: int) -> Variable:
    """Write what `polygamma` gives, of an order, into this Variable, and give it."""
    unseen = getrefcount(self) <= IN_METHOD
    return written_by("polygamma_", lambda x: polygamma(n, x), None, self, (), {}, unseen)


def index_add_(self: Variable, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Variable:
    """Add the slices of `source`, times `alpha`, at positions along a dimension, and give the Variable.

    Positions that come several times add up.
    """
    unseen = getrefcount(self) <= IN_METHOD
    place = Index(_along(self, "index_add_", dim, index))
    given = as_variable(source)
    try:
        added = Scatter(place, tuple(self.shape))(given)
    except ValueError:
        wanted = tuple(_shape_at(place, self._array))
        raise ValueError(f"index_add_: source has shape {given.shape}: it must be {wanted}") from None
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
    for method in (zero_, fill_, copy_, masked_fill_, index_fill_, index_copy_, index_add_, detach_):
        methods[method.__name__] = method
    for method in (fill_diagonal_, polygamma_):
        methods[method.__name__] = method


# ---- what a function wrote to that was run on stand-ins -----------------------------------------------------------


def written_outside(written: Sequence[Any], known: Sequence[Any]) -> list[tuple[Variable, Any]]:
    """Give Variables that were written to (`history.writes_of_trace`) and outlive a function, with what they had.

    Those that it gives, or was given, are `known`.
    """
    leaves: list[Any] = []
    flatten(list(known), leaves)
    returned = {id(leaf) for leaf in leaves}
    outside = []
    for each in written:
        x = each[0]()  # nothing but this frame may hold it while others are looked for
        if x is not None and id(x) not in returned and _held_by_others(x):
            outside.append(each)
        del x
    return [(reference(), kept) for reference, kept in outside]


def put_back(x: Variable, kept: Any) -> None:
    """Give a Variable what it had before it was written to."""
    array, copy, creator, generation = kept
    if copy is not None:
        array[...] = copy
    x.__class__ = Variable
    x._array, x.creator, x._generation = array, creator, generation


def _held_by_others(x: Variable) -> bool:
    """Tell whether anything but nodes of the graph holds a Variable."""
    with sharing.thawed():  # what was frozen has no referrers, and looking again would find no nodes
        for holder in gc.get_referrers(x):
            if isinstance(holder, tuple):
                if not any([isinstance(node, Function) for node in gc.get_referrers(holder)]):
                    return True
            elif not isinstance(holder, list | FrameType | history.Story):
                return True
    return False
