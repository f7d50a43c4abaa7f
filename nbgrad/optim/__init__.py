"""Optimisers, as PyTorch has them: one kernel a step, and the same formulas in compiled functions."""

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
from .optimizer import Optimizer as Optimizer
