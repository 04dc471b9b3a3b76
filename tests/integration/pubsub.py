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
    """Every message comes, once, in order. False: at some moment nobody listened."""
    seen = {}
    for i in range(50):
        for channel in CHANNELS:
            count = one.call("PUBLISH", channel, f"{tag}:{i}")
            demand(count in (0, 1), f"one client listens, not {count}")
            if count == 0:
                return False
    read_until(listener, {channel: f"{tag}:49" for channel in CHANNELS}, seen)
    for channel in CHANNELS:
        got = [text for text in seen[channel] if text.startswith(f"{tag}:")]
        demand(got == [f"{tag}:{i}" for i in range(50)], f"{channel} got {got[:5]}... of {tag}")
    return True


def exchange_at_rest(context, cluster, one, listener, tag):
    """A channel whose shard is given to another leader has no listeners until routers have joined
    there again: only while every leader stays may no message be lost."""
    for attempt in range(20):
        wait_joined(context, one)
        before = cluster.leaders()
        if exchange(one, listener, f"{tag}, {attempt}"):
            return
        wait_until(lambda: cluster.leaders() != before, PATIENCE,
                   "a channel lost its listener, so a shard has another leader")
        context.say("a shard got another leader meanwhile")
    demand(False, "the shards find no rest")


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
        exchange_at_rest(context, cluster, one, listener, "first")
        demand(second.call("PUBLISH", CHANNELS[0], "x") == 1, "the same router publishes")
        demand(listener.read() == [b"message", CHANNELS[0].encode(), b"x"], "and it comes")
        for victim in cluster.nodes:
            victim.kill()
            cluster.wait_taken_over(victim)
            exchange_at_rest(context, cluster, one, listener, f"without {victim.name}")
            victim.start()
            cluster.wait_ready()
            exchange_at_rest(context, cluster, one, listener, f"with {victim.name}")
        names = sorted(one.call("PUBSUB", "CHANNELS", "channel:*"))
        demand(names == sorted(name.encode() for name in CHANNELS), f"channels: {names}")
        listener.close()
        wait_until(lambda: one.call("PUBSUB", "CHANNELS") == [], PATIENCE, "nobody listens")


harness.run(test)
