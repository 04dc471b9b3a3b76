#include "server/control/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/scene.h"
#include "tests/support/test.h"

TEST(agent_tick, a_fresh_node_joins_through_a_seed)
{
    struct scene scene;
    scene_init(&scene, 0);
    scene_begin(&scene);
    scene_tick(&scene, 100);
    CHECK_EQ(scene_said(&scene, "connect seed0 h:1"), 1);
    CHECK_EQ(scene_said(&scene, "connect seed1 h:2"), 1);
    CHECK(!scene_said_any(&scene, "request"));
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 1, scene_cluster_a) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "subscribe seed0 0"), 1);
    CHECK_EQ(scene_said(&scene, "request seed0 shard 1 META.JOIN"), 1);
    scene_make_map(&scene.map, scene_cluster_a, 5);
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "map 5"), 1);
    CHECK_EQ(scene_said(&scene, "connect 1 h:1"), 1); /* The meta group's nodes. */
    CHECK_EQ(scene_said(&scene, "connect 3 h:3"), 1);
    CHECK_EQ(scene_said(&scene, "connect 4 h:4"), 0);
    CHECK(
        !scene_said_any(&scene, "save_map")); /* Nothing to disk before it is known whose it is. */
    scene_reply_joined(&scene, 9, scene_cluster_a, 5);
    CHECK_EQ(scene_said(&scene, "save_identity 9"), 1);
    CHECK(memcmp(scene.saved.cluster, scene_cluster_a, 16) == 0 && scene.saved.disk == 5);
    CHECK(!agent_is_joined(scene.agent));
    CHECK(!scene_said_any(&scene, "create"));
    agent_identity_saved(scene.agent, STATUS_OK);
    CHECK(agent_is_joined(scene.agent));
    CHECK_EQ(scene_said(&scene, "joined 9"), 1);
    CHECK_EQ(scene_said(&scene, "save_map"), 1);
    CHECK_EQ(scene_said(&scene, "create 2 19 birth"), 1);
    CHECK_EQ(scene_said(&scene, "connect 4 h:4"), 1); /* It shares a shard. */
    CHECK_EQ(scene_said(&scene, "disconnect seed0"), 1);
    scene_forget(&scene);
    scene_tick(&scene, 60000);
    CHECK(!scene_said_any(&scene, "create") && !scene_said_any(&scene, "connect 4"));
    CHECK(!scene_said_any(&scene, "request") && !scene_said_any(&scene, "failed"));
    scene_deinit(&scene);
}

TEST(agent_reply, follows_the_hint_and_keeps_asking)
{
    struct scene scene;
    scene_init(&scene, 0);
    scene_begin(&scene);
    scene_tick(&scene, 100);
    CHECK(scene_link_up(&scene, agent_seed_peer(1), 2, scene_cluster_a) == STATUS_OK);
    scene_make_map(&scene.map, scene_cluster_a, 5);
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK(scene_link_up(&scene, 3, 3, scene_cluster_a) == STATUS_OK);
    scene_reply_not_leader(&scene, 3);
    scene_tick(&scene, 200);
    CHECK_EQ(scene.request_peer, 3);
    agent_reply(scene.agent, scene.request, STATUS_NO_SHARD, slice_of(NULL, 0));
    agent_reply(scene.agent, scene.request, STATUS_OK, slice_str("late and wrong"));
    scene_tick(&scene, 500);
    scene_reply_not_leader(&scene, 77); /* Nobody knows that one. */
    scene_tick(&scene, 1000);
    scene_reply_error(&scene, "TRYAGAIN the cluster is being created");
    scene_tick(&scene, 1000);
    agent_reply(scene.agent, scene.request, STATUS_OK, slice_str("garbage"));
    scene_forget(&scene);
    scene_tick(&scene, 30000); /* No answer at all: both are asked, again and again. */
    CHECK(scene_said(&scene, "request seed1 shard 1 META.JOIN") > 2);
    CHECK(scene_said(&scene, "request 3 shard 1 META.JOIN") > 2);
    scene_await_request(&scene);
    scene_reply_joined(&scene, 9, scene_cluster_a, 5);
    CHECK_EQ(scene_said(&scene, "save_identity 9"), 1);
    scene_deinit(&scene);
}

