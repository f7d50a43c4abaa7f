"""NumPy's functions of traced arrays: some become nodes, the others are called as they are at every run.

A function that is called is tried out once, while tracing, on arrays of the traced shapes; what it gives then is what
it has to give at every run. Whatever cannot be so is refused, with the line it stands in and what to write instead.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..interop.numpy import RULES
from ..kernels import devices
from ..kernels import scalars as scalar
from ..variable import Variable, as_array
from .program import Call
from .refusals import changed_in_place, users_line
from .symbol import Symbol, compiles, in_trace

_count = itertools.count()


def apply(function: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Apply a function of NumPy to arguments some of which are traced."""
    name = _name(function)
    if options.get("out") is not None:
        raise changed_in_place(f"out= of {name}", "leave it out and use the result")
    _refuse(function, name, arguments, options)
    rule = _RULES.get(function)
    if rule is not None and _takes(rule, arguments, options):
        result = rule(*arguments, **{option: value for option, value in options.items() if option != "out"})
        if result is not NotImplemented:
            return result
    return call(function, name, arguments, options)


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)


@cache
def _parameters(rule: Any) -> inspect.Signature:
    return inspect.signature(rule)


def _takes(rule: Any, arguments: Sequence[Any], options: dict[str, Any]) -> bool:
    try:
        _parameters(rule).bind(*arguments, **{option: value for option, value in options.items() if option != "out"})
    except TypeError:
        return False
    return True


# ---- what is refused ------------------------------------------------------------------------------------------------

_WHOLE = "use nbgrad.where or np.where with three arguments and go on with the whole array"
_OUTSIDE = "call it outside of the jitted function, on its result"

#: Functions whose result has a shape that depends on elements, of any argument or of the one at a position.
_SHAPED_BY_ELEMENTS: dict[Any, tuple[int | None, str]] = {
    **dict.fromkeys((np.nonzero, np.flatnonzero, np.argwhere), (None, _WHOLE)),
    **dict.fromkeys((np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d), (None, _OUTSIDE)),
    **dict.fromkeys((np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values), (None, _OUTSIDE)),
    **dict.fromkeys((np.trim_zeros, np.roots), (None, _OUTSIDE)),
    **dict.fromkeys((np.extract, np.compress), (0, _WHOLE)),
    np.delete: (1, f"{_WHOLE}, or make the positions static (static_argnums)"),
    **dict.fromkeys((np.repeat, np.tile), (1, "make the repeats static (static_argnums)")),
    **dict.fromkeys((np.split, np.array_split), (1, "make the places static (static_argnums)")),
    np.pad: (1, "make the widths static (static_argnums)"),
}

