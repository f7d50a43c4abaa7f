"""`nbgrad.njit`: functions that Numba compiles, with their derivatives."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError

from ..arrays import is_stand_in
from ..variable import Variable
from . import compiled
from .compiled import Derivative, Entry, KernelCache, described, ordered
from .language import Loop
from .typed import DifferentiableType

#: Numba's options that make sense for a derivative as for the function.
OPTIONS = ("boundscheck", "error_model", "fastmath", "nogil", "parallel")

#: What LLVM may do in derivatives: divide by multiplying by a reciprocal that it has anyway, and forget zeros' signs.
FASTMATH = {"arcp", "nsz"}


def njit(function: Any = None, /, *, checkpoint: bool | int | None = None, **options: Any) -> Any:
    """Compile a function by Numba, and differentiate it: loops, branches and arrays written to, as they stand.

    A decorator, for functions and for what `numba.njit` made of them; the options are Numba's ``fastmath``,
    ``parallel``, ``nogil``, ``boundscheck`` and ``error_model``. Compiled code is kept in nbgrad's cache. Called with
    arrays and numbers it is the compiled function itself, also from other compiled code; a Variable makes it a node of
    the graph. `nbgrad.grad` and `value_and_grad` of it are compiled whole. With ``parallel`` threads share loops over
    `numba.prange` in derivatives as well, which do not depend on how many there are. With ``checkpoint`` long loops
    keep what they carry once a segment of turns, which are run again on the way back: so many turns, or the root of
    the number of all turns if True.

    What of Python is differentiated, and how: docs/njit.md. What cannot be is a TypeError at the first derivative,
    which names the line.

    >>> import numpy as np, nbgrad
    >>> @nbgrad.njit
    ... def longest(x):
    ...     best = 0.0
    ...     for i in range(x.shape[0]):
    ...         r = 0.0
    ...         for k in range(x.shape[1]):
    ...             r += x[i, k] * x[i, k]
    ...         if r > best:
    ...             best = r
    ...     return best
    >>> nbgrad.grad(longest)(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[0., 0.],
           [6., 8.]])
    """
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise TypeError(f"njit: no option {', '.join(sorted(unknown))}: there are checkpoint, {', '.join(OPTIONS)}")
    if checkpoint is not None and (not isinstance(checkpoint, int) or checkpoint < 0):
        raise TypeError(f"njit: checkpoint is True or a number of turns, got {checkpoint!r}")

    def made(function: Any) -> Differentiable:
        given = dict(options)
        if isinstance(function, Differentiable):
            if not options and checkpoint is None:
                return function
            given = function.options | given
            function = function.py_func
        if isinstance(function, Dispatcher):
            given = {k: v for k, v in function.targetoptions.items() if k in OPTIONS and v} | given
            function = function.py_func
        if not inspect.isfunction(function):
            raise TypeError(f"njit: a function defined by def can be compiled, not {function!r}")
        return Differentiable(function, given, checkpoint)

    return made if function is None else made(function)


class Differentiable:
    """A compiled function that knows its derivatives."""

    def __init__(
        self, function: Callable[..., Any], options: dict[str, Any], checkpoint: bool | int | None = None
    ) -> None:
        self.py_func, self.options, self.checkpoint = function, options, checkpoint
        self.__name__, self.__doc__, self.__wrapped__ = function.__name__, function.__doc__, function
        self.__qualname__, self.__module__ = function.__qualname__, function.__module__
        #: The function as Numba compiled it.
        self.dispatcher = numba.njit(**options)(function)
        self.dispatcher._cache = KernelCache(
            function.__name__,
            lambda: "value" + repr(ordered(options)) + described(function),
            lambda signature: _text(function),
        )
        self._derivatives: dict[Any, Derivative] = {}
        self._entries: dict[Any, Any] = {}
        self._signature = inspect.signature(function)
        self._contractions: dict[Any, Any] = {}
        self._rule: Any = None
        self._type = DifferentiableType(self)

    def __repr__(self) -> str:
        return f"<nbgrad.njit {self.__qualname__}>"

    def __reduce__(self) -> str:
        return self.__qualname__  # as functions are: by the name of the module's variable

    @property
    def _numba_type_(self) -> Any:
        return self._type

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, Variable):
                return self._in_graph(arguments, named)
        for argument in named.values():
            if isinstance(argument, Variable):
                return self._in_graph(arguments, named)
        try:
            return self.dispatcher(*arguments, **named)
        except TypingError:
            if not any(map(is_stand_in, (*arguments, *named.values()))):
                raise
        from . import graph

        return graph.call_on_stand_ins(self, self.bound(arguments, named))

    def _in_graph(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        from . import graph

        return graph.call(self, self.bound(arguments, named))

    def bound(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Give all arguments by their places."""
        if not named and len(arguments) == len(self._signature.parameters):
            return arguments
        given = self._signature.bind(*arguments, **named)
        given.apply_defaults()
        return given.args

    # ---- derivatives -------------------------------------------------------------------------------------------------

    def _python(self) -> Any:
        """Give the function that is differentiated: one that calls this, where the derivative is given by hand."""
        if self._rule is None:
            return self.py_func
        names = ", ".join(self._signature.parameters)
        text = f"def {self.__name__}({names}):\n    return function({names})\n"
        return compiled.defined(self.__name__, text, {"function": self})

    def _derivative(self, kind: str, chosen: tuple[int, ...] | None = None, plain: bool = False) -> Derivative:
        """Give a derivative; a plain one, which can be differentiated again, runs loops as they are."""
        key = (kind, chosen, plain)
        found = self._derivatives.get(key)
        if found is None:
            options = {k: v for k, v in self.options.items() if k not in ("error_model", "parallel")}
            options["fastmath"] = options.get("fastmath") or FASTMATH
            threads = bool(self.options.get("parallel")) and not self.options.get("boundscheck")
            how = () if plain else (threads, self.checkpoint, True)
            found = self._derivatives[key] = Derivative(self._python(), kind, options, chosen, *how)
        return found

    def entry(self, kind: str, count: int, chosen: tuple[int, ...] | None = None) -> Any:
        """Give the compiled function that Python calls for a derivative, with so many cotangents or tangents.

        Of kind "gradient" it takes no cotangent, and gives the value of a scalar function and its gradients.
        """
        key = (kind, count, chosen)
        found = self._entries.get(key)
        if found is None:
            derivative = self._derivative("jvp" if kind == "jvp" else "vjp", chosen)
            names = ", ".join(derivative.parameters)
            if kind == "gradient":
                text = f"def entry({names}):\n    return derivative({names}, 1.0)\n"
            else:
                more = ", ".join(f"given_{i}" for i in range(count))
                text = f"def entry({names}, {more}):\n    return derivative({names}, {more})\n"
            found = self._entries[key] = Entry(derivative, text, {}).dispatcher
        return found

    @property
    def vjp(self) -> Called:
        """The function (arguments, a cotangent for each result) -> (value, cotangents of arguments), for Numba too.

        Arguments that are whole numbers or truth values get None. Arrays that the function writes to are left as they
        are; of a function that returns nothing they are the results.
        """
        return Called(self, "vjp")

    @property
    def jvp(self) -> Called:
        """The function (arguments, a tangent for each floating one) -> (value, its tangent), for Numba too."""
        return Called(self, "jvp")

    @property
    def value_and_grad(self) -> Called:
        """The function (arguments) -> (value, gradients by all arguments), where the value is one number."""
        return Called(self, "gradient")

    def gradient_of(self, wanted: Sequence[int], single: bool, otherwise: Any) -> Any:
        """Give what `nbgrad.value_and_grad` makes of the function: compiled whole, but for Variables (`otherwise`)."""
        count = len(self._derivative("vjp").parameters)
        places = tuple(place % count if -count <= place < count else place for place in wanted)
        if any(not 0 <= place < count for place in places):
            raise TypeError(f"grad: {self.__name__} has {count} arguments, and no argument {tuple(wanted)}")
        if len(set(places)) < len(places):
            return otherwise
        chosen = tuple(sorted(places))

        @functools.wraps(self.py_func)
        def value_and_grad(*arguments: Any, **named: Any) -> Any:
            for x in arguments:
                if type(x) is not np.ndarray and type(x) is not float:
                    break
            else:
                if len(arguments) == count and not named:
                    value, gradients = entry(*arguments)
                    return value, gradients[places[0]] if single else tuple([gradients[place] for place in places])
            if named or any(isinstance(x, Variable) or is_stand_in(x) for x in arguments):
                return otherwise(*arguments, **named)
            arguments = self.bound(arguments, named)
            if any(type(arguments[place]) is int for place in places):
                whole = [float(x) if place in places and type(x) is int else x for place, x in enumerate(arguments)]
                arguments = tuple(whole)
            value, gradients = entry(*arguments)
            return value, gradients[places[0]] if single else tuple([gradients[place] for place in places])

        entry = self.entry("gradient", 0, chosen)
        return value_and_grad

    def source(self, kind: str, *arguments: Any) -> str:
        """Give the source of a derivative, "vjp" or "jvp", for arguments like these, or for those seen last.

        Raises TypeError for what cannot be differentiated.
        """
        derivative = self._derivative(kind)
        if arguments:
            kinds = tuple(
                compiled.kind_of(numba.typeof(_plain(x)), repr(name))
                for x, name in zip(arguments, derivative.parameters, strict=True)
            )
            return derivative.python(kinds, derivative.wanted(kinds))[1]
        for found in [derivative, *self._derivatives.values()]:
            if found.kind == kind and found._python:
                return list(found._python.values())[-1][1]
        if self.dispatcher.signatures:
            kinds = tuple(map(compiled.kind_of, self.dispatcher.signatures[-1], map(repr, derivative.parameters)))
            return derivative.python(kinds, derivative.wanted(kinds))[1]
        raise TypeError(f"njit: {self.__name__} was not called yet: give source arguments like those it will get")

    def explain(self, *arguments: Any) -> str:
        """Say what the way back keeps for arguments like these: for each loop, and bytes for each of its turns."""
        derivative = self._derivative("vjp")
        kinds = derivative.kinds_of([_plain(x) for x in arguments])
        back, _, notes = compiled.reversed_program(
            derivative.of, "explained", kinds, derivative.wanted(kinds), derivative.parallel, derivative.checkpoint
        )
        lines = []
        for loop in (s for s in back.program.body.walk() if isinstance(s, Loop) and back.keeps(s)):
            kept = [(tape, value) for tape, value in back.tapes_of(loop)]
            size = sum(1 if v.dtype == "bool" else np.dtype(v.dtype).itemsize for _, v in kept if v.ndim is None)
            names = ", ".join(
                f"{tape} ({value.dtype}{'' if value.ndim is None else ', an array'})" for tape, value in kept
            )
            arrays = " and arrays" if any(v.ndim is not None for _, v in kept) else ""
            what = "segment" if loop.replayed else "turn"
            over = "segments" if loop.replayed else loop.counter or "a condition"
            lines.append(f"line {loop.line}, loop over {over}: {size} bytes{arrays} a {what}: {names}")
        head = f"{self.__name__} keeps {'' if lines else 'nothing'}".rstrip() + (":" if lines else "")
        return "\n".join([head, *lines, *notes])

    def cfunc(self, signature: Any, by: int | None = None) -> Any:
        """Give the function of numbers, or its derivative by argument `by`, as a C function of a signature.

        It is what `numba.cfunc` gives: ``.address`` is the address, ``.ctypes`` what SciPy's LowLevelCallable takes.

        >>> import nbgrad
        >>> @nbgrad.njit
        ... def square(x):
        ...     return x * x
        >>> square.cfunc("float64(float64)", by=0).ctypes(3.0)
        6.0
        """
        names = ", ".join(self._signature.parameters)
        called = f"function({names})" if by is None else f"function({names}, 1.0)[1][{by}]"
        function: Any = self if by is None else self._derivative("vjp", (by,))
        text = f"def c_function({names}):\n    return {called}\n"
        wrapper = compiled.defined("c_function", text, {"function": function})
        return numba.cfunc(signature)(wrapper)

    def derivative(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Give the derivative by hand: ``rule(cotangent, value, *arguments)`` gives a tuple of cotangents.

        A decorator. The function has numbers as arguments and one as its value; the rule is compiled, and not
        differentiated itself.
        """
        self._rule = numba.njit(rule) if inspect.isfunction(rule) else rule
        self._derivatives.clear()
        self._entries.clear()
        self._contractions.clear()
        return rule


class Called:
    """A derivative to be called, from Python and from functions that Numba compiles."""

    def __init__(self, of: Differentiable, kind: str, chosen: tuple[int, ...] | None = None) -> None:
        self.of, self.kind, self.chosen = of, kind, chosen

    def __call__(self, *arguments: Any) -> Any:
        count = len(arguments) - len(self.of._derivative("vjp").parameters)
        if count < 0 or (self.kind == "gradient" and count):
            names = ", ".join(self.of._derivative("vjp").parameters)
            raise TypeError(f"njit: {self.of.__name__} takes {names}, got {len(arguments)} arguments")
        return self.of.entry(self.kind, count, self.chosen)(*arguments)

    @property
    def _numba_type_(self) -> Any:
        if self.kind == "gradient":
            return self.of.entry("gradient", 0, self.chosen)._numba_type_
        return self.of._derivative(self.kind, self.chosen)._numba_type_


def _plain(x: Any) -> Any:
    return x.data if isinstance(x, Variable) else x


def _text(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except OSError:
        return ""
