"""Where things are: imports point down the order of rooms, files are short, and each has its tests in a like place."""

import ast
import re
import tokenize
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent

#: The rooms, from the ground up: a file imports from its own room and from those below. A name with a slash at its end
#: is a directory, whatever else is a file; where several fit, the longest has it.
ROOMS = [
    ["kernels/"],
    ["kernels/cpu/"],
    ["kernels/cuda/"],
    ["kernels/dispatch.py", "kernels/placement.py"],
    ["nbgrad/"],
    ["nbgrad/ops/"],
    ["nbgrad/interop/"],
    ["nbgrad/batching/"],
    ["nbgrad/engine.py"],
    ["nbgrad/accumulate.py", "nbgrad/forward.py"],
    [
        "nbgrad/autograd/",
        "nbgrad/distributions/",
        "nbgrad/fft.py",
        "nbgrad/func/",
        "nbgrad/linalg.py",
        "nbgrad/masked.py",
        "nbgrad/nn/",
        "nbgrad/signal/",
        "nbgrad/sparse/",
        "nbgrad/special.py",
    ],
    ["nbgrad/amp.py", "nbgrad/optim/", "nbgrad/utils/", "nbgrad/saving.py"],
    ["nbgrad/interop/autograd/", "nbgrad/interop/scipy/"],
    ["nbgrad/tracing/"],
    ["nbgrad/loops/", "nbgrad/math.py"],
    ["nbgrad/__init__.py", "nbgrad/__main__.py"],
]

#: Lines of a file, at most.
LONGEST = 500


def source_files():
    files = [*(ROOT / "kernels").rglob("*.py"), *(ROOT / "nbgrad").rglob("*.py")]
    names = sorted(str(PurePosixPath(path.relative_to(ROOT))) for path in files)
    return [name for name in names if not name.startswith("nbgrad/kernels/")]  # a link to kernels/


FILES = source_files()


def module_of(file):
    """Give the parts of a file's name as a module."""
    parts = ("nbgrad", *PurePosixPath(file).parts) if file.startswith("kernels/") else PurePosixPath(file).parts
    return parts[:-1] if parts[-1] == "__init__.py" else (*parts[:-1], parts[-1].removesuffix(".py"))


MODULES = {module_of(file): file for file in FILES}


def imported_by(file, text=None):
    """List the modules that a file imports, wherever in it; not those that only type checkers do."""
    package = module_of(file) if file.endswith("__init__.py") else module_of(file)[:-1]
    stack = [ast.parse((ROOT / file).read_text() if text is None else text)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            stack += node.orelse
            continue
        stack += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, alias.name) if (*base, alias.name) in MODULES else base for alias in node.names)


IMPORTS = {file: {MODULES[module] for module in imported_by(file) if module in MODULES} - {file} for file in FILES}


def lies_in(file, name):
    return file == name or (name.endswith("/") and file.startswith(name))


def room_of(file):
    fits = [(len(name), number) for number, names in enumerate(ROOMS) for name in names if lies_in(file, name)]
    return max(fits)[1]


def test_imports_are_found():
    """Names, modules and packages, from near and far, at the beginning and in functions."""
    text = """
import numpy.linalg
from typing import TYPE_CHECKING
from . import launch
from .. import formula
from ..loop_nest import Nest, Fold
if TYPE_CHECKING:
    from .blas import product
def later():
    from ..cpu import elementary
    import nbgrad.variable
"""
    found = {".".join(module) for module in imported_by("kernels/cuda/fused.py", text)}
    kernels = {f"nbgrad.kernels.{name}" for name in ("cuda.launch", "formula", "loop_nest", "cpu.elementary")}
    assert found == {"numpy.linalg", "typing", "nbgrad.variable", *kernels}
    assert len(FILES) > 80 and sum(map(len, IMPORTS.values())) > 300


def test_imports_point_downwards():
    upwards = {(file, other) for file in FILES for other in IMPORTS[file] if room_of(other) > room_of(file)}
    assert upwards == set(), "these imports run back up the order of rooms"


