"""Elementwise Functions: a scalar formula each, from which the kernels, gradients of any order and tangents follow.

The gradient of an elementwise Function is an elementwise Function again: ``gx = gy * partial(y, x)`` as one formula,
hence one kernel. The first-order walk runs that kernel on arrays, the recorded walk applies it to Variables, and its
own gradients come by differentiating the formula once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from . import sharing
from .arrays import Array, as_array, is_array, is_stand_in
from .constants import compared_number, number_like, numbers
from .function import LARGE, Function, as_plain, without_elements
from .grad_mode import is_grad_enabled
from .kernels import dispatch, formula, placement, scalars
from .kernels.cpu import caller
from .kernels.cpu import elementwise as cpu
from .kernels.cpu.ndarray import as_method
from .kernels.formula import COMPARISON, FLOATING, LOGICAL, NUMBER, SIGNED, TRUTH, Expression, ScalarFunction
from .kernels.lazy import lazy
from .kernels.operators import OPERATORS
from .kernels.shapes import broadcast_shapes
from .recording import recorded
from .variable import Variable, as_variable, data_of


class Pullback(NamedTuple):
    """How a cotangent comes back to one input: an Elementwise of some of (gy, y, x0, x1, ...), or gy itself."""

    operation: Elementwise | None
    uses: tuple[int, ...]
    #: The same with all that its own derivatives depend on, which may be more than it reads itself.
    recorded: Pullback | None = None

    @property
    def needs(self) -> tuple[int, ...]:
        """What the graph has to keep for it, to any order."""
        return (self.recorded or self).uses


class _Caller:
    """An attribute that is `dispatch.caller` of an Elementwise: compiled, unless stand-ins are all that there is."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Elementwise, owner: type) -> Callable[..., Any]:
        given = instance.kernel, instance.domain, self.name == "pull"
        if sharing.stand_ins:
            return dispatch.stand_in_caller(*given)
        return instance.__dict__.setdefault(self.name, dispatch.caller(*given))


