#include "common/base/assert.h"
#include "common/cluster/shard_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A report that is accepted is written again the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct load_report report;
    if (load_report_open(slice_of(data, size), &report) != STATUS_OK) {
        return 0;
    }
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    load_report_begin(&report.node, report.count, &out);
    struct shard_load load;
    while (load_report_next(&report, &load)) {
        shard_load_encode(&load, &out);
    }
    if (!slice_equal(buf_slice(&out), slice_of(data, size))) {
        __builtin_trap();
    }
    buf_deinit(&out);
    return 0;
}
