"""Risk: portfolios of a fitted law, efficient ones, and backtests of forecasts.

Losses are ``-X``, levels are probabilities such as .99. Measures of one variable are
methods of the univariate laws: ``value_at_risk``, ``expected_shortfall``,
``partial_moment``, ``omega``, ``expectile``.
"""

from normix.risk.backtesting import Backtest as Backtest
from normix.risk.backtesting import backtest as backtest
from normix.risk.exceedances import ExceedanceTest as ExceedanceTest
from normix.risk.exceedances import christoffersen as christoffersen
from normix.risk.exceedances import kupiec as kupiec
from normix.risk.frontier import Frontier as Frontier
from normix.risk.frontier import efficient_frontier as efficient_frontier
from normix.risk.portfolio import Portfolio as Portfolio
