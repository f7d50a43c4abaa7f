"""Arrays that have several names, as what loops carry and branches give; arrays whose elements are put back."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from .keeping import Keeping
from .language import Block, Loop, Program, Statement, Store, Value, View, expression_of, maker, names_in
from .writing import dtype_of, place_of, shaped, updates


class Aliases(Keeping):
    """Tells whether the memory of an array may be written to under one name and read under another."""

    def __init__(self, program: Program, wanted: Sequence[bool]) -> None:
        super().__init__(program, wanted)
        #: Arrays whose cotangent's memory is handed on from what they become.
        self.handed: set[str] = set()
        self.homes: dict[str, Block] = {}

    def home(self, key: str) -> Block:
        """Give the block in which a number's cotangent begins."""
        if key in self.homes:
            return self.homes[key]
        value = self.values[key]
        block = value.block or self.program.body
        owner = block.owner
        if isinstance(owner, Loop) and key in {c.target.name for c in owner.carried}:
            return owner.block
        return block

    def is_view(self, key: str) -> bool:
        block = self.values[key].block
        statements = block.statements if block is not None else []
        return any(isinstance(s, View) and s.target.name == key for s in statements)

    def written_after(self, statement: Statement, value: Value) -> bool:
        """Tell whether elements of an array may be written to under one name, and read under another."""
        loops = statement.block.loops()
        if isinstance(statement, Loop):
            loops = [statement, *loops]
        for store in self.known.stores.get(self.known.family(value), ()):
            assert isinstance(store, Store)
            made = maker(store.array)
            if made is not None and any(made.block.inside(block) for block in statement.blocks()):
                continue  # it has no other name yet
            if store.order > statement.order and (made is None or made.order < statement.order):
                return True
            shared = [loop for loop in store.block.loops() if loop in loops]
            if any(made is None or not made.block.inside(loop.body) for loop in shared):
                return True
        return False

    def used_later(self, loop: Loop, key: str) -> bool:
        """Tell whether an array is named in a loop, or behind it, by the name that it had before."""
        last = max([s.order for s in loop.body.walk()], default=loop.order)
        # what a loop around carries has this name in one turn only, and is another array behind
        block = self.values[key].block
        around = block.owner if block is not None else None
        turn = isinstance(around, Loop) and loop.block.inside(around.body)
        turn = turn and key in {c.target.name for c in around.carried}  # type: ignore[union-attr]
        if turn and any(key in names_in(c.after) for c in around.carried):  # type: ignore[union-attr]
            return True
        for statement in (around.body if turn else self.program.body).walk():  # type: ignore[union-attr]
            if statement is loop or statement.order < loop.order:
                continue
            names = names_in(*statement.expressions())
            if isinstance(statement, Store):
                names.add(statement.array.name)
            if isinstance(statement, View):
                names.add(statement.base.name)
            if isinstance(statement, Loop) and statement.order <= last:
                names |= {n for c in statement.carried for n in names_in(c.after)}
            if key in names:
                return True
        return (
            any(c.before.id == key for c in loop.carried if isinstance(c.before, ast.Name))
            and sum(isinstance(c.before, ast.Name) and c.before.id == key for c in loop.carried) > 1
        ) or (not turn and any(key in names_in(result) for result in self.program.outputs()))

    def undone(self, statement: Store) -> list[str]:
        """Write what puts back the element that a store took the place of, where elements are read on the way back."""
        array = statement.array
        if self.known.family(array) not in self.known.restored:
            return []
        key = self.name(f"{array}_before")
        self.values[key] = Value(key, array.dtype)
        self.replaced[statement] = key
        block = statement.block
        self.need(block, *statement.index, ast.Name(array.name, ast.Load()))
        loops = block.loops()
        if not loops:
            return [f"{array}[{place_of(statement.index)}] = {key}"]
        self.kept[key] = loops[0]
        return [f"{array}[{place_of(statement.index)}] = {self.tape(key)}[{self.slot(loops[0])}]"]

    def restores(self, loop: Loop) -> bool:
        """Tell whether elements are put back in a loop."""
        return any(statement in self.replaced for statement in loop.body.walk())

    def _hand(self, statement: Statement, block: Block, key: str, bar: str) -> list[str]:
        """Hand the cotangent of an array on to the array that it was."""
        value = self.values[key]
        if self.home(key) is block and not self.is_view(key) and key not in self.handed:
            self.handed.add(key)
            return [f"{self.bar(key)} = {bar}"]
        if self.written_after(statement, value):
            raise self.refuse(
                statement, f"an array with two names, {self.known_as(key)} one of them, that is written to"
            )
        return [f"{self.bar(key)} += {bar}"]

    def _hand_arrays(self, loop: Loop, arrays: list[Any]) -> tuple[list[str], list[str]]:
        """Write how, at the end of a turn, the cotangents of arrays that are carried become those of what they were."""
        moved: list[tuple[str, ast.expr]] = []
        lines: list[str] = []
        carried_names = {c.target.name for c in arrays}
        filled: set[str] = set()
        added: list[str] = []
        for carried in arrays:
            assert isinstance(carried.after, ast.Name)
            key, bar = carried.after.id, self.bar(carried.target)
            value = self.values[key]
            if key in filled:
                raise self.refuse(loop, f"an array that {self.known_as(key)} and another name stand for after a turn")
            if key in carried_names:
                filled.add(key)
                moved.append((self.bar(key), ast.Name(bar, ast.Load())))
            elif self.home(key) is loop.body and not self.is_view(key):
                filled.add(key)
                self.handed.add(key)
                moved.append((self.bar(key), ast.Name(bar, ast.Load())))
            else:
                if self.written_after(loop, value):
                    raise self.refuse(
                        loop, f"an array with two names, {self.known_as(key)} one of them, that is written to"
                    )
                passed = self.name(f"{carried.target}_passed")
                lines.append(f"{passed} = {bar}")
                added.append(f"{self.bar(key)} += {passed}")
        for carried in arrays:
            if carried.target.name not in filled:
                self.need(loop.body if carried.inside else loop.block, *carried.sizes)
                fresh = expression_of(f"np.zeros({shaped(carried.sizes)}, {dtype_of(carried.target)})")
                moved.append((self.bar(carried.target), fresh))
        # what comes from a cotangent that is handed on must be read before that is given anew
        order = updates(moved)
        if len(order) > 1:
            fresh_last = [line for line in order if "np.zeros(" not in line] + [
                line for line in order if "np.zeros(" in line
            ]
            order = fresh_last
        return [*lines, *order], added
