"""Commands that wait: what Redis does, then deaths. Clients that wait through two routers get exactly
what is pushed later, once each, though the leader that they wait at is killed; a router that dies
takes along at most what its own clients were being given.
"""

import queue
import threading
import time

import harness
from cluster import demand, wait_until
from resp_client import RespClient, RespError

NIL = None
CLIENTS = 50
QUEUES = 10


class Waiter(threading.Thread):
    """One command that waits, on a connection of its own."""

    def __init__(self, open_client, *command):
        super().__init__(daemon=True)
        self.client = open_client(timeout=90)
        self.command = command
        self.reply = queue.Queue()
        self.start()

    def run(self):
        try:
            self.reply.put(self.client.call(*self.command))
        except (OSError, ValueError) as error:
            self.reply.put(error)

    def get(self, seconds=30):
        try:
            return self.reply.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"{self.command} was not answered within {seconds} s") from None

    def waits(self):
        return self.reply.empty()


def wait_blocked(client, count):
    def are():
        lines = client.call("INFO").decode().split("\r\n")
        info = dict(line.split(":", 1) for line in lines if ":" in line)
        # Of a router: also that the nodes say so.
        return (int(info["blocked_clients"]) == count and
                int(info.get("sherd_shard_parked", count)) == count)

    wait_until(are, 20, f"{count} clients are blocked")


def check_errors(client):
    for command, error in (
            ("BLPOP none x", "ERR timeout is not a float or out of range"),
            ("BLPOP none -1", "ERR timeout is negative"),
            ("BLMOVE none none UP LEFT 0", "ERR syntax error"),
            ("BLMPOP 1 0 none LEFT", "ERR numkeys should be greater than 0")):
        demand(client.call(*command.split()) == RespError(error), command)
    client.call("SET", "text", "x")
    reply = client.call("BLPOP", "text", "0")
    demand(str(reply).startswith("WRONGTYPE"), f"BLPOP of a string: {reply}")
    reply = client.call("BLPOP", "a", "b", "c", "d", "e", "0")
    demand(str(reply).startswith("CROSSSLOT"), f"BLPOP over shards: {reply}")


def check_timeouts(client):
    for seconds in (0.05, 0.3):
        for command in (["BLPOP", "none"], ["BLMOVE", "none", "none", "LEFT", "LEFT"]):
            started = time.monotonic()
            demand(client.call(*command, str(seconds)) is NIL, f"{command} found something")
            took = time.monotonic() - started
            # Clocks are read in whole milliseconds, as in Redis.
            demand(seconds - 0.002 <= took < seconds + 1, f"{command} {seconds} took {took:.3f} s")
    demand(client.call("BLMPOP", "0.01", "1", "none", "LEFT") is NIL, "BLMPOP found something")


def check_order(open_client, client):
    waiters = []
    for i in range(4):
        waiters.append(Waiter(open_client, "BLPOP", "{o}list", "{o}other", "0"))
        wait_blocked(client, i + 1)
    demand(client.call("RPUSH", "{o}list", "a", "b", "c") == 3, "RPUSH counts before the pops")
    got = [waiter.get() for waiter in waiters[:3]]
    demand(got == [[b"{o}list", b"a"], [b"{o}list", b"b"], [b"{o}list", b"c"]], f"got {got}")
    demand(waiters[3].waits(), "the last one has nothing to take yet")
    client.call("RPUSH", "{o}source", "d", "e")
    client.call("RENAME", "{o}source", "{o}other")
    demand(waiters[3].get() == [b"{o}other", b"d"], "RENAME makes a list that is waited for")
    demand(client.call("LRANGE", "{o}other", "0", "-1") == [b"e"], "one element was taken")


def check_chain(open_client, client):
    last = Waiter(open_client, "BRPOP", "{c}3", "0")
    wait_blocked(client, 1)
    middle = Waiter(open_client, "BRPOPLPUSH", "{c}2", "{c}3", "0")
    wait_blocked(client, 2)
    first = Waiter(open_client, "BLMOVE", "{c}1", "{c}2", "LEFT", "RIGHT", "0")
    wait_blocked(client, 3)
    client.call("SET", "{c}1", "no list")  # Does not wake.
    client.call("DEL", "{c}1")
    client.call("LPUSH", "{c}1", "x")
    demand(first.get() == b"x" and middle.get() == b"x", "the element was moved")
    demand(last.get() == [b"{c}3", b"x"], "and arrived")
    demand(client.call("EXISTS", "{c}1", "{c}2", "{c}3") == 0, "nothing is left")