class Elementwise:
    """An elementwise operation: its formula, its kernel, and what follows from them; `function` applies it."""

    def __init__(
        self,
        name: str,
        expression: Expression,
        kinds: Sequence[str],
        domain: str,
        scalar: ScalarFunction | None = None,
        parameters: Sequence[str] | None = None,
    ) -> None:
        self.name, self.expression, self.kinds = name, expression, tuple(kinds)
        self.domain, self.scalar = domain, scalar
        self.arity = len(self.kinds)
        #: What the function calls its arguments, by which they may be given; x0, x1, ... unless somebody cares.
        self.parameters = None if parameters is None else tuple(parameters)
        self.differentiable = expression.kind == NUMBER
        #: By which inputs require a gradient: which inputs' elements the rules read then, and if they do the output's.
        self.reading: dict[tuple[bool, ...], tuple[list[bool], bool]] = {}
        # The function starts as a stub of the right arity, which costs nothing at import; its first call puts the
        # specialised code in its place.
        self.namespace: dict[str, Any] = {
            "operation": self,
            "first_call": first_call,
            "LARGE": LARGE,
            "__name__": __name__,
        }
        self.function = FunctionType(_stub_code(self.arity, self.parameters), self.namespace, name)
        self.function.__module__ = "nbgrad"
        self.function.__qualname__ = name

    @lazy
    def kernel(self) -> np.ufunc:
        """The NumPy ufunc of the compiled loops."""
        return cpu.kernel(self.name, [self.expression], self.kinds, self.domain)

    #: The kernel as a function of arrays, quick on small ones; gives arrays, never NumPy scalars.
    call = _Caller()
    #: The same of a cotangent and other arrays, which gives views where it repeats one element.
    pull = _Caller()

    @lazy
    def in_traces(self) -> Callable[..., Any]:
        """What `function` is in traces: without compiled calls, which would only hand on."""
        return self._prepared({})

    def _prepared(self, more: dict[str, Any]) -> FunctionType:
        """Give the function of Variables in plain Python."""
        keeps_output = any(p is not None and 1 in p.needs for p in self.pullbacks)
        namespace = more if more else dict(self.namespace)
        namespace |= {
            "Variable": Variable,
            "new": object.__new__,
            "call": self.call,
            "is_grad_enabled": is_grad_enabled,
            "on_other_types": on_other_types,
            "number": compared_number if self.domain == COMPARISON else number_like,
            "numbers": numbers,
            "refusal": refusal,
            "thin": _thin,
        }
        if self.differentiable:
            node = namespace["Node"] = _make_node(self, keeps_output)
            namespace["EvenNode"] = type(self.name, (node,), {"__slots__": (), "even": True})
        # with one input the first-order rule tells; with several it depends on which of them require a gradient
        reads_all = self.arity == 1 and not keeps_output and any(p is not None and 2 in p.needs for p in self.pullbacks)
        code = _apply_code(self.arity, self.differentiable, keeps_output, reads_all)
        return FunctionType(code, namespace, self.name)

    @lazy
    def pullbacks(self) -> list[Pullback | None]:
        """For each input, how cotangents come back; None where none do."""
        return [self._pullback(index) for index in range(self.arity)]

    def _cotangent(self, index: int) -> Expression | None:
        """Give the formula of an input's cotangent, of (gy, y, x0, x1, ...); None where there is none."""
        if not self.differentiable or self.kinds[index] == TRUTH:
            return None
        gy, y = formula.variable(0), formula.variable(1)
        xs = [formula.variable(2 + i, kind) for i, kind in enumerate(self.kinds)]
        if self.scalar is not None:
            if self.scalar is scalars.where:
                partial: Expression | None = scalars.where(xs[0], *((1, 0) if index == 1 else (0, 1)))
            else:
                partial = self.scalar.partial(index, y, tuple(xs))
        else:
            partial = formula.derivative(self.expression, index)
            if partial is not None:
                inputs = [formula.variable(i, kind) for i, kind in enumerate(self.kinds)]
                partial = formula.substitute(partial, dict(zip(inputs, xs, strict=True)))
        if partial is None:
            return None
        product = formula.times(gy, partial)
        # one that does not depend on gy is a constant, zero
        return product if 0 in formula.inputs_of([product]) else None

    def _pullback(self, index: int) -> Pullback | None:
        product = self._cotangent(index)
        if product is None:
            return None
        if product is formula.variable(0):
            return Pullback(None, (0,))
        name = f"{self.name}_vjp{index}"
        (expression,), kinds, uses = of_those_used([product])
        whole = Pullback(Elementwise(name, expression, kinds, FLOATING), uses)
        (expression,), kinds, uses = of_those_used([formula.expand(product)])
        if uses == whole.uses:
            return whole
        return Pullback(Elementwise(name, expression, kinds, FLOATING), uses, whole)

    @lazy
    def together(self) -> tuple[np.ufunc, tuple[int, ...], tuple[int, ...]]:
        """The kernel of all cotangents that are formulas, what of (gy, y, x0, ...) it reads, and whose they are."""
        found = {index: self._cotangent(index) for index in range(self.arity)}
        gy = formula.variable(0)
        products = {index: p for index, p in found.items() if p is not None and p is not gy}
        expressions, kinds, uses = of_those_used([formula.expand(p) for p in products.values()])
        return cpu.kernel(f"{self.name}_vjp", expressions, kinds, FLOATING), uses, tuple(products)

    def __repr__(self) -> str:
        return f"<elementwise {self.name}>"


def of_those_used(expressions: list[Expression]) -> tuple[list[Expression], list[str], tuple[int, ...]]:
    """Give expressions as functions of only those inputs that they have, the kinds of these, and which they were."""
    used = formula.inputs_of(expressions)
    renumbered = {
        formula.variable(position, kind): formula.variable(new, kind)
        for new, (position, kind) in enumerate(used.items())
    }
    return [formula.substitute(e, renumbered) for e in expressions], list(used.values()), tuple(used)


# ---- the specialised functions --------------------------------------------------------------------------------------
#
# What runs between the user's `x * y` and the compiled loop is written out for each arity, as a dataclass writes its
# __init__: no loop over inputs, no tuple unpacking, no keyword arguments.


@once
def _stub_code(arity: int, parameters: tuple[str, ...] | None) -> Any:
    if parameters is not None:
        return _with_parameters(_stub_code(arity, None), parameters)
    names = ", ".join(f"x{i}" for i in range(arity))
    return _function_code(f"def function({names}):\n    return first_call(operation, ({names},))\n")


