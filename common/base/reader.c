#include "common/base/reader.h"

struct slice reader_bytes(struct reader *reader, size_t len_max)
{
    size_t len = reader_u32(reader);
    if (len > len_max) {
        reader->failed = true;
        return slice_of(NULL, 0);
    }
    return reader_raw(reader, len);
}

bool reader_done(const struct reader *reader)
{
    return !reader->failed && reader->rest.len == 0;
}
