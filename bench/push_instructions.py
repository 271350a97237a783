"""Instructions a record costs on its way into the store, by stage, counted by callgrind: the same on every run of one build,
whatever else the machine does, so a change that costs something shows. Work of the kernel is not in it.

usage: push_instructions.py PUSH_BENCH [option of push_bench ...]
"""
import re
import shutil
import subprocess
import sys
import tempfile

STAGES = ('decode', 'rows', 'frame', 'push', 'flush')


def counted(bench, stage, records, options):
    with tempfile.TemporaryDirectory() as d:
        r = subprocess.run(['valgrind', '--tool=callgrind', f'--callgrind-out-file={d}/out', '--separate-threads=no', bench, '--stage', stage,
                            '--rounds', '1', '--records', str(records), *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return int(re.search(r'Collected : (\d+)', r.stderr)[1])


def main():
    if not shutil.which('valgrind'):
        print('skipped: no valgrind here')
        return
    few, many, options = 20480, 61440, ['--durability', 'off', *sys.argv[2:]]
    # reading or making the requests, and decoding them once, is in every count: a stage that does not exist counts just that
    per = {s: (counted(sys.argv[1], s, many, options) - counted(sys.argv[1], s, few, options)) / (many - few) for s in ('none', *STAGES)}
    for stage in STAGES:
        base = per['push'] if stage == 'flush' else per['none']
        print(f'{stage:8} {per[stage] - base:7.0f} instructions per record')


main()
