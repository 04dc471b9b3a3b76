"""A played server: speaks enough of RESP3 to answer sherd-admin from a table.

As a program it plays sherd-node and sherd-router for the tests of `sherd-admin demo`:
    played.py node|router --data DIR --listen HOST:PORT ...
"""

import json
import os
import signal
import socket
import sys
import threading


def encode(value):
    """A Python value as RESP3; an Exception is an error reply, a tuple is a status."""
    if value is None:
        return b"_\r\n"
    if isinstance(value, Exception):
        return b"-%s\r\n" % str(value).encode()
    if isinstance(value, tuple):
        return b"+%s\r\n" % value[0].encode()
    if isinstance(value, bool):
        return b"#t\r\n" if value else b"#f\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, float):
        return b",%r\r\n" % value
    if isinstance(value, str):
        return encode(value.encode())
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(encode, value))
    if isinstance(value, dict):
        body = b"".join(encode(k) + encode(v) for k, v in value.items())
        return b"%%%d\r\n" % len(value) + body
    raise TypeError(value)


def read_command(stream):
    """The next request as a list of bytes; None at the end."""
    head = stream.readline()
    if not head.startswith(b"*"):
        return None
    words = []
    for _ in range(int(head[1:])):
        size = int(stream.readline()[1:])
        words.append(stream.read(size))
        stream.read(2)
    return words


class Server:
    """answer(words) gives the reply; threads are daemons and end with the program."""

    def __init__(self, answer, port=0):
        self.answer = answer
        self.socket = socket.create_server(("127.0.0.1", port))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            while True:
                words = read_command(stream)
                if words is None:
                    return
                reply = self.answer([w.decode("utf-8", "replace") for w in words])
                connection.sendall(reply if isinstance(reply, bytearray) else encode(reply))


def play(kind, arguments):
    options = dict(zip(arguments[::2], arguments[1::2]))
    if "--bootstrap" in arguments:
        options = {"--bootstrap": ""}
        words = [word for word in arguments if word != "--bootstrap"]
        options.update(zip(words[::2], words[1::2]))
    data = options["--data"]
    os.makedirs(data, exist_ok=True)
    with open(os.path.join(data, "arguments"), "w") as file:
        json.dump(arguments, file)
    print("played", kind, "began", flush=True)
    if os.path.exists(os.path.join(data, "fail")):
        print("this disk is broken", flush=True)
        sys.exit(1)
    open(os.path.join(data, "identity"), "w").close()
    nodes = options.get("--nodes", "").split(",")

    def listens(address):
        host, port = address.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            return False
        return True

    def answer(words):
        if words[:2] != ["SHERD", "STATUS"]:
            return ("OK",)
        return {"cluster": "c1", "map_version": 3, "role": kind, "nodes": len(nodes),
                "nodes_up": sum(map(listens, nodes)), "shards": 4, "shards_led": 4, "replicas": 3}

    Server(answer, int(options["--listen"].rsplit(":", 1)[1]))
    stubborn = os.path.exists(os.path.join(data, "stubborn"))
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
    while True:
        signal.pause()


if __name__ == "__main__":
    play(sys.argv[1], sys.argv[2:])
