"""From source text to a callable address: compile once, load from the cache ever after.

What is compiled is relocatable object code, and is kept: a process that finds all its kernels in the cache loads them
with llvmlite in under a millisecond each.
"""

from __future__ import annotations

import _thread
import atexit
import os
import threading
import time
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import Any

from .. import cache, progress
from ..cache import CompiledKernel
from ..forks import hold_over_fork, llvm_lock
from .processor import llvm as _llvm
from .processor import target

_lock = threading.RLock()
_addresses: dict[str, int] = {}
_engine: Any = None

#: Held while LLVM compiles.
_compiling = threading.Lock()

# with them, no other thread is inside LLVM on our behalf
hold_over_fork(_lock)
hold_over_fork(_compiling)


#: What shapes machine code besides the rooms of the compiler and of elementary functions.
_FILES = ("backend.py", "folding.py", "random.py", "sizes.py", "../philox.py")


@once
def _stamp() -> tuple[str, ...]:
    """Everything besides the source that shapes machine code: the compiler, the processor, and our own compiler."""
    import llvmlite

    cpu = Path(__file__).parent
    rooms = sorted([*(cpu / "frontend").glob("*.py"), *(cpu / "elementary").rglob("*.py")])
    ours = [path.read_text() for path in (*(cpu / name for name in _FILES), *rooms)]
    return llvmlite.__version__, _llvm().get_process_triple(), *target(), cache.key_of("cpu", *ours)


def _missing_symbols(kernel: CompiledKernel) -> list[str]:
    address_of = _llvm().address_of_symbol
    return [name for name in kernel.undefined if address_of(name) is None and not _provided(name)]


def _provided(symbol: str) -> bool:
    """Compile or load a function that kernels share, for LLVM to find; tells whether it is one."""
    from . import folding

    if not symbol.startswith(folding.PREFIX):
        return False
    _llvm().add_symbol(symbol, address(symbol, folding.source_of(symbol), symbol, ()))
    return True


#: How object files begin: ELF, Mach-O, and COFF for x86-64 and ARM64. LLVM ends the process on anything else.
_MAGICS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\x64\x86", b"\x64\xaa")


def _load(kernel: CompiledKernel) -> int:
    """Link object code into this process and give the address of its entry."""
    global _engine
    llvm = _llvm()
    if _engine is None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_default_triple().create_target_machine()
        _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    _engine.add_object_file(llvm.ObjectFileRef.from_data(kernel.code))
    _engine.finalize_object()
    return int(_engine.get_function_address(kernel.symbol))


def _compile(source: str, entry: str, fastmath: tuple[str, ...]) -> CompiledKernel:
    """Compile the function `entry` of `source` to relocatable object code."""
    from . import backend, frontend

    # kernels share a process, and the linker takes one of what is of one name
    symbol = f"{entry}_{os.urandom(16).hex()}"
    text = frontend.module_text(source, entry, symbol, " ".join(fastmath))
    code, undefined = backend.object_code(text, backend.effort_for(source, entry))
    return CompiledKernel(symbol, undefined, code)


def _undisturbed(name: str, work: Callable[[], CompiledKernel]) -> CompiledKernel:
    """Compile in a thread of its own, which nothing interrupts.

    An exception from outside, as Ctrl-C raises one, would leave LLVM, which builds up tables when it is first used, in
    a state from which it does not recover. So it only ends the waiting, and the kernel is finished.
    """
    found: list[CompiledKernel] = []
    failed: list[BaseException] = []
    done = threading.Lock()

    def run() -> None:
        try:
            with _compiling:
                found.append(work())
        except BaseException as error:
            failed.append(error)
        finally:
            done.release()

    done.acquire()
    begin = time.monotonic()
    with progress.compiling(name):
        try:
            _thread.start_new_thread(run, ())
        except RuntimeError:  # the system has no more
            run()
        while not done.acquire(timeout=0.25):
            progress.show(name, time.monotonic() - begin)
    if failed:
        raise failed.pop()
    return found[0]


@atexit.register
def _finish() -> None:
    """Wait for a kernel whose waiting was interrupted: the process must not end inside LLVM."""
    with _compiling:
        pass


def _free_llvm() -> None:
    """Release LLVM's lock, if this thread still has it.

    llvmlite takes it and gives it back by Python code, also where an object is disposed of, and an exception of a
    signal handler may come in between.
    """
    lock = llvm_lock()
    while lock is not None and lock._is_owned():
        lock.release()


def address(name: str, source: str, entry: str = "loop", fastmath: tuple[str, ...] = ("contract",)) -> int:
    """Give the address of the compiled function `entry` that `source` defines.

    A ``loop(args, dims, steps, data)`` has the signature of NumPy's ufunc inner loops; `frontend.ENTRIES` lists the
    entries there are. `fastmath` names the liberties LLVM may take; ``nnan`` and ``ninf`` are never among them.
    """
    try:
        key = cache.key_of(name, source, repr(fastmath), *_stamp())
        with _lock:
            known = _addresses.get(key)
            if known is not None:
                return known
            kernel = cache.read(key)
            if kernel is None or not kernel.code.startswith(_MAGICS) or _missing_symbols(kernel):
                kernel = _undisturbed(name, lambda: _compile(source, entry, fastmath))
                missing = _missing_symbols(kernel)
                if missing:
                    raise RuntimeError(f"kernel {name} needs {missing}, which this process does not have")
                cache.write(key, kernel, source)
            found = _addresses[key] = _load(kernel)
            return found
    finally:
        _free_llvm()
