/* Any bytes as the arguments of a batch (each as u32 length, bytes): refused, or a transaction
 * whose commands are known and have as many arguments as they may. */

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/proto/transaction.h"

enum { ARGC_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice argv[ARGC_MAX];
    size_t argc = 0;
    struct reader in = reader_of(slice_of(data, size));
    while (argc < ARGC_MAX && in.rest.len > 0 && !in.failed) {
        argv[argc] = reader_bytes(&in, UINT32_MAX);
        argc += in.failed ? 0 : 1;
    }
    struct transaction transaction;
    struct args args = {.argv = argv, .argc = argc};
    if (argc == 0 || transaction_open(args, &transaction) != STATUS_OK) {
        return 0;
    }
    assert(transaction.key_count + 2 < argc);
    struct transaction_item item;
    size_t used = transaction.key_count + 3;
    while (transaction_next_item(&transaction, &item)) {
        assert((item.command->flags & (CMD_READ | CMD_WRITE)) != 0);
        assert(command_check(item.command, item.args.argc) == STATUS_OK);
        used += item.args.argc;
    }
    assert(used == argc);
    struct transaction_watch watch;
    while (transaction_next_watch(&transaction, &watch)) {
        assert(watch.db < 16);
    }
    return 0;
}
