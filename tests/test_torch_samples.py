"""PyTorch's own samples (see `torch_samples`): values, shapes, dtypes, first and second gradients, wrong inputs.

The usual suite takes a few samples of some operations; the long one takes all, in float32 and float64.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
import torch_samples
from peers import peer
from torch_samples import ABSENT, DISAGREEMENTS, TO_COME, existing, function_of, name_of, outcomes, refusals

import nbgrad

#: Operations of which the usual suite takes samples: some of each family, of few kernels.
SOME = {
    "add", "addmm", "amax", "argmax", "cat", "cumsum", "diag_embed", "diff", "expand", "fft.rfft", "floor", "isclose",
    "linalg.det", "linalg.qr", "masked.sum", "matmul", "nn.functional.linear", "signal.windows.hann", "softmax", "sort",
    "special.zeta", "std", "topk", "tril", "where",
}  # fmt: skip

#: The work of the long tests is dealt out to so many.
SHARES = 8


@pytest.fixture(scope="module", autouse=True)
def default_dtype() -> Iterator[None]:
    """Have torch make float64 of Python's numbers, as we do."""
    torch = peer("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def summary(found: list[torch_samples.Outcome]) -> tuple[int, list[str], Counter[str]]:
    """Give the number of outcomes, what is wrong for no known reason, and how often each known reason holds."""
    wrong = [o.error[:500] for o in found if o.error and not o.reason]
    return len(found), wrong, Counter(o.reason for o in found if o.reason)


@pytest.mark.filterwarnings("ignore")
def test_some_samples_agree() -> None:
    chosen = [(entry, function) for entry, function in existing() if entry.name in SOME]
    assert len(chosen) >= len(SOME)
    count, wrong, _ = summary([o for pair in chosen for o in outcomes(*pair, "float64", most=3)])
    assert count > 30
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_samples_agree(dtype: str, share: int) -> None:
    found = [o for pair in list(existing())[share::SHARES] for o in outcomes(*pair, dtype)]
    count, wrong, excused = summary(found)
    print(f"{count - len(wrong) - excused.total()} of {count} samples agree; {dict(excused)}")
    assert count > 100
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wrong_inputs_are_refused() -> None:
    found = [refusal for pair in existing() for refusal in refusals(*pair)]
    accepted = [refusal.taken for refusal in found if refusal.taken and not refusal.reason]
    print(f"{len(found)} wrong inputs, {sum(not refusal.taken for refusal in found)} refused")
    assert len(found) > 100
    assert not accepted, "\n".join(accepted)


def test_what_does_not_exist_is_named_with_a_reason() -> None:
    entries = torch_samples.database()
    known = {name for entry in entries for name in (entry.name, name_of(entry))}
    missing = {name_of(entry) for entry in entries if function_of(entry) is None}
    named = ABSENT.keys() | TO_COME
    assert {name for name in missing if name not in named and name.split(":")[0] not in named} == set()
    assert ABSENT.keys() - known == set(), "torch has no such entries"
    assert all(ABSENT.values()) and all(d.reason and d.says for ds in DISAGREEMENTS.values() for d in ds)


def test_gradients_that_torchs_suite_leaves_out_are_judged_by_values() -> None:
    entries = {name_of(entry): entry for entry in torch_samples.database()}
    orders = {"half": 0, "as_strided_scatter": 0, "nn.functional.linear_cross_entropy:chunked": 1, "add": 2}
    assert {name: torch_samples.checked_order(entries[name]) for name in orders} == orders
    entry = entries["half"]
    (found,) = outcomes(entry, torch_samples.function_of(entry), "float64", most=1)
    assert found.agrees and found.by_values and found.reason
    (wrong,) = outcomes(entry, lambda x, **options: nbgrad.astype(x.detach(), "float16") + 1, "float64", most=1)
    assert not wrong.agrees and not wrong.reason
    (wrong,) = outcomes(entries["add"], lambda x, y, **options: x.detach() + y, "float64", most=1)
    assert not wrong.agrees and "gradient" in wrong.error


@pytest.mark.parametrize("name", ["as_strided_scatter", "nn.functional.max_unpool1d"])
def test_gradients_that_torchs_suite_leaves_out_are_held_against_the_same_plainly_made(name: str) -> None:
    (entry,) = (entry for entry in torch_samples.database() if name_of(entry) == name)
    function = torch_samples.function_of(entry)
    assert function is not None and torch_samples.checked_order(entry) == 0
    assert [o.order for o in outcomes(entry, function, "float64", most=4)] == [2] * 4
    twice = lambda x, *rest, **options: function(2 * x - x.detach(), *rest, **options)  # noqa: E731
    *_, wrong = outcomes(entry, twice, "float64", most=4)
    assert not wrong.agrees and "gradient" in wrong.error
