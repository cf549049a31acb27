"""Exponential families and normal variance-mean mixtures in JAX."""

from normix._cache import cache_compilations as cache_compilations
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
from normix.fitting.em import AffineRule as AffineRule
from normix.fitting.em import AffineUpdate as AffineUpdate
from normix.fitting.em import BatchEMFitter as BatchEMFitter
from normix.fitting.em import EMResult as EMResult
from normix.fitting.em import EtaUpdateRule as EtaUpdateRule
from normix.fitting.em import EWMAUpdate as EWMAUpdate
from normix.fitting.em import IdentityUpdate as IdentityUpdate
from normix.fitting.em import IncrementalEMFitter as IncrementalEMFitter
from normix.fitting.em import IncrementalState as IncrementalState
from normix.fitting.em import Outcome as Outcome
from normix.fitting.em import PolynomialUpdate as PolynomialUpdate
from normix.fitting.em import RobbinsMonroUpdate as RobbinsMonroUpdate
from normix.fitting.em import SampleWeightedUpdate as SampleWeightedUpdate
from normix.fitting.em import Shrinkage as Shrinkage
from normix.fitting.em import StreamError as StreamError
from normix.fitting.em import affine_combine as affine_combine
from normix.fitting.em import eta0_diagonal as eta0_diagonal
from normix.fitting.em import eta0_from_model as eta0_from_model
from normix.fitting.em import eta0_isotropic as eta0_isotropic
from normix.fitting.em import eta0_with_sigma as eta0_with_sigma
from normix.fitting.finite.fitter import FiniteMixtureFitter as FiniteMixtureFitter
from normix.fitting.finite.result import FiniteMixtureResult as FiniteMixtureResult
from normix.io import load as load
from normix.io import load_columns as load_columns
from normix.io import save as save
from normix.mixtures.factor import FactorNormalMixture as FactorNormalMixture
from normix.mixtures.finite import FiniteMixture as FiniteMixture
from normix.mixtures.generalized_hyperbolic import (
    FactorGeneralizedHyperbolic as FactorGeneralizedHyperbolic,
)
from normix.mixtures.generalized_hyperbolic import (
    GeneralizedHyperbolic as GeneralizedHyperbolic,
)
from normix.mixtures.generalized_hyperbolic import (
    JointGeneralizedHyperbolic as JointGeneralizedHyperbolic,
)
from normix.mixtures.generalized_hyperbolic import (
    UnivariateGeneralizedHyperbolic as UnivariateGeneralizedHyperbolic,
)
from normix.mixtures.joint import JointNormalMixture as JointNormalMixture
from normix.mixtures.marginal import MarginalMixture as MarginalMixture
from normix.mixtures.multivariate import NormalMixture as NormalMixture
from normix.mixtures.normal_inverse_gamma import (
    FactorNormalInverseGamma as FactorNormalInverseGamma,
)
from normix.mixtures.normal_inverse_gamma import (
    JointNormalInverseGamma as JointNormalInverseGamma,
)
from normix.mixtures.normal_inverse_gamma import (
    NormalInverseGamma as NormalInverseGamma,
)
from normix.mixtures.normal_inverse_gamma import (
    UnivariateNormalInverseGamma as UnivariateNormalInverseGamma,
)
from normix.mixtures.normal_inverse_gaussian import (
    FactorNormalInverseGaussian as FactorNormalInverseGaussian,
)
from normix.mixtures.normal_inverse_gaussian import (
    JointNormalInverseGaussian as JointNormalInverseGaussian,
)
from normix.mixtures.normal_inverse_gaussian import (
    NormalInverseGaussian as NormalInverseGaussian,
)
from normix.mixtures.normal_inverse_gaussian import (
    UnivariateNormalInverseGaussian as UnivariateNormalInverseGaussian,
)
from normix.mixtures.statistics import FactorMixtureStats as FactorMixtureStats
from normix.mixtures.statistics import MixtureSums as MixtureSums
from normix.mixtures.statistics import NormalMixtureEta as NormalMixtureEta
from normix.mixtures.statistics import merge as merge
from normix.mixtures.univariate import (
    UnivariateNormalMixture as UnivariateNormalMixture,
)
from normix.mixtures.variance_gamma import FactorVarianceGamma as FactorVarianceGamma
from normix.mixtures.variance_gamma import JointVarianceGamma as JointVarianceGamma
from normix.mixtures.variance_gamma import (
    UnivariateVarianceGamma as UnivariateVarianceGamma,
)
from normix.mixtures.variance_gamma import VarianceGamma as VarianceGamma
from normix.special.bessel import log_kv as log_kv
from normix.uncertainty.bootstrap import Bootstrap as Bootstrap
from normix.uncertainty.bootstrap import bootstrap as bootstrap
from normix.uncertainty.compare import Comparison as Comparison
from normix.uncertainty.compare import compare as compare
from normix.uncertainty.compare import lr_test as lr_test
from normix.uncertainty.inference import Inference as Inference
from normix.uncertainty.inference import inference as inference
