"""The page of torch's operations says what was found, and claims nothing that is not there."""

import re
from types import SimpleNamespace

import torch_samples
from torch_coverage import DOCS, Found, family_of, page, probe, reason_of
from torch_samples import ABSENT, Outcome, Refusal, function_of, name_of


def test_the_page_has_counts_names_and_reasons():
    found = {
        "add": Found([Outcome(2), Outcome(2)], [Refusal()]),
        "fft.fft": Found([Outcome(2), Outcome(0, "fft.fft: wrong", "for a reason")], [Refusal(), Refusal("taken")]),
        "half": Found([Outcome(0, "half: gradient", "it has none", by_values=True)], []),
        "cfloat": None,
    }
    text = page(found)
    assert "| torch | 3 | 2 | 3 | 3 (100.00 %) | 1 | 0 | 1 | 1 |" in text
    assert "| all | 4 | 3 | 5 | 4 (80.00 %) | 1 | 1 | 3 | 2 |" in text
    disagree, by_values = text.split("## Samples that disagree")[1].split("## Samples judged by their values alone")
    assert "| `fft.fft` | 1 | for a reason |" in disagree and "`half`" not in disagree
    assert "| `half` | 1 | it has none |" in by_values.split("## Wider tolerances")[0]
    assert "Exist: `add`, `half`." in text and f"| `cfloat` | {ABSENT['cfloat']} |" in text
    assert "| `fft.fft` | 1 | for a reason |" in text and "| `fft.fft` | 1 |  |" in text
    assert family_of("nn.functional.pad") == "nn.functional" and reason_of("nothing:of_it") == "not yet"


def test_what_is_absent_is_not_probed():
    assert probe(SimpleNamespace(name="cfloat", variant_test_name=""), ["float64"], 1) is None


def test_the_page_claims_nothing_that_is_not_there():
    entries = {name_of(entry): entry for entry in torch_samples.database()}
    text = DOCS.read_text()
    claimed = 0
    for family, names in re.findall(r"## (\S+)\n\nExist: (.*?)\.\n", text, re.DOTALL):
        for name in re.findall(r"`([^`]+)`", names):
            full = name if family == "torch" else f"{family}.{name}"
            assert function_of(entries[full]) is not None, full
            claimed += 1
    assert claimed > 400
    assert not re.search(r"\*\*unknown\*\*", text)
