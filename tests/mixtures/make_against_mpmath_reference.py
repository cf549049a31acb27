r"""Write against_mpmath_reference.csv: tails of univariate mixtures at 40 digits.

``python make_against_mpmath_reference.py`` rewrites the file (some minutes);
``--check`` compares every ninth row with the integral over the mixing variable, and
Bessel functions with mpmath's.

The density of ``X = mu + gamma Y + sqrt(Sigma Y) Z`` with ``Y ~ GIG(p, a, b)`` is, with
:math:`g = \gamma^2/\Sigma`, :math:`q = (x - \mu)^2/\Sigma`,

.. math:: f(x) = \frac{e^{\gamma(x - \mu)/\Sigma}}{\sqrt{2\pi\Sigma}}
    \frac{M(p - \tfrac12, a + g, b + q)}{M(p, a, b)}, \qquad
    M(p, a, b) = \int_0^\infty y^{p-1} e^{-(ay + b/y)/2}\,dy
    = 2 (b/a)^{p/2} K_p(\sqrt{ab}),

and ``M`` a Gamma function where a or b is 0. Tails are integrals of it over
``v = log|x - mu|``, on either side of mu, by Gauss-Legendre panels that are halved
until a panel and its halves agree.
"""

from __future__ import annotations

import csv
import math
import random
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import mpmath
from mpmath import mp, mpf
from mpmath.calculus.quadrature import GaussLegendre

CSV_PATH = Path(__file__).with_name("against_mpmath_reference.csv")
DPS = 45
DIGITS = 20
DENSITIES, TAILS = 300, 80  # points a family
DROP = 60  # nepers; 1e-26
TOLERANCE = mpf("1e-18")  # of a panel, relative to the integral
MIXING = {
    "NormalInverseGaussian": ("mu_ig", "lam"),
    "VarianceGamma": ("alpha", "beta"),
    "NormalInverseGamma": ("alpha", "beta"),
    "GeneralizedHyperbolic": ("p", "a", "b"),
}
PARAMETERS = ("mu", "gamma", "sigma", "one", "two", "three")
COLUMNS = ("log_cdf", "log_sf", "log_pdf")


class Point(NamedTuple):
    """A law by its arguments, those of Y last, and where it is to be evaluated."""

    family: str
    mu: float
    gamma: float
    sigma: float
    mixing: tuple[float, ...]
    x: float


class Law(NamedTuple):
    """X less mu, exactly."""

    gamma: Any
    sigma: Any
    p: Any
    a: Any
    b: Any


def law_of(point: Point) -> Law:
    one, two, *rest = map(mpf, point.mixing)
    gig = {
        "NormalInverseGaussian": lambda: (mpf(-0.5), two / one**2, two),
        "VarianceGamma": lambda: (one, 2 * two, mpf(0)),
        "NormalInverseGamma": lambda: (-one, mpf(0), 2 * two),
        "GeneralizedHyperbolic": lambda: (one, two, rest[0]),
    }[point.family]()
    return Law(mpf(point.gamma), mpf(point.sigma), *gig)


# ------------------------------------------------------------ the density


def log_bessel(p: Any, z: Any) -> Any:
    """``log K_p(z) + z``, by the trapezoid rule on ``exp(p t - z cosh t)``."""
    p = abs(p)
    if p < 0.5 and z < 1e-3:
        return mpmath.log(mpmath.besselk(p, z)) + z
    omega = mpmath.hypot(p, z)
    mode = mpmath.asinh(p / z)
    h = min(mpf("0.1"), mpf("0.45") / mpmath.sqrt(omega))
    high, low = (omega + p) / 2, z * z / (omega + p) / 2
    total = mpf(1)
    for sign in (-1, 1):
        s, fall = mpf(0), mpf(0)
        while fall < 105:
            s += sign * h
            if abs(s) < 1:
                sinh = mpmath.sinh(s / 2)
                cosh = mpmath.sqrt(1 + sinh * sinh)
                fall = omega * 2 * sinh * sinh + p * (2 * sinh * cosh - s)
            else:
                up = mpmath.exp(s)
                fall = high * (up - 1) + low * (1 / up - 1) - p * s
            total += mpmath.exp(-fall)
    return p * mode - p * p / (omega + z) + mpmath.log(h * total / 2)


