"""Why a compiler is ahead of nbgrad in a program, as far as it is known: the document puts these beside the ratios."""

from __future__ import annotations

#: By the program's name and size; the document shows those of programs in which a compiler was ahead.
EXPLANATIONS: dict[tuple[str, str], str] = {
    ("spline", "large"): (
        "the rows that places pick go through an array of 6.4 MB, and so do their gradients, which the loop between "
        "reads and writes in steps of four; JAX reads and adds rows in the loop around. Rows are picked by all "
        "threads, but added up by one, in order, so that results do not depend on their number"
    ),
    ("graph-network", "small"): (
        "four gathers and four sums of 1000 rows are loops of their own, of 3 to 8 us each, slowest where rows of 7 "
        "are read across (classes are computed row by row, for the loop of the loss); they are two thirds of the time"
    ),
    ("graph-network", "large"): (
        "gathers and sums of 100,000 rows are loops of their own, through arrays; they take two thirds of the time. "
        "Rows are added up by one thread, in order"
    ),
    ("factorisation", "large"): (
        "the rows of 100,000 ratings are gathered into arrays of 6.4 MB each, multiplied, and added up from arrays as "
        "large; JAX does each in one loop. Sums over rows of 16 take 7 to 13 ns a row, which is more than their reading"
    ),
    ("reaction", "large"): (
        "turning the torus writes each neighbour's values into an array (four of 0.7 MB a step), from which the next "
        "loop reads; JAX reads them where they are. The gradients of the turns are read among zeros, eight arrays at "
        "each place, which takes twice as long as reading them whole"
    ),
    ("mixture", "small"): (
        "rows of 25 components are walked three times, 6 vectors and one element at a time, and the gradients of means "
        "and scales are 25 sums over all rows, each loaded and stored at every vector; JAX has loops over all "
        "components at once, through memory, which is slower for 10,000 rows"
    ),
    ("smoothing", "large"): (
        "100 steps unrolled are one loop over the 5000 series, which reads 100 rows and keeps 100 errors for the loop "
        "back: more streams than the processor fetches ahead, so that it moves 5 GB/s where the loop back moves 18. "
        "Blocks of series through a buffer that stays in cache were not tried"
    ),
}
