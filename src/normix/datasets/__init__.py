"""Data sets that ship with normix."""

from normix.datasets._sp500 import Returns as Returns
from normix.datasets._sp500 import load_sp500_returns as load_sp500_returns