def _function_code(source: str) -> Any:
    module = compile(source, "<nbgrad elementwise>", "exec")
    return next(constant for constant in module.co_consts if hasattr(constant, "co_code"))


def _with_parameters(code: Any, parameters: tuple[str, ...]) -> Any:
    """Return code whose arguments have other names; it finds them by number, so any names will do, and cost nothing."""
    return code.replace(co_varnames=(*parameters, *code.co_varnames[len(parameters) :]))


# Where no input was stretched or promoted, the walk need not look whether cotangents fit. An output is never smaller
# than an input in any dimension or in its items, so equal bytes (if any) and dimensions mean equal shapes and dtypes.
_NODE_FOR = {
    1: "EvenNode()",
    2: "EvenNode() if 0 < (nbytes := data.nbytes) == a0.nbytes == a1.nbytes and a0.ndim == a1.ndim else Node()",
    3: "Node()",
}
_NUMBER_OPERAND = [
    "        if type(x0) is Variable and (type(x1) is float or type(x1) is int):",
    "            try:",
    "                x1 = numbers[x0._array.dtype.char, x1]",
    "            except KeyError:",
    "                x1 = number(x1, x0.data.dtype)",
    "        elif type(x1) is Variable and (type(x0) is float or type(x0) is int):",
    "            try:",
    "                x0 = numbers[x1._array.dtype.char, x0]",
    "            except KeyError:",
    "                x0 = number(x0, x1.data.dtype)",
]


@once
def _apply_code(arity: int, differentiable: bool, keeps_output: bool, reads_all: bool) -> Any:
    xs = [f"x{i}" for i in range(arity)]
    lines = [
        f"def function({', '.join(xs)}):",
        f"    if {' or '.join(f'type({x}) is not Variable' for x in xs)}:",
        *(_NUMBER_OPERAND if arity == 2 else []),
        f"        {'else: ' if arity == 2 else ''}return on_other_types(operation, ({', '.join(xs)},))",
        *(f"    a{i} = x{i}._array" for i in range(arity)),
        "    try:",
        f"        data = call({', '.join(f'a{i}' for i in range(arity))})",
        "    except (TypeError, ValueError) as error:",
        f"        raise refusal(operation, error, ({', '.join(xs)},)) from None",
        "    y = new(Variable)",
        "    y._array = data",
    ]
    if differentiable:
        nbytes = "nbytes" if arity == 2 else "data.nbytes"
        thin = [] if reads_all else [f"        if {nbytes} > LARGE:", "            thin(node)"]
        lines.append("    generation = x0._generation")
        for x in xs[1:]:
            lines += [f"    later = {x}._generation", "    if later > generation:", "        generation = later"]
        lines += [
            "    if generation >= 0 and is_grad_enabled():",
            f"        y.creator = node = {_NODE_FOR[min(arity, 3)]}",
            f"        node.inputs = ({', '.join(xs)},)",
            *(["        node.output = data"] if keeps_output else []),
            "        node.generation = generation",
            "        y._generation = generation + 1",
            *thin,
            "    else:",
            "        y.creator = None",
            "        y._generation = -1",
        ]
    else:
        lines += ["    y.creator = None", "    y._generation = -1"]
    return _function_code("\n".join([*lines, "    return y\n"]))


@once
def _quick_code(arity: int) -> Any:
    names = ", ".join(f"x{i}" for i in range(arity))
    return _function_code(f"def function({names}):\n    return quickly({names})\n")


@once
def _pull_code(uses: tuple[tuple[int, ...] | None, ...], recorded: bool) -> Any:
    """Write pull (on arrays) or pull_graph (on Variables); `uses` tells what each input's pullback reads."""
    arity = len(uses)
    lines = ["def pull(self, gy):", f"    {', '.join(f'x{i}' for i in range(arity))}, = self.inputs"]
    read = {position for use in uses if use is not None for position in use}
    if 1 in read:
        lines.append("    y = self.output")
        if recorded:
            lines.append("    y = self._as_variable_again(0, y)")
    values = {0: "gy", 1: "y"} | {2 + i: f"x{i}" if recorded else f"x{i}._array" for i in range(arity)}
    results = []
    for i, use in enumerate(uses):
        if use is None:
            results.append("None")
            continue
        arguments = ", ".join(values[position] for position in use)
        # an empty use is the identity: the cotangent goes through as it is
        call = f"pull{i}({arguments})" if use else "gy"
        results.append(f"({call} if x{i}._generation >= 0 else None)")
    lines.append(f"    return ({', '.join(results)},)\n")
    return _function_code("\n".join(lines))


