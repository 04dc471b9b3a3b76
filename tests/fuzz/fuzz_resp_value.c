/* Any bytes as a reply of another server: measured, taken apart and converted without a read
 * outside them; a conversion to RESP2 is well-formed again and stays as it is. */

#include "common/base/assert.h"
#include "common/proto/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_SIZE_MAX = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = 0;
    if (resp_value_size(slice_of(data, size), size, &len) != STATUS_OK) {
        return 0;
    }
    assert(len > 0 && len <= size);
    size_t again = 0;
    enum status cut = resp_value_size(slice_of(data, len - 1), size, &again);
    assert(cut == STATUS_AGAIN);
    /* Attributes and bulk errors are never written by us, so they are not converted; pairs are
     * converted as we write them only. */
    for (size_t i = 0; i < len; i++) {
        if (memchr("|!^&<;", data[i], 6) != NULL) {
            return 0;
        }
    }
    struct buf two;
    struct buf twice;
    buf_init(&two, OUT_SIZE_MAX);
    buf_init(&twice, OUT_SIZE_MAX);
    resp_convert(slice_of(data, len), 2, &two);
    size_t two_len = 0;
    enum status status = resp_value_size(buf_slice(&two), OUT_SIZE_MAX, &two_len);
    assert(status == STATUS_OK && two_len == two.len);
    resp_convert(buf_slice(&two), 2, &twice);
    assert(slice_equal(buf_slice(&two), buf_slice(&twice)));
    buf_clear(&twice);
    resp_convert(slice_of(data, len), 3, &twice);
    status = resp_value_size(buf_slice(&twice), OUT_SIZE_MAX, &two_len);
    assert(status == STATUS_OK && two_len == twice.len);
    buf_deinit(&two);
    buf_deinit(&twice);
    return 0;
}
