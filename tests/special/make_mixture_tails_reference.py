"""Write mixture_tails_reference.csv: tails of normal mixtures and their derivatives.

``python make_mixture_tails_reference.py`` rewrites the file (some minutes);
``--check`` compares every seventh row with wider limits and other nodes, and Bessel
functions with the normalisers.

For ``X = B Y + sqrt(Y) Z`` with ``Y ~ GIG(p, a, b)`` and a point ``x``, all doubles:

- ``log_cdf``, ``log_sf``
- ``p``, ``a``, ``b``, ``B``, ``x``: first derivatives of the logarithm of the smaller
  of the two tails. At ``a = 0`` (``b = 0``) the one in ``a`` (``b``) is left out.

Tails are integrals over ``t = log y``, by Gauss-Legendre panels halved until a panel
and its halves agree. Derivatives are differences between conditional and plain moments
of (log Y, Y, 1/Y) and integrals of the normal density: nothing is differenced
numerically.
"""

from __future__ import annotations

import csv
import itertools
import math
import random
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf
from scipy import special

CSV_PATH = Path(__file__).with_name("mixture_tails_reference.csv")
SEED = 20240611
DPS = 40
DIGITS = 20
NODES = 30  # a panel
DROP = 75  # nepers; 3e-33
TOLERANCE = mpf("1e-22")  # of a panel, relative to the integral
FAR = mpf(10) ** 6  # the normal distribution has nothing beyond it
INPUTS = ("p_", "a_", "b_", "B_", "x_")
COLUMNS: tuple[str, ...] = ("log_cdf", "log_sf", "p", "a", "b", "B", "x")
FURTHEST = 1e25  # of x: beyond it, fronts have no width at 40 digits
DEPTHS = (0.5, 4.0, 30.0, 150.0, 650.0)  # nepers, of the tail


@cache
def gauss_legendre(n: int) -> list[tuple[Any, Any]]:
    """Nodes and weights on [0, 1], by Newton's method on the recurrence."""
    rule = []
    with mp.workdps(DPS + 10):
        for k in range(n):
            x = mpf(math.cos(math.pi * (k + 0.75) / (n + 0.5)))
            slope = mpf(1)
            for _ in range(7):
                before, value = mpf(1), x
                for j in range(2, n + 1):
                    next_ = ((2 * j - 1) * x * value - (j - 1) * before) / j
                    before, value = value, next_
                slope = n * (x * value - before) / (x * x - 1)
                x -= value / slope
            rule.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
    return rule


Sums = list[Any]


def panel(f: Callable[[Any], Sums], low, high, nodes: int) -> Sums:
    values = [(w, f(low + (high - low) * x)) for x, w in gauss_legendre(nodes)]
    columns = zip(*(v for _, v in values), strict=True)
    weights = [w for w, _ in values]
    return [(high - low) * mpmath.fdot(weights, c) for c in columns]


def integrate(f: Callable[[Any], Sums], low, high, nodes: int, marks=()) -> Sums:
    """Of all that ``f`` returns; the first, which is positive, decides on halving.

    Panels part at the ``marks``, lest all nodes miss what is narrow.
    """
    edges = [low + (high - low) * k / 8 for k in range(9)]
    edges = sorted([*edges, *(x for x in marks if low < x < high)])
    todo = [
        (u, v, panel(f, u, v, nodes))
        for u, v in zip(edges[:-1], edges[1:], strict=True)
    ]
    # The whole, as well as known; refined as the panels are.
    whole = sum(part[2][0] for part in todo)
    total: Sums = [mpf(0)] * len(todo[0][2])
    while todo:
        u, v, coarse = todo.pop()
        middle = (u + v) / 2
        halves = panel(f, u, middle, nodes), panel(f, middle, v, nodes)
        fine = [x + y for x, y in zip(*halves, strict=True)]
        whole += fine[0] - coarse[0]
        if abs(fine[0] - coarse[0]) < TOLERANCE * whole:
            total = [x + y for x, y in zip(total, fine, strict=True)]
        else:
            todo += [(u, middle, halves[0]), (middle, v, halves[1])]
    return total


