"""The function that users call."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import gradients
from ..function import DIFFERENTIABLE, Function
from ..grad_mode import is_grad_enabled, set_grad_enabled
from ..kernels.cpu.launch import signature
from ..kernels.forks import hold_over_fork
from ..variable import Array, Variable, get_default_dtype
from .plan import Plan
from .program import Node, Program
from .symbol import Symbol

_tracing = threading.RLock()
hold_over_fork(_tracing)


# ---- structures -----------------------------------------------------------------------------------------------------


def _flatten(value: Any, leaves: list[Any]) -> Any:
    """Take a nest of lists, tuples and dicts apart; gives its structure, which is hashable."""
    kind = type(value)
    if kind is dict:
        return (dict, tuple((key, _flatten(value[key], leaves)) for key in value))
    if isinstance(value, list | tuple):
        return (kind, tuple(_flatten(item, leaves) for item in value))
    leaves.append(value)
    return None


def _unflatten(structure: Any, leaves: Any) -> Any:
    if structure is None:
        return next(leaves)
    kind, items = structure
    if kind is dict:
        return {key: _unflatten(item, leaves) for key, item in items}
    values = [_unflatten(item, leaves) for item in items]
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


class _Static:
    """An argument that is part of the trace: compared by its value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and type(other.value) is type(self.value) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


# ---- one trace ------------------------------------------------------------------------------------------------------


class _Trace:
    """A function traced for one signature: its program, its plan, and how results are put together."""

    def __init__(
        self, function: Callable[..., Any], structure: Any, kinds: Sequence[Any], donated: Sequence[int]
    ) -> None:
        self.structure, self.kinds, self.donated = structure, kinds, donated
        self._signature: Callable[..., bool] | None = None
        self.program = Program()
        arguments: list[Any] = []
        for kind, shape, dtype in kinds:
            if kind is _Static:
                arguments.append(shape.value)
                continue
            weak = kind if kind in (float, int) else None
            symbol = Symbol(self.program, self.program.input(shape, dtype), weak)
            arguments.append(_leaf(symbol) if kind is Variable else symbol)
        positional, named = _unflatten(structure, iter(arguments))
        with _tracing, set_grad_enabled(True):
            result = function(*positional, **named)
        leaves: list[Any] = []
        self.result = _flatten(result, leaves)
        self.outputs: list[Node] = []
        self.makers: list[Any] = []  # for each leaf of the result: Variable, np.ndarray, or what it is
        for leaf in leaves:
            data = leaf.data if isinstance(leaf, Variable) else leaf
            if isinstance(data, Symbol):
                if data.program is not self.program:
                    raise TypeError("jit: a result belongs to another trace: return what was computed in this function")
                self.outputs.append(data.node)
                self.makers.append(Variable if isinstance(leaf, Variable) else np.ndarray)
            elif isinstance(data, np.ndarray | np.generic):
                self.outputs.append(self.program.constant(data))
                self.makers.append(Variable if isinstance(leaf, Variable) else np.ndarray)
            else:
                self.makers.append((leaf,))
        self.plan = Plan(self.program, self.outputs, self._donated_inputs(structure, donated))
        self.run = self.plan.run
        self.build = self._builder()

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

    def signature(self, arrays: Sequence[Array]) -> Callable[..., bool] | None:
        """Give the quick test whether other arrays have this trace's shapes and dtypes."""
        if self._signature is None:
            self._signature = signature(arrays)
        return self._signature

    def results(self, leaves: Any) -> Any:
        """Put the leaves that were computed together as the function gave its results."""
        rest = iter(leaves)
        filled = [maker[0] if type(maker) is tuple else next(rest) for maker in self.makers]
        return _unflatten(self.result, iter(filled))

    def _builder(self) -> Callable[..., Any]:
        """Write the function that puts arrays together as the function gave its results."""
        names = [f"a{i}" for i in range(len(self.outputs))]
        namespace: dict[str, Any] = {"wrapped": _wrapped}
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
            namespace[kind.__name__] = kind
            return f"{kind.__name__}({inner})" if hasattr(kind, "_fields") else f"{kind.__name__}([{inner}])"

        if any(type(key) not in (str, int) for key in _keys(self.result)):
            return lambda *arrays: self.results(
                [_wrapped(a) if m is Variable else a for a, m in zip(arrays, self._computed(), strict=True)]
            )
        exec(f"def build({', '.join(names)}):\n    return {written(self.result, iter(texts))}\n", namespace)
        build: Callable[..., Any] = namespace["build"]
        return build

    def _computed(self) -> list[Any]:
        return [maker for maker in self.makers if type(maker) is not tuple]


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


def _leaf(symbol: Any) -> Variable:
    x = Variable.__new__(Variable)
    x.data = symbol
    x.creator = None
    x._generation = 0 if symbol.dtype.char in "fd" else -1
    return x


class _Replay(Function):
    """A run of a traced function in the graph; its gradient is a traced function again."""

    def __init__(self, jitted: Jitted, trace: _Trace) -> None:
        self.jitted, self.trace = jitted, trace

    def forward(self, *xs: Array) -> Any:
        results = self.trace.run(*xs)
        return results if len(results) > 1 else results[0]

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        gys = gy if self.multiple else [gy]
        found = self.jitted.pullback(self.trace)(list(xs), list(gys))
        rest = iter(found)
        return tuple(
            next(rest) if kind[2] in DIFFERENTIABLE else None for kind in self.trace.kinds if kind[0] is not _Static
        )


