"""What stands behind NumPy's functions, for Variables and for what stands in for arrays: one table, a file a family.

A rule has the signature of NumPy's function, as far as it goes, and is written in operators, nbgrad's functions and
NumPy's, so that it holds for both. It gives NotImplemented where it does not apply: then NumPy's function gets the
arrays. So do stand-ins where NumPy's function moves elements about as no view does; its own code is the best for that.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from . import choosing, folding, moving

#: The rules that have been imported, by NumPy's functions.
_rules: dict[Any, Callable[..., Any]] = {**moving.RULES, **folding.RULES, **choosing.RULES}

#: The names of functions that are asked for seldom, by the files that have their rules, imported when one is.
LATER = {
    "calculus": ("diff ediff1d geomspace gradient histogram histogram_bin_edges linspace logspace trapezoid"),
    "fourier": "fftshift hfft ifftshift irfft irfft2 irfftn",
    "linear": (
        "cholesky cond det eigh eigvalsh inv lstsq matrix_norm matrix_power multi_dot norm pinv qr slogdet solve svd "
        "svdvals tensorinv tensorsolve vector_norm"
    ),
    "ordering": (
        "median nanmedian nanpercentile nanquantile partition percentile quantile sort trim_zeros union1d unique "
        "unique_all unique_counts unique_inverse unique_values"
    ),
    "products": (
        "convolve correlate cross dot einsum i0 inner kron matmul outer poly polyadd polyder polydiv polyfit polyint "
        "polymul polysub polyval sinc tensordot trace vander vdot vecdot"
    ),
    "writing": "copyto fill_diagonal place put put_along_axis putmask",
}
_file_of = {name: file for file, names in LATER.items() for name in names.split()}


def rule_of(function: Any) -> Callable[..., Any] | None:
    """Give the rule of one of NumPy's functions, None where there is none."""
    rule = _rules.get(function)
    if rule is None:
        file = _file_of.get(getattr(function, "__name__", ""))
        if file is not None:
            _rules.update(import_module(f"{__name__}.{file}").RULES)
            rule = _rules.get(function)
    return rule
