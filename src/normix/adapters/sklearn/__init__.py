"""scikit-learn: normal variance-mean mixtures, and finite mixtures of them.

scikit-learn is installed by ``pip install scikit-learn``. Call
``jax.config.update("jax_enable_x64", True)`` first. Worker processes (``n_jobs``) do
not see that call: for them set the environment variable ``JAX_ENABLE_X64=1`` instead,
before JAX is imported.
"""

from normix.adapters.sklearn.density import (
    NormalVarianceMeanMixture as NormalVarianceMeanMixture,
)
from normix.adapters.sklearn.finite import FiniteMixtureModel as FiniteMixtureModel
