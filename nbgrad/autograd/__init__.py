"""Gradients as functions: PyTorch's `grad`, `functional` and `gradcheck`; `transforms` has JAX's way."""

from ..anomaly import detect_anomaly as detect_anomaly
from ..anomaly import is_anomaly_enabled as is_anomaly_enabled
from ..anomaly import set_detect_anomaly as set_detect_anomaly
from ..function import Function as Function
from ..variable import Variable as Variable
from . import functional as functional
from .gradcheck import GradcheckError as GradcheckError
from .gradcheck import gradcheck as gradcheck
from .reverse import grad as grad

__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "detect_anomaly",
    "functional",
    "grad",
    "gradcheck",
    "is_anomaly_enabled",
    "set_detect_anomaly",
]
