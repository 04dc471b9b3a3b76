#include "replication/raft/ops.h"

#include <stdlib.h>

#include "replication/raft/guard_barrier.h"
#include "replication/raft/guard_hold.h"
#include "replication/raft/instance.h"

void ops_push(struct group *group, const struct op *op)
{
    struct op *copy = malloc(sizeof *copy);
    assert(copy != NULL);
    assert(op->lsn > 0);
    *copy = *op;
    copy->next = NULL;
    *group->ops_end = copy;
    group->ops_end = &copy->next;
    instance_mark_storing(group);
}

static struct op *pop(struct group *group)
{
    struct op *op = group->ops;
    group->ops = op->next;
    if (group->ops == NULL) {
        group->ops_end = &group->ops;
    }
    return op;
}

static void fire(struct group *group, const struct op *op)
{
    switch (op->kind) {
    case OP_APPEND:
        instance_enter(group);
        op->append->cb(op->append, 0);
        instance_leave(group);
        return;
    case OP_TRUNCATE: return;
    case OP_INSTALL:
        assert(group->install.stage == INSTALL_STORING);
        group->install.stage = INSTALL_TELL;
        instance_mark_dirty(group);
        return;
    }
}

static bool may_fire(const struct group *group, const struct op *op, uint64_t from, uint64_t index)
{
    if (op->lsn > group->host->durable) {
        return false;
    }
    return op->kind != OP_APPEND || !guard_hold_keeps(group, op, from, index);
}

void ops_run_acked(struct group *group, uint64_t from, uint64_t index)
{
    while (group->ops != NULL && may_fire(group, group->ops, from, index)) {
        struct op *op = pop(group);
        fire(group, op);
        bool append = op->kind == OP_APPEND;
        free(op);
        if (append) {
            guard_barrier_release(group);
        }
    }
}

void ops_run(struct group *group)
{
    ops_run_acked(group, 0, 0);
}

void ops_finish(struct group *group)
{
    assert(group->closing);
    while (group->ops != NULL) {
        struct op *op = pop(group);
        if (op->kind == OP_APPEND) {
            op->append->cb(op->append, 0);
        }
        free(op);
    }
}

bool ops_has_append(const struct group *group)
{
    for (const struct op *op = group->ops; op != NULL; op = op->next) {
        if (op->kind == OP_APPEND) {
            return true;
        }
    }
    return false;
}

uint64_t ops_lsn_of(const struct group *group, uint64_t index)
{
    uint64_t lsn = 0;
    for (const struct op *op = group->ops; op != NULL; op = op->next) {
        if (op->kind == OP_APPEND && index >= op->first && index < op->first + op->count) {
            lsn = op->lsn;
        }
    }
    return lsn > group->host->durable ? lsn : 0;
}
