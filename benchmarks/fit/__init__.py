"""Fit the polynomials of ``kernels/cpu/elementary``: ``python -m benchmarks.fit [FAMILY...]`` writes its coefficients.

Each polynomial interpolates its function at Chebyshev nodes, computed in 60 digits (mpmath), which comes within a few
percent of the minimax error. Degrees are the lowest at which that error is far below half a unit in the last place.
"""
