"""Counts above a value from a histogram: exact where the value is an edge of its bins."""

import math

from ksim.evidence.sums import BINS_PER_OCTAVE, Histogram


def key_of(value: float) -> int:
    """The bin of a value above zero."""
    mantissa, exponent = math.frexp(value)
    return (exponent + 1100) * BINS_PER_OCTAVE + int((mantissa - 0.5) * 2 * BINS_PER_OCTAVE)


def edge_near(value: float) -> float:
    """The lower edge of the bin of ``value``."""
    exponent, step = divmod(key_of(value), BINS_PER_OCTAVE)
    return math.ldexp(0.5 + step / (2 * BINS_PER_OCTAVE), exponent - 1100)


def above(histogram: Histogram, edge: float) -> int:
    """How many values are in bins from ``edge`` upwards; one that is the edge itself counts as above."""
    return sum(count for key, count in histogram.counts.items() if key >= key_of(edge))
