#ifndef COMMON_CONFIG_READ_RULES_H
#define COMMON_CONFIG_READ_RULES_H

#include "common/base/slice.h"
#include "common/base/status.h"

/* The setting read-from-replicas: which keys may be read at replicas that do not lead.
 *
 *     PREFIX MODE[, PREFIX MODE...]     MODE: linearizable, leader, or bounded:MILLISECONDS
 *
 * The longest prefix that a key begins with counts; * stands for every key. Pure. Thread: any. */

enum { READ_RULES_MAX = 64, READ_BOUND_MS_MAX = 24 * 3600 * 1000 };

struct read_rule {
    struct slice prefix; /* Borrowed from the text. */
    bool replica;        /* False: the leader. */
    uint64_t bound_ms;   /* 0: linearizable. */
};

struct read_rules {
    size_t count;
    struct read_rule rules[READ_RULES_MAX];
};

/* BAD_ARGUMENT: *reason, a fixed text, says why. The text outlives the rules. */
MUST_USE enum status read_rules_parse(struct slice text,
                                      struct read_rules *rules,
                                      const char **reason);
/* NULL: none is about the key. */
const struct read_rule *read_rules_find(const struct read_rules *rules, struct slice key);

#endif