class Jitted:
    """A function that is traced once for each signature, and replayed as a few fused kernels."""

    def __init__(
        self, function: Callable[..., Any], static_argnums: Sequence[int], donate_argnums: Sequence[int]
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = getattr(function, "__name__", repr(function))
        self.function, self.static, self.donate = function, tuple(static_argnums), tuple(donate_argnums)
        self._traces: dict[Any, _Trace] = {}
        #: For arrays alone: whether they are like those of the last call, its steps, and how results are put together.
        self._last: tuple[Callable[..., bool], Callable[..., Any], Callable[..., Any]] | None = None
        self._pullbacks: dict[_Trace, Jitted] = {}

    def _signature(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any, list[Any], list[Any]]:
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
        structure = _flatten((positional, options), leaves)
        kinds: list[Any] = []
        arrays: list[Any] = []
        for leaf in leaves:
            kind = type(leaf)
            if kind is Variable or isinstance(leaf, Variable):
                data, kind = leaf.data, Variable
            elif isinstance(leaf, np.ndarray):
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
            if not data.flags.c_contiguous or not data.flags.aligned or not data.dtype.isnative:
                data = np.array(data, data.dtype.newbyteorder("="), order="C")
            kinds.append((kind, data.shape, data.dtype))
            arrays.append(data)
        return (structure, tuple(kinds)), structure, kinds, arrays

    def _trace(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[_Trace, list[Any]]:
        key, structure, kinds, arrays = self._signature(arguments, options)
        trace = self._traces.get(key)
        if trace is None:
            trace = self._traces[key] = _Trace(self.function, structure, kinds, self.donate)
        return trace, arrays

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the function; see `jit`."""
        last = self._last
        if last is not None and not options and last[0](*arguments):
            return last[2](*last[1](*arguments))
        leaves: list[Any] = []
        _flatten((arguments, options), leaves)
        if any(isinstance(leaf.data if isinstance(leaf, Variable) else leaf, Symbol) for leaf in leaves):
            return self.function(*arguments, **options)  # inside another trace
        trace, arrays = self._trace(arguments, options)
        variables = [leaf for leaf in leaves if isinstance(leaf, Variable)]
        if any(x._generation >= 0 for x in variables) and is_grad_enabled() and Variable in trace.makers:
            return self._recorded(trace, leaves)
        if not options and not self.static and arguments and all(type(x) is np.ndarray for x in arguments):
            fits = trace.signature(arrays)
            if fits is not None:
                self._last = fits, trace.run, trace.build
        return trace.build(*trace.run(*arrays))

    def _recorded(self, trace: _Trace, leaves: list[Any]) -> Any:
        """Run the function as one Function of the graph."""
        dynamic = [leaf for leaf, kind in zip(leaves, trace.kinds, strict=True) if kind[0] is not _Static]
        inputs = [
            leaf if isinstance(leaf, Variable) else Variable(np.asarray(leaf, kind[2]), requires_grad=False)
            for leaf, kind in zip(dynamic, [k for k in trace.kinds if k[0] is not _Static], strict=True)
        ]
        outputs = _Replay(self, trace)(*inputs)
        several = outputs if isinstance(outputs, list) else [outputs]
        makers = trace._computed()
        return trace.results([y if maker is Variable else y.data for y, maker in zip(several, makers, strict=True)])

    def pullback(self, trace: _Trace) -> Jitted:
        """Give the traced function of (inputs, cotangents) that gives the cotangents of the floating inputs."""
        known = self._pullbacks.get(trace)
        if known is not None:
            return known

        def pullback(xs: list[Any], gys: list[Any]) -> list[Any]:
            # Variables in: the gradients are to be differentiated themselves
            recorded = any(isinstance(v, Variable) for v in (*xs, *gys))
            inputs = [x if isinstance(x, Variable) else _leaf(x) for x in xs]
            rest = iter(inputs)
            arguments: list[Any] = []
            for kind, value, _ in trace.kinds:
                if kind is _Static:
                    arguments.append(value.value)
                else:
                    x = next(rest)
                    arguments.append(x if kind is Variable else x.data)
            positional, named = _unflatten(trace.structure, iter(arguments))
            leaves: list[Any] = []
            _flatten(self.function(*positional, **named), leaves)
            outputs, starts = [], []
            position = 0
            for leaf, maker in zip(leaves, trace.makers, strict=True):
                if type(maker) is tuple:
                    continue
                if isinstance(leaf, Variable) and leaf._generation >= 0:
                    outputs.append(leaf)
                    starts.append(gys[position])
                position += 1
            wanted = [x for x in inputs if x._generation >= 0]
            found = gradients(outputs, wanted, starts, None, recorded) if outputs else [None] * len(wanted)
            results: list[Any] = []
            for x, gx in zip(wanted, found, strict=True):
                if gx is None:
                    gx = _wrapped(np.zeros(x.shape, x.dtype))
                results.append(gx if recorded else gx.data)
            return results

        made = self._pullbacks[trace] = Jitted(pullback, (), ())
        return made

    # ---- looking inside ---------------------------------------------------------------------------------------------

    def explain(self, *arguments: Any, **options: Any) -> str:
        """Describe the steps for these arguments: operations fused, bytes moved, and the time of each."""
        trace, arrays = self._trace(arguments, options)
        return f"{self.name}: " + trace.plan.explain(arrays)

    def source(self, *arguments: Any, **options: Any) -> str:
        """Give the text of the kernels for these arguments, and of the function that runs them."""
        trace, _ = self._trace(arguments, options)
        kernels = [step["source"] for step in trace.plan.explained if "source" in step]
        return "\n\n".join([*kernels, trace.plan.text])


def _wrapped(value: Any) -> Variable:
    x = Variable.__new__(Variable)
    x.data, x.creator, x._generation = value, None, -1
    return x
