"""What is registered is what users find: in nbgrad, on Variable, and in what editors and type checkers read."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from workers import run_python

import nbgrad
from nbgrad import Variable, registry, synonyms
from nbgrad.kernels.formula import SELDOM
from nbgrad.ops.elementwise import OPERATIONS, TABLE
from nbgrad.registry import ENTRIES, LATER

ROOT = Path(nbgrad.__file__).parent


# ---- the functions --------------------------------------------------------------------------------------------------


def test_what_is_public_is_in_nbgrad_and_nothing_else():
    for name in LATER:
        getattr(nbgrad, name, None)
    for entry in ENTRIES.values():
        for name in entry.names:
            assert (getattr(nbgrad, name, None) is entry.function) == entry.public, name
    functions = {
        name
        for name, value in vars(nbgrad).items()
        if inspect.isfunction(value)
        and not name.startswith("__")
        and (value.__module__ == "nbgrad" or value.__module__.startswith("nbgrad.ops."))
    }
    makers = {name for name in functions if getattr(nbgrad, name).__module__ == "nbgrad.ops.creation"}
    assert functions - makers - {"elementwise", *synonyms.NAMES} == {
        name for entry in ENTRIES.values() if entry.public for name in entry.names
    }


def test_methods_are_the_functions_of_the_same_names():
    for entry in ENTRIES.values():
        for name in entry.names:
            assert (vars(Variable).get(name) is entry.function) == entry.method, name


def test_an_alias_is_a_name_of_the_same_function():
    assert ENTRIES["clamp"].names == ("clamp", "clip")
    assert nbgrad.clip is nbgrad.clamp is Variable.clip is Variable.clamp


def test_the_tables_are_views():
    early = {name: entry for name, entry in ENTRIES.items() if entry.operation and name not in SELDOM}
    assert {name: entry.elementwise for name, entry in early.items()} == TABLE
    assert {name: entry.operation for name, entry in early.items()} == OPERATIONS


@pytest.mark.parametrize("name", LATER)
def test_what_is_registered_later_is_when_asked_for(name):
    entry = registry.load(name)
    assert name in entry.names and (entry.public or entry.method)
    if name not in registry.DTYPES:  # x.double() makes one of nbgrad.double
        assert getattr(nbgrad, name, None) is (entry.function if entry.public else None)
        assert (name in dir(nbgrad)) == entry.public
    assert getattr(Variable, name, None) is (entry.function if entry.method else None)


def test_importing_nbgrad_registers_nothing_of_that():
    run_python(
        "import sys, nbgrad; from nbgrad.registry import ENTRIES, LATER; assert not set(LATER) & set(ENTRIES); "
        "assert not [name for name in sys.modules if name.endswith(('.special', '.contraction', '.decomposition'))]; "
        "assert nbgrad.sinc(0.0) == 1 and nbgrad.linalg.det([[2.0]]) == 2; from nbgrad import xlogy, linalg; "
        "assert nbgrad.ones(2).heaviside(2.0).sum() == 2"
    )
    with pytest.raises(AttributeError, match="module 'nbgrad' has no attribute 'sink'"):
        nbgrad.sink  # noqa: B018
    with pytest.raises(AttributeError, match="'Variable' object has no attribute 'sink'"):
        nbgrad.ones(2).sink  # noqa: B018


def is_compiled(method):
    """Tell whether a method of Variable has given way to a compiled call."""
    return type(method).__name__ == "instancemethod"


def test_operators_do_not_look_at_options():
    """`add` has an alpha; ``+`` calls what stands behind it."""
    assert Variable.add is nbgrad.add is not TABLE["add"]
    assert TABLE["add"] is OPERATIONS["add"].function
    Variable(np.ones(1)) + Variable(np.ones(1))  # now it is the compiled call, where there is one
    assert Variable.__add__ is TABLE["add"] or is_compiled(vars(Variable)["__add__"])
    assert Variable.__pow__ is TABLE["pow"] is nbgrad.pow  # which looks for whole exponents


def test_a_registration_may_be_made_anywhere(monkeypatch):
    monkeypatch.setattr(registry, "ENTRIES", {})
    monkeypatch.setattr(registry, "install_method", None)

    @registry.operation(alias="twofold", method=False)
    def double(input):
        return input + input

    @registry.operation
    def half(input):
        return input / 2

    assert registry.ENTRIES["double"].names == ("double", "twofold")
    assert registry.methods() == {"half": half}


# ---- arguments by name ----------------------------------------------------------------------------------------------


#: The first arguments of those that have no input.
FIRST = {
    **dict.fromkeys(("cat", "stack", "hstack", "vstack", "dstack", "column_stack", "cartesian_prod"), "tensors"),
    **dict.fromkeys(
        ("atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_tensors", "meshgrid"), "tensors"
    ),
    **dict.fromkeys(("tril_indices", "triu_indices"), "row"),
    **dict.fromkeys(("pca_lowrank", "svd_lowrank"), "A"),
    **{
        "where": "condition",
        "complex": "real",
        "polar": "abs",
        "polygamma": "n",
        "randperm": "n",
        "searchsorted": "sorted_sequence",
        "segment_reduce": "data",
    },
}


#: Integrals, whose second argument is x in PyTorch.
TRAPEZOIDS = ("cumulative_trapezoid", "trapezoid")


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_arguments_have_pytorchs_names(name):
    function = ENTRIES[name].function
    first, *rest = inspect.signature(function).parameters
    assert first == FIRST.get(name, "input")
    assert not {"x", "y", "x0", "x1"} & set(rest) or name in TRAPEZOIDS
    assert function.__doc__


@pytest.mark.parametrize("name", sorted(TABLE))
def test_elementwise_functions_take_arguments_by_name(name):
    function, operation = TABLE[name], OPERATIONS[name]
    parameters = list(inspect.signature(operation.function).parameters)
    assert tuple(parameters) == operation.parameters and len(parameters) == operation.arity
    truth = (True, False, False) if operation.kinds[-1] == "truth" else (0.5, 0.25, 0.75)
    values = [Variable(np.array([value])) for value in truth[: operation.arity]]
    if name == "where":
        values[0] = Variable(np.array([True]))
    if name == "acosh":
        values[0] = Variable(np.array([1.5]))
    expected = function(*values).data
    backwards = dict(reversed([*zip(inspect.signature(function).parameters, values, strict=False)]))
    for _ in range(2):  # the first call may be the one that makes the code
        np.testing.assert_array_equal(function(**backwards).data, expected)
    np.testing.assert_array_equal(operation.function(**dict(zip(parameters, values, strict=True))).data, expected)


def test_the_order_of_named_arguments_does_not_matter():
    y, x = (nbgrad.tensor([value], requires_grad=True) for value in (1.0, -1.0))
    nbgrad.atan2(other=x, input=y).backward()
    np.testing.assert_allclose([y.grad.data, x.grad.data], [[-0.5], [-0.5]])
    np.testing.assert_array_equal(y.atan2(other=x).data, np.arctan2(y.data, x.data))
    with pytest.raises(TypeError, match=r"atan2.*'x1'"):
        nbgrad.atan2(y, x1=x)
    with pytest.raises(TypeError, match=r"atan2.*'other'"):
        nbgrad.atan2(y)


def test_formulas_of_users_keep_their_arguments_names():
    """Also such as the code that calls the kernel uses itself."""
    scaled = nbgrad.elementwise(lambda data, node, y: data * node - y, name="scaled")
    assert str(inspect.signature(scaled)) == "(data, node, y)"
    a, b, c = (nbgrad.tensor([value], requires_grad=True) for value in (2.0, 3.0, 5.0))
    for _ in range(2):
        result = scaled(a, y=c, node=b)
        result.backward()
        assert result.item() == 1.0
    assert (a.grad.item(), b.grad.item(), c.grad.item()) == (6.0, 4.0, -2.0)
    assert str(inspect.signature(scaled)) == "(data, node, y)"


# ---- declarations for editors and type checkers ---------------------------------------------------------------------


def declared():
    """Give the parameters of what `methods.pyi` declares, self left out, by name: (name, kind, default)."""
    (declarations,) = [
        node for node in ast.parse((ROOT / "methods.pyi").read_text()).body if isinstance(node, ast.ClassDef)
    ]
    found = {}
    for node in declarations.body:
        if isinstance(node, ast.FunctionDef):
            given, inside = node.args, {}
            exec(f"def function({ast.unparse(given)}): pass", {"__builtins__": {}}, Deferred(inside))
            taken = parameters(inside["function"])
            if node.name in found:  # the last overload says it all
                assert [decorator.id for decorator in node.decorator_list] == ["overload"], node.name
                assert [name for name, *_ in found[node.name]] == [name for name, *_ in taken], node.name
            found[node.name] = taken
    return found


class Deferred(dict):
    """A namespace in which annotations may say anything."""

    def __init__(self, inside):
        self.inside = inside

    def __getitem__(self, name):
        return Anything()

    def __setitem__(self, name, value):
        self.inside[name] = value


class Anything:
    def __or__(self, other):
        return self

    __ror__ = __or__

    def __getitem__(self, key):
        return self

    def __getattr__(self, name):
        return self


def parameters(function):
    found = list(inspect.signature(function).parameters.values())[1:]
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


def test_what_is_declared_is_what_is_installed():
    for name in LATER:
        registry.load(name)
    installed = {
        name: value
        for name, value in vars(Variable).items()
        if getattr(value, "__module__", "") != "nbgrad.variable"
        and (inspect.isfunction(value) or is_compiled(value) or name == "T")
    }
    declarations = declared()
    assert set(declarations) == set(installed)
    for name, value in installed.items():
        if name == "T":
            assert declarations[name] == []
        elif is_compiled(value):
            assert name.startswith("__")
        elif name.startswith("__") and not name.startswith("__array"):  # Python passes their operands by position
            assert len(declarations[name]) == len(parameters(value)), name
        else:
            assert declarations[name] == parameters(value), name


PROGRAM = """
import numpy as np
import nbgrad
from nbgrad import Variable

