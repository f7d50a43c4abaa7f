"""Fused loops on a GPU: a nest of formulas and foldings, its blocks of rows given to blocks of threads.

A row is shared by a group of threads. What is folded over the row is joined by shuffles: groups of up to 32 threads lie
in one warp, several a block, and larger ones are a block each. A thread has some `slots` of a row in hand at once, by
16 bytes where that can be: as many loads are under way as the latency of memory takes. Rows that fit into the registers
of a group are read once and *held* for all stages, and so are the results of columns from row to row. Longer rows are
gone through in a loop for each stage, and so is one long row that is folded as a whole. Where nothing is folded over
rows, neighbouring blocks share them as tiles. Since the threads of a block wait for each other, all take as many turns
over rows, and those beyond the last row go along without a trace.

Folds over all rows give a partial result a block, in memory, which a second kernel joins. Sums of floating dtypes carry
the errors of their additions along, as in `reduction`, save down the rows of a column, which are few in a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..formula import ScalarFunction
from ..nest import ELEMENT, NEST, ROW, Assign, Fold, Nest, Operand, assigned, row_places, size_names
from ..reductions import IDENTITIES
from . import launch
from .folding import Folding, joined_in_block, joined_in_columns, joined_in_warp

#: Bytes that a thread reads or writes at once.
_VECTOR = 16
#: Such loads that a thread has under way: 64 bytes by 1024 threads are thrice what a processor of an H100 has to wait
#: for to be busy all the time (3.35 TB/s by 0.7 microseconds among 132).
_LOADS = 4
#: Blocks of 256 threads that such a GPU runs at once, four a processor, where threads need no more than 64 registers.
_RESIDENT = 528
#: The least blocks for which they are as large as can be, and the least rows that each has of a column.
_FEW = 264
_ROWS = 8
#: Elements of one long row come in multiples of this to a block.
_PIECE = 1024
#: Longer rows have a block each.
_SHORT = 1024
#: Registers of a thread for a row's elements, and what a kernel may cost to compile, as `_cost` counts.
_REGISTERS = 48
_LONGEST = 600


def fold_of(combine: ScalarFunction, dtype: str) -> tuple[float, str]:
    """Give the identity of a folding, and the dtype it is accumulated in: whole numbers in 64 bits."""
    wide = dtype
    if combine.name in ("add", "mul") and not dtype.startswith("float"):
        wide = "uint64" if dtype.startswith("uint") else "int64"
    return IDENTITIES[combine.name], wide


# ---- how threads share a nest ---------------------------------------------------------------------------------------


class Form(NamedTuple):
    """How threads share the elements of a nest's rows."""

    group: int = launch.THREADS  # threads that share a row
    threads: int = launch.THREADS  # of a block
    slots: int = 1  # elements of a row that a thread has in hand at once
    lanes: int = 1  # and how many of them are neighbours
    held: bool = False  # whether these are all that it has of a row, or of a tile


def _folds(nest: Nest) -> list[Fold]:
    return [step for step in nest.steps if isinstance(step, Fold)]


def _columns(nest: Nest) -> list[Fold]:
    return [fold for fold in _folds(nest) if fold.over == "column"]


def _tiled(nest: Nest) -> bool:
    """Tell whether blocks can divide a row among them: nothing is folded over it."""
    return all(fold.over == "column" for fold in _folds(nest))


def _size(operand: Operand) -> int:
    return np.dtype(operand.dtype).itemsize


def _streams(nest: Nest) -> list[Operand]:
    """List what is read for each element."""
    return [operand for operand in nest.loads if operand.level == ELEMENT and operand.inner != "0"]


def _vectors(nest: Nest, lanes: int, held: bool) -> list[Operand]:
    """List the operands that are read or written by 16 bytes."""
    if lanes == 1:
        return []
    operands = [*nest.loads, *(operand for operand, _, _ in nest.stores)]
    if not held:
        operands += [operand for operand, _ in nest.kept]
    return [o for o in operands if o.level == ELEMENT and o.inner == "1" and _size(o) * lanes == _VECTOR]


