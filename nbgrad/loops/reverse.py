"""The way back: the derivative of a program by its inputs, as source of the same language.

The forward sweep runs the program as it is, and keeps what the way back cannot have otherwise. The way back runs the
loops with their counters backward and the branches that were taken; each statement hands the cotangent of what it gives
on to what it was made of. At the beginning of each turn stands what the turn's statements need: computed again where
that is cheap and its parts are at hand, and read from what was kept elsewhere.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from ..kernels import formula
from ..kernels.text import indented
from .independence import sum_of
from .language import (
    Assign,
    Block,
    Branch,
    Carried,
    Loop,
    Own,
    Product,
    Program,
    Statement,
    Store,
    Value,
    View,
    expression_of,
    leaves,
    names_in,
    text,
    written_form,
)
from .partials import Formula, written
from .pieces import Again, Pieces
from .writing import (
    adding,
    branching,
    copies,
    dtype_of,
    enclosed,
    first_made,
    is_term,
    making,
    nested,
    place_in,
    place_of,
)


class Reverse(Pieces):
    """The derivative of one program, by the parameters that are wanted; threads share loops over prange, if asked."""

    def __init__(self, program: Program, wanted: Sequence[bool], parallel: bool = False) -> None:
        super().__init__(program, wanted, parallel)
        #: Cotangents of numbers that something was added to already, and the blocks where they begin.
        self.started: set[str] = set()
        self.begun: dict[Block, list[str]] = {}
        #: Names of numbers that are only added to, whose cotangent is the same all along.
        self.summed: set[str] = set()

    def give(self, block: Block, key: str, source: str) -> list[str]:
        """Add to a number's cotangent."""
        bar = self.bar(key)
        sign = "+="
        if source.startswith("-") and is_term(source[1:]):
            sign, source = "-=", source[1:]
        if key in self.summed:
            return []
        if key in self.started:
            return [f"{bar} {sign} {source}"]
        self.started.add(key)
        home = self.home(key)
        if home is block:
            return [f"{bar} = {source}" if sign == "+=" else f"{bar} = -{source}"]
        self.begun.setdefault(home, []).append(f"{bar} = 0.0")
        return [f"{bar} {sign} {source}"]

    # ---- the whole ---------------------------------------------------------------------------------------------------

    def source(self, name: str) -> str:
        """Write the function: arguments and a cotangent for each result in, values and cotangents of arguments out."""
        program, body = self.program, self.program.body
        head = [*program.unpacked(), *copies(program)]
        results = program.outputs()
        cotangents = {
            place: self.name("cotangent" if len(results) == 1 else f"cotangent_{place}")
            for place, result in enumerate(results)
            if self._is_differentiable(result)
        }
        seeds = [
            (result.id, cotangents[place])
            for place, result in enumerate(results)
            if isinstance(result, ast.Name) and self.known.active(result.id)
        ]
        start: list[str] = []
        arrays: list[str] = []
        given: dict[str, int] = {}
        for key, seed in seeds:
            given[key] = given.get(key, 0) + 1
            value = self.values[key]
            if value.ndim is not None:
                arrays.append(f"matches({seed}, {key})")
            if value.ndim is None:
                start += self.give(body, key, seed)
            elif given[key] == 1 and not self.is_view(key):
                self.handed.add(key)
                arrays.append(f"{self.bar(key)} = {seed}.copy()")
            else:
                start.append(f"{self.bar(key)} += {seed}")
        back = self.block(body)
        before = [line for line in self.begun.get(body, [])]
        for parameter in program.parameters:
            if self.known.active(parameter.name) and parameter.ndim is not None and parameter.name not in self.handed:
                arrays.append(f"{self.bar(parameter)} = np.zeros({parameter}.shape, {dtype_of(parameter)})")
        arrays += self._cotangent_arrays(body)
        forward = self.forward.block(body)
        # the way back gives names that loops carry other values
        carried = {c.target.name for s in body.statements if isinstance(s, Loop) for c in s.carried}
        shown = []
        for r in results:
            shown.append(text(r))
            array = self.values.get(text(r))
            if array is not None and array.family is not None and (
                self.known.family(array) in self.known.restored or self.spoiled(text(r))
            ):  # fmt: skip
                shown[-1] = self.name("value")
                forward.append(f"{shown[-1]} = {text(r)}.copy()")
            elif text(r) in carried and (self.values[text(r)].ndim is None or self.program.replays):
                shown[-1] = self.name("value")
                forward.append(f"{shown[-1]} = {text(r)}")
        found: dict[str, str] = {}
        for parameter, wants in zip(program.parameters, self.wanted, strict=True):
            if not wants or not parameter.floating:
                found[parameter.name] = "None"
            elif parameter.ndim is not None:
                there = self.known.active(parameter.name)
                found[parameter.name] = (
                    self.bar(parameter) if there else f"np.zeros({parameter}.shape, {dtype_of(parameter)})"
                )
            elif parameter.name in self.started:
                found[parameter.name] = f"{parameter.dtype}({self.bar(parameter)})"
            else:
                found[parameter.name] = f"{parameter.dtype}(0.0)"
        gradients = [
            "None" if all(found[leaf] == "None" for leaf in leaves(form)) else written_form(form, found.__getitem__)
            for _, form in program.arguments
        ]
        lines = [
            *head, *self.tapes(body), *first_made(program), *forward, "# the way back", *before, *arrays, *start, *back,
            f"return {nested(program, shown)}, ({', '.join(gradients)},)",
        ]  # fmt: skip
        arguments = ", ".join([*(argument for argument, _ in program.arguments), *cotangents.values()])
        return "\n".join([f"def {name}({arguments}):", *indented(lines)]) + "\n"

    def _is_differentiable(self, result: ast.expr) -> bool:
        value = self.values.get(text(result))
        return (isinstance(result, ast.Constant) and isinstance(result.value, float)) or (
            value is not None and value.floating
        )

    # ---- blocks ------------------------------------------------------------------------------------------------------

    def block(self, block: Block) -> list[str]:
        """Write the way back through a block."""
        lines: list[str] = []
        for statement in reversed(block.statements):
            lines += self.statement(statement)
        return lines

    def inner(self, block: Block, head: list[str], given: list[str]) -> list[str]:
        """Write the way back through a loop's body or a branch, with what it needs at its beginning.

        `head` comes before its cotangents begin, and `given` is added to them first.
        """
        lines = self.block(block)
        arrays = self._cotangent_arrays(block)
        begun = self.begun.get(block, [])
        return [*self.at_hand(block), *head, *begun, *arrays, *given, *lines]

    def _cotangent_arrays(self, block: Block) -> list[str]:
        """Write the cotangents of the arrays that a block makes, in the order in which it makes them."""
        lines: list[str] = []
        for statement in block.statements:
            for value in statement.gives():
                if value.ndim is None or not self.known.active(value.name) or value.name in self.handed:
                    continue
                if isinstance(statement, View):
                    taken = expression_of(text(statement.value))
                    base = statement.base.name
                    for inner in ast.walk(taken):
                        if isinstance(inner, ast.Name) and inner.id == base:
                            inner.id = self.bar(base)
                    self.need(block, *(n for n in ast.walk(statement.value) if getattr(n, "id", base) != base))
                    lines.append(f"{self.bar(value)} = {text(taken)}")
                else:
                    self.need(block, *value.sizes)
                    lines.append(making(self.program, value, self.bar(value), "zeros"))
        return lines

    # ---- statements --------------------------------------------------------------------------------------------------

    def statement(self, statement: Statement) -> list[str]:
        """Write the way back through a statement."""
        block = statement.block
        match statement:
            case Assign(target=target, value=value):
                if not self.known.active(target.name) or target.name not in self.started:
                    return []
                return self._assign(block, target, value)
            case Store(array=array, index=index, value=value, adds=adds):
                undone = self.undone(statement)
                if not self.known.active(array.name):
                    return undone
                self.need(block, *index)
                element = f"{self.bar(array)}[{place_of(index)}]"
                lines = []
                if isinstance(value, ast.Name) and self.known.active(value.id):
                    lines += self.give(block, value.id, element)
                elif not isinstance(value, ast.Name | ast.Constant) and names_in(value):
                    lines += self._assign(block, array, value, element)
                if not adds:
                    lines.append(f"{element} = 0.0")
                return lines + undone
            case Product(target=target, left=left, right=right):
                return self._product(statement, target, left, right)
            case Own():
                return self._own(statement)
            case Branch():
                return self._branch(statement)
            case Loop():
                return self._loop(statement)
        return []

    def _assign(self, block: Block, target: Value, value: ast.expr, seed: str | None = None) -> list[str]:
        dtype = target.dtype
        made = Formula(value, self.values, self.known.active)
        count = len(made.leaves)
        names = {count: seed or self.bar(target), count + 1: target.name}
        shares = made.pulled(formula.variable(count))
        itself = {} if seed else {made.root: formula.variable(count + 1)}
        places = [place for place, leaf in enumerate(made.leaves) if leaf.active and place in shares]
        roots = [formula.substitute(shares[place], itself) if itself and made.root.function is not None
                 and formula.cost([made.root]) > 3 else shares[place] for place in places]  # fmt: skip
        used = formula.inputs_of(roots)
        for place in used:
            if place == count + 1:
                self.need(block, ast.Name(target.name, ast.Load()))
            elif place < count:
                leaf = made.leaves[place]
                written_as = text(leaf.node)
                whole = leaf.kind == formula.NUMBER and not self._is_floating(leaf.node)
                names[place] = f"{dtype}({written_as})" if whole else enclosed(written_as)
                self.need(block, leaf.node)
        for place in places:
            node = made.leaves[place].node
            if isinstance(node, ast.Subscript):
                self.need(block, node.slice)
        lines, texts = written(roots, dtype, names, self._prefix())
        for place, source in zip(places, texts, strict=True):
            node = made.leaves[place].node
            if isinstance(node, ast.Name):
                lines += self.give(block, node.id, source)
            else:
                assert isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
                lines.append(adding(f"{self.bar(node.value.id)}[{place_in(node.slice)}]", source))
        return lines

    def _prefix(self) -> str:
        count = 0
        while any(key.startswith(f"p{count}_") for key in (*self.values, *self.taken)):
            count += 1
        prefix = f"p{count}_"
        self.taken.add(prefix)
        return prefix

    def _is_floating(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name) and node.id in self.values:
            return self.values[node.id].floating
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in self.values:
            return self.values[node.value.id].floating
        return False

    def _product(self, statement: Statement, target: Value, left: Value, right: Value) -> list[str]:
        if not self.known.active(target.name):
            return []
        lines = []
        for array in (left, right):
            if not self.known.stable(statement, array):
                raise Again
        bar = self.bar(target)
        if self.known.active(left.name):
            lines.append(f"{self.bar(left)} += np.dot({bar}, {right}.T)")
        if self.known.active(right.name):
            lines.append(f"{self.bar(right)} += np.dot({left}.T, {bar})")
        return lines

    def _own(self, statement: Own) -> list[str]:
        block, (target,) = statement.block, statement.targets
        if target.name not in self.started or not self.known.active(target.name):
            return []
        self.need(block, *statement.arguments, ast.Name(target.name, ast.Load()))
        found = [self.name(f"{target}_share") for _ in statement.arguments]
        given = ", ".join([self.bar(target), target.name, *map(text, statement.arguments)])
        several = ", ".join(found) + ("," if len(found) == 1 else "")
        lines = [f"{several} = {statement.rule}({given})"]
        for share, argument in zip(found, statement.arguments, strict=True):
            if isinstance(argument, ast.Name) and self.known.active(argument.id):
                lines += self.give(block, argument.id, share)
        return lines

    def _branch(self, statement: Branch) -> list[str]:
        ways = []
        scalars = [m for m in statement.merged if m.target.ndim is None and m.target.name in self.started
                   and self.known.active(m.target.name)]  # fmt: skip
        arrays = [m for m in statement.merged if m.target.ndim is not None and self.known.active(m.target.name)]
        for block, side in ((statement.first, "first"), (statement.second, "second")):
            head = []
            for merged in scalars:
                given = getattr(merged, side)
                if isinstance(given, ast.Name) and self.known.active(given.id):
                    head += self.give(block, given.id, self.bar(merged.target))
            for merged in arrays:
                given = getattr(merged, side)
                if isinstance(given, ast.Name):
                    head += self._hand(statement, block, given.id, self.bar(merged.target))
            ways.append(self.inner(block, [], head))
        if not any(ways):
            return []
        self.need(statement.block, statement.condition)
        return branching(text(statement.condition), *ways)

    # ---- loops -------------------------------------------------------------------------------------------------------

    def _loop(self, loop: Loop) -> list[str]:
        outer = loop.block
        lines: list[str] = []
        numbers = [c for c in loop.carried if c.target.ndim is None and self.known.active(c.target.name)]
        arrays = [c for c in loop.carried if c.target.ndim is not None and self.known.active(c.target.name)]
        numbers = [c for c in numbers if c.target.name not in self.summed]
        for carried in numbers:
            if carried.target.name not in self.started:
                lines.append(f"{self.bar(carried.target)} = 0.0")
                self.started.add(carried.target.name)
        sums = [c for c in numbers if self._sums(loop, c)]
        numbers = [c for c in numbers if c not in sums]
        head: list[str] = []
        late: list[tuple[ast.Name, str]] = []
        inside = {c.target.name for c in loop.carried}
        direct: set[str] = set()
        for carried in numbers:
            after, bar = carried.after, self.bar(carried.target)
            if not isinstance(after, ast.Name) or not self.known.active(after.id):
                continue
            if self.values[after.id].block is loop.body and after.id not in inside and after.id not in direct:
                direct.add(after.id)
                head += self.give(loop.body, after.id, bar)
            else:
                passed = self.name(f"{carried.target}_passed")
                head.append(f"{passed} = {bar}")
                late.append((after, passed))
        for carried in numbers:
            self.started.discard(carried.target.name)
            self.homes[carried.target.name] = loop.body
        given: list[str] = []
        for after, passed in late:
            given += self.give(loop.body, after.id, passed)
        moved, added = self._hand_arrays(loop, arrays)
        body = self.inner(loop.body, head + moved, given + added)
        for carried in numbers:
            if carried.target.name not in self.started:
                body.append(f"{self.bar(carried.target)} = 0.0")
            self.started.add(carried.target.name)
            del self.homes[carried.target.name]
        if not body:
            for carried in sums:
                lines += self._before(outer, carried)
            return lines if sums else []
        top = self.tops(loop)
        if top:
            lines.append(f"{top} -= {self.turns(loop)}")
        lines += self.turns_back(loop, body)
        for carried in numbers + sums:
            lines += self._before(outer, carried)
        for carried in arrays:
            if isinstance(carried.before, ast.Name):
                key = carried.before.id
                if self.used_later(loop, key) and self.written_after(loop, carried.target):
                    names = f"{self.known_as(key)} and {self.known_as(carried.target.name)}"
                    raise self.refuse(loop, f"an array with two names, {names}, that is written to")
                lines.append(f"{self.bar(key)} += {self.bar(carried.target)}")
        return lines

    def _before(self, outer: Block, carried: Any) -> list[str]:
        if isinstance(carried.before, ast.Name) and self.known.active(carried.before.id):
            return self.give(outer, carried.before.id, self.bar(carried.target))
        return []

    def _sums(self, loop: Loop, carried: Carried) -> bool:
        """Have all names of a sum share one cotangent, which no turn changes, if what a loop carries is one."""
        names = sum_of(loop, carried.target.name, carried.after)
        if names is None:
            return False
        for key in names:
            self.bars[key] = self.bar(carried.target)
        self.started |= names
        self.summed |= names
        return True