x = nbgrad.ones(3, 4, requires_grad=True)
w = Variable(np.ones((4, 2)))
total: int = x.sum(dim=0)
product: int = x @ w
part: int = x[1:]
power: int = nbgrad.exp(x)
angle: int = nbgrad.atan2(x, 2.0)
scaled: int = 2.0 * x - x / 3
of_arrays: int = nbgrad.exp(np.ones(2))
summed: int = nbgrad.sum(x, 0)
where: int = nbgrad.where(x > 0, x, 0.0)
added: int = nbgrad.add(1.0, x, alpha=2)
largest: int = x.max()
joined: int = nbgrad.cat([x, np.ones((3, 4))])
both: int = nbgrad.max(x, 1)
array: int = nbgrad.mean(np.ones(3), 0)
x.smu()
x + "1"
x.sum(dimension=0)
for row in x.T:
    row.backward()
print(x.size(0), x.shape, x.grad, x.max(1).values, float(x.sum()), x.clip(max=1.0))
"""


@pytest.mark.slow
def test_type_checkers_see_what_users_call(tmp_path, monkeypatch):
    api = pytest.importorskip("mypy.api")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    monkeypatch.setenv("MYPYPATH", str(ROOT.parent))
    options = ["--no-error-summary", "--cache-dir", str(tmp_path / "cache"), "--follow-imports=silent"]
    output, problems, _ = api.run([*options, str(program)])
    assert not problems
    lines = {}
    for line in output.splitlines():
        number, text = line.removeprefix(f"{program}:").split(":", 1)
        lines.setdefault(PROGRAM.splitlines()[int(number) - 1].split(":")[0], text)
    variable = 'expression has type "Variable"'
    for name in (
        "total",
        "product",
        "part",
        "power",
        "angle",
        "scaled",
        "summed",
        "where",
        "added",
        "largest",
        "joined",
    ):
        assert variable in lines.pop(name), name
    for name in ("of_arrays", "array"):
        assert 'expression has type "ndarray' in lines.pop(name), name
    assert 'expression has type "ValuesAndIndices"' in lines.pop("both")
    assert 'has no attribute "smu"' in lines.pop("x.smu()")
    assert "Unsupported operand types" in lines.pop('x + "1"')
    assert "Unexpected keyword argument" in lines.pop("x.sum(dimension=0)")
    assert not lines