def reach(h: Callable[[Any], Any], drop) -> tuple[Any, Any, Any]:
    """The highest value of a unimodal ``h``, and where it has fallen by ``drop``."""
    low, high = mpf(-20000), mpf(20000)
    ratio = (mpmath.sqrt(5) - 1) / 2
    for _ in range(90):
        one, other = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, other) if h(one) > h(other) else (one, high)
    top, peak = (low + high) / 2, h((low + high) / 2)
    ends = []
    for sign in (-1, 1):
        near, far = mpf(0), mpf("1e-6")
        while peak - h(top + sign * far) < drop:
            near, far = far, 2 * far
        for _ in range(6):
            middle = (near + far) / 2
            inside = peak - h(top + sign * middle) < drop
            near, far = (middle, far) if inside else (near, middle)
        ends.append(top + sign * far)
    return peak, ends[0], ends[1]


def exponent(p, a, b):
    """Of the density of log Y."""
    return lambda t: p * t - a * mpmath.exp(t) / 2 - b * mpmath.exp(-t) / 2


@cache
def plain(p: float, a: float, b: float, nodes: int, drop: int):
    """The logarithm of the normaliser and the means of (log Y, -Y/2, -1/(2Y))."""
    h = exponent(mpf(p), mpf(a), mpf(b))
    peak, low, high = reach(h, drop)

    def f(t):
        w, y = mpmath.exp(h(t) - peak), mpmath.exp(t)
        return [w, w * t, -w * y / 2, -w / y / 2]

    total, *means = integrate(f, low, high, nodes)
    return peak + mpmath.log(total), [m / total for m in means]


def tail(p, a, b, B, x, nodes: int = NODES, drop: int = DROP) -> tuple[Any, Sums]:
    """``log P(X <= x)`` and its derivatives."""
    log_total, means = plain(p, a, b, nodes, drop)
    p, a, b, B, x = map(mpf, (p, a, b, B, x))
    prior = exponent(p, a, b)
    root = mpmath.sqrt(2)

    def argument(t):
        return x * mpmath.exp(-t / 2) - B * mpmath.exp(t / 2)

    def h(t):
        m = argument(t)
        if m > FAR:
            return prior(t)
        # erfc takes longer and longer, and here a tail's end is sought, no value
        log_cdf = -m * m / 2 if m < -FAR else mpmath.log(mpmath.erfc(-m / root) / 2)
        return prior(t) + log_cdf

    peak, low, high = reach(h, drop)

    def f(t):
        m, g, half = argument(t), mpmath.exp(prior(t) - peak), mpmath.exp(t / 2)
        m = min(m, FAR)
        w = g * mpmath.erfc(-m / root) / 2
        pdf = g * mpmath.exp(-m * m / 2) / mpmath.sqrt(2 * mp.pi)
        y = half * half
        return [w, w * t, -w * y / 2, -w / y / 2, -pdf * half, pdf / half]

    marks = []
    if x * B > 0:
        front, width = mpmath.log(x / B), 1 / mpmath.sqrt(x * B)
        marks = [front + k * width for k in (-60, -20, -6, -2, 0, 2, 6, 20, 60)]
    total, *sums = integrate(f, low, high, nodes, marks)
    slopes = [s / total for s in sums]
    slopes[:3] = [s - m for s, m in zip(slopes[:3], means, strict=True)]
    return peak + mpmath.log(total) - log_total, slopes


def row(p, a, b, B, x, **options) -> dict[str, Any]:
    """All columns."""
    lower = tail(p, a, b, B, x, **options)
    log_cdf, slopes = lower
    if log_cdf < -math.log(2):
        log_sf = mpmath.log1p(-mpmath.exp(log_cdf))
    else:
        log_sf, slopes = tail(p, a, b, -B, -x, **options)
        slopes[3:] = [-s for s in slopes[3:]]
        log_cdf = mpmath.log1p(-mpmath.exp(log_sf))
    out = dict(zip(COLUMNS, (log_cdf, log_sf, *slopes), strict=True))
    for name, value in (("a", a), ("b", b)):
        if value == 0:
            out[name] = mp.nan
    return out


# ------------------------------------------------------------ the point set


def laws() -> list[tuple[float, float, float]]:
    """The parameters, mostly with ``sqrt(b/a)`` within a few orders of 1."""
    rng = random.Random(SEED)
    out = [
        (-0.5, 0.6538512409, 0.6538512409),
        (1.0, 1.0, 1.0),
        (-2.0, 0.9, 2.0),
        # small orders and arguments
        *((p, z, z) for p in (0.0, 0.01, -0.3) for z in (1e-12, 1e-4)),
        (0.15, 1e-8, 1e-8),
        # corners
        *((p, z / s, z * s) for p in (-50.0, 50.0) for z, s in [(1e-6, 1e3), (1e4, 1)]),
        (0.3, 1e4, 1e4),
        (-1.5, 300.0, 300.0),
        # Gamma and inverse Gamma
        *((p, 2 * p, 0.0) for p in (0.02, 0.3, 1.0, 2.5, 50.0)),
        *((-p, 0.0, 2 * p) for p in (0.05, 0.4, 1.5, 3.0, 50.0)),
    ]
    for _ in range(6):
        p = rng.choice((rng.uniform(-50, 50), rng.uniform(-3, 3)))
        z, s = 10.0 ** rng.uniform(-6, 4), 10.0 ** rng.uniform(-3, 3)
        out.append((p, z / s, z * s))
    return out


