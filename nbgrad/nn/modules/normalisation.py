"""What brings numbers to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...grad_mode import no_grad
from ...ops.creation import ones, tensor, zeros
from ...variable import data_of
from .. import functional
from ..parameter import Parameter
from .module import Module


def _filled(module: Module, name: str, make: Any, shape: Any, wanted: bool, options: dict[str, Any]) -> None:
    module.register_parameter(name, Parameter(make(*shape, **options)) if wanted else None)


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last dimensions, then a learned factor and term for each element of them."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        options = {"device": device, "dtype": dtype}
        _filled(self, "weight", ones, shape, elementwise_affine, options)
        _filled(self, "bias", zeros, shape, elementwise_affine and bias, options)

    def reset_parameters(self) -> None:
        """Start the parameters over."""
        if self.weight is not None:
            self.weight.data[...] = 1
        if self.bias is not None:
            self.bias.data[...] = 0

    def forward(self, input: Any) -> Any:
        """Normalise."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Show the options."""
        shown = f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        return f"{shown}, bias={self.bias is not None}"


class RMSNorm(Module):
    """Mean square 1 over the last dimensions, then a learned factor for each element of them."""

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        _filled(self, "weight", ones, shape, elementwise_affine, {"device": device, "dtype": dtype})

    def forward(self, input: Any) -> Any:
        """Normalise."""
        return functional.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Mean 0 and variance 1 over groups of channels of each sample, then a factor and a term for each channel."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels are no multiple of {num_groups} groups")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        options = {"device": device, "dtype": dtype}
        _filled(self, "weight", ones, (num_channels,), affine, options)
        _filled(self, "bias", zeros, (num_channels,), affine and bias, options)

    def forward(self, input: Any) -> Any:
        """Normalise."""
        return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Show the options."""
        shown = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{shown}, bias={self.bias is not None}"


class _Tracking(Module):
    """What keeps running figures of the batches it has seen."""

    ranks: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        _filled(self, "weight", ones, (num_features,), affine, options)
        _filled(self, "bias", zeros, (num_features,), affine and bias, options)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **options) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **options) if tracked else None)
        count = tensor(np.zeros((), np.int64), device=device)
        self.register_buffer("num_batches_tracked", count if tracked else None)

    def reset_running_stats(self) -> None:
        """Forget the batches seen so far."""
        if self.track_running_stats:
            self.running_mean.data[...] = 0
            self.running_var.data[...] = 1
            self.num_batches_tracked.data[...] = 0

    def reset_parameters(self) -> None:
        """Start parameters and figures over."""
        self.reset_running_stats()
        if self.affine:
            self.weight.data[...] = 1
            if self.bias is not None:
                self.bias.data[...] = 0

    def _check(self, input: Any) -> None:
        if input.ndim not in self.ranks:
            wanted = " or ".join(map(str, self.ranks))
            raise ValueError(f"{type(self).__name__}: input has {wanted} dimensions, got shape {input.shape}")

    def extra_repr(self) -> str:
        """Show the options."""
        shown = f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"
        shown += f", bias={self.bias is not None}"
        return f"{shown}, track_running_stats={self.track_running_stats}"


class _BatchNorm(_Tracking):
    def forward(self, input: Any) -> Any:
        """Normalise by the batch's figures in training, which the running ones then follow, else by these."""
        self._check(input)
        momentum: Any = self.momentum or 0.0
        if self.training and self.track_running_stats:
            with no_grad():
                self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the mean of all batches
                momentum = 1.0 / data_of(self.num_batches_tracked).astype(input.dtype)
        by_batch = self.training or self.running_mean is None
        tracked = not self.training or self.track_running_stats
        return functional.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            by_batch,
            momentum,
            self.eps,
        )


class _InstanceNorm(_Tracking):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Any:
        """Normalise each channel of each sample."""
        self._check(input)
        alone = input.ndim == self.ranks[0]
        y = functional.instance_norm(
            input[None] if alone else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return y[0] if alone else y


def _ranked(base: Any, name: str, sentence: str, *ranks: int) -> Any:
    return type(name, (base,), {"ranks": ranks, "__doc__": sentence, "__module__": __name__})


BatchNorm1d = _ranked(_BatchNorm, "BatchNorm1d", "Mean 0 and variance 1 for each feature, over the batch.", 2, 3)
BatchNorm2d = _ranked(_BatchNorm, "BatchNorm2d", "Mean 0 and variance 1 for each channel of images.", 4)
BatchNorm3d = _ranked(_BatchNorm, "BatchNorm3d", "Mean 0 and variance 1 for each channel of volumes.", 5)
InstanceNorm1d = _ranked(_InstanceNorm, "InstanceNorm1d", "Mean 0 and variance 1 for each sequence's channels.", 2, 3)
InstanceNorm2d = _ranked(_InstanceNorm, "InstanceNorm2d", "Mean 0 and variance 1 for each image's channels.", 3, 4)
InstanceNorm3d = _ranked(_InstanceNorm, "InstanceNorm3d", "Mean 0 and variance 1 for each volume's channels.", 4, 5)


class LocalResponseNorm(Module):
    """Each channel divided by a power of what its neighbours have."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        """Normalise."""
        return functional.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
