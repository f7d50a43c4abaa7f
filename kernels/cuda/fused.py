"""Fused loops on a GPU: a nest of formulas and folds, its blocks of rows given to blocks of threads.

How threads share rows is a *form* (`forms`). What is folded over the row is joined by shuffles. Since the threads of a
block wait for each other, all take as many turns over rows, and those beyond the last row go along without a trace.

Folds over all rows give a partial result a block, in memory, which a second kernel joins. Sums of floating dtypes carry
the errors of their additions along, as in `reduction`, save down the rows of a column, which are few in a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..formula import ScalarFunction
from ..loop_nest import ELEMENT, NEST, ROW, Assign, Fold, Nest, Operand, assigned, row_places, size_names
from ..reductions import ACCUMULATING, IDENTITIES, sum_dtype
from ..text import indented
from . import launch
from .accumulators import Accumulator, joined_in_block, joined_in_columns, joined_in_warp
from .forms import (
    LOADS,
    VECTOR,
    Form,
    bounds_of,
    columns_of,
    folds_of,
    form_of,
    is_aligned,
    is_tiled,
    power_above,
    streams_of,
    tiles_of,
    vectors_of,
)
from .forms import blocks as blocks
from .forms import kept as kept


def fold_of(combine: ScalarFunction, dtype: str) -> tuple[float, str]:
    """Return the identity of a fold, and the dtype it is accumulated in: whole numbers in 64 bits."""
    return IDENTITIES[combine.name], sum_dtype(dtype) if combine.name in ACCUMULATING else dtype


def loops(
    label: str, nest: Nest, sizes: Sequence[int], blocks: int, offsets: Sequence[int]
) -> list[Callable[..., None]]:
    """Compile a nest; gives functions of its operands' arrays, to be called one after the other."""
    named = dict(zip(size_names(nest), sizes, strict=True))
    form = form_of(nest, named)
    if not is_aligned(nest, form, named):
        form = form._replace(lanes=1)
    vectors = vectors_of(nest, form.lanes, form.held)
    wide = [position for position, operand in enumerate(nest.operands) if operand in vectors]

    def loop(run: launch.Kernel, blocks: int, threads: int, group: int) -> Callable[..., None]:
        numbers = (*map(int, sizes), group.bit_length() - 1)

        def call(*arrays: Any) -> None:
            addresses = [x.data.ptr + offset for x, offset in zip(arrays, offsets, strict=True)]
            low = 0
            for position in wide:
                low |= addresses[position]
            run(blocks, threads, *numbers, int(low % VECTOR == 0), *addresses)

        return call

    kernel = launch.kernel(f"fused_{label}", source(nest, form), signature(nest))
    grid = blocks * tiles_of(nest, form, named["width"])
    made = [loop(kernel, grid, form.threads, form.group)]
    if nest.partials and blocks > 1:
        kernel = launch.kernel(f"joined_{label}", joining_source(nest), signature(nest))
        across = min(32, power_above(named["width"]))
        grid = max(1, -(-named["width"] // across)) if columns_of(nest) else 1
        made.append(loop(kernel, grid, launch.THREADS, across))
    return made


# ---- writing the kernels --------------------------------------------------------------------------------------------


def signature(nest: Nest) -> tuple[str, ...]:
    """Give the parameters of a nest's kernels: the sizes, `shift`, `vectors`, and the operands."""
    return (*["int64"] * (len(size_names(nest)) + 2), *(f"{operand.held}*" for operand in nest.operands))


def _accumulator(fold: Fold, slot: str = "", exact: bool = True) -> Accumulator:
    return Accumulator(fold.name + slot, fold.combine, fold.identity, fold.wide, fold.wide, exact)


def _joins(fold: Fold) -> bool:
    """Tell whether the threads of a block have to bring together what each has folded."""
    return fold.over != "column" and (fold.level == ELEMENT or fold.over == "all")


def _head(nest: Nest, shared: dict[str, int], carried: int) -> list[str]:
    """Begin a kernel; `shared` gives the room that threads need to join values of a dtype."""
    lines = [f"def kernel({', '.join([*size_names(nest), 'shift', 'vectors', *(o.name for o in nest.operands)])}):"]
    lines += ["    thread = int64(cuda.threadIdx.x)", "    threads = int64(cuda.blockDim.x)"]
    lines += ["    block = int64(cuda.blockIdx.x)", "    step = int64(1) << shift", "    lane = thread & (step - 1)"]
    lines += ["    group = thread >> shift", "    groups = threads >> shift"]
    for wide, room in sorted(shared.items()):
        count = carried if wide.startswith("float") else 1
        lines += [f"    shared{c}_{wide} = cuda.shared.array({room}, {wide})" for c in range(count)]
    return lines


def source(nest: Nest, form: Form | None = None) -> str:
    """Write the kernel; a block of threads takes a block of rows."""
    return _Text(nest, form or Form()).source()


class _Text:
    """Writes the kernel of a nest in one form."""

    def __init__(self, nest: Nest, form: Form) -> None:
        self.nest, self.form, self.folds = nest, form, folds_of(nest)
        self.grouped = form.group < form.threads
        self.tiled = form.held and is_tiled(nest)
        self.columns = columns_of(nest)
        self.partials = {name: operand for operand, _, name in nest.partials}
        self.wholes = {name: operand for _, operand, name in nest.partials}
        self.dear = {name: operand for operand, name in nest.kept}
        self.wide = {operand.name for operand in vectors_of(nest, form.lanes, form.held)}
        self.parts = range(form.slots // form.lanes)

    def source(self) -> str:
        nest, form = self.nest, self.form
        shared = {_accumulator(fold).wide: 32 for fold in self.folds if _joins(fold)}
        if form.held and self.grouped:
            shared |= {_accumulator(fold).wide: form.threads for fold in self.columns}
        lines = [f"BOUNDS = {bounds_of(nest, form)}"]
        lines += _head(nest, shared, 2 if any(_joins(fold) for fold in self.folds) else 1)
        body = [
            f"v_{o.name} = {_read(o, f'{o.name}_first' if o.drawn else '0')}" for o in nest.loads if o.level == NEST
        ]
        for step in nest.steps:
            if isinstance(step, Assign) and step.level == NEST:
                body += assigned(step)
        for operand, value, _ in nest.stores:
            if operand.level == NEST:
                body += ["if block == 0 and thread == 0:", f"    {operand.name}[0] = {operand.dtype}({value})"]
        if self.folds or any(operand.level != NEST for operand in nest.operands):
            body += self._block()
        return "\n".join([*lines, *indented(body)]) + "\n"

    def _block(self) -> list[str]:
        """Write what a block does."""
        form = self.form
        lines = [f"first = lane * {form.lanes}"]
        if self.tiled:  # neighbouring blocks take the same rows
            lines += [f"tile = step * {form.slots}", "tiles = (width + tile - 1) // tile", "if tiles > 1:"]
            lines += ["    first += block % tiles * tile", "    block = block // tiles"]
        lines += ["begin = block * rows_in_block", "end = min(begin + rows_in_block, rows)"]
        if form.held:
            lines += [f"j{u} = first + step * {u * form.lanes}" for u in self.parts]
        else:
            lines += [f"{operand.name}_row = block * width" for operand, _ in self.nest.kept]
            lines += [f"{self.partials[fold.name].name}_row = block * width" for fold in self.columns]
        for fold in self.folds:
            if fold.over == "all":
                lines += _accumulator(fold).begin()
        lines += self._columns_begin()
        lines += ["turn = begin", "while turn < end:"]
        if self.grouped:
            lines += ["    row = min(turn + group, end - 1)", "    inside = turn + group < end"]
        else:
            lines.append("    row = turn")
        lines += [*indented(self._row()), "    turn += groups"]
        for fold in self.folds:
            if fold.over == "all":
                q, r = self.partials[fold.name], self.wholes[fold.name]
                lines += [
                    *joined_in_block(_accumulator(fold)),
                    f"{fold.name} = {_accumulator(fold).end()}",
                    "if thread == 0:",
                ]
                lines += [f"    {q.name}[block] = {q.dtype}({fold.name})", "    if blocks == 1:"]
                lines.append(f"        {r.name}[0] = {r.dtype}({fold.name})")
        return lines + self._columns_end()

    # ---- results of columns -----------------------------------------------------------------------------------------

    def _slots(self) -> list[tuple[int, int]]:
        return [(u, lane) for u in self.parts for lane in range(self.form.lanes)]

    def _columns_begin(self) -> list[str]:
        lines = []
        for fold in self.columns:
            if self.form.held:
                for u, lane in self._slots():
                    lines += _accumulator(fold, f"_{u}_{lane}", exact=False).begin()
            else:
                q = self.partials[fold.name]
                lines += ["j = lane", "while j < width:"]
                lines += [
                    f"    {q.name}[{q.name}_row + j] = {q.dtype}({_accumulator(fold).identity()})",
                    "    j += step",
                ]
        return [*lines, "cuda.syncthreads()"] if lines and not self.form.held else lines  # others go on with them

    def _columns_end(self) -> list[str]:
        lines = []
        for fold in self.columns:
            q, r = self.partials[fold.name], self.wholes[fold.name]
            if not self.form.held:
                lines += ["if blocks == 1:", "    cuda.syncthreads()", "    j = lane", "    while j < width:"]
                lines += [f"        {r.name}[j] = {r.dtype}({q.name}[j])", "        j += step"]
                continue
            for u, lane in self._slots():
                accumulator = _accumulator(fold, f"_{u}_{lane}", exact=False)
                value, place = accumulator.carried[0], f"j{u} + {lane}"
                if self.grouped:
                    lines += joined_in_columns(accumulator, "group", "groups")
                lines += [f"if group == 0 and j{u} < width:", "    if blocks == 1:"]
                lines += [f"        {r.name}[{place}] = {r.dtype}({value})", "    else:"]
                lines.append(f"        {q.name}[block * width + {place}] = {q.dtype}({value})")
        return lines

    # ---- rows -------------------------------------------------------------------------------------------------------

    def _row(self) -> list[str]:
        nest, form = self.nest, self.form
        lines = row_places(nest)
        if nest.flat:
            lines += ["n = min(width, length - row * width)", f"whole = n // {form.lanes} * {form.lanes}"]
        elif self.grouped:
            lines.append("whole = width if inside else int64(0)")
        else:
            lines.append("whole = width")
        # what is beyond the end is read from the last place
        lines.append(f"last = {'whole' if nest.flat else 'width'} - {form.lanes}")
        for operand in nest.loads:
            if operand.level == ROW or (operand.level == ELEMENT and operand.inner == "0"):
                lines.append(f"v_{operand.name} = {_read(operand, f'{operand.name}_row')}")
        if form.held:
            used = {o.name for stage in range(nest.stages) for o in nest.needed(stage)[0]}
            for u in self.parts:
                lines += [f"inside{u} = j{u} < whole", f"c{u} = min(j{u}, last)"]
            lines += self._load([o for o in streams_of(nest) if o.name in used], self.parts)
        for stage in range(nest.stages):
            lines += self._row_values(stage)
            lines += self._stage(stage)
        return lines

    def _row_values(self, stage: int) -> list[str]:
        """Write what is known once a row."""
        one = "if inside and lane == 0:" if self.grouped else "if lane == 0:"
        lines = []
        for step in self.nest.steps:
            if step.level == ROW and step.stage == stage:
                if isinstance(step, Assign):
                    lines += assigned(step)
                elif step.over == "all":  # a row's value is every thread's: one of them takes it in
                    lines += [one, *indented(_accumulator(step).take(step.argument))]
        for operand, value, at in self.nest.stores:
            if operand.level == ROW and at == stage:
                lines += [one, f"    {operand.name}[{operand.name}_row] = {operand.dtype}({value})"]
        return lines

    def _stage(self, stage: int) -> list[str]:
        """Write what a stage does with the elements of a row, and what the row folds to."""
        folds, stores = self.nest.ends_of(stage)
        used, back, order = self.nest.needed(stage)
        if not (folds or stores or order):
            return []
        lines: list[str] = []
        for fold in folds:
            if fold.over == "row":
                lines += _accumulator(fold).begin()
        lanes = self.form.lanes
        if self.form.held:
            for u in self.parts:
                lines += self._elements(stage, u, lanes)
        else:
            streams = [o for o in used if o.inner != "0"] + [self.dear[name] for name in back]
            streams += [self.partials[fold.name] for fold in folds if fold.over == "column"]
            lines += ["j = first", "while j < whole:"]
            for u in self.parts:
                lines += [f"    j{u} = j + step * {u * lanes}", f"    inside{u} = j{u} < whole"]
                lines.append(f"    c{u} = min(j{u}, last)")
            lines += indented(self._load(streams, self.parts))
            for u in self.parts:
                lines += indented(self._elements(stage, u, lanes))
            lines.append(f"    j += step * {self.form.slots}")
        if self.nest.flat and lanes > 1:  # the last elements of all
            lines += [f"c = whole + first // {lanes}", "if c < n:"]
            lines += indented(self._load([o for o in used if o.inner != "0"], [""], 1))
            lines += indented(self._elements(stage, "", 1))
        for fold in folds:
            if fold.over == "row":
                accumulator = _accumulator(fold)
                lines += joined_in_warp(accumulator, "step") if self.grouped else joined_in_block(accumulator)
                lines.append(f"{fold.name} = {fold.dtype}({accumulator.end()})")
        return lines

    # ---- elements ---------------------------------------------------------------------------------------------------

    def _load(self, operands: Sequence[Operand], parts: Iterable[int | str], lanes: int | None = None) -> list[str]:
        """Write the loads of all parts of a row that a thread has in hand, for all to be under way at once."""
        lanes = lanes or self.form.lanes
        quick: list[str] = []
        slow: list[str] = []
        others: list[str] = []
        for u in parts:
            for o in operands:
                places = [_element(o, _place(o, f"c{u}", lane)) for lane in range(lanes)]
                each = f"w_{o.name}_{u} = ({', '.join(places)},)"
                if lanes > 1 and o.name in self.wide:
                    quick.append(f"w_{o.name}_{u} = load_vector({o.name}, {_place(o, f'c{u}', 0)})")
                    slow.append(each)
                else:
                    others.append(each)
        return [*others, *(["if vectors:", *indented(quick), "else:", *indented(slow)] if quick else [])]

    def _elements(self, stage: int, u: int | str, lanes: int) -> list[str]:
        """Write what is done to neighbouring elements: all is computed, and then taken if it is of the row."""
        folds, stores = self.nest.ends_of(stage)
        used, back, order = self.nest.needed(stage)
        held = self.form.held
        lines: list[str] = []
        ends: list[str] = []
        written = [operand for operand, _ in stores]
        for lane in range(lanes):
            lines += [f"v_{o.name} = {_value(o, u, lane)}" for o in used if o.inner != "0"]
            lines += [f"{name} = {f'{name}_{u}_{lane}' if held else _value(self.dear[name], u, lane)}" for name in back]
            for step in order:
                lines += assigned(step)
                if step.name in self.dear:
                    kept = self.dear[step.name]
                    name = f"{step.name}_{u}_{lane}" if held else f"{kept.name}_{lane}"
                    lines.append(f"{name} = {kept.dtype}({step.name})")
            lines += [f"{o.name}_{lane} = {o.dtype}({value})" for o, value in stores]
            for fold in folds:
                element = f"{fold.name}_element{lane}"
                lines.append(f"{element} = {fold.argument}")
                if fold.over != "column":
                    ends += _accumulator(fold).take(element)
                elif held:
                    ends += _accumulator(fold, f"_{u}_{lane}", exact=False).take(element)
                else:
                    q = self.partials[fold.name]
                    accumulator = _accumulator(fold, exact=False)
                    ends += [
                        f"{accumulator.carried[0]} = {accumulator.wide}({_value(q, u, lane)})",
                        *accumulator.take(element),
                    ]
                    ends.append(f"{q.name}_{lane} = {q.dtype}({accumulator.carried[0]})")
        if not held:
            written += [self.dear[step.name] for step in order if step.name in self.dear]
            written += [self.partials[fold.name] for fold in folds if fold.over == "column"]
        for o in written:
            values = [f"{o.name}_{lane}" for lane in range(lanes)]
            each = [f"{o.name}[{_place(o, f'c{u}', lane)}] = {value}" for lane, value in enumerate(values)]
            if lanes > 1 and o.name in self.wide:
                vector = f"store_vector({o.name}, {_place(o, f'c{u}', 0)}, ({', '.join(values)}))"
                ends += ["if vectors:", f"    {vector}", "else:", *indented(each)]
            else:
                ends += each
        if ends and u != "":
            return [*lines, f"if inside{u}:", *indented(ends)]
        return lines + ends


def _place(operand: Operand, column: str, lane: int) -> str:
    """Write where an element is: of a row that begins at a place of its own, some lanes on from a column."""
    column = f"{column} + {lane}" if lane else column
    return f"{operand.name}_row + " + (f"({column}) * {operand.name}_inner" if operand.inner == "s" else column)


def _value(operand: Operand, u: int | str, lane: int) -> str:
    """Write the value of what has been loaded."""
    return f"w_{operand.name}_{u}[{lane}]" + (" != 0" if operand.dtype == "bool" else "")


def _element(operand: Operand, place: str) -> str:
    """Write the element at a place as it is read, or drawn."""
    if operand.drawn:
        return f"draw_{operand.drawn}_{operand.dtype}({operand.name}, {place})"
    return f"{operand.name}[{place}]"


def _read(operand: Operand, place: str) -> str:
    return _element(operand, place) + (" != 0" if operand.dtype == "bool" else "")


def joining_source(nest: Nest) -> str:
    """Write the kernel that joins the blocks' results: some threads a column, and the first block for whole folds."""
    folds = {fold.name: fold for fold in folds_of(nest)}
    parts = [(operand, result, folds[name]) for operand, result, name in nest.partials]
    room = launch.THREADS if any(fold.over == "column" for _, _, fold in parts) else 32
    lines = _head(nest, {_accumulator(fold).wide: room for _, _, fold in parts}, 2)
    body = ["column = block * step + lane"]
    for operand, result, fold in parts:
        accumulator = _accumulator(fold)
        columns = fold.over == "column"
        first, on = ("group", "groups") if columns else ("thread", "threads")
        place = f"{operand.name}[{{}} * width + column]" if columns else f"{operand.name}[{{}}]"
        some = [*accumulator.begin(), f"i = {first}"]
        # loads do not wait for additions
        ahead = [f"x{u} = {place.format(f'(i + {u} * {on})')}" for u in range(LOADS)]
        added = [line for u in range(LOADS) for line in accumulator.take(f"x{u}")]
        some += [f"while i + {LOADS - 1} * {on} < count:", *indented([*ahead, *added, f"i += {LOADS} * {on}"])]
        some += ["while i < count:", *indented([*accumulator.take(place.format("i")), f"i += {on}"])]
        if columns:
            body += ["count = blocks if column < width else int64(0)", *some]
            body += [*joined_in_columns(accumulator, "group", "groups"), "if group == 0 and column < width:"]
            body.append(f"    {result.name}[column] = {result.dtype}({accumulator.end()})")
        else:
            body += ["count = blocks if block == 0 else int64(0)", *some]
            body += [*joined_in_block(accumulator), "if block == 0 and thread == 0:"]
            body.append(f"    {result.name}[0] = {result.dtype}({accumulator.end()})")
    return "\n".join([*lines, *indented(body)]) + "\n"
