"""From source text to a callable address: compile once, load from the cache ever after.

What is compiled is relocatable object code, and is kept: a process that finds all its kernels in the cache loads them
in under a millisecond each.
"""

from __future__ import annotations

import _thread
import atexit
import hashlib
import heapq
import itertools
import os
import threading
import time
from functools import cache as once
from typing import Any

from .. import cache, progress
from ..cache import CompiledKernel
from ..forks import hold_over_fork, llvm_lock
from . import objects
from .processor import cores, identity
from .processor import llvm as _llvm

_lock = threading.RLock()
_addresses: dict[str, int] = {}
_engine: Any = None

#: Held while LLVM compiles, one by each thread that does.
_compiling = [threading.Lock() for _ in range(min(cores(), 8))]
#: Held while a kernel's text is translated, where what several kernels use is kept.
_translating = threading.Lock()

# with them, no other thread is inside LLVM on our behalf
hold_over_fork(_lock, *_compiling, _translating)


#: What shapes machine code besides the rooms of the compiler and of elementary functions.
_FILES = ("backend.py", "folding.py", "random.py", "sizes.py", "../philox.py")


@once
def _stamp() -> tuple[str, ...]:
    """Everything besides the source that shapes machine code: the compiler, the processor, and our own compiler."""
    import llvmlite

    cpu = os.path.dirname(__file__)
    rooms = [room for name in ("frontend", "elementary") for room, _, _ in os.walk(os.path.join(cpu, name))]
    inside = [os.path.join(room, file) for room in rooms for file in os.listdir(room) if file.endswith(".py")]
    ours = hashlib.sha256()
    for path in (*(os.path.join(cpu, name) for name in _FILES), *sorted(inside)):
        with open(path, "rb") as file:
            ours.update(file.read() + b"\0")
    return llvmlite.__version__, *identity(), ours.hexdigest()


def _missing_symbols(kernel: CompiledKernel) -> list[str]:
    return [name for name in kernel.undefined if _address_of(name) is None]


#: The addresses of functions that kernels share.
_shared: dict[str, int] = {}


def _address_of(symbol: str) -> int | None:
    """Give the address of a symbol, having compiled or loaded what kernels share; None for what there is not."""
    from . import folding

    if not symbol.startswith(folding.PREFIX):
        return objects.address_of(symbol)
    if symbol not in _shared:
        _shared[symbol] = address(symbol, folding.source_of(symbol), symbol, ())
    return _shared[symbol]


#: How object files begin: ELF, Mach-O, and COFF for x86-64 and ARM64. LLVM ends the process on anything else.
_MAGICS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\x64\x86", b"\x64\xaa")


def _load(kernel: CompiledKernel) -> int:
    """Link object code into this process and give the address of its entry."""
    found = objects.linked(kernel.code, kernel.symbol, _address_of) if objects.are_linked_here() else None
    return _loaded_by_llvm(kernel) if found is None else found


def _loaded_by_llvm(kernel: CompiledKernel) -> int:
    global _engine
    llvm = _llvm()
    if _engine is None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_default_triple().create_target_machine()
        _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    for symbol in _shared.keys() & set(kernel.undefined):
        llvm.add_symbol(symbol, _shared[symbol])
    _engine.add_object_file(llvm.ObjectFileRef.from_data(kernel.code))
    _engine.finalize_object()
    return int(_engine.get_function_address(kernel.symbol))


def _compile(source: str, entry: str, fastmath: tuple[str, ...]) -> CompiledKernel:
    """Compile the function `entry` of `source` to relocatable object code."""
    from . import backend, frontend

    # kernels share a process, and the linker takes one of what is of one name
    symbol = f"{entry}_{os.urandom(16).hex()}"
    with _translating:
        text = frontend.module_text(source, entry, symbol, " ".join(fastmath))
    code, undefined = backend.object_code(text, backend.effort_for(source, entry))
    return CompiledKernel(symbol, undefined, code)


