#include "router/scatter.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/cluster/token.h"
#include "common/cluster/transaction_home.h"
#include "common/proto/resp.h"
#include "router/fanout.h"

enum { APART_MAX = 64 };

static const char changed[] =
    "ABORTED a watched key changed after other parts of this transaction were executed; this part "
    "was not";
static const char misfit[] =
    "ERR a shard answered in a form that this router does not know; this part may be executed";

struct scatter;

/* What goes to one shard at once. */
struct group {
    struct core_request core;
    struct scatter *scatter;
    size_t position;
    bool alone; /* One command that the core spreads. */
    struct transaction_form form;
    struct transaction_item *items;
    size_t *members; /* Of each item, which of all it is. */
    size_t item_count;
    struct transaction_watch *watches;
    size_t watch_count;
};

struct answer {
    size_t offset;
    size_t size;
};

struct scatter {
    struct core *core;
    struct core_request *whole;
    struct transaction_item *items;
    struct answer *answers;
    size_t item_count;
    struct transaction_watch *watches;
    size_t watch_count;
    struct buf text;  /* Of all answers. */
    struct buf reply; /* That ends it. */
    bool checked;     /* The watches are as they were. */
    size_t next;      /* Item. */
    unsigned apart;   /* Groups whose keys were on several shards when they arrived. */
    struct group *groups;
    size_t group_count;
    size_t pending;
    bool looking; /* go_on() is at work: it sees what changes below it. */
};

bool scatter_wanted(const struct core *core, const struct core_request *request)
{
    if (request->command->id != CMD_batch || core_map(core)->shard_count == 0) {
        return false;
    }
    struct buf error;
    buf_init(&error, 1 << 16);
    size_t position = 0;
    enum status status = transaction_home(request->args, core_map(core), &position, &error);
    buf_deinit(&error);
    return status == STATUS_CONFLICT;
}

static void end(struct scatter *scatter)
{
    struct core_request *whole = scatter->whole;
    whole->on_done(whole, buf_slice(&scatter->reply));
    buf_deinit(&scatter->text);
    buf_deinit(&scatter->reply);
    free(scatter->items);
    free(scatter->answers);
    free(scatter->watches);
    free(scatter);
}

/* Groups. */

static void free_groups(struct scatter *scatter)
{
    for (size_t i = 0; i < scatter->group_count; i++) {
        struct group *group = &scatter->groups[i];
        transaction_form_deinit(&group->form);
        free(group->items);
        free(group->members);
        free(group->watches);
    }
    free(scatter->groups);
    scatter->groups = NULL;
    scatter->group_count = 0;
}

/* The group of a shard; NULL if there is none yet. */
static struct group *find_group(struct scatter *scatter, size_t position)
{
    for (size_t i = 0; i < scatter->group_count; i++) {
        if (scatter->groups[i].position == position) {
            return &scatter->groups[i];
        }
    }
    return NULL;
}

static struct group *add_group(struct scatter *scatter, size_t position)
{
    size_t count = scatter->group_count + 1;
    scatter->groups = realloc(scatter->groups, count * sizeof(*scatter->groups));
    assert(scatter->groups != NULL);
    struct group *group = &scatter->groups[scatter->group_count];
    *group = (struct group){.scatter = scatter, .position = position};
    scatter->group_count = count;
    return group;
}

static void *grown(void *array, size_t count, size_t size)
{
    /* Doubles at powers of two. */
    if ((count & (count - 1)) != 0) {
        return array;
    }
    array = realloc(array, (count == 0 ? 1 : count * 2) * size);
    assert(array != NULL);
    return array;
}

static void put_item(struct scatter *scatter, struct group *group, size_t member)
{
    size_t count = group->item_count;
    group->items = grown(group->items, count, sizeof(*group->items));
    group->members = grown(group->members, count, sizeof(*group->members));
    group->items[count] = scatter->items[member];
    group->members[count] = member;
    group->item_count++;
}

