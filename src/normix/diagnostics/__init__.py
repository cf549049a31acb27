"""How well a law fits: transforms, distances, tests and pictures."""

from normix.diagnostics.distances import DistanceLaw as DistanceLaw
from normix.diagnostics.distances import Distances as Distances
from normix.diagnostics.distances import mahalanobis as mahalanobis
from normix.diagnostics.goodness import GoodnessOfFit as GoodnessOfFit
from normix.diagnostics.goodness import test_fit as test_fit
from normix.diagnostics.transforms import pit as pit
from normix.utils.plotting import plot_pairs as plot_pairs
from normix.utils.plotting import plot_pit as plot_pit
from normix.utils.plotting import plot_profile as plot_profile
from normix.utils.plotting import plot_qq as plot_qq
from normix.utils.plotting import plot_tails as plot_tails