def _registers(nest: Nest) -> int:
    """Give the registers that an element of a row takes, where rows are held."""
    numbers = [*_streams(nest), *(operand for operand, _ in nest.kept)]
    columns = [operand for operand, _, name in nest.partials if any(f.name == name for f in _columns(nest))]
    return sum(max(1, _size(operand) // 4) for operand in (*numbers, *columns))


def _cost(nest: Nest) -> int:
    """Estimate what the formulas of an element cost to compile, in additions."""
    cost = 1
    for stage in range(nest.stages):
        folds, stores = nest.ends_of(stage)
        lines = [line for step in nest.needed(stage)[2] for line in assigned(step)]
        cost += len(lines) + 12 * sum(line.count("_float") for line in lines) + 4 * len(folds) + len(stores)
    return cost


def _power(n: int) -> int:
    """Give the least power of two that is not below n."""
    return 1 << max(n - 1, 0).bit_length()


def _below(n: int) -> int:
    """Give the largest power of two that is not above n, and 1 below."""
    return 1 << max(n.bit_length() - 1, 0)


def _form(nest: Nest, rows: int, width: int) -> Form:
    """Choose how threads share rows of a width; a flat nest is one row here."""
    if not rows or not width:
        return Form(32, 32)
    streams = _streams(nest)
    sizes = {_size(o) for o in _vectors(nest, 4, True) + _vectors(nest, 2, True)}
    lanes = _VECTOR // max(sizes) if sizes else 1
    shortest = max(1, _LONGEST // _cost(nest))
    slots = min(lanes * _below(_LOADS // max(len(streams), 1)) if lanes > 1 else _LOADS, _below(shortest))

    def made(group: int, threads: int, slots: int, held: bool) -> Form:
        return Form(group, threads, slots, lanes if slots >= lanes else 1, held)

    def enough(threads: int, blocks: Callable[[int], int]) -> int:
        """Take fewer threads to a block where there would be few blocks."""
        while threads > 32 and blocks(threads) < _FEW:
            threads //= 2
        return threads

    most = _below(min(_REGISTERS // max(_registers(nest), 1), shortest))
    if nest.flat:
        threads = enough(launch.THREADS, lambda threads: -(-width // (threads * slots)))
        return made(threads, threads, slots, _tiled(nest))
    if _tiled(nest):
        slots = min(slots, most)
        widest = _power(-(-width // min(slots, 4)))

        def blocks(threads: int) -> int:
            group = min(threads, widest)
            return -(-rows * group // threads) * -(-width // (group * slots))

        threads = enough(launch.THREADS, blocks)
        group = min(threads, widest)
        return made(group, threads, min(slots, _power(-(-width // group))), True)
    group = min(32, _power(-(-width // min(most, 4))))
    if width <= min(_SHORT, group * most):
        threads = enough(launch.THREADS, lambda threads: -(-rows * group // threads))
        return made(group, max(threads, group), _power(-(-width // group)), True)
    for threads in (min(launch.THREADS, max(64, _power(-(-width // min(most, 4))))), 2 * launch.THREADS):
        if width <= threads * most:
            return made(threads, threads, _power(-(-width // threads)), True)
    return made(2 * launch.THREADS, 2 * launch.THREADS, slots, False)


def _form_of(nest: Nest, sizes: dict[str, int]) -> Form:
    return _form(nest, 1, sizes["length"]) if nest.flat else _form(nest, sizes["rows"], sizes["width"])


def _tiles(nest: Nest, form: Form, width: int) -> int:
    """Give the number of blocks that share a row."""
    return max(1, -(-width // (form.group * form.slots))) if form.held and _tiled(nest) else 1


def blocks(nest: Nest, rows: int, elements: int) -> int:
    """Give the number of blocks that a nest is cut into."""
    if nest.flat:
        form = _form(nest, 1, elements)
        count = -(-elements // max(_PIECE, form.threads * form.slots))
        return max(1, min(count, _RESIDENT if nest.partials else 2**31 - 1))
    width = elements // max(rows, 1)
    form = _form(nest, rows, width)
    groups, tiles = form.threads // form.group, _tiles(nest, form, width)
    count = -(-rows // groups)  # a turn each
    even = max(1, _RESIDENT * launch.THREADS // (form.threads * tiles))
    if _columns(nest):
        most = min(even, max(-(-count // _ROWS), _FEW // 2 // tiles, 1))
    elif nest.partials:
        most = even
    elif nest.kept and not form.held:  # each block has memory of its own
        most = 4 * even
    else:
        most = (2**31 - 1) // tiles if _tiled(nest) else 16 * even
    turns = max(1, -(-count // most))
    return max(1, -(-rows // (turns * groups)))


def kept(nest: Nest, sizes: Sequence[int], blocks: int) -> int:
    """Give the elements of memory that a kept value takes: none of those that threads hold in registers."""
    named = dict(zip(size_names(nest), sizes, strict=True))
    return 1 if _form_of(nest, named).held else blocks * named["width"]


def _bounds(nest: Nest, form: Form) -> tuple[int, int]:
    """Give the most threads of a block, and how many blocks a processor is to run at once.

    As many as `_RESIDENT` is made for, if 64 registers will do.
    """
    if form.threads > 256:
        return form.threads, 1
    stores = [operand for operand, _, _ in nest.stores if operand.level == ELEMENT]
    numbers = {step.number for step in nest.steps if isinstance(step, Assign) and step.level == ELEMENT}
    wide = any(np.dtype(number).itemsize == 8 for number in (*numbers, *(o.dtype for o in (*_streams(nest), *stores))))
    return 256, 2 if wide or (_registers(nest) + len(stores)) * form.slots > _REGISTERS else 4


def signature(nest: Nest) -> tuple[str, ...]:
    """Give the parameters of a nest's kernels: the sizes, `shift`, `vectors`, and the operands."""
    return (*["int64"] * (len(size_names(nest)) + 2), *(f"{operand.dtype}*" for operand in nest.operands))


def _aligned(nest: Nest, form: Form, sizes: dict[str, int]) -> bool:
    """Tell whether every row begins at a multiple of 16 bytes, if the arrays do."""
    lanes = form.lanes
    if nest.flat:
        return sizes["length"] >= lanes and (sizes["rows"] == 1 or sizes["width"] % lanes == 0)
    loaded = {o.name for o in (*nest.loads, *(o for o, _, _ in nest.stores))}
    steps = [
        sizes[f"{o.name}_step{axis}"]
        for o in _vectors(nest, lanes, form.held)
        for axis in range(nest.outer)
        if o.name in loaded
    ]
    return all(step % lanes == 0 for step in (sizes["width"], *steps))


def loops(
    label: str, nest: Nest, sizes: Sequence[int], blocks: int, offsets: Sequence[int]
) -> list[Callable[..., None]]:
    """Compile a nest; gives functions of its operands' arrays, to be called one after the other."""
    named = dict(zip(size_names(nest), sizes, strict=True))
    form = _form_of(nest, named)
    if not _aligned(nest, form, named):
        form = form._replace(lanes=1)
    vectors = _vectors(nest, form.lanes, form.held)
    wide = [position for position, operand in enumerate(nest.operands) if operand in vectors]

    def loop(run: launch.Kernel, blocks: int, threads: int, group: int) -> Callable[..., None]:
        numbers = (*map(int, sizes), group.bit_length() - 1)

        def call(*arrays: Any) -> None:
            addresses = [x.data.ptr + offset for x, offset in zip(arrays, offsets, strict=True)]
            low = 0
            for position in wide:
                low |= addresses[position]
            run(blocks, threads, *numbers, int(low % _VECTOR == 0), *addresses)

        return call

    kernel = launch.kernel(f"fused_{label}", source(nest, form), signature(nest))
    grid = blocks * _tiles(nest, form, named["width"])
    made = [loop(kernel, grid, form.threads, form.group)]
    if nest.partials and blocks > 1:
        kernel = launch.kernel(f"joined_{label}", joining_source(nest), signature(nest))
        across = min(32, _power(named["width"]))
        grid = max(1, -(-named["width"] // across)) if _columns(nest) else 1
        made.append(loop(kernel, grid, launch.THREADS, across))
    return made


# ---- writing the kernels --------------------------------------------------------------------------------------------


def _indented(lines: Iterable[str], depth: int = 1) -> list[str]:
    return ["    " * depth + line for line in lines]


def _folding(fold: Fold, slot: str = "", exact: bool = True) -> Folding:
    return Folding(fold.name + slot, fold.combine, fold.identity, fold.wide, fold.wide, exact)


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
        self.nest, self.form, self.folds = nest, form, _folds(nest)
        self.grouped = form.group < form.threads
        self.tiled = form.held and _tiled(nest)
        self.columns = _columns(nest)
        self.partials = {name: operand for operand, _, name in nest.partials}
        self.wholes = {name: operand for _, operand, name in nest.partials}
        self.dear = {name: operand for operand, name in nest.kept}
        self.wide = {operand.name for operand in _vectors(nest, form.lanes, form.held)}
        self.parts = range(form.slots // form.lanes)

    def source(self) -> str:
        nest, form = self.nest, self.form
        shared = {_folding(fold).wide: 32 for fold in self.folds if _joins(fold)}
        if form.held and self.grouped:
            shared |= {_folding(fold).wide: form.threads for fold in self.columns}
        lines = [f"BOUNDS = {_bounds(nest, form)}"]
        lines += _head(nest, shared, 2 if any(_joins(fold) for fold in self.folds) else 1)
        body = [f"v_{o.name} = {_read(o, '0')}" for o in nest.loads if o.level == NEST]
        for step in nest.steps:
            if isinstance(step, Assign) and step.level == NEST:
                body += assigned(step)
        for operand, value, _ in nest.stores:
            if operand.level == NEST:
                body += ["if block == 0 and thread == 0:", f"    {operand.name}[0] = {operand.dtype}({value})"]
        if self.folds or any(operand.level != NEST for operand in nest.operands):
            body += self._block()
        return "\n".join([*lines, *_indented(body)]) + "\n"

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
                lines += _folding(fold).begin()
        lines += self._columns_begin()
        lines += ["turn = begin", "while turn < end:"]
        if self.grouped:
            lines += ["    row = min(turn + group, end - 1)", "    inside = turn + group < end"]
        else:
            lines.append("    row = turn")
        lines += [*_indented(self._row()), "    turn += groups"]
        for fold in self.folds:
            if fold.over == "all":
                q, r = self.partials[fold.name], self.wholes[fold.name]
                lines += [*joined_in_block(_folding(fold)), f"{fold.name} = {_folding(fold).end()}", "if thread == 0:"]
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
                    lines += _folding(fold, f"_{u}_{lane}", exact=False).begin()
            else:
                q = self.partials[fold.name]
                lines += ["j = lane", "while j < width:"]
                lines += [f"    {q.name}[{q.name}_row + j] = {q.dtype}({_folding(fold).identity()})", "    j += step"]
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
                folding = _folding(fold, f"_{u}_{lane}", exact=False)
                value, place = folding.carried[0], f"j{u} + {lane}"
                if self.grouped:
                    lines += joined_in_columns(folding, "group", "groups")
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
            lines += self._load([o for o in _streams(nest) if o.name in used], self.parts)
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
                    lines += [one, *_indented(_folding(step).take(step.argument))]
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
                lines += _folding(fold).begin()
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
            lines += _indented(self._load(streams, self.parts))
            for u in self.parts:
                lines += _indented(self._elements(stage, u, lanes))
            lines.append(f"    j += step * {self.form.slots}")
        if self.nest.flat and lanes > 1:  # the last elements of all
            lines += [f"c = whole + first // {lanes}", "if c < n:"]
            lines += _indented(self._load([o for o in used if o.inner != "0"], [""], 1))
            lines += _indented(self._elements(stage, "", 1))
        for fold in folds:
            if fold.over == "row":
                folding = _folding(fold)
                lines += joined_in_warp(folding, "step") if self.grouped else joined_in_block(folding)
                lines.append(f"{fold.name} = {fold.dtype}({folding.end()})")
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
                places = [f"{o.name}[{_place(o, f'c{u}', lane)}]" for lane in range(lanes)]
                each = f"w_{o.name}_{u} = ({', '.join(places)},)"
                if lanes > 1 and o.name in self.wide:
                    quick.append(f"w_{o.name}_{u} = load_vector({o.name}, {_place(o, f'c{u}', 0)})")
                    slow.append(each)
                else:
                    others.append(each)
        return [*others, *(["if vectors:", *_indented(quick), "else:", *_indented(slow)] if quick else [])]

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
                    ends += _folding(fold).take(element)
                elif held:
                    ends += _folding(fold, f"_{u}_{lane}", exact=False).take(element)
                else:
                    q = self.partials[fold.name]
                    folding = _folding(fold, exact=False)
                    ends += [f"{folding.carried[0]} = {folding.wide}({_value(q, u, lane)})", *folding.take(element)]
                    ends.append(f"{q.name}_{lane} = {q.dtype}({folding.carried[0]})")
        if not held:
            written += [self.dear[step.name] for step in order if step.name in self.dear]
            written += [self.partials[fold.name] for fold in folds if fold.over == "column"]
        for o in written:
            values = [f"{o.name}_{lane}" for lane in range(lanes)]
            each = [f"{o.name}[{_place(o, f'c{u}', lane)}] = {value}" for lane, value in enumerate(values)]
            if lanes > 1 and o.name in self.wide:
                vector = f"store_vector({o.name}, {_place(o, f'c{u}', 0)}, ({', '.join(values)}))"
                ends += ["if vectors:", f"    {vector}", "else:", *_indented(each)]
            else:
                ends += each
        if ends and u != "":
            return [*lines, f"if inside{u}:", *_indented(ends)]
        return lines + ends


def _place(operand: Operand, column: str, lane: int) -> str:
    """Write where an element is: of a row that begins at a place of its own, some lanes on from a column."""
    column = f"{column} + {lane}" if lane else column
    return f"{operand.name}_row + " + (f"({column}) * {operand.name}_inner" if operand.inner == "s" else column)


def _value(operand: Operand, u: int | str, lane: int) -> str:
    """Write the value of what has been loaded."""
    return f"w_{operand.name}_{u}[{lane}]" + (" != 0" if operand.dtype == "bool" else "")


def _read(operand: Operand, place: str) -> str:
    return f"{operand.name}[{place}]" + (" != 0" if operand.dtype == "bool" else "")


def joining_source(nest: Nest) -> str:
    """Write the kernel that joins the blocks' results: some threads a column, and the first block for whole folds."""
    folds = {fold.name: fold for fold in _folds(nest)}
    parts = [(operand, result, folds[name]) for operand, result, name in nest.partials]
    room = launch.THREADS if any(fold.over == "column" for _, _, fold in parts) else 32
    lines = _head(nest, {_folding(fold).wide: room for _, _, fold in parts}, 2)
    body = ["column = block * step + lane"]
    for operand, result, fold in parts:
        folding = _folding(fold)
        columns = fold.over == "column"
        first, on = ("group", "groups") if columns else ("thread", "threads")
        place = f"{operand.name}[{{}} * width + column]" if columns else f"{operand.name}[{{}}]"
        some = [*folding.begin(), f"i = {first}"]
        # loads do not wait for additions
        ahead = [f"x{u} = {place.format(f'(i + {u} * {on})')}" for u in range(_LOADS)]
        added = [line for u in range(_LOADS) for line in folding.take(f"x{u}")]
        some += [f"while i + {_LOADS - 1} * {on} < count:", *_indented([*ahead, *added, f"i += {_LOADS} * {on}"])]
        some += ["while i < count:", *_indented([*folding.take(place.format("i")), f"i += {on}"])]
        if columns:
            body += ["count = blocks if column < width else int64(0)", *some]
            body += [*joined_in_columns(folding, "group", "groups"), "if group == 0 and column < width:"]
            body.append(f"    {result.name}[column] = {result.dtype}({folding.end()})")
        else:
            body += ["count = blocks if block == 0 else int64(0)", *some]
            body += [*joined_in_block(folding), "if block == 0 and thread == 0:"]
            body.append(f"    {result.name}[0] = {result.dtype}({folding.end()})")
    return "\n".join([*lines, *_indented(body)]) + "\n"
