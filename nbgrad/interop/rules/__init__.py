"""What stands behind NumPy's functions, for Variables and for what stands in for arrays: one table, a file a family.

A rule has the signature of NumPy's function, as far as it goes, and is written in operators, nbgrad's functions and
NumPy's, so that it holds for both. It gives NotImplemented where it does not apply: then NumPy's function gets the
arrays. So do stand-ins where NumPy's function moves elements about as no view does; its own code is the best for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import calculus, choosing, folding, fourier, linear, moving, ordering, products, writing
from .constant import CONSTANT as CONSTANT
from .constant import IN_PLACE as IN_PLACE
from .constant import REMEDIES as REMEDIES
from .folding import ACCUMULATING as ACCUMULATING
from .folding import REDUCING as REDUCING
from .folding import REDUCTIONS as REDUCTIONS
from .folding import SCANS as SCANS
from .ufuncs import UFUNCS as UFUNCS
from .ufuncs import function_for as function_for
from .writing import at as at
from .writing import write_out as write_out
from .writing import write_several as write_several
from .writing import write_where as write_where

#: The rules, by NumPy's functions.
RULES: dict[Any, Callable[..., Any]] = {
    **moving.RULES,
    **folding.RULES,
    **ordering.RULES,
    **choosing.RULES,
    **products.RULES,
    **calculus.RULES,
    **linear.RULES,
    **fourier.RULES,
    **writing.RULES,
}
