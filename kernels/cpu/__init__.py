"""Loops for the CPU, generated from formulas and wrapped as NumPy ufuncs."""
