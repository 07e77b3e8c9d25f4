"""Adds up the JUnit files of a folder: a line for each suite, then one closing line. Exits 1 if anything failed."""

import pathlib
import sys
import xml.etree.ElementTree as ET


def count(file: pathlib.Path) -> tuple[int, int, int]:
    passed = failed = skipped = 0
    for case in ET.parse(file).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main(folder: str) -> int:
    total = [0, 0, 0]
    for file in sorted(pathlib.Path(folder).glob("*.xml")):
        try:
            counts = count(file)
        except ET.ParseError as error:
            print(f"{file.stem:20} unreadable: {error}")
            counts = (0, 1, 0)
        if sum(counts) == 0:
            print(f"{file.stem:20} ran no test")
            counts = (0, 1, 0)
        else:
            print(f"{file.stem:20} {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
        total = [a + b for a, b in zip(total, counts)]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
