"""assemble.py SOURCES EXTENSION PACKAGE STAMP - puts the package together in the build tree; copies only what has changed."""
import filecmp
import pathlib
import shutil
import sys

sources, extension, package, stamp = map(pathlib.Path, sys.argv[1:])
wanted = {package / f.relative_to(sources): f for f in sources.rglob('*') if f.suffix in ('.py', '.pyi', '.typed')}
wanted[package / extension.name] = extension
for there in [f for f in package.rglob('*') if f.is_file() and '__pycache__' not in f.parts]:
    if there not in wanted:
        there.unlink()
for to, of in wanted.items():
    to.parent.mkdir(parents=True, exist_ok=True)
    if not (to.exists() and filecmp.cmp(of, to, shallow=False)):
        shutil.copy(of, to)
stamp.touch()
