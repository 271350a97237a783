"""symbols_test.py LIB... - what libweir.so and libweir.a give to the outside: weir_*, all of include/weir, nothing else."""
import pathlib
import re
import subprocess
import sys

headers, libs = pathlib.Path(sys.argv[1]), sys.argv[2:]
declared = set()
for header in headers.glob("*.h"):
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
    declared |= set(re.findall(r"\bWEIR_API\b[^;(]*?\b(weir_\w+)\s*\(", text))

print(f"1..{2 * len(libs)}")
n = 0
for lib in libs:
    dynamic = ["-D"] if lib.endswith(".so") or ".so." in lib else []
    out = subprocess.run(["nm", "--defined-only", "--extern-only", *dynamic, lib], check=True, text=True, stdout=subprocess.PIPE).stdout
    names = {line.split()[-1].split("@")[0] for line in out.splitlines() if len(line.split()) == 3}
    names = {name for name in names if name != "WEIR_0" and not name.startswith(("__asan", "__odr_asan", "__ubsan", "__tsan"))}
    for what, wrong in (("exports nothing but the API", names - declared), ("exports all of the API", declared - names)):
        n += 1
        print("not ok" if wrong or not declared else "ok", n, "-", pathlib.Path(lib).name, what, *sorted(wrong)[:20])