TEST(agent_tick, the_first_node_begins_the_meta_group)
{
    struct scene scene;
    scene_init(&scene, 1);
    scene.options.identity.bootstrap = true;
    scene.options.identity.replicas = 3;
    scene.options.identity.shards = 32;
    scene.options.seed_count = 0;
    scene_begin(&scene);
    CHECK(!scene_said_any(&scene, "create"));
    scene_tick(&scene, 100);
    CHECK_EQ(scene_said(&scene, "create 1 1 birth"), 1);
    CHECK_EQ(scene_said(&scene, "request 1 shard 1 META.INIT"), 1); /* To itself. */
    scene_reply_not_leader(&scene, 0);
    scene_tick(&scene, 100);
    CHECK_EQ(scene_said(&scene, "request 1 shard 1 META.INIT"), 2);
    scene_reply_joined(&scene, 1, scene_cluster_a, 1);
    CHECK(agent_is_joined(scene.agent));
    CHECK(!scene_said_any(&scene, "save_identity") && !scene_said_any(&scene, "joined"));
    scene_tick(&scene, 10000);
    CHECK_EQ(scene_said(&scene, "create 1 1 birth"), 1);
    CHECK_EQ(scene_said(&scene, "request 1 shard 1 META.INIT"), 2);
    scene_deinit(&scene);
}

TEST(agent_tick, the_first_node_does_not_begin_twice)
{
    struct scene scene;
    scene_init(&scene, 1);
    scene.options.identity.bootstrap = true;
    scene.options.identity.replicas = 3;
    scene.options.identity.shards = 32;
    scene_begin(&scene);
    agent_replica_opened(scene.agent, SHARD_META, 1);
    scene_tick(&scene, 100);
    CHECK(!scene_said_any(&scene, "create"));
    CHECK_EQ(scene_said(&scene, "request 1 shard 1 META.INIT"), 1);
    scene_deinit(&scene);
}

/* Node 9 restarts with its directory and the map of the last time. */

TEST(agent_tick, a_restarted_node_serves_alone_and_joins_when_it_can)
{
    struct scene scene;
    scene_restart(&scene);
    CHECK_EQ(agent_map(scene.agent)->version, 5);
    CHECK_EQ(scene_said(&scene, "connect 1 h:1"), 1);
    CHECK_EQ(scene_said(&scene, "connect 4 h:4"), 1);
    CHECK_EQ(scene_said(&scene, "connect seed0 h:1"), 1);
    scene_tick(&scene, 600000); /* Nobody is there for ten minutes. */
    CHECK(!scene_said_any(&scene, "create") && !scene_said_any(&scene, "remove"));
    CHECK(!scene_said_any(&scene, "failed") && !scene_said_any(&scene, "request"));
    CHECK(scene_link_up(&scene, 2, 2, scene_cluster_a) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "subscribe 2 5"), 1);
    CHECK_EQ(scene_said(&scene, "request 2 shard 1 META.JOIN"), 1);
    scene_reply_joined(&scene, 9, scene_cluster_a, 6);
    CHECK(agent_is_joined(scene.agent));
    CHECK(!scene_said_any(&scene, "save_identity"));
    scene_deinit(&scene);
}

TEST(agent_receive_map, moves_links_to_new_addresses_and_never_goes_back)
{
    struct scene scene;
    scene_restart(&scene);
    scene_make_map(&scene.map, scene_cluster_a, 6);
    snprintf(scene.map.nodes[3].address, NODE_ADDRESS_SIZE_MAX, "moved:4");
    scene.map.nodes[1].address[0] = '\0'; /* Where 2 is nobody knows now. */
    scene_forget(&scene);
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "connect 4 moved:4"), 1);
    CHECK_EQ(scene_said(&scene, "disconnect 2"), 1);
    CHECK(!scene_said_any(&scene, "connect 3"));
    CHECK_EQ(scene_said(&scene, "save_map"), 1);
    scene_forget(&scene);
    CHECK(scene_give_map(&scene) == STATUS_OK); /* The same again. */
    scene.map.version = 4;
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK_EQ(scene.log.len, 0);
    CHECK_EQ(agent_map(scene.agent)->version, 6);
    scene_deinit(&scene);
}

TEST(agent_receive_map, refuses_garbage_and_the_map_of_another_cluster)
{
    struct scene scene;
    scene_restart(&scene);
    scene_forget(&scene);
    CHECK(agent_receive_map(scene.agent, slice_str("garbage")) == STATUS_CORRUPT);
    scene_make_map(&scene.map, scene_cluster_b, 50);
    CHECK(scene_give_map(&scene) == STATUS_WRONG_CLUSTER);
    scene_make_map(&scene.map, scene_cluster_a, 0);
    CHECK(scene_give_map(&scene) == STATUS_CORRUPT);
    CHECK_EQ(scene.log.len, 0);
    scene_deinit(&scene);
}

