"""Write gig_tails_reference.csv: tails of GIG laws and their derivatives.

``python make_gig_tails_reference.py`` rewrites the file (half a minute);
``--check`` compares some rows with mpmath's incomplete gamma and Bessel functions
and with twice the nodes.

For ``Y ~ GIG(p, a, b)`` and a point ``x`` that is a double, of the one tail that does
not contain the mode of log Y ("upper" is 1 for P(Y > x)):

- ``log_cdf``, ``log_sf``
- ``hazard``: the density of log Y at log x over that tail's probability
- ``p``, ``a``, ``b``: first derivatives of the logarithm of that tail, and
  ``pp``, ``pa``, ``aa``, ``bb``: second ones. At ``b = 0`` (``a = 0``) those in ``b``
  (``a``) are one-sided, infinite or, as a difference of infinities, nan.

Tails are integrals of a log-concave function that decreases from its first point on,
here by composite Gauss-Legendre rules on panels that double in length from either end.
Derivatives are differences between conditional and plain moments of
(log Y, Y, 1/Y): nothing is differenced numerically.
"""

from __future__ import annotations

import csv
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import mpmath
from mpmath import mp, mpf

CSV_PATH = Path(__file__).with_name("gig_tails_reference.csv")
SEED = 20240611
DPS = 50
DIGITS = 20
NODES = 40  # a panel
HALVINGS = 12  # of panels towards either end
DROP = 95  # nepers; 1e-41
INPUTS = ("p_", "a_", "b_", "x")
COLUMNS = ("log_cdf", "log_sf", "hazard", "p", "a", "b", "pp", "pa", "aa", "bb")

_rules: dict[int, list[tuple[mpf, mpf]]] = {}


def gauss_legendre(n: int) -> list[tuple[Any, Any]]:
    """Nodes and weights on [0, 1], by Newton's method on the recurrence."""
    if n not in _rules:
        with mp.workdps(DPS + 10):
            rule = []
            for k in range(n):
                x = mpf(math.cos(math.pi * (k + 0.75) / (n + 0.5)))
                for _ in range(7):
                    before, value = mpf(1), x
                    for j in range(2, n + 1):
                        before, value = (
                            value,
                            ((2 * j - 1) * x * value) / j - ((j - 1) * before) / j,
                        )
                    slope = n * (x * value - before) / (x * x - 1)
                    x -= value / slope
                rule.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
            _rules[n] = rule
    return _rules[n]


def _panels(length):
    """Break points, closest together at both ends."""
    parts = [mpf(0)] + [length * mpf(2) ** -k for k in range(HALVINGS, 0, -1)]
    parts += [length - x for x in reversed(parts[:-1])]
    return parts


def _powers(p, alpha, beta, order: int):
    """Whether the integral of ``e^{order s}`` times the integrand below exists."""
    return alpha > 0 or p + order < 0


def tail(p, a, b, t, nodes: int = NODES) -> dict[tuple[int, int, int], Any]:
    """Moments of (log Y, Y, 1/Y) over log Y > t, relative to the density at t.

    Of degree up to two; infinite where they do not exist.
    """
    alpha, beta = a * mpmath.exp(t) / 2, b * mpmath.exp(-t) / 2
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    keys += [(2, 0, 0), (1, 1, 0), (0, 2, 0), (0, 0, 2)]
    exists = {k: _powers(p, alpha, beta, k[1]) for k in keys}
    heaviest = 2 if exists[0, 2, 0] else 1 if exists[0, 1, 0] else 0

    def exponent(s):
        return p * s - alpha * mpmath.expm1(s) - beta * mpmath.expm1(-s)

    near, far = mpf(0), mpf("1e-8")
    while exponent(far) + heaviest * far > -DROP:
        near, far = far, 2 * far
    for _ in range(10):
        middle = (near + far) / 2
        inside = exponent(middle) + heaviest * middle > -DROP
        near, far = (middle, far) if inside else (near, middle)
    breaks = _panels(far)
    sums = dict.fromkeys(keys, mpf(0))
    y0 = mpmath.exp(t)
    for low, high in zip(breaks[:-1], breaks[1:], strict=True):
        for x, w in gauss_legendre(nodes):
            s = low + (high - low) * x
            grow = mpmath.exp(s)
            f = w * (high - low)
            f *= mpmath.exp(p * s - alpha * (grow - 1) + beta * (1 - 1 / grow))
            log_y, y = t + s, y0 * grow
            sums[0, 0, 0] += f
            sums[1, 0, 0] += f * log_y
            sums[2, 0, 0] += f * log_y * log_y
            sums[0, 1, 0] += f * y
            sums[1, 1, 0] += f * y * log_y
            sums[0, 2, 0] += f * y * y
            sums[0, 0, 1] += f / y
            sums[0, 0, 2] += f / (y * y)
    return {k: v if exists[k] else mp.inf for k, v in sums.items()}


