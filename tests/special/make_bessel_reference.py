"""Make bessel_reference.csv: log K_v(z) and its derivatives to 22 digits.

K_v(z) = 1/2 * integral of exp(v t - z cosh t) over the real line.  The
trapezoid rule converges exponentially for this integrand, and every column
is a moment of the same weights:

    dv = <t>,  dz = -<cosh t>,  dvv = var(t),  dvz = -cov(t, cosh t),
    dzz = var(cosh t),  log_ratio_up = log <e^t>,  log_ratio_down = log <e^-t>

(log_ratio_up = log(K_{v+1}/K_v), log_ratio_down = log(K_{v-1}/K_v)).  Sums
run in 75-digit arithmetic with the step and the limits chosen so that the
quadrature error is below about 1e-50.  Only mpmath is needed.

    python make_bessel_reference.py               rewrite the CSV
    python make_bessel_reference.py --check [N]   compare about N of its rows
                                                  with mpmath.besselk
"""

import csv
import math
import random
import sys
import time
from pathlib import Path

import mpmath
from mpmath import mp, mpf

SEED = 20240607
DIGITS = 22
DPS = 75
STEP_NEPERS = 122.0  # discretisation error about exp(-122)
TAIL_NEPERS = 135.0  # terms below exp(-135) of the largest are dropped
RIDGE = 0.66274341934918  # log K_v(RIDGE * v) is near zero for large v
COLUMNS = (
    "log_k",
    "dv",
    "dz",
    "dvv",
    "dvz",
    "dzz",
    "log_ratio_up",
    "log_ratio_down",
)
CSV_PATH = Path(__file__).with_name("bessel_reference.csv")


# ------------------------------------------------------------ the quadrature


def _log_k_rough(v, z):
    """Leading exponent of K_v(z) (Laplace), good to a few nepers."""
    return v * mpmath.asinh(v / z) - mpmath.sqrt(v * v + z * z)


def _step(v, z):
    """Trapezoid step with error exp(-STEP_NEPERS) relative to K_v(z).

    On the shifted contour Im t = y the integrand is at most that of
    K_v(z cos y), so the error is about exp(-2 pi y / h) K_v(z cos y)/K_v(z)
    for any y in (0, pi/2); the best y gives the largest admissible h.  The
    order is padded by 2 for the weights up to cosh(t)^2.
    """
    with mp.workdps(20):
        v, z = mpf(v) + 2, mpf(z)
        base = _log_k_rough(v, z)
        best = 0.0
        for i in range(1, 400):
            y = (math.pi / 2) * i / 400
            growth = _log_k_rough(v, z * math.cos(y)) - base
            best = max(best, 2 * math.pi * y / (STEP_NEPERS + float(growth)))
    return best


def _limits(v, z, mode):
    """Range of s = t - mode outside which no needed weight matters."""
    low = high = mpf(0)
    with mp.workdps(30):
        for j in (-1, 0, 1, 2):
            order = v + j
            peak = mpmath.asinh(order / z)
            top = order * peak - z * mpmath.cosh(peak)
            for sign in (-1, 1):

                def drop(x, sign=sign, order=order, peak=peak, top=top):
                    t = peak + sign * x
                    return top - order * t + z * mpmath.cosh(t)

                near, far = mpf(0), mpf("1e-6")
                while drop(far) < TAIL_NEPERS:
                    near, far = far, 2 * far
                for _ in range(8):
                    mid = (near + far) / 2
                    if drop(mid) < TAIL_NEPERS:
                        near = mid
                    else:
                        far = mid
                edge = peak + sign * far - mode
                low, high = min(low, edge), max(high, edge)
    return low, high


def quadrature(v, z, shift=0.0, refine=1.0):
    """All columns, as mpf, for v >= 0; shift moves the nodes (for tests)."""
    with mp.workdps(DPS):
        v, z = mpf(v), mpf(z)
        root = mpmath.sqrt(v * v + z * z)
        mode = mpmath.asinh(v / z)
        a = (root + v) / 2  # z cosh t = a e^s + b e^-s with s = t - mode
        b = z * z / (4 * a)
        h = mpf(_step(v, z) / refine)
        low, high = _limits(v, z, mode)
        first = int(low / h) - 2
        last = int(high / h) + 2
        grow = mpmath.exp(h)
        shrink = 1 / grow
        s0 = (first + mpf(shift)) * h
        up, down = mpmath.exp(s0), mpmath.exp(-s0)
        exp = mpmath.exp
        rows = []
        m0 = m_s = m_c = m_up = m_down = mpf(0)
        for k in range(last - first + 1):
            s = s0 + k * h
            c = a * up + b * down
            w = exp(v * s - c + root)
            rows.append((w, s, c))
            m0 += w
            m_s += w * s
            m_c += w * c
            m_up += w * up
            m_down += w * down
            up *= grow
            down *= shrink
        m_s /= m0
        m_c /= m0
        ss = sc = cc = mpf(0)
        for w, s, c in rows:
            s -= m_s
            c -= m_c
            ws = w * s
            ss += ws * s
            sc += ws * c
            cc += w * c * c
        zero = mpf(0)
        return {
            "log_k": v * mode - root + mpmath.log(h * m0 / 2),
            "dv": mode + m_s if v else zero,
            "dz": -m_c / z,
            "dvv": ss / m0,
            "dvz": -sc / (m0 * z) if v else zero,
            "dzz": cc / (m0 * z * z),
            "log_ratio_up": mode + mpmath.log(m_up / m0),
            "log_ratio_down": (-mode + mpmath.log(m_down / m0) if v != 0.5 else zero),
        }


