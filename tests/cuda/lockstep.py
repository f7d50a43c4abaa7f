"""CUDA kernels' text run as Python: all threads of a launch at once, a statement at a time, on NumPy's arrays.

What each thread has under a name is an array with an element a thread, or a number where all have the same. A choice
runs for the threads that take it, a loop until the last thread is through. `Lockstep` is such a kernel, in place of
the compiled one of `emulation`; it takes no time to compile.

Faults are what a GPU would harm without a word: places outside of the memory that was allocated, 16-byte accesses of
odd addresses, barriers and shuffles that not all threads come to, and races: numbers that one thread writes and another
one reads or writes without a barrier between. In global memory a thread may read what another one writes if it makes no
use of it, which is tried by giving it a wrong number. Elementary functions are NumPy's and SciPy's.
"""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Callable, Sequence
from functools import cache as once
from functools import partial
from types import SimpleNamespace
from typing import Any

import interpreter
import numpy as np
import stream

from nbgrad.kernels.philox import KINDS

#: What stands for the threads where all take part, or none; some are an array of truth values.
EVERYONE, NOBODY = None, False

#: For the place of a thread's number: nobody, several of several blocks; less twice the block's number: all of it,
#: after waiting for each other, and several of it.
_NO_ONE, _SEVERAL, _BLOCK, _SEVERAL_OF_BLOCK = -1, -2, -10, -11


class Fault(Exception):
    """What a kernel must not do."""


# ---- memory ---------------------------------------------------------------------------------------------------------


