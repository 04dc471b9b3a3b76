#include "router/retry.h"

#include <inttypes.h>

#include "common/base/assert.h"

uint32_t retry_backoff_ms(unsigned failures, uint64_t random)
{
    uint32_t full = RETRY_BACKOFF_MS_MIN << (failures < 8 ? failures : 8);
    if (full > RETRY_BACKOFF_MS_MAX) {
        full = RETRY_BACKOFF_MS_MAX;
    }
    return full / 2 + (uint32_t)(random % (full - full / 2 + 1));
}

static enum retry_verdict elsewhere_verdict(enum status status)
{
    switch (status_class(status)) {
    case STATUS_CLASS_RETRY_LATER: return RETRY_WAIT;
    case STATUS_CLASS_RETRY_ELSEWHERE:
    case STATUS_CLASS_OUTCOME_UNKNOWN:
    case STATUS_CLASS_NODE_FAULT: return RETRY_ELSEWHERE;
    case STATUS_CLASS_FINE:
    case STATUS_CLASS_CALLER_FAULT: return RETRY_FAIL;
    }
    return RETRY_FAIL;
}

struct retry_plan retry_decide(const struct retry_case *input)
{
    assert(input->status < STATUS_COUNT && input->status != STATUS_OK);
    struct retry_plan plan = {.verdict = elsewhere_verdict(input->status)};
    plan.wait_ms = retry_backoff_ms(input->failures, input->random);
    enum status_class class = status_class(input->status);
    plan.refused = class == STATUS_CLASS_RETRY_LATER || class == STATUS_CLASS_CALLER_FAULT;
    if (input->status == STATUS_NOT_LEADER) {
        plan.refused = true;
        if (input->hint && input->redirects < RETRY_REDIRECTS_MAX) {
            plan.verdict = RETRY_FOLLOW;
        }
    } else if (input->status == STATUS_NOT_OWNER) {
        /* Decided by the shard's own log: a try that is still under way meets the same answer. */
        plan.verdict = RETRY_REMAP;
        plan.refused = true;
        plan.none_applied = true;
        plan.refresh = true;
    } else if (input->status == STATUS_NO_SHARD) {
        plan.refused = true;
        plan.refresh = true;
    } else if (input->status == STATUS_DISK_FULL || input->status == STATUS_SESSION_EXPIRED) {
        plan.verdict = RETRY_FAIL;
    }
    return plan;
}

enum retry_end retry_end_of(bool write, bool unsure, bool asked)
{
    if (write && unsure) {
        return RETRY_END_UNKNOWN;
    }
    return asked ? RETRY_END_TIMEOUT : RETRY_END_NO_LEADER;
}

void retry_write_end(
    struct buf *out, enum retry_end end, uint64_t shard, uint64_t node, uint32_t deadline_ms)
{
    switch (end) {
    case RETRY_END_UNKNOWN:
        buf_append_format(out,
                          "UNKNOWN the outcome of this write is not known: shard %" PRIu64
                          " did not answer within %" PRIu32
                          " ms; it may have been applied, read before writing again",
                          shard, deadline_ms);
        break;
    case RETRY_END_TIMEOUT:
        buf_append_format(out,
                          "TIMEOUT shard %" PRIu64 " did not answer within %" PRIu32
                          " ms; nothing was changed",
                          shard, deadline_ms);
        break;
    case RETRY_END_NO_LEADER:
        buf_append_format(out,
                          "CLUSTERDOWN shard %" PRIu64
                          " has no leader that can be reached (last known: node %" PRIu64
                          "); nothing was changed",
                          shard, node);
        break;
    case RETRY_END_NO_MAP:
        buf_append_text(out,
                        "CLUSTERDOWN the cluster map is not known here or has no shards yet; "
                        "nothing was changed");
        break;
    }
}

void retry_write_failure(struct buf *out, enum status status, uint64_t shard, struct slice text)
{
    if (status == STATUS_SESSION_EXPIRED) {
        buf_append_format(out,
                          "UNKNOWN the outcome of this write is not known: shard %" PRIu64
                          " no longer remembers it; it may have been applied",
                          shard);
        return;
    }
    buf_append_text(out, status == STATUS_DISK_FULL ? "DISKFULL " : "ERR ");
    if (text.len > 0) {
        buf_append_slice(out, text);
    } else {
        buf_append_text(out, status_text(status));
    }
    buf_append_format(out, " (shard %" PRIu64 ")", shard);
}
