"""Fused loops: many formulas and foldings over one space of elements, written as one loop nest.

The space is rows of elements: any number of outer dimensions, and an inner one. Values are of three levels: one for
each element, one for each row, one for the whole nest. An element's value may depend on what a folding over its row
gave; each such dependence begins another stage, a loop over the row of its own. Rows are cut into blocks, which
threads share. What is folded over all rows is kept block by block, and combined by another launch, so that results
depend on the arrays alone and not on the number of threads.

Float32 is added up in float64, in lanes that LLVM turns into vectors (see `reduction`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import formula
from ..formula import Expression, ScalarFunction
from .reduction import _identity_text
from .sizes import LANES, OUTPUTS

#: The levels of a value.
ELEMENT, ROW, NEST = "element", "row", "nest"


@dataclass(frozen=True)
class Operand:
    """An array that a nest reads or writes: its dtype, its level, and the step between neighbours of a row."""

    name: str
    dtype: str
    level: str
    #: "0" for one element along the row, "1" for neighbours in memory, "s" for a step given at the call.
    inner: str = "1"


@dataclass(frozen=True)
class Assign:
    """``name = expression`` of named values; `number` is the dtype that is computed in, `dtype` that of the result."""

    name: str
    expression: Expression | None  # None: the first value, converted
    arguments: tuple[str, ...]
    casts: tuple[bool, ...]  # which arguments have another dtype than `number`
    number: str
    dtype: str
    level: str
    stage: int


@dataclass(frozen=True)
class Fold:
    """``name`` = the values of a row, of a column over all rows, or of everything, combined."""

    name: str
    argument: str
    combine: ScalarFunction
    identity: float
    wide: str
    dtype: str
    #: "row", "column" or "all"
    over: str
    #: The level of the argument, and the stage in which it is known.
    level: str
    stage: int


@dataclass
class Nest:
    """A loop nest to be written: what is loaded, computed, folded and stored."""

    outer: int  # dimensions around the row
    flat: bool  # the rows are pieces of one long row, the last of which may be short
    loads: list[Operand] = field(default_factory=list)
    steps: list[Assign | Fold] = field(default_factory=list)
    stores: list[tuple[Operand, str, int]] = field(default_factory=list)  # the value stored, and its stage
    #: A row's memory for each block, for what a later stage over the row would compute again; the value's name.
    kept: list[tuple[Operand, str]] = field(default_factory=list)
    #: Where the folds over all rows put what each block gave, and the whole if there is one block; the fold's name.
    partials: list[tuple[Operand, Operand, str]] = field(default_factory=list)

    @property
    def operands(self) -> list[Operand]:
        """All arrays, in the order in which a launch names them."""
        partials, wholes = [o for o, _, _ in self.partials], [o for _, o, _ in self.partials]
        kept = [o for o, _ in self.kept]
        return [*self.loads, *(o for o, _, _ in self.stores), *kept, *partials, *wholes]


def size_names(nest: Nest) -> list[str]:
    """List what the array of sizes holds, in order."""
    names = ["blocks", "rows_in_block", "rows", "width"] + (["length"] if nest.flat else [])
    names += [f"d{axis}" for axis in range(1, nest.outer)]
    for operand in nest.operands:
        if operand.level != NEST:
            names += [f"{operand.name}_step{axis}" for axis in range(nest.outer)]
        if operand.level == ELEMENT and operand.inner == "s":
            names.append(f"{operand.name}_inner")
    return names


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def put(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]


def source(nest: Nest) -> str:
    """Write the loop; its arguments are a counter of blocks, the sizes, and the operands."""
    writer = _Writer()
    put = writer.put
    partials = {name: operand for operand, _, name in nest.partials}
    wholes = {name: operand for _, operand, name in nest.partials}
    put("def loop(args, dims, steps, data):")
    writer.depth = 1
    put("align_stack()")
    put("if dims[0] >= int64_pointer(data)[0]:", "    share(args, dims, steps, data)", "    return")
    numbers = {o.name: min(i, OUTPUTS - 1) for i, o in enumerate(nest.operands[len(nest.loads) :])}
    put("first_block = address(args[0])", "sizes = int64_pointer(args[1])")
    for position, name in enumerate(size_names(nest)):
        put(f"{name} = sizes[{position}]")
    for position, operand in enumerate(nest.operands):
        put(f"{operand.name} = {operand.dtype}_pointer(args[{2 + position}])")
    folds = [step for step in nest.steps if isinstance(step, Fold)]
    if any(fold.over == "row" or (fold.over == "all" and fold.level == ELEMENT) for fold in folds):
        # short rows use the first lanes only
        put(f"used = {LANES}", "while used > 1 and used // 2 >= width:", "    used //= 2")
    for fold in folds:
        if fold.over == "row" or (fold.over == "all" and fold.level == ELEMENT):
            put(f"{fold.name}_lanes = {fold.wide}_lanes()", f"{fold.name}_values = {fold.dtype}_lanes()")
    for operand in nest.loads:
        if operand.level == NEST:
            put(f"v_{operand.name} = {_loaded(operand, '0')}")
    for step in nest.steps:
        if isinstance(step, Assign) and step.level == NEST:
            put(*_assigned(step))
    for operand, value, _ in nest.stores:
        if operand.level == NEST:
            put(f"{operand.name}[0] = {operand.dtype}({value})")
    rows_needed = any(operand.level != NEST for operand in nest.operands) or folds
    if partials:
        _combine_blocks(writer, folds, partials, numbers)
    if rows_needed:
        put("for block in range(first_block, first_block + dims[0]):")
        writer.depth = 2
        put("begin = block * rows_in_block", "end = min(begin + rows_in_block, rows)")
        for fold in folds:
            identity = _identity_text(fold.identity, fold.wide)
            if fold.over == "all" and fold.level == ELEMENT:
                put("for lane in range(used):", f"    {fold.name}_lanes[lane] = {identity}")
            elif fold.over == "all":
                put(f"{fold.name}_total = {identity}")
            elif fold.over == "column":
                name = partials[fold.name].name
                put(f"{name}_begin = block * width")
                put(
                    "for j in range(np.uintp(width)):",
                    f"    store_{numbers[name]}({name}, {name}_begin + j, {identity})",
                )
        for operand, _ in nest.kept:
            put(f"{operand.name}_row = block * width")
        _rows(writer, nest, folds, partials, numbers)
        for fold in folds:
            if fold.over == "all":
                if fold.level == ELEMENT:
                    _fold_lanes(writer, fold)
                    put(f"{fold.name}_total = {fold.name}_lanes[0]")
                put(f"{partials[fold.name].name}[block] = {fold.name}_total")
        writer.depth = 1
        if partials:
            put("if blocks == 1 or dims[0] == 0:")
            for fold in folds:
                if fold.over != "row":
                    q, r = partials[fold.name], wholes[fold.name]
                    put(f"    for j in range({_size(fold)}):", f"        {r.name}[j] = {r.dtype}({q.name}[j])")
    put("clear_exceptions()")
    return "\n".join(writer.lines) + "\n"


def _size(fold: Fold) -> str:
    return "np.uintp(width)" if fold.over == "column" else "np.uintp(1)"


def _combine_blocks(writer: _Writer, folds: list[Fold], partials: dict[str, Operand], numbers: dict[str, int]) -> None:
    """Write what a launch for no blocks does, after that for all of them: their results become the first's."""
    put = writer.put
    put("if dims[0] == 0:", "    for block in range(1, blocks):")
    writer.depth += 2
    for fold in folds:
        if fold.over == "row":
            continue
        name, number = partials[fold.name].name, numbers[partials[fold.name].name]
        put(f"begin = np.uintp(block) * {_size(fold)}", f"for j in range({_size(fold)}):")
        old, new = (f"load_back_{number}({name}, {place})" for place in ("j", "begin + j"))
        target = f"store_{number}({name}, j, {{}})"
        put(*(f"    {line}" for line in _combined(fold, old, new, target)))
    writer.depth -= 2