#: Functions that give no arrays, or that do something else besides, which a trace would do only once.
_REFUSED: dict[Any, str] = {
    **dict.fromkeys((np.save, np.savez, np.savez_compressed, np.savetxt), _OUTSIDE),
    **dict.fromkeys((np.array2string, np.array_repr, np.array_str), _OUTSIDE),
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
    device = symbols[0].program.device if symbols else "cpu"
    placed: dict[int, Any] = {}  # arrays from outside, on the GPU

    def outside(array: Any) -> Any:
        if device == "cpu" or not array.ndim:
            return array
        if id(array) not in placed:
            placed[id(array)] = devices.moved(array, device)
        return placed[id(array)]

    def invoke(arrays: Sequence[Any], frozen: bool = False) -> Any:
        def fill(value: Any) -> Any:
            if isinstance(value, _Place):
                return arrays[value.position] if value.weak is None else value.weak(arrays[value.position])
            if isinstance(value, np.ndarray):  # one from outside, which the trial must not change
                return _frozen(value.view()) if frozen else outside(value)
            return type(value)(map(fill, value)) if type(value) in (list, tuple) else value

        return function(*fill(template[0]), **{option: fill(value) for option, value in template[1].items()})

    line = users_line()
    sample = _tried(invoke, name, symbols)
    several = isinstance(sample, tuple | list)
    parts = list(sample) if several else [sample]
    known = [np.asarray(part) for part in parts if isinstance(part, np.ndarray | np.generic | bool | int | float)]
    if not known or len(known) < len(parts) or any(part.dtype.kind not in "fiubc" for part in known):
        raise TypeError(
            f"jit: {name} of a traced array, at {line}, gives {type(sample).__name__} and no array of numbers: "
            f"{_OUTSIDE}"
        )

    def run(*arrays: Any) -> Any:
        found = invoke(arrays)
        parts = [as_array(part) for part in (found if several else [found])]
        for part, like in zip(parts, known, strict=True):
            if part.shape != like.shape or part.dtype != like.dtype:
                raise TypeError(
                    f"jit: {name} gave shape {part.shape} and dtype {part.dtype} where the trace had {like.shape} and "
                    f"{like.dtype}, at {line}: they depend on elements, which a traced function's must not; {_OUTSIDE}"
                )
        return np.concatenate([_bytes(part) for part in parts]) if several else parts[0]

    if not several:
        return _called(run, name, symbols, known[0].shape, known[0].dtype)
    # one call for all of the results: they come as bytes, one after the other
    packed = _called(run, name, symbols, (sum(part.nbytes for part in known),), np.dtype(np.uint8))
    results = []
    begin = 0
    for part in known:
        piece = packed[begin : begin + part.nbytes]
        results.append(_called(_unpacked(part), f"part of {name}", [piece], part.shape, part.dtype))
        begin += part.nbytes
    return type(sample)(*results) if hasattr(sample, "_fields") else type(sample)(results)


def _called(function: Callable[..., Any], label: str, symbols: list[Symbol], shape: Any, dtype: Any) -> Symbol:
    operation = Call(function, (label, next(_count)), label, False)
    program = symbols[0].program
    return Symbol(program, program.add(operation, [x.node for x in symbols], shape, dtype))


def _bytes(array: Any) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _unpacked(like: Any) -> Callable[[Any], Any]:
    shape, dtype = like.shape, like.dtype
    return lambda piece: piece.copy().view(dtype).reshape(shape)


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def _tried(invoke: Callable[..., Any], name: str, symbols: Sequence[Symbol]) -> Any:
    """Try a function out on arrays that nobody may write to, of several kinds until one is to its taste."""
    refusal: Exception | None = None
    for sample in (_usual, _zeros, _ascending):
        try:
            with np.errstate(all="ignore"):
                return invoke([_frozen(sample(x).astype(x.dtype)) for x in symbols], True)
        except (ValueError, IndexError, ArithmeticError) as error:
            if "read-only" in str(error) or "output array" in str(error):
                raise changed_in_place(name, "use a function that gives a new array") from None
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _usual(x: Symbol) -> Any:
    """Give numbers that most functions take; a matrix has an inverse, whole numbers are positions."""
    if x.dtype.kind in "iu":
        return np.zeros(x.shape)
    values = np.random.default_rng(0).uniform(1, 2, x.shape)
    if x.ndim >= 2 and x.shape[-1] == x.shape[-2]:
        values = values + 4.0 * x.shape[-1] * np.eye(x.shape[-1])
    return values


def _zeros(x: Symbol) -> Any:
    """Give zeros; of whole numbers, matrices that have an inverse."""
    if x.dtype.kind in "iu":
        return np.broadcast_to(np.eye(*x.shape[-2:]) if x.ndim >= 2 else np.ones(()), x.shape)
    return np.zeros(x.shape)


def _ascending(x: Symbol) -> Any:
    """Give numbers from 0 to 1, in order."""
    return np.linspace(0, 1 if x.dtype.kind == "f" else x.size, x.size).reshape(x.shape)


# ---- what becomes nodes ---------------------------------------------------------------------------------------------


def _on_dtypes(function: Any) -> Any:
    """Make the rule of a function that looks at dtypes only."""

    def rule(*arguments: Any, **options: Any) -> Any:
        return function(*(np.empty(0, x.dtype) if isinstance(x, Symbol) else x for x in arguments), **options)

    return rule


def _dummy(shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(np.zeros((), np.int8), shape)


def _reduction(name: str) -> Any:
    def rule(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        if not isinstance(x, Symbol) or not compiles(x.dtype) or (type(axis) is tuple and not axis) or not x.size:
            return NotImplemented
        if name in ("amax", "amin") and x.dtype == np.bool_:
            return NotImplemented
        from ..ops import reduction

        return getattr(reduction, name)(x, dim=axis, keepdim=keepdims)

    return rule


def _any(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return np.sum(x != 0, axis, keepdims=keepdims) > 0 if isinstance(x, Symbol) else NotImplemented


def _all(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return np.equal(np.sum(np.equal(x, 0), axis, keepdims=keepdims), 0) if isinstance(x, Symbol) else NotImplemented


def _count_nonzero(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return np.sum(x != 0, axis, keepdims=keepdims) if isinstance(x, Symbol) else NotImplemented


def _var(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    if not isinstance(x, Symbol) or not compiles(x.dtype) or isinstance(ddof, Symbol):
        return NotImplemented
    count = x.size // max(np.sum(_dummy(x.shape), axis).size, 1)
    if count <= ddof:
        return NotImplemented  # NumPy warns
    deviations = x - np.mean(x, axis, keepdims=True)
    squares = np.sum(deviations * deviations, axis, keepdims=keepdims)
    return squares / (count - ddof)


def _std(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    variance = _var(x, axis, ddof=ddof, keepdims=keepdims)
    return NotImplemented if variance is NotImplemented else np.sqrt(variance)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    lowest, highest = (a_min if min is None else min), (a_max if max is None else max)
    if not isinstance(x, Symbol) or x.dtype.kind != "f":
        return NotImplemented  # bounds outside of the range of whole numbers: as NumPy has them
    if lowest is not None:
        x = np.maximum(x, lowest)
    return x if highest is None else np.minimum(x, highest)


def _where(condition: Any, x: Any, y: Any) -> Any:
    symbol = next(v for v in (condition, x, y) if isinstance(v, Symbol))
    result = symbol.compiled(scalar.where, (bool, *_promoted(x, y)), (condition, x, y))
    return NotImplemented if result is None else result


def _promoted(x: Any, y: Any) -> tuple[Any, Any, Any]:
    kinds = [v.weak or v.dtype if isinstance(v, Symbol) else v for v in (x, y)]
    kinds = [0 if kind is int else 0.0 if kind is float else kind for kind in kinds]
    dtype = np.result_type(*kinds)
    return dtype, dtype, dtype


def _dot(x: Any, y: Any) -> Any:
    return np.matmul(x, y) if {np.ndim(x), np.ndim(y)} <= {1, 2} else NotImplemented


def _broadcast_to(x: Any, shape: Any) -> Any:
    return x.broadcast_to(np.broadcast_to(_dummy(x.shape), shape).shape)


def _filled(number: int) -> Any:
    """Make the rule of np.zeros_like and the like; the result is an array as any other that is made inside."""

    def rule(x: Any, dtype: Any = None, *, shape: Any = None) -> Any:
        return np.full(np.shape(x) if shape is None else shape, number, dtype or x.dtype)

    return rule


#: Rules that hold for Variables and traced arrays alike.
_SHARED = (
    np.reshape, np.ravel, np.squeeze, np.expand_dims, np.transpose, np.swapaxes, np.moveaxis, np.rollaxis,
    np.matrix_transpose, np.linalg.matrix_transpose, np.flip, np.fliplr, np.flipud, np.split, np.array_split, np.vsplit,
    np.hsplit, np.dsplit, np.broadcast_arrays, np.outer, np.diff, np.ptp, np.real,
)  # fmt: skip

_RULES: dict[Any, Any] = {
    **{function: RULES[function] for function in _SHARED},
    np.sum: _reduction("sum"),
    np.prod: _reduction("prod"),
    np.mean: _reduction("mean"),
    np.max: _reduction("amax"),
    np.min: _reduction("amin"),
    np.amax: _reduction("amax"),
    np.amin: _reduction("amin"),
    np.any: _any,
    np.all: _all,
    np.count_nonzero: _count_nonzero,
    np.var: _var,
    np.std: _std,
    np.clip: _clip,
    np.where: _where,
    np.dot: _dot,
    np.broadcast_to: _broadcast_to,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x, axis=None: _dummy(x.shape).size if axis is None else x.shape[axis],
    np.copy: lambda x, order="K": x.copy(),
    np.zeros_like: _filled(0),
    np.ones_like: _filled(1),
    np.empty_like: _filled(0),
    **{f: _on_dtypes(f) for f in (np.result_type, np.can_cast, np.common_type, np.iscomplexobj, np.isrealobj)},
}

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
