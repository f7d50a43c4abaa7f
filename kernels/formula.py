"""Scalar expressions that know how to write themselves down and how to differentiate themselves.

A formula is an ordinary Python function of scalars. Called with `Expression` inputs it leaves behind a graph of
nodes, which has several readers: `source` writes Python source for one dtype, `derivative` differentiates, and
`substitute` splices formulas into each other. Equal nodes are one object (hash-consing), so common subexpressions
are found by identity.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from .forks import hold_over_fork
from .lazy import lazy
from .operators import Operators

#: What a node's value is: an element of the dtype that the kernel is compiled for, or a truth value.
NUMBER, TRUTH = "number", "truth"

_interned: weakref.WeakValueDictionary[tuple[Any, ...], Expression] = weakref.WeakValueDictionary()
_interning = threading.RLock()  # re-entrant: a garbage collection inside may end nodes
hold_over_fork(_interning)
_scalar_functions: dict[str, ScalarFunction] = {}


class Expression(Operators):
    """One node: an input (named by its position), a constant, or a scalar function of other nodes."""

    __slots__ = ("__weakref__", "arguments", "facts", "function", "kind", "payload")

    #: What was found out about it (`found_once`).
    facts: dict[Any, Any]
    function: ScalarFunction | None
    arguments: tuple[Expression, ...]
    payload: Any
    kind: str

    # Interning makes identity the notion of equality; `==` itself writes a comparison node.
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(
            "a formula branched on a traced value: Python's if, and, or, not, min, max and chained comparisons need "
            "a number, and a formula has none. Use nbgrad.where(condition, a, b), maximum, minimum, &, | and ~."
        )

    def __float__(self) -> float:
        raise TypeError(
            "a formula turned a traced value into a Python float: use operators, nbgrad's functions or NumPy's "
            "ufuncs (np.exp, np.tanh, ...) instead of the math module"
        )

    __int__ = __index__ = __float__

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Expression:
        function = scalar_function(standing_for(ufunc) or "")
        if method != "__call__" or options or function is None:
            raise TypeError(
                f"np.{ufunc.__name__} has no counterpart in a formula; known functions are {sorted(_scalar_functions)}"
            )
        return function(*inputs)

    def __repr__(self) -> str:
        return source([self], "value")[1][0]


#: NumPy's ufunc names where they differ from ours (which are PyTorch's).
NUMPY_NAMES = {
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "power": "pow",
    "float_power": "pow",
    "negative": "neg",
    "absolute": "abs",
    "fabs": "abs",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "invert": "logical_not",
    "mod": "remainder",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    # scipy.special's
    "gammaln": "lgamma",
    "psi": "digamma",
    "expit": "sigmoid",
}


#: The scalar functions in `special`.
SELDOM = frozenset({
    "ceil", "copysign", "cosm1", "entr", "exp10", "floor", "fmod", "heaviside", "kl_div", "log_expit", "logaddexp2",
    "logit", "ndtr", "rel_entr", "rint", "sinc", "trunc", "xlog1py", "xlogy",
})  # fmt: skip


def standing_for(ufunc: Any) -> str | None:
    """Give our name for a ufunc of NumPy's or SciPy's; None for others, which only may be called like one of these."""
    name = ufunc.__name__
    for library in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(library), name, None) is ufunc:
            return NUMPY_NAMES.get(name, name)
    return None


def scalar_function(name: str) -> ScalarFunction | None:
    """Give the scalar function of a name, None where there is none; seldom ones are declared when first asked for."""
    found = _scalar_functions.get(name)
    return find_seldom(name) if found is None and name in SELDOM else found


def find_seldom(name: str) -> ScalarFunction | None:
    """Give a scalar function that is declared when first asked for; whoever has them puts a function in this place."""
    return None


def _node(function: ScalarFunction | None, arguments: tuple[Expression, ...], payload: Any, kind: str) -> Expression:
    key = (function, arguments, payload, kind)
    found = _interned.get(key)
    if found is None:
        with _interning:  # identity is equality, so two threads must not make two nodes of one
            found = _interned.get(key)
            if found is None:
                found = object.__new__(Expression)
                found.function, found.arguments, found.payload, found.kind = function, arguments, payload, kind
                found.facts = {}
                _interned[key] = found
    return found


def variable(position: int, kind: str = NUMBER) -> Expression:
    """Give the node that stands for the input at `position`."""
    return _node(None, (), position, kind)


def constant(value: float | bool) -> Expression:
    """Give the node of a Python number; it takes the dtype of the kernel it ends up in."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, bool | np.bool_):
        return _node(None, (), repr(bool(value)), TRUTH)
    if not isinstance(value, int | float | np.number):
        raise TypeError(
            f"a formula holds numbers and traced values, not {type(value).__name__}: {value!r}; what is to be "
            "differentiated by, or may change, is an argument of the formula"
        )
    number = float(value)
    return _node(None, (), repr(number), NUMBER)


