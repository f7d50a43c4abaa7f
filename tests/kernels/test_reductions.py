"""The declarations of reductions, read by a plain interpreter that knows nothing of loops and targets."""

import math

import numpy as np
import pytest

from nbgrad.kernels import formula, reductions
from nbgrad.kernels.reductions import IDENTITIES, Reduction, identity_text
from nbgrad.kernels.scalars import add, maximum


def evaluate(root, values):
    lines, (result,) = formula.source([root], "float")
    namespace = {"math": math} | {f"x{i}": value for i, value in enumerate(values)}
    namespace |= {f"{name}_float": getattr(math, name) for name in ("exp", "log")}
    exec("\n".join([*lines, f"result = {result}"]), namespace)
    return namespace["result"]


def interpret(reduction, *arrays):
    """Fold one axis in order, as the declaration says."""
    results, kept = [], None
    for stage in reduction.stages:
        values = [evaluate(stage.value, (*elements, *results)) for elements in zip(*arrays, strict=True)]
        total = stage.identity
        for value in values:
            total = evaluate(stage.combine.expression, (total, value))
        results.append(total)
        kept = values if stage.kept else kept
    count = float(len(arrays[0]))
    if not reduction.spreads:
        return evaluate(reduction.result, (*[0.0] * reduction.arity, *results, count))
    elements = zip(*arrays, kept or arrays[0], strict=True)
    return [evaluate(reduction.result, (*xs, *results, count, k)) for *xs, k in elements]


X = [0.5, -1.25, 3.0, 2.0]
EXP = np.exp(X)
GY = [1.0, 2.0, -0.5, 0.25]
SOFTMAX = EXP / EXP.sum()
EXPECTED = {
    "sum": 4.25,
    "mean": 4.25 / 4,
    "prod": 0.5 * -1.25 * 6.0,
    "amax": 3.0,
    "amin": -1.25,
    "logsumexp": math.log(EXP.sum()),
    "softmax": SOFTMAX,
    "log_softmax": np.log(SOFTMAX),
    "softmax_vjp": SOFTMAX * (GY - np.dot(GY, SOFTMAX)),
    "log_softmax_vjp": GY - SOFTMAX * np.sum(GY),
}
ALL = {name: value for name, value in vars(reductions).items() if isinstance(value, Reduction)}


def test_every_reduction_is_tested_here():
    assert set(ALL) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_declarations_mean_what_they_are_called(name):
    second = {"softmax_vjp": [GY, SOFTMAX], "log_softmax_vjp": [GY, np.log(SOFTMAX)]}
    arrays = second.get(name, [X])
    assert ALL[name].name == name
    assert ALL[name].arity == len(arrays)
    result = interpret(ALL[name], *([float(v) for v in array] for array in arrays))
    np.testing.assert_allclose(result, EXPECTED[name], rtol=1e-14)


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin"])
def test_nothing_reduces_to_the_identity(name):
    assert interpret(ALL[name], []) == {"sum": 0, "prod": 1, "amax": -math.inf, "amin": math.inf}[name]


def test_what_a_reduction_needs_follows_from_its_formulas():
    assert not reductions.sum.spreads
    assert 0 not in formula.inputs_of([reductions.sum.result])
    assert 0 not in formula.inputs_of([reductions.softmax.result])  # the kept values are enough
    assert 0 in formula.inputs_of([reductions.log_softmax.result])
    assert [stage.kept for stage in reductions.softmax.stages] == [False, True]
    assert [stage.identity for stage in reductions.logsumexp.stages] == [-math.inf, 0.0]
    assert reductions.mean.floating
    assert not reductions.amax.accumulates


def test_users_of_the_declaration_may_add_their_own():
    spread = Reduction(
        "normalised",
        [(lambda x: x * x, add)],
        spread=lambda x, total, count, kept: x / formula.constant(2) * count / total,
        floating=True,
    )
    np.testing.assert_allclose(interpret(spread, [1.0, 3.0]), [0.1, 0.3], rtol=1e-15)
    last = Reduction("range", [(lambda x: x, maximum), (lambda x, top: top - x, maximum)])
    assert interpret(last, [1.0, 5.0, 3.0]) == 4.0


def test_branching_declarations_are_refused():
    with pytest.raises(TypeError, match="branched on a traced value"):
        Reduction("branching", [(lambda x: x if x > 0 else 0, add)])


DTYPES = [*"?bBhHiIlLqQfd"]
NUMPYS = {"add": np.add, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin"])
def test_results_have_numpys_dtypes(name, code):
    array = np.ones(1, code)
    assert reductions.TABLE[name].result_dtype(array.dtype.name) == getattr(np, name)(array).dtype


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("name", IDENTITIES)
def test_folds_begin_with_what_leaves_every_number_as_it_is(name, code):
    dtype = np.dtype(code)
    ends = (
        [0, 1]
        if code == "?"
        else [np.finfo(dtype).min, np.inf]
        if dtype.kind == "f"
        else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    )
    names = vars(np) | {"bool": np.bool}
    for end in np.array(ends, dtype):
        begin = eval(identity_text(IDENTITIES[name], dtype.name), names)
        assert begin.dtype == dtype and NUMPYS[name](begin, end) == end
        if dtype.kind != "f" and dtype != np.uint64:
            assert eval(identity_text(IDENTITIES[name], dtype.name, "int64"), names) == int(begin)
