"""NumPy's functions of traced arrays: some become nodes, the others are called as they are at every run (`calls`).

Whatever a trace cannot have is refused, with the line it stands in and what to write instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import as_array
from ..interop.numpy import by_rule
from ..interop.rules import rule_of
from ..kernels import dispatch, formula
from ..kernels import scalars as scalar
from ..kernels.cpu import elementwise as cpu
from ..kernels.formula import NUMBER, TRUTH, ScalarFunction
from ..variable import Variable
from . import calls, lowering
from .calls import OUTSIDE, frozen
from .lowering import compiles
from .program import Node
from .refusals import changed_in_place, users_line
from .symbol import Symbol, in_trace

# ---- the protocols --------------------------------------------------------------------------------------------------


def numpys_ufunc(self: Symbol, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Apply a ufunc of NumPy's, or another library's."""
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if options.pop("out", None) is not None:
        raise changed_in_place(f"{name} with out=, or by an operator", "write x = x + y instead of x += y")
    if method == "at":
        raise changed_in_place(name, "write nbgrad.where(mask, x + y, x), or a sum over what goes to each place")
    if method == "__call__" and not options:
        result = _as_formula(self, ufunc, inputs)
        if result is not None:
            return result
    if ufunc is np.power and method == "__call__":
        return call(dispatch.power, name, inputs, options)
    return call(ufunc if method == "__call__" else getattr(ufunc, method), name, inputs, options)


def array_function(self: Symbol, function: Any, types: Any, arguments: Any, options: Any) -> Any:
    """Stand in for another NumPy function that met a traced array (NEP 18)."""
    if any(kind is not Symbol and hasattr(kind, "__nbgrad_array__") for kind in types) or any(
        issubclass(kind, Variable) for kind in types
    ):
        return NotImplemented
    return apply(function, arguments, options)


