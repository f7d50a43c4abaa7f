"""Arrays that have several names, as what loops carry and branches give; arrays whose elements are put back."""

from __future__ import annotations

import ast

from .keeping import Keeping
from .language import Allocate, Block, Loop, Product, Statement, Store, Value, View, names_in
from .writing import place_of


class Aliases(Keeping):
    """Tells whether the memory of an array may be written to under one name and read under another."""

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
            made = self.made_in(store.array)
            if made is not None and any(made.inside(block) for block in statement.blocks()):
                continue  # it has no other name yet
            if store.order > statement.order:
                return True
            shared = [loop for loop in store.block.loops() if loop in loops]
            if any(made is None or not made.inside(loop.body) for loop in shared):
                return True
        return False

    def made_in(self, array: Value) -> Block | None:
        """Give the block in which an array is made, or the array that it is a view of; None for others."""
        while array.block is not None:
            for statement in array.block.statements:
                if isinstance(statement, View) and statement.target is array:
                    array = statement.base
                    break
                if isinstance(statement, Allocate | Product) and statement.target is array:
                    return array.block
            else:
                return None
        return None

    def used_later(self, loop: Loop, key: str) -> bool:
        """Tell whether an array is named in a loop, or behind it, by the name that it had before."""
        last = max([s.order for s in loop.body.walk()], default=loop.order)
        for statement in self.program.body.walk():
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
        ) or any(key in names_in(result) for result in self.program.outputs())

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
