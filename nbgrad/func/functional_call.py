"""Modules as functions of their parameters, and the parameters of many models in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..ops.joining import stack
from ..variable import as_variable


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other Variables or arrays in the place of its parameters and buffers, by their names.

    What has no name among them stays the module's own; `strict` takes that for an error. What the module has in
    several places is replaced in all of them, unless ``tie_weights=False``. Raises KeyError for names that the module
    has not, ValueError for a name twice.

    >>> import nbgrad
    >>> line = nbgrad.nn.Linear(1, 1, bias=False)
    >>> nbgrad.func.functional_call(line, {"weight": nbgrad.tensor([[2.0]])}, nbgrad.tensor([3.0]))
    Variable([6.])
    """
    parts = (
        [parameter_and_buffer_dicts]
        if isinstance(parameter_and_buffer_dicts, Mapping)
        else (list(parameter_and_buffer_dicts))
    )
    given: dict[str, Any] = {}
    for part in parts:
        if twice := sorted(given.keys() & part.keys()):
            raise ValueError(f"functional_call: {twice} are given twice")
        given |= {name: as_variable(value) for name, value in part.items()}
    places = _places(module)
    if unknown := [name for name in given if name not in places]:
        raise KeyError(f"functional_call: {type(module).__name__} has no {unknown}: it has {list(places)}")
    if strict and (missing := [name for name in places if name not in given]):
        raise RuntimeError(f"functional_call: {missing} are missing")
    tied = {id(places[name][0][places[name][1]]): value for name, value in given.items()} if tie_weights else {}
    before = [(held, name, held[name]) for held, name in places.values()]
    try:
        for path, (held, name) in places.items():
            held[name] = given[path] if path in given else tied.get(id(held[name]), held[name])
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for held, name, value in before:
            held[name] = value


def _places(module: Any) -> dict[str, tuple[dict[str, Any], str]]:
    """Give where a module and all in it hold parameters and buffers, by their names."""
    return {
        f"{path}.{name}" if path else name: (held, name)
        for path, part in module.named_modules(remove_duplicate=False)
        for held in (part._parameters, part._buffers)
        for name, value in held.items()
        if value is not None
    }


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the parameters and the buffers of models of one kind, each stacked along a new first axis.

    ``vmap`` of a function that calls `functional_call` runs all models at once. Raises ValueError for no models, and
    for models of several kinds or modes.
    """
    models = list(models)
    if not models:
        raise ValueError("stack_module_state: there are no models")
    if any(type(model) is not type(models[0]) for model in models):
        raise ValueError(f"stack_module_state: models of several kinds, {sorted({type(x).__name__ for x in models})}")
    if len({model.training for model in models}) > 1:
        raise ValueError("stack_module_state: some models are in training mode, others are not: use train() or eval()")
    found = []
    for kind in ("named_parameters", "named_buffers"):
        states = [dict(getattr(model, kind)()) for model in models]
        stacked = {name: stack([state[name] for state in states]).detach() for name in states[0]}
        for name, value in stacked.items():
            value.requires_grad = states[0][name].requires_grad
        found.append(stacked)
    return found[0], found[1]
