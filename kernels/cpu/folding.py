"""What every fold of a fused loop does, as functions that are compiled once for all kernels.

A fold has `LANES` accumulators, lanes, which LLVM makes vectors of; `used` of them are used, all but for short rows.
"""

from __future__ import annotations

import re
from ast import literal_eval
from typing import TYPE_CHECKING, Any

from .. import formula
from ..reductions import IDENTITIES, identity_text
from .sizes import LANES

if TYPE_CHECKING:
    from .frontend.external import External


def gathering_source(combine: str, dtype: str, wide: str, lanes: int = LANES) -> str:
    """Write ``gather(lanes, values, count)``, which combines the first `count` values of a chunk into lanes."""
    # float32 is added up in float32 first, to which values are rounded anyway: the conversions are what costs
    together = 4 if combine == "add" and dtype == "float32" else 1
    parts = [f"load(values, first + lane + np.uintp({lanes * part}))" for part in range(together)]
    new = f"(({parts[0]} + {parts[1]}) + ({parts[2]} + {parts[3]}))" if together > 1 else parts[0]
    return _text(
        "gather(lanes, values, count)",
        f"whole = count - count % np.uintp({lanes * together})",
        f"for first in range(np.uintp(0), whole, np.uintp({lanes * together})):",
        f"    for lane in range(np.uintp({lanes})):",
        *(f"        {line}" for line in _combined(combine, wide, new)),
        f"for first in range(whole, count, np.uintp({lanes})):",
        f"    for lane in range(min(count - first, np.uintp({lanes}))):",
        *(f"        {line}" for line in _combined(combine, wide, "load(values, first + lane)")),
    )


def folding_source(combine: str, wide: str) -> str:
    """Write ``fold(lanes, used)``, which combines the used lanes in pairs, and gives the result."""
    return _text(
        "fold(lanes, used)",
        "half = used // 2",
        "while half > 0:",
        "    for lane in range(np.uintp(half)):",
        *(f"        {line}" for line in _combined(combine, wide, "load_back_0(lanes, lane + half)")),
        "    half //= 2",
        "return load_back_0(lanes, 0)",
    )


#: Values of a short row that are combined at once, each into a variable of its own.
_AT_ONCE = 16


def row_source(combine: str, dtype: str, wide: str) -> str:
    """Write ``row(values, count)``, which combines the values of a row of a few, and gives the result.

    There must be room behind them for as many as are combined at once.
    """
    variables = range(_AT_ONCE)
    identity = identity_text(IDENTITIES[combine], dtype)

    def combined(first: int, second: str) -> list[str]:
        expression = formula._scalar_functions[combine].expression
        steps, (value,) = formula.source([expression], wide, {0: f"a{first}", 1: "new"}, "c")
        return [f"new = {second}", *steps, f"a{first} = {wide}({value})"]

    def loaded(variable: int, first: str = "") -> str:
        return f"{wide}(load(values, {first}np.uintp({variable})))"

    lines = [
        f"for lane in range(count, count + np.uintp({_AT_ONCE})):",
        f"    values[lane] = {identity}",
        *(f"a{i} = {loaded(i)}" for i in variables),
        f"for first in range(np.uintp({_AT_ONCE}), count, np.uintp({_AT_ONCE})):",
        *(f"    {line}" for i in variables for line in combined(i, loaded(i, "first + "))),
    ]
    half = _AT_ONCE // 2
    while half:
        lines += [line for i in range(half) for line in combined(i, f"a{i + half}")]
        half //= 2
    return _text("row(values, count)", *lines, "return a0")


#: How the symbols of these functions begin, of which a process has one for each fold, in an object of its own.
PREFIX = "nbgrad_"


def gathering(combine: str, dtype: str, wide: str) -> External:
    """Give the function of `gathering_source`."""
    from .frontend.external import External

    return External(f"{PREFIX}gather_{combine}_{dtype}_{wide}", None)


def folding(combine: str, wide: str) -> External:
    """Give the function of `folding_source`."""
    from .frontend.external import External
    from .frontend.kinds import SCALARS

    return External(f"{PREFIX}fold_{combine}_{wide}_{wide}", SCALARS[wide])


def short_rows(combine: str, dtype: str, wide: str) -> External:
    """Give the function of `row_source`."""
    from .frontend.external import External
    from .frontend.kinds import SCALARS

    return External(f"{PREFIX}row_{combine}_{dtype}_{wide}", SCALARS[wide])


def symbols_of(source: str) -> list[str]:
    """Give the symbols of the functions that a kernel's text names before it begins."""
    named = re.findall(r'^\w+ = (\w+)\(("\w+"(?:, "\w+")*)\)$', source, re.MULTILINE)
    calls = [(NAMESPACE[name], literal_eval(f"({words},)")) for name, words in named if name in NAMESPACE]
    return [function(*words).symbol for function, words in calls]


def source_of(symbol: str) -> str:
    """Write the function of a symbol, by that name."""
    what, *words, dtype, wide = symbol.removeprefix(PREFIX).split("_")
    combine = "_".join(words)
    if what == "fold":
        text = folding_source(combine, wide)
    else:
        text = (gathering_source if what == "gather" else row_source)(combine, dtype, wide)
    return text.replace(f"def {what}(", f"def {symbol}(")


def kinds_of(symbol: str) -> tuple[Any, ...]:
    """Give the kinds of the arguments of the function of a symbol."""
    from .frontend.kinds import INT64, SCALARS, UINT64, Pointer

    what, *_, dtype, wide = symbol.removeprefix(PREFIX).split("_")
    lanes, values = Pointer(SCALARS[wide]), Pointer(SCALARS[dtype])
    return {"gather": (lanes, values, UINT64), "row": (values, UINT64), "fold": (lanes, INT64)}[what]


def _combined(combine: str, wide: str, new: str) -> list[str]:
    """Write: lane = combine(lane, new)."""
    expression = formula._scalar_functions[combine].expression
    steps, (value,) = formula.source([expression], wide, {0: "old", 1: "new"}, "c")
    return ["old = load_back_0(lanes, lane)", f"new = {wide}({new})", *steps, f"store_0(lanes, lane, {wide}({value}))"]


def _text(head: str, *lines: str) -> str:
    return "\n".join([f"def {head}:", *(f"    {line}" for line in lines)]) + "\n"


#: The names that kernels call them by.
NAMESPACE: dict[str, Any] = {"gathering": gathering, "folding": folding, "short_rows": short_rows}