def apply(function: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Apply a function of NumPy to arguments some of which are traced."""
    name = _name(function)
    if options.get("out") is not None:
        raise changed_in_place(f"out= of {name}", "leave it out and use the result")
    _refuse(function, name, arguments, options)
    rule = _PRIMITIVE.get(function) or rule_of(function)
    if rule is not None:
        given = {option: value for option, value in options.items() if option != "out" and value is not np._NoValue}
        result = by_rule(rule, arguments, given)
        if result is not NotImplemented:
            return result
    return call(function, name, arguments, options)


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)


# ---- what is refused ------------------------------------------------------------------------------------------------

_WHOLE = "use nbgrad.where or np.where with three arguments and go on with the whole array"

#: Functions whose result has a shape that depends on elements, of any argument or of the one at a position.
_SHAPED_BY_ELEMENTS: dict[Any, tuple[int | None, str]] = {
    **dict.fromkeys((np.nonzero, np.flatnonzero, np.argwhere), (None, _WHOLE)),
    **dict.fromkeys((np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d), (None, OUTSIDE)),
    **dict.fromkeys((np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values), (None, OUTSIDE)),
    **dict.fromkeys((np.trim_zeros, np.roots), (None, OUTSIDE)),
    **dict.fromkeys((np.extract, np.compress), (0, _WHOLE)),
    np.delete: (1, f"{_WHOLE}, or make the positions static (static_argnums)"),
    **dict.fromkeys((np.repeat, np.tile), (1, "make the repeats static (static_argnums)")),
    **dict.fromkeys((np.split, np.array_split), (1, "make the places static (static_argnums)")),
    np.pad: (1, "make the widths static (static_argnums)"),
}

#: Functions that give no arrays, or that do something else besides, which a trace would do only once.
_REFUSED: dict[Any, str] = {
    **dict.fromkeys((np.save, np.savez, np.savez_compressed, np.savetxt), OUTSIDE),
    **dict.fromkeys((np.array2string, np.array_repr, np.array_str), OUTSIDE),
    **dict.fromkeys((np.shares_memory, np.may_share_memory), "traced arrays have no memory: leave the question out"),
}


def _refuse(function: Any, name: str, arguments: Sequence[Any], options: dict[str, Any]) -> None:
    """Raise for the functions that nothing can be made of."""
    if function in _REFUSED:
        raise TypeError(f"jit: {name} of a traced array, at {users_line()}: {_REFUSED[function]}")
    position, remedy = _SHAPED_BY_ELEMENTS.get(function, (-1, ""))
    if function is np.where and len(arguments) + len(options) == 1:
        name, position, remedy = "np.where with one argument", None, _WHOLE
    if function is np.bincount and not options.get("minlength", arguments[2] if len(arguments) > 2 else 0):
        position, remedy = None, "pass minlength, the number of bins"
    given = (*arguments, *options.values())
    if position is None or (0 <= position < len(given) and _traced(given[position])):
        raise TypeError(
            f"jit: {name} of a traced array, at {users_line()}, gives a shape that depends on elements: {remedy}"
        )


def _traced(value: Any) -> bool:
    return isinstance(value, Symbol) or (isinstance(value, list | tuple) and any(map(_traced, value)))


# ---- what is called at every run ------------------------------------------------------------------------------------


class _Place:
    """Where in a call's arguments the array at a position goes, or the Python number that it is."""

    def __init__(self, position: int, weak: type | None) -> None:
        self.position, self.weak = position, weak


def call(function: Any, name: str, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Leave a function to NumPy, at every run; the shape and dtype of its result are tried out now."""
    symbols: list[Symbol] = []

    def collect(value: Any) -> Any:
        if isinstance(value, Symbol):
            symbols.append(in_trace(value, symbols[0].program if symbols else value.program))
            return _Place(len(symbols) - 1, value.weak)
        return type(value)(map(collect, value)) if type(value) in (list, tuple) else value

    template = collect(tuple(arguments)), {option: collect(value) for option, value in options.items()}
    program = symbols[0].program
    placed: dict[int, Any] = {}  # arrays from outside, where the program runs

    def outside(array: Any) -> Any:
        if not array.ndim:
            return array
        if id(array) not in placed:
            placed[id(array)] = program.target.bring(array)
        return placed[id(array)]

    def invoke(arrays: Sequence[Any], untouched: bool = False) -> Any:
        def fill(value: Any) -> Any:
            if isinstance(value, _Place):
                return arrays[value.position] if value.weak is None else value.weak(arrays[value.position])
            if isinstance(value, np.ndarray):  # one from outside, which the trial must not change
                return frozen(value.view()) if untouched else outside(value)
            return type(value)(map(fill, value)) if type(value) in (list, tuple) else value

        return function(*fill(template[0]), **{option: fill(value) for option, value in template[1].items()})

    nodes, put_together = calls.call_several(program, invoke, name, [x.node for x in symbols])
    return put_together([Symbol(program, node) for node in nodes])


# ---- formulas -------------------------------------------------------------------------------------------------------

#: What operators of Python numbers become.
_OPERATORS = {
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.power, np.negative, np.positive,
    np.absolute,
}  # fmt: skip


def _as_formula(x: Symbol, ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Symbol | None:
    """Apply a ufunc of NumPy's as a formula; None where there is none that gives the dtype that NumPy would."""
    if ufunc in FLOATING_RULES and x.dtype.char in "fd":
        return FLOATING_RULES[ufunc](x)
    if ufunc is np.matmul:
        return _product(x, *inputs)
    function = formula.scalar_function(formula.standing_for(ufunc) or "")
    if function is None or ufunc.nout != 1:
        return None
    asked = [_asked(x) for x in inputs]
    if all(isinstance(a, type) for a in asked):
        asked = [np.dtype(np.int64 if a is int else np.float64) for a in asked]
    try:
        types = ufunc.resolve_dtypes((*asked, None))
    except TypeError:
        return None  # NumPy says why
    result = _computed(x, function, types, inputs)
    if result is not None and all(type(x) in (int, float) or getattr(x, "weak", None) for x in inputs):
        # an operator of Python numbers gives one, a function of NumPy's an array
        result.weak = {"i": int, "f": float}.get(result.dtype.kind) if ufunc in _OPERATORS else None
    return result


def _computed(x: Symbol, function: ScalarFunction, types: Sequence[Any], inputs: Sequence[Any]) -> Symbol | None:
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
    for value in inputs:
        if type(value) is int and not _holds(number if number.kind in "iu" else np.dtype(np.int64), value):
            return None
        if type(value) not in (bool, int, float) and not compiles(np.result_type(_asked(value))):
            return None
    operands = [x.operand(value) for value in inputs]
    operands = [v if kind == NUMBER else v.astype(bool) for v, kind in zip(operands, kinds, strict=True)]
    return x.computed(expression, operands, number)


def _product(x: Symbol, first: Any, second: Any) -> Symbol | None:
    """Multiply matrices."""
    if not all(len(v.shape) and compiles(v.dtype) for v in map(as_array, (first, second))):
        return None
    nodes: list[Node] = [x.operand(v).node for v in (first, second)]
    return Symbol(x.program, lowering.product(x.program, *nodes))


def _asked(x: Any) -> Any:
    """Give what NumPy's promotion is to know of an operand: a dtype, or the type of a Python number."""
    if isinstance(x, Symbol):
        return x.weak or x.dtype
    return type(x) if type(x) in (int, float) else as_array(x).dtype


def _holds(dtype: np.dtype[Any], value: int) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max)


#: Parts that are joined in place, each by a loop; of more, NumPy joins what was computed.
_MOST_PARTS = 64

# ---- what becomes nodes ---------------------------------------------------------------------------------------------


def _dot(x: Any, y: Any) -> Any:
    return np.matmul(x, y) if {np.ndim(x), np.ndim(y)} <= {1, 2} else NotImplemented


def _broadcast_to(x: Any, shape: Any) -> Any:
    node = lowering.broadcast(x.program, x.node, lowering.shape_seen(x.node, lambda x: np.broadcast_to(x, shape)))
    return x if node is x.node else Symbol(x.program, node)


def _concatenate(arrays: Any, axis: Any = 0, **options: Any) -> Any:
    if options or type(axis) is not int or type(arrays) not in (list, tuple) or len(arrays) > _MOST_PARTS:
        return NotImplemented
    first = next(filter(lambda x: isinstance(x, Symbol), arrays), None)
    if first is None or any(not getattr(x, "shape", ()) for x in arrays):
        return NotImplemented  # NumPy says why
    operands = [first.operand(x) for x in arrays]
    ndim, dtype = first.ndim, np.result_type(*(x.dtype for x in operands))
    axis += ndim if axis < 0 else 0
    rest = {x.shape[:axis] + x.shape[axis + 1 :] for x in operands}
    if not 0 <= axis < ndim or len(rest) > 1 or any(x.ndim != ndim for x in operands) or not compiles(dtype):
        return NotImplemented
    nodes = [lowering.convert(first.program, x.node, dtype) for x in operands]
    return Symbol(first.program, lowering.join(first.program, nodes, axis))


#: What operations do to arrays by NumPy's functions, and these therefore cannot do by operations.
_PRIMITIVE = {np.dot: _dot, np.broadcast_to: _broadcast_to, np.concatenate: _concatenate}

#: Ufuncs of floating numbers that are comparisons, or nothing.
FLOATING_RULES: dict[Any, Any] = {
    np.isnan: lambda x: np.not_equal(x, x),
    np.isinf: lambda x: np.equal(np.absolute(x), np.inf),
    np.isfinite: lambda x: np.less(np.absolute(x), np.inf),
    np.conjugate: lambda x: x,
}

# ---- methods --------------------------------------------------------------------------------------------------------

#: Methods of arrays that are NumPy's function of the same name.
_METHODS = {
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "clip", "cumprod",
    "cumsum", "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted", "squeeze",
    "std", "sum", "swapaxes", "take", "trace", "var",
}  # fmt: skip

#: Methods that change the array, and what to write instead.
_CHANGING = {
    "sort": "write np.sort(x)",
    "partition": "write np.partition(x, k)",
    "put": "write nbgrad.where(mask, values, x)",
    "fill": "write np.full_like(x, value)",
    "resize": "write x.reshape(shape)",
    "setfield": "write nbgrad.where(mask, values, x)",
    "setflags": "leave it out",
}

#: What else arrays have, and what to write instead.
_OTHERS = {
    "flat": "use x.ravel()",
    "strides": "a traced array has no memory",
    "data": "a traced array has no memory",
    "ctypes": "a traced array has no memory",
    "numpy": "it is an array already",
}


def attribute(x: Symbol, name: str) -> Any:
    """Give a method of arrays that has no code of its own here, as Symbol's `__getattr__`."""
    if name in _METHODS:
        return lambda *arguments, **options: getattr(np, name)(x, *arguments, **options)
    if name == "compress":
        return lambda condition, *arguments, **options: np.compress(condition, x, *arguments, **options)
    if name in _CHANGING:

        def change(*arguments: Any, **options: Any) -> Any:
            raise changed_in_place(f"{name}()", _CHANGING[name])

        return change
    if name.startswith("__"):
        raise AttributeError(name)
    remedy = _OTHERS.get(name, "keep to the functions of nbgrad and NumPy, or use it outside of the jitted function")
    if name not in _OTHERS and hasattr(Variable, name):
        remedy = "Variables have it: pass one, nbgrad.tensor(array), as the argument"
    raise AttributeError(f"jit: a traced array has no {name!r}, asked for at {users_line()}: {remedy}")


Symbol.numpys_ufunc = numpys_ufunc
Symbol.called = lambda self, name, function, arrays: call(function, name, arrays, {})
Symbol.__array_function__ = array_function
Symbol.__getattr__ = attribute
