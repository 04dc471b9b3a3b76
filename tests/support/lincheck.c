#include "tests/support/lincheck.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/support/lincheck_key.h"

enum {
    STEPS_MAX_DEFAULT = 20 * 1000 * 1000,
    STATES_MAX_DEFAULT = 8 * 1000 * 1000,
    DETAIL_SIZE_MAX = 1 << 20,
    BAD_KEYS_SHOWN = 5,
    NEIGHBOURS_SHOWN = 24,
};

static bool needs_arg(enum history_kind kind)
{
    return kind == HISTORY_SET || kind == HISTORY_SETNX || kind == HISTORY_GETSET ||
           kind == HISTORY_INCRBY || kind == HISTORY_APPEND;
}

static bool has_number(enum history_kind kind)
{
    return kind == HISTORY_SETNX || kind == HISTORY_DEL || kind == HISTORY_EXISTS ||
           kind == HISTORY_INCRBY || kind == HISTORY_APPEND;
}

static bool parse_number(struct slice text, int64_t *number)
{
    char copy[24];
    if (text.data == NULL || text.len == 0 || text.len >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    char *end = NULL;
    *number = strtoll(copy, &end, 10);
    return *end == '\0';
}

/* An operation that cannot matter: without effect, or a read that was not answered. */
static bool is_irrelevant(const struct history_op *op)
{
    bool unknown = op->outcome == HISTORY_UNKNOWN || op->outcome == HISTORY_PENDING;
    return op->outcome == HISTORY_FAIL ||
           (unknown && (op->kind == HISTORY_GET || op->kind == HISTORY_EXISTS));
}

static void add_op(struct lincheck_key *key, const struct history *history, size_t source)
{
    const struct history_op *from = &history->ops[source];
    struct lincheck_op *op = &key->ops[key->count++];
    struct slice arg = text_pool_get(&history->texts, from->arg);
    struct slice result = text_pool_get(&history->texts, from->result);
    /* One later than told: time 0 is the state before all operations. */
    *op = (struct lincheck_op){.invoked = from->invoked + 1,
                               .returned = HISTORY_NEVER,
                               .kind = from->kind,
                               .known = from->outcome == HISTORY_OK,
                               .source = source};
    op->arg = text_pool_add(&key->texts, arg);
    op->malformed = needs_arg(op->kind) && arg.data == NULL;
    if (op->kind == HISTORY_INCRBY && !parse_number(arg, &op->delta)) {
        op->malformed = true;
    }
    if (!op->known) {
        return;
    }
    op->returned = from->returned + 1;
    op->result = op->kind == HISTORY_SET ? TEXT_POOL_NONE : text_pool_add(&key->texts, result);
    if (has_number(op->kind) && !parse_number(result, &op->number)) {
        op->malformed = true;
    }
}

/* Values that nobody has seen, and whose bytes nothing depends on, are all alike to the search. */
static void merge_unseen(struct lincheck_key *key)
{
    bool integers_matter = false;
    uint8_t *seen = calloc(key->texts.count, 1);
    assert(seen != NULL);
    for (size_t i = 0; i < key->count; i++) {
        const struct lincheck_op *op = &key->ops[i];
        integers_matter = integers_matter || op->kind == HISTORY_INCRBY;
        seen[op->result] = 1;
        if (op->kind == HISTORY_APPEND) {
            free(seen);
            return;
        }
    }
    uint32_t unseen = TEXT_POOL_NONE;
    for (size_t i = 0; i < key->count; i++) {
        struct lincheck_op *op = &key->ops[i];
        int64_t number;
        if (!needs_arg(op->kind) || op->kind == HISTORY_INCRBY || op->arg == TEXT_POOL_NONE ||
            seen[op->arg] ||
            (integers_matter && parse_number(text_pool_get(&key->texts, op->arg), &number))) {
            continue;
        }
        if (unseen == TEXT_POOL_NONE) {
            unseen = op->arg;
        }
        op->arg = unseen;
    }
    free(seen);
}

static void print_value(struct buf *detail, struct slice text)
{
    if (text.data == NULL) {
        buf_append_text(detail, "nothing");
        return;
    }
    buf_append_format(detail, "'%.*s'", (int)(text.len < 64 ? text.len : 64),
                      (const char *)text.data);
}

static void print_op(struct buf *detail, const struct history *history, size_t source)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert(to != NULL);
    history_print(history, source, to);
    fclose(to);
    if (detail->len + size < DETAIL_SIZE_MAX / 2) {
        buf_append_format(detail, "    %s", text);
    }
    free(text);
}

