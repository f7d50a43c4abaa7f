"""Functions of neural networks."""

from . import functional as functional
