r"""The same laws by the parameters of other books and programs, both ways.

Every ``to_...`` returns a dictionary of parameters, by the names that the other side
uses; every ``from_...`` takes them as keywords and returns a model, so that
``from_alpha_beta(**to_alpha_beta(model))`` is the law of ``model``. Models come back in
the smallest family that has the law, or in the one that ``family`` names: "nig", "vg",
"t" or "gh". Under ``jit``, where values cannot be seen, name it; else it is "gh".

The law is :math:`X = \mu + \gamma Y + \sqrt{Y} L Z` with :math:`Y \sim
\mathrm{GIG}(p, a, b)` and :math:`\Sigma = L L^\top`. Its parameters are determined up
to the unit of Y: ``sY`` for Y, ``Σ/s`` and ``γ/s`` are the same law of X. Every
convention here fixes that unit in its own way.
"""

from normix.parametrizations.alpha_beta import from_alpha_beta as from_alpha_beta
from normix.parametrizations.alpha_beta import to_alpha_beta as to_alpha_beta
from normix.parametrizations.ghyp import from_alpha_bar as from_alpha_bar
from normix.parametrizations.ghyp import from_chi_psi as from_chi_psi
from normix.parametrizations.ghyp import to_alpha_bar as to_alpha_bar
from normix.parametrizations.ghyp import to_chi_psi as to_chi_psi
from normix.parametrizations.programs import from_genhyperbolic as from_genhyperbolic
from normix.parametrizations.programs import from_geninvgauss as from_geninvgauss
from normix.parametrizations.programs import from_norminvgauss as from_norminvgauss
from normix.parametrizations.programs import from_tfp as from_tfp
from normix.parametrizations.programs import to_genhyperbolic as to_genhyperbolic
from normix.parametrizations.programs import to_geninvgauss as to_geninvgauss
from normix.parametrizations.programs import to_norminvgauss as to_norminvgauss
from normix.parametrizations.programs import to_tfp as to_tfp
