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
from .generator import Generator as Generator
from .generator import default_generator as default_generator
from .generator import get_rng_state as get_rng_state
from .generator import initial_seed as initial_seed
from .generator import manual_seed as manual_seed
from .generator import seed as seed
from .generator import set_rng_state as set_rng_state
from .grad_mode import enable_grad as enable_grad
from .grad_mode import inference_mode as inference_mode
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
from .ops.creation import from_numpy as from_numpy
from .ops.creation import full as full
from .ops.creation import full_like as full_like
from .ops.creation import linspace as linspace
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
from .ops.extrema import aminmax as aminmax
from .ops.extrema import argmax as argmax
from .ops.extrema import argmin as argmin
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
from .ops.transfer import astype as astype
from .tracing import jit as jit
from .version import __version__ as __version__

if TYPE_CHECKING:
    from . import amp as amp
    from . import distributions as distributions
    from . import fft as fft
    from . import func as func
    from . import masked as masked
    from . import math as math
    from . import optim as optim
    from . import signal as signal
    from . import special as special
    from . import utils as utils
    from .amp import GradScaler as GradScaler
    from .amp import autocast as autocast
    from .dtypes import bool as bool
    from .dtypes import double as double
    from .dtypes import dtype as dtype
    from .dtypes import float as float
    from .dtypes import float16 as float16
    from .dtypes import float32 as float32
    from .dtypes import float64 as float64
    from .dtypes import half as half
    from .dtypes import int as int
    from .dtypes import int8 as int8
    from .dtypes import int16 as int16
    from .dtypes import int32 as int32
    from .dtypes import int64 as int64
    from .dtypes import long as long
    from .dtypes import short as short
    from .dtypes import uint8 as uint8
    from .func import hessian as hessian
    from .func import hvp as hvp
    from .func import jacfwd as jacfwd
    from .func import jacobian as jacobian
    from .func import jacrev as jacrev
    from .func import jvp as jvp
    from .func import linearize as linearize
    from .func import vjp as vjp
    from .func import vmap as vmap
    from .kernels.placement import device as device
    from .loops.differentiable import njit as njit
    from .ops.arranging import adjoint as adjoint
    from .ops.arranging import alias_copy as alias_copy
    from .ops.arranging import as_strided as as_strided
    from .ops.arranging import as_strided_copy as as_strided_copy
    from .ops.arranging import as_strided_scatter as as_strided_scatter
    from .ops.arranging import dsplit as dsplit
    from .ops.arranging import expand_copy as expand_copy
    from .ops.arranging import hsplit as hsplit
    from .ops.arranging import moveaxis as moveaxis
    from .ops.arranging import movedim as movedim
    from .ops.arranging import narrow as narrow
    from .ops.arranging import narrow_copy as narrow_copy
    from .ops.arranging import permute_copy as permute_copy
    from .ops.arranging import ravel as ravel
    from .ops.arranging import repeat as repeat
    from .ops.arranging import repeat_interleave as repeat_interleave
    from .ops.arranging import reshape_as as reshape_as
    from .ops.arranging import roll as roll
    from .ops.arranging import rot90 as rot90
    from .ops.arranging import select as select
    from .ops.arranging import split_with_sizes as split_with_sizes
    from .ops.arranging import split_with_sizes_copy as split_with_sizes_copy
    from .ops.arranging import squeeze_copy as squeeze_copy
    from .ops.arranging import swapdims as swapdims
    from .ops.arranging import t_copy as t_copy
    from .ops.arranging import tile as tile
    from .ops.arranging import transpose_copy as transpose_copy
    from .ops.arranging import unbind as unbind
    from .ops.arranging import unbind_copy as unbind_copy
    from .ops.arranging import unflatten as unflatten
    from .ops.arranging import unfold_copy as unfold_copy
    from .ops.arranging import unsafe_chunk as unsafe_chunk
    from .ops.arranging import unsafe_split as unsafe_split
    from .ops.arranging import unsqueeze_copy as unsqueeze_copy
    from .ops.arranging import view_as as view_as
    from .ops.arranging import view_copy as view_copy
    from .ops.arranging import vsplit as vsplit
    from .ops.assembling import atleast_1d as atleast_1d
    from .ops.assembling import atleast_2d as atleast_2d
    from .ops.assembling import atleast_3d as atleast_3d
    from .ops.assembling import block_diag as block_diag
    from .ops.assembling import broadcast_tensors as broadcast_tensors
    from .ops.assembling import cartesian_prod as cartesian_prod
    from .ops.assembling import column_stack as column_stack
    from .ops.assembling import combinations as combinations
    from .ops.assembling import dstack as dstack
    from .ops.assembling import hstack as hstack
    from .ops.assembling import meshgrid as meshgrid
    from .ops.assembling import row_stack as row_stack
    from .ops.assembling import vstack as vstack
    from .ops.blending import addcdiv as addcdiv
    from .ops.blending import addcmul as addcmul
    from .ops.blending import angle as angle
    from .ops.blending import conj as conj
    from .ops.blending import conj_physical as conj_physical
    from .ops.blending import deg2rad as deg2rad
    from .ops.blending import degrees as degrees
    from .ops.blending import divide as divide
    from .ops.blending import fill as fill
    from .ops.blending import float_power as float_power
    from .ops.blending import fmax as fmax
    from .ops.blending import fmin as fmin
    from .ops.blending import ldexp as ldexp
    from .ops.blending import lerp as lerp
    from .ops.blending import nan_to_num as nan_to_num
    from .ops.blending import rad2deg as rad2deg
    from .ops.blending import radians as radians
    from .ops.blending import real as real
    from .ops.blending import resolve_conj as resolve_conj
    from .ops.blending import resolve_neg as resolve_neg
    from .ops.blending import rsub as rsub
    from .ops.blending import true_divide as true_divide
    from .ops.calculus import cumulative_trapezoid as cumulative_trapezoid
    from .ops.calculus import gradient as gradient
    from .ops.calculus import trapezoid as trapezoid
    from .ops.calculus import trapz as trapz
    from .ops.contraction import einsum as einsum
    from .ops.diagonals import diag as diag
    from .ops.diagonals import diag_embed as diag_embed
    from .ops.diagonals import diagflat as diagflat
    from .ops.diagonals import diagonal as diagonal
    from .ops.diagonals import diagonal_copy as diagonal_copy
    from .ops.diagonals import trace as trace
    from .ops.diagonals import tril as tril
    from .ops.diagonals import triu as triu
    from .ops.distances import cdist as cdist
    from .ops.distances import corrcoef as corrcoef
    from .ops.distances import cov as cov
    from .ops.distances import dist as dist
    from .ops.distances import pdist as pdist
    from .ops.distances import renorm as renorm
    from .ops.drawing import bernoulli as bernoulli
    from .ops.drawing import multinomial as multinomial
    from .ops.drawing import normal as normal
    from .ops.drawing import poisson as poisson
    from .ops.drawing import rand_like as rand_like
    from .ops.drawing import randint_like as randint_like
    from .ops.drawing import randn_like as randn_like
    from .ops.drawing import randperm as randperm
    from .ops.factorization import cholesky_inverse as cholesky_inverse
    from .ops.factorization import cholesky_solve as cholesky_solve
    from .ops.factorization import geqrf as geqrf
    from .ops.factorization import logdet as logdet
    from .ops.factorization import lu_unpack as lu_unpack
    from .ops.factorization import ormqr as ormqr
    from .ops.factorization import triangular_solve as triangular_solve
    from .ops.fourier import stft as stft
    from .ops.hashing import hash_tensor as hash_tensor
    from .ops.histograms import histogramdd as histogramdd
    from .ops.low_rank import pca_lowrank as pca_lowrank
    from .ops.low_rank import svd_lowrank as svd_lowrank
    from .ops.making import empty_like as empty_like
    from .ops.making import logspace as logspace
    from .ops.making import scalar_tensor as scalar_tensor
    from .ops.masks import masked_fill as masked_fill
    from .ops.masks import masked_scatter as masked_scatter
    from .ops.matrices import matrix_exp as matrix_exp
    from .ops.older import cholesky as cholesky
    from .ops.older import det as det
    from .ops.older import lu as lu
    from .ops.older import lu_solve as lu_solve
    from .ops.older import matrix_power as matrix_power
    from .ops.older import pinverse as pinverse
    from .ops.older import qr as qr
    from .ops.older import slogdet as slogdet
    from .ops.older import svd as svd
    from .ops.pairs import complex as complex
    from .ops.pairs import polar as polar
    from .ops.pairs import view_as_complex as view_as_complex
    from .ops.pairs import view_as_real as view_as_real
    from .ops.picking import argwhere as argwhere
    from .ops.picking import bincount as bincount
    from .ops.picking import bucketize as bucketize
    from .ops.picking import gather as gather
    from .ops.picking import histc as histc
    from .ops.picking import histogram as histogram
    from .ops.picking import index_select as index_select
    from .ops.picking import masked_select as masked_select
    from .ops.picking import nonzero as nonzero
    from .ops.picking import nonzero_static as nonzero_static
    from .ops.picking import searchsorted as searchsorted
    from .ops.picking import take as take
    from .ops.picking import tril_indices as tril_indices
    from .ops.picking import triu_indices as triu_indices
    from .ops.picking import unravel_index as unravel_index
    from .ops.products import addbmm as addbmm
    from .ops.products import addmm as addmm
    from .ops.products import addmv as addmv
    from .ops.products import addr as addr
    from .ops.products import baddbmm as baddbmm
    from .ops.products import chain_matmul as chain_matmul
    from .ops.products import cross as cross
    from .ops.products import inner as inner
    from .ops.products import kron as kron
    from .ops.products import tensordot as tensordot
    from .ops.products import vdot as vdot
    from .ops.putting import diagonal_scatter as diagonal_scatter
    from .ops.putting import index_add as index_add
    from .ops.putting import index_copy as index_copy
    from .ops.putting import index_fill as index_fill
    from .ops.putting import index_put as index_put
    from .ops.putting import index_reduce as index_reduce
    from .ops.putting import put as put
    from .ops.putting import scatter as scatter
    from .ops.putting import scatter_add as scatter_add
    from .ops.putting import scatter_reduce as scatter_reduce
    from .ops.putting import select_scatter as select_scatter
    from .ops.putting import slice_scatter as slice_scatter
    from .ops.segments import segment_reduce as segment_reduce
    from .ops.sorting import argsort as argsort
    from .ops.sorting import kthvalue as kthvalue
    from .ops.sorting import median as median
    from .ops.sorting import mode as mode
    from .ops.sorting import msort as msort
    from .ops.sorting import nanmedian as nanmedian
    from .ops.sorting import nanquantile as nanquantile
    from .ops.sorting import quantile as quantile
    from .ops.sorting import sort as sort
    from .ops.sorting import topk as topk
    from .ops.sorting import unique as unique
    from .ops.sorting import unique_consecutive as unique_consecutive
    from .ops.special import copysign as copysign
    from .ops.special import fmod as fmod
    from .ops.special import gammainc as gammainc
    from .ops.special import gammaincc as gammaincc
    from .ops.special import heaviside as heaviside
    from .ops.special import i0 as i0
    from .ops.special import igamma as igamma
    from .ops.special import igammac as igammac
    from .ops.special import logaddexp2 as logaddexp2
    from .ops.special import logit as logit
    from .ops.special import multigammaln as multigammaln
    from .ops.special import mvlgamma as mvlgamma
    from .ops.special import sinc as sinc
    from .ops.special import xlogy as xlogy
    from .ops.steps import allclose as allclose
    from .ops.steps import bitwise_and as bitwise_and
    from .ops.steps import bitwise_left_shift as bitwise_left_shift
    from .ops.steps import bitwise_not as bitwise_not
    from .ops.steps import bitwise_or as bitwise_or
    from .ops.steps import bitwise_right_shift as bitwise_right_shift
    from .ops.steps import bitwise_xor as bitwise_xor
    from .ops.steps import ceil as ceil
    from .ops.steps import equal as equal
    from .ops.steps import fix as fix
    from .ops.steps import floor as floor
    from .ops.steps import frac as frac
    from .ops.steps import frexp as frexp
    from .ops.steps import gcd as gcd
    from .ops.steps import isclose as isclose
    from .ops.steps import isfinite as isfinite
    from .ops.steps import isin as isin
    from .ops.steps import isinf as isinf
    from .ops.steps import isnan as isnan
    from .ops.steps import isneginf as isneginf
    from .ops.steps import isposinf as isposinf
    from .ops.steps import isreal as isreal
    from .ops.steps import lcm as lcm
    from .ops.steps import nextafter as nextafter
    from .ops.steps import round as round
    from .ops.steps import sgn as sgn
    from .ops.steps import signbit as signbit
    from .ops.steps import trunc as trunc
    from .saving import load as load
    from .saving import save as save
else:

    def __getattr__(name):
        """Import what is asked for seldom, when it is."""
        from importlib import import_module

        from .registry import FUNCTIONS, LATER, MODULES, load

        if name in MODULES:
            found = import_module(f".{name}", __name__)
        elif name in LATER and load(name).public:
            found = load(name).function
        elif name in FUNCTIONS:
            found = getattr(import_module(f".{FUNCTIONS[name]}", __name__), name)
        else:
            found = import_module(".synonyms", __name__).of_name(name)
            if found is None:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__():
        from .registry import FUNCTIONS, LATER, MODULES, load
        from .synonyms import NAMES

        return [*globals(), *(name for name in LATER if load(name).public), *MODULES, *FUNCTIONS, *NAMES]
