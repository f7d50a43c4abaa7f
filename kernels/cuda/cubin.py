"""From source text to a cubin, by numba-cuda. No GPU is needed: what a kernel is compiled for is an argument."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from numba.cuda import types
from numba.cuda.compiler import compile_cuda, kernel_fixup
from numba.cuda.core.compiler_lock import global_compiler_lock
from numba.cuda.cudadrv import nvvm

from ..cache import CompiledKernel
from .inlining import OPTIONS
from .support import NAMESPACE


def type_of(name: str) -> Any:
    """Give Numba's type for a parameter: "float32", or "float32*" for a pointer; float16 and bool come as bits."""
    scalar = name.removesuffix("*")
    kind = getattr(types, {"bool": "uint8", "float16": "uint16"}.get(scalar, scalar))
    return types.CPointer(kind) if name.endswith("*") else kind


@global_compiler_lock
def compile_library(
    function: Any, signature: Sequence[str], capability: tuple[int, int], bounds: tuple[int, ...] | None = None
) -> Any:
    """Compile a Python function as a kernel; gives numba-cuda's code library, which has LLVM's and NVVM's text.

    `bounds` are the most threads of a block and the least blocks that a processor is to run at once: there are
    registers for as many.
    """
    made = compile_cuda(function, types.void, tuple(map(type_of, signature)), cc=capability, nvvm_options=dict(OPTIONS))
    library = made.library
    library._entry_name = made.fndesc.llvm_func_name
    kernel = library.get_function(library._entry_name)
    kernel_fixup(kernel, False)
    nvvm.set_launch_bounds(kernel, bounds)
    for block in kernel.blocks:  # formulas may be contracted as they are on the CPU, elementary functions may not
        for instruction in block.instructions:
            if getattr(instruction, "opname", "") in ("fadd", "fsub", "fmul"):
                instruction.flags = [*instruction.flags, "contract"]
    return library


def assembly(source: str, signature: Sequence[str], capability: tuple[int, int]) -> str:
    """Compile the function `kernel` of a text to PTX, within its `BOUNDS` if the text has any."""
    namespace = dict(NAMESPACE)
    exec(compile(source, "<nbgrad cuda kernel>", "exec"), namespace)
    library = compile_library(namespace["kernel"], signature, capability, namespace.get("BOUNDS"))
    text = "\n".join(library.get_asm_strs(cc=capability))
    # a short name in place of Numba's mangled one, and no environments, which kernels never use
    return re.sub(r"^\.common \.global .*NumbaEnv.*\n", "", text, flags=re.M).replace(library._entry_name, "kernel")


def compile_kernel(source: str, signature: Sequence[str], capability: tuple[int, int]) -> CompiledKernel:
    """Compile the function `kernel` of a text to a cubin for a compute capability."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    text = assembly(source, signature, capability)
    options = LinkerOptions(arch=f"sm_{capability[0]}{capability[1]}")
    linked = Linker(ObjectCode.from_ptx(text.encode()), options=options).link("cubin")
    return CompiledKernel("kernel", (), bytes(linked.code))
