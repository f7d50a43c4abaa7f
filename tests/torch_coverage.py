"""Which of PyTorch's operations exist here, found out with PyTorch's own samples: docs/torch.md.

Run as ``python -m tests.torch_coverage``, with torch and expecttest; with names, as ``python -m tests.torch_coverage
sort linalg.qr``, it prints what disagrees of these and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __package__:  # as a module of the tests, whose helpers are found by name
    sys.path.insert(0, str(Path(__file__).parent))

import torch_samples
from peers import peer
from torch_samples import ABSENT, NAMESPACES, TO_COME, WIDER, Outcome, Refusal, function_of, name_of, outcomes, refusals

import nbgrad

DOCS = Path(__file__).parent.parent / "docs" / "torch.md"

NOT_YET = "not yet"


class Found(NamedTuple):
    """What became of an entry's samples."""

    outcomes: list[Outcome]
    wrong_inputs: list[Refusal]


def probe(entry: Any, dtypes: Sequence[str], most: int) -> Found | None:
    """Try an entry's samples and wrong inputs; None where it does not exist."""
    function = function_of(entry)
    if function is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [o for dtype in dtypes for o in outcomes(entry, function, dtype, most)]
        return Found(found, list(refusals(entry, function)))


def family_of(name: str) -> str:
    """Give the module that torch has an operation in."""
    return next((n for n in NAMESPACES if name.startswith(f"{n}.")), "torch")


PREFACE = """# PyTorch's operations

Written by `python -m tests.torch_coverage`, which calls whatever of PyTorch's own database of operations (OpInfo) works
on a CPU's floating numbers with PyTorch's own samples, in float32 and float64, and holds values, shapes, dtypes, first
gradients, and second ones where PyTorch has them and they are no NaN, against PyTorch's. An operation may have several
entries, as `round:decimals_3`. Arguments have PyTorch's names, and `axis` and `keepdims` do for `dim` and `keepdim`.
Of samples that draw random numbers shapes and dtypes are compared.

Counted is as in PyTorch's own suite. Gradients that it leaves out, or expects to be wrong, are held against those of
the same made of other operations of PyTorch's, whose gradients it checks (`PLAINLY` in `tests/torch_samples.py`). Where
there is nothing of the kind they decide nothing: a sample whose gradients differ there agrees if its values do (and its
first gradients, where only second ones are left out). The column "by values alone" says how many of those that agree
are judged so, and a table below why their gradients differ.
"""


def page(found: dict[str, Found | None]) -> str:
    """Write what was found as a page."""
    torch = peer("torch")
    families = [family for family in ("torch", *NAMESPACES) if any(family_of(name) == family for name in found)]
    lines = [PREFACE, f"PyTorch {torch.__version__.split('+')[0]}, nbgrad {nbgrad.__version__}.", ""]
    lines += ["| | entries | exist | samples | agree | of these by values alone "]
    lines[-1] += "| disagree for a known reason | wrong inputs | refused |"
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    lines += [_row(f, {n: x for n, x in found.items() if family_of(n) == f}) for f in families]
    lines += [_row("all", found), ""]
    for family in families:
        own = {name: x for name, x in found.items() if family_of(name) == family}
        there = [f"`{name.removeprefix(f'{family}.')}`" for name, x in own.items() if x is not None]
        lines += [f"## {family}", "", f"Exist: {', '.join(there) or 'none'}.", ""]
        missing: dict[str, list[str]] = {}
        for name in (name for name, x in own.items() if x is None):
            missing.setdefault(reason_of(name), []).append(f"`{name}`")
        if missing:
            lines += ["| do not exist | because |", "| --- | --- |"]
            lines += [f"| {', '.join(names)} | {reason} |" for reason, names in missing.items()] + [""]
    for title, by_values in (("Samples that disagree", False), ("Samples judged by their values alone", True)):
        lines += [f"## {title}", "", "| operation | samples | because |", "| --- | ---: | --- |"]
        for name, x in found.items():
            reasons = _reasons(x, by_values) if x else {}
            lines += [f"| `{name}` | {count} | {reason} |" for reason, count in reasons.items()]
        lines += [""]
    lines += ["## Wider tolerances", "", "| operation | dtype | relative, absolute | because |"]
    lines += ["| --- | --- | --- | --- |"]
    for (name, dtype), wider in WIDER.items():
        lines += [f"| `{name}` | {dtype} | {wider.tolerance[0]:g}, {wider.tolerance[1]:g} | {wider.reason} |"]
    lines += ["", "## Wrong inputs of PyTorch's that are taken", "", "| operation | inputs | because |"]
    lines += ["| --- | ---: | --- |"]
    taken = [(name, r.reason) for name, x in found.items() if x for r in x.wrong_inputs if r.taken]
    lines += [f"| `{name}` | {n} | {reason} |" for (name, reason), n in Counter(taken).items()]
    return "\n".join([*lines, ""])


