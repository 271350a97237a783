/* ui_files.h - what embed.py generates: the files, and whether they are the real page. */
#pragma once
#include "ui/ui.h"

extern const struct ui_file ui_files[];
extern const size_t ui_n_files;
extern const bool ui_built;