def constant_value(node: Expression) -> float | bool | None:
    """Give the number a constant node stands for, None for every other node."""
    if node.function is not None or isinstance(node.payload, int):
        return None
    return node.payload == "True" if node.kind == TRUTH else float(node.payload)


def apply(function: ScalarFunction, arguments: Sequence[Any]) -> Expression:
    """Give the node of a scalar function applied to nodes or Python numbers."""
    nodes = tuple(constant(argument) for argument in arguments)
    if len(nodes) != function.arity:
        raise TypeError(f"{function.name} takes {function.arity} arguments, got {len(nodes)} in a formula")
    for position, (node, kind) in enumerate(zip(nodes, function.argument_kinds, strict=True)):
        if node.kind != kind:
            raise TypeError(
                f"{function.name} needs a {kind} as argument {position} and got a {node.kind}: "
                "comparisons give truth values, which where(condition, a, b) turns into numbers"
            )
    return _node(function, nodes, None, function.result_kind)


def trace(formula: Callable[..., Any], kinds: Sequence[str]) -> Expression:
    """Call a formula on fresh inputs and give the expression it computes.

    Raises TypeError where the formula branches on a traced value or gives something that is no expression.
    """
    result = formula(*(variable(position, kind) for position, kind in enumerate(kinds)))
    if isinstance(result, tuple | list):
        raise TypeError("a formula gives one scalar; declare one formula for each output")
    return constant(result)


def topological(roots: Iterable[Expression]) -> list[Expression]:
    """Give every node below `roots` once, arguments before the nodes that use them; no recursion."""
    order: list[Expression] = []
    seen: set[Expression] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((argument, False) for argument in reversed(node.arguments))
    return order


_Found = TypeVar("_Found")


def found_once(find: Callable[[Expression], _Found]) -> Callable[[Expression], _Found]:
    """Have a function of one expression remember what it found: large programs ask the same again and again."""

    def known(root: Expression) -> Any:
        return root.facts[known] if known in root.facts else root.facts.setdefault(known, find(root))

    return known


def inputs_of(roots: Iterable[Expression]) -> dict[int, str]:
    """Give the positions of the inputs that `roots` use, each with its kind, in ascending order."""
    found = {node.payload: node.kind for node in topological(roots) if _is_input(node)}
    return dict(sorted(found.items()))


inputs = found_once(lambda root: inputs_of([root]))


def _is_input(node: Expression) -> bool:
    return node.function is None and isinstance(node.payload, int)


def substitute(root: Expression, replacements: Mapping[Expression, Expression]) -> Expression:
    """Rebuild `root` with some of its nodes replaced, and composite functions left as they are."""
    built: dict[Expression, Expression] = {}
    for node in topological([root]):
        if node in replacements:
            built[node] = replacements[node]
        elif node.function is None:
            built[node] = node
        else:
            built[node] = apply(node.function, [built[argument] for argument in node.arguments])
    return built[root]


def cost(roots: Iterable[Expression]) -> int:
    """Estimate what it takes to compute expressions once, in additions."""
    return sum([node.function.cost for node in topological(roots) if node.function is not None])


cost_of = found_once(lambda root: cost([root]))


@found_once
def dearest(root: Expression) -> int:
    """Return what the dearest function in an expression costs, in additions."""
    return max([0, *(node.function.dearest for node in topological([root]) if node.function is not None)])


@found_once
def expand(root: Expression) -> Expression:
    """Replace composite functions by their formulas, down to what a template can write."""
    built: dict[Expression, Expression] = {}
    for node in topological([root]):
        if node.function is None:
            built[node] = node
            continue
        arguments = tuple(built[argument] for argument in node.arguments)
        if node.function.formula is None:
            built[node] = apply(node.function, arguments)
        else:
            built[node] = expand(node.function.expand(arguments))
    return built[root]


