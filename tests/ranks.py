#!/usr/bin/env python3
"""Checks every #include "module/..." of the sources against the ranks of the modules.

usage: ranks.py SOURCE_ROOT          (prints TAP)

(1) A file includes its own module, base, and the modules named for it in MAY: lower ranks, never upward or sideways.
(2) An include names its module ("store/scan.h"): a bare or relative name would hide where it leads.
(3) include/weir is the public face: it includes nothing of ours but itself, so that it stands alone when installed.
The first tests check the checker, on a small tree with one offence of each kind.
"""
import pathlib
import re
import sys
import tempfile

MAY = {
    'base': set(),
    'net': set(),
    'otlp': set(),
    'spool': set(),
    'ui': set(),
    'backlog': {'otlp', 'spool'},
    'sdk': {'net', 'otlp', 'spool', 'backlog'},
    'store': {'otlp', 'spool'},
    'logql': {'otlp', 'store'},
    'collector': {'net', 'otlp', 'spool', 'backlog'},
    'api': {'net', 'otlp', 'store', 'logql', 'ui'},
    'cli': {'net', 'otlp', 'spool', 'ui', 'backlog', 'sdk', 'store', 'logql', 'collector', 'api'},
}
PUBLIC = {'sdk', 'cli'}  # who may include the public headers
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
SOURCES = {'.c', '.h', '.cpp', '.hpp'}


def offence(module, quote, target):
    """Why a file of `module` may not include `target`; None if it may."""
    first, slash, _ = target.partition('/')
    if module == 'public':
        return None if quote == '<' or first == 'weir' else 'a public header includes only public headers'
    if first == 'weir' and slash:
        return None if module in PUBLIC else f'the public headers are for {" and ".join(sorted(PUBLIC))}'
    if quote == '<':
        return None
    if not slash or first in ('.', '..'):
        return 'an include names its module'
    if first not in MAY:
        return f'there is no module {first}'
    if first == module or first == 'base' or first in MAY[module]:
        return None
    return f'{module} may include base {" ".join(sorted(MAY[module]))}'.rstrip()


def offences(root):
    root = pathlib.Path(root)
    found = []
    places = [(p, p.relative_to(root / 'src').parts[0]) for p in sorted((root / 'src').glob('*/**/*'))]
    places += [(p, 'public') for p in sorted((root / 'include').glob('**/*'))]
    for path, module in places:
        if path.suffix not in SOURCES or not path.is_file():
            continue
        name = path.relative_to(root)
        if module != 'public' and module not in MAY:
            found.append(f'{name}: there is no module {module}')
            continue
        text = path.read_text(errors='replace')
        for m in INCLUDE.finditer(text):
            why = offence(module, m[1], m[2])
            if why:
                line = text.count('\n', 0, m.start()) + 1
                found.append(f'{name}:{line}: includes {m[2]}: {why}')
    return found


# path, text, whether it is an offence
CASES = [
    ('src/base/a.c', '#include "base/sv.h"\n#include <stdio.h>\n', False),
    ('src/api/a.c', '#include "api/x.h"\n#include "ui/assets.h"\n#include "base/sv.h"\n', False),
    ('src/sdk/a.c', '#include <weir/logs.h>\n#include "spool/spool.h"\n', False),
    ('src/collector/receivers/a.c', '#include "collector/receivers/x.h"\n#include "net/http.h"\n', False),
    ('include/weir/a.h', '#include <weir/b.h>\n#include <stdint.h>\n', False),
    ('src/base/up.c', '#include "otlp/walk.h"\n', True),
    ('src/spool/sideways.h', '#include "otlp/walk.h"\n', True),
    ('src/collector/exporters/store.c', '  #  include "store/store.h"\n', True),
    ('src/store/face.cpp', '#include "api/api.h"\n', True),
    ('src/store/bare.c', '#include "scan.h"\n', True),
    ('src/store/relative.c', '#include "../otlp/walk.h"\n', True),
    ('src/store/public.c', '#include <weir/logs.h>\n', True),
    ('src/odds/new.c', 'int x;\n', True),
    ('src/cli/stranger.c', '#include "odds/new.h"\n', True),
    ('include/weir/leak.h', '#include "base/sv.h"\n', True),
]


def checker_fails():
    """The cases that the checker gets wrong."""
    wrong = []
    for path, text, bad in CASES:
        with tempfile.TemporaryDirectory() as d:
            file = pathlib.Path(d, path)
            file.parent.mkdir(parents=True)
            file.write_text(text)
            got = offences(d)
            if bool(got) != bad:
                wrong.append(f'{path}: {got or "no offence seen"}')
    return wrong


def tap(n, name, problems):
    for p in problems:
        print('#', p)
    print(f'{"not ok" if problems else "ok"} {n} - {name}')
    return not problems


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    good = tap(1, 'the checker sees each kind of offence, and no other', checker_fails())
    good &= tap(2, 'includes keep the ranks', offences(sys.argv[1]))
    print('1..2')
    sys.exit(not good)


if __name__ == '__main__':
    main()
