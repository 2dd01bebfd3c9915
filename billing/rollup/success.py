"""The success rate, stated once: (ok + declined) / (ok + declined + provider_error), over calls or over sums of them.

A refusal that the business rightly gives is an answer: the stock was not there, and saying so is the service. What the
caller spoiled is no part of the rate. A passport's `success_when` may judge an answered call a failure (papers that did not
pass at first): then it is one here. Which calls are billed is another question, that of the price's `billable_on`.
"""

_SUCCEEDED = "class IN ('ok', 'declined') AND outcome <> 'failure'"
_SPOILED = "class = 'caller_error'"


def counted(calls: str) -> str:
    """The columns `successes` and `caller_faults` of a query over rows with `class` and `outcome` that each stand for so
    many calls: a column's name, or `1`. The rate is `successes` out of all calls less `caller_faults`."""
    return (
        f"coalesce(sum({calls}) FILTER (WHERE {_SUCCEEDED}), 0)::bigint AS successes, "
        f"coalesce(sum({calls}) FILTER (WHERE {_SPOILED}), 0)::bigint AS caller_faults"
    )
