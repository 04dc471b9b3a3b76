#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/player.h"
#include "tests/support/test.h"

/* Reads of a loop look into memory only: what lies on the disk makes them AGAIN, for the pool. */

enum { KEYS_COLD = 4000, KEYS_DIRTY = 200 };

static void set_keys(struct player *player, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "key:%d", i);
        struct slice argv[] = {slice_str("SET"), slice_str(key), slice_str("value")};
        struct buf reply;
        buf_init(&reply, 1 << 16);
        player_run(player, (struct args){.argv = argv, .argc = 3}, &reply);
        CHECK_BYTES(buf_slice(&reply), "+OK\r\n");
        buf_deinit(&reply);
    }
}

static enum status scan(struct player *player, bool cache_only, struct buf *reply)
{
    struct slice argv[] = {slice_str("SCAN"), slice_str("0"), slice_str("COUNT"), slice_str("20")};
    struct machine_read_input input = {.scope = {.shard = 2, .start = 0, .last = UINT64_MAX},
                                       .command = command_find(argv[0]),
                                       .args = {.argv = argv, .argc = 4},
                                       .now_ms = player->now_ms};
    txn_set_cache_only(player->txn, cache_only);
    enum status status = machine_read(player->txn, &player->state, &input, reply);
    txn_set_cache_only(player->txn, false);
    return status;
}

TEST(machine_read, gives_no_page_of_a_scan_that_lacks_rows_on_disk)
{
    char folder[] = "scan-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/store", folder);
    struct player player;
    player_open(&player, path, 100);
    player.now_ms = 1000;
    set_keys(&player, 0, KEYS_COLD);
    player_reopen(&player, path); /* Nothing of them is in memory. */
    player.commit_every = KEYS_DIRTY * 2;
    set_keys(&player, KEYS_COLD, KEYS_DIRTY); /* These are in the txn only. */
    struct buf cold;
    struct buf full;
    buf_init(&cold, 1 << 20);
    buf_init(&full, 1 << 20);
    CHECK_EQ(scan(&player, true, &cold), STATUS_AGAIN);
    CHECK_EQ(cold.len, 0);
    CHECK_EQ(scan(&player, false, &full), STATUS_OK);
    /* The blocks are in memory now. */
    CHECK_EQ(scan(&player, true, &cold), STATUS_OK);
    CHECK(slice_equal(buf_slice(&cold), buf_slice(&full)));
    buf_deinit(&cold);
    buf_deinit(&full);
    player_close(&player);
}
