"""Object code in memory: by our own linker where it can, with LLVM's results, and by LLVM otherwise."""

import ctypes

import numpy as np
import pytest
from workers import run_python

from nbgrad.kernels import cache
from nbgrad.kernels.cpu import codegen, objects

pytestmark = pytest.mark.skipif(not objects.are_linked_here(), reason="LLVM links for this platform")

#: A loop with a constant, a table of numbers, and a call of the C library.
SOURCE = """
fold_add_float64 = folding("add", "float64")
def loop(args, dims, steps, data):
    x, y = float64_pointer(args[0]), float64_pointer(args[1])
    values = float64_room(512)
    for i in range(512):
        values[i] = 0.0
    for i in range(dims[0]):
        values[i] = math.sqrt(load(x, i) + 1.5) + 0.1
    y[0] = fold_add_float64(values, 64)
"""


@pytest.fixture
def kernel():
    return codegen._compile(SOURCE, "loop", ("contract",))


def run(address):
    x, y = np.linspace(-1, 1, 64), np.zeros(1)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(address)
    arguments = (ctypes.c_void_p * 2)(x.ctypes.data, y.ctypes.data)
    function(arguments, (ctypes.c_int64 * 1)(64), None, None)
    return y[0]


def test_the_linkers_agree(kernel):
    ours = objects.linked(kernel.code, kernel.symbol, codegen._address_of)
    again = kernel.symbol.encode()[:-1] + b"#"  # LLVM takes one of each name
    code = kernel.code.replace(kernel.symbol.encode(), again)
    theirs = codegen._loaded_by_llvm(kernel._replace(code=code, symbol=again.decode()))
    assert ours is not None and ours != theirs
    expected = (np.sqrt(np.linspace(-1, 1, 64) + 1.5) + 0.1).sum()
    assert run(ours) == run(theirs) == pytest.approx(expected, rel=1e-13)


def test_what_needs_more_than_addresses_is_left_to_llvm(kernel):
    text = bytearray(kernel.code)
    header = objects._HEADER.unpack_from(text)
    sections = [
        objects._Section(*objects._SECTION.unpack_from(text, header[6] + number * objects._SECTION.size))
        for number in range(header[12])
    ]
    place = next(section.offset for section in sections if section.kind == objects._RELOCATIONS)
    text[place + 8] = 2  # relative to the place
    assert objects.linked(bytes(text), kernel.symbol, codegen._address_of) is None
    assert objects.linked(kernel.code, kernel.symbol, lambda symbol: None) is None
    assert objects.linked(kernel.code, "no_such_entry", codegen._address_of) is None
    for begin, byte in ((4, 1), (16, 3), (18, 183)):  # of 32 bits; a library; for another processor
        other = bytearray(kernel.code)
        other[begin] = byte
        assert objects.linked(bytes(other), kernel.symbol, codegen._address_of) is None


def test_where_memory_must_not_become_code_llvm_is_asked(kernel, monkeypatch):
    monkeypatch.setattr(objects, "_made_code", lambda base, image: False)
    seen = []
    monkeypatch.setattr(codegen, "_loaded_by_llvm", lambda kernel: seen.append(kernel) or 1)
    assert codegen._load(kernel) == 1 and seen == [kernel]


def test_symbols_of_the_process():
    assert objects.address_of("memset") and objects.address_of("PyTuple_New") and objects.address_of("exp")
    assert objects.address_of("no_such_symbol") is None


def test_a_process_that_finds_its_kernels_does_not_load_llvm(tmp_path):
    program = (
        "import sys, numpy as np, nbgrad\n"
        "f = nbgrad.jit(nbgrad.value_and_grad(lambda x: (np.exp(x) * x).sum()))\n"
        "value, gradient = f(np.linspace(0, 1, 1000))\n"
        "print(value.item(), gradient.sum(), 'llvmlite.binding' in sys.modules)"
    )
    first, second = (run_python(program, NBGRAD_CACHE_DIR=str(tmp_path)).split() for _ in range(2))
    assert first[:2] == second[:2] and (first[2], second[2]) == ("True", "False")


def test_an_unreadable_processor_is_llvms_to_name(monkeypatch):
    from nbgrad.kernels.cpu import processor

    def unreadable(*arguments, **options):
        raise OSError

    assert processor._seen_by_linux() is not None
    monkeypatch.setattr("builtins.open", unreadable)
    assert processor._seen_by_linux() is None
    assert processor.identity.__wrapped__()[1:] == processor.target()
    assert cache.key_of("k", *processor.identity.__wrapped__())


def test_processors_that_are_asked_for_are_others(monkeypatch):
    from nbgrad.kernels.cpu import processor

    monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
    usual = processor.identity.__wrapped__()
    monkeypatch.setenv("NUMBA_CPU_NAME", "another")
    assert processor.identity.__wrapped__() == (usual[0], "another", usual[2]) != usual
