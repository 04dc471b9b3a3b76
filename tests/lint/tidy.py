#!/usr/bin/env python3
"""Checks of the sources as text: what no compiler checks. Runs as the test `tidy`.

tidy.py ROOT   lists every fault as path:line: text; exit 1 if there is one.

The tables below are the rules. tests/lint/test_tidy.py plants a fault of each kind.
"""

import os
import re
import sys

# Who may include whom. A room may include itself and what is listed; nothing else. This is the
# arrow diagram of docs/ARCHITECTURE.md, in the form that bites.
ROOMS = {
    "common/base": [],
    "common/proto": ["common/base"],
    "common/cluster": ["common/base", "common/proto"],
    "common/rdb": ["common/base"],
    "common/config": ["common/base"],
    "common/metrics": ["common/base"],
    "common/net": ["common/base", "common/proto", "common/metrics"],
    "common/front": ["common"],
    "replication/log": ["common/base", "common/metrics"],
    "replication/raft": ["common/base", "common/metrics", "replication"],
    "replication": ["common/base", "common/metrics", "replication/log"],
    "server/store": ["common/base", "common/metrics"],
    "server/machine": ["common/base", "common/proto", "common/cluster", "common/rdb",
                       "server/store/store.h"],
    "server/script": ["common/base", "common/proto", "common/cluster", "server/machine",
                      "server/store/store.h"],
    "server/shard": ["common", "replication", "server/machine", "server/script", "server/store"],
    "server/archive": ["common", "server/machine", "server/shard", "server/store"],
    "server/request": ["common", "server/shard"],
    "server/control": ["common", "server/shard", "server/store/store.h", "replication"],
    "server": ["common", "replication", "server"],
    "router/http": ["common"],
    "router": ["common", "router/http"],
    "client/admin": ["common/base", "common/proto", "common/cluster", "common/rdb", "client",
                     "server/archive"],
    "client/bench": ["common/base", "common/proto", "common/cluster", "client"],
    "client": ["common/base", "common/proto", "common/cluster"],
    "tests": ["common", "replication", "server", "router", "client"],
}
# Rooms inside a room that the outer one may not enter.
CLOSED = {"client": ["client/admin", "client/bench"], "client/admin": ["client/bench"],
          "client/bench": ["client/admin"]}

# System and library headers that only some places may include.
FENCED = {
    "rocksdb/": ["server/store/rocks.h", "server/store/store_rocksdb.c",
                 "tests/unit/test_eraser.c"],
    "lua5.1/": ["server/script"],
    "liblzf/": ["common/rdb"],
    "raft.h": ["replication/raft", "tests/raft"],
    "raft/": ["replication/raft", "tests/raft"],
    "uv.h": ["common/net"],
    "time.h": ["common/base"],
    "sys/time.h": ["common/base"],
    "pthread.h": ["common/base"],
    "xxhash.h": ["common/base"],
    "threads.h": [],
    "sys/socket.h": ["common/net", "client", "tests"],
    "sys/epoll.h": ["client/bench", "tests"],
    "poll.h": ["client", "tests"],
    "assert.h": [],
}
# A test that plays the world from outside may use the world's own means.
FENCE_GATES = ["tests/support/shim_", "tests/clients/", "tests/integration/"]

# Pure code is a function of what it is handed: what would make it something else.
PURE = ["server/machine/", "server/control/placement.", "server/control/reconcile.",
        "server/control/meta_machine.", "server/control/balance", "server/control/load_table.",
        "server/shard/split_point.", "server/shard/shard_meter.", "router/route.",
        "router/retry.", "common/proto/", "common/cluster/", "common/rdb/"]
IMPURE = re.compile(
    r"(?<![.>\w])(time|clock_\w+|gettimeofday|rand|random|rand_os|uv_\w+|raft_\w+|rocksdb_\w+"
    r"|printf|fprintf|log_\w+|pthread_\w+|thread_\w+|mutex_\w+|getenv|fopen|open|read|write"
    r"|disk_\w+)\s*\(")
BANNED = re.compile(
    r"(?<![.>\w])(strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|strtok|atoi|atol|atoll"
    r"|gmtime|localtime|ctime|asctime|alloca|rand|srand|system|popen|tmpnam|mktemp|setjmp|longjmp"
    r"|sleep|usleep|nanosleep)\s*\(")
