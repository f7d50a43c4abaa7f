"""PyTorch's names for what Functions with static methods are written with."""

from ..contexts import Context as FunctionCtx
from ..contexts import once_differentiable as once_differentiable
from ..function import Function as Function

__all__ = ["Function", "FunctionCtx", "once_differentiable"]
