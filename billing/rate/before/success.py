"""Which success rate a price sees: the period's own, or the trailing months' where the sample is too small."""

from fractions import Fraction

from billing.rate.usage import CallCounts, Usage, UsageError


def success_rate_pct(usage: Usage, minimum_sample: int) -> Fraction | None:
    """Successes per judged call in percent; None where even the trailing months have too few calls to judge."""
    if usage.calls is None:
        raise UsageError(
            "this price depends on the success rate: calls, successes and caller_faults are needed"
        )
    for counts in (usage.calls, usage.trailing):
        if counts is not None and counts.judged > 0 and counts.judged >= minimum_sample:
            return _rate_pct(counts)
    return None


def _rate_pct(counts: CallCounts) -> Fraction:
    return 100 * Fraction(counts.successes) / Fraction(counts.judged)
