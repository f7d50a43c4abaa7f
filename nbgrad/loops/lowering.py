"""From a user's function, and the types of its arguments, to a program of the language that derivatives are made in.

One walk over the syntax tree in the order of the program. Names become values: each binding a new one, what a loop
binds again is carried, what branches bind is merged, and calls of other functions are put in place. Types are Numba's.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from . import expressions, syntax
from .arrays import copied, materialised
from .branches import branch, empty, zero
from .language import Block, Carried, Loop, Plain, Program, Store, Value, maker, name, number, text
from .meanings import Group, Known, Local, Meaning, Scalar, flat, joined
from .numbers import number_of, sizes_of
from .order import condition
from .state import Dead, Lowering, Resized, Scope, Unbound, Widened, called, measure, size_of
from .turns import comprehension, iterate


def lower(function: Any, signature: Sequence[tuple[str, Any]], by_loops: bool = False) -> Program:
    """Lower a Python function whose arguments have the given dtypes and numbers of axes, or are tuples of such.

    Products of matrices become loops if asked for, as where their factors are overwritten.

    Raises TypeError, with line and construct, for what cannot be differentiated.
    """
    node = syntax.read(function)
    lowering = Lowering(node.name)
    lowering.by_loops = by_loops
    lowering.expression = lambda node: expressions.lower(lowering, node)
    lowering.put_in = lambda function, *given, **named: expressions.put_in(lowering, function, *given, **named)
    lowering.comprehension = lambda node: comprehension(lowering, node)
    lowering.run = lambda scope, node: run(lowering, scope, node)
    scope = Scope(lowering, node.name, expressions.outside(lowering, function))
    lowering.scopes.append(scope)
    lowering.line = node.lineno
    arguments = expressions.parameters_of(lowering, node)
    made: list[Value] = []
    forms = []
    for argument, kind in zip(arguments, signature, strict=True):
        scope.names[argument], form = _parameter(lowering, argument, kind, made)
        known = lowering.value(argument, "tuple").name if isinstance(form, tuple) else form
        forms.append((known, form))
    result = run(lowering, scope, node)
    results: list[ast.expr] = []

    def flatten(item: Meaning) -> Any:
        if isinstance(item, Group):
            return tuple(flatten(inner) for inner in item.items)
        if isinstance(item, Known) and item.value is None:
            results.append(number(None))
            return 0
        item = materialised(lowering, item, "result")
        if isinstance(item, Scalar):
            results.append(lowering.atom(item, "result").node)
        elif isinstance(item, Value):
            results.append(name(item))
        else:
            raise lowering.refuse("a result that is neither a number nor an array", "return those, or tuples of them")
        return 0

    form = flatten(result)
    program = Program(node.name, made, lowering.body, results, form, lowering.values, lowering.constants)
    program.arguments = forms
    stores = [s for s in lowering.body.walk() if isinstance(s, Store) and maker(s.array) is None]
    written = {s.array.family.root() for s in stores if s.array.family is not None}
    program.written = [p for p in made if p.family is not None and p.family.root() in written]
    program.number()
    return program


def _parameter(lowering: Lowering, wish: str, kind: Any, made: list[Value]) -> tuple[Meaning, Any]:
    """Make a parameter, or those that are a tuple's items, and give what it stands for, and the names in its form."""
    dtype, ndim = kind
    if dtype.startswith("tuple"):
        fields = tuple(dtype.partition(":")[2].split(",")) if ":" in dtype else ()
        pairs = [
            _parameter(lowering, f"{wish}_{fields[place] if fields else place}", inner, made)
            for place, inner in enumerate(ndim)
        ]
        return Group([meaning for meaning, _ in pairs], fields), tuple(form for _, form in pairs)
    value = lowering.value(wish, dtype, ndim)
    made.append(value)
    if dtype == "none":
        return Known(None), value.name
    if ndim is None:
        return Scalar(name(value), dtype), value.name
    assert value.family is not None
    value.family.argument = True
    value.sizes = [size_of(value, axis) for axis in range(ndim)]
    return value, value.name


