"""Why a compiler is ahead of nbgrad in a program, as far as it is known: the document puts these beside the ratios."""

from __future__ import annotations

#: By the program's name and size; the document shows those of programs in which a compiler was ahead.
EXPLANATIONS: dict[tuple[str, str], str] = {
    ("spline", "large"): (
        "the rows that places pick are gathered into an array of 6.4 MB, and the gradient's rows added up from another "
        "one, each by a loop of its own; JAX reads and adds them in the loop around"
    ),
    ("graph-network", "large"): (
        "gathers and scatters of 60,000 rows are loops of their own, through arrays; they take two thirds of the time"
    ),
    ("factorisation", "large"): (
        "the rows of 100,000 ratings are gathered into arrays of 6.4 MB each, multiplied, and added up from arrays as "
        "large; JAX does each in one loop. Sums over rows of 16 take 13 ns a row, which is more than their reading"
    ),
    ("reaction", "large"): (
        "turning the torus writes each neighbour's values into an array (four of 0.7 MB a step), from which the next "
        "loop reads; JAX reads them where they are"
    ),
    ("mixture", "small"): (
        "rows of 25 components are walked three times, 6 vectors and one element at a time; JAX has loops over all "
        "components at once, through memory, which is slower for 10,000 rows"
    ),
    ("gaussian-process", "small"): (
        "LAPACK by way of NumPy: a factor, an inverse of its triangle by halves and two solutions of 50 equations, "
        "each by elimination anew, are two thirds of the time"
    ),
    ("gaussian-process", "large"): (
        "NumPy has no solutions of triangular equations: the gradient of the factor takes the inverse of a triangle, "
        "and products of 400 x 400 where solutions in place would do"
    ),
}
