"""Users' functions as syntax trees, in which control leaves loops at their ends and functions at theirs."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from ..kernels.text import parsed

#: What the function gives, and whether it has given it from inside a loop.
RESULT, RETURNED = "$result", "$returned"

#: Statements of some size are not written down more than so often, where ways through a function part.
_MOST = 4000


def read(function: Callable[..., Any]) -> ast.FunctionDef:
    """Give a function's definition, with the line numbers of its file.

    Raises TypeError for what has no source, and for lambdas and other functions that cannot be differentiated.
    """
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise TypeError(
            f"njit: the source of {function.__name__} is not at hand, which its derivative is made from: define it in "
            "a file or a notebook's cell"
        ) from None
    try:
        tree = parsed(textwrap.dedent("".join(lines)))
    except SyntaxError:
        tree = ast.Module([], [])
    for node in tree.body[:1]:
        if isinstance(node, ast.FunctionDef):
            ast.increment_lineno(node, max(first, 1) - 1)
            return node
    raise TypeError(f"njit: {function.__name__} must be a function defined by def, to be differentiated")


def refuse(name: str, line: int, construct: str, remedy: str) -> TypeError:
    """Give the error that names what has no derivative."""
    return TypeError(f"njit: {name}, line {line}: {construct} has no derivative: {remedy}")


class _Loop:
    """A loop that is being rewritten."""

    def __init__(self, number: int) -> None:
        self.stop = f"$stopped_{number}" if number else "$stopped"
        self.left = False


class _Structure:
    """What rewrites statements so that only the ends of loops and of the function are left early."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loops = self.size = 0

    def block(self, statements: list[ast.stmt], loop: _Loop | None) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for place, statement in enumerate(statements):
            rest = statements[place + 1 :]
            self.size += 1
            if self.size > _MOST:
                raise refuse(self.name, statement.lineno, "so many ways out of loops", "split the function")
            if isinstance(statement, ast.Return):
                value = statement.value or ast.Constant(None)
                out.append(_set(RESULT, value, statement))
                if loop is not None:
                    loop.left = True
                    out += [
                        _set(RETURNED, ast.Constant(True), statement),
                        _set(loop.stop, ast.Constant(True), statement),
                    ]
                return out
            if isinstance(statement, ast.Break):
                assert loop is not None
                loop.left = True
                return [*out, _set(loop.stop, ast.Constant(True), statement)]
            if isinstance(statement, ast.Continue):
                return out
            if isinstance(statement, ast.Raise):
                return [*out, statement]
            if isinstance(statement, ast.If) and jumps([statement]):
                first = self.block([*statement.body, *rest], loop)
                second = self.block([*statement.orelse, *rest], loop)
                return [*out, _like(ast.If(statement.test, first or [ast.Pass()], second), statement)]
            if isinstance(statement, ast.For | ast.While):
                made, ended_by = self.loop(statement)
                out += made
                rest = [*ended_by, *rest]
                if any(isinstance(node, ast.Return) for node in _within(statement.body)):
                    if loop is not None:
                        loop.left = True
                    ended: list[ast.stmt] = [] if loop is None else [_set(loop.stop, ast.Constant(True), statement)]
                    after = self.block(rest, loop)
                    return [*out, _like(ast.If(_name(RETURNED), ended or [ast.Pass()], after), statement)]
                if ended_by:
                    return [*out, *self.block(rest, loop)]
                continue
            if isinstance(statement, ast.If):
                first, second = self.block(statement.body, loop), self.block(statement.orelse, loop)
                out.append(_like(ast.If(statement.test, first, second), statement))
                continue
            out.append(statement)
        return out

    def loop(self, statement: ast.For | ast.While) -> tuple[list[ast.stmt], list[ast.stmt]]:
        """Give a loop, and what its ``else`` says to do behind it."""
        inner = _Loop(self.loops)
        self.loops += 1
        body, otherwise = statement.body, statement.orelse
        before: list[ast.stmt] = []
        behind = otherwise
        if otherwise and _breaks(body):
            behind = [_like(ast.If(_name(inner.stop), [ast.Pass()], otherwise), statement)]
        if isinstance(statement, ast.While) and _must_be_computed(statement.test):
            ends: list[ast.stmt] = [_like(ast.Break(), statement)]
            if otherwise:  # which is done where this one ends the loop
                ended = inner.stop.replace("$stopped", "$ended")
                ends.insert(0, _set(ended, ast.Constant(True), statement))
                before.append(_set(ended, ast.Constant(False), statement))
                behind = [_like(ast.If(_name(ended), otherwise, [ast.Pass()]), statement)]
            test = _like(ast.If(statement.test, [ast.Pass()], ends), statement)
            body = [test, *body]
            statement = _like(ast.While(ast.Constant(True), body, []), statement)
        rewritten = self.block(body, inner)
        made: Any = (
            ast.While(statement.test, rewritten, [])
            if isinstance(statement, ast.While)
            else ast.For(statement.target, statement.iter, rewritten, [])
        )
        made.stop = inner.stop if inner.left else None
        made.numbered = inner.stop.replace("$stopped", "turns")
        if inner.left:
            before.append(_set(inner.stop, ast.Constant(False), statement))
        return [*before, _like(made, statement)], behind


