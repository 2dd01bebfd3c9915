"""Keys: 256 bits of secret, a checksum that tells a typing error, and nothing secret in what is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api_key import InvalidKey, generate_key, parse_key, secret_digest


def test_a_key_names_its_environment_and_public_id() -> None:
    key = generate_key("live")
    assert key.text.startswith(b"og_live_" + key.public_id.encode() + b"_")
    assert parse_key(key.text) == key
    assert generate_key("test").text.startswith(b"og_test_")


def test_two_keys_share_nothing_and_differ_in_their_digests() -> None:
    first, second = generate_key("live"), generate_key("live")
    assert first.public_id != second.public_id
    assert secret_digest(b"p" * 32, first) != secret_digest(b"p" * 32, second)
    assert secret_digest(b"p" * 32, first) != secret_digest(b"q" * 32, first)


def test_a_key_in_a_traceback_does_not_show_its_secret() -> None:
    key = generate_key("live")
    assert key.text.decode() not in repr(key)
    assert key.text[21:].decode() not in repr(key)


@given(st.data())
def test_every_single_typing_error_is_found_without_a_look_up(data: st.DataObject) -> None:
    text = bytearray(generate_key("live").text)
    place = data.draw(st.integers(0, len(text) - 1))
    replacement = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[place]))
    text[place] = replacement
    with pytest.raises(InvalidKey):
        parse_key(bytes(text))


@given(st.binary(max_size=90))
def test_arbitrary_bytes_are_no_key(text: bytes) -> None:
    with pytest.raises(InvalidKey):
        parse_key(text)
