"""Convolutions, their adjoints, and what pads, pools and resizes."""

from __future__ import annotations

import math
from typing import Any

from ...ops.creation import empty
from .. import functional, init
from ..parameter import Parameter
from .declared import REQUIRED, Declared, declared
from .module import Module


def each(value: Any, dims: int) -> tuple[int, ...]:
    """Give a number for each dimension: one for all, or as they were given."""
    return (value,) * dims if isinstance(value, int) else tuple(value)


class _Convolution(Module):
    """Both kinds of convolutions: options, weights, and how they are drawn."""

    dims = 2
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        output_padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups <= 0 or in_channels % groups or out_channels % groups:
            raise ValueError(f"{name}: {in_channels} and {out_channels} channels are not multiples of {groups} groups")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(f"{name}: padding_mode is zeros, reflect, replicate or circular, not {padding_mode!r}")
        dims = self.dims
        self.in_channels, self.out_channels, self.groups, self.padding_mode = (
            in_channels,
            out_channels,
            groups,
            padding_mode,
        )
        self.kernel_size, self.stride, self.dilation = each(kernel_size, dims), each(stride, dims), each(dilation, dims)
        self.padding = padding if isinstance(padding, str) else each(padding, dims)
        self.output_padding = each(output_padding, dims)
        channels = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty(*channels, *self.kernel_size, dtype=dtype, device=device))
        self.register_parameter("bias", Parameter(empty(out_channels, dtype=dtype, device=device)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        """Show the options."""
        shown = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        nothing = (0,) * self.dims
        if self.padding != nothing:
            shown += f", padding={self.padding}"
        if self.dilation != (1,) * self.dims:
            shown += f", dilation={self.dilation}"
        if self.output_padding != nothing:
            shown += f", output_padding={self.output_padding}"
        if self.groups != 1:
            shown += f", groups={self.groups}"
        if self.bias is None:
            shown += ", bias=False"
        return shown if self.padding_mode == "zeros" else f"{shown}, padding_mode={self.padding_mode}"


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = padding_mode, device, dtype
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias, *options)

    def forward(self, input: Any) -> Any:
        """Convolve."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._around(), mode=self.padding_mode)
            padding = 0
        function = getattr(functional, f"conv{self.dims}d")
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _around(self) -> list[int]:
        """Give what is added before and after, the last dimension first."""
        found: list[int] = []
        for axis in reversed(range(self.dims)):
            if self.padding == "same":
                total = self.dilation[axis] * (self.kernel_size[axis] - 1)
                found += [total // 2, total - total // 2]
            else:
                found += [0, 0] if isinstance(self.padding, str) else [self.padding[axis]] * 2
        return found


class _ConvTranspose(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: only zeros can be padded with, not {padding_mode!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Any, output_size: Any = None) -> Any:
        """Apply the adjoint of a convolution; `output_size` chooses among those with the same input size."""
        extra = self.output_padding if output_size is None else self._missing(input, tuple(output_size))
        function = getattr(functional, f"conv_transpose{self.dims}d")
        return function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _missing(self, input: Any, wanted: tuple[int, ...]) -> tuple[int, ...]:
        found = []
        for axis, size in enumerate(wanted[-self.dims :]):
            least = (input.shape[axis - self.dims] - 1) * self.stride[axis] - 2 * self.padding[axis]
            least += self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            if not 0 <= size - least < max(self.stride[axis], self.dilation[axis]):
                raise ValueError(f"{type(self).__name__}: no output of size {size}, from {least} on, in axis {axis}")
            found.append(size - least)
        return tuple(found)


def _sized(base: Any, name: str, dims: int, what: str) -> Any:
    body = {"dims": dims, "__doc__": f"{base.__doc__ or what} {what}", "__module__": __name__}
    return type(name, (base,), body)


Conv1d = _sized(_Conv, "Conv1d", 1, "A convolution of sequences, weights of shape (outputs, inputs / groups, size).")
Conv2d = _sized(_Conv, "Conv2d", 2, "A convolution of images, weights of shape (outputs, inputs / groups, *size).")
Conv3d = _sized(_Conv, "Conv3d", 3, "A convolution of volumes, weights of shape (outputs, inputs / groups, *size).")
ConvTranspose1d = _sized(_ConvTranspose, "ConvTranspose1d", 1, "The adjoint of a convolution of sequences.")
ConvTranspose2d = _sized(_ConvTranspose, "ConvTranspose2d", 2, "The adjoint of a convolution of images.")
ConvTranspose3d = _sized(_ConvTranspose, "ConvTranspose3d", 3, "The adjoint of a convolution of volumes.")


# ---- functions with options -----------------------------------------------------------------------------------------


def _made(name: str, function: str, sentence: str, base: Any = Declared, **options: Any) -> Any:
    return declared(name, function, sentence, base, module=__name__, **options)


_MAX = {
    "kernel_size": REQUIRED,
    "stride": None,
    "padding": 0,
    "dilation": 1,
    "return_indices": False,
    "ceil_mode": False,
}
_AVERAGE = {"kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True}
_POWER = {"norm_type": REQUIRED, "kernel_size": REQUIRED, "stride": None, "ceil_mode": False}


class _MaxPool(declared("_MaxPool", "", "", **_MAX)):  # type: ignore[misc]
    def forward(self, input: Any) -> Any:
        """Take the largest number of each window."""
        function = getattr(functional, self._function)
        sizes = self.kernel_size, self.stride, self.padding, self.dilation
        return function(input, *sizes, ceil_mode=self.ceil_mode, return_indices=self.return_indices)

    def extra_repr(self) -> str:
        """Show the options."""
        stride = self.kernel_size if self.stride is None else self.stride
        shown = f"kernel_size={self.kernel_size}, stride={stride}, padding={self.padding}"
        return f"{shown}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


def _max_pool(dims: int, what: str) -> Any:
    body = {"_function": f"max_pool{dims}d", "__doc__": f"The largest of windows of {what}.", "__module__": __name__}
    return type(f"MaxPool{dims}d", (_MaxPool,), body)


MaxPool1d, MaxPool2d, MaxPool3d = (_max_pool(*x) for x in ((1, "sequences"), (2, "images"), (3, "volumes")))


class _AvgPool(declared("_AvgPool", "", "", **_AVERAGE)):  # type: ignore[misc]
    dims = 2

    def extra_repr(self) -> str:
        """Show the options."""
        shown = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}
        shown["stride"] = self.kernel_size if self.stride is None else self.stride
        if self.dims == 1:
            shown = {name: each(value, 1) for name, value in shown.items()}
        return ", ".join(f"{name}={value}" for name, value in shown.items())


def _mean_pool(dims: int, what: str, **more: Any) -> Any:
    options = _AVERAGE | more
    made = _made(f"AvgPool{dims}d", f"avg_pool{dims}d", f"Means of windows of {what}.", _AvgPool, **options)
    made.dims = dims
    return made


AvgPool1d = _mean_pool(1, "sequences")
AvgPool2d = _mean_pool(2, "images", divisor_override=None)
AvgPool3d = _mean_pool(3, "volumes", divisor_override=None)
LPPool1d = _made("LPPool1d", "lp_pool1d", "Norms of windows of sequences.", **_POWER)
LPPool2d = _made("LPPool2d", "lp_pool2d", "Norms of windows of images.", **_POWER)
LPPool3d = _made("LPPool3d", "lp_pool3d", "Norms of windows of volumes.", **_POWER)
_ADAPTIVE: dict[str, Any] = {"output_size": REQUIRED}
AdaptiveAvgPool1d = _made("AdaptiveAvgPool1d", "adaptive_avg_pool1d", "Means, so many of a sequence.", **_ADAPTIVE)
AdaptiveAvgPool2d = _made("AdaptiveAvgPool2d", "adaptive_avg_pool2d", "Means, so many of an image.", **_ADAPTIVE)
AdaptiveAvgPool3d = _made("AdaptiveAvgPool3d", "adaptive_avg_pool3d", "Means, so many of a volume.", **_ADAPTIVE)
_ADAPTIVE = _ADAPTIVE | {"return_indices": False}
AdaptiveMaxPool1d = _made("AdaptiveMaxPool1d", "adaptive_max_pool1d", "The largest, so many.", **_ADAPTIVE)
AdaptiveMaxPool2d = _made("AdaptiveMaxPool2d", "adaptive_max_pool2d", "The largest, so many.", **_ADAPTIVE)
AdaptiveMaxPool3d = _made("AdaptiveMaxPool3d", "adaptive_max_pool3d", "The largest, so many.", **_ADAPTIVE)
_WINDOWS = {"dilation": 1, "padding": 0, "stride": 1}
Unfold = _made("Unfold", "unfold", "Windows of images as columns.", kernel_size=REQUIRED, **_WINDOWS)
Fold = _made("Fold", "fold", "Columns added up to images.", output_size=REQUIRED, kernel_size=REQUIRED, **_WINDOWS)


class _Resized(Declared):
    def extra_repr(self) -> str:
        """Show the options."""
        factor = self.scale_factor
        if factor is not None:
            factor = tuple(map(float, factor)) if isinstance(factor, tuple | list) else float(factor)
        how = f"size={self.size}" if factor is None else f"scale_factor={factor}"
        return f"{how}, mode={self.mode!r}"


Upsample = _made(
    "Upsample",
    "interpolate",
    "Images of another size.",
    _Resized,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
)


class UpsamplingNearest2d(Upsample):  # type: ignore[misc, valid-type]
    """Images of another size, each pixel the nearest."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):  # type: ignore[misc, valid-type]
    """Images of another size, from corner to corner, each pixel between its four neighbours."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class _MaxUnpool(Module):
    dims = 2

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size, self.padding = each(kernel_size, self.dims), each(padding, self.dims)
        self.stride = self.kernel_size if stride is None else each(stride, self.dims)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        """Put the numbers where a pool with `return_indices` found them; zeros elsewhere."""
        function = getattr(functional, f"max_unpool{self.dims}d")
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


MaxUnpool1d, MaxUnpool2d, MaxUnpool3d = (
    _sized(_MaxUnpool, f"MaxUnpool{dims}d", dims, "What a pool took, back in its places.") for dims in (1, 2, 3)
)


class _Padding(Module):
    dims, mode, value = 2, "constant", 0.0

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = each(padding, 2 * self.dims)

    def forward(self, input: Any) -> Any:
        """Add elements before and behind."""
        value = {"value": self.value} if self.mode == "constant" else {}
        return functional.pad(input, self.padding, mode=self.mode, **value)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"{self.padding}"


class _Constant(_Padding):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """Show the options."""
        return f"padding={self.padding}, value={self.value}"


def _padding(name: str, dims: int, mode: str, base: Any = _Padding) -> Any:
    body = {"dims": dims, "mode": mode, "__doc__": f"Padding, {mode}.", "__module__": __name__}
    return type(f"{name}{dims}d", (base,), body)


ZeroPad1d, ZeroPad2d, ZeroPad3d = (_padding("ZeroPad", dims, "constant") for dims in (1, 2, 3))
ConstantPad1d, ConstantPad2d, ConstantPad3d = (
    _padding("ConstantPad", dims, "constant", _Constant) for dims in (1, 2, 3)
)
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (_padding("ReflectionPad", dims, "reflect") for dims in (1, 2, 3))
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (
    _padding("ReplicationPad", dims, "replicate") for dims in (1, 2, 3)
)
CircularPad1d, CircularPad2d, CircularPad3d = (_padding("CircularPad", dims, "circular") for dims in (1, 2, 3))
