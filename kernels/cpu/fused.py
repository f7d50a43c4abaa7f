"""Fused loops: a nest of formulas and foldings, written as loops that threads share by blocks.

Float32 is added up in float64, in lanes that LLVM turns into vectors (see `reduction_loops`).
"""

from __future__ import annotations

from .. import formula
from ..formula import ScalarFunction
from ..loop_nest import ELEMENT, NEST, ROW, Assign, Fold, Nest, Operand, assigned, cost_of, row_places, size_names
from ..philox import COSTS, GROUP
from ..reductions import ACCUMULATING, IDENTITIES, identity_text, sum_dtype
from ..text import Text, indented
from . import parts
from .sizes import CHUNK, LANES, OUTPUTS
from .threads import ACCESS, ADDITION


def source(nest: Nest) -> str:
    """Write the loop; its arguments are a counter of blocks, the sizes, and the operands."""
    loop = _Loop(nest)
    return "\n".join([*parts.texts(loop.parts | loop.chores), str(loop.text)])


class _Loop:
    """Writes the loop of a nest."""

    def __init__(self, nest: Nest) -> None:
        self.nest, self.text = nest, Text()
        #: The functions that long bodies are cut into: their names, by their texts.
        self.parts: dict[str, str] = {}
        #: Likewise what many folds of a loop have to have done besides, which LLVM is to look at once.
        self.chores: dict[str, str] = {}
        self.folds = [step for step in nest.steps if isinstance(step, Fold)]
        self.partials = {name: operand for operand, _, name in nest.partials}
        self.wholes = {name: operand for _, operand, name in nest.partials}
        self.dear = {name: operand for operand, name in nest.kept}
        self.numbers = {o.name: min(i, OUTPUTS - 1) for i, o in enumerate(nest.operands[len(nest.loads) :])}
        self._write()

    def _write(self) -> None:
        nest, text, put = self.nest, self.text, self.text.put
        in_lanes = [f for f in self.folds if f.over == "row" or (f.over == "all" and f.level == ELEMENT)]
        put(*_functions(in_lanes), *_draws(nest.loads))
        with text.block("def loop(args, dims, steps, data):"):
            put("align_stack()")
            with text.block("if dims[0] >= int64_pointer(data)[0]:"):
                put("share(args, dims, steps, data)", "return")
            put("first_block = address(args[0])", "sizes = int64_pointer(args[1])")
            put(*(f"{name} = sizes[{position}]" for position, name in enumerate(size_names(nest))))
            for position, operand in enumerate(nest.operands):
                put(f"{operand.name} = {operand.held}_pointer(args[{2 + position}])")
            if in_lanes:
                # short rows use the first lanes only
                put(f"used = {LANES}", "while used > 1 and used // 2 >= width:", "    used //= 2")
            for fold in in_lanes:
                room = f"{fold.dtype}_room({parts.spaced(CHUNK, fold.dtype)})"
                put(f"{fold.name}_lanes = {fold.wide}_lanes()", f"{fold.name}_values = {room}")
            apart = [fold for fold in self.folds if fold.apart]
            for fold in apart:
                put(f"{fold.name}_values = {fold.dtype}_room({parts.spaced(CHUNK, fold.dtype)})")
            put(*(f"{name}_places = int64_room({parts.spaced(CHUNK, 'int64')})" for name in _places(apart)))
            for operand in nest.loads:
                if operand.drawn:
                    put(f"{operand.name}_values = {operand.dtype}_room({CHUNK + 2 * GROUP[operand.dtype]})")
                if operand.level == NEST:
                    put(*_loads(operand, f"{operand.name}_first" if operand.drawn else "0"))
            for step in nest.steps:
                if isinstance(step, Assign) and step.level == NEST:
                    put(*assigned(step))
            for operand, value, _ in nest.stores:
                if operand.level == NEST:
                    put(f"{operand.name}[0] = {operand.dtype}({value})")
            if self.partials:
                self._combine_blocks()
            if self.folds or any(operand.level != NEST for operand in nest.operands):
                self._blocks()
            put("clear_exceptions()")

    def _blocks(self) -> None:
        """Write the loop over blocks of rows."""
        text, put = self.text, self.text.put
        with text.block("for block in range(first_block, first_block + dims[0]):"):
            put("begin = block * rows_in_block", "end = min(begin + rows_in_block, rows)")
            for fold in self.folds:
                identity = identity_text(fold.identity, fold.wide)
                if fold.over == "all" and fold.level == ELEMENT:
                    put(self._cleared(fold, f"{fold.name}_lanes"))
                elif fold.over == "all":
                    put(f"{fold.name}_total = {identity}")
                elif fold.over in ("column", "place"):
                    name, size = self.partials[fold.name].name, _size(fold)
                    put(f"{name}_begin = block * {size.removeprefix('np.uintp')}")
                    put(self._cleared(fold, f"offset({name}, {name}_begin)", size))
            for operand, _ in self.nest.kept:
                put(f"{operand.name}_row = block * width")
            self._rows()
            for fold in self.folds:
                if fold.over == "all":
                    if fold.level == ELEMENT:
                        put(f"{fold.name}_total = {_fold(fold)}({fold.name}_lanes, used)")
                    put(f"{self.partials[fold.name].name}[block] = {fold.name}_total")
        if self.partials:
            with text.block("if blocks == 1 or dims[0] == 0:"):
                for fold in self.folds:
                    if fold.over != "row":
                        q, r = self.partials[fold.name], self.wholes[fold.name]
                        lines = ["for j in range(count):", f"    store_1(whole, j, {r.dtype}(load_back_0(parts, j)))"]
                        put(f"{self._chore('settle', 'whole, parts, count', lines)}({r.name}, {q.name}, {_size(fold)})")

    def _combine_blocks(self) -> None:
        """Write what a launch for no blocks does, after that for all of them: their results become the first's."""
        with self.text.block("if dims[0] == 0:"):
            for fold in self.folds:
                if fold.over == "row":
                    continue
                combined = _combined(
                    fold, "load_back_0(parts, j)", "load_back_0(parts, begin + j)", "store_0(parts, j, {})"
                )
                lines = ["for block in range(1, blocks):", "    begin = np.uintp(block) * count"]
                lines += ["    for j in range(count):", *indented(combined, 2)]
                name = self._chore("combine", "parts, count, blocks", lines)
                self.text.put(f"{name}({self.partials[fold.name].name}, {_size(fold)}, blocks)")

    def _cleared(self, fold: Fold, place: str, count: str = "np.uintp(used)") -> str:
        """Write: what begins at a place is nothing yet."""
        lines = ["for j in range(count):", f"    store_0(parts, j, {identity_text(fold.identity, fold.wide)})"]
        return f"{self._chore('clear', 'parts, count', lines)}({place}, {count})"

    def _chore(self, what: str, arguments: str, lines: list[str]) -> str:
        """Give the name of a function of the kernel's own."""
        text = "\n".join([f"({arguments}):", *indented(lines)])
        return self.chores.setdefault(text, f"{what}{len(self.chores)}")

    def _rows(self) -> None:
        nest, put = self.nest, self.text.put
        with self.text.block("for row in range(begin, end):"):
            put(*row_places(nest))
            put("n = min(width, length - row * width)" if nest.flat else "n = width")
            for operand in nest.loads:
                if operand.level == ROW:
                    put(*_loads(operand, operand.row))
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
                self._stage(stage)

    def _stage(self, stage: int) -> None:
        """Write one loop over the row, and what the row folds to."""
        put, numbers = self.text.put, self.numbers
        folds, stores = self.nest.ends_of(stage)
        used, back, order = self.nest.needed(stage)
        if not (folds or stores or order):
            return
        for operand in used:
            if operand.inner == "0" and not operand.picked:
                put(*_loads(operand, operand.row))
        streams = [o for o in used if o.inner != "0" or o.bounds or o.picked]
        if parts.is_long(order):
            self._in_parts(order, streams, back, stores, folds)
            return
        drawn = [o for o in used if o.inner != "0" and o.drawn]
        body = [f"v_{o.name} = {_loaded(o, _place(o))}" for o in streams]
        for name in back:
            operand = self.dear[name]
            body.append(f"{name} = load_back_{numbers[operand.name]}({operand.name}, {operand.name}_row + j)")
        for step in order:
            body += assigned(step)
            if step.name in self.dear:
                operand = self.dear[step.name]
                body.append(f"store_{numbers[operand.name]}({operand.name}, {operand.name}_row + j, {step.name})")
        body += [f"store_{numbers[o.name]}({o.name}, {_place(o)}, {o.dtype}({value}))" for o, value in stores]
        for fold in folds:
            if fold.over == "column" or (fold.place and not fold.apart):
                name = self.partials[fold.name].name
                first = f"{fold.place} * {fold.name}_width + " if fold.place else ""
                body += self._added(fold, f"{name}_begin + {first}j")
        lanes = [fold for fold in folds if fold.over in ("row", "all")]
        apart = [fold for fold in folds if fold.apart]
        if not (lanes or drawn or apart):
            put("for j in range(np.uintp(n)):", *indented(body))
            return
        rows = [fold for fold in lanes if fold.over == "row"]
        for fold in rows:
            put(f"if n > {LANES}:", f"    {self._cleared(fold, f'{fold.name}_lanes')}")
        # values wait in memory for a loop that adds them up: in one loop, the wider sums would make all vectors narrow
        waiting = [f"store_{OUTPUTS - 1}({fold.name}_values, place, {fold.argument})" for fold in [*lanes, *apart]]
        waiting += [f"store_{OUTPUTS - 1}({name}_places, place, {name})" for name in _places(apart)]
        with self.text.block(f"for start in range(np.uintp(0), np.uintp(n), np.uintp({CHUNK})):"):
            put(f"count = min(np.uintp(n) - start, np.uintp({CHUNK}))")
            put(*(_draw(operand, f"{operand.name}_row + start", "count") for operand in drawn))
            put("for place in range(count):", *indented(["j = start + place", *body, *waiting]))
            for fold in lanes:
                gathered = f"{_gather(fold)}({fold.name}_lanes, {fold.name}_values, count)"
                put(*([f"if n > {LANES}:", f"    {gathered}"] if fold in rows else [gathered]))
            self._add_apart(apart)
        self._end_rows(rows, LANES)

    def _added(self, fold: Fold, place: str, value: str | None = None) -> list[str]:
        """Write: a value is combined with an element of a block's results."""
        name = self.partials[fold.name].name
        number = self.numbers[name]
        return _combined(fold, f"load_back_{number}({name}, {place})", value, f"store_{number}({name}, {place}, {{}})")

    def _add_apart(self, folds: list[Fold]) -> None:
        """Write: the values of a chunk go to their places, one after the other."""
        if folds:
            with self.text.block("for turn in range(count):"):
                for fold in folds:
                    name = self.partials[fold.name].name
                    self.text.put(f"to = {name}_begin + load({fold.place}_places, turn) * {fold.name}_width")
                    self.text.put(*self._added(fold, "to", f"load({fold.name}_values, turn)"))

    def _end_rows(self, folds: list[Fold], few: int) -> None:
        """Write what rows fold to: short ones from their values, which are in one chunk, others from lanes."""
        for fold in folds:
            self.text.put(
                f"if n <= {few}:",
                f"    {fold.name} = {fold.dtype}({_short(fold)}({fold.name}_values, np.uintp(n)))",
                "else:",
                f"    {fold.name} = {fold.dtype}({_fold(fold)}({fold.name}_lanes, used))",
            )

    def _in_parts(
        self,
        order: list[Assign],
        loads: list[Operand],
        back: list[str],
        stores: list[tuple[Operand, str]],
        folds: list[Fold],
    ) -> None:
        """Write a loop over the row whose body is cut, a chunk at a time."""
        put = self.text.put
        of_blocks = {operand.name: f"{operand.name}_row + start" for operand in self.dear.values()}

        def address(operand: Operand) -> str:
            if operand.drawn:
                return f"offset({operand.name}_values, {operand.name}_shift)"
            step = f" * {operand.name}_inner" if operand.inner == "s" else ""
            if operand.picked and operand.inner == "0":  # each element's place is another row's
                return f"offset({operand.name}, {operand.name}_row)"
            return f"offset({operand.name}, {of_blocks.get(operand.name, f'{operand.row} + start{step}')})"

        made = {step.name for step in order}
        kept = {name: operand for name, operand in self.dear.items() if name in made}
        pieces = parts.cut(order)
        writer = parts.Parts(pieces, loads, {n: self.dear[n] for n in back}, kept, stores, folds, address, CHUNK)
        calls = writer.written(self.parts, _combined)
        lanes = [fold for fold in folds if fold.over in ("row", "all")]
        for dtype, count in writer.rooms.items():
            put(f"wait_{dtype} = {dtype}_room({count * parts.spaced(writer.chunk, dtype)})")
        rows, few = [fold for fold in lanes if fold.over == "row"], min(LANES, writer.chunk)
        for fold in rows:
            put(f"if n > {few}:", f"    {self._cleared(fold, f'{fold.name}_lanes')}")
        with self.text.block(f"for start in range(np.uintp(0), np.uintp(n), np.uintp({writer.chunk})):"):
            put(f"count = min(np.uintp(n) - start, np.uintp({writer.chunk}))")
            for fold in folds:
                if fold.over == "column" or (fold.place and not fold.apart):
                    name = self.partials[fold.name].name
                    first = f"{fold.place} * {fold.name}_width + " if fold.place else ""
                    put(f"{fold.name}_column = offset({name}, {name}_begin + {first}start)")
            put(*(_draw(o, f"{o.name}_row + start", "count") for o in loads if o.drawn))
            put(*calls)
            for fold in lanes:
                gathered = f"{_gather(fold)}({fold.name}_lanes, {fold.name}_values, count)"
                put(*([f"if n > {few}:", f"    {gathered}"] if fold in rows else [gathered]))
            self._add_apart([fold for fold in folds if fold.apart])
        self._end_rows(rows, few)


