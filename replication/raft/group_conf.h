#ifndef REPLICATION_RAFT_GROUP_CONF_H
#define REPLICATION_RAFT_GROUP_CONF_H

#include "replication/group.h"

/* Configurations in the three forms they have: group_conf, the library's struct, and the payload
 * of a configuration entry (u8 1, u64 n, n x {u64 id, text "replica@node" NUL, u8 role}, zero
 * padding; raft_configuration_encode). Pure. */

struct raft_configuration;

enum { GROUP_ADDRESS_SIZE = 48 };

/* "replica@node": unique in a group, as the library demands. out has GROUP_ADDRESS_SIZE bytes. */
void group_conf_address(uint64_t replica, uint64_t node, char *out);
/* The node in an address; 0 if it has none. */
uint64_t group_conf_node(const char *address);

/* Fills an empty library configuration; aborts when memory runs out. */
void group_conf_to_raft(const struct group_conf *conf, struct raft_configuration *out);
void group_conf_from_raft(const struct raft_configuration *in, struct group_conf *conf);
/* The payload of a configuration entry. False: malformed. */
bool group_conf_decode_entry(struct slice entry, struct group_conf *conf);

const struct group_member *group_conf_find(const struct group_conf *conf, uint64_t replica);
unsigned group_conf_voters(const struct group_conf *conf);
bool group_conf_is_voter(const struct group_conf *conf, uint64_t replica);
/* True if replica is the only voter. */
bool group_conf_is_solo(const struct group_conf *conf, uint64_t replica);

#endif
