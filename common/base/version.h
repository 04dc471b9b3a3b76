#ifndef COMMON_BASE_VERSION_H
#define COMMON_BASE_VERSION_H

/* The version of this source tree, the same in all programs. */
#define SHERD_VERSION "0.1.0"

#endif
