"""Proven results, of which prices take a share: stated, then accepted or declined by the payer."""
