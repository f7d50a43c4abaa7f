"""From source to machine code: compiled once, vectorised, and only for what it was compiled for."""

import _thread
import os
import platform
import re
import threading
import time

import numpy as np
import pytest
from workers import race, run_python

from nbgrad.kernels import cache, forks
from nbgrad.kernels.cpu import backend, codegen, elementwise, folding, frontend, threads, ufunc
from nbgrad.kernels.formula import NUMBER, inputs, trace
from nbgrad.kernels.scalars import add, mul, relu, square, where

SOURCE = """
def loop(args, dims, steps, data):
    y = float64_pointer(args[1])
    for i in range(dims[0]):
        y[i] = {value}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache and an empty memory."""
    monkeypatch.setenv("NBGRAD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(codegen, "_addresses", {})
    return tmp_path / "cache"


def run(address):
    kernel = ufunc.make("constant", ["dd"], 1, lambda codes: (address, threads.NEVER))
    return kernel(np.zeros(3)).tolist()


def test_one_source_is_compiled_once_in_a_process(place, compiled):
    first = codegen.address("k", SOURCE.format(value=1.0))
    assert codegen.address("k", SOURCE.format(value=1.0)) == first
    assert len(compiled) == 1
    assert run(first) == [1.0] * 3


def test_the_next_process_reads_what_this_one_compiled(place, compiled):
    codegen.address("k", SOURCE.format(value=2.0))
    codegen._addresses.clear()
    assert run(codegen.address("k", SOURCE.format(value=2.0))) == [2.0] * 3
    assert len(compiled) == 1


def test_different_sources_and_liberties_are_different_kernels(place, compiled):
    codegen.address("k", SOURCE.format(value=3.0))
    codegen.address("k", SOURCE.format(value=4.0))
    codegen.address("k", SOURCE.format(value=4.0), fastmath=("contract", "reassoc"))
    assert len(compiled) == 3
    assert cache.size()[0] == 3


@pytest.mark.parametrize("position", range(5))
def test_whatever_shapes_machine_code_is_in_the_key(place, compiled, monkeypatch, position):
    """The version of llvmlite, the platform, processor, features, and our own compiler."""
    stamp = codegen._stamp()
    assert len(stamp) == 5
    assert all(stamp)
    codegen.address("k", SOURCE.format(value=5.0))
    changed = (*stamp[:position], stamp[position] + "+1", *stamp[position + 1 :])
    monkeypatch.setattr(codegen, "_stamp", lambda: changed)
    codegen._addresses.clear()
    codegen.address("k", SOURCE.format(value=5.0))
    assert len(compiled) == 2


def test_the_stamp_names_the_compiler():
    import llvmlite

    assert codegen._stamp()[0] == llvmlite.__version__


def test_numba_is_not_imported_for_kernels(tmp_path):
    out = run_python(
        "import sys, numpy, nbgrad\n"
        "x = nbgrad.Variable(numpy.ones(3))\n"
        "nbgrad.exp(x * x).sum().backward()\n"
        "print('numba' in sys.modules, 'llvmlite' in sys.modules, x.grad[0].item() > 5)",
        NBGRAD_CACHE_DIR=str(tmp_path),
    )
    assert out == "False True True\n"


def test_the_target_can_be_chosen_as_numbas(monkeypatch):
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+sse2")
    assert backend.target.__wrapped__() == ("generic", "+sse2")


def test_a_symbol_that_nobody_has_is_an_error(place, monkeypatch):
    compile_ = codegen._compile
    monkeypatch.setattr(codegen, "_compile", lambda *a: compile_(*a)._replace(undefined=("no_such_symbol",)))
    with pytest.raises(RuntimeError, match=r"kernel k needs \['no_such_symbol'\]"):
        codegen.address("k", SOURCE.format(value=6.0))
    assert cache.size()[0] == 0


def test_a_source_that_does_not_compile_leaves_nothing_behind(place, compiled):
    with pytest.raises(Exception, match="no_such_name"):
        codegen.address("k", SOURCE.format(value="no_such_name"))
    assert cache.size()[0] == 0
    assert codegen._addresses == {}
    assert run(codegen.address("k", SOURCE.format(value=7.0))) == [7.0] * 3


def test_threads_that_want_one_kernel_get_one(place, compiled):
    found = race(lambda _: codegen.address("k", SOURCE.format(value=8.0)), 6)
    assert len(compiled) == 1
    assert len(set(found)) == 1


def test_what_is_begun_is_compiled_meanwhile_and_once(place, compiled, monkeypatch):
    monkeypatch.setattr(codegen, "_compiling", [threading.Lock(), threading.Lock()])
    together = threading.Barrier(2)
    compile_ = codegen._compile

    def meeting(*arguments):
        together.wait(60)  # nobody gets on alone
        return compile_(*arguments)

    monkeypatch.setattr(codegen, "_compile", meeting)
    sources = [SOURCE.format(value=value) for value in (21.0, 22.0)]
    for source in sources:
        codegen.begin("k", source)
        codegen.begin("k", source)
    assert [run(codegen.address("k", source)) for source in sources] == [[21.0] * 3, [22.0] * 3]
    assert len(compiled) == 2 and not codegen._begun
    codegen._addresses.clear()
    codegen.begin("k", sources[0])  # it is in the cache
    assert not codegen._begun


def test_no_thread_that_compiles_is_still_starting_when_it_was_begun(place, monkeypatch):
    """Until then CPython gives it the identity of its starter, and what is to be raised there could hit it."""
    start, begun = _thread.start_new_thread, []

    def slowly(function, arguments):
        def work():
            time.sleep(0.1)
            begun.append(threading.get_ident())
            function(*arguments)

        return start(work, ())

    monkeypatch.setattr(_thread, "start_new_thread", slowly)
    codegen.begin("k", SOURCE.format(value=25.0))
    assert begun and begun[0] != threading.get_ident()
    assert codegen.address("k", SOURCE.format(value=25.0))


def test_a_kernel_is_compiled_where_no_thread_can_be_started(place, monkeypatch):
    def refused(function, arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refused)
    assert run(codegen.address("k", SOURCE.format(value=26.0))) == [26.0] * 3


def test_what_folds_share_is_begun_with_a_kernel(place, compiled):
    symbol = "nbgrad_gather_add_float32_float64"
    kernel = 'gather = gathering("add", "float32", "float64")\n' + SOURCE.format(value=23.0)
    codegen.begin("k", kernel)
    assert len(codegen._begun) == 2
    assert codegen.address("k", kernel)
    codegen.address(symbol, folding.source_of(symbol), symbol, ())
    assert sum(f"def {symbol}(" in source for source in compiled) == 1


def test_what_was_begun_and_failed_is_an_error_where_it_is_wanted(place):
    for _ in range(2):
        codegen.begin("k", SOURCE.format(value="no_such_name"))
        with pytest.raises(NameError, match="no_such_name"):
            codegen.address("k", SOURCE.format(value="no_such_name"))
    assert not codegen._begun


def test_llvm_compiles_while_another_thread_has_its_lock():
    codegen.address("k", SOURCE.format(value=24.0))
    builder = backend._llvm().create_pass_builder(backend.machine(), backend._llvm().create_pipeline_tuning_options())
    passes = builder.getModulePassManager()
    text = frontend.module_text(SOURCE.format(value=24.0), "loop", "k", "contract")
    module = backend._llvm().parse_assembly(text, backend._llvm().create_context())
    run_passes = backend._unlocked("LLVMPY_RunNewModulePassManager")
    with forks.llvm_lock():
        worker = threading.Thread(target=run_passes, args=(passes, module, builder))
        worker.start()
        worker.join(60)
        assert not worker.is_alive()


def test_kernels_of_two_processes_may_meet_in_one(place):
    """Every process names its symbols apart, so that the object code of one loads beside that of the other."""
    first = codegen.address("k", SOURCE.format(value=9.0))
    cache.clear()
    codegen._addresses.clear()
    second = codegen.address("k", SOURCE.format(value=9.0))
    assert first != second
    assert (run(first), run(second)) == ([9.0] * 3, [9.0] * 3)


# ---- what comes out -------------------------------------------------------------------------------------------------

PACKED = {
    "x86_64": {"float32": r"v?(add|mul|fmadd\d*|max|sub)ps\b", "float64": r"v?(add|mul|fmadd\d*|max|sub)pd\b"},
    "aarch64": {"float32": r"f(add|mul|mla)\s+v\d+\.4s", "float64": r"f(add|mul|mla)\s+v\d+\.2d"},
}
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())


