"""Contracts: OpenAPI documents that follow the catalogue."""

from gateway.control.contracts.document import is_public, service_document, whole_document

__all__ = ["is_public", "service_document", "whole_document"]
