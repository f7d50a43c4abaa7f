"""A function traced for one signature, and how its arguments are taken apart and its results put together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from .. import history, sharing
from ..arrays import Array, is_array
from ..function import constant
from ..generator import Generator, traced_draw
from ..grad_mode import set_grad_enabled
from ..kernels.target import Compiler
from ..nests import Kind, count, flatten, unflatten
from ..ops.inplace import put_back, written_outside
from ..variable import Variable
from . import lowering
from . import numpy_rules as numpy_rules  # which Symbols have theirs from
from .bindings import Bindings
from .lifting import State
from .plan import Plan
from .program import Constant, Literal, Node, Program
from .purity import Sources
from .replay import Replayable, leaf_of
from .symbol import Symbol


def _same(first: Any, second: Any) -> bool:
    """Tell whether two static values are one to the function: also 0.0 and -0.0, 1 and 1.0 differ."""
    if type(first) is not type(second):
        return False
    if isinstance(first, float | complex | np.inexact):
        return repr(first) == repr(second)
    if is_dataclass(first):
        compared = [field.name for field in fields(first) if field.compare]
        return first == second and all(_same(getattr(first, name), getattr(second, name)) for name in compared)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, frozenset):
        return len(first) == len(second) and all(any(_same(x, y) for y in second) for x in first)
    return bool(first == second)


class Static:
    """An argument that is part of the trace: compared by its value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and _same(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self.value)


class NoGradient:
    """The kind of arguments that are Variables and require no gradient."""


