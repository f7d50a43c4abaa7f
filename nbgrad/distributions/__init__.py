"""Probability distributions, by the names and with the arguments of `torch.distributions`.

>>> import nbgrad
>>> from nbgrad.distributions import Normal, kl_divergence
>>> loc = nbgrad.tensor([0.0, 1.0], requires_grad=True)
>>> Normal(loc, 2.0).log_prob(1.0).sum().backward()
>>> loc.grad
Variable([0.25, 0.  ])
>>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
Variable(0.5)
"""

from . import constraints as constraints
from . import transforms as transforms
from .composed import Independent as Independent
from .composed import MixtureSameFamily as MixtureSameFamily
from .continuous import Beta as Beta
from .continuous import Cauchy as Cauchy
from .continuous import Exponential as Exponential
from .continuous import Gamma as Gamma
from .continuous import HalfNormal as HalfNormal
from .continuous import Laplace as Laplace
from .continuous import LogNormal as LogNormal
from .continuous import Normal as Normal
from .continuous import StudentT as StudentT
from .continuous import Uniform as Uniform
from .discrete import Bernoulli as Bernoulli
from .discrete import Binomial as Binomial
from .discrete import Categorical as Categorical
from .discrete import Geometric as Geometric
from .discrete import Multinomial as Multinomial
from .discrete import NegativeBinomial as NegativeBinomial
from .discrete import Poisson as Poisson
from .distribution import Distribution as Distribution
from .kl import kl_divergence as kl_divergence
from .kl import register_kl as register_kl
from .matrices import LKJCholesky as LKJCholesky
from .matrices import LowRankMultivariateNormal as LowRankMultivariateNormal
from .ratios import Chi2 as Chi2
from .ratios import FisherSnedecor as FisherSnedecor
from .ratios import InverseGamma as InverseGamma
from .ratios import VonMises as VonMises
from .relaxed import LogisticNormal as LogisticNormal
from .relaxed import OneHotCategorical as OneHotCategorical
from .relaxed import OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough
from .relaxed import RelaxedBernoulli as RelaxedBernoulli
from .relaxed import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from .tails import Gumbel as Gumbel
from .tails import HalfCauchy as HalfCauchy
from .tails import Kumaraswamy as Kumaraswamy
from .tails import Pareto as Pareto
from .tails import Weibull as Weibull
from .transformed import TransformedDistribution as TransformedDistribution
from .transforms import AbsTransform as AbsTransform
from .transforms import AffineTransform as AffineTransform
from .transforms import ComposeTransform as ComposeTransform
from .transforms import CorrCholeskyTransform as CorrCholeskyTransform
from .transforms import CumulativeDistributionTransform as CumulativeDistributionTransform
from .transforms import ExpTransform as ExpTransform
from .transforms import IndependentTransform as IndependentTransform
from .transforms import LowerCholeskyTransform as LowerCholeskyTransform
from .transforms import PowerTransform as PowerTransform
from .transforms import ReshapeTransform as ReshapeTransform
from .transforms import SigmoidTransform as SigmoidTransform
from .transforms import SoftmaxTransform as SoftmaxTransform
from .transforms import SoftplusTransform as SoftplusTransform
from .transforms import StickBreakingTransform as StickBreakingTransform
from .transforms import TanhTransform as TanhTransform
from .transforms import Transform as Transform
from .transforms import identity_transform as identity_transform
from .vectors import Dirichlet as Dirichlet
from .vectors import MultivariateNormal as MultivariateNormal
