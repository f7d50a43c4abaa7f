"""Programs as Python source: the way forward, as it was read, with what the way back asks to be kept."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from ..kernels.text import indented
from .language import (
    Allocate,
    Assign,
    Block,
    Branch,
    Loop,
    Own,
    Plain,
    Product,
    Program,
    Statement,
    Store,
    Value,
    View,
    names_in,
    text,
    whole,
)

#: Given a statement that was written, or a loop whose turn begins: lines to be written behind it.
Behind = Callable[[Statement, bool], list[str]]


def dtype_of(value: Value) -> str:
    """Write a dtype."""
    return "np.bool_" if value.dtype == "bool" else f"np.{value.dtype}"


def place_of(index: list[ast.expr]) -> str:
    """Write an index."""
    return ", ".join(text(item) for item in index) or "()"


def shape_of(value: Value) -> str:
    """Write an array's shape."""
    return shaped(value.sizes)


def shaped(sizes: list[ast.expr]) -> str:
    """Write a shape."""
    written = [text(size) for size in sizes]
    return written[0] if len(written) == 1 else f"({', '.join(written)})"


def making(program: Program, value: Value, key: str, fill: str) -> str:
    """Write what makes an array like a value.

    An array that a turn makes and that ends with it takes the memory of the turn before, unless threads have turns at
    once: to allocate takes longer than to fill some elements.
    """
    around = value.block.around() if value.block is not None and program.reusing and fill in ("zeros", "empty") else []
    if not around or value.family is None or value.family.root().carried or any(loop.parallel for loop in around):
        return f"{key} = np.{fill}({shape_of(value)}, {dtype_of(value)})"
    program.reused[key] = value
    shape = ", ".join(map(text, value.sizes)) + ("," if len(value.sizes) == 1 else "")
    return f"{key} = {'cleared' if fill == 'zeros' else 'reused'}({key}, ({shape}))"


def first_made(program: Program) -> list[str]:
    """Write the arrays, yet without elements, whose memory turns use again."""
    return [
        f"{key} = np.empty({', '.join('0' * len(value.sizes)) if len(value.sizes) == 1 else (0,) * len(value.sizes)}, "
        f"{dtype_of(value)})"
        for key, value in program.reused.items()
    ]


class Forward:
    """What writes a program's statements."""

    def __init__(self, program: Program, behind: Behind | None = None) -> None:
        self.program = program
        self.behind = behind or (lambda statement, begins: [])
        #: What is left out.
        self.skipped: set[Statement] = set()

    def block(self, block: Block) -> list[str]:
        """Write the statements of a block."""
        lines: list[str] = []
        for statement in block.statements:
            if statement in self.skipped:
                continue
            lines += self.statement(statement)
            lines += self.behind(statement, False)
        return lines

    def statement(self, statement: Statement) -> list[str]:
        """Write a statement."""
        match statement:
            case Assign(target=target, value=value):
                return [f"{target} = {text(value)}"]
            case Store(array=array, index=index, value=value, adds=adds):
                return [f"{array}[{place_of(index)}] {'+=' if adds else '='} {text(value)}"]
            case Allocate(target=target, fill=fill):
                return [making(self.program, target, target.name, fill)]
            case View(target=target, value=value):
                return [f"{target} = {text(value)}"]
            case Product(target=target, left=left, right=right):
                return [f"{target} = np.dot({left}, {right})"]
            case Plain(statement=inner):
                return text(ast.fix_missing_locations(inner)).splitlines()
            case Own(targets=targets, function=function, arguments=arguments):
                return [f"{', '.join(map(str, targets))} = {function}({', '.join(map(text, arguments))})"]
            case Branch():
                return self.branch(statement)
            case Loop():
                return self.loop(statement)
        raise AssertionError(statement)

    def branch(self, statement: Branch) -> list[str]:
        """Write both ways of a branch."""
        ways = []
        for block, side in ((statement.first, "first"), (statement.second, "second")):
            pairs = [(m.target.name, getattr(m, side)) for m in statement.merged]
            given = [f"{target} = {text(value)}" for target, value in pairs if not _is_none(value)]
            ways.append(self.block(block) + given)
        return branching(text(statement.condition), *ways)

    def loop(self, statement: Loop) -> list[str]:
        """Write a loop, with what is carried."""
        lines = [f"{c.target} = {text(c.before)}" for c in statement.carried if not _is_none(c.before)]
        if statement.turns is not None:
            lines.append(f"{statement.turns} = 0")
        body = self.behind(statement, True) + self.block(statement.body)
        body += updates([(c.target.name, c.after) for c in statement.carried])
        if statement.turns is not None:
            body.append(f"{statement.turns} += 1")
        if statement.stop is not None:
            body += [f"if {text(statement.stop)}:", "    break"]
        return [*lines, head_of(statement), *indented(body or ["pass"])]