def _make_node(operation: Elementwise, keeps_output: bool) -> type[Function]:
    """Make the Function class of an operation; its instances are the graph's nodes."""
    slots = ("output",) if keeps_output else ()

    def pull_function(recorded: bool) -> FunctionType:
        pullbacks = [(p and p.recorded) or p if recorded else p for p in operation.pullbacks]
        uses = tuple(None if p is None else p.uses if p.operation is not None else () for p in pullbacks)
        namespace: dict[str, Any] = {}
        for i, pullback in enumerate(pullbacks):
            if pullback is not None and pullback.operation is not None:
                namespace[f"pull{i}"] = pullback.operation.function if recorded else pullback.operation.pull
        return FunctionType(_pull_code(uses, recorded), namespace, "pull_graph" if recorded else "pull")

    body: dict[str, Any] = {
        "__slots__": slots,
        "__doc__": f"{operation.name}, elementwise.",
        "operation": operation,
        "aliases": False,
        "pull": pull_function(False),
        "pull_graph": pull_function(True),
    }
    if sum(p is not None and p.operation is not None for p in operation.pullbacks) > 1:
        body["pull_elsewhere"] = _pull_together
    return type(operation.name, (Function,), body)


def _pull_together(self: Any, gy: Any) -> tuple[Array | None, ...]:
    """Give the inputs' cotangents, on other targets by one kernel if all are wanted: to launch it is what it costs."""
    ufunc, uses, formulas = self.operation.together
    inputs = self.inputs
    if isinstance(gy, np.ndarray) or is_stand_in(gy) or any([inputs[i]._generation < 0 for i in formulas]):
        return self.pull(gy)
    values = [gy if use == 0 else self.output if use == 1 else inputs[use - 2]._array for use in uses]
    found = dict(zip(formulas, dispatch.evaluate(ufunc, values), strict=True))
    rest = [p is not None and x._generation >= 0 for p, x in zip(self.operation.pullbacks, inputs, strict=True)]
    return tuple([found[i] if i in found else gy if rest[i] else None for i in range(len(inputs))])


def _thin(node: Any) -> None:
    """Let go of what no rule of a node reads: of its output, and of the elements of its inputs."""
    inputs, operation = node.inputs, node.operation
    recorded = tuple([x._generation >= 0 for x in inputs])
    found = operation.reading.get(recorded)
    if found is None:
        wanted = [p for p, one in zip(operation.pullbacks, recorded, strict=True) if p is not None and one]
        read = {use for p in wanted for use in p.needs}
        found = operation.reading[recorded] = [2 + i in read for i in range(len(inputs))], 1 in read
    node.inputs = without_elements(inputs, found[0])
    if not found[1] and node.output is not None:
        node.output = dispatch.hollow(node.output)


def first_call(operation: Elementwise, arguments: tuple[Any, ...]) -> Any:
    """Put the specialised code of an operation in the place of its stub, and run it."""
    if any([isinstance(argument, Expression) for argument in arguments]):
        return on_other_types(operation, arguments)
    if sharing.stand_ins:
        return operation.in_traces(*arguments)
    slowly = operation._prepared(operation.namespace)
    code = slowly.__code__
    quickly = _recorded(operation, slowly)
    if quickly is not slowly:
        operation.namespace["quickly"] = quickly
        code = _quick_code(operation.arity)
        _install(operation, quickly)
    operation.function.__code__ = code if operation.parameters is None else _with_parameters(code, operation.parameters)
    return operation.function(*arguments)


def _recorded(operation: Elementwise, slowly: Callable[..., Any]) -> Callable[..., Any]:
    """Give the compiled call that applies an operation to small arrays; `slowly` has all others, and all if none is."""
    work = caller.elementwise(operation.kernel)
    return slowly if work is None else recorded(work, operation.arity, slowly, numbers, **nodes_of(operation))


