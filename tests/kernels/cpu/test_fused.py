"""What fused loops are estimated to cost: whole loops of additions, which memory and formulas make up."""

import pytest

from nbgrad.kernels import scalars
from nbgrad.kernels.cpu import fused, threads
from nbgrad.kernels.formula import variable
from nbgrad.kernels.loop_nest import ELEMENT, NEST, ROW, Assign, Fold, Nest, Operand


def elements(function, inputs, times=1):
    """Give y = function(function(x0, x1), ...), along one row."""
    nest = Nest(1, True, [Operand(f"p{i}", "float64", ELEMENT) for i in range(inputs)])
    expression = function(*map(variable, range(inputs)))
    arguments = tuple(f"v_p{i}" for i in range(inputs))
    for n in range(times):
        nest.steps.append(Assign(f"n{n}", expression, arguments, (False,) * inputs, "float64", "float64", ELEMENT, 0))
        arguments = (f"n{n}", *arguments[1:])
    nest.stores = [(Operand("o0", "float64", ELEMENT), f"n{times - 1}", 0)]
    return nest


def total(combine):
    nest = Nest(1, True, [Operand("p0", "float64", ELEMENT)])
    identity, wide = fused.fold_of(combine, "float64")
    nest.steps = [Fold("n0", "v_p0", combine, identity, wide, "float64", "all", ELEMENT, 0)]
    nest.partials = [(Operand("q0", wide, ROW), Operand("r0", "float64", NEST), "n0")]
    return nest


def test_a_loop_of_additions_is_the_unit():
    assert fused.cost(elements(scalars.add, 2)) == fused.cost(elements(scalars.neg, 1)) == 1
    assert fused.cost(total(scalars.add)) == 1


@pytest.mark.parametrize(("function", "inputs"), [(scalars.add, 2), (scalars.exp, 1), (scalars.lgamma, 1)])
def test_a_loop_of_one_function_costs_what_the_ufunc_does(function, inputs):
    """The same work is shared among threads from the same number of elements on, up to rounding."""
    cost = fused.cost(elements(function, inputs))
    whole = threads.SHARE_ABOVE / threads.share_above(threads.ACCESS * (inputs + 1) + function.cost)
    assert max(1, int(whole + 1e-3)) == cost


def test_costs_grow_with_the_formulas():
    few, many = (fused.cost(elements(scalars.tanh, 1, times)) for times in (1, 10))
    assert few < many < 10 * few + 1
    assert fused.cost(elements(scalars.add, 2, 40)) > 1