# ---- scalar functions ------------------------------------------------------------------------------------------------

#: For which dtypes a function has kernels: floating ones, integers too (SIGNED ones refuse truth values, which count as
#: integers elsewhere), truth values too (giving such: 1 + 1 is True), or anything ordered (giving truth values).
FLOATING, NUMERIC, SIGNED, CLOSED = "floating", "numeric", "signed", "closed"
COMPARISON, LOGICAL = "comparison", "logical"


class ScalarFunction:
    """A named function of scalars, used inside formulas by calling it."""

    def __init__(
        self,
        name: str,
        compute: str | Callable[..., Any],
        *partials: Callable[..., Any] | None,
        domain: str = FLOATING,
        argument_kinds: tuple[str, ...] | None = None,
        signed: str | None = None,
        checked: bool = True,
        cost: int = 1,
    ) -> None:
        self.name = name
        self._cost = cost
        self.domain = domain
        self.formula = None if isinstance(compute, str) else compute
        self.template = compute if isinstance(compute, str) else ""
        self.signed_template = signed or self.template  # for signed whole numbers, where they are special
        if argument_kinds is None:
            kind = TRUTH if domain == LOGICAL else NUMBER
            arity = self.formula.__code__.co_argcount if self.formula else 1 + ("{1}" in self.template)
            argument_kinds = (kind,) * arity
        self.argument_kinds = argument_kinds
        self.arity = len(argument_kinds)
        self.result_kind = TRUTH if domain in (COMPARISON, LOGICAL) else NUMBER
        self.partials = partials
        if self.formula is not None and checked:
            self.expression  # noqa: B018  an unknown name in a formula fails here, where it is declared

    @lazy
    def expression(self) -> Expression:
        """The function of its inputs 0, 1, ... as an expression, one level deep for composite functions."""
        if self.formula is not None:
            return trace(self.formula, self.argument_kinds)
        return apply(self, [variable(i, kind) for i, kind in enumerate(self.argument_kinds)])

    @lazy
    def cost(self) -> int:
        """What it takes to compute once, in additions: as stated, or what the formula takes."""
        return self._cost if self.formula is None else cost([self.expression])

    @lazy
    def dearest(self) -> int:
        """What the dearest function in it costs, that is no formula itself."""
        return self._cost if self.formula is None else dearest(self.expression)

    def partial(self, index: int, y: Expression, arguments: tuple[Expression, ...]) -> Expression | None:
        """Give the partial derivative by argument `index` at `arguments`, None where it is zero everywhere."""
        if self.partials:
            stated = self.partials[index]
            return None if stated is None else constant(stated(y, *arguments))
        if self.formula is None or self.argument_kinds[index] == TRUTH:
            return None
        slope = self._derived[index]
        return None if slope is None else self._at(slope, arguments)

    @lazy
    def _derived(self) -> list[Expression | None]:
        return [derivative(self.expression, index) for index in range(self.arity)]

    def expand(self, arguments: tuple[Expression, ...]) -> Expression:
        """Give a composite function's formula at `arguments`."""
        return self._at(self.expression, arguments)

    def _at(self, expression: Expression, arguments: tuple[Expression, ...]) -> Expression:
        inputs = [variable(i, kind) for i, kind in enumerate(self.argument_kinds)]
        return substitute(expression, dict(zip(inputs, arguments, strict=True)))

    def __call__(self, *arguments: Any) -> Expression:
        return apply(self, arguments)

    def __repr__(self) -> str:
        return f"<scalar function {self.name}>"


# ---- derivatives ----------------------------------------------------------------------------------------------------


def derivative(root: Expression, position: int) -> Expression | None:
    """Differentiate with respect to one input; None where the derivative is zero everywhere.

    Forward accumulation over the nodes: each scalar function brings the partials of its own arguments
    (`ScalarFunction.partial`), the chain rule adds them up.
    """
    slopes: dict[Expression, Expression | None] = {}
    for node in topological([root]):
        if node.function is None:
            slopes[node] = constant(1) if _is_input(node) and node.payload == position else None
            continue
        if node.function is _scalar_functions["where"]:
            # Selecting between slopes, instead of multiplying them by 0 or 1, keeps a NaN or an infinity of the
            # branch not taken out of the result.
            condition, first, second = node.arguments
            slopes[node] = _where(condition, slopes[first], slopes[second])
            continue
        total: Expression | None = None
        for index, argument in enumerate(node.arguments):
            slope = slopes[argument]
            if slope is None:
                continue
            partial = node.function.partial(index, node, node.arguments)
            if partial is None:
                continue
            total = plus(total, times(slope, partial))
        slopes[node] = total
    return slopes[root]


