"""Loop nests of formulas and foldings over one space of elements, for every target to write in its own way.

The space is rows of elements: any number of outer dimensions, and an inner one. Values are of three levels: one for
each element, one for each row, one for the whole nest. An element's value may depend on what a folding over its row
gave; each such dependence begins another stage, a loop over the row of its own. Rows are cut into blocks, which run
side by side. What is folded over all rows is kept block by block, and combined by another launch, so that results
depend on the arrays alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from . import formula, scalars
from .formula import Expression, ScalarFunction

#: The levels of a value.
ELEMENT, ROW, NEST = "element", "row", "nest"

#: Additions and the like from which it is more to compute a value again than to read it.
_MUCH = 24


class Operand(NamedTuple):
    """An array that a nest reads or writes: its dtype, its level, and the step between neighbours of a row."""

    name: str
    dtype: str
    level: str
    #: "0" for one element along the row, "1" for neighbours in memory, "s" for a step given at the call.
    inner: str = "1"
    #: The dimensions along which there are zeros before and after what is there, where the operand begins: the row's is
    #: "", those around it "0", "1", ...
    bounds: tuple[str, ...] = ()
    #: What is drawn (`philox.KINDS`) of a stream of numbers whose state the array is; "" for an array's elements.
    drawn: str = ""
    #: The value that is a position in a table whose rows are read; "" for an array's own rows.
    picked: str = ""

    @property
    def held(self) -> str:
        """The dtype of the array."""
        return "uint64" if self.drawn else self.dtype

    @property
    def row(self) -> str:
        """Write the place of a row's first element."""
        return f"{self.name}_row + {self.picked} * {self.name}_pick" if self.picked else f"{self.name}_row"


class Assign(NamedTuple):
    """``name = expression`` of named values; `number` is the dtype that is computed in, `dtype` that of the result."""

    name: str
    expression: Expression | None  # None: the first value, converted
    arguments: tuple[str, ...]
    casts: tuple[bool, ...]  # which arguments have another dtype than `number`
    number: str
    dtype: str
    level: str
    stage: int


class Fold(NamedTuple):
    """``name`` = the values of a row, of a column over all rows, or of everything, combined."""

    name: str
    argument: str
    combine: ScalarFunction
    identity: float
    wide: str
    dtype: str
    #: "row", "column", "all", or "place": into rows that positions tell
    over: str
    #: The level of the argument, and the stage in which it is known.
    level: str
    stage: int
    #: The value that is the position of an element, or of a row of them, and whether it is an element's.
    place: str = ""
    apart: bool = False


class Nest:
    """A loop nest to be written: what is loaded, computed, folded and stored."""

    def __init__(
        self,
        outer: int,
        flat: bool,
        loads: list[Operand] | None = None,
        steps: list[Assign | Fold] | None = None,
        stores: list[tuple[Operand, str, int]] | None = None,
    ) -> None:
        self.outer = outer  # dimensions around the row
        self.flat = flat  # the rows are pieces of one long row, the last of which may be short
        self.loads, self.steps = loads or [], steps or []
        #: What is stored: the value, and its stage.
        self.stores = stores or []
        #: A row's memory for each block, for what a later stage over the row would compute again; the value's name.
        self.kept: list[tuple[Operand, str]] = []
        #: Where the folds over all rows put what each block gave, and the whole if there is one block; the fold's name.
        self.partials: list[tuple[Operand, Operand, str]] = []
        #: What a target has written of it, and estimated an element of it to cost.
        self.text, self.cost = "", 0

    @property
    def operands(self) -> list[Operand]:
        """All arrays, in the order in which a launch names them."""
        partials, wholes = [o for o, _, _ in self.partials], [o for _, o, _ in self.partials]
        kept = [o for o, _ in self.kept]
        return [*self.loads, *(o for o, _, _ in self.stores), *kept, *partials, *wholes]

    @property
    def stages(self) -> int:
        """The number of loops over the row."""
        return 1 + max([0, *(step.stage for step in self.steps), *(stage for _, _, stage in self.stores)])

    def ends_of(self, stage: int) -> tuple[list[Fold], list[tuple[Operand, str]]]:
        """Give the folds over elements and the stores of elements, with the value stored, of a stage's loop."""
        folds = [s for s in self.steps if isinstance(s, Fold) and s.level == ELEMENT and s.stage == stage]
        return folds, [(o, value) for o, value, at in self.stores if o.level == ELEMENT and at == stage]

    def needed(self, stage: int) -> tuple[list[Operand], list[str], list[Assign]]:
        """Find what a stage's loop over the row needs for what it folds, stores and keeps.

        The operands to load, the names of kept values to read back, and what to compute, in order.
        """
        folds, stores = self.ends_of(stage)
        assigns = {s.name: s for s in self.steps if isinstance(s, Assign) and s.level == ELEMENT}
        dear = {name: operand for operand, name in self.kept}
        wanted = {fold.argument for fold in folds} | {value for _, value in stores}
        wanted |= {fold.place for fold in folds if fold.apart}
        wanted |= {name for name in dear if assigns[name].stage == stage}
        order: list[Assign] = []
        loads = {f"v_{o.name}": o for o in self.loads if o.level == ELEMENT}
        used: list[Operand] = []
        seen: set[str] = set()
        stack: list[str | Assign] = sorted(wanted, reverse=True)
        back: list[str] = []
        while stack:
            name = stack.pop()
            if isinstance(name, Assign):  # all its arguments have been seen to
                order.append(name)
                continue
            if name in seen:
                continue
            seen.add(name)
            step = assigns.get(name)
            if step is None:
                if name in loads:
                    used.append(loads[name])
            elif name in dear and step.stage < stage:
                back.append(name)
            else:
                stack.append(step)
                stack += step.arguments[::-1]
        return used, back, order


