#ifndef SERVER_MACHINE_GEO_SEARCH_H
#define SERVER_MACHINE_GEO_SEARCH_H

#include "server/machine/geo.h"
#include "server/machine/zset.h"

/* GEORADIUS, GEOSEARCH and their kin: places around another. Semantics: Redis 7.0 geo.c
 * georadiusGeneric(), which looks at keys and arguments in turn, so that arguments are read where
 * the keys can be seen. Pure. */

/* Arguments and replies that all commands of places have in common. False: the error is written. */
bool geo_search_place(const struct slice argv[2], struct geo_place *place, struct buf *reply);
bool geo_search_unit(struct slice arg, double *metres, struct buf *reply);
void geo_search_reply_place(struct geo_place place, struct buf *reply);
/* Four digits behind the point. */
void geo_search_reply_distance(double distance, struct buf *reply);

enum geo_search_form {
    GEO_AROUND_PLACE = 1 << 0,  /* GEORADIUS key longitude latitude radius unit ... */
    GEO_AROUND_MEMBER = 1 << 1, /* GEORADIUSBYMEMBER key member radius unit ... */
    GEO_READ_ONLY = 1 << 2,     /* ..._RO: no STORE. */
    GEO_SEARCH = 1 << 3,        /* GEOSEARCH key ... */
    GEO_STORE = 1 << 4,         /* GEOSEARCHSTORE destination key ... */
};

/* args: as the user sent them, name first. Those that store are for apply. */
MUST_USE enum status geo_search_run(struct call *call, struct args args, unsigned form);
/* Index of the key that GEORADIUS and GEORADIUSBYMEMBER store to, 0 if they do not. */
size_t geo_search_store_at(struct args args);

#endif
