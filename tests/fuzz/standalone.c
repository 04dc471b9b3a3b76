/* Runs a fuzz target without libFuzzer, as an ordinary test: on every file of its corpus, on all
 * their beginnings, and on random changes of them from a fixed seed. With libFuzzer (preset fuzz)
 * this file is not linked.
 *
 *     fuzz_resp [-seed=N] [-runs=N] FOLDER-OR-FILE...
 *
 * An input that kills the target is written to ./crash-<target>; that file is an argument like any
 * other. */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/rand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Set by targets that need something made first; weak, so most have none. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

enum {
    INPUT_SIZE_MAX = 1 << 20,
    INPUTS_MAX = 4096,
    CUTS_MAX = 512,  /* Longer inputs are cut at random places. */
    CHANGES_MAX = 8, /* Of one input at a time. */
    RUNS = 20000,
};

struct input {
    uint8_t *data;
    size_t size;
};

static struct input inputs[INPUTS_MAX];
static size_t input_count;
/* What is being run: for the report of a death, which can take no arguments. */
static struct input current;
static char crash_path[256];

static void report(void)
{
    int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) {
        return;
    }
    if (write(fd, current.data, current.size) == (ssize_t)current.size) {
        dprintf(STDERR_FILENO, "input of %zu bytes written to %s\n", current.size, crash_path);
    }
    close(fd);
}

static void on_death(int signal_number)
{
    report();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* On a copy of exactly the right size, so that a sanitizer sees every byte read beyond the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    assert(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    current = (struct input){.data = copy, .size = size};
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void load_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert(file != NULL);
    uint8_t *data = malloc(INPUT_SIZE_MAX);
    assert(data != NULL);
    size_t size = fread(data, 1, INPUT_SIZE_MAX, file);
    fclose(file);
    assert(input_count < INPUTS_MAX);
    inputs[input_count++] = (struct input){.data = data, .size = size};
}

static void load(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return; /* A target without a corpus runs on random bytes. */
    }
    if (!S_ISDIR(info.st_mode)) {
        load_file(path);
        return;
    }
    DIR *folder = opendir(path);
    assert(folder != NULL);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (stat(file, &info) == 0 && S_ISREG(info.st_mode)) {
            load_file(file);
        }
    }
    closedir(folder);
}

static void run_cuts(const struct input *input, struct rand *rand)
{
    run(input->data, input->size);
    size_t cuts = input->size < CUTS_MAX ? input->size : CUTS_MAX;
    for (size_t i = 0; i < cuts; i++) {
        run(input->data, input->size < CUTS_MAX ? i : rand_below(rand, input->size));
    }
}

/* One small change in place; sizes only shrink or grow by what is copied. */
static size_t change(uint8_t *data, size_t size, struct rand *rand)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '\r', '\n', '-', '*', '$', '0', '9'};
    size_t at = rand_below(rand, size);
    size_t len = 1 + rand_below(rand, size - at);
    switch (rand_below(rand, 5)) {
    case 0: data[at] = (uint8_t)(data[at] ^ (1U << rand_below(rand, 8))); return size;
    case 1: data[at] = telling[rand_below(rand, sizeof telling)]; return size;
    case 2: data[at] = (uint8_t)rand_u64(rand); return size;
    case 3: memmove(data + at, data + at + len, size - at - len); return size - len;
    default: break;
    }
    if (size + len > INPUT_SIZE_MAX) {
        return size;
    }
    memmove(data + at + len, data + at, size - at);
    return size + len;
}

static void run_changed(struct rand *rand, uint8_t *scratch)
{
    size_t size = 0;
    if (input_count > 0) {
        const struct input *input = &inputs[rand_below(rand, input_count)];
        size = input->size;
        memcpy(scratch, input->data, size);
    }
    if (size == 0) {
        size = 1 + rand_below(rand, 64);
        for (size_t i = 0; i < size; i++) {
            scratch[i] = (uint8_t)rand_u64(rand);
        }
    }
    for (uint64_t n = 1 + rand_below(rand, CHANGES_MAX); n > 0 && size > 0; n--) {
        size = change(scratch, size, rand);
    }
    run(scratch, size);
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    uint64_t runs = RUNS;
    const char *slash = strrchr(argv[0], '/');
    snprintf(crash_path, sizeof crash_path, "crash-%s", slash == NULL ? argv[0] : slash + 1);
    signal(SIGABRT, on_death);
    signal(SIGSEGV, on_death);
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(report);
    }
    if (LLVMFuzzerInitialize != NULL) {
        (void)LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-seed=", 6) == 0) {
            seed = strtoull(argv[i] + 6, NULL, 10);
        } else if (strncmp(argv[i], "-runs=", 6) == 0) {
            runs = strtoull(argv[i] + 6, NULL, 10);
        } else if (argv[i][0] != '-') {
            load(argv[i]);
        }
    }
    struct rand rand;
    rand_init(&rand, seed);
    run(NULL, 0);
    for (size_t i = 0; i < input_count; i++) {
        run_cuts(&inputs[i], &rand);
    }
    uint8_t *scratch = malloc(2 * (size_t)INPUT_SIZE_MAX);
    assert(scratch != NULL);
    for (uint64_t i = 0; i < runs; i++) {
        run_changed(&rand, scratch);
    }
    free(scratch);
    for (size_t i = 0; i < input_count; i++) {
        free(inputs[i].data);
    }
    printf("%zu files, %llu changed inputs, seed %llu\n", input_count, (unsigned long long)runs,
           (unsigned long long)seed);
    return 0;
}
