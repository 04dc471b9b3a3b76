/* Any bytes as a planned command in the log: decoded or CORRUPT; what decodes has arguments within
 * the bytes. */

#include <stdlib.h>

#include "common/base/assert.h"
#include "server/machine/planned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct planned planned;
    if (planned_decode(slice_of(data, size), &planned) != STATUS_OK) {
        return 0;
    }
    assert((planned.command->flags & CMD_WRITE) != 0);
    assert(planned.key_count <= planned.arg_count);
    struct slice *argv = calloc(planned.arg_count + 1, sizeof(*argv));
    assert(argv != NULL);
    planned_args(&planned, argv);
    size_t total = PLANNED_SIZE_MIN;
    for (size_t i = 0; i < planned.arg_count; i++) {
        assert(argv[i].data >= data && argv[i].data + argv[i].len <= data + size);
        total += 4 + argv[i].len;
    }
    assert(total == size);
    free(argv);
    return 0;
}