def lower_tail(p, a, b, t, nodes: int = NODES):
    """The same over log Y < t, from the upper tail of 1/Y."""
    mirrored = tail(-p, b, a, -t, nodes)
    # Y and 1/Y change places; of (1, 1, 0) nothing is known, and nothing asked.
    out = {(i, k, j): (-1) ** i * v for (i, j, k), v in mirrored.items()}
    return out


def log_density(p, a, b, t):
    """Of log Y, but for a constant."""
    return p * t - a * mpmath.exp(t) / 2 - b * mpmath.exp(-t) / 2


def mode(p, a, b):
    """Of log Y."""
    root = mpmath.sqrt(p * p + a * b)
    return mpmath.log((p + root) / a) if p >= 0 else mpmath.log(b / (root - p))


class Law:
    """``GIG(p, a, b)`` from doubles, with its moments."""

    def __init__(self, p: float, a: float, b: float, nodes: int = NODES):
        self.parameters = mpf(p), mpf(a), mpf(b)
        self.nodes = nodes
        self.mode = mode(*self.parameters)
        self.peak = log_density(*self.parameters, self.mode)
        # Both tails at the mode: neither has the mode inside.
        parts = [
            part(*self.parameters, self.mode, nodes) for part in (tail, lower_tail)
        ]
        # E[log Y; Y] of the lower half, from that of 1/Y: by its own integral.
        parts[1][1, 1, 0] = self._mixed(self.mode)
        self.moments = {k: parts[0][k] + parts[1][k] for k in parts[0]}

    def _mixed(self, t):
        """The (1, 1, 0) moment over log Y < t: the law of order p + 1, weighted."""
        p, a, b = self.parameters
        above = lower_tail(p + 1, a, b, t, self.nodes)
        return mpmath.exp(t) * above[1, 0, 0]

    def at(self, x: float) -> dict[str, Any]:
        """All columns."""
        t = mpmath.log(mpf(x))
        upper = t > self.mode
        if upper:
            part = tail(*self.parameters, t, self.nodes)
        else:
            part = lower_tail(*self.parameters, t, self.nodes)
            part[1, 1, 0] = self._mixed(t)
        relative = log_density(*self.parameters, t) - self.peak
        share = part[0, 0, 0] / self.moments[0, 0, 0]
        log_one = relative + mpmath.log(share)
        log_other = mpmath.log1p(-mpmath.exp(log_one))
        log_cdf, log_sf = (log_other, log_one) if upper else (log_one, log_other)
        out = {"log_cdf": log_cdf, "log_sf": log_sf, "hazard": 1 / part[0, 0, 0]}

        def cumulants(moments):
            mean = {k: v / moments[0, 0, 0] for k, v in moments.items()}
            e_log, e_y, e_inv = mean[1, 0, 0], mean[0, 1, 0], mean[0, 0, 1]
            return {
                "p": e_log,
                "a": -e_y / 2,
                "b": -e_inv / 2,
                "pp": mean[2, 0, 0] - e_log**2,
                "pa": _minus(mean[1, 1, 0], e_log * e_y) / -2,
                "aa": _minus(mean[0, 2, 0], e_y**2) / 4,
                "bb": _minus(mean[0, 0, 2], e_inv**2) / 4,
            }

        inside, whole = cumulants(part), cumulants(self.moments)
        return out | {k: _minus(inside[k], whole[k]) for k in inside}


def _minus(x, y):
    """A difference, in which an infinite moment stays one."""
    if mpmath.isinf(x):
        return mp.nan if mpmath.isinf(y) else x
    return x - y


# ------------------------------------------------------------ the point set


def laws() -> list[tuple[float, float, float]]:
    """The parameters: doubles."""
    rng = random.Random(SEED)
    out = [
        # typical
        (-0.7, 0.9, 2.0),
        (1.0, 1.0, 1.0),
        (-0.5, 1.0, 4.0),
        (0.0, 0.5, 0.2),
        # corners of the stated domain
        *(
            (p, z / s, z * s)
            for p in (-50.0, 50.0)
            for z, s in [(1e-6, 1e8), (1e4, 1e-8)]
        ),
        *((p, z, z) for p in (0.0, 0.01, -0.3, 1.5) for z in (1e-6, 1e4)),
        # and beyond
        (400.0, 1.0, 1.0),
        (-400.0, 1e-3, 1e-3),
        (200.0, 300.0, 300.0),
        # Gamma and inverse Gamma
        *((p, 2 * rate, 0.0) for p, rate in [(0.3, 1.0), (1.0, 1e8), (2.5, 0.5)]),
        *((p, 2 * rate, 0.0) for p, rate in [(50.0, 1e-8), (0.03, 1.0), (7.0, 3.0)]),
        *((-p, 0.0, 2 * rate) for p, rate in [(0.4, 1.0), (1.5, 1e-8), (3.0, 0.5)]),
        *((-p, 0.0, 2 * rate) for p, rate in [(50.0, 1e8), (7.0, 2.0), (400.0, 1.0)]),
    ]
    for _ in range(14):
        p = rng.choice((rng.uniform(-50, 50), rng.uniform(-3, 3)))
        z, s = 10.0 ** rng.uniform(-6, 4), 10.0 ** rng.uniform(-8, 8)
        out.append((p, z / s, z * s))
    return out