def reference(v, z):
    """All columns for any real v, using K_{-v} = K_v."""
    out = quadrature(abs(v), z)
    if v < 0:
        with mp.workdps(DPS):  # a bare minus rounds to the current precision
            out["dv"], out["dvz"] = -out["dv"], -out["dvz"]
        out["log_ratio_up"], out["log_ratio_down"] = (
            out["log_ratio_down"],
            out["log_ratio_up"],
        )
    return out


# ------------------------------------------------------------ the point set


def _zero_of_log_k(v):
    """The double nearest to the z at which log K_v(z) = 0, by Newton."""
    z = mpf(RIDGE * v)
    for _ in range(12):
        ref = quadrature(v, z)
        with mp.workdps(DPS):
            z -= ref["log_k"] / ref["dz"]
    return float(z)


def points():
    """The (v, z) pairs, all doubles, without repeats."""
    rng = random.Random(SEED)
    uniform, choice = rng.uniform, rng.choice
    out = []

    def sign():
        return choice((-1.0, 1.0))

    def log_z(low=-300.0, high=8.0):
        return 10.0 ** uniform(low, high)

    # wide: v of every magnitude, z over the whole range and over a middle
    for _ in range(130):
        out.append((sign() * 10.0 ** uniform(-8, 4), log_z()))
    for _ in range(130):
        out.append((sign() * 10.0 ** uniform(-8, 4), log_z(-6, 8)))
    for v in (1e-8, -1e-8, 1e4, -1e4):
        for z in (1e-300, 1e-20, 1.0, 1e4, 1e8):
            out.append((v, z))
    # v exactly zero
    for e in (-300, -200, -100, -30, -16, -8, -3, -1, 0, 1, 2, 3, 5, 8):
        out.append((0.0, float(f"1e{e}")))
    for _ in range(8):
        out.append((0.0, log_z(-4, 8)))
    # small z, moderate v
    for _ in range(70):
        out.append((uniform(-8, 8), log_z(-300, 0)))
    for _ in range(110):
        out.append((uniform(-8, 8), log_z(-20, 0)))
    # orders at and near integers and half-integers, and near zero
    offsets = [0.0]
    for e in (3, 6, 9, 12):
        offsets += [float(f"1e-{e}"), float(f"-1e-{e}")]
    for twice in range(17):
        for offset in offsets:
            v = twice / 2 + offset
            z = log_z(-300, 0) if rng.random() < 0.2 else log_z(-12, 3)
            out.append((sign() * v, z))
    for twice in (18, 21, 40, 101, 200, 2001, 20000):
        for _ in range(2):
            v = twice / 2 - choice((0.0, 1e-3, 1e-9))
            out.append((sign() * v, log_z(-8, 5)))
    for v in (0.5, -0.5, 1.5):
        for z in (1e-300, 1e-20, 0.1, 1.0, 10.0, 1e8):
            out.append((v, z))
    # seams
    for z in (0.99, 1.0, 1.01, 0.1):
        for v in range(9):
            out.append((sign() * v, z))
        out.append((sign() * uniform(0, 8), z))
        for v in (4.5, 6.49, 6.5, 6.51, 7.5):
            out.append((v, z))
    for v in (4.5, 6.49, 6.5, 6.51, 7.5):
        for z in (1e-300, log_z(-30, -1), log_z(-1, 1), log_z(1, 8)):
            out.append((sign() * v, z))
    for _ in range(24):
        out.append((sign() * uniform(0, 8), uniform(0.05, 3.0)))
    # the ridge where log K passes through zero
    for i in range(70):
        v = 10.0 ** (1 + 3 * i / 69)
        if i % 10 == 0:
            v = float(round(v))
        spread = choice((3e-2, 3e-2, 1e-3, 1e-6))
        out.append((sign() * v, RIDGE * v * (1 + spread * uniform(-1, 1))))
    for v in (2.0, 5.25, 12.0, 33.3, 100.0, 314.159, 1000.0, 3000.7, 9999.5):
        z = _zero_of_log_k(v)
        out.append((sign() * v, z))
        out.append((v, float(f"{z:.5g}")))
    # z near |v|, below it and above it
    for _ in range(35):
        v = 10.0 ** uniform(0, 4)
        out.append((sign() * v, v * uniform(0.9, 1.1)))
    for _ in range(45):
        v = 10.0 ** uniform(0, 4)
        out.append((sign() * v, v * 10.0 ** uniform(-8, -0.5)))
    for _ in range(45):
        v = 10.0 ** uniform(-1, 4)
        out.append((sign() * v, min(1e8, v * 10.0 ** uniform(0.5, 8))))
    # z tiny, v tiny to large
    sizes = (1e-8, 1e-5, 1e-3, 0.03, 0.3, 1.7, 12.5, 80.0, 777.7, 1e4)
    for z in (1e-300, 1e-200, 1e-100):
        for v in sizes:
            out.append((sign() * v, z))

    out = list(dict.fromkeys((v + 0.0, z) for v, z in out))
    for v, z in out:
        assert abs(v) <= 1e4 and 1e-300 <= z <= 1e8, (v, z)
    return out


