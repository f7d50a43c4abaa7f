"""Parameters that are functions of others, as PyTorch has them: computed whenever a module asks for them."""

from __future__ import annotations

import functools
from typing import Any

from ..modules import Module
from ..parameter import Parameter


class ParametrizationList(Module):
    """What a parameter is computed from, `original` or `original0` and on, and by which modules, one after another."""

    def __init__(self, parametrization: Module, weight: Any) -> None:
        super().__init__()
        first = parametrization.right_inverse(weight) if hasattr(parametrization, "right_inverse") else weight
        self.several = isinstance(first, tuple | list)
        names = [f"original{k}" for k in range(len(first))] if self.several else ["original"]
        for name, value in zip(names, first if self.several else [first], strict=True):
            given = value is weight and isinstance(weight, Parameter)
            setattr(self, name, weight if given else Parameter(value.detach(), weight.requires_grad))
        self.originals, self.count = tuple(names), 1
        self.add_module("0", parametrization)

    def append(self, parametrization: Module) -> None:
        """Have one more module compute on what the others gave."""
        if hasattr(parametrization, "right_inverse"):
            if self.several:
                raise ValueError("register_parametrization: only the first may be of several originals")
            self.original.data = parametrization.right_inverse(self.original).data
        self.add_module(str(self.count), parametrization)
        self.count += 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self._modules[str(range(self.count)[index])]

    def forward(self) -> Any:
        """Compute the parameter."""
        value = self._modules["0"](*[getattr(self, name) for name in self.originals])
        for k in range(1, self.count):
            value = self._modules[str(k)](value)
        return value


class _Parametrizations(Module):
    """The `ParametrizationList` of each parameter, by its name."""

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __contains__(self, name: str) -> bool:
        return name in self._modules


def register_parametrization(module: Any, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Any:
    """Have a parameter computed by a module, ``parametrization(original)``, whenever it is asked for; gives `module`.

    A `right_inverse` says what to begin with from the parameter as it is, one array or several. Raises ValueError for
    what is no parameter, and for a value of another shape unless `unsafe`.
    """
    if is_parametrized(module, tensor_name):
        module.parametrizations[tensor_name].append(parametrization)
        return module
    weight = module._parameters.get(tensor_name)
    if weight is None:
        raise ValueError(f"register_parametrization: {type(module).__name__} has no parameter {tensor_name!r}")
    made = ParametrizationList(parametrization, weight)
    if not unsafe and (shape := made().shape) != weight.shape:
        raise ValueError(f"register_parametrization: {tensor_name} has shape {weight.shape}, and would get {shape}")
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.add_module("parametrizations", _Parametrizations())
    module.parametrizations.add_module(tensor_name, made)
    _set_class(module)
    return module


def _set_class(module: Any) -> None:
    """Have attributes of a module computed where they are to be."""
    kind: Any = getattr(type(module), "_plain", type(module))
    names = tuple(module.parametrizations._modules)
    module.__class__ = _class_of(kind, names) if names else kind


@functools.cache
def _class_of(kind: Any, names: tuple[str, ...]) -> Any:
    def computed(name: str) -> property:
        return property(lambda self: self.parametrizations[name]())

    return type(f"Parametrized{kind.__name__}", (kind,), {"_plain": kind} | {name: computed(name) for name in names})


def is_parametrized(module: Any, tensor_name: str | None = None) -> bool:
    """Tell whether a parameter of a module is computed, or any."""
    held = module._modules.get("parametrizations")
    return isinstance(held, _Parametrizations) and (tensor_name is None or tensor_name in held)


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Any:
    """Make a parameter of what was computed, or of its original; gives `module`. Raises ValueError where none is."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"remove_parametrizations: {tensor_name!r} of {type(module).__name__} is not computed")
    held = module.parametrizations[tensor_name]
    if not leave_parametrized and held.several:
        raise ValueError(f"remove_parametrizations: {tensor_name} is computed from several, none of which it was")
    kept = held().detach().clone() if leave_parametrized else held.original
    delattr(module.parametrizations, tensor_name)
    _set_class(module)
    if not module.parametrizations._modules:
        delattr(module, "parametrizations")
    setattr(module, tensor_name, Parameter(kept, getattr(held, held.originals[0]).requires_grad))
    return module
