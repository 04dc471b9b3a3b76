#ifndef SERVER_MACHINE_GEO_H
#define SERVER_MACHINE_GEO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Places on the globe as scores of a sorted set: 52 bits, longitude and latitude (26 bits each)
 * interleaved, so that a square of any power of two is an interval of scores. Boxes, neighbours and
 * distances are those of Redis 7.0 (geohash.c, geohash_helper.c), with its constants: results are
 * equal to the digit. Degrees, metres.
 *
 * What is stored must be the same on all replicas, so nothing here depends on the processor or the
 * C library: sine and arc sine are computed by hand, in the 64 bits of x86-64's long double, and
 * rounded once. Pure. */

enum {
    GEO_STEPS_MAX = 26, /* Bits of each coordinate. */
    GEO_BOXES_MAX = 9,  /* That cover a search. */
    GEO_HASH_SIZE = 11, /* A geohash as text. */
};

#define GEO_LONGITUDE_MAX 180.0
#define GEO_LATITUDE_MAX 85.05112878

struct geo_place {
    double longitude;
    double latitude;
};

static inline bool geo_valid(struct geo_place place)
{
    return place.longitude >= -GEO_LONGITUDE_MAX && place.longitude <= GEO_LONGITUDE_MAX &&
           place.latitude >= -GEO_LATITUDE_MAX && place.latitude <= GEO_LATITUDE_MAX;
}

/* The score of a valid place. */
uint64_t geo_encode(struct geo_place place);
/* The middle of what a score stands for; any score stands for something. */
struct geo_place geo_decode(double score);
double geo_distance(struct geo_place a, struct geo_place b);
/* The geohash that others use too. No zero at its end. */
void geo_hash_text(double score, char text[GEO_HASH_SIZE]);

/* A circle, or a box whose sides run north and east. */
struct geo_shape {
    struct geo_place middle;
    bool box;
    double radius; /* In units, */
    double width;
    double height;
    double unit; /* of so many metres. */
};

/* True if the place is inside; *distance is that from the middle, in metres. */
bool geo_inside(const struct geo_shape *shape, struct geo_place place, double *distance);

/* Scores from <= score < to. */
struct geo_box {
    uint64_t from;
    uint64_t to;
};
/* What covers the shape, in the order in which Redis looks; returns how many. */
size_t geo_cover(const struct geo_shape *shape, struct geo_box boxes[GEO_BOXES_MAX]);

#endif
