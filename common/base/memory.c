#include "common/base/memory.h"

#include <malloc.h>

#include "common/base/assert.h"

enum { LARGE_SIZE = 512 << 10, KEPT_SIZE = 16 << 20 };

void memory_init(void)
{
    int set = mallopt(M_MMAP_THRESHOLD, LARGE_SIZE);
    set = set != 0 ? mallopt(M_TRIM_THRESHOLD, KEPT_SIZE) : set;
    assert(set != 0);
}
