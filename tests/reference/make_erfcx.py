"""Computes the Chebyshev coefficients of `chainrule.numerics.erfcx` with 60 digits and prints them.

Run it with mpmath installed: python tests/reference/make_erfcx.py.
"""

from __future__ import annotations

import mpmath as mp

mp.mp.dps = 60
K, POINTS, TERMS = mp.mpf("3.5"), 120, 24


def erfcx(a: mp.mpf) -> mp.mpf:
    """Return exp(a^2) erfc(a), by its asymptotic series where erfc would be too small."""
    if a < 50:
        return mp.exp(a * a) * mp.erfc(a)
    terms = [(-1) ** k * mp.fac2(2 * k - 1) / (2 * a * a) ** k for k in range(12)]
    return sum(terms) / (a * mp.sqrt(mp.pi))


angles = [mp.pi * (j + mp.mpf(1) / 2) / POINTS for j in range(POINTS)]
values = []
for angle in angles:
    t = mp.cos(angle)
    a = K * (1 + t) / (1 - t)
    values.append((a + K) * erfcx(a))
for k in range(TERMS):
    total = sum(value * mp.cos(k * angle) for value, angle in zip(values, angles, strict=True))
    print(repr(float((1 if k == 0 else 2) * total / POINTS)))
