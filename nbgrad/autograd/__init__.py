"""Gradients as functions: PyTorch's `grad`, `functional` and `gradcheck`; `transforms` has JAX's way."""

from typing import TYPE_CHECKING

from ..anomaly import detect_anomaly as detect_anomaly
from ..anomaly import is_anomaly_enabled as is_anomaly_enabled
from ..anomaly import set_detect_anomaly as set_detect_anomaly
from ..function import Function as Function
from ..grad_mode import enable_grad as enable_grad
from ..grad_mode import inference_mode as inference_mode
from ..grad_mode import no_grad as no_grad
from ..grad_mode import set_grad_enabled as set_grad_enabled
from ..variable import Variable as Variable
from . import functional as functional
from .gradcheck import GradcheckError as GradcheckError
from .gradcheck import gradcheck as gradcheck
from .gradcheck import gradgradcheck as gradgradcheck
from .reverse import backward as backward
from .reverse import grad as grad

if TYPE_CHECKING:
    from . import forward_ad as forward_ad
    from . import function as function
else:

    def __getattr__(name):
        """Import what is asked for seldom, when it is."""
        if name not in ("forward_ad", "function"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return import_module(f".{name}", __name__)


__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