def cost_of(steps: Iterable[Assign | Fold]) -> int:
    """Estimate what steps compute for each element, in additions; a conversion counts as one."""
    total = 0
    for step in steps:
        if isinstance(step, Fold):
            total += step.combine.cost
        else:
            total += sum(step.casts) + (1 if step.expression is None else formula.cost_of(step.expression))
    return total


def size_names(nest: Nest) -> list[str]:
    """List what the array of sizes holds, in order."""
    names = ["blocks", "rows_in_block", "rows", "width"] + (["length"] if nest.flat else [])
    names += [f"d{axis}" for axis in range(1, nest.outer)]
    for operand in nest.operands:
        if operand.level != NEST:
            names += [f"{operand.name}_step{axis}" for axis in range(nest.outer)]
        if operand.drawn:
            names.append(f"{operand.name}_first")
        if operand.picked:
            names.append(f"{operand.name}_pick")
        if operand.level == ELEMENT and operand.inner == "s":
            names.append(f"{operand.name}_inner")
        for dimension in operand.bounds:
            names += [f"{operand.name}_low{dimension}", f"{operand.name}_high{dimension}"]
    for step in nest.steps:
        if isinstance(step, Fold) and step.place:
            names += [f"{step.name}_size", f"{step.name}_width"]
    return names


def row_places(nest: Nest) -> list[str]:
    """Write where the operands' elements of a row begin."""
    lines = ["i0 = row"]
    if nest.outer > 1:
        lines = ["rest = row"]
        for axis in range(nest.outer - 1, 0, -1):
            lines += [f"i{axis} = rest % d{axis}", f"rest = rest // d{axis}"]
        lines.append("i0 = rest")
    of_blocks = [*(o for o, _ in nest.kept), *(o for o, _, _ in nest.partials)]
    for operand in nest.operands:
        if operand.level != NEST and operand not in of_blocks:
            terms = " + ".join(f"i{axis} * {operand.name}_step{axis}" for axis in range(nest.outer)) or "0"
            terms += f" + {operand.name}_first" if operand.drawn else ""
            terms += "".join(f" - {operand.name}_low{d} * {operand.name}_step{d}" for d in operand.bounds if d)
            if "" in operand.bounds and operand.inner != "0":
                terms += f" - {operand.name}_low" + (f" * {operand.name}_inner" if operand.inner == "s" else "")
            lines.append(f"{operand.name}_row = {terms}")
        if operand.bounds:
            lines += _window(operand, nest.flat)
    return lines


def _window(operand: Operand, flat: bool) -> list[str]:
    """Write where in a row an operand is that has zeros around it: the first place, and how many there are."""
    name, first, count = operand.name, "0", "1" if operand.level == ROW else "width"
    outside = [f"({name}_low{d} > i{d} or i{d} >= {name}_high{d})" for d in operand.bounds if d]
    if "" in operand.bounds:
        first, count = f"{name}_low" + (" - row * width" if flat else ""), f"{name}_high - {name}_low"
    lines = [f"{name}_first = {first}", f"{name}_count = {count}"]
    return [*lines, f"if {' or '.join(outside)}:", f"    {name}_count = 0"] if outside else lines


def keep_what_is_dear(nest: Nest) -> list[str]:
    """Name the values that are worth keeping: what later stages would compute again by a division or a function.

    So are those that a row folds, if they take as much of simpler operations.
    """
    if nest.stages == 1:
        return []
    assigns = {s.name: s for s in nest.steps if isinstance(s, Assign) and s.level == ELEMENT}
    least = scalars.div.cost
    dear = {n for n, s in assigns.items() if s.expression is not None and formula.dearest(s.expression) >= least}
    folded = [s.argument for s in nest.steps if isinstance(s, Fold) and s.over == "row" and s.level == ELEMENT]
    dear |= {name for name in folded if name in assigns and _work(assigns, name, dear) > _MUCH}
    found: list[str] = []
    for step in nest.steps:
        if isinstance(step, Fold) and step.level == ELEMENT:
            wanted, stage = step.argument, step.stage
            found += _needed(assigns, wanted, stage, dear)
    for operand, value, stage in nest.stores:
        if operand.level == ELEMENT:
            found += _needed(assigns, value, stage, dear)
    return list(dict.fromkeys(found))


def _work(assigns: dict[str, Assign], name: str, dear: set[str]) -> int:
    """Estimate what a value takes of what is no dear one, in additions."""
    steps: dict[str, Assign] = {}
    stack = [name]
    while stack:
        name = stack.pop()
        if name in assigns and name not in steps and name not in dear:
            steps[name] = assigns[name]
            stack.extend(assigns[name].arguments)
    return cost_of(steps.values())


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


def assigned(step: Assign) -> list[str]:
    """Write what an assignment computes."""
    return assigned_to(step, step.name, step.arguments)


def assigned_to(step: Assign, name: str, arguments: Sequence[str]) -> list[str]:
    """Write the same by other names."""
    _, expression, _, casts, number, dtype, _, _ = step
    if expression is None:
        converted = f"{arguments[0]} != 0" if dtype == "bool" else f"{dtype}({arguments[0]})"
        return [f"{name} = {converted}"]
    if True in casts:
        arguments = [f"{number}({a})" if cast else a for a, cast in zip(arguments, casts, strict=True)]
    lines, (value,) = formula.source([expression], number, arguments, f"{name}_t")
    if "int" in dtype:  # it is computed in 64 bits, and the dtype's results wrap around
        value = f"{dtype}({value})"
    return [*lines, f"{name} = {value}"]
