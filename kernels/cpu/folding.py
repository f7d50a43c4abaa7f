"""What every fold of a fused loop does, as functions that a kernel holds once however often it folds.

A fold has `LANES` accumulators, lanes, which LLVM makes vectors of; `used` of them are used, all but for short rows.
"""

from __future__ import annotations

from functools import cache as once
from typing import Any

from numba import njit, types
from numba.extending import intrinsic

from .. import formula
from .pipeline import KernelCompiler
from .sizes import LANES


def gathering(combine: str, dtype: str, wide: str) -> Any:
    """Give ``gather(lanes, values, count)``, which combines the first `count` values of a chunk into lanes."""
    # float32 is added up in float32 first, to which values are rounded anyway: the conversions are what costs
    together = 4 if combine == "add" and dtype == "float32" else 1
    parts = [f"load(values, first + lane + np.uintp({LANES * part}))" for part in range(together)]
    if together > 1:
        new = f"(({parts[0]} + {parts[1]}) + ({parts[2]} + {parts[3]}))"
    else:
        (new,) = parts
    step, rest = LANES * together, _combined(combine, wide, "load(values, first + lane)")
    return _function(
        "gather(lanes, values, count)",
        f"whole = count - count % np.uintp({step})",
        f"for first in range(np.uintp(0), whole, np.uintp({step})):",
        f"    for lane in range(np.uintp({LANES})):",
        *(f"        {line}" for line in _combined(combine, wide, new)),
        f"for first in range(whole, count, np.uintp({LANES})):",
        f"    for lane in range(min(count - first, np.uintp({LANES}))):",
        *(f"        {line}" for line in rest),
    )


def folding(combine: str, wide: str) -> Any:
    """Give ``fold(lanes, used)``, which combines the used lanes in pairs, and gives the result."""
    return _function(
        "fold(lanes, used)",
        "half = used // 2",
        "while half > 0:",
        "    for lane in range(np.uintp(half)):",
        *(f"        {line}" for line in _combined(combine, wide, "load_back_0(lanes, lane + half)")),
        "    half //= 2",
        "return load_back_0(lanes, 0)",
    )


def _combined(combine: str, wide: str, new: str) -> list[str]:
    """Write: lane = combine(lane, new)."""
    expression = formula._scalar_functions[combine].expression
    steps, (value,) = formula.source([expression], wide, {0: "old", 1: "new"}, "c")
    return ["old = load_back_0(lanes, lane)", f"new = {wide}({new})", *steps, f"store_0(lanes, lane, {wide}({value}))"]


@once
def _function(head: str, *lines: str) -> Any:
    """Compile a function of lanes that is never inlined, and give what calls it."""
    from .support import NAMESPACE

    text = "\n".join([f"def {head}:", "    never_inline()", *(f"    {line}" for line in lines)])
    namespace = NAMESPACE | {"never_inline": never_inline}
    exec(text, namespace)
    name = head.partition("(")[0]
    compiled = njit(error_model="numpy", forceinline=False, pipeline_class=KernelCompiler)(namespace[name])
    return _called_apart(compiled, head.count(",") + 1)


@intrinsic
def never_inline(typing_context: Any) -> Any:
    """Have the function that this stands in called wherever it is used, and compiled once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


def _called_apart(dispatcher: Any, arity: int) -> Any:
    """Make a function that calls a compiled one, which cannot fail, without looking whether it did."""

    def typed(typing_context: Any, kinds: tuple[Any, ...]) -> Any:
        inner: Any = types.Dispatcher(dispatcher).get_call_type(typing_context, kinds, {})

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            compiled = dispatcher.overloads[inner.args]
            context.active_code_library.add_linking_library(compiled.library)
            return context.call_internal_no_propagate(builder, compiled.fndesc, inner, arguments)[1]

        return inner.return_type(*kinds), generate

    if arity == 2:
        return intrinsic(lambda typing_context, x, y: typed(typing_context, (x, y)))
    return intrinsic(lambda typing_context, x, y, z: typed(typing_context, (x, y, z)))


#: The names that kernels call them by.
NAMESPACE: dict[str, Any] = {"gathering": gathering, "folding": folding}
