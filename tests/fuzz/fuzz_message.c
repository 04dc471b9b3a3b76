/* A batch from a peer's host; what is accepted must lie inside the input and be whole. And the
 * records that begin a log, and configuration entries. */

#include "replication/raft/install.h"
#include "replication/raft/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk_entries(const struct message_append *append)
{
    struct reader entries = reader_of(append->entries);
    struct message_entry entry;
    size_t total = 0;
    uint32_t count = 0;
    while (message_next_entry(&entries, &entry)) {
        total += entry.data.len;
        count++;
    }
    if (append->count > 0 && (count != append->count || !reader_done(&entries))) {
        __builtin_trap();
    }
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(slice_of(data, size));
    struct message_header header;
    struct message message;
    struct group_state state;
    struct group_conf conf;
    struct slice manifest;
    if (message_take_header(&in, &header)) {
        while (message_next(&in, &message)) {
            if (message.kind == MESSAGE_APPEND && walk_entries(&message.append) > size) {
                __builtin_trap();
            }
            if (message.kind == MESSAGE_INSTALL &&
                message.install.state.conf.count > GROUP_MEMBERS_MAX) {
                __builtin_trap();
            }
        }
    }
    if (install_decode(slice_of(data, size), &state, &manifest) && manifest.len > size) {
        __builtin_trap();
    }
    if (group_conf_decode_entry(slice_of(data, size), &conf) && conf.count > GROUP_MEMBERS_MAX) {
        __builtin_trap();
    }
    return 0;
}
