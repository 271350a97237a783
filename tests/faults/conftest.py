"""Fixtures of the fault tests: those of the end-to-end tests, and some for trouble with disks."""
import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
E2E = HERE.parent / 'e2e'
sys.path.insert(0, str(E2E))
spec = importlib.util.spec_from_file_location('e2e_conftest', E2E / 'conftest.py')
e2e_conftest = importlib.util.module_from_spec(spec)
sys.modules['e2e_conftest'] = e2e_conftest
spec.loader.exec_module(e2e_conftest)
from e2e_conftest import chain, house, measured, pytest_runtest_setup, pytest_terminal_summary  # noqa: E402, F401