TEST(agent_receive_map, only_the_first_descriptor_gives_birth)
{
    struct scene scene;
    scene_restart(&scene);
    scene_make_map(&scene.map, scene_cluster_a, 6);
    scene.map.shards[1].replicas[2] = (struct replica_desc){.id = 40, .node = 9};
    scene.map.shards[1].conf_ver = 2;
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "create 3 40"), 1); /* Waits for a snapshot. */
    scene_deinit(&scene);

    /* A member by birth that slept until after the members were changed does not know with whom it
     * was to begin: it waits for a snapshot too. */
    scene_init(&scene, 9);
    scene_make_map(&scene.map, scene_cluster_a, 5);
    scene.map.shards[0].replicas[0] = (struct replica_desc){.id = 41, .node = 1};
    scene.map.shards[0].conf_ver = 2;
    scene.options.map = &scene.map;
    scene_begin(&scene);
    scene_tick(&scene, 100);
    CHECK_EQ(scene_said(&scene, "create 2 19"), 1);
    scene_deinit(&scene);
}

/* The leader of a group may be the very one that the map has taken out: until it has handed over it
 * needs the answers of those that stay. */
TEST(agent_receive_map, stays_linked_to_members_that_the_map_has_let_go)
{
    struct scene scene;
    scene_restart(&scene);
    scene_confirm(&scene, 6);
    CHECK(scene_link_up(&scene, 4, 4, scene_cluster_a) == STATUS_OK);
    scene_make_map(&scene.map, scene_cluster_a, 7);
    for (unsigned i = 0; i < scene.map.shards[0].replica_count; i++) {
        if (scene.map.shards[0].replicas[i].node == 4) {
            scene.map.shards[0].replicas[i] = (struct replica_desc){.id = 31, .node = 2};
        }
    }
    scene.map.shards[0].conf_ver = 2;
    CHECK(scene_give_map(&scene) == STATUS_OK);
    scene_tick(&scene, 1000);
    CHECK(!scene_said_any(&scene, "disconnect 4"));
    scene_deinit(&scene);
}

/* A map in which shard 2 is no longer on node 9. */
static void take_away(struct scene *scene, uint64_t version)
{
    scene_make_map(&scene->map, scene_cluster_a, version);
    scene->map.shards[0].replicas[2] = (struct replica_desc){.id = 31, .node = 1};
    scene->map.shards[0].conf_ver = 2;
    CHECK(scene_give_map(scene) == STATUS_OK);
}

TEST(agent_reply, removes_a_replica_only_when_its_group_has_let_it_go)
{
    struct scene scene;
    scene_restart(&scene);
    scene_confirm(&scene, 6);
    CHECK(scene_link_up(&scene, 4, 4, scene_cluster_a) == STATUS_OK);
    take_away(&scene, 7);
    CHECK(!scene_said_any(&scene, "remove"));
    scene_tick(&scene, 1000);
    CHECK(scene_said_any(&scene, "request 4 shard 2 GROUP.CONF") ||
          scene_said_any(&scene, "request 1 shard 2 GROUP.CONF"));
    scene_reply_conf(&scene, 13, 14, 19); /* Still a member. */
    scene_await_request(&scene);
    scene_reply_error(&scene, "ERR something else");
    scene_await_request(&scene);
    scene_reply_not_leader(&scene, 4);
    scene_await_request(&scene);
    CHECK_EQ(scene.request_peer, 4);
    scene_await_request(&scene); /* No answer. */
    CHECK(!scene_said_any(&scene, "remove"));
    scene_reply_conf(&scene, 31, 13, 14);
    CHECK_EQ(scene_said(&scene, "remove 2 19"), 1);
    scene_tick(&scene, 120000);
    CHECK_EQ(scene_said(&scene, "remove 2 19"), 1);
    agent_replica_removed(scene.agent, 2, 19);
    scene_tick(&scene, 1000);
    CHECK(!scene_said_any(&scene, "create"));
    scene_make_map(&scene.map, scene_cluster_a, 8); /* Back, under its old id: dead for good. */
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK(!scene_said_any(&scene, "create"));
    scene.map.version = 9;
    scene.map.shards[0].replicas[2].id = 44;
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "create 2 44"), 1);
    scene_deinit(&scene);
}