def reason_of(name: str) -> str:
    """Give why an operation does not exist."""
    return next((ABSENT[n] for n in (name, name.split(":")[0]) if n in ABSENT), NOT_YET)


def _reasons(found: Found, by_values: bool) -> Counter[str]:
    return Counter(o.reason or "**unknown**" for o in found.outcomes if o.error and o.by_values == by_values)


def _row(name: str, found: dict[str, Found | None]) -> str:
    there = [x for x in found.values() if x is not None]
    samples = [o for x in there for o in x.outcomes]
    agree, by_values = sum(o.agrees for o in samples), sum(o.by_values for o in samples)
    known = sum(bool(o.reason) for o in samples) - by_values
    wrong = [refusal for x in there for refusal in x.wrong_inputs]
    share = f"{agree} ({100 * agree / len(samples):.2f} %)" if samples else "0"
    refused = sum(not refusal.taken for refusal in wrong)
    numbers = (len(found), len(there), len(samples), share, by_values, known, len(wrong), refused)
    return f"| {name} | {' | '.join(map(str, numbers))} |"


def main() -> None:
    """Probe, and write the page, or print what is not in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="operations, or families ending in a dot")
    parser.add_argument("--output", type=Path, default=DOCS)
    parser.add_argument("--dtype", action="append", help="float32 or float64; both unless given")
    parser.add_argument("--most", type=int, default=torch_samples.MOST, help="samples of an operation")
    parser.add_argument("--dump", type=Path, help="a file for what disagrees for no known reason")
    options = parser.parse_args()
    peer("torch").set_default_dtype(peer("torch").float64)
    dtypes = options.dtype or ["float64", "float32"]
    found = {}
    for entry in torch_samples.database():
        name = name_of(entry)
        if options.names and not any(
            n in (name, entry.name) or (n[-1] == "." and name.startswith(n)) for n in options.names
        ):
            continue
        found[name] = result = probe(entry, dtypes, options.most)
        if options.names:
            _show(name, result)
    if options.dump:
        errors = [o.error for x in found.values() if x for o in x.outcomes if o.error and not o.reason]
        refused = [r for x in found.values() if x for r in x.wrong_inputs]
        options.dump.write_text(
            "\n".join([*errors, *(f"taken: {r.taken}" for r in refused if r.taken and not r.reason)])
        )
    if not options.names:
        options.output.write_text(page(found))


def _show(name: str, found: Found | None) -> None:
    if found is None:
        print(f"{name}: {reason_of(name)}{'' if name.split(':')[0] in TO_COME else ', for good'}")
        return
    wrong = [o.error for o in found.outcomes if o.error and not o.reason]
    taken = [refusal.taken for refusal in found.wrong_inputs if refusal.taken and not refusal.reason]
    orders = Counter(o.order for o in found.outcomes if not o.error)
    print(f"{name}: {len(found.outcomes)} samples, orders {dict(orders)}, {len(wrong)} wrong, {len(taken)} taken")
    for text in (*wrong[:3], *(f"taken: {text}" for text in taken[:8])):
        print("   ", text[:300])


if __name__ == "__main__":
    main()
