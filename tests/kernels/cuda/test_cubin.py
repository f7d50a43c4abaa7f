"""Kernels of the CUDA target become machine code without a GPU, and only of the instructions they should have."""

import re

import pytest

pytest.importorskip("numba.cuda.compiler", reason="needs numba-cuda")
pytest.importorskip("cuda.core", reason="needs cuda-core")

from nbgrad.kernels.cuda import cubin

CAPABILITY = (9, 0)

LINE = """
def kernel(x, y, n):
    i = cuda.grid(1)
    if i < n:
        y[i] = {body}
"""


def assembly(body, signature=("float32*", "float32*", "int64"), text=LINE):
    return cubin.assembly(text.format(body=body), signature, CAPABILITY)


def test_a_kernel_becomes_a_cubin():
    made = cubin.compile_kernel(LINE.format(body="x[i]"), ("float32*", "float32*", "int64"), CAPABILITY)
    assert made.symbol == "kernel"
    assert made.code.startswith(b"\x7fELF")
    assert b"kernel" in made.code


@pytest.mark.parametrize("capability", [(8, 0), (8, 9), (9, 0), (10, 0), (12, 0)], ids=str)
def test_every_capability_has_a_cubin(capability):
    made = cubin.compile_kernel(LINE.format(body="x[i]"), ("float32*", "float32*", "int64"), capability)
    assert made.code.startswith(b"\x7fELF")


def test_the_text_for_a_capability_names_it():
    assert ".target sm_90" in assembly("x[i]")
    assert ".visible .entry kernel(" in assembly("x[i]")
    assert "NumbaEnv" not in assembly("x[i]")


def test_indices_have_64_bits():
    """Arrays may have more than 2**31 elements."""
    text = assembly("x[i]")
    assert re.search(r"(mul|mad)\.(wide\.[su]32|lo\.s64)", text)
    assert not re.search(r"(mul|mad)\.lo\.s32", text)


def test_vectors_are_one_instruction():
    text = """
def kernel(x, y, n):
    i = cuda.grid(1)
    if i < n:
        store_vector(y, i * {body}, load_vector(x, i * {body}))
"""
    assert "ld.global.v4.f32" in (made := assembly("4", text=text))
    assert "st.global.v4.f32" in made
    assert "ld.global.v2.f64" in (made := assembly("2", ("float64*", "float64*", "int64"), text))
    assert "st.global.v2.f64" in made


def test_formulas_are_contracted_and_elementary_functions_are_not():
    assert "fma.rn.f32" in assembly("x[i] * x[i] + y[i]")
    assert "div.rn.f32" in assembly("x[i] / y[i]")
    assert "sqrt.rn.f32" in assembly("math.sqrt(x[i])")


def test_halves_are_converted_by_the_processor():
    text = assembly("float32_of_half(x[i])", ("float16*", "float32*", "int64"))
    assert "cvt.f32.f16" in text


def test_parameters_are_of_the_types_that_launches_pass():
    text = assembly(
        "x[i] * s + t + k",
        ("float32*", "float32*", "int64", "float32", "float64", "int32"),
        LINE.replace("n)", "n, s, t, k)"),
    )
    assert re.findall(r"\.param \.(\w+) (?:\.ptr[^,]*)?kernel_param", text) == [
        "u64",
        "u64",
        "u64",
        "f32",
        "f64",
        "u32",
    ]


def test_a_failure_says_what_is_wrong():
    with pytest.raises(Exception, match="nothing_of_that_name"):
        assembly("nothing_of_that_name(x[i])")
