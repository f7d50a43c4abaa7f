"""What stands in for arrays while a function is traced.

A Symbol has a shape and a dtype and no elements: it is the face of a program's node. NumPy's protocols bring everything
to it that the library does to arrays, our own kernels included, so the operations, their rules and the walk back run as
they always do. What NumPy's functions do to it, `numpy_rules` knows, which stands above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import is_array, is_stand_in
from ..kernels.cpu import elementwise as cpu
from ..kernels.formula import NUMBER, Expression
from ..kernels.shapes import numbered_axes, order_of_axes
from ..variable import Variable
from . import lowering, picking, scanning
from .calls import call
from .layout import access
from .program import Input, Look, Map, Node, Program, is_view
from .refusals import WithoutElements, changed_in_place, fixed, users_line

if TYPE_CHECKING:
    from ..arrays import StandIn


class Symbol(WithoutElements, np.lib.mixins.NDArrayOperatorsMixin):
    """An array without elements, whose past is a program's node.

    `weak` is the type of the Python number that it stands for, if it does, whose dtype gives way to that of arrays.
    """

    __nbgrad_array__ = True
    base = None
    rank = 0
    within = None

    #: Set by `numpy_rules`: ufuncs of NumPy's, its other functions, and what else arrays have.
    numpys_ufunc: ClassVar[Callable[..., Any]]
    called: ClassVar[Callable[..., Any]]
    __array_function__: ClassVar[Callable[..., Any]]
    __getattr__: ClassVar[Callable[..., Any]]

    def __init__(self, program: Program, node: Node, weak: type | None = None) -> None:
        self.program, self.node, self.weak = program, node, weak

    # ---- what arrays have -------------------------------------------------------------------------------------------

    shape = fixed("shape", lambda self: self.node.shape, "x.reshape(shape)")
    dtype = fixed("dtype", lambda self: self.node.dtype, "x.view(dtype)")
    ndim = property(lambda self: len(self.node.shape))
    size = property(lambda self: self.node.size)
    itemsize = property(lambda self: self.node.dtype.itemsize)
    nbytes = property(lambda self: self.node.size * self.node.dtype.itemsize)
    T = property(lambda self: self.transpose())
    mT = property(lambda self: np.matrix_transpose(self))
    real = fixed("real", lambda self: np.real(self), "value + 1j * x.imag")
    imag = fixed("imag", lambda self: np.imag(self), "x.real + 1j * value")
    #: Of memory that nobody may write to, nor make writeable.
    flags = np.frombuffer(bytes(4), np.int8).reshape(2, 2).flags

    def by_element_of(self, other: Symbol) -> bool:
        """Tell whether this was computed of another value by formulas of one element of it each, and what is not of it.

        With the same shape, each element is then a function of the other value's in its place.
        """
        past, stack = {self.node}, [self.node]
        while stack:
            for node in stack.pop().inputs:
                if node not in past and node is not other.node:
                    past.add(node)
                    stack.append(node)
        of_it = {other.node}
        for node in sorted(past - of_it, key=lambda node: node.number):
            if any(x in of_it for x in node.inputs):
                if not isinstance(node.operation, Map):
                    return False
                of_it.add(node)
        return True

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a traced array without dimensions")
        return int(self.shape[0])

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a traced array without dimensions")
        return (self[i] for i in range(len(self)))

    def __pow__(self, exponent: Any) -> Any:
        # as NumPy's operator has it; its function gives int64 for truth values
        squares = self.dtype == np.bool_ and type(exponent) in (int, float) and exponent == 2
        return np.square(self) if squares else super().__pow__(exponent)

    def conj(self) -> Any:
        """Give the complex conjugates."""
        return np.conjugate(self) if self.dtype.kind == "c" else self.copy()

    conjugate = conj

    def copy(self, order: str = "C") -> Symbol:
        """Give the same elements."""
        return self._with(self.node)

    def __copy__(self) -> Symbol:
        return self.copy()

    def __deepcopy__(self, memory: Any) -> Symbol:
        return self.copy()

    def _with(self, node: Node) -> Symbol:
        return Symbol(self.program, node)

    def view(self, dtype: Any = None) -> Symbol:
        """Give the same elements, or the same bytes as elements of another dtype."""
        if dtype is None or np.dtype(dtype) == self.dtype:
            return self._with(self.node)
        return self._with(call(self.program, lambda x: x.view(dtype), "view", self.node))

    def reshape(self, *shape: Any, order: Any = "C", copy: Any = None) -> Symbol:
        """Give the elements in another shape."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
        if order not in ("C", None):
            return self._with(call(self.program, lambda x: x.reshape(wanted, order=order), "reshape", self.node))
        found = lowering.shape_seen(self.node, lambda x: x.reshape(wanted))
        return self._with(lowering.reshape(self.program, self.node, found))

    def ravel(self, order: Any = "C") -> Symbol:
        """Give the elements in one dimension."""
        return self.reshape(self.size, order=order) if order in ("C", None) else self.reshape(-1, order=order)

    flatten = ravel

    def transpose(self, *axes: Any) -> Symbol:
        """Give the elements with the axes in another order."""
        order = order_of_axes(numbered_axes(self.ndim).transpose(*axes))
        node = lowering.transpose(self.program, self.node, order)
        return self if node is self.node else self._with(node)

    def astype(self, dtype: Any, order: Any = "K", casting: Any = "unsafe", **options: Any) -> Symbol:
        """Convert the elements."""
        wanted = np.dtype(dtype)
        if not np.can_cast(self.dtype, wanted, casting):
            raise TypeError(f"astype: cannot cast from {self.dtype} to {wanted} according to the rule {casting!r}")
        return self._with(lowering.convert(self.program, self.node, wanted))

    def __getitem__(self, key: Any) -> Symbol:
        parts = [
            part._array if isinstance(part, Variable) else part for part in (key if type(key) is tuple else (key,))
        ]
        # True and False, tuples and the like pick elements, as arrays do
        if any(part is not None and part is not Ellipsis and not _gives_a_view(part) for part in parts):
            return self._with(picking.pick(self.program, self.node, self._nodes_in(parts)))
        return self._with(lowering.index(self.program, self.node, tuple(parts)))

    def _nodes_in(self, parts: Sequence[Any]) -> list[Any]:
        """Give the parts of an index with nodes in the place of traced arrays."""
        parts = [list(part) if isinstance(part, range) else part for part in parts]
        return [in_trace(part, self.program).node if isinstance(part, Symbol) else part for part in parts]

    # ---- what stands in for arrays has besides (`nbgrad.arrays.StandIn`) --------------------------------------------

    def folded(self, name: str, axes: tuple[int, ...], *others: Any) -> Symbol:
        """Apply one of `kernels.reductions` over axes; a finish drops them. Others are arrays, or the numbers given."""
        nodes = [x.node for x in (self, *others) if isinstance(x, Symbol)]
        numbers = [x for x in others if not isinstance(x, Symbol)]
        return self._with(lowering.fold(self.program, name, axes, nodes, numbers))

    def scanned(self, name: str, axis: int, reverse: bool) -> Any:
        """Apply one of `kernels.scans`: (values, places) for extrema."""
        nodes = scanning.scan(self.program, name, self.node, axis, reverse)
        return self._with(nodes[0]) if len(nodes) == 1 else tuple(map(self._with, nodes))

    def recurring(self, a: Any, b: Any, axis: int, reverse: bool) -> Symbol:
        """Apply the linear recurrence that gradients of scans consist of."""
        a, b = self.operand(a), self.operand(b)
        return self._with(scanning.recur(self.program, a.node, b.node, axis, reverse))

    def filled(self, value: float) -> Symbol:
        """Give an array of the same shape and dtype, all of whose elements are a number."""
        one = lowering.number(self.program, value, self.dtype)
        return self._with(lowering.broadcast(self.program, one, self.shape))

    def pick_from(self, x: Any, key: tuple[Any, ...]) -> Symbol:
        """Pick from an array by an index that has this array among its parts."""
        return self.operand(x)[key]

    def scatter(self, key: tuple[Any, ...], shape: tuple[int, ...]) -> Symbol:
        """Give zeros of a shape with these elements added at an index."""
        return self._with(picking.scatter(self.program, self.node, self._nodes_in(key), shape))

    def put_into(self, x: Any, key: tuple[Any, ...], values: Any) -> Symbol:
        """Give an array with values in place of the elements at an index."""
        x, values = self.operand(x), self.operand(values)
        if values.dtype != x.dtype:
            values = values.astype(x.dtype)
        return self._with(picking.put(self.program, x.node, values.node, self._nodes_in(key)))

    def place(self) -> tuple[int, tuple[int, ...], tuple[int, ...], int]:
        """Give where the elements would be, in a memory for each node that has one."""
        found, itemsize = access(self.node), self.itemsize
        return (
            (found.root.number << 48) + found.offset * itemsize,
            self.shape,
            tuple([step * itemsize for step in found.strides]),
            itemsize,
        )

    def is_beside(self, other: Any) -> bool:
        """Tell whether another one is a view of the same node."""
        return access(self.node).root is access(other.node).root

    def view_again(self, before: Any, after: Any) -> Symbol | None:
        """Give what this view of an array is of another one in its place; None if it was not made of that one."""
        chain = []
        node = self.node
        while node is not before.node:
            if not is_view(node):
                return None
            chain.append(node)
            (node,) = node.inputs
        node = self.operand(after).node
        for seen in reversed(chain):
            node = self.program.add(seen.operation, (node,), seen.shape, seen.dtype)
        return self._with(node)

    def refuse_if_given(self, what: str) -> None:
        """Raise for arguments of the traced function, and views of them."""
        root = access(self.node).root
        if isinstance(root.operation, Input) and root not in self.program.lifted:
            raise changed_in_place(f"{what}, which is an argument", "write into x.clone()")

    def outside(self, array: Any) -> Symbol:
        """Give an array from outside as a traced one, which is read in every run; a traced one as it is."""
        return self.operand(array)

    def made_again(self, make: Callable[[], Any], like: Any) -> Symbol:
        """Give what a function of arrays from outside gives: an array like one, made in every run."""
        return self._with(lowering.made_again(self.program, make, like))

    def checked(self, begin: Look, label: str, identity: Any) -> Symbol:
        """Have the elements looked at in every run."""
        return self._with(lowering.checked(self.program, self.node, begin, label, identity))

    # ---- what is computed -------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if any([type(x) is not Symbol and (isinstance(x, Variable) or _stands_above(x)) for x in inputs]):
            return NotImplemented  # theirs to record, or to look into
        known = cpu.formulas.get(ufunc)
        if known is None:
            return self.numpys_ufunc(ufunc, method, inputs, options)
        out = options.pop("out", None) or (...,)
        target = out[0] if isinstance(out[0], Symbol) else None
        if method != "__call__" or options or (target is None and out[0] is not ...):
            raise TypeError(f"jit: {ufunc.__name__} with these arguments cannot be traced, at {users_line()}")
        (expression,), _ = known
        program = self.program
        operands = [x if type(x) is Symbol and x.program is program else self.operand(x) for x in inputs]
        result = self._formula(ufunc, expression, operands)
        if target is not None:  # accumulation in place, by the walk back: the name goes over to the sum
            target.node = result.node
            return target
        return result

    def _formula(self, ufunc: Any, expression: Expression, operands: list[Symbol]) -> Symbol:
        """Apply an elementwise formula, in the dtype in which its ufunc would."""
        asked = [x.weak or x.node.dtype for x in operands]
        if isinstance(asked[0], type) and all([isinstance(a, type) for a in asked]):
            asked = [x.node.dtype for x in operands]
        return self.computed(expression, operands, _number_of(ufunc, *asked))

    def computed(self, expression: Expression, operands: Sequence[Symbol], number: np.dtype[Any]) -> Symbol:
        """Apply an elementwise formula in a dtype; a formula of Python numbers gives one, if it is of their kind."""
        node = lowering.computed(self.program, expression, [x.node for x in operands], number)
        weak = operands[0].weak
        if weak is None or not all([x.weak for x in operands]):
            return Symbol(self.program, node)
        if node.dtype.kind != operands[0].node.dtype.kind:
            weak = None
        return Symbol(self.program, node, weak)

    def operand(self, x: Any) -> Symbol:
        """Give what a computation with this array takes as a traced one of the same program."""
        if isinstance(x, Symbol):
            return in_trace(x, self.program)
        if isinstance(x, bool):
            return self._with(self.program.constant(np.asarray(x)))
        if isinstance(x, (int, float)) and not isinstance(x, np.generic):
            return Symbol(self.program, lowering.number(self.program, x), type(x))
        return self._with(self.program.met(x))


@once
def _number_of(ufunc: np.ufunc, *asked: Any) -> np.dtype[Any]:
    """Give the dtype in which a ufunc of ours computes numbers, of arguments of dtypes or types of Python numbers."""
    _, kinds = cpu.formulas[ufunc]
    types = ufunc.resolve_dtypes((*asked, *[None] * ufunc.nout))
    return next((t for t, kind in zip(types, kinds, strict=False) if kind == NUMBER), np.dtype(bool))


def _stands_above(x: Any) -> bool:
    """Tell whether a value holds arrays that may be traced ones."""
    return is_stand_in(x) and x.rank > 0


def _gives_a_view(part: Any) -> bool:
    """Tell whether a part of an index is a slice or a whole number, or a fraction, which NumPy refuses."""
    if isinstance(part, (slice, float)):
        return True
    picks = isinstance(part, bool | np.bool_) or is_array(part)
    return not picks and hasattr(type(part), "__index__")


def in_trace(x: Symbol, program: Program) -> Symbol:
    """Give a traced array, if it belongs to a program."""
    if x.program is not program:
        raise TypeError("jit: a traced array has left its function, or two traces were mixed; return it instead")
    return x


if TYPE_CHECKING:
    _fulfilled: type[StandIn] = Symbol
