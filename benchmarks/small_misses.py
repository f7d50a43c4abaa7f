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
    "as_strided": "A copy by positions, which are kept for the shape: there are no views by strides.",
    "unfold": "A copy by positions, which are kept for the shape; torch gives a view.",
    "parts and joints": "Each part is a view, which a compiled call makes in 0.35 µs; finding its index is Python.",
    "chunk": "Two frames tell the size; tried with indices kept by size: looking them up costs what making them does.",
    "flip": "The index is made of slices in Python, 0.8 µs; torch copies in C++.",
    "tril": "A choice by a kept mask: its broadcast costs 0.5 µs more than a loop that knows of triangles would.",
    "triu": "A choice by a kept mask: its broadcast costs 0.5 µs more than a loop that knows of triangles would.",
    "diagonal": "Three frames, and a copy by kept positions in two compiled calls; torch gives a view.",
    "trace": "The diagonal as a slice of all elements, then a sum: three compiled calls.",
    "m[z]": "np.flatnonzero of the mask is half of it.",
    "elements written elsewhere": "A copy, and NumPy's assignment by index arrays; where places repeat, the last is "
    "found by sorting. What adds up goes by compiled calls; a compiled call for what is put would do for the rest.",
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
    "special functions": "SciPy's ufuncs, and a node made in Python, 4 µs; formulas of our own take one compiled call.",
    "Fourier transforms": "NumPy's transforms take 3 to 5 µs behind wrappers in Python, and a complex result is split "
    "into two real arrays.",
    "masked": "Composed: the mask broadcasts, fills and is reduced along, each a call.",
    "new arrays": "A frame or two for sizes, dtype and device; NumPy makes the array in 0.15 to 0.4 µs.",
    "random numbers": "The place in the stream is taken under a lock and written down for the loop, 1.5 µs; in place, "
    "what is written over is looked after besides, 12 µs.",
    "activations": "A frame around one compiled call; what is in place goes by the history of writes, in Python.",
    "losses and linear maps": "One node, made in Python, 2 µs, around a kernel that a gufunc's call of 1 µs reaches; "
    "a compiled call as elementwise operations have was not written for them.",
    "layers": "One node or a few, made in Python, around kernels by gufuncs; what windows see is kept by shape where "
    "it has few elements. Their everyday sizes are larger, where the kernels are all there is.",
    "grid_sample": "Some sixty operations on four neighbours of each place; one kernel would do for all.",
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
