#!/usr/bin/env python3
"""tidy.py finds each kind of fault where one is planted, and nothing in a tree without any."""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy

HEADER = """#ifndef COMMON_BASE_NOUN_H
#define COMMON_BASE_NOUN_H

/* What it is for. */
struct noun;
int noun_verb(struct noun *noun);

#endif
"""
CODE = """#include "common/base/noun.h"

#include <stdlib.h>

static const int table[] = {1, 2};

int noun_verb(struct noun *noun)
{
    for (int i = 0; i < 2; i++) {
        if (noun != NULL) {
            return table[i];
        }
    }
    return 0;
}
"""
PAGE = "# Title\n\nText.\n"


class Planted(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="sherd-tidy-")
        self.addCleanup(shutil.rmtree, self.root)
        for path in tidy.DOCS:
            self.write(path, PAGE)
        self.write("common/base/noun.h", HEADER)
        self.write("common/base/noun.c", CODE)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def faults(self):
        return tidy.Tidy(self.root).check()

    def plant(self, path, text, *parts):
        """Writes the file; exactly the faults whose texts hold the parts are found, all in it."""
        self.write(path, text)
        found = self.faults()
        self.assertEqual(len(found), len(parts), found)
        for fault, part in zip(found, parts):
            self.assertTrue(fault.startswith(path + ":"), fault)
            self.assertIn(part, fault)

    def plant_code(self, line, *parts, path="server/machine/cmd_x.c"):
        self.plant(path, "/* Why. */\n\nstatic int f(void)\n{\n    %s\n}\n" % line, *parts)

    def test_a_tidy_tree_has_no_fault(self):
        self.assertEqual(self.faults(), [])

    def test_arrows(self):
        for path, target, fine in (
                ("common/base/x.c", "common/net/conn.h", False),
                ("common/front/x.c", "common/net/conn.h", True),
                ("common/front/x.c", "server/node.h", False),
                ("server/machine/x.c", "server/store/store.h", True),
                ("server/machine/x.c", "server/store/other.h", False),
                ("server/machine/x.c", "replication/group.h", False),
                ("server/store/x.c", "common/proto/resp.h", False),
                ("server/shard/x.c", "replication/group.h", True),
                ("server/shard/x.c", "server/control/agent.h", False),
                ("server/request/x.c", "server/shard/shard.h", True),
                ("server/x.c", "server/control/agent.h", True),
                ("server/x.c", "router/core.h", False),
                ("replication/x.c", "replication/log/wal.h", True),
                ("replication/log/x.c", "replication/group.h", False),
                ("replication/raft/x.c", "replication/group.h", True),
                ("router/x.c", "router/http/page.h", True),
                ("router/http/x.c", "router/core.h", False),
                ("router/x.c", "server/node.h", False),
                ("client/x.c", "common/net/conn.h", False),
                ("client/x.c", "client/admin/verb.h", False),
                ("client/admin/x.c", "client/sherd.h", True),
                ("client/admin/x.c", "client/bench/load.h", False),
                ("tests/unit/test_x.c", "router/core.h", True)):
            with self.subTest(path=path, target=target):
                self.plant(path, '/* Why. */\n#include "%s"\n' % target,
                           *([] if fine else ["may not include"]))
                os.remove(os.path.join(self.root, path))

    def test_includes_are_written_from_the_root(self):
        self.plant("common/base/other.c", '/* Why. */\n#include "noun.h"\n', "from the root")

    def test_fences(self):
        for header, path, fine in (("raft.h", "replication/x.c", False),
                                   ("raft.h", "replication/raft/x.c", True),
                                   ("raft/uv.h", "server/x.c", False),
                                   ("rocksdb/c.h", "server/store/x.c", False),
                                   ("uv.h", "router/x.c", False), ("uv.h", "common/net/x.c", True),
                                   ("time.h", "router/x.c", False),
                                   ("pthread.h", "server/x.c", False),
                                   ("sys/epoll.h", "client/bench/x.c", True),
                                   ("assert.h", "common/base/x.c", False)):
            with self.subTest(path=path, header=header):
                self.plant(path, "/* Why. */\n#include <%s>\n" % header,
                           *([] if fine else ["belongs to"]))
                os.remove(os.path.join(self.root, path))

    def test_banned_calls(self):
        self.plant_code("return sprintf(0);", "sprintf() is banned", path="router/x.c")
        self.plant_code('return f("sprintf()"); /* sprintf() */', path="router/x.c")
        self.plant_code("return x->time(0) + my_rand();", path="router/x.c")

    def test_sleep_is_banned_but_in_shims(self):
        self.plant_code("return usleep(1);", "usleep() is banned", path="tests/unit/test_x.c")
        os.remove(os.path.join(self.root, "tests/unit/test_x.c"))
        self.plant_code("return usleep(1);", path="tests/support/shim_x.c")

    def test_pure_rooms(self):
        for call in ("time(0)", "clock_now_ms()", "log_info(0)", "rand_os(0)", "disk_open(0)",
                     "raft_apply(0)", "read(0)"):
            with self.subTest(call=call):
                self.plant_code(f"return {call};", "is to be pure")
        self.plant_code("return cmd_read(0);")

    def test_functions(self):
        body = "    f();\n" * tidy.FUNCTION_LINES_MAX
        self.plant("router/x.c", "/* Why. */\nint f(void)\n{\n%s}\n" % body[:-9 * 2])
        self.plant("router/x.c", "/* Why. */\nint f(void)\n{\n%s}\n" % body, "f() has 72 lines")
        deep = "if (a) {\n" * 4 + "}" * 4
        self.plant("router/x.c", "/* Why. */\nint f(int a)\n{\n%s\n}\n" % deep, "nests 4 deep")
        self.plant("router/x.c", "/* Why. */\nint f(int a,\n      int (*b)(int, int),\n      int c, "
                   "int d, int e, int g)\n{\n}\n")
        self.plant("router/x.c", "/* Why. */\nint f(int a,\n      int b, int c, int d, int e, int g,"
                   "\n      int h)\n{\n}\n", "has 7 parameters")

    def test_globals(self):
        for line, fine in (("static int count;", False), ("int shared = 1;", False),
                           ("static struct list all;", False), ("static uint8_t pool[10];", False),
                           ("static const int rows[] = {1};", True),
                           ("static const char *const names[] = {0};", True),
                           ("struct noun;", True), ("static int f(void);", True)):
            with self.subTest(line=line):
                self.plant("router/x.c", "/* Why. */\n%s\n" % line,
                           *([] if fine else ["state at file scope"]))

    def test_size_and_columns(self):
        self.plant("router/x.c", "/* Why. */\n" + "\n" * tidy.FILE_LINES_MAX, "lines, over")
        self.plant("router/x.c", "/* %s */\n" % ("x" * tidy.COLUMNS_MAX), "columns, over")
        self.plant("router/x.c", "/* Why.\tIt. */\n", "tab or trailing")
        self.plant("router/x.c", "/* Why. */ \n", "tab or trailing")
        self.plant("router/x.c", "/* Why. */", "has no end")

    def test_left_overs(self):
        self.plant("router/x.c", "/* FIXME: it. */\n", "before it lands")
        self.plant("router/x.c", "/* TODO: it. */\n", "number of its issue")
        self.plant("router/x.c", "/* TODO(#12): it. */\n")
        self.plant("docs/limits.md", "# T\n\nSee /home/me/x.\n", "of one machine")

    def test_headers(self):
        self.plant("router/x.h", "#ifndef X_H\n#define X_H\n/* Why. */\n#endif\n", "guard")
        guard = "#ifndef ROUTER_X_H\n#define ROUTER_X_H\n"
        self.plant("router/x.h", guard + "#endif\n", "what this is for")
        self.plant("router/x.h", guard + "/* Why. */\nint y_do(int a);\n#endif\n", "not named after")
        self.plant("router/x.h", guard + "/* Why. */\nint x_do(int a);\nint y_do(struct y *y);\n"
                   "struct z;\nint z_do(int a);\n#endif\n")

    def test_private_headers_name_the_parts(self):
        self.write("router/x_read.c", "/* Why. */\n")
        guard = "#ifndef ROUTER_X_PRIVATE_H\n#define ROUTER_X_PRIVATE_H\n/* Why. */\n"
        self.plant("router/x_private.h", guard + "int read_it(int a);\n#endif\n")
        self.plant("router/x_private.h", guard + "int write_it(int a);\n#endif\n", "not named after")

    def test_a_source_without_a_header_says_what_it_is_for(self):
        self.plant("router/x.c", "int f(void);\n", "there is no header")
        self.write("router/x.h", "#ifndef ROUTER_X_H\n#define ROUTER_X_H\n/* Why. */\n#endif\n")
        self.plant("router/x_part.c", "int f(void);\n")

    def test_stems_are_unique(self):
        self.plant("router/noun.c", "/* Why. */\n", "common/base has a noun already")
        os.remove(os.path.join(self.root, "router/noun.c"))
        self.write("replication/x.h",
                   "#ifndef REPLICATION_X_H\n#define REPLICATION_X_H\n/* Why. */\n#endif\n")
        self.plant("replication/raft/x.c", "int f(void);\n")
        self.plant("router/x.c", "/* Why. */\n", "has a x already")

    def test_pages(self):
        self.plant("docs/limits.md", "Text.\n", "has 0 titles")
        self.plant("docs/limits.md", "# A\n\n# B\n", "has 2 titles")
        self.plant("docs/limits.md", "# A\n\n```\n# b\n```\n")
        self.plant("docs/limits.md", "# A\n\n[x](nowhere.md)\n", "links to nowhere.md")
        self.plant("docs/limits.md", "# A\n\n[x](STYLE.md#part) [y](https://example.org/)\n")

    def test_missing_page(self):
        os.remove(os.path.join(self.root, "docs/STYLE.md"))
        self.assertEqual(len(self.faults()), 1)

    def test_top_level(self):
        self.write("notes.txt", "text\n")
        self.assertEqual(len(self.faults()), 1)
        self.assertIn("top level", self.faults()[0])

    def test_what_is_built_is_not_read(self):
        self.write("build/dev/x.c", "FIXME")
        self.write("sherd-data/x.c", "FIXME")
        self.assertEqual(self.faults(), [])


if __name__ == "__main__":
    unittest.main()
