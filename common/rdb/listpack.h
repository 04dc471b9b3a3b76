#ifndef COMMON_RDB_LISTPACK_H
#define COMMON_RDB_LISTPACK_H

#include "common/base/buf.h"

/* Writes listpacks, which Redis keeps small collections and the entries of streams in (listpack.c);
 * compact.h reads them. Pure. Any thread.
 *
 *   u32 size of all | u16 elements, 65535: not known | elements | 0xff
 *   element: u8 or more what it is | bytes | 1..5 bytes: size of both, to be read backwards */

/* Starts one in the buffer; returns where it begins. */
size_t listpack_begin(struct buf *out);
void listpack_put(struct buf *out, struct slice text);
void listpack_put_number(struct buf *out, int64_t value);
/* count elements were put since. */
void listpack_end(struct buf *out, size_t start, uint64_t count);

/* Bytes that the size of an element takes behind it. */
unsigned listpack_back_size(uint64_t size);

#endif