# A few places need what is banned elsewhere, for a reason that stands there.
BANNED_GATES = {"tests/support/shim_": {"usleep", "nanosleep"}, "tests/": {"system", "popen"}}
# Files with state of their own at file scope; all others are handed theirs.
STATEFUL = ["common/base/log.c", "common/base/clock.c", "tests/"]
# Not constant to the compiler: filled before main() from constant rows; wanted so by libraft.
UNCHANGED = {("common/proto/command.c", "slots"), ("common/rdb/crc64.c", "tables"),
             ("replication/raft/core.c", "silent_tracer")}

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
NESTING_MAX = 3
PARAMETERS_MAX = 6
# Signatures that a library's vtable dictates.
GIVEN_SIGNATURES = {("replication/raft/core_io.c", "on_load")}
COLUMNS_MAX = 100
# Tables are aligned by hand, a row on a line.
COLUMN_GATES = (".def", ".json", ".txt")

TOP = {"server", "router", "replication", "client", "common", "tests", "docs", "CMakeLists.txt",
       "CMakePresets.json", "README.md"}
# Made by building and running; not ours to read.
SKIPPED = {"build", "sherd-data", "node_modules", "__pycache__"}
DOCS = ["README.md", "docs/ARCHITECTURE.md", "docs/STYLE.md", "docs/HACKING.md",
        "docs/OPERATING.md", "docs/testing.md", "docs/admin.md"]
TEXTS = (".c", ".h", ".def", ".py", ".md", ".sh", ".cmake", ".mjs", ".txt", ".json")
SCRIPTS = ["client/quickstart", "tests/run", ".ci/run", "tests/lint/hooks/pre-commit"]


