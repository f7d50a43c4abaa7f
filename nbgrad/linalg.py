"""Functions of vectors and matrices that PyTorch and NumPy have under this name."""

from .ops.norms import vector_norm as vector_norm
