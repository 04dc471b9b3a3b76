"""A small Redis client for tests: RESP2 and RESP3, blocking, one socket, no retries.

It hides nothing: an error reply is returned as a RespError, a broken connection raises
ConnectionError (or TimeoutError), bytes stay bytes. Thread: one owner.
"""

import socket


class RespError(Exception):
    """An error reply; str() is its text."""

    def code(self):
        return str(self).split(" ", 1)[0]

    def __eq__(self, other):
        return isinstance(other, RespError) and str(self) == str(other)

    __hash__ = Exception.__hash__


class Push(list):
    """An out-of-band message of RESP3."""


def encode(args):
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        if isinstance(arg, str):
            arg = arg.encode()
        elif isinstance(arg, int):
            arg = b"%d" % arg
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


class RespClient:
    def __init__(self, address, timeout=15.0, protocol=2, connect_timeout=None):
        self.address = address
        self.socket = socket.create_connection(address, connect_timeout or timeout)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb", buffering=65536)
        if protocol != 2:
            hello = self.call("HELLO", protocol)
            if isinstance(hello, RespError):
                raise ConnectionError(f"HELLO {protocol}: {hello}")

    def close(self):
        self.input.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *args):
        self.socket.sendall(encode(args))

    def send_raw(self, data):
        self.socket.sendall(data)

    def call(self, *args):
        self.socket.sendall(encode(args))
        reply = self.read()
        while isinstance(reply, Push):
            reply = self.read()
        return reply

    def pipeline(self, commands):
        self.socket.sendall(b"".join(encode(command) for command in commands))
        return [self.read() for _ in commands]

    def read_line(self):
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection was closed")
        return line[:-2]

    def read_bytes(self, size):
        data = self.input.read(size + 2)
        if len(data) != size + 2:
            raise ConnectionError("the connection was closed in a reply")
        if data[-2:] != b"\r\n":
            raise ValueError(f"a bulk string does not end in CRLF: {data[-20:]!r}")
        return data[:-2]

    def read(self):
        line = self.read_line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RespError(rest.decode(errors="replace"))
        if kind in (b":", b"("):
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.read_bytes(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        return self.read_resp3(kind, rest, line)

    def read_resp3(self, kind, rest, line):
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        if kind == b"!":
            return RespError(self.read_bytes(int(rest)).decode(errors="replace"))
        if kind == b"=":
            return self.read_bytes(int(rest))[4:]
        if kind == b"%":
            pairs = [(self.read(), self.read()) for _ in range(int(rest))]
            return dict(pairs)
        if kind == b"~":
            return [self.read() for _ in range(int(rest))]
        if kind == b">":
            return Push(self.read() for _ in range(int(rest)))
        raise ValueError(f"not a reply: {line[:80]!r}")


def text(value):
    """Bytes of a reply as text, recursively; flat lists of pairs are left as they are."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list):
        return [text(item) for item in value]
    if isinstance(value, dict):
        return {text(key): text(item) for key, item in value.items()}
    return value


def as_map(value):
    """A map of RESP3, or the flat list it is in RESP2, as a dict with text inside."""
    value = text(value)
    if isinstance(value, list):
        return dict(zip(value[::2], value[1::2]))
    return value
