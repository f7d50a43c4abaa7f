"""Fused loops: a nest of formulas and foldings, written as loops that threads share by blocks.

Float32 is added up in float64, in lanes that LLVM turns into vectors (see `reduction`).
"""

from __future__ import annotations

from .. import formula
from ..formula import ScalarFunction
from ..nest import ELEMENT, NEST, ROW, Assign, Fold, Nest, Operand, assigned, row_places, size_names
from .reduction_loops import _identity_text
from .sizes import CHUNK, LANES, OUTPUTS


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
    folds = [step for step in nest.steps if isinstance(step, Fold)]
    in_lanes = [fold for fold in folds if fold.over == "row" or (fold.over == "all" and fold.level == ELEMENT)]
    put(*_functions(in_lanes))
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
    if in_lanes:
        # short rows use the first lanes only
        put(f"used = {LANES}", "while used > 1 and used // 2 >= width:", "    used //= 2")
    for fold in in_lanes:
        put(f"{fold.name}_lanes = {fold.wide}_lanes()", f"{fold.name}_values = {fold.dtype}_chunk()")
    for operand in nest.loads:
        if operand.level == NEST:
            put(f"v_{operand.name} = {_loaded(operand, '0')}")
    for step in nest.steps:
        if isinstance(step, Assign) and step.level == NEST:
            put(*assigned(step))
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
                    put(f"{fold.name}_total = {_fold(fold)}({fold.name}_lanes, used)")
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
    put("for row in range(begin, end):")
    writer.depth += 1
    put(*row_places(nest))
    put("n = min(width, length - row * width)" if nest.flat else "n = width")
    for operand in nest.loads:
        if operand.level == ROW:
            put(f"v_{operand.name} = {_loaded(operand, f'{operand.name}_row')}")
    for stage in range(nest.stages):
        for step in nest.steps:
            if step.level == ROW and step.stage == stage:
                if isinstance(step, Assign):
                    put(*assigned(step))
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
    folds, stores = nest.ends_of(stage)
    used, back, order = nest.needed(stage)
    if not (folds or stores or order):
        return
    dear = {name: operand for operand, name in nest.kept}
    for operand in used:
        if operand.inner == "0":
            put(f"v_{operand.name} = {_loaded(operand, f'{operand.name}_row')}")
    body = [f"v_{o.name} = {_loaded(o, _place(o))}" for o in used if o.inner != "0"]
    for name in back:
        operand = dear[name]
        body.append(f"{name} = load_back_{numbers[operand.name]}({operand.name}, {operand.name}_row + j)")
    for step in order:
        body += assigned(step)
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
    waiting = [f"{fold.name}_values[place] = {fold.argument}" for fold in lanes]
    put(f"for start in range(np.uintp(0), np.uintp(n), np.uintp({CHUNK})):")
    put(f"    count = min(np.uintp(n) - start, np.uintp({CHUNK}))")
    put(
        "    for place in range(count):",
        "        j = start + place",
        *(f"        {line}" for line in (*body, *waiting)),
    )
    put(*(f"    {_gather(fold)}({fold.name}_lanes, {fold.name}_values, count)" for fold in lanes))
    for fold in lanes:
        if fold.over == "row":
            put(f"{fold.name} = {fold.dtype}({_fold(fold)}({fold.name}_lanes, used))")


def _gather(fold: Fold) -> str:
    return f"gather_{fold.combine.name}_{fold.dtype}"


def _fold(fold: Fold) -> str:
    return f"fold_{fold.combine.name}_{fold.wide}"


def _functions(folds: list[Fold]) -> list[str]:
    """Write how the kernel gets the functions of `folding` that it calls."""
    lines = []
    for fold in folds:
        lines.append(f'{_gather(fold)} = gathering("{fold.combine.name}", "{fold.dtype}", "{fold.wide}")')
        lines.append(f'{_fold(fold)} = folding("{fold.combine.name}", "{fold.wide}")')
    return list(dict.fromkeys(lines))


def _place(operand: Operand) -> str:
    return f"{operand.name}_row + j" + (f" * {operand.name}_inner" if operand.inner == "s" else "")


def _loaded(operand: Operand, place: str) -> str:
    return f"load({operand.name}, {place})" + (" != 0" if operand.dtype == "bool" else "")


def _combined(fold: Fold, old: str, value: str | None = None, put_back: str | None = None) -> list[str]:
    """Write: old = combine(old, value)."""
    given = fold.argument if value is None else value
    steps, (value,) = formula.source([fold.combine.expression], fold.wide, {0: "old", 1: "new"}, "c")
    result = f"{fold.wide}({value})"
    lines = [f"old = {old}", f"new = {fold.wide}({given})", *steps]
    return [*lines, put_back.format(result) if put_back else f"{old} = {result}"]


def cost(text: str) -> int:
    """Give the simple operations that one element of a loop costs, in units of `threads.SHARE_ABOVE`.

    A line of the loop takes a twelfth of what a whole loop over memory does for its one operation (measured).
    """
    return 1 + text.count("=") // 12 + text.count("_float") + 3 * text.count("math.")


def fold_of(combine: ScalarFunction, dtype: str) -> tuple[float, str]:
    """Give the identity of a folding, and the dtype it is accumulated in."""
    from ..reductions import IDENTITIES

    accumulates = combine.name in ("add", "mul")
    wide = dtype
    if accumulates:
        wide = "float64" if dtype.startswith("float") else "uint64" if dtype.startswith("uint") else "int64"
    return IDENTITIES[combine.name], wide