def test_kernels_know_nothing_of_the_graph():
    for file in FILES:
        if file.startswith("kernels/"):
            ours = {module for module in imported_by(file) if module[0] == "nbgrad"}
            assert all(module[:2] == ("nbgrad", "kernels") for module in ours), file


def circle(imports):
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_files_import_each_other():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and not circle({"a": {"b"}, "b": {"c"}})
    assert circle(IMPORTS) == []


def test_files_are_short():
    long = {file for file in FILES if len((ROOT / file).read_text().splitlines()) > LONGEST}
    assert long == set(), f"these have more than {LONGEST} lines"


#: Names by which code asks where an array is, rather than say what it wants of it.
ASKS = re.compile(r"cuda|cupy|gpu|^(elsewhere|away|parted|target_of|name_of)$", re.IGNORECASE)
#: What users say.
SAID = {
    "nbgrad/__init__.py": {"cuda"},
    "nbgrad/nn/modules/module.py": {"cuda"},
    "nbgrad/ops/transfer.py": {"cuda"},
    "nbgrad/variable.py": {"is_cuda", "__cuda_array_interface__"},
}


def lines_that_ask(file):
    """List the lines of a file, without comments and texts, that ask where arrays are."""
    with (ROOT / file).open("rb") as text:
        names = [token for token in tokenize.tokenize(text.readline) if token.type == tokenize.NAME]
    asking = [t for t in names if ASKS.search(t.string) and t.string not in SAID.get(file, ())]
    return sorted({f"{file}:{token.start[0]}: {token.line.strip()}" for token in asking})


def test_operations_say_what_they_want_and_not_where():
    asking = [file for file in FILES if file.startswith("nbgrad/") and file != "nbgrad/cuda.py"]
    lines = [line for file in asking for line in lines_that_ask(file)]
    assert len(lines) < 10, "kernels/dispatch.py is where targets part:\n" + "\n".join(lines)


# ---- tests lie where what they test does -----------------------------------------------------------------------------

