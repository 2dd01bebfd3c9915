"""The service passport: the value, reading and checking it, and what of it the code decides."""

from catalog.passport.interface import (
    document_of,
    interface_changes,
    interface_digest,
    interface_of,
    with_terms,
)
from catalog.passport.passport import (
    Binding,
    Cost,
    Deprecated,
    Deprecation,
    Example,
    Freshness,
    OperationEntry,
    Owner,
    Passport,
    PassportRefused,
    SchemaReference,
    Share,
    Visibility,
)
from catalog.passport.reading import BYTES_MAX, check_passport, read_passport, stored_passport

__all__ = [
    "BYTES_MAX",
    "Binding",
    "Cost",
    "Deprecated",
    "Deprecation",
    "Example",
    "Freshness",
    "OperationEntry",
    "Owner",
    "Passport",
    "PassportRefused",
    "SchemaReference",
    "Share",
    "Visibility",
    "check_passport",
    "document_of",
    "interface_changes",
    "interface_digest",
    "interface_of",
    "read_passport",
    "stored_passport",
    "with_terms",
]
