"""``x += y`` and ``x.add_(y)``: what an operation gives, written where its first operand is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache as once
from sys import getrefcount
from typing import Any

import numpy as np

from .. import history, hooks, registry, sharing
from ..arrays import Array, is_stand_in
from ..constants import number_like
from ..elementwise import Elementwise, nodes_of
from ..function import LARGE, without_elements
from ..grad_mode import enable_grad, is_grad_enabled
from ..history import Lost
from ..kernels import dispatch
from ..kernels.cpu import caller, small
from ..kernels.cpu.ndarray import as_method
from ..kernels.formula import COMPARISON
from ..recording import written
from ..registry import ENTRIES, Entry
from ..variable import Variable, as_variable, data_of
from .indexing import Index
from .shape import astype
from .writing import Put, Writing, become, has_memory_alone

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


_IN_OPERATOR, IN_METHOD, IN_SETITEM = _counted()


@once
def _single() -> tuple[int, ...]:
    """Give the counts of what only one name holds: as compiled calls see it, by operators and by methods.

    And then as what they hand on to sees it, and as compiled calls do which that calls, likewise.
    """

    def behind(self: Any, *others: Any) -> int:
        return getrefcount(self)

    references, operation = small.writer.references().function(behind), ENTRIES["add"].operation
    calls = references, writing(operation, 0, behind), writing(operation, 0, lambda x, *others: references(x, *others))
    counts = []
    for call in calls:

        def method(self: Any, *others: Any, **options: Any) -> Any:
            return call(self, *others)  # noqa: B023

        counts += _counts(as_method(call), method, lambda self, key, value: None)
    return tuple(counts)


def check_holds(x: Variable, dtype: Any, what: str) -> None:
    """Make sure that a Variable can hold values of a dtype."""
    if not np.can_cast(dtype, x._array.dtype, "same_kind"):
        raise TypeError(
            f"{what}: values of dtype {dtype} do not fit a Variable of dtype {x._array.dtype}: convert them with "
            "astype, or make a new Variable (x = x + y in place of x += y)"
        )


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
    read = {2}
    if not recorded:
        past._generation, past.creator = -1, None
    elif not traced:
        read = read if operation is None else _read_by(operation, (x, *others))
        if 2 in read:
            past._array = array.copy()
    others = tuple([writing.as_it_is(v) if isinstance(v, Variable) else v for v in others])
    options = {name: writing.as_it_is(v) if isinstance(v, Variable) else v for name, v in options.items()}
    if not recorded and not traced and operation is not None and not options:
        found = _kernel_in_place(operation, array, others)
        if found is not None:
            writing.finish(None, found)
            return x
    if recorded and not traced and operation is not None and operation.differentiable and not read & {1, 2}:
        found = _kernel_in_place(operation, array, others)
        if found is not None and "Node" in operation.namespace:
            inputs = [as_constant(v, array) for v in others]
            writing.finish(node_over(operation, past, inputs, [use - 2 for use in read]), found)
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
        check_holds(x, result.dtype, what)
        result = astype(result, array.dtype)
    node: Any = result.creator
    if recorded and node is None:  # what was written depends on nothing recorded
        node = Put(_EVERYTHING)
        node.inputs = past, result
    if not traced and past._array is array:
        past._array = writing.lost(x)
    writing.finish(node, lambda: writing.put(_EVERYTHING, result._array), result._array)
    return x


def _read_by(operation: Elementwise, inputs: tuple[Any, ...]) -> set[int]:
    """Tell what the rules of what is recorded may read: the elements of the output (1), and of the inputs (2, ...)."""
    wanted = zip(operation.pullbacks, inputs, strict=False)
    recorded = [p for p, x in wanted if p is not None and isinstance(x, Variable) and x._generation >= 0]
    return {use for p in recorded for use in p.needs}


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
        if type(v) is not np.ndarray or v.dtype != array.dtype or not stretches(v.shape, array.shape):
            return None
        arrays.append(v)
    if operation.domain == COMPARISON or (not operation.differentiable and array.dtype.kind != "f"):
        return None
    # where operands lie across one another NumPy's ufunc sees to that
    return lambda: operation.call(array, *arrays, array)


def stretches(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Tell whether an array of a shape broadcasts to another one."""
    return len(shape) <= len(target) and all(
        [size in (1, whole) for size, whole in zip(shape[::-1], target[::-1], strict=False)]
    )


