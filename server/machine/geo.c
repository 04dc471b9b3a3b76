#include "server/machine/geo.h"

#include <math.h>
#include <string.h>

#include "common/base/assert.h"

enum { STEPS_MIN = 1, BITS = 2 * GEO_STEPS_MAX, SINE_TERMS = 12, ARC_TERMS = 36 };

/* The constants of Redis; the radius of the earth is a mean, the other the half of the square that
 * Mercator's map makes of it. */
static const double degree = M_PI / 180.0;
static const double earth_radius = 6372797.560856;
static const double mercator_max = 20037726.37;

static const long double pi = 3.14159265358979323846264338327950288L;

/* sin(x) or cos(x) for |x| <= pi / 4: term by term. */
static long double series(long double x, bool sine)
{
    long double term = sine ? x : 1;
    long double sum = 0;
    for (int n = 0; n < SINE_TERMS; n++) {
        int k = 2 * n + (sine ? 1 : 0);
        sum += term;
        term *= -x * x / ((k + 1.0L) * (k + 2.0L));
    }
    return sum;
}

/* sin(x) turned by so many quarters. pi / 2 is taken off in three parts: products of the first two,
 * which have 32 bits, with the number of quarters are exact. */
static double sine_of(double x, int turned)
{
    static const long double part_a = 0x1.921fb544p+0L;
    static const long double part_b = 0x1.0b4611a6p-34L;
    static const long double part_c = 0x1.3198a2e03707344ap-69L;
    /* Nobody means an angle of more turns than this: what comes out is as good as any. */
    long double angle = fabs(x) < 1e9 ? x : fmodl(x, 2 * pi);
    long double quarters = rintl(angle / (pi / 2));
    long double rest = ((angle - quarters * part_a) - quarters * part_b) - quarters * part_c;
    int64_t quadrant = ((int64_t)quarters + turned) & 3;
    long double value = series(rest, quadrant % 2 == 0);
    return (double)(quadrant >= 2 ? -value : value);
}

static double sin_of(double x)
{
    return sine_of(x, 0);
}

static double cos_of(double x)
{
    return sine_of(x, 1);
}

/* For 0 <= x <= 1. */
static double asin_of(double x)
{
    bool large = x > 0.5;
    long double y = large ? sqrtl((1.0L - x) / 2) : (long double)x;
    long double term = y;
    long double sum = 0;
    for (int n = 0; n < ARC_TERMS; n++) {
        sum += term / (2 * n + 1);
        term *= y * y * (2 * n + 1) / (2 * n + 2);
    }
    return (double)(large ? pi / 2 - 2 * sum : sum);
}

static double radians(double degrees)
{
    return degrees * degree;
}

/* Of 32 bits every one with a zero before it. */
static uint64_t spread(uint32_t value)
{
    static const uint64_t masks[] = {0x0000ffff0000ffff, 0x00ff00ff00ff00ff, 0x0f0f0f0f0f0f0f0f,
                                     0x3333333333333333, 0x5555555555555555};
    uint64_t bits = value;
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        bits = (bits | bits << (16 >> i)) & masks[i];
    }
    return bits;
}

static uint32_t gather(uint64_t bits)
{
    static const uint64_t masks[] = {0x3333333333333333, 0x0f0f0f0f0f0f0f0f, 0x00ff00ff00ff00ff,
                                     0x0000ffff0000ffff, 0x00000000ffffffff};
    bits &= 0x5555555555555555;
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        bits = (bits | bits >> (1 << i)) & masks[i];
    }
    return (uint32_t)bits;
}

/* A square of the globe: `steps` bits of each coordinate. */
struct cell {
    uint64_t bits;
    int steps; /* 0: none. */
};

struct area {
    double west;
    double east;
    double south;
    double north;
};

static struct cell cell_at(struct geo_place place, double latitude_max, int steps)
{
    double north = (place.latitude + latitude_max) / (2 * latitude_max);
    double east = (place.longitude + GEO_LONGITUDE_MAX) / (2 * GEO_LONGITUDE_MAX);
    double scale = (double)(UINT64_C(1) << steps);
    return (struct cell){
        .bits = spread((uint32_t)(north * scale)) | spread((uint32_t)(east * scale)) << 1,
        .steps = steps};
}

