"""Where the gateway listens: an address of this machine and a port, and how the machine itself reaches them.

IPv4 only: whoever comes by IPv6 comes through the proxy that ends TLS.
"""

import socket
from ipaddress import AddressValueError, IPv4Address

from catalog.vocabulary.settings import LOOPBACK, InvalidSetting

_BACKLOG = 2048


def listening_address(name: str, value: str) -> str:
    """`value` where a machine can have it as its address, or means all of them; otherwise `InvalidSetting` about `name`.

    Whether it is this machine's is known once it is listened on.
    """
    try:
        address = IPv4Address(value)
    except AddressValueError:
        address = None
    if address is None or address.is_multicast or address.is_reserved:
        raise InvalidSetting(
            f"{name}={value!r}: give an IPv4 address of this machine; {LOOPBACK} is reached from this machine alone, "
            "0.0.0.0 stands for all of its addresses"
        )
    return str(address)


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; `OSError`, with EADDRNOTAVAIL where the address is another machine's."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def reached_at(host: str) -> str:
    """The address by which this machine itself reaches what listens on `host`."""
    return LOOPBACK if IPv4Address(host).is_unspecified else host


def is_exposed(host: str) -> bool:
    """Whether other machines may reach what listens on `host`."""
    return not IPv4Address(host).is_loopback
