"""Credit that came back against what lowered the documents that it had paid: for `ordergate reconcile`."""

from billing.invoice.lowered import RESTORABLE

# A sentence and an amount for each document.
RESTORED_FAULT = f"""
    SELECT number || ': lowered so that ' || due || ' of the credit that paid it come back, restored are ' || restored,
           abs(due - restored)
    FROM ({RESTORABLE}) AS document ORDER BY number
"""  # noqa: S608 - constants of this product
