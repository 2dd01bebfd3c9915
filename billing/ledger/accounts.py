"""The names of the ledger's accounts. Debits are positive: what is owed to the house grows with a debit.

| account | of | holds |
|---|---|---|
| `accrued` | a payer | rated, not yet on an issued document |
| `receivable` | a payer | on issued documents, to be paid or settled |
| `disputed` | a payer | on hold until its dispute is decided: contested on a document, or paid and reclaimed from the house |
| `due_to:<unit>` | a unit of the group that pays, or the house for other companies | what a delivering unit is owed of documents, as a credit |
| `due_from:<account>` | `unit:<unit>` | the same from the delivering unit's side, as a debit: over the group both sum to zero |
| `earnings:<service>` | the house | revenue of a service, as a credit |
| `credits:<service>` | the house | what missed objectives gave back, as a debit: it reduces revenue (IFRS 15, variable consideration) |
| `fee:<service>`, `top_up:…`, `true_up:…` | the house | what contracts add to a bill, as a credit; `account` where it is of the whole bill |
| `discount:<service>` | the house | what contracts take off, as a debit: it reduces revenue |
| `net_credit:account` | the house | passes what an invoice of less than nothing owes on to the credit notes that say so; what stays, as a credit, had been given back before |
| `tax` | the house | tax that was added, as a credit: owed to the authority |
| `prepaid` | a payer | credit that is held for it, a liability: granted or restored, and neither used nor expired |
| `bank` | the house | what was paid outside the payment provider, in advance or for a document, less what was sent back |
| `promotions` | the house | credit that was given away, as a debit: it reduces revenue |
| `breakage` | the house | paid credit that expired unused, as a credit |
| `cash` | the house | what the payment provider took in for the house, less what it kept or sent back; payouts to a bank are not in it |
| `payment_fees` | the house | what the provider keeps of payments, as a debit |
| `dispute_fees` | the house | what the provider charges for disputes, as a debit |
| `loss` | the house | disputes that were lost |
| `written_off` | the house | what is left of invoices and no longer asked for, such as a bank's fees, as a debit: an expense |
"""

# The installation's own books: one group, one issuing legal entity. No payer's scope reaches them.
HOUSE = "house"

ACCRUED = "accrued"
RECEIVABLE = "receivable"
DISPUTED = "disputed"
PREPAID = "prepaid"

TAX = "tax"
NET_CREDIT = "net_credit:account"
BANK = "bank"
PROMOTIONS = "promotions"
BREAKAGE = "breakage"
CASH = "cash"
PAYMENT_FEES = "payment_fees"
DISPUTE_FEES = "dispute_fees"
LOSS = "loss"
WRITTEN_OFF = "written_off"


def earnings(service: str) -> str:
    """The revenue account of a service."""
    return f"earnings:{service}"


def credits_of(service: str) -> str:
    """The account of a service's credits for missed objectives."""
    return f"credits:{service}"


def unit_books(unit: str) -> str:
    """Whose books those of a delivering unit are; no payer's scope reaches them."""
    return f"unit:{unit}"


def due_to(unit: str) -> str:
    """What a debtor owes a delivering unit."""
    return f"due_to:{unit}"


def due_from(account_id: str) -> str:
    """A delivering unit's claim on a debtor: an account of the group, or the house."""
    return f"due_from:{account_id}"


def contracted(kind: str, service: str) -> str:
    """The account of what contracts add to bills or take off them, for one service or (empty) for whole bills."""
    return f"{kind}:{service or 'account'}"