static struct area area_of(struct cell cell)
{
    uint32_t y = gather(cell.bits);
    uint32_t x = gather(cell.bits >> 1);
    double scale = (double)(UINT64_C(1) << cell.steps);
    double height = 2 * GEO_LATITUDE_MAX;
    double width = 2 * GEO_LONGITUDE_MAX;
    /* The sum wraps around in 32 bits, as there. */
    return (struct area){.west = -GEO_LONGITUDE_MAX + (x / scale) * width,
                         .east = -GEO_LONGITUDE_MAX + ((x + 1) / scale) * width,
                         .south = -GEO_LATITUDE_MAX + (y / scale) * height,
                         .north = -GEO_LATITUDE_MAX + ((y + 1) / scale) * height};
}

uint64_t geo_encode(struct geo_place place)
{
    assert(geo_valid(place));
    return cell_at(place, GEO_LATITUDE_MAX, GEO_STEPS_MAX).bits;
}

/* What x86-64 makes of a double, also of one that does not fit. */
static uint64_t bits_of_score(double score)
{
    const double half = 0x1p63;
    if (score >= 2 * half) {
        return 0;
    }
    if (score >= half) {
        return (uint64_t)score;
    }
    return score >= -half ? (uint64_t)(int64_t)score : UINT64_C(1) << 63;
}

static double within(double value, double max)
{
    value = value > max ? max : value;
    return value < -max ? -max : value;
}

struct geo_place geo_decode(double score)
{
    struct area area = area_of((struct cell){.bits = bits_of_score(score), .steps = GEO_STEPS_MAX});
    return (struct geo_place){.longitude = within((area.west + area.east) / 2, GEO_LONGITUDE_MAX),
                              .latitude = within((area.south + area.north) / 2, GEO_LATITUDE_MAX)};
}

static double latitude_distance(double a, double b)
{
    return earth_radius * fabs(radians(b) - radians(a));
}

/* Haversine. */
double geo_distance(struct geo_place a, struct geo_place b)
{
    double v = sin_of((radians(b.longitude) - radians(a.longitude)) / 2);
    if (v == 0) {
        return latitude_distance(a.latitude, b.latitude);
    }
    double from = radians(a.latitude);
    double to = radians(b.latitude);
    double u = sin_of((to - from) / 2);
    double chord = u * u + cos_of(from) * cos_of(to) * v * v;
    return 2.0 * earth_radius * asin_of(sqrt(chord));
}