static size_t home_of(const struct scatter *scatter, const struct transaction_watch *watch)
{
    const struct shard_map *map = core_map(scatter->core);
    return (size_t)(shard_map_find(map, token_of(watch->db, watch->key)) - map->shards);
}

/* Each watch to the group of its shard; make: also if that has none yet. */
static void put_watches(struct scatter *scatter, bool make)
{
    for (size_t i = 0; i < scatter->watch_count; i++) {
        size_t position = home_of(scatter, &scatter->watches[i]);
        struct group *group = find_group(scatter, position);
        if (group == NULL && make) {
            group = add_group(scatter, position);
        }
        if (group == NULL || group->alone) {
            continue;
        }
        size_t count = group->watch_count;
        group->watches = grown(group->watches, count, sizeof(*group->watches));
        group->watches[count] = scatter->watches[i];
        group->watch_count++;
    }
}

/* The next commands that may go out together. */
static void gather_items(struct scatter *scatter)
{
    const struct shard_map *map = core_map(scatter->core);
    size_t position = 0;
    while (scatter->next < scatter->item_count) {
        if (scatter->answers[scatter->next].size > 0) {
            scatter->next++; /* It was done before one that has to be done again. */
            continue;
        }
        const struct transaction_item *item = &scatter->items[scatter->next];
        if (transaction_home_of_item(item, map, &position) != STATUS_OK) {
            break;
        }
        struct group *group = find_group(scatter, position);
        group = group == NULL ? add_group(scatter, position) : group;
        put_item(scatter, group, scatter->next);
        scatter->next++;
    }
    if (scatter->group_count == 0 && scatter->next < scatter->item_count) {
        struct group *group = add_group(scatter, 0);
        group->alone = true;
        put_item(scatter, group, scatter->next);
        scatter->next++;
    }
    put_watches(scatter, false);
}

/* Answers. */

static void set_answer(struct scatter *scatter, size_t member, struct slice reply)
{
    scatter->answers[member] = (struct answer){.offset = scatter->text.len, .size = reply.len};
    buf_append_slice(&scatter->text, reply);
}

static void fail_group(struct group *group, const char *text)
{
    struct buf error;
    buf_init(&error, 1 << 16);
    resp_write_error(&error, text);
    for (size_t i = 0; i < group->item_count; i++) {
        set_answer(group->scatter, group->members[i], buf_slice(&error));
    }
    buf_deinit(&error);
}

/* One element per item. */
static void spread_answer(struct group *group, struct slice reply, const struct resp_value *head)
{
    struct slice rest = slice_of(reply.data + head->size_used, reply.len - head->size_used);
    if ((size_t)head->number != group->item_count) {
        fail_group(group, misfit);
        return;
    }
    for (size_t i = 0; i < group->item_count; i++) {
        size_t size = 0;
        if (resp_value_size(rest, rest.len, &size) != STATUS_OK) {
            fail_group(group, misfit);
            return;
        }
        set_answer(group->scatter, group->members[i], slice_of(rest.data, size));
        rest = slice_of(rest.data + size, rest.len - size);
    }
}

static void go_on(struct scatter *scatter);

/* Its shard was split before it came: nothing was done, and it is cut anew. */
static bool is_apart(struct group *group, struct slice reply)
{
    static const char text[] = "-CROSSSLOT";
    size_t len = sizeof(text) - 1;
    bool crossslot = reply.len > len && memcmp(reply.data, text, len) == 0;
    if (!crossslot || group->alone || group->scatter->apart == APART_MAX) {
        return false;
    }
    group->scatter->apart++;
    return true;
}

