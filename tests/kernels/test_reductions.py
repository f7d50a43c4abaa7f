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
    namespace |= {f"{name}_float": getattr(math, name) for name in ("exp", "log", "pow")}
    exec("\n".join([*lines, f"result = {result}"]), namespace)
    return namespace["result"]


def interpret(reduction, *arrays, numbers=(), moved=0.0):
    """Fold one axis in order, as the declaration says, with the centre moved a bit."""
    results, kept = [], None
    count = float(len(arrays[0]))
    for index, stage in enumerate(reduction.stages):
        values = [evaluate(stage.value, (*elements, *numbers, *results)) for elements in zip(*arrays, strict=True)]
        total = stage.identity
        for value in values:
            total = evaluate(stage.combine.expression, (total, value))
        if stage.after is not None:
            total = evaluate(stage.after, (total, count))
        results.append(total + moved if index == reduction.centre else total)
        kept = values if stage.kept else kept
    if not reduction.spreads:
        return evaluate(reduction.result, (*[0.0] * reduction.arity, *numbers, *results, count))
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
    "nansum": 4.25,
    "nanmean": 4.25 / 4,
    "count_nonzero": 4,
    "var": np.var(X, ddof=0.5),
    "std": np.std(X, ddof=0.5),
    "norm": np.linalg.norm(X),
    "norm_0": 4,
    "norm_1": 6.75,
    "norm_inf": 3.0,
    "norm_minus_inf": 0.5,
    "norm_p": np.linalg.norm(X, 1.5),
    "logsumexp": math.log(EXP.sum()),
    "softmax": SOFTMAX,
    "log_softmax": np.log(SOFTMAX),
    "softmax_vjp": SOFTMAX * (GY - np.dot(GY, SOFTMAX)),
    "log_softmax_vjp": GY - SOFTMAX * np.sum(GY),
}
NUMBERS = {"var": (0.5,), "std": (0.5,), "norm_p": (1.5,)}
ALL = {name: value for name, value in vars(reductions).items() if isinstance(value, Reduction)}


def test_every_reduction_is_tested_here():
    assert set(ALL) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_declarations_mean_what_they_are_called(name):
    second = {"softmax_vjp": [GY, SOFTMAX], "log_softmax_vjp": [GY, np.log(SOFTMAX)]}
    arrays = second.get(name, [X])
    assert ALL[name].name == name
    assert ALL[name].arity == len(arrays)
    arrays = [[float(v) for v in array] for array in arrays]
    result = interpret(ALL[name], *arrays, numbers=NUMBERS.get(name, ()))
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


@pytest.mark.parametrize("name", [name for name, one in ALL.items() if one.centre is not None])
def test_the_result_does_not_change_with_the_centre(name):
    """To first order: what a small step changes is of second order."""
    at, step = (interpret(ALL[name], X, numbers=NUMBERS.get(name, ()), moved=moved) for moved in (0.0, 1e-6))
    assert abs(step - at) < 1e-10


def test_parts_mean_the_same():
    """Each stage of parts by itself, what they gave together, and parts of parts."""
    for name in ("mean", "var", "nanmean", "norm", "count_nonzero"):
        given = [*NUMBERS.get(name, ()), float(len(X))]
        for first, last in ALL[name].parts(None):
            assert first.numbers == last.numbers == len(given)
            parts = [interpret(first, part, numbers=given) for part in (X[:1], X[1:])]
            whole = interpret(last, parts, numbers=given)
            for one, elements in ((first, X), (last, parts)):
                ((again, end),) = one.parts(None)
                some = [interpret(again, part, numbers=given) for part in (elements[:1], elements[1:])]
                assert interpret(end, some, numbers=given) == pytest.approx(interpret(one, elements, numbers=given))
            given.append(whole)
        assert whole == pytest.approx(EXPECTED[name], rel=1e-14)


def test_rules_follow_from_declarations():
    """The slope by an element is the difference of results, wherever there is a rule."""
    for name, one in ALL.items():
        if one.rule is None or name == "norm_0":
            continue
        numbers = NUMBERS.get(name, ())
        rule = one.rule
        read = formula.inputs_of([*rule.lines.values(), rule.value])
        places = [rule.results + s for s in range(len(one.stages))]
        stages = [interpret(one.stage(s), X) if place in read else None for s, place in enumerate(places)]
        lines = [None] * len(one.stages)
        values = [1.0, interpret(one, X, numbers=numbers), *numbers, *stages, float(len(X)), *lines, X[1]]
        for place, line in rule.lines.items():
            values[place] = evaluate(line, values)
        low, high = (interpret(one, [X[0], X[1] + step, *X[2:]], numbers=numbers) for step in (-1e-6, 1e-6))
        assert evaluate(rule.value, values) == pytest.approx((high - low) / 2e-6, rel=1e-8), name


def test_what_has_no_rule():
    """Products, ties, whole numbers, spreads; and what is neither a sum of its elements nor about a centre."""
    without = {name for name, one in ALL.items() if one.rule is None}
    assert without == {
        *("prod", "amax", "amin", "norm_inf", "norm_minus_inf", "count_nonzero", "softmax", "log_softmax"),
        *("softmax_vjp", "log_softmax_vjp"),
    }
    absolute = [(lambda x: x, add, lambda total, count: total / count), (lambda x, mean: abs(x - mean), add)]
    assert Reduction("absolute_deviation", absolute, listed=False).rule is None
    squares = [(lambda x: x, add, lambda total, count: total * total)]
    with pytest.raises(TypeError, match="squares: what follows a stage is not linear: write it into the finish"):
        Reduction("squares", squares, listed=False).rule  # noqa: B018


def test_stages_are_reductions_there_are():
    assert reductions.var.stage(0) is reductions.mean
    assert reductions.nanmean.stage(0) is reductions.nansum
    counting = reductions.nanmean.stage(1)
    assert reductions.TABLE[counting.name] is counting is reductions.nanmean.stage(1)
    assert counting.name not in list(reductions.TABLE)
    with pytest.raises(KeyError, match="nothing"):
        reductions.TABLE["nothing"]


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