void geo_hash_text(double score, char text[GEO_HASH_SIZE])
{
    static const char letters[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    /* The common geohash goes up to the poles. */
    uint64_t bits = cell_at(geo_decode(score), 90, GEO_STEPS_MAX).bits;
    for (int i = 0; i < GEO_HASH_SIZE - 1; i++) {
        text[i] = letters[bits >> (BITS - 5 * (i + 1)) & 31];
    }
    text[GEO_HASH_SIZE - 1] = letters[0]; /* There are no bits for it. */
}

bool geo_inside(const struct geo_shape *shape, struct geo_place place, double *distance)
{
    double whole = 0;
    if (!shape->box) {
        whole = geo_distance(shape->middle, place);
        *distance = whole;
        return !(whole > shape->radius * shape->unit);
    }
    if (latitude_distance(place.latitude, shape->middle.latitude) >
        shape->height * shape->unit / 2) {
        return false;
    }
    struct geo_place beside = {.longitude = shape->middle.longitude, .latitude = place.latitude};
    if (geo_distance(place, beside) > shape->width * shape->unit / 2) {
        return false;
    }
    *distance = geo_distance(shape->middle, place);
    return true;
}

/* About the smallest square that is not smaller than the shape. */
static int steps_for(double metres, double latitude)
{
    if (metres == 0) {
        return GEO_STEPS_MAX;
    }
    int steps = 1;
    for (; metres < mercator_max; metres *= 2) {
        steps++;
    }
    steps -= 2;
    /* Squares get narrow near the poles. */
    if (fabs(latitude) > 66) {
        steps -= fabs(latitude) > 80 ? 2 : 1;
    }
    steps = steps < STEPS_MIN ? STEPS_MIN : steps;
    return steps > GEO_STEPS_MAX ? GEO_STEPS_MAX : steps;
}

static double degrees_of(double metres)
{
    return metres / earth_radius / degree;
}

static struct area bounds_of(const struct geo_shape *shape)
{
    double longitude = shape->middle.longitude;
    double latitude = shape->middle.latitude;
    double up = shape->unit * (shape->box ? shape->height / 2 : shape->radius);
    double right = shape->unit * (shape->box ? shape->width / 2 : shape->radius);
    double north = degrees_of(up);
    /* Where the shape is widest in degrees is its side towards the nearer pole. */
    double far = latitude < 0 ? latitude - north : latitude + north;
    double east = right / earth_radius / cos_of(radians(far)) / degree;
    return (struct area){.west = longitude - east,
                         .east = longitude + east,
                         .south = latitude - north,
                         .north = latitude + north};
}

/* One step along a coordinate, whose bits are those of the mask; around the globe at its end. */
static uint64_t moved(uint64_t bits, int steps, uint64_t mask, int by)
{
    uint64_t used = UINT64_MAX >> (64 - 2 * steps);
    uint64_t gaps = ~mask & used; /* All set, a carry or a borrow runs through them. */
    uint64_t own = bits & mask;
    own = by > 0 ? own + gaps + 1 : (own | gaps) - (gaps + 1);
    return (own & mask & used) | (bits & ~mask);
}

static struct cell neighbour(struct cell cell, int east, int north)
{
    const uint64_t x = 0xaaaaaaaaaaaaaaaa;
    if (east != 0) {
        cell.bits = moved(cell.bits, cell.steps, x, east);
    }
    if (north != 0) {
        cell.bits = moved(cell.bits, cell.steps, ~x, north);
    }
    return cell;
}

/* True if the eight around it do not reach as far as the shape does. */
static bool too_small(struct cell cell, const struct area *bounds)
{
    return area_of(neighbour(cell, 0, 1)).north < bounds->north ||
           area_of(neighbour(cell, 0, -1)).south > bounds->south ||
           area_of(neighbour(cell, 1, 0)).east < bounds->east ||
           area_of(neighbour(cell, -1, 0)).west > bounds->west;
}

size_t geo_cover(const struct geo_shape *shape, struct geo_box boxes[GEO_BOXES_MAX])
{
    static const struct {
        int east;
        int north;
    } sides[GEO_BOXES_MAX] = {{0, 0}, {0, 1},  {0, -1}, {1, 0},  {-1, 0},
                              {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    struct area bounds = bounds_of(shape);
    double reach = shape->box ? sqrt((shape->width / 2) * (shape->width / 2) +
                                     (shape->height / 2) * (shape->height / 2))
                              : shape->radius;
    int steps = steps_for(reach * shape->unit, shape->middle.latitude);
    struct cell middle = cell_at(shape->middle, GEO_LATITUDE_MAX, steps);
    if (steps > STEPS_MIN && too_small(middle, &bounds)) {
        steps--;
        middle = cell_at(shape->middle, GEO_LATITUDE_MAX, steps);
    }
    struct area area = area_of(middle);
    size_t count = 0;
    struct cell last = {0};
    for (size_t i = 0; i < GEO_BOXES_MAX; i++) {
        bool useless = (sides[i].north < 0 && area.south < bounds.south) ||
                       (sides[i].north > 0 && area.north > bounds.north) ||
                       (sides[i].east < 0 && area.west < bounds.west) ||
                       (sides[i].east > 0 && area.east > bounds.east);
        struct cell cell = neighbour(middle, sides[i].east, sides[i].north);
        /* In a huge search neighbours coincide; Redis leaves out what it did just before, but for
         * the middle. */
        if ((useless && steps >= 2 && i > 0) || (last.steps != 0 && cell.bits == last.bits)) {
            continue;
        }
        int shift = BITS - 2 * steps;
        boxes[count++] =
            (struct geo_box){.from = cell.bits << shift, .to = (cell.bits + 1) << shift};
        last = i > 0 ? cell : last;
    }
    return count;
}
