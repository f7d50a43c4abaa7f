"""Activations as modules."""

from __future__ import annotations

from typing import Any

from ...ops.creation import full
from .. import functional
from ..parameter import Parameter
from .declared import REQUIRED, declared
from .module import Module


def _activation(name: str, function: str, sentence: str, **options: Any) -> Any:
    return declared(name, function, sentence, module=__name__, **options)


ReLU = _activation("ReLU", "relu", "max(x, 0).", inplace=False)
ReLU6 = _activation("ReLU6", "relu6", "x from 0 to 6.", inplace=False)
ELU = _activation("ELU", "elu", "x, and alpha * (exp(x) - 1) below 0.", alpha=1.0, inplace=False)
SELU = _activation("SELU", "selu", "ELU with the factors that keep mean and variance.", inplace=False)
CELU = _activation("CELU", "celu", "x, and alpha * (exp(x / alpha) - 1) below 0.", alpha=1.0, inplace=False)
GELU = _activation("GELU", "gelu", "x times the normal distribution's function of x.", approximate="none")
SiLU = _activation("SiLU", "silu", "x * sigmoid(x).", inplace=False)
Mish = _activation("Mish", "mish", "x * tanh(softplus(x)).", inplace=False)
Sigmoid = _activation("Sigmoid", "sigmoid", "1 / (1 + exp(-x)).")
Tanh = _activation("Tanh", "tanh", "The hyperbolic tangent.")
LogSigmoid = _activation("LogSigmoid", "logsigmoid", "log(sigmoid(x)).")
Softplus = _activation("Softplus", "softplus", "log(1 + exp(beta * x)) / beta.", beta=1.0, threshold=20.0)
Softsign = _activation("Softsign", "softsign", "x / (1 + |x|).")
Tanhshrink = _activation("Tanhshrink", "tanhshrink", "x - tanh(x).")
Hardsigmoid = _activation("Hardsigmoid", "hardsigmoid", "x / 6 + 1/2, from 0 to 1.", inplace=False)
Hardswish = _activation("Hardswish", "hardswish", "x * hardsigmoid(x).", inplace=False)
Hardtanh = _activation("Hardtanh", "hardtanh", "x between two limits.", min_val=-1.0, max_val=1.0, inplace=False)
Hardshrink = _activation("Hardshrink", "hardshrink", "x, and 0 within lambd of 0.", lambd=0.5)
Softshrink = _activation("Softshrink", "softshrink", "x brought nearer to 0 by lambd.", lambd=0.5)
LeakyReLU = _activation("LeakyReLU", "leaky_relu", "x, and a part of it below 0.", negative_slope=0.01, inplace=False)
Threshold = _activation(
    "Threshold", "threshold", "x above a threshold, else a value.", threshold=REQUIRED, value=REQUIRED, inplace=False
)
GLU = _activation("GLU", "glu", "One half times the sigmoid of the other.", dim=-1)
Softmax = _activation("Softmax", "softmax", "Probabilities in proportion to exp(x).", dim=None)
Softmin = _activation("Softmin", "softmin", "Softmax of -x.", dim=None)
LogSoftmax = _activation("LogSoftmax", "log_softmax", "Logarithms of softmax.", dim=None)


class Softmax2d(Module):
    """Softmax over the channels of images."""

    def forward(self, input: Any) -> Any:
        """Apply it; raises ValueError for anything but images, one or a batch."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: images have 3 or 4 dimensions, got shape {input.shape}")
        return functional.softmax(input, -3)


class PReLU(Module):
    """x, and learned parts of it below 0: one for all channels, or one each."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, dtype=dtype, device=device))

    def forward(self, input: Any) -> Any:
        """Apply it."""
        return functional.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """Leaky ReLU whose slopes are drawn in training, and their mean in use."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Any:
        """Apply it."""
        return functional.rrelu(input, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"lower={self.lower}, upper={self.upper}"
