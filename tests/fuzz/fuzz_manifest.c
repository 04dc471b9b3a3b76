#include <stdlib.h>

#include "common/base/assert.h"
#include "server/shard/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A manifest that is accepted is written again the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    assert(manifest != NULL);
    if (manifest_decode(slice_of(data, size), manifest) == STATUS_OK) {
        struct buf out;
        buf_init(&out, 1 << 20);
        manifest_encode(manifest, &out);
        if (!slice_equal(buf_slice(&out), slice_of(data, size))) {
            __builtin_trap();
        }
        buf_deinit(&out);
    }
    free(manifest);
    return 0;
}