def _rows(
    writer: _Writer, nest: Nest, folds: list[Fold], partials: dict[str, Operand], numbers: dict[str, int]
) -> None:
    put = writer.put
    kept = [operand for operand, _ in nest.kept]
    put("for row in range(begin, end):")
    writer.depth += 1
    if nest.outer > 1:
        put("rest = row")
        for axis in range(nest.outer - 1, 0, -1):
            put(f"i{axis} = rest % d{axis}", f"rest = rest // d{axis}")
        put("i0 = rest")
    else:
        put("i0 = row")
    for operand in nest.operands:
        if operand.level != NEST and operand not in partials.values() and operand not in kept:
            terms = " + ".join(f"i{axis} * {operand.name}_step{axis}" for axis in range(nest.outer)) or "0"
            put(f"{operand.name}_row = {terms}")
    put("n = min(width, length - row * width)" if nest.flat else "n = width")
    for operand in nest.loads:
        if operand.level == ROW:
            put(f"v_{operand.name} = {_loaded(operand, f'{operand.name}_row')}")
    stages = 1 + max((step.stage for step in nest.steps), default=0)
    stages = max([stages, *(1 + stage for _, _, stage in nest.stores)])
    for stage in range(stages):
        for step in nest.steps:
            if step.level == ROW and step.stage == stage:
                if isinstance(step, Assign):
                    put(*_assigned(step))
                elif step.over == "all":
                    put(*_combined(step, f"{step.name}_total"))
        for operand, value, at in nest.stores:
            if operand.level == ROW and at == stage:
                put(f"{operand.name}[{operand.name}_row] = {operand.dtype}({value})")
        _stage(writer, nest, stage, partials, numbers)
    writer.depth -= 1


