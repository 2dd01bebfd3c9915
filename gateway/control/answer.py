"""Values -> replies of the control plane."""

import msgspec
from litestar import Response

from catalog.vocabulary.money import encode_decimal
from gateway.control.endpoint import MEDIA_TYPES, FileForm

_encoder = msgspec.json.Encoder(enc_hook=encode_decimal)


def answer(value: msgspec.Struct, status: int = 200) -> Response[bytes]:
    """A JSON reply about an account, which nobody on the way may keep."""
    return Response(
        _encoder.encode(value),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


def file_answer(content: bytes, name: str, form: FileForm) -> Response[bytes]:
    """A download; `name` is without its ending."""
    return Response(
        content,
        media_type=MEDIA_TYPES[form],
        headers={
            "content-disposition": f'attachment; filename="{name}.{form}"',
            "cache-control": "no-store",
        },
    )
