"""Derivatives for the types that they are called with: written, compiled by Numba, and kept in the cache of kernels."""

from __future__ import annotations

import hashlib
import inspect
import linecache
import os
import pickle
import textwrap
from collections.abc import Sequence
from functools import cache as once
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import compiler, serialize
from numba.core.runtime.nrt import rtsys

from ..kernels import cache
from ..kernels.cache import CompiledKernel
from ..kernels.cpu import codegen
from . import support
from .forward import Tangent
from .language import FLOATING, Loop, Program
from .lowering import lower
from .pieces import Again
from .reverse import Reverse
from .segments import Replay, outermost, replay_of, split

#: What an argument is for a derivative: its dtype and number of axes, None for numbers; for tuples "tuple", with the
#: names of the items if they have some, and the kinds of the items.
Kind = tuple[str, Any]


def floating(kind: Kind) -> bool:
    """Tell whether there are derivatives by an argument, or by an item of it."""
    dtype, inside = kind
    return any(map(floating, inside)) if dtype.startswith("tuple") else dtype in FLOATING


def kind_of(numba_type: Any, position: str) -> Kind:
    """Give what a derivative has to know of an argument's type.

    Raises TypeError for what Numba compiles and derivatives cannot be made of.
    """
    kind = numba_type
    if isinstance(kind, types.Omitted):
        kind = numba.typeof(kind.value)
    kind = types.unliteral(kind)
    if isinstance(kind, types.Array) and isinstance(kind.dtype, types.Number | types.Boolean):
        dtype = str(kind.dtype)
        if not dtype.startswith("complex"):
            return dtype, kind.ndim
    if isinstance(kind, types.Float | types.Integer | types.Boolean):
        return ("bool" if isinstance(kind, types.Boolean) else str(kind)), None
    if isinstance(kind, types.NoneType):
        return "none", None
    if isinstance(kind, types.BaseTuple):
        fields = ":" + ",".join(kind.fields) if isinstance(kind, types.BaseNamedTuple) else ""  # type: ignore[attr-defined]
        return "tuple" + fields, tuple(kind_of(item, position) for item in kind.types)  # type: ignore[attr-defined]
    raise TypeError(
        f"njit: argument {position} is {numba_type}, of which derivatives are not made: give arrays, numbers, and "
        "tuples of them"
    )


def kinds_of(arguments: Sequence[Any]) -> tuple[Kind, ...]:
    """Give what derivatives have to know of arguments."""
    return tuple(kind_of(numba.typeof(x), str(place)) for place, x in enumerate(arguments))


# ---- the cache -------------------------------------------------------------------------------------------------------


