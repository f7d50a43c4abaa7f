"""The counter-based generator Philox4x32-10, and which of its numbers an element of an array gets.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): ten rounds
of multiplications make four words of 32 bits of a counter and a key. An element's number depends on the key, where the
draw begins in the stream, and the element's place in C order, and so neither on threads nor on blocks nor on whether
the program was compiled.

A stream is cut into groups of `BLOCKS` counters. Of a group's words the first ones of all its counters come first, then
all second ones, and so on: neighbours are the same word of neighbouring counters, which vectors compute side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Counters in a group, and so the elements of 32 and of 64 bits in one.
BLOCKS = 16
GROUP = {"float32": 4 * BLOCKS, "float64": 2 * BLOCKS, "uint64": 2 * BLOCKS}
#: What is drawn, in which dtypes, and what an element costs in additions.
KINDS = {"uniform": ("float32", "float64"), "normal": ("float32", "float64"), "bits": ("uint64",)}
COSTS = {"uniform": 12, "normal": 40, "bits": 12}

FIRST_MULTIPLIER, SECOND_MULTIPLIER = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
#: What the key grows by with each round: the golden ratio and the root of 3, less 1.
FIRST_WEYL, SECOND_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any, Any]:
    """Give the four words of a counter and a key, all of them in uint64."""
    for _ in range(10):
        first, second = c0 * FIRST_MULTIPLIER, c2 * SECOND_MULTIPLIER
        c0, c1, c2, c3 = (second >> HALF) ^ c1 ^ k0, second & LOW, (first >> HALF) ^ c3 ^ k1, first & LOW
        k0, k1 = (k0 + FIRST_WEYL) & LOW, (k1 + SECOND_WEYL) & LOW
    return c0, c1, c2, c3


#: The names that `elements_of` uses besides those of elementary functions and dtypes.
CONSTANTS = {
    "HALF": np.float32(0.5),
    "UNIT_24": np.float32(2.0**-24),
    "UNIT_31": np.float32(2.0**-31),
    "UNIT_53": 2.0**-53,
}
_WORDS = [f"{high} << uint64(32) | {low}" for low, high in ("ab", "cd")]


def words_of(counter: str, key: str) -> list[str]:
    """Write how the words a, b, c and d come of a counter and a key, both of 64 bits."""
    low, half = f"uint64({LOW})", f"uint64({HALF})"
    lines = [f"a_, b_ = {counter} & {low}, {counter} >> {half}", "c_, d_ = uint64(0), uint64(0)"]
    lines += [f"k0, k1 = {key} & {low}, {key} >> {half}"]
    for number in range(10):
        a, b, c, d = (f"{name}{number}" for name in "abcd")
        before = [f"{name}{number - 1 if number else '_'}" for name in "abcd"]
        lines += [f"p{number} = {before[0]} * uint64({FIRST_MULTIPLIER})"]
        lines += [f"q{number} = {before[2]} * uint64({SECOND_MULTIPLIER})"]
        first, second = (
            f"(({k} + uint64({int(w) * number % 2**32})) & {low})" for k, w in (("k0", FIRST_WEYL), ("k1", SECOND_WEYL))
        )
        lines += [f"{a} = (q{number} >> {half}) ^ {before[1]} ^ {first}", f"{b} = q{number} & {low}"]
        lines += [f"{c} = (p{number} >> {half}) ^ {before[3]} ^ {second}", f"{d} = p{number} & {low}"]
    return [*lines, *(f"{name} = {name}9" for name in "abcd")]


def elements_of(kind: str, dtype: str) -> tuple[list[str], list[str]]:
    """Write what a counter's words a, b, c and d give: first steps, and the elements.

    Normal numbers come in pairs (G. E. P. Box, M. E. Muller, 1958): the radius from a number that is never 0, as fine
    as its words near 0, and the angle in half turns.
    """
    if kind == "bits":
        return [], _WORDS
    if kind == "uniform" and dtype == "float32":
        return [], [f"float32(int32({word} >> uint64(8))) * UNIT_24" for word in "abcd"]
    if kind == "uniform":
        return [], [f"float64(int64(({words}) >> uint64(11))) * UNIT_53" for words in _WORDS]
    if dtype == "float32":
        pairs = [
            (f"(float32(int32({first} >> uint64(1))) + HALF) * UNIT_31", f"float32(int32({second})) * UNIT_31")
            for first, second in ("ab", "cd")
        ]
    else:
        radius = f"(float64(int64(({_WORDS[0]}) >> uint64(11))) + 0.5) * UNIT_53"
        pairs = [(radius, f"float64(int64(({_WORDS[1]}) >> uint64(11))) * (2.0 * UNIT_53) - 1.0")]
    steps, elements = [], []
    for number, (radius, turns) in enumerate(pairs):
        steps += [f"r{number} = math.sqrt({dtype}(-2.0) * log_{dtype}({radius}))", f"t{number} = {turns}"]
        elements += [f"r{number} * {wave}_{dtype}(t{number})" for wave in ("cospi", "sinpi")]
    return steps, elements


def blocks_of(count: int, dtype: str) -> int:
    """Give how far a draw of so many elements takes the stream: whole groups."""
    return -(-count // GROUP[dtype]) * BLOCKS


def first_of(blocks: int, dtype: str) -> int:
    """Give the place of the first element, of a dtype, behind whole groups of counters."""
    return blocks // BLOCKS * GROUP[dtype]
