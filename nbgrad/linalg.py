"""Linear algebra: PyTorch's `linalg`, on stacks of matrices (..., m, n), by the LAPACK that NumPy brings.

>>> import nbgrad
>>> x = nbgrad.tensor([[2.0, 1.0], [1.0, 2.0]], requires_grad=True)
>>> nbgrad.linalg.det(x).backward()
>>> x.grad
Variable([[ 2., -1.],
          [-1.,  2.]])
"""

from .ops.decomposition import cholesky as cholesky
from .ops.decomposition import det as det
from .ops.decomposition import eigh as eigh
from .ops.decomposition import inv as inv
from .ops.decomposition import pinv as pinv
from .ops.decomposition import qr as qr
from .ops.decomposition import slogdet as slogdet
from .ops.decomposition import solve as solve
from .ops.decomposition import svd as svd
