"""Numba's passes that elementary functions have a use for, where a function that Numba compiles calls them.

They compute with numbers: there are no closures, with statements, generators, array expressions or
reference counts in them for Numba to look for, and looking takes a fifth of the time that they compile.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core import typed_passes as typed
from numba.core import untyped_passes as untyped
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager

_PASSES = (
    untyped.TranslateByteCode,
    untyped.FixupArgs,
    untyped.IRProcessing,
    untyped.GenericRewrites,  # items of constant tuples
    untyped.ReconstructSSA,
    typed.NopythonTypeInference,
    typed.PreLowerStripPhis,
    typed.IRLegalization,
    typed.AnnotateTypes,
    typed.NativeLowering,
    typed.NoPythonBackend,
)


class KernelCompiler(CompilerBase):
    """Numba's compiler with those passes only."""

    def define_pipelines(self) -> list[Any]:
        """Give the one way there is through the passes."""
        passes = PassManager("nbgrad kernel")
        for step in _PASSES:
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]


def for_kernels(inline: bool) -> Any:
    """Give the decorator of functions that compiled ones call: nothing is made by which Python or C could."""
    wrappers: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(error_model="numpy", forceinline=inline, pipeline_class=KernelCompiler, **wrappers)
