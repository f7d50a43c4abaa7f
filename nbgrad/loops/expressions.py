"""Expressions, assignments and calls on their way into the language."""

from __future__ import annotations

import ast
import builtins
import math
import operator
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from . import arrays, functions, indexing, library, matrices, support, syntax
from .arrays import materialised
from .branches import branch
from .language import Assign, Family, Own, Plain, Value, name, number, whole
from .meanings import FLAT, Elements, Group, Known, Local, Meaning, Method, Scalar, as_dtype, joined, scalar_function
from .meanings import functions as scalar_functions
from .numbers import cast, element, elementary, extreme, number_of
from .order import boolean, condition, in_order, written_since
from .state import Lowering, Scope

#: How deep functions may call each other.
_DEEPEST = 40


def outside(lowering: Lowering, function: Any) -> Callable[[str], Meaning]:
    """Give what finds the names that a function does not bind itself."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))

    def find(key: str) -> Meaning:
        if key in cells:
            try:
                return convert(lowering, key, cells[key].cell_contents)
            except ValueError:
                raise lowering.refuse(f"{key!r}, which is not bound yet,", "bind it first") from None
        if function.__globals__.get("__name__") == __package__:
            made = support.stands_for(key)
            if made is not None:
                return Known(made)
        if key in function.__globals__:
            return convert(lowering, key, function.__globals__[key])
        if hasattr(builtins, key):
            return Known(getattr(builtins, key))
        raise NameError(f"njit: {function.__name__}, line {lowering.line}: name {key!r} is not defined")

    return find


def convert(lowering: Lowering, key: str, found: Any) -> Meaning:
    """Give the meaning of an object from outside of the function: a constant, as it is for Numba."""
    if isinstance(found, bool | np.bool_):
        return Scalar(number(bool(found)), "bool")
    if isinstance(found, int | np.integer):
        return Scalar(number(int(found)), "int64")
    if isinstance(found, float | np.floating):
        dtype = "float32" if isinstance(found, np.float32) else "float64"
        if not math.isfinite(found):
            return (
                Scalar(ast.Attribute(name("math"), "nan" if found != found else "inf"), dtype)
                if not found < 0
                else (Scalar(ast.UnaryOp(ast.USub(), ast.Attribute(name("math"), "inf")), dtype))
            )
        return Scalar(number(float(found)), dtype)
    if isinstance(found, complex | np.complexfloating):
        raise lowering.refuse("a complex number", "compute with real and imaginary parts")
    if isinstance(found, tuple):
        return Group([convert(lowering, key, item) for item in found], getattr(found, "_fields", ()))
    if isinstance(found, np.ndarray):
        known = lowering.constant(key, found)
        if known not in lowering.values:
            value = Value(known, str(found.dtype), found.ndim)
            value.family = Family(argument=True)
            value.sizes = [number(size) for size in found.shape]
            lowering.values[known] = value
        return lowering.values[known]
    return Known(found)


def scalar(lowering: Lowering, node: ast.expr) -> Scalar:
    """Lower an expression that must be a number."""
    return number_of(lowering, lower(lowering, node))


def lower(lowering: Lowering, node: ast.expr, wish: str = "t") -> Meaning:
    """Lower an expression."""
    match node:
        case ast.Constant():
            return convert(lowering, "constant", node.value)
        case ast.Name(id=key):
            return lowering.scopes[-1].find(key)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            found: list[Meaning] = []
            bare = [item.value if isinstance(item, ast.Starred) else item for item in items]
            for item, one in zip(items, in_order(lowering, bare, as_arrays=True), strict=True):
                if isinstance(item, ast.Starred) and not isinstance(one, Group):
                    raise lowering.refuse("a starred item", "write the items")
                found += one.items if isinstance(item, ast.Starred) and isinstance(one, Group) else [one]
            return Group(found)
        case ast.BinOp(left=left, op=op, right=right):
            return arrays.binary(lowering, op, *in_order(lowering, [left, right]))
        case ast.UnaryOp(op=op, operand=operand):
            return _unary(lowering, op, lower(lowering, operand))
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compare(lowering, left, ops, others)
        case ast.BoolOp(op=op, values=values):
            return boolean(lowering, op, values, scalar)
        case ast.IfExp(test=test, body=first, orelse=second):
            return _conditional(lowering, test, first, second, wish)
        case ast.Subscript(value=base, slice=index):
            return indexing.subscript(lowering, lower(lowering, base), index)
        case ast.Attribute(value=base, attr=attribute):
            return _attribute(lowering, lower(lowering, base), attribute)
        case ast.Call():
            return call(lowering, node)
        case ast.Lambda(args=arguments, body=body):
            given = ast.Return(body)
            made = ast.FunctionDef("lambda", arguments, [given], [], None, None)
            ast.copy_location(given, node)
            return Local(ast.fix_missing_locations(ast.copy_location(made, node)), lowering.scopes[-1].find)
        case ast.ListComp():
            return lowering.comprehension(node)
        case ast.NamedExpr(target=target, value=value):
            bind(lowering, target, lower(lowering, value, target.id))
            return lowering.scopes[-1].find(target.id)
    kinds = {
        "Dict": "a dict", "Set": "a set",
        "DictComp": "a dict", "JoinedStr": "a string", "GeneratorExp": "a generator",
    }  # fmt: skip
    kind = type(node).__name__
    raise lowering.refuse(kinds.get(kind, kind), "use numbers, arrays, tuples and loops")


def _unary(lowering: Lowering, op: ast.unaryop, operand: Meaning) -> Meaning:
    def one(a: Scalar) -> Scalar:
        if isinstance(op, ast.Not):
            return Scalar(ast.UnaryOp(op, a.node), "bool")
        if isinstance(a.node, ast.Constant) and isinstance(op, ast.USub) and not isinstance(a.node.value, bool):
            return Scalar(number(-whole(a.node)), a.dtype)
        return Scalar(ast.UnaryOp(op, a.node), "int64" if a.dtype == "bool" else a.dtype)

    return arrays.elementwise(lowering, one, operand)


def _compare(lowering: Lowering, left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr]) -> Meaning:
    operands = in_order(lowering, [left, *others])
    if any(isinstance(operand, Known) for operand in operands) and len(operands) == 2:
        both = [o.value if isinstance(o, Known) else _MISSING for o in operands]
        test = {ast.Is: operator.is_, ast.IsNot: operator.is_not, ast.Eq: operator.eq, ast.NotEq: operator.ne}
        if type(ops[0]) in test:
            return Scalar(number(bool(test[type(ops[0])](*both))), "bool")
        raise lowering.refuse("this comparison", "compare numbers")
    if any(isinstance(op, ast.In | ast.NotIn) for op in ops):
        raise lowering.refuse("in", "write the comparisons")

    def compare(*given: Scalar) -> Scalar:
        if all(isinstance(g.node, ast.Constant) for g in given):
            node = ast.Compare(given[0].node, ops, [g.node for g in given[1:]])
            return Scalar(number(eval(ast.unparse(node))), "bool")
        return Scalar(ast.Compare(given[0].node, ops, [g.node for g in given[1:]]), "bool")

    return arrays.elementwise(lowering, compare, *operands)


_MISSING = object()


def _conditional(lowering: Lowering, test: ast.expr, first: ast.expr, second: ast.expr, wish: str) -> Meaning:
    chosen = condition(lowering, test)
    if isinstance(chosen.node, ast.Constant):
        return lower(lowering, first if chosen.node.value else second)
    scope = lowering.scopes[-1]

    def choose(node: ast.expr) -> Callable[[], None]:
        def way() -> None:
            scope.names["$" + wish] = materialised(lowering, lower(lowering, node))

        return way

    branch(lowering, lowering.atom(chosen, "test"), choose(first), choose(second), {"$" + wish, *scope.names})
    return scope.names.pop("$" + wish)


def _attribute(lowering: Lowering, base: Meaning, attribute: str) -> Meaning:
    if isinstance(base, Known):
        if isinstance(base.value, ModuleType | type):
            return convert(lowering, attribute, getattr(base.value, attribute))
        raise lowering.refuse(f"the attribute {attribute!r} of an object", "pass numbers and arrays")
    if isinstance(base, Group) and attribute in base.fields:
        return base.items[base.fields.index(attribute)]
    if isinstance(base, Value | Elements):
        return functions.attribute(lowering, base, attribute)
    raise lowering.refuse(f"the attribute {attribute!r}", "use numbers and arrays")


def call(lowering: Lowering, node: ast.Call) -> Meaning:
    """Lower a call."""
    function = lower(lowering, node.func)
    if isinstance(function, Known) and function.value is len and isinstance(node.args[0], ast.Call):
        inner = node.args[0]
        if isinstance(inner.func, ast.Name) and inner.func.id == "range":
            parts = [lowering.atom(scalar(lowering, argument), "bound").node for argument in inner.args]
            return Scalar(ast.Call(name("len"), [ast.Call(name("range"), parts, [])], []), "int64")
    if isinstance(function, Known) and function.value in (range, enumerate, zip, reversed):
        raise lowering.refuse(f"{function.value.__name__} outside of a for statement", "use it in one")
    nodes = [argument.value if isinstance(argument, ast.Starred) else argument for argument in node.args]
    nodes += [keyword.value for keyword in node.keywords if keyword.arg]
    function, *found = in_order(lowering, nodes, function)
    given: list[Meaning] = []
    for argument, several in zip(node.args, found, strict=False):
        if not isinstance(argument, ast.Starred):
            given.append(several)
            continue
        if not isinstance(several, Group):
            raise lowering.refuse("a starred argument", "write the arguments")
        given += several.items
    keys = [keyword.arg for keyword in node.keywords if keyword.arg]
    named = dict(zip(keys, found[len(node.args) :], strict=True))
    if len(named) != len(node.keywords):
        raise lowering.refuse("**", "write the arguments")
    if isinstance(function, Method):
        return functions.method(lowering, function, given, named)
    if isinstance(function, Local):
        return inline(lowering, function.node, function.reader, given, named)
    if not isinstance(function, Known):
        raise lowering.refuse("this call", "call functions")
    return apply(lowering, function.value, given, named)


def apply(lowering: Lowering, function: Any, given: list[Meaning], named: dict[str, Meaning]) -> Meaning:
    """Apply a known function."""
    if isinstance(function, support.Elementary):
        return elementary(lowering, function.name, *(number_of(lowering, a) for a in given))
    if function in (support.apart, support.matches):
        pair = [name(array) for array in given if isinstance(array, Value)]
        lowering.put(Plain(ast.Expr(ast.Call(name(function.__name__), list(pair), []))))
        return Known(None)
    if function is support.grown:
        sizes = [number_of(lowering, size) for size in given[1:]]
        return arrays.grown(lowering, given[0], sizes)  # type: ignore[arg-type]
    if function in (support.common, support.spread):
        parts = [lowering.atom(number_of(lowering, a)).node for a in given]
        return Scalar(ast.Call(name(function.__name__), parts, []), "int64")
    rule = getattr(function, "_rule", None)
    if rule is not None:
        return _own(lowering, function, rule, given, named)
    python = getattr(function, "py_func", None)
    if python is None and isinstance(function, FunctionType) and (function.__module__.partition(".")[0] not in (
        "numpy", "math", "nbgrad", "numba",
    ) or function.__module__ in (library.__name__, matrices.__name__)):  # fmt: skip
        python = function
    if python is not None:
        return inline(lowering, syntax.read(python), outside(lowering, python), given, named)
    if isinstance(function, type) and issubclass(function, BaseException):
        return Known(function)
    if isinstance(function, type) and issubclass(function, tuple) and hasattr(function, "_fields"):
        return _named_tuple(lowering, function, given, named)
    found = _scalar_call(lowering, function, given, named)
    if found is None:
        found = functions.call(lowering, function, given, named)
    if found is None:
        found = _from_library(lowering, function, given, named)
    if found is None:
        called = f"{_module_of(function)}.{getattr(function, '__name__', function)}".removeprefix(".")
        raise lowering.refuse(f"a call of {called}", "write it as loops, or give its derivative by hand")
    return found


def _named_tuple(lowering: Lowering, kind: Any, given: list[Meaning], named: dict[str, Meaning]) -> Group:
    """Give a tuple whose items have names."""
    items = dict(zip(kind._fields, given, strict=False)) | named
    for key, default in kind._field_defaults.items():
        if key not in items:
            items[key] = convert(lowering, key, default)
    if len(given) > len(kind._fields) or set(items) != set(kind._fields):
        raise TypeError(f"njit: {kind.__name__} takes the arguments {', '.join(kind._fields)}")
    return Group([materialised(lowering, items[key], key) for key in kind._fields], kind._fields)


def _from_library(lowering: Lowering, function: Any, given: list[Meaning], named: dict[str, Meaning]) -> Meaning | None:
    """Give a call of a function that the library has as loops; None for others."""
    try:
        whole, each = library.ARRAYS.get(function), library.NUMBERS.get(function)
        first = library.OF_THE_FIRST.get(function)
    except TypeError:  # not hashable
        return None
    found = each or first or whole
    if found is None or (named and found is not whole):
        return None
    called = f"{_module_of(function)}.{function.__name__}".removeprefix(".")

    def put(*a: Meaning) -> Meaning:
        return put_in(lowering, found, *a, called=called, **named)

    if found is whole:
        return put(*given)
    if found is each:
        return arrays.elementwise(lowering, lambda *a: number_of(lowering, put(*a)), *given)
    return arrays.elementwise(lowering, lambda a: number_of(lowering, put(a, *given[1:])), given[0]) if given else None


def put_in(lowering: Lowering, function: Any, *given: Meaning, called: str, **named: Meaning) -> Meaning:
    """Put one of our own functions in the place of what it is for, which messages call so."""
    return inline(lowering, syntax.read(function), outside(lowering, function), list(given), named, called)


def _module_of(function: Any) -> str:
    return (getattr(function, "__module__", None) or "").removeprefix("builtins")


def _scalar_call(lowering: Lowering, function: Any, given: list[Meaning], named: dict[str, Meaning]) -> Meaning | None:
    """Give a call of a function of numbers, for each element of arrays; None for other functions."""
    try:
        known = scalar_functions().get(function)
    except TypeError:  # not hashable
        return None
    if named:
        return None
    if known is not None:
        arity = scalar_function(known).arity
        if len(given) != arity:
            raise lowering.refuse(f"{function.__name__} of {len(given)} arguments", f"give it {arity}")
        return arrays.elementwise(lowering, lambda *a: elementary(lowering, known, *a), *given)
    if function in (max, min) and len(given) > 1:
        result = given[0]
        for other in given[1:]:
            result = arrays.elementwise(lowering, lambda a, b: extreme(lowering, function, a, b), result, other)
        return result
    dtype = as_dtype(function) if isinstance(function, type) else None
    if function is float and len(given) == 1 and isinstance(given[0], Known) and isinstance(given[0].value, str):
        return convert(lowering, "", float(given[0].value))  # float("inf"): there is no literal
    if dtype is not None and len(given) == 1:
        return arrays.elementwise(lowering, lambda a: cast(a, dtype), *given)
    if function in FLAT and len(given) == 1:
        kind = FLAT[function]
        module = "math" if function.__module__ == "math" else "np"
        written: ast.expr = name("round")
        if function is not round:
            written = ast.Attribute(name(module), function.__name__)
        return arrays.elementwise(
            lowering, lambda a: Scalar(ast.Call(written, [a.node], []), kind or joined(a.dtype, "float32")), *given
        )
    return None


def inline(
    lowering: Lowering,
    node: ast.FunctionDef,
    outer: Any,
    given: list[Meaning],
    named: dict[str, Meaning],
    called: str = "",
) -> Meaning:
    """Put a function in the place of its call; one of our own is called what it stands for."""
    if len(lowering.scopes) > _DEEPEST or any(scope.name == node.name for scope in lowering.scopes[:-8]):
        raise lowering.refuse(f"{node.name}, which calls itself,", "write a loop")
    parameters = parameters_of(lowering, node)
    bound = dict(zip(parameters, given, strict=False))
    if len(given) > len(parameters) or set(named) - (set(parameters) - set(bound)):
        if called:
            raise lowering.refuse(f"{called} of these arguments", "write it as loops")
        raise TypeError(f"njit: {node.name} takes the arguments {', '.join(parameters)}")
    bound |= named
    defaults = node.args.defaults
    line = lowering.line
    scope = Scope(lowering, node.name, outer)
    scope.stands_for, scope.line = called, line
    lowering.scopes.append(scope)
    try:
        for parameter, default in zip(parameters[len(parameters) - len(defaults) :], defaults, strict=True):
            if parameter not in bound:
                bound[parameter] = lower(lowering, default)
        missing = [p for p in parameters if p not in bound]
        if missing and called:
            raise lowering.refuse("it", "give it all arguments")
        if missing:
            raise TypeError(f"njit: {node.name} misses the argument {missing[0]!r}")
        for parameter in parameters:
            meaning = materialised(lowering, bound[parameter], parameter)
            scope.names[parameter] = lowering.atom(meaning, parameter) if isinstance(meaning, Scalar) else meaning
        return lowering.run(scope, node)
    finally:
        lowering.scopes.pop()
        lowering.line = line


def parameters_of(lowering: Lowering, node: ast.FunctionDef) -> list[str]:
    """Give the names of a function's arguments."""
    given = node.args
    if given.vararg or given.kwarg or given.kwonlyargs:
        raise lowering.refuse("*args, **kwargs or a keyword-only argument", "name the arguments one by one")
    return [argument.arg for argument in (*given.posonlyargs, *given.args)]