def run(lowering: Lowering, scope: Scope, node: ast.FunctionDef) -> Meaning:
    """Lower a function's statements and give what it returns."""
    if any(isinstance(inner, ast.Yield | ast.YieldFrom | ast.Await) for inner in ast.walk(node)):
        raise lowering.refuse("a generator", "write into an array, and return it")
    body = syntax.structured(node)
    try:
        statements(lowering, body, {syntax.RESULT})
    except Dead:
        raise lowering.refuse("a function that only raises", "return something") from None
    return scope.names[syntax.RESULT]


def statements(lowering: Lowering, body: list[ast.stmt], after: set[str]) -> None:
    """Lower statements one after the other; `after` are the names that are read behind them."""
    for statement, live in zip(body, syntax.live_behind(body, after), strict=False):
        lowering.line = getattr(statement, "lineno", lowering.line)
        _statement(lowering, statement, live)


def _statement(lowering: Lowering, statement: ast.stmt, live: set[str]) -> None:
    scope = lowering.scopes[-1]
    match statement:
        case ast.Assign(targets=targets, value=value):
            lowering.wish = _wish(targets[0]) if isinstance(value, ast.Call | ast.Subscript) else ""
            given = expressions.lower(lowering, value, _wish(targets[0]))
            lowering.wish = ""
            if getattr(statement, "one_of_several", False):  # what a turn returns is not what later ones write to
                given = copied(lowering, given)
            for target in targets:
                expressions.bind(lowering, target, given)
        case ast.AnnAssign(target=target, value=value):
            if value is not None:
                expressions.bind(lowering, target, expressions.lower(lowering, value, _wish(target)))
        case ast.AugAssign(target=target, op=operator, value=value):
            expressions.augment(lowering, target, operator, value)
        case ast.If(test=test, body=first, orelse=second):
            _branch(lowering, test, first, second, live)
        case ast.For() | ast.While():
            _loop(lowering, statement, live)
        case ast.Pass() | ast.Delete():
            pass
        case ast.Expr(value=ast.Constant()):
            pass  # a docstring
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=args)):
            shown: list[ast.expr] = []
            for argument in args:
                found = expressions.lower(lowering, argument)
                if isinstance(found, Known):
                    shown.append(number(found.value))
                else:
                    found = materialised(lowering, found)
                    shown.append(found.node if isinstance(found, Scalar) else name(found))  # type: ignore[arg-type]
            lowering.put(Plain(ast.Expr(ast.Call(name("print"), shown, []))))
        case ast.Expr(value=value):
            expressions.lower(lowering, value)
        case ast.Raise(exc=error):
            if error is None:
                raise lowering.refuse("raise without an exception", "say which")
            lowering.put(Plain(expressions.raising(lowering, error)))
            raise Dead
        case ast.Assert(test=test):
            chosen = condition(lowering, test)
            lowering.put(Plain(ast.Assert(chosen.node, None)))
        case ast.FunctionDef():
            scope.names[statement.name] = Local(statement, scope.find)
        case _:
            kind = type(statement).__name__.lower()
            raise lowering.refuse(f"the statement {kind!r}", "write loops, branches and assignments")


def _wish(target: ast.AST) -> str:
    return target.id if isinstance(target, ast.Name) else "t"


def _branch(lowering: Lowering, test: ast.expr, first: list[ast.stmt], second: list[ast.stmt], live: set[str]) -> None:
    chosen = condition(lowering, test)
    if isinstance(chosen.node, ast.Constant):  # known before: as `x.ndim == 2`
        statements(lowering, first if chosen.node.value else second, live)
        return
    branch(
        lowering,
        lowering.atom(chosen, "test"),
        lambda: statements(lowering, first, live),
        lambda: statements(lowering, second, live),
        live,
    )


