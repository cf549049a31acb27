"""Pictures of data, models and fits.

Matplotlib is imported when a function is called: without it everything else works.
"""

from normix.utils._convergence import plot_em_convergence as plot_em_convergence
from normix.utils._joint import plot_joint_1d as plot_joint_1d
from normix.utils._margins import plot_margins as plot_margins
from normix.utils._pairs import plot_marginal_2d as plot_marginal_2d
from normix.utils._pairs import plot_pairs as plot_pairs
from normix.utils._pit import plot_pit as plot_pit
from normix.utils._profile import plot_profile as plot_profile
from normix.utils._qq import plot_qq as plot_qq
from normix.utils._samples import plot_mle_fit as plot_mle_fit
from normix.utils._samples import plot_pdf_cdf_comparison as plot_pdf_cdf_comparison
from normix.utils._samples import plot_sample_histograms as plot_sample_histograms
from normix.utils._tails import plot_tails as plot_tails
from normix.utils._theme import savefig as savefig
from normix.utils._theme import set_theme as set_theme
from normix.utils._theme import style_axes as style_axes