def point(p, a, b, B, depth, upper) -> float:
    """Where a tail is about ``exp(-depth)``: by the highest value of its integrand."""
    t = np.linspace(-600.0, 600.0, 240001)
    with np.errstate(all="ignore"):
        prior = p * t - 0.5 * a * np.exp(t) - 0.5 * b * np.exp(-t)
    near = t[prior > prior.max() - depth - 40]
    t = np.linspace(near[0], near[-1], 4001)
    prior = p * t - 0.5 * a * np.exp(t) - 0.5 * b * np.exp(-t)
    prior -= np.log(np.exp(prior - prior.max()).sum()) + prior.max()
    sign = -1 if upper else 1
    centre = B * math.exp(t[prior.argmax()])

    def log_tail(x):
        m = sign * (x * np.exp(-0.5 * t) - B * np.exp(0.5 * t))
        value = prior + special.log_ndtr(m)
        return value.max() + math.log(np.exp(value - value.max()).sum())

    near, far = 0.0, 1e-6
    while log_tail(centre - sign * far) > -depth and far < FURTHEST:
        near, far = far, 2 * far
    for _ in range(20):
        middle = 0.5 * (near + far)
        shallow = log_tail(centre - sign * middle) > -depth
        near, far = (middle, far) if shallow else (near, middle)
    return float(f"{centre - sign * far:.6g}")


def points() -> list[tuple[float, ...]]:
    rng = random.Random(SEED)
    out = []
    skews = itertools.cycle((0.0, 0.03, -1.0, 20.0, -1e3, 1.0, -150.0))
    for p, a, b in laws():
        root = math.hypot(p, math.sqrt(a * b)) + abs(p)
        size = root / a if p >= 0 else b / root  # the mode of log Y
        for _ in range(2):
            skew = next(skews)
            B = float(f"{skew / math.sqrt(size):.6g}")
            for upper in (False, True):
                for depth in rng.sample(DEPTHS, 2):
                    if a == 0 and depth > 100 and abs(p) < 5:  # out of reach
                        depth = 40.0
                    out.append((p, a, b, B, point(p, a, b, B, depth, upper)))
        out.append((p, a, b, B, 0.0))
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
    rows = []
    with mp.workdps(DPS):
        for at in points():
            values = row(*at)
            rows.append([*map(repr, at), *(text(values[c]) for c in COLUMNS)])
            if "-v" in sys.argv:
                print(f"{time.time() - start:.0f}", *rows[-1][:7], flush=True)
    with CSV_PATH.open("w", encoding="ascii", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow((*INPUTS, *COLUMNS))
        out.writerows(rows)
    size = CSV_PATH.stat().st_size
    print(f"{len(rows)} points, {size} bytes, {time.time() - start:.0f} s")


def check() -> None:
    """The file against other nodes and limits, and Bessel functions."""
    with CSV_PATH.open(encoding="ascii", newline="") as handle:
        rows = list(csv.DictReader(handle))
    worst = dict.fromkeys(("nodes", "normaliser"), mpf(0))
    with mp.workdps(DPS):
        for known in rows[::7]:
            at = [float(known[c]) for c in INPUTS]
            again = row(*at, nodes=NODES + 6, drop=DROP + 20)
            for c in COLUMNS:
                if mpmath.isfinite(again[c]) and again[c] != 0:
                    gap = abs(mpf(known[c]) / again[c] - 1)
                    worst["nodes"] = max(worst["nodes"], gap)
            p, a, b = at[:3]
            if a > 0 and b > 0:
                z = mpmath.sqrt(mpf(a) * b)
                want = 2 * (mpf(b) / a) ** (mpf(p) / 2) * mpmath.besselk(p, z)
                gap = abs(plain(p, a, b, NODES, DROP)[0] - mpmath.log(want))
                worst["normaliser"] = max(worst["normaliser"], gap)
    for name, gap in worst.items():
        print(f"{name:12s} {mpmath.nstr(gap, 3)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check()
    else:
        write()
