"""Module: what has parameters, buffers and other modules, by name."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ...arrays import is_array
from ...variable import Variable
from ..parameter import Buffer, Parameter, is_lazy, is_passing
from .hooks import Removable, backward_hooks, backward_pre_hook, changed, changes, forget, hooked

Self = TypeVar("Self", bound="Module")

#: What attributes may be that compiled functions take for settings, besides tuples of these and functions.
_PLAIN = frozenset({bool, int, float, complex, str, type(None)})


def is_setting(value: Any) -> bool:
    """Tell whether a value is one that nobody changes but by assigning another: a number, a name, a function."""
    if type(value) is tuple:
        return all(map(is_setting, value))
    return type(value) in _PLAIN or (callable(value) and not isinstance(value, Module))


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found missing, and what it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """The base of all modules, as PyTorch has it: assign parameters and modules to attributes, and write `forward`.

    >>> import nbgrad
    >>> from nbgrad import nn
    >>> class Line(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.slope = nn.Parameter(nbgrad.ones(1))
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> Line()(nbgrad.tensor([2.0]))
    Variable([2.])
    >>> [name for name, _ in Line().named_parameters()]
    ['slope']
    """

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]

    def __init__(self) -> None:
        put = object.__setattr__
        put(self, "training", True)
        put(self, "_parameters", {})
        put(self, "_buffers", {})
        put(self, "_passing", set())
        put(self, "_modules", {})
        put(self, "_pre_hooks", {})
        put(self, "_hooks", {})

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute what the module gives; subclasses write it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run the hooks and `forward`."""
        if not self._pre_hooks and not self._hooks:
            return self.forward(*inputs, **options)
        for hook, named in list(self._pre_hooks.values()):
            given = hook(self, inputs, options) if named else hook(self, inputs)
            if given is not None:
                if named:
                    inputs, options = given
                else:
                    inputs = given if isinstance(given, tuple) else (given,)
        result = self.forward(*inputs, **options)
        for hook, named in list(self._hooks.values()):
            given = hook(self, inputs, options, result) if named else hook(self, inputs, result)
            result = result if given is None else given
        return result

    # ---- attributes -------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        parameters = own.get("_parameters")
        if parameters is None:
            if isinstance(value, Module | Variable):
                raise AttributeError(f"{type(self).__name__}: call super().__init__() before {name!r} is assigned")
            object.__setattr__(self, name, value)
            return
        if isinstance(value, Parameter):
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name)
            self.register_module(name, value)
        elif name in parameters:
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a parameter: assign an nbgrad.nn.Parameter or None, not "
                    f"{type(value).__name__}"
                )
            self.register_parameter(name, None)
        elif name in self._modules:
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a module: assign a module or None, not {type(value).__name__}"
                )
            self.register_module(name, None)
        elif name in self._buffers or isinstance(value, Buffer):
            if value is not None and not isinstance(value, Variable):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a buffer: assign a Variable or None, not {type(value).__name__}"
                )
            if isinstance(value, Buffer):
                self._forget(name)
                self.register_buffer(name, value, not is_passing(value))
            else:
                self._buffers[name] = value
                changed[0] = next(changes)
        else:
            if name == "forward" or (is_setting(value) and own.get(name, own) is not value):
                changed[0] = next(changes)
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            held = own.get(kind)
            if held is not None and name in held:
                return held[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def _forget(self, name: str) -> bool:
        found = False
        for held in (self._parameters, self._buffers, self._modules):
            if name in held:
                del held[name]
                found = True
        self._passing.discard(name)
        found = self.__dict__.pop(name, found) is not False or found
        changed[0] = next(changes)
        return found

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def _check_name(self, what: str, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{what}: a name is a string without dots, got {name!r}")
        taken = hasattr(self, name) and not any(
            name in held for held in (self._parameters, self._buffers, self._modules)
        )
        if taken:
            raise KeyError(f"{what}: {type(self).__name__} has an attribute {name!r} already")

    def register_parameter(self, name: str, param: Any) -> None:
        """Add a parameter, or None for one that there is not."""
        self._check_name("register_parameter", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name!r} is a {type(param).__name__} and no nbgrad.nn.Parameter")
        if isinstance(param, Variable) and param.creator is not None:
            raise ValueError(f"register_parameter: {name!r} was computed: a parameter is a leaf")
        self._parameters[name] = param
        changed[0] = next(changes)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a Variable that belongs to the state but is no parameter; `persistent`: `state_dict` has it."""
        self._check_name("register_buffer", name)
        if tensor is not None and not isinstance(tensor, Variable):
            raise TypeError(f"register_buffer: {name!r} is a {type(tensor).__name__} and no Variable")
        self._buffers[name] = tensor
        (self._passing.discard if persistent else self._passing.add)(name)
        changed[0] = next(changes)

    def register_module(self, name: str, module: Any) -> None:
        """Add a module, or None for one that there is not."""
        self._check_name("add_module", name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name!r} is a {type(module).__name__} and no Module")
        self._modules[name] = module
        changed[0] = next(changes)

    add_module = register_module

    # ---- what there is ----------------------------------------------------------------------------------------------

    def named_modules(self, memo: Any = None, prefix: str = "", remove_duplicate: bool = True) -> Iterator[Any]:
        """Give this module and all in it, with their names, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Give this module and all in it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Give the modules that this one has by name, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Give the modules that this one has by name, each once."""
        return (module for _, module in self.named_children())

    def _named(self, held: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen = set()
        for path, module in (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        ):
            for name, value in getattr(module, held).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Give the parameters of this module and all in it, with their names, each once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Give the parameters of this module and all in it, each once."""
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Give the buffers of this module and all in it, with their names, each once."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """Give the buffers of this module and all in it, each once."""
        return (value for _, value in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Give the module of a path of names; raises AttributeError where there is none."""
        module: Any = self
        for name in target.split(".") if target else []:
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"{name!r} of {target!r} is no Module")
        found: Module = module
        return found

    def get_parameter(self, target: str) -> Any:
        """Give the parameter of a path of names; raises AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no parameter {target!r}")
        return found

    def get_buffer(self, target: str) -> Any:
        """Give the buffer of a path of names; raises AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no buffer {target!r}")
        return found

    # ---- modes, dtypes and devices ----------------------------------------------------------------------------------

    def train(self: Self, mode: bool = True) -> Self:
        """Have this module and all in it behave as in training: dropout drops, batch norm takes the batch's figures."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: the mode is True or False, not {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Have this module and all in it behave as in use."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Have gradients recorded for all parameters, or for none."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        changed[0] = next(changes)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or make them zero."""
        for parameter in self.parameters():
            forget(parameter, set_to_none)

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call a function of all modules in this one, and of this one last."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: Self, fn: Callable[[Any], Any]) -> Self:
        """Change the array of every parameter and buffer, and of gradients."""
        for value in [*self.parameters(), *self.buffers()]:
            grad, value.grad = value.grad, None
            value.data = fn(Variable(value.data, requires_grad=False)).data
            if grad is not None:
                value.grad = fn(grad)
        changed[0] = next(changes)
        return self

    def to(self: Self, *arguments: Any, **options: Any) -> Self:
        """Move parameters and buffers to a device, and floating ones to a dtype."""
        options.pop("non_blocking", None)
        given = [*arguments, *options.values()]
        kinds = [x for x in given if not isinstance(x, str | bool) and x is not None and not hasattr(x, "index")]

        def moved(x: Variable) -> Variable:
            for what in given:
                if isinstance(what, bool) or what is None:
                    continue
                if what in kinds and x.dtype.kind != "f":
                    continue
                x = x.to(what)
            return x

        return self._apply(moved)

    def type(self: Self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda x: x.astype(dst_type))

    def float(self: Self) -> Self:
        """Convert floating parameters and buffers to float32."""
        return self._apply(lambda x: x.astype(np.float32) if x.dtype.kind == "f" else x)

    def double(self: Self) -> Self:
        """Convert floating parameters and buffers to float64."""
        return self._apply(lambda x: x.astype(np.float64) if x.dtype.kind == "f" else x)

    def cuda(self: Self, device: Any = None) -> Self:
        """Move parameters and buffers to a GPU."""
        return self._apply(lambda x: x.to("cuda" if device is None else device))

    def cpu(self: Self) -> Self:
        """Move parameters and buffers to the CPU."""
        return self._apply(lambda x: x.cpu())

    # ---- the state --------------------------------------------------------------------------------------------------

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Give parameters and persistent buffers by PyTorch's names, sharing memory with the module's own."""
        found = OrderedDict() if destination is None else destination
        for name, value in [*self._parameters.items(), *self._buffers.items()]:
            if value is not None and name not in self._passing:
                found[prefix + name] = value if keep_vars else value.detach()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return found

    def _state(self, prefix: str = "") -> dict[str, Any]:
        """Give what `state_dict` lists, as the module has it, in all places where it does."""
        return dict(self.state_dict(prefix=prefix, keep_vars=True))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy a state into parameters and buffers: Variables, arrays, or tensors of PyTorch.

        Raises RuntimeError that names every key that is missing, unexpected (both only if `strict`) or of another
        shape, in which case nothing was changed. `assign` puts the arrays themselves in place. Gives the missing and
        the unexpected keys.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: a state is a mapping of names to arrays, not {type(state_dict).__name__}"
            )
        mine = self._state()
        missing = [key for key in mine if key not in state_dict]
        unexpected = [key for key in state_dict if key not in mine]
        arrays, faults = {}, []
        for key, value in mine.items():
            if key in state_dict:
                array = _as_array(state_dict[key])
                if array is None:
                    faults.append(f"{key} is a {type(state_dict[key]).__name__} and no array")
                elif tuple(array.shape) != value.shape and not is_lazy(value):
                    faults.append(
                        f"size mismatch for {key}: it has shape {tuple(array.shape)}, the module {value.shape}"
                    )
                else:
                    arrays[key] = array
        if strict:
            quoted = ", ".join(f'"{key}"' for key in unexpected)
            faults = ([f"Unexpected key(s) in state_dict: {quoted}."] if unexpected else []) + faults
            quoted = ", ".join(f'"{key}"' for key in missing)
            faults = ([f"Missing key(s) in state_dict: {quoted}."] if missing else []) + faults
        if faults:
            lines = "".join(f"\n\t{fault}" for fault in faults)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:{lines}")
        for key, array in arrays.items():
            value = mine[key]
            # `detach`: what is written here is written unseen by graphs, as to x.data
            new = Variable(array, requires_grad=False)
            value.data = array if assign else new.to(value.device).astype(value.dtype).data.copy()
        return IncompatibleKeys(missing, unexpected)

    # ---- hooks ------------------------------------------------------------------------------------------------------

    def register_forward_pre_hook(self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False) -> Removable:
        """Call ``hook(module, inputs)`` before `forward`, which may give other inputs."""
        return hooked(self._pre_hooks, hook, prepend, with_kwargs)

    def register_forward_hook(self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False) -> Removable:
        """Call ``hook(module, inputs, output)`` after `forward`, which may give another output."""
        return hooked(self._hooks, hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> Removable:
        """Call ``hook(module, grad_input, grad_output)`` in backward, which may give other gradients of the inputs.

        Both are tuples, of the arguments and of the results, with None for those that require no gradient.
        """
        before, after = backward_hooks(self, hook)
        return hooked(self._hooks, after, prepend, True, hooked(self._pre_hooks, before, prepend, True))

    def register_full_backward_pre_hook(self, hook: Any, prepend: bool = False) -> Removable:
        """Call ``hook(module, grad_output)`` in backward before the module's own, which may give other gradients."""
        return hooked(self._hooks, backward_pre_hook(hook), prepend, True)

    # ---- copies and looks -------------------------------------------------------------------------------------------

    def __deepcopy__(self: Self, memo: Any) -> Self:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        for name, value in self.__dict__.items():
            made.__dict__[name] = copy.deepcopy(value, memo)
        made._mark()
        return made

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pre_hooks": {}, "_hooks": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._mark()

    def _mark(self) -> None:
        for x in self._parameters.values():
            if x is not None:
                Parameter.marked.add(x)
        changed[0] = next(changes)

    def extra_repr(self) -> str:
        """Give what `repr` shows of the module itself."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        own = self.extra_repr()
        lines = [*own.split("\n")] if own and "\n" in own else []
        parts = []
        for name, module in self._modules.items():
            parts.append(f"({name}): " + repr(module).replace("\n", "\n  "))
        if not parts and not lines:
            return f"{self._get_name()}({own})"
        lines = lines or ([own] if own else [])
        return f"{self._get_name()}(\n  " + "\n  ".join([*lines, *parts]) + "\n)"


def _as_array(value: Any) -> Any:
    if isinstance(value, Variable):
        return value.data
    if is_array(value):
        return value
    if hasattr(value, "detach"):  # a tensor of PyTorch
        return value.detach().cpu().numpy()
    return np.asarray(value) if isinstance(value, np.generic | int | float) else None