class Trace:
    """A function traced for one signature: its program, its plan, and how results are put together."""

    def __init__(
        self,
        function: Callable[..., Any],
        structure: Any,
        kinds: Sequence[Any],
        donated: Sequence[int],
        compiler: Compiler,
        state: State | None = None,
    ) -> None:
        self.state = state
        self.structure, self.kinds, self.compiler = structure, kinds, compiler
        self.program = Program(compiler.target)
        arguments: list[Any] = []
        self.inputs: list[Any] = []
        for kind, shape, dtype in kinds:
            if kind is Static:
                arguments.append(shape.value)
                continue
            weak = kind if kind in (float, int) else None
            symbol = Symbol(self.program, self.program.input(shape, dtype), weak)
            self.inputs.append(leaf_of(symbol, kind is Variable) if kind in (Variable, NoGradient) else symbol)
            arguments.append(self.inputs[-1])
        positional, named = unflatten(structure, iter(arguments))
        named_outside = [function, *(value.value for kind, value, _ in kinds if kind is Static)]
        before = Bindings(named_outside)
        given = len(self.inputs)
        #: What takes what it becomes in a run: the place among the arguments, and the node.
        self.updates: list[tuple[int, Node]] = []
        #: The Variables whose gradients it fills and never forgets, to which eager mode would add.
        self.filled: list[Variable] = []
        if state is None:
            result = self._traced(function, positional, named)
        else:
            symbols = self._lifted(state.variables)
            with state.standing_for(symbols):
                self.inputs += state.variables
                with state.settings.watching():
                    result = self._traced(function, positional, named)
                self._note_updates(state.variables, symbols, given)
            state.watch(compiler)
        leaves: list[Any] = []
        self.result = flatten(result, leaves)
        self.outputs: list[Node] = []
        self.makers: list[Any] = []  # for each leaf of the result: Variable, np.ndarray, or what it is
        for leaf in leaves:
            data = leaf.data if isinstance(leaf, Variable) else leaf
            if isinstance(data, Symbol):
                if data.program is not self.program:
                    raise TypeError("jit: a result belongs to another trace: return what was computed in this function")
                self.outputs.append(data.node)
                self.makers.append(Variable if isinstance(leaf, Variable) else np.ndarray)
            elif isinstance(data, np.generic) or is_array(data):
                self.outputs.append(self.program.constant(data))
                self.makers.append(Variable if isinstance(leaf, Variable) else np.ndarray)
            elif leaf is None or isinstance(leaf, bool | int | float | complex | str | bytes | type):
                self.makers.append((leaf,))
            else:
                raise TypeError(
                    f"jit: a result is a {type(leaf).__name__}: results are Variables, arrays, numbers, strings, and "
                    "lists, tuples and dicts of them"
                )
        self.computed = [leaf for leaf, m in zip(leaves, self.makers, strict=True) if type(m) is not tuple]
        self.program.closed = True
        #: The generators whose states are arguments behind those that are given, and how far each run moves them on.
        self.streams = [(generator, blocks) for generator, (_, blocks) in self.program.streams.items()]
        self.inputs += [leaf_of(Symbol(self.program, state), False) for state, _ in self.program.streams.values()]
        _refuse_foreign_leaves(self.inputs, self.computed)
        positions = self._donated_inputs(structure, donated)
        wanted = [*self.outputs, *(node for _, node in self.updates)]
        homes = {place: number for number, (place, _) in enumerate(self.updates, len(self.outputs))}
        self.plan = Plan(self.program, wanted, self.compiler, positions, homes)
        self.run = self._with_hidden(self.plan.run) if self.streams or state else self.plan.run
        self.build = self._builder()
        # in the graph the inputs are still needed for the way back
        self.replay = Replayable(
            self.program,
            self.inputs,
            self.computed,
            Plan(self.program, self.outputs, self.compiler) if positions else self.plan,
            None if state is None else lambda: state.standing_for(symbols),
        )
        # what was trained in place has no way back
        self.gives = any(self.replay.giving) and not self.updates
        #: What names from outside stand for, some of which the function may have changed itself.
        self.bindings = Bindings(named_outside).after(before)
        #: How calls with arguments of such types are recognised at once, if they can be.
        self.routes: dict[Any, Any] = {}

    def _traced(self, function: Callable[..., Any], positional: Any, named: Any) -> Any:
        """Run the function on traced arrays."""
        sources = Sources(function)
        drawing = traced_draw.set(self._draw)
        noted = history.writes_of_trace.set(history.WritesOfTrace(self.program.change))
        sharing.stand_ins += 1
        try:
            with set_grad_enabled(True):
                result = function(*positional, **named)
            known = [*self.inputs, result]
            if self.state is not None:  # these are not left as they are
                known += [*self.state.assigned().values(), *(x.grad for x in self.state.variables)]
            _refuse_written_outside(history.writes_of_trace.get() or [], known)
        except BaseException as error:
            self.program.closed = True  # what got away from here is of no use
            # NumPy writes over what was refused in an assignment to an element
            cause = error.__cause__
            if isinstance(error, ValueError) and isinstance(cause, TypeError) and str(cause).startswith("jit: "):
                raise cause from None
            raise
        finally:
            traced_draw.reset(drawing)
            sharing.stand_ins -= 1
            history.writes_of_trace.reset(noted)
        self.program.refuse_changed_constants()
        sources.refuse_drawn(any(isinstance(node.operation, (Constant, Literal)) for node in self.program.nodes))
        return result

    def _draw(self, generator: Generator, kind: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Symbol:
        return Symbol(self.program, lowering.draw(self.program, generator, kind, shape, dtype))

    def _lifted(self, variables: Sequence[Variable]) -> list[Symbol]:
        """Make arguments that stand for Variables, and may be written to."""
        symbols = [Symbol(self.program, self.program.input(x.shape, x.dtype)) for x in variables]
        self.program.lifted |= {symbol.node for symbol in symbols}
        return symbols

    def _note_updates(self, variables: Sequence[Variable], symbols: Sequence[Symbol], begin: int) -> None:
        """Note what has become of what stands for arguments, or was put in their places."""
        assert self.state is not None
        assigned = self.state.assigned()
        for place, (x, symbol) in enumerate(zip(variables, symbols, strict=True), begin):
            became: Any = assigned.get(id(x), x)._array
            if not isinstance(became, Symbol):
                became = Symbol(self.program, self.program.constant(became))
            changed = became is not symbol and became.node is not symbol.node
            if changed:
                self.updates.append((place, became.node))
            elif x.grad is not None:
                raise TypeError(
                    f"backward: while a function is traced by jit, it filled grad of a parameter of shape {x.shape} "
                    "that no optimiser changed there: have its step in the function, or take nbgrad.grad or "
                    "nbgrad.autograd.grad and return what they give"
                )
            if x.grad is not None and id(x) not in self.state.forgotten:
                self.filled.append(x)
        if self.filled:
            warnings.warn(
                "jit: a traced function fills gradients that it does not forget, and no run adds to those of an "
                "earlier one, as eager mode does: have optimizer.zero_grad() in the function",
                stacklevel=2,
            )

    def hidden(self) -> list[Array]:
        """Give the arguments that nobody gives: what may change, and the states of generators, which move on."""
        for x in self.filled:
            if x.grad is not None:
                raise TypeError(
                    f"jit: a parameter of shape {x.shape} has a gradient, to which eager mode would add and no run "
                    "does: have optimizer.zero_grad() in the function, or call it before"
                )
        bring = self.program.target.bring
        states = [bring(generator.reserve(blocks)) for generator, blocks in self.streams]
        return [x._array for x in self.state.variables] + states if self.state is not None else states

    def _with_hidden(self, run: Callable[..., Any]) -> Callable[..., Any]:
        if not self.updates:
            return lambda *arrays: run(*arrays, *self.hidden())
        count, places = len(self.outputs), [place for place, _ in self.updates]

        def run_in_place(*arrays: Array) -> Any:
            given = [*arrays, *self.hidden()]
            results = run(*given)
            for place, new in zip(places, results[count:], strict=True):
                if new is not given[place]:
                    given[place][...] = new
            return results[:count]

        return run_in_place

    def _donated_inputs(self, structure: Any, donated: Sequence[int]) -> list[int]:
        """Give the positions, among the inputs, of what the donated arguments consist of."""
        positional = structure[1][0][1]
        begin, found = 0, []
        arguments = {number % len(positional) for number in donated if -len(positional) <= number < len(positional)}
        leaf = 0
        for number, part in enumerate(positional):
            end = begin + count(part)
            for kind, _, _ in self.kinds[begin:end]:
                if kind is not Static:
                    if number in arguments:
                        found.append(leaf)
                    leaf += 1
            begin = end
        return found

    def quick(self, arrays: Sequence[Array]) -> Callable[..., Any] | None:
        """Give the function that runs the steps on arrays of this trace's shapes and dtypes, and gives None for others.

        None if arrays cannot be looked at quickly.
        """
        replay = self.plan.replay() if not self.streams and self.state is None else None
        fits = self.compiler.fits(arrays) if replay is None else None
        if fits is None:
            return replay
        run = self.run
        return lambda *arrays: run(*arrays) if fits(*arrays) else None

    def nested(self, quick: Callable[..., Any]) -> Callable[..., Any]:
        """Write the function that calls another one with its arguments' leaves, and gives None for other nests."""
        lines, names, namespace = self._apart()
        namespace["quick"] = quick
        return _written([*lines, f"    return quick({', '.join(names)})"], namespace)

    def entry(self, leaves: Sequence[Any], arrays: Sequence[Array]) -> Callable[..., Any] | None:
        """Write the function that gives the arrays, and what they were, of arguments whose leaves are like these.

        It gives None for those that do not belong to this trace. None if arrays cannot be looked at quickly.
        """
        fits = self.compiler.fits(arrays)
        if fits is None:
            return None
        lines, names, namespace = self._apart()
        if self.state is not None:
            namespace["holds"] = self.state.holds
            lines.insert(0, "    if not holds(): return None")
        namespace |= {"fits": fits, "array": np.array, "asarray": np.asarray, "same": _same}
        values, given = [], []
        for i, (name, x, (kind, _, dtype)) in enumerate(zip(names, leaves, self.kinds, strict=True)):
            namespace[f"given{i}"] = type(x)
            if kind is Static:
                namespace[f"given{i}"] = x.value if isinstance(x, Static) else x
                lines.append(f"    if {name} is not given{i} and not same({name}, given{i}): return None")
                continue
            lines.append(f"    if type({name}) is not given{i}: return None")
            value = name
            if kind in (Variable, NoGradient):
                lines.append(f"    if ({name}._generation >= 0) is not {kind is Variable}: return None")
                value = f"{name}._array"
            elif isinstance(x, np.generic):
                value = f"asarray({name})"
            elif not is_array(x):
                namespace[f"dtype{i}"] = dtype
                value = f"array({name}, dtype{i})"
            lines.append(f"    x{i} = {value}")
            values.append(f"x{i}, ")
            given.append(f"{name}, ")
        x = "".join(values)
        return _written([*lines, f"    return (({x}), ({''.join(given)})) if fits({x}) else None"], namespace)

    def _apart(self) -> tuple[list[str], list[str], dict[str, Any]]:
        """Write how arguments without names are taken apart: the lines, the leaves' names, and what the lines use."""
        lines: list[str] = []
        names: list[str] = []
        namespace: dict[str, Any] = {}

        def apart(structure: Any, name: str) -> None:
            if structure is None:
                names.append(name)
                return
            kind, items = structure
            if type(kind) is Kind:
                namespace[f"kind_{name}"] = kind
                lines.append(f"    {name} = kind_{name}.apart({name})")
                lines.append(f"    if {name} is None: return None")
            elif name not in ("arguments", "options"):
                namespace[f"kind_{name}"] = kind
                lines.append(f"    if type({name}) is not kind_{name}: return None")
            lines.append(f"    if len({name}) != {len(items)}: return None")
            if kind is dict:
                namespace[f"keys_{name}"] = tuple(key for key, _ in items)
                equal = f"tuple({name}) == keys_{name}"
                if any(type(key) is not str for key, _ in items):  # 1, 1.0 and True are equal
                    namespace["same"] = _same
                    equal = f"same(tuple({name}), keys_{name})"
                lines.append(f"    if not {equal}: return None")
                items = [item for _, item in items]
            parts = [f"{name}_{i}" for i in range(len(items))]
            if parts:
                lines.append(f"    {''.join(f'{part}, ' for part in parts)}= {name}{'.values()' * (kind is dict)}")
            for part, item in zip(parts, items, strict=True):
                apart(item, part)

        apart(self.structure[1][0], "arguments")
        apart(self.structure[1][1], "options")
        return lines, names, namespace

    def results(self, leaves: Any) -> Any:
        """Put the leaves that were computed together as the function gave its results."""
        rest = iter(leaves)
        filled = [maker[0] if type(maker) is tuple else next(rest) for maker in self.makers]
        return unflatten(self.result, iter(filled))

    def _builder(self) -> Callable[..., Any]:
        """Write the function that puts arrays together as the function gave its results."""
        names = [f"a{i}" for i in range(len(self.outputs))]
        namespace: dict[str, Any] = {"wrapped": constant}
        texts = []
        rest = iter(names)
        for position, maker in enumerate(self.makers):
            if type(maker) is tuple:
                namespace[f"fixed{position}"] = maker[0]
                texts.append(f"fixed{position}")
            else:
                name = next(rest)
                texts.append(f"wrapped({name})" if maker is Variable else name)

        def written(structure: Any, leaves: Any) -> str:
            if structure is None:
                return str(next(leaves))
            kind, items = structure
            if kind is dict:
                return "{" + ", ".join(f"{key!r}: {written(item, leaves)}" for key, item in items) + "}"
            inner = "".join(f"{written(item, leaves)}, " for item in items)
            if kind is tuple:
                return f"({inner})"
            name = f"kind{len(namespace)}"
            namespace[name] = kind
            return f"{name}({inner})" if hasattr(kind, "_fields") else f"{name}([{inner}])"

        if any(type(key) not in (str, int) for key in keys_of(self.result)):
            return lambda *arrays: self.results(
                [constant(a) if m is Variable else a for a, m in zip(arrays, self.array_makers(), strict=True)]
            )
        exec(f"def build({', '.join(names)}):\n    return {written(self.result, iter(texts))}\n", namespace)
        build: Callable[..., Any] = namespace["build"]
        return build

    def array_makers(self) -> list[Any]:
        """Give, for each array that is computed, what it becomes: a Variable or what it is."""
        return [maker for maker in self.makers if type(maker) is not tuple]


def _written(lines: Sequence[str], namespace: dict[str, Any]) -> Callable[..., Any]:
    """Compile the body of a function of any arguments."""
    exec("\n".join(["def function(*arguments, **options):", *lines]) + "\n", namespace)
    function: Callable[..., Any] = namespace["function"]
    return function


def keys_of(structure: Any) -> Iterator[Any]:
    """Give the keys of a structure's dicts."""
    if structure is not None:
        kind, items = structure
        for item in items:
            if kind is dict:
                yield item[0]
            yield from keys_of(item[1] if kind is dict else item)


def _refuse_foreign_leaves(inputs: Sequence[Any], results: Sequence[Any]) -> None:
    """Raise for a Variable from outside whose gradient would be lost, since replays do not know of it."""
    known = {id(x) for x in inputs}
    seen: set[Any] = set()
    stack = [y for y in results if isinstance(y, Variable) and y._generation >= 0]
    while stack:
        x = stack.pop()
        if x.creator is not None:
            if x.creator not in seen:
                seen.add(x.creator)
                stack.extend(y for y in x.creator.inputs or () if y._generation >= 0)
        elif id(x) not in known and not isinstance(x.data, Symbol):
            raise TypeError(
                f"jit: the result depends on a Variable of shape {x.shape} that requires a gradient and is no "
                "argument: pass it as an argument, or use x.detach() where its gradient is not wanted"
            )


def _refuse_written_outside(written: Sequence[Any], known: Sequence[Any]) -> None:
    """Raise for a Variable that was written to and outlives the traced function, which no run would write to again.

    It gets back what it had.
    """
    outside = written_outside(written, known)
    for x, kept in outside:
        put_back(x, kept)
    if outside:
        raise TypeError(
            f"jit: a Variable of shape {outside[0][0].shape} from outside of the traced function was written to in it, "
            "which no run would do again: return what is to be written, or make the Variable in the function"
        )
