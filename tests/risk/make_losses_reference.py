# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
r"""Write losses_reference.csv: measures of loss of univariate mixtures at 30 digits.

``python make_losses_reference.py`` rewrites the file, some minutes. Of
``X = mu + gamma Y + sqrt(Sigma Y) Z``, ``Y ~ GIG(p, a, b)``, the moments
:math:`E[(x - X)_+^k]` are integrals over ``log y`` of the law of Y times those of a
normal law, by the trapezoidal rule, which converges geometrically; with twenty digits
to spare for the normal moments, which cancel. The quantile is a root of the first by
Newton's method, begun at the value to be tested: a root that it converges to is the
root, wherever it begins.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

import jax
from mpmath import mp, mpf

import normix

jax.config.update("jax_enable_x64", True)

CSV_PATH = Path(__file__).with_name("losses_reference.csv")
LEVELS = (0.5, 0.9, 0.95, 0.99, 0.999, 1 - 1e-6, 1 - 1e-9)
COLUMNS = ("family", "mu", "gamma", "sigma", "one", "two", "three", "level", "x")
VALUES = ("value_at_risk", "expected_shortfall", "first", "second")
mp.dps = 50
NAMES = {
    "NormalInverseGaussian": ("mu_ig", "lam"),
    "VarianceGamma": ("alpha", "beta"),
    "NormalInverseGamma": ("alpha", "beta"),
    "GeneralizedHyperbolic": ("p", "a", "b"),
}


def measured_by_normix(family: str, numbers: list[float], level: float) -> float:
    """The value at risk that is to be tested."""
    names = ("mu", "gamma", "sigma", *NAMES[family])
    cls = getattr(normix, f"Univariate{family}")
    law = cls.from_classical(**dict(zip(names, numbers, strict=False)))
    return float(law.value_at_risk(level))


def gig(family: str, mixing) -> tuple[mpf, mpf, mpf]:
    one, two, three = (mpf(x) for x in mixing)
    if family == "NormalInverseGaussian":  # mu_ig, lam
        return -mpf(1) / 2, two / one**2, two
    if family == "VarianceGamma":  # alpha, beta
        return one, 2 * two, mpf(0)
    if family == "NormalInverseGamma":
        return -one, mpf(0), 2 * two
    return one, two, three


def log_mass(p, a, b):
    if b == 0:
        return mp.loggamma(p) + p * mp.log(2 / a)
    if a == 0:
        return mp.loggamma(-p) - p * mp.log(2 / b)
    return mp.log(2 * mp.besselk(p, mp.sqrt(a * b))) + p * mp.log(b / a) / 2


class Law:
    """The law of Y by nodes and weights, and moments of X."""

    def __init__(self, family, normal, mixing):
        self.mu, self.gamma, self.sigma = (mpf(x) for x in normal)
        p, a, b = gig(family, mixing)
        mass, step = log_mass(p, a, b), mpf(1) / 16
        every = []
        for k in range(-16 * 250, 16 * 120):
            t = k * step
            y = mp.exp(t)
            log_weight = p * t - (a * y + b / y) / 2 - mass
            if log_weight > -130:
                every.append((y, mp.sqrt(y * self.sigma), step * mp.exp(log_weight)))
        self.nodes = every

    def moment(self, x, k: int):
        """``E[(x - X)₊ᵏ]``; of k = -1 the density."""
        total = mpf(0)
        for y, s, weight in self.nodes:
            m = (x - self.mu - self.gamma * y) / s
            density = mp.exp(-m * m / 2) / mp.sqrt(2 * mp.pi)
            if k == -1:
                total += weight * density / s
                continue
            value = mp.erfc(-m / mp.sqrt(2)) / 2
            if k > 0:
                first = m * value + density
                value = s * first if k == 1 else s * s * (m * first + value)
            total += weight * value
        return total


def main() -> None:
    """Write the file, or print some rows."""
    rng = random.Random(3)
    rows = []
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 75
    for family in (
        "NormalInverseGaussian",
        "VarianceGamma",
        "NormalInverseGamma",
        "GeneralizedHyperbolic",
    ):
        for i in range(count):

            def spread(width):
                return mp.exp(width * rng.gauss(0, 1))

            mixing = {
                "NormalInverseGaussian": (spread(0.5), spread(1), 0),
                "VarianceGamma": (0.4 + spread(1), spread(0.5), 0),
                "NormalInverseGamma": (2.3 + spread(0.7), spread(0.7), 0),
                "GeneralizedHyperbolic": (2 * rng.gauss(0, 1), spread(1), spread(1)),
            }[family]
            normal = rng.gauss(0, 0.3), rng.gauss(0, 0.5), spread(0.5)
            # As numbers of double precision, which they are read back as.
            numbers = [float(x) for x in (*normal, *mixing)]
            law, level = Law(family, numbers[:3], numbers[3:]), LEVELS[i % len(LEVELS)]
            chance = 1 - mpf(level)
            sd = mp.sqrt(law.sigma)
            # On the logarithm.
            q = -mpf(measured_by_normix(family, numbers, level))
            for _ in range(5):
                value = law.moment(q, 0)
                change = mp.log(value / chance) * value / law.moment(q, -1)
                q -= change
                if abs(change) < mpf(10) ** -18 * sd:
                    break
            else:
                raise ArithmeticError(f"no root: {family} {numbers} {level}")
            x = float(q + sd * rng.uniform(-1, 3))
            values = (
                -q,
                -q + law.moment(q, 1) / chance,
                law.moment(mpf(x), 1),
                law.moment(mpf(x), 2),
            )
            told = [mp.nstr(v, 20) for v in values]
            rows.append([family, *map(repr, numbers), repr(level), repr(x), *told])
            print(*rows[-1], flush=True)
    if len(sys.argv) == 1:
        with CSV_PATH.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, *VALUES])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
