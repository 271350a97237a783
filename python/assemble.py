"""assemble.py SOURCES EXTENSION PACKAGE STAMP DEPFILE - puts the package together in the build tree; copies only what has changed.
DEPFILE names what it depends on, for ninja: the sources, and their directories, so that a new file or one less counts too."""
import filecmp
import pathlib
import shutil
import sys

sources, extension, package, stamp, depfile = map(pathlib.Path, sys.argv[1:])
wanted = {package / f.relative_to(sources): f for f in sources.rglob('*') if f.suffix in ('.py', '.pyi', '.typed')}
read = [*wanted.values(), *{parent for f in wanted.values() for parent in f.parents if sources in (parent, *parent.parents)}]
wanted[package / extension.name] = extension
for there in [f for f in package.rglob('*') if f.is_file() and '__pycache__' not in f.parts]:
    if there not in wanted:
        there.unlink()
for to, of in wanted.items():
    to.parent.mkdir(parents=True, exist_ok=True)
    if not (to.exists() and filecmp.cmp(of, to, shallow=False)):
        shutil.copy(of, to)
depfile.write_text(f'{stamp}: ' + ' '.join(str(f).replace(' ', '\\ ') for f in sorted(read)) + '\n')
stamp.touch()
