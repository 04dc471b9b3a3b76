#include "server/control/group_ask.h"

#include "common/base/assert.h"
#include "common/proto/resp.h"

enum { HEAD_NUMBERS = 4, MEMBER_NUMBERS = 7 };

static bool number_of(struct slice text, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    return text.len > 0 && text.len < 20;
}

enum group_ask group_ask_of(struct args args, uint64_t numbers[2])
{
    static const struct {
        const char *name;
        size_t numbers;
        enum group_ask ask;
    } rows[] = {
        {"GROUP.CONF", 0, GROUP_ASK_CONF},
        {"GROUP.INFO", 0, GROUP_ASK_INFO},
        {"GROUP.LEAD", 1, GROUP_ASK_LEAD},
        {"GROUP.PACE", 2, GROUP_ASK_PACE},
    };
    numbers[0] = 0;
    numbers[1] = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (args.argc != rows[i].numbers + 1 || !command_word(args.argv[0], rows[i].name)) {
            continue;
        }
        bool good = true;
        for (size_t j = 0; j < rows[i].numbers; j++) {
            good = good && number_of(args.argv[j + 1], &numbers[j]);
        }
        return good ? rows[i].ask : GROUP_ASK_NONE;
    }
    return GROUP_ASK_NONE;
}

void group_ask_write_report(const struct group_report *report, struct buf *reply)
{
    assert(report->count <= GROUP_MEMBERS_MAX);
    resp_write_array(reply, HEAD_NUMBERS + MEMBER_NUMBERS * report->count);
    resp_write_int(reply, (int64_t)report->term);
    resp_write_int(reply, (int64_t)report->commit_index);
    resp_write_int(reply, (int64_t)report->size);
    resp_write_int(reply, (int64_t)report->count);
    for (unsigned i = 0; i < report->count; i++) {
        resp_write_int(reply, (int64_t)report->members[i].replica);
        resp_write_int(reply, (int64_t)report->members[i].node);
        resp_write_int(reply, (int64_t)report->members[i].role);
        resp_write_int(reply, (int64_t)report->members[i].match);
        resp_write_int(reply, report->members[i].connected);
        resp_write_int(reply, (int64_t)report->members[i].sent);
        resp_write_int(reply, (int64_t)report->members[i].size);
    }
}

/* Takes the next integer off the reply; 0, and *good is cleared, if it is none. */
static uint64_t take(struct slice *rest, bool *good)
{
    struct resp_value value;
    *good = *good && resp_value_read(*rest, &value) == STATUS_OK && value.type == ':' &&
            value.number >= 0;
    if (!*good) {
        return 0;
    }
    *rest = slice_of(rest->data + value.size_used, rest->len - value.size_used);
    return (uint64_t)value.number;
}

bool group_ask_read_report(struct slice reply, struct group_report *report)
{
    struct resp_value head;
    *report = (struct group_report){0};
    if (resp_value_read(reply, &head) != STATUS_OK || head.type != '*' || head.null) {
        return false;
    }
    bool good = true;
    struct slice rest = slice_of(reply.data + head.size_used, reply.len - head.size_used);
    report->term = take(&rest, &good);
    report->commit_index = take(&rest, &good);
    report->size = take(&rest, &good);
    uint64_t count = take(&rest, &good);
    if (!good || count > GROUP_MEMBERS_MAX ||
        (uint64_t)head.number != HEAD_NUMBERS + MEMBER_NUMBERS * count) {
        return false;
    }
    report->count = (unsigned)count;
    for (unsigned i = 0; i < report->count; i++) {
        report->members[i].replica = take(&rest, &good);
        report->members[i].node = take(&rest, &good);
        report->members[i].role = take(&rest, &good);
        report->members[i].match = take(&rest, &good);
        report->members[i].connected = take(&rest, &good) != 0;
        report->members[i].sent = take(&rest, &good);
        report->members[i].size = take(&rest, &good);
    }
    return good && rest.len == 0;
}
