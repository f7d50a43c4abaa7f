"""All that nbgrad compiles: scalar formulas, the code generator, the kernel cache, and the loops of each target.

Nothing here knows of Variables or of a graph: kernels take arrays and give arrays. The arrow points one way, from
``nbgrad`` to ``nbgrad.kernels``. Inside, it points from ``dispatch``, which knows the targets, to ``cuda`` and ``cpu``,
and from these to what all share. Imports inside this package are relative, and Numba is imported only when a kernel
has to be compiled; a kernel found in the cache is loaded with llvmlite alone.
"""
