#include "replication/raft/guard_snap.h"

bool guard_snap_blocks(const struct group *group)
{
    assert(group->magic == GROUP_MAGIC);
    return guard_on(group, GUARD_SNAP) && group->install.stage != INSTALL_NONE;
}
