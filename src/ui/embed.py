#!/usr/bin/env python3
"""Turns the web page into a C file.

    embed.py --output ui_files.c --pages DIR
    embed.py --output ui_files.c --npm NPM --source web --work DIR --depfile F

The first form embeds a directory as it is. The second builds the page first: it copies the sources into the work
directory, so that neither node_modules nor results land in the source tree, installs the packages when the lock file
changed, and runs `npm run build`. Each file is embedded twice, plain and as gzip, so serving it costs nothing.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
NOT_SOURCES = {"node_modules", "dist", ".gitignore"}


def run(npm, args, work):
    """Runs npm quietly; its output matters only when it fails."""
    env = dict(os.environ, npm_config_update_notifier="false", npm_config_fund="false", npm_config_audit="false")
    done = subprocess.run([npm, *args], cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        sys.exit(f"embed.py: `npm {' '.join(args)}` failed in {work}. To build without the web page: -Dui=disabled")


def sources_of(source):
    return sorted(p for p in source.rglob("*") if p.is_file() and not NOT_SOURCES & set(p.relative_to(source).parts))


def build(npm, source, work):
    """Builds the page in `work` and returns the directory of the result."""
    work.mkdir(parents=True, exist_ok=True)
    for old in work.iterdir():
        if old.name not in ("node_modules", "installed"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for file in sources_of(source):
        target = work / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    lock = hashlib.sha256((work / "package-lock.json").read_bytes() + (work / "package.json").read_bytes()).hexdigest()
    stamp = work / "installed"
    if not (work / "node_modules").is_dir() or not stamp.exists() or stamp.read_text() != lock:
        # No package needs its install script, and an install script is the one thing here that could do anything.
        run(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], work)
        stamp.write_text(lock)
    run(npm, ["run", "build"], work)
    return work / "dist"


def c_array(name, data):
    rows = [",".join(map(str, data[i : i + 32])) for i in range(0, len(data), 32)]
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "};\n"


def c_file(pages, built):
    arrays, entries = [], []
    for i, file in enumerate(sorted(p for p in pages.rglob("*") if p.is_file())):
        kind = TYPES.get(file.suffix)
        if kind is None:
            sys.exit(f"embed.py: no content type for {file.name}")
        path = "/" + file.relative_to(pages).as_posix()
        data = file.read_bytes()
        packed = gzip.compress(data, 9, mtime=0)
        etag = 'W/\\"' + hashlib.sha256(data).hexdigest()[:20] + '\\"'
        cache = "public, max-age=31536000, immutable" if path.startswith("/assets/") else "no-cache"
        arrays.append(c_array(f"data{i}", data))
        gz = "NULL, 0"
        if len(packed) < len(data):
            arrays.append(c_array(f"gz{i}", packed))
            gz = f"gz{i}, sizeof gz{i}"
        for name in ["/", path] if path == "/index.html" else [path]:
            entries.append(f'    {{"{name}", "{kind}", "{etag}", "{cache}", data{i}, sizeof data{i}, {gz}}},\n')
    return (
        "/* made by embed.py */\n"
        '#include "ui/ui_files.h"\n\n'
        + "".join(arrays)
        + "const struct ui_file ui_files[] = {\n"
        + "".join(entries)
        + "};\nconst size_t ui_n_files = sizeof ui_files / sizeof ui_files[0];\n"
        + f"const bool ui_built = {'true' if built else 'false'};\n"
    )


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--output", type=Path, required=True)
    p.add_argument("--pages", type=Path)
    p.add_argument("--npm")
    p.add_argument("--source", type=Path)
    p.add_argument("--work", type=Path)
    p.add_argument("--depfile", type=Path)
    a = p.parse_args()
    if a.pages:
        a.output.write_text(c_file(a.pages, built=False))
        return
    pages = build(a.npm, a.source.resolve(), a.work.resolve())
    a.output.write_text(c_file(pages, built=True))
    names = " ".join(str(f).replace(" ", "\\ ") for f in sources_of(a.source.resolve()))
    a.depfile.write_text(f"{a.output}: {names}\n")


main()
