#!/usr/bin/env python3
"""Makes docs/commands.md of common/proto/command*.def and tests/machine/notes/*.txt, or checks that it is
what they say. commands_page.py ROOT [--write]"""

import glob
import re
import sys

HEAD = """# Commands

Made of `common/proto/command*.def` and `tests/machine/notes` by `tests/machine/commands_page.py . --write`; a test fails when
they differ. Semantics, replies and error texts are those of Redis 7.0.15; what differs is said below
the table. *Where*: **shard** commands run in the state machine of the shard that owns the keys, reads
on its leader, writes through its log; **front** commands are answered by the router or the node that
the client is connected to. *Keys*: position of the first, the last and the step. *Spread*: how keys on
several shards make one reply.

| Command | Arity | Where | Keys | Spread | Group | Since | What it does |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
## What differs from Redis

"""


def parse(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    rows = []
    for kind, body in re.findall(r"^(READ|WRITE|FRONT|NODE)_COMMAND\((.*?)\)$", text, flags=re.S | re.M):
        strings = re.findall(r'"((?:[^"\\]|\\.)*)"', body)
        words = [word.strip() for word in body.split('"')[0].split(",")]
        rows.append((kind, words, strings[0], strings[1], "".join(strings[2:])))
    return rows


def page(rows):
    lines = []
    for kind, words, group, since, summary in sorted(rows, key=lambda row: row[1][0]):
        if kind == "NODE" or "CMD_INTERNAL" in words[3]:
            continue
        name, _, arity, flags, first, last, step, merge = words[:8]
        if "CMD_INTERNAL" in flags:
            continue
        where = {"READ": "shard, read", "WRITE": "shard, write", "FRONT": "front"}[kind]
        keys = "" if first == "0" else "%s, %s, %s" % (first, last, step)
        spread = merge.replace("MERGE_", "").lower().replace("_", " ")
        spread = "" if spread == "none" else spread
        lines.append("| %s | %s | %s | %s | %s | %s | %s | %s |" % (
            name.upper(), arity, where, keys, spread, group, since, summary))
    return HEAD + "\n".join(lines) + "\n"


def read_all(pattern):
    texts = []
    for path in sorted(glob.glob(pattern)):
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    return "".join(texts)


def main():
    root = sys.argv[1]
    want = page(parse(read_all(root + "/common/proto/command*.def")))
    want += TAIL + read_all(root + "/tests/machine/notes/*.txt")
    path = root + "/docs/commands.md"
    if "--write" in sys.argv:
        with open(path, "w", encoding="utf-8") as file:
            file.write(want)
        return 0
    with open(path, encoding="utf-8") as file:
        if file.read() != want:
            print("docs/commands.md is not what the table says: run commands_page.py . --write")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
