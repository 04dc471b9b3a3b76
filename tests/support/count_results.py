#!/usr/bin/env python3
"""count_results.py FOLDER: sums up the JUnit files that tests/run wrote there.

A program of C tests counts as many as it names (a line "function.behaviour" each), a program of
Python tests as many as it says it ran; anything else counts as one. A part that did not build or
gave no result is a failure. Prints the failures and, last, `N passed, N failed`.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree

CASE = re.compile(r"^\w+\.\w+$", re.M)
RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
BAD = re.compile(r"^FAILED \((?:failures=(\d+))?(?:, )?(?:errors=(\d+))?", re.M)


def cases_of(output):
    """How many tests a program says that it ran; at least one."""
    ran = RAN.search(output)
    return max(1, int(ran.group(1)) if ran else len(CASE.findall(output)))


def count(case):
    """(passed, failed) of one ctest test."""
    output = case.findtext("system-out") or ""
    cases = cases_of(output)
    if case.get("status") == "run" and case.find("failure") is None:
        return cases, 0
    bad = BAD.search(output)
    failed = sum(int(n or 0) for n in bad.groups()) if bad else 1
    return max(0, cases - max(1, failed)), max(1, failed)


def main():
    folder = pathlib.Path(sys.argv[1])
    passed, failed = 0, 0
    for path in sorted(folder.glob("*.broken")):
        print(f"FAILED {path.stem}: did not build or gave no result")
        failed += 1
    for path in sorted(folder.glob("*.xml")):
        here = [0, 0]
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            good, bad = count(case)
            here[0] += good
            here[1] += bad
            if bad:
                print(f"FAILED {path.stem}: {case.get('name')}")
        print(f"{path.stem}: {here[0]} passed, {here[1]} failed in "
              f"{float(xml.etree.ElementTree.parse(path).getroot().get('time') or 0):.0f} s")
        passed += here[0]
        failed += here[1]
    if passed + failed == 0:
        failed = 1
        print("FAILED: nothing ran")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
