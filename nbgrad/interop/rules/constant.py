"""NumPy's functions without gradients, and what to write instead of those that have none here."""

from __future__ import annotations

from functools import cache as once
from typing import Any

import numpy as np

#: Functions whose results have no gradient, or one of 0 wherever there is one.
CONSTANT: frozenset[Any] = frozenset({
    # shapes, dtypes and memory
    np.ndim, np.shape, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.result_type, np.can_cast,
    np.common_type, np.min_scalar_type, np.iscomplexobj, np.isrealobj, np.may_share_memory, np.shares_memory,
    np.einsum_path,
    # truth
    np.all, np.any, np.allclose, np.array_equal, np.array_equiv, np.count_nonzero, np.isclose, np.iscomplex, np.isin,
    np.isneginf, np.isposinf, np.isreal, np.isnan, np.isinf, np.isfinite, np.signbit,
    # places
    np.argmax, np.argmin, np.argsort, np.argpartition, np.argwhere, np.flatnonzero, np.nonzero, np.nanargmax,
    np.nanargmin, np.searchsorted, np.digitize, np.lexsort, np.tril_indices_from, np.triu_indices_from,
    np.diag_indices_from, np.linalg.matrix_rank, np.ravel_multi_index, np.unravel_index,
    # steps
    np.round, np.around, np.fix, np.floor, np.ceil, np.trunc, np.rint, np.imag, np.angle,
    # text and files
    np.array2string, np.array_repr, np.array_str, np.save, np.savez, np.savez_compressed, np.savetxt,
})  # fmt: skip

IN_PLACE = "let what is written to be a Variable (nbgrad.zeros), or choose with nbgrad.where"
_COMPLEX = "its result is complex, and nbgrad's dtypes are real: nbgrad.fft.{name} gives the pair (real, imag)"
_UNIQUE = "find the places with arrays, np.unique(x.data, return_index=True), and pick with them, x[places]"


@once
def remedies() -> dict[Any, str]:
    """Tell what to write instead of functions that have no rule."""
    return {
        **dict.fromkeys((np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal), IN_PLACE),
        **{
            getattr(np.fft, name): _COMPLEX.format(name=name)
            for name in ("fft", "fft2", "fftn", "ifft", "ifft2", "ifftn", "rfft", "rfft2", "rfftn", "ihfft")
        },
        **{
            function: "its results may be complex, and nbgrad's dtypes are real: nbgrad.linalg."
            f"{name}(x, return_complex=True) gives pairs (real, imag), and np.linalg.{name}h is for symmetric matrices"
            for function, name in ((np.linalg.eig, "eig"), (np.linalg.eigvals, "eigvals"))
        },
        np.roots: "its results may be complex, and nbgrad's dtypes are real: of the companion matrix "
        "nbgrad.linalg.eigvals(x, return_complex=True) gives the pair (real, imag)",
        **dict.fromkeys((np.intersect1d, np.setdiff1d, np.setxor1d), _UNIQUE),
        **dict.fromkeys(
            (np.histogram, np.histogram2d, np.histogramdd, np.histogram_bin_edges),
            "histograms of x.data are constant, their weights go to np.bincount",
        ),
        np.sort_complex: "use np.sort",
    }
