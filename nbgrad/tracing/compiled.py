"""The function that users call."""

from __future__ import annotations

import functools
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, is_array, is_stand_in, of_numpys_own
from ..grad_mode import is_grad_enabled
from ..kernels import dispatch
from ..kernels.target import Compiler
from ..nests import flatten
from ..variable import Variable, data_replaced, default_dtype_changed, get_default_dtype
from .collecting import nothing_collected
from .explain import explain
from .lifting import Settings, State, found
from .replay import Replay, in_order
from .trace import NoGradient, Static, Trace, keys_of


def _nothing(*arguments: Any) -> Any:
    return None


_all: weakref.WeakSet[Jitted] = weakref.WeakSet()


def _forget_last_calls() -> None:
    for jitted in list(_all):
        jitted._last, jitted._earlier, jitted._named = (_nothing, None, None), (), ()


default_dtype_changed.append(_forget_last_calls)


def _forget_traces_with(array: Array) -> None:
    """Have what read an array from outside traced again: a Variable has another one now."""
    for jitted in list(_all):
        outdated = [key for key, trace in list(jitted._traces.items()) if id(array) in trace.program.outside]
        for key in outdated:
            jitted._traces.pop(key, None)
        if outdated:
            jitted._last, jitted._earlier, jitted._named = (_nothing, None, None), (), ()


data_replaced.append(_forget_traces_with)


#: A function that gives None for arguments of another kind; else, without a trace, results, and what puts them
#: together, and with one, the arrays to run it on, and the arguments they come from.
_Route = tuple[Callable[..., Any], Callable[..., Any] | None, "Trace | None"]
_EARLIER = 3
#: Traces that a function keeps: static values that are new at each call would take memory for ever.
MOST_TRACES = 256
#: Traces made anew since a name became another value, until users are told.
_MANY = 10