def _own(lowering: Lowering, function: Any, rule: Any, given: list[Meaning], named: dict[str, Meaning]) -> Meaning:
    """Call a function whose derivative was given by hand."""
    if named:
        raise lowering.refuse("an argument by name", "give it by its place")
    arguments = [lowering.atom(number_of(lowering, argument)) for argument in given]
    target = lowering.value(function.__name__, joined(*(a.dtype for a in arguments), "float32"))
    called = lowering.constant(f"{function.__name__}_", function.dispatcher)
    pulled = lowering.constant(f"{function.__name__}_derivative", rule)
    lowering.put(Own([target], called, [a.node for a in arguments], pulled))
    return Scalar(name(target), target.dtype)


def raising(lowering: Lowering, error: ast.expr) -> ast.Raise:
    """Write a raise statement; its message is a constant."""
    called = error.func if isinstance(error, ast.Call) else error
    found = lower(lowering, called)
    if not isinstance(found, Known) or not isinstance(found.value, type):
        raise lowering.refuse("this exception", "raise one of Python's classes")
    kind = name(lowering.constant(found.value.__name__, found.value) if found.value.__module__ != "builtins" else
                found.value.__name__)  # fmt: skip
    arguments = error.args if isinstance(error, ast.Call) else []
    shown: list[ast.expr] = [
        a if isinstance(a, ast.Constant) else number("(see the function itself)") for a in arguments
    ]
    return ast.Raise(ast.Call(kind, shown, []), None)