@once
def _stamp() -> tuple[str, ...]:
    """Everything besides a user's function that shapes machine code."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), here.parent / "math.py"]
    rules = [Path(cache.__file__).with_name(name) for name in ("formula.py", "scalars.py", "special.py")]
    options = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_")]
    return (numba.__version__, *options, *codegen._stamp(), *(path.read_text() for path in (*files, *rules)))


def described(function: Any, seen: set[int] | None = None) -> str:
    """Give all that a function computes by, as text: its source, and what it finds around it."""
    seen = set() if seen is None else seen
    if id(function) in seen:
        return ""
    seen.add(id(function))
    parts = [_source_of(function)]
    names = _names_of(function.__code__)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for name in sorted(names | set(cells)):
        found = cells[name].cell_contents if name in cells else function.__globals__.get(name)
        python = getattr(found, "py_func", found)
        if isinstance(python, FunctionType):
            rule = getattr(found, "_rule", None)
            parts.append(f"{name}: {described(python, seen)}")
            if rule is not None:
                parts.append(described(getattr(rule, "py_func", rule), seen))
        elif isinstance(found, np.ndarray):
            digest = hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest()
            parts.append(f"{name}: {found.dtype} {found.shape} {digest}")
        elif not isinstance(found, ModuleType):
            parts.append(f"{name}: {found!r}")
    parts.append(repr(function.__defaults__))
    return "\n".join(parts)


def ordered(options: dict[str, Any]) -> list[Any]:
    """Give options in an order that is the same in every process, which that of a set is not."""
    return sorted((name, sorted(value) if isinstance(value, set) else value) for name, value in options.items())


def _names_of(code: Any) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if inspect.iscode(constant):
            names |= _names_of(constant)
    return names


def _source_of(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return repr(function.__code__.co_code) + repr(function.__code__.co_consts)


class KernelCache:
    """What Numba asks for compiled functions, and hands them to: the cache of kernels."""

    cache_path = None

    def __init__(self, name: str, key: Any, source: Any) -> None:
        self.name, self.key, self.source = name, key, source
        self._described: str | None = None

    def _key(self, signature: Any) -> str:
        if self._described is None:
            self._described = self.key()
        return cache.key_of(self.name, self._described, str(signature), *_stamp())

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Give what was compiled for a signature, None where there is nothing that fits."""
        kernel = cache.read(self._key(signature))
        if kernel is None:
            return None
        try:
            rtsys.initialize(context)  # all that machine code needs of what Numba sets up for compiling
            return compiler.CompileResult._rebuild(context, *pickle.loads(kernel.code))
        except (AttributeError, ImportError, pickle.UnpicklingError, TypeError):
            return None  # of a module that is not there, or of another Numba: it is compiled again

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what was compiled for a signature."""
        if result.lifted or (result.library is not None and result.library.has_dynamic_globals):
            return
        code = serialize.dumps(result._reduce())
        cache.write(self._key(signature), CompiledKernel("numba", (), code), self.source(signature))

    def enable(self) -> None:
        """Do nothing: it is always on."""

    disable = flush = enable


# ---- derivatives -----------------------------------------------------------------------------------------------------


def reversed_program(
    function: Any,
    name: str,
    kinds: Sequence[Kind],
    wanted: Sequence[bool],
    parallel: bool = False,
    checkpoint: bool | int | None = None,
    reusing: bool = False,
) -> tuple[Reverse, str, list[str]]:
    """Write the way back of a Python function: what wrote it, its source, and what could not be done as asked.

    It is lowered again where it turns out that products of matrices must be loops, that turns must be run again, or
    which loops keep something and are to be split.
    """
    by_loops = False
    replayed: set[int] = set()
    segmented: set[int] = set()
    notes: list[str] = []
    while True:
        program = lower(function, kinds, by_loops=by_loops)
        program.reusing = reusing
        loops = [s for s in program.body.walk() if isinstance(s, Loop)]
        for place, loop in enumerate(loops):
            loop.number, loop.replayed = place, place in replayed
        notes.clear()
        for place in sorted(segmented):
            note = _in_segments(program, loops[place], checkpoint)
            if note:
                notes.append(f"line {loops[place].line}: not run again from checkpoints, since {note}")
        program.number()
        for loop in (s for s in program.body.walk() if isinstance(s, Loop) and s.replayed):
            found = replay_of(program, loop)
            if isinstance(found, Replay):
                program.replays[loop] = found
            else:
                assert loop.number is not None, found  # what was split can be run again
                loop.replayed = False
        made = Reverse(program, wanted, parallel)
        try:
            source = made.source(name)
        except Again as again:
            if again.replayed is None:
                by_loops = True
                replayed.clear()
                segmented.clear()
            else:
                replayed.add(again.replayed)
            continue
        if checkpoint and not segmented:
            segmented = {loop.number for loop in outermost(program)  # type: ignore[misc]
                     if not loop.parallel and (made.keeps(loop) or made.inside_kept(loop))}  # fmt: skip
            if segmented:
                continue
        return made, source, notes


def _in_segments(program: Program, loop: Loop, checkpoint: bool | int | None) -> str:
    """Split a loop; where that cannot be, say why."""
    program.number()
    found = replay_of(program, loop)
    if isinstance(found, str):
        return found
    made = split(program, loop, None if checkpoint is True else checkpoint)
    return made if isinstance(made, str) else ""


def written(
    function: Any,
    name: str,
    kind: str,
    kinds: Sequence[Kind],
    wanted: Sequence[bool],
    parallel: bool = False,
    checkpoint: bool | int | None = None,
    reusing: bool = False,
) -> tuple[str, dict[str, Any]]:
    """Write a derivative of a Python function: its source, and the constants that it names.

    Only where turns do not use memory again (`reusing`) can the source be differentiated in its turn.
    """
    if kind == "vjp":
        made, source, _ = reversed_program(function, name, kinds, wanted, parallel, checkpoint, reusing)
        return source, made.program.constants
    program = lower(function, kinds)
    program.reusing = reusing
    return Tangent(program, wanted).source(name), program.constants


def defined(name: str, source: str, namespace: dict[str, Any]) -> Any:
    """Give the Python function that source defines, whose source can be had."""
    filename = f"<nbgrad {name} {hashlib.sha256(source.encode()).hexdigest()[:12]}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    namespace["__name__"] = __package__  # Numba imports it when it loads what it compiled
    exec(compile(source, filename, "exec"), namespace)
    return namespace[name]


#: What Numba has threads share: loops over prange, and nothing else.
_THREADS = dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
) | {"prange": True}  # fmt: skip


class Derivative:
    """A derivative of a function, as a function for Python and for Numba, made for the types it is called with."""

    def __init__(
        self,
        of: Any,
        kind: str,
        options: dict[str, Any],
        wanted: tuple[int, ...] | None = None,
        parallel: bool = False,
        checkpoint: bool | int | None = None,
        reusing: bool = False,
    ) -> None:
        self.of, self.kind, self.options, self.chosen = of, kind, options, wanted
        self.parallel, self.checkpoint, self.reusing = parallel, checkpoint, reusing
        self.__name__ = f"{of.__name__}_{kind}"
        self._made: dict[tuple[Any, ...], Any] = {}
        self._python: dict[tuple[Any, ...], Any] = {}
        self.parameters = list(inspect.signature(of).parameters)
        self._type = types.Dispatcher(self)  # type: ignore[type-var]
        self._written: dict[tuple[Kind, ...], set[str]] = {}

    # ---- by types ----------------------------------------------------------------------------------------------------

    def wanted(self, kinds: Sequence[Kind]) -> tuple[bool, ...]:
        """Tell which arguments are differentiated by."""
        floats = tuple(map(floating, kinds))
        if self.chosen is None:
            return floats
        for position in self.chosen:
            if not floats[position]:
                raise TypeError(
                    f"njit: argument {self.parameters[position]!r} of {self.of.__name__} is {kinds[position][0]}, "
                    "which has no gradients: convert it to float32 or float64"
                )
        return tuple(has and place in self.chosen for place, has in enumerate(floats))

    def python(self, kinds: tuple[Kind, ...], wanted: tuple[bool, ...]) -> tuple[Any, str]:
        """Give the derivative as a Python function, and its source."""
        key = (kinds, wanted)
        found = self._python.get(key)
        if found is None:
            source, constants = written(
                self.of, self.__name__, self.kind, kinds, wanted, self.parallel, self.checkpoint, self.reusing
            )
            function = defined(self.__name__, source, support.compiled() | constants)
            found = self._python[key] = (function, source)
        return found

    def kinds_of(self, arguments: Sequence[Any]) -> tuple[Kind, ...]:
        """Give what the derivative has to know of arguments."""
        pairs = zip(arguments, self.parameters, strict=True)
        return tuple(kind_of(numba.typeof(x), repr(name)) for x, name in pairs)

    def written_by(self, kinds: tuple[Kind, ...]) -> set[str]:
        """Give the arguments that the function writes to."""
        found = self._written.get(kinds)
        if found is None:
            found = self._written[kinds] = {str(p) for p in lower(self.of, kinds).written}
        return found

    def dispatcher(self, kinds: tuple[Kind, ...], wanted: tuple[bool, ...]) -> Any:
        """Give the derivative as a function that Numba compiles."""
        key = (kinds, wanted)
        made = self._made.get(key)
        if made is None:
            function, source = self.python(kinds, wanted)
            how: dict[str, Any] = dict(self.options)
            if "prange(" in source:
                how["parallel"] = dict(_THREADS)
            made = self._made[key] = numba.njit(error_model="numpy", **how)(function)
        return made

    def _split(self, arguments: Sequence[Any]) -> tuple[tuple[Kind, ...], tuple[bool, ...]]:
        count = len(self.parameters)
        if len(arguments) < count:
            raise TypeError(
                f"njit: {self.__name__} takes the arguments {', '.join(self.parameters)} and "
                f"{'a cotangent for each result' if self.kind == 'vjp' else 'a tangent for each differentiable one'}"
            )
        kinds = tuple(
            kind_of(given, repr(name)) for given, name in zip(arguments[:count], self.parameters, strict=True)
        )
        return kinds, self.wanted(kinds)

    # ---- what Numba asks of a function -------------------------------------------------------------------------------

    @property
    def _numba_type_(self) -> Any:
        return self._type

    def _real(self, arguments: Sequence[Any]) -> Any:
        return self.dispatcher(*self._split(arguments))

    #: Numba asks: whether the function calls itself. It cannot.
    is_compiling = False

    def get_call_template(self, arguments: Any, named: Any) -> Any:
        """Give Numba's template for a call."""
        return self._real(arguments).get_call_template(arguments, named)

    def get_overload(self, signature: Any) -> Any:
        """Give the address that Numba calls."""
        arguments = getattr(signature, "args", signature)
        return self._real(arguments).get_overload(signature)

    def get_compile_result(self, signature: Any) -> Any:
        """Give what Numba compiled for a signature."""
        return self._real(getattr(signature, "args", signature)).get_compile_result(signature)

    def inspect_types(self, *arguments: Any, **named: Any) -> None:
        """Print nothing: Numba asks for it."""


class Entry:
    """Derivatives called from Python: one function of Numba's for each number of arguments, which finds the others."""

    def __init__(self, derivative: Derivative, text: str, namespace: dict[str, Any]) -> None:
        function = defined("entry", text, namespace | {"derivative": derivative, "np": np})
        self.dispatcher = numba.njit(error_model="numpy", **derivative.options)(function)

        def key() -> str:
            chosen = repr(
                (derivative.kind, derivative.chosen, ordered(derivative.options), derivative.parallel,
                 derivative.checkpoint)
            )  # fmt: skip
            return text + chosen + described(derivative.of)

        self.dispatcher._cache = KernelCache(derivative.__name__, key, lambda signature: text)
