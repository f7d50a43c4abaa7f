"""From kernels' text to object code, by LLVM and without Numba: what compiles is a fraction of Python, and small."""

from __future__ import annotations

from functools import cache as once
from functools import partial
from typing import Any

from .kinds import INT64, Pointer

#: The functions that are called from outside, with the kinds of their arguments.
ENTRIES: dict[str, tuple[Any, ...]] = {
    "loop": (Pointer(Pointer(INT64)), Pointer(INT64), Pointer(INT64), Pointer(INT64)),
    "call": (INT64, INT64, INT64),
}


@once
def namespace() -> dict[str, Any]:
    """Give what the text of a kernel may name."""
    from .. import elementary, folding, random
    from . import memory, numbers
    from .source import Source

    functions = elementary.specialise(Source.of, numbers.NAMESPACE)
    return memory.NAMESPACE | functions | folding.NAMESPACE | random.NAMESPACE


def _itself(tree: Any) -> Any:
    return tree


def module_text(source: str, entry: str, symbol: str, flags: str) -> str:
    """Translate a kernel's text to LLVM's language, as a module with the function `entry` under the name `symbol`."""
    import ast

    from ...text import parsed
    from .. import folding
    from . import memory
    from .source import Source
    from .translate import translated

    names = dict(namespace())
    for node in parsed(source).body:
        if isinstance(node, ast.FunctionDef):
            names[node.name] = Source(node.name, partial(_itself, node), names, flags, inline=False)
        elif isinstance(node, ast.Assign):
            exec(compile(ast.Module([node], []), "<nbgrad kernel>", "exec"), names)
    kinds = ENTRIES[entry] if entry in ENTRIES else folding.kinds_of(entry)
    main = translated(names[entry], symbol, kinds, "", "")
    functions = main.everything()
    defines: dict[str, str] = {}
    declares: dict[str, str] = {}
    scopes: set[int] = set()
    for function in functions:
        defines |= function.defines
        declares |= function.declares
        scopes |= function.scopes
    texts = [*defines.values(), *(function.text for function in functions), *declares.values()]
    return "\n".join([*texts, memory.metadata(sorted(scopes)), ""])
