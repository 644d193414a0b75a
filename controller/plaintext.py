"""Whether credentials may go to an address: not over plain http, unless the other end is this machine."""

import ipaddress

from yarl import URL


def is_exposed(url: URL, proxy: URL | None = None) -> bool:
    """Whether others on the network can read what is sent to this address, by way of this proxy."""
    return url.scheme == "http" and not (is_loopback(url) and (proxy is None or is_loopback(proxy)))


def is_loopback(url: URL) -> bool:
    """Whether an address is this machine by its own words: no name is resolved but localhost."""
    host = (url.host or "").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