# ------------------------------------------------------------ output, checks


def text(x):
    """Decimal string with DIGITS significant digits."""
    if not x:
        return "0.0"
    with mp.workdps(DPS):
        return mpmath.nstr(x, DIGITS, min_fixed=-5, max_fixed=DIGITS)


def write():
    """Rewrite the CSV."""
    start = time.time()
    todo = points()
    with CSV_PATH.open("w", encoding="ascii", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow(("v", "z", *COLUMNS))
        for v, z in todo:
            ref = reference(v, z)
            out.writerow((repr(v), repr(z), *(text(ref[c]) for c in COLUMNS)))
    size = CSV_PATH.stat().st_size
    print(f"{len(todo)} points, {size} bytes, {time.time() - start:.0f} s")


def _besselk_five(order, z):
    """K at order-2 .. order+2 from mpmath.besselk (order >= 0).

    For large orders with z of comparable size besselk itself does not
    converge; there it starts the upward recurrence, which is stable for K.
    """
    if order < 40 or not 0.05 < z / order < 1000:
        return [mpmath.besselk(order + j, z) for j in range(-2, 3)]
    count = int(mpmath.floor(order)) + 2
    first = order - count + 2
    ks = [mpmath.besselk(first, z), mpmath.besselk(first + 1, z)]
    for n in range(1, count):
        ks.append(ks[-2] + 2 * (first + n) / z * ks[-1])
        ks = ks[-5:]
    return ks


def by_besselk(v, z):
    """All columns from mpmath.besselk alone, v-derivatives by differences."""
    with mp.workdps(130):
        order, z, e = abs(mpf(v)), mpf(z), mpf(10) ** -28

        def parts(at):
            k2, k1, k, l1, l2 = _besselk_five(at, z)
            dz = -(k1 + l1) / (2 * k)
            dzz = (k2 + l2) / (4 * k) + mpf(1) / 2 - dz**2
            return mpmath.log(k), dz, dzz, mpmath.log(l1 / k), mpmath.log(k1 / k)

        mid, dz, dzz, up, down = parts(order)
        high, dz_high, _, _, _ = parts(order + e)
        low, dz_low, _, _, _ = parts(order - e)
        flip = -1 if v < 0 else 1
        return {
            "log_k": mid,
            "dv": flip * (high - low) / (2 * e),
            "dz": dz,
            "dvv": (high - 2 * mid + low) / e**2,
            "dvz": flip * (dz_high - dz_low) / (2 * e),
            "dzz": dzz,
            "log_ratio_up": up if v >= 0 else down,
            "log_ratio_down": down if v >= 0 else up,
        }


def check(count):
    """Compare about `count` rows, evenly spread, with mpmath.besselk."""
    with CSV_PATH.open(encoding="ascii", newline="") as handle:
        rows = list(csv.DictReader(handle))
    stride = max(1, len(rows) // count)
    worst = {c: (mpf(0), ("", "")) for c in COLUMNS}
    done = skipped = 0
    start = time.time()
    for row in rows[::stride]:
        try:
            want = by_besselk(float(row["v"]), float(row["z"]))
        except (mp.NoConvergence, ValueError) as error:
            print("no besselk value at", row["v"], row["z"], repr(error)[:60])
            skipped += 1
            continue
        done += 1
        with mp.workdps(60):
            for c in COLUMNS:
                got, ref = mpf(row[c]), want[c]
                gap = abs(got - ref) / abs(got) if got else abs(ref)
                if gap > worst[c][0]:
                    worst[c] = (gap, (row["v"], row["z"]))
    print(f"{done} rows, {skipped} skipped, {time.time() - start:.0f} s")
    for c in COLUMNS:
        print(f"{c:15s} {mpmath.nstr(worst[c][0], 3):>10s}  {worst[c][1]}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(int(sys.argv[2]) if len(sys.argv) > 2 else 200)
    else:
        write()