#: What has its tests elsewhere, below tests/; a directory stands for all in it.
ELSEWHERE = {
    "kernels/cpu/elementary/": "kernels/cpu/test_elementary.py",
    "nbgrad/constants.py": "ops/test_elementwise.py",
    "kernels/cpu/alignments.py": "nn/test_by_kernel.py",
    "kernels/cpu/channels.py": "nn/test_normalisation.py",
    "kernels/cpu/compiler.py": "tracing/test_plan.py",
    "kernels/cpu/failures.py": "kernels/cpu/test_ufunc.py",
    "kernels/cpu/launch.py": "tracing/test_plan.py",
    "kernels/cpu/margins.py": "nn/test_by_kernel.py",
    "kernels/cpu/backend.py": "kernels/cpu/test_codegen.py",
    "kernels/cpu/frontend/": "kernels/cpu/test_frontend.py",
    "kernels/cpu/pipeline.py": "kernels/cpu/test_elementary.py",
    "kernels/cpu/pool.py": "kernels/cpu/test_threads.py",
    "kernels/cpu/processor.py": "kernels/cpu/test_codegen.py",
    "kernels/cpu/sampling.py": "nn/test_by_kernel.py",
    "kernels/cpu/scan_loops.py": "kernels/cpu/test_scan.py",
    "kernels/cpu/target.py": "kernels/test_target.py",
    "kernels/cuda/random.py": "cuda/test_random_kernels.py",
    "kernels/drawing.py": "kernels/cpu/test_random.py",
    "kernels/cuda/scan.py": "cuda/test_scan_kernels.py",
    "kernels/scans.py": "kernels/cpu/test_scan.py",
    "nbgrad/tracing/scanning.py": "ops/test_scan.py",
    "kernels/cpu/reduction_loops.py": "kernels/cpu/test_reduction.py",
    "kernels/cpu/sizes.py": "tracing/test_loops.py",
    "kernels/cuda/compiler.py": "cuda/test_jit.py",
    "kernels/cuda/devices.py": "cuda/test_device.py",
    "kernels/cuda/accumulators.py": "cuda/test_reduction_kernels.py",
    "kernels/cuda/blas.py": "cuda/test_blas.py",
    "kernels/cuda/forms.py": "kernels/cuda/test_fused.py",
    "kernels/cuda/graphs.py": "cuda/test_graphs.py",
    "kernels/cuda/indexing.py": "cuda/test_indexing_kernels.py",
    "kernels/cuda/inlining.py": "kernels/cuda/test_cubin.py",
    "kernels/cuda/reduction.py": "cuda/test_reduction_kernels.py",
    "kernels/cuda/target.py": "cuda/test_device.py",
    "kernels/cuda/windows.py": "cuda/test_window_kernels.py",
    "kernels/cuda/workspace.py": "cuda/test_graphs.py",
    "kernels/cuda/support.py": "kernels/cuda/test_cubin.py",
    "kernels/activations.py": "nn/test_activations.py",
    "kernels/interrupts.py": "test_interrupts.py",
    "kernels/special.py": "ops/test_special.py",
    "kernels/stand_ins.py": "test_arrays.py",
    "kernels/operators.py": "ops/test_operators.py",
    "kernels/windows.py": "kernels/cpu/test_windows.py",
    "nbgrad/__main__.py": "test_main.py",
    "nbgrad/autograd/linearised.py": "func/test_products.py",
    "nbgrad/batching/": "func/test_vectorize.py",
    "nbgrad/cuda.py": "cuda/test_device.py",
    "nbgrad/distributions/": "distributions/test_densities.py",
    "nbgrad/elements.py": "tracing/test_symbol.py",
    "nbgrad/func/walking.py": "func/test_jacobians.py",
    "nbgrad/ops/writing.py": "ops/test_inplace.py",
    "nbgrad/autograd/function.py": "test_contexts.py",
    "nbgrad/recording.py": "kernels/cpu/small/test_recorder.py",
    "nbgrad/ops/assembling.py": "ops/test_arranging.py",
    "nbgrad/ops/making.py": "ops/test_creation.py",
    "nbgrad/ops/lapack.py": "ops/test_decomposition.py",
    "nbgrad/ops/masks.py": "ops/test_putting.py",
    "nbgrad/ops/picking.py": "ops/test_putting.py",
    "nbgrad/elementwise.py": "ops/test_elementwise.py",
    "nbgrad/interop/autograd/": "interop/test_autograd.py",
    "nbgrad/interop/rules/": "interop/test_numpy.py",
    "nbgrad/interop/scipy/": "interop/test_scipy.py",
    "nbgrad/linalg.py": "ops/test_norms.py",
    "nbgrad/nn/modules/activations.py": "nn/modules/test_layers_of_pytorch.py",
    "nbgrad/nn/modules/attention.py": "nn/modules/test_layers_of_pytorch.py",
    "nbgrad/nn/modules/containers.py": "nn/modules/test_module.py",
    "nbgrad/nn/modules/convolution.py": "nn/modules/test_layers_of_pytorch.py",
    "nbgrad/nn/modules/declared.py": "nn/modules/test_layers_of_pytorch.py",
    "nbgrad/nn/modules/linear.py": "nn/modules/test_layers_of_pytorch.py",
    "nbgrad/nn/modules/losses.py": "nn/modules/test_layers_of_pytorch.py",
    "nbgrad/nn/modules/normalisation.py": "nn/modules/test_layers_of_pytorch.py",
    "nbgrad/nn/modules/recurrent.py": "nn/modules/test_layers_of_pytorch.py",
    "nbgrad/nn/modules/hooks.py": "nn/modules/test_module.py",
    "nbgrad/nn/utils/": "nn/test_utils.py",
    "nbgrad/nn/parameter.py": "nn/modules/test_module.py",
    "nbgrad/optim/scheduler.py": "optim/test_lr_scheduler.py",
    "nbgrad/tracing/lifting.py": "optim/test_optimizer.py",
    "kernels/cpu/updates.py": "optim/test_optimizer.py",
    "nbgrad/loops/": "loops/test_programs.py",
    "nbgrad/nn/adaptive_pooling.py": "nn/test_pooling.py",
    "nbgrad/nn/classes.py": "nn/test_losses.py",
    "nbgrad/nn/ctc.py": "nn/test_against_torch.py",
    "nbgrad/nn/distances.py": "nn/test_against_torch.py",
    "nbgrad/nn/dropout.py": "nn/test_against_torch.py",
    "nbgrad/nn/embedding.py": "nn/test_against_torch.py",
    "nbgrad/nn/margins.py": "nn/test_against_torch.py",
    "nbgrad/nn/padding.py": "nn/test_against_torch.py",
    "nbgrad/nn/reduced.py": "nn/test_losses.py",
    "nbgrad/nn/sampling.py": "nn/test_against_torch.py",
    "nbgrad/nn/windows.py": "nn/test_convolution.py",
    "nbgrad/ops/arguments.py": "ops/test_reduction.py",
    "nbgrad/ops/by_scipy.py": "ops/test_special.py",
    "nbgrad/ops/derivatives.py": "ops/test_special.py",
    "nbgrad/ops/extrema.py": "ops/test_reduction.py",
    "nbgrad/fft.py": "ops/test_fourier.py",
    "nbgrad/ops/older.py": "ops/test_factorization.py",
    "nbgrad/ops/reporting.py": "ops/test_factorization.py",
    "nbgrad/special.py": "ops/test_special.py",
    "nbgrad/tracing/calls.py": "tracing/test_symbol.py",
    "nbgrad/tracing/lowering.py": "tracing/test_layers.py",
    "nbgrad/tracing/numpy_rules.py": "interop/test_numpy.py",
    "nbgrad/version.py": "test_main.py",
}


