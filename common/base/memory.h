#ifndef COMMON_BASE_MEMORY_H
#define COMMON_BASE_MEMORY_H

/* How the process keeps memory. Call first in main(): large buffers are given back to the system
 * when they are freed, so that one huge value, or one client that does not read, is not paid for
 * from then on. (By itself glibc learns from freed buffers to keep ever larger ones.) */
void memory_init(void);

#endif
