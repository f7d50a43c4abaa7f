"""What is installed, what it needs, and what it imports when."""

import ast
import tomllib
from pathlib import Path

import pytest
from workers import run_python

import nbgrad

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


# ---- layers ---------------------------------------------------------------------------------------------------------


def imports(path):
    """List the modules that a file imports, relative ones with their dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            if not node.module:
                yield from ("." * node.level + alias.name for alias in node.names)


def test_kernels_know_nothing_of_the_graph():
    files = sorted((ROOT / "kernels").rglob("*.py"))
    assert len(files) > 8
    for path in files:
        depth = len(path.relative_to(ROOT / "kernels").parts)  # dots that stay inside kernels/
        for name in imports(path):
            assert name.split(".")[0] != "nbgrad", f"{path} imports {name}"
            dots = len(name) - len(name.lstrip("."))
            assert dots <= depth, f"{path} imports {name}, from outside"


def test_the_look_at_imports_sees_what_it_should(tmp_path):
    (tmp_path / "a.py").write_text(
        "import nbgrad.x\nfrom ... import engine\nfrom ..y import z\ndef f():\n    import w\n"
    )
    assert list(imports(tmp_path / "a.py")) == ["nbgrad.x", "...", "...engine", "..y", "w"]


def test_only_what_the_compiler_needs_imports_numba():
    importing = [
        path.name
        for path in (ROOT / "kernels").rglob("*.py")
        if any(name.split(".")[0] == "numba" for name in imports(path))
    ]
    assert sorted(importing) == [
        *("cubin.py", "inlining.py", "intrinsics.py", "pipeline.py", "support.py"),
    ]


# ---- what is imported when ------------------------------------------------------------------------------------------


def test_importing_the_library_imports_no_compiler():
    out = run_python(
        "import sys, nbgrad\n"
        "print([m for m in ('numba', 'llvmlite', 'numpy.random', 'scipy', 'torch', 'cupy') if m in sys.modules])"
    )
    assert out == "[]\n"


def test_numpy_is_all_that_importing_needs():
    out = run_python(
        "import sys, numpy\nbefore = set(sys.modules)\nimport nbgrad\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'nbgrad', 'numpy'}))"
    )
    assert out == "[]\n"


TRAINING = """
import sys
import numpy as np, nbgrad
x = nbgrad.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
w = nbgrad.tensor([[1.0], [3.0]], requires_grad=True)
loss = (x @ w).tanh().sum() + nbgrad.softmax(x, 1)[nbgrad.tensor([0, 0]), 1].mean()
loss.backward()
print(x.grad.tolist(), w.grad.tolist())
print("nbgrad.kernels.cpu.frontend" in sys.modules, "numba" in sys.modules)
"""


def test_a_second_process_never_imports_the_compiler(tmp_path):
    first = run_python(TRAINING, NBGRAD_CACHE_DIR=str(tmp_path)).splitlines()
    second = run_python(TRAINING, NBGRAD_CACHE_DIR=str(tmp_path)).splitlines()
    assert first[0] == second[0]
    assert (first[1], second[1]) == ("True False", "False False")


# ---- the project file -----------------------------------------------------------------------------------------------


def test_required_dependencies_are_two():
    names = sorted(d.partition(">")[0].partition("=")[0].strip() for d in PROJECT["project"]["dependencies"])
    assert names == ["numba", "numpy"]


def test_every_package_is_listed():
    """A directory of modules that is not listed would be missing from the wheel."""
    settings = PROJECT["tool"]["setuptools"]
    found = set()
    for top, name in ((ROOT / "nbgrad", "nbgrad"), (ROOT / "kernels", "nbgrad.kernels")):
        for file in top.rglob("*.py"):
            parts = file.parent.relative_to(top).parts
            if name == "nbgrad" and parts[:1] == ("kernels",):
                continue  # the link to the other top directory
            found.add(".".join((name, *parts)))
    assert set(settings["packages"]) == found
    assert settings["package-dir"] == {"nbgrad.kernels": "kernels"}
    assert settings["package-data"]["nbgrad"] == ["methods.pyi", "py.typed"]


def test_every_package_has_an_init():
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        path = ROOT / package.replace("nbgrad.kernels", "kernels", 1).replace(".", "/") / "__init__.py"
        assert path.exists(), path


def test_the_package_is_typed():
    assert (Path(nbgrad.__file__).parent / "py.typed").exists()


def test_the_link_leads_to_the_kernels():
    link = ROOT / "nbgrad" / "kernels"
    if link.is_symlink():
        assert link.resolve() == (ROOT / "kernels").resolve()
    from nbgrad.kernels import formula

    assert Path(formula.__file__).resolve() == (ROOT / "kernels" / "formula.py").resolve()


def test_the_version_is_the_packages():
    from nbgrad.version import __version__

    assert nbgrad.__version__ == __version__
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "nbgrad.version.__version__"}


@pytest.mark.parametrize("name", [n for n in dir(nbgrad) if not n.startswith("_")])
def test_public_names_are_documented(name):
    value = getattr(nbgrad, name)
    if callable(value):
        assert value.__doc__, name
