"""The function that users call."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import _constant, gradients
from ..function import Function
from ..grad_mode import is_grad_enabled, set_grad_enabled
from ..kernels import devices
from ..kernels.forks import hold_over_fork
from ..nests import flatten, unflatten
from ..variable import Array, Variable, default_dtype_changed, get_default_dtype
from .plan import Plan
from .program import Node, Program
from .symbol import Symbol
from .targets import target

# ---- structures -----------------------------------------------------------------------------------------------------


def _same(first: Any, second: Any) -> bool:
    """Tell whether two static values are one to the function: also 0.0 and -0.0, 1 and 1.0 differ."""
    if type(first) is not type(second):
        return False
    if isinstance(first, float):
        return repr(first) == repr(second)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    return bool(first == second)


class _Static:
    """An argument that is part of the trace: compared by its value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and _same(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self.value)


class _NoGradient:
    """The kind of arguments that are Variables and require no gradient."""


# ---- one trace ------------------------------------------------------------------------------------------------------


class _Trace:
    """A function traced for one signature: its program, its plan, and how results are put together."""

    def __init__(
        self, function: Callable[..., Any], structure: Any, kinds: Sequence[Any], donated: Sequence[int], device: str
    ) -> None:
        self.structure, self.kinds, self.target = structure, kinds, target(device)
        self.program = Program(device)
        arguments: list[Any] = []
        self.inputs: list[Any] = []
        for kind, shape, dtype in kinds:
            if kind is _Static:
                arguments.append(shape.value)
                continue
            weak = kind if kind in (float, int) else None
            symbol = Symbol(self.program, self.program.input(shape, dtype), weak)
            self.inputs.append(_leaf(symbol, kind is Variable) if kind in (Variable, _NoGradient) else symbol)
            arguments.append(self.inputs[-1])
        positional, named = unflatten(structure, iter(arguments))
        with set_grad_enabled(True):
            result = function(*positional, **named)
        self.program.refuse_changed_constants()
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
            elif isinstance(data, np.ndarray | np.generic) or devices.is_cuda(data):
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
        _refuse_foreign_leaves(self.inputs, self.computed)
        positions = self._donated_inputs(structure, donated)
        self.plan = Plan(self.program, self.outputs, self.target, positions)
        self.run = self.plan.run
        self.build = self._builder()
        # in the graph the inputs are still needed for the way back
        self.replay = _Replayable(
            self.program,
            self.inputs,
            self.computed,
            Plan(self.program, self.outputs, self.target) if positions else self.plan,
        )
        self.gives = any(self.replay.giving)

    def _donated_inputs(self, structure: Any, donated: Sequence[int]) -> list[int]:
        """Give the positions, among the inputs, of what the donated arguments consist of."""
        positional = structure[1][0][1]
        begin, found = 0, []
        arguments = {number % max(len(positional), 1) for number in donated}
        leaf = 0
        for number, part in enumerate(positional):
            count = _count(part)
            for kind, _, _ in self.kinds[begin : begin + count]:
                if kind is not _Static:
                    if number in arguments:
                        found.append(leaf)
                    leaf += 1
            begin += count
        return found

    def quick(self, arrays: Sequence[Array]) -> Callable[..., Any] | None:
        """Give the function that runs the steps on arrays of this trace's shapes and dtypes, and gives None for others.

        None if arrays cannot be looked at quickly.
        """
        replay = self.plan.replay()
        fits = self.target.fits(arrays)
        if replay is not None or fits is None:
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
        fits = self.target.fits(arrays)
        if fits is None:
            return None
        lines, names, namespace = self._apart()
        namespace |= {"fits": fits, "array": np.array, "asarray": np.asarray}
        values, given = [], []
        for i, (name, x, (kind, _, dtype)) in enumerate(zip(names, leaves, self.kinds, strict=True)):
            namespace[f"given{i}"] = type(x)
            if kind is _Static:
                namespace[f"given{i}"] = x.value if isinstance(x, _Static) else x
                lines.append(f"    if {name} is not given{i}: return None")
                continue
            lines.append(f"    if type({name}) is not given{i}: return None")
            value = name
            if kind in (Variable, _NoGradient):
                lines.append(f"    if ({name}._generation >= 0) is not {kind is Variable}: return None")
                value = f"{name}.data"
            elif isinstance(x, np.generic):
                value = f"asarray({name})"
            elif not isinstance(x, np.ndarray) and not devices.is_cuda(x):
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
            if name not in ("arguments", "options"):
                namespace[f"kind_{name}"] = kind
                lines.append(f"    if type({name}) is not kind_{name}: return None")
            lines.append(f"    if len({name}) != {len(items)}: return None")
            if kind is dict:
                namespace[f"keys_{name}"] = tuple(key for key, _ in items)
                lines.append(f"    if tuple({name}) != keys_{name}: return None")
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
        namespace: dict[str, Any] = {"wrapped": _constant}
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

        if any(type(key) not in (str, int) for key in _keys(self.result)):
            return lambda *arrays: self.results(
                [_constant(a) if m is Variable else a for a, m in zip(arrays, self.array_makers(), strict=True)]
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


def _count(structure: Any) -> int:
    """Count the leaves of a structure."""
    if structure is None:
        return 1
    kind, items = structure
    return sum(_count(item[1] if kind is dict else item) for item in items)


def _keys(structure: Any) -> Any:
    if structure is not None:
        kind, items = structure
        for item in items:
            if kind is dict:
                yield item[0]
            yield from _keys(item[1] if kind is dict else item)


def _leaf(symbol: Any, requires_grad: bool = True) -> Variable:
    x = _constant(symbol)
    if requires_grad and symbol.dtype.char in "fd":
        x._generation = 0
    return x


#: Held while a way back is traced and compiled.
_backs = threading.RLock()
hold_over_fork(_backs, outermost=True)


class _Replayable:
    """A traced computation whose way back can be had as one, too: both come from one run of the function."""

    def __init__(self, program: Program, inputs: list[Any], results: list[Any], plan: Plan) -> None:
        self.program, self.inputs, self.results, self.plan = program, inputs, results, plan
        self._back: _Replayable | None = None
        #: Which inputs have gradients, and which results give some.
        self.wanted = [isinstance(x, Variable) and x._generation >= 0 for x in inputs]
        self.giving = [isinstance(y, Variable) and y._generation >= 0 for y in results]
        self.shapes = [(y.shape, y.dtype) for y in results]

    def back(self) -> _Replayable:
        """Give the computation of the wanted inputs' cotangents, from all inputs and the giving results' cotangents."""
        with _backs:
            if self._back is None:
                ys = [y for y, gives in zip(self.results, self.giving, strict=True) if gives]
                xs = [x for x, wants in zip(self.inputs, self.wanted, strict=True) if wants]
                gys = [_leaf(Symbol(self.program, self.program.input(y.shape, y.dtype))) for y in ys]
                with set_grad_enabled(True):
                    found = gradients(ys, xs, gys, True, True) if ys else [None] * len(xs)
                results = [
                    _constant(_as_symbol(x.data, np.zeros(x.shape, x.dtype) if gx is None else gx.data))
                    if gx is None or not isinstance(gx.data, Symbol)
                    else gx
                    for x, gx in zip(xs, found, strict=True)
                ]
                nodes: list[Any] = [gx.data for gx in results]
                plan = Plan(self.program, [symbol.node for symbol in nodes], self.plan.target)
                self._back = _Replayable(self.program, [*self.inputs, *gys], list(results), plan)
            return self._back


def _as_symbol(like: Any, array: Array) -> Any:
    return Symbol(like.program, like.program.constant(array))


class _Replay(Function):
    """A run of a traced function in the graph."""

    even = True

    def __init__(self, traced: _Replayable) -> None:
        self.traced = traced

    def __call__(self, *inputs: Variable) -> list[Variable]:
        return self.record(inputs, [_in_order(x.data) for x in inputs])

    def record(self, inputs: Sequence[Variable], arrays: Sequence[Array]) -> list[Variable]:
        """Run the steps on the arrays of Variables; results that have gradients are recorded."""
        traced = self.traced
        results = traced.plan.run(*arrays)
        generation = max([x._generation for x in inputs])
        recorded = generation >= 0 and is_grad_enabled()
        if recorded:
            self.inputs, self.generation = tuple(inputs), generation
            self.multiple, self._shapes = len(results) > 1, traced.shapes  # type: ignore[misc]
        outputs = []
        for index, array in enumerate(results):
            y = _constant(array)
            if recorded and traced.giving[index]:
                y.creator, y._generation, y._index = self, generation + 1, index
            outputs.append(y)
        return outputs

    def pull(self, gy: Any) -> tuple[Array | None, ...]:
        assert self.inputs is not None
        traced = self.traced
        given = self._complete(gy) if self.multiple else (gy,)
        gys = [_in_order(g) for g, gives in zip(given, traced.giving, strict=True) if gives]
        rest = iter(traced.back().plan.run(*[_in_order(x.data) for x in self.inputs], *gys))
        return tuple([next(rest) if wants else None for wants in traced.wanted])

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        traced = self.traced
        given = gy if self.multiple else [gy]
        gys = [g for g, gives in zip(given, traced.giving, strict=True) if gives]
        rest = iter(_Replay(traced.back())(*xs, *gys))
        return tuple(next(rest) if wants else None for wants in traced.wanted)


def _in_order(x: Array) -> Array:
    """Give an array that lies in memory as loops expect it: itself, if it does."""
    if not isinstance(x, np.ndarray):
        return x if x.flags.c_contiguous else x.copy()
    if x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative:
        return x
    return np.array(x, x.dtype.newbyteorder("="), order="C")


def _together(name: str, arrays: list[Any]) -> tuple[list[Any], str]:
    """Bring arguments together: scalars go to the GPU that the arrays are on; gives the device, too.

    Raises TypeError for arrays on several devices.
    """
    found = [devices.name_of(x) for x in arrays]
    device = next((here for here in found if here != "cpu"), "cpu")
    for x, here in zip(arrays, found, strict=True):
        if here != device and (x.ndim or here != "cpu"):
            raise devices.mixed(f"jit: {name}", arrays)
    arrays = [devices.moved(x, device) for x in arrays]
    if device != "cpu":
        devices.check_together(f"jit: {name}", arrays)
    return arrays, device


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


def _nothing(*arguments: Any) -> Any:
    return None


_all: weakref.WeakSet[Jitted] = weakref.WeakSet()


def _forget_last_calls() -> None:
    for jitted in list(_all):
        jitted._last, jitted._earlier, jitted._named = (_nothing, None, None), (), ()


default_dtype_changed.append(_forget_last_calls)


#: A function that gives None for arguments of another kind; else, without a trace, results, and what puts them
#: together, and with one, the arrays to run it on, and the arguments they come from.
_Route = tuple[Callable[..., Any], Callable[..., Any] | None, "_Trace | None"]
_EARLIER = 3


class Jitted:
    """A function that is traced once for each signature, and replayed as a few fused kernels."""

    def __init__(
        self, function: Callable[..., Any], static_argnums: Sequence[int], donate_argnums: Sequence[int]
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.name = getattr(function, "__name__", repr(function))
        self.function, self.static, self.donate = function, tuple(static_argnums), tuple(donate_argnums)
        self._traces: dict[Any, _Trace] = {}
        self._method: Jitted | None = None
        #: How the last call's like is run at once, and some earlier ones'.
        self._last: _Route = (_nothing, None, None)
        self._earlier: tuple[_Route, ...] = ()
        self._named: tuple[_Route, ...] = ()  # for calls with arguments by name
        _all.add(self)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind to an instance, as methods are; the instance is a static argument then."""
        return self if instance is None else functools.partial(self._bound(), instance)

    def _bound(self) -> Jitted:
        if self._method is None:
            shifted = [number + 1 if number >= 0 else number for number in self.static]
            self._method = Jitted(self.function, (0, *shifted), [n + 1 if n >= 0 else n for n in self.donate])
        return self._method

    def _signature(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        positional = list(arguments)
        for position in self.static:
            if not -len(positional) <= position < len(positional):
                continue
            value = positional[position]
            try:
                hash(value)
            except TypeError:
                raise TypeError(
                    f"jit: static argument {position} of {self.name} is a {type(value).__name__}, which cannot be "
                    "hashed: pass a tuple or another value that stays the same"
                ) from None
            positional[position] = _Static(value)
        leaves: list[Any] = []
        structure = flatten((positional, options), leaves)
        kinds: list[Any] = []
        arrays: list[Any] = []
        given: list[Any] = []
        for leaf in leaves:
            kind = type(leaf)
            if kind is Variable or isinstance(leaf, Variable):
                data, kind = leaf.data, Variable if leaf._generation >= 0 else _NoGradient
            elif isinstance(leaf, np.ndarray) or devices.is_cuda(leaf):
                data, kind = leaf, np.ndarray
            elif kind is float or kind is int:
                data = np.array(leaf, get_default_dtype() if kind is float else np.int64)
            elif isinstance(leaf, np.generic):
                data, kind = np.asarray(leaf), np.ndarray
            else:
                value = leaf if kind is _Static else _Static(leaf)
                try:
                    hash(value)
                except TypeError:
                    raise TypeError(
                        f"jit: an argument of {self.name} is a {kind.__name__}: arguments are Variables, arrays, "
                        "numbers and nests of them, or hashable values"
                    ) from None
                kinds.append((_Static, value, None))
                continue
            if data.dtype.kind not in "fiub" or data.dtype.char == "e":
                raise TypeError(f"jit: an argument of {self.name} has dtype {data.dtype}: convert it first")
            kinds.append((kind, data.shape, np.dtype(data.dtype.char)))  # in the byte order that loops get
            arrays.append(data)
            given.append(leaf)
        device = "cpu"
        if devices.cuda_seen:
            arrays, device = _together(self.name, arrays)
        arrays = [_in_order(data) for data in arrays]
        return (structure, tuple(kinds), get_default_dtype(), device), structure, kinds, arrays, given, leaves

    def _trace(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[_Trace, list[Any], list[Any], Any]:
        key, structure, kinds, arrays, given, leaves = self._signature(arguments, options)
        trace = self._traces.get(key)
        if trace is None:
            trace = self._traces[key] = _Trace(self.function, structure, kinds, self.donate, key[-1])
        return trace, arrays, given, leaves

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the function; see `jit`."""
        if not options:
            call, build, trace = self._last  # read at once: another thread may write
            found = call(*arguments)
            if found is not None:
                if trace is None:
                    return found if build is None else build(*found)
                return self._run(trace, *found)
        for call, build, trace in self._named if options else self._earlier:
            found = call(*arguments, **options)
            if found is not None:
                if trace is None:
                    return found if build is None else build(*found)
                return self._run(trace, *found)
        leaves: list[Any] = []
        flatten((arguments, options), leaves)
        if any(isinstance(leaf.data if isinstance(leaf, Variable) else leaf, Symbol) for leaf in leaves):
            return self.function(*arguments, **options)  # inside another trace
        trace, arrays, given, leaves = self._trace(arguments, options)
        self._remember(trace, leaves, arrays, bool(options))
        return self._run(trace, arrays, given)

    def _remember(self, trace: _Trace, leaves: Sequence[Any], arrays: Sequence[Array], named: bool) -> None:
        """Have the next call recognise such arguments at once."""
        route: _Route | None = None
        if leaves and all(type(x) is np.ndarray or devices.is_cuda(x) for x in leaves):
            quick = trace.quick(arrays)
            if quick is not None:
                # a tuple of arrays is what the steps give already
                plain = trace.result == (tuple, (None,) * len(trace.makers)) and set(trace.makers) == {np.ndarray}
                flat = not named and all(part is None for part in trace.structure[1][0][1])
                route = quick if flat else trace.nested(quick), None if plain else trace.build, None
        else:
            entry = trace.entry(leaves, arrays)
            route = None if entry is None else (entry, None, trace)
        if route is not None and named:
            self._named = (route, *self._named)[: 1 + _EARLIER]
        elif route is not None:
            self._earlier = (self._last, *self._earlier)[:_EARLIER] if self._last[0] is not _nothing else ()
            self._last = route

    def _run(self, trace: _Trace, arrays: Sequence[Array], given: Sequence[Any]) -> Any:
        if is_grad_enabled() and trace.gives and any(isinstance(x, Variable) and x._generation >= 0 for x in given):
            return self._recorded(trace, arrays, given)
        return trace.build(*trace.run(*arrays))

    def _recorded(self, trace: _Trace, arrays: Sequence[Array], given: Sequence[Any]) -> Any:
        """Run the function as one Function of the graph."""
        inputs = [
            x if isinstance(x, Variable) else Variable(array, requires_grad=False)
            for x, array in zip(given, arrays, strict=True)
        ]
        outputs = _Replay(trace.replay).record(inputs, arrays)
        return trace.results(
            [y if maker is Variable else y.data for y, maker in zip(outputs, trace.array_makers(), strict=True)]
        )

    # ---- looking inside ---------------------------------------------------------------------------------------------

    def explain(self, *arguments: Any, **options: Any) -> str:
        """Describe the steps for these arguments: operations fused, bytes moved, and the time of each."""
        trace, arrays, _, _ = self._trace(arguments, options)
        return f"{self.name}: " + trace.plan.explain(arrays)

    def source(self, *arguments: Any, **options: Any) -> str:
        """Give the text of the kernels for these arguments, and of the function that runs them."""
        trace, _, _, _ = self._trace(arguments, options)
        kernels = [step["source"] for step in trace.plan.explained if "source" in step]
        return "\n\n".join([*kernels, trace.plan.text])
