"""Messages go from any router to any router; what is published after a confirmation arrives, once and
in order; when a channel's home dies the routers join its successor by themselves.
"""

import time

import harness
from cluster import PATIENCE, demand, wait_until

CHANNELS = [f"channel:{i}" for i in range(40)]


def read_until(client, marks, seen):
    """Collects messages until each channel has had its mark."""
    left = set(marks)
    while left:
        message = client.read()
        if message[0] == b"message":
            seen.setdefault(message[1].decode(), []).append(message[2].decode())
            if message[2].decode() == marks.get(message[1].decode()):
                left.discard(message[1].decode())


def exchange(one, listener, tag):
    seen = {}
    for i in range(50):
        for channel in CHANNELS:
            demand(one.call("PUBLISH", channel, f"{tag}:{i}") == 1, "one client listens")
    read_until(listener, {channel: f"{tag}:49" for channel in CHANNELS}, seen)
    for channel in CHANNELS:
        demand(seen[channel] == [f"{tag}:{i}" for i in range(50)],
               f"{channel} got {seen[channel][:5]}... of {tag}")


def wait_joined(context, client):
    """Until every channel has its one listener again at its home."""
    def joined():
        counts = client.call("PUBSUB", "NUMSUB", *CHANNELS)
        return isinstance(counts, list) and all(count == 1 for count in counts[1::2])
    started = time.monotonic()
    wait_until(joined, PATIENCE, "all channels have a listener")
    context.say(f"joined again after {time.monotonic() - started:.2f} s")


def test(context):
    cluster = context.cluster(routers=2)
    cluster.start()
    with cluster.routers[0].client() as one, cluster.routers[1].client() as listener, \
            cluster.routers[1].client() as second:
        listener.send("SUBSCRIBE", *CHANNELS)
        for i, channel in enumerate(CHANNELS):
            demand(listener.read() == [b"subscribe", channel.encode(), i + 1], "confirmed")
        exchange(one, listener, "first")
        demand(second.call("PUBLISH", CHANNELS[0], "x") == 1, "the same router publishes")
        demand(listener.read() == [b"message", CHANNELS[0].encode(), b"x"], "and it comes")
        for victim in cluster.nodes:
            victim.kill()
            cluster.wait_taken_over(victim)
            wait_joined(context, one)
            exchange(one, listener, f"without {victim.name}")
            victim.start()
            cluster.wait_ready()
            wait_joined(context, one)
            exchange(one, listener, f"with {victim.name}")
        names = sorted(one.call("PUBSUB", "CHANNELS", "channel:*"))
        demand(names == sorted(name.encode() for name in CHANNELS), f"channels: {names}")
        listener.close()
        wait_until(lambda: one.call("PUBSUB", "CHANNELS") == [], PATIENCE, "nobody listens")


harness.run(test)
