#ifndef SERVER_CONTROL_META_MACHINE_H
#define SERVER_CONTROL_META_MACHINE_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/cluster/cluster_job.h"
#include "common/cluster/shard_map.h"
#include "common/proto/command.h"
#include "server/store/store.h"

/* The state machine of the meta group (shard 1): which nodes, shards and jobs there are. Plan,
 * apply and read as in server/machine/machine.h: pure but for the txn; same state and same command
 * give the same writes and the same reply on every replica.
 *
 * Rows, all in STORE_LOCAL: u64 SHARD_META (big endian) | 'M' | kind | u64 id (big endian)
 *   kind 'c', no id     struct meta_cluster
 *   kind 'n', node id   node_desc_encode, u64 disk id
 *   kind 's', shard id  shard_desc_encode; the meta group's own descriptor has id SHARD_META
 *   kind 'j', job id    cluster_job_encode
 *   kind 'e', number    job_event_encode: the journal
 *
 * Every command that changes nodes or shards raises the map version by exactly one. All commands
 * may be repeated: the second time they change nothing and answer the same, so that they need no
 * session.
 *
 * Commands (name first; numbers as decimal text, cluster ids as 16 raw bytes):
 *   META.INIT cluster replicas shards node address zone incarnation disk
 *       Creates the cluster with its first node. -> as META.JOIN
 *   META.JOIN node cluster address zone incarnation disk
 *       node 0 and cluster 16 zeros: a directory that never joined. -> [node, cluster, version]
 *   META.ORDER order -> see meta_order.h and meta_jobs.h
 *   META.REPORT descriptor... -> the version of the map; see meta_report.h
 *   META.MAP version -> the encoded map as a bulk string if it is newer, else null
 *   META.EVENTS count -> [{number, time_ms, job, what, why, effect}], the newest last
 * SHERD ... is for the node that leads the group to answer: META_ADMIN, none of this machine's.
 * Errors begin with a code: TRYAGAIN (no cluster yet: repeat), WRONGCLUSTER, GONE (the node was
 * replaced, its directory is of no use), CONFLICT, LIMIT, ERR. */

enum { META_ARGC_MAX = 9 };

enum meta_kind { META_UNKNOWN, META_READ, META_WRITE, META_ADMIN };

/* By name, letter case does not matter. */
enum meta_kind meta_machine_kind(struct slice name);

/* Appends the planned command to *planned and returns OK; or appends an error reply to *reply and
 * returns BAD_ARGUMENT. Only META_WRITE commands are planned. now_ms: since 1970. */
MUST_USE enum status meta_machine_plan(struct args args,
                                       uint64_t now_ms,
                                       struct buf *planned,
                                       struct buf *reply);

/* Applies what meta_machine_plan() wrote: appends exactly one RESP value to *reply. *changed: the
 * map has a new version. Any status other than OK (IO, CORRUPT) means that this replica is broken.
 */
MUST_USE enum status meta_machine_apply(struct txn *txn,
                                        struct slice planned,
                                        struct buf *reply,
                                        bool *changed);

/* AGAIN: cache-only txn and the disk is needed. What the caller did wrong is in the reply. */
MUST_USE enum status meta_machine_read(struct txn *txn, struct args args, struct buf *reply);

/* The whole map from the rows. *map, initialised before, is replaced on OK; before META.INIT its
 * version is 0. AGAIN, IO, CORRUPT. */
MUST_USE enum status meta_machine_load(struct txn *txn, struct shard_map *map);

/* The same with the jobs, which must be initialised too, and the balancer's mode. */
MUST_USE enum status meta_machine_load_all(struct txn *txn,
                                           struct shard_map *map,
                                           struct job_list *jobs,
                                           uint8_t *mode);

/* The rows of the meta group besides those of the shard layer: from <= key < to. For export. The
 * range of STORE_DATA is empty (from equals to). */
void meta_machine_range(enum store_family family, struct buf *from, struct buf *to);

/* The meta group's descriptor as it is born, on the node that creates the cluster. */
void meta_machine_birth(struct shard_desc *desc);

/* What META.INIT and META.JOIN answer, taken apart. The text of an error reply goes to `text`
 * (text_size bytes, cut if longer) and its code becomes the status: AGAIN for TRYAGAIN,
 * WRONG_CLUSTER, CONFLICT for GONE and CONFLICT, BAD_ARGUMENT for others. PROTOCOL: not a reply of
 * ours. */
struct meta_joined {
    uint64_t node;
    uint8_t cluster[16];
    uint64_t version; /* Of the map that has the node in it. */
};
MUST_USE enum status meta_machine_read_joined(struct slice reply,
                                              struct meta_joined *joined,
                                              char *text,
                                              size_t text_size);

#endif
