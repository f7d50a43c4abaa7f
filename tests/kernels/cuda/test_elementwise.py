"""Elementwise kernels of the CUDA target: every formula compiles, to the instructions that it should."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("numba.cuda.compiler", reason="needs numba-cuda")
pytest.importorskip("cuda.core", reason="needs cuda-core")

from nbgrad.kernels import formula
from nbgrad.kernels.cpu import elementwise as cpu
from nbgrad.kernels.cuda import cubin, elementwise, launch
from nbgrad.ops.elementwise import OPERATIONS

CAPABILITY = (9, 0)
DTYPES = ("float32", "float64")

_made: dict = {}


def ufunc(name):
    if name not in _made:
        function = formula._scalar_functions[name]
        _made[name] = cpu.kernel(name, [function.expression], function.argument_kinds, function.domain)
    return _made[name]


@pytest.fixture
def texts(monkeypatch):
    """Give the kernels that are asked for, as (name, source, signature), in place of launching them."""
    asked = []

    def load(name, source, signature):
        asked.append((name, source, signature))
        return lambda blocks, threads, *arguments: None

    monkeypatch.setattr(launch, "backend", SimpleNamespace(device=lambda: 0, load=load))
    monkeypatch.setattr(launch, "_kernels", {})
    monkeypatch.setattr(elementwise, "_plans", {})
    for made in (elementwise._line_kernel, elementwise._rows_kernel):
        made.cache_clear()
    yield asked
    for made in (elementwise._line_kernel, elementwise._rows_kernel):
        made.cache_clear()


def line(run, number, lanes, texts, stretched=None):
    """Ask for the kernel of contiguous arrays; gives its text and signature."""
    expressions, kinds = cpu.formulas[run]
    inputs = tuple("bool" if kind == formula.TRUTH else number for kind in kinds)
    results = tuple("bool" if expression.kind == formula.TRUTH else number for expression in expressions)
    elementwise._line_kernel(run, number, inputs, results, stretched or (False,) * len(kinds), lanes, 0)
    return texts[-1][1:]


def every():
    """Give all formulas by name: the scalar functions and their first partial derivatives."""
    for name in formula._scalar_functions:
        yield name, ufunc(name)
    for operation in list(OPERATIONS.values()):
        for pullback in operation.pullbacks:
            if pullback is not None and pullback.operation is not None:
                yield pullback.operation.name, pullback.operation.kernel


@pytest.mark.slow
@pytest.mark.parametrize("number", DTYPES)
def test_every_formula_compiles_to_what_it_should(number, texts):
    lanes = 16 // np.dtype(number).itemsize
    width = {"float32": r"v4\.f32", "float64": r"v2\.f64"}[number]
    compiled = set()
    for name, run in every():
        source, signature = line(run, number, lanes, texts)
        if (source, signature) in compiled:
            continue
        compiled.add((source, signature))
        text = cubin.assembly(source, signature, CAPABILITY)
        assert "call" not in text, name
        if number == "float32":
            assert not re.search(r"\.f64\b", text), name
        vectors = [kind for kind in signature if kind == f"{number}*"]
        if vectors:
            assert len(re.findall(rf"ld\.global\.{width}|st\.global\.{width}", text)) == len(vectors), name
    assert len(compiled) > 100


@pytest.mark.parametrize("name", ["tanh", "pow", "lgamma", "sin", "where", "eq", "trigamma"])
@pytest.mark.parametrize("number", DTYPES)
def test_formulas_become_cubins(name, number, texts):
    for lanes in (0, 16 // np.dtype(number).itemsize):
        source, signature = line(ufunc(name), number, lanes, texts)
        assert cubin.compile_kernel(source, signature, CAPABILITY).code.startswith(b"\x7fELF")


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_formulas_of_whole_numbers_compile(dtype, texts):
    for name, function in formula._scalar_functions.items():
        if function.domain in (formula.NUMERIC, formula.COMPARISON):
            source, signature = line(ufunc(name), dtype, 0, texts)
            text = cubin.assembly(source, signature, CAPABILITY)
            assert "call" not in text, name
            assert ".f32" not in text and ".f64" not in text, name


@pytest.mark.parametrize("ndim", [2, 3, 5])
def test_rows_are_found_without_divisions_but_for_inner_dimensions(ndim, texts):
    kernel = elementwise._rows_kernel
    kernel(ufunc("add"), "float32", ("float32", "float32"), ("float32",), ndim, 0)
    text = cubin.assembly(*texts[-1][1:], CAPABILITY)
    assert "call" not in text
    assert ".f64" not in text
    assert len(re.findall(r"\bdiv\.[us]64", text)) == ndim - 2
    assert ("rem" in text) is False


def test_stretched_arrays_and_numbers_are_read_once(texts):
    run = ufunc("mul")
    source, signature = line(run, "float32", 4, texts, stretched=(False, True))
    text = cubin.assembly(source, signature, CAPABILITY)
    assert len(re.findall(r"ld\.global\.v4\.f32", text)) == 1
    elementwise._line_kernel(run, "float32", ("float32", None), ("float32",), (False, False), 4, 0)
    assert texts[-1][2] == ("float32*", "float32", "float32*", "int64")
    cubin.assembly(*texts[-1][1:], CAPABILITY)


# ---- layouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 3, 63, 64, 65, 1000, 10**6, 2**40])
@pytest.mark.parametrize("columns", [2, 3, 4, 31, 32, 33, 255, 256, 257, 1024, 1025, 10**5, 2**33])
def test_tiles_cover_rows(rows, columns):
    blocks, (across, spread) = elementwise._tiles(rows, columns)
    assert 1 <= blocks < 2**31
    width, height = 1 << across, 256 >> across
    assert width * height == 256
    assert blocks % (1 << spread) == 0
    assert (width << spread) < 2 * columns  # no block without work
    assert columns <= 8 * (width << spread)


def test_more_elements_than_32_bits_count(texts):
    """Nothing is allocated: arrays are only described."""
    steps = [[1], [1], [1]]
    n = 2**33 + 3
    plain, vector, tail = elementwise._choose(ufunc("add"), "float32", ("float32",) * 2, ["float32"], [n], steps)
    assert plain[1] == -(-n // 256)
    assert vector is not None
    assert vector[1] == -(-(2**31 + 3) // 256)
    assert tail == (n,)
