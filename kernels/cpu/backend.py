"""LLVM's part: from its language to object code for this processor."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import string_at
from functools import cache as once
from typing import Any, NamedTuple

from .processor import llvm as _llvm
from .processor import target

#: Intrinsics that LLVM turns into calls of the C library.
_LIBRARY_INTRINSICS = ("exp", "exp2", "log", "log2", "log10", "pow", "sin", "cos", "fma")


class Effort(NamedTuple):
    """What LLVM is to try, beyond making registers of variables: vector loops, and several turns of a loop at once."""

    vectors: bool
    unrolling: bool
    #: Statements that are alike, beside each other, as vectors.
    straight: bool = False


#: For text that moves words about, for loops whose turns have nothing to do with each other, and for all others. The
#: second kind is no quicker for turns taken together (measured from 100 elements on), and compiles in half the time.
WORDS, APART, WHOLE = Effort(False, False), Effort(True, False), Effort(True, True)
#: For text that is written for vectors, a variable for each of their elements.
STRAIGHT = Effort(True, False, True)


def effort_for(source: str, entry: str) -> Effort:
    """Tell what pays for a kernel's text."""
    if entry not in ("loop", "call"):  # what folds have in common
        return STRAIGHT if "def nbgrad_row" in source else WHOLE
    if "int64_operands()" in source or (entry == "call" and "float" not in source):
        return WORDS
    folds = "_lanes()" in source or "totals0" in source
    return WHOLE if entry == "loop" and folds and "gathering(" not in source else APART


def machine() -> Any:
    """Give LLVM's description of the processor that is compiled for, which one thread at a time may use."""
    llvm = _llvm()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = target()
    host = llvm.Target.from_default_triple()
    relocation = "static" if host.name.startswith("x86") else "default"
    return host.create_target_machine(cpu=name, features=features, opt=2, reloc=relocation, codemodel="jitdefault")


def optimised(text: str, effort: Effort = WHOLE, processor: Any = None) -> Any:
    """Give a module after LLVM's passes."""
    llvm = _llvm()
    processor = processor or machine()
    module = llvm.parse_assembly(text, llvm.create_context())  # contexts have nothing to do with each other
    module.triple = llvm.get_process_triple()
    module.data_layout = str(processor.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2 if effort.vectors else 1)
    options.loop_vectorization, options.slp_vectorization = effort.vectors, effort.straight
    options.loop_unrolling = options.loop_interleaving = effort.unrolling
    builder = llvm.create_pass_builder(processor, options)
    _unlocked("LLVMPY_RunNewModulePassManager")(builder.getModulePassManager(), module, builder)
    return module


def object_code(text: str, effort: Effort = WHOLE) -> tuple[bytes, tuple[str, ...]]:
    """Compile a module; gives relocatable object code, and the symbols that it expects to find."""
    try:
        processor = _idle_machines.pop()
    except IndexError:
        processor = machine()
    module = optimised(text, effort, processor)
    declared = [_symbol_of(f.name) for f in module.functions if f.is_declaration]
    code = _emitted(processor, module)
    _idle_machines.append(processor)
    return code, tuple(sorted({symbol for symbol in declared if symbol is not None}))


#: What no thread uses at present.
_idle_machines: list[Any] = []


def _emitted(processor: Any, module: Any) -> bytes:
    """Do what ``processor.emit_object(module)`` does, without keeping other threads from LLVM."""
    from llvmlite.binding import ffi

    with ffi.OutputString() as error:
        memory = _unlocked("LLVMPY_TargetMachineEmitToMemory")(processor, module, 1, error)
        if not memory:
            raise RuntimeError(str(error))
    try:
        return string_at(ffi.lib.LLVMPY_GetBufferStart(memory), ffi.lib.LLVMPY_GetBufferSize(memory))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


@once
def _unlocked(name: str) -> Callable[..., Any]:
    """Give a function of LLVM's library that other threads may be in: llvmlite lets one in at a time.

    What two threads give it must not belong to one context.
    """
    from llvmlite.binding import ffi

    function: Callable[..., Any] = getattr(ffi.lib, name)
    return getattr(function, "_cfn", function)


def _symbol_of(name: str) -> str | None:
    """Give the symbol that a declaration in LLVM's module may end up as."""
    if not name.startswith("llvm."):
        return name
    parts = name.split(".")
    if parts[1] in _LIBRARY_INTRINSICS and parts[-1] in ("f32", "f64"):
        return parts[1] + ("f" if parts[-1] == "f32" else "")
    return None
