"""What calls on small arrays cost besides their loops, and why those that miss their limits do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

#: Why calls of an operation, or of a whole family, miss a limit, and what was tried: the operation's word goes first.
REASONS = {
    "elementwise, 1 operand": "One compiled call, which makes an array, a Variable and a node: 0.22 µs is its floor.",
    "elementwise, 2 operands": "One compiled call; where operands broadcast it walks their axes besides.",
    "elementwise, 3 operands": "One compiled call, behind a frame that makes constants of Python numbers.",
    "broadcasting": "One compiled call, which walks the axes of both operands.",
    "flat functions": "One compiled call.",
    "operators": "One compiled call, behind a frame for numbers that are no arrays.",
    "writes": "What was there before is kept for the walk back, and whoever shares the memory is looked for.",
    "positive": "torch gives its input back, as an alias: it makes no array. Ours is a copy, which floors at 0.2 µs.",
    "polygamma": "The order is looked up, and the formula is long: 0.6 µs of it are arithmetic.",
    "pow": "A Python frame tells whole and half exponents from others; without it 0.25 µs would be left.",
    "reductions": "Options by PyTorch's names and by NumPy's take two to four frames; the compiled call takes 0.4 µs.",
    "max": "Two results: the places, a copy of them for the user, and the values are three compiled calls.",
    "min": "Two results: the places, a copy of them for the user, and the values are three compiled calls.",
    "scans": "Values and places are two compiled calls, and a named tuple; tried in one: a third of it is the tuple.",
    "cumprod": "The gradient has no quotients, so that zeros are as any number: two scans more than torch's.",
    "shapes": "Sizes are looked at in Python, a frame or two, before the compiled call that makes the view, 0.35 µs.",
    "as_strided": "Sizes and steps are held against the memory in Python; the view is made by the compiled call.",
    "unfold": "What windows there are is kept by sizes; the view is made by the compiled call, behind two frames.",
    "parts and joints": "Each part is a view, which a compiled call makes in 0.35 µs; finding its index is Python.",
    "chunk": "Indices are kept by size; each piece is a compiled call of 0.35 µs, a frame finds the indices.",
    "flip": "The index is kept by the dimensions, behind two frames.",
    "tril": "A copy by places that are kept for the shape, behind a frame: 0.9 µs; the copy alone takes 0.35.",
    "triu": "A copy by places that are kept for the shape, behind a frame: 0.9 µs; the copy alone takes 0.35.",
    "diagonal": "A copy by places that are kept for the shape, behind a frame; torch gives a view.",
    "trace": "The diagonal as a slice of all elements, then a sum: three compiled calls.",
    "m[z]": "np.flatnonzero of the mask is half of it.",
    "elements written elsewhere": "Places are found, those written over left out, and written to: three compiled calls "
    "behind a frame or two; an index of several parts is picked by NumPy from numbered elements, 1 µs.",
    "index_reduce": "A table with a row for each place, filled up and reduced, in 180 frames; one kernel would do.",
    "copies": "dtypes by many names are looked up in a table, a frame; the conversion is NumPy's, 0.3 µs of the rest.",
    "to": "A frame for seven options; torch parses them in C++. Without the frame for cpu() 0.05 µs less.",
    "cpu": "One Python frame.",
    "contiguous": "One Python frame.",
    "sorting and searching": "NumPy's argsort and searchsorted take 0.8 to 1.5 µs behind wrappers in Python.",
    "elementwise, seldom": "A frame or two around the compiled call, for dtypes; whole numbers are NumPy's ufuncs', "
    "0.5 µs of them.",
    "matrix products": "Shapes are looked at in Python; what is no plain product is permuted and reshaped around one.",
    "einsum": "The path is kept by the subscripts and shapes, but its steps are walked in Python.",
    "decompositions": "LAPACK behind np.linalg's functions, whose Python is 2 to 6 µs a call, and SciPy's for LU, 10. "
    "To call LAPACK as NumPy does inside would tie nbgrad to what NumPy does not promise.",
    "special functions": "SciPy's ufuncs, called from the compiled call that makes the node: they are most of it.",
    "Fourier transforms": "Two sums of shares, of the real part and the imaginary one, each a compiled call.",
    "masked": "Composed: the mask broadcasts, fills and is reduced along, each a call.",
    "new arrays": "A frame or two for sizes, dtype and device; NumPy makes the array in 0.15 to 0.4 µs.",
    "random numbers": "The place in the stream is taken under a lock and written down for the loop, 1.5 µs; in place, "
    "what is written over is looked after besides, 12 µs.",
    "activations": "A frame around one compiled call; with other numbers than the usual ones what is in place goes by "
    "the history of writes, in Python.",
    "losses and linear maps": "One node, made in Python, 2 µs, around a kernel that a gufunc's call of 1 µs reaches; "
    "a compiled call as elementwise operations have was not written for them.",
    "layers": "One node or a few, made in Python, around kernels by gufuncs; what windows see is kept by shape where "
    "it has few elements. Their everyday sizes are larger, where the kernels are all there is.",
    "grid_sample": "Places and weights of all neighbours by some thirty calls, mostly NumPy's; one kernel would do.",
    "ctc_loss": "A recurrence over time as operations on rows; one kernel would do for all.",
    "multilabel_margin_loss": "Composed of comparisons of all pairs; one kernel would do.",
    "programs": "Sums of the calls above.",
}


def reason_of(name: str, title: str, family: str) -> str:
    """Give why a call misses its limit."""
    return REASONS.get(title) or REASONS.get(name) or REASONS.get(family, "")


def counted(step: Callable[[], Any]) -> tuple[int, int]:
    """Count the Python frames and the calls of compiled functions that a step takes, without its own."""
    frames = calls = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal frames, calls
        if event == "call":
            frames += 1
        elif event == "c_call":
            calls += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(before)
    return frames - 1, calls - 1  # of which one is this function's, to stop


def costs() -> dict[str, float]:
    """Measure in seconds what a Python frame and a call of a compiled function take that do nothing."""

    def nothing(x: Any) -> None: ...

    def time_of(function: Callable[[Any], Any]) -> float:
        best = 1.0
        for _ in range(7):
            begin = time.process_time()
            for _ in range(20000):
                function(None)
            best = min(best, (time.process_time() - begin) / 20000)
        return best

    return {"frame": float(f"{time_of(nothing):.3g}"), "call": float(f"{time_of(callable):.3g}")}
