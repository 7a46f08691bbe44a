"""How long a person waits before the command line answers: import, --help and models against bare Python."""
import argparse
import json
import statistics
import subprocess
import sys
import time

CASES = [  # name, arguments to Python, budget in milliseconds beyond bare Python (design section 4; None: no budget)
    ("bare python", ["-c", "pass"], None),
    ("import cockatoo", ["-c", "import cockatoo"], 50),
    ("cockatoo --help", ["-m", "cockatoo.cli", "--help"], 500),
    ("cockatoo train --help", ["-m", "cockatoo.cli", "train", "--help"], None),
    ("cockatoo models", ["-m", "cockatoo.cli", "models"], 500),
    ("cockatoo config", ["-m", "cockatoo.cli", "config", "--model-type", "minilm"], None),
]


def wall(arguments):
    "Seconds that one fresh Python takes with these arguments."
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - start


def measure(repeat):
    "One row a case: the median over `repeat` rounds; the cases alternate, so that drift hits all of them alike."
    seconds = {name: [] for name, _, _ in CASES}
    for round_ in range(repeat + 1):  # round 0 fills the file cache and is dropped
        for name, arguments, _ in CASES:
            taken = wall(arguments)
            if round_:
                seconds[name].append(taken)
    median = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
    bare = median["bare python"]
    return [{"case": name, "median_ms": round(median[name], 1), "beyond_python_ms": round(median[name] - bare, 1),
             "budget_ms": budget, "within": None if budget is None else median[name] - bare <= budget}
            for name, _, budget in CASES]


def main():
    "Print the table (or, with --json, one JSON object); exit status 1 when a budget is broken."
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--repeat", type=int, default=7, help="rounds; the median is reported (default 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    rows = measure(options.repeat)
    if options.json:
        print(json.dumps({"benchmark": "startup", "python": sys.version.split()[0], "repeat": options.repeat,
                          "rows": rows}))
    else:
        print(f"{'case':24}{'median ms':>11}{'beyond Python':>15}{'budget':>8}  within")
        for row in rows:
            budget = "-" if row["budget_ms"] is None else row["budget_ms"]
            within = {None: "-", True: "yes", False: "NO"}[row["within"]]
            print(f"{row['case']:24}{row['median_ms']:11.1f}{row['beyond_python_ms']:15.1f}{budget:>8}  {within}")
    return int(any(row["within"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
