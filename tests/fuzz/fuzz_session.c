/* Any bytes from a client, cut anywhere: the session never reads outside them, its replies are
 * whole values, and nothing that it is told makes it forget its bounds. */

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/proto/resp.h"
#include "tests/support/front_rig.h"

enum { PIECE_MAX = 64, OUTPUT_MAX = 8 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_output(struct slice out)
{
    while (out.len > 0) {
        size_t len = 0;
        enum status status = resp_value_size(out, SIZE_MAX / 2, &len);
        assert(status == STATUS_OK && len > 0);
        out = slice_of(out.data + len, out.len - len);
    }
}

/* The rest of what was fed lies in its own memory, so that a read behind it is seen. */
static void feed_piece(struct front_rig *rig, struct buf *held, struct slice piece)
{
    buf_append_slice(held, piece);
    uint8_t *exact = malloc(held->len);
    assert(exact != NULL);
    memcpy(exact, held->data, held->len);
    size_t used = session_feed(rig->session, slice_of(exact, held->len));
    free(exact);
    assert(used <= held->len);
    buf_consume(held, used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct front_rig rig;
    log_set_level(LOG_ERROR);
    front_rig_start(&rig);
    rig.hold = (data[0] & 1) != 0;
    size_t piece_max = 1 + data[0] % PIECE_MAX;
    struct buf held;
    buf_init(&held, SIZE_MAX / 2);
    for (size_t at = 1; at < size && !session_ended(rig.session);) {
        size_t len = size - at < piece_max ? size - at : piece_max;
        feed_piece(&rig, &held, slice_of(data + at, len));
        at += len;
        if (rig.held_count > 0 && rig.held[rig.held_count - 1] != NULL) {
            front_rig_finish(&rig, rig.held_count - 1);
        }
        if (rig.held_count == FRONT_RIG_HELD_MAX || session_output(rig.session)->len > OUTPUT_MAX) {
            break;
        }
    }
    for (size_t i = 0; i < rig.held_count; i++) {
        if (rig.held[i] != NULL) {
            front_rig_finish(&rig, i);
        }
    }
    check_output(front_rig_take(&rig));
    buf_deinit(&held);
    front_rig_stop(&rig);
    return 0;
}