TEST(agent_tick, a_map_that_may_be_old_takes_nothing_away)
{
    struct scene scene;
    scene_restart(&scene);
    CHECK(scene_link_up(&scene, 4, 4, scene_cluster_a) == STATUS_OK);
    take_away(&scene, 6); /* Not confirmed: what it saw before its restart may be newer. */
    scene_tick(&scene, 10000);
    CHECK(!scene_said_any(&scene, "request 4 shard 2"));
    CHECK(scene_link_up(&scene, 1, 1, scene_cluster_a) == STATUS_OK);
    scene_await_request(&scene);
    scene_reply_joined(&scene, 9, scene_cluster_a, 8); /* There is a newer one. */
    CHECK(agent_is_joined(scene.agent));
    scene_tick(&scene, 10000);
    CHECK(!scene_said_any(&scene, "request 4 shard 2") &&
          !scene_said_any(&scene, "request 1 shard 2"));
    take_away(&scene, 8);
    scene_tick(&scene, 10000);
    CHECK(scene_said_any(&scene, "request 4 shard 2") ||
          scene_said_any(&scene, "request 1 shard 2"));
    scene_deinit(&scene);
}

TEST(agent_replica_tombstoned, is_never_made_again)
{
    struct scene scene;
    scene_init(&scene, 9);
    scene_make_map(&scene.map, scene_cluster_a, 5);
    scene.options.map = &scene.map;
    scene_begin(&scene);
    agent_replica_tombstoned(scene.agent, 2, 19);
    scene_tick(&scene, 1000);
    CHECK(!scene_said_any(&scene, "create"));
    scene_deinit(&scene);
}

TEST(agent_apply_map, is_looked_at_when_all_replicas_are_known)
{
    struct scene scene;
    scene_init(&scene, 9);
    scene_begin(&scene);
    scene_make_map(&scene.map, scene_cluster_a, 5);
    agent_apply_map(scene.agent, &scene.map); /* The meta group's replica is opened first. */
    CHECK_EQ(scene_said(&scene, "map 5"), 1);
    CHECK(!scene_said_any(&scene, "create"));
    agent_replica_opened(scene.agent, 2, 19);
    scene_tick(&scene, 1000);
    CHECK(!scene_said_any(&scene, "create"));
    agent_apply_map(scene.agent, &scene.map);
    CHECK_EQ(scene_said(&scene, "map 5"), 1);
    scene_deinit(&scene);
}

TEST(agent_link_up, tells_the_operator_of_a_wrong_cluster)
{
    struct scene scene;
    scene_restart(&scene);
    CHECK(scene_link_up(&scene, 4, 4, scene_cluster_b) == STATUS_WRONG_CLUSTER);
    CHECK(
        !scene_said_any(&scene, "failed")); /* A node that took over an address: not our mistake. */
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 1, scene_cluster_b) == STATUS_WRONG_CLUSTER);
    CHECK_EQ(scene_said(&scene, "failed belongs to another cluster"), 1);
    scene_forget(&scene);
    scene_tick(&scene, 10000);
    CHECK_EQ(scene.log.len, 0);
    scene_deinit(&scene);

    scene_restart(&scene);
    agent_link_refused(scene.agent, agent_seed_peer(1), STATUS_BUSY, "too many connections");
    CHECK(!scene_said_any(&scene, "failed"));
    agent_link_refused(scene.agent, agent_seed_peer(1), STATUS_WRONG_CLUSTER, "no");
    CHECK_EQ(scene_said(&scene, "failed belongs to another cluster"), 1);
    scene_deinit(&scene);
}

TEST(agent_link_up, seeds_of_two_clusters_are_a_mistake)
{
    struct scene scene;
    scene_init(&scene, 0);
    scene_begin(&scene);
    scene_tick(&scene, 100);
    scene_make_map(&scene.map, scene_cluster_a, 5);
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 1, scene_cluster_a) == STATUS_OK);
    CHECK(scene_give_map(&scene) == STATUS_OK);
    scene_reply_joined(&scene, 9, scene_cluster_b, 5);
    CHECK_EQ(scene_said(&scene, "failed belongs to another cluster"), 1);
    CHECK(!scene_said_any(&scene, "save_identity"));
    scene_deinit(&scene);
}

