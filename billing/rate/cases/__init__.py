"""Pricing cases: the neutral vocabulary in which systems compare their prices, answered by this one."""

from billing.rate.cases.answer import answer, answer_lines

__all__ = ["answer", "answer_lines"]
