"""Fused loops and reductions, compiled for a GPU that need not be there: accesses, registers, and how work is cut."""

import os
import re
import struct

import pytest
from helpers import usually

pytest.importorskip("numba_cuda", reason="needs numba-cuda")
pytest.importorskip("cuda.core", reason="needs cuda-core")

if os.environ.get("LLVMLITE_ENABLE_IR_LAYER_TYPED_POINTERS") == "0":
    pytest.skip("NVVM does not read LLVM's IR of this process", allow_module_level=True)

from nbgrad.kernels import reductions, scalars
from nbgrad.kernels.cuda import cubin, forms, fused, reduction_kernels
from nbgrad.kernels.formula import variable
from nbgrad.kernels.loop_nest import ELEMENT, NEST, ROW, Assign, Fold, Nest, Operand, keep_what_is_dear

HOPPER = (9, 0)
#: Registers of a processor, on every GPU so far.
REGISTERS = 65536


# ---- nests ----------------------------------------------------------------------------------------------------------


def assign(name, function, *arguments, number="float32", level=ELEMENT, stage=0):
    expression = function(*map(variable, range(len(arguments))))
    return Assign(name, expression, arguments, (False,) * len(arguments), number, number, level, stage)


def fold(name, argument, combine, over, number="float32", stage=0):
    identity, wide = fused.fold_of(combine, number)
    return Fold(name, argument, combine, identity, wide, number, over, ELEMENT, stage)


def elements(number="float32", inputs=1):
    """Give tanh(x) * x, of products of inputs, along one row."""
    loads = [Operand(f"p{i}", number, ELEMENT) for i in range(inputs)]
    steps = [assign("n0", scalars.tanh, "v_p0", number=number)]
    for i in range(inputs):
        steps.append(assign(f"n{i + 1}", scalars.mul, f"n{i}", f"v_p{i}", number=number))
    return Nest(1, True, loads, steps, [(Operand("o0", number, ELEMENT), f"n{inputs}", 0)])


def whole(number="float32"):
    nest = Nest(1, True, [Operand("p0", number, ELEMENT)])
    nest.steps = [assign("n0", scalars.exp, "v_p0", number=number), fold("n1", "n0", scalars.add, "all", number)]
    nest.partials = [(Operand("q0", number, ROW), Operand("r0", number, NEST), "n1")]
    return nest


def softmax(number="float32"):
    nest = Nest(1, False, [Operand("p0", number, ELEMENT)])
    nest.steps = [
        fold("n0", "v_p0", scalars.maximum, "row", number),
        assign("n1", scalars.sub, "v_p0", "n0", number=number, stage=1),
        assign("n2", scalars.exp, "n1", number=number, stage=1),
        fold("n3", "n2", scalars.add, "row", number, 1),
        assign("n4", scalars.div, "n2", "n3", number=number, stage=2),
    ]
    nest.stores = [(Operand("o0", number, ELEMENT), "n4", 2)]
    nest.kept = [(Operand("k0", number, ELEMENT), name) for name in keep_what_is_dear(nest)]
    return nest


def columns(number="float32"):
    nest = Nest(1, False, [Operand("p0", number, ELEMENT)])
    nest.steps = [
        assign("n0", scalars.mul, "v_p0", "v_p0", number=number),
        fold("n1", "n0", scalars.add, "column", number),
    ]
    nest.partials = [(Operand("q0", number, ROW), Operand("r0", number, NEST), "n1")]
    return nest


def assembly(nest, form):
    return cubin.assembly(fused.source(nest, form), fused.signature(nest), HOPPER)


# ---- accesses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "vector"), [("float32", r"v4\.f32"), ("float64", r"v2\.f64")])
def test_one_long_row_goes_by_16_bytes_with_several_loads_under_way(number, vector):
    for inputs in (1, 2, 5):
        nest = elements(number, inputs)
        text = assembly(nest, forms._form(nest, 1, 10**8))
        assert (".f64" in text) == (number == "float64")
        assert "call" not in text and ".local" not in text
        accesses = re.findall(rf"(ld|st)\.global\.{vector}", text)
        loads = accesses.index("st")
        assert loads == max(4, inputs)  # before the first store waits for any
        assert "st" in accesses
    nest = whole(number)
    text = assembly(nest, forms._form(nest, 1, 10**8))
    assert len(re.findall(rf"ld\.global\.{vector}", text)) >= 4


@pytest.mark.parametrize(("width", "vectors"), [(16, 1), (1024, 1), (4096, 4)])
def test_rows_are_read_once_and_written_once(width, vectors):
    nest = softmax()
    form = forms._form(nest, 8192, width)
    assert form.held
    text = assembly(nest, form)
    assert len(re.findall(r"ld\.global\.v4\.f32", text)) == vectors
    assert len(re.findall(r"st\.global\.v4\.f32", text)) == vectors
    assert ".f64" not in text
    assert ("bar.sync" in text) == (width > 512)  # short rows are a warp's


def test_lanes_are_neighbours_only_where_rows_begin_at_multiples_of_16_bytes():
    nest = softmax()
    form = forms._form(nest, 100, 1024)
    sizes = {"width": 1024, "p0_step0": 1024, "o0_step0": 1024}
    assert form.lanes == 4
    assert forms.is_aligned(nest, form, sizes)
    for name in sizes:
        assert not forms.is_aligned(nest, form, sizes | {name: 1026})


def test_parameters_may_take_more_than_4096_bytes():
    nest = elements(inputs=80)
    nest.outer, nest.flat = 6, False
    form = forms._form(nest, 100, 1000)
    compiled = cubin.compile_kernel(fused.source(nest, form), fused.signature(nest), HOPPER)
    assert len(fused.signature(nest)) * 8 > 4096
    assert compiled.code.startswith(b"\x7fELF")