TEST(agent_link_up, checks_who_answers)
{
    struct scene scene;
    scene_restart(&scene);
    CHECK(scene_link_up(&scene, 4, 3, scene_cluster_a) == STATUS_CONFLICT);
    CHECK(scene_link_up(&scene, 9, 9, scene_cluster_a) == STATUS_CONFLICT);
    CHECK(scene_link_up(&scene, 4, 4, scene_cluster_a) == STATUS_OK);
    CHECK(scene_link_up(&scene, 77, 77, scene_cluster_a) ==
          STATUS_OK); /* New, not yet in the map. */
    CHECK(scene_link_up(&scene, 0, 0, scene_cluster_a) == STATUS_CONFLICT);
    CHECK(scene_link_up(&scene, agent_seed_peer(1), agent_seed_peer(1), scene_cluster_a) ==
          STATUS_CONFLICT);
    CHECK(scene_link_up(&scene, agent_seed_peer(5), 5, scene_cluster_a) == STATUS_CONFLICT);
    scene_forget(&scene);
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 9, scene_cluster_a) ==
          STATUS_CONFLICT); /* Itself. */
    CHECK_EQ(scene_said(&scene, "disconnect seed0"), 1);
    scene_tick(&scene, 60000);
    CHECK(!scene_said_any(&scene, "connect seed0"));
    scene_deinit(&scene);
}

TEST(agent_tick, a_node_that_was_replaced_stops)
{
    struct scene scene;
    scene_restart(&scene);
    scene_make_map(&scene.map, scene_cluster_a, 6);
    scene.map.nodes[4].state = NODE_GONE;
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "failed contradicts what is already there"), 1);
    scene_deinit(&scene);

    scene_restart(&scene);
    CHECK(scene_link_up(&scene, 1, 1, scene_cluster_a) == STATUS_OK);
    scene_reply_error(&scene, "GONE node 9 lost its place");
    CHECK_EQ(scene_said(&scene, "failed contradicts what is already there"), 1);
    scene_deinit(&scene);
}

TEST(agent_receive_map, joins_again_when_an_old_request_was_late)
{
    struct scene scene;
    scene_restart(&scene);
    scene_confirm(&scene, 6);
    scene_make_map(&scene.map, scene_cluster_a, 7);
    scene.map.nodes[4].incarnation = 55;
    scene_forget(&scene);
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK(!agent_is_joined(scene.agent));
    scene_tick(&scene, 3000);
    CHECK_EQ(scene_said(&scene, "request 1 shard 1 META.JOIN"), 1);
    /* Again and again: that is another process. */
    for (uint64_t version = 8; version < 16 && !scene_said_any(&scene, "failed"); version++) {
        scene_await_request(&scene);
        scene_reply_joined(&scene, 9, scene_cluster_a, (int64_t)version);
        scene.map.version = version;
        CHECK(scene_give_map(&scene) == STATUS_OK);
    }
    CHECK_EQ(scene_said(&scene, "failed contradicts what is already there"), 1);
    scene_deinit(&scene);
}

TEST(agent_tick, asks_for_the_map_again_and_dials_the_seeds_when_alone)
{
    struct scene scene;
    scene_restart(&scene);
    scene_confirm(&scene, 5);
    scene_forget(&scene);
    scene_tick(&scene, 60000);
    CHECK(scene_said(&scene, "subscribe 1 5") >= 5);
    CHECK(!scene_said_any(&scene, "connect seed0"));
    agent_link_down(scene.agent, 1);
    agent_link_down(scene.agent, 1);
    scene_tick(&scene, 10000);
    CHECK_EQ(scene_said(&scene, "connect seed0 h:1"), 1);
    scene_forget(&scene);
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 1, scene_cluster_a) == STATUS_OK);
    CHECK(scene_link_up(&scene, 3, 3, scene_cluster_a) == STATUS_OK);
    scene_tick(&scene, 1000);
    CHECK_EQ(scene_said(&scene, "disconnect seed0"), 1);
    scene_deinit(&scene);
}

TEST(agent_identity_saved, a_disk_that_fails_ends_it)
{
    struct scene scene;
    scene_init(&scene, 0);
    scene_begin(&scene);
    scene_tick(&scene, 100);
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 1, scene_cluster_a) == STATUS_OK);
    scene_reply_joined(&scene, 9, scene_cluster_a, 5);
    agent_identity_saved(scene.agent, STATUS_IO);
    CHECK_EQ(scene_said(&scene, "failed disk or network failure"), 1);
    CHECK(!agent_is_joined(scene.agent));
    CHECK_EQ(agent_identity(scene.agent)->node, 0);
    scene_deinit(&scene);
}

