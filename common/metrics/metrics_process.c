#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"

static bool read_memory(struct metrics_process *process)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return false;
    }
    unsigned long long pages = 0;
    unsigned long long resident = 0;
    bool good = fscanf(file, "%llu %llu", &pages, &resident) == 2;
    (void)fclose(file);
    long page_size = sysconf(_SC_PAGESIZE);
    if (good && page_size > 0) {
        process->virtual_size = pages * (uint64_t)page_size;
        process->resident_size = resident * (uint64_t)page_size;
    }
    return good;
}

static uint64_t count_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        return 0;
    }
    uint64_t count = 0;
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder itself. */
}

/* Field 22 of stat, in clock ticks after boot. The name in parentheses may hold anything. */
static double read_start(void)
{
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL) {
        return 0;
    }
    char text[1024] = "";
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[len] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    unsigned long long ticks = 0;
    if (at == NULL || sscanf(at, "%llu", &ticks) != 1) {
        return 0;
    }
    double since_boot = (double)ticks / (double)sysconf(_SC_CLK_TCK);
    double boot = (double)clock_wall_ms() / 1000 - (double)clock_now_ms() / 1000;
    return boot + since_boot;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

struct metrics_process metrics_process(void)
{
    struct metrics_process process = {0};
    (void)read_memory(&process);
    process.files_open = count_files();
    process.started = read_start();
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        process.files_max = limit.rlim_cur;
    }
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        process.cpu_user = seconds(usage.ru_utime);
        process.cpu_system = seconds(usage.ru_stime);
    }
    return process;
}
