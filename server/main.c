/* sherd-node: reads the settings, then server_run(). */

#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "common/front/front.h"
#include "server/server.h"

static const char usage[] =
    "sherd-node --data DIR --listen ADDR:PORT (--bootstrap [--shards N] [--replicas N] | --join "
    "ADDR:PORT[,...])\n"
    "A storage node. Started again on the same directory it goes on as what it was.\n";

static void print_help(const struct config *config)
{
    struct buf help;
    buf_init(&help, 1 << 20);
    config_help(config, usage, &help);
    fwrite(help.data, 1, help.len, stdout);
    buf_deinit(&help);
}

static int run(int argc, char **argv)
{
    struct config config;
    config_init(&config, CONFIG_NODE);
    char error[CONFIG_ERROR_SIZE] = "";
    int code = 0;
    if (config_load(&config, argc, argv, environ, error) != STATUS_OK) {
        fprintf(stderr, "sherd-node: %s\n", error);
        code = 2;
    } else if (config.wants_help) {
        print_help(&config);
    } else if (config.wants_version) {
        printf("sherd-node %s\n", SHERD_VERSION);
    } else {
        enum log_level level = LOG_INFO;
        if (log_parse_level(config_text(&config, CONFIG_log_level), &level)) {
            log_set_level(level);
        }
        log_set_json(config_number(&config, CONFIG_log_format) == 1);
        code = server_run(&config);
    }
    config_deinit(&config);
    return code;
}

int main(int argc, char **argv)
{
    memory_init();
    return run(argc, argv);
}