def _loop(lowering: Lowering, statement: ast.For | ast.While, live: set[str]) -> None:
    scope = lowering.scopes[-1]
    if isinstance(statement, ast.For):
        turns = iterate(lowering, statement.iter, _wish(statement.target))
        if isinstance(turns, list):  # a tuple's items, one by one
            for place, item in enumerate(turns):
                expressions.bind(lowering, statement.target, item)
                rest = syntax.live_before(statement.body, live) if place < len(turns) - 1 else live
                if getattr(statement, "stop", None):
                    raise lowering.refuse("break or return in a loop over a tuple", "loop over an array")
                statements(lowering, statement.body, rest | live)
            return
        bounds, bind, parallel, wish = turns.bounds, turns.bind, turns.parallel, turns.wish
    else:
        bounds, bind, parallel, wish = [], None, False, ""
    stop = getattr(statement, "stop", None)
    test = statement.test if isinstance(statement, ast.While) else None
    inside = live | ({stop} if stop else set()) | syntax.reads(test)
    targets = syntax.assigned([statement.target]) if isinstance(statement, ast.For) else set()
    needed = syntax.live_before(statement.body, inside) - targets
    needed = syntax.live_before(statement.body, inside | needed) - targets
    bound = (syntax.assigned(statement.body) | targets) - _defined(statement.body)
    bound -= {key for key in syntax.only_augmented(statement.body) if isinstance(scope.names.get(key), Value)}
    before, outer, saved = dict(scope.names), lowering.block, len(lowering.block.statements)
    line = lowering.line
    # loops around this one may have it lowered again, which need not find out again
    resized: set[tuple[str, tuple[int, ...]]] = statement.__dict__.setdefault("resized", set())
    while True:
        try:
            made = Loop(None, bounds)
            made.line = line
            made.parallel = parallel
            lowering.block = lowering.inner(made, made.body)
            for key in sorted(bound):
                if key in before and (key in needed or key in live or key in syntax.reads(test) or key == stop):
                    carried = _carry(lowering, made, key, before[key], outer, resized)
                    scope.names[key] = carried
                elif key in before:
                    del scope.names[key]
            if isinstance(statement, ast.For):
                assert bind is not None
                counter = lowering.value(wish, "int64")
                made.counter = counter
                bind(Scalar(name(counter), "int64"), statement.target)
            elif not (isinstance(test, ast.Constant) and test.value):
                assert test is not None
                count = len(made.body.statements)
                made.condition = condition(lowering, test).node
                if len(made.body.statements) > count:
                    raise lowering.refuse("this condition of while", "compute it in the loop, and break")
            statements(lowering, statement.body, inside | needed)
            for key in sorted(bound):
                _carry_on(lowering, made, key, scope.names.get(key), live, resized)
            if stop:
                made.stop = number_of(lowering, scope.names[stop]).node
            if stop or test is not None:
                lowering.block = outer
                made.turns = lowering.value(getattr(statement, "numbered", "turns"), "int64")
            break
        except Widened as error:
            lowering.block = outer
            del outer.statements[saved:]
            scope.names = dict(before)
            before[error.key] = _as(before[error.key], error.place, error.dtype)
            scope.names = dict(before)
        except Resized as error:
            lowering.block = outer
            del outer.statements[saved:]
            resized.add((error.key, error.place))
            scope.names = dict(before)
        except Unbound as error:
            lowering.block = outer
            del outer.statements[saved:]
            before[error.key] = empty(lowering, error.meaning, error.key)
            saved = len(outer.statements)
            scope.names = dict(before)
        except Dead:
            raise lowering.refuse("a loop whose every turn raises", "raise behind it") from None
    lowering.block = outer
    after, ended = dict(before), scope.names
    for c in made.carried:
        after[c.key] = _put_in(after.get(c.key), c, scope.names)
    scope.names = after
    for key in bound:
        if not any(c.key == key for c in made.carried):
            known = ended.get(key)
            if isinstance(known, Known | Local) and key in live:
                scope.names[key] = known
            else:
                scope.names.pop(key, None)
    lowering.line = line
    lowering.put(made)
    if made.turns is not None:
        made.turns.block = outer
    for c in made.carried:
        c.target.block = made.body
        if (c.key, c.place) in resized:
            c.inside = c.target.sizes
            measure(lowering, c.target)


def _defined(body: list[ast.stmt]) -> set[str]:
    return {node.name for node in ast.walk(ast.Module(body, [])) if isinstance(node, ast.FunctionDef)}


def _as(meaning: Meaning, place: tuple[int, ...], dtype: str) -> Meaning:
    """Give a number, or a tuple with an item, of another dtype."""
    if isinstance(meaning, Group):
        items = list(meaning.items)
        items[place[0]] = _as(items[place[0]], place[1:], dtype)
        return Group(items, meaning.fields)
    assert isinstance(meaning, Scalar)
    return Scalar(meaning.node, dtype)


