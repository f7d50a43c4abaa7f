"""Compilation of whole functions: traced once, fused into a few kernels, replayed.

`symbol` stands in for arrays while a function is traced, `program` is what the trace leaves, `plan` makes kernels and
buffers of it, `compiled` is the function that users call.
"""

from .compiled import jit as jit
