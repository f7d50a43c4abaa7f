"""Measure the largest errors of the derivatives of every elementwise operation, up to the third.

python -m benchmarks.derivatives            measure; writes docs/derivatives.md and derivatives.json
python -m benchmarks.derivatives exp pow    only these, the others stay as they were measured
python -m benchmarks.derivatives --redraw   measure nothing: write the document again from derivatives.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from . import elementary, measure
from .exact import DTYPES, Array
from .exact_derivatives import DERIVATIVES, Index, by_torch, computed, errors, in_range, samples

Results = dict[str, Any]

DIRECTORY = Path(__file__).parent
DOCUMENTS = DIRECTORY.parent / "docs"
#: The errors promised of first and second derivatives, in ulp.
PROMISE = 4.0


def worst(name: str, dtype: str, index: Index, count: int) -> Results:
    """Give the largest errors of a derivative, also in ulp of larger terms, and torch's at the same points."""
    inputs = samples(name, dtype, count)
    inside = in_range(name, index, inputs)
    inputs = [x[inside] for x in inputs]
    found: Results = {"points": inputs[0].size}
    sources: dict[str, Callable[[str, Index, list[Array]], Array]] = {"nbgrad": computed}
    if len(index) <= 2:
        sources["torch"] = by_torch
    for library, compute in sources.items():
        try:
            results = compute(name, index, inputs)
        except AttributeError:  # torch has no such function
            continue
        relative, to_terms = errors(name, index, inputs, results)
        found[library] = {"ulp": _largest(relative, inputs)}
        if to_terms is not None:
            found[library]["away"] = _largest(to_terms, inputs)
    return found


def _largest(error: Array, inputs: list[Array]) -> Results:
    place = int(np.argmax(error))
    return {"ulp": float(error[place]), "at": [float(x[place]) for x in inputs]}


# ---- the document ---------------------------------------------------------------------------------------------------

INTRODUCTION = """\
# Derivatives

Partials are declared once, in `kernels/scalars.py`, and serve every order, both targets and fused loops. This table has
the largest error found of the first, second and third derivatives of every elementwise operation; made by
`python -m benchmarks.derivatives`, do not edit. The functions themselves are in [elementary.md](elementary.md)."""

METHOD = """\
**Errors** are in units in the last place (ulp) of the exact value, by mpmath with 400 bits. Half a unit is what
rounding alone costs. Samples are those of elementary.md, or drawn over all exponents, {count:,} of each kind. The
derivatives are computed as `nbgrad.autograd.grad` with `create_graph` does, one kernel for each order, each of which
rounds. Promised are {promise:g} ulp of first and second derivatives. Where terms cancel, the second number counts
absolutely, in ulp of the larger term, and is the one judged. Left out are points at which the value or a lower
derivative has overflowed or is subnormal (a subnormal value only of `pow`, `exp2` and `hypot`): what is made of numbers
out of range cannot be better than they are. ∞ stands for a NaN or an infinity where there is a number. torch has the
same points.

Derivatives of products, sums and squares are exact or rounded once; `abs`, `relu`, `maximum`, `minimum`, `clamp` and
`where` select a cotangent, which stays as it is (halves at ties of maximum and minimum, as in torch)."""


def _written(found: Results, judged: bool = False) -> str:
    parts = [elementary._count(entry["ulp"]) for entry in found.values()]
    if judged and list(found.values())[-1]["ulp"] > PROMISE:
        parts[-1] = f"**{parts[-1]}**"
    return "; ".join(parts)


def table(results: Results) -> str:
    """Give the table of all derivatives."""
    head = ["function", "order", "by", *(f"{dtype} ulp" for dtype in DTYPES), *(f"torch {dtype}" for dtype in DTYPES)]
    lines = [head, ["---", "---:", "---", *["---:"] * 4]]
    for name, derivatives in DERIVATIVES.items():
        for index in derivatives.exact:
            found = [results["derivatives"].get(key_of(name, dtype, index)) for dtype in DTYPES]
            if None in found:
                continue
            ours = [_written(f["nbgrad"], judged=len(index) <= 2) for f in found]
            peers = [_written(f["torch"]) if "torch" in f else "" for f in found]
            by = ", ".join("first" if position == 0 else "second" for position in index) if _arity(name) > 1 else ""
            lines.append([f"`{name}`", str(len(index)), by, *ours, *peers])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _arity(name: str) -> int:
    return 1 + max(max(index) for index in DERIVATIVES[name].exact)


def key_of(name: str, dtype: str, index: Index) -> str:
    return f"{name}/{dtype}/{''.join(map(str, index))}"


def misses(results: Results) -> str:
    """Name every promise that was not kept, and every cancellation, with the reasons."""
    lines = []
    for name, derivatives in DERIVATIVES.items():
        above, cancelling = [], []
        for index, dtype in product(derivatives.exact, DTYPES):
            found = results["derivatives"].get(key_of(name, dtype, index))
            if found is None or len(index) > 2:
                continue
            ours = found["nbgrad"]
            judged = list(ours.values())[-1]
            if judged["ulp"] > PROMISE:
                place = ", ".join(map(repr, judged["at"]))
                above.append(f"{elementary._count(judged['ulp'])} ulp of order {len(index)} in {dtype}, at {place}")
            elif ours["ulp"]["ulp"] > PROMISE:
                cancelling.append(f"order {len(index)}")
        if above:
            lines.append(f"- `{name}`: {'; '.join(above)}: {derivatives.reason or 'errors of the factors add up'}")
        if cancelling:
            orders = ", ".join(dict.fromkeys(cancelling))
            lines.append(f"- `{name}` keeps its promise in ulp of the larger term only, {orders}: {derivatives.reason}")
    return "\n".join(lines) or "None."


def document(results: Results) -> str:
    """Give the whole document."""
    where = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n\n".join(
        [
            INTRODUCTION,
            METHOD.format(count=results["count"], promise=PROMISE),
            f"Measured on {results['date']}: {where['cpu']}, {where['system']}; {packages}.",
            "## More than promised, and where terms cancel",
            misses(results),
            "## Every derivative",
            table(results),
            "",
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.derivatives", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="FUNCTION", help="which functions (default: all)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, read derivatives.json")
    parser.add_argument("--count", type=int, default=1000, help="samples of each kind (default: 1000)")
    parser.add_argument("--directory", type=Path, help="where all results go (default: docs/ and benchmarks/)")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(DERIVATIVES)
    if unknown:
        parser.error(f"no such function: {', '.join(sorted(unknown))}; there are {', '.join(DERIVATIVES)}")
    if options.directory:
        options.directory.mkdir(parents=True, exist_ok=True)
    documents, data = (options.directory or DOCUMENTS), (options.directory or DIRECTORY) / "derivatives.json"
    results: Results = json.loads(data.read_text()) if data.exists() else {"derivatives": {}}
    if not options.redraw:
        if not options.names:
            results["derivatives"] = {}
        results |= elementary.circumstances(0) | {"count": options.count}
        wanted = [
            (name, dtype, index)
            for name, dtype in product(options.names or DERIVATIVES, DTYPES)
            for index in DERIVATIVES[name].exact
        ]
        with elementary.one_thread():
            for name, dtype, index in measure.progress(wanted, "derivatives"):
                results["derivatives"][key_of(name, dtype, index)] = worst(name, dtype, index, options.count)
        data.write_text(json.dumps(results, indent=1) + "\n")
    if results["derivatives"]:
        (documents / "derivatives.md").write_text(document(results))
        print(misses(results))


if __name__ == "__main__":
    main()
