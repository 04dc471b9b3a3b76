#include "common/base/memory.h"

#include <malloc.h>

enum { LARGE_SIZE = 512 << 10, KEPT_SIZE = 16 << 20 };

void memory_init(void)
{
    /* An allocator that knows no such settings (the sanitizers') refuses them, and goes on as it
     * likes. */
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_SIZE);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_SIZE);
}
