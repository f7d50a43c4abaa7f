"""What the way back needs to know of the way forward: computed again, or kept.

At the beginning of each turn of a loop that runs backward stands what the turn's statements need: computed again where
that is cheap and its parts are at hand, and read from what was kept elsewhere. Outside of loops everything is at hand.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..kernels.text import indented
from .analysis import Analysis
from .language import Assign, Block, Branch, Loop, Program, Statement, Store, Value, View, names_in, text
from .syntax import refuse
from .writing import Forward, dtype_of, enclosed, head_of, place_of, range_of


class Keeping:
    """The names of a derivative, what it needs in each block, and what it keeps for that."""

    def __init__(self, program: Program, wanted: Sequence[bool]) -> None:
        self.program, self.wanted = program, program.by_parameter(wanted)
        self.known = Analysis(program, self.wanted)
        self.values = program.values
        self.bars: dict[str, str] = {}
        self.taken: set[str] = set()
        #: Values that the way back needs; those that it finds kept, with the loop whose turns they are kept for.
        self.needed: set[str] = set()
        self.needed_inside: set[tuple[Loop, str]] = set()
        self.kept: dict[str, Loop] = {}
        self.kept_inside: dict[str, Loop] = {}
        self.kept_whole: dict[str, Loop] = {}  # arrays from outside, all elements of them
        #: What the elements that stores took the place of are called.
        self.replaced: dict[Statement, str] = {}
        self.forward = Sweep(self)

    # ---- names -------------------------------------------------------------------------------------------------------

    def name(self, wish: str) -> str:
        """Give a name that the program does not have."""
        made, count = wish, 0
        while made in self.values or made in self.taken or made in self.program.constants:
            count += 1
            made = f"{wish}_{count}"
        self.taken.add(made)
        return made

    def bar(self, value: Value | str) -> str:
        """Give the name of a value's cotangent."""
        key = str(value)
        if key not in self.bars:
            self.bars[key] = self.name(f"{key}_bar")
        return self.bars[key]

    def bar_like(self, key: str, what: str) -> str:
        """Give a name made of a value's."""
        known = f"{what} {key}"
        if known not in self.bars:
            self.bars[known] = self.name(f"{key}_{what}")
        return self.bars[known]

    def refuse(self, statement: Statement, construct: str) -> TypeError:
        return refuse(self.program.name, statement.line, construct, "write to a copy of it, and read that")

    def known_as(self, key: str) -> str:
        """Give what the user calls a value, of whose names each binding has one."""
        stem, _, count = key.rpartition("_")
        return repr(stem if count.isdigit() and stem in self.values else key)

    # ---- what is needed ------------------------------------------------------------------------------------------

    def need(self, block: Block, *nodes: ast.AST | None) -> None:
        """Have the names of expressions at hand in a block on the way back."""
        for key in names_in(*nodes):
            value = self.values.get(key)
            if value is None or value.block is None:
                continue
            owner = value.block.owner
            if isinstance(owner, Loop) and key in {c.target.name for c in owner.carried}:
                if block.inside(owner.body):
                    self.needed_inside.add((owner, key))
                    continue
            self.needed.add(key)

    def at_hand(self, block: Block) -> list[str]:
        """Write what gives a turn the values that it needs."""
        lines: list[str] = []
        loop = block.loops()[0] if block.loops() else None
        if loop is None:
            return []
        for statement in reversed(block.statements):
            wanted = [value for value in statement.gives() if value.name in self.needed]
            if not wanted:
                continue
            if self.known.repeatable(statement) and not self._better_kept(block, statement):
                lines = [*Forward(self.program).statement(statement), *lines]
                self._need_all(block, statement)
                continue
            for value in wanted:
                if value.ndim is not None:
                    raise self.refuse(
                        statement, f"the array {self.known_as(value.name)}, which is needed on the way back,"
                    )
                self.kept[value.name] = loop
                lines.insert(0, f"{value} = {self.tape(value.name)}[{self.slot(loop)}]")
        if block is loop.body:
            for carried in loop.carried:
                if (loop, carried.target.name) in self.needed_inside:
                    if carried.target.ndim is not None:
                        known = self.known_as(carried.target.name)
                        raise self.refuse(loop, f"the array {known}, which is needed on the way back,")
                    self.kept_inside[carried.target.name] = loop
                    lines.insert(0, f"{carried.target} = {self.tape(carried.target.name, True)}[{self.slot(loop)}]")
        return lines

    def _better_kept(self, block: Block, statement: Statement) -> bool:
        """Tell whether to keep what a statement gives takes less than to keep what it is made of."""
        if not isinstance(statement, Assign):
            return False
        missing = sum(not self._at_no_cost(block, key) for key in names_in(statement.value))
        return missing > (0 if statement.target.dtype == "bool" else 1)

    def _at_no_cost(self, block: Block, key: str, depth: int = 0) -> bool:
        """Tell whether a value is at hand on the way back anyway, or can be computed from such."""
        value = self.values.get(key)
        if value is None or value.block is None or not value.block.loops() or key in self.needed:
            return True
        owner = value.block.owner
        if isinstance(owner, Loop):
            if key == str(owner.counter) or (owner, key) in self.needed_inside:
                return True
            if key in {c.target.name for c in owner.carried}:
                return False
        for statement in value.block.statements:
            if value in statement.gives():
                return (
                    depth < 8
                    and self.known.repeatable(statement)
                    and all(self._at_no_cost(block, inner, depth + 1) for inner in names_in(*statement.expressions()))
                )
        return False

    def _need_all(self, block: Block, statement: Statement) -> None:
        """Need what a statement that is run again is made of."""
        self.need(block, *statement.expressions())
        inside = {value.name for inner in statement.blocks() for s in inner.walk() for value in s.gives()}
        if isinstance(statement, Loop):
            inside |= {c.target.name for c in statement.carried} | {str(statement.counter)}
        for inner in statement.blocks():
            for s in inner.walk():
                self.need(block, *(ast.Name(n, ast.Load()) for n in names_in(*s.expressions()) - inside))
        if isinstance(statement, Branch):
            for m in statement.merged:
                self.need(block, *(ast.Name(n, ast.Load()) for n in names_in(m.first, m.second) - inside))
        if isinstance(statement, View):
            self.need(block, ast.Name(statement.base.name, ast.Load()))

    # ---- what is kept --------------------------------------------------------------------------------------------

    def count(self, loop: Loop) -> str:
        """Give the name of the number of turns before a turn."""
        if not hasattr(loop, "count"):
            loop.count = self.name("turn")  # type: ignore[attr-defined]
        return loop.count  # type: ignore[attr-defined]

    def slot(self, loop: Loop) -> str:
        """Write the place of a turn among all turns of a loop."""
        if loop.simple and text(loop.bounds[2]) == "1":
            start = text(loop.bounds[0])
            place = str(loop.counter) if start == "0" else f"{loop.counter} - {enclosed(start)}"
            if start != "0":
                self.need(loop.block, loop.bounds[0])
        else:
            place = self.count(loop)
        return f"{self.top(loop)} + {place}" if self.nested(loop) else place

    def top(self, loop: Loop) -> str:
        if not hasattr(loop, "top"):
            loop.top = self.name(f"{loop.counter or 'turn'}_top")  # type: ignore[attr-defined]
        return loop.top  # type: ignore[attr-defined]

    def nested(self, loop: Loop) -> bool:
        return bool(loop.block.loops())

    def keeps(self, loop: Loop) -> bool:
        return any(loop in kept.values() for kept in (self.kept, self.kept_inside, self.kept_whole))

    def inside_kept(self, loop: Loop) -> bool:
        """Tell whether loops inside a loop keep something, of which the last comes first."""
        return any(isinstance(s, Loop) and self.keeps(s) for s in loop.body.walk())

    def tops(self, loop: Loop) -> str:
        """Give the name of where a loop's turns are kept, empty if it keeps nothing or begins at 0."""
        return self.top(loop) if self.keeps(loop) and self.nested(loop) else ""

    def shared_forward(self, loop: Loop, lines: list[str]) -> list[str]:
        """Give the lines of a loop, shared among threads where it may be."""
        return lines

    def turns(self, loop: Loop) -> str:
        return f"len({range_of(loop)})" if loop.simple else str(loop.turns)

    def hint(self, loop: Loop) -> str:
        """Write how many turns there may be in all, if as many as now come in each turn of the loops around."""
        outer = loop.block.loops()
        if not all(other.simple for other in outer):
            return "0"
        return " * ".join(self.turns(other) for other in (loop, *outer))

    def tape(self, key: str, inside: bool = False) -> str:
        return self.bar_like(key, "at_start" if inside else "kept")

    def tapes_of(self, loop: Loop) -> list[tuple[str, Value]]:
        found = [(self.tape(key), self.values[key]) for key, at in self.kept.items() if at is loop]
        for kept in (self.kept_inside, self.kept_whole):
            found += [(self.tape(key, True), self.values[key]) for key, at in kept.items() if at is loop]
        return sorted(found, key=lambda pair: pair[0])

    def tapes(self, block: Block) -> list[str]:
        """Write what is kept as empty arrays, which grow; those of loops in no other are made where these begin."""
        lines: list[str] = []
        for loop in (s for s in block.once() if isinstance(s, Loop)):
            if self.tops(loop):
                lines.append(f"{self.top(loop)} = 0")
            if self.nested(loop) or not loop.simple:
                lines += [
                    f"{tape} = np.empty({self.room(loop, value, '0')}, {dtype_of(value)})"
                    for tape, value in self.tapes_of(loop)
                    if value.ndim is None
                ]
        return lines

    def room(self, loop: Loop, value: Value, turns: str) -> str:
        """Write the shape of what a value is kept in for some turns of a loop."""
        if value.ndim is None:
            return turns
        like = next((text(c.before) for c in loop.carried if c.target is value), str(value))
        return f"({turns},) + {like}.shape"

    def keep(self, statement: Statement, begins: bool) -> list[str]:
        """Write what keeps the values that a statement gave."""
        lines: list[str] = []
        if begins:
            assert isinstance(statement, Loop)
            if not statement.simple:
                place = self.slot(statement) if self.keeps(statement) else ""
                for tape, value in self.tapes_of(statement):
                    more = f"grown({tape}, {place} + 1, 0)" if value.ndim is None else f"rows({tape}, {place} + 1)"
                    lines.append(f"{tape} = {more}")
            begins_with = [c.target.name for c in statement.carried if self.kept_inside.get(c.target.name) is statement]
            begins_with += [key for key, loop in self.kept_whole.items() if loop is statement]
            changing = [c.target.name for c in statement.carried if c.inside and c.target.name in begins_with]
            lines += [f"fits({self.tape(key, True)}, {key})" for key in changing]
            return lines + [f"{self.tape(key, True)}[{self.slot(statement)}] = {key}" for key in begins_with]
        for value in statement.gives():
            loop = self.kept.get(value.name)
            if loop is not None:
                lines.append(f"{self.tape(value.name)}[{self.slot(loop)}] = {value}")
        return lines


