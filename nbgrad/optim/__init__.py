"""Optimisers, as PyTorch has them: one kernel a step, and the same formulas in compiled functions."""

from typing import TYPE_CHECKING

from . import lr_scheduler as lr_scheduler
from .algorithms import SGD as SGD
from .algorithms import Adadelta as Adadelta
from .algorithms import Adagrad as Adagrad
from .algorithms import Adam as Adam
from .algorithms import Adamax as Adamax
from .algorithms import AdamW as AdamW
from .algorithms import NAdam as NAdam
from .algorithms import RAdam as RAdam
from .algorithms import RMSprop as RMSprop
from .lbfgs import LBFGS as LBFGS
from .older import ASGD as ASGD
from .older import Rprop as Rprop
from .optimizer import Optimizer as Optimizer

if TYPE_CHECKING:
    from . import swa_utils as swa_utils
else:

    def __getattr__(name):
        """Import what is asked for seldom, when it is."""
        if name != "swa_utils":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return import_module(".swa_utils", __name__)
