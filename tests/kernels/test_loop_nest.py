"""Loop nests: what each stage computes, what it costs, and which values are worth keeping."""

from nbgrad.kernels import scalars
from nbgrad.kernels.formula import variable
from nbgrad.kernels.loop_nest import (
    ELEMENT,
    NEST,
    ROW,
    Assign,
    Fold,
    Nest,
    Operand,
    cost_of,
    keep_what_is_dear,
    size_names,
)
from nbgrad.kernels.reductions import IDENTITIES


def assign(name, function, *arguments, stage=0, level=ELEMENT):
    expression = None if function is None else function(*map(variable, range(len(arguments))))
    return Assign(name, expression, arguments, (False,) * len(arguments), "float64", "float64", level, stage)


def fold(name, argument, combine, over, stage=0):
    identity = IDENTITIES[combine.name]
    return Fold(name, argument, combine, identity, "float64", "float64", over, ELEMENT, stage)


def rows(dear):
    """Give rows of dear(x) over their sum."""
    nest = Nest(1, False, [Operand("p0", "float64", ELEMENT)])
    nest.steps = [
        assign("n0", dear, "v_p0"),
        fold("n1", "n0", scalars.add, "row"),
        assign("n2", scalars.div, "n0", "n1", stage=1),
    ]
    nest.stores = [(Operand("o0", "float64", ELEMENT), "n2", 1)]
    return nest


def test_stages_compute_what_they_need_once():
    nest = rows(scalars.exp)
    assert nest.stages == 2
    loads, back, order = nest.needed(0)
    assert [o.name for o in loads] == ["p0"] and back == [] and [step.name for step in order] == ["n0"]
    loads, back, order = nest.needed(1)
    assert [o.name for o in loads] == ["p0"] and back == [] and [step.name for step in order] == ["n0", "n2"]
    nest.kept = [(Operand("k0", "float64", ELEMENT), "n0")]
    loads, back, order = nest.needed(1)
    assert loads == [] and back == ["n0"] and [step.name for step in order] == ["n2"]


def test_functions_and_divisions_are_kept_and_cheap_values_computed_again():
    assert keep_what_is_dear(rows(scalars.exp)) == ["n0"]
    assert keep_what_is_dear(rows(scalars.sqrt)) == ["n0"]
    assert keep_what_is_dear(rows(scalars.reciprocal)) == ["n0"]
    assert keep_what_is_dear(rows(lambda x: scalars.remainder(x, 2))) == ["n0"]
    assert keep_what_is_dear(rows(scalars.square)) == []
    assert keep_what_is_dear(rows(scalars.relu)) == []
    assert keep_what_is_dear(rows(None)) == []  # a conversion


def test_what_takes_many_cheap_operations_is_kept_where_a_row_folds_it():
    for count, kept in ((20, []), (30, ["n29"])):
        nest = Nest(1, False, [Operand("p0", "float64", ELEMENT)])
        nest.steps = [assign(f"n{i}", scalars.add, "v_p0", f"n{i - 1}" if i else "v_p0") for i in range(count)]
        nest.steps.append(fold("n99", f"n{count - 1}", scalars.maximum, "row"))
        nest.steps.append(assign("n100", scalars.sub, f"n{count - 1}", "n99", stage=1))
        nest.stores = [(Operand("o0", "float64", ELEMENT), "n100", 1)]
        assert keep_what_is_dear(nest) == kept


def test_what_is_needed_in_its_own_stage_only_is_not_kept():
    nest = rows(scalars.exp)
    nest.stores = [(Operand("o0", "float64", ROW), "n1", 1)]
    assert keep_what_is_dear(nest) == []


def test_steps_cost_their_formulas_and_folds():
    nest = rows(scalars.exp)
    assert cost_of(nest.steps[:2]) == scalars.exp.cost + 1
    assert cost_of(nest.steps) == scalars.exp.cost + 1 + scalars.div.cost
    assert cost_of([fold("n0", "v_p0", scalars.maximum, "row")]) == scalars.maximum.cost > 1


def test_conversions_cost_as_additions():
    assert cost_of([assign("n0", None, "v_p0")]) == 1
    assert cost_of([assign("n0", scalars.mul, "v_p0", "v_p1")._replace(casts=(True, False))]) == 2


def test_sizes_are_named_for_what_has_any():
    nest = rows(scalars.exp)
    nest.loads.append(Operand("p1", "float64", NEST))
    nest.loads.append(Operand("p2", "float64", ELEMENT, "s"))
    names = ["blocks", "rows_in_block", "rows", "width", "p0_step0", "p2_step0", "p2_inner", "o0_step0"]
    assert size_names(nest) == names