class Sweep(Forward):
    """The way forward with what it keeps."""

    def __init__(self, reverse: Keeping) -> None:
        super().__init__(reverse.program, reverse.keep)
        self.reverse = reverse

    def statement(self, statement: Statement) -> list[str]:
        """Write a statement, and before stores what they take the place of."""
        lines = super().statement(statement)
        key = self.reverse.replaced.get(statement)
        if key is None:
            return lines
        assert isinstance(statement, Store)
        element = f"{statement.array}[{place_of(statement.index)}]"
        loops = statement.block.loops()
        if not loops:
            return [f"{key} = {element}", *lines]
        return [f"{self.reverse.tape(key)}[{self.reverse.slot(loops[0])}] = {element}", *lines]

    def loop(self, statement: Loop) -> list[str]:
        """Write a loop, with memory for what is kept of its turns."""
        back = self.reverse
        if statement.replayed:  # what is in it is kept when it is run again
            plain = Forward(self.program, lambda s, begins: back.keep(s, True) if begins and s is statement else [])
            plain.skipped = self.skipped
            lines = plain.loop(statement)
        else:
            lines = super().loop(statement)
        if not back.keeps(statement):
            return back.shared_forward(statement, lines)
        head = next(place for place, line in enumerate(lines) if line == head_of(statement))
        before: list[str] = []
        for tape, value in back.tapes_of(statement):
            if not statement.simple:
                if value.ndim is not None:
                    before.append(f"{tape} = np.empty({back.room(statement, value, '0')}, {dtype_of(value)})")
            elif back.nested(statement):
                turns = back.turns(statement)
                before.append(f"{tape} = grown({tape}, {back.top(statement)} + {turns}, {back.hint(statement)})")
            else:
                room = back.room(statement, value, back.turns(statement))
                before.append(f"{tape} = np.empty({room}, {dtype_of(value)})")
        counted = not (statement.simple and text(statement.bounds[2]) == "1")
        body: list[str] = []
        if counted:
            before.append(f"{back.count(statement)} = 0")
            body = lines[head + 1 :]
            # before the line that may break
            place = len(body) - (2 if statement.stop is not None else 0)
            body[place:place] = indented([f"{back.count(statement)} += 1"])
            lines[head + 1 :] = body
        behind = []
        if back.tops(statement):
            behind.append(f"{back.top(statement)} += {back.turns(statement)}")
        return [*back.shared_forward(statement, [*lines[:head], *before, *lines[head:]]), *behind]
