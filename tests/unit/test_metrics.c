#include "common/metrics/metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/thread.h"
#include "tests/support/page.h"
#include "tests/support/test.h"

/* test_metrics --write writes docs/metrics.md anew. */
static const struct page docs_page = {.name = "metrics.md", .document = metrics_document};
PAGE_WRITER(&docs_page)

TEST(metrics_document, is_what_docs_metrics_md_says)
{
    page_check(&docs_page);
}

static void write_text(const struct metrics *metrics, struct buf *page)
{
    buf_init(page, 16 * 1024 * 1024);
    metrics_write(metrics, page);
    buf_append_u8(page, 0);
}

static bool has(const struct buf *page, const char *line)
{
    return strstr((const char *)page->data, line) != NULL;
}

static struct metrics *make_some(void)
{
    struct metrics *metrics = metrics_new(METRIC_NODE, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct metrics_part *part = metrics_part(metrics, i);
        size_t get = metrics_label(part, METRIC_command_duration_seconds, i == 0 ? "get" : "set");
        size_t both = metrics_label(part, METRIC_command_duration_seconds, "del");
        metrics_observe_label(part, METRIC_command_duration_seconds, get, 50000);
        metrics_observe_label(part, METRIC_command_duration_seconds, get, 50001);
        metrics_observe_label(part, METRIC_command_duration_seconds, both, 100000000000);
        metrics_add(part, METRIC_clients_accepted_total, 10 + i);
        metrics_set(part, METRIC_clients, -1 + (int64_t)i * 5);
        metrics_set(part, METRIC_loop_busy_seconds_total, 1500000000);
        size_t odd = metrics_label(part, METRIC_error_replies_total, "a\"b\\c\nd");
        metrics_add_label(part, METRIC_error_replies_total, odd, 1);
    }
    return metrics;
}

TEST(metrics_write, adds_the_parts_up)
{
    struct metrics *metrics = make_some();
    struct buf page;
    write_text(metrics, &page);
    CHECK(has(&page, "\nsherd_node_clients_accepted_total 21\n"));
    CHECK(has(&page, "\nsherd_node_clients 3\n"));
    CHECK(has(&page, "\nsherd_node_loop_busy_seconds_total 3.000000000\n"));
    CHECK(has(&page,
              "\nsherd_node_command_duration_seconds_bucket{command=\"get\",le=\"5e-05\"} 1\n"));
    CHECK(has(&page,
              "\nsherd_node_command_duration_seconds_bucket{command=\"get\",le=\"0.0001\"} 2\n"));
    CHECK(has(&page, "\nsherd_node_command_duration_seconds_sum{command=\"get\"} 0.000100001\n"));
    CHECK(
        has(&page, "\nsherd_node_command_duration_seconds_bucket{command=\"del\",le=\"10\"} 0\n"));
    CHECK(has(&page,
              "\nsherd_node_command_duration_seconds_bucket{command=\"del\",le=\"+Inf\"} 2\n"));
    CHECK(has(&page, "\nsherd_node_command_duration_seconds_count{command=\"del\"} 2\n"));
    CHECK(has(&page, "\nsherd_node_error_replies_total{code=\"a\\\"b\\\\c d\"} 2\n"));
    CHECK(has(&page, "\nprocess_resident_memory_bytes "));
    CHECK_EQ(metrics_sum(metrics, METRIC_clients_accepted_total), 21);
    CHECK_EQ(metrics_sum(metrics, METRIC_command_duration_seconds), 6);
    buf_deinit(&page);
    metrics_free(metrics);
}

/* Runs promtool with the page as its input; what it says goes to said. */
static int ask_promtool(const struct buf *page, char *said, size_t *said_len)
{
    FILE *input = tmpfile();
    FILE *output = tmpfile();
    CHECK(input != NULL && output != NULL);
    CHECK_EQ(fwrite(page->data, 1, page->len - 1, input), page->len - 1);
    CHECK_EQ(fflush(input), 0);
    CHECK_EQ(lseek(fileno(input), 0, SEEK_SET), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)dup2(fileno(input), STDIN_FILENO);
        (void)dup2(fileno(output), STDOUT_FILENO);
        (void)dup2(fileno(output), STDERR_FILENO);
        (void)execl("/usr/bin/promtool", "promtool", "check", "metrics", (char *)NULL);
        _exit(127);
    }
    int code = 0;
    CHECK_EQ(waitpid(child, &code, 0), child);
    rewind(output);
    *said_len = fread(said, 1, *said_len, output);
    (void)fclose(input);
    (void)fclose(output);
    return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