def _size(fold: Fold) -> str:
    return f"np.uintp({fold.name}_size)" if fold.place else f"np.uintp({'width' if fold.over == 'column' else 1})"


def _places(folds: list[Fold]) -> list[str]:
    """Give the values that tell where elements are added, each once."""
    return list(dict.fromkeys(fold.place for fold in folds))


def _gather(fold: Fold) -> str:
    return f"gather_{fold.combine.name}_{fold.dtype}"


def _fold(fold: Fold) -> str:
    return f"fold_{fold.combine.name}_{fold.wide}"


def _short(fold: Fold) -> str:
    return f"row_{fold.combine.name}_{fold.dtype}"


def _functions(folds: list[Fold]) -> list[str]:
    """Write how the kernel gets the functions of `folding` that it calls."""
    lines = []
    for fold in folds:
        lines.append(f'{_gather(fold)} = gathering("{fold.combine.name}", "{fold.dtype}", "{fold.wide}")')
        lines.append(f'{_fold(fold)} = folding("{fold.combine.name}", "{fold.wide}")')
        if fold.over == "row":
            lines.append(f'{_short(fold)} = short_rows("{fold.combine.name}", "{fold.dtype}", "{fold.wide}")')
    return list(dict.fromkeys(lines))


def _draws(loads: list[Operand]) -> list[str]:
    """Write how the kernel gets the functions of `random` that it calls."""
    kinds = dict.fromkeys((o.drawn, o.dtype) for o in loads if o.drawn)
    return [f'draw_{kind}_{dtype} = drawing("{kind}", "{dtype}")' for kind, dtype in kinds]


