/* store_image.h - for tests that damage a store: its files in memory, to be changed and written out again. */
#pragma once
#include "store/store_test.h"
#include "base/io.h"
#include "base/vec.h"
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

struct image { /* the files of a store, in memory */
    VEC(struct { char path[300]; char *bytes; size_t n; }) files;
};

static inline UNUSED void image_add(struct image *im, const char *dir, const char *sub)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", dir, sub);
    DIR *d = opendir(path);
    REQUIRE(d);
    for (struct dirent *en; (en = readdir(d));) {
        SCOPED(buf_done) struct buf b = {0};
        struct err e = {0};
        if (en->d_type != DT_REG)
            continue;
        REQUIRE(vec_push(&im->files));
        size_t last = im->files.n - 1;
        snprintf(im->files.at[last].path, sizeof im->files.at[last].path, "%s/%s", sub, en->d_name);
        REQUIRE_OK(io_read_file(dirfd(d), en->d_name, &b, &e), &e);
        buf_char(&b, 0); /* never empty */
        im->files.at[last].bytes = buf_take(&b, &im->files.at[last].n);
        im->files.at[last].n--;
    }
    closedir(d);
}

static inline UNUSED void image_read(struct image *im, const char *dir)
{
    image_add(im, dir, ".");
    image_add(im, dir, "parts");
    image_add(im, dir, "wal");
}

static inline UNUSED void image_write(const struct image *im, const char *dir)
{
    static const char *const subs[] = {"parts", "wal"};
    struct err e = {0};
    for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s", dir, subs[i]);
        REQUIRE_OK(io_mkdir_all(path, &e), &e);
    }
    for (size_t i = 0; i < im->files.n; i++) {
        char path[1100];
        snprintf(path, sizeof path, "%s/%s", dir, im->files.at[i].path);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
        REQUIRE(fd >= 0 && write(fd, im->files.at[i].bytes, im->files.at[i].n) == (ssize_t)im->files.at[i].n);
        close(fd);
    }
}

static inline UNUSED void image_done(struct image *im)
{
    for (size_t i = 0; i < im->files.n; i++)
        free(im->files.at[i].bytes);
    vec_done(&im->files);
}

static inline UNUSED void remove_tree(const char *dir)
{
    static const char *const subs[] = {"parts", "wal", "quarantine", "."};
    for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s", dir, subs[i]);
        DIR *d = opendir(path);
        if (!d)
            continue;
        for (struct dirent *en; (en = readdir(d));)
            if (en->d_type == DT_REG)
                unlinkat(dirfd(d), en->d_name, 0);
        closedir(d);
        rmdir(path);
    }
    rmdir(dir);
}
