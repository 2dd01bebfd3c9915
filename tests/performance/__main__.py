"""Every benchmark, one after the other:  python -m tests.performance [NAME ...]

Each runs in a process of its own, so that none inherits the memory or the threads of another. Exit status 1 when one
missed a bar or broke.
"""

import subprocess
import sys
from pathlib import Path


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all."""
    found = [path.stem.removeprefix("bench_") for path in sorted(Path(__file__).parent.glob("bench_*.py"))]
    if unknown := set(names) - set(found):
        print(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(found)}")
        return 2
    failed = []
    for name in names or found:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.performance.bench_{name}"], check=False).returncode:
            failed.append(name)
    print(f"\nFAIL  {', '.join(failed)}" if failed else "\nPASS")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