static void take_answer(struct group *group, struct slice reply)
{
    struct scatter *scatter = group->scatter;
    if (is_apart(group, reply)) {
        size_t first = group->item_count == 0 ? SIZE_MAX : group->members[0];
        scatter->next = first < scatter->next ? first : scatter->next;
        scatter->checked = scatter->checked && group->item_count > 0;
        return;
    }
    struct resp_value head;
    bool array = resp_value_read(reply, &head) == STATUS_OK && head.type == '*';
    if (group->alone || fanout_is_error(reply)) {
        for (size_t i = 0; i < group->item_count; i++) {
            set_answer(scatter, group->members[i], reply);
        }
    } else if (!array) {
        fail_group(group, misfit);
    } else if (head.null) {
        fail_group(group, changed);
    } else {
        spread_answer(group, reply, &head);
    }
    /* A look at the watches only: what is wrong ends it all. */
    if (group->item_count == 0 && (!array || head.null) && scatter->reply.len == 0) {
        buf_append_slice(&scatter->reply, reply);
    }
}

static void on_group(struct core_request *core, struct slice reply)
{
    struct group *group = (struct group *)(void *)core;
    struct scatter *scatter = group->scatter;
    assert(scatter->pending > 0);
    take_answer(group, reply);
    scatter->pending--;
    if (!scatter->looking && scatter->pending == 0) {
        go_on(scatter);
    }
}

static void send_groups(struct scatter *scatter)
{
    scatter->pending = scatter->group_count;
    for (size_t i = 0; i < scatter->group_count; i++) {
        struct group *group = &scatter->groups[i];
        group->core.on_done = on_group;
        if (group->alone) {
            group->core.command = group->items[0].command;
            group->core.args = group->items[0].args;
            group->core.db = group->items[0].db;
        } else {
            transaction_form_init(&group->form, group->items, group->item_count, group->watches,
                                  group->watch_count);
            group->core.command = command_at(CMD_batch);
            group->core.args = group->form.args;
            group->core.db = group->form.db;
        }
        core_execute(scatter->core, &group->core);
    }
}

static void write_reply(struct scatter *scatter)
{
    resp_write_array(&scatter->reply, scatter->item_count);
    for (size_t i = 0; i < scatter->item_count; i++) {
        const struct answer *answer = &scatter->answers[i];
        assert(answer->size > 0);
        buf_append(&scatter->reply, scatter->text.data + answer->offset, answer->size);
    }
}

static void go_on(struct scatter *scatter)
{
    scatter->looking = true;
    while (scatter->pending == 0) {
        free_groups(scatter);
        bool over = scatter->checked && scatter->next == scatter->item_count;
        if (scatter->reply.len > 0 || over) {
            break;
        }
        if (scatter->checked) {
            gather_items(scatter);
        } else {
            put_watches(scatter, true);
            scatter->checked = true;
        }
        send_groups(scatter);
    }
    scatter->looking = false;
    if (scatter->pending > 0) {
        return;
    }
    if (scatter->reply.len == 0) {
        write_reply(scatter);
    }
    end(scatter);
}

static void read_whole(struct scatter *scatter)
{
    struct transaction transaction;
    enum status status = transaction_open(scatter->whole->args, &transaction);
    assert(status == STATUS_OK); /* It has a home, if on several shards. */
    scatter->item_count = transaction.item_count;
    scatter->watch_count = transaction.watch_count;
    scatter->items = calloc(scatter->item_count + 1, sizeof(*scatter->items));
    scatter->answers = calloc(scatter->item_count + 1, sizeof(*scatter->answers));
    scatter->watches = calloc(scatter->watch_count + 1, sizeof(*scatter->watches));
    assert(scatter->items != NULL && scatter->answers != NULL && scatter->watches != NULL);
    for (size_t i = 0; i < scatter->watch_count; i++) {
        (void)transaction_next_watch(&transaction, &scatter->watches[i]);
    }
    for (size_t i = 0; i < scatter->item_count; i++) {
        (void)transaction_next_item(&transaction, &scatter->items[i]);
    }
}

void scatter_execute(struct core *core, struct core_request *request)
{
    struct scatter *scatter = calloc(1, sizeof(*scatter));
    assert(scatter != NULL);
    scatter->core = core;
    scatter->whole = request;
    buf_init(&scatter->text, SIZE_MAX / 2);
    buf_init(&scatter->reply, SIZE_MAX / 2);
    read_whole(scatter);
    go_on(scatter);
}
