#!/usr/bin/env bash
# Bar 7: the cost of 1000 idle shards, and a restart with them (idle.py).
set -euo pipefail
exec /usr/bin/env python3 "$(dirname "$0")/idle.py" "$@"