class Jitted:
    """A function that is traced once for each signature, and replayed as a few fused kernels."""

    def __init__(
        self, function: Callable[..., Any], static_argnums: Sequence[int], donate_argnums: Sequence[int]
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.name = getattr(function, "__name__", repr(function))
        self.function, self.static, self.donate = function, tuple(static_argnums), tuple(donate_argnums)
        self._traces: dict[Any, Trace] = {}
        self._method: Jitted | None = None
        self._settings = Settings()
        #: How the last call's like is run at once, and some earlier ones'.
        self._last: _Route = (_nothing, None, None)
        self._earlier: tuple[_Route, ...] = ()
        self._named: tuple[_Route, ...] = ()  # for calls with arguments by name
        self._changes: dict[str, int] = {}  # how often a name from outside became another value
        _all.add(self)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind to an instance, as methods are; the instance is a static argument then."""
        return self if instance is None else functools.partial(self._bound(), instance)

    def __reduce__(self) -> Any:
        """Pickle as functions are, by name, or else by what it was made of: what it was traced for is no part of it."""
        found: Any = sys.modules.get(getattr(self, "__module__", None) or "")
        name = getattr(self, "__qualname__", "")
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else (Jitted, (self.function, self.static, self.donate))

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
            positional[position] = Static(value)
        leaves: list[Any] = []
        structure = flatten((positional, options), leaves)
        kinds: list[Any] = []
        arrays: list[Any] = []
        given: list[Any] = []
        for leaf in leaves:
            kind = type(leaf)
            if kind is Variable or isinstance(leaf, Variable):
                data, kind = leaf._array, Variable if leaf._generation >= 0 else NoGradient
            elif is_array(leaf):
                data, kind = leaf, np.ndarray
            elif kind is float or kind is int:
                data = np.array(leaf, np.float64 if kind is float else np.int64)
            elif isinstance(leaf, np.generic):
                data, kind = np.asarray(leaf), np.ndarray
            else:
                value = leaf if kind is Static else Static(leaf)
                try:
                    hash(value)
                except (TypeError, ValueError):  # of a memoryview
                    raise TypeError(
                        f"jit: an argument of {self.name} is a {kind.__name__}: arguments are Variables, arrays, "
                        "numbers and nests of them, or hashable values"
                    ) from None
                kinds.append((Static, value, None))
                continue
            if data.dtype.kind not in "fiub":
                raise TypeError(f"jit: an argument of {self.name} has dtype {data.dtype}: convert it first")
            kinds.append((kind, data.shape, np.dtype(data.dtype.char)))  # in the byte order that loops get
            arrays.append(data)
            given.append(leaf)
        ordered, compiler = self._brought_together(arrays)
        ordered = [in_order(data) for data in ordered]
        # what has to be converted first is not recognised at once
        known = all(x is y for x, y in zip(ordered, arrays, strict=True))
        keys = tuple(map(Static, keys_of(structure)))  # equal ones of other types are others to the function
        key: Any = structure, keys, tuple(kinds), get_default_dtype(), compiler
        modules, optimisers = found([self.function, *(leaf.value for leaf in leaves if type(leaf) is Static), *leaves])
        state = State(modules, optimisers, self._settings) if modules or optimisers else None
        if state is not None:
            key = *key[:-1], state.key, compiler
        return key, structure, kinds, ordered, given, leaves if known else None, state

    def _brought_together(self, arrays: list[Any]) -> tuple[list[Any], Compiler]:
        """Return arguments with scalars where the arrays are, and what compiles for these."""
        what = f"jit: {self.name}"
        together, target = dispatch.brought_together(what, arrays)
        compiler = target.compiler
        if compiler is None:
            raise TypeError(
                f"{what}: nothing compiles for arrays on {target.name}: call the function as it is, or move them with "
                "x.cpu()"
            )
        compiler.ready(what)
        return together, compiler

    def _trace(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Trace, list[Any], list[Any], Any]:
        key, structure, kinds, arrays, given, leaves, state = self._signature(arguments, options)
        trace = self._traces.pop(key, None)
        changed = None if trace is None else trace.bindings.changed()
        if trace is None or changed is not None:
            try:
                with nothing_collected():
                    new = Trace(self.function, structure, kinds, self.donate, key[-1], state)
            except TypeError as error:
                left = None if trace is None else trace.bindings.left_traced()
                if left is None:
                    raise
                raise TypeError(
                    f"jit: {self.name} reads {left!r}, where it left a traced array, which no run would do again: make "
                    "it an argument, and return what becomes of it"
                ) from error
            trace = new
            if changed is not None:
                self._warn(changed)
            if state is not None:  # it may depend on more than was known
                key = *key[:-2], state.key, key[-1]
        self._traces[key] = trace  # last in order, the longest unused first
        while len(self._traces) > MOST_TRACES:
            self._traces.pop(next(iter(self._traces)), None)
        return trace, arrays, given, leaves

    def _warn(self, changed: str) -> None:
        """Tell of a name that has stood for something else again and again."""
        self._changes[changed] = self._changes.get(changed, 0) + 1
        if self._changes[changed] == _MANY:
            warnings.warn(
                f"jit: {self.name} was traced anew {_MANY} times since {changed!r} from outside became another value: "
                "make it an argument",
                stacklevel=4,
            )

    def __call__(self, /, *arguments: Any, **options: Any) -> Any:
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
        if any(is_stand_in(leaf.data if isinstance(leaf, Variable) else leaf) for leaf in leaves):
            return self.function(*arguments, **options)  # inside another trace, or for many examples at once
        trace, arrays, given, leaves = self._trace(arguments, options)
        if leaves is not None:
            self._remember(trace, leaves, arrays, bool(options))
        return self._run(trace, arrays, given)

    def _remember(self, trace: Trace, leaves: Sequence[Any], arrays: Sequence[Array], named: bool) -> None:
        """Have the next call recognise such arguments at once."""
        key = named, *map(type, leaves)
        if key not in trace.routes:
            if len(trace.routes) >= MOST_TRACES:
                trace.routes.clear()
            trace.routes[key] = self._route(trace, leaves, arrays, named)
        route = trace.routes[key]
        if route is None or route in (self._last, *self._earlier, *self._named):
            return
        if named:
            self._named = (route, *self._named)[: 1 + _EARLIER]
        else:
            self._earlier = (self._last, *self._earlier)[:_EARLIER] if self._last[0] is not _nothing else ()
            self._last = route

    def _route(self, trace: Trace, leaves: Sequence[Any], arrays: Sequence[Array], named: bool) -> _Route | None:
        if leaves and trace.state is None and all(is_array(x) and of_numpys_own(x) is x for x in leaves):
            quick = trace.quick(arrays)
            if quick is None:
                return None
            if trace.bindings:
                quick = trace.bindings.guarded(quick, False)
            # a tuple of arrays is what the steps give already
            plain = trace.result == (tuple, (None,) * len(trace.makers)) and set(trace.makers) == {np.ndarray}
            flat = not named and all(part is None for part in trace.structure[1][0][1])
            return quick if flat else trace.nested(quick), None if plain else trace.build, None
        entry = trace.entry(leaves, arrays)
        if entry is not None and trace.bindings:
            entry = trace.bindings.guarded(entry, named)
        return None if entry is None else (entry, None, trace)

    def _run(self, trace: Trace, arrays: Sequence[Array], given: Sequence[Any]) -> Any:
        lifted = trace.state.variables if trace.state is not None else ()
        if (
            is_grad_enabled()
            and trace.gives
            and any(isinstance(x, Variable) and x._generation >= 0 for x in (*given, *lifted))
        ):
            return self._recorded(trace, arrays, given)
        return trace.build(*trace.run(*arrays))

    def _recorded(self, trace: Trace, arrays: Sequence[Array], given: Sequence[Any]) -> Any:
        """Run the function as one Function of the graph."""
        inputs = [
            x if isinstance(x, Variable) else Variable(array, requires_grad=False)
            for x, array in zip(given, arrays, strict=True)
        ]
        hidden = trace.hidden()
        lifted = trace.state.variables if trace.state is not None else []
        inputs += [*lifted, *(Variable(x, requires_grad=False) for x in hidden[len(lifted) :])]
        outputs = Replay(trace.replay).record(inputs, [*arrays, *hidden])
        return trace.results(
            [y if maker is Variable else y.data for y, maker in zip(outputs, trace.array_makers(), strict=True)]
        )

    # ---- looking inside ---------------------------------------------------------------------------------------------

    def explain(self, /, *arguments: Any, **options: Any) -> str:
        """Describe the steps for these arguments: operations fused, bytes moved, and the time of each."""
        trace, arrays, _, _ = self._trace(arguments, options)
        return f"{self.name}: " + explain(trace.plan, [*arrays, *trace.hidden()])

    def source(self, /, *arguments: Any, **options: Any) -> str:
        """Give the text of the kernels for these arguments, and of the function that runs them."""
        trace, _, _, _ = self._trace(arguments, options)
        kernels = [step.source for step in trace.plan.steps if step.source is not None]
        return "\n\n".join([*kernels, trace.plan.text])
