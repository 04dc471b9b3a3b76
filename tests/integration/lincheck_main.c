#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/lincheck.h"

/* lincheck FILE [STEPS]: is the history in FILE (tests/support/history.h; "-" is stdin)
 * linearizable? Exit code 0 yes, 1 no, 2 cannot read it, 3 gave up after STEPS per key. */

enum { EXIT_VIOLATION = 1, EXIT_USAGE = 2, EXIT_UNDECIDED = 3 };

static int check(const struct history *history, uint64_t steps_max)
{
    struct lincheck_options options = {.steps_max = steps_max};
    struct lincheck_report report;
    lincheck_run(history, &options, &report);
    printf("%s keys=%zu ops=%zu unknown=%zu steps=%" PRIu64 "\n",
           lincheck_verdict_name(report.verdict), report.keys, report.ops, report.unknown,
           report.steps);
    printf("%.*s", (int)report.detail.len, (const char *)report.detail.data);
    enum lincheck_verdict verdict = report.verdict;
    lincheck_report_deinit(&report);
    if (verdict == LINCHECK_LINEARIZABLE) {
        return 0;
    }
    return verdict == LINCHECK_VIOLATION ? EXIT_VIOLATION : EXIT_UNDECIDED;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: lincheck FILE [STEPS]\n");
        return EXIT_USAGE;
    }
    FILE *from = strcmp(argv[1], "-") == 0 ? stdin : fopen(argv[1], "r");
    if (from == NULL) {
        fprintf(stderr, "lincheck: cannot open %s\n", argv[1]);
        return EXIT_USAGE;
    }
    struct history history;
    history_init(&history);
    size_t bad_line;
    int code = EXIT_USAGE;
    if (history_read(&history, from, &bad_line)) {
        code = check(&history, argc == 3 ? strtoull(argv[2], NULL, 10) : 0);
    } else {
        fprintf(stderr, "lincheck: %s:%zu: not an operation\n", argv[1], bad_line);
    }
    history_deinit(&history);
    if (from != stdin) {
        fclose(from);
    }
    return code;
}
