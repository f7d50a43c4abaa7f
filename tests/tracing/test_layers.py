"""Who knows of whom in `nbgrad.tracing`, and that nobody else knows of it."""

import ast
import inspect
import tokenize
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from nbgrad.arrays import StandIn
from nbgrad.tracing.symbol import Symbol

ROOT = Path(__file__).parent.parent.parent
TRACING = ROOT / "nbgrad" / "tracing"


def imported(path):
    """List the modules of a file's own package that it imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else [alias.name for alias in node.names]


def names_in(path):
    """Give all names that a file uses, apart from what its comments and strings say."""
    with path.open("rb") as file:
        return {token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.NAME}


def test_modules_import_no_circle():
    graph = {path.stem: set(imported(path)) for path in TRACING.glob("*.py") if path.stem != "__init__"}
    order = list(TopologicalSorter(graph).static_order())  # raises for a circle
    assert order.index("lowering") < order.index("symbol") < order.index("numpy_rules") < order.index("trace")


@pytest.mark.parametrize(
    "module", ["program", "layout", "calls", "lowering", "picking", "grouping", "loops", "memory", "plan"]
)
def test_lowering_knows_no_symbols(module):
    names = names_in(TRACING / f"{module}.py")
    assert {"Node"} <= names and not names & {"Symbol", "symbol"}


@pytest.mark.parametrize("room", ["nbgrad/ops", "nbgrad/nn", "nbgrad/interop", "kernels"])
def test_no_operation_knows_of_jit(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        assert not names_in(path) & {"tracing", "Symbol", "jit"}, path
        if room != "kernels":  # below the module that says what stands in for arrays
            assert "__nbgrad_array__" not in path.read_text(), path


def test_traced_arrays_are_all_that_stand_ins_are():
    members = {name for name in vars(StandIn) if not name.startswith("_")}
    assert {"folded", "filled", "scatter", "shape"} < members
    for name in members:
        asked, given = vars(StandIn)[name], getattr(Symbol, name)
        if inspect.isfunction(asked):
            assert list(inspect.signature(given).parameters) == list(inspect.signature(asked).parameters), name