def nodes_of(operation: Elementwise) -> dict[str, Any]:
    """Give what compiled calls are to know of an operation's nodes, which are made by its first call."""
    if not operation.differentiable:
        return {}
    even, node = operation.namespace["EvenNode"], operation.namespace["Node"]
    output = "output" if "output" in vars(node) else None
    return {"kind": even if operation.arity == 1 else node, "even": even, "output": output, "keeps_output": True}


def _install(operation: Elementwise, quickly: Callable[..., Any]) -> None:
    """Have Python's operator for an operation, if there is one, reach the compiled call at once."""
    for operator, name in OPERATORS.items():
        if name == operation.name and vars(Variable).get(f"__{operator}__") is operation.function:
            setattr(Variable, f"__{operator}__", as_method(quickly))


# ---- off the hot path -----------------------------------------------------------------------------------------------


def on_other_types(operation: Elementwise, arguments: tuple[Any, ...]) -> Any:
    """Apply to anything but plain Variables: numbers, arrays, subclasses, formulas being traced.

    Arrays alone give an array. A Python number takes the dtype of the Variables it meets (NEP 50).
    """
    if any(isinstance(argument, Expression) for argument in arguments):
        if operation.scalar is not None:
            return operation.scalar(*arguments)
        inputs = [formula.variable(i, kind) for i, kind in enumerate(operation.kinds)]
        nodes = [formula.constant(argument) for argument in arguments]
        return formula.substitute(operation.expression, dict(zip(inputs, nodes, strict=True)))
    x, y = arguments[0], arguments[-1]
    if len(arguments) == 2 and type(x) is np.ndarray and type(y) is float and operation.domain != LOGICAL:
        if x.dtype.char in "fd":
            return operation.call(x, number_like(y, x.dtype)._array)
    dtype = None
    variables = False
    for argument in arguments:
        if isinstance(argument, Variable):
            variables = True
        if isinstance(argument, Variable | np.ndarray | np.generic) or is_array(argument):
            dtype = argument.dtype if dtype is None else np.promote_types(dtype, argument.dtype)
        elif not isinstance(argument, int | float):
            if argument is None and operation.name in ("eq", "ne"):
                return NotImplemented  # Python then compares by identity
            what = "takes Variables, arrays and numbers; nbgrad.tensor makes a Variable of a list"
            if type(argument).__name__ == "ValuesAndIndices":  # of `max` and its like
                what = "take .values, or give axis= instead of dim"
            raise TypeError(f"{operation.name}: operand of type {type(argument).__name__}: {what}")
    if not variables:
        try:
            return operation.call(*arguments)
        except (TypeError, ValueError) as error:
            raise refusal(operation, error, arguments) from None
    converted = []
    for argument in arguments:
        if not isinstance(argument, Variable):
            if isinstance(argument, int | float):
                argument = (compared_number if operation.domain == COMPARISON else number_like)(argument, dtype)
            else:
                argument = as_variable(argument)
        elif type(argument) is not Variable:
            argument = as_plain(argument)
        converted.append(argument)
    return operation.function(*converted)


def refusal(operation: Elementwise, error: Exception, arguments: tuple[Any, ...]) -> Exception:
    """Give the exception for operands that the kernel refused, naming the operation and what it got."""
    arrays = [as_array(data_of(a)) for a in arguments]
    try:
        placement.together(operation.name, arrays)
    except TypeError as apart:
        return apart
    shapes = " and ".join(str(a.shape) for a in arrays)
    dtypes = " and ".join(str(a.dtype) for a in arrays)
    try:
        broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        return ValueError(
            f"{operation.name}: shapes {shapes} do not broadcast: dimensions must be equal or 1, counted from the last"
        )
    if isinstance(error, TypeError):
        known = {FLOATING: "floating", LOGICAL: "bool", SIGNED: "whole or floating"}.get(operation.domain, "real")
        others = " (truth values have ~ and ^)" if operation.domain == SIGNED else ""
        return TypeError(f"{operation.name}: no kernel for dtypes {dtypes}: convert to {known} dtypes first{others}")
    return type(error)(f"{operation.name}: shapes {shapes}, dtypes {dtypes}: {error}")
