"""Blocks the network in every Python process that finds this folder on PYTHONPATH. Loopback stays open.

Python runs `sitecustomize` when it starts. The audit hook sees each connection and look-up before it is made, in this
process only, so child processes get theirs through PYTHONPATH."""
import ipaddress
import socket
import sys


class NetworkBlocked(OSError):
    "A test reached for the network."


def _local(host):
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost", "0.0.0.0", "::") or host == socket.gethostname():
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if isinstance(address, tuple) and address and not _local(address[0]):  # Unix sockets are strings
            raise NetworkBlocked(f"tests run with the network blocked: {event} {address}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if not _local(args[0]):
            raise NetworkBlocked(f"tests run with the network blocked: look-up of {args[0]!r}")


sys.addaudithook(_guard)