def place_of_tests(file):
    """Give where a file's tests are to be looked for first."""
    path = PurePosixPath(file.removeprefix("nbgrad/"))
    return str(path.with_name(f"test_{path.name}"))


@pytest.mark.parametrize("file", [file for file in FILES if not file.endswith("__init__.py")])
def test_every_file_has_tests_in_the_same_place(file):
    elsewhere = [
        place for name, place in ELSEWHERE.items() if file == name or (name.endswith("/") and file.startswith(name))
    ]
    mirrored = (ROOT / "tests" / place_of_tests(file)).exists()
    if elsewhere:
        assert not mirrored, f"tests/{place_of_tests(file)} exists: take {file} off the list"
        assert (ROOT / "tests" / elsewhere[0]).exists()
    else:
        assert mirrored, f"there is no tests/{place_of_tests(file)}"


def test_tests_ask_for_other_libraries_when_they_run():
    """A library that is not there skips what compares with it, and to collect tests loads none."""
    for path in [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "benchmarks").glob("test_*.py")]:
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = {name.split(".")[0] for name in names} & {"torch", "jax", "autograd", "scipy", "sklearn"}
            assert not found, f"{path.relative_to(ROOT)} imports {found}: use peer() in the tests"
            given = node.value if isinstance(node, ast.Assign) else None
            assert "importorskip('torch')" not in ast.unparse(given or ast.Pass()), (
                f"{path.relative_to(ROOT)}: use peer()"
            )


def test_all_that_is_listed_exists():
    for name in ELSEWHERE:
        assert (ROOT / name).exists(), f"{name} is no more: take it off the list"


def test_the_diagram_names_all_there_is():
    diagram = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    known = set(re.findall(r"\w+", diagram))
    paths = [path for name in ("kernels", "nbgrad", "nbgrad/tracing") for path in (ROOT / name).iterdir()]
    names = {path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert names - known - {"__init__", "__main__", "version"} == set()