# ---- blocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nest", [whole(), columns(), softmax()])
@pytest.mark.parametrize("rows", [1, 7, 132, 5000, 10**6])
@pytest.mark.parametrize("width", [1, 10, 33, 1024, 1025, 20_000, 10**6])
def test_blocks_are_neither_too_many_nor_without_work(nest, rows, width):
    blocks = fused.blocks(nest, rows * width if nest.flat else rows, rows * width)
    form = forms._form(nest, 1, rows * width) if nest.flat else forms._form(nest, rows, width)
    assert form.slots * form.threads * forms.tiles_of(nest, form, width) >= min(width, form.group * form.slots)
    assert form.group & (form.group - 1) == 0 and form.threads & (form.threads - 1) == 0 and form.threads >= 32
    assert form.group <= form.threads <= 512
    running = blocks * form.threads * forms.tiles_of(nest, form, width)
    if nest.partials:
        assert running <= 528 * 256 or blocks == 1
    if rows * width >= 10**8 and rows >= 5000:  # every processor has four blocks of 256 threads, or almost
        assert running >= 480 * 256
    if not nest.flat:
        assert blocks <= rows
        rows_in_block = -(-rows // blocks)
        assert rows_in_block * blocks >= rows


def test_few_elements_are_spread_over_processors():
    nest = elements()
    assert fused.blocks(nest, 10**5, 10**5) >= 90
    assert fused.blocks(nest, 10**8, 10**8) * 4096 >= 10**8
    nest = softmax()
    assert fused.blocks(nest, 128, 128 * 10) >= 16


# ---- registers ------------------------------------------------------------------------------------------------------


def resources(code):
    """Read a cubin: the registers of the function `kernel`, and the bytes of its frame."""
    sections = struct.unpack_from("<Q", code, 0x28)[0]
    size, count, names = struct.unpack_from("<HHH", code, 0x3A)
    heads = [struct.unpack_from("<IIQQQQIIQQ", code, sections + number * size) for number in range(count)]
    strings = heads[names][4]
    found = {code[strings + head[0] : code.index(b"\0", strings + head[0])].decode(): head for head in heads}
    symbol = found[".text.kernel"][7] & 0xFFFFFF
    told = {}
    begin, end = found[".nv.info"][4], found[".nv.info"][4] + found[".nv.info"][5]
    while begin < end:
        form, attribute, length = struct.unpack_from("<BBH", code, begin)
        begin += 4
        if form == 4:  # `length` bytes follow: a function's symbol and its number
            if struct.unpack_from("<I", code, begin)[0] == symbol:
                told[attribute] = struct.unpack_from("<I", code, begin + 4)[0]
            begin += length
    return told[0x2F], told[0x11]


def compiled(text, signature):
    return resources(cubin.compile_kernel(text, signature, HOPPER).code)


@pytest.mark.slow
def test_registers_are_read_from_cubins():
    text = "def kernel(x, n):\n" + "".join(f"    a{i} = x[n + {i} * n]\n" for i in range(90))
    text += "    i = int64(0)\n    while i < n:\n"
    text += "".join(f"        a{i} = a{i} * a{(i + 1) % 90} + x[i]\n" for i in range(90)) + "        i += 1\n"
    text += "".join(f"    x[{i} * n] = a{i}\n" for i in range(90))
    free, _ = compiled(text, ("float32*", "int64"))
    assert free > 90
    bound, frame = compiled("BOUNDS = (1024,)\n" + text, ("float32*", "int64"))
    assert bound <= 64
    assert frame > 0


@pytest.mark.parametrize("name", usually(reductions.TABLE, "sum"))
def test_registers_suffice_for_the_largest_blocks_of_reductions(name):
    one = reductions.TABLE[name]
    for number in ("float32", "float64") if one.floating else ("float64", "int64"):
        for vector in (False, True):
            _, text, signature = reduction_kernels.texts(one, number, reduction_kernels.BLOCKS, vector)
            registers, frame = compiled(text, signature)
            assert registers * reduction_kernels.MOST_THREADS <= REGISTERS
            # powers of double precision take some sixty registers by themselves: four of the loop's wait meanwhile
            assert frame <= (32 if name == "norm_p" else 0)


@pytest.mark.parametrize("number", usually(["float32", "float64"], "float32"))
@pytest.mark.parametrize(
    ("make", "rows", "width"),
    [
        pytest.param(elements, 1, 10**8, marks=pytest.mark.slow),
        (whole, 1, 10**8),
        pytest.param(softmax, 10**6, 10, marks=pytest.mark.slow),
        (softmax, 8192, 1024),
        pytest.param(softmax, 4096, 4096, marks=pytest.mark.slow),
        pytest.param(softmax, 4096, 8000, marks=pytest.mark.slow),
        pytest.param(softmax, 100, 50_257, marks=pytest.mark.slow),
        pytest.param(columns, 10**6, 10, marks=pytest.mark.slow),
        (columns, 65_536, 1024),
    ],
)
def test_registers_suffice_for_as_many_blocks_as_run_at_once(make, rows, width, number):
    nest = make(number)
    form = forms._form(nest, rows, width)
    for lanes in {form.lanes, form.lanes if nest.flat else 1}:
        registers, frame = compiled(fused.source(nest, form._replace(lanes=lanes)), fused.signature(nest))
        assert registers * form.threads <= REGISTERS
        if number == "float32" and form.threads <= 256:
            assert registers * form.threads * 4 <= REGISTERS
        assert frame == 0
    if nest.partials:
        registers, _ = compiled(fused.joining_source(nest), fused.signature(nest))
        assert registers * 256 <= REGISTERS