def structured(node: ast.FunctionDef) -> list[ast.stmt]:
    """Give the statements of a function, which leave the result in RESULT and have no break, continue or return."""
    body = list(node.body)
    if _falls_through(body):
        body.append(_like(ast.Return(ast.Constant(None)), body[-1]))
    made = _Structure(node.name).block(body, None)
    if any(isinstance(inner, ast.Return) for loop in _loops(body) for inner in _within(loop.body)):
        made.insert(0, _set(RETURNED, ast.Constant(False), node))
        for inner in _within(made):
            if isinstance(inner, ast.Assign) and getattr(inner.targets[0], "id", "") == RESULT:
                inner.one_of_several = True  # type: ignore[attr-defined]
    return made


def _loops(body: Iterable[ast.stmt]) -> list[ast.For | ast.While]:
    return [node for node in _within(body) if isinstance(node, ast.For | ast.While)]


def _falls_through(body: list[ast.stmt]) -> bool:
    if not body:
        return True
    last = body[-1]
    if isinstance(last, ast.Return | ast.Raise | ast.Break | ast.Continue):
        return False
    if isinstance(last, ast.If):
        return _falls_through(last.body) or _falls_through(last.orelse)
    if isinstance(last, ast.While) and isinstance(last.test, ast.Constant) and last.test.value:
        return _breaks(last.body)
    if isinstance(last, ast.For | ast.While) and last.orelse:
        return _breaks(last.body) or _falls_through(last.orelse)
    return True


def _breaks(body: Iterable[ast.stmt]) -> bool:
    """Tell whether statements leave the loop that they are in: not one inside of it."""
    for node in body:
        if isinstance(node, ast.Break):
            return True
        if isinstance(node, ast.If) and (_breaks(node.body) or _breaks(node.orelse)):
            return True
        if isinstance(node, ast.For | ast.While) and _breaks(node.orelse):
            return True
    return False


def _within(body: Iterable[ast.AST]) -> Iterable[ast.AST]:
    """Give all nodes in statements, but not those of functions defined there."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            stack += ast.iter_child_nodes(node)


def jumps(statements: Iterable[ast.stmt]) -> bool:
    """Tell whether statements may leave the block that they are in."""
    for node in statements:
        if isinstance(node, ast.Return | ast.Break | ast.Continue | ast.Raise):
            return True
        if isinstance(node, ast.If) and (jumps(node.body) or jumps(node.orelse)):
            return True
        if isinstance(node, ast.For | ast.While):
            if jumps(node.orelse) or any(isinstance(inner, ast.Return) for inner in _within(node.body)):
                return True
    return False


def _must_be_computed(test: ast.expr) -> bool:
    """Tell whether a loop's condition takes statements of its own."""
    plain = (ast.Call, ast.IfExp, ast.Subscript)
    return any(isinstance(node, plain) for node in ast.walk(test)) or (
        isinstance(test, ast.Constant) is False and not (all(isinstance(node, _PLAIN) for node in ast.walk(test)))
    )


