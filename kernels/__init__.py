"""All that nbgrad compiles: scalar formulas, the code generator, the kernel cache, and the loops of each target.

Nothing here knows of Variables or of a graph: kernels take arrays and give arrays. The arrow points one way, from
``nbgrad`` to ``nbgrad.kernels``. Inside, it points from ``dispatch`` and ``placement``, which know the
targets, to ``cuda`` and ``cpu``, and from these to what all share. Imports inside this package are relative, and
llvmlite only when there is a kernel to be compiled or loaded.
"""
