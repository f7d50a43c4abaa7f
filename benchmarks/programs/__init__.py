"""A corpus of programs as people write them, to hold `nbgrad.jit` against JAX and torch.compile: a file a family."""

from __future__ import annotations

from . import equations, finance, networks, particles, sequences, statistics
from .declaration import LARGE, PROGRAMS, SMALL, Program

__all__ = ["LARGE", "PROGRAMS", "SMALL", "Program"]

FAMILIES = (particles, statistics, sequences, networks, equations, finance)