TEST(agent_link_down, what_was_asked_there_is_asked_elsewhere_at_once)
{
    struct scene scene;
    scene_init(&scene, 0);
    scene_begin(&scene);
    scene_tick(&scene, 100);
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 1, scene_cluster_a) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "request seed0 shard 1 META.JOIN"), 1);
    CHECK(scene_link_up(&scene, agent_seed_peer(1), 2, scene_cluster_a) == STATUS_OK);
    CHECK(!scene_said_any(&scene, "request seed1"));
    agent_link_down(scene.agent, agent_seed_peer(0));
    scene_tick(&scene, 200);
    CHECK_EQ(scene_said(&scene, "request seed1 shard 1 META.JOIN"), 1);
    scene_deinit(&scene);
}

TEST(agent_link_up, who_has_not_joined_is_not_asked)
{
    struct scene scene;
    scene_init(&scene, 0);
    scene_begin(&scene);
    scene_tick(&scene, 100);
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 0, NULL) == STATUS_OK);
    scene_tick(&scene, 5000);
    CHECK(!scene_said_any(&scene, "request"));
    CHECK(scene_link_up(&scene, agent_seed_peer(1), 2, scene_cluster_a) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "request seed1 shard 1 META.JOIN"), 1);
    scene_deinit(&scene);
}

TEST(agent_receive_map, the_meta_group_tells_everyone_it_reaches)
{
    struct scene scene;
    scene_init(&scene, 9);
    scene_make_map(&scene.map, scene_cluster_a, 5);
    scene.options.map = &scene.map;
    scene_begin(&scene);
    agent_replica_opened(scene.agent, SHARD_META, 90);
    scene_tick(&scene, 100);
    CHECK(scene_link_up(&scene, 1, 1, scene_cluster_a) == STATUS_OK);
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 2, scene_cluster_a) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "push 1"), 1);
    for (uint64_t node = 1; node <= 4; node++) { /* Also those that share nothing with it. */
        char line[32];
        snprintf(line, sizeof(line), "connect %" PRIu64 " h:%" PRIu64, node, node);
        CHECK_EQ(scene_said(&scene, line), 1);
    }
    CHECK(scene_link_up(&scene, 4, 4, scene_cluster_a) == STATUS_OK);
    scene_forget(&scene);
    scene.map.version = 6;
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK(scene_said(&scene, "push 1") == 1 && scene_said(&scene, "push 4") == 1);
    CHECK(!scene_said_any(&scene, "push 2") && !scene_said_any(&scene, "push 9223372036854775808"));
    scene_deinit(&scene);

    scene_restart(&scene); /* Has no replica of it. */
    CHECK(scene_link_up(&scene, 1, 1, scene_cluster_a) == STATUS_OK);
    scene.map.version = 6;
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK(!scene_said_any(&scene, "push"));
    scene_deinit(&scene);
}

TEST(agent_address, an_address_of_join_wins_until_the_map_says_something_new)
{
    struct scene scene;
    scene_restart(&scene);
    CHECK(strcmp(agent_address(scene.agent, 3), "h:3") == 0);
    CHECK(strcmp(agent_address(scene.agent, 77), "") == 0);
    scene_forget(&scene);
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 3, scene_cluster_a) == STATUS_OK);
    CHECK(strcmp(agent_address(scene.agent, 3), "h:1") == 0);
    CHECK_EQ(scene_said(&scene, "connect 3 h:1"), 1);
    CHECK_EQ(scene_said(&scene, "addresses"), 1);
    scene_confirm(&scene, 6); /* The map that says so comes later. */
    CHECK(strcmp(agent_address(scene.agent, 3), "h:1") == 0);
    scene_make_map(&scene.map, scene_cluster_a, 7);
    snprintf(scene.map.nodes[2].address, NODE_ADDRESS_SIZE_MAX, "new:3");
    CHECK(scene_give_map(&scene) == STATUS_OK);
    CHECK_EQ(scene_said(&scene, "connect 3 new:3"), 1);
    scene_deinit(&scene);

    scene_restart(&scene); /* Somebody else is there after all. */
    CHECK(scene_link_up(&scene, agent_seed_peer(0), 3, scene_cluster_a) == STATUS_OK);
    scene_forget(&scene);
    CHECK(scene_link_up(&scene, 3, 4, scene_cluster_a) == STATUS_CONFLICT);
    CHECK_EQ(scene_said(&scene, "connect 3 h:3"), 1);
    scene_deinit(&scene);
}
