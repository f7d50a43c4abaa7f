"""Elementwise loops: a formula in, a NumPy ufunc out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import formula
from ..formula import CLOSED, COMPARISON, FLOATING, LOGICAL, NUMERIC, SIGNED, TRUTH, Expression
from ..text import Text
from . import codegen, threads, ufunc

_INTEGERS = "bBhHiIlLqQ"
_FLOATS = "fd"

#: The dtypes with loops in each domain, in the order in which NumPy looks for one it can cast to.
DTYPES = {FLOATING: _FLOATS, NUMERIC: _INTEGERS + _FLOATS, COMPARISON: "?" + _INTEGERS + _FLOATS, LOGICAL: "?"}
DTYPES |= {SIGNED: DTYPES[NUMERIC], CLOSED: DTYPES[COMPARISON]}


#: What each ufunc made here computes: its formulas, and the kinds of their inputs.
formulas: dict[np.ufunc, tuple[Sequence[Expression], tuple[str, ...]]] = {}


def kernel(name: str, expressions: Sequence[Expression], kinds: Sequence[str], domain: str) -> np.ufunc:
    """Give the ufunc that computes `expressions` of inputs of the given kinds, for every dtype of `domain`."""
    results = [TRUTH if expression.kind == TRUTH else formula.NUMBER for expression in expressions]

    def signature(dtype: str) -> str:
        return "".join("?" if kind == TRUTH else dtype for kind in (*kinds, *results))

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        numbers = [c for c, kind in zip(codes, (*kinds, *results), strict=True) if kind != TRUTH]
        text = source(expressions, kinds, np.dtype(numbers[0] if numbers else "?").name)
        cost = threads.ACCESS * len(codes) + formula.cost(expressions)
        return codegen.address(f"{name}-{''.join(codes)}", text), threads.share_above(cost)

    made = ufunc.make(name, [signature(dtype) for dtype in DTYPES[domain]], len(expressions), compile_loop)
    formulas[made] = expressions, tuple(kinds)
    return made


def computed_in(expressions: Sequence[Expression], number: str) -> str:
    """Give the dtype that a loop for a dtype computes in: for truth values that numbers are made of, whole numbers."""
    return "int8" if number == "bool" and any(expression.kind != TRUTH for expression in expressions) else number


def source(expressions: Sequence[Expression], kinds: Sequence[str], number: str) -> str:
    """Write the loop for one dtype.

    The loops for different layouts share one body: all operands contiguous; with several inputs, also the first or the
    second a single element; with more than two, also all but the last, as where elements meet what belongs to their
    line; with two, also the output over the first (accumulation in place); and last any strides, which is the one that
    LLVM need not vectorise.
    """
    inputs, outputs = range(len(kinds)), range(len(expressions))
    types = ["bool" if kind == TRUTH else number for kind in kinds]
    results = ["bool" if expression.kind == TRUTH else number for expression in expressions]
    inside = computed_in(expressions, number)
    assignments, values = formula.source(expressions, inside)
    if inside != number:
        values = [f"({value}) != 0" for value in values]
    stored = list(zip(results, values, strict=True))
    body = [*assignments, *(f"o{i}[{{out}}] = {result}({value})" for i, (result, value) in enumerate(stored))]
    sizes = {name: np.dtype(name).itemsize for name in {*types, *results}}

    def load(i: int, place: str) -> str:
        value = f"p{i}[{place}]" + (" != 0" if types[i] == "bool" else "")
        return f"x{i} = {inside}({value})" if inside != number and kinds[i] != TRUTH else f"x{i} = {value}"

    in_place = len(kinds) == 2 and len(expressions) == 1 and types[0] == types[1] == results[0]
    variants: list[list[int]] = [[], [0], [1]] if len(kinds) > 1 else [[]]
    if len(kinds) > 2:
        variants.append(list(inputs[:-1]))
    text = Text()
    put = text.put
    with text.block("def loop(args, dims, steps, data):"):
        put("align_stack()", "n = dims[0]")
        with text.block("if n >= int64_pointer(data)[0]:"):
            put("share(args, dims, steps, data)", "return")
        put("count = np.uintp(n)")
        for i in inputs:
            put(f"p{i} = {types[i]}_pointer(args[{i}])", f"s{i} = steps[{i}]")
        for i in outputs:
            position = len(kinds) + i
            put(f"o{i} = {results[i]}_pointer(args[{position}])", f"r{i} = steps[{position}]")
        if in_place:
            # told apart by hand: the vectoriser's own overlap check would send this to its scalar loop
            same = f"address(args[0]) == address(args[2]) and s0 == r0 and s1 == r0 and r0 == {sizes[number]}"
            with text.block(f"if {same}:", "for i in range(count):"):
                put(load(0, "i"), load(1, "i"), *(line.replace("o0[{out}]", "p0[i]") for line in body))
        for scalars in variants:
            tests = [f"s{i} == {0 if i in scalars else sizes[types[i]]}" for i in inputs]
            tests += [f"r{i} == {sizes[results[i]]}" for i in outputs]
            with text.block(f"{'elif' if scalars or in_place else 'if'} {' and '.join(tests)}:"):
                put(*(load(i, "0") for i in scalars))
                with text.block("for i in range(count):"):
                    put(*(load(i, "i") for i in inputs if i not in scalars))
                    put(*(line.replace("{out}", "i") for line in body))
        with text.block("else:"):
            put(*(f"d{i} = s{i} // {sizes[types[i]]}" for i in inputs))
            put(*(f"e{i} = r{i} // {sizes[results[i]]}" for i in outputs))
            put(*(f"i{i} = 0" for i in inputs), *(f"j{i} = 0" for i in outputs))
            with text.block("for _ in range(count):"):
                put(*(load(i, f"i{i}") for i in inputs), *assignments)
                put(*(f"o{i}[j{i}] = {result}({value})" for i, (result, value) in enumerate(stored)))
                put(*(f"i{i} += d{i}" for i in inputs), *(f"j{i} += e{i}" for i in outputs))
        uses_fmod = any("//" in line or "%" in line for line in body)
        put("clear_all_exceptions()" if uses_fmod else "clear_exceptions()")
    return str(text)