def check_sorted_sets(open_client, client):
    for command, got in ((("BZPOPMIN", "{z}a", "{z}b", "0"), [b"{z}b", b"x", b"1"]),
                         (("BZPOPMAX", "{z}a", "{z}b", "0"), [b"{z}b", b"y", b"2"]),
                         (("BZMPOP", "0", "1", "{z}b", "MIN", "COUNT", "9"),
                          [b"{z}b", [[b"x", b"1"], [b"y", b"2"]]])):
        waiter = Waiter(open_client, *command)
        list_waiter = Waiter(open_client, "BLPOP", "{z}b", "0")
        wait_blocked(client, 2)
        client.call("ZADD", "{z}b", "1", "x", "2", "y")
        reply = waiter.get()
        demand(reply == got, f"{command}: {reply}")
        demand(list_waiter.waits(), "who waits for a list does not see a sorted set")
        client.call("DEL", "{z}b")
        client.call("RPUSH", "{z}b", "e")
        demand(list_waiter.get() == [b"{z}b", b"e"], "BLPOP")


def check_streams(open_client, client):
    readers = [Waiter(open_client, "XREAD", "BLOCK", "0", "STREAMS", "{x}s", "$") for _ in range(2)]
    wait_blocked(client, 2)
    client.call("XADD", "{x}s", "1-1", "f", "a")
    for reader in readers:
        demand(reader.get() == [[b"{x}s", [[b"1-1", [b"f", b"a"]]]]], "every reader has it")
    demand(client.call("XREAD", "BLOCK", "0", "STREAMS", "{x}s", "0") ==
           [[b"{x}s", [[b"1-1", [b"f", b"a"]]]]], "what is there is not waited for")
    started = time.monotonic()
    demand(client.call("XREAD", "BLOCK", "60", "STREAMS", "{x}s", "$") is NIL, "nothing came")
    demand(0.058 <= time.monotonic() - started < 1, "XREAD waits as long as it says")
    client.call("XGROUP", "CREATE", "{x}s", "g", "$")
    first, second = "XREADGROUP GROUP g one BLOCK 0 STREAMS {x}s >", \
        "XREADGROUP GROUP g two BLOCK 0 STREAMS {x}s >"
    first = Waiter(open_client, *first.split())
    wait_blocked(client, 1)
    second = Waiter(open_client, *second.split())
    wait_blocked(client, 2)
    client.call("XADD", "{x}s", "2-1", "f", "b")
    demand(first.get() == [[b"{x}s", [[b"2-1", [b"f", b"b"]]]]], "the first of the group has it")
    demand(second.waits(), "the second has not")
    client.call("XADD", "{x}s", "3-1", "f", "c")
    demand(second.get() == [[b"{x}s", [[b"3-1", [b"f", b"c"]]]]], "then the second")
    pending = client.call("XPENDING", "{x}s", "g")
    demand(pending[0] == 2, f"pending: {pending}")
    for end, error in ((("XGROUP", "DESTROY", "{x}s", "g"),
                        "NOGROUP the consumer group this client was blocked on no longer exists"),
                       (("DEL", "{x}s"), "UNBLOCKED the stream key no longer exists"),
                       (("FLUSHALL",), "UNBLOCKED the stream key no longer exists")):
        client.call("XGROUP", "CREATE", "{x}s", "g", "$", "MKSTREAM")
        waiter = Waiter(open_client, *"XREADGROUP GROUP g one BLOCK 0 STREAMS {x}s >".split())
        wait_blocked(client, 1)
        client.call(*end)
        demand(waiter.get() == RespError(error), f"{end}")


def check_control(open_client, client):
    waiter = Waiter(open_client, "BLPOP", "u", "0")
    wait_blocked(client, 1)
    lines = client.call("CLIENT", "LIST").decode().split("\n")
    line = [line for line in lines if "cmd=blpop" in line][0]
    fields = dict(field.split("=", 1) for field in line.split())
    demand(fields["flags"] == "b", line)
    demand(client.call("CLIENT", "UNBLOCK", "999999") == 0, "nobody has that id")
    demand(client.call("CLIENT", "UNBLOCK", fields["id"]) == 1, "UNBLOCK")
    demand(waiter.get() is NIL, "as if the time were over")
    demand(client.call("CLIENT", "UNBLOCK", fields["id"]) == 0, "it does not wait any more")
    one = open_client()
    number = one.call("CLIENT", "ID")
    one.send("BLMPOP", "0", "1", "u", "LEFT")
    wait_blocked(client, 1)
    demand(client.call("CLIENT", "UNBLOCK", number, "ERROR") == 1, "UNBLOCK ERROR")
    demand(one.read() == RespError("UNBLOCKED client unblocked via CLIENT UNBLOCK"), "its error")
    # What follows a command that waits, waits too.
    one.pipeline([("SET", "u1", "before")])
    one.send("BLPOP", "u", "0")
    one.send("SET", "u1", "behind")
    one.send("GET", "u1")
    wait_blocked(client, 1)
    demand(client.call("GET", "u1") == b"before", "the SET behind has not begun")
    client.call("RPUSH", "u", "1")
    demand([one.read() for _ in range(3)] == [[b"u", b"1"], "OK", b"behind"], "then they go on")
    one.close()


