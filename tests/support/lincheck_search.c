#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/rand.h"
#include "tests/support/lincheck_key.h"

enum { NO_ENTRY = 0, SEEN_SIZE_MIN = 1024, APPEND_SIZE_MAX = 1 << 24 };

/* One call or return of an operation with known outcome, in the order of time; a ring through entry
 * 0. A call at the same time as a return comes before it. */
struct entry {
    uint64_t time;
    uint32_t op;
    uint32_t prev;
    uint32_t next;
    uint32_t match; /* Of a call: its return. NO_ENTRY marks a return. */
};

/* Equal operations of unknown outcome, eldest first, used from the front. */
struct class
{
    uint32_t *ops;
    uint32_t count;
    uint32_t used;
};

struct sum {
    uint64_t low;
    uint64_t high;
};

/* A place on the way: what was tried there so far. */
struct node {
    uint32_t value;
    uint32_t entry;  /* The next call to try; NO_ENTRY: all were. */
    uint32_t class;  /* The next class to try. */
    uint32_t taken;  /* The operation that led to the next node. */
    bool by_unknown; /* An operation of unknown outcome led here. */
    bool fresh;
};

struct search {
    struct lincheck_key *key;
    struct entry *entries;
    struct class *classes;
    uint32_t class_count;
    uint32_t *class_ops; /* The memory of all classes. */
    uint32_t *twin_of;   /* Per known operation: the same number for those that are alike. */
    struct sum *sums;    /* Random, two words per operation. */
    struct sum done;     /* The sum of the operations done. */
    size_t known_left;
    struct node *nodes;
    size_t depth;
    struct sum *seen;
    size_t seen_count;
    size_t seen_size;
    size_t seen_max;
    /* Of a counter, else NULL: what the known operations leave, in the order they must come. */
    struct post *posts;
    size_t known;
    /* Of a key without arithmetic, else NULL; per value: operations left that can make it, and
     * known operations left that need it. */
    uint32_t *makers;
    uint32_t *needers;
};

struct post {
    int64_t value;
    bool reads;
};

