#!/bin/sh
# static_lib.sh OUT LD OBJCOPY AR ARCHIVE... - one archive that names nothing but the public API: the members are linked into a
# single object, and everything hidden in it becomes local, so that no name of ours can clash with the program's.
set -e
out=$1 ld=$2 objcopy=$3 ar=$4
shift 4
"$ld" -r -o "$out.o" --whole-archive "$@" --no-whole-archive
"$objcopy" --localize-hidden "$out.o"
rm -f "$out"
"$ar" rcs "$out" "$out.o"
rm -f "$out.o"
