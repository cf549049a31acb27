"""Exponential families and normal variance-mean mixtures in JAX."""

from normix.distributions import GIG as GIG
from normix.distributions import Gamma as Gamma
from normix.distributions import (
    GeneralizedInverseGaussian as GeneralizedInverseGaussian,
)
from normix.distributions import InverseGamma as InverseGamma
from normix.distributions import InverseGaussian as InverseGaussian
from normix.distributions import MultivariateNormal as MultivariateNormal
from normix.divergences import kl_divergence as kl_divergence
from normix.divergences import (
    kl_divergence_from_psi as kl_divergence_from_psi,
)
from normix.divergences import squared_hellinger as squared_hellinger
from normix.divergences import (
    squared_hellinger_from_psi as squared_hellinger_from_psi,
)
from normix.exponential_family import ExponentialFamily as ExponentialFamily
from normix.fitting.em import BatchEMFitter as BatchEMFitter
from normix.fitting.em import EMResult as EMResult
from normix.io import load as load
from normix.io import save as save
from normix.mixtures.joint import JointNormalMixture as JointNormalMixture
from normix.mixtures.marginal import MarginalMixture as MarginalMixture
from normix.mixtures.marginal import NormalMixture as NormalMixture
from normix.mixtures.normal_inverse_gaussian import (
    JointNormalInverseGaussian as JointNormalInverseGaussian,
)
from normix.mixtures.normal_inverse_gaussian import (
    NormalInverseGaussian as NormalInverseGaussian,
)
from normix.mixtures.statistics import NormalMixtureEta as NormalMixtureEta
from normix.special.bessel import log_kv as log_kv
