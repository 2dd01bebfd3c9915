"""The names of the ledger's accounts. Debits are positive: what is owed to the house grows with a debit.

| account | of | holds |
|---|---|---|
| `accrued` | a payer | rated, not yet on an issued document |
| `receivable` | a payer | on issued documents, to be paid or settled |
| `disputed` | a payer | paid, and reclaimed from the house until the dispute is decided |
| `earnings:<service>` | the house | revenue of a service, as a credit |
| `credits:<service>` | the house | what missed objectives gave back, as a debit: it reduces revenue (IFRS 15, variable consideration) |
| `cash` | the house | what the payment provider holds for the house |
| `dispute_fees` | the house | what the provider charges for disputes |
| `loss` | the house | disputes that were lost |
"""

# The installation's own books: one group, one issuing legal entity. No payer's scope reaches them.
HOUSE = "house"

ACCRUED = "accrued"
RECEIVABLE = "receivable"
DISPUTED = "disputed"

CASH = "cash"
DISPUTE_FEES = "dispute_fees"
LOSS = "loss"


def earnings(service: str) -> str:
    """The revenue account of a service."""
    return f"earnings:{service}"


def credits_of(service: str) -> str:
    """The account of a service's credits for missed objectives."""
    return f"credits:{service}"
