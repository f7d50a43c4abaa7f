"""Gradients as functions: PyTorch's `grad`, `functional` and `gradcheck`; `transforms` has JAX's way."""

from ..function import Function as Function
from ..variable import Variable as Variable
from . import functional as functional
from .gradcheck import GradcheckError as GradcheckError
from .gradcheck import gradcheck as gradcheck
from .reverse import grad as grad

__all__ = ["Function", "GradcheckError", "Variable", "functional", "grad", "gradcheck"]