def _where(condition: Expression, first: Expression | None, second: Expression | None) -> Expression | None:
    if first is None and second is None:
        return None
    if first is second:
        return first
    zero = constant(0)
    return apply(
        _scalar_functions["where"],
        [condition, first if first is not None else zero, second if second is not None else zero],
    )


def plus(first: Expression | None, second: Expression | None) -> Expression | None:
    """Add two slopes, of which None is zero."""
    if first is None or second is None:
        return second if first is None else first
    return first + second


def times(first: Expression, second: Expression) -> Expression:
    """Multiply two slopes, leaving out factors of one and drawing out signs.

    A factor that selects constants becomes a selection, so that ``inf * 0`` does not turn a masked gradient to NaN, and
    one over something a division, which rounds once, and may be in range where the factor is not.
    """
    for factor, other in ((first, second), (second, first)):
        value = constant_value(factor)
        if value == 1:
            return other
        if value == -1:
            return -other
        if value == 0:
            return factor
        function = factor.function
        if function is _scalar_functions["where"] and _is_selection(factor):
            condition, yes, no = factor.arguments
            return apply(function, [condition, times(other, yes), times(other, no)])
        if function is _scalar_functions["div"] and constant_value(factor.arguments[0]) is not None:
            return times(other, factor.arguments[0]) / factor.arguments[1]
    return first * second


def _is_selection(node: Expression) -> bool:
    """Tell whether a node is a constant, or a nest of where() that ends in constants only."""
    stack = [node]
    while stack:
        node = stack.pop()
        if node.function is _scalar_functions["where"]:
            stack.extend(node.arguments[1:])
        elif constant_value(node) is None:
            return False
    return True


# ---- source ---------------------------------------------------------------------------------------------------------


def source(
    roots: Sequence[Expression], number: str, names: Mapping[int, str] | Sequence[str] = {}, prefix: str = "t"
) -> tuple[list[str], list[str]]:
    """Write expressions as Python source for one dtype.

    `number` names the dtype's conversion in the kernel's namespace (``float32``): every constant goes through it,
    since ``1 - y`` on float32 would be computed in float64. `names` are of some inputs, or of all in order. Gives what
    assigns nodes used more than once or too deep to inline, to names of this `prefix`, and the roots' expressions.
    """
    facts = roots[0].facts if len(roots) == 1 else {}  # asked for again and again, with other names
    lines, values, used = facts.get(number) or facts.setdefault(number, _templates(roots, number))
    given = {i: f"x{i}" for i in used} | dict(names) if isinstance(names, Mapping) else names
    return [line.format(x=given, t=prefix) for line in lines], [value.format(x=given, t=prefix) for value in values]


def _templates(roots: Sequence[Expression], number: str) -> tuple[list[str], list[str], list[int]]:
    """Write what `source` gives, with {x[0]} for the first input and {t} for the prefix; and list the inputs."""
    order = topological(roots := [expand(root) for root in roots])
    uses = Counter([*(argument for node in order for argument in node.arguments), *roots])
    text: dict[Expression, str] = {}
    lines: list[str] = []
    for node in order:
        if node.function is not None:
            template = node.function.signed_template if number.startswith("int") else node.function.template
            written = template.format(*(text[argument] for argument in node.arguments), number=number)
            if uses[node] > 1 or len(written) > 60:
                name = f"{{t}}{len(lines)}"
                lines.append(f"{name} = {written}")
                written = name
        elif _is_input(node):
            written = f"{{x[{node.payload}]}}"
        elif node.kind == TRUTH:
            written = node.payload
        else:
            # inf and nan have no literal in source
            literal = node.payload if node.payload not in ("inf", "-inf", "nan") else f"float('{node.payload}')"
            written = f"{number}({literal})"
        text[node] = written
    return lines, [text[root] for root in roots], [node.payload for node in order if _is_input(node)]