class _Watch:
    """Who has read and written each element; `strict` where others may not even read what they make no use of.

    Where it is not, `overtaken` has for each element that a thread wrote after others had read it the thread's number.
    """

    def __init__(self, count: int, threads: int, strict: bool, overtaken: Any = None) -> None:
        self.threads, self.strict, self.was_overtaken = threads, strict, overtaken
        self.readers = np.full(count, _NO_ONE, np.int32)
        self.writers = np.full(count, _NO_ONE, np.int32)
        self.overtaken: Any = None

    def read(self, places: Any, threads: Any) -> Any:
        """Note that threads read, each its place, and tell which of them get what nobody can rely on."""
        late = self._others(self.writers[places], threads)
        if self.strict and late.any():
            raise Fault("a race: a thread reads what another one writes")
        self._note_readers(places, threads)
        # of threads that read one place at once, only one is noted so far
        others = self._others(self.readers[places], threads)
        self._note_readers(places[others], threads[others])
        return late if self.was_overtaken is None else late | self._others(self.was_overtaken[places], threads)

    def written(self, places: Any, threads: Any) -> None:
        """Note that threads write, each to its place."""
        if self._others(self.writers[places], threads).any():
            raise Fault("a race: two threads write to one place")
        early = self._others(self.readers[places], threads)
        if early.any():
            if self.strict:
                raise Fault("a race: a thread writes what another one reads")
            if self.overtaken is None:
                self.overtaken = np.full(self.readers.size, _NO_ONE, np.int32)
            self.overtaken[places[early]] = threads[early]
        self.writers[places] = threads

    def wait(self, blocks: Any) -> None:
        """Note that the threads of some blocks have waited for each other, and may use what these have written."""
        for noted in (self.readers, self.writers):
            known = (noted != _NO_ONE) & (noted != _SEVERAL)
            block = self._block(noted)
            waited = known & blocks[np.where(known, block, 0)]
            noted[waited] = _BLOCK - 2 * block[waited]

    def _note_readers(self, places: Any, threads: Any) -> None:
        readers, block = self.readers[places], threads // self.threads
        same = (self._block(readers) == block) & (readers != _SEVERAL)
        several = np.where(same, _SEVERAL_OF_BLOCK - 2 * block, _SEVERAL)
        self.readers[places] = np.where(self._others(readers, threads), several, threads)

    def _block(self, noted: Any) -> Any:
        return np.where(noted >= 0, noted // self.threads, (_BLOCK - noted) // 2)

    def _others(self, noted: Any, threads: Any) -> Any:
        """Tell where another thread is noted, of another block or one that has not been waited for."""
        return (noted != threads) & (noted != _NO_ONE) & (noted != _BLOCK - 2 * (threads // self.threads))


class _Elements:
    """Memory with elements of a dtype: of a launch's pointer, or shared by a block's threads."""

    def __init__(self, name: str, array: Any, origin: Any, watch: _Watch) -> None:
        self.name, self.array, self.origin, self.watch = name, array, origin, watch
        kind = array.dtype.kind if array.dtype.itemsize < 8 else ""
        self.wide = {"i": np.int64, "u": np.uint64}.get(kind)  # Numba computes in 64 bits

    def places(self, index: Any, threads: Any, lanes: int = 1) -> Any:
        """Give the places of `lanes` elements from an index on, for each of the threads."""
        origin = self.origin if isinstance(self.origin, int) else self.origin[threads]
        places = np.broadcast_to(np.asarray(origin + index, np.int64), threads.shape)
        if places.size and (places.min() < 0 or places.max() + lanes > self.array.size):
            low, high, count = places.min(), places.max() + lanes - 1, self.array.size
            raise Fault(f"elements {low} to {high} of {self.name}, whose memory has {count} of {self.array.dtype}")
        return places

    def read(self, places: Any, threads: Any) -> Any:
        useless = self.watch.read(places, threads)
        values = self.array[places]
        if useless.any():
            values[useless] = interpreter.poisoned(1, values.dtype)
        return values if self.wide is None else values.astype(self.wide)

    def write(self, places: Any, values: Any, threads: Any) -> None:
        with np.errstate(all="ignore"):
            values = np.broadcast_to(values, places.shape).astype(self.array.dtype)
        self.watch.written(places, threads)
        self.array[places] = values
        if not np.array_equal(self.array[places].view(np.uint8), values.view(np.uint8)):
            raise Fault(f"a race: two threads write to one place of {self.name}")


class _Memory:
    """What a launch's pointers point to, as it was before, and who reads and writes it."""

    def __init__(self, find: Callable[[int], tuple[int, int] | None], threads: int) -> None:
        self._find, self._threads = find, threads
        self.watches: dict[tuple[int, int], _Watch] = {}
        self._rooms: dict[int, tuple[Any, Any]] = {}

    def pointer(self, name: str, kind: str, address: int) -> _Elements:
        """Give the elements that an argument points to; with none where no memory was allocated."""
        dtype = np.dtype({"bool": "uint8", "float16": "uint16"}.get(kind, kind))  # these come as bits
        start, size = self._find(address) or (address, 0)
        if start not in self._rooms:
            room = _at(start, size, np.dtype(np.uint8))
            self._rooms[start] = room, room.copy()
        begin = start + (address - start) % dtype.itemsize
        count = max(0, (start + size - begin) // dtype.itemsize)
        watch = self.watches.setdefault((begin, dtype.itemsize), _Watch(count, self._threads, strict=False))
        return _Elements(name, _at(begin, count, dtype), (address - begin) // dtype.itemsize, watch)

    def begin_again(self) -> tuple[bool, list[Any]]:
        """Take everything back, and tell whether threads have read what others then wrote; gives what there was.

        Now these get wrong numbers.
        """
        results = [room.copy() for room, _ in self._rooms.values()]
        again = any(watch.overtaken is not None for watch in self.watches.values())
        if again:
            for room, before in self._rooms.values():
                room[...] = before
            for key, watch in self.watches.items():
                self.watches[key] = _Watch(watch.readers.size, self._threads, False, watch.overtaken)
        return again, results

    def holds(self, results: Sequence[Any]) -> bool:
        """Tell whether there is what there was."""
        return all(
            np.array_equal(room, result) for (room, _), result in zip(self._rooms.values(), results, strict=True)
        )


def _at(address: int, count: int, dtype: Any) -> Any:
    return np.ndarray((count,), dtype, (ctypes.c_char * (count * dtype.itemsize)).from_address(address))


# ---- what kernel text calls ------------------------------------------------------------------------------------------


class _Launch:
    """The threads of a launch, and what they can do together."""

    everyone, nobody = EVERYONE, NOBODY

    def __init__(self, memory: _Memory, blocks: int, threads: int) -> None:
        self.memory = memory
        self.blocks, self.threads, self.count = blocks, threads, blocks * threads
        self.numbers = np.arange(self.count)
        self.thread = self.numbers % threads
        self.block = self.numbers // threads if blocks > 1 else np.int64(0)
        self.gone: Any = NOBODY
        self.shared_memory: dict[int, _Elements] = {}  # by the place of the text that reserves it

    # ---- who takes part ---------------------------------------------------------------------------------------------

    def narrowed(self, mask: Any, condition: Any) -> Any:
        """Give those of the threads for which a condition holds."""
        if not isinstance(condition, np.ndarray) or not condition.ndim:
            return mask if condition else NOBODY
        chosen = condition.astype(bool)
        if mask is not EVERYONE:
            chosen &= mask
        if not chosen.any():
            return NOBODY
        return EVERYONE if mask is EVERYONE and chosen.all() else chosen

    def parted(self, mask: Any, condition: Any) -> tuple[Any, Any]:
        return self.narrowed(mask, condition), self.narrowed(mask, np.logical_not(condition))

    def leave(self, mask: Any) -> None:
        self.gone = EVERYONE if mask is EVERYONE else mask if self.gone is NOBODY else self.gone | mask

    def remaining(self, mask: Any) -> Any:
        if self.gone is NOBODY:
            return mask
        return NOBODY if self.gone is EVERYONE else self.narrowed(mask, ~self.gone)

    def taking_part(self, mask: Any) -> Any:
        return self.numbers if mask is EVERYONE else self.numbers[mask]

    # ---- names ------------------------------------------------------------------------------------------------------

    def assigned(self, mask: Any, old: Any, new: Any) -> Any:
        """Give what a name stands for after some threads have assigned to it."""
        if mask is EVERYONE:
            return new
        if isinstance(new, tuple):
            return tuple(
                self.assigned(mask, None if old is None else o, n) for o, n in zip(old or new, new, strict=True)
            )
        if old is None:
            old = np.asarray(new).dtype.type(np.nan if np.asarray(new).dtype.kind == "f" else 1)
        return np.where(mask, new, old)

    def both(self, mask: Any, first: Any, second: Callable[[Any], Any]) -> Any:
        chosen = self.narrowed(mask, first)
        return first if chosen is NOBODY else np.logical_and(first, second(chosen))

    def either(self, mask: Any, first: Any, second: Callable[[Any], Any]) -> Any:
        chosen = self.narrowed(mask, np.logical_not(first))
        return first if chosen is NOBODY else np.logical_or(first, second(chosen))

    def chosen(self, mask: Any, condition: Any, first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Any:
        true, false = self.parted(mask, condition)
        if false is NOBODY:
            return first(true)
        return second(false) if true is NOBODY else np.where(condition, first(true), second(false))

    # ---- memory -----------------------------------------------------------------------------------------------------

    def get(self, mask: Any, memory: Any, index: Any) -> Any:
        if isinstance(memory, tuple):
            return memory[index]
        threads = self.taking_part(mask)
        values = memory.read(memory.places(self._of(index, mask), threads), threads)
        return self._spread(mask, values)

    def put(self, mask: Any, memory: Any, index: Any, value: Any) -> None:
        threads = self.taking_part(mask)
        memory.write(memory.places(self._of(index, mask), threads), self._of(value, mask), threads)

    def load_vector(self, mask: Any, memory: Any, index: Any) -> Any:
        threads = self.taking_part(mask)
        places, lanes = self._vectors(memory, self._of(index, mask), threads)
        return tuple(self._spread(mask, memory.read(places + lane, threads)) for lane in range(lanes))

    def store_vector(self, mask: Any, memory: Any, index: Any, values: Any) -> None:
        threads = self.taking_part(mask)
        places, lanes = self._vectors(memory, self._of(index, mask), threads)
        for lane in range(lanes):
            memory.write(places + lane, self._of(values[lane], mask), threads)

    @staticmethod
    def _vectors(memory: Any, index: Any, threads: Any) -> tuple[Any, int]:
        size = memory.array.dtype.itemsize
        places = memory.places(index, threads, 16 // size)
        if ((memory.array.ctypes.data + places * size) % 16).any():
            raise Fault("a 16-byte access at an address that is no multiple of 16")
        return places, 16 // size

    @staticmethod
    def _of(value: Any, mask: Any) -> Any:
        return value[mask] if mask is not EVERYONE and isinstance(value, np.ndarray) and value.ndim else value

    def _spread(self, mask: Any, values: Any) -> Any:
        """Give the values of threads that take part, and what nobody should use for the others."""
        if mask is EVERYONE:
            return values
        result = interpreter.poisoned(self.count, values.dtype)
        result[mask] = values
        return result

    def shared(self, place: int, count: int, dtype: str) -> _Elements:
        """Reserve memory for each block, at a place of the text."""
        array = interpreter.poisoned(self.blocks * count, dtype)
        origin = self.numbers // self.threads * count
        memory = _Elements("shared memory", array, origin, _Watch(array.size, self.threads, strict=True))
        self.shared_memory[place] = memory
        return memory

    # ---- waiting for each other -------------------------------------------------------------------------------------

    def _together(self, mask: Any, width: int, what: str) -> None:
        if mask is not EVERYONE:
            groups = np.add.reduceat(mask, np.arange(0, self.count, width), dtype=np.int64)
            if ((groups != 0) & (groups != width)).any():
                raise Fault(what)

    def barrier(self, mask: Any) -> None:
        self._together(mask, self.threads, "some threads have left, and others wait at a barrier or for a shuffle")
        waited = np.broadcast_to(True if mask is EVERYONE else mask, self.count)[:: self.threads]
        for watch in (*(memory.watch for memory in self.shared_memory.values()), *self.memory.watches.values()):
            watch.wait(waited)

    def shuffle(self, mask: Any, among: int, value: Any, offset: Any) -> Any:
        """Give each thread what the one has whose number in the warp differs in the bits of `offset`."""
        if among != 0xFFFFFFFF or self.threads % 32:
            raise NotImplementedError("a shuffle of some threads of a warp")
        self._together(mask, 32, "a shuffle reads from a lane that does not take part in it")
        offset = np.broadcast_to(offset, self.count) & 31
        return np.broadcast_to(value, self.count)[self.numbers ^ (offset if mask is EVERYONE else offset * mask)]


def _smaller(*values: Any) -> Any:
    return np.minimum(*map(_whole, values))


def _larger(*values: Any) -> Any:
    return np.maximum(*map(_whole, values))


def _whole(value: Any) -> Any:
    assert np.asarray(value).dtype.kind in "iu", "min and max treat NaN as the order of arguments has it"
    return value


def _two_sum(a: Any, b: Any) -> Any:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: Any, b: Any) -> Any:
    """Give a product and its rounding error, from halves of the factors (Dekker 1971)."""
    product = a * b
    splitter = np.asarray(product).dtype.type(2 ** (-(-(np.finfo(np.asarray(product).dtype).nmant + 1) // 2)) + 1)
    (a_high, a_low), (b_high, b_low) = ((high := splitter * x - (splitter * x - x), x - high) for x in (a, b))
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def _drawn(kind: str, dtype: str, state: _Elements, place: Any) -> Any:
    return stream.elements(kind, dtype, state.array[state.origin : state.origin + 2], place)


@once
def _namespace() -> dict[str, Any]:
    names = {
        **interpreter.numbers(),
        "np": np,
        "math": SimpleNamespace(sqrt=np.sqrt),
        "min": _smaller,
        "max": _larger,
        "float32_of_half": lambda bits: np.asarray(bits).astype(np.uint16).view(np.float16).astype(np.float32)[()],
    }
    for kind in ("float32", "float64"):
        names |= {f"two_sum_{kind}": _two_sum, f"two_product_{kind}": _two_product}
    for kind, dtypes in KINDS.items():
        names |= {f"draw_{kind}_{dtype}": partial(_drawn, kind, dtype) for dtype in dtypes}
    return names


# ---- from text to function -------------------------------------------------------------------------------------------

_REGISTERS = {"threadIdx": "at.thread", "blockIdx": "at.block", "blockDim": "at.threads", "gridDim": "at.blocks"}
_TOGETHER = {"shfl_xor_sync": "shuffle", "syncthreads": "barrier"}
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}
_OPERATORS |= {ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>", ast.Pow: "**"}


class _Writer:
    """Writes a kernel for all threads at once; `mask` is everywhere the name of those that take part."""

    def __init__(self, kernel: ast.FunctionDef) -> None:
        self.lines: list[str] = []
        names = sorted({n.id for n in ast.walk(kernel) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)})
        self._put(0, f"def kernel(at, {', '.join(a.arg for a in kernel.args.args)}):")
        self._put(1, *(f"{name} = None" for name in names), "mask0 = at.everyone")
        self._body(kernel.body, 1, 0)

    def _put(self, depth: int, *lines: str) -> None:
        self.lines += ["    " * depth + line for line in lines]

    def _body(self, body: Sequence[ast.stmt], depth: int, level: int) -> None:
        for step in body:
            self._step(step, depth, level)
            if isinstance(step, ast.If) and any(isinstance(n, ast.Return) for n in ast.walk(step)):
                self._put(depth, f"mask{level} = at.remaining(mask{level})", f"if mask{level} is not at.nobody:")
                depth += 1
                self._put(depth, "pass")

    def _step(self, step: ast.stmt, depth: int, level: int) -> None:
        mask, inner = f"mask{level}", f"mask{level + 1}"
        match step:
            case ast.Assign(targets=[target], value=value):
                self._assign(target, self._written(value, mask), depth, mask)
            case ast.AugAssign(target=target, op=op, value=value):
                old = self._written(target, mask)
                self._assign(target, f"({old} {_OPERATORS[type(op)]} {self._written(value, mask)})", depth, mask)
            case ast.Expr(value=value):
                self._put(depth, self._written(value, mask))
            case ast.While(test=test, body=body, orelse=[]):
                self._put(depth, f"{inner} = {mask}", "while True:")
                self._put(depth + 1, f"{inner} = at.narrowed({inner}, {self._written(test, inner)})")
                self._put(depth + 1, f"if {inner} is at.nobody: break")
                self._body(body, depth + 1, level + 1)
            case ast.If(test=test, body=body, orelse=orelse):
                other = f"other{level + 1}"
                self._put(depth, f"{inner}, {other} = at.parted({mask}, {self._written(test, mask)})")
                self._put(depth, f"if {inner} is not at.nobody:")
                self._body(body, depth + 1, level + 1)
                if orelse:
                    self._put(depth, f"if {other} is not at.nobody:")
                    self._put(depth + 1, f"{inner} = {other}")
                    self._body(orelse, depth + 1, level + 1)
            case ast.Return(value=None):
                self._put(depth, f"at.leave({mask})")
            case _:
                raise NotImplementedError(ast.unparse(step))

    def _assign(self, target: ast.expr, value: str, depth: int, mask: str) -> None:
        match target:
            case ast.Name(id=name):
                self._put(depth, f"{name} = at.assigned({mask}, {name}, {value})")
            case ast.Tuple(elts=parts):
                self._put(depth, f"parts = {value}")
                for i, part in enumerate(parts):
                    self._assign(part, f"parts[{i}]", depth, mask)
            case ast.Subscript(value=memory, slice=index):
                self._put(depth, f"at.put({mask}, {ast.unparse(memory)}, {self._written(index, mask)}, {value})")
            case _:
                raise NotImplementedError(ast.unparse(target))

    def _written(self, node: ast.expr, mask: str) -> str:
        def write(part: ast.expr) -> str:
            return self._written(part, mask)

        match node:
            case ast.Name() | ast.Constant():
                return ast.unparse(node)
            case ast.BinOp(left=left, op=op, right=right):
                return f"({write(left)} {_OPERATORS[type(op)]} {write(right)})"
            case ast.UnaryOp(op=ast.Not(), operand=x):
                return f"np.logical_not({write(x)})"
            case ast.UnaryOp(op=op, operand=x):
                return f"({'-' if isinstance(op, ast.USub) else '~'}{write(x)})"
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                sign = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}[type(op)]
                return f"({write(left)} {sign} {write(right)})"
            case ast.BoolOp(op=op, values=[first, *rest]):
                text = write(first)
                for part in rest:
                    name = "both" if isinstance(op, ast.And) else "either"
                    text = f"at.{name}({mask}, {text}, lambda mask: {self._written(part, 'mask')})"
                return text
            case ast.IfExp(test=test, body=body, orelse=orelse):
                branches = ", ".join(f"lambda mask: {self._written(part, 'mask')}" for part in (body, orelse))
                return f"at.chosen({mask}, {write(test)}, {branches})"
            case ast.Subscript(value=memory, slice=index):
                return f"at.get({mask}, {write(memory)}, {write(index)})"
            case ast.Tuple(elts=parts):
                return f"({', '.join(map(write, parts))},)"
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="cuda"), attr=register), attr="x"):
                return _REGISTERS[register]
            case ast.Call(func=function, args=arguments, keywords=[]):
                return self._call(ast.unparse(function), arguments, mask)
            case _:
                raise NotImplementedError(ast.unparse(node))

    def _call(self, name: str, arguments: Sequence[ast.expr], mask: str) -> str:
        if name == "cuda.shared.array":
            count, dtype = map(ast.unparse, arguments)
            return f"at.shared({len(self.lines)}, {count}, {dtype!r})"
        given = ", ".join(self._written(x, mask) for x in arguments)
        if name == "cuda.grid":
            return "(at.block * at.threads + at.thread)"
        if name.startswith("cuda."):
            return f"at.{_TOGETHER[name[5:]]}({mask}, {given})"
        if name in ("load_vector", "store_vector"):
            return f"at.{name}({mask}, {given})"
        return f"{name}({given})"


@once
def _function(source: str) -> Callable[..., None]:
    (kernel,) = [step for step in ast.parse(source).body if isinstance(step, ast.FunctionDef)]
    names = dict(_namespace())
    exec(compile("\n".join(_Writer(kernel).lines), "<kernel in lockstep>", "exec"), names)
    function: Callable[..., None] = names["kernel"]
    return function


class Lockstep:
    """A kernel that is interpreted; `find` gives the room of memory, start and size, that an address lies in."""

    find: Callable[[int], tuple[int, int] | None]

    def __init__(self, source: str, signature: tuple[str, ...], capability: tuple[int, int]) -> None:
        self.function, self.signature = _function(source), signature

    def run(self, blocks: int, threads: int, arguments: Sequence[Any]) -> str | None:
        """Run the kernel; gives what went wrong, if anything did."""
        memory = _Memory(type(self).find, threads)
        try:
            self._run_on(memory, blocks, threads, arguments)
            again, results = memory.begin_again()
            if again:
                self._run_on(memory, blocks, threads, arguments)
                if not memory.holds(results):
                    raise Fault("a race: a thread uses what another one writes afterwards")
        except Fault as fault:
            return str(fault)
        return None

    def _run_on(self, memory: _Memory, blocks: int, threads: int, arguments: Sequence[Any]) -> None:
        given = [
            memory.pointer(f"argument {i}", kind.removesuffix("*"), x) if kind.endswith("*") else x
            for i, (kind, x) in enumerate(zip(self.signature, arguments, strict=True))
        ]
        with np.errstate(all="ignore"):
            self.function(_Launch(memory, blocks, threads), *given)