def _stage(writer: _Writer, nest: Nest, stage: int, partials: dict[str, Operand], numbers: dict[str, int]) -> None:
    """Write one loop over the row, and what the row folds to."""
    put = writer.put
    folds = [s for s in nest.steps if isinstance(s, Fold) and s.level == ELEMENT and s.stage == stage]
    stores = [(o, value) for o, value, at in nest.stores if o.level == ELEMENT and at == stage]
    wanted = {f.argument for f in folds} | {value for _, value in stores}
    wanted |= {name for _, name in nest.kept if _stage_of(nest, name) == stage}
    if not wanted:
        return
    # everything that the loop needs: read back if it was kept by an earlier stage, else computed anew
    dear = {name: operand for operand, name in nest.kept}
    assigns = {s.name: s for s in nest.steps if isinstance(s, Assign) and s.level == ELEMENT}
    order: list[Assign] = []
    loads = {f"v_{o.name}": o for o in nest.loads if o.level == ELEMENT}
    used: list[Operand] = []
    seen: set[str] = set()
    stack = [(name, False) for name in sorted(wanted, reverse=True)]
    back: list[str] = []
    while stack:
        name, done = stack.pop()
        if name in dear and assigns[name].stage < stage:
            if name not in seen:
                seen.add(name)
                back.append(name)
        elif name in assigns:
            if done:
                order.append(assigns[name])
            elif name not in seen:
                seen.add(name)
                stack.append((name, True))
                stack.extend((argument, False) for argument in reversed(assigns[name].arguments))
        elif name in loads and name not in seen:
            seen.add(name)
            used.append(loads[name])
    for operand in used:
        if operand.inner == "0":
            put(f"v_{operand.name} = {_loaded(operand, f'{operand.name}_row')}")
    body = [f"v_{o.name} = {_loaded(o, _place(o))}" for o in used if o.inner != "0"]
    for name in back:
        operand = dear[name]
        body.append(f"{name} = load_back_{numbers[operand.name]}({operand.name}, {operand.name}_row + j)")
    for step in order:
        body += _assigned(step)
        if step.name in dear:
            operand = dear[step.name]
            body.append(f"store_{numbers[operand.name]}({operand.name}, {operand.name}_row + j, {step.name})")
    body += [f"store_{numbers[o.name]}({o.name}, {_place(o)}, {o.dtype}({value}))" for o, value in stores]
    for fold in folds:
        if fold.over == "column":
            name = partials[fold.name].name
            place = f"{name}_begin + j"
            number = numbers[name]
            target = f"store_{number}({name}, {place}, {{}})"
            body += _combined(fold, f"load_back_{number}({name}, {place})", put_back=target)
    lanes = [fold for fold in folds if fold.over != "column"]
    if not lanes:
        put("for j in range(np.uintp(n)):", *(f"    {line}" for line in body))
        return
    for fold in lanes:
        if fold.over == "row":
            identity = _identity_text(fold.identity, fold.wide)
            put("for lane in range(used):", f"    {fold.name}_lanes[lane] = {identity}")
    # values wait in memory for a loop that adds them up: in one loop, the wider sums would make all vectors narrow
    waiting = [f"{fold.name}_values[lane] = {fold.argument}" for fold in lanes]

    def summed(fold: Fold) -> list[str]:
        return _combined(fold, f"{fold.name}_lanes[lane]", f"{fold.name}_values[lane]")

    put(f"for start in range(np.uintp(0), np.uintp(n), np.uintp({LANES})):")
    put(f"    count = min(np.uintp(n) - start, np.uintp({LANES}))")
    put("    for lane in range(count):", "        j = start + lane", *(f"        {line}" for line in (*body, *waiting)))
    narrow = [fold for fold in lanes if fold.combine.name == "add" and fold.dtype == "float32"]
    if narrow:
        # four at a time in float32, whose terms are rounded to it anyway: the conversions are what costs
        put(f"    if count == np.uintp({LANES}):", f"        for lane in range(np.uintp({LANES // 4})):")
        for fold in narrow:
            at = [f"{fold.name}_values[lane + np.uintp({LANES // 4 * quarter})]" for quarter in range(4)]
            put(f"            {fold.name}_lanes[lane] += float64(({at[0]} + {at[1]}) + ({at[2]} + {at[3]}))")
        put("    else:", "        for lane in range(count):")
        put(*(f"            {line}" for fold in narrow for line in summed(fold)))
    others = [line for fold in lanes if fold not in narrow for line in summed(fold)]
    if others:
        put("    for lane in range(count):", *(f"        {line}" for line in others))
    for fold in lanes:
        if fold.over == "row":
            _fold_lanes(writer, fold)
            put(f"{fold.name} = {fold.dtype}({fold.name}_lanes[0])")