TEST(metrics_write, pleases_promtool)
{
    /* The tool is of Debian's package prometheus; without it there is nothing to ask. */
    if (access("/usr/bin/promtool", X_OK) != 0) {
        fprintf(stderr, "promtool is not installed: skipped\n");
        return;
    }
    struct metrics *metrics = make_some();
    struct buf page;
    write_text(metrics, &page);
    char said[4096];
    size_t len = sizeof(said);
    int code = ask_promtool(&page, said, &len);
    CHECK_BYTES(slice_of(said, len), "");
    CHECK_EQ(code, 0);
    buf_deinit(&page);
    metrics_free(metrics);
}

TEST(metrics_label, bounds_how_many_are_kept_apart)
{
    struct metrics *metrics = metrics_new(METRIC_ROUTER, 1);
    struct metrics_part *part = metrics_part(metrics, 0);
    size_t first = metrics_label(part, METRIC_error_replies_total, "0");
    for (unsigned i = 0; i < 2 * METRICS_LABELS_MAX; i++) {
        char label[32];
        (void)snprintf(label, sizeof(label), "%u", i);
        metrics_add_label(part, METRIC_error_replies_total,
                          metrics_label(part, METRIC_error_replies_total, label), 1);
    }
    CHECK_EQ(metrics_label(part, METRIC_error_replies_total, "0"), first);
    CHECK_EQ(metrics_sum(metrics, METRIC_error_replies_total), 2 * METRICS_LABELS_MAX);
    struct buf page;
    write_text(metrics, &page);
    char line[64];
    (void)snprintf(line, sizeof(line), "\nsherd_router_error_replies_total{code=\"other\"} %d\n",
                   METRICS_LABELS_MAX);
    CHECK(has(&page, line));
    buf_deinit(&page);
    metrics_free(metrics);
}

struct writer {
    struct metrics_part *part;
    _Atomic bool *reading; /* Set once somebody reads meanwhile. */
};

static void count_much(void *arg)
{
    struct writer *writer = arg;
    while (!atomic_load(writer->reading)) {
    }
    for (int i = 0; i < 20000; i++) {
        char label[16];
        (void)snprintf(label, sizeof(label), "c%d", i % 300);
        metrics_add_label(writer->part, METRIC_error_replies_total,
                          metrics_label(writer->part, METRIC_error_replies_total, label), 1);
        metrics_add(writer->part, METRIC_clients_accepted_total, 1);
    }
}

TEST(metrics_write, may_be_called_while_others_count)
{
    struct metrics *metrics = metrics_new(METRIC_NODE, 2);
    struct writer writers[2];
    struct thread threads[2];
    _Atomic bool reading = false;
    for (unsigned i = 0; i < 2; i++) {
        writers[i] = (struct writer){.part = metrics_part(metrics, i), .reading = &reading};
        thread_start(&threads[i], "writer", count_much, &writers[i]);
    }
    atomic_store(&reading, true);
    for (int i = 0; i < 20; i++) {
        struct buf page;
        write_text(metrics, &page);
        CHECK(page.len > 100);
        buf_deinit(&page);
    }
    for (unsigned i = 0; i < 2; i++) {
        thread_join(&threads[i]);
    }
    CHECK_EQ(metrics_sum(metrics, METRIC_clients_accepted_total), 40000);
    CHECK_EQ(metrics_sum(metrics, METRIC_error_replies_total), 40000);
    metrics_free(metrics);
}

TEST(metrics_process, reads_the_system)
{
    struct metrics_process process = metrics_process();
    CHECK(process.resident_size > 100000 && process.virtual_size >= process.resident_size);
    CHECK(process.files_open >= 1 && process.files_max >= process.files_open);
    CHECK(process.started > 1.6e9);
}