def _draw(operand: Operand, first: str, count: str) -> str:
    """Write: elements of a stream are drawn into memory, where the first is found at a place."""
    name, draw = operand.name, f"draw_{operand.drawn}_{operand.dtype}"
    return f"{name}_shift = {draw}({name}_values, {name}, int64({first}), int64({count}))"


def _loads(operand: Operand, place: str) -> list[str]:
    """Write: one element is loaded, or drawn."""
    name = operand.name
    if operand.bounds:  # zero in rows beyond them; where an element of the row is chosen, it is seen in its place
        value = f"load_within({name}, {place}, 0, 0, {name}_count)"
        if operand.level == ELEMENT:
            return [f"w_{name} = {value}"]
        return [f"v_{name} = {value}" + (" != 0" if operand.dtype == "bool" else "")]
    if not operand.drawn:
        return [f"v_{name} = {_loaded(operand, place)}"]
    return [_draw(operand, place, "1"), f"v_{name} = load({name}_values, {name}_shift)"]


def _place(operand: Operand) -> str:
    if operand.drawn:
        return f"np.uintp({operand.name}_shift) + place"
    if operand.picked and operand.inner == "0":
        return operand.row
    return f"{operand.row} + j" + (f" * {operand.name}_inner" if operand.inner == "s" else "")