def log_mass(p: Any, a: Any, b: Any) -> Any:
    """``log M(p, a, b) + sqrt(ab)``."""
    if b == 0:
        if p <= 0:
            return mp.inf
        return mpmath.loggamma(p) - p * mpmath.log(a / 2)
    if a == 0:
        return mpmath.loggamma(-p) + p * mpmath.log(b / 2)
    return mpmath.log(2 * (b / a) ** (p / 2)) + log_bessel(p, mpmath.sqrt(a * b))


@cache
def prior_mass(p: Any, a: Any, b: Any) -> Any:
    return log_mass(p, a, b)


def log_density(law: Law, gap: Any) -> Any:
    """At ``x = mu + gap``."""
    gamma, sigma, p, a, b = law
    g, q, c = gamma**2 / sigma, gap**2 / sigma, gamma * gap / sigma
    z = mpmath.sqrt((a + g) * (b + q))
    # c - z, of which the parts may have all digits in common
    exponent = -(a * b + a * q + g * b) / (z + c) if c > 0 else c - z
    value = log_mass(p - mpf(0.5), a + g, b + q) - prior_mass(p, a, b)
    return value + exponent + mpmath.sqrt(a * b) - mpmath.log(2 * mp.pi * sigma) / 2


def elasticity(law: Law, gap: Any) -> Any:
    """The slope of the log-density in ``log|gap|``, by differences."""
    if gap == 0:
        return mpf(0)
    h = mpf("1e-17")
    return (log_density(law, gap * (1 + h)) - log_density(law, gap)) / h


# ------------------------------------------------------------ the tails


@cache
def rule() -> list[tuple[Any, Any]]:
    """12 nodes and weights on [-1, 1]."""
    return GaussLegendre(mp).calc_nodes(3, 160)


def panel(f: Callable[[Any], Any], low: Any, high: Any) -> Any:
    half, middle = (high - low) / 2, (high + low) / 2
    return half * mpmath.fsum(w * f(middle + half * x) for x, w in rule())


def integral(h: Callable[[Any], Any], low: Any, high: Any) -> Any:
    """The logarithm of the integral of ``exp(h)``, unimodal, from low to high."""
    u, v = low, high
    ratio = (mpmath.sqrt(5) - 1) / 2
    one, other = v - ratio * (v - u), u + ratio * (v - u)
    at = h(one), h(other)
    for _ in range(75):
        if at[0] > at[1]:
            v, other = other, one
            one = v - ratio * (v - u)
            at = h(one), at[0]
        else:
            u, one = one, other
            other = u + ratio * (v - u)
            at = at[1], h(other)
    peak = max((low, (u + v) / 2, high), key=h)
    top, edges = h(peak), [peak]
    for sign, end in ((-1, low), (1, high)):
        most = abs(end - peak)
        if most == 0:
            continue
        near, far = mpf(0), most
        if top - h(end) > DROP:
            far = min(mpf("1e-9"), most)
            while top - h(peak + sign * far) < DROP:
                near, far = far, 2 * far
            for _ in range(4):
                middle = (near + far) / 2
                inside = top - h(peak + sign * middle) < DROP
                near, far = (middle, far) if inside else (near, middle)
        edges += [peak + sign * far * k / 4 for k in (1, 2, 3, 4)]
    edges.sort()

    def f(t):
        return mpmath.exp(h(t) - top)

    todo = [(u, v, panel(f, u, v)) for u, v in zip(edges, edges[1:], strict=False)]
    whole, total = sum(part[2] for part in todo), mpf(0)
    while todo:
        u, v, coarse = todo.pop()
        middle = (u + v) / 2
        halves = panel(f, u, middle), panel(f, middle, v)
        fine = halves[0] + halves[1]
        whole += fine - coarse
        if abs(fine - coarse) < TOLERANCE * whole:
            total += fine
        else:
            todo += [(u, middle, halves[0]), (middle, v, halves[1])]
    return top + mpmath.log(total)