static bool parse_integer(struct slice text, int64_t *number)
{
    char copy[24];
    if (text.data == NULL || text.len == 0 || text.len >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    char *end = NULL;
    *number = strtoll(copy, &end, 10);
    char back[24];
    snprintf(back, sizeof back, "%" PRId64, *number);
    return strcmp(copy, back) == 0;
}

static bool step_incrby(struct search *search,
                        const struct lincheck_op *op,
                        uint32_t value,
                        uint32_t *next)
{
    int64_t number = 0;
    struct slice text = text_pool_get(&search->key->texts, value);
    if (text.data != NULL && !parse_integer(text, &number)) {
        return false;
    }
    if (__builtin_add_overflow(number, op->delta, &number) || (op->known && number != op->number)) {
        return false;
    }
    char out[24];
    int len = snprintf(out, sizeof out, "%" PRId64, number);
    *next = text_pool_add(&search->key->texts, slice_of(out, (size_t)len));
    return true;
}

static bool step_append(struct search *search,
                        const struct lincheck_op *op,
                        uint32_t value,
                        uint32_t *next)
{
    struct slice old = text_pool_get(&search->key->texts, value);
    struct slice tail = text_pool_get(&search->key->texts, op->arg);
    size_t len = old.len + tail.len;
    assert(len <= APPEND_SIZE_MAX);
    if (op->known && op->number != (int64_t)len) {
        return false;
    }
    uint8_t *joined = malloc(len + 1);
    assert(joined != NULL);
    if (old.len > 0) {
        memcpy(joined, old.data, old.len);
    }
    memcpy(joined + old.len, tail.data, tail.len);
    *next = text_pool_add(&search->key->texts, slice_of(joined, len));
    free(joined);
    return true;
}

/* Can the operation happen on the value? If so, what is it afterwards? */
static bool step(struct search *search,
                 const struct lincheck_op *op,
                 uint32_t value,
                 uint32_t *next)
{
    int64_t exists = value != TEXT_POOL_NONE;
    *next = value;
    if (op->malformed) {
        return false;
    }
    switch (op->kind) {
    case HISTORY_GET: return op->result == value;
    case HISTORY_EXISTS: return op->number == exists;
    case HISTORY_SET: *next = op->arg; return true;
    case HISTORY_SETNX:
        *next = exists ? value : op->arg;
        return !op->known || op->number == 1 - exists;
    case HISTORY_GETSET: *next = op->arg; return !op->known || op->result == value;
    case HISTORY_GETDEL: *next = TEXT_POOL_NONE; return !op->known || op->result == value;
    case HISTORY_DEL: *next = TEXT_POOL_NONE; return !op->known || op->number == exists;
    case HISTORY_INCRBY: return step_incrby(search, op, value, next);
    case HISTORY_APPEND: return step_append(search, op, value, next);
    case HISTORY_KIND_COUNT: break;
    }
    assert(false);
    return false;
}

/* With this result the operation changes nothing, whatever the value is. */
static bool changes_nothing(const struct lincheck_op *op)
{
    return op->kind == HISTORY_GET || op->kind == HISTORY_EXISTS ||
           ((op->kind == HISTORY_SETNX || op->kind == HISTORY_DEL) && op->known &&
            op->number == 0) ||
           (op->kind == HISTORY_GETDEL && op->known && op->result == TEXT_POOL_NONE);
}

/* It fits any value and leaves none of it: what was right before it does not matter. */
static bool overwrites(const struct lincheck_op *op)
{
    return op->kind == HISTORY_SET ||
           (!op->known &&
            (op->kind == HISTORY_DEL || op->kind == HISTORY_GETSET || op->kind == HISTORY_GETDEL));
}

/* ---- setting up ---- */

static int by_time(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    if (a->time != b->time) {
        return a->time < b->time ? -1 : 1;
    }
    bool a_returns = a->match == NO_ENTRY;
    bool b_returns = b->match == NO_ENTRY;
    if (a_returns != b_returns) {
        return a_returns ? 1 : -1;
    }
    return (a->op > b->op) - (a->op < b->op);
}

static void init_entries(struct search *search)
{
    const struct lincheck_key *key = search->key;
    search->entries = calloc(key->count * 2 + 1, sizeof *search->entries);
    uint32_t *call_of = calloc(key->count + 1, sizeof *call_of);
    assert(search->entries != NULL);
    assert(call_of != NULL);
    size_t count = 1;
    for (size_t i = 0; i < key->count; i++) {
        const struct lincheck_op *op = &key->ops[i];
        if (op->known) {
            search->entries[count++] =
                (struct entry){.time = op->invoked, .op = (uint32_t)i, .match = 1};
            search->entries[count++] = (struct entry){.time = op->returned, .op = (uint32_t)i};
            search->known_left++;
        }
    }
    qsort(search->entries + 1, count - 1, sizeof *search->entries, by_time);
    for (uint32_t i = 0; i < count; i++) {
        struct entry *entry = &search->entries[i];
        entry->prev = i == 0 ? (uint32_t)count - 1 : i - 1;
        entry->next = i + 1 == count ? 0 : i + 1;
        if (i > 0 && entry->match != NO_ENTRY) {
            call_of[entry->op] = i;
        } else if (i > 0) {
            search->entries[call_of[entry->op]].match = i;
        }
    }
    free(call_of);
}

struct sortable {
    const struct lincheck_op *op;
    uint32_t at;
};

static int by_kind(const struct lincheck_op *a, const struct lincheck_op *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    return (a->arg > b->arg) - (a->arg < b->arg);
}

static int by_class(const void *left, const void *right)
{
    const struct lincheck_op *a = ((const struct sortable *)left)->op;
    const struct lincheck_op *b = ((const struct sortable *)right)->op;
    int order = by_kind(a, b);
    return order != 0 ? order : (a->invoked > b->invoked) - (a->invoked < b->invoked);
}

static void init_classes(struct search *search)
{
    const struct lincheck_key *key = search->key;
    struct sortable *sorted = calloc(key->count + 1, sizeof *sorted);
    search->classes = calloc(key->count + 1, sizeof *search->classes);
    search->class_ops = calloc(key->count + 1, sizeof *search->class_ops);
    assert(sorted != NULL);
    assert(search->classes != NULL && search->class_ops != NULL);
    uint32_t count = 0;
    for (size_t i = 0; i < key->count; i++) {
        if (!key->ops[i].known) {
            sorted[count++] = (struct sortable){.op = &key->ops[i], .at = (uint32_t)i};
        }
    }
    qsort(sorted, count, sizeof *sorted, by_class);
    for (uint32_t i = 0; i < count; i++) {
        search->class_ops[i] = sorted[i].at;
        if (i == 0 || by_kind(sorted[i - 1].op, sorted[i].op) != 0) {
            search->classes[search->class_count++].ops = &search->class_ops[i];
        }
        search->classes[search->class_count - 1].count++;
    }
    free(sorted);
}

static int by_twin(const void *left, const void *right)
{
    const struct lincheck_op *a = ((const struct sortable *)left)->op;
    const struct lincheck_op *b = ((const struct sortable *)right)->op;
    int order = by_kind(a, b);
    if (order == 0) {
        order = (a->result > b->result) - (a->result < b->result);
    }
    return order != 0 ? order : (a->delta > b->delta) - (a->delta < b->delta);
}

static void init_twins(struct search *search)
{
    const struct lincheck_key *key = search->key;
    struct sortable *sorted = calloc(key->count + 1, sizeof *sorted);
    search->twin_of = calloc(key->count + 1, sizeof *search->twin_of);
    assert(sorted != NULL && search->twin_of != NULL);
    for (size_t i = 0; i < key->count; i++) {
        sorted[i] = (struct sortable){.op = &key->ops[i], .at = (uint32_t)i};
    }
    qsort(sorted, key->count, sizeof *sorted, by_twin);
    uint32_t twin = 0;
    for (size_t i = 0; i < key->count; i++) {
        twin += i > 0 && by_twin(&sorted[i - 1], &sorted[i]) != 0;
        search->twin_of[sorted[i].at] = twin;
    }
    free(sorted);
}

static int by_post(const void *left, const void *right)
{
    const struct post *a = left;
    const struct post *b = right;
    if (a->value != b->value) {
        return a->value < b->value ? -1 : 1;
    }
    return a->reads - b->reads;
}

/* If the key is only read and counted up, its value never comes back, which orders what is known.
 */
static void init_posts(struct search *search)
{
    const struct lincheck_key *key = search->key;
    search->posts = calloc(key->count + 1, sizeof *search->posts);
    assert(search->posts != NULL);
    size_t count = 0;
    for (size_t i = 0; i < key->count; i++) {
        const struct lincheck_op *op = &key->ops[i];
        bool reads = op->kind == HISTORY_GET;
        int64_t value = op->number;
        struct slice text = text_pool_get(&key->texts, op->result);
        if ((reads && text.data != NULL && !parse_integer(text, &value)) || op->malformed ||
            (!reads && (op->kind != HISTORY_INCRBY || op->delta <= 0))) {
            free(search->posts);
            search->posts = NULL;
            return;
        }
        if (op->known) {
            search->posts[count++] = (struct post){.value = value, .reads = reads};
        }
    }
    qsort(search->posts, count, sizeof *search->posts, by_post);
}

/* The value that an operation certainly needs, and the one that it can make; false for neither. */
static bool needs_value(const struct lincheck_op *op, uint32_t *value)
{
    bool reads =
        op->kind == HISTORY_GET || op->kind == HISTORY_GETSET || op->kind == HISTORY_GETDEL;
    bool needs_none = (op->kind == HISTORY_SETNX && op->number == 1) ||
                      ((op->kind == HISTORY_DEL || op->kind == HISTORY_EXISTS) && op->number == 0);
    *value = reads ? op->result : TEXT_POOL_NONE;
    return op->known && (reads || needs_none);
}

static bool makes_value(const struct lincheck_op *op, uint32_t *value)
{
    bool writes =
        op->kind == HISTORY_SET || op->kind == HISTORY_GETSET || op->kind == HISTORY_SETNX;
    *value = writes ? op->arg : TEXT_POOL_NONE;
    return writes || op->kind == HISTORY_DEL || op->kind == HISTORY_GETDEL;
}

/* Counts the operation in (by 1) or out (by UINT32_MAX, which is -1) of those that are left. */
static void count_left(struct search *search, uint32_t at, uint32_t by)
{
    uint32_t value;
    const struct lincheck_op *op = &search->key->ops[at];
    if (search->makers == NULL) {
        return;
    }
    if (makes_value(op, &value)) {
        search->makers[value] += by;
    }
    if (needs_value(op, &value)) {
        search->needers[value] += by;
    }
}

static void init_left(struct search *search)
{
    const struct lincheck_key *key = search->key;
    for (size_t i = 0; i < key->count; i++) {
        if (key->ops[i].kind == HISTORY_INCRBY || key->ops[i].kind == HISTORY_APPEND) {
            return;
        }
    }
    search->makers = calloc(key->texts.count, sizeof *search->makers);
    search->needers = calloc(key->texts.count, sizeof *search->needers);
    assert(search->makers != NULL && search->needers != NULL);
    for (uint32_t i = 0; i < key->count; i++) {
        count_left(search, i, 1);
    }
}

static void init_search(struct search *search, uint64_t states_max)
{
    init_twins(search);
    init_posts(search);
    init_left(search);
    size_t count = search->key->count;
    init_entries(search);
    init_classes(search);
    search->sums = calloc(count + 1, sizeof *search->sums);
    search->nodes = calloc(count + 1, sizeof *search->nodes);
    search->seen_size = SEEN_SIZE_MIN;
    search->seen_max = states_max;
    search->seen = calloc(search->seen_size, sizeof *search->seen);
    assert(search->sums != NULL && search->nodes != NULL && search->seen != NULL);
    struct rand rand;
    rand_init(&rand, 1);
    for (size_t i = 0; i < count; i++) {
        search->sums[i].low = rand_u64(&rand);
        search->sums[i].high = rand_u64(&rand);
    }
}

static void deinit_search(struct search *search)
{
    free(search->entries);
    free(search->classes);
    free(search->class_ops);
    free(search->twin_of);
    free(search->sums);
    free(search->nodes);
    free(search->seen);
    free(search->posts);
    free(search->makers);
    free(search->needers);
}

/* ---- states seen ---- */

static struct sum *find_seen(struct sum *seen, size_t size, struct sum sum)
{
    size_t at = (size_t)sum.low & (size - 1);
    while ((seen[at].low | seen[at].high) != 0 &&
           (seen[at].low != sum.low || seen[at].high != sum.high)) {
        at = (at + 1) & (size - 1);
    }
    return &seen[at];
}

static void grow_seen(struct search *search)
{
    size_t size = search->seen_size * 2;
    struct sum *seen = calloc(size, sizeof *seen);
    assert(seen != NULL);
    for (size_t i = 0; i < search->seen_size; i++) {
        if ((search->seen[i].low | search->seen[i].high) != 0) {
            *find_seen(seen, size, search->seen[i]) = search->seen[i];
        }
    }
    free(search->seen);
    search->seen = seen;
    search->seen_size = size;
}

/* Mixes the value and the way it was reached into the sum of the operations done. */
static struct sum state_sum(struct sum done, uint32_t value, bool by_unknown)
{
    uint64_t extra = ((uint64_t)value << 1 | by_unknown) + 1;
    extra *= 0x9e3779b97f4a7c15u;
    extra ^= extra >> 29;
    done.low ^= extra * 0xbf58476d1ce4e5b9u;
    done.high ^= extra * 0x94d049bb133111ebu;
    done.low |= (done.low | done.high) == 0;
    return done;
}

static bool see(struct search *search, uint32_t value, bool by_unknown)
{
    struct sum sum = state_sum(search->done, value, by_unknown);
    struct sum *at = find_seen(search->seen, search->seen_size, sum);
    if ((at->low | at->high) != 0) {
        return false;
    }
    *at = sum;
    search->seen_count++;
    if (search->seen_count * 2 > search->seen_size) {
        grow_seen(search);
    }
    return true;
}

/* ---- moving ---- */

/* No way leads on from here, after `from` became `to` and known_done operations are behind. */
static bool hopeless(const struct search *search, uint32_t from, uint32_t to, size_t known_done)
{
    if (search->makers != NULL) {
        return from != to && search->makers[from] == 0 && search->needers[from] > 0;
    }
    int64_t value = 0;
    struct slice text = text_pool_get(&search->key->texts, to);
    if (search->posts == NULL || known_done == search->known ||
        (text.data != NULL && !parse_integer(text, &value))) {
        return false;
    }
    const struct post *next = &search->posts[known_done];
    return next->value < value || (next->value == value && !next->reads);
}

static void toggle_sum(struct search *search, uint32_t op)
{
    search->done.low ^= search->sums[op].low;
    search->done.high ^= search->sums[op].high;
}

static void unlink_entry(struct search *search, uint32_t at)
{
    struct entry *entries = search->entries;
    entries[entries[at].prev].next = entries[at].next;
    entries[entries[at].next].prev = entries[at].prev;
}

static void relink_entry(struct search *search, uint32_t at)
{
    struct entry *entries = search->entries;
    entries[entries[at].prev].next = at;
    entries[entries[at].next].prev = at;
}

static void push(struct search *search, uint32_t value, bool by_unknown)
{
    search->depth++;
    assert(search->depth <= search->key->count);
    search->nodes[search->depth] = (struct node){
        .value = value, .entry = search->entries[0].next, .by_unknown = by_unknown, .fresh = true};
}

/* Takes the call at `entry`, if the state it leads to is new. */
static bool take_known(struct search *search, uint32_t entry, uint32_t value)
{
    uint32_t op = search->entries[entry].op;
    uint32_t from = search->nodes[search->depth].value;
    toggle_sum(search, op);
    count_left(search, op, UINT32_MAX);
    if (hopeless(search, from, value, search->known - search->known_left + 1) ||
        !see(search, value, false)) {
        toggle_sum(search, op);
        count_left(search, op, 1);
        return false;
    }
    unlink_entry(search, entry);
    unlink_entry(search, search->entries[entry].match);
    search->known_left--;
    search->nodes[search->depth].taken = entry;
    push(search, value, false);
    return true;
}

static bool take_unknown(struct search *search, uint32_t class, uint32_t value)
{
    struct class *from = &search->classes[class];
    uint32_t op = from->ops[from->used];
    uint32_t old = search->nodes[search->depth].value;
    toggle_sum(search, op);
    count_left(search, op, UINT32_MAX);
    if (hopeless(search, old, value, search->known - search->known_left) ||
        !see(search, value, true)) {
        toggle_sum(search, op);
        count_left(search, op, 1);
        return false;
    }
    from->used++;
    search->nodes[search->depth].taken = class;
    push(search, value, true);
    return true;
}

/* Goes back to the node before. */
static void pop(struct search *search)
{
    bool by_unknown = search->nodes[search->depth].by_unknown;
    search->depth--;
    uint32_t taken = search->nodes[search->depth].taken;
    if (by_unknown) {
        struct class *class = &search->classes[taken];
        class->used--;
        toggle_sum(search, class->ops[class->used]);
        count_left(search, class->ops[class->used], 1);
        return;
    }
    relink_entry(search, search->entries[taken].match);
    relink_entry(search, taken);
    search->known_left++;
    toggle_sum(search, search->entries[taken].op);
    count_left(search, search->entries[taken].op, 1);
}

/* An operation that fits and changes nothing is taken now or never: there is no other choice to
 * come back to. Returns whether there was one; *moved if its state was new. */
static bool take_forced(struct search *search, bool *moved)
{
    struct node *node = &search->nodes[search->depth];
    uint32_t at = search->entries[0].next;
    for (; at != 0 && search->entries[at].match != NO_ENTRY; at = search->entries[at].next) {
        const struct lincheck_op *op = &search->key->ops[search->entries[at].op];
        uint32_t value;
        if (changes_nothing(op) && step(search, op, node->value, &value)) {
            node->entry = NO_ENTRY;
            node->class = search->class_count;
            *moved = take_known(search, at, value);
            return true;
        }
    }
    return false;
}

/* Of operations that are alike, and all may come next, the one that must return first goes first.
 */
static bool waits_for_twin(const struct search *search, uint32_t entry)
{
    uint32_t op = search->entries[entry].op;
    uint32_t at = search->entries[0].next;
    for (; search->entries[at].match != NO_ENTRY; at = search->entries[at].next) {
        uint32_t other = search->entries[at].op;
        if (search->twin_of[other] == search->twin_of[op] &&
            search->entries[at].match < search->entries[entry].match) {
            return true;
        }
    }
    return false;
}

static bool take_next_known(struct search *search)
{
    struct node *node = &search->nodes[search->depth];
    while (node->entry != 0 && search->entries[node->entry].match != NO_ENTRY) {
        uint32_t at = node->entry;
        node->entry = search->entries[at].next;
        const struct lincheck_op *op = &search->key->ops[search->entries[at].op];
        uint32_t value;
        if ((node->by_unknown && overwrites(op)) || waits_for_twin(search, at) ||
            !step(search, op, node->value, &value)) {
            continue;
        }
        if (take_known(search, at, value)) {
            return true;
        }
    }
    node->entry = NO_ENTRY;
    return false;
}

/* The first return that is left: nothing invoked later can come next. */
static uint64_t first_return(const struct search *search)
{
    uint32_t at = search->entries[0].next;
    while (search->entries[at].match != NO_ENTRY) {
        at = search->entries[at].next;
    }
    assert(at != 0);
    return search->entries[at].time;
}

static bool take_next_unknown(struct search *search)
{
    struct node *node = &search->nodes[search->depth];
    if (node->class == search->class_count) {
        return false;
    }
    uint64_t until = first_return(search);
    while (node->class < search->class_count) {
        uint32_t at = node->class ++;
        const struct class *class = &search->classes[at];
        if (class->used == class->count) {
            continue;
        }
        const struct lincheck_op *op = &search->key->ops[class->ops[class->used]];
        uint32_t value;
        if (op->invoked > until || (node->by_unknown && overwrites(op)) ||
            !step(search, op, node->value, &value) || value == node->value) {
            continue;
        }
        if (take_unknown(search, at, value)) {
            return true;
        }
    }
    return false;
}

static bool advance(struct search *search)
{
    struct node *node = &search->nodes[search->depth];
    if (node->fresh) {
        node->fresh = false;
        bool moved = false;
        if (take_forced(search, &moved)) {
            return moved;
        }
    }
    return take_next_known(search) || take_next_unknown(search);
}

static void note_best(const struct search *search, struct lincheck_finding *finding)
{
    size_t done = search->known - search->known_left;
    if (search->known_left == 0 || (done < finding->done) ||
        (done == finding->done && finding->steps > 1)) {
        return;
    }
    uint32_t at = search->entries[0].next;
    while (search->entries[at].match != NO_ENTRY) {
        at = search->entries[at].next;
    }
    finding->done = done;
    finding->value = search->nodes[search->depth].value;
    finding->blocked_by = search->entries[at].op;
    finding->other = finding->blocked_by;
}

struct lincheck_finding lincheck_search_decide(struct lincheck_key *key,
                                               const struct lincheck_options *options)
{
    assert(key->count < UINT32_MAX / 2);
    struct search search = {.key = key};
    init_search(&search, options->states_max);
    search.known = search.known_left;
    search.nodes[0] =
        (struct node){.value = TEXT_POOL_NONE, .entry = search.entries[0].next, .fresh = true};
    struct lincheck_finding finding = {.verdict = LINCHECK_VIOLATION};
    while (true) {
        finding.steps++;
        note_best(&search, &finding);
        if (search.known_left == 0) {
            finding.verdict = LINCHECK_LINEARIZABLE;
            break;
        }
        if (finding.steps > options->steps_max || search.seen_count > search.seen_max) {
            finding.verdict = LINCHECK_UNDECIDED;
            break;
        }
        if (advance(&search)) {
            continue;
        }
        if (search.depth == 0) {
            break;
        }
        pop(&search);
    }
    deinit_search(&search);
    return finding;
}
