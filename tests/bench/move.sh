#!/usr/bin/env bash
# How fast a replica of a large shard comes to a new node, and what clients feel (move.py).
set -euo pipefail
exec /usr/bin/env python3 "$(dirname "$0")/move.py" "$@"