def typical(law: Law) -> Any:
    """The mode of log Y."""
    root = mpmath.sqrt(law.p**2 + law.a * law.b)
    return (law.p + root) / law.a if law.p > 0 else law.b / (root - law.p)


def log_upper(law: Law, gap: Any) -> Any:
    """``log P(X > mu + gap)``."""
    size = law.sigma * typical(law)
    centre = mpmath.log(size + (law.gamma * typical(law)) ** 2) / 2
    least, most = centre - 2500, centre + 2500

    def side(sign):
        return lambda v: v + log_density(law, sign * mpmath.exp(v))

    start = mpmath.log(abs(gap)) if gap else least
    if gap > 0:
        return integral(side(1), start, max(start, centre) + 2500)
    parts = [integral(side(1), least, most)]
    if gap < 0:
        parts.append(integral(side(-1), min(start, centre) - 2500, start))
    return mpmath.log(sum(map(mpmath.exp, parts)))


def tails(point: Point) -> dict[str, Any]:
    """All columns."""
    law, gap = law_of(point), mpf(point.x) - mpf(point.mu)
    upper = gap > law.gamma * typical(law)
    sign = 1 if upper else -1
    one = log_upper(law._replace(gamma=sign * law.gamma), sign * gap)
    other = mpmath.log1p(-mpmath.exp(one))
    lower, upper = (other, one) if upper else (one, other)
    values = (lower, upper, log_density(law, gap))
    return dict(zip(COLUMNS, values, strict=True))


def log_upper_over_y(law: Law, gap: Any) -> Any:
    """The same as an integral over ``t = log y`` of normal tails."""
    gamma, sigma, p, a, b = law
    root, sd = mpmath.sqrt(2), mpmath.sqrt(sigma)

    def prior(t):
        return p * t - a * mpmath.exp(t) / 2 - b * mpmath.exp(-t) / 2

    def h(t):
        half = mpmath.exp(t / 2)
        m = (gap / half - gamma * half) / sd
        if m > 1e3:  # erfc takes ever longer
            tail = mpmath.hyp2f0(0.5, 1, -2 / m**2) / (m * mpmath.sqrt(2 * mp.pi))
            return prior(t) - m * m / 2 + mpmath.log(tail)
        return prior(t) + mpmath.log(mpmath.erfc(max(m, mpf(-1000)) / root) / 2)

    middle = mpmath.log(typical(law))
    mass = prior_mass(p, a, b) - mpmath.sqrt(a * b)
    return integral(h, middle - 2500, middle + 2500) - mass


# ------------------------------------------------------------ the point set


def power(rng: random.Random, low: float, high: float) -> float:
    return float(f"{10 ** rng.uniform(low, high):.6g}")


def mixing_of(rng: random.Random, family: str) -> tuple[tuple[float, ...], float]:
    """Arguments of Y, from 0.05 to 1e8 in shape, and its typical size."""
    size = power(rng, -8, 8)
    shape = power(rng, math.log10(0.05), rng.choice((1, 8)))
    if family == "NormalInverseGaussian":
        omega = power(rng, -4, rng.choice((2, 8)))
        return (size, size * omega), size
    if family == "VarianceGamma":
        return (shape, shape / size), size
    if family == "NormalInverseGamma":
        return (shape, shape * size), size
    p = rng.choice((-1, 1)) * power(rng, -2, rng.choice((0.5, 2, 8)))
    omega = power(rng, -8, rng.choice((2, 8)))
    a, b = omega / size, omega * size
    edge = rng.random()
    if edge < 0.1 and abs(p) >= 0.05:
        a, b = (2 * p / size, 0.0) if p > 0 else (0.0, -2 * p * size)
    elif abs(p) > omega:  # else the mode of log Y is far from 1
        a, b = (2 * p / size, b) if p > 0 else (a, -2 * p * size)
    return (p, a, b), size


