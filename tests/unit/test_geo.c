#include "server/machine/geo.h"

#include <math.h>
#include <stdio.h>

#include "common/base/rand.h"
#include "tests/support/test.h"

enum { ROUNDS = 200000, BOX_ROUNDS = 2000, PLACES = 500 };

static double between(struct rand *rand, double low, double high)
{
    return low + (high - low) * ((double)(rand_u64(rand) >> 11) * 0x1p-53);
}

static struct geo_place any_place(struct rand *rand)
{
    double longitude = between(rand, -GEO_LONGITUDE_MAX, GEO_LONGITUDE_MAX);
    double latitude = between(rand, -GEO_LATITUDE_MAX, GEO_LATITUDE_MAX);
    return (struct geo_place){.longitude = longitude, .latitude = latitude};
}

static uint64_t new_seed(void)
{
    uint64_t seed = 0;
    rand_os(&seed, sizeof(seed));
    printf("seed %llu\n", (unsigned long long)seed);
    return seed;
}

TEST(geo_decode, finds_a_place_again)
{
    struct rand rand;
    rand_init(&rand, new_seed());
    for (int n = 0; n < ROUNDS; n++) {
        struct geo_place place = any_place(&rand);
        uint64_t bits = geo_encode(place);
        CHECK(bits < UINT64_C(1) << 52);
        struct geo_place again = geo_decode((double)bits);
        /* Half of a square of 2^-26 of the globe. */
        CHECK(fabs(again.longitude - place.longitude) <= 360 * 0x1p-27 * 1.001);
        CHECK(fabs(again.latitude - place.latitude) <= 2 * GEO_LATITUDE_MAX * 0x1p-27 * 1.001);
        CHECK_EQ(geo_encode(again), bits);
    }
}

TEST(geo_decode, takes_any_score)
{
    const double scores[] = {-1, -1e300, 1e300, INFINITY, -INFINITY, 0x1p63, 0x1p64, 0.5};
    for (size_t i = 0; i < sizeof(scores) / sizeof(scores[0]); i++) {
        CHECK(geo_valid(geo_decode(scores[i])));
    }
}

/* The haversine with the functions of the C library, which are correct but for the last bit. */
static double reference(struct geo_place a, struct geo_place b)
{
    const double degree = M_PI / 180;
    double u = sin((b.latitude * degree - a.latitude * degree) / 2);
    double v = sin((b.longitude * degree - a.longitude * degree) / 2);
    double chord = u * u + cos(a.latitude * degree) * cos(b.latitude * degree) * v * v;
    return 2 * 6372797.560856 * asin(sqrt(chord));
}

TEST(geo_distance, is_that_of_the_c_library)
{
    struct rand rand;
    rand_init(&rand, new_seed());
    int differ = 0;
    for (int n = 0; n < ROUNDS; n++) {
        struct geo_place a = any_place(&rand);
        struct geo_place b = any_place(&rand);
        if (n % 2 == 0) {
            b.longitude = a.longitude + between(&rand, -1e-3, 1e-3);
            b.latitude = a.latitude + between(&rand, -1e-3, 1e-3);
        }
        double want = reference(a, b);
        double got = geo_distance(a, b);
        CHECK(fabs(got - want) <= want * 4e-15 + 1e-9 || want > 1.9e7);
        differ += got != want;
    }
    CHECK(differ < ROUNDS / 20);
}

TEST(geo_cover, holds_all_that_is_inside)
{
    struct rand rand;
    rand_init(&rand, new_seed());
    for (int n = 0; n < BOX_ROUNDS; n++) {
        struct geo_shape shape = {.middle = any_place(&rand), .unit = 1000};
        /* Not near the poles, nor around half of the globe, where the squares of Redis miss some.
         */
        shape.middle.latitude /= 1.5;
        shape.box = rand_below(&rand, 2) == 0;
        double size = pow(10, between(&rand, -2, 2.5));
        shape.radius = size;
        shape.width = size * between(&rand, 0.1, 2);
        shape.height = size * between(&rand, 0.1, 2);
        struct geo_box boxes[GEO_BOXES_MAX];
        size_t count = geo_cover(&shape, boxes);
        CHECK(count > 0 && count <= GEO_BOXES_MAX);
        for (int i = 0; i < PLACES; i++) {
            struct geo_place place = shape.middle;
            place.longitude += between(&rand, -size, size) / 50;
            place.latitude += between(&rand, -size, size) / 100;
            double distance = 0;
            if (!geo_valid(place) || !geo_inside(&shape, place, &distance)) {
                continue;
            }
            uint64_t bits = geo_encode(place);
            bool covered = false;
            for (size_t k = 0; k < count; k++) {
                covered = covered || (bits >= boxes[k].from && bits < boxes[k].to);
            }
            CHECK(covered);
        }
    }
}
