"""Write the coefficients of the families named on the command line, or of all."""

import importlib
import sys
from pathlib import Path

from .interpolation import table

FAMILIES = ("exponential", "hyperbolic", "roots", "trigonometric", "special")
PLACE = Path(__file__).parents[2] / "kernels" / "cpu" / "elementary" / "coefficients"


def text(family: str) -> str:
    """Give the module of coefficients of a family."""
    lines = [f'"""Written by ``python -m benchmarks.fit {family}``."""', ""]
    lines.append("POLYNOMIALS: dict[str, dict[str, tuple[float, ...]]] = {")
    for kind, polynomials in table(importlib.import_module(f"benchmarks.fit.{family}").FITS).items():
        lines.append(f'    "{kind}": {{')
        for name, coefficients in polynomials.items():
            lines += [f'        "{name}": (', *(f"            {value!r}," for value in coefficients), "        ),"]
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


for family in sys.argv[1:] or FAMILIES:
    (PLACE / f"{family}.py").write_text(text(family))
