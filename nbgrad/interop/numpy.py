"""NumPy's functions of Variables (NEP 13 and 18).

`rules` has the functions that something stands behind. `rules.CONSTANT` names those whose results have no gradient, or
0 everywhere: they give what they give for arrays. All others do so where nothing is recorded, and are refused where a
gradient would be lost.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..grad_mode import is_grad_enabled
from ..variable import Variable
from .rules import rule_of
from .rules.constant import CONSTANT, IN_PLACE, remedies
from .rules.folding import ACCUMULATING, REDUCING, REDUCTIONS, SCANS
from .rules.operands import operand
from .rules.ufuncs import UFUNCS, function_for

# ---- the protocols --------------------------------------------------------------------------------------------------


def array_ufunc(self: Variable, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """Stand in for a NumPy ufunc that met a Variable (NEP 13)."""
    function = UFUNCS.get(ufunc) or function_for(ufunc)
    if function is not None and method == "__call__" and not options:
        return function(*inputs)
    if method == "at":
        if isinstance(inputs[0], Variable) and function is not None:
            from .rules.writing import at

            return at(ufunc, function, *inputs)
    elif any(isinstance(target, Variable) for target in options.get("out", ())):
        return _into(ufunc, function, method, inputs, dict(options))
    result = _by_method(ufunc, function, method, inputs, options)
    if result is not NotImplemented:
        return result
    arrays, recorded = _arrays((inputs, options))
    if recorded and not (ufunc in CONSTANT and method == "__call__" and "out" not in options):
        raise _lost(ufunc, "" if method == "__call__" else f".{method}", options, function)
    inputs, options = arrays
    return getattr(ufunc, method)(*inputs, **options)


def _into(ufunc: np.ufunc, function: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Write what a ufunc gives into Variables."""
    from .rules.writing import write_out, write_several, write_where

    targets = options.pop("out")
    what = f"np.{ufunc.__name__}" if method == "__call__" else f"np.{ufunc.__name__}.{method}"
    where = options.get("where", True)
    if method == "__call__" and where is not True:
        del options["where"]
        usual = [name for name, value in options.items() if value != _USUAL.get(name)]
        result = NotImplemented
        if function is not None and len(targets) == 1 and not usual:
            result = write_where(what, ufunc, function, inputs, where, targets[0])
        if result is NotImplemented:
            raise TypeError(f"{what} with {sorted([*options, 'out', 'where'])}: choose with np.where, and write that")
        return result
    call = getattr(ufunc, method)
    if len(targets) == 1:
        return write_out(what, call, inputs, options, targets[0])
    return write_several(what, call(*inputs, **options), targets)