class Tidy:
    """The faults of one tree."""

    def __init__(self, root):
        self.root = root
        self.faults = []
        self.stems = {}

    def fault(self, path, line, text):
        self.faults.append(f"{path}:{line}: {text}")

    def files(self):
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(f for f in folders if f not in SKIPPED
                                and (not f.startswith(".") or f == ".ci"))
            for name in sorted(names):
                yield os.path.relpath(os.path.join(folder, name), self.root)

    def text_of(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def check(self):
        paths = list(self.files())
        self.check_top()
        self.check_docs(paths)
        for path in paths:
            if path.endswith(TEXTS) or path in SCRIPTS:
                self.check_text(path, self.text_of(path))
            if path.endswith((".c", ".h")):
                self.check_code(path, self.text_of(path))
        return self.faults

    # Every file of text.

    def check_text(self, path, text):
        lines = text.split("\n")
        if text and not text.endswith("\n"):
            self.fault(path, len(lines), "the last line has no end")
        for number, line in enumerate(lines, 1):
            if "\t" in line or line != line.rstrip():
                self.fault(path, number, "tab or trailing space")
            if path.startswith("tests/lint/"):
                continue  # It names what it looks for.
            if re.search(r"\b(FIXME|XXX)\b", line):
                self.fault(path, number, "settle this before it lands")
            if re.search(r"\bTODO\b(?!\(#\d+\))", line):
                self.fault(path, number, "write TODO(#12), with the number of its issue")
            if re.search(r"(?<![\w.$}])/(work|root|home|farm)/", line):
                self.fault(path, number, "a path of one machine")

    def check_top(self):
        for name in sorted(os.listdir(self.root)):
            if name not in TOP and name not in SKIPPED and not name.startswith("."):
                self.fault(name, 1, "does not belong at the top level")

    def check_docs(self, paths):
        for path in DOCS:
            if path not in paths:
                self.fault(path, 1, "is missing")
        for path in paths:
            if path.endswith(".md"):
                self.check_page(path, self.text_of(path))

    def check_page(self, path, text):
        prose = re.sub(r"^```.*?^```$", lambda m: re.sub(r"[^\n]", "", m.group(0)), text,
                       flags=re.M | re.S)
        titles = len(re.findall(r"^# ", prose, re.M))
        if titles != 1:
            self.fault(path, 1, f"has {titles} titles, not one")
        for match in re.finditer(r"\]\(([^)#\s]+)(#[^)]*)?\)", prose):
            target = match.group(1)
            if re.match(r"[a-z]+:", target):
                continue
            full = os.path.join(self.root, os.path.dirname(path), target)
            if not os.path.exists(full):
                self.fault(path, prose[:match.start()].count("\n") + 1,
                           f"links to {target}, which is not there")

    # C.

    def check_code(self, path, text):
        lines, code = text.split("\n"), code_of(text).split("\n")
        if len(lines) > FILE_LINES_MAX:
            self.fault(path, 1, f"{len(lines)} lines, over {FILE_LINES_MAX}: split it by what it is for")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS_MAX and "http" not in line and not path.endswith(COLUMN_GATES):
                self.fault(path, number, f"{len(line)} columns, over {COLUMNS_MAX}")
        self.check_calls(path, code)
        self.check_includes(path, lines)
        self.check_functions(path, code)
        self.check_globals(path, code)
        self.check_stem(path)
        self.check_purpose(path, text)
        if path.endswith(".h"):
            self.check_header(path, text)

    def check_calls(self, path, code):
        pure = path.startswith(tuple(PURE))
        allowed = {name for gate, names in BANNED_GATES.items() if path.startswith(gate)
                   for name in names}
        for number, line in enumerate(code, 1):
            for match in BANNED.finditer(line):
                if match.group(1) not in allowed:
                    self.fault(path, number, f"{match.group(1)}() is banned")
            match = IMPURE.search(line) if pure else None
            if match and not re.match(r"\s*#", line):
                self.fault(path, number, f"{match.group(1)}() in code that is to be pure")

    def check_includes(self, path, lines):
        room = room_of(path)
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if match is None:
                continue
            kind, target = match.groups()
            if kind == "<":
                self.check_fence(path, number, target)
            elif "/" not in target:
                self.fault(path, number, f'write the include from the root, not "{target}"')
            elif room is not None and not usable(room, target):
                self.fault(path, number, f"{room} may not include {target}")

    def check_fence(self, path, number, target):
        if path.startswith(tuple(FENCE_GATES)):
            return
        for fence, allowed in FENCED.items():
            inside = target == fence or (fence.endswith("/") and target.startswith(fence))
            if inside and not any(path.startswith(a) for a in allowed):
                where = ", ".join(allowed) or "nobody; common/base has what stands for it"
                self.fault(path, number, f"<{target}> belongs to {where}")

    def check_functions(self, path, code):
        start, name, depth, deepest = 0, None, 0, 0
        for number, line in enumerate(code, 1):
            if name is None and re.match(r"^\{\s*$", line):
                head = head_above(code, number - 1)
                name, count = head
                start, depth, deepest = number, 0, 0
                if count > PARAMETERS_MAX and (path, name) not in GIVEN_SIGNATURES:
                    self.fault(path, start, f"{name}() has {count} parameters, over {PARAMETERS_MAX}")
            if name is None:
                continue
            depth += line.count("{") - line.count("}")
            deepest = max(deepest, depth)
            if re.match(r"^\}", line):
                length = number - start + 1
                if length > FUNCTION_LINES_MAX:
                    self.fault(path, start, f"{name}() has {length} lines, over {FUNCTION_LINES_MAX}")
                if deepest - 1 > NESTING_MAX:
                    self.fault(path, start, f"{name}() nests {deepest - 1} deep, over {NESTING_MAX}")
                name = None

    def check_globals(self, path, code):
        if path.startswith(tuple(STATEFUL)):
            return
        for number, line in enumerate(code, 1):
            match = re.match(r"^(?:static |extern )?(?:_Atomic |volatile |_Thread_local |unsigned |"
                             r"struct |enum )*\w+ \*{0,2}(\w+)(?:\[[^\]]*\])* ?(?:=|;)", line)
            if match and not re.match(r"^(static )?(const|inline|typedef|struct \w+;|enum \w+;|"
                                      r"union \w+;|return|goto|else|break)", line) and \
                    " const " not in line.split("=")[0] and "extern" not in line and \
                    (path, match.group(1)) not in UNCHANGED:
                self.fault(path, number, f"{match.group(1)} is state at file scope")

    def check_stem(self, path):
        """One noun per file: a stem names one .c and .h. They are in one folder, or the .c is in a
        room inside that of its .h."""
        folder, name = os.path.split(path)
        stem, kind = os.path.splitext(name)
        if stem == "main":
            return
        for other, other_kind in self.stems.setdefault(stem, []):
            header, source = (folder, other) if kind == ".h" else (other, folder)
            door = kind != other_kind and source.startswith(header + "/")
            if other != folder and not door:
                self.fault(path, 1, f"{other} has a {stem} already")
                break
        self.stems[stem].append((folder, kind))

    def check_purpose(self, path, text):
        """A header says what it is for, a .c without one says it itself."""
        name = os.path.basename(path)
        if path.endswith(".c") and (name.startswith("test_") or self.header_of(path)):
            return
        body = text if path.endswith(".h") else text.lstrip()
        if path.endswith(".h") and "/*" not in body:
            self.fault(path, 1, "no comment says what this is for")
        if path.endswith(".c") and "/*" not in body[:2000].split("\n{", 1)[0]:
            self.fault(path, 1, "no comment says what this is for, and there is no header")

    def header_of(self, path):
        """True if a header stands for the .c: x.h for x.c, also for its parts x_read.c, x_write.c;
        x.h may be in the room around, whose door it is."""
        stem = os.path.splitext(path)[0]
        while True:
            folder, name = os.path.split(stem)
            outer = os.path.join(os.path.dirname(folder), name)
            if any(os.path.exists(os.path.join(self.root, s + ".h")) for s in (stem, outer)):
                return True
            stem, mark, part = stem.rpartition("_")
            if not mark or "/" in part:
                return False

    def check_header(self, path, text):
        guard = re.sub(r"\W", "_", path).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            self.fault(path, 1, f"the guard should be {guard}")
        if not path.startswith("tests/") and not path.endswith(("handlers.h", "assert.h")):
            self.check_names(path, text)

    def parts_of(self, path):
        """What functions of x_private.h may begin with: the parts x_read.c, x_write.c of x."""
        folder, name = os.path.split(path)
        if not name.endswith("_private.h"):
            return set()
        whole = name[:-len("private.h")]
        return {whole[:-1], *(other[len(whole):-2] for other in
                              os.listdir(os.path.join(self.root, folder))
                              if other.startswith(whole) and other.endswith(".c"))}

    def check_names(self, path, text):
        """A public function starts with the stem of its header, or is a verb of a type: of one that
        the header declares, with or without the stem before it, or of its first argument."""
        stem = os.path.splitext(os.path.basename(path))[0]
        stems = {stem, *re.findall(r"^struct (\w+)(?: \{|;)", text, re.M)}
        stems |= self.parts_of(path)
        # struct store_iter of store.h has iter_next().
        stems |= set(re.findall(rf"\bstruct {stem.removesuffix('_private')}_(\w+)", text))
        code = re.sub(r"^\s*#.*(?:\\\n.*)*", "", code_of(text), flags=re.M)
        pattern = r"^(?:MUST_USE |const |struct |enum |unsigned |__attribute__\(\(\w+\)\) )*\w+ \*{0,2}(\w+)\("
        for match in re.finditer(pattern, code, re.M):
            name = match.group(1)
            subject = re.match(r"\s*(?:const )?struct (\w+) \*", code[match.end():])
            own = stems | ({subject.group(1)} if subject else set())
            if not any(name == s or name.startswith(s + "_") for s in own):
                self.fault(path, code[:match.start()].count("\n") + 1,
                           f"{name}() is not named after {stem}.h")


def room_of(path):
    """The longest room that holds path, or None."""
    rooms = [room for room in ROOMS if path.startswith(room + "/")]
    return max(rooms, key=len) if rooms else None


def usable(room, target):
    """True if files of room may include target."""
    if any(target.startswith(closed + "/") for closed in CLOSED.get(room, [])):
        return False
    own = room_of(target) == room
    return own or any(target == use or target.startswith(use + "/") for use in ROOMS[room])


def code_of(text):
    """text with comments and strings blanked, line numbers kept."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0))
    pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'"
    return re.sub(pattern, blank, text, flags=re.S)


def head_above(code, end):
    """(name, number of parameters) of the function whose body begins behind line `end`."""
    above = []
    for line in reversed(code[max(0, end - 16):end]):
        if not line.strip() or line.startswith(("}", "#")) or line.rstrip().endswith(";"):
            break
        above.insert(0, line)
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)\s*\)?", " ", " ".join(above))
    match = re.search(r"(\w+)\s*\((.*)\)\s*$", head.strip(), re.S)
    if match is None:
        return "?", 0
    if match.group(1) == "TEST":
        return f"TEST({match.group(2)}", 0
    depth, count = 0, 0 if match.group(2).strip() in ("", "void") else 1
    for char in match.group(2):
        depth += (char == "(") - (char == ")")
        count += char == "," and depth == 0
    return match.group(1), count


def main():
    faults = Tidy(sys.argv[1]).check()
    print("\n".join(faults) or "tidy")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
