/* Any bytes as an order in the meta group's log, a job and a line of the journal: taken or refused,
 * and what is taken encodes back to the same bytes. */

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/control/meta_order.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_order(struct slice bytes)
{
    struct meta_order order;
    if (meta_order_decode(bytes, &order) == STATUS_OK) {
        struct buf again;
        buf_init(&again, META_ORDER_SIZE_MAX);
        meta_order_encode(&order, &again);
        assert(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
    }
}

static void try_job(struct slice bytes)
{
    struct reader in = reader_of(bytes);
    struct cluster_job job;
    if (cluster_job_decode(&in, &job) && reader_done(&in)) {
        struct buf again;
        buf_init(&again, JOB_SIZE_MAX);
        cluster_job_encode(&job, &again);
        assert(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
    }
}

static void try_event(struct slice bytes)
{
    struct reader in = reader_of(bytes);
    struct job_event event;
    if (job_event_decode(&in, &event) && reader_done(&in)) {
        struct buf again;
        buf_init(&again, JOB_SIZE_MAX);
        job_event_encode(&event, &again);
        assert(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    try_order(bytes);
    try_job(bytes);
    try_event(bytes);
    return 0;
}