def points() -> list[tuple[float, float, float, float]]:
    """At given drops of the log-density from its mode, on either side."""
    rng = random.Random(SEED)
    out = []
    for parameters in laws():
        p, a, b = map(mpf, parameters)
        top = mode(p, a, b)
        peak = log_density(p, a, b, top)
        chosen = rng.sample((0.03, 0.7, 3.0, 15.0, 60.0, 250.0, 660.0), 3)
        for sign in (-1, 1):
            for drop in chosen:
                near, far = mpf(0), mpf("1e-6")
                while peak - log_density(p, a, b, top + sign * far) < drop:
                    near, far = far, 2 * far
                for _ in range(30):
                    middle = (near + far) / 2
                    value = peak - log_density(p, a, b, top + sign * middle)
                    near, far = (middle, far) if value < drop else (near, middle)
                if abs(top + sign * far) < 680:  # a double
                    out.append((*parameters, float(mpmath.exp(top + sign * far))))
    return out


# ------------------------------------------------------------ output, checks


def text(x) -> str:
    """Decimal string with DIGITS significant digits."""
    if not mpmath.isfinite(x):
        return str(float(x))
    return mpmath.nstr(x, DIGITS, min_fixed=-5, max_fixed=DIGITS)


def write() -> None:
    """Rewrite the CSV."""
    start = time.time()
    known: dict[tuple[float, float, float], Law] = {}
    rows = []
    with mp.workdps(DPS):
        for p, a, b, x in points():
            key = p, a, b
            if key not in known:
                known[key] = Law(*key)
            row = known[key].at(x)
            rows.append([*map(repr, (*key, x)), *(text(row[c]) for c in COLUMNS)])
    with CSV_PATH.open("w", encoding="ascii", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow((*INPUTS, *COLUMNS))
        out.writerows(rows)
    size = CSV_PATH.stat().st_size
    print(f"{len(rows)} points, {size} bytes, {time.time() - start:.0f} s")


def check() -> None:
    """The file against other formulas and another rule."""
    with CSV_PATH.open(encoding="ascii", newline="") as handle:
        rows = list(csv.DictReader(handle))
    worst = dict.fromkeys(("nodes", "gamma", "normaliser"), mpf(0))
    with mp.workdps(DPS):
        for row in rows[::7]:
            inputs = [float(row[c]) for c in INPUTS]
            law = Law(*inputs[:3], nodes=NODES + 20)
            again = law.at(inputs[3])
            for c in COLUMNS:
                if mpmath.isfinite(again[c]):
                    gap = abs(mpf(row[c]) - again[c]) / abs(again[c])
                    worst["nodes"] = max(worst["nodes"], gap)
            p, a, b = law.parameters
            if a > 0 and b > 0 and abs(p) <= 100:
                z = mpmath.sqrt(a * b)
                want = 2 * (b / a) ** (p / 2) * mpmath.besselk(p, z)
                got = mpmath.exp(law.peak) * law.moments[0, 0, 0]
                worst["normaliser"] = max(worst["normaliser"], abs(got / want - 1))
        for row in rows:
            p, a, b, x = (mpf(float(row[c])) for c in INPUTS)
            if a > 0 and b > 0:
                continue
            edge = a * x / 2 if b == 0 else b / (2 * x)
            shape = abs(p)
            low = mpmath.gammainc(shape, 0, edge, regularized=True)
            high = mpmath.gammainc(shape, edge, regularized=True)
            pair = (low, high) if b == 0 else (high, low)
            for value, column in zip(pair, ("log_cdf", "log_sf"), strict=True):
                if value < 0.75:  # else its logarithm is that of a rounded 1
                    gap = abs(mpf(row[column]) - mpmath.log(value))
                    gap /= abs(mpf(row[column]))
                    worst["gamma"] = max(worst["gamma"], gap)
    for name, gap in worst.items():
        print(f"{name:12s} {mpmath.nstr(gap, 3)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check()
    else:
        write()
