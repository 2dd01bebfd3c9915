"""Door: commands from people and the API."""

from billing.invoice.close import CloseReport, IssuedDocument, LeftDraft, NotEnded, close

__all__ = ["CloseReport", "IssuedDocument", "LeftDraft", "NotEnded", "close"]