def check_gone(open_client, client):
    for how in ("close", "kill"):
        one = open_client()
        number = one.call("CLIENT", "ID")
        one.send("BLPOP", "gone", "0")
        wait_blocked(client, 1)
        if how == "close":
            one.close()
        else:
            client.call("CLIENT", "KILL", "ID", number)
        wait_blocked(client, 0)
        client.call("RPUSH", "gone", how)
        wait_until(lambda: client.call("LRANGE", "gone", "0", "-1") == [how.encode()],
                   20, "the element is still there")
        client.call("DEL", "gone")


def check_like_redis(open_client):
    with open_client() as client:
        check_errors(client)
        check_timeouts(client)
        check_order(open_client, client)
        check_chain(open_client, client)
        check_sorted_sets(open_client, client)
        check_streams(open_client, client)
        check_control(open_client, client)
        check_gone(open_client, client)


def wait_at_both(cluster, command_of):
    waiters = []
    for i in range(CLIENTS):
        router = cluster.routers[i % 2]
        waiters.append(Waiter(router.client, *command_of(i)))
    for router in cluster.routers:
        with router.client() as client:
            wait_blocked(client, CLIENTS // 2)
    return waiters


def kill_leader(context, cluster, client, move):
    def command_of(i):
        name = f"{{q{i % QUEUES}}}"
        if move:
            return ("BLMOVE", name + "from", name + "to", "LEFT", "RIGHT", "0")
        return ("BRPOP", name + "from", "0")

    waiters = wait_at_both(cluster, command_of)
    victim = cluster.top_leader()
    victim.kill()
    pushed = set()
    for i in range(CLIENTS):
        element = f"{'m' if move else 'p'}{i}"
        reply = client.call("LPUSH", f"{{q{i % QUEUES}}}from", element)
        demand(not isinstance(reply, RespError), f"LPUSH: {reply}")
        pushed.add(element.encode())
    replies = [waiter.get() for waiter in waiters]
    got = [reply if move else reply[1] for reply in replies]
    demand(len(set(got)) == CLIENTS and set(got) == pushed, f"pushed {pushed}, got {got}")
    left = [client.call("LRANGE", f"{{q{i}}}from", "0", "-1") for i in range(QUEUES)]
    demand(not any(left), f"left behind: {left}")
    if move:
        moved = [x for i in range(QUEUES) for x in client.call("LRANGE", f"{{q{i}}}to", "0", "-1")]
        demand(sorted(moved) == sorted(pushed), f"moved {moved}")
    victim.start()
    cluster.wait_ready()
    context.say(f"killed {victim.name}; {CLIENTS} clients that waited got one element each")


def kill_router(context, cluster):
    first, second = cluster.routers
    with second.client() as client:
        gone = [Waiter(first.client, "BLPOP", "{r}from", "0") for _ in range(10)]
        with first.client() as other:
            wait_blocked(other, 10)
        stay = [Waiter(second.client, "BLPOP", "{r}from", "0") for _ in range(10)]
        wait_blocked(client, 10)
        first.kill()
        for waiter in gone:
            demand(isinstance(waiter.get(), Exception), "its router is dead")
        pushed = []
        # What is given to the dead before they are known to be is lost, as it is with Redis.
        while any(waiter.waits() for waiter in stay) and len(pushed) < 20:
            pushed.append(b"%d" % len(pushed))
            client.call("RPUSH", "{r}from", pushed[-1])
            time.sleep(0.05)
        got = [waiter.get()[1] for waiter in stay]
        demand(len(set(got)) == 10 and set(got) <= set(pushed), f"pushed {pushed}, got {got}")
        left = client.call("LRANGE", "{r}from", "0", "-1")
        demand(not set(left) & set(got), f"got and still there: {left} {got}")
        lost = len(pushed) - len(got) - len(left)
        context.say(f"a router died with 10 waiting clients, which took {lost} elements along")
    first.start()
    cluster.wait_ready(router=first)


def test(context):
    cluster = context.cluster(routers=2)
    cluster.start()
    check_like_redis(cluster.routers[0].client)
    context.say("through a router as with Redis")
    with cluster.routers[0].client() as client:
        kill_leader(context, cluster, client, move=False)
        kill_leader(context, cluster, client, move=True)
    kill_router(context, cluster)
    check_node(context)


def check_node(context):
    """A node alone, without a router."""
    cluster = context.cluster(nodes=1, routers=1, replicas=1, shards=4)
    cluster.start()
    node = cluster.nodes[0]

    def open_client(**options):
        return RespClient(("127.0.0.1", node.port), **options)

    with open_client() as client:
        check_timeouts(client)
        check_order(open_client, client)
        check_chain(open_client, client)
        check_sorted_sets(open_client, client)
        check_control(open_client, client)
        check_gone(open_client, client)
    context.say("at a node as with Redis")


harness.run(test, limit=180)
