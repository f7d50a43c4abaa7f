"""What every fold of a fused loop does, as functions that a kernel holds once however often it folds.

A fold has `LANES` accumulators, lanes, which LLVM makes vectors of; `used` of them are used, all but for short rows.
"""

from __future__ import annotations

from functools import cache as once
from hashlib import sha256
from typing import Any

from numba import types
from numba.extending import intrinsic

from .. import formula
from .pipeline import for_kernels
from .sizes import LANES


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


@once
def gathering(combine: str, dtype: str, wide: str) -> Any:
    """Give the function of `gathering_source`."""
    return compiled_apart("gather", gathering_source(combine, dtype, wide), 3)


@once
def folding(combine: str, wide: str) -> Any:
    """Give the function of `folding_source`."""
    return compiled_apart("fold", folding_source(combine, wide), 2)


def _combined(combine: str, wide: str, new: str) -> list[str]:
    """Write: lane = combine(lane, new)."""
    expression = formula._scalar_functions[combine].expression
    steps, (value,) = formula.source([expression], wide, {0: "old", 1: "new"}, "c")
    return ["old = load_back_0(lanes, lane)", f"new = {wide}({new})", *steps, f"store_0(lanes, lane, {wide}({value}))"]


def _text(head: str, *lines: str) -> str:
    return "\n".join([f"def {head}:", "    never_inline()", *(f"    {line}" for line in lines)]) + "\n"


def compiled_apart(name: str, text: str, arity: int, names: dict[str, Any] | None = None) -> Any:
    """Compile a function that kernels call, with what else it calls, and give what calls it."""
    from .support import NAMESPACE

    namespace = NAMESPACE | {"never_inline": never_inline} | (names or {})
    exec(text, namespace)
    function = namespace[name]
    # Kernels that were compiled in other processes have functions of this name as well, and the linker takes one for
    # all: what is different must not be of one name. Numba's own numbers only tell those of one process apart.
    function.__name__ = function.__qualname__ = f"{name}_{sha256(text.encode()).hexdigest()[:32]}"
    return _called_apart(for_kernels(inline=False)(function), arity)


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
    if arity == 3:
        return intrinsic(lambda typing_context, x, y, z: typed(typing_context, (x, y, z)))
    return intrinsic(lambda typing_context, x, y, z, w: typed(typing_context, (x, y, z, w)))


#: The names that kernels call them by.
NAMESPACE: dict[str, Any] = {"gathering": gathering, "folding": folding}
