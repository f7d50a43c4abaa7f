"""What all optimisers have: groups of parameters, a state for each, and the step as one formula."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache as once
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import history
from ..arrays import is_stand_in
from ..elementwise import Elementwise
from ..grad_mode import enable_grad
from ..kernels import formula, placement
from ..kernels.cpu import updates
from ..kernels.cpu.launch import signature
from ..kernels.formula import FLOATING, NUMBER, Expression
from ..nn.modules.hooks import changed, changes, forget
from ..variable import Variable

#: Stands for options that must be given.
required: Any = object()


class Group(dict[str, Any]):
    """A group of parameters and its options, which compiled steps read in every run."""

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        #: The numbers among the options, where compiled steps find them.
        self.numbers: dict[str, Any] = {}
        #: How many steps each parameter has taken, and the identities of those that are counted.
        self.steps = Variable(np.zeros(len(self["params"])), requires_grad=False)
        self.counted = [*map(id, self["params"])]
        for name, value in values.items():
            self._note(name, value)

    def _note(self, name: str, value: Any) -> None:
        if name in ("params", "initial_lr", "max_lr", "min_lr"):
            if name == "params":
                changed[0] = next(changes)
            return
        found = list(value) if isinstance(value, tuple | list) else [value]
        for place, number in enumerate(found):
            key = f"{name}{place}" if isinstance(value, tuple | list) else name
            if isinstance(number, bool) or not isinstance(number, int | float | np.generic | np.ndarray | Variable):
                if key in self.numbers:
                    raise TypeError(f"the option {name!r} is a number, got {number!r}")
                changed[0] = next(changes)
                continue
            held = self.numbers.get(key)
            if held is None or (float(held) == 0) is not (float(number) == 0):
                changed[0] = next(changes)  # whether there is any is part of the formula
            if held is None:
                held = self.numbers[key] = np.zeros(())
            held[...] = float(number)

    def __setitem__(self, name: str, value: Any) -> None:
        self._note(name, value)
        super().__setitem__(name, value)

    def update(self, *arguments: Any, **options: Any) -> None:
        """Set several options."""
        for name, value in dict(*arguments, **options).items():
            self[name] = value

    def __ior__(self, options: Any) -> Any:  # type: ignore[misc]
        self.update(options)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Give an option, which is set if there is none of that name."""
        if name not in self:
            self[name] = default
        return self[name]

    def settle(self) -> None:
        """See whether the list of parameters is still the one that steps are counted for, and count for the new one."""
        now = [*map(id, self["params"])]
        if now != self.counted:
            known = dict(zip(self.counted, self.steps.data, strict=True))
            self.steps = Variable(np.array([known.get(x, 0.0) for x in now]), requires_grad=False)
            self.counted = now
            changed[0] = next(changes)

    def __reduce__(self) -> Any:
        return Group, (dict(self),), {"steps": self.steps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


class Rule(NamedTuple):
    """The formula of a step, for some choice of options, and the elementwise operations that it comes to."""

    name: str
    expressions: tuple[Expression, ...]
    tensors: int
    numbers: int

    def operations(self) -> list[Elementwise]:
        """Give the operation of each result."""
        return _operations(self)


@once
def _operations(rule: Rule) -> list[Elementwise]:
    kinds = [NUMBER] * (rule.tensors + rule.numbers)
    return [Elementwise(f"{rule.name}_{k}", e, kinds, FLOATING) for k, e in enumerate(rule.expressions)]


@once
def rule_of(kind: Any, flags: tuple[Any, ...]) -> Rule:
    """Write an optimiser's formula for a choice of options."""
    states = kind.states(flags)
    tensors = 2 + len(states)
    count = kind.count_of_numbers
    inputs = [formula.variable(k) for k in range(tensors + count)]
    results = kind.formula(flags, *inputs)
    return Rule(kind.__name__.lower(), tuple(map(formula.constant, results)), tensors, count)


class Optimizer:
    """The base of optimisers, as PyTorch has it.

    A step is a formula (`formula`) of a parameter, its gradient, what is kept for it (`states`) and some numbers
    (`numbers`), which becomes one kernel over all parameters of a group; compiled functions have the formula in their
    loops. Raises ValueError for no parameters and for options out of range, TypeError for what is no parameter.
    """

    #: How many numbers the formula takes.
    count_of_numbers: ClassVar[int] = 0
    #: What is kept that is one number for all elements of a parameter.
    uniform: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if isinstance(params, Variable):
            raise TypeError(f"{name}: params is an iterable of Variables or of dicts, not one Variable")
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Variable, dict[str, Any]] = {}
        self._plans: dict[Any, Any] = {}
        given = list(params)
        if not given:
            raise ValueError(f"{name}: optimizer got an empty parameter list")
        if not isinstance(given[0], dict):
            given = [{"params": given}]
        for group in given:
            self.add_param_group(group)

    # ---- what an optimiser says -------------------------------------------------------------------------------------

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        """Name what is kept for each parameter, of its shape."""
        return []

    @classmethod
    def formula(cls, flags: tuple[Any, ...], *inputs: Any) -> Any:
        """Give the new parameter and the new states, from (parameter, gradient, states, numbers)."""
        raise NotImplementedError

    def flags(self, group: Group) -> tuple[Any, ...]:
        """Give the options that change the formula."""
        return ()

    def numbers(self, get: Any, t: Any) -> list[Any]:
        """Give the formula's numbers, from options (by `get`) and the number of the step, counted from 1."""
        return []

    def begin(self, group: Group, name: str) -> float:
        """Give what a state begins with."""
        return 0.0

    # ---- groups -----------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own."""
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"{name}: a group is a dict with 'params', got {param_group!r}")
        params = param_group["params"]
        params = [params] if isinstance(params, Variable) else list(params)
        params = [x[1] if isinstance(x, tuple) and len(x) == 2 else x for x in params]  # named parameters
        for x in params:
            if not isinstance(x, Variable):
                raise TypeError(f"{name}: optimizer can only optimize Variables, but one of the params is {type(x)}")
            if x.creator is not None:
                raise ValueError(f"{name}: can't optimize a non-leaf Variable, of shape {x.shape}")
            if x.dtype.char not in "fd":
                raise TypeError(f"{name}: a parameter of dtype {x.dtype} has no gradient")
        known = {id(x) for group in self.param_groups for x in group["params"]}
        if len({id(x) for x in params}) < len(params) or any(id(x) in known for x in params):
            raise ValueError(f"{name}: some parameters appear in more than one place of the groups")
        options = {k: param_group.get(k, default) for k, default in self.defaults.items()}
        for option, value in options.items():
            if value is required:
                raise ValueError(f"{name}: parameter group didn't specify a value of required option {option}")
        rest = {k: value for k, value in param_group.items() if k != "params"}
        group = Group({"params": params, **options, **rest})
        self.check(group)
        self.param_groups.append(group)
        changed[0] = next(changes)

    def check(self, group: Group) -> None:
        """Raise ValueError for options out of range."""
        for option in ("lr", "eps", "weight_decay", "momentum", "lr_decay", "rho", "alpha"):
            if option in group and not float(group[option]) >= 0:
                raise ValueError(f"Invalid {option} value of {type(self).__name__}: {group[option]}")
        for place, beta in enumerate(group.get("betas", ())):
            if not 0 <= float(beta) < 1:
                raise ValueError(f"Invalid beta parameter at index {place} of {type(self).__name__}: {beta}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or make them zero."""
        for group in self.param_groups:
            for x in group["params"]:
                forget(x, set_to_none)

    # ---- the step ---------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step down the gradients of the parameters that have one; gives the loss of a closure, if any."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for number, group in enumerate(self.param_groups):
            self._update(number, group)
        return loss

    def _kept(self, x: Variable, group: Group, names: list[str]) -> list[Variable]:
        """Give what is kept for a parameter, which begins here if there is none."""
        state = self.state.get(x)
        if state is None:
            state = self.state[x] = {}
        for name in names:
            if name not in state:
                target = placement.named(x.device)
                start = self.begin(group, name)
                state[name] = Variable(target.full(x.shape, start, x.dtype), requires_grad=False)
        return [state[name] for name in names]

    def _update(self, number: int, group: Any) -> None:
        group.settle()
        params = group["params"]
        active = tuple([k for k, x in enumerate(params) if x.grad is not None])
        if not active:
            return
        flags = self.flags(group)
        kind: Any = type(self)
        rule = rule_of(kind, flags)
        names = type(self).states(flags)
        chosen = [params[k] for k in active]
        kept = [self._kept(x, group, names) for x in chosen]
        grads = [x.grad for x in chosen]
        if any([not isinstance(g, Variable) for g in grads]):
            raise TypeError(f"{kind.__name__}.step: grad was set to what is no Variable: nbgrad.tensor makes one")
        arrays = [
            [x._array for x in chosen],
            [g._array for g in grads],
            *([s[k]._array for s in kept] for k in range(len(names))),
        ]
        if any([is_stand_in(x) or is_stand_in(g) for x, g in zip(*arrays[:2], strict=True)]):
            self._check_shapes(names, arrays)
            self._traced(group, rule, active, chosen, grads, kept)
            return
        plans = self._planned(number, rule, arrays, names)
        steps = group.steps.data
        steps[list(active)] += 1
        t = steps[list(active)]
        values = self.numbers(lambda name: float(group.numbers[name]), t)
        history.overwritten(chosen, kind.__name__)
        if plans is None:
            self._each(rule, values, chosen, grads, kept)
            return
        table = updates.numbers_of(len(chosen), values)
        for begin, end, run in plans:
            run(table[begin:end], *itertools.chain.from_iterable([part[begin:end] for part in arrays]))

    def _check_shapes(self, names: list[str], arrays: list[list[Any]]) -> None:
        """Raise ValueError where what belongs to a parameter has another shape than it."""
        for name, part in zip(["grad", *names], arrays[1:], strict=True):
            for x, y in zip(arrays[0], part, strict=True):
                if x.shape != y.shape:
                    raise ValueError(
                        f"{type(self).__name__}.step: {name} has shape {y.shape}, its parameter {x.shape}: whoever "
                        "puts an array of another shape into a parameter clears its gradient and makes a new optimizer"
                    )

    def _planned(self, number: int, rule: Rule, arrays: list[list[Any]], names: list[str]) -> Any:
        """Give the launches for arrays, None where they are not such as one kernel takes."""
        plans, fits = self._plans.get((number, rule), (None, None))
        if fits is not None and all([f(*part) for f, part in zip(fits, arrays, strict=True)]):
            return plans
        self._check_shapes(names, arrays)
        chars = {x.dtype.char if isinstance(x, np.ndarray) else "" for part in arrays for x in part}
        if len(chars) > 1 or not chars <= {"f", "d"}:
            return None
        if not all(x.flags.c_contiguous and x.flags.writeable for part in arrays for x in part):
            return None
        dtype = "float32" if chars == {"f"} else "float64"
        plans, most = [], updates.most(rule.tensors)
        for begin in range(0, len(arrays[0]), most):
            counts = [x.size for x in arrays[0][begin : begin + most]]
            run = updates.update(rule.name, rule.expressions, dtype, rule.tensors, rule.numbers, counts)
            plans.append((begin, begin + len(counts), run))
        tests = [signature(part) for part in arrays]
        self._plans[number, rule] = plans, None if None in tests else tests
        return plans

    def _each(self, rule: Rule, values: list[Any], chosen: Any, grads: Any, kept: Any) -> None:
        """Take the step parameter by parameter, wherever they are."""
        for row, (x, g, states) in enumerate(zip(chosen, grads, kept, strict=True)):
            numbers = [np.asarray(np.broadcast_to(v, len(chosen))[row], x.dtype) for v in values]
            target = placement.named(x.device)
            operands = [x._array, g._array, *(s._array for s in states), *map(target.bring, numbers)]
            results = [operation.call(*operands) for operation in rule.operations()]
            for old, new in zip([x, *states], results, strict=True):
                old._array[...] = new

    def _traced(self, group: Any, rule: Rule, active: Any, chosen: Any, grads: Any, kept: Any) -> None:
        """Have the step become part of a traced function."""
        like: Any = chosen[0]._array
        taking = np.zeros(len(group["params"]))
        taking[list(active)] = 1
        steps: Any = group.steps._array + taking
        if not is_stand_in(steps):
            raise TypeError(
                f"jit: {type(self).__name__}.step() in a traced function that does not mention the optimiser: "
                "have it in the function's closure, its globals or its arguments"
            )
        group.steps._array = steps
        get = {name: like.outside(value) for name, value in group.numbers.items()}.__getitem__
        for k, x, g, states in zip(active, chosen, grads, kept, strict=True):
            counted: Any = group.steps._array
            values: Any = self.numbers(get, counted[k])
            numbers = [v.astype(x.dtype) for v in values]
            operands = [x._array, g._array, *(s._array for s in states), *numbers]
            results = [operation.call(*operands) for operation in rule.operations()]
            for old, new in zip([x, *states], results, strict=True):
                old._array = new

    # ---- for compiled functions -------------------------------------------------------------------------------------

    def lifted(self) -> list[Variable]:
        """Give all that a step changes: parameters, and what is kept for them, which begins here."""
        found: list[Variable] = []
        for group in self.param_groups:
            group.settle()
            names = type(self).states(self.flags(group))
            found.append(group.steps)
            for x in group["params"]:
                found += [x, *self._kept(x, group, names)]
        return found

    def extent(self) -> tuple[int, ...]:
        """Give what tells quickly that somebody took something from the lists and dicts, or put something in."""
        groups = self.param_groups
        return id(self.state), len(self.state), *[len(group["params"]) for group in groups]

    def layout(self) -> Any:
        """Give what a traced step depends on besides arrays."""
        return id(self), tuple((self.flags(g), tuple(map(id, g["params"]))) for g in self.param_groups)

    # ---- the state --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Give the state by PyTorch's names: for each parameter's number, and the groups' options."""
        numbers: dict[int, int] = {}
        groups, state = [], {}
        for group in self.param_groups:
            group.settle()
            for k, x in enumerate(group["params"]):
                number = numbers[id(x)] = len(numbers)
                if x in self.state:
                    count = float(group.steps.data[k])
                    state[number] = {"step": Variable(np.array(count, np.float32), requires_grad=False)}
                    state[number] |= {name: self._shown(name, value) for name, value in self.state[x].items()}
            packed = {name: value for name, value in group.items() if name != "params"}
            groups.append({**packed, "params": [numbers[id(x)] for x in group["params"]]})
        return {"state": state, "param_groups": groups}

    def _shown(self, name: str, value: Variable) -> Variable:
        """Give what is kept for a parameter as PyTorch has it: one number where it is the same for all elements."""
        return value.detach().reshape(-1)[0] if name in self.uniform and value.size else value.detach()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, by copies; raises ValueError for one of other groups or shapes, or for no state at all."""
        name = type(self).__name__
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
            has = sorted(map(str, state_dict)) if isinstance(state_dict, dict) else type(state_dict).__name__
            raise ValueError(f"{name}: a state is a dict with 'state' and 'param_groups', got {has}")
        given = state_dict["param_groups"]
        sizes = [len(g["params"]) for g in given], [len(g["params"]) for g in self.param_groups]
        if sizes[0] != sizes[1]:
            raise ValueError(f"{name}: the state has groups of {sizes[0]} parameters, the optimiser of {sizes[1]}")
        planned: list[Any] = []
        for mine, theirs in zip(self.param_groups, given, strict=True):
            mine.settle()
            for k, (x, number) in enumerate(zip(mine["params"], theirs["params"], strict=True)):
                for key, value in state_dict["state"].get(number, {}).items():
                    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
                    if key == "step":
                        planned.append((mine, k, x, key, float(array)))
                    elif key in self.uniform and array.ndim == 0:
                        planned.append((mine, k, x, key, np.full(x.shape, array)))
                    elif array.shape != x.shape:
                        raise ValueError(f"{name}: {key} has shape {array.shape}, its parameter {x.shape}")
                    else:
                        planned.append((mine, k, x, key, array))
        for mine, theirs in zip(self.param_groups, given, strict=True):
            mine.update({key: value for key, value in theirs.items() if key != "params"})
            mine.steps.data[...] = 0
        self.state.clear()
        for mine, k, x, key, value in planned:
            state = self.state.setdefault(x, {})
            if key == "step":
                mine.steps.data[k] = value
            else:
                target = placement.named(x.device)
                state[key] = Variable(target.bring(np.array(value, x.dtype)), requires_grad=False)
                if not mine.steps.data[k]:
                    mine.steps.data[k] = 1
        self._plans.clear()
        changed[0] = next(changes)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_plans": {}}  # launches know arrays by their addresses

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        changed[0] = next(changes)

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for number, group in enumerate(self.param_groups):
            text += f"\nParameter Group {number}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"
