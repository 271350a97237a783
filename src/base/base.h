/* base.h - what the program is called: for --version, buildinfo and User-Agent headers. */
#pragma once

const char *weir_version_text(void); /* "0.1.0" */