#: So many writes an operation has done before a compiled call is made for it: scripts with a few do not wait for that.
_FEW = 10


#: What compiled calls write to.
_PLAIN = Variable, history.Rewritten


class _Writer:
    """What writes an operation's results into Variables: the compiled call, once it is worth its while."""

    def __init__(
        self, what: str, function: Callable[..., Any], operation: Elementwise | None, by_method: bool, deeper: int = 0
    ) -> None:
        self.what, self.function, self.operation, self.by_method = what, function, operation, by_method
        self.deeper = deeper
        self.count = 0

    def made(self) -> Callable[..., Variable] | None:
        """Give the compiled call if there is one by now; asked at each write that is done without."""
        self.count += 1
        if self.count <= _FEW or self.operation is None or sharing.stand_ins or not self.operation.differentiable:
            return None
        for each in (self.operation, ENTRIES["add"].operation):  # the one by which references are counted
            each.function(*[Variable(np.ones(1), requires_grad=False)] * each.arity)  # which compiles its own call
        single, behind, again = [count + self.deeper for count in _single()[self.by_method :: 2]]

        def slowly(x: Variable, *others: Any) -> Variable:
            return written_by(self.what, self.function, self.operation, x, others, {}, False)

        def otherwise(x: Variable, *others: Any) -> Variable:
            unseen = getrefcount(x) <= behind
            if unseen and write_over is not None and type(x) is Variable and len(others) == 1:
                if type(others[0]) is Variable and write_over(x, others[0]):
                    return x
            if len(others) == 1 and type(others[0]) in (float, int) and type(x) in _PLAIN:
                if type(x._array) is np.ndarray and x._array.dtype.char in "fd" and x._array.size <= small.calls.SMALL:
                    return with_number(x, number_like(others[0], x._array.dtype))
            return written_by(self.what, self.function, self.operation, x, others, {}, unseen)

        operation = self.operation
        read = {use for p in operation.pullbacks if p is not None for use in p.needs}
        reads_none = operation.arity == 2 and not read & {1, 2, 3}
        write_over = _writes_over(operation) if reads_none else None
        with_number = writing(operation, again, slowly)
        call = writing(operation, single, otherwise)
        if call is otherwise:
            self.operation = None
            return None
        return call


def _writes_over(operation: Elementwise) -> Callable[[Variable, Variable], bool]:
    """Give what writes an operation's result, whose rule reads nothing of it, over its first input.

    That is large, so that no compiled call does it, and nobody but a name holds it. Gives False where more is to be
    seen.
    """
    kernel, node_class, hollow = operation.kernel, operation.namespace["EvenNode"], dispatch.hollow
    keeps_output = "output" in operation.namespace["Node"].__slots__
    alone = sharing.ALONE + 1  # with a name for the array
    what = f"{operation.name}_"

    def write(x: Variable, other: Variable) -> bool:
        array, given = x._array, other._array
        before, generation, later = x.creator, x._generation, other._generation
        if type(array) is not np.ndarray or type(given) is not np.ndarray or array.dtype is not given.dtype:
            return False
        if array.base is not None or getrefcount(array) > alone or array.shape != given.shape:
            return False
        if not array.flags.writeable or array.dtype.char not in "fd":
            return False
        if generation < -1 or (before is None and generation >= 0) or x._story is not None or hooks.watched:
            return False
        if later < generation:
            later = generation
        if later < 0 or sharing.stand_ins or not is_grad_enabled():
            return False
        past: Any = new(Variable)
        past.creator, past._generation = before, generation
        past._array = hollow(array) if array.nbytes > LARGE else Lost(array, what)
        if before is not None and before.multiple:
            past._index = x._index
        node = node_class()
        if other.creator is None and other._generation >= 0:
            node.inputs = past, other
        else:
            node.inputs = (past, *without_elements((other,), (False,)))
        if keeps_output:
            node.output = hollow(array)  # which no rule reads, either
        node.generation = later
        try:
            kernel(array, given, out=array)
        finally:  # an interrupt comes when all is written
            x.creator, x._generation = node, later + 1
            x._story = None  # as it is, for a slot that is set is quicker to read
        return True

    return write