def _carry(
    lowering: Lowering,
    loop: Loop,
    key: str,
    before: Meaning,
    outer: Block,
    resized: set[tuple[str, tuple[int, ...]]],
    place: tuple[int, ...] = (),
) -> Meaning:
    """Have a loop carry what a name stood for before, and give what it stands for inside."""
    if isinstance(before, Group):
        items = [_carry(lowering, loop, key, one, outer, resized, (*place, i)) for i, one in enumerate(before.items)]
        return Group(items, before.fields)
    if isinstance(before, Scalar):
        target = lowering.value(key, before.dtype)
        if not before.atomic:
            inside, lowering.block = lowering.block, outer
            before = lowering.atom(before, key)
            lowering.block = inside
        made = Carried(target, before.node)
        meaning: Meaning = Scalar(name(target), before.dtype)
    elif isinstance(before, Value):
        target = lowering.value(key, before.dtype, before.ndim)
        assert target.family is not None and before.family is not None
        target.family.carried = True
        target.family.join(before.family)
        if (key, place) in resized:
            measure(lowering, target)
        else:
            target.sizes = before.sizes
        made, meaning = Carried(target, name(before)), target
    else:
        return before
    made.key, made.place = key, place
    loop.carried.append(made)
    return meaning


def _carry_on(
    lowering: Lowering,
    loop: Loop,
    key: str,
    after: Meaning | None,
    live: set[str],
    resized: set[tuple[str, tuple[int, ...]]],
) -> None:
    """Say what a turn makes of a name."""
    mine = [c for c in loop.carried if c.key == key]
    if not mine:
        if key not in live or after is None:
            return
        _first_bound(lowering, loop, key, after, ())
        return
    if after is None:
        raise lowering.refuse(f"{called(key)}, which is not bound at the end of each turn,", "bind it in all branches")
    for carried in mine:
        item = after
        for index in carried.place:
            if not isinstance(item, Group):
                raise lowering.refuse(
                    f"{called(key)}, a tuple that becomes something else in a loop,", "use another name"
                )
            item = item.items[index]
        target = carried.target
        if isinstance(item, Scalar) and target.ndim is None:
            if item.dtype != target.dtype:
                wide = joined(item.dtype, target.dtype)
                if wide != target.dtype:
                    raise Widened(key, carried.place, wide)
            carried.after = lowering.atom(item, key).node
        elif isinstance(item, Value) and target.ndim == item.ndim and target.dtype == item.dtype:
            assert target.family is not None and item.family is not None
            target.family.join(item.family)
            sizes = [list(map(text, sizes_of(lowering, value))) for value in (target, item)]
            if sizes[0] != sizes[1] and (key, carried.place) not in resized:
                raise Resized(key, carried.place)
            carried.after = name(item)
        else:
            raise lowering.refuse(
                f"{called(key)}, which is of another kind after a turn of the loop,", "use another name"
            )


def _first_bound(lowering: Lowering, loop: Loop, key: str, after: Meaning, place: tuple[int, ...]) -> None:
    """Have a loop carry out what is bound in it first, and read behind it."""
    if isinstance(after, Group):
        if any(isinstance(leaf, Value) for leaf in flat(after)):
            raise Unbound(key, after)
        for index, item in enumerate(after.items):
            _first_bound(lowering, loop, key, item, (*place, index))
        return
    if isinstance(after, Scalar):
        target = lowering.value(key, after.dtype)
        made = Carried(target, zero(after.dtype).node, lowering.atom(after, key).node)
        made.key, made.place = key, place
        loop.carried.append(made)
    elif isinstance(after, Value):
        raise Unbound(key, after)


def _put_in(before: Meaning | None, carried: Any, inside: dict[str, Meaning]) -> Meaning:
    """Put what a loop carried to its end in the place of what a name stood for."""
    target = carried.target
    made: Meaning = Scalar(name(target), target.dtype) if target.ndim is None else target
    if not carried.place:
        return made
    group = before if isinstance(before, Group) else inside[carried.key]
    assert isinstance(group, Group)
    items = list(group.items)
    place = carried.place
    items[place[0]] = made if len(place) == 1 else _put_in(items[place[0]], _Deeper(carried, place[1:]), inside)
    return Group(items, group.fields)


class _Deeper:
    def __init__(self, carried: Any, place: tuple[int, ...]) -> None:
        self.target, self.key, self.place = carried.target, carried.key, place
