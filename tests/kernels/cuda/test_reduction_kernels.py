"""Kernels of reductions and of indexing, compiled for a GPU that need not be there."""

import os
import re

import pytest
from helpers import usually

pytest.importorskip("numba_cuda", reason="needs numba-cuda")
pytest.importorskip("cuda.core", reason="needs cuda-core")

if os.environ.get("LLVMLITE_ENABLE_IR_LAYER_TYPED_POINTERS") == "0":
    pytest.skip("NVVM does not read LLVM's IR of this process", allow_module_level=True)

from nbgrad.kernels import reductions
from nbgrad.kernels.cuda import cubin as target
from nbgrad.kernels.cuda import indexing, reduction_kernels
from nbgrad.kernels.cuda.reduction_kernels import BLOCKS, COLUMNS, GROUPS

HOPPER = (9, 0)
LAYOUTS = [(GROUPS, False), (GROUPS, True), (BLOCKS, False), (BLOCKS, True), (COLUMNS, False)]


def assembly(one, number, layout, vector):
    name, text, signature = reduction_kernels.texts(one, number, layout, vector)
    assert name.startswith(f"{one.name}_{layout}")
    return target.assembly(text, signature, HOPPER)


@pytest.mark.parametrize("name", usually(reductions.TABLE, "amax", "softmax"))
def test_float32_kernels_have_no_float64_and_share_as_their_layout_does(name):
    one = reductions.TABLE[name]
    for layout, vector in LAYOUTS:
        text = assembly(one, "float32", layout, vector)
        assert not re.search(r"\.f64\b", text)
        assert not re.search(r"\b(?:atom|red)\.", text)  # the order of additions is fixed
        assert not re.search(r"\bcall\b|\.local\b", text)
        assert ("shfl.sync.bfly" in text) == (layout != COLUMNS)
        assert ("ld.shared" in text and "bar.sync" in text) == (layout != GROUPS)
        assert ("ld.global.v4" in text) == vector
        assert ("st.global.v4" in text) == (vector and one.spreads)


@pytest.mark.parametrize("number", ["float64", "bool", "int8", "uint32", "uint64"])
def test_other_dtypes_are_compiled(number):
    for name in ("sum", "softmax") if number == "float64" else ("sum", "amax"):
        for layout, vector in LAYOUTS[1::2] if name == "sum" else LAYOUTS[-1:]:
            text = assembly(reductions.TABLE[name], number, layout, vector)
            assert (".f64" in text) == (number == "float64")


def test_cubins():
    kernels = [reduction_kernels.texts(reductions.softmax, "float32", *layout) for layout in LAYOUTS]
    kernels += [reduction_kernels.texts(reductions.sum, "float64", BLOCKS, True)]
    kernels += [indexing._gather_kernel(f"uint{bits}", vectors) for bits in (8, 32, 64) for vectors in (False, True)]
    kernels += [indexing._scatter_kernel(number) for number in ("float32", "float64")]
    for _, text, signature in kernels:
        compiled = target.compile_kernel(text, signature, HOPPER)
        assert compiled.symbol == "kernel"
        assert compiled.code[:4] == b"\x7fELF"


def test_indexing_has_neither_float64_nor_atomics():
    for vectors in (False, True):
        _, text, signature = indexing._gather_kernel("uint32", vectors)
        assert (".v4" in target.assembly(text, signature, HOPPER)) == vectors
    _, text, signature = indexing._scatter_kernel("float32")
    text = target.assembly(text, signature, HOPPER)
    assert not re.search(r"\.f64\b|\b(?:atom|red)\.", text)
