#include "client/admin/import_resume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"

enum { LINE_SIZE = 1024, PATH_SIZE = 4096, NUMBERS = 8 };

static const char head[] = "sherd-import 1";

/* The numbers, in the order in which they are written. */
static void numbers_of(struct import_place *place, uint64_t *at[NUMBERS])
{
    at[0] = &place->done;
    at[1] = &place->mark.offset;
    at[2] = &place->mark.checksum;
    at[3] = &place->mark.db;
    at[4] = &place->sent;
    at[5] = &place->db;
    at[6] = &place->cursor;
    at[7] = NULL; /* The version, which is no uint64_t. */
}

static bool read_line(FILE *file, char line[LINE_SIZE])
{
    if (fgets(line, LINE_SIZE, file) == NULL) {
        return false;
    }
    size_t len = strlen(line);
    if (len == 0 || line[len - 1] != '\n') {
        return false;
    }
    line[len - 1] = '\0';
    return true;
}

static bool read_number(FILE *file, uint64_t *number)
{
    char line[LINE_SIZE];
    char *end = NULL;
    if (!read_line(file, line) || line[0] < '0' || line[0] > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(line, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool read_place(FILE *file, struct import_place *place)
{
    char line[LINE_SIZE];
    if (!read_line(file, line) || strcmp(line, head) != 0 || !read_line(file, line) ||
        strlen(line) >= sizeof(place->source)) {
        return false;
    }
    memcpy(place->source, line, strlen(line) + 1);
    if (!read_line(file, line)) {
        return false;
    }
    place->finished = strcmp(line, "finished") == 0;
    uint64_t *numbers[NUMBERS];
    uint64_t version = 0;
    numbers_of(place, numbers);
    numbers[NUMBERS - 1] = &version;
    for (size_t i = 0; i < NUMBERS; i++) {
        if (!read_number(file, numbers[i])) {
            return false;
        }
    }
    place->mark.version = (unsigned)version;
    return version <= RDB_FILE_VERSION_MAX;
}

enum status import_resume_load(const char *path, struct import_place *place)
{
    *place = (struct import_place){0};
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_BAD_ARGUMENT;
    }
    bool good = read_place(file, place);
    fclose(file);
    return good ? STATUS_OK : STATUS_BAD_ARGUMENT;
}

enum status import_resume_save(const char *path, const struct import_place *place)
{
    char name[PATH_SIZE];
    int len = snprintf(name, sizeof(name), "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof(name)) {
        errno = ENAMETOOLONG;
        return STATUS_IO;
    }
    FILE *file = fopen(name, "w");
    if (file == NULL) {
        return STATUS_IO;
    }
    struct import_place copy = *place;
    uint64_t *numbers[NUMBERS];
    uint64_t version = place->mark.version;
    numbers_of(&copy, numbers);
    numbers[NUMBERS - 1] = &version;
    fprintf(file, "%s\n%s\n%s\n", head, place->source, place->finished ? "finished" : "running");
    for (size_t i = 0; i < NUMBERS; i++) {
        fprintf(file, "%" PRIu64 "\n", *numbers[i]);
    }
    bool written = fflush(file) == 0 && fsync(fileno(file)) == 0;
    written = fclose(file) == 0 && written;
    return written && rename(name, path) == 0 ? STATUS_OK : STATUS_IO;
}