def in_place(
    name: str, function: Callable[..., Any], operation: Elementwise | None = None, deeper: int = 0
) -> Callable[..., Variable]:
    """Make the method ``x.name_(...)`` that writes what ``function(x, ...)`` gives into x.

    So many frames are between it and its users, each of which has a name for x as well.
    """
    what = name if name.endswith("_") else f"{name}_"
    writer = _Writer(what, function, operation, True, deeper)
    call: Callable[..., Variable] | None = None

    def method(self: Variable, *others: Any, **options: Any) -> Variable:
        nonlocal call
        if call is not None and not options:
            return call(self, *others)
        unseen = getrefcount(self) <= IN_METHOD + deeper
        written = written_by(what, function, operation, self, others, options, unseen)
        if call is None:
            call = writer.made()
        return written

    method.__name__ = method.__qualname__ = what
    method.__wrapped__ = function  # type: ignore[attr-defined]  # whose parameters it has
    method.__doc__ = f"Write what `{name.removesuffix('_')}` gives into this Variable, and give it."
    return method


def rearranging(what: str, function: Callable[..., Any]) -> Callable[..., Variable]:
    """Make the method ``x.t_()`` or its like: a Variable becomes the view of its memory that a function gives."""

    def method(self: Variable, *arguments: Any, **options: Any) -> Variable:
        x = self._current()
        if x.creator is None and x._generation >= 0:
            raise RuntimeError(
                f"{what}: a leaf that requires a gradient keeps its shape: make a new Variable of it "
                f"(x = x.{what.removesuffix('_')}(...))"
            )
        array = x._array
        if is_stand_in(array):
            array.refuse_if_given(what)
        if is_stand_in(array) or sharing.stand_ins:
            history.note_write(x)
        past = history.past_of(x, array)
        with enable_grad():
            result = function(past, *arguments, **options)
        if result is not past and result._array is not array:
            generation = history.leave(x)
            x._array = result._array
            node = result.creator
            if node is None:
                history.rewritten(x, generation)
            else:
                node.generation = max(generation, past._generation)
                become(x, node)
            history.note_anew(x)
        return x

    method.__name__ = method.__qualname__ = what
    method.__wrapped__ = function  # type: ignore[attr-defined]
    method.__doc__ = f"Make this Variable the view of its elements that `{what.removesuffix('_')}` gives, and give it."
    return method


#: What changes no elements, but where they are.
_VIEWS = frozenset({"squeeze", "swapaxes", "swapdims", "t", "transpose", "unsqueeze"})


def _made_in_place(name: str, base: str, entry: Entry) -> Callable[..., Variable]:
    """Make the method of a name that writes in place, when it is first asked for."""
    if base in _VIEWS:
        return rearranging(name, entry.function)
    return in_place(name, entry.function, entry.operation)


registry.make_in_place = _made_in_place


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


# ---- nobody but a name holds it, or it was written to before --------------------------------------------------------


def writing(operation: Elementwise, single: int, slowly: Callable[..., Any]) -> Callable[..., Any]:
    """Give the compiled call that writes an operation's result into its first operand, once it was applied before.

    `single` are the references, as that call sees them, to a Variable that only a name holds; `slowly` has all others.
    """
    if "quickly" not in operation.namespace:
        return slowly
    work = caller.elementwise(operation.kernel)
    return written(work, operation.arity, single, slowly, **nodes_of(operation))


def node_over(operation: Elementwise, past: Variable, others: Sequence[Variable], reads: Collection[int]) -> Any:
    """Give the node of an operation that writes its result over what was its first input, which no rule reads.

    `reads` tells the elements of which other inputs a rule reads, by their positions.
    """
    array = past._array
    node = operation.namespace["Node"]()
    if array.nbytes > LARGE:
        past._array = dispatch.hollow(array)
        others = without_elements(tuple(others), [1 + i in reads for i in range(len(others))])
    else:
        lost: Any = Lost(array, f"{operation.name}_")
        past._array = lost
    node.inputs = (past, *others)
    if "output" in vars(operation.namespace["Node"]):
        node.output = dispatch.hollow(array)  # which no rule reads, either
    return node
