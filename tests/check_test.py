#!/usr/bin/env python3
"""Checks how tools/check counts. usage: check_test.py SOURCE_ROOT (prints TAP)"""
import importlib.machinery
import importlib.util
import json
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True

NESTED = '''\
TAP version 13
# Subtest: file
    # Subtest: group
        ok 1 - one
        not ok 2 - two
        1..2
    not ok 1 - group
    ok 2 - three # SKIP no browser
    1..2
not ok 1 - file
1..1
'''
PARENT_ALONE = '    ok 1 - one\n    1..1\nnot ok 1 - file\n1..1\n'

# what ran, as Meson logs it; passed, failed, skipped
CASES = [
    ('lines', {'result': 'OK', 'stdout': 'ok 1 - a\nok 2 - b # SKIP no locale\n1..2\n'}, (1, [], [('t: b', 'no locale')])),
    ('a failed line', {'result': 'FAIL', 'stdout': 'ok 1 - a\nnot ok 2 - b\n1..2\n'}, (1, ['t: b'], [])),
    ('something expected to fail', {'result': 'OK', 'stdout': 'not ok 1 - a # TODO later\n1..1\n'}, (1, [], [])),
    ('groups', {'result': 'FAIL', 'stdout': NESTED}, (1, ['t: two'], [('t: three', 'no browser')])),
    ('a group that alone failed', {'result': 'FAIL', 'stdout': PARENT_ALONE}, (1, ['t: file'], [])),
    ('a crash after good lines', {'result': 'ERROR', 'stdout': 'ok 1 - a\n1..3\n', 'returncode': -11}, (1, ['t: error, exit code -11'], [])),
    ('a crash before any plan', {'result': 'ERROR', 'stdout': 'ok 1 - a\n', 'returncode': -6}, (1, ['t: error, exit code -6'], [])),
    ('a time-out', {'result': 'TIMEOUT', 'stdout': '', 'returncode': -15}, (0, ['t: timeout, exit code -15'], [])),
    ('a program without TAP', {'result': 'OK', 'stdout': 'done\n'}, (1, [], [])),
    ('a skipped program', {'result': 'SKIP', 'stdout': 'needs a disk\n'}, (0, [], [('t', 'needs a disk')])),
    ('a plan of nothing', {'result': 'SKIP', 'stdout': '1..0 # SKIP no npm\n'}, (0, [], [('t', 'no npm')])),
]


def main():
    path = str(pathlib.Path(sys.argv[1], 'tools', 'check'))
    loader = importlib.machinery.SourceFileLoader('check', path)
    check = importlib.util.module_from_spec(importlib.util.spec_from_loader('check', loader))
    loader.exec_module(check)
    good = True
    for n, (name, logged, wanted) in enumerate(CASES, 1):
        with tempfile.NamedTemporaryFile('w', suffix='.json') as f:
            f.write(json.dumps({'name': 'weir:unit / t', **logged}) + '\n')
            f.flush()
            tally = check.read_meson(pathlib.Path(f.name))
        got = (tally.passed, tally.failed, tally.skipped)
        if got != wanted:
            print(f'# got {got}, wanted {wanted}')
            good = False
        print(f'{"ok" if got == wanted else "not ok"} {n} - {name}')
    print(f'1..{len(CASES)}')
    sys.exit(not good)


main()
