"""Functions of vectors and of stacks of matrices (..., m, n) that PyTorch and NumPy have under this name.

Decompositions come from LAPACK, as NumPy brings it, and are imported when the first is asked for.

>>> import nbgrad
>>> x = nbgrad.tensor([[2.0, 1.0], [1.0, 2.0]], requires_grad=True)
>>> nbgrad.linalg.det(x).backward()
>>> x.grad
Variable([[ 2., -1.],
          [-1.,  2.]])
"""

from typing import TYPE_CHECKING

from .ops.norms import vector_norm as vector_norm

if TYPE_CHECKING:
    from .ops.decomposition import cholesky as cholesky
    from .ops.decomposition import det as det
    from .ops.decomposition import eigh as eigh
    from .ops.decomposition import inv as inv
    from .ops.decomposition import pinv as pinv
    from .ops.decomposition import qr as qr
    from .ops.decomposition import slogdet as slogdet
    from .ops.decomposition import solve as solve
    from .ops.decomposition import svd as svd
else:

    def __getattr__(name):
        """Import the decompositions."""
        if name not in ("cholesky", "det", "eigh", "inv", "pinv", "qr", "slogdet", "solve", "svd"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from .ops import decomposition

        return getattr(decomposition, name)