@pytest.fixture
def assembly(place):
    """Give a function that compiles a source and gives its instructions."""

    def assembly_of(source):
        text = frontend.module_text(source, "loop", "listed", "contract")
        return backend.machine().emit_assembly(backend.optimised(text, backend.effort_for(source, "loop")))

    return assembly_of


@pytest.mark.skipif(MACHINE not in PACKED, reason="knows the packed instructions of x86-64 and 64-bit ARM")
@pytest.mark.parametrize("number", ["float32", "float64"])
@pytest.mark.parametrize(
    "expression",
    [
        add.expression,
        mul.expression,
        square.expression,
        trace(lambda x, y: where(x > 0, x * y, y + x), [NUMBER, NUMBER]),
    ],
    ids=["add", "mul", "square", "where"],
)
def test_loops_are_vectorised(assembly, expression, number):
    arity = len(inputs(expression))
    source = elementwise.source([expression], [NUMBER] * arity, number)
    assert re.search(PACKED[MACHINE][number], assembly(source))


@pytest.mark.skipif(MACHINE != "x86_64", reason="reads the instructions of x86-64")
@pytest.mark.parametrize("function", [add, mul, square, relu], ids=lambda function: function.name)
def test_float32_loops_have_no_float64_instruction(assembly, function):
    source = elementwise.source([function.expression], [NUMBER] * function.arity, "float32")
    text = assembly(source)
    assert re.search(r"\bv?cvts[sd]2s[sd]\b|\bv?cvtp[sd]2p[sd]\b|\bv?(add|mul|sub|div)[sp]d\b", text) is None


def test_the_cached_kernel_is_for_this_process_only_in_name(place):
    codegen.address("readable", SOURCE.format(value=10.0))
    names = sorted(os.listdir(place))
    assert [name.rsplit(".", 1)[1] for name in names] == ["kernel", "py"]
    assert all(name.startswith("readable-") for name in names)
