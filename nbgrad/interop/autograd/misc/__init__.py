"""What goes with HIPS autograd: nests as vectors, and optimisers."""

from .flatten import flatten as flatten
