"""Values -> replies of the control plane."""

import msgspec
from litestar import Response

from catalog.vocabulary.money import encode_decimal
from catalog.vocabulary.spreadsheet import csv_file

_encoder = msgspec.json.Encoder(enc_hook=encode_decimal)


def answer(value: msgspec.Struct, status: int = 200) -> Response[bytes]:
    """A JSON reply about an account, which nobody on the way may keep."""
    return Response(
        _encoder.encode(value),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


def csv_answer(table: str, name: str) -> Response[bytes]:
    """A table as a download of this name, which a spreadsheet opens rightly."""
    return Response(
        csv_file(table),
        media_type="text/csv",
        headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
    )
