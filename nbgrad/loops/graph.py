"""Compiled loops in the graph: one node a call, with gradients of any order.

The gradient of a node is the derivative's way back; what it gives is differentiated along directions. That is enough
for all orders: the derivative of a gradient by its inputs, contracted with a vector, is its tangent along that vector,
since second derivatives do not depend on the order in which they are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import is_stand_in, of_examples, of_numpys_own
from ..batching.rules import by_loop
from ..function import DIFFERENTIABLE, Function
from ..tracing.calls import call_several
from ..tracing.symbol import Symbol
from ..variable import Variable
from . import compiled
from .compiled import Derivative


def call(function: Any, arguments: tuple[Any, ...]) -> Any:
    """Call a differentiable function on arguments of which some are Variables.

    Raises TypeError where it writes to the array of a Variable, or gives nothing.
    """
    standing: Any = is_stand_in
    arguments = tuple([Variable(x, requires_grad=False) if standing(x) else x for x in arguments])
    places = tuple(place for place, argument in enumerate(arguments) if isinstance(argument, Variable))
    variables = [arguments[place] for place in places]
    call = Call(function, arguments, places)
    if any(x.requires_grad for x in variables):
        return Node(call, 0)(*variables)
    results = _through(function.__name__, call.value, [x.data for x in variables])
    found = [y if y is None else Variable(y, requires_grad=False) for y in results]
    return tuple(found) if call.several else found[0]


def call_on_stand_ins(function: Any, arguments: tuple[Any, ...]) -> Any:
    """Call a function on arrays of which some stand in for those of a trace, or of many examples; gives arrays."""
    found = call(function, arguments)
    return tuple([y.data for y in found]) if isinstance(found, tuple) else found.data


class Call:
    """A call: the function, and the arguments that are no Variables."""

    def __init__(self, function: Any, arguments: tuple[Any, ...], places: tuple[int, ...]) -> None:
        self.function, self.places = function, places
        self.arguments = list(arguments)
        self.several = False
        for place in places:
            self.arguments[place] = None

    def complete(self, arrays: Any) -> list[Any]:
        """Give all arguments, with arrays in the places of Variables; arrays without axes become numbers."""
        made = list(self.arguments)
        for place, array in zip(self.places, arrays, strict=True):
            if not isinstance(array, np.ndarray):
                if not isinstance(array, np.generic):
                    raise TypeError(
                        f"njit: {self.function.__name__} computes on the CPU, got {type(array).__name__}: use cpu()"
                    )
                array = np.asarray(array)
            if type(array) is not np.ndarray:
                array = of_numpys_own(array)
            made[place] = array[()] if not array.ndim else array
        return made

    def value(self, arrays: Any) -> list[Any]:
        """Give the results as arrays."""
        arguments = self.complete(arrays)
        self.refuse_writes(arguments)
        results = self.function.dispatcher(*arguments)
        self.several = isinstance(results, tuple)
        found = list(results) if self.several else [results]
        if any(y is None for y in found):
            raise TypeError(
                f"njit: {self.function.__name__} gives nothing that the graph could go on from: return what it computes"
            )
        return [_own(y, arguments) for y in found]

    def refuse_writes(self, arguments: list[Any]) -> None:
        """Raise TypeError where the function writes to an argument that is a Variable."""
        vjp = self.function._derivative("vjp")
        kinds = vjp.kinds_of(arguments)
        written = vjp.written_by(kinds)
        for place in self.places:
            if vjp.parameters[place] in written:
                raise TypeError(
                    f"njit: {self.function.__name__} writes to {vjp.parameters[place]!r}, which is a Variable: write "
                    "to a copy of it inside, and return that"
                )

    def wanted(self, arrays: Any) -> tuple[int, ...]:
        """Give the places of the Variables that have gradients."""
        return tuple(p for p, x in zip(self.places, arrays, strict=True) if x.dtype in DIFFERENTIABLE)


def _through(name: str, compute: Callable[[Sequence[Any]], list[Any]], arrays: Sequence[Any]) -> list[Any]:
    """Compute results from arrays; where these are traced, at every run."""
    if of_examples(arrays):
        return list(by_loop(lambda *xs: tuple(_through(name, compute, xs)), f"njit {name}", arrays, {}))
    program = next((x.program for x in arrays if isinstance(x, Symbol)), None)
    if program is None:
        return compute(arrays)
    nodes = [x.node if isinstance(x, Symbol) else program.constant(np.asarray(x)) for x in arrays]

    def invoke(arrays: Sequence[Any], untouched: bool = False) -> Any:
        found = compute(arrays)
        return tuple(found) if len(found) > 1 else found[0]

    results, _ = call_several(program, invoke, f"njit {name}", nodes)
    return [Symbol(program, node) for node in results]


def _own(value: Any, arguments: list[Any]) -> np.ndarray:
    array = np.asarray(value)
    if isinstance(value, np.ndarray) and any(
        isinstance(other, np.ndarray) and np.may_share_memory(array, other) for other in arguments
    ):
        return array.copy()
    return array


class Node(Function):
    """The value of a call (order 0), its gradient contracted with cotangents (1), and that along directions (2, ...).

    The inputs are the Variables, the cotangents, and one direction for each differentiable Variable and each order
    above 1. Of order -1, -2, ... it is the derivative of the value along one direction, two, ..., without cotangents.
    """

    batches = True

    def __init__(self, call: Call, order: int, along: int = 0, outputs: tuple[bool, ...] = ()) -> None:
        self.call, self.order, self.along, self.differentiable = call, order, along, outputs

    def forward(self, *inputs: Any) -> Any:
        """Compute, by the function compiled for it."""
        return tuple(_through(self.call.function.__name__, self._compute, inputs))

    def _compute(self, inputs: Sequence[Any]) -> list[Any]:
        call = self.call
        count = len(call.places)
        if self.order == 0 and not self.along:
            results = call.value(inputs)
            self.differentiable = tuple(y.dtype in DIFFERENTIABLE for y in results)
            return results
        wanted = call.wanted(inputs[:count])
        arguments = call.complete(inputs[:count])
        rest = [x[()] if not x.ndim else x for x in map(np.asarray, inputs[count:])]
        kinds = call.function._derivative("vjp").kinds_of(arguments)
        compute = contraction(call.function, self.order, self.along, wanted, kinds)
        found = compute(*arguments, *rest)
        if self.order:
            found = [g for g in found[1] if g is not None]
        else:
            found = [y for y in (found if isinstance(found, tuple) else (found,)) if y is not None]
            found = [y for y, keeps in zip(found, self.differentiable, strict=True) if keeps]
        return [np.asarray(g) for g in found]

    def vjp(self, gy: Any, y: Any, *inputs: Any) -> Any:
        """Give the cotangents of the inputs, by nodes of the next order."""
        call = self.call
        given = list(gy) if self.multiple else [gy]
        count = len(call.places)
        xs, rest = inputs[:count], list(inputs[count:])
        recorded = any(isinstance(x, Variable) for x in (*inputs, *given))
        wanted = call.wanted([x.data if isinstance(x, Variable) else x for x in xs])
        width = len(wanted)

        def node(order: int, along: int, *more: Any) -> list[Any]:
            made = Node(call, order, along, self.differentiable)
            if not recorded:
                return list(made.forward(*xs, *more))
            found = made(*xs, *more)
            return list(found) if isinstance(found, list | tuple) else [found]

        def by_place(found: list[Any]) -> list[Any]:
            rest = iter(found)
            return [next(rest) if place in wanted else None for place in call.places]

        if self.order == 0:
            gys = [g for g, keeps in zip(given, self.differentiable, strict=True) if keeps] if not self.along else given
            directions = rest
            found = by_place(node(1, self.along, *gys, *directions))
            for index in range(self.along):
                others = directions[: index * width] + directions[(index + 1) * width :]
                found += node(1, self.along - 1, *gys, *others)
            return tuple(found)
        # the cotangents of a gradient are a direction
        outputs = sum(self.differentiable)
        gys, directions = rest[:outputs], rest[outputs:]
        found = by_place(node(1, self.along + 1, *gys, *directions, *given))
        found += node(0, self.along + 1, *directions, *given)
        for index in range(self.along):
            others = directions[: index * width] + directions[(index + 1) * width :]
            found += node(1, self.along, *gys, *others, *given)
        return tuple(found)


def contraction(function: Any, order: int, along: int, wanted: tuple[int, ...], kinds: tuple[Any, ...]) -> Any:
    """Give the compiled function of arguments, cotangents (of order 1) and directions that a node computes."""
    key = (order, along, wanted, kinds)
    found = function._contractions.get(key)
    if found is None:
        if order == 1 and not along:
            first = function._derivative("vjp", wanted)
            found = _entry(function, first)
        else:
            python = function.py_func
            names = len(kinds)
            if order == 1:
                first = function._derivative("vjp", wanted, plain=True)
                python = first.python(kinds, first.wanted(kinds))[0]
            options = {k: v for k, v in function.options.items() if k not in ("error_model", "parallel")}
            found = Along(python, options, along, wanted, names)
        function._contractions[key] = found
    return found


def _entry(function: Any, derivative: Derivative) -> Any:
    def call(*arguments: Any) -> Any:
        count = len(arguments) - len(derivative.parameters)
        return function.entry("vjp", count, derivative.chosen)(*arguments)

    return call


class Along:
    """A function differentiated along directions, once for each."""

    def __init__(self, python: Any, options: dict[str, Any], along: int, wanted: tuple[int, ...], count: int) -> None:
        self.python, self.options, self.along, self.wanted, self.count = python, options, along, wanted, count
        self._made: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        width = len(self.wanted)
        given = len(arguments) - self.along * width
        # directions are typed as what they belong to, and one number that a view repeats lies otherwise
        arguments = (*arguments[:given], *[np.asarray(x, order="C") for x in arguments[given:]])
        kinds = compiled.kinds_of(arguments)
        made: Any = self._made.get(kinds)
        if made is None:
            python = self.python
            known = list(kinds[:given])
            for _ in range(self.along):
                derivative = Derivative(python, "jvp", self.options, self.wanted)
                made = derivative.dispatcher(tuple(known), derivative.wanted(known))
                python = made.py_func
                known += [kinds[place] for place in self.wanted]
            self._made[kinds] = made
        found = made(*arguments)
        for _ in range(self.along):
            found = found[1]
        return found