def head_of(loop: Loop) -> str:
    """Write the head of a loop."""
    if loop.counter is None:
        return f"while {text(loop.condition) if loop.condition is not None else 'True'}:"
    return f"for {loop.counter} in {range_of(loop)}:"


def range_of(loop: Loop) -> str:
    """Write the range that a loop runs over."""
    start, stop, step = map(text, loop.bounds)
    if step != "1":
        return f"range({start}, {stop}, {step})"
    return f"range({stop})" if start == "0" else f"range({start}, {stop})"


def updates(pairs: list[tuple[str, ast.expr]]) -> list[str]:
    """Write assignments that happen at once."""
    pairs = [(target, value) for target, value in pairs if text(value) != target]
    targets = {target for target, _ in pairs}
    for place, (_, value) in enumerate(pairs):
        if names_in(value) & (targets - {pairs[place][0]}):
            return [f"{', '.join(t for t, _ in pairs)} = {', '.join(text(v) for _, v in pairs)}"]
    return [f"{target} = {text(value)}" for target, value in pairs]


def branching(condition: str, first: list[str], second: list[str]) -> list[str]:
    """Write a branch, of which a side may be empty."""
    if not first and not second:
        return []
    if not first:
        return [f"if not {condition}:", *indented(second)]
    lines = [f"if {condition}:", *indented(first)]
    return [*lines, "else:", *indented(second)] if second else lines


def copies(program: Program) -> list[str]:
    """Write what has a derivative leave the arrays as they are that the function writes to."""
    lines = []
    for written in program.written:
        others = [p for p in program.parameters if p.ndim is not None and p is not written]
        lines += [
            f"apart({written}, {other})"
            for other in others
            if other not in program.written or other.name < written.name
        ]
    return lines + [f"{written} = {written}.copy()" for written in program.written]


def nested(program: Program, leaves: list[str]) -> str:
    """Write results in the form in which the function gives them."""
    rest = iter(leaves)

    def put(form: Any) -> str:
        if not isinstance(form, tuple):
            return next(rest)
        items = [put(item) for item in form]
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"

    if program.outputs() is not program.results:
        return put((0,) * len(leaves) if len(leaves) > 1 else 0)
    return put(program.form)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def is_term(source: str) -> bool:
    """Tell whether -source is source subtracted: it has no sum outside of its parentheses."""
    depth = 0
    for place, letter in enumerate(source):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
        if not depth and letter in "+-" and source[place - 1 : place] == " ":
            return False
    return " if " not in source or source.startswith("(")


def adding(target: str, source: str) -> str:
    """Write what adds to an element."""
    if source.startswith("-") and is_term(source[1:]):
        return f"{target} -= {source[1:]}"
    return f"{target} += {source}"


def place_in(node: ast.expr) -> str:
    """Write an index as it stands in brackets."""
    return place_of(node.elts) if isinstance(node, ast.Tuple) else text(node)


def less(node: ast.expr) -> str:
    """Write a whole number less one."""
    if isinstance(node, ast.Constant):
        return str(whole(node) - 1)
    return f"{enclosed(text(node))} - 1"


def enclosed(source: str) -> str:
    """Put parentheses around an expression, where it needs some."""
    return (
        source if source.isidentifier() or source.endswith("]") or source.replace(".", "").isalnum() else f"({source})"
    )
