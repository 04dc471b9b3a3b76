#ifndef SERVER_MACHINE_SCORE_H
#define SERVER_MACHINE_SCORE_H

#include "common/base/buf.h"

/* Scores of sorted sets: doubles that are never NaN. Pure.
 *
 * Encoded, a score is 64 bits whose order is that of the numbers: those of IEEE 754, all turned
 * over if the number is negative, else the sign alone; -0 comes just before 0. Sub-keys of a sorted
 * set begin with them, big endian, so an interval of scores is one of sub-keys. */

enum { SCORE_SIZE = 8 };

uint64_t score_encode(double score);
double score_decode(uint64_t bits);
/* False: no encoded score is these bits. */
bool score_valid(uint64_t bits);

/* Takes what Redis takes for a score (util.c, string2d()): all of the text, no space before it, not
 * NaN, not too large or too small to be told from infinity or zero. */
bool score_parse(struct slice text, double *score);

/* An end of an interval of scores as ZRANGEBYSCORE has it: "1.5", "(1.5", "-inf"; read as loosely
 * as Redis does (t_zset.c, zslParseRange()). *bits is the first encoded score that is inside, if it
 * is the lower end, or the first that is beyond, if it is the upper one. */
bool score_parse_bound(struct slice text, bool upper, uint64_t *bits);

#endif
