"""Instructions of one weir_info() with three attributes, counted by callgrind: the same on every run of one build, whatever else the
machine does, so a change that costs something shows.

usage: sdk_instructions.py SDK_BENCH        prints the count beside the one in docs/performance.md
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def counted(bench, calls):
    with tempfile.TemporaryDirectory() as d:
        r = subprocess.run(['valgrind', '--tool=callgrind', f'--callgrind-out-file={d}/out', '--separate-threads=yes',
                            '--toggle-collect=weir_log_at', bench, '--calls', str(calls)], stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True, check=True)
    return int(re.search(r'Collected : (\d+)', r.stderr)[1])


def main():
    if not shutil.which('valgrind'):
        print('skipped: no valgrind here')
        return
    few, many = 10000, 30000
    per_call = (counted(sys.argv[1], many) - counted(sys.argv[1], few)) / (many - few)
    noted = re.search(r'\| instructions of a log call \| (\d+)', (ROOT / 'docs/performance.md').read_text())
    print(f'instructions of a log call: {per_call:.0f}' + (f' (docs/performance.md: {noted[1]})' if noted else ''))


main()
