"""Functions for kernels to call.

numba-cuda's own way to call one function from another asks for the present device, of which there may be none.
"""

from __future__ import annotations

from typing import Any

from numba.cuda.compiler import compile_cuda
from numba.cuda.core.targetconfig import ConfigStack
from numba.cuda.dispatcher import CUDADispatcher

#: NVVM may not join multiplications and additions by itself: elementary functions compute the errors of both.
OPTIONS = {"opt": 3, "fma": 0}


class Inlined(CUDADispatcher):
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
                    self.py_func, return_type, args, cc=capability, forceinline=True, nvvm_options=OPTIONS
                )
                self.overloads[args] = made
                made.target_context.insert_user_function(made.entry_point, made.fndesc, [made.library])
        return self.overloads[args]
