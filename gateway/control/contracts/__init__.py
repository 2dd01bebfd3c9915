"""Contracts: OpenAPI documents that follow the catalogue."""

from gateway.control.contracts.document import PriceList, is_public, service_document, whole_document

__all__ = ["PriceList", "is_public", "service_document", "whole_document"]
