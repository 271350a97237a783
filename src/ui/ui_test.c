/* ui_test.c - what is embedded can be served: found by path, typed, tagged, and gzip is really gzip. */
#include "base/test.h"
#include "ui/ui.h"
#include "ui/ui_files.h"
#include <string.h>
#include <zlib.h>

TEST(the_page_is_there)
{
    const struct ui_file *f = ui_find("/", 1);
    REQUIRE(f);
    CHECK_STR(f->content_type, "text/html; charset=utf-8");
    CHECK_STR(f->cache_control, "no-cache");
    CHECK(f->size > 0);
    CHECK(ui_find("/index.html", 11) != NULL);
}

TEST(other_paths_are_not)
{
    CHECK(!ui_find("", 0));
    CHECK(!ui_find("/assets/", 8));
    CHECK(!ui_find("/index.htm", 10));
    CHECK(!ui_find("/../index.html", 14));
    CHECK(!ui_find("/\0x", 3));
}

TEST(every_file_can_be_served)
{
    for (size_t i = 0; i < ui_n_files; i++) {
        const struct ui_file *f = &ui_files[i];
        CHECK(ui_find(f->path, strlen(f->path)) == f);
        CHECK(strncmp(f->etag, "W/\"", 3) == 0 && f->etag[strlen(f->etag) - 1] == '"');
        CHECK(f->content_type[0] && f->cache_control[0]);
        if (!f->gz)
            continue;
        CHECK(f->gz_size < f->size);
        unsigned char *out = malloc(f->size);
        REQUIRE(out);
        z_stream z = {.next_in = (unsigned char *)f->gz,
                      .avail_in = (uInt)f->gz_size,
                      .next_out = out,
                      .avail_out = (uInt)f->size};
        CHECK(inflateInit2(&z, 16 + MAX_WBITS) == Z_OK);
        CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out == f->size);
        CHECK(memcmp(out, f->data, f->size) == 0);
        inflateEnd(&z);
        free(out);
    }
}

TEST(the_page_names_only_files_we_have)
{
    if (!ui_available())
        return;
    size_t n_scripts = 0;
    for (size_t i = 0; i < ui_n_files; i++)
        n_scripts += strncmp(ui_files[i].path, "/assets/", 8) == 0 && strstr(ui_files[i].path, ".js") != NULL;
    CHECK(n_scripts > 0);
    const struct ui_file *page = ui_find("/", 1);
    REQUIRE(page);
    for (size_t i = 0; i + 10 < page->size; i++) {
        if (memcmp(page->data + i, "\"./", 3) != 0)
            continue;
        const char *path = (const char *)page->data + i + 2;
        const char *end = memchr(path, '"', page->size - i - 2);
        REQUIRE(end);
        CHECK(ui_find(path, (size_t)(end - path)) != NULL);
    }
}
