from normix.distributions.gamma import Gamma as Gamma
from normix.distributions.generalized_inverse_gaussian import GIG as GIG
from normix.distributions.generalized_inverse_gaussian import (
    GeneralizedInverseGaussian as GeneralizedInverseGaussian,
)
from normix.distributions.inverse_gamma import InverseGamma as InverseGamma
from normix.distributions.inverse_gaussian import InverseGaussian as InverseGaussian
from normix.distributions.multivariate_normal import (
    MultivariateNormal as MultivariateNormal,
)
from normix.distributions.positive import PositiveFamily as PositiveFamily
from normix.distributions.quantile_table import QuantileTable as QuantileTable
