#!/usr/bin/env python3
"""summary.py RESULTS [BAR...]: what runs gave, and whether the bars are met.

RESULTS has a line of JSON per run of sherd-bench, with a "name"; runs of one name are rounds. A bar
is "A / B >= X": the median over the rounds of A's operations per second over B's in the same round
(rounds are interleaved, so that both saw the same machine). Exit code 1 if a bar is not met.
"""

import json
import re
import statistics
import sys


def spread(values, form):
    return f"{form % statistics.median(values)} ({form % min(values)} to {form % max(values)})"


def main():
    runs = {}
    with open(sys.argv[1]) as file:
        for line in file:
            row = json.loads(line)
            runs.setdefault(row["name"], []).append(row)
    print(f"{'name':<18} {'rounds':>6}  {'operations/s':<28} {'p50 us':>7} {'p99 us':>8} {'errors':>6}"
          f" {'loader':>6}")
    for name, rows in runs.items():
        middle = lambda field: statistics.median(row[field] for row in rows)
        print(f"{name:<18} {len(rows):>6}  {spread([r['ops_per_s'] for r in rows], '%.0f'):<28}"
              f" {middle('p50_us'):>7.0f} {middle('p99_us'):>8.0f}"
              f" {sum(r['errors'] for r in rows):>6} {middle('cores'):>6.2f}")
    met = True
    for bar in sys.argv[2:]:
        a, b, wanted = re.fullmatch(r"(.+) / (.+) >= ([\d.]+)", bar).groups()
        ratios = [x["ops_per_s"] / y["ops_per_s"] for x, y in zip(runs[a], runs[b])]
        good = statistics.median(ratios) >= float(wanted)
        met = met and good
        print(f"{'met   ' if good else 'MISSED'} {bar}: {spread(ratios, '%.2f')}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
