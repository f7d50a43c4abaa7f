"""What stands in for arrays while a function is traced.

A Symbol has a shape and a dtype and no elements. NumPy's protocols bring everything to it that the library does to
arrays, our own kernels included, so the operations, their rules and the walk back run as they always do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..kernels import devices, formula, reductions
from ..kernels import math as scalar
from ..kernels.cpu import elementwise as cpu
from ..kernels.formula import NUMBER, TRUTH, Expression, ScalarFunction
from ..kernels.shapes import broadcast_shapes, numbered_axes, order_of_axes
from ..variable import Variable, as_array
from .layout import can_reshape
from .program import Call, Constant, Fold, Input, Map, Node, Program, View, root_of
from .refusals import changed_in_place, users_line


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """An array without elements, whose past is a program's node."""

    __nbgrad_array__ = True
    base = None

    def __init__(self, program: Program, node: Node, weak: type | None = None) -> None:
        self.program, self.node, self.weak = program, node, weak

    # ---- what arrays have -------------------------------------------------------------------------------------------

    shape = property(lambda self: self.node.shape, lambda self, value: _replaced("shape", "x.reshape(shape)"))
    dtype = property(lambda self: self.node.dtype, lambda self, value: _replaced("dtype", "x.view(dtype)"))
    ndim = property(lambda self: len(self.node.shape))
    size = property(lambda self: self.node.size)
    itemsize = property(lambda self: self.node.dtype.itemsize)
    nbytes = property(lambda self: self.node.size * self.node.dtype.itemsize)
    T = property(lambda self: self.transpose())
    mT = property(lambda self: np.matrix_transpose(self))
    real = property(lambda self: np.real(self), lambda self, value: _replaced("real", "value + 1j * x.imag"))
    imag = property(lambda self: np.imag(self), lambda self, value: _replaced("imag", "x.real + 1j * value"))

    @property
    def flags(self) -> Any:
        """Flags of an array that nobody may write to."""
        return _FLAGS

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a traced array without dimensions")
        return int(self.shape[0])

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a traced array without dimensions")
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        from .functions import attribute

        return attribute(self, name)

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

    def _view(self, kind: str, argument: Any, shape: tuple[int, ...]) -> Symbol:
        return self._with(self.program.add(View(kind, argument), (self.node,), shape, self.dtype))

    def view(self, dtype: Any = None) -> Symbol:
        """Give the same elements, or the same bytes as elements of another dtype."""
        if dtype is None or np.dtype(dtype) == self.dtype:
            return self._with(self.node)
        return self._called("view", lambda x: x.view(dtype))

    def reshape(self, *shape: Any, order: Any = "C", copy: Any = None) -> Symbol:
        """Give the elements in another shape."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | np.integer) else shape
        if order not in ("C", None):
            return self._called("reshape", lambda x: x.reshape(wanted, order=order))
        target = self._shaped(lambda x: x.reshape(wanted))
        node = self.node
        while isinstance(node.operation, View) and node.operation.kind == "reshape":
            node = node.inputs[0]
        if node.shape == target:
            return self._with(node)
        if compiles(self.dtype) and not can_reshape(node, target):
            # NumPy would copy as well; what lies in C order afterwards has any shape
            kind = TRUTH if self.dtype == np.bool_ else NUMBER
            node = self.mapped(formula.variable(0, kind), [node], self.dtype)
        return self._with(node)._view("reshape", target, target)

    def ravel(self, order: Any = "C") -> Symbol:
        """Give the elements in one dimension."""
        return self.reshape(self.size, order=order) if order in ("C", None) else self.reshape(-1, order=order)

    flatten = ravel

    def transpose(self, *axes: Any) -> Symbol:
        """Give the elements with the axes in another order."""
        order = order_of_axes(numbered_axes(self.ndim).transpose(*axes))
        if order == tuple(range(self.ndim)):
            return self
        return self._view("transpose", order, tuple(self.shape[a] for a in order))

    def broadcast_to(self, shape: tuple[int, ...]) -> Symbol:
        """Repeat the elements along new and stretched axes."""
        return self if shape == self.shape else self._view("broadcast", shape, shape)

    def filled(self, value: float) -> Symbol:
        """Give an array of the same shape and dtype, all of whose elements are a number."""
        return self._with(self.program.constant(_readonly(value, self.dtype))).broadcast_to(self.shape)

    def astype(self, dtype: Any, order: Any = "K", casting: Any = "unsafe", **options: Any) -> Symbol:
        """Convert the elements."""
        wanted = np.dtype(dtype)
        if not np.can_cast(self.dtype, wanted, casting):
            raise TypeError(f"astype: cannot cast from {self.dtype} to {wanted} according to the rule {casting!r}")
        if wanted == self.dtype:
            return self._with(self.node)
        # what lies outside of the range of few or unsigned bits, each way of conversion takes elsewhere
        outside = self.dtype.kind == "f" and (wanted.kind == "u" or (wanted.kind == "i" and wanted.itemsize < 4))
        if outside or not (compiles(self.dtype) and compiles(wanted)):
            return self._called("astype", lambda x: x.astype(wanted))
        return self._with(self.program.add(Map(None, wanted.name), (self.node,), self.shape, wanted))

    def _called(self, name: str, function: Any) -> Any:
        """Give what a function makes of the elements, called at every run."""
        from .functions import call

        return call(function, name, (self,), {})

    def _shaped(self, function: Any) -> tuple[int, ...]:
        """Give the shape that a view of this shape has."""
        return tuple(function(np.broadcast_to(np.zeros((), np.int8), self.shape)).shape)

    def __getitem__(self, key: Any) -> Symbol:
        given = key if type(key) is tuple else (key,)
        parts = tuple([part._array if isinstance(part, Variable) else part for part in given])
        # True and False, tuples and the like pick elements, as arrays do
        if any(part is not None and part is not Ellipsis and not _gives_a_view(part) for part in parts):
            from .picking import pick

            return pick(self, [list(part) if isinstance(part, range) else part for part in parts])
        if not any(part is Ellipsis for part in parts):
            parts = (*parts, Ellipsis)  # a single element then is a view as well
        return self._view("index", parts, self._shaped(lambda x: x[parts]))

    def outside(self, array: Any) -> Symbol:
        """Give an array from outside as a traced one, which is read in every run."""
        return self._with(self.program.constant(array))

    def made_again(self, make: Callable[[], Any], like: Any) -> Symbol:
        """Give what a function of arrays from outside gives: an array like one, made in every run."""
        device = self.program.device
        again = make if device == "cpu" else lambda: devices.moved(make(), device)
        operation = Call(again, again, "positions", False)
        return self._with(self.program.add(operation, (), like.shape, like.dtype))

    def called(self, operation: Call, others: Sequence[Symbol], shape: tuple[int, ...]) -> Symbol:
        """Give what a call of this array and others gives, of the same dtype."""
        nodes = (self.node, *(other.node for other in others))
        return self._with(self.program.add(operation, nodes, shape, self.dtype))

    def pick_from(self, x: Any, key: tuple[Any, ...]) -> Symbol:
        """Pick from an array by an index that has this array among its parts."""
        return self._operand(x)[key]

    def scatter(self, key: tuple[Any, ...], shape: tuple[int, ...]) -> Symbol:
        """Give zeros of a shape with these elements added at an index."""
        from .picking import scatter

        return scatter(self, key, shape)

    # ---- what is computed -------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        from . import functions

        if any(isinstance(x, Variable) for x in inputs):
            return NotImplemented  # theirs to record
        known = cpu.formulas.get(ufunc)
        if known is not None:  # one of our own
            out = options.pop("out", None) or (...,)
            target = out[0] if isinstance(out[0], Symbol) else None
            if method != "__call__" or options or (target is None and out[0] is not ...):
                raise TypeError(f"jit: {ufunc.__name__} with these arguments cannot be traced, at {users_line()}")
            (expression,), kinds = known
            result = self.formula(ufunc, expression, kinds, [self._operand(x) for x in inputs])
            if target is not None:  # accumulation in place, by the walk back: the name goes over to the sum
                target.node = result.node
                return target
            return result
        name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        if options.pop("out", None) is not None:
            raise changed_in_place(f"{name} with out=, or by an operator", "write x = x + y instead of x += y")
        if method == "at":
            raise changed_in_place(name, "write nbgrad.where(mask, x + y, x), or a sum over what goes to each place")
        if method == "__call__" and not options:
            result = self._numpys(ufunc, inputs)
            if result is not None:
                return result
        return functions.call(ufunc if method == "__call__" else getattr(ufunc, method), name, inputs, options)

    def _operand(self, x: Any) -> Symbol:
        if isinstance(x, Symbol):
            return in_trace(x, self.program)
        if isinstance(x, bool):
            return self._with(self.program.constant(np.asarray(x)))
        if isinstance(x, int | float) and not isinstance(x, np.generic):
            return Symbol(self.program, self.program.constant(_readonly(x)), type(x))
        return self._with(self.program.constant(x))

    def _numpys(self, ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
        """Apply a ufunc of NumPy's as a formula; None where there is none that gives the dtype that NumPy would."""
        from .functions import FLOATING_RULES

        if ufunc in FLOATING_RULES and self.dtype.char in "fd":
            return FLOATING_RULES[ufunc](self)
        if ufunc is np.matmul:
            arrays = [x if isinstance(x, Symbol) else as_array(x) for x in inputs]
            plain = all(x.ndim and compiles(x.dtype) for x in arrays)
            return self._product(*(self._operand(x) for x in inputs)) if plain else None
        function = formula._scalar_functions.get(formula.standing_for(ufunc) or "")
        if function is None or ufunc.nout != 1:
            return None
        asked = [_asked(x) for x in inputs]
        if all(isinstance(a, type) for a in asked):
            asked = [np.dtype(np.int64 if a is int else np.float64) for a in asked]
        try:
            types = ufunc.resolve_dtypes((*asked, None))
        except TypeError:
            return None  # NumPy says why
        result = self.compiled(function, types, inputs)
        if result is not None and all(type(x) in (int, float) or getattr(x, "weak", None) for x in inputs):
            # an operator of Python numbers gives one, a function of NumPy's an array
            result.weak = {"i": int, "f": float}.get(result.dtype.kind) if ufunc in _OPERATORS else None
        return result

    def compiled(self, function: ScalarFunction, types: Sequence[Any], inputs: Sequence[Any]) -> Symbol | None:
        """Apply a scalar function in the dtypes given, the result's last; None where it has no loop for them."""
        expression, kinds, domain = function.expression, function.argument_kinds, function.domain
        exponent = inputs[1] if function is scalar.pow else None
        if isinstance(exponent, int | float) and not isinstance(exponent, np.generic | bool):
            expression, kinds = scalar.pow(formula.variable(0), exponent), (NUMBER,)
            if types[0].kind in "iu" and isinstance(exponent, int) and 1 <= exponent <= 8:
                domain = formula.NUMERIC  # products, then
            inputs = inputs[:1]
        numbers = {np.dtype(t) for t, kind in zip(types, kinds, strict=False) if kind == NUMBER}
        number = next(iter(numbers), np.dtype(bool))
        dtype = np.dtype(bool) if expression.kind == TRUTH else number
        if len(numbers) > 1 or number.char not in cpu.DTYPES[domain] or np.dtype(types[-1]) != dtype:
            return None
        for x in inputs:
            if type(x) is int and not _holds(number if number.kind in "iu" else np.dtype(np.int64), x):
                return None
            if type(x) not in (bool, int, float) and not compiles(np.result_type(_asked(x))):
                return None
        operands = [self._operand(x) for x in inputs]
        operands = [x if kind == NUMBER else x.astype(bool) for x, kind in zip(operands, kinds, strict=True)]
        return self._formula_in(number, dtype, expression, operands)

    def _product(self, first: Symbol, second: Symbol) -> Symbol:
        """Multiply matrices: by BLAS, or as a formula where there is nothing to add up."""
        shape = _matmul_shape(first.shape, second.shape)
        if first.ndim == second.ndim == 2 and first.shape[1] == 1:
            return np.multiply(first, second)  # type: ignore[return-value]
        dtype = np.result_type(first.dtype, second.dtype)
        nodes = [x.astype(dtype).node for x in (first, second)]
        flat = first.ndim <= 2 and second.ndim <= 2  # np.dot has less overhead, but other rules for stacks
        function, label = (np.dot, "dot") if flat else (np.matmul, "matmul")
        return self._with(self.program.add(Call(function, "matmul", label, True), nodes, shape, dtype))

    def formula(self, ufunc: Any, expression: Expression, kinds: Any, operands: list[Symbol]) -> Symbol:
        """Apply an elementwise formula, in the dtype in which its ufunc would."""
        asked = [x.weak or x.dtype for x in operands]
        if all(isinstance(a, type) for a in asked):
            asked = [x.dtype for x in operands]
        types = ufunc.resolve_dtypes((*asked, *[None] * ufunc.nout))
        number = next((t for t, kind in zip(types, kinds, strict=False) if kind == NUMBER), np.dtype(bool))
        dtype = np.dtype(bool) if expression.kind == TRUTH else number
        return self._formula_in(number, dtype, expression, operands)

    def _formula_in(
        self, number: np.dtype[Any], dtype: np.dtype[Any], expression: Expression, operands: list[Symbol]
    ) -> Symbol:
        """Apply an elementwise formula in a dtype."""
        if number == np.bool_ and expression.kind == NUMBER:
            whole = np.dtype(cpu.computed_in([expression], "bool"))
            kinds = formula.inputs_of([expression])
            operands = [x if kinds.get(i) == TRUTH else x.astype(whole) for i, x in enumerate(operands)]
            return self._formula_in(whole, whole, expression, operands).astype(bool)
        shape = broadcast_shapes(*(x.shape for x in operands))
        node = self._known(expression, operands, number)
        if node is None:
            kinds = formula.inputs_of([expression])
            nodes = [self._in_dtype(x.node, number, kinds.get(i) == TRUTH) for i, x in enumerate(operands)]
            node = self.program.add(Map(expression, number.name), nodes, shape, dtype)
        weak = operands[0].weak if all(x.weak for x in operands) and dtype.kind == operands[0].dtype.kind else None
        return Symbol(self.program, node, weak)

    def _in_dtype(self, node: Node, number: np.dtype[Any], truth: bool) -> Node:
        """Give a number that stays the same in the dtype it is wanted in, once and for all; anything else as it is."""
        value = None if truth or number.kind != "f" or node.dtype == number else self.program.number_of(node)
        if value is not None:
            return self.program.constant(_readonly(value, number))
        return node if compiles(node.dtype) else self._with(node).astype(number).node

    def _known(self, expression: Expression, operands: list[Symbol], number: np.dtype[Any]) -> Node | None:
        """Give the result of simple arithmetic on numbers at once: a mean's slope is often made of them alone."""
        function = _ARITHMETIC.get(expression.function.name if expression.function is not None else "")
        values = [self.program.number_of(x.node) for x in operands]
        if function is None or None in values:
            return None
        # `is`, since == of expressions writes a comparison
        if any(x is not formula.variable(i) for i, x in enumerate(expression.arguments)):
            return None
        with np.errstate(all="ignore"):
            return self.program.constant(_readonly(function(*(np.asarray(v, number) for v in values)), number))

    def mapped(self, expression: Expression, nodes: list[Node], dtype: np.dtype[Any]) -> Node:
        """Add a formula of nodes of one dtype."""
        shape = broadcast_shapes(*(node.shape for node in nodes))
        return self.program.add(Map(expression, dtype.name), nodes, shape, dtype)

    def folded(self, name: str, axes: tuple[int, ...], *others: Symbol) -> Symbol:
        """Apply one of `kernels.reductions`: its stages, and the formula at the end; a finish drops the axes."""
        if self.dtype == np.float16:
            return self.astype(np.float32).folded(name, axes, *(x.astype(np.float32) for x in others))
        if not compiles(self.dtype):
            raise TypeError(f"{name}: no kernel for dtype {self.dtype}: convert to a real dtype first")
        rest = tuple(axis for axis in range(self.ndim) if axis not in axes)
        ordered = rest + axes
        if axes and axes[-1] - axes[0] + 1 == len(axes) and (axes[0] == 0 or axes[-1] == self.ndim - 1):
            ordered = tuple(range(self.ndim))
        base = self.node
        while isinstance(base.operation, View) and base.operation.kind == "reshape":
            base = base.inputs[0]
        if len(axes) == self.ndim and base is not self.node and not others and not reductions.TABLE[name].spreads:
            # all elements, whatever their shape
            return self._with(base).folded(name, tuple(range(len(base.shape))))
        if ordered != tuple(range(self.ndim)):  # axes in the middle: they go to the end
            moved = [x.transpose(ordered) for x in (self, *others)]
            result = moved[0].folded(name, tuple(range(len(rest), self.ndim)), *moved[1:])
            back = tuple(int(axis) for axis in np.argsort(ordered))
            return result.transpose(back) if reductions.TABLE[name].spreads else result
        reduction = reductions.TABLE[name]
        inputs = [x.node for x in (self, *others)]
        dtype = self.dtype
        if reduction.accumulates and dtype.kind in "iub":
            dtype = np.dtype(np.uint64 if dtype.kind == "u" else np.int64)
            inputs = [x.astype(dtype).node for x in (self, *others)]
        results: list[Node] = []
        kept: Node | None = None
        for stage in reduction.stages:
            value = self._stage(stage.value, [*inputs, *results], dtype)
            kept = value if stage.kept else kept
            shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
            if axes and shape != value.shape:
                value = self.program.add(Fold(stage.combine, axes), (value,), shape, dtype)
            results.append(value)
        length = 1
        for axis in axes:
            length *= self.shape[axis]
        count = self.program.constant(_readonly(float(length), dtype)) if dtype.kind == "f" else results[-1]
        if reduction.spreads:
            return self._with(self._stage(reduction.result, [*inputs, *results, count, kept or results[-1]], dtype))
        shape = tuple(size for axis, size in enumerate(self.shape) if axis not in axes)
        if not shape:  # one number, which whatever follows takes as such
            results = [self._with(node).reshape(shape).node for node in results]
        # otherwise the axes stay until the end, so that what follows may still be in the same loop
        return self._with(self._stage(reduction.result, [*inputs, *results, count], dtype)).reshape(shape)

    def scanned(self, name: str, axis: int, reverse: bool) -> Any:
        """Apply one of `kernels.scans`, called at every run."""
        from . import scanning

        return scanning.scanned(self, name, axis, reverse)

    def recurring(self, a: Any, b: Any, axis: int, reverse: bool) -> Symbol:
        """Apply the linear recurrence that gradients of scans consist of, called at every run."""
        from . import scanning

        return scanning.recurring(self._operand(a), self._operand(b), axis, reverse)

    def _stage(self, expression: Expression, nodes: list[Node], dtype: np.dtype[Any]) -> Node:
        used = formula.inputs_of([expression])
        if len(used) == 1 and expression is formula.variable(next(iter(used))):
            return nodes[next(iter(used))]
        new = {formula.variable(old): formula.variable(position) for position, old in enumerate(used)}
        return self.mapped(formula.substitute(expression, new), [nodes[old] for old in used], dtype)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        if any(issubclass(kind, Variable) for kind in types):
            return NotImplemented
        from .functions import apply

        return apply(function, arguments, options)

    def checked(self, begin: Any, label: str, identity: Any) -> Symbol:
        """Have the elements looked at in every run: `begin(array)` gives a function that waits and raises.

        What nothing has to be computed for is looked at while everything else is under way.
        """
        if isinstance(root_of(self.node).operation, Input | Constant):
            self.program.checks[identity, self.node] = begin
            return self

        def look(array: Any) -> Any:
            begin(array)()
            return array

        return self._with(self.program.add(Call(look, identity, label, False), (self.node,), self.shape, self.dtype))

    # ---- what only elements could tell ------------------------------------------------------------------------------

    def _no_value(self, what: str, remedy: str = "use nbgrad.where instead of `if`") -> Any:
        raise TypeError(
            f"jit: {what} asks for the elements of a traced array of shape {self.shape} and dtype {self.dtype}, at "
            f"{users_line()}: {remedy}, keep to nbgrad's and NumPy's functions, or make the argument static "
            "(static_argnums)"
        )

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        return self._no_value(
            "a conversion to an array (np.asarray, np.array of a list, writing into an array)",
            "leave np.asarray out, join arrays by np.stack, use nbgrad.where instead of writing, index "
            "nbgrad.tensor(array) instead of an array from outside",
        )

    def __hash__(self) -> int:
        return int(self._no_value("hashing (a set, a key of a dict)", "use a list, or a number as the key"))

    def __bool__(self) -> bool:
        return bool(self._no_value("a branch (if, while, and, or, not, in, max, min, sorted)"))

    def __contains__(self, value: Any) -> bool:
        return bool(self._no_value("`in`", "use (x == value).any() and nbgrad.where"))

    def __float__(self) -> float:
        return float(self._number("float(), a function of math or writing an element of an array"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __complex__(self) -> complex:
        return complex(self._number("complex()"))

    def __round__(self, digits: int = 0) -> Any:
        return self._number("round()")

    def __trunc__(self) -> Any:
        return self._number("math.trunc()")

    def __floor__(self) -> Any:
        return self._number("math.floor()")

    def __ceil__(self) -> Any:
        return self._number("math.ceil()")

    def __index__(self) -> int:
        remedy = "use nbgrad.where, or index a traced array or nbgrad.tensor(array) instead of a list or an array"
        return int(self._no_value("its use as an index or a size", remedy))

    def _number(self, what: str) -> Any:
        return self._no_value(
            what, "use x.astype and np.sin for float and math.sin, np.stack or nbgrad.where for writing"
        )

    def item(self, *arguments: Any) -> Any:
        """Refuse to give an element."""
        return self._no_value("a branch, float(), int() or item()")

    def tolist(self) -> Any:
        """Refuse to give the elements."""
        return self._no_value("tolist()")

    def tobytes(self, *arguments: Any) -> Any:
        """Refuse to give the elements."""
        return self._no_value("tobytes()")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise changed_in_place("x[...] = y", "compute a new one (nbgrad.where, nbgrad.cat) and return it")

    def __delitem__(self, key: Any) -> None:
        raise changed_in_place("del x[...]", "use np.delete")

    def _changed(self, other: Any) -> Any:
        raise changed_in_place("an operator like +=", "write x = x + y instead of x += y")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = __imod__ = __ipow__ = __imatmul__ = _changed
    __iand__ = __ior__ = __ixor__ = __ilshift__ = __irshift__ = _changed

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"<traced array of shape {self.shape} and dtype {self.dtype}>"


#: What operators of Python numbers become.
_OPERATORS = {
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.power, np.negative, np.positive,
    np.absolute,
}  # fmt: skip
_ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative}


#: Of memory that nobody may write to, nor make writeable.
_FLAGS = np.frombuffer(bytes(4), np.int8).reshape(2, 2).flags


def _gives_a_view(part: Any) -> bool:
    """Tell whether a part of an index is a slice or a whole number, or a fraction, which NumPy refuses."""
    if isinstance(part, slice | float):
        return True
    picks = isinstance(part, bool | np.bool_ | np.ndarray | Symbol) or devices.is_cuda(part)
    return not picks and hasattr(type(part), "__index__")


def compiles(dtype: np.dtype[Any]) -> bool:
    """Tell whether there are loops for a dtype."""
    return dtype.char in cpu.DTYPES[formula.COMPARISON] and dtype.isnative


def in_trace(x: Symbol, program: Program) -> Symbol:
    """Give a traced array, if it belongs to a program."""
    if x.program is not program:
        raise TypeError("jit: a traced array has left its function, or two traces were mixed; return it instead")
    return x


def _replaced(name: str, remedy: str) -> None:
    raise changed_in_place(f"x.{name} = ...", f"write {remedy} instead")


def _asked(x: Any) -> Any:
    """Give what NumPy's promotion is to know of an operand: a dtype, or the type of a Python number."""
    if isinstance(x, Symbol):
        return x.weak or x.dtype
    return type(x) if type(x) in (int, float) else as_array(x).dtype


def _holds(dtype: np.dtype[Any], value: int) -> bool:
    limits = np.iinfo(dtype)
    return limits.min <= value <= limits.max


def _readonly(value: float, dtype: Any = None) -> Any:
    array = np.array(value, dtype)
    array.flags.writeable = False
    return array


def _matmul_shape(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    shapes = [np.broadcast_to(np.zeros((), np.int8), shape) for shape in (first, second)]
    for array in shapes:
        if not array.ndim:
            raise ValueError("matmul: an operand has no dimensions")
    rows, columns = first[:-1], second[-1:] if len(second) > 1 else ()
    inner = second[-2] if len(second) > 1 else second[0]
    if first[-1] != inner:
        raise ValueError(f"matmul: shapes {first} and {second} do not match: {first[-1]} != {inner}")
    if len(first) <= 2 and len(second) <= 2:
        return (*rows, *columns)
    stack = broadcast_shapes(first[:-2], second[:-2])
    return (*stack, *first[-2:-1], *columns) if len(first) > 1 else (*stack, *columns)
