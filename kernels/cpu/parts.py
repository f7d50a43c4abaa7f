"""Long loop bodies in parts: each a function and a loop of its own over a chunk, whose values stay in the cache.

What LLVM takes for a loop body grows faster than the body, and registers do not suffice for hundreds of values. So a
long one is cut; what a later part needs waits in memory, a chunk of elements at a time. Where Python has unrolled a
loop, the same operations come again and again: cuts are made where the operations around look alike, so that most
parts have equal texts, and equal ones are one function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from .. import formula
from ..loop_nest import Assign, Fold, Operand, assigned_to
from ..text import indented
from .sizes import OUTPUTS

#: What a loop's body costs at most that is not cut, in additions; LLVM takes 0.3 ms for one, more the longer it is.
WHOLE = 450
#: What a part costs at least and at most. Steps of a recurrence wait for one another: a processor works on several
#: turns of a short loop at once, of a long one only on the one that it waits in (a fifth of the time for 100 steps).
LEAST, MOST = 40, 120
#: Bytes of values that wait between parts, at most, unless the chunks become shorter than this many elements.
_MEMORY, _SHORTEST = 1 << 18, 32
_SIZES = {"bool": 1, "8": 1, "16": 2, "32": 4, "64": 8}
_LINE = 64
#: Steps from which a value comes from far away, wherever that is.
_FAR = 40


def _size(dtype: str) -> int:
    return _SIZES[next(end for end in _SIZES if dtype.endswith(end))]


def spaced(chunk: int, dtype: str) -> int:
    """Give the elements from the beginning of one chunk to that of the next: a cache line more than a chunk.

    What lies powers of two apart goes to the same few places of a cache, where a dozen of arrays displace one another.
    """
    return chunk + _LINE // _size(dtype)


def _weight(step: Assign) -> int:
    return 1 if step.expression is None else min(formula.cost_of(step.expression), MOST // 2)


def is_long(order: Sequence[Assign]) -> bool:
    """Tell whether a body is to be cut."""
    return sum(map(_weight, order)) > WHOLE


def cut(order: Sequence[Assign]) -> list[list[Assign]]:
    """Cut steps into parts, in the same places of what repeats itself."""
    weights = [_weight(step) for step in order]
    place = {step.name: i for i, step in enumerate(order)}
    looks: dict[object, int] = {}
    kinds = []
    for i, step in enumerate(order):
        near = [i - place.get(a, -_FAR) for a in step.arguments]
        mark = step.expression, tuple([d if d < _FAR else None for d in near]), step.dtype
        kinds.append(looks.setdefault(mark, len(looks)))
    # of the places where a part may end, the one whose surroundings come first in an order that is always the same
    order_of: dict[tuple[int, ...], bytes] = {}

    def surroundings(end: int) -> tuple[bytes, int]:
        window = tuple(kinds[end : end + 4])
        if window not in order_of:
            order_of[window] = sha256(repr(window).encode()).digest()
        return order_of[window], -end

    parts: list[list[Assign]] = []
    begin = 0
    while begin < len(order):
        total, end, candidates = 0, begin, []
        while end < len(order) and total < MOST:
            total += weights[end]
            end += 1
            if total >= LEAST:
                candidates.append(end)
        if end == len(order):
            parts.append(list(order[begin:]))
            break
        chosen = min(candidates, key=surroundings)
        parts.append(list(order[begin:chosen]))
        begin = chosen
    return parts


class Parts:
    """Writes the parts of one loop over a row, and how they are called.

    `address` writes where an operand's elements of the chunk begin; `chunk` is how many these are at most.
    """

    def __init__(
        self,
        parts: list[list[Assign]],
        loads: Sequence[Operand],
        back: dict[str, Operand],
        kept: dict[str, Operand],
        stores: Sequence[tuple[Operand, str]],
        folds: Sequence[Fold],
        address: Callable[[Operand], str],
        chunk: int,
    ) -> None:
        self.parts, self.back, self.kept, self.address = parts, back, kept, address
        self.loads = {f"v_{operand.name}": operand for operand in loads}
        self.made = {step.name: number for number, part in enumerate(parts) for step in part}
        self.dtypes = {step.name: step.dtype for part in parts for step in part}
        last_load = max(
            [0, *(n for n, part in enumerate(parts) if any(a in self.loads for step in part for a in step.arguments))]
        )
        last = len(parts) - 1
        #: What each part does besides: an argument may lie where a result does, which comes after its last reading.
        self.stores: list[list[tuple[Operand, str]]] = [[] for _ in parts]
        for operand, value in stores:
            self.stores[max(self.made.get(value, last), last_load)].append((operand, value))
        self.folds: list[list[Fold]] = [[] for _ in parts]
        for fold in folds:
            self.folds[self.made.get(fold.argument, last)].append(fold)
        self.slots: dict[str, tuple[str, int]] = {}
        self.rooms: dict[str, int] = {}
        self.again: list[list[Assign]] = [[] for _ in parts]
        wanted = [self._needed(number) for number in range(len(parts))]
        self._find_cheap(wanted)
        self._find_slots(wanted)
        size = sum(count * _size(dtype) for dtype, count in self.rooms.items())
        self.chunk = chunk
        while self.chunk > _SHORTEST and self.chunk * size > _MEMORY:
            self.chunk //= 2

    def _find_cheap(self, needed: list[list[str]]) -> None:
        """Find what a later part computes again rather than read it, from values that it reads anyway."""
        steps = {step.name: step for part in self.parts for step in part}
        for number, part in enumerate(self.parts):
            own = {step.name for step in part}
            wanted = [name for name in needed[number] if name in steps and name not in own]
            there = {name for name in wanted if _weight(steps[name]) > 1}
            for name in wanted:
                arguments = steps[name].arguments
                if name not in there and all(a in there or a not in self.made for a in arguments):
                    self.again[number].append(steps[name])

    def _needed(self, number: int) -> list[str]:
        """Give what a part reads of values for each element."""
        names = [a for step in self.parts[number] for a in step.arguments]
        names += [value for _, value in self.stores[number]] + [fold.argument for fold in self.folds[number]]
        names += [fold.place for fold in self.folds[number] if fold.apart]
        return list(dict.fromkeys(names))

    def _find_slots(self, needed: list[list[str]]) -> None:
        """Give what waits between parts a place each, which is another's when the last part that reads it is over."""
        until: dict[str, int] = {}
        for number in range(len(self.parts)):
            again = {step.name for step in self.again[number]}
            for name in needed[number]:
                if self.made.get(name, number) < number and name not in again:
                    until[name] = number
        free: dict[str, list[int]] = {}
        ending: dict[int, list[str]] = {}
        for number, part in enumerate(self.parts):
            for step in part:
                if step.name in until:
                    spare = free.setdefault(step.dtype, [])
                    if not spare:
                        spare.append(self.rooms.get(step.dtype, 0))
                        self.rooms[step.dtype] = spare[0] + 1
                    self.slots[step.name] = (step.dtype, spare.pop())
                    ending.setdefault(until[step.name], []).append(step.name)
            for name in ending.get(number, ()):
                dtype, slot = self.slots[name]
                free[dtype].append(slot)

    def written(self, functions: dict[str, str], combined: Callable[..., list[str]]) -> list[str]:
        """Write the calls of all parts; their texts are put into `functions`, equal ones once."""
        calls = []
        for number in range(len(self.parts)):
            text, given = self._part(number, combined)
            name = functions.setdefault(text, f"part{len(functions)}")
            calls.append(f"{name}({', '.join(['count', *given])})")
        return calls

    def _slot(self, name: str) -> str:
        dtype, slot = self.slots[name]
        return f"offset(wait_{dtype}, {slot * spaced(self.chunk, dtype)})"

    def _part(self, number: int, combined: Callable[..., list[str]]) -> tuple[str, list[str]]:
        """Write a part, with names that are the same in equal parts, and what it is given besides a count."""
        given: dict[str, str] = {}
        names: dict[str, str] = {}
        body: list[str] = []
        outputs = 0

        def parameter(text: str) -> str:
            return given.setdefault(text, f"x{len(given)}")

        def place(operand: Operand) -> tuple[str, str]:
            pointer = parameter(self.address(operand))
            if operand.picked and operand.inner == "0":
                return pointer, f"{named(operand.picked)} * {parameter(f'{operand.name}_pick')}"
            return pointer, f"j * {parameter(f'{operand.name}_inner')}" if operand.inner == "s" else "j"

        def loaded(operand: Operand) -> str:
            if not operand.bounds:
                return f"load({', '.join(place(operand))})"
            first = parameter(f"int64({operand.name}_first) - int64(start)")
            where = f"j, {first}, {parameter(f'{operand.name}_count')}"
            if operand.inner == "0":
                return f"within({parameter(f'w_{operand.name}')}, {where})"
            return f"load_within({', '.join(place(operand))}, {where})"

        def named(name: str) -> str:
            """Give what a value is called in the part, and read it if it comes from elsewhere."""
            if name in names:
                return names[name]
            if name in self.loads:
                operand = self.loads[name]
                read, dtype = loaded(operand), operand.dtype
            elif name in self.back:
                read, dtype = f"load({parameter(self.address(self.back[name]))}, j)", self.back[name].dtype
            elif name in self.made:
                read, dtype = f"load({parameter(self._slot(name))}, j)", self.dtypes[name]
            elif name.isidentifier() and name not in ("True", "False"):
                names[name] = parameter(name)  # the same all along the row
                return names[name]
            else:
                return name
            names[name] = f"n{len(names)}"
            body.append(f"{names[name]} = {read}" + (" != 0" if dtype == "bool" else ""))
            return names[name]

        def output(pointer: str, at: str, value: str) -> None:
            nonlocal outputs
            body.append(f"store_{min(outputs, OUTPUTS - 1)}({pointer}, {at}, {value})")
            outputs += 1

        for step in (*self.again[number], *self.parts[number]):
            arguments = [names.get(argument) or named(argument) for argument in step.arguments]
            names[step.name] = name = f"n{len(names)}"
            body += assigned_to(step, name, arguments)
        for step in self.parts[number]:
            if step.name in self.kept:
                output(parameter(self.address(self.kept[step.name])), "j", names[step.name])
            if step.name in self.slots:
                output(parameter(self._slot(step.name)), "j", names[step.name])
        for operand, value in self.stores[number]:
            text = f"{operand.dtype}({named(value)})"
            output(*place(operand), text)
        for fold in self.folds[number]:
            value = named(fold.argument)
            if fold.apart:
                output(parameter(f"{fold.place}_places"), "j", named(fold.place))
            if fold.apart or not (fold.place or fold.over == "column"):
                output(parameter(f"{fold.name}_values"), "j", value)
                continue
            which = min(outputs, OUTPUTS - 1)
            pointer = parameter(f"{fold.name}_column")
            outputs += 1
            old, put_back = f"load_back_{which}({pointer}, j)", f"store_{which}({pointer}, j, {{}})"
            body += combined(fold._replace(argument=value), old, put_back=put_back)
        head = f"({', '.join(['count', *given.values()])}):"
        return "\n".join([head, "    for j in range(count):", *indented(body, 2)]), list(given)


def texts(functions: dict[str, str]) -> list[str]:
    """Write the functions of parts."""
    return [f"def {name}{text}" for text, name in functions.items()]
