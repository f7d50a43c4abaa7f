"""Functions of vectors and of stacks of matrices (..., m, n) that PyTorch and NumPy have under this name.

Decompositions come from LAPACK, as NumPy brings it, LU from SciPy's, and are imported when the first is asked for.

>>> import nbgrad
>>> x = nbgrad.tensor([[2.0, 1.0], [1.0, 2.0]], requires_grad=True)
>>> nbgrad.linalg.det(x).backward()
>>> x.grad
Variable([[ 2., -1.],
          [-1.,  2.]])
"""

from typing import TYPE_CHECKING

from .ops.norms import vector_norm as vector_norm

#: The functions by the files of `nbgrad.ops` that they are in.
FILES = {
    "decomposition": "cholesky det eigh inv pinv qr slogdet solve svd",
    "factorization": "householder_product lu lu_factor lu_factor_ex lu_solve solve_triangular",
    "linalg": "matmul",
    "matrices": """cond cross diagonal eig eigvals eigvalsh lstsq matrix_exp matrix_norm matrix_power matrix_rank norm
        svdvals tensorinv tensorsolve""",
    "products": "multi_dot vander vecdot",
    "reporting": "cholesky_ex inv_ex solve_ex",
    "symmetric": "ldl_factor ldl_factor_ex ldl_solve",
}
HOMES = {name: file for file, names in FILES.items() for name in names.split()}

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
    from .ops.factorization import householder_product as householder_product
    from .ops.factorization import lu as lu
    from .ops.factorization import lu_factor as lu_factor
    from .ops.factorization import lu_factor_ex as lu_factor_ex
    from .ops.factorization import lu_solve as lu_solve
    from .ops.factorization import solve_triangular as solve_triangular
    from .ops.linalg import matmul as matmul
    from .ops.matrices import cond as cond
    from .ops.matrices import cross as cross
    from .ops.matrices import diagonal as diagonal
    from .ops.matrices import eig as eig
    from .ops.matrices import eigvals as eigvals
    from .ops.matrices import eigvalsh as eigvalsh
    from .ops.matrices import lstsq as lstsq
    from .ops.matrices import matrix_exp as matrix_exp
    from .ops.matrices import matrix_norm as matrix_norm
    from .ops.matrices import matrix_power as matrix_power
    from .ops.matrices import matrix_rank as matrix_rank
    from .ops.matrices import norm as norm
    from .ops.matrices import svdvals as svdvals
    from .ops.matrices import tensorinv as tensorinv
    from .ops.matrices import tensorsolve as tensorsolve
    from .ops.products import multi_dot as multi_dot
    from .ops.products import vander as vander
    from .ops.products import vecdot as vecdot
    from .ops.reporting import cholesky_ex as cholesky_ex
    from .ops.reporting import inv_ex as inv_ex
    from .ops.reporting import solve_ex as solve_ex
    from .ops.symmetric import ldl_factor as ldl_factor
    from .ops.symmetric import ldl_factor_ex as ldl_factor_ex
    from .ops.symmetric import ldl_solve as ldl_solve
else:

    def __getattr__(name):
        """Import what is asked for."""
        from importlib import import_module

        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f".ops.{HOMES[name]}", __package__), name)
        return found

    def __dir__():
        return [*globals(), *HOMES]