def _by_method(ufunc: np.ufunc, function: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Give what a ufunc's method, or a call with options, gives; NotImplemented where nothing stands behind it."""
    table = {"reduce": REDUCING, "accumulate": ACCUMULATING}.get(method, {})
    if ufunc in table:
        return by_rule(table[ufunc], inputs, options)
    if function is None:
        return NotImplemented
    if method == "outer" and not options:
        x, y = map(operand, inputs)
        return function(x.reshape((*x.shape, *(1,) * y.ndim)), y)
    if method == "__call__":
        options = {name: value for name, value in options.items() if value is not _USUAL.get(name)}
        dtype = options.pop("dtype", None)
        if options or (dtype is not None and np.dtype(dtype).kind != "f"):
            return NotImplemented
        return function(*(inputs if dtype is None else [operand(x).astype(dtype) for x in inputs]))
    return NotImplemented


#: Options of ufuncs that say what is so anyway.
_USUAL = {"where": True, "order": "K", "subok": True, "casting": "same_kind", "dtype": None}


def array_function(self: Variable, function: Any, types: Any, arguments: Any, options: Any) -> Any:
    """Stand in for another NumPy function that met a Variable (NEP 18)."""
    rule = rule_of(function)
    if (len(arguments) > 1 or "out" in options) and (place := _place_of_out(function)) is not None:
        target = options.get("out") if len(arguments) <= place else arguments[place]
        if isinstance(target, Variable):
            from .rules.writing import write_out

            options = {name: value for name, value in options.items() if name != "out"}
            if len(arguments) > place:
                arguments = (*arguments[:place], None, *arguments[place + 1 :])
            return write_out(f"np.{function.__name__}", function, arguments, options, target)
    if rule is not None:
        if options:
            options = {name: value for name, value in options.items() if value is not np._NoValue}
        result = by_rule(rule, arguments, options)
        if result is not NotImplemented:
            return result
    (arguments, options), recorded = _arrays((arguments, options))
    if recorded and function not in CONSTANT:
        raise _lost(function, "", options, rule)
    return function(*arguments, **options)


def _arrays(value: Any) -> tuple[Any, bool]:
    """Give arguments with the arrays of all Variables in their places, and whether a gradient would be lost so."""
    recorded = False

    def unwrapped(value: Any) -> Any:
        nonlocal recorded
        if isinstance(value, Variable):
            recorded = recorded or value.requires_grad
            return value.data
        if type(value) is dict:
            return {name: unwrapped(part) for name, part in value.items()}
        return type(value)(map(unwrapped, value)) if type(value) in (list, tuple) else value

    arguments = unwrapped(value)
    return arguments, recorded and is_grad_enabled()


def by_rule(rule: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
    """Give what a rule gives, NotImplemented where it does not take these arguments.

    That NumPy's function takes them, NumPy looked.
    """
    most, names, others = _parameters(rule)
    if len(arguments) <= most and (others or all(name in names for name in options)):
        return rule(*arguments, **options)
    return NotImplemented


@cache
def _place_of_out(function: Any) -> int | None:
    """Give the position of a function's parameter `out`, beyond all others if it is given by name; None without one."""
    try:
        found = inspect.signature(function).parameters
    except ValueError:
        return None
    by_name = "out" in found and found["out"].kind is inspect.Parameter.KEYWORD_ONLY
    return sys.maxsize if by_name else list(found).index("out") if "out" in found else None


@cache
def _parameters(rule: Any) -> tuple[float, dict[str, None], bool]:
    """Give how many arguments a rule takes by position, the names of its parameters, and whether it takes others."""
    found = inspect.signature(rule).parameters
    kinds = [parameter.kind for parameter in found.values()]
    most = math.inf if inspect.Parameter.VAR_POSITIONAL in kinds else sum(kind <= 1 for kind in kinds)
    return most, dict.fromkeys(found), inspect.Parameter.VAR_KEYWORD in kinds


def _lost(function: Any, method: str, options: dict[str, Any], rule: Any) -> TypeError:
    """Give the exception for a function through which no gradient can pass, naming what there is instead."""
    known, ours = rule is not None, getattr(rule, "__name__", "")
    plainly, module = f"{function.__name__}{method}", str(getattr(function, "__module__", ""))
    if getattr(np, function.__name__, None) is function:
        name = f"np.{plainly}"
    elif isinstance(function, np.ufunc) or not module.startswith("numpy."):
        name = f"the ufunc {plainly}"
    else:
        name = f"{module}.{plainly}".replace("numpy", "np", 1)
    if known and method == ".reduce" and function in REDUCTIONS:
        remedy = f"use {REDUCTIONS[function]}"
    elif known and method == ".accumulate" and function in ACCUMULATING:
        remedy = f"use {SCANS[function]}"
    elif known and method == ".at":
        remedy = IN_PLACE
    elif function in remedies():
        remedy = remedies()[function]
    elif known and method:
        remedy = f"use nbgrad.{ours} and what follows from it"
    elif known and isinstance(function, np.ufunc):
        remedy = f"use nbgrad.{ours} without them; out= takes a Variable (nbgrad.zeros)"
    elif known:
        remedy = f"there it takes ({', '.join(_parameters(rule)[1])}), where out is a Variable or None"
    else:
        remedy = "nbgrad has no function for it"
    given = f" with {sorted(options)}" if options else " with these arguments" if known else ""
    return TypeError(
        f"{name}{given} does not work on Variables that require a gradient: {remedy}; where no gradient is needed use "
        "x.data, or no_grad() around it"
    )
