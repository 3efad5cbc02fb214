"""`python -m bench`: measures everything, side by side, and writes it to RESULTS.md and results.json.

python -m bench                  all of it
python -m bench --only append    one of them; the others' results stay as they were
python -m bench --quick          does it still run? small counts, printed and not kept
"""

import argparse
import sys
from collections.abc import Callable

from bench import append, latency, passwords, rebuild, region, slips, startup, verify
from bench.measuring import Figure, Scale
from bench.report import keep, machine, table

# Each is given a scale and yields its figures as they come.
BENCHES: dict[str, Callable[[Scale], list[Figure]]] = {
    "append": append.figures,
    "rebuild": rebuild.figures,
    "latency": latency.figures,
    "region": region.figures,
    "slips": slips.figures,
    "passwords": passwords.figures,
    "startup": startup.figures,
    "verify": verify.figures,
}


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench", description="The figures of Vekha, measured beside a peer.")
    arguments.add_argument("--only", metavar="NAME", choices=sorted(BENCHES), help=f"one of {', '.join(sorted(BENCHES))}")
    arguments.add_argument("--quick", action="store_true", help="small counts; the results are printed and not kept")
    chosen = arguments.parse_args()
    results: dict[str, list[Figure]] = {}
    for name in [chosen.only] if chosen.only else list(BENCHES):
        sys.stderr.write(f"{name} …\n")
        results[name] = BENCHES[name](Scale(quick=chosen.quick))
        sys.stdout.write(f"\n## {name}\n\n{table(results[name])}\n")
    if not chosen.quick:
        keep(results, machine())


if __name__ == "__main__":
    main()
