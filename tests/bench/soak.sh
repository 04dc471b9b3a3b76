#!/usr/bin/env bash
# Bar 8: ten minutes at half of the maximum load (soak.py).
set -euo pipefail
exec /usr/bin/env python3 "$(dirname "$0")/soak.py" "$@"
