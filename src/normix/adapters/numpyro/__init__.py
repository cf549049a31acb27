r"""normix's laws as NumPyro distributions, for Bayesian models.

The class names are those of normix: ``NormalInverseGaussian`` is a law of vectors,
``UnivariateNormalInverseGaussian`` one of scalars. Parameters are keywords, broadcast,
and may be traced; ``log_prob`` differentiates in the value and in all of them, so that
:class:`numpyro.infer.NUTS` can draw from their posterior. Parameters that are shared by
all observations should be given once, not repeated for each: the special functions that
depend on them alone are then evaluated once.

Multiplying Y by a number, and dividing Σ and γ by it, changes nothing in the law of X.
A model with a prior on all of them is not identified: fix a parameter of Y, for example
its mean, ``mu_ig=1``.

NumPyro's default is single precision; call ``numpyro.enable_x64()`` first.
"""

from normix.adapters.numpyro.conversion import from_model as from_model
from normix.adapters.numpyro.positive import (
    GeneralizedInverseGaussian as GeneralizedInverseGaussian,
)
from normix.adapters.numpyro.positive import InverseGaussian as InverseGaussian
from normix.adapters.numpyro.univariate import (
    UnivariateGeneralizedHyperbolic as UnivariateGeneralizedHyperbolic,
)
from normix.adapters.numpyro.univariate import (
    UnivariateNormalInverseGamma as UnivariateNormalInverseGamma,
)
from normix.adapters.numpyro.univariate import (
    UnivariateNormalInverseGaussian as UnivariateNormalInverseGaussian,
)
from normix.adapters.numpyro.univariate import (
    UnivariateVarianceGamma as UnivariateVarianceGamma,
)
from normix.adapters.numpyro.vectors import (
    GeneralizedHyperbolic as GeneralizedHyperbolic,
)
from normix.adapters.numpyro.vectors import (
    NormalInverseGamma as NormalInverseGamma,
)
from normix.adapters.numpyro.vectors import (
    NormalInverseGaussian as NormalInverseGaussian,
)
from normix.adapters.numpyro.vectors import (
    VarianceGamma as VarianceGamma,
)
