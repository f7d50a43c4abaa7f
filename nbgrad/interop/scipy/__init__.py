"""SciPy's functions that NumPy's protocols do not reach: `special`, `stats`, `signal`, `integrate`.

SciPy's ufuncs, ``scipy.special.expit(x)`` and 100 more, take Variables as they are.
"""
