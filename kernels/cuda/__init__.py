"""The CUDA target: the same formulas as kernels for NVIDIA GPUs, on CuPy's arrays.

Nothing here is imported before a CuPy array turns up.
"""

import numpy as np

# numba-cuda 0.30 asks for it when it compiles, and NumPy 2.5 has it no more
vars(np).setdefault("row_stack", np.vstack)