def _loaded(operand: Operand, place: str) -> str:
    name = f"{operand.name}_values" if operand.drawn else operand.name
    value = f"load({name}, {place})"
    if operand.bounds:
        where = f"j, {name}_first, {name}_count"
        value = f"within(w_{name}, {where})" if operand.inner == "0" else f"load_within({name}, {place}, {where})"
    return value + (" != 0" if operand.dtype == "bool" else "")


def _combined(fold: Fold, old: str, value: str | None = None, put_back: str | None = None) -> list[str]:
    """Write: old = combine(old, value)."""
    given = fold.argument if value is None else value
    steps, (value,) = formula.source([fold.combine.expression], fold.wide, {0: "old", 1: "new"}, "c")
    result = f"{fold.wide}({value})"
    lines = [f"old = {old}", f"new = {fold.wide}({given})", *steps]
    return [*lines, put_back.format(result) if put_back else f"{old} = {result}"]


def cost(nest: Nest) -> int:
    """Estimate what an element costs, in elements of a loop of additions."""
    if not nest.cost:
        kept = {name for _, name in nest.kept}
        total = 0
        for stage in range(nest.stages):
            folds, stores = nest.ends_of(stage)
            used, back, order = nest.needed(stage)
            # what is folded waits in memory, and is taken into a lane
            accesses = len(back) + len(stores) + 4 * len(folds)
            accesses += sum([operand.inner != "0" or bool(operand.picked) for operand in used]) + sum(
                [step.name in kept for step in order]
            )
            total += sum([COSTS[operand.drawn] for operand in used if operand.drawn])
            total += ACCESS * accesses + cost_of([*order, *folds])
        nest.cost = max(1, total // ADDITION)
    return nest.cost


def fold_of(combine: ScalarFunction, dtype: str) -> tuple[float, str]:
    """Return the identity of a fold, and the dtype it is accumulated in."""
    wide = dtype
    if combine.name in ACCUMULATING:
        wide = "float64" if dtype.startswith("float") else sum_dtype(dtype)
    return IDENTITIES[combine.name], wide
