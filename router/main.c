/* sherd-router: arguments to settings, then router_run(). */

#include <stdio.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/base/version.h"
#include "router/router.h"

static const char usage[] =
    "sherd-router --nodes ADDR:PORT[,...] [--listen ADDR:PORT] [--http ADDR:PORT] [--loops N]\n"
    "Takes Redis clients and brings their commands to the shards of a Sherd cluster.\n";

static void print_help(const struct config *config)
{
    struct buf help;
    buf_init(&help, 1 << 20);
    config_help(config, usage, &help);
    (void)fwrite(help.data, 1, help.len, stdout);
    buf_deinit(&help);
}

int main(int argc, char **argv)
{
    memory_init();
    struct config config;
    config_init(&config, CONFIG_ROUTER);
    char error[CONFIG_ERROR_SIZE] = "";
    int code = 0;
    if (config_load(&config, argc, argv, environ, error) != STATUS_OK) {
        fprintf(stderr, "sherd-router: %s\n", error);
        code = 2;
    } else if (config.wants_help) {
        print_help(&config);
    } else if (config.wants_version) {
        printf("sherd-router %s\n", SHERD_VERSION);
    } else {
        code = router_run(&config);
    }
    config_deinit(&config);
    return code;
}
