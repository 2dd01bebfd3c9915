"""The names of the ledger's accounts. Debits are positive: what is owed to the house grows with a debit.

| account | of | holds |
|---|---|---|
| `accrued` | a payer | rated, not yet on an issued document |
| `receivable` | a payer | on issued documents, to be paid or settled |
| `earnings:<service>` | the house | revenue of a service, as a credit |
"""

# The installation's own books: one group, one issuing legal entity. No payer's scope reaches them.
HOUSE = "house"

ACCRUED = "accrued"
RECEIVABLE = "receivable"


def earnings(service: str) -> str:
    """The revenue account of a service."""
    return f"earnings:{service}"