_PLAIN = (
    ast.Name, ast.Constant, ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.boolop, ast.operator, ast.unaryop,
    ast.cmpop, ast.expr_context,
)  # fmt: skip


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _set(name: str, value: ast.expr, like: ast.AST) -> ast.Assign:
    made: ast.Assign = _like(ast.Assign([ast.Name(name, ast.Store())], value), like)
    return made


def _like(node: Any, other: Any) -> Any:
    """Put a node in the place of another, line for line."""
    ast.copy_location(node, other)
    return node


# ---- which names are needed later ------------------------------------------------------------------------------------


def assigned(statements: Iterable[ast.AST]) -> set[str]:
    """Give the names that statements bind."""
    return set().union(*(_asked(statement, "binds", _bound_in) for statement in statements))


def _bound_in(statement: ast.AST) -> set[str]:
    nodes = list(_within([statement]))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)} | {
        node.name for node in nodes if isinstance(node, ast.FunctionDef)
    }


def _asked(node: ast.AST, key: str, find: Callable[[ast.AST], set[str]]) -> set[str]:
    """Give what is asked of a node again and again, and found once."""
    found: set[str] | None = node.__dict__.get(key)
    if found is None:
        found = node.__dict__[key] = find(node)
    return found


def only_augmented(statements: Iterable[ast.AST]) -> set[str]:
    """Give the names that statements bind by ``+=`` and its like only, which for arrays is a write in place."""
    nodes = list(_within(statements))
    augmented = {
        id(n.target): n.target.id for n in nodes if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)
    }
    others = {
        n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and id(n) not in augmented
    }
    return set(augmented.values()) - others


def reads(*nodes: ast.AST | None) -> set[str]:
    """Give the names that are read in nodes, in functions defined there as well."""
    return set().union(*(_asked(node, "reads", _read_in) for node in nodes if node is not None))


def _read_in(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)}


def live_before(statements: list[ast.stmt], after: set[str]) -> set[str]:
    """Give the names whose values are read by statements, or after them, before they are bound again."""
    live = after
    for statement in reversed(statements):
        live = _live(statement, live)
    return live


def live_behind(statements: list[ast.stmt], after: set[str]) -> list[set[str]]:
    """Give, for each statement, the names that are read behind it, before they are bound again."""
    found = [after]
    for statement in reversed(statements[1:]):
        found.append(_live(statement, found[-1]))
    return found[::-1]


def _live(statement: ast.stmt, live: set[str]) -> set[str]:
    """Give the names whose values are needed before a statement, from those that are needed behind it."""
    if isinstance(statement, ast.If):
        return live_before(statement.body, live) | live_before(statement.orelse, live) | reads(statement.test)
    if isinstance(statement, ast.For | ast.While):
        head = statement.iter if isinstance(statement, ast.For) else statement.test
        targets = assigned([statement.target]) if isinstance(statement, ast.For) else set()
        stop = getattr(statement, "stop", None)
        inner = live | ({stop} if stop else set()) | (reads(head) if isinstance(statement, ast.While) else set())
        once = live_before(statement.body, inner)
        twice = live_before(statement.body, inner | (once - targets))
        return live | (twice - targets) | reads(head)
    if isinstance(statement, ast.AugAssign):
        return live | reads(statement.value, statement.target) | assigned([statement.target])
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        made = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return (live - assigned(made)) | reads(statement.value) | reads(*made)
    return live | reads(statement)
