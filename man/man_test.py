"""man_test.py HEADERS WEIR PAGE... - the manual against what there is: every page is clean, every function and command is in one."""
import pathlib
import re
import shutil
import subprocess
import sys

headers, weir, pages = pathlib.Path(sys.argv[1]), sys.argv[2], [pathlib.Path(p) for p in sys.argv[3:]]
tests = []


def check(name, problems):
    tests.append(not problems)
    print("not ok" if problems else "ok", len(tests), "-", name, flush=True)
    for p in problems:
        print("#", p)


def lint(page):
    if shutil.which("mandoc"):
        command = ["mandoc", "-Tlint", "-Wwarning", page]
    elif shutil.which("groff"):
        command = ["groff", "-ww", "-mdoc", "-Tutf8", "-z", page]
    else:
        return None
    out = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    return out.splitlines()


for page in pages:
    problems = lint(page)
    if problems is None:
        tests.append(True)
        print("ok", len(tests), "-", page.name, "is clean # SKIP neither mandoc nor groff is there")
    else:
        check(page.name + " is clean", problems)

text = {page: page.read_text() for page in pages}
declared, named = set(), set()
for header in headers.glob("*.h"):
    code = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
    declared |= set(re.findall(r"\bWEIR_API\b[^;(]*?\b(weir_\w+)\s*\(", code))
for page in pages:
    named |= set(re.findall(r"^\.Nm (weir_\w+)", text[page], re.M)) & set(re.findall(r"^\.F[no] (weir_\w+)", text[page], re.M))
check("every function has its NAME and SYNOPSIS in a page", [f"{f} is in none" for f in sorted(declared - named)] or
      ([] if declared else ["no functions found"]))
usage = subprocess.run([weir, "--help"], check=True, text=True, stdout=subprocess.PIPE).stdout
commands = re.findall(r"^  (\w+)  ", usage, re.M)
overview = next(text[p] for p in pages if p.name == "weir.1")
check("every command is in weir.1", [f"{c} is not" for c in commands if not re.search(rf"^\.It Cm {c}$", overview, re.M)] or
      ([] if commands else ["no commands found"]))
names = {p.stem for p in pages} | {n for t in text.values() for n in re.findall(r"^\.Nm (\w+)", t, re.M)}
check("pages refer to pages that are there", [f"{p.name}: {x}" for p in pages for x in re.findall(r"^\.Xr (weir\w*)", text[p], re.M)
                                              if x not in names])
print(f"1..{len(tests)}")
sys.exit(not all(tests))
