"""Values of a chunk combined into lanes, and lanes into one value."""

import ctypes

import numpy as np
import pytest
from workers import run_python

from nbgrad.kernels import formula
from nbgrad.kernels.cpu import codegen, threads
from nbgrad.kernels.cpu.fused import fold_of
from nbgrad.kernels.cpu.sizes import LANES


def text(combine, dtype, folds=1):
    """Write a kernel that folds the same values again and again."""
    identity, wide = fold_of(formula._scalar_functions[combine], dtype)
    lines = [
        f'gather = gathering("{combine}", "{dtype}", "{wide}")',
        f'fold = folding("{combine}", "{wide}")',
        "def loop(args, dims, steps, data):",
        f"    values = {dtype}_pointer(args[0])",
        f"    result = {wide}_pointer(args[1])",
    ]
    for number in range(folds):
        lines += [
            f"    lanes{number} = {wide}_lanes()",
            f"    for lane in range({LANES}):",
            f"        lanes{number}[lane] = {wide}(float('{identity}'))",
            f"    gather(lanes{number}, values, np.uintp(dims[0]))",
            f"    result[{number}] = fold(lanes{number}, {LANES})",
        ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("combine", "dtype", "exact"),
    [("add", "float32", np.sum), ("mul", "float64", np.prod), ("maximum", "float32", np.max)],
)
def test_values_are_combined_whatever_their_number(combine, dtype, exact):
    loop = threads.LOOP(codegen.address(f"test_{combine}_{dtype}", text(combine, dtype)))
    identity, wide = fold_of(formula._scalar_functions[combine], dtype)
    values = np.random.default_rng(0).uniform(0.9, 1.1, 512).astype(dtype)
    for count in (0, 1, LANES - 1, LANES, LANES + 1, 4 * LANES, 4 * LANES + 3, 512):
        result = np.zeros(1, wide)
        pointers = (ctypes.c_void_p * 2)(values.ctypes.data, result.ctypes.data)
        sizes = (ctypes.c_ssize_t * 1)(count)
        loop(ctypes.addressof(pointers), ctypes.addressof(sizes), None, None)
        expected = exact(values[:count].astype(wide)) if count else identity
        # float32 is added up in float32 by fours
        np.testing.assert_allclose(result[0], expected, rtol=1e-13 if dtype == "float64" else 2e-7)


@pytest.mark.parametrize(
    ("combine", "dtype", "exact"),
    [("add", "float32", np.sum), ("add", "int64", np.sum), ("maximum", "float64", np.max)],
)
def test_short_rows_are_combined_by_the_values_alone(combine, dtype, exact):
    """What lies behind them does not count."""
    _, wide = fold_of(formula._scalar_functions[combine], dtype)
    text = [
        f'row = short_rows("{combine}", "{dtype}", "{wide}")',
        "def loop(args, dims, steps, data):",
        f"    {wide}_pointer(args[1])[0] = row({dtype}_pointer(args[0]), np.uintp(dims[0]))",
    ]
    loop = threads.LOOP(codegen.address(f"test_row_{combine}_{dtype}", "\n".join(text) + "\n"))
    made = np.random.default_rng(0).uniform(-9, 9, LANES)
    for count in (1, 2, 15, 16, 17, 25, LANES):
        values = np.full(LANES + 16, 1e3).astype(dtype)
        values[:count] = made[:count]
        result = np.zeros(1, wide)
        pointers = (ctypes.c_void_p * 2)(values.ctypes.data, result.ctypes.data)
        expected = exact(values[:count].astype(wide))
        loop(ctypes.addressof(pointers), ctypes.addressof((ctypes.c_ssize_t * 1)(count)), None, None)
        np.testing.assert_allclose(result[0], expected, rtol=1e-13)


def test_kernels_share_the_functions():
    """They are in objects of their own, which kernels only name."""
    once, often = (codegen._compile(text("add", "float32", folds), "loop", ("contract",)) for folds in (1, 6))
    names = ("nbgrad_fold_add_float64_float64", "nbgrad_gather_add_float32_float64")
    assert once.undefined == often.undefined == names
    assert len(often.code) < 3 * len(once.code)


def test_what_a_kernel_shares_is_loaded_with_it(tmp_path):
    """In a process that compiles it, in one that finds the kernel in the cache, and in one that finds only this."""
    program = (
        "import sys, numpy, nbgrad\n"
        "f = nbgrad.jit(lambda x: (x * x).sum())\n"
        "print(f(numpy.arange(1000.0)).item(), 'nbgrad.kernels.cpu.frontend.translate' in sys.modules)"
    )
    compiled, loaded = (run_python(program, NBGRAD_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert (compiled, loaded) == ("332833500.0 True\n", "332833500.0 False\n")
    for path in tmp_path.glob("nbgrad_*"):
        path.unlink()
    assert run_python(program, NBGRAD_CACHE_DIR=str(tmp_path)) == "332833500.0 True\n"


def test_kernels_compiled_in_different_processes_fold_each_in_its_own_way(tmp_path):
    """Their functions come together in one process: each must find its own."""
    program = """
import sys, numpy as np, nbgrad
x = np.arange(1.0, 7).reshape(2, 3)
for name in sys.argv[1:]:
    function = getattr(nbgrad, name)
    np.testing.assert_array_equal(nbgrad.jit(lambda x: function(x * x, 1))(x), function(x * x, 1), err_msg=name)
"""
    for names in (["amax"], ["sum"], ["sum", "amax"]):
        run_python(program, *names, NBGRAD_CACHE_DIR=str(tmp_path))
