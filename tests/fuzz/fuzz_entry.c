#include "server/shard/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A log entry of a shard: what is read lies within the input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct entry entry;
    enum status status = entry_open(slice_of(data, size), &entry);
    while (status == STATUS_OK && entry.taken < entry.count) {
        struct entry_command command;
        status = entry_next(&entry, &command);
        if (status == STATUS_OK && command.planned.len > size) {
            __builtin_trap();
        }
    }
    return 0;
}