def bind(lowering: Lowering, target: ast.expr, meaning: Meaning) -> None:
    """Give a meaning to a target of an assignment."""
    scope = lowering.scopes[-1]
    match target:
        case ast.Name(id=key):
            meaning = materialised(lowering, meaning, key)
            if isinstance(meaning, Scalar) and not meaning.atomic:
                meaning = lowering.assign(key, meaning)
            if isinstance(meaning, Scalar) and isinstance(meaning.node, ast.Name):
                _rename(lowering, meaning.node, key)
            scope.names[key] = meaning
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            if isinstance(meaning, Value) and meaning.ndim == 1:
                meaning = Group([element(lowering, meaning, [number(i)]) for i in range(len(targets))])
            if not isinstance(meaning, Group) or len(meaning.items) != len(targets):
                raise lowering.refuse("this unpacking", "unpack a tuple of as many items")
            held = [
                lowering.atom(item) if isinstance(item, Scalar) and not isinstance(t, ast.Name) else item
                for t, item in zip(targets, meaning.items, strict=True)
            ]
            held = [
                lowering.assign(t.id, item) if isinstance(item, Scalar) and isinstance(t, ast.Name) and not item.atomic
                else item for t, item in zip(targets, held, strict=True)
            ]  # fmt: skip
            for inner, item in zip(targets, held, strict=True):
                bind(lowering, inner, item)
        case ast.Subscript(value=base, slice=index):
            indexing.store(lowering, lower(lowering, base), index, meaning)
        case _:
            raise lowering.refuse("an assignment to an attribute", "assign to names and elements")


