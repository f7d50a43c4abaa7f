"""Define-by-run automatic differentiation: PyTorch's names, NumPy's arrays, Numba's speed.

>>> import numpy as np, nbgrad
>>> x = nbgrad.Variable(np.array([1.0, 2.0, 3.0]))
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
Variable([2., 4., 6.])
"""

from typing import TYPE_CHECKING

try:
    import numpy as _numpy  # noqa: F401
except ImportError as error:
    if "per process" in str(error) or "interpreter" in str(error):
        raise ImportError(
            f"nbgrad needs NumPy, which works in one interpreter of a process only ({error}): use threads of that "
            "interpreter, or processes"
        ) from error
    raise

from .function import Function as Function
from .grad_mode import enable_grad as enable_grad
from .grad_mode import is_grad_enabled as is_grad_enabled
from .grad_mode import no_grad as no_grad
from .grad_mode import set_grad_enabled as set_grad_enabled
from .kernels.cpu.threads import get_num_threads as get_num_threads
from .kernels.cpu.threads import set_num_threads as set_num_threads
from .variable import Tensor as Tensor
from .variable import Variable as Variable
from .variable import get_default_dtype as get_default_dtype
from .variable import set_default_dtype as set_default_dtype

from .ops import clone as clone  # isort: skip  (installs operators and methods)
from . import accumulate as _accumulate  # noqa: F401  (installs Variable.backward)
from . import autograd as autograd
from . import cuda as cuda
from . import interop as _interop  # noqa: F401  (what brings NumPy's functions)
from . import linalg as linalg
from . import nn as nn
from .autograd.transforms import grad as grad
from .autograd.transforms import value_and_grad as value_and_grad
from .ops.arithmetic import add as add
from .ops.arithmetic import div as div
from .ops.arithmetic import logical_and as logical_and
from .ops.arithmetic import logical_not as logical_not
from .ops.arithmetic import logical_or as logical_or
from .ops.arithmetic import logical_xor as logical_xor
from .ops.arithmetic import sub as sub
from .ops.creation import arange as arange
from .ops.creation import as_tensor as as_tensor
from .ops.creation import empty as empty
from .ops.creation import eye as eye
from .ops.creation import from_dlpack as from_dlpack
from .ops.creation import full as full
from .ops.creation import full_like as full_like
from .ops.creation import linspace as linspace
from .ops.creation import manual_seed as manual_seed
from .ops.creation import ones as ones
from .ops.creation import ones_like as ones_like
from .ops.creation import rand as rand
from .ops.creation import randint as randint
from .ops.creation import randn as randn
from .ops.creation import tensor as tensor
from .ops.creation import zeros as zeros
from .ops.creation import zeros_like as zeros_like
from .ops.elementwise import abs as abs
from .ops.elementwise import acos as acos
from .ops.elementwise import acosh as acosh
from .ops.elementwise import asin as asin
from .ops.elementwise import asinh as asinh
from .ops.elementwise import atan as atan
from .ops.elementwise import atan2 as atan2
from .ops.elementwise import atanh as atanh
from .ops.elementwise import cbrt as cbrt
from .ops.elementwise import clamp as clamp
from .ops.elementwise import clip as clip
from .ops.elementwise import cos as cos
from .ops.elementwise import cosh as cosh
from .ops.elementwise import digamma as digamma
from .ops.elementwise import elementwise as elementwise
from .ops.elementwise import eq as eq
from .ops.elementwise import erf as erf
from .ops.elementwise import erfc as erfc
from .ops.elementwise import erfinv as erfinv
from .ops.elementwise import exp as exp
from .ops.elementwise import exp2 as exp2
from .ops.elementwise import expm1 as expm1
from .ops.elementwise import floor_divide as floor_divide
from .ops.elementwise import ge as ge
from .ops.elementwise import gt as gt
from .ops.elementwise import hypot as hypot
from .ops.elementwise import le as le
from .ops.elementwise import lgamma as lgamma
from .ops.elementwise import log as log
from .ops.elementwise import log1p as log1p
from .ops.elementwise import log2 as log2
from .ops.elementwise import log10 as log10
from .ops.elementwise import logaddexp as logaddexp
from .ops.elementwise import lt as lt
from .ops.elementwise import maximum as maximum
from .ops.elementwise import minimum as minimum
from .ops.elementwise import mul as mul
from .ops.elementwise import ne as ne
from .ops.elementwise import neg as neg
from .ops.elementwise import polygamma as polygamma
from .ops.elementwise import positive as positive
from .ops.elementwise import pow as pow
from .ops.elementwise import reciprocal as reciprocal
from .ops.elementwise import relu as relu
from .ops.elementwise import remainder as remainder
from .ops.elementwise import rsqrt as rsqrt
from .ops.elementwise import sigmoid as sigmoid
from .ops.elementwise import sign as sign
from .ops.elementwise import sin as sin
from .ops.elementwise import sinh as sinh
from .ops.elementwise import softplus as softplus
from .ops.elementwise import sqrt as sqrt
from .ops.elementwise import square as square
from .ops.elementwise import tan as tan
from .ops.elementwise import tanh as tanh
from .ops.elementwise import where as where
from .ops.extrema import max as max
from .ops.extrema import min as min
from .ops.joining import cat as cat
from .ops.joining import stack as stack
from .ops.joining import take_along_dim as take_along_dim
from .ops.linalg import bmm as bmm
from .ops.linalg import dot as dot
from .ops.linalg import matmul as matmul
from .ops.linalg import mm as mm
from .ops.linalg import mv as mv
from .ops.linalg import outer as outer
from .ops.norms import norm as norm
from .ops.reduction import amax as amax
from .ops.reduction import amin as amin
from .ops.reduction import log_softmax as log_softmax
from .ops.reduction import logsumexp as logsumexp
from .ops.reduction import mean as mean
from .ops.reduction import prod as prod
from .ops.reduction import softmax as softmax
from .ops.reduction import sum as sum
from .ops.scan import cummax as cummax
from .ops.scan import cummin as cummin
from .ops.scan import cumprod as cumprod
from .ops.scan import cumsum as cumsum
from .ops.scan import logcumsumexp as logcumsumexp
from .ops.shape import astype as astype
from .ops.shape import broadcast_to as broadcast_to
from .ops.shape import expand as expand
from .ops.shape import expand_as as expand_as
from .ops.shape import flatten as flatten
from .ops.shape import permute as permute
from .ops.shape import reshape as reshape
from .ops.shape import squeeze as squeeze
from .ops.shape import sum_to as sum_to
from .ops.shape import swapaxes as swapaxes
from .ops.shape import t as t
from .ops.shape import transpose as transpose
from .ops.shape import unsqueeze as unsqueeze
from .ops.shape import view as view
from .ops.slicing import chunk as chunk
from .ops.slicing import diff as diff
from .ops.slicing import flip as flip
from .ops.slicing import fliplr as fliplr
from .ops.slicing import flipud as flipud
from .ops.slicing import split as split
from .ops.slicing import tensor_split as tensor_split
from .ops.statistics import all as all
from .ops.statistics import any as any
from .ops.statistics import count_nonzero as count_nonzero
from .ops.statistics import nanmean as nanmean
from .ops.statistics import nansum as nansum
from .ops.statistics import std as std
from .ops.statistics import std_mean as std_mean
from .ops.statistics import var as var
from .ops.statistics import var_mean as var_mean
from .tracing import jit as jit
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .ops.contraction import einsum as einsum
    from .ops.special import copysign as copysign
    from .ops.special import fmod as fmod
    from .ops.special import heaviside as heaviside
    from .ops.special import logaddexp2 as logaddexp2
    from .ops.special import logit as logit
    from .ops.special import sinc as sinc
    from .ops.special import xlogy as xlogy
else:

    def __getattr__(name):
        """Import what is asked for seldom, when it is."""
        from importlib import import_module

        from .registry import LATER

        if name not in LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f".ops.{LATER[name]}", __name__), name)
        return found

    def __dir__():
        from .registry import LATER

        return [*globals(), *LATER]
