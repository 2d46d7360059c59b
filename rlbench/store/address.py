"""Addresses of stores: what other processes and machines understand, and the file system that one leads to."""

from typing import Any

from ..errors import UsageError, first_line
from ..process.places import absolute

_OFTEN = {
    "abfs",
    "file",
    "gs",
    "hdfs",
    "memory",
    "oci",
    "oss",
    "s3",
    "sftp",
    "smb",
}  # of all that fsspec knows


def whole_address(address: str) -> str:
    """``address`` as other processes and machines understand it: a folder of this machine becomes file://...

    Raises:
        UsageError: it is empty, or goes by way of a second protocol.
    """
    if "::" in address:
        raise UsageError(f"{address!r} names a chain of protocols. Give the place itself, such as s3://bucket/path.")
    protocol, found, rest = address.partition("://")
    if not found:
        return f"file://{absolute(address)}"
    if protocol in ("file", "local"):
        return f"file://{absolute(rest)}"
    if not rest.strip("/"):
        raise UsageError(f"{address!r} names no place. Give one below it, such as {protocol}://bucket/path.")
    return f"{protocol}://{rest.rstrip('/')}"


def protocol_of(address: str) -> str:
    return address.partition("://")[0]


def opened(address: str) -> tuple[Any, str]:
    """The file system of an address, with nothing remembered from asking before, and the path in it."""
    protocol = protocol_of(address)
    try:
        from fsspec.core import url_to_fs
        from fsspec.registry import available_protocols
    except ImportError as e:
        raise UsageError("a store needs fsspec. Run: pip install 'rlbench[store]'") from e
    if protocol not in available_protocols():
        raise UsageError(
            f"{address!r}: fsspec knows no protocol {protocol!r}. Give s3://bucket/path, file:///folder, or one of: "
            f"{', '.join(sorted(p for p in available_protocols() if p in _OFTEN))}."
        )
    try:
        fs, root = url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as e:
        how = "Run: pip install 'rlbench[store]'" if protocol in ("s3", "s3a") else f"{first_line(e)}"
        raise UsageError(f"{address!r}: what {protocol}:// needs is not installed. {how}") from e
    except Exception as e:
        raise UsageError(f"{address!r}: {first_line(e)}") from e
    return fs, str(root)