def _rename(lowering: Lowering, node: ast.Name, key: str) -> None:
    """Give a number that was named for want of a better name the user's."""
    statements = lowering.block.statements
    last = statements[-1] if statements else None
    if isinstance(last, Assign) and last.target.name == node.id and node.id.partition("_")[0] == "t":
        better = lowering.fresh(key)
        value = lowering.values.pop(node.id)
        value.name = node.id = better
        lowering.values[better] = value


def augment(lowering: Lowering, target: ast.expr, op: ast.operator, node: ast.expr) -> None:
    """Lower ``target op= value``."""
    if isinstance(target, ast.Name):
        value = lower(lowering, node)
        before = lowering.scopes[-1].find(target.id)
        if isinstance(before, Value):  # in place
            arrays.fill(lowering, before, arrays.binary(lowering, op, before, value), add=None)
            return
        bind(lowering, target, arrays.binary(lowering, op, before, value))
        return
    if not isinstance(target, ast.Subscript):
        raise lowering.refuse("an assignment to an attribute", "assign to names and elements")
    base = lower(lowering, target.value)
    items = indexing.places(lowering, base, target.slice)
    statements = lowering.block.statements
    count = len(statements)
    value = lower(lowering, node)
    if written_since(lowering, count):  # the elements are read before, but for views of them
        behind = statements[count:]
        del statements[count:]
        taken = indexing.taken(lowering, base, items)  # type: ignore[arg-type]
        taken = lowering.atom(taken) if isinstance(taken, Scalar) else materialised(lowering, taken)
        statements += behind
        indexing.put(lowering, base, items, arrays.binary(lowering, op, taken, value))
        return
    indexing.put(lowering, base, items, value, op)
