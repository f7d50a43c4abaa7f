"""From source text to a cubin, by numba-cuda; the only module of this target that imports it.

No GPU is needed: what a kernel is compiled for is an argument. numba-cuda's own way to call one function from another
asks for the present device, so functions that kernels call are `_Inlined`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

if not hasattr(np, "row_stack"):  # numba-cuda 0.30 asks for it, and NumPy 2.5 has it no more
    np.row_stack = np.vstack  # noqa: NPY201

from numba.cuda import types
from numba.cuda.compiler import compile_cuda, kernel_fixup
from numba.cuda.core.compiler_lock import global_compiler_lock
from numba.cuda.core.targetconfig import ConfigStack
from numba.cuda.dispatcher import CUDADispatcher

from ..cache import CompiledKernel

#: NVVM may not join multiplications and additions by itself: elementary functions compute the errors of both.
_OPTIONS = {"opt": 3, "fma": 0}


class Inlined(CUDADispatcher):  # type: ignore[misc]
    """A function for kernels to call, compiled for the compute capability of the kernel that does."""

    def __init__(self, function: Any) -> None:
        options = {"device": True, "opt": True, "fastmath": False, "debug": False}
        super().__init__(function, targetoptions=options | {"inline": "never", "forceinline": True})

    def compile_device(self, args: Any, return_type: Any = None) -> Any:
        """Compile for argument types; numba-cuda calls this when it meets a call."""
        if args not in self.overloads:
            capability = ConfigStack.top_or_none().compute_capability
            with self._compiling_counter:
                made = compile_cuda(
                    self.py_func, return_type, args, cc=capability, forceinline=True, nvvm_options=_OPTIONS
                )
                self.overloads[args] = made
                made.target_context.insert_user_function(made.entry_point, made.fndesc, [made.library])
        return self.overloads[args]


def type_of(name: str) -> Any:
    """Give Numba's type for a parameter: "float32", or "float32*" for a pointer; float16 and bool come as bits."""
    scalar = name.removesuffix("*")
    kind = getattr(types, {"bool": "uint8", "float16": "uint16"}.get(scalar, scalar))
    return types.CPointer(kind) if name.endswith("*") else kind


@global_compiler_lock
def compile_library(function: Any, signature: Sequence[str], capability: tuple[int, int]) -> Any:
    """Compile a Python function as a kernel; gives numba-cuda's code library, which has LLVM's and NVVM's text."""
    made = compile_cuda(
        function, types.void, tuple(map(type_of, signature)), cc=capability, nvvm_options=dict(_OPTIONS)
    )
    library = made.library
    library._entry_name = made.fndesc.llvm_func_name
    kernel = library.get_function(library._entry_name)
    kernel_fixup(kernel, False)
    for block in kernel.blocks:  # formulas may be contracted as they are on the CPU, elementary functions may not
        for instruction in block.instructions:
            if getattr(instruction, "opname", "") in ("fadd", "fsub", "fmul"):
                instruction.flags = [*instruction.flags, "contract"]
    return library


def assembly(source: str, signature: Sequence[str], capability: tuple[int, int]) -> str:
    """Compile the function `kernel` of a text to PTX."""
    from .support import NAMESPACE

    namespace = dict(NAMESPACE)
    exec(compile(source, "<nbgrad cuda kernel>", "exec"), namespace)
    library = compile_library(namespace["kernel"], signature, capability)
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
