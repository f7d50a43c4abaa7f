"""The polynomials of the elementary functions, one module a family: written by ``python -m benchmarks.fit``."""

from . import exponential, hyperbolic, roots, special, trigonometric

#: By type of number and by name.
ALL = tuple(family.POLYNOMIALS for family in (exponential, hyperbolic, roots, trigonometric, special))
