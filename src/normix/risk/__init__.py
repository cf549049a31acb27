"""Risk: portfolios of a fitted law, and portfolios that are efficient.

Losses are ``-X``, levels are probabilities such as .99. Measures of one variable are
methods of the univariate laws: ``value_at_risk``, ``expected_shortfall``,
``partial_moment``, ``omega``, ``expectile``.
"""

from normix.risk.frontier import Frontier as Frontier
from normix.risk.frontier import efficient_frontier as efficient_frontier
from normix.risk.portfolio import Portfolio as Portfolio
