#!/usr/bin/env bash
# Bar 6: the write gap after kill -9 of a node that leads a third of the shards (gap.py).
set -euo pipefail
exec /usr/bin/env python3 "$(dirname "$0")/gap.py" "$@"
