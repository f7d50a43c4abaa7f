"""Tangents: a program that computes, beside each value that depends on the inputs, the derivative along a direction."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..kernels import formula
from ..kernels.text import indented
from .analysis import Analysis
from .language import (
    Allocate,
    Assign,
    Branch,
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
    text,
    written_form,
)
from .partials import Formula, written
from .writing import (
    Forward,
    branching,
    copies,
    dtype_of,
    first_made,
    head_of,
    making,
    nested,
    place_of,
    updates,
)


class Tangent(Forward):
    """The derivative of one program along directions of the parameters that are wanted."""

    def __init__(self, program: Program, wanted: Sequence[bool]) -> None:
        super().__init__(program)
        self.wanted = program.by_parameter(wanted)
        self.known = Analysis(program, self.wanted)
        self.values = program.values
        self.dots: dict[str, str] = {}
        self.taken: set[str] = set()

    def name(self, wish: str) -> str:
        """Give a name that the program does not have."""
        made, count = wish, 0
        while made in self.values or made in self.taken or made in self.program.constants:
            count += 1
            made = f"{wish}_{count}"
        self.taken.add(made)
        return made

    def dot(self, value: Value | str) -> str:
        """Give the name of a value's tangent."""
        key = str(value)
        if key not in self.dots:
            self.dots[key] = self.name(f"{key}_dot")
        return self.dots[key]

    def active(self, node: ast.AST | Value | None) -> bool:
        """Tell whether a name has a tangent."""
        key = node.id if isinstance(node, ast.Name) else node.name if isinstance(node, Value) else ""
        return self.known.active(key)

    def _tangent_of(self, node: ast.expr | None, like: Value) -> str:
        """Write the tangent of what is carried or merged."""
        if self.active(node):
            assert isinstance(node, ast.Name)
            return self.dot(node.id)
        return "0.0" if like.ndim is None else f"np.zeros({text(node)}.shape, {dtype_of(like)})"  # type: ignore[arg-type]

    def source(self, name: str) -> str:
        """Write the function: arguments and their tangents in, values and their tangents out."""
        program = self.program
        head = [*program.unpacked(), *copies(program)]
        arguments = [argument for argument, _ in program.arguments]
        moving = {p.name for p, wants in zip(program.parameters, self.wanted, strict=True) if wants and p.floating}
        for argument, form in program.arguments:
            if not moving & set(leaves(form)):
                continue
            if not isinstance(form, tuple):
                arguments.append(self.dot(form))
                continue
            # the tangent of a tuple is one, in which nothing is asked of what does not move
            arguments.append(self.name(f"{argument}_dot"))
            head.append(f"{written_form(form, self.dot)} = {arguments[-1]}")
        for parameter in program.parameters:
            if parameter.name not in moving:
                if self.active(parameter):
                    head.append(f"{self.dot(parameter)} = np.zeros({parameter}.shape, {dtype_of(parameter)})")
            elif parameter in program.written:
                head.append(f"{self.dot(parameter)} = {self.dot(parameter)}.copy()")
        body = self.block(program.body)
        values, tangents = [], []
        results = program.outputs()
        for result in results:
            values.append(text(result))
            if isinstance(result, ast.Constant) and result.value is None:
                tangents.append("None")
            elif self.active(result):
                tangents.append(self.dot(result.id))  # type: ignore[attr-defined]
            else:
                value = self.values.get(text(result))
                number = value is None or value.ndim is None
                dtype = "float64" if value is None or not value.floating else value.dtype
                tangents.append(f"{dtype}(0.0)" if number else f"np.zeros({text(result)}.shape, np.{dtype})")
        lines = [*head, *first_made(program), *body, f"return {nested(program, values)}, {nested(program, tangents)}"]
        return "\n".join([f"def {name}({', '.join(arguments)}):", *indented(lines)]) + "\n"

    # ---- statements --------------------------------------------------------------------------------------------------

    def statement(self, statement: Statement) -> list[str]:
        """Write a statement and what is beside it."""
        match statement:
            case Assign(target=target, value=value):
                lines = super().statement(statement)
                return lines + self._assign(target, value) if self.active(target) else lines
            case Store(array=array, index=index, value=value, adds=adds):
                lines = super().statement(statement)
                if self.active(array):
                    given = self.dot(value.id) if self.active(value) and isinstance(value, ast.Name) else "0.0"
                    if not isinstance(value, ast.Name | ast.Constant):
                        given = self.name("t")
                        lines += self._assign(array, value, given)
                    if given != "0.0" or not adds:
                        lines.append(f"{self.dot(array)}[{place_of(index)}] {'+=' if adds else '='} {given}")
                return lines
            case Allocate(target=target):
                lines = super().statement(statement)
                if self.active(target):
                    lines.append(making(self.program, target, self.dot(target), "zeros"))
                return lines
            case View(target=target, base=base, value=value):
                lines = super().statement(statement)
                if self.active(target):
                    taken = expression_of(text(value))
                    for inner in ast.walk(taken):
                        if isinstance(inner, ast.Name) and inner.id == base.name:
                            inner.id = self.dot(base)
                    lines.append(f"{self.dot(target)} = {text(taken)}")
                return lines
            case Product(target=target, left=left, right=right):
                lines = super().statement(statement)
                if self.active(target):
                    terms = [f"np.dot({self.dot(left)}, {right})"] if self.active(left) else []
                    terms += [f"np.dot({left}, {self.dot(right)})"] if self.active(right) else []
                    lines.append(f"{self.dot(target)} = {' + '.join(terms)}")
                return lines
            case Own(targets=targets):
                lines = super().statement(statement)
                if self.active(targets[0]):
                    lines += self._own(statement)
                return lines
        return super().statement(statement)

    def _assign(self, target: Value, value: ast.expr, given: str = "") -> list[str]:
        made = Formula(value, self.values, self.known.active)
        count = len(made.leaves)
        names = {}
        tangents = {}
        for place, leaf in enumerate(made.leaves):
            whole = leaf.kind == formula.NUMBER and not leaf.active and not _floating(leaf.node, self.values)
            names[place] = f"{target.dtype}({text(leaf.node)})" if whole else text(leaf.node)
            if leaf.active:
                tangents[place] = formula.variable(count + 1 + place)
                if isinstance(leaf.node, ast.Name):
                    names[count + 1 + place] = self.dot(leaf.node.id)
                else:
                    assert isinstance(leaf.node, ast.Subscript) and isinstance(leaf.node.value, ast.Name)
                    index = leaf.node.slice
                    place_written = place_of(index.elts) if isinstance(index, ast.Tuple) else text(index)
                    names[count + 1 + place] = f"{self.dot(leaf.node.value.id)}[{place_written}]"
        found = made.pushed(tangents)
        dot = given or self.dot(target)
        if found is None:
            return [f"{dot} = 0.0"]
        if not given and made.root.function is not None and formula.cost([made.root]) > 3:
            found = formula.substitute(found, {made.root: formula.variable(count)})
            names[count] = target.name
        lines, (result,) = written([found], target.dtype, names, self.name("p") + "_")
        return [*lines, f"{dot} = {result}"]

    def _own(self, statement: Own) -> list[str]:
        (target,) = statement.targets
        parts = [self.name(f"{target}_slope") for _ in statement.arguments]
        several = ", ".join(parts) + ("," if len(parts) == 1 else "")
        lines = [f"{several} = {statement.rule}(1.0, {', '.join([target.name, *map(text, statement.arguments)])})"]
        terms = [
            f"{part} * {self.dot(argument.id)}"  # type: ignore[attr-defined]
            for part, argument in zip(parts, statement.arguments, strict=True)
            if self.active(argument)
        ]
        return [*lines, f"{self.dot(target)} = {' + '.join(terms)}"]

    def branch(self, statement: Branch) -> list[str]:
        """Write both ways of a branch, and the tangents of what they give."""
        ways = []
        for block, side in ((statement.first, "first"), (statement.second, "second")):
            lines = self.block(block)
            for merged in statement.merged:
                value = getattr(merged, side)
                if isinstance(value, ast.Constant) and value.value is None:
                    continue
                lines.append(f"{merged.target} = {text(value)}")
                if self.active(merged.target):
                    lines.append(f"{self.dot(merged.target)} = {self._tangent_of(value, merged.target)}")
            ways.append(lines)
        return branching(text(statement.condition), *ways)

    def loop(self, statement: Loop) -> list[str]:
        """Write a loop, with what is carried and its tangents."""
        lines: list[str] = []
        pairs: list[tuple[str, ast.expr]] = []
        for carried in statement.carried:
            target = carried.target
            lines.append(f"{target} = {text(carried.before)}")
            pairs.append((target.name, carried.after))
            if self.active(target):
                lines.append(f"{self.dot(target)} = {self._tangent_of(carried.before, target)}")
                after = expression_of(self._tangent_of(carried.after, target))
                pairs.append((self.dot(target), after))
        if statement.turns is not None:
            lines.append(f"{statement.turns} = 0")
        body = [*self.block(statement.body), *updates(pairs)]
        if statement.turns is not None:
            body.append(f"{statement.turns} += 1")
        if statement.stop is not None:
            body += [f"if {text(statement.stop)}:", "    break"]
        return [*lines, head_of(statement), *indented(body or ["pass"])]


def _floating(node: ast.expr, values: dict[str, Value]) -> bool:
    key = node.value if isinstance(node, ast.Subscript) else node
    return isinstance(key, ast.Name) and key.id in values and values[key.id].floating
