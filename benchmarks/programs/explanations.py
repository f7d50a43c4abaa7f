"""Why a compiler is ahead of nbgrad in a program, as far as it is known: the document puts these beside the ratios."""

from __future__ import annotations

#: By the program's name and size; the document shows those of programs in which a compiler was ahead.
EXPLANATIONS: dict[tuple[str, str], str] = {
    ("spline", "large"): (
        "each of the four elements of a row is read, and its gradient added to its place, by itself: 0.6 to 0.7 ns "
        "each, four fifths of the time; positions are looked at and copied by one thread"
    ),
    ("graph-network", "small"): (
        "four gathers and four sums of 1000 rows are loops of their own, of 3 to 8 us each, slowest where rows of 7 "
        "are read across (classes are computed row by row, for the loop of the loss); they are two thirds of the time. "
        "Read and added by the loops around, as many rows are, they would need a call that looks at the positions"
    ),
    ("graph-network", "large"): (
        "four loops read 100,000 rows and add them up, 4 to 6 ns a row, in two blocks: more would each need a table as "
        "large as a tenth of what is added"
    ),
    ("factorisation", "large"): (
        "the rows of 100,000 ratings are read twice, by the loop forth and by that back, and added up in two blocks"
    ),
    ("reaction", "large"): (
        "turning the torus writes each neighbour's values into an array (four of 0.7 MB a step), from which the next "
        "loop reads; JAX reads them where they are. The gradients of the turns are read among zeros, eight arrays at "
        "each place, which takes twice as long as reading them whole"
    ),
    ("mixture", "small"): (
        "rows of 25 components are walked three times, three vectors and one element at a time, and the gradients of "
        "means and scales are 25 sums over all rows, each loaded and stored at every vector; JAX has loops over all "
        "components at once, through memory, which is slower for 10,000 rows"
    ),
    ("attention", "small"): (
        "14 products are 60 million operations, two thirds of the time; BLAS multiplies the 32 small matrices of a "
        "stack one after the other in one thread"
    ),
    ("attention", "large"): (
        "products are four fifths of the time; a stack's matrices of 256 x 32 are multiplied by BLAS one after the "
        "other, where torch.compile has one call for the stack"
    ),
    ("long-attention", "large"): (
        "six products of 2048 x 2048 by 64 are seven eighths of the time, at two thirds of the peak of square ones; "
        "both call a BLAS, NumPy's OpenBLAS here, oneMKL there"
    ),
    ("ridge", "small"): (
        "the 800 KB are gone through once, in seven blocks that two threads share; both products of a block take 5 ns "
        "a row in one thread, since rows of 400 bytes do not begin where cache lines do, and come from the second cache"
    ),
    ("smoothing", "large"): (
        "100 steps unrolled are one loop over the 5000 series, in five blocks, which two threads share three to two. "
        "Blocks half as long were not quicker"
    ),
}