/* The operations around the two that do not fit, by time of invocation. */
static void print_neighbours(struct buf *detail,
                             const struct history *history,
                             const struct lincheck_key *key,
                             const struct lincheck_finding *finding)
{
    const struct lincheck_op *blocked = &key->ops[finding->blocked_by];
    const struct lincheck_op *other = &key->ops[finding->other];
    uint64_t from = blocked->invoked < other->invoked ? blocked->invoked : other->invoked;
    uint64_t until = blocked->returned == HISTORY_NEVER ? blocked->invoked : blocked->returned;
    size_t shown = 0;
    for (size_t i = 0; i < key->count && shown < NEIGHBOURS_SHOWN; i++) {
        const struct lincheck_op *op = &key->ops[i];
        if (op->returned >= from && op->invoked <= until) {
            print_op(detail, history, op->source);
            shown++;
        }
    }
}

static void describe(struct lincheck_report *report,
                     const struct history *history,
                     const struct lincheck_key *key,
                     const struct lincheck_finding *finding)
{
    struct buf *detail = &report->detail;
    uint32_t name = history->ops[key->ops[0].source].key;
    buf_append_format(detail, "%s: key ", lincheck_verdict_name(finding->verdict));
    print_value(detail, text_pool_get(&history->texts, name));
    buf_append_format(detail, ", %zu operations", key->count);
    if (finding->other == finding->blocked_by) {
        buf_append_format(detail, "; %zu could be put in order, the value was then ",
                          finding->done);
        print_value(detail, text_pool_get(&key->texts, finding->value));
    }
    buf_append_text(detail, "\n  does not fit:\n");
    print_op(detail, history, key->ops[finding->blocked_by].source);
    if (finding->other != finding->blocked_by) {
        buf_append_text(detail, "  because of:\n");
        print_op(detail, history, key->ops[finding->other].source);
    }
    buf_append_text(detail, "  around it:\n");
    print_neighbours(detail, history, key, finding);
}

static void check_key(struct lincheck_report *report,
                      const struct history *history,
                      struct lincheck_key *key,
                      const struct lincheck_options *options)
{
    struct lincheck_finding finding;
    if (!options->search_only && lincheck_zones_fit(key)) {
        finding = lincheck_zones_decide(key);
    } else {
        merge_unseen(key);
        finding = lincheck_search_decide(key, options);
    }
    report->keys++;
    report->ops += key->count;
    report->steps += finding.steps;
    for (size_t i = 0; i < key->count; i++) {
        report->unknown += !key->ops[i].known;
    }
    if (finding.verdict == LINCHECK_LINEARIZABLE) {
        return;
    }
    bool worse = report->verdict != LINCHECK_VIOLATION;
    if (worse) {
        report->verdict = finding.verdict;
    }
    if (worse || report->detail.len < (size_t)BAD_KEYS_SHOWN * 2048) {
        describe(report, history, key, &finding);
    }
}

/* Order of the operations: by key, then by the time of the call. */
struct index {
    uint32_t key;
    uint64_t invoked;
    size_t source;
};

static int by_key(const void *left, const void *right)
{
    const struct index *a = left;
    const struct index *b = right;
    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    if (a->invoked != b->invoked) {
        return a->invoked < b->invoked ? -1 : 1;
    }
    return (a->source > b->source) - (a->source < b->source);
}

static size_t sort_ops(const struct history *history, struct index *order)
{
    size_t count = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_op *op = &history->ops[i];
        if (!is_irrelevant(op)) {
            order[count++] = (struct index){.key = op->key, .invoked = op->invoked, .source = i};
        }
    }
    qsort(order, count, sizeof *order, by_key);
    return count;
}

void lincheck_run(const struct history *history,
                  const struct lincheck_options *options,
                  struct lincheck_report *report)
{
    struct lincheck_options limits = *options;
    limits.steps_max = limits.steps_max == 0 ? STEPS_MAX_DEFAULT : limits.steps_max;
    limits.states_max = limits.states_max == 0 ? STATES_MAX_DEFAULT : limits.states_max;
    *report = (struct lincheck_report){.verdict = LINCHECK_LINEARIZABLE};
    buf_init(&report->detail, DETAIL_SIZE_MAX);
    struct index *order = calloc(history->count + 1, sizeof *order);
    assert(order != NULL);
    size_t count = sort_ops(history, order);
    for (size_t first = 0; first < count;) {
        size_t end = first;
        while (end < count && order[end].key == order[first].key) {
            end++;
        }
        struct lincheck_key key = {0};
        text_pool_init(&key.texts);
        key.ops = calloc(end - first, sizeof *key.ops);
        assert(key.ops != NULL);
        for (size_t i = first; i < end; i++) {
            add_op(&key, history, order[i].source);
        }
        check_key(report, history, &key, &limits);
        text_pool_deinit(&key.texts);
        free(key.ops);
        first = end;
    }
    free(order);
}

void lincheck_report_deinit(struct lincheck_report *report)
{
    buf_deinit(&report->detail);
}

const char *lincheck_verdict_name(enum lincheck_verdict verdict)
{
    static const char *const NAMES[] = {
        [LINCHECK_LINEARIZABLE] = "linearizable",
        [LINCHECK_VIOLATION] = "violation",
        [LINCHECK_UNDECIDED] = "undecided",
    };
    assert(verdict <= LINCHECK_UNDECIDED);
    return NAMES[verdict];
}
