"""Modules that learn the number of channels of their inputs, and so the shapes of their parameters, from the first."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from ...arrays import is_stand_in
from ...variable import data_of
from ..parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from . import convolution, linear, normalisation
from .hooks import changed, changes
from .module import Module


class _Lazy(Module):
    """What becomes a module of the usual kind with its first call."""

    #: What it becomes, the argument of this that is left out, and the dimensions of one sample's input.
    becomes: ClassVar[Any]
    unknown: ClassVar[str]
    dims: ClassVar[int]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        Module.__init__(self)  # not the usual kind's, which wants to know all
        name = type(self).__name__
        try:
            bound = inspect.signature(type(self)).bind(*arguments, **options)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        bound.apply_defaults()
        self._arguments = given = dict(bound.arguments)
        like = self.becomes(**{self.unknown: given.get("groups", 1)}, **given)
        for key, value in like.__dict__.items():
            if key in ("_parameters", "_buffers"):
                kind = UninitializedParameter if key == "_parameters" else UninitializedBuffer
                value = {
                    k: x if x is None or not x.ndim else kind(device=x.device, dtype=x.dtype) for k, x in value.items()
                }
            object.__setattr__(self, key, value)
        setattr(self, self.unknown, 0)

    def has_uninitialized_params(self) -> bool:
        """Tell whether a parameter or a buffer waits for the first call."""
        return any(is_lazy(x) for x in [*self._parameters.values(), *self._buffers.values()] if x is not None)

    def initialize_parameters(self, input: Any) -> None:
        """Give parameters and buffers their shapes by an input, and what they begin with."""
        name = type(self).__name__
        if not self.dims:
            channels = input.shape[-1]
        else:
            channels = input.shape[-1 - self.dims] if input.ndim > self.dims else 0
        if self.dims == 1 and input.ndim == 2 and "Norm" in name:
            channels = input.shape[1 if name.startswith("LazyBatch") else 0]
        if not channels:
            raise ValueError(f"{name}: an input of shape {tuple(input.shape)} has no channels to learn a number from")
        setattr(self, self.unknown, channels)
        held = [x for x in (*self._parameters.items(), *self._buffers.items()) if x[1] is not None and is_lazy(x[1])]
        if not held:
            return
        if is_stand_in(data_of(input)):
            raise TypeError(
                f"{name}: its first call is in a traced or vectorised function, which has no shapes to keep: call the "
                "model once before"
            )
        like = held[0][1]
        options = self._arguments | {"device": like.device, "dtype": like.dtype}
        made = self.becomes(**{self.unknown: channels}, **options)
        for key, x in held:
            x.data = getattr(made, key).data
        changed[0] = next(changes)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Become the usual kind, and run that."""
        self.initialize_parameters(inputs[0] if inputs else options["input"])
        self.__dict__.pop("_arguments")
        self.__class__ = self.becomes
        return self(*inputs, **options)


def _lazy(kind: Any, unknown: str, dims: int, **defaults: Any) -> Any:
    """Declare the lazy class of a kind; `defaults` are those that PyTorch has otherwise than that."""
    accepted = inspect.signature(kind)
    kept = [
        option.replace(default=defaults.get(name, option.default))
        for name, option in accepted.parameters.items()
        if name != unknown
    ]
    name = f"Lazy{kind.__name__}"
    body = {
        "__doc__": f"A `{kind.__name__}` that has its `{unknown}` from its first input.",
        "__module__": __name__,
        "__signature__": accepted.replace(parameters=kept),
        "becomes": kind,
        "unknown": unknown,
        "dims": dims,
    }
    return type(name, (_Lazy, kind), body)


LazyLinear = _lazy(linear.Linear, "in_features", 0)
LazyConv1d = _lazy(convolution.Conv1d, "in_channels", 1)
LazyConv2d = _lazy(convolution.Conv2d, "in_channels", 2)
LazyConv3d = _lazy(convolution.Conv3d, "in_channels", 3)
LazyConvTranspose1d = _lazy(convolution.ConvTranspose1d, "in_channels", 1)
LazyConvTranspose2d = _lazy(convolution.ConvTranspose2d, "in_channels", 2)
LazyConvTranspose3d = _lazy(convolution.ConvTranspose3d, "in_channels", 3)
LazyBatchNorm1d = _lazy(normalisation.BatchNorm1d, "num_features", 1)
LazyBatchNorm2d = _lazy(normalisation.BatchNorm2d, "num_features", 2)
LazyBatchNorm3d = _lazy(normalisation.BatchNorm3d, "num_features", 3)
LazyInstanceNorm1d = _lazy(normalisation.InstanceNorm1d, "num_features", 1, affine=True, track_running_stats=True)
LazyInstanceNorm2d = _lazy(normalisation.InstanceNorm2d, "num_features", 2, affine=True, track_running_stats=True)
LazyInstanceNorm3d = _lazy(normalisation.InstanceNorm3d, "num_features", 3, affine=True, track_running_stats=True)