def _stage_of(nest: Nest, name: str) -> int:
    return next(step.stage for step in nest.steps if isinstance(step, Assign) and step.name == name)


def keep_what_is_dear(nest: Nest) -> list[str]:
    """Name the values that are worth keeping: divisions and functions that later stages would compute again."""
    assigns = {s.name: s for s in nest.steps if isinstance(s, Assign) and s.level == ELEMENT}
    dear = {name for name, s in assigns.items() if any("_float" in t or "/" in t for t in _formula_text(s))}
    found: list[str] = []
    for step in nest.steps:
        if isinstance(step, Fold) and step.level == ELEMENT:
            wanted, stage = step.argument, step.stage
            found += _needed(assigns, wanted, stage, dear)
    for operand, value, stage in nest.stores:
        if operand.level == ELEMENT:
            found += _needed(assigns, value, stage, dear)
    return list(dict.fromkeys(found))


def _needed(assigns: dict[str, Assign], name: str, stage: int, dear: set[str]) -> list[str]:
    """Find the nearest dear values of earlier stages behind a value."""
    found: list[str] = []
    seen: set[str] = set()
    stack = [name]
    while stack:
        name = stack.pop()
        if name not in assigns or name in seen:
            continue
        seen.add(name)
        if name in dear and assigns[name].stage < stage:
            found.append(name)
        else:
            stack.extend(assigns[name].arguments)
    return found


def _formula_text(step: Assign) -> list[str]:
    return _assigned(step) if step.expression is not None else []


def _place(operand: Operand) -> str:
    return f"{operand.name}_row + j" + (f" * {operand.name}_inner" if operand.inner == "s" else "")


def _loaded(operand: Operand, place: str) -> str:
    return f"load({operand.name}, {place})" + (" != 0" if operand.dtype == "bool" else "")


def _assigned(step: Assign) -> list[str]:
    if step.expression is None:
        converted = f"{step.arguments[0]} != 0" if step.dtype == "bool" else f"{step.dtype}({step.arguments[0]})"
        return [f"{step.name} = {converted}"]
    values = [f"{step.number}({a})" if cast else a for a, cast in zip(step.arguments, step.casts, strict=True)]
    names = dict(enumerate(values))
    lines, (value,) = formula.source([step.expression], step.number, names, f"{step.name}_t")
    if "int" in step.dtype:  # Numba computes in 64 bits, and the dtype's results wrap around
        value = f"{step.dtype}({value})"
    return [*lines, f"{step.name} = {value}"]


def _combined(fold: Fold, old: str, value: str | None = None, put_back: str | None = None) -> list[str]:
    """Write: old = combine(old, value)."""
    given = fold.argument if value is None else value
    steps, (value,) = formula.source([fold.combine.expression], fold.wide, {0: "old", 1: "new"}, "c")
    result = f"{fold.wide}({value})"
    lines = [f"old = {old}", f"new = {fold.wide}({given})", *steps]
    return [*lines, put_back.format(result) if put_back else f"{old} = {result}"]


def _fold_lanes(writer: _Writer, fold: Fold) -> None:
    steps, (value,) = formula.source([fold.combine.expression], fold.wide, {0: "old", 1: "new"}, "c")
    lanes = f"{fold.name}_lanes"
    writer.put(
        "half = used // 2",
        "while half > 0:",
        "    for lane in range(half):",
        f"        old = {lanes}[lane]",
        f"        new = {lanes}[lane + half]",
        *(f"        {line}" for line in steps),
        f"        {lanes}[lane] = {fold.wide}({value})",
        "    half //= 2",
    )


def cost(nest: Nest) -> int:
    """Give the simple operations that one element costs, in units of `threads.SHARE_ABOVE`.

    A line of the loop takes a twelfth of what a whole loop over memory does for its one operation (measured).
    """
    text = source(nest)
    return 1 + text.count("=") // 12 + text.count("_float") + 3 * text.count("math.")


def fold_of(combine: ScalarFunction, dtype: str) -> tuple[float, str]:
    """Give the identity of a folding, and the dtype it is accumulated in."""
    from ..reductions import IDENTITIES

    accumulates = combine.name in ("add", "mul")
    wide = dtype
    if accumulates:
        wide = "float64" if dtype.startswith("float") else "uint64" if dtype.startswith("uint") else "int64"
    return IDENTITIES[combine.name], wide