def points(family: str, count: int, furthest: float) -> list[Point]:
    """Laws of all kinds, at their centre, in their tails and up to 1e±furthest."""
    rng = random.Random(f"{family} {count}")
    out = []
    while len(out) < count:
        mixing, size = mixing_of(rng, family)
        scale = power(rng, -8, 8)
        sigma = scale**2
        skew = rng.choice((0, 1, 1, 1)) * rng.choice((-1, 1)) * power(rng, -6, 4)
        gamma = skew * scale / math.sqrt(size)
        mu = rng.choice((0, 1, 1)) * rng.choice((-1, 1)) * power(rng, -8, 8)
        sd = scale * math.sqrt(size)
        spread = sd * (1 + abs(skew))
        sign, centre = rng.choice((-1, 1)), mu + gamma * size
        kind = rng.randrange(5)
        if kind == 0:
            x = centre + sign * sd * power(rng, -2, 0.7)
        elif kind == 1:
            x = mu + sign * sd * power(rng, -6, 1.5)
        elif kind == 2:
            x = centre + sign * spread * power(rng, 0, 2)
        elif kind == 3:
            x = mu + sign * spread * power(rng, 0, min(furthest, 8))
        else:
            x = sign * power(rng, -furthest, furthest)
        out.append(Point(family, mu, gamma, sigma, mixing, x))
    return out


# ------------------------------------------------------------ output, checks


def write() -> None:
    """Rewrite the CSV."""
    start = time.time()
    rows = []
    with mp.workdps(DPS):
        for family in MIXING:
            for point in points(family, TAILS, 25.0):
                values = tails(point)
                numbers = (*point[1:4], *point.mixing, 0.0)[:6]
                texts = [mpmath.nstr(values[c], DIGITS) for c in COLUMNS]
                rows.append([family, *map(repr, (*numbers, point.x)), *texts])
                if "-v" in sys.argv:
                    print(f"{time.time() - start:.0f}", *rows[-1], flush=True)
    with CSV_PATH.open("w", encoding="ascii", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow(("family", *PARAMETERS, "x", *COLUMNS))
        out.writerows(rows)
    size = CSV_PATH.stat().st_size
    print(f"{len(rows)} points, {size} bytes, {time.time() - start:.0f} s")


def read() -> list[tuple[Point, dict[str, float]]]:
    """The rows of the CSV."""
    with CSV_PATH.open(encoding="ascii", newline="") as handle:
        rows = list(csv.DictReader(handle))
    out = []
    for row in rows:
        numbers = [float(row[c]) for c in PARAMETERS]
        size = len(MIXING[row["family"]])
        mixing = tuple(numbers[3 : 3 + size])
        mu, gamma, sigma = numbers[:3]
        point = Point(row["family"], mu, gamma, sigma, mixing, float(row["x"]))
        out.append((point, {c: float(row[c]) for c in COLUMNS}))
    return out


def check() -> None:
    """The file against integrals over Y, and Bessel functions."""
    worst = dict.fromkeys(("over y", "bessel"), mpf(0))
    with mp.workdps(DPS):
        for point, known in read()[::9]:
            law, gap = law_of(point), mpf(point.x) - mpf(point.mu)
            sign = 1 if known["log_sf"] < known["log_cdf"] else -1
            want = min(known["log_sf"], known["log_cdf"])
            turned = law._replace(gamma=sign * law.gamma)
            found = log_upper_over_y(turned, sign * gap)
            gap = abs(found - want) / max(1, abs(want))
            worst["over y"] = max(worst["over y"], gap)
            if "-v" in sys.argv:
                print(point, want, mpmath.nstr(gap, 3), flush=True)
        for p in (-70, -2.5, -0.5, 0.0, 0.05, 0.5, 3.0, 40.0):
            for z in (1e-2, 0.3, 5.0, 300.0, 1e9):
                want = mpmath.besselk(p, z)
                found = log_bessel(mpf(p), mpf(z))
                gap = abs(found - mpmath.log(want) - z) / max(1, abs(found))
                worst["bessel"] = max(worst["bessel"], gap)
    for name, gap in worst.items():
        print(f"{name:12s} {mpmath.nstr(gap, 3)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check()
    else:
        write()