class _Compilation:
    """A kernel that a thread of its own compiles, which nothing interrupts.

    An exception from outside, as Ctrl-C raises one, would leave LLVM, which builds up tables when it is first used, in
    a state from which it does not recover. So it only ends the waiting, and the kernel is finished.
    """

    def __init__(self, name: str, source: str, entry: str, fastmath: tuple[str, ...]) -> None:
        self.name, self.source, self.entry, self.fastmath = name, source, entry, fastmath
        self._found: CompiledKernel | None = None
        self._failed: BaseException | None = None
        self.done, self._running = False, threading.Lock()
        self._running.acquire()

    def begin(self) -> _Compilation:
        """Have it compiled, the longest text first where several wait; gives itself."""
        number = next(_numbers)
        heapq.heappush(_waiting, (-len(self.source), number, self))
        place = _compiling[number % len(_compiling)]
        started = threading.Lock()
        started.acquire()
        try:
            _thread.start_new_thread(_compile_waiting, (place, started))
        except RuntimeError:  # the system has no more
            _compile_waiting(place, started)
        # until a thread has begun it has the identity of the one that started it, and would be taken for that one where
        # an exception is to be raised there (`interrupts.raise_afterwards`)
        started.acquire()
        return self

    def run(self) -> None:
        """Compile it."""
        try:
            self._found = _compile(self.source, self.entry, self.fastmath)
        except BaseException as error:
            self._failed = error
        finally:
            self.done = True
            self._running.release()

    def wait(self) -> CompiledKernel:
        """Wait for it; raises what compiling it raised."""
        if not self.done:
            begin = time.monotonic()
            with progress.compiling(self.name):
                while not (self._running.acquire(timeout=0.25) or self.done):
                    progress.show(self.name, time.monotonic() - begin)
        if self._failed is not None:
            raise self._failed
        assert self._found is not None
        return self._found


#: Kernels that nobody compiles yet, and all whose code nobody has asked for yet, by their keys.
_waiting: list[tuple[int, int, _Compilation]] = []
_begun: dict[str, _Compilation] = {}
_numbers = itertools.count()


def _compile_waiting(place: threading.Lock, started: threading.Lock) -> None:
    started.release()
    with place:
        while True:
            try:
                _, _, kernel = heapq.heappop(_waiting)
            except IndexError:
                return
            kernel.run()


def _forget_threads() -> None:
    """Forget, in a process that came of a fork, what threads were about to do that it does not have."""
    _waiting.clear()
    _begun.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@atexit.register
def _finish() -> None:
    """Wait for kernels whose waiting was interrupted: the process must not end inside LLVM."""
    _waiting.clear()
    for place in _compiling:
        with place:
            pass


def _free_llvm() -> None:
    """Release LLVM's lock, if this thread still has it.

    llvmlite takes it and gives it back by Python code, also where an object is disposed of, and an exception of a
    signal handler may come in between.
    """
    lock = llvm_lock()
    while lock is not None and lock._is_owned():
        lock.release()


def begin(name: str, source: str, entry: str = "loop", fastmath: tuple[str, ...] = ("contract",)) -> None:
    """Have what `address` is going to be asked for compiled meanwhile, by other threads, if it has to be."""
    from . import folding

    try:
        with _lock:
            if _begin(name, source, entry, fastmath):
                for symbol in folding.symbols_of(source):
                    _begin(symbol, folding.source_of(symbol), symbol, ())
    finally:
        _free_llvm()


def _begin(name: str, source: str, entry: str, fastmath: tuple[str, ...]) -> bool:
    key = _key(name, source, fastmath)
    if key in _addresses or key in _begun or cache.holds(key):
        return False
    _begun[key] = _Compilation(name, source, entry, fastmath).begin()
    return True


def _compiled(key: str, name: str, source: str, entry: str, fastmath: tuple[str, ...]) -> CompiledKernel:
    """Wait for a kernel's code, having begun it if nobody has; whoever is interrupted finds it when asking again."""
    kernel = _begun.get(key)
    if kernel is None:
        kernel = _begun[key] = _Compilation(name, source, entry, fastmath).begin()
    try:
        return kernel.wait()
    finally:
        if kernel.done:
            _begun.pop(key, None)


def _key(name: str, source: str, fastmath: tuple[str, ...]) -> str:
    return cache.key_of(name, source, repr(fastmath), *_stamp())


def address(name: str, source: str, entry: str = "loop", fastmath: tuple[str, ...] = ("contract",)) -> int:
    """Give the address of the compiled function `entry` that `source` defines.

    A ``loop(args, dims, steps, data)`` has the signature of NumPy's ufunc inner loops; `frontend.ENTRIES` lists the
    entries there are. `fastmath` names the liberties LLVM may take; ``nnan`` and ``ninf`` are never among them.
    """
    try:
        key = _key(name, source, fastmath)
        with _lock:
            known = _addresses.get(key)
            if known is not None:
                return known
            kernel = cache.read(key) if key not in _begun else None
            if kernel is None or not kernel.code.startswith(_MAGICS) or _missing_symbols(kernel):
                kernel = _compiled(key, name, source, entry, fastmath)
                missing = _missing_symbols(kernel)
                if missing:
                    raise RuntimeError(f"kernel {name} needs {missing}, which this process does not have")
                cache.write(key, kernel, source)
            found = _addresses[key] = _load(kernel)
            return found
    finally:
        _free_llvm()
